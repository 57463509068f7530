using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Queues;

namespace XenoInsights.Webhooks;

/// <summary>
/// Applies the stores' waiting events, a batch a turn: a store that is flooded gets as many turns as any other. Any
/// number of processes may; a store's events are applied by one at a time.
/// </summary>
internal sealed class WebhookWorker(
    SystemDatabase system,
    EventProcessor processor,
    [FromKeyedServices(EventQueue.Name)] WorkSignal signal,
    IOptions<DispatchOptions> options,
    IHostApplicationLifetime lifetime,
    TimeProvider time,
    ILogger<WebhookWorker> logger
) : BackgroundService
{
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(250);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.WaitForStartAsync(stoppingToken);
        using var dispatcher = new TenantDispatcher(options.Value.Parallel, signal, time, logger)
        {
            Poll = _poll,
            FindDueAsync = ct => system.TenantsWithDueAsync(EventQueue.Name, "status = 1", ct),
            WorkAsync = ApplyAsync,
        };
        await dispatcher.RunAsync(stoppingToken);
    }

    private async Task<TimeSpan> ApplyAsync(TenantTurn turn, CancellationToken ct) =>
        await processor.ApplyBatchAsync(turn, ct) switch
        {
            // Another process applies the store's events.
            0 => _poll,
            >= EventQueue.LargestBatch => TimeSpan.Zero,
            // What comes in quick succession shares a store's transaction, instead of paying for one each.
            _ => TenantDispatcher.Gap,
        };
}
