using System.Globalization;
using XenoInsights.Formatting;
using XenoInsights.Ingestion;

namespace XenoInsights.Insights;

public enum Preset
{
    Today,
    Yesterday,
    Last7Days,
    Last28Days,
    Last30Days,
    Last91Days,
    MonthToDate,
    LastMonth,
    YearToDate,
    Last12Months,
    AllTime,
    Custom,
}

/// <summary>What a period is held against: by default what came just before it.</summary>
public readonly record struct Comparison
{
    private Comparison(int kind, DateOnly? begin = null) => (Kind, Begin) = (kind, begin);

    public static Comparison PreviousPeriod => default;
    public static Comparison PreviousYear => new(1);
    public static Comparison None => new(2);

    public static IReadOnlyList<Comparison> Named { get; } = [PreviousPeriod, PreviousYear, None];

    /// <summary>As many days as the period has, from this day on.</summary>
    public static Comparison BeginningOn(DateOnly day) => new(3, day);

    private int Kind { get; }

    /// <summary>The chosen first day; null for the named comparisons.</summary>
    public DateOnly? Begin { get; }
}

/// <summary>
/// The shop days that a page looks at, and the name by which they were chosen. All presets run up to and including the
/// shop's today.
/// </summary>
public sealed record Period(Preset Preset, DateRange Range)
{
    public const Preset Default = Preset.Last28Days;
    private const int DaysOf52Weeks = 364;

    /// <summary>Longer ranges have no hours.</summary>
    public const int MostDaysByHour = 7;

    /// <param name="history">First and last shop day with data; bounds <see cref="Preset.AllTime"/>.</param>
    public static Period Of(Preset preset, DateOnly today, DateRange? history = null) =>
        new(
            preset,
            preset switch
            {
                Preset.Today => new(today, today),
                Preset.Yesterday => new(today.AddDays(-1), today.AddDays(-1)),
                Preset.Last7Days => new(today.AddDays(-6), today),
                Preset.Last28Days => new(today.AddDays(-27), today),
                Preset.Last30Days => new(today.AddDays(-29), today),
                Preset.Last91Days => new(today.AddDays(-90), today),
                Preset.MonthToDate => new(FirstOfMonth(today), today),
                Preset.LastMonth => Month(FirstOfMonth(today).AddMonths(-1)),
                Preset.YearToDate => new(new(today.Year, 1, 1), today),
                Preset.Last12Months => new(today.AddYears(-1).AddDays(1), today),
                Preset.AllTime => new(history is { } all && all.From < today ? all.From : today, today),
                _ => throw new ArgumentOutOfRangeException(
                    nameof(preset),
                    preset,
                    "A custom period has no range of its own."
                ),
            }
        );

    /// <summary>
    /// What an address asks for. Anything unreadable falls back to the default, so that an old link still opens.
    /// </summary>
    public static Period Read(string? preset, string? from, string? to, DateOnly today, DateRange? history)
    {
        if (PresetOf(preset) is { } named)
            return Of(named, today, history);
        return Day(from) is { } first && Day(to) is { } last && first <= last && first <= today
            ? Named(new(first, Earliest(last, today)), today)
            : Of(Default, today, history);
    }

    /// <summary>Under its preset's name if it has one, so that stepping away and back ends where it began.</summary>
    public static Period Named(DateRange range, DateOnly today) =>
        Enum.GetValues<Preset>()
            .Where(p => p is not (Preset.AllTime or Preset.Custom))
            .Select(p => Of(p, today))
            .OrderBy(p => p.Preset != Default)
            .FirstOrDefault(p => p.Range == range)
        ?? new(Preset.Custom, range);

    /// <summary>
    /// The range just before this one, of the same shape: the month before a month, else as many days.
    /// </summary>
    public Period Earlier(DateOnly today) => Named(IsMonth ? Month(Range.From.AddMonths(-1)) : Range.Previous, today);

    /// <summary>The range just after this one, cut off at today; null when this one reaches it.</summary>
    public Period? Later(DateOnly today)
    {
        if (Range.To >= today)
            return null;
        if (IsMonth)
        {
            var next = Month(Range.From.AddMonths(1));
            return Named(next with { To = Earliest(next.To, today) }, today);
        }
        var last = Earliest(Range.To.AddDays(Range.Days), today);
        return Named(new(last.AddDays(1 - Range.Days), last), today);
    }

    /// <summary>
    /// What this period is held against. Months against months and years against years; everything else against the
    /// same number of days a whole number of weeks earlier, so that Mondays meet Mondays.
    /// </summary>
    public DateRange? ComparedWith(Comparison comparison)
    {
        if (comparison == Comparison.None || Preset == Preset.AllTime)
            return null;
        if (comparison.Begin is { } begin)
            return new(begin, begin.AddDays(Range.Days - 1));
        if (comparison == Comparison.PreviousYear)
            return IsMonth || IsYear ? ShiftedByMonths(-12) : ShiftedByDays(-DaysOf52Weeks);
        if (IsMonth)
            return ShiftedByMonths(-1);
        return IsYear ? ShiftedByMonths(-12) : ShiftedByDays(-((Range.Days + 6) / 7 * 7));
    }

    /// <summary>
    /// A day by its hours, half a year by weeks, more than two by months: about as many points as can be told apart.
    /// </summary>
    public Granularity DefaultGranularity =>
        Range.Days switch
        {
            1 => Granularity.Hour,
            <= 100 => Granularity.Day,
            <= 740 => Granularity.Week,
            _ => Granularity.Month,
        };

    /// <summary>Those in which this range can be drawn.</summary>
    public IReadOnlyList<Granularity> Granularities =>
        Range.Days <= MostDaysByHour
            ? Enum.GetValues<Granularity>()
            : [Granularity.Day, Granularity.Week, Granularity.Month];

    private bool IsMonth =>
        Preset is Preset.MonthToDate or Preset.LastMonth || Range == Month(FirstOfMonth(Range.From));

    private bool IsYear =>
        Preset is Preset.YearToDate || Range == new DateRange(new(Range.From.Year, 1, 1), new(Range.From.Year, 12, 31));

    private DateRange ShiftedByDays(int days) => new(Range.From.AddDays(days), Range.To.AddDays(days));

    private DateRange ShiftedByMonths(int months)
    {
        var to = Range.To.AddMonths(months);
        var endsMonth = Range.To.AddDays(1).Day == 1;
        return new(Range.From.AddMonths(months), endsMonth ? Month(FirstOfMonth(to)).To : to);
    }

    public static string Key(Preset preset) =>
        preset switch
        {
            Preset.Today => "today",
            Preset.Yesterday => "yesterday",
            Preset.Last7Days => "7d",
            Preset.Last28Days => "28d",
            Preset.Last30Days => "30d",
            Preset.Last91Days => "91d",
            Preset.MonthToDate => "mtd",
            Preset.LastMonth => "last-month",
            Preset.YearToDate => "ytd",
            Preset.Last12Months => "12m",
            Preset.AllTime => "all",
            Preset.Custom => "custom",
            _ => throw new ArgumentOutOfRangeException(nameof(preset), preset, "Not a preset."),
        };

    public static string Label(Preset preset) =>
        preset switch
        {
            Preset.Today => "Today",
            Preset.Yesterday => "Yesterday",
            Preset.Last7Days => "Last 7 days",
            Preset.Last28Days => "Last 28 days",
            Preset.Last30Days => "Last 30 days",
            Preset.Last91Days => "Last 91 days",
            Preset.MonthToDate => "Month to date",
            Preset.LastMonth => "Last month",
            Preset.YearToDate => "Year to date",
            Preset.Last12Months => "Last 12 months",
            Preset.AllTime => "All time",
            Preset.Custom => "Custom range",
            _ => throw new ArgumentOutOfRangeException(nameof(preset), preset, "Not a preset."),
        };

    /// <summary>“Previous 28 days”, “Previous month”.</summary>
    public string Label(Comparison comparison)
    {
        if (comparison == Comparison.None)
            return "No comparison";
        if (Preset == Preset.AllTime)
            return "Nothing before it";
        if (comparison == Comparison.PreviousYear)
            return "Previous year";
        if (comparison.Begin is { } begin)
            return $"From {new Days(CultureInfo.CurrentCulture).Full(begin)}";
        if (IsMonth)
            return "Previous month";
        if (IsYear)
            return "Previous year to date";
        return Range.Days == 1 ? "Same day last week" : $"Previous {Range.Days} days";
    }

    public static string Key(Comparison comparison)
    {
        if (comparison == Comparison.PreviousYear)
            return "year";
        if (comparison == Comparison.None)
            return "none";
        return comparison.Begin is { } begin ? begin.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture) : "previous";
    }

    public static Comparison ComparisonOf(string? key) =>
        key switch
        {
            "year" => Comparison.PreviousYear,
            "none" => Comparison.None,
            _ => Day(key) is { } begin ? Comparison.BeginningOn(begin) : Comparison.PreviousPeriod,
        };

    private static Preset? PresetOf(string? key) =>
        Enum.GetValues<Preset>()
            .Where(p => p != Preset.Custom && Key(p) == key)
            .Select(p => (Preset?)p)
            .FirstOrDefault();

    private static DateOnly? Day(string? text) =>
        DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var day)
        && day >= StoreHistory.FirstDay
        && day.Year < 9000
            ? day
            : null;

    private static DateOnly Earliest(DateOnly a, DateOnly b) => a < b ? a : b;

    private static DateOnly FirstOfMonth(DateOnly day) => new(day.Year, day.Month, 1);

    private static DateRange Month(DateOnly first) => new(first, first.AddMonths(1).AddDays(-1));
}
