using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Connect;

/// <summary>
/// Follows a shop whose myshopify domain a <c>shop/update</c> tells otherwise. Events come late and may be repeated
/// by anyone who has one, so Shopify is asked at that domain which shop it is and what it is called now.
/// </summary>
internal sealed class ShopRename(
    SystemDatabase system,
    TenantDatabase tenants,
    AccessTokens tokens,
    ShopSetupClient desk,
    ILogger<ShopRename> logger
)
{
    /// <summary>
    /// In units of work of its own; repeating it changes nothing. What Shopify does not answer now, the next run hears.
    /// </summary>
    public async Task FollowAsync(Guid tenantId, JsonElement shop, CancellationToken ct)
    {
        if (!ShopDomainName.TryParse(shop.Text("myshopify_domain"), out var told))
            return;
        var tenant = await tenants.RunAsync(tenantId, db => db.Tenants.AsNoTracking().SingleOrDefaultAsync(ct), ct);
        if (tenant is null || tenant.ShopDomain == told)
            return;
        try
        {
            var answer = await desk.ReadShopAsync(told, await tokens.GetAccessTokenAsync(tenantId, ct), ct);
            if (answer.ShopId != tenant.ShopId || !ShopDomainName.TryParse(answer.Domain, out var domain))
                return;
            if (
                await system.RunAsync(db => ShopDomainRegistry.RenameAsync(db, tenantId, tenant.ShopId, domain, ct), ct)
            )
                logger.LogInformation("{Shop} is {Domain} now", tenant.ShopDomain, domain);
        }
        catch (Exception failure)
            when (!ct.IsCancellationRequested
                && failure
                    is HttpRequestException
                        or ReconnectRequiredException
                        or OAuthRefusedException
                        or TaskCanceledException
            )
        {
            logger.LogWarning(
                failure,
                "{Shop} says it is {Domain} now, and Shopify does not confirm it",
                tenant.ShopDomain,
                told
            );
        }
    }
}
