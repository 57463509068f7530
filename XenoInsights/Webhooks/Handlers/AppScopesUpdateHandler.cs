using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks.Handlers;

/// <summary>The access scopes that the merchant granted.</summary>
internal sealed class AppScopesUpdateHandler : IEventHandler
{
    private const string AllOrdersScope = "read_all_orders";

    public string Topic => WebhookTopics.AppScopesUpdate;

    public async Task<string> HandleAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    )
    {
        if (waiting.TriggeredAt < tenant.ConnectedAt)
            return "The app was connected again since, with the rights it has now.";
        if (!body.TryGetProperty("current", out var current) || current.ValueKind != JsonValueKind.Array)
            throw new FormatException("A change of scopes lacks 'current'.");
        var scopes = current.EnumerateArray().Select(scope => scope.GetString()).OfType<string>().ToList();
        await db.ShopifyCredentials.ExecuteUpdateAsync(
            set => set.SetProperty(c => c.Scopes, string.Join(',', scopes)),
            ct
        );
        await db.Tenants.ExecuteUpdateAsync(
            set => set.SetProperty(t => t.HistoryLimited, !scopes.Contains(AllOrdersScope)),
            ct
        );
        // What Shopify did not show so far has to be read.
        if (tenant.HistoryLimited && scopes.Contains(AllOrdersScope))
            await SyncJobs.EnqueueAsync(db, tenant.TenantId, SyncJobType.Full, null, ct);
        return $"The app may now: {string.Join(", ", scopes)}.";
    }
}
