using System.Globalization;
using System.Text;
using CsCheck;
using XenoInsights.Formatting;
using XenoInsights.Shopify;

namespace XenoInsights.Tests.Shopify;

public sealed class CurrenciesTests
{
    private static readonly Gen<int> _exponents = Gen.Int[0, 4];

    [Theory]
    [InlineData("JPY", 0)]
    [InlineData("ISK", 0)]
    [InlineData("GBP", 2)]
    [InlineData("HUF", 2)]
    [InlineData("KWD", 3)]
    [InlineData("CLF", 4)]
    [InlineData("ZZZ", 2)]
    public void Exponents_are_those_of_ISO_4217(string currency, int exponent) =>
        Assert.Equal(exponent, Currencies.ExponentOf(currency));

    [Fact]
    public void Every_amount_written_in_full_is_read_back_exactly() =>
        Gen.Select(Gen.Long, _exponents)
            .Sample((minor, exponent) => Assert.Equal(minor, Parse(Written(minor, exponent), exponent)));

    [Fact]
    public void Amounts_written_as_Shopify_does_without_extra_zeros_are_read_back_exactly() =>
        Gen.Select(Gen.Long, _exponents)
            .Sample((minor, exponent) => Assert.Equal(minor, Parse(Short(Written(minor, exponent)), exponent)));

    [Theory]
    [InlineData("-20.7", 2, -2070)]
    [InlineData("5.00", 2, 500)]
    [InlineData("1000.0", 0, 1000)]
    [InlineData("0.005", 3, 5)]
    [InlineData("-0.0", 2, 0)]
    [InlineData("12", 2, 1200)]
    [InlineData("1.50000", 2, 150)]
    [InlineData("92233720368547758.07", 2, long.MaxValue)]
    [InlineData("-92233720368547758.08", 2, long.MinValue)]
    public void Known_amounts(string amount, int exponent, long minor) => Assert.Equal(minor, Parse(amount, exponent));

    [Theory]
    [InlineData("1.005", 2)]
    [InlineData("0.5", 0)]
    [InlineData("92233720368547758.08", 2)]
    [InlineData("99999999999999999999", 0)]
    [InlineData("", 2)]
    [InlineData("-", 2)]
    [InlineData(".5", 2)]
    [InlineData("5.", 2)]
    [InlineData("1e3", 2)]
    [InlineData("1,50", 2)]
    [InlineData("1.2.3", 2)]
    [InlineData("1.2x", 2)]
    [InlineData("1.200x", 2)]
    [InlineData("+1", 2)]
    [InlineData(" 1", 2)]
    [InlineData("٣.٠", 2)]
    public void What_is_not_exactly_an_amount_of_the_currency_is_refused(string amount, int exponent) =>
        Assert.Throws<FormatException>(() => Parse(amount, exponent));

    private static long Parse(string amount, int exponent) =>
        Currencies.ParseMinor(Encoding.UTF8.GetBytes(amount), exponent);

    private static string Written(long minor, int exponent)
    {
        var digits = minor.ToString(CultureInfo.InvariantCulture).TrimStart('-').PadLeft(exponent + 1, '0');
        var decimals = exponent == 0 ? "" : "." + digits[^exponent..];
        return (minor < 0 ? "-" : "") + digits[..^exponent] + decimals;
    }

    private static string Short(string written)
    {
        if (!written.Contains('.', StringComparison.Ordinal))
            return written + ".0";
        var trimmed = written.TrimEnd('0');
        return trimmed.EndsWith('.') ? trimmed + "0" : trimmed;
    }
}
