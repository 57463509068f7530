using System.Globalization;
using XenoInsights.Formatting;

namespace XenoInsights.Tests.Ui;

public sealed class FormattingTests
{
    private static readonly CultureInfo _british = CultureInfo.GetCultureInfo("en-GB");

    [Theory]
    [InlineData("GBP", "en-GB", 164722050, "£1,647,220.50")]
    [InlineData("GBP", "en-GB", -1932227, "−£19,322.27")]
    [InlineData("GBP", "en-GB", 0, "£0.00")]
    [InlineData("JPY", "en-GB", 8333, "¥8,333")]
    [InlineData("KWD", "en-GB", 1234567, "KWD\u00A01,234.567")]
    [InlineData("KWD", "en-GB", -1234567, "−KWD\u00A01,234.567")]
    [InlineData("USD", "en-GB", 100, "US$1.00")]
    [InlineData("USD", "en-US", 100, "$1.00")]
    [InlineData("EUR", "de-DE", 123456, "1.234,56\u00A0€")]
    [InlineData("EUR", "de-DE", -123456, "−1.234,56\u00A0€")]
    public void Exact_money_shows_every_minor_unit_with_the_minus_before_the_currency(
        string currency,
        string culture,
        long minor,
        string written
    ) => Assert.Equal(written, new Money(currency, CultureInfo.GetCultureInfo(culture)).Exact(minor));

    [Fact]
    public void Amounts_beyond_the_precision_of_a_double_stay_exact() =>
        Assert.Equal("£90,071,992,547,409.93", new Money("GBP", _british).Exact(9007199254740993));

    [Theory]
    [InlineData(164722050, "£1,647,221")]
    [InlineData(49, "£0")]
    [InlineData(50, "£1")]
    [InlineData(-150, "−£2")]
    public void Whole_money_rounds_half_away_from_zero(long minor, string written) =>
        Assert.Equal(written, new Money("GBP", _british).Whole(minor));

    [Theory]
    [InlineData("en-GB", 4000000, "£40k")]
    [InlineData("en-GB", 120000000, "£1.2m")]
    [InlineData("en-GB", 0, "£0")]
    [InlineData("en-GB", -250000, "−£2.5k")]
    [InlineData("en-US", 4000000, "£40K")]
    public void Axes_shorten_money(string culture, long minor, string written) =>
        Assert.Equal(written, new Money("GBP", CultureInfo.GetCultureInfo(culture)).Compact(minor));

    [Theory]
    [InlineData(0.4, "0.4 s")]
    [InlineData(41, "41 s")]
    [InlineData(72, "1 min 12 s")]
    [InlineData(5040, "1 h 24 min")]
    public void Durations_name_their_two_largest_units(double seconds, string written) =>
        Assert.Equal(written, Numbers.Duration(TimeSpan.FromSeconds(seconds), _british));

    [Fact]
    public void A_span_names_the_year_once_where_it_is_the_same()
    {
        var days = new Days(_british);
        Assert.Equal("23 Oct – 19 Nov 2026", days.Span(new(2026, 10, 23), new(2026, 11, 19)));
        Assert.Equal("23 Dec 2025 – 19 Jan 2026", days.Span(new(2025, 12, 23), new(2026, 1, 19)));
        Assert.Equal("19 Nov 2026", days.Span(new(2026, 11, 19), new(2026, 11, 19)));
        Assert.Equal("Fri 20 Nov", days.WithWeekday(new(2026, 11, 20)));
    }

    [Fact]
    public void Americans_read_the_month_first() =>
        Assert.Equal(
            "Fri, Nov 20, 2026",
            new Days(CultureInfo.GetCultureInfo("en-US")).FullWithWeekday(new(2026, 11, 20))
        );
}
