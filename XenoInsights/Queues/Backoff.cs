namespace XenoInsights.Queues;

/// <summary>
/// Pauses between attempts: each twice as long as the one before, up to a longest. A quarter more or less of it is left
/// to chance, so that what failed together is not tried again together.
/// </summary>
internal readonly record struct Backoff(TimeSpan First, TimeSpan Longest)
{
    /// <param name="attempts">Those that failed, the last one included.</param>
    public TimeSpan After(int attempts)
    {
        var doubled = First.TotalSeconds * Math.Pow(2, attempts - 1);
        return TimeSpan.FromSeconds(Math.Min(Longest.TotalSeconds, doubled) * (0.75 + Random.Shared.NextDouble() / 2));
    }
}
