using System.Net;
using System.Security.Claims;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Connect;

/// <summary>
/// Who opens the app from Shopify's admin and is a member of a connected store wants its dashboard, not to connect it
/// again.
/// </summary>
public sealed class OpenStore(
    Memberships memberships,
    AccessTokens tokens,
    ShopSetupClient desk,
    ILogger<OpenStore> logger
)
{
    /// <summary>
    /// The store's dashboard, or null where the person is no member or only connecting the store again lets us in.
    /// </summary>
    /// <param name="domain"><c>x.myshopify.com</c>.</param>
    /// <param name="askShopify">
    /// Whether to try our access at Shopify. A store that was just removed and installed again may still look connected
    /// here.
    /// </param>
    public async Task<string?> DashboardAsync(
        ClaimsPrincipal person,
        string domain,
        bool askShopify,
        CancellationToken ct
    )
    {
        if (await MembershipAsync(person, domain, ct) is not { } store)
            return null;
        if (store.Status is not (TenantStatus.Connected or TenantStatus.Frozen or TenantStatus.Locked))
            return null;
        if (askShopify && !await LetsUsInAsync(store, ct))
            return null;
        return Dashboard(domain);
    }

    public Task<StoreAccess?> MembershipAsync(ClaimsPrincipal person, string domain, CancellationToken ct) =>
        memberships.FindAsync(person, Handle(domain), ct);

    public static string Dashboard(string domain) => $"/stores/{Handle(domain)}/overview";

    private static string Handle(string domain) => domain.Split('.')[0];

    private async Task<bool> LetsUsInAsync(StoreAccess store, CancellationToken ct)
    {
        try
        {
            var token = await tokens.GetAccessTokenAsync(store.TenantId, ct);
            await desk.ReadShopAsync(store.ShopDomain, token, ct);
            return true;
        }
        catch (Exception failure)
            when (failure
                    is ReconnectRequiredException
                        or HttpRequestException { StatusCode: HttpStatusCode.Unauthorized or HttpStatusCode.NotFound }
            )
        {
            return false;
        }
        catch (Exception failure)
            when (failure is HttpRequestException or OAuthRefusedException
                || (failure is TaskCanceledException && !ct.IsCancellationRequested)
            )
        {
            // The store says itself what is wrong; connecting it again would change nothing.
            logger.LogInformation(failure, "{Shop} was opened without an answer from Shopify", store.ShopDomain);
            return true;
        }
    }
}
