using System.Net;
using XenoInsights.Connect;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

internal enum Access
{
    /// <summary>Shopify accepts the store's token: the app is installed there.</summary>
    Works,

    /// <summary>There is no token, or Shopify refuses it.</summary>
    Gone,

    /// <summary>Shopify does not say.</summary>
    Unknown,
}

/// <summary>
/// Asks Shopify whether the app is still installed, before something is done that ends a store: what an event says
/// about that is only as good as its headers.
/// </summary>
internal sealed class AccessCheck(
    AccessTokens tokens,
    ShopSetupClient desk,
    TimeProvider time,
    ILogger<AccessCheck> logger
)
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(4),
        _rest = TimeSpan.FromSeconds(5);

    private long _restsUntil;

    /// <summary>Takes seconds at most: the store's other events wait for the answer.</summary>
    public async Task<Access> AskAsync(Tenant tenant, CancellationToken ct)
    {
        // While Shopify is away, its silence is not waited for by one event after the other.
        if (time.GetTimestamp() < Interlocked.Read(ref _restsUntil))
            return Access.Unknown;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(_patience);
        try
        {
            return await AskWithTokenAsync(tenant, limit.Token);
        }
        catch (ReconnectRequiredException)
        {
            return Access.Gone;
        }
        catch (HttpRequestException refused)
            when (refused.StatusCode is HttpStatusCode.Unauthorized or HttpStatusCode.NotFound)
        {
            return Access.Gone;
        }
        catch (Exception failure)
            when (failure is HttpRequestException or OAuthRefusedException
                || (failure is OperationCanceledException && !ct.IsCancellationRequested)
            )
        {
            logger.LogWarning(
                failure,
                "Whether the app is installed in {Shop} cannot be asked for now",
                tenant.ShopDomain
            );
            Interlocked.Exchange(
                ref _restsUntil,
                time.GetTimestamp() + (long)(_rest.TotalSeconds * time.TimestampFrequency)
            );
            return Access.Unknown;
        }
    }

    /// <summary>A token that Shopify refuses before its time is refreshed once, as everywhere.</summary>
    private async Task<Access> AskWithTokenAsync(Tenant tenant, CancellationToken ct)
    {
        var token = await tokens.GetAccessTokenAsync(tenant.TenantId, ct);
        try
        {
            return await AskAsync(tenant, token, ct);
        }
        catch (HttpRequestException refused) when (refused.StatusCode == HttpStatusCode.Unauthorized)
        {
            return await AskAsync(tenant, await tokens.RefreshNowAsync(tenant.TenantId, token, ct), ct);
        }
    }

    /// <summary>The domain may be another shop's by now.</summary>
    private async Task<Access> AskAsync(Tenant tenant, string token, CancellationToken ct)
    {
        var shop = await desk.ReadShopAsync(tenant.ShopDomain, token, ct);
        return shop.ShopId == tenant.ShopId ? Access.Works : Access.Gone;
    }
}
