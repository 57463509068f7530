using System.Collections.Frozen;
using System.Globalization;

namespace XenoInsights.Formatting;

/// <summary>Writes amounts of one currency, given in minor units, the way a person of a culture reads them.</summary>
public sealed class Money
{
    private static readonly FrozenDictionary<string, string> _symbols = new Dictionary<string, string>
    {
        ["AUD"] = "A$",
        ["BRL"] = "R$",
        ["CAD"] = "CA$",
        ["CNY"] = "CN¥",
        ["EUR"] = "€",
        ["GBP"] = "£",
        ["HKD"] = "HK$",
        ["ILS"] = "₪",
        ["INR"] = "₹",
        ["JPY"] = "¥",
        ["KRW"] = "₩",
        ["MXN"] = "MX$",
        ["NZD"] = "NZ$",
        ["PHP"] = "₱",
        ["TWD"] = "NT$",
        ["USD"] = "US$",
        ["VND"] = "₫",
    }.ToFrozenDictionary();

    private readonly CultureInfo _culture;
    private readonly NumberFormatInfo _exact;
    private readonly NumberFormatInfo _whole;
    private readonly decimal _minorPerUnit;

    /// <param name="currency">ISO 4217; decides the number of decimals.</param>
    /// <param name="culture">Decides separators, grouping and on which side the symbol stands.</param>
    public Money(string currency, CultureInfo culture)
    {
        _culture = culture;
        var decimals = Currencies.ExponentOf(currency);
        _minorPerUnit = (decimal)Math.Pow(10, decimals);
        _exact = Format(currency, culture, decimals);
        _whole = Format(currency, culture, 0);
    }

    public decimal Units(long minor) => minor / _minorPerUnit;

    /// <summary>Every minor unit, for tables and ledgers: £1,647,220.50.</summary>
    public string Exact(long minor) => Unbroken(Units(minor).ToString("C", _exact));

    /// <summary>Whole units, for tiles: £1,647,221.</summary>
    public string Whole(long minor) =>
        Unbroken(decimal.Round(Units(minor), 0, MidpointRounding.AwayFromZero).ToString("C", _whole));

    /// <summary>
    /// For steps and cells whose table has the rest: whole units, from ten thousand on whole thousands: £5,052,
    /// £836k.
    /// </summary>
    public string Rounded(long minor) =>
        Math.Abs(Units(minor)) < 10_000
            ? Whole(minor)
            : Compact(
                (long)(decimal.Round(Units(minor) / 1000, 0, MidpointRounding.AwayFromZero) * 1000 * _minorPerUnit)
            );

    /// <summary>Shortened, for axes and <see cref="Rounded"/>: £40k, £1.2m.</summary>
    public string Compact(long minor)
    {
        var text = Numbers.Compact(Math.Abs(Units(minor)), _culture);
        var symbol = _whole.CurrencySymbol;
        var amount = _whole.CurrencyPositivePattern switch
        {
            0 => symbol + text,
            1 => text + symbol,
            2 => $"{symbol}\u00A0{text}",
            _ => $"{text}\u00A0{symbol}",
        };
        return minor < 0 ? Numbers.Minus + amount : amount;
    }

    // The formatter parts symbol and figure with an ordinary space, where a line could break.
    private static string Unbroken(string amount) => amount.Replace(' ', '\u00A0');

    private static NumberFormatInfo Format(string currency, CultureInfo culture, int decimals)
    {
        var format = (NumberFormatInfo)culture.NumberFormat.Clone();
        format.CurrencySymbol = Symbol(currency, culture);
        format.CurrencyDecimalDigits = decimals;
        format.NegativeSign = Numbers.Minus;
        // A code reads as a word, so a space parts it from the figure.
        if (format.CurrencySymbol == currency && format.CurrencyPositivePattern < 2)
            format.CurrencyPositivePattern += 2;
        format.CurrencyNegativePattern = format.CurrencyPositivePattern switch
        {
            0 => 1,
            1 => 5,
            2 => 9,
            _ => 8,
        };
        return format;
    }

    private static string Symbol(string currency, CultureInfo culture)
    {
        if (
            !culture.IsNeutralCulture
            && culture.Name.Length > 0
            && new RegionInfo(culture.Name).ISOCurrencySymbol == currency
        )
            return culture.NumberFormat.CurrencySymbol;
        return _symbols.GetValueOrDefault(currency, currency);
    }
}
