using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Compliance;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Queues;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>
/// What Shopify asks for beyond new versions of objects. Each runs in the transaction that marks its delivery, may run again after a
/// failure, and compares when it was triggered with what happened since: deliveries come late and out of order.
/// </summary>
internal sealed class ShopActions(
    [FromKeyedServices(SyncJobs.Queue)] WorkSignal signal,
    BulkFinished bulkFinished,
    Erasure erasure,
    ErasureList erasures
)
{
    private const string AllOrdersScope = "read_all_orders";

    /// <summary>Does it and says what was done, in words for people.</summary>
    public Task<string> CarryOutAsync(
        XenoDbContext db,
        Tenant tenant,
        ShopAction demand,
        EventProcessor.Waiting delivery,
        CancellationToken ct
    )
    {
        using var document = JsonDocument.Parse(StorableJson.Clean(delivery.Payload!));
        var body = document.RootElement.Clone();
        return demand switch
        {
            ShopAction.UpdateShop => UpdateShopAsync(db, tenant, body, delivery.TriggeredAt, ct),
            ShopAction.Uninstall => UninstallAsync(db, tenant, Earlier(delivery), ct),
            ShopAction.UpdateScopes => UpdateScopesAsync(db, tenant, body, delivery.TriggeredAt, ct),
            ShopAction.WakeImport => Task.FromResult("The import that waits for it was told."),
            ShopAction.MergeCustomers => MergeCustomersAsync(db, tenant, body, delivery.TriggeredAt, ct),
            ShopAction.AnswerDataRequest => AnswerDataRequestAsync(db, tenant, body, delivery.TriggeredAt, ct),
            ShopAction.RedactCustomer => RedactCustomerAsync(db, tenant, body, delivery, ct),
            ShopAction.RedactShop => RedactShopAsync(db, tenant, delivery, ct),
            _ => throw new ArgumentOutOfRangeException(nameof(demand), demand, "Nothing to carry out."),
        };
    }

    /// <summary>
    /// After the commit: wakes who waits for what the delivery announced, which lost with the process costs a poll and
    /// no more; and tells of erasures.
    /// </summary>
    public async Task AnnounceAsync(Guid tenantId, EventProcessor.Waiting delivery, CancellationToken ct)
    {
        if (EventContent.ActionOf(delivery.Topic) is ShopAction.RedactCustomer or ShopAction.RedactShop)
            await erasures.LogAsync(tenantId, delivery.WebhookId, ct);
        if (delivery.Topic != "bulk_operations/finish")
            return;
        bulkFinished.Announce(tenantId);
        signal.Wake();
    }

    private static async Task<string> UpdateShopAsync(
        XenoDbContext db,
        Tenant tenant,
        JsonElement shop,
        DateTimeOffset triggeredAt,
        CancellationToken ct
    )
    {
        var newer = await db.Events.AnyAsync(
            e => e.Topic == "shop/update" && e.Status == EventStatus.Applied && e.TriggeredAt > triggeredAt,
            ct
        );
        if (newer)
            return "Older than the settings that are stored.";
        var name = shop.Text("name") is { Length: > 0 } given ? given : tenant.Name;
        var zone = shop.Text("iana_timezone") ?? tenant.TimeZone;
        var currency = shop.Text("currency") is { Length: 3 } code ? code : tenant.Currency;
        return await ShopSettings.KeepAsync(db, tenant.TenantId, name, zone, currency, ct)
            ?? "The shop's settings, as they are now.";
    }

    private static async Task<string> UninstallAsync(
        XenoDbContext db,
        Tenant tenant,
        DateTimeOffset triggeredAt,
        CancellationToken ct
    )
    {
        if (triggeredAt < tenant.ConnectedAt)
            return "The app was installed again since.";
        await DisconnectStore.DisconnectAsync(db, tenant.TenantId, triggeredAt, ct);
        return "The app was removed in Shopify: its access is deleted and nothing is read any more. The data stay until Shopify asks for their erasure.";
    }

    private static async Task<string> UpdateScopesAsync(
        XenoDbContext db,
        Tenant tenant,
        JsonElement body,
        DateTimeOffset triggeredAt,
        CancellationToken ct
    )
    {
        if (triggeredAt < tenant.ConnectedAt)
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

    /// <summary>One customer vanishes and Shopify moves their orders: those we have are read again, under the customer they belong to now.</summary>
    internal static async Task<string> MergeCustomersAsync(
        XenoDbContext db,
        Tenant tenant,
        JsonElement body,
        DateTimeOffset triggeredAt,
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
            [WebhookPayload.DeletedCustomer(gone, WebhookPayload.VersionOfDeletion(triggeredAt))],
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

    private static async Task<string> AnswerDataRequestAsync(
        XenoDbContext db,
        Tenant tenant,
        JsonElement body,
        DateTimeOffset triggeredAt,
        CancellationToken ct
    )
    {
        var customer = body.Object("customer")?.LongOrNull("id");
        if (customer is null)
            return "The request names no customer id, and people are known by nothing else here: there is nothing to hand out.";
        // Not Shopify's own counters, which its deliveries no longer tell: the orders themselves are in the file.
        await using var command = db.Command(
            """
            insert into data_requests (tenant_id, id, customer_id, requested_at, file)
            select $1, $2, $3, $4, jsonb_build_object(
                'customer', (select to_jsonb(c) - array['tenant_id', 'content_hash', 'source', 'number_of_orders',
                    'amount_spent'] from customers c where c.tenant_id = $1 and c.shopify_id = $3),
                'orders', (select coalesce(jsonb_agg((to_jsonb(o) - array['tenant_id', 'content_hash', 'source']) || jsonb_build_object('lines',
                    (select coalesce(jsonb_agg(to_jsonb(l) - array['tenant_id', 'order_id']), '[]') from order_line_items l where l.tenant_id = $1 and l.order_id = o.shopify_id)) order by o.created_at), '[]')
                    from orders o where o.tenant_id = $1 and o.customer_id = $3),
                'checkouts', (select coalesce(jsonb_agg(to_jsonb(k) - array['tenant_id', 'content_hash', 'source'] order by k.created_at), '[]') from checkouts k where k.tenant_id = $1 and k.customer_id = $3))
            """
        );
        command.Parameters.Add(Sql.Uuid(tenant.TenantId));
        command.Parameters.Add(Sql.Uuid(Guid.CreateVersion7()));
        command.Parameters.Add(new NpgsqlParameter { Value = customer });
        command.Parameters.Add(new NpgsqlParameter { Value = triggeredAt.UtcDateTime });
        await command.ExecuteNonQueryAsync(ct);
        return "What is stored of the person is ready for the store's owner to download.";
    }

    private async Task<string> RedactCustomerAsync(
        XenoDbContext db,
        Tenant tenant,
        JsonElement body,
        EventProcessor.Waiting delivery,
        CancellationToken ct
    )
    {
        var customer = body.Object("customer");
        var orders =
            body.TryGetProperty("orders_to_redact", out var list) && list.ValueKind == JsonValueKind.Array
                ? list.EnumerateArray()
                    .Where(o => o.ValueKind == JsonValueKind.Number)
                    .Select(o => o.GetInt64())
                    .ToArray()
                : [];
        var person = new Person(
            customer?.LongOrNull("id"),
            Given(customer?.Text("email")),
            Given(customer?.Text("phone")),
            orders
        );
        var erased = await erasure.ErasePersonAsync(db, tenant, person, Request.Of(delivery), ct);
        return $"{erased.RowsBefore} rows about the person were erased.";
    }

    private static string[] Given(string? text) => string.IsNullOrWhiteSpace(text) ? [] : [text];

    private static async Task<string> RedactShopAsync(
        XenoDbContext db,
        Tenant tenant,
        EventProcessor.Waiting delivery,
        CancellationToken ct
    )
    {
        // Shopify does not send it to who reinstalled; one that was under way then must not erase the new start.
        if (tenant.Status != TenantStatus.Disconnected && Earlier(delivery) < tenant.ConnectedAt)
            return "The app was installed again since; nothing was erased.";
        await Erasure.EraseStoreAsync(db, tenant, Request.Of(delivery), ct);
        return "Everything about the store was erased.";
    }

    /// <summary>
    /// When it was triggered, but never after it was received: a clock that is ahead must not outrun a connection made
    /// since.
    /// </summary>
    internal static DateTimeOffset Earlier(EventProcessor.Waiting delivery) =>
        delivery.TriggeredAt < delivery.ReceivedAt ? delivery.TriggeredAt : delivery.ReceivedAt;
}
