using XenoInsights.Formatting;

namespace XenoInsights.Ui;

/// <summary>One place on the horizontal axis: the figure there, and the one it is compared with.</summary>
/// <param name="Name">As the tooltip and listeners name it: Mon 26 Oct.</param>
/// <param name="AxisName">As the axis names it: Mon 26 Oct; and where room is scarce.</param>
/// <param name="Value">Null leaves a gap: nothing is known there.</param>
/// <param name="Text">The value as it is written in full.</param>
public sealed record ChartPoint(
    string Name,
    string AxisName,
    string ShortAxisName,
    decimal? Value,
    string Text,
    ChartComparison? Before = null
);

/// <param name="Change">Such as +143%; its tone says whether that is good.</param>
public sealed record ChartComparison(string Name, decimal? Value, string Text, string Change, string Tone);

/// <param name="Name">The figure: Total sales.</param>
/// <param name="LineTexts">What stands at each line of the axis, from the bottom up.</param>
/// <param name="Rhythm">Where not every point can be named, those a multiple of this apart are: 7 for days.</param>
/// <param name="LastIsRunning">The last point still moves; it is drawn dotted.</param>
/// <param name="Unknown">So many points at the beginning are unknown, not zero; they are hatched and
/// <paramref name="UnknownText"/> says why.</param>
public sealed record ChartData(
    string Name,
    IReadOnlyList<ChartPoint> Points,
    Axis Axis,
    IReadOnlyList<string> LineTexts,
    int Rhythm,
    bool LastIsRunning,
    int Unknown = 0,
    string? UnknownText = null
);
