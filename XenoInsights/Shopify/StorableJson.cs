using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace XenoInsights.Shopify;

/// <summary>
/// Shopify's JSON with texts that PostgreSQL can store. JSON can say what PostgreSQL has no text for: the NUL
/// character, which is dropped, and half of a surrogate pair (a text cut inside an emoji), which becomes U+FFFD, as
/// bytes do that are not UTF-8. Everything that Shopify sends passes here before it is parsed, whatever the field:
/// answers of the Admin API, lines of bulk files and webhook payloads. So the same object reads the same whichever way
/// it comes.
/// </summary>
internal static class StorableJson
{
    private const int EscapeLength = 6;

    /// <summary>The same bytes when there is nothing to replace, which is nearly always.</summary>
    public static ReadOnlySpan<byte> Clean(ReadOnlySpan<byte> json) => MayNeedIt(json) ? Rewritten(json) : json;

    /// <inheritdoc cref="Clean(ReadOnlySpan{byte})"/>
    public static byte[] Clean(byte[] json) => MayNeedIt(json) ? Rewritten(json).ToArray() : json;

    private static bool MayNeedIt(ReadOnlySpan<byte> json) =>
        json.IndexOf("\\u0000"u8) >= 0
        || json.IndexOf("\\ud"u8) >= 0
        || json.IndexOf("\\uD"u8) >= 0
        || json.Contains((byte)0)
        || !Utf8.IsValid(json);

    private static ReadOnlySpan<byte> Rewritten(ReadOnlySpan<byte> json)
    {
        if (!Utf8.IsValid(json))
            json = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(json));
        // Never longer than what is read: an escape is replaced by one of the same length.
        var clean = new byte[json.Length];
        var written = 0;
        while (!json.IsEmpty)
        {
            var kept = Next(json, out var taken);
            kept.CopyTo(clean.AsSpan(written));
            written += kept.Length;
            json = json[taken..];
        }
        return clean.AsSpan(0, written);
    }

    /// <summary>What is written for the next character, and how many bytes it takes.</summary>
    private static ReadOnlySpan<byte> Next(ReadOnlySpan<byte> json, out int taken)
    {
        taken = 1;
        if (json[0] == 0)
            return [];
        if (json[0] != '\\' || json.Length < 2)
            return json[..1];
        // Two at once, so that an escaped backslash is not taken for the beginning of an escape.
        taken = 2;
        if (!IsEscape(json, out var unit))
            return json[..2];
        taken = EscapeLength;
        if (unit == 0)
            return [];
        if (!char.IsSurrogate(unit))
            return json[..EscapeLength];
        var isPair =
            char.IsHighSurrogate(unit) && IsEscape(json[EscapeLength..], out var second) && char.IsLowSurrogate(second);
        if (!isPair)
            return "\\ufffd"u8;
        taken = 2 * EscapeLength;
        return json[..taken];
    }

    private static bool IsEscape(ReadOnlySpan<byte> json, out char unit)
    {
        unit = default;
        if (json.Length < EscapeLength || json[0] != '\\' || json[1] != 'u')
            return false;
        if (
            !ushort.TryParse(
                json[2..EscapeLength],
                NumberStyles.AllowHexSpecifier,
                CultureInfo.InvariantCulture,
                out var code
            )
        )
            return false;
        unit = (char)code;
        return true;
    }
}
