using XenoInsights.Tenants;

namespace XenoInsights.Shopify;

/// <summary>The shop no longer lets us in; only a person connecting it again changes that.</summary>
public sealed class ReconnectRequiredException(string shopDomain)
    : Exception($"Shopify no longer accepts our access to {shopDomain}. Connect the store again to go on."),
        IExpectedFailure
{
    public bool IsExpected => true;
}
