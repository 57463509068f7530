using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// Keeps what Shopify's refusals say about a store where its people see it, with the way out; and takes it back when
/// Shopify answers again.
/// </summary>
internal sealed class StoreHealth(TenantDatabase tenants, ILogger<StoreHealth> logger)
{
    /// <summary>Failures that pass by themselves, or are ours, say nothing about the store.</summary>
    public Task NoteAsync(Guid tenantId, Exception failure) =>
        failure is ShopifyException { Failure: var refusal } && StatusOf(refusal) is { } status
            ? SetAsync(tenantId, status, t => t.Status == TenantStatus.Connected || t.Status >= TenantStatus.Frozen)
            : Task.CompletedTask;

    public Task RecoveredAsync(Tenant tenant) =>
        tenant.Status >= TenantStatus.Frozen
            ? SetAsync(tenant.TenantId, TenantStatus.Connected, t => t.Status >= TenantStatus.Frozen)
            : Task.CompletedTask;

    private static TenantStatus? StatusOf(ShopifyFailure failure) =>
        failure switch
        {
            ShopifyFailure.PaymentRequired => TenantStatus.Frozen,
            ShopifyFailure.Locked => TenantStatus.Locked,
            ShopifyFailure.AccessDenied or ShopifyFailure.Forbidden => TenantStatus.AccessMissing,
            ShopifyFailure.Unauthorized => TenantStatus.ReconnectRequired,
            _ => null,
        };

    private Task SetAsync(Guid tenantId, TenantStatus status, Func<Tenant, bool> isFrom) =>
        tenants.RunAsync(
            tenantId,
            async db =>
            {
                if (
                    await db.Tenants.SingleOrDefaultAsync() is not { } tenant
                    || tenant.Status == status
                    || !isFrom(tenant)
                )
                    return;
                logger.LogWarning("{Shop} is {Status} now, it was {Before}", tenant.ShopDomain, status, tenant.Status);
                tenant.Status = status;
                await db.SaveChangesAsync();
            }
        );
}
