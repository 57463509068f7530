namespace XenoInsights.Tests.Drills;

/// <summary>Requests at a steady rate, however long each takes.</summary>
internal static class Load
{
    /// <summary>Sends until it is stopped, and ends when everything that was sent has ended.</summary>
    /// <param name="sendAsync">Sends the request of a number, which counts from 0.</param>
    public static async Task SendAsync(int perSecond, Func<int, Task> sendAsync, CancellationToken stop)
    {
        var sent = new List<Task>();
        var began = TimeProvider.System.GetTimestamp();
        for (var i = 0; !stop.IsCancellationRequested; i++)
        {
            var early = TimeSpan.FromSeconds(i / (double)perSecond) - TimeProvider.System.GetElapsedTime(began);
            if (early > TimeSpan.Zero)
                await Task.Delay(early, CancellationToken.None);
            sent.Add(sendAsync(i));
        }
        await Task.WhenAll(sent);
    }
}
