using System.Globalization;

namespace XenoInsights.Formatting;

/// <summary>
/// Writes shop days: Fri 20 Nov, 23 Oct – 19 Nov 2026. The order of day and month is the culture's.
/// </summary>
public sealed class Days(CultureInfo culture)
{
    private readonly string _dayMonth = culture.DateTimeFormat.MonthDayPattern.Replace(
        "MMMM",
        "MMM",
        StringComparison.Ordinal
    );

    /// <summary>23 Oct</summary>
    public string DayMonth(DateOnly day) => day.ToString(_dayMonth, culture);

    /// <summary>23 Oct 2026</summary>
    public string Full(DateOnly day) => DayMonth(day) + Year(day);

    /// <summary>Fri 23 Oct</summary>
    public string WithWeekday(DateOnly day) => Weekday(day) + DayMonth(day);

    /// <summary>Fri 23 Oct 2026</summary>
    public string FullWithWeekday(DateOnly day) => Weekday(day) + Full(day);

    /// <summary>October 2026</summary>
    public string Month(DateOnly day) => day.ToString("MMMM yyyy", culture);

    /// <summary>23 Oct – 19 Nov 2026: the year once where it is the same.</summary>
    public string Span(DateOnly from, DateOnly to) =>
        from == to ? Full(from) : $"{(from.Year == to.Year ? DayMonth(from) : Full(from))} – {Full(to)}";

    /// <summary>Without a year, for places beside a range that names it.</summary>
    public string ShortSpan(DateOnly from, DateOnly to)
    {
        if (from == to)
            return DayMonth(from);
        return from.Year == to.Year ? $"{DayMonth(from)} – {DayMonth(to)}" : $"{Full(from)} – {Full(to)}";
    }

    private string Weekday(DateOnly day) => day.ToString(_dayMonth.StartsWith('M') ? "ddd, " : "ddd ", culture);

    private string Year(DateOnly day) => day.ToString(_dayMonth.StartsWith('M') ? ", yyyy" : " yyyy", culture);
}
