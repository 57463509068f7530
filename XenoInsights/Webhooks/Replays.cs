using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion;

namespace XenoInsights.Webhooks;

/// <summary>What applying an event again would do.</summary>
public enum ReplayEffect
{
    Stored,
    Deleted,

    /// <summary>The same or something newer is stored.</summary>
    Unchanged,

    /// <summary>Nothing by itself: its object is refetched from Shopify, which a dry run does not do.</summary>
    ReadAgain,

    /// <summary>Something other than an object: the shop's settings, a merge, an erasure.</summary>
    CarriedOut,
    Ignored,
    Fails,
}

/// <param name="ReadsAgain">Whether the object would also be refetched from Shopify.</param>
/// <param name="Says">The outcome or the error, in words.</param>
public sealed record TriedEvent(string WebhookId, string Topic, ReplayEffect Effect, bool ReadsAgain, string? Says);

/// <summary>A shop day whose figures would change; total sales in minor units.</summary>
public sealed record ChangedDay(
    DateOnly Day,
    long OrdersBefore,
    long OrdersAfter,
    long TotalSalesBefore,
    long TotalSalesAfter
);

/// <summary>What a replay would change, in the order in which it would be applied.</summary>
/// <param name="Matching">How many events the replay would take.</param>
/// <param name="Limit">How many of them one dry run looks at, the oldest first.</param>
public sealed record DryRun(
    int Matching,
    int Limit,
    IReadOnlyList<TriedEvent> Deliveries,
    IReadOnlyList<ChangedDay> Days
);

/// <summary>Which events that could not be applied; what is null means any.</summary>
/// <param name="Topic">As <see cref="Event.Topic"/>.</param>
/// <param name="From">Received at or after.</param>
/// <param name="To">Received before.</param>
/// <param name="Error">A part of the last error, in any letter case.</param>
internal sealed record FailedEvents(string? Topic, DateTimeOffset? From, DateTimeOffset? To, string? Error)
{
    /// <summary>As $1 to $5: the store, then the parts in order.</summary>
    public void AddTo(NpgsqlCommand command, Guid tenantId)
    {
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(Sql.Text(Topic));
        command.Parameters.Add(Sql.Instant(From));
        command.Parameters.Add(Sql.Instant(To));
        command.Parameters.Add(Sql.Text(Error));
    }
}

/// <summary>The entered store's events, applied again: for real, or to see what that would change.</summary>
internal sealed class Replays(XenoDatabase database, EventProcessor processor)
{
    public const int MostTried = 100;
    private const int Patience = 20;
    private static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// Puts events back into the queue: those named, or all that are dead-lettered. Applying is idempotent, so
    /// replaying an applied one changes nothing.
    /// </summary>
    public Task<int> ReplayAsync(IReadOnlyCollection<string>? webhookIds, CancellationToken ct) =>
        database.InTenantAsync(MemberRole.Admin, async db => (await QueueAsync(db, webhookIds, null, ct)).Count, ct);

    /// <summary>
    /// Does it, looks, and takes it back. Null if it gets no turn while someone else applies the store's events, or
    /// takes too long.
    /// </summary>
    public async Task<DryRun?> TryAsync(IReadOnlyCollection<string>? webhookIds, CancellationToken ct)
    {
        for (var attempt = 0; attempt < Patience; attempt++)
        {
            if (attempt > 0)
                await Task.Delay(_pause, ct);
            try
            {
                if (await database.DryRunAsync(MemberRole.Admin, db => TryAsync(db, webhookIds, ct), ct) is { } result)
                    return result;
            }
            catch (PostgresException tooLong)
                when (tooLong.SqlState is PostgresErrorCodes.QueryCanceled or PostgresErrorCodes.LockNotAvailable)
            {
                return null;
            }
        }
        return null;
    }

    private async Task<DryRun?> TryAsync(
        XenoDbContext db,
        IReadOnlyCollection<string>? webhookIds,
        CancellationToken ct
    )
    {
        var tenantId = db.TenantId!.Value;
        if (!await EventQueue.TryLockAsync(db, tenantId, ct))
            return null;
        // Others wait for the rows it touches, until it is taken back.
        await using (var hurry = db.Command("set local statement_timeout = '10s'; set local lock_timeout = '3s'"))
            await hurry.ExecuteNonQueryAsync(ct);
        var matching = await MatchingAsync(db, webhookIds, ct);
        var before = await DaysAsync(db, ct);
        var tried = new List<TriedEvent>();
        foreach (var (webhookId, topic) in await QueueAsync(db, webhookIds, MostTried, ct))
            tried.Add(await processor.TryAsync(db, tenantId, webhookId, topic, ct));
        return new DryRun(matching, MostTried, tried, Changes(before, await DaysAsync(db, ct)));
    }

    private const string Waiting =
        "status = 1, attempts = 0, due_at = now(), last_error = null, outcome = null, applied_at = null";

    private const string Failed = """
        tenant_id = $1 and status = 4 and payload is not null and ($2::text is null or topic = $2)
        and ($3::timestamptz is null or received_at >= $3) and ($4::timestamptz is null or received_at < $4)
        and ($5::text is null or strpos(lower(last_error), lower($5)) > 0)
        """;

    private const string Chosen = """
        tenant_id = $1 and payload is not null
        and ((status = 4 and $2::text[] is null) or (webhook_id = any($2) and status <> 1))
        """;

    private static async Task<List<(string WebhookId, string Topic)>> QueueAsync(
        XenoDbContext db,
        IReadOnlyCollection<string>? webhookIds,
        int? limit,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            $"""
            with chosen as (
                update events set {Waiting}
                where tenant_id = $1 and webhook_id in (
                    select webhook_id from events where {Chosen} order by received_at, webhook_id limit $3)
                returning webhook_id, topic)
            select webhook_id, topic from chosen order by webhook_id
            """
        );
        AddParameters(command, db, webhookIds);
        command.Parameters.Add(
            new NpgsqlParameter { Value = (object?)limit ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer }
        );
        var queued = new List<(string, string)>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            queued.Add((reader.GetString(0), reader.GetString(1)));
        return queued;
    }

    /// <summary>How many failed events of the unit of work's store a replay would take.</summary>
    internal static async Task<int> CountFailedAsync(XenoDbContext db, FailedEvents which, CancellationToken ct)
    {
        await using var command = db.Command($"select count(*)::int from events where {Failed}");
        which.AddTo(command, db.TenantId!.Value);
        return (int)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <summary>
    /// Puts failed events of the unit of work's store back into the queue, the oldest first; returns how many.
    /// </summary>
    internal static async Task<int> QueueFailedAsync(
        XenoDbContext db,
        FailedEvents which,
        int limit,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            $"""
            update events set {Waiting} where tenant_id = $1 and webhook_id in (
                select webhook_id from events where {Failed} order by received_at, webhook_id limit $6 for update)
            """
        );
        which.AddTo(command, db.TenantId!.Value);
        command.Parameters.Add(new NpgsqlParameter { Value = limit });
        return await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task<int> MatchingAsync(
        XenoDbContext db,
        IReadOnlyCollection<string>? webhookIds,
        CancellationToken ct
    )
    {
        await using var command = db.Command($"select count(*)::int from events where {Chosen}");
        AddParameters(command, db, webhookIds);
        return (int)(await command.ExecuteScalarAsync(ct))!;
    }

    private static void AddParameters(NpgsqlCommand command, XenoDbContext db, IReadOnlyCollection<string>? webhookIds)
    {
        command.Parameters.Add(Sql.Uuid(db.TenantId!.Value));
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = (object?)webhookIds?.ToArray() ?? DBNull.Value,
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text,
            }
        );
    }

    private static Task<Dictionary<DateOnly, (long Orders, long Sales)>> DaysAsync(
        XenoDbContext db,
        CancellationToken ct
    ) =>
        db
            .SalesDays.AsNoTracking()
            .Select(d => new
            {
                d.Day,
                d.Orders,
                Sales = d.Gross - d.Discounts - d.Returns + d.Shipping + d.Taxes + d.Duties + d.Fees,
            })
            .ToDictionaryAsync(d => d.Day, d => (d.Orders, d.Sales), ct);

    private static List<ChangedDay> Changes(
        Dictionary<DateOnly, (long Orders, long Sales)> before,
        Dictionary<DateOnly, (long Orders, long Sales)> after
    ) =>
        [
            .. before
                .Keys.Union(after.Keys)
                .Order()
                .Select(day => (Day: day, Before: before.GetValueOrDefault(day), After: after.GetValueOrDefault(day)))
                .Where(d => d.Before != d.After)
                .Select(d => new ChangedDay(d.Day, d.Before.Orders, d.After.Orders, d.Before.Sales, d.After.Sales)),
        ];
}
