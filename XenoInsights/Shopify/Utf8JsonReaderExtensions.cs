using System.Globalization;
using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using XenoInsights.Formatting;

namespace XenoInsights.Shopify;

/// <summary>
/// Steps over Shopify's JSON without building it. What does not look as expected is a <see cref="FormatException"/>
/// that says so.
/// </summary>
internal static class Utf8JsonReaderExtensions
{
    public const int LongestGid = 256;

    /// <summary>Begins the object at the reader, or says it is null.</summary>
    public static bool Enter(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.None)
            reader.Read();
        return reader.TokenType switch
        {
            JsonTokenType.StartObject => true,
            JsonTokenType.Null => false,
            _ => throw Unexpected(ref reader, "an object"),
        };
    }

    /// <summary>Steps to the next property of the object that was entered; false behind its last.</summary>
    public static bool Property(ref Utf8JsonReader reader) =>
        reader.Read() && reader.TokenType == JsonTokenType.PropertyName;

    /// <summary>Whether the property at the reader has this name; if so the reader moves on to its value.</summary>
    public static bool Is(ref Utf8JsonReader reader, ReadOnlySpan<byte> name) =>
        reader.ValueTextEquals(name) && reader.Read();

    /// <summary>Begins the array at the reader, or says it is null.</summary>
    public static bool EnterList(ref Utf8JsonReader reader) =>
        reader.TokenType switch
        {
            JsonTokenType.StartArray => true,
            JsonTokenType.Null => false,
            _ => throw Unexpected(ref reader, "a list"),
        };

    public static bool Element(ref Utf8JsonReader reader) =>
        reader.Read() && reader.TokenType != JsonTokenType.EndArray;

    /// <summary>The number at the end of a gid.</summary>
    public static long Id(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.String)
            throw Unexpected(ref reader, "an id");
        var gid = reader.ValueSpan;
        var query = gid.LastIndexOf((byte)'?');
        if (query >= 0)
            gid = gid[..query];
        var number = gid[(gid.LastIndexOf((byte)'/') + 1)..];
        return long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var id)
            ? id
            : throw Unexpected(ref reader, "a numbered id");
    }

    /// <summary>
    /// The id of an object with nothing but an id asked of it, such as <c>customer{id}</c>; null where there is none.
    /// </summary>
    public static long? Reference(ref Utf8JsonReader reader)
    {
        if (!Enter(ref reader))
            return null;
        long? id = null;
        while (Property(ref reader))
            if (Is(ref reader, "id"u8))
                id = Id(ref reader);
            else
                reader.Skip();
        return id;
    }

    /// <summary>A gid's bytes without JSON escapes, to compare it with another.</summary>
    public static int Gid(ref Utf8JsonReader reader, scoped Span<byte> into)
    {
        if (reader.TokenType != JsonTokenType.String || reader.ValueSpan.Length > LongestGid)
            throw Unexpected(ref reader, "an id");
        return reader.CopyString(into);
    }

    public static DateTimeOffset Instant(ref Utf8JsonReader reader) =>
        reader.TokenType == JsonTokenType.String && reader.TryGetDateTimeOffset(out var instant)
            ? instant.ToUniversalTime()
            : throw Unexpected(ref reader, "an instant");

    public static DateTimeOffset? InstantOrNull(ref Utf8JsonReader reader) =>
        reader.TokenType == JsonTokenType.Null ? null : Instant(ref reader);

    public static bool Flag(ref Utf8JsonReader reader) =>
        reader.TokenType switch
        {
            JsonTokenType.True => true,
            JsonTokenType.False or JsonTokenType.Null => false,
            _ => throw Unexpected(ref reader, "true or false"),
        };

    public static int Count(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Null)
            return 0;
        return reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out var count)
            ? count
            : throw Unexpected(ref reader, "a whole number");
    }

    /// <summary>An <c>UnsignedInt64</c>, which Shopify writes as text.</summary>
    public static long BigCount(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var number))
            return number;
        return
            reader.TokenType == JsonTokenType.String
            && long.TryParse(reader.ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out var text)
            ? text
            : throw Unexpected(ref reader, "a whole number");
    }

    public static string? Text(ref Utf8JsonReader reader) =>
        reader.TokenType is JsonTokenType.String or JsonTokenType.Null
            ? reader.GetString()
            : throw Unexpected(ref reader, "a text");

    /// <summary>Whether a reader failed because of what it read: the object is set aside, and others go on.</summary>
    public static bool IsUnreadable(Exception failure) =>
        failure
            is FormatException
                or JsonException
                or OverflowException
                or InvalidOperationException
                or ArgumentException
                or KeyNotFoundException;

    /// <summary>The shop's side of a <c>MoneyBag</c>, in minor units of the currency.</summary>
    public static long ShopMoney(ref Utf8JsonReader reader, in ShopCurrency currency)
    {
        if (!Enter(ref reader))
            throw Unexpected(ref reader, "an amount of money");
        long? amount = null;
        while (Property(ref reader))
            if (Is(ref reader, "shopMoney"u8))
                amount = Money(ref reader, currency);
            else
                reader.Skip();
        return amount ?? throw new FormatException("An amount of money lacks its shopMoney.");
    }

    /// <summary>
    /// The shop's side of a <c>MoneyBag</c> that names its currency, in minor units of that one: money of an object
    /// from before the shop changed its currency stays in the former one.
    /// </summary>
    public static (long Amount, ShopCurrency Currency) ShopMoneyAndCurrency(
        ref Utf8JsonReader reader,
        in ShopCurrency currency
    )
    {
        if (!Enter(ref reader))
            throw Unexpected(ref reader, "an amount of money");
        (long, ShopCurrency)? money = null;
        while (Property(ref reader))
            if (Is(ref reader, "shopMoney"u8))
                money = MoneyAndCurrency(ref reader, currency);
            else
                reader.Skip();
        return money ?? throw new FormatException("An amount of money lacks its shopMoney.");
    }

    /// <summary>A <c>MoneyV2</c> and the currency it names; <paramref name="currency"/> if it names none.</summary>
    public static (long Amount, ShopCurrency Currency) MoneyAndCurrency(
        ref Utf8JsonReader reader,
        in ShopCurrency currency
    )
    {
        if (!Enter(ref reader))
            throw Unexpected(ref reader, "an amount of money");
        var amount = ReadOnlySpan<byte>.Empty;
        var named = currency;
        while (Property(ref reader))
            if (Is(ref reader, "amount"u8))
            {
                RequireAmount(ref reader);
                amount = reader.ValueSpan;
            }
            else if (Is(ref reader, "currencyCode"u8))
                named = ShopCurrency.Of(Text(ref reader) ?? currency.Code);
            else
                reader.Skip();
        if (amount.IsEmpty)
            throw new FormatException("An amount of money lacks its amount.");
        return (Currencies.ParseMinor(amount, named.Exponent), named);
    }

    /// <summary>
    /// A <c>MoneyV2</c> in minor units. One in another currency than the shop's is refused: adding it would be wrong.
    /// </summary>
    public static long Money(ref Utf8JsonReader reader, in ShopCurrency currency)
    {
        if (!Enter(ref reader))
            throw Unexpected(ref reader, "an amount of money");
        long? amount = null;
        while (Property(ref reader))
            if (Is(ref reader, "amount"u8))
                amount = Amount(ref reader, currency);
            else if (Is(ref reader, "currencyCode"u8))
                Expect(ref reader, currency);
            else
                reader.Skip();
        return amount ?? throw new FormatException("An amount of money lacks its amount.");
    }

    public static FormatException Missing(string what, string property) => new($"{what} lacks '{property}'.");

    public static FormatException Unexpected(ref Utf8JsonReader reader, string expected)
    {
        const int shown = 80;
        var value = reader.ValueSpan;
        return new(
            $"Expected {expected}, found {reader.TokenType} "
                + $"'{Encoding.UTF8.GetString(value.Length > shown ? value[..shown] : value)}'."
        );
    }

    private static long Amount(ref Utf8JsonReader reader, in ShopCurrency currency)
    {
        RequireAmount(ref reader);
        return Currencies.ParseMinor(reader.ValueSpan, currency.Exponent);
    }

    private static void RequireAmount(ref Utf8JsonReader reader)
    {
        if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.Number))
            throw Unexpected(ref reader, "an amount of money");
    }

    private static void Expect(ref Utf8JsonReader reader, in ShopCurrency currency)
    {
        if (reader.TokenType != JsonTokenType.String || !reader.ValueTextEquals(currency.Code))
            throw Unexpected(ref reader, $"money in the shop's currency {currency.Code}");
    }
}

internal readonly record struct ShopCurrency(string Code, int Exponent)
{
    public static ShopCurrency Of(string code) => new(code, Currencies.ExponentOf(code));
}

/// <summary>
/// Keeps texts that repeat (titles, statuses, SKUs) from being made anew for each line. Each slot drops its last text
/// for a new one, so it never grows.
/// </summary>
internal sealed class TextCache
{
    private const int Slots = 4096;
    private const int LongestKept = 128;

    private readonly (byte[] Utf8, string Text)[] _kept = new (byte[], string)[Slots];

    public string? Read(ref Utf8JsonReader reader)
    {
        if (
            reader.TokenType != JsonTokenType.String
            || reader.ValueIsEscaped
            || reader.ValueSpan.Length is 0 or > LongestKept
        )
            return Utf8JsonReaderExtensions.Text(ref reader);
        var utf8 = reader.ValueSpan;
        ref var slot = ref _kept[XxHash3.HashToUInt64(utf8) % Slots];
        if (slot.Utf8 is null || !utf8.SequenceEqual(slot.Utf8))
            slot = (utf8.ToArray(), reader.GetString()!);
        return slot.Text;
    }
}
