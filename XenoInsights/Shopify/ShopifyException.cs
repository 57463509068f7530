using XenoInsights.Tenants;

namespace XenoInsights.Shopify;

/// <summary>Why Shopify did not give what was asked, as far as it decides what to do next.</summary>
public enum ShopifyFailure
{
    /// <summary>Still over the rate limit after waiting several times. Later again.</summary>
    Throttled,

    /// <summary>The app lacks a scope or an approval. The merchant or we must act.</summary>
    AccessDenied,

    /// <summary>The token is refused even after a refresh: the merchant must connect again.</summary>
    Unauthorized,

    /// <summary>402: the shop is frozen until its owner pays Shopify.</summary>
    PaymentRequired,

    /// <summary>403 to the whole request.</summary>
    Forbidden,

    /// <summary>423: Shopify locked the shop.</summary>
    Locked,

    /// <summary>No such shop, operation or file (any more).</summary>
    NotFound,

    /// <summary>Shopify or the network failed after several attempts. Later again.</summary>
    Unavailable,

    /// <summary>Shopify does not understand the request: a fault of ours.</summary>
    InvalidRequest,

    /// <summary>Only a part of the answer came; using it would lose data.</summary>
    PartialData,

    /// <summary>As many bulk operations run for this shop as Shopify allows.</summary>
    BulkBusy,
}

/// <summary>Shopify, or the way to it, failed. The message is fit to show to a merchant and holds no secret.</summary>
public sealed class ShopifyException(ShopifyFailure failure, string message, Exception? inner = null)
    : Exception(message, inner),
        IExpectedFailure
{
    public bool IsExpected => !IsOurFault;

    public ShopifyFailure Failure { get; } = failure;

    /// <summary>
    /// Whether our request was wrong; everything else is a state of Shopify, the store or the network.
    /// </summary>
    public bool IsOurFault => Failure == ShopifyFailure.InvalidRequest;

    /// <summary>Whether trying the same later can help without anyone acting.</summary>
    public bool IsTransient =>
        Failure is ShopifyFailure.Throttled or ShopifyFailure.Unavailable or ShopifyFailure.BulkBusy;
}
