using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Queues;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks.Handlers;

/// <summary>The shop's name, time zone and currency, and its domain once Shopify confirms it.</summary>
internal sealed class ShopUpdateHandler(ShopRename rename) : IEventHandler
{
    public string Topic => WebhookTopics.ShopUpdate;

    public Task PrepareAsync(TenantTurn turn, JsonElement body, CancellationToken ct) =>
        turn.WithoutSlotAsync(async () =>
        {
            await rename.FollowAsync(turn.TenantId, body, ct);
            return true;
        });

    public async Task<string> HandleAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    )
    {
        var newer = await db.Events.AnyAsync(
            e => e.Topic == Topic && e.Status == EventStatus.Applied && e.TriggeredAt > waiting.TriggeredAt,
            ct
        );
        if (newer)
            return "Older than the settings that are stored.";
        var name = body.Text("name") is { Length: > 0 } given ? given : tenant.Name;
        var zone = body.Text("iana_timezone") ?? tenant.TimeZone;
        var currency = body.Text("currency") is { Length: 3 } code ? code : tenant.Currency;
        return await ShopSettings.KeepAsync(db, tenant.TenantId, name, zone, currency, ct)
            ?? "The shop's settings, as they are now.";
    }
}
