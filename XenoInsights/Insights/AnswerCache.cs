using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Insights;

/// <summary>Section <c>Answers</c>.</summary>
public sealed class AnswerOptions
{
    public const string Section = "Answers";

    /// <summary>How much memory kept answers may take in all.</summary>
    [Range(1, 65_536, ErrorMessage = CheckedOptions.Range)]
    public int Megabytes { get; set; } = 128;

    /// <summary>How much of it those of one store.</summary>
    [Range(1, 65_536, ErrorMessage = CheckedOptions.Range)]
    public int MegabytesPerStore { get; set; } = 16;
}

/// <summary>
/// Keeps answers for as long as the tenant's data stay as they are: the data version is read before the answer, so an
/// answer is never older than the data at the moment it was asked for. Equal questions at the same time are answered by
/// one computation.
/// </summary>
/// <remarks>
/// The version is read in the caller's own unit of work, so whoever may not read the store is refused there, whatever
/// is kept. A computation is a unit of work of its own, for it may outlive the caller who began it: it ends early only
/// when all who wait for it have gone.
/// </remarks>
public sealed class AnswerCache(TenantDatabase tenants, TimeProvider time, IOptions<AnswerOptions> options)
{
    private const int Patience = 30,
        Megabyte = 1024 * 1024;
    private static readonly TimeSpan _cheap = TimeSpan.FromMilliseconds(100);

    private readonly KeptAnswers _kept = new(
        options.Value.Megabytes * (long)Megabyte,
        options.Value.MegabytesPerStore * (long)Megabyte,
        time
    );
    private readonly Dictionary<(Guid Tenant, object Question), Computation> _underWay = [];
    private readonly Lock _gate = new();

    /// <summary>Estimated memory of all kept answers.</summary>
    internal long KeptBytes => _kept.Bytes;

    /// <param name="question">Names the question and its arguments; records compare by value.</param>
    /// <param name="answer">Finds the answer with the given context and token only: it may run after the caller has
    /// gone.</param>
    public Task<T> GetAsync<T>(
        XenoDatabase database,
        Guid tenantId,
        object question,
        Func<XenoDbContext, CancellationToken, Task<T>> answer,
        CancellationToken ct
    )
        where T : class => FindAsync(database, tenantId, question, answer, isCostly: false, ct);

    /// <summary>
    /// For questions about a store's whole history: an answer that was costly to find serves for thirty times as long
    /// as that took, although data have changed since. A small store is always answered afresh, a large one with open
    /// pages spends at most a thirtieth of a processor on it.
    /// </summary>
    public Task<T> GetCostlyAsync<T>(
        XenoDatabase database,
        Guid tenantId,
        object question,
        Func<XenoDbContext, CancellationToken, Task<T>> answer,
        CancellationToken ct
    )
        where T : class => FindAsync(database, tenantId, question, answer, isCostly: true, ct);

    private async Task<T> FindAsync<T>(
        XenoDatabase database,
        Guid tenantId,
        object question,
        Func<XenoDbContext, CancellationToken, Task<T>> answer,
        bool isCostly,
        CancellationToken ct
    )
        where T : class
    {
        var version = await database.InTenantAsync(db => db.DataVersionAsync(tenantId, ct), ct);
        if (_kept.Find(tenantId, question, version) is T known)
            return known;
        var computation = Join(tenantId, question, version, isCostly, async (db, token) => await answer(db, token));
        try
        {
            return (T)await computation.Answer!.WaitAsync(ct);
        }
        finally
        {
            Leave(tenantId, question, computation);
        }
    }

    private Computation Join(
        Guid tenantId,
        object question,
        long version,
        bool isCostly,
        Func<XenoDbContext, CancellationToken, Task<object>> answer
    )
    {
        lock (_gate)
        {
            if (
                _underWay.TryGetValue((tenantId, question), out var found)
                && (found.Version == version || (isCostly && IsCostly(found)))
            )
            {
                found.Callers++;
                return found;
            }
            var begun = new Computation(version, time.GetTimestamp()) { Callers = 1 };
            _underWay[(tenantId, question)] = begun;
            // Not where the first caller runs: a page's own turn ends with the page.
            begun.Answer = Task.Run(() => ComputeAsync(tenantId, question, begun, isCostly, answer));
            return begun;
        }
    }

    private async Task<object> ComputeAsync(
        Guid tenantId,
        object question,
        Computation computation,
        bool isCostly,
        Func<XenoDbContext, CancellationToken, Task<object>> answer
    )
    {
        var ct = computation.Abandoned.Token;
        try
        {
            var found = await tenants.RunForPeopleAsync(tenantId, db => answer(db, ct), ct);
            var serves =
                isCostly && IsCostly(computation) ? time.GetElapsedTime(computation.Begun) * Patience : TimeSpan.Zero;
            _kept.Keep(tenantId, question, computation.Version, found, serves);
            return found;
        }
        finally
        {
            Remove(tenantId, question, computation);
        }
    }

    private void Leave(Guid tenantId, object question, Computation computation)
    {
        lock (_gate)
        {
            if (--computation.Callers > 0 || computation.Answer!.IsCompleted)
                return;
            Remove(tenantId, question, computation);
        }
        computation.Abandoned.Cancel();
    }

    // From here on nobody joins it.
    private void Remove(Guid tenantId, object question, Computation computation)
    {
        lock (_gate)
        {
            if (_underWay.TryGetValue((tenantId, question), out var found) && ReferenceEquals(found, computation))
                _underWay.Remove((tenantId, question));
        }
    }

    private bool IsCostly(Computation computation) => time.GetElapsedTime(computation.Begun) > _cheap;

    /// <param name="version">Of the data, read before it began.</param>
    /// <param name="begun">Timestamp of the clock.</param>
    private sealed class Computation(long version, long begun)
    {
        public long Version => version;
        public long Begun => begun;

        /// <summary>How many wait for it; changed under the gate.</summary>
        public int Callers { get; set; }
        public Task<object>? Answer { get; set; }
        public CancellationTokenSource Abandoned { get; } = new();
    }
}

internal static class AnswerSetup
{
    public static void AddAnswers(this WebApplicationBuilder builder)
    {
        builder
            .Services.AddCheckedOptions<AnswerOptions>(AnswerOptions.Section)
            .Validate(
                options => options.MegabytesPerStore <= options.Megabytes,
                $"{AnswerOptions.Section}:{nameof(AnswerOptions.MegabytesPerStore)} must be at most {nameof(AnswerOptions.Megabytes)}."
            );
        builder.Services.AddSingleton<AnswerCache>();
    }
}
