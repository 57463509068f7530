using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Options;
using XenoInsights.Connect;

namespace XenoInsights.Compliance;

/// <summary>
/// Keyed hashes of what people are recognised by, so that somebody erased can be recognised and not be found out:
/// <c>kind:key id:HMAC-SHA256</c>. The keys are made of <c>Encryption:Keys</c>.
/// </summary>
internal sealed class IdentifierHashes(IOptions<EncryptionOptions> options)
{
    private readonly List<(string Id, byte[] Key)> _keys =
    [
        .. options
            .Value.Keys.Select(text => EncryptionOptions.Parse(text)!.Value)
            .Select(key =>
                (key.Id, HKDF.DeriveKey(HashAlgorithmName.SHA256, key.Key, 32, info: "erased people"u8.ToArray()))
            ),
    ];

    /// <summary>With the newest key: what is kept.</summary>
    public string Of(Identifier identifier) => Of(identifier, _keys[0]);

    /// <summary>With every key there is: what may have been kept.</summary>
    public IEnumerable<string> AllOf(Identifier identifier) => _keys.Select(key => Of(identifier, key));

    /// <summary>Whether the key that a hash was made with is still there.</summary>
    public bool CanMatch(string hash) => hash.Split(':') is [_, var id, _] && _keys.Exists(key => key.Id == id);

    private static string Of(Identifier identifier, (string Id, byte[] Key) key)
    {
        var hash = HMACSHA256.HashData(key.Key, Encoding.UTF8.GetBytes($"{identifier.Kind}:{identifier.Value}"));
        return $"{identifier.Kind}:{key.Id}:{Base64Url.EncodeToString(hash)}";
    }
}

/// <summary>Something a person is recognised by, in the one way it is written here.</summary>
/// <param name="Kind">One of the constants.</param>
internal readonly record struct Identifier(string Kind, string Value)
{
    public const string CustomerKind = "customer",
        EmailKind = "email",
        PhoneKind = "phone",
        OrderKind = "order";

    // Country codes and leading zeros come and go; the end of a number stays.
    private const int PhoneDigits = 7,
        LongestPhone = 15;

    public static Identifier Customer(long id) =>
        new(CustomerKind, id.ToString(System.Globalization.CultureInfo.InvariantCulture));

    public static Identifier Order(long id) =>
        new(OrderKind, id.ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>Null for what is no address.</summary>
    public static Identifier? Email(string? text) =>
        text is not null && NormalText(text).Trim() is var email && email.Contains('@', StringComparison.Ordinal)
            ? new(EmailKind, email)
            : null;

    /// <summary>By its last seven digits; null for what has fewer, or too many for a number.</summary>
    public static Identifier? Phone(string? text) =>
        text is not null && Digits(text) is { Length: >= PhoneDigits and <= LongestPhone } digits
            ? new(PhoneKind, digits[^PhoneDigits..])
            : null;

    /// <summary>Letter case and Unicode forms mean nothing.</summary>
    public static string NormalText(string text)
    {
        try
        {
            return text.Normalize(NormalizationForm.FormKC).ToLowerInvariant();
        }
        catch (ArgumentException)
        {
            return text.ToLowerInvariant(); // Half a character in it.
        }
    }

    /// <summary>A telephone number's digits without the zeros before it and a bracketed one inside.</summary>
    public static string Digits(string text) =>
        string.Concat(
                text.Replace("(0)", "", StringComparison.Ordinal)
                    .Select(System.Globalization.CharUnicodeInfo.GetDecimalDigitValue)
                    .Where(digit => digit >= 0)
            )
            .TrimStart('0');
}
