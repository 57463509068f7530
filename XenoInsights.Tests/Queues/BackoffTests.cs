using XenoInsights.Queues;

namespace XenoInsights.Tests.Queues;

/// <summary>The pauses between attempts.</summary>
public sealed class BackoffTests
{
    [Theory]
    [InlineData(1, 4)]
    [InlineData(2, 8)]
    [InlineData(4, 32)]
    [InlineData(5, 60)]
    [InlineData(10_000, 60)]
    public void A_pause_doubles_up_to_the_longest_a_quarter_more_or_less(int attempts, double seconds)
    {
        var backoff = new Backoff(TimeSpan.FromSeconds(4), TimeSpan.FromMinutes(1));

        var pauses = Enumerable.Range(0, 200).Select(_ => backoff.After(attempts).TotalSeconds).ToList();

        Assert.All(pauses, pause => Assert.InRange(pause, seconds * 0.75, seconds * 1.25));
        Assert.True(pauses.Distinct().Count() > 1, "Nothing is left to chance.");
    }
}
