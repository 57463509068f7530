using System.Globalization;

namespace XenoInsights.Formatting;

/// <summary>Which way is good news for a figure.</summary>
public enum Better
{
    Higher,
    Lower,
    Neither,
}

public enum Tone
{
    Quiet,
    Good,
    Bad,
}

/// <summary>How a figure moved against its comparison. Colour says good or bad, the sign says up or down.</summary>
public readonly record struct Change
{
    private readonly decimal? _amount;
    private readonly bool _isPoints;
    private readonly Better _better;

    private Change(decimal? amount, bool isPoints, Better better) =>
        (_amount, _isPoints, _better) = (amount, isPoints, better);

    /// <summary>Relative change; from nothing (or without a comparison) there is none.</summary>
    public static Change Of(long now, long? before, Better better) =>
        new(before is null or 0 ? null : Rounded((now - before.Value) * 100m / Math.Abs(before.Value)), false, better);

    /// <summary>Change of a rate, in points: 0.768 → 0.848 is +8.0 pts.</summary>
    public static Change OfRate(decimal? now, decimal? before, Better better) =>
        new(now is null || before is null ? null : Rounded((now.Value - before.Value) * 100), true, better);

    public bool IsNone => _amount is null;

    public Tone Tone =>
        (_amount, _better) switch
        {
            (null or 0, _) or (_, Better.Neither) => Tone.Quiet,
            (> 0, Better.Higher) or (< 0, Better.Lower) => Tone.Good,
            _ => Tone.Bad,
        };

    public string Arrow =>
        _amount switch
        {
            > 0 => "▲",
            < 0 => "▼",
            _ => "",
        };

    /// <summary>+25.7%, −8.0 pts, 0.0%, or — from nothing.</summary>
    public string Text(CultureInfo culture)
    {
        if (_amount is not { } amount)
            return Numbers.Nothing;
        var sign = amount switch
        {
            > 0 => "+",
            < 0 => Numbers.Minus,
            _ => "",
        };
        return sign + Math.Abs(amount).ToString("N1", culture) + (_isPoints ? " pts" : "%");
    }

    /// <summary>For listeners: “up 25.7 percent, better”.</summary>
    public string Spoken(CultureInfo culture)
    {
        if (_amount is not { } amount)
            return "nothing to compare with";
        if (amount == 0)
            return "unchanged";
        var size = Math.Abs(amount).ToString("N1", culture) + (_isPoints ? " points" : " percent");
        var judgement = Tone switch
        {
            Tone.Good => ", better",
            Tone.Bad => ", worse",
            _ => "",
        };
        return (amount > 0 ? "up " : "down ") + size + judgement;
    }

    /// <summary>The same movement without a judgement: for a day that is still running.</summary>
    public Change Unjudged() => new(_amount, _isPoints, Better.Neither);

    private static decimal Rounded(decimal amount) => decimal.Round(amount, 1, MidpointRounding.AwayFromZero);
}
