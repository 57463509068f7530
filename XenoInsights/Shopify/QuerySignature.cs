using System.Security.Cryptography;
using System.Text;

namespace XenoInsights.Shopify;

/// <summary>
/// Shopify's signature over the query of a request that it sends a browser with: hex HMAC-SHA256 over the other
/// parameters, sorted and joined as a query. Encoded, as Shopify's own libraries do: joining decoded values would let
/// one parameter pose as two.
/// </summary>
public static class QuerySignature
{
    public const string Parameter = "hmac";

    /// <summary>Signed with the current or the previous secret. A parameter given twice is never valid.</summary>
    public static bool IsValid(IQueryCollection query, ShopifyOptions options)
    {
        if (query.Any(p => p.Value.Count != 1) || !TryFromHex(query[Parameter].ToString(), out var given))
            return false;
        var signed = Encoding.UTF8.GetBytes(
            Canonical(query.Select(p => KeyValuePair.Create(p.Key, p.Value.ToString())))
        );
        return Matches(options.ClientSecret)
            | (!string.IsNullOrEmpty(options.PreviousClientSecret) && Matches(options.PreviousClientSecret));

        bool Matches(string secret) =>
            CryptographicOperations.FixedTimeEquals(given, HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), signed));
    }

    /// <summary>The text that is signed.</summary>
    internal static string Canonical(IEnumerable<KeyValuePair<string, string>> parameters) =>
        string.Join(
            '&',
            parameters
                .Where(p => p.Key is not (Parameter or "signature"))
                .OrderBy(p => p.Key, StringComparer.Ordinal)
                .Select(p => $"{Encode(p.Key)}={Encode(p.Value)}")
        );

    // application/x-www-form-urlencoded, with %20 for spaces.
    private static string Encode(string text) =>
        Uri.EscapeDataString(text)
            .Replace("%2A", "*", StringComparison.Ordinal)
            .Replace("~", "%7E", StringComparison.Ordinal);

    private static bool TryFromHex(string hex, out byte[] bytes)
    {
        bytes = new byte[SHA256.HashSizeInBytes];
        return hex.Length == 2 * SHA256.HashSizeInBytes
            && Convert.FromHexString(hex, bytes, out _, out _) == System.Buffers.OperationStatus.Done;
    }
}
