using System.Globalization;

namespace XenoInsights.Formatting;

/// <summary>Counts, rates and durations in words.</summary>
public static class Numbers
{
    /// <summary>U+2212: as wide as a plus, and never a hyphen.</summary>
    public const string Minus = "\u2212";

    public const string Nothing = "—";

    public static string Count(long count, CultureInfo culture) =>
        count < 0 ? Minus + (-count).ToString("N0", culture) : count.ToString("N0", culture);

    /// <param name="rate">0.848 is 84.8%.</param>
    public static string Rate(decimal rate, CultureInfo culture) => (rate * 100).ToString("N1", culture) + "%";

    /// <summary>40k, 1.2m: for axes only.</summary>
    public static string Compact(decimal value, CultureInfo culture)
    {
        var capitals = culture.Name == "en-US";
        return value switch
        {
            >= 1_000_000_000 => (value / 1_000_000_000).ToString("#,0.##", culture) + (capitals ? "B" : "bn"),
            >= 1_000_000 => (value / 1_000_000).ToString("#,0.##", culture) + (capitals ? "M" : "m"),
            >= 1_000 => (value / 1_000).ToString("#,0.##", culture) + (capitals ? "K" : "k"),
            _ => value.ToString("#,0.##", culture),
        };
    }

    /// <summary>0.4 s, 41 s, 1 min 12 s, 1 h 24 min.</summary>
    public static string Duration(TimeSpan time, CultureInfo culture) =>
        time switch
        {
            { TotalSeconds: < 10 } => time.TotalSeconds.ToString("0.0", culture) + " s",
            { TotalSeconds: < 60 } => $"{(int)time.TotalSeconds} s",
            { TotalMinutes: < 60 } => $"{(int)time.TotalMinutes} min {time.Seconds:00} s",
            _ => $"{(int)time.TotalHours} h {time.Minutes:00} min",
        };
}
