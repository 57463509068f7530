using Npgsql;
using XenoInsights.Data;

namespace XenoInsights.Webhooks;

/// <summary>
/// Goes round the stores with waiting deliveries, a batch each: a store that is flooded gets as many turns as any other. Any number of
/// processes may go round; a store's lane belongs to one at a time.
/// </summary>
internal sealed class WebhookWorker(SystemDatabase system, EventProcessor processor, WebhookSignal signal, WebhookMetrics metrics, TimeProvider time, ILogger<WebhookWorker> logger) : BackgroundService
{
    private const int Lanes = 2;
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(250), _round = TimeSpan.FromMilliseconds(100), _pauseAfterFailure = TimeSpan.FromSeconds(1), _measureEvery = TimeSpan.FromSeconds(5);

    private long _measuredAt;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (!stoppingToken.IsCancellationRequested)
            {
                try
                {
                    await MeasureAsync(stoppingToken);
                    var due = await system.TenantsWithDueAsync("events", "status = 1", stoppingToken);
                    if (due.Count == 0)
                    {
                        await signal.WaitAsync(_poll, stoppingToken);
                        continue;
                    }
                    var (applied, began) = (0, time.GetTimestamp());
                    await Parallel.ForEachAsync(due, new ParallelOptions { MaxDegreeOfParallelism = Lanes, CancellationToken = stoppingToken },
                        async (tenant, ct) => Interlocked.Add(ref applied, await ApplyAsync(tenant, ct)));
                    // Another process has all these lanes, or they failed: no reason to ask at once again.
                    if (applied == 0) await signal.WaitAsync(_poll, stoppingToken);
                    // What comes in quick succession shares a store's transaction, instead of paying for one each.
                    else if (applied < EventProcessor.LargestBatch && _round - time.GetElapsedTime(began) is { Ticks: > 0 } rest) await Task.Delay(rest, time, stoppingToken);
                }
                catch (Exception failure) when (!stoppingToken.IsCancellationRequested)
                {
                    logger.LogWarning(failure, "Waiting deliveries cannot be looked for");
                    await Task.Delay(_pauseAfterFailure, time, stoppingToken);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Stopping.
        }
    }

    private async Task<int> ApplyAsync(Guid tenant, CancellationToken ct)
    {
        try
        {
            return await processor.ApplyBatchAsync(tenant, ct);
        }
        catch (Exception failure) when (!ct.IsCancellationRequested)
        {
            // The deliveries wait as before; one store's trouble is not the next one's.
            logger.LogWarning(failure, "Deliveries of {Tenant} could not be applied for now", tenant);
            return 0;
        }
    }

    private async Task MeasureAsync(CancellationToken ct)
    {
        if (_measuredAt != 0 && time.GetElapsedTime(_measuredAt) < _measureEvery) return;
        _measuredAt = time.GetTimestamp();
        await system.RunAsync(async db =>
        {
            await using var command = db.Command("select count(*), coalesce(extract(epoch from now() - min(received_at)), 0)::float8 from events where status = 1");
            await using var reader = await command.ExecuteReaderAsync(ct);
            await reader.ReadAsync(ct);
            metrics.Queue(reader.GetInt64(0), TimeSpan.FromSeconds(reader.GetDouble(1)));
        }, ct);
    }
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
