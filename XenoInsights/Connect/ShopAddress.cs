using System.Text;
using System.Text.RegularExpressions;

namespace XenoInsights.Connect;

/// <summary>What people type when asked for their store's address.</summary>
public static partial class ShopAddress
{
    private const string Domain = ".myshopify.com";

    /// <summary>
    /// <c>x.myshopify.com</c> from a bare name, that domain, or an address copied from the browser (also of Shopify's
    /// admin); null where no store can be read.
    /// </summary>
    public static string? Parse(string? typed)
    {
        var text = typed?.Trim() ?? "";
        // Before lower-casing: the Kelvin sign would become a k.
        if (!Ascii.IsValid(text))
            return null;
        text = text.ToLowerInvariant();
        var name = AdminAddress().Match(text) is { Success: true } admin ? admin.Groups["name"].Value : NameIn(text);
        return Name().IsMatch(name) ? name + Domain : null;
    }

    private static string NameIn(string text)
    {
        var host = Scheme().Replace(text, "").Split('/', '?', '#')[0];
        return host.EndsWith(Domain, StringComparison.Ordinal) ? host[..^Domain.Length] : host;
    }

    [GeneratedRegex(@"^(https?://)?admin\.shopify\.com/store/(?<name>[^/?#]+)")]
    private static partial Regex AdminAddress();

    [GeneratedRegex("^https?://")]
    private static partial Regex Scheme();

    [GeneratedRegex(@"^[a-z0-9][a-z0-9-]{0,59}\z")]
    private static partial Regex Name();
}
