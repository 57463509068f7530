using System.Collections.Concurrent;

namespace XenoInsights.Sync;

/// <summary>
/// Ends an import's wait for Shopify's export as soon as Shopify announces it, in the process that hears of it;
/// elsewhere the poll finds it.
/// </summary>
public sealed class BulkFinished(TimeProvider time)
{
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource> _waiting = new();

    public void Announce(Guid tenantId)
    {
        if (_waiting.TryRemove(tenantId, out var waiting))
            waiting.TrySetResult();
    }

    public async Task WaitAsync(Guid tenantId, TimeSpan atMost, CancellationToken ct)
    {
        var announced = _waiting.GetOrAdd(tenantId, _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
        await Task.WhenAny(announced.Task, Task.Delay(atMost, time, ct));
        ct.ThrowIfCancellationRequested();
    }
}
