namespace XenoInsights.Ui;

/// <summary>A value axis whose lines fall on round numbers and that covers zero and every value.</summary>
/// <param name="Step">Distance of two lines, in the unit of the values.</param>
public readonly record struct Axis(decimal Min, decimal Max, decimal Step)
{
    private static readonly decimal[] _roundSteps = [1, 2, 2.5m, 4, 5, 10];

    public int Intervals => (int)((Max - Min) / Step);

    public IEnumerable<decimal> Lines
    {
        get
        {
            for (var line = Min; line <= Max; line += Step)
                yield return line;
        }
    }

    /// <param name="smallestStep">1 for counts and minor units: no line falls between two possible values.</param>
    public static Axis Covering(IEnumerable<decimal> values, decimal smallestStep)
    {
        var (low, high) = (0m, 0m);
        foreach (var value in values)
            (low, high) = (Math.Min(low, value), Math.Max(high, value));
        if (low == high)
            high = smallestStep * 4;

        // Of all round steps that give three to five intervals, the one that leaves the least air above and below.
        return Steps((high - low) / 5, smallestStep)
            .Select(step => new Axis(Math.Floor(low / step) * step, Math.Ceiling(high / step) * step, step))
            .Where(axis => axis.Intervals <= 5)
            .OrderBy(axis => axis.Intervals < 3)
            .ThenBy(axis => axis.Max - axis.Min)
            .ThenBy(axis => Math.Abs(axis.Intervals - 4))
            .First();
    }

    private static IEnumerable<decimal> Steps(decimal from, decimal smallest)
    {
        var power = 1m;
        while (power * 10 <= from)
            power *= 10;
        while (power > from)
            power /= 10;
        return _roundSteps
            .Concat(_roundSteps.Select(step => step * 10))
            .Select(step => Math.Max(step * power, smallest));
    }
}
