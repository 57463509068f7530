using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Hosting;

namespace XenoInsights.Webhooks;

/// <summary>
/// Applies the stores' waiting deliveries, a batch a turn: a store that is flooded gets as many turns as any other. Any
/// number of processes may; a store's lane belongs to one at a time.
/// </summary>
internal sealed class WebhookWorker(
    SystemDatabase system, EventProcessor processor, WebhookSignal signal, IOptions<WebhookOptions> options,
    IHostApplicationLifetime lifetime, TimeProvider time, ILogger<WebhookWorker> logger) : BackgroundService
{
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(250);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.WaitForStartAsync(stoppingToken);
        using var dispatcher = new TenantDispatcher(options.Value.Parallel, signal, time, logger)
        {
            Poll = _poll,
            FindDueAsync = ct => system.TenantsWithDueAsync("events", "status = 1", ct),
            WorkAsync = ApplyAsync,
        };
        await dispatcher.RunAsync(stoppingToken);
    }

    private async Task<TimeSpan> ApplyAsync(TenantTurn turn, CancellationToken ct) => await processor.ApplyBatchAsync(turn, ct) switch
    {
        // Another process has the lane.
        0 => _poll,
        >= EventProcessor.LargestBatch => TimeSpan.Zero,
        // What comes in quick succession shares a store's transaction, instead of paying for one each.
        _ => TenantDispatcher.Gap,
    };
}

internal static class DueWork
{
    /// <summary>
    /// The stores with rows that are due, by hopping from store to store through the index (tenant_id, due_at): the same cost whether a
    /// store has one row or a million.
    /// </summary>
    public static Task<List<Guid>> TenantsWithDueAsync(this SystemDatabase system, string table, string condition, CancellationToken ct) => system.RunAsync(async db =>
    {
        await using var command = db.Command(
            $"""
            with recursive hop as (
                (select tenant_id, due_at from {table} where {condition} order by tenant_id, due_at limit 1)
                union all
                select next.* from hop, lateral (select tenant_id, due_at from {table} where {condition} and tenant_id > hop.tenant_id order by tenant_id, due_at limit 1) next
            )
            select tenant_id from hop where due_at <= now() order by due_at
            """);
        var due = new List<Guid>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) due.Add(reader.GetGuid(0));
        return due;
    }, ct);
}
