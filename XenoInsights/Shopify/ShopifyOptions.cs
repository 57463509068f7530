using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;
using XenoInsights.Data;

namespace XenoInsights.Shopify;

/// <summary>
/// The app's identity at Shopify and where shops are reached. Section <c>Shopify</c>; checked at start.
/// </summary>
public sealed class ShopifyOptions
{
    public const string Section = "Shopify";

    [Required(ErrorMessage = "is missing: the client id of your app in the Shopify Dev Dashboard.")]
    public string ClientId { get; set; } = "";

    [Required(ErrorMessage = "is missing: the client secret of your app in the Shopify Dev Dashboard.")]
    public string ClientSecret { get; set; } = "";

    /// <summary>Still verifies signatures while a rotated secret is being replaced.</summary>
    public string? PreviousClientSecret { get; set; }

    [Required(ErrorMessage = "must be a version such as 2026-10.")]
    [RegularExpression(@"20\d\d-(01|04|07|10)", ErrorMessage = "must be a version such as 2026-10.")]
    public string ApiVersion { get; set; } = "2026-10";

    /// <summary>Comma separated scopes to ask for.</summary>
    public string Scopes { get; set; } = "read_orders,read_customers,read_products";

    /// <summary>
    /// Template of a shop's address; <c>{shop}</c> is its myshopify domain. Other than <c>https://{shop}</c> in
    /// Development only.
    /// </summary>
    public string ShopUrl { get; set; } = DefaultShopUrl;

    /// <summary>
    /// Comma separated hosts that bulk files may be fetched from, over https alone. Shopify keeps them at Google Cloud
    /// Storage.
    /// </summary>
    public string BulkFileHosts { get; set; } = "storage.googleapis.com";

    /// <summary>A larger bulk file is refused.</summary>
    [Range(typeof(long), "1", "1000000000", ErrorMessage = CheckedOptions.Range)]
    public long MaxBulkFileMegabytes { get; set; } = 51_200;

    /// <summary>A larger answer of the Admin API is refused, measured after decompression.</summary>
    [Range(1, 1024, ErrorMessage = CheckedOptions.Range)]
    public int MaxAnswerMegabytes { get; set; } = 32;

    public const string DefaultShopUrl = "https://{shop}";

    public Uri AddressOf(string shopDomain) =>
        new(ShopUrl.Replace("{shop}", shopDomain, StringComparison.Ordinal).TrimEnd('/') + "/");

    /// <summary>
    /// Whether a bulk file may be fetched from there. Where shops are not Shopify's own (Development), they keep their
    /// files themselves.
    /// </summary>
    public bool MayHoldBulkFiles(Uri url) =>
        (
            url.Scheme == Uri.UriSchemeHttps
            && url.IsDefaultPort
            && List(BulkFileHosts).Contains(url.Host, StringComparer.OrdinalIgnoreCase)
        )
        || (
            ShopUrl != DefaultShopUrl
            && url.GetLeftPart(UriPartial.Authority)
                == AddressOf("shop.myshopify.com").GetLeftPart(UriPartial.Authority)
        );

    private static string[] List(string text) =>
        text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    public IReadOnlyList<string> ScopeList => List(Scopes);
}

internal sealed class ShopifyOptionsValidator(IHostEnvironment environment) : IValidateOptions<ShopifyOptions>
{
    public ValidateOptionsResult Validate(string? name, ShopifyOptions options)
    {
        var failures = new List<string>();
        if (options.ScopeList.Count == 0)
            failures.Add("Shopify:Scopes names no scope.");
        if (!options.ShopUrl.Contains("{shop}", StringComparison.Ordinal))
            failures.Add("Shopify:ShopUrl lacks the placeholder {shop}.");
        else if (options.ShopUrl != ShopifyOptions.DefaultShopUrl && !environment.IsDevelopment())
            failures.Add($"Shopify:ShopUrl must be '{ShopifyOptions.DefaultShopUrl}' outside Development.");
        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);
    }
}
