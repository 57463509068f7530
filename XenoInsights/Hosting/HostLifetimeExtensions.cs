namespace XenoInsights.Hosting;

/// <summary>When work in the background may begin.</summary>
internal static class HostLifetimeExtensions
{
    /// <summary>
    /// Waits until the process listens. Work that waits in the database would otherwise take the processors that
    /// starting needs, the more of it the longer the process was away.
    /// </summary>
    public static async Task WaitForStartAsync(this IHostApplicationLifetime lifetime, CancellationToken ct)
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = lifetime.ApplicationStarted.Register(started.SetResult);
        await started.Task.WaitAsync(ct);
    }
}
