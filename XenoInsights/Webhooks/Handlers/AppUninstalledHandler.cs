using System.Text.Json;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks.Handlers;

/// <summary>
/// The merchant removed the app: nothing is read any more, what is stored stays until Shopify asks for its erasure.
/// </summary>
internal sealed class AppUninstalledHandler : IEventHandler
{
    public string Topic => WebhookTopics.AppUninstalled;

    public async Task<string> HandleAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    )
    {
        if (waiting.EffectiveAt < tenant.ConnectedAt)
            return "The app was installed again since.";
        await DisconnectStore.DisconnectAsync(db, tenant.TenantId, waiting.EffectiveAt, ct);
        return "The app was removed in Shopify: its access is deleted and nothing is read any more. "
            + "The data stay until Shopify asks for their erasure.";
    }
}
