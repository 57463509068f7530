using System.Globalization;
using XenoInsights.Formatting;

namespace XenoInsights.Tests.Ui;

public sealed class ChangeTests
{
    private static readonly CultureInfo _british = CultureInfo.GetCultureInfo("en-GB");

    [Theory]
    [InlineData(1257, 1000, Better.Higher, "+25.7%", "▲", Tone.Good, "up 25.7 percent, better")]
    [InlineData(749, 1000, Better.Lower, "−25.1%", "▼", Tone.Good, "down 25.1 percent, better")]
    [InlineData(937, 1000, Better.Higher, "−6.3%", "▼", Tone.Bad, "down 6.3 percent, worse")]
    [InlineData(1140, 1000, Better.Neither, "+14.0%", "▲", Tone.Quiet, "up 14.0 percent")]
    [InlineData(1000, 1000, Better.Higher, "0.0%", "", Tone.Quiet, "unchanged")]
    [InlineData(10000, 10001, Better.Higher, "0.0%", "", Tone.Quiet, "unchanged")]
    [InlineData(-50, -100, Better.Higher, "+50.0%", "▲", Tone.Good, "up 50.0 percent, better")]
    public void A_change_carries_its_sign_and_its_colour_says_good_or_bad(
        long now,
        long before,
        Better better,
        string text,
        string arrow,
        Tone tone,
        string spoken
    )
    {
        var change = Change.Of(now, before, better);
        Assert.Equal(
            (text, arrow, tone, spoken),
            (change.Text(_british), change.Arrow, change.Tone, change.Spoken(_british))
        );
    }

    [Theory]
    [InlineData(5L, 0L)]
    [InlineData(0L, 0L)]
    [InlineData(5L, null)]
    public void From_nothing_there_is_no_change(long now, long? before)
    {
        var change = Change.Of(now, before, Better.Higher);
        Assert.Equal(("—", Tone.Quiet, true), (change.Text(_british), change.Tone, change.IsNone));
    }

    [Fact]
    public void Rates_change_in_points()
    {
        Assert.Equal("+8.0 pts", Change.OfRate(0.848m, 0.768m, Better.Higher).Text(_british));
        Assert.Equal("—", Change.OfRate(0.848m, null, Better.Higher).Text(_british));
    }

    [Fact]
    public void A_running_day_is_not_judged() =>
        Assert.Equal(Tone.Quiet, Change.Of(10, 100, Better.Higher).Unjudged().Tone);
}
