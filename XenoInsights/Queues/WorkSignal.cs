using System.Threading.Channels;

namespace XenoInsights.Queues;

/// <summary>
/// Wakes this process's worker of a queue when something was queued here; what other processes queue it finds by
/// polling. One for each queue, registered under the queue's name.
/// </summary>
public sealed class WorkSignal
{
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite }
    );

    public void Wake() => _wake.Writer.TryWrite(true);

    /// <summary>False when nobody woke it: time to look for what other processes queued.</summary>
    public async Task<bool> WaitAsync(TimeSpan atMost, CancellationToken ct)
    {
        using var waited = CancellationTokenSource.CreateLinkedTokenSource(ct);
        waited.CancelAfter(atMost);
        try
        {
            return await _wake.Reader.ReadAsync(waited.Token);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return false;
        }
    }
}
