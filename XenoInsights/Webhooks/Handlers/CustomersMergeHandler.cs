using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks.Handlers;

/// <summary>
/// One customer vanishes and Shopify moves their orders: those that are stored are refetched, under the customer they
/// belong to now.
/// </summary>
internal sealed class CustomersMergeHandler : IEventHandler
{
    public string Topic => WebhookTopics.CustomersMerge;

    public Task<string> HandleAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    ) => MergeAsync(db, tenant, waiting, body, ct);

    public static async Task<string> MergeAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    )
    {
        var (kept, gone) = (
            IdOf(body, "admin_graphql_api_customer_kept_id"),
            IdOf(body, "admin_graphql_api_customer_deleted_id")
        );
        var orders = await db.Orders.Where(o => o.CustomerId == gone).Select(o => o.ShopifyId).ToListAsync(ct);
        await IngestionWriter.ApplyAsync(
            db,
            new StoreCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone),
            [WebhookPayload.DeletedCustomer(gone, WebhookPayload.VersionOfDeletion(waiting.TriggeredAt))],
            ct
        );
        await Refetches.RequestAsync(
            db,
            tenant.TenantId,
            orders.Select(id => (RefetchKind.Order, id)).Append((RefetchKind.Customer, kept)),
            ct
        );
        return $"Merged into another customer; {orders.Count} orders are read again.";
    }

    private static long IdOf(JsonElement body, string name) =>
        body.Text(name) is { } gid && long.TryParse(gid.AsSpan(gid.LastIndexOf('/') + 1), out var id)
            ? id
            : throw new FormatException($"A merge lacks '{name}'.");
}
