using CsCheck;
using XenoInsights.Ui;

namespace XenoInsights.Tests.Ui;

public sealed class AxisTests
{
    [Theory]
    [InlineData(0, 113000, 0, 120000, 40000)]
    [InlineData(0, 0, 0, 4, 1)]
    [InlineData(0, 3, 0, 3, 1)]
    [InlineData(-10, 90, -25, 100, 25)]
    public void Lines_fall_on_round_numbers(int low, int high, int min, int max, int step) =>
        Assert.Equal(new Axis(min, max, step), Axis.Covering([low, high], 1));

    [Fact]
    public void A_rate_up_to_one_gets_quarters() =>
        Assert.Equal(new Axis(0, 1, 0.25m), Axis.Covering([0.92m, 1m], 0.001m));

    [Fact]
    public void Every_value_and_zero_lie_within_and_there_are_at_most_five_intervals() =>
        Gen.Long[-1_000_000_000_000, 1_000_000_000_000]
            .Array[1, 20]
            .Sample(values =>
            {
                var axis = Axis.Covering(values.Select(v => (decimal)v), 1);
                return axis.Min <= Math.Min(0, values.Min())
                    && axis.Max >= Math.Max(0, values.Max())
                    && axis.Intervals is >= 1 and <= 5
                    && axis.Lines.Contains(0);
            });
}
