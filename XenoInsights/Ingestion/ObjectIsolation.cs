using Npgsql;
using XenoInsights.Data;

namespace XenoInsights.Ingestion;

/// <summary>What became of a batch in which objects may be refused one by one.</summary>
/// <param name="Rejected">Those that cannot be stored, each with the reason.</param>
internal sealed record IsolatedResult<T>(ApplyResult Applied, IReadOnlyList<(T Item, string Reason)> Rejected);

/// <summary>
/// Keeps one object that cannot be stored from holding up the batch it came in. The batch is applied behind a
/// savepoint; if the database refuses it for what it says, its halves are applied, and so on until the objects at fault
/// stand alone.
/// </summary>
internal static class ObjectIsolation
{
    private const string Savepoint = "objects";

    /// <param name="apply">Applies some of the items, in the caller's transaction.</param>
    public static async Task<IsolatedResult<T>> ApplyAsync<T>(
        XenoDbContext db,
        Guid tenantId,
        IReadOnlyList<T> items,
        Func<IReadOnlyList<T>, Task<ApplyResult>> apply,
        CancellationToken ct
    )
    {
        var rejected = new List<(T Item, string Reason)>();
        if (items.Count == 0)
            return new(default, rejected);
        var (applied, reason) = await TryAsync(db, items, apply, ct);
        if (reason is null)
            return new(applied, rejected);
        // Halves take their row locks one half after the other, so out of order: nobody else of the store may write
        // meanwhile.
        await TenantLock.TakeExclusiveAsync(db, tenantId, ct);
        return new(await HalvesAsync(items, reason), rejected);

        async Task<ApplyResult> HalvesAsync(IReadOnlyList<T> some, string whyNot)
        {
            if (some.Count > 1)
                return await EachAsync([.. some.Take(some.Count / 2)])
                    + await EachAsync([.. some.Skip(some.Count / 2)]);
            rejected.Add((some[0], whyNot));
            return default;
        }

        async Task<ApplyResult> EachAsync(IReadOnlyList<T> some)
        {
            var (result, whyNot) = await TryAsync(db, some, apply, ct);
            return whyNot is null ? result : await HalvesAsync(some, whyNot);
        }
    }

    /// <summary>
    /// Whether an object itself is the cause, as against the connection, the database or another writer: then the
    /// others can be stored.
    /// </summary>
    public static bool IsOfTheObject(Exception failure) =>
        failure switch
        {
            // Data exceptions, broken constraints, and limits such as the longest row of an index.
            PostgresException postgres => postgres.SqlState is ['2', '2' or '3', ..] or ['5', '4', ..],
            NpgsqlException or ObjectDisposedException => false,
            FormatException
            or OverflowException
            or ArgumentException
            or InvalidOperationException
            or InvalidCastException => true,
            _ => false,
        };

    /// <summary>In words, without the data.</summary>
    public static string ReasonOf(Exception failure) =>
        failure is PostgresException postgres ? $"{postgres.MessageText} ({postgres.SqlState})" : failure.Message;

    private static async Task<(ApplyResult Applied, string? Reason)> TryAsync<T>(
        XenoDbContext db,
        IReadOnlyList<T> items,
        Func<IReadOnlyList<T>, Task<ApplyResult>> apply,
        CancellationToken ct
    )
    {
        var transaction = db.Database.CurrentTransaction!;
        await transaction.CreateSavepointAsync(Savepoint, ct);
        try
        {
            var applied = await apply(items);
            await transaction.ReleaseSavepointAsync(Savepoint, ct);
            return (applied, null);
        }
        catch (Exception failure) when (IsOfTheObject(failure))
        {
            await transaction.RollbackToSavepointAsync(Savepoint, ct);
            await transaction.ReleaseSavepointAsync(Savepoint, ct);
            return (default, ReasonOf(failure));
        }
    }
}
