using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Compliance;

/// <summary>Erases a store.</summary>
internal sealed class ShopRedactHandler(ErasureList erasures) : IEventHandler
{
    public string Topic => WebhookTopics.ShopRedact;

    public async Task<string> HandleAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    )
    {
        // Shopify does not send it to who reinstalled; one that was under way then must not erase the new start.
        if (tenant.Status != TenantStatus.Disconnected && waiting.EffectiveAt < tenant.ConnectedAt)
            return "The app was installed again since; nothing was erased.";
        await Erasure.EraseStoreAsync(db, tenant, ErasureRequest.Of(waiting), ct);
        return "Everything about the store was erased.";
    }

    public Task CommittedAsync(Guid tenantId, WaitingEvent applied, CancellationToken ct) =>
        erasures.LogAsync(tenantId, applied.WebhookId, ct);
}
