using Microsoft.EntityFrameworkCore;
using Npgsql;
using XenoInsights.Data;

namespace XenoInsights.Tenants;

/// <summary>
/// Which shop each myshopify domain leads to. A shop may be renamed: its former domains stay its own, so that late
/// deliveries and old addresses find it, until Shopify gives one to another shop. In the caller's unit of work across
/// tenants.
/// </summary>
internal static class ShopDomainRegistry
{
    /// <summary>Lets the domain lead to the shop, whoever had it before.</summary>
    public static async Task KeepAsync(
        XenoDbContext db,
        Guid tenantId,
        long shopId,
        string domain,
        CancellationToken ct
    )
    {
        await ReleaseAsync(db, shopId, domain, ct);
        await AddAsync(db, tenantId, shopId, domain, takeOver: true, ct);
    }

    /// <summary>
    /// As <see cref="KeepAsync"/>, for a connected shop that is reached there from now on; false when it is already.
    /// </summary>
    public static async Task<bool> RenameAsync(
        XenoDbContext db,
        Guid tenantId,
        long shopId,
        string domain,
        CancellationToken ct
    )
    {
        await KeepAsync(db, tenantId, shopId, domain, ct);
        return await db
                .Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                .Where(t => t.TenantId == tenantId && t.ShopDomain != domain)
                .ExecuteUpdateAsync(set => set.SetProperty(t => t.ShopDomain, domain), ct) == 1;
    }

    /// <summary>
    /// Shopify gave the domain to this shop, so the one that had it before is no longer reached there. Its data stay,
    /// under a name that no shop can have, until it connects again from wherever it is now.
    /// </summary>
    private static async Task ReleaseAsync(XenoDbContext db, long shopId, string domain, CancellationToken ct)
    {
        var former = await db
            .ShopDomains.IgnoreQueryFilters([XenoDbContext.TenantFilter])
            .AsNoTracking()
            .SingleOrDefaultAsync(d => d.Domain == domain && d.ShopId != shopId, ct);
        if (former is null)
            return;
        var parked = $"shop-{former.ShopId}.invalid";
        var wasReachedThere = await db
            .Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
            .Where(t => t.TenantId == former.TenantId && t.ShopDomain == domain)
            .ExecuteUpdateAsync(
                set =>
                    set.SetProperty(t => t.ShopDomain, parked)
                        .SetProperty(t => t.Status, Tenants.TenantStatus.ReconnectRequired),
                ct
            );
        if (wasReachedThere > 0)
            await AddAsync(db, former.TenantId, former.ShopId, parked, takeOver: false, ct);
    }

    private static Task AddAsync(
        XenoDbContext db,
        Guid tenantId,
        long shopId,
        string domain,
        bool takeOver,
        CancellationToken ct
    )
    {
        var conflict = takeOver
            ? "do update set tenant_id = excluded.tenant_id, shop_id = excluded.shop_id"
            : "do nothing";
        return db.ExecuteAsync(
            [
                new NpgsqlBatchCommand(
                    "insert into shop_domains (domain, tenant_id, shop_id) values ($1, $2, $3) on conflict "
                        + $"(domain) {conflict}"
                )
                {
                    Parameters =
                    {
                        new() { Value = domain },
                        Sql.Uuid(tenantId),
                        new() { Value = shopId },
                    },
                },
            ],
            ct
        );
    }
}
