using XenoInsights.Shopify;

namespace XenoInsights.Connect;

/// <summary>What a link that leads to connecting or opening a store says.</summary>
/// <param name="Shop"><c>x.myshopify.com</c>.</param>
/// <param name="IsFromShopify">Shopify has signed it within the last minute and a half: it has just sent the person
/// here.</param>
internal sealed record ConnectLink(string Shop, bool IsFromShopify)
{
    private static readonly TimeSpan _clockTolerance = TimeSpan.FromSeconds(90);

    /// <summary>
    /// Without a signature the shop is what a person typed. A wrong signature is refused; one that is right but old
    /// counts as none.
    /// </summary>
    /// <exception cref="ConnectRefusedException"/>
    public static ConnectLink Read(IQueryCollection query, string? shop, ShopifyOptions shopify, DateTimeOffset now)
    {
        if (!query.ContainsKey(QuerySignature.Parameter))
            return new(
                ShopAddress.Parse(shop) ?? throw new ConnectRefusedException(ConnectErrors.BadShop),
                IsFromShopify: false
            );
        if (!QuerySignature.IsValid(query, shopify))
            throw new ConnectRefusedException(ConnectErrors.BadSignature);
        if (!ShopDomainName.TryParse(shop, out var domain))
            throw new ConnectRefusedException(ConnectErrors.BadShop);
        return new(domain, IsWithin(query["timestamp"].ToString(), now, now));
    }

    /// <summary>Whether Shopify's Unix time lies between two instants, give or take what clocks may differ.</summary>
    public static bool IsWithin(string timestamp, DateTimeOffset earliest, DateTimeOffset latest) =>
        long.TryParse(
            timestamp,
            System.Globalization.NumberStyles.None,
            System.Globalization.CultureInfo.InvariantCulture,
            out var seconds
        )
        && seconds >= (earliest - _clockTolerance).ToUnixTimeSeconds()
        && seconds <= (latest + _clockTolerance).ToUnixTimeSeconds();
}
