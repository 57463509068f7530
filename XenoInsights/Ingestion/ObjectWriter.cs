using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Ingestion;

/// <summary>Customers, products and checkouts: objects without rollups, gated by version inside one upsert.</summary>
internal static class ObjectWriter
{
    public static Task<ApplyResult> ApplyAsync(
        XenoDbContext db,
        StoreCalendar shop,
        List<Versioned<ProductRecord>> products,
        CancellationToken ct
    ) =>
        ReplaceOlderAsync(
            db,
            products,
            Keyed("products", shop, products)
                .Instant("created_at", r => r.Record.CreatedAt)
                .Text("title", r => r.Record.Title)
                .Text("handle", r => r.Record.Handle)
                .Text("status", r => r.Record.Status)
                .Text("vendor", r => r.Record.Vendor)
                .Text("product_type", r => r.Record.ProductType)
                .Bool("gift_card", r => r.Record.GiftCard),
            ct
        );

    public static Task<ApplyResult> ApplyAsync(
        XenoDbContext db,
        StoreCalendar shop,
        List<Versioned<CustomerRecord>> customers,
        CancellationToken ct
    ) =>
        ReplaceOlderAsync(
            db,
            customers,
            Keyed("customers", shop, customers)
                .Instant("created_at", r => r.Record.CreatedAt)
                .Text("first_name", r => r.Record.FirstName)
                .Text("last_name", r => r.Record.LastName)
                .Text("display_name", r => r.Record.DisplayName)
                .Text("email", r => r.Record.Email)
                .Text("phone", r => r.Record.Phone)
                .Text("country_code", r => r.Record.CountryCode)
                .Text("city", r => r.Record.City)
                .Text("state", r => r.Record.State)
                .Big("number_of_orders", r => r.Record.NumberOfOrders)
                .Big("amount_spent", r => r.Record.AmountSpent),
            ct
        );

    public static Task<ApplyResult> ApplyAsync(
        XenoDbContext db,
        StoreCalendar shop,
        List<Versioned<CheckoutRecord>> checkouts,
        CancellationToken ct
    ) =>
        ReplaceOlderAsync(
            db,
            checkouts,
            Keyed("checkouts", shop, checkouts)
                .Text("name", r => r.Record.Name)
                .Instant("created_at", r => r.Record.CreatedAt)
                .Instant("completed_at", r => r.Record.CompletedAt)
                .Day("business_day", r => shop.DayOf(r.Record.CreatedAt))
                .Big("customer_id", r => r.Record.CustomerId)
                .Text("recovery_url", r => r.Record.RecoveryUrl)
                .Text("currency", r => r.Record.Currency ?? shop.Currency)
                .Big("total", r => r.Record.Total),
            ct,
            stored => ReplaceLines(shop, stored)
        );

    private static UnnestInsert<Versioned<T>> Keyed<T>(string table, StoreCalendar shop, List<Versioned<T>> records)
        where T : IngestRecord =>
        new UnnestInsert<Versioned<T>>(table, shop.TenantId, records)
            .Big("shopify_id", r => r.Record.ShopifyId)
            .Instant("updated_at", r => r.Record.UpdatedAt)
            .Small("source", r => (short)r.Record.Source)
            .Big("content_hash", r => r.ContentHash)
            .Instant("deleted_at", r => r.Record.Deleted ? r.Record.UpdatedAt : (DateTimeOffset?)null);

    private static async Task<ApplyResult> ReplaceOlderAsync<T>(
        XenoDbContext db,
        List<Versioned<T>> records,
        UnnestInsert<Versioned<T>> rows,
        CancellationToken ct,
        Func<List<T>, IEnumerable<NpgsqlBatchCommand>>? children = null
    )
        where T : IngestRecord
    {
        if (records.Count == 0)
            return default;

        var storedIds = await db.QueryIdsAsync(rows.ReplaceOlder(), ct);
        var stored = records.Where(r => storedIds.Contains(r.Record.ShopifyId)).Select(r => r.Record).ToList();
        if (children is not null && stored.Count > 0)
            await db.ExecuteAsync(children(stored), ct);

        var storedObjects = stored.Sum(r => (long)r.SourceObjects);
        return new ApplyResult(storedObjects, records.Sum(r => (long)r.Record.SourceObjects) - storedObjects);
    }

    private static IEnumerable<NpgsqlBatchCommand> ReplaceLines(StoreCalendar shop, List<CheckoutRecord> checkouts)
    {
        yield return Sql.DeleteByIds(
            "checkout_line_items",
            "checkout_id",
            shop.TenantId,
            checkouts.ConvertAll(c => c.ShopifyId)
        );
        var lines = checkouts.SelectMany(c => c.Lines.Select((line, ordinal) => (c.ShopifyId, ordinal, line))).ToList();
        yield return new UnnestInsert<(long CheckoutId, int Ordinal, CheckoutLineRecord Line)>(
            "checkout_line_items",
            shop.TenantId,
            lines
        )
            .Big("checkout_id", l => l.CheckoutId)
            .Int("ordinal", l => l.Ordinal)
            .Big("product_id", l => l.Line.ProductId)
            .Text("title", l => l.Line.Title)
            .Text("sku", l => l.Line.Sku)
            .Int("quantity", l => l.Line.Quantity)
            .Big("total", l => l.Line.Total)
            .Insert();
    }
}
