using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Threading.Channels;

namespace XenoInsights.Queues;

/// <summary>Wakes this process's worker when something was stored here; other processes find it by polling.</summary>
internal sealed class WorkSignal
{
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite }
    );

    public void Wake() => _wake.Writer.TryWrite(true);

    /// <summary>False when nobody woke it: time to look for what other processes stored.</summary>
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
