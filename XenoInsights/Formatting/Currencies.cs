namespace XenoInsights.Formatting;

/// <summary>How many decimals a currency has (ISO 4217), and Shopify's decimal texts as whole minor units.</summary>
public static class Currencies
{
    private const int LongestAmount = 40;

    /// <summary>
    /// The exponent of an ISO 4217 code: 0 for JPY, 3 for KWD, 2 for most. A code this list does not know counts as 2,
    /// which nearly every currency has; were that wrong, amounts with more decimals are refused rather than rounded.
    /// </summary>
    public static int ExponentOf(string currency) =>
        currency switch
        {
            "BIF"
            or "CLP"
            or "DJF"
            or "GNF"
            or "ISK"
            or "JPY"
            or "KMF"
            or "KRW"
            or "PYG"
            or "RWF"
            or "UGX"
            or "UYI"
            or "VND"
            or "VUV"
            or "XAF"
            or "XOF"
            or "XPF" => 0,
            "BHD" or "IQD" or "JOD" or "KWD" or "LYD" or "OMR" or "TND" => 3,
            "CLF" or "UYW" => 4,
            _ => 2,
        };

    /// <summary>
    /// Minor units of a decimal such as <c>-20.7</c> or <c>1000.0</c>, exactly. Shopify writes no more decimals than
    /// the currency has, bar zeros; other decimals are refused, because rounding them would make sums disagree with
    /// Shopify's.
    /// </summary>
    /// <exception cref="FormatException">Not a decimal, too many decimals, or beyond 64 bits.</exception>
    public static long ParseMinor(ReadOnlySpan<byte> amount, int exponent)
    {
        var negative = !amount.IsEmpty && amount[0] == '-';
        var digits = negative ? amount[1..] : amount;
        var point = digits.IndexOf((byte)'.');
        var whole = point < 0 ? digits : digits[..point];
        var fraction = point < 0 ? [] : digits[(point + 1)..];
        if (whole.IsEmpty || (point >= 0 && fraction.IsEmpty) || digits.Length > LongestAmount)
            throw NotAnAmount(amount);

        long minor = 0;
        foreach (var digit in whole)
            minor = Append(minor, digit, amount);
        for (var place = 0; place < Math.Max(exponent, fraction.Length); place++)
        {
            var digit = place < fraction.Length ? fraction[place] : (byte)'0';
            if (place < exponent)
                minor = Append(minor, digit, amount);
            else if (digit is > (byte)'0' and <= (byte)'9')
                throw new FormatException($"'{Shown(amount)}' has more than {exponent} decimals.");
            else if (digit != '0')
                throw NotAnAmount(amount);
        }
        // Counted below zero, so that the lowest long has a place too.
        if (negative)
            return minor;
        return minor == long.MinValue ? throw NotAnAmount(amount) : -minor;
    }

    private static long Append(long minor, byte digit, ReadOnlySpan<byte> amount)
    {
        var value = digit - '0';
        if (value is < 0 or > 9 || minor < (long.MinValue + value) / 10)
            throw NotAnAmount(amount);
        return (minor * 10) - value;
    }

    private static FormatException NotAnAmount(ReadOnlySpan<byte> amount) =>
        new($"'{Shown(amount)}' is not an amount of money.");

    private static string Shown(ReadOnlySpan<byte> amount) =>
        System.Text.Encoding.UTF8.GetString(amount.Length > LongestAmount ? amount[..LongestAmount] : amount);
}
