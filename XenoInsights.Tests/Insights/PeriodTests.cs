using XenoInsights.Formatting;
using XenoInsights.Insights;
using XenoInsights.Tenants;

namespace XenoInsights.Tests.Insights;

public sealed class PeriodTests
{
    private static readonly DateOnly _today = new(2026, 11, 23);

    [Theory]
    [InlineData(Preset.Today, "2026-11-23", "2026-11-23")]
    [InlineData(Preset.Yesterday, "2026-11-22", "2026-11-22")]
    [InlineData(Preset.Last7Days, "2026-11-17", "2026-11-23")]
    [InlineData(Preset.Last28Days, "2026-10-27", "2026-11-23")]
    [InlineData(Preset.Last30Days, "2026-10-25", "2026-11-23")]
    [InlineData(Preset.Last91Days, "2026-08-25", "2026-11-23")]
    [InlineData(Preset.MonthToDate, "2026-11-01", "2026-11-23")]
    [InlineData(Preset.LastMonth, "2026-10-01", "2026-10-31")]
    [InlineData(Preset.YearToDate, "2026-01-01", "2026-11-23")]
    [InlineData(Preset.Last12Months, "2025-11-24", "2026-11-23")]
    public void Presets_run_up_to_today(Preset preset, string from, string to) =>
        Assert.Equal(Days(from, to), Period.Of(preset, _today).Range);

    [Fact]
    public void All_time_begins_with_the_history() =>
        Assert.Equal(
            Days("2025-03-04", "2026-11-23"),
            Period.Of(Preset.AllTime, _today, Days("2025-03-04", "2026-11-20")).Range
        );

    [Fact]
    public void Last_month_is_whole_whatever_its_length()
    {
        Assert.Equal(Days("2028-02-01", "2028-02-29"), Period.Of(Preset.LastMonth, new(2028, 3, 31)).Range);
        Assert.Equal(Days("2025-12-01", "2025-12-31"), Period.Of(Preset.LastMonth, new(2026, 1, 1)).Range);
    }

    [Theory]
    [InlineData("2026-10-27", "2026-11-23", "2026-09-29", "2026-10-26")]
    [InlineData("2026-10-25", "2026-11-23", "2026-09-20", "2026-10-19")]
    [InlineData("2026-11-23", "2026-11-23", "2026-11-16", "2026-11-16")]
    [InlineData("2026-11-02", "2026-11-04", "2026-10-26", "2026-10-28")]
    public void A_period_is_held_against_the_same_weekdays_before_it(
        string from,
        string to,
        string beforeFrom,
        string beforeTo
    )
    {
        var before = new Period(Preset.Custom, Days(from, to)).ComparedWith(Comparison.PreviousPeriod)!.Value;
        Assert.Equal(Days(beforeFrom, beforeTo), before);
        Assert.Equal(Days(from, to).From.DayOfWeek, before.From.DayOfWeek);
    }

    [Fact]
    public void Months_are_held_against_months()
    {
        Assert.Equal(
            Days("2026-10-01", "2026-10-23"),
            Period.Of(Preset.MonthToDate, _today).ComparedWith(Comparison.PreviousPeriod)
        );
        Assert.Equal(
            Days("2026-09-01", "2026-09-30"),
            Period.Of(Preset.LastMonth, _today).ComparedWith(Comparison.PreviousPeriod)
        );
        Assert.Equal(
            Days("2025-10-01", "2025-10-31"),
            Period.Of(Preset.LastMonth, _today).ComparedWith(Comparison.PreviousYear)
        );
        // 31 March against a February of 28 days: all of it.
        Assert.Equal(
            Days("2026-02-01", "2026-02-28"),
            Period.Of(Preset.MonthToDate, new(2026, 3, 31)).ComparedWith(Comparison.PreviousPeriod)
        );
        Assert.Equal(
            Days("2026-02-01", "2026-02-28"),
            Period.Of(Preset.MonthToDate, new(2026, 3, 30)).ComparedWith(Comparison.PreviousPeriod)
        );
    }

    [Fact]
    public void Years_are_held_against_years() =>
        Assert.Equal(
            Days("2025-01-01", "2025-11-23"),
            Period.Of(Preset.YearToDate, _today).ComparedWith(Comparison.PreviousPeriod)
        );

    [Fact]
    public void The_year_before_is_52_weeks_away_for_days_and_weeks() =>
        Assert.Equal(
            Days("2025-10-28", "2025-11-24"),
            Period.Of(Preset.Last28Days, _today).ComparedWith(Comparison.PreviousYear)
        );

    [Theory]
    [InlineData(Preset.AllTime, "previous")]
    [InlineData(Preset.AllTime, "year")]
    [InlineData(Preset.Last28Days, "none")]
    public void Sometimes_there_is_nothing_to_compare_with(Preset preset, string comparison) =>
        Assert.Null(Period.Of(preset, _today).ComparedWith(Period.ComparisonOf(comparison)));

    [Fact]
    public void A_chosen_day_begins_as_many_days_and_is_written_in_the_address()
    {
        var comparison = Period.ComparisonOf("2025-12-24");

        Assert.Equal(Days("2025-12-24", "2025-12-30"), Period.Of(Preset.Last7Days, _today).ComparedWith(comparison));
        Assert.Equal("2025-12-24", Period.Key(comparison));
        Assert.Equal(Comparison.PreviousPeriod, Period.ComparisonOf("2025-13-24"));
    }

    [Theory]
    [InlineData(Preset.Last28Days)]
    [InlineData(Preset.MonthToDate)]
    [InlineData(Preset.Today)]
    [InlineData(Preset.LastMonth)]
    [InlineData(Preset.YearToDate)]
    public void Stepping_away_and_back_ends_where_it_began(Preset preset)
    {
        var period = Period.Of(preset, _today);
        Assert.Equal(period.Range.To, period.Earlier(_today).Later(_today)?.Range.To);
    }

    [Fact]
    public void Stepping_keeps_the_length_and_months_stay_months()
    {
        Assert.Equal(Days("2026-09-29", "2026-10-26"), Period.Of(Preset.Last28Days, _today).Earlier(_today).Range);
        Assert.Equal(
            new Period(Preset.LastMonth, Days("2026-10-01", "2026-10-31")),
            Period.Of(Preset.MonthToDate, _today).Earlier(_today)
        );
        Assert.Equal(
            new Period(Preset.MonthToDate, Days("2026-11-01", "2026-11-23")),
            Period.Of(Preset.LastMonth, _today).Later(_today)
        );
        Assert.Null(Period.Of(Preset.Last28Days, _today).Later(_today));
    }

    [Theory]
    [InlineData("7d", null, null, Preset.Last7Days)]
    [InlineData(null, "2026-11-17", "2026-11-23", Preset.Last7Days)]
    [InlineData(null, "2026-11-01", "2026-11-05", Preset.Custom)]
    [InlineData(null, null, null, Preset.Last28Days)]
    [InlineData("nonsense", null, null, Preset.Last28Days)]
    [InlineData("custom", null, null, Preset.Last28Days)]
    [InlineData(null, "2026-11-05", "2026-11-01", Preset.Last28Days)]
    [InlineData(null, "2026-13-05", "2026-11-01", Preset.Last28Days)]
    [InlineData(null, "2027-01-01", "2027-01-02", Preset.Last28Days)]
    public void An_address_that_cannot_be_read_opens_the_default(
        string? preset,
        string? from,
        string? to,
        Preset opened
    ) => Assert.Equal(opened, Period.Read(preset, from, to, _today, null).Preset);

    [Fact]
    public void Days_to_come_are_cut_off() =>
        Assert.Equal(
            Days("2026-11-10", "2026-11-23"),
            Period.Read(null, "2026-11-10", "2026-12-24", _today, null).Range
        );

    [Theory]
    [InlineData("Europe/London", "2026-11-23T00:30:00Z", "2026-11-23")]
    [InlineData("Europe/London", "2026-06-30T23:30:00Z", "2026-07-01")]
    [InlineData("America/New_York", "2026-11-23T04:30:00Z", "2026-11-22")]
    [InlineData("Asia/Tokyo", "2026-12-31T15:00:00Z", "2027-01-01")]
    [InlineData("Europe/Berlin", "2026-03-29T22:30:00Z", "2026-03-30")]
    [InlineData("Europe/Berlin", "2026-10-24T22:30:00Z", "2026-10-25")]
    public void Today_is_the_shop_s(string zone, string instant, string today) =>
        Assert.Equal(
            DateOnly.Parse(today, System.Globalization.CultureInfo.InvariantCulture),
            new StoreClock(
                new At(DateTimeOffset.Parse(instant, System.Globalization.CultureInfo.InvariantCulture)),
                zone
            ).Today
        );

    private static DateRange Days(string from, string to) =>
        new(
            DateOnly.Parse(from, System.Globalization.CultureInfo.InvariantCulture),
            DateOnly.Parse(to, System.Globalization.CultureInfo.InvariantCulture)
        );

    private sealed class At(DateTimeOffset now) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => now;
    }
}
