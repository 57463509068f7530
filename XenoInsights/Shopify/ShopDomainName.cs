using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;

namespace XenoInsights.Shopify;

/// <summary>
/// The permanent domain of a shop. Requests with our credentials go to nothing that has not passed here.
/// </summary>
public static partial class ShopDomainName
{
    /// <summary>
    /// Lower-cases ASCII and nothing else: any other difference from <c>x.myshopify.com</c> is a refusal, not a typing
    /// mistake.
    /// </summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out string? domain)
    {
        // Before lower-casing: the Kelvin sign would become a k.
        domain = text is not null && System.Text.Ascii.IsValid(text) ? text.ToLowerInvariant() : null;
        if (domain is not null && Pattern.IsMatch(domain))
            return true;
        domain = null;
        return false;
    }

    [GeneratedRegex(@"\A[a-z0-9][a-z0-9-]{0,60}\.myshopify\.com\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern { get; }
}
