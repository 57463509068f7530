using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Queues;
using XenoInsights.Sync;
using XenoInsights.Sync.Reconciliation;
using XenoInsights.Tenants;

namespace XenoInsights.Operations.Fleet;

internal sealed record FleetSync(StoreChoice Stores, SyncJobType Type, int Limit);

public enum StartOutcome
{
    Queued,

    /// <summary>The store has an unfinished job of this type; no other was added.</summary>
    Unfinished,

    /// <summary>The store is not connected to Shopify, or has to be connected again first.</summary>
    NotConnected,

    /// <summary>See the problem.</summary>
    Failed,
}

/// <param name="JobId">The job that was queued.</param>
public sealed record StoreSync(Guid TenantId, string StoreDomain, StartOutcome Outcome, Guid? JobId, string? Problem);

/// <summary>What one request did. While it is not complete, the same request with <c>after</c> goes on.</summary>
public sealed record FleetSyncAnswer(bool Complete, int Queued, IReadOnlyList<StoreSync> Stores, Guid? After);

/// <summary>Starts sync jobs of many stores. They queue behind what people ask for in their own stores.</summary>
internal sealed partial class FleetSyncs(
    ChosenStores stores,
    Operators operators,
    [FromKeyedServices(SyncJobs.Queue)] WorkSignal signal,
    TimeProvider time,
    ILogger<FleetSyncs> logger
)
{
    private static readonly TimeSpan _longest = TimeSpan.FromSeconds(10);

    /// <exception cref="AccessDeniedException">The caller is no operator, or not any more.</exception>
    public async Task<FleetSyncAnswer> RunAsync(Caller? caller, FleetSync sync, CancellationToken ct)
    {
        var began = time.GetTimestamp();
        var found = await stores.FindAsync(caller, sync.Stores, "true", [], sync.Limit, ct);
        var done = new List<StoreSync>();
        foreach (var store in found)
        {
            if (time.GetElapsedTime(began) > _longest)
                break;
            done.Add(await TryStartAsync(caller, store, sync.Type, ct));
        }
        var queued = done.Count(s => s.Outcome == StartOutcome.Queued);
        if (queued > 0)
            signal.Wake();
        var isComplete = done.Count == found.Count && found.Count < sync.Limit;
        var after = isComplete || done.Count == 0 ? sync.Stores.After : done[^1].TenantId;
        return new(isComplete, queued, done, isComplete ? null : after);
    }

    private async Task<StoreSync> TryStartAsync(
        Caller? caller,
        ChosenStore store,
        SyncJobType type,
        CancellationToken ct
    )
    {
        if (store.Status is TenantStatus.Disconnected or TenantStatus.ReconnectRequired)
            return new(store.TenantId, store.StoreDomain, StartOutcome.NotConnected, null, null);
        try
        {
            var id = await operators.InTenantAsync(
                caller,
                store.TenantId,
                db => SyncJobs.EnqueueAsync(db, store.TenantId, type, Days(store, type), ct, SyncJob.ScheduledPriority),
                ct
            );
            var outcome = id is null ? StartOutcome.Unfinished : StartOutcome.Queued;
            return new(store.TenantId, store.StoreDomain, outcome, id, null);
        }
        catch (Exception failure) when (failure is not AccessDeniedException && !ct.IsCancellationRequested)
        {
            Log.NotStarted(logger, failure, store.TenantId);
            return new(store.TenantId, store.StoreDomain, StartOutcome.Failed, null, FleetProblem.Text);
        }
    }

    private ImportCursor? Days(ChosenStore store, SyncJobType type) =>
        type == SyncJobType.Reconcile ? Reconcile.Days(store.TimeZone, time.GetUtcNow(), null, null) : null;

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1900,
            Level = LogLevel.Warning,
            Message = "A sync job of tenant {TenantId} could not be started; other stores go on"
        )]
        public static partial void NotStarted(ILogger logger, Exception failure, Guid tenantId);
    }
}
