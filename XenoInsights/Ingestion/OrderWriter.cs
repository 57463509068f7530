using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;

namespace XenoInsights.Ingestion;

/// <summary>
/// Orders with their ledger, and the rollups made of it. What a version adds to the rollups is its own contribution
/// less that of the version it replaces, both read under the order's row lock in the same transaction, so stored
/// rollups equal the ledger at every commit.
/// </summary>
internal static class OrderWriter
{
    /// <summary>Shopify's name of its online checkout, among <c>source_name</c>s.</summary>
    private const string Online = "web";

    public static async Task<ApplyResult> ApplyAsync(
        XenoDbContext db,
        StoreCalendar shop,
        List<Versioned<OrderRecord>> orders,
        CancellationToken ct
    )
    {
        if (orders.Count == 0)
            return default;

        // Inserting first makes the row lock exist even for an order that nobody has seen: two first deliveries that
        // both read "nothing there" would both count.
        var inserted = await db.QueryIdsAsync(
            Header(shop, orders).Insert("on conflict (tenant_id, shopify_id) do nothing returning shopify_id"),
            ct
        );
        var (older, newer) = await LockStoredAsync(
            db,
            shop,
            [.. orders.Where(o => !inserted.Contains(o.Record.ShopifyId))],
            ct
        );

        orders = await ProductLinks.KeepAsync(db, shop.TenantId, orders, older, ct);
        orders = await KeepEditDaysAsync(db, shop.TenantId, orders, older, ct);
        var replaced = orders.FindAll(o => older.ContainsKey(o.Record.ShopifyId));
        var stored = orders.FindAll(o =>
            inserted.Contains(o.Record.ShopifyId) || older.ContainsKey(o.Record.ShopifyId)
        );
        var late = orders.FindAll(o => newer.Contains(o.Record.ShopifyId));

        var deltas = new RollupDeltas();
        var hasLearnt = await ProductLinks.LearnAsync(db, shop.TenantId, late.ConvertAll(o => o.Record), deltas, ct);
        await AddStoredAsync(db, shop.TenantId, older, deltas, sign: -1, ct);
        foreach (var order in stored)
            AddIncoming(deltas, shop, order.Record);

        var children = stored.ConvertAll(o => o.Record);
        if (stored.Count > 0)
            await db.ExecuteAsync([.. Replace(shop, replaced), .. Children(shop, children)], ct);
        await RollupWriter.ApplyAsync(db, shop.TenantId, deltas, ct);

        if (hasLearnt && stored.Count == 0)
            await IngestionWriter.BumpDataVersionAsync(db, shop.TenantId, ct);

        var storedObjects = Objects(stored);
        return new ApplyResult(storedObjects, Objects(orders) - storedObjects);
    }

    /// <summary>
    /// A payload does not tell the days of edits: lines whose sale is stored with another day than the order's keep it.
    /// </summary>
    private static async Task<List<Versioned<OrderRecord>>> KeepEditDaysAsync(
        XenoDbContext db,
        Guid tenantId,
        List<Versioned<OrderRecord>> orders,
        Dictionary<long, StoredOrder> replaced,
        CancellationToken ct
    )
    {
        var told = orders
            .Select(o => o.Record)
            .Where(o => o.Source == RecordSource.Webhook && replaced.ContainsKey(o.ShopifyId))
            .Select(o => o.ShopifyId)
            .ToHashSet();
        if (told.Count == 0)
            return orders;
        await using var command = db.Command(
            """
            select order_id, line_item_id, max(happened_at), sum(quantity)::int from order_sales
            where tenant_id = $1 and order_id = any($2) and not original and line_item_id is not null
                and quantity > 0 group by order_id, line_item_id
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(Sql.Ids(told));
        var added = new Dictionary<(long Order, long? Line), (DateTimeOffset At, int Units)>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            added[(reader.GetInt64(0), reader.GetInt64(1))] = (
                reader.GetFieldValue<DateTimeOffset>(2),
                reader.GetInt32(3)
            );
        return added.Count == 0
            ? orders
            : orders.ConvertAll(o => told.Contains(o.Record.ShopifyId) ? o with { Record = OnEditDays(o.Record) } : o);

        OrderRecord OnEditDays(OrderRecord order) =>
            order with
            {
                Sales =
                [
                    .. order.Sales.Select(s =>
                        s is { Original: true, Quantity: > 0 }
                        && added.TryGetValue((order.ShopifyId, s.LineItemId), out var edit)
                        && edit.Units == s.Quantity
                            ? s with
                            {
                                HappenedAt = edit.At,
                                Original = false,
                            }
                            : s
                    ),
                ],
            };
    }

    private static long Objects(List<Versioned<OrderRecord>> orders) => orders.Sum(o => (long)o.Record.SourceObjects);

    private static DateOnly DayOf(StoreCalendar shop, OrderRecord order, SaleRecord sale) =>
        shop.DayOf(sale.Original ? order.ProcessedAt : sale.HappenedAt);

    private static UnnestInsert<Versioned<OrderRecord>> Header(
        StoreCalendar shop,
        List<Versioned<OrderRecord>> orders
    ) =>
        new UnnestInsert<Versioned<OrderRecord>>("orders", shop.TenantId, orders)
            .Big("shopify_id", o => o.Record.ShopifyId)
            .Instant("updated_at", o => o.Record.UpdatedAt)
            .Small("source", o => (short)o.Record.Source)
            .Big("content_hash", o => o.ContentHash)
            .Instant("deleted_at", o => o.Record.Deleted ? o.Record.UpdatedAt : (DateTimeOffset?)null)
            .Text("name", o => o.Record.Name)
            .Instant("created_at", o => o.Record.CreatedAt)
            .Instant("processed_at", o => o.Record.ProcessedAt)
            .Day("business_day", o => shop.DayOf(o.Record.ProcessedAt))
            .Instant("cancelled_at", o => o.Record.CancelledAt)
            .Big("customer_id", o => o.Record.CustomerId)
            .Bool("test", o => o.Record.Test)
            .Text("financial_status", o => o.Record.FinancialStatus)
            .Text("fulfillment_status", o => o.Record.FulfillmentStatus)
            .Text("source_name", o => o.Record.SourceName)
            .Text("currency", o => o.Record.Currency ?? shop.Currency)
            .Big("current_total", o => o.Record.CurrentTotal)
            .Bool("counted", o => shop.Counts(o.Record));

    /// <summary>
    /// Locks the stored versions of the orders that were not new, and returns those that the incoming version replaces,
    /// and the ids of those that are newer than the incoming one.
    /// </summary>
    private static async Task<(Dictionary<long, StoredOrder> Older, HashSet<long> Newer)> LockStoredAsync(
        XenoDbContext db,
        StoreCalendar shop,
        List<Versioned<OrderRecord>> orders,
        CancellationToken ct
    )
    {
        var (older, newer) = (new Dictionary<long, StoredOrder>(), new HashSet<long>());
        if (orders.Count == 0)
            return (older, newer);

        var incoming = orders.ToDictionary(o => o.Record.ShopifyId, o => o.Version);
        await using var command = db.Command(
            """
            select shopify_id, updated_at, source, content_hash, business_day, customer_id, counted, source_name
            from orders where tenant_id = $1 and shopify_id = any($2) order by shopify_id for update
            """
        );
        command.Parameters.Add(Sql.Uuid(shop.TenantId));
        command.Parameters.Add(Sql.Ids(incoming.Keys));
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var id = reader.GetInt64(0);
            var version = new RecordVersion(
                reader.GetFieldValue<DateTimeOffset>(1),
                (RecordSource)reader.GetInt16(2),
                reader.GetInt64(3)
            );
            var order = incoming[id].CompareTo(version);
            if (order < 0)
                newer.Add(id);
            if (order > 0)
                older.Add(id, ReadStored(reader, 4));
        }
        return (older, newer);
    }

    /// <summary>Locks orders in key order, as every writer does, and says where each counts.</summary>
    internal static async Task<Dictionary<long, StoredOrder>> LockAsync(
        XenoDbContext db,
        Guid tenantId,
        IReadOnlyCollection<long> orders,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            select shopify_id, business_day, customer_id, counted, source_name
            from orders where tenant_id = $1 and shopify_id = any($2) order by shopify_id for update
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(Sql.Ids(orders));
        var stored = new Dictionary<long, StoredOrder>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            stored.Add(reader.GetInt64(0), ReadStored(reader, 1));
        return stored;
    }

    private static StoredOrder ReadStored(NpgsqlDataReader reader, int first) =>
        new(
            reader.GetFieldValue<DateOnly>(first),
            reader.IsDBNull(first + 1) ? null : reader.GetInt64(first + 1),
            reader.GetBoolean(first + 2),
            reader.IsDBNull(first + 3) ? null : reader.GetString(first + 3)
        );

    /// <summary>Adds what stored orders contribute to the rollups, or takes it away.</summary>
    /// <param name="orders">As they are stored; the caller holds their locks.</param>
    /// <param name="sign">1 or -1.</param>
    internal static async Task AddStoredAsync(
        XenoDbContext db,
        Guid tenantId,
        Dictionary<long, StoredOrder> orders,
        RollupDeltas deltas,
        int sign,
        CancellationToken ct
    )
    {
        var counted = orders.Where(o => o.Value.Counted).ToDictionary();
        if (counted.Count == 0)
            return;
        foreach (var order in counted.Values)
            deltas.AddOrder(order.BusinessDay, order.CustomerId, order.SourceName == Online, sign);

        await using var command = db.Command(
            """
            select order_id, day, original, measure, product_id, quantity, amount, discount, tax
            from order_sales where tenant_id = $1 and order_id = any($2)
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(Sql.Ids(counted.Keys));
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            deltas.AddSale(
                reader.GetFieldValue<DateOnly>(1),
                counted[reader.GetInt64(0)].CustomerId,
                reader.GetBoolean(2),
                (SaleMeasure)reader.GetInt16(3),
                reader.IsDBNull(4) ? null : reader.GetInt64(4),
                reader.GetInt32(5),
                reader.GetInt64(6),
                reader.GetInt64(7),
                reader.GetInt64(8),
                sign
            );
    }

    private static void AddIncoming(RollupDeltas deltas, StoreCalendar shop, OrderRecord order)
    {
        if (!shop.Counts(order))
            return;
        deltas.AddOrder(shop.DayOf(order.ProcessedAt), order.CustomerId, order.SourceName == Online, 1);
        foreach (var sale in order.Sales)
            deltas.AddSale(
                DayOf(shop, order, sale),
                order.CustomerId,
                sale.Original,
                sale.Measure,
                sale.ProductId,
                sale.Quantity,
                sale.Amount,
                sale.Discount,
                sale.Tax,
                sign: 1
            );
    }

    private static IEnumerable<NpgsqlBatchCommand> Replace(StoreCalendar shop, List<Versioned<OrderRecord>> replaced)
    {
        if (replaced.Count == 0)
            yield break;
        yield return Header(shop, replaced).Update("shopify_id");
        foreach (
            var table in (string[])["order_line_items", "order_sales", "order_entries", "refunds", "refund_line_items"]
        )
            yield return Sql.DeleteByIds(
                table,
                "order_id",
                shop.TenantId,
                replaced.ConvertAll(o => o.Record.ShopifyId)
            );
    }

    private static IEnumerable<NpgsqlBatchCommand> Children(StoreCalendar shop, List<OrderRecord> orders)
    {
        var lines = orders.SelectMany(o => o.Lines.Select(line => (o.ShopifyId, line))).ToList();
        if (lines.Count > 0)
            yield return new UnnestInsert<(long OrderId, OrderLineRecord Line)>(
                "order_line_items",
                shop.TenantId,
                lines
            )
                .Big("order_id", l => l.OrderId)
                .Big("shopify_id", l => l.Line.ShopifyId)
                .Big("product_id", l => l.Line.ProductId)
                .Big("variant_id", l => l.Line.VariantId)
                .Text("title", l => l.Line.Title)
                .Text("sku", l => l.Line.Sku)
                .Int("quantity", l => l.Line.Quantity)
                .Int("current_quantity", l => l.Line.CurrentQuantity)
                .Bool("gift_card", l => l.Line.GiftCard)
                .Big("original_total", l => l.Line.OriginalTotal)
                .Big("discount", l => l.Line.Discount)
                .Insert();

        var sales = orders.SelectMany(o => o.Sales.Select((sale, ordinal) => (o, ordinal, sale))).ToList();
        if (sales.Count > 0)
            yield return new UnnestInsert<(OrderRecord Order, int Ordinal, SaleRecord Sale)>(
                "order_sales",
                shop.TenantId,
                sales
            )
                .Big("order_id", s => s.Order.ShopifyId)
                .Int("ordinal", s => s.Ordinal)
                .Day("day", s => DayOf(shop, s.Order, s.Sale))
                .Instant("happened_at", s => s.Sale.HappenedAt)
                .Bool("original", s => s.Sale.Original)
                .Small("measure", s => (short)s.Sale.Measure)
                .Big("line_item_id", s => s.Sale.LineItemId)
                .Big("product_id", s => s.Sale.ProductId)
                .Int("quantity", s => s.Sale.Quantity)
                .Big("amount", s => s.Sale.Amount)
                .Big("discount", s => s.Sale.Discount)
                .Big("tax", s => s.Sale.Tax)
                .Insert();

        var entries = orders.Where(order => shop.Counts(order)).SelectMany(o => EntriesOf(shop, o)).ToList();
        if (entries.Count > 0)
            yield return new UnnestInsert<OrderEntry>("order_entries", shop.TenantId, entries)
                .Big("order_id", e => e.OrderId)
                .Day("day", e => e.Day)
                .Bool("original", e => e.Original)
                .Instant("at", e => e.At)
                .Big("customer_id", e => e.CustomerId)
                .Big("units", e => e.Units)
                .Big("gross", e => e.Gross)
                .Big("discounts", e => e.Discounts)
                .Big("returns", e => e.Returns)
                .Big("shipping", e => e.Shipping)
                .Big("taxes", e => e.Taxes)
                .Big("duties", e => e.Duties)
                .Big("fees", e => e.Fees)
                .Insert();

        var refunds = orders.SelectMany(o => o.Refunds.Select(refund => (o.ShopifyId, refund))).ToList();
        if (refunds.Count == 0)
            yield break;
        yield return new UnnestInsert<(long OrderId, RefundRecord Refund)>("refunds", shop.TenantId, refunds)
            .Big("order_id", r => r.OrderId)
            .Big("shopify_id", r => r.Refund.ShopifyId)
            .Instant("created_at", r => r.Refund.CreatedAt)
            .Instant("processed_at", r => r.Refund.ProcessedAt)
            .Big("total", r => r.Refund.Total)
            .Insert();
        var refundLines = refunds
            .SelectMany(r => r.refund.Lines.Select((line, ordinal) => (r.ShopifyId, r.refund.ShopifyId, ordinal, line)))
            .ToList();
        yield return new UnnestInsert<(long OrderId, long RefundId, int Ordinal, RefundLineRecord Line)>(
            "refund_line_items",
            shop.TenantId,
            refundLines
        )
            .Big("order_id", l => l.OrderId)
            .Big("refund_id", l => l.RefundId)
            .Int("ordinal", l => l.Ordinal)
            .Big("line_item_id", l => l.Line.LineItemId)
            .Int("quantity", l => l.Line.Quantity)
            .Big("subtotal", l => l.Line.Subtotal)
            .Big("tax", l => l.Line.Tax)
            .Insert();
    }

    /// <summary>
    /// One entry for the order as it was placed, though it be worth nothing, and one a day for what changed later.
    /// </summary>
    private static IEnumerable<OrderEntry> EntriesOf(StoreCalendar shop, OrderRecord order)
    {
        yield return Entry(
            order,
            shop.DayOf(order.ProcessedAt),
            order.ProcessedAt,
            [.. order.Sales.Where(s => s.Original && s.Measure != SaleMeasure.Uncounted)],
            original: true
        );
        foreach (
            var day in order
                .Sales.Where(s => !s.Original && s.Measure != SaleMeasure.Uncounted)
                .GroupBy(s => shop.DayOf(s.HappenedAt))
        )
            yield return Entry(order, day.Key, day.Max(s => s.HappenedAt), [.. day], original: false);
    }

    private static OrderEntry Entry(
        OrderRecord order,
        DateOnly day,
        DateTimeOffset at,
        SaleRecord[] sales,
        bool original
    ) =>
        new()
        {
            OrderId = order.ShopifyId,
            Day = day,
            Original = original,
            At = at,
            CustomerId = order.CustomerId,
            Units = sales.Where(s => s.Measure is SaleMeasure.Sale or SaleMeasure.Return).Sum(s => (long)s.Quantity),
            Gross = sales.Where(s => s.Measure == SaleMeasure.Sale).Sum(s => s.Amount + s.Discount),
            Discounts = sales.Where(s => s.Measure == SaleMeasure.Sale).Sum(s => s.Discount),
            Returns = -Sum(sales, SaleMeasure.Return),
            Shipping = Sum(sales, SaleMeasure.Shipping),
            Taxes = sales.Sum(s => s.Tax),
            Duties = Sum(sales, SaleMeasure.Duty),
            Fees = Sum(sales, SaleMeasure.Fee),
        };

    private static long Sum(SaleRecord[] sales, SaleMeasure measure) =>
        sales.Where(s => s.Measure == measure).Sum(s => s.Amount);
}

/// <summary>What decides where a stored order counts.</summary>
internal sealed record StoredOrder(DateOnly BusinessDay, long? CustomerId, bool Counted, string? SourceName);
