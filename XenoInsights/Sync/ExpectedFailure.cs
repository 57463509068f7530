using XenoInsights.Connect;
using XenoInsights.Shopify;

namespace XenoInsights.Sync;

internal static class ExpectedFailure
{
    /// <summary>
    /// A state of the store or of Shopify that is on record and that people are told of. Logged without a stack: there is
    /// no fault to look for here.
    /// </summary>
    public static bool IsExpected(this Exception failure) =>
        failure is ImportFailedException or ReconnectRequiredException or ShopifyException { IsOurFault: false };
}
