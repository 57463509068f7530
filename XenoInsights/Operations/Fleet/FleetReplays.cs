using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Webhooks;

namespace XenoInsights.Operations.Fleet;

/// <param name="Limit">Marks no more events than this; a dry run counts all.</param>
internal sealed record FleetReplay(StoreChoice Stores, FailedEvents Events, bool IsDryRun, int Limit);

/// <param name="Events">How many failed events match, or were put back into the queue.</param>
/// <param name="Problem">Why nothing more was done for this store; null if all went well.</param>
public sealed record StoreReplay(Guid TenantId, string StoreDomain, int Events, string? Problem);

/// <summary>What one request did. While it is not complete, the same request with <c>after</c> goes on.</summary>
/// <param name="After">Where to go on; null while the first store is not done, and at the end.</param>
public sealed record FleetReplayAnswer(
    bool DryRun,
    bool Complete,
    int Events,
    int StoresWithProblems,
    IReadOnlyList<StoreReplay> Stores,
    Guid? After
);

/// <summary>
/// Replays the failed webhook events of many stores: puts them back into their stores' queues, in transactions of
/// <see cref="Batch"/> rows. One request does a bounded part of it.
/// </summary>
internal sealed partial class FleetReplays(
    ChosenStores stores,
    Operators operators,
    TimeProvider time,
    ILogger<FleetReplays> logger
)
{
    public const int Batch = 1000,
        MostStores = 500;
    private static readonly TimeSpan _longest = TimeSpan.FromSeconds(10);

    /// <summary>Part of what is asked for can be told without reading what events say; the last error cannot.</summary>
    private const string HasFailed = """
        exists (select from events e where e.tenant_id = t.tenant_id and e.status = 4
            and ($4::text is null or e.topic = $4)
            and ($5::timestamptz is null or e.received_at >= $5) and ($6::timestamptz is null or e.received_at < $6))
        """;

    /// <exception cref="AccessDeniedException">The caller is no operator, or not any more.</exception>
    public async Task<FleetReplayAnswer> RunAsync(Caller? caller, FleetReplay replay, CancellationToken ct)
    {
        var began = time.GetTimestamp();
        var found = await FindAsync(caller, replay, ct);
        var done = new List<StoreReplay>();
        var after = replay.Stores.After;
        var isComplete = found.Count < MostStores;
        var left = replay.Limit;
        foreach (var store in found)
        {
            if (left == 0 || time.GetElapsedTime(began) > _longest)
                return Answer(isComplete: false);
            var (result, isDone) = await TryReplayAsync(caller, store, replay, left, ct);
            if (result is not { Events: 0, Problem: null })
                done.Add(result);
            if (!replay.IsDryRun)
                left -= result.Events;
            if (!isDone)
                return Answer(isComplete: false);
            after = store.TenantId;
        }
        return Answer(isComplete);

        FleetReplayAnswer Answer(bool isComplete) =>
            new(
                replay.IsDryRun,
                isComplete,
                done.Sum(s => s.Events),
                done.Count(s => s.Problem is not null),
                done,
                isComplete ? null : after
            );
    }

    private Task<List<ChosenStore>> FindAsync(Caller? caller, FleetReplay replay, CancellationToken ct)
    {
        var (topic, from, to, _) = replay.Events;
        return stores.FindAsync(
            caller,
            replay.Stores,
            HasFailed,
            [Sql.Text(topic), Sql.Instant(from), Sql.Instant(to)],
            MostStores,
            ct
        );
    }

    private async Task<(StoreReplay Result, bool IsDone)> TryReplayAsync(
        Caller? caller,
        ChosenStore store,
        FleetReplay replay,
        int limit,
        CancellationToken ct
    )
    {
        var marked = 0;
        try
        {
            if (replay.IsDryRun)
            {
                var count = await operators.InTenantAsync(
                    caller,
                    store.TenantId,
                    db => Replays.CountFailedAsync(db, replay.Events, ct),
                    ct
                );
                return (new(store.TenantId, store.StoreDomain, count, null), true);
            }
            while (marked < limit)
            {
                var batch = Math.Min(Batch, limit - marked);
                var rows = await operators.InTenantAsync(
                    caller,
                    store.TenantId,
                    db => Replays.QueueFailedAsync(db, replay.Events, batch, ct),
                    ct
                );
                marked += rows;
                if (rows < batch)
                    return (new(store.TenantId, store.StoreDomain, marked, null), true);
            }
            return (new(store.TenantId, store.StoreDomain, marked, null), false);
        }
        catch (Exception failure) when (failure is not AccessDeniedException && !ct.IsCancellationRequested)
        {
            Log.NotReplayed(logger, failure, store.TenantId);
            return (new(store.TenantId, store.StoreDomain, marked, FleetProblem.Text), true);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1901,
            Level = LogLevel.Warning,
            Message = "The failed events of tenant {TenantId} could not be replayed; other stores go on"
        )]
        public static partial void NotReplayed(ILogger logger, Exception failure, Guid tenantId);
    }
}

internal static class FleetProblem
{
    /// <summary>Without the failure's own words, which might quote the store's data.</summary>
    public const string Text =
        "The database did not allow it; the log has the reason. Repeat the request for this store.";
}
