using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Queues;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks.Handlers;

/// <summary>
/// Wakes the import that waits for an export of Shopify's. One that is not woken finds the export by polling.
/// </summary>
internal sealed class BulkOperationsFinishHandler(
    [FromKeyedServices(SyncJobs.Queue)] WorkSignal signal,
    BulkFinished bulkFinished
) : IEventHandler
{
    public string Topic => WebhookTopics.BulkOperationsFinish;

    public Task<string> HandleAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    ) => Task.FromResult("The import that waits for it was told.");

    public Task CommittedAsync(Guid tenantId, WaitingEvent applied, CancellationToken ct)
    {
        bulkFinished.Announce(tenantId);
        signal.Wake();
        return Task.CompletedTask;
    }
}
