using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>
/// What Shopify asks for beyond new versions of objects. Each runs in the transaction that marks its delivery, may run again after a
/// failure, and compares when it was triggered with what happened since: deliveries come late and out of order.
/// </summary>
internal sealed class Demands(SyncSignal signal, BulkFinished bulkFinished)
{
    private const string AllOrdersScope = "read_all_orders";

    /// <summary>Does it and says what was done, in words for people.</summary>
    public static Task<string> CarryOutAsync(XenoDbContext db, Tenant tenant, Demand demand, EventProcessor.Waiting delivery, CancellationToken ct)
    {
        using var document = JsonDocument.Parse(StorableJson.Clean(delivery.Payload!));
        var body = document.RootElement.Clone();
        return demand switch
        {
            Demand.UpdateShop => UpdateShopAsync(db, tenant, body, delivery.TriggeredAt, ct),
            Demand.Uninstall => UninstallAsync(db, tenant, Earlier(delivery), ct),
            Demand.UpdateScopes => UpdateScopesAsync(db, tenant, body, delivery.TriggeredAt, ct),
            Demand.WakeImport => Task.FromResult("The import that waits for it was told."),
            Demand.MergeCustomers => MergeCustomersAsync(db, tenant, body, delivery.TriggeredAt, ct),
            Demand.AnswerDataRequest => AnswerDataRequestAsync(db, tenant, body, delivery.TriggeredAt, ct),
            Demand.RedactCustomer => RedactCustomerAsync(db, tenant, body, delivery, ct),
            Demand.RedactShop => RedactShopAsync(db, tenant, delivery, ct),
            _ => throw new ArgumentOutOfRangeException(nameof(demand), demand, "Nothing to carry out."),
        };
    }

    /// <summary>After the commit: wakes who waits for what the delivery announced. Lost with the process it costs a poll, no more.</summary>
    public void Announce(Guid tenantId, string topic)
    {
        if (topic != "bulk_operations/finish") return;
        bulkFinished.Announce(tenantId);
        signal.Wake();
    }

    private static async Task<string> UpdateShopAsync(XenoDbContext db, Tenant tenant, JsonElement shop, DateTimeOffset triggeredAt, CancellationToken ct)
    {
        var newer = await db.Events.AnyAsync(e => e.Topic == "shop/update" && e.Status == EventStatus.Applied && e.TriggeredAt > triggeredAt, ct);
        if (newer) return "Older than the settings that are stored.";
        var name = shop.Text("name") is { Length: > 0 } given ? given : tenant.Name;
        var zone = shop.Text("iana_timezone") ?? tenant.TimeZone;
        var currency = shop.Text("currency") is { Length: 3 } code ? code : tenant.Currency;
        return await ShopSettings.KeepAsync(db, tenant.TenantId, name, zone, currency, ct) ?? "The shop's settings, as they are now.";
    }

    private static async Task<string> UninstallAsync(XenoDbContext db, Tenant tenant, DateTimeOffset triggeredAt, CancellationToken ct)
    {
        if (triggeredAt < tenant.ConnectedAt) return "The app was installed again since.";
        await DisconnectAsync(db, tenant.TenantId, triggeredAt, ct);
        return "The app was removed in Shopify: its access is deleted and nothing is read any more. The data stay until Shopify asks for their erasure.";
    }

    /// <summary>Ends everything that reads from the shop, unless it was connected again since.</summary>
    internal static async Task DisconnectAsync(XenoDbContext db, Guid tenantId, DateTimeOffset at, CancellationToken ct)
    {
        if (await db.Tenants.Where(t => t.ConnectedAt <= at).ExecuteUpdateAsync(set => set.SetProperty(t => t.Status, TenantStatus.Disconnected), ct) == 0) return;
        await db.ShopifyCredentials.ExecuteDeleteAsync(ct);
        await db.Rereads.ExecuteDeleteAsync(ct);
        await using var cancel = db.Command(
            """
            update sync_jobs set status = 'Cancelled', phase = null, error = 'The app was removed in Shopify.', finished_at = now(), lease_owner = null, lease_until = null
            where tenant_id = $1 and status in ('Queued', 'Running')
            """);
        cancel.Parameters.Add(Sql.Uuid(tenantId));
        await cancel.ExecuteNonQueryAsync(ct);
        await IngestionWriter.BumpDataVersionAsync(db, tenantId, ct);
    }

    private static async Task<string> UpdateScopesAsync(XenoDbContext db, Tenant tenant, JsonElement body, DateTimeOffset triggeredAt, CancellationToken ct)
    {
        if (triggeredAt < tenant.ConnectedAt) return "The app was connected again since, with the rights it has now.";
        if (!body.TryGetProperty("current", out var current) || current.ValueKind != JsonValueKind.Array) throw new FormatException("A change of scopes lacks 'current'.");
        var scopes = current.EnumerateArray().Select(scope => scope.GetString()).OfType<string>().ToList();
        await db.ShopifyCredentials.ExecuteUpdateAsync(set => set.SetProperty(c => c.Scopes, string.Join(',', scopes)), ct);
        await db.Tenants.ExecuteUpdateAsync(set => set.SetProperty(t => t.HistoryLimited, !scopes.Contains(AllOrdersScope)), ct);
        // What Shopify did not show so far has to be read.
        if (tenant.HistoryLimited && scopes.Contains(AllOrdersScope)) await SyncJobs.EnqueueAsync(db, tenant.TenantId, SyncJobType.Full, null, ct);
        return $"The app may now: {string.Join(", ", scopes)}.";
    }

    /// <summary>One customer vanishes and Shopify moves their orders: those we have are read again, under the customer they belong to now.</summary>
    private static async Task<string> MergeCustomersAsync(XenoDbContext db, Tenant tenant, JsonElement body, DateTimeOffset triggeredAt, CancellationToken ct)
    {
        var (kept, gone) = (IdOf(body, "admin_graphql_api_customer_kept_id"), IdOf(body, "admin_graphql_api_customer_deleted_id"));
        var orders = await db.Orders.Where(o => o.CustomerId == gone).Select(o => o.ShopifyId).ToListAsync(ct);
        await IngestionWriter.ApplyAsync(db, new ShopCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone), [WebhookPayload.DeletedCustomer(gone, WebhookPayload.VersionOfDeletion(triggeredAt))], ct);
        await Rereads.RequestAsync(db, tenant.TenantId, orders.Select(id => (RereadKind.Order, id)).Append((RereadKind.Customer, kept)), ct);
        return $"Merged into another customer; {orders.Count} orders are read again.";
    }

    private static long IdOf(JsonElement body, string name) =>
        body.Text(name) is { } gid && long.TryParse(gid.AsSpan(gid.LastIndexOf('/') + 1), out var id) ? id : throw new FormatException($"A merge lacks '{name}'.");

    private static async Task<string> AnswerDataRequestAsync(XenoDbContext db, Tenant tenant, JsonElement body, DateTimeOffset triggeredAt, CancellationToken ct)
    {
        var customer = body.Object("customer")?.LongOrNull("id");
        if (customer is null) return "The request names no customer id, and people are known by nothing else here: there is nothing to hand out.";
        // Not Shopify's own counters, which its deliveries no longer tell: the orders themselves are in the file.
        await using var command = db.Command(
            """
            insert into data_requests (tenant_id, id, customer_id, requested_at, file)
            select $1, $2, $3, $4, jsonb_build_object(
                'customer', (select to_jsonb(c) - array['tenant_id', 'content_hash', 'source', 'number_of_orders', 'amount_spent'] from customers c where c.tenant_id = $1 and c.shopify_id = $3),
                'orders', (select coalesce(jsonb_agg((to_jsonb(o) - array['tenant_id', 'content_hash', 'source']) || jsonb_build_object('lines',
                    (select coalesce(jsonb_agg(to_jsonb(l) - array['tenant_id', 'order_id']), '[]') from order_line_items l where l.tenant_id = $1 and l.order_id = o.shopify_id)) order by o.created_at), '[]')
                    from orders o where o.tenant_id = $1 and o.customer_id = $3),
                'checkouts', (select coalesce(jsonb_agg(to_jsonb(k) - array['tenant_id', 'content_hash', 'source'] order by k.created_at), '[]') from checkouts k where k.tenant_id = $1 and k.customer_id = $3))
            """);
        command.Parameters.Add(Sql.Uuid(tenant.TenantId));
        command.Parameters.Add(Sql.Uuid(Guid.CreateVersion7()));
        command.Parameters.Add(new NpgsqlParameter { Value = customer });
        command.Parameters.Add(new NpgsqlParameter { Value = triggeredAt.UtcDateTime });
        await command.ExecuteNonQueryAsync(ct);
        return "What is stored of the person is ready for the store's owner to download.";
    }

    private static async Task<string> RedactCustomerAsync(XenoDbContext db, Tenant tenant, JsonElement body, EventProcessor.Waiting delivery, CancellationToken ct)
    {
        var customer = body.Object("customer");
        var id = customer?.LongOrNull("id");
        var orders = body.TryGetProperty("orders_to_redact", out var list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray().Where(o => o.ValueKind == JsonValueKind.Number).Select(o => o.GetInt64()).ToArray() : [];
        var (before, after) = await Erasure.ErasePersonAsync(db, new ShopCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone), id, customer?.Text("email"), customer?.Text("phone"), orders,
            WebhookPayload.VersionOfDeletion(delivery.TriggeredAt), ct);
        await EvidenceAsync(db, tenant.TenantId, delivery, before, after, ct);
        return $"{before - after} rows about the person were erased.";
    }

    private static async Task<string> RedactShopAsync(XenoDbContext db, Tenant tenant, EventProcessor.Waiting delivery, CancellationToken ct)
    {
        // Shopify does not send it to who reinstalled; one that was under way then must not erase the new start.
        if (tenant.Status != TenantStatus.Disconnected && Earlier(delivery) < tenant.ConnectedAt) return "The app was installed again since; nothing was erased.";
        var (before, after) = await Erasure.EraseStoreAsync(db, tenant.TenantId, ct);
        await EvidenceAsync(db, tenant.TenantId, delivery, before, after, ct);
        return "Everything about the store was erased.";
    }

    /// <summary>When it was triggered, but never after it was received: a clock that is ahead must not outrun a connection made since.</summary>
    internal static DateTimeOffset Earlier(EventProcessor.Waiting delivery) => delivery.TriggeredAt < delivery.ReceivedAt ? delivery.TriggeredAt : delivery.ReceivedAt;

    private static async Task EvidenceAsync(XenoDbContext db, Guid store, EventProcessor.Waiting delivery, long before, long after, CancellationToken ct)
    {
        await using var command = db.Command("insert into redactions (id, store, topic, webhook_id, requested_at, done_at, rows_before, rows_after) values ($1, $2, $3, $4, $5, clock_timestamp(), $6, $7)");
        command.Parameters.Add(Sql.Uuid(Guid.CreateVersion7()));
        command.Parameters.Add(Sql.Uuid(store));
        command.Parameters.Add(new NpgsqlParameter { Value = delivery.Topic });
        command.Parameters.Add(new NpgsqlParameter { Value = delivery.WebhookId });
        command.Parameters.Add(new NpgsqlParameter { Value = delivery.TriggeredAt.UtcDateTime });
        command.Parameters.Add(new NpgsqlParameter { Value = before });
        command.Parameters.Add(new NpgsqlParameter { Value = after });
        await command.ExecuteNonQueryAsync(ct);
    }
}

/// <summary>Erases what is stored, as the law and Shopify ask, inside the caller's unit of work. Counts rows before and after.</summary>
internal static class Erasure
{
    /// <summary>
    /// The person's row becomes a tombstone, so that no older delivery brings it back; their checkouts lose the link back to the cart; and
    /// every stored payload that speaks of them is emptied. Orders hold no personal data and stay: the shop's figures do not change.
    /// A payload that still waits to be applied is emptied too, and its order is read again instead.
    /// </summary>
    public static async Task<(long Before, long After)> ErasePersonAsync(
        XenoDbContext db, ShopCalendar shop, long? customerId, string? email, string? phone, long[] orders, DateTimeOffset version, CancellationToken ct)
    {
        var before = await CountAsync();
        if (customerId is { } id) await IngestionWriter.ApplyAsync(db, shop, [WebhookPayload.DeletedCustomer(id, version) with { Source = RecordSource.Erasure }], ct);
        await db.ExecuteAsync(
        [
            Command("update checkouts set recovery_url = null where tenant_id = $1 and customer_id = $2"),
            Command("delete from data_requests where tenant_id = $1 and customer_id = $2"),
            Command(
                $"""
                insert into rereads (tenant_id, kind, shopify_id, requested_at, due_at, attempts)
                select distinct $1, 1, object_id, now(), now(), 0 from events where tenant_id = $1 and status = 1 and topic like 'orders/%' and object_id is not null and {About}
                on conflict (tenant_id, kind, shopify_id) do update set requested_at = greatest(excluded.requested_at, rereads.requested_at + interval '1 microsecond')
                """),
            Command(
                $"""
                update events set payload = null, status = case when status = 1 and topic <> 'customers/redact' then 3 else status end,
                    outcome = case when status = 1 and topic <> 'customers/redact' then 'The person it speaks of was erased before it was applied.' else outcome end
                where tenant_id = $1 and payload is not null and {About}
                """),
        ], ct);
        return (before, await CountAsync());

        async Task<long> CountAsync()
        {
            await using var batch = db.Batch([Command(
                $"""
                select (select count(*) from customers where tenant_id = $1 and shopify_id = $2 and deleted_at is null)
                     + (select count(*) from checkouts where tenant_id = $1 and customer_id = $2 and recovery_url is not null)
                     + (select count(*) from data_requests where tenant_id = $1 and customer_id = $2)
                     + (select count(*) from events where tenant_id = $1 and payload is not null and {About})
                """)]);
            return (long)(await batch.ExecuteScalarAsync(ct))!;
        }

        NpgsqlBatchCommand Command(string sql) => new(sql)
        {
            Parameters =
            {
                Sql.Uuid(shop.TenantId),
                new() { Value = (object?)customerId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint },
                new() { Value = (object?)email ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                new() { Value = (object?)phone ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                Sql.Ids(orders),
            },
        };
    }

    /// <summary>Empties those of the deliveries that speak of somebody who was erased before they came: what they said is applied, or not to be applied.</summary>
    public static async Task ForgetLateAsync(XenoDbContext db, Guid tenantId, IEnumerable<(string WebhookId, long CustomerId)> deliveries, CancellationToken ct)
    {
        var told = deliveries.ToList();
        if (told.Count == 0) return;
        await using var command = db.Command(
            """
            update events set payload = null from unnest($2, $3) as told(webhook_id, customer_id) join customers c on c.tenant_id = $1 and c.shopify_id = told.customer_id
            where events.tenant_id = $1 and events.webhook_id = told.webhook_id and c.deleted_at is not null and c.source = $4
            """);
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(new NpgsqlParameter { Value = told.ConvertAll(t => t.WebhookId), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        command.Parameters.Add(Sql.Ids(told.ConvertAll(t => t.CustomerId)));
        command.Parameters.Add(new NpgsqlParameter { Value = (short)RecordSource.Erasure });
        await command.ExecuteNonQueryAsync(ct);
    }

    // Bodies are bytes: the id, the address or the number anywhere in them is enough.
    private const string About =
        """
        (object_id = any($5) or (topic like 'customers/%' and object_id = $2)
         or position(convert_to($2::text, 'UTF8') in payload) > 0 or position(convert_to(nullif($3, ''), 'UTF8') in payload) > 0 or position(convert_to(nullif($4, ''), 'UTF8') in payload) > 0)
        """;

    /// <summary>Every row of the store in every table there is, this delivery included; the catalogue says which tables those are.</summary>
    public static async Task<(long Before, long After)> EraseStoreAsync(XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        await Rollups.LockExclusiveAsync(db, tenantId, ct);
        // The domain first: whoever stores a delivery of this store now waits for us and then does not find it.
        var tables = (await TablesAsync(db, ct)).OrderBy(t => t == "shop_domains" ? 0 : t == "tenants" ? 2 : 1).ThenBy(t => t, StringComparer.Ordinal).ToList();
        var before = await CountAsync(db, tenantId, tables, ct);
        await db.ExecuteAsync(tables.ConvertAll(table => new NpgsqlBatchCommand($"delete from {table} where tenant_id = $1") { Parameters = { Sql.Uuid(tenantId) } }), ct);
        return (before, await CountAsync(db, tenantId, tables, ct));
    }

    private static async Task<List<string>> TablesAsync(XenoDbContext db, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            select quote_ident(c.relname) from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            """);
        var tables = new List<string>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) tables.Add(reader.GetString(0));
        return tables;
    }

    private static async Task<long> CountAsync(XenoDbContext db, Guid tenantId, List<string> tables, CancellationToken ct)
    {
        await using var command = db.Command($"select {string.Join(" + ", tables.ConvertAll(table => $"(select count(*) from {table} where tenant_id = $1)"))}");
        command.Parameters.Add(Sql.Uuid(tenantId));
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }
}
