using Npgsql;
using XenoInsights.Data;

namespace XenoInsights.Ingestion;

/// <summary>The rollups: kept exact by deltas with every apply, and computable from the ledger at any time. Both must agree, always.</summary>
public static class Rollups
{
    /// <summary>Applies of one tenant run side by side; a rebuild waits for them and holds them off.</summary>
    /// <exception cref="ShopChangedException">The days or amounts of <paramref name="shop"/> are no longer those of the store.</exception>
    /// <exception cref="SchemaMismatchException">The database accepts newer versions only.</exception>
    internal static async Task LockSharedAsync(XenoDbContext db, ShopCalendar shop, CancellationToken ct)
    {
        await using var batch = db.Batch(
        [
            new("select pg_advisory_xact_lock_shared(hashtextextended($1::text, 0))") { Parameters = { Sql.Uuid(shop.TenantId) } },
            // After the lock, so that nobody can change it before the end of this unit of work.
            new("select currency, time_zone, (select required_migration from schema_info) from tenants where tenant_id = $1") { Parameters = { Sql.Uuid(shop.TenantId) } },
        ]);
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        if (!await reader.ReadAsync(ct)) throw new StoreErasedException();
        if (!shop.Is(reader.GetString(0), reader.GetString(1))) throw new ShopChangedException();
        // A backfill may have begun that relies on what only newer versions keep.
        Schema.ThrowIfTooOld(await reader.IsDBNullAsync(2, ct) ? null : reader.GetString(2));
    }

    internal static Task LockExclusiveAsync(XenoDbContext db, Guid tenantId, CancellationToken ct) =>
        db.ExecuteAsync([new NpgsqlBatchCommand("select pg_advisory_xact_lock(hashtextextended($1::text, 0))") { Parameters = { Sql.Uuid(tenantId) } }], ct);

    /// <summary>Adds deltas row by row in key order, table after table, which is the lock order of every writer.</summary>
    internal static async Task ApplyAsync(XenoDbContext db, Guid tenantId, RollupDeltas deltas, CancellationToken ct)
    {
        var returns = await CustomerHistories.ApplyAsync(db, tenantId, deltas, ct);

        var commands = new List<NpgsqlBatchCommand>();
        var days = deltas.Days.Where(d => d.Value != default).OrderBy(d => d.Key).ToList();
        if (days.Count > 0)
            commands.Add(new RowSet<KeyValuePair<DateOnly, SalesDelta>>("sales_days", tenantId, days)
                .Day("day", d => d.Key)
                .Big("orders", d => d.Value.Orders)
                .Big("online_orders", d => d.Value.OnlineOrders)
                .Big("order_value", d => d.Value.OrderValue)
                .Big("gross", d => d.Value.Gross)
                .Big("discounts", d => d.Value.Discounts)
                .Big("returns", d => d.Value.Returns)
                .Big("shipping", d => d.Value.Shipping)
                .Big("taxes", d => d.Value.Taxes)
                .Big("duties", d => d.Value.Duties)
                .Big("fees", d => d.Value.Fees)
                .Big("customers", d => d.Value.Customers)
                .Big("new_customers", d => d.Value.NewCustomers)
                .Big("one_order_customers", d => d.Value.OneOrderCustomers)
                .AddTo("day"));

        var products = deltas.Products.Where(p => p.Value != default).OrderBy(p => p.Key).ToList();
        if (products.Count > 0) commands.Add(Measures(new("product_days", tenantId, products)).AddTo("day", "product_id"));
        var months = deltas.ProductMonths().Where(p => p.Value != default).OrderBy(p => p.Key).ToList();
        if (months.Count > 0) commands.Add(Measures(new("product_months", tenantId, months), "month").AddTo("month", "product_id"));

        var pairs = returns.Where(r => r.Value != 0).OrderBy(r => r.Key).ToList();
        if (pairs.Count > 0)
            commands.Add(new RowSet<KeyValuePair<(DateOnly Day, DateOnly PreviousDay), long>>("customer_returns", tenantId, pairs)
                .Day("day", r => r.Key.Day)
                .Day("previous_day", r => r.Key.PreviousDay)
                .Big("customers", r => r.Value)
                .AddTo("day", "previous_day"));

        if (commands.Count > 0) await db.ExecuteAsync(commands, ct);
    }

    private static RowSet<KeyValuePair<(DateOnly First, long ProductId), ProductDelta>> Measures(RowSet<KeyValuePair<(DateOnly First, long ProductId), ProductDelta>> rows, string first = "day") => rows
        .Day(first, p => p.Key.First)
        .Big("product_id", p => p.Key.ProductId)
        .Big("units_ordered", p => p.Value.UnitsOrdered)
        .Big("units_returned", p => p.Value.UnitsReturned)
        .Big("gross", p => p.Value.Gross)
        .Big("discounts", p => p.Value.Discounts)
        .Big("returns", p => p.Value.Returns);

    /// <summary>Throws the tenant's rollups away and computes them from the ledger: the answer to any doubt.</summary>
    public static async Task RebuildAsync(XenoDbContext db, Guid tenantId, CancellationToken ct = default)
    {
        await LockExclusiveAsync(db, tenantId, ct);
        await db.ExecuteAsync(Truths.SelectMany(truth => (NpgsqlBatchCommand[])
        [
            new($"delete from {truth.Table} where tenant_id = $1") { Parameters = { Sql.Uuid(tenantId) } },
            new($"insert into {truth.Table} (tenant_id, {truth.Columns}) select $1, {truth.Columns} from ({truth.Query}) truth") { Parameters = { Sql.Uuid(tenantId) } },
        ]), ct);
    }

    /// <summary>Sorts everything into the days of another time zone, and makes the rollups again.</summary>
    internal static async Task MoveDaysAsync(XenoDbContext db, Guid tenantId, string timeZone, CancellationToken ct)
    {
        await LockExclusiveAsync(db, tenantId, ct);
        var offsets = ZoneOffsets.Of(timeZone);
        var counts = ZoneOffsets.Local("(case when s.original then o.processed_at else s.happened_at end)", 2);
        await db.ExecuteAsync(Array.ConvertAll<string, NpgsqlBatchCommand>(
        [
            $"update orders set business_day = {ZoneOffsets.Local("processed_at", 2)}::date where tenant_id = $1",
            $"update checkouts set business_day = {ZoneOffsets.Local("created_at", 2)}::date where tenant_id = $1",
            $"""
            update order_sales s set day = {counts}::date
            from orders o where s.tenant_id = $1 and o.tenant_id = $1 and o.shopify_id = s.order_id
            """,
        ], sql => Statement(sql, [Sql.Uuid(tenantId), .. offsets.Parameters()])), ct);
        await RebuildAsync(db, tenantId, ct);
        await IngestionWriter.BumpDataVersionAsync(db, tenantId, ct);
    }

    /// <summary>Counts the orders in the shop's new currency and no others, and makes the rollups again.</summary>
    internal static async Task ChangeCurrencyAsync(
        XenoDbContext db, Guid tenantId, string currency, CancellationToken ct)
    {
        await LockExclusiveAsync(db, tenantId, ct);
        const string counted = "(not test and deleted_at is null and currency = $2)";
        await db.ExecuteAsync(
            [Statement(
            $"update orders set counted = {counted} where tenant_id = $1 and counted <> {counted}",
                [Sql.Uuid(tenantId), new() { Value = currency }])], ct);
        await RebuildAsync(db, tenantId, ct);
        await IngestionWriter.BumpDataVersionAsync(db, tenantId, ct);
    }

    private static NpgsqlBatchCommand Statement(string sql, NpgsqlParameter[] parameters)
    {
        var statement = new NpgsqlBatchCommand(sql);
        foreach (var parameter in parameters) statement.Parameters.Add(parameter);
        return statement;
    }

    /// <summary>Rows by which stored rollups differ from the ledger, as "table: row" from either side; empty when they are identical.</summary>
    public static async Task<IReadOnlyList<string>> DifferencesAsync(XenoDbContext db, Guid tenantId, CancellationToken ct = default)
    {
        var differences = new List<string>();
        foreach (var truth in Truths)
        {
            // Rows whose counters have all returned to zero stay: they say nothing, and deleting them would take their locks away.
            var stored = $"select {truth.Columns} from {truth.Table} where tenant_id = $1 and ({truth.NotEmpty})";
            var computed = $"select {truth.Columns} from ({truth.Query}) truth where {truth.NotEmpty}";
            await using var command = db.Command(
                $"(select 'stored ' || d::text from ({stored} except {computed}) d) union all (select 'ledger ' || d::text from ({computed} except {stored}) d) limit 20");
            command.Parameters.Add(Sql.Uuid(tenantId));
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct)) differences.Add($"{truth.Table}: {reader.GetString(0)}");
        }
        return differences;
    }

    private sealed record Truth(string Table, string Columns, string NotEmpty, string Query);

    // The measures of SaleMeasure by number: 1 sale, 2 return, 3 shipping, 4 duty, 5 fee.
    private static readonly Truth[] Truths =
    [
        new("sales_days",
            "day, orders, online_orders, order_value, gross, discounts, returns, shipping, taxes, duties, fees, customers, new_customers, one_order_customers",
            "(orders, online_orders, order_value, gross, discounts, returns, shipping, taxes, duties, fees, customers, new_customers, one_order_customers) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
            """
            select day, coalesce(sum(orders), 0)::bigint orders, coalesce(sum(online_orders), 0)::bigint online_orders, coalesce(sum(order_value), 0)::bigint order_value, coalesce(sum(gross), 0)::bigint gross, coalesce(sum(discounts), 0)::bigint discounts,
                   coalesce(sum(returns), 0)::bigint "returns", coalesce(sum(shipping), 0)::bigint shipping, coalesce(sum(taxes), 0)::bigint taxes, coalesce(sum(duties), 0)::bigint duties, coalesce(sum(fees), 0)::bigint fees,
                   coalesce(sum(customers), 0)::bigint customers, coalesce(sum(new_customers), 0)::bigint new_customers, coalesce(sum(one_order_customers), 0)::bigint one_order_customers
            from (
                select business_day as day, count(*) orders, count(*) filter (where source_name = 'web') online_orders, 0 order_value, 0 gross, 0 discounts, 0 "returns", 0 shipping, 0 taxes, 0 duties, 0 fees, count(distinct customer_id) customers, 0 new_customers, 0 one_order_customers
                from orders where tenant_id = $1 and counted group by business_day
                union all
                select s.day, 0, 0, sum(amount) filter (where measure = 1 and original), sum(amount + discount) filter (where measure = 1), sum(discount) filter (where measure = 1),
                       -sum(amount) filter (where measure = 2), sum(amount) filter (where measure = 3), sum(tax), sum(amount) filter (where measure = 4), sum(amount) filter (where measure = 5), 0, 0, 0
                from order_sales s join orders o on o.tenant_id = s.tenant_id and o.shopify_id = s.order_id
                where s.tenant_id = $1 and o.tenant_id = $1 and o.counted and s.measure <> 0 group by s.day
                union all
                select first_day, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, count(*), count(*) filter (where orders = 1)
                from (select min(business_day) first_day, count(*) orders from orders where tenant_id = $1 and counted and customer_id is not null group by customer_id) c
                group by first_day
            ) entries
            group by day
            """),
        new("order_entries",
            "order_id, day, original, at, customer_id, units, gross, discounts, returns, shipping, taxes, duties, fees",
            "true",
            """
            select order_id, day, original, case when original then max(o.processed_at) else max(s.happened_at) end at, max(o.customer_id) customer_id,
                   sum(units)::bigint units, sum(gross)::bigint gross, sum(discounts)::bigint discounts, sum("returns")::bigint "returns",
                   sum(shipping)::bigint shipping, sum(taxes)::bigint taxes, sum(duties)::bigint duties, sum(fees)::bigint fees
            from (
                select shopify_id order_id, business_day as day, true original, processed_at happened_at, 0 units, 0 gross, 0 discounts, 0 "returns", 0 shipping, 0 taxes, 0 duties, 0 fees
                from orders where tenant_id = $1 and counted
                union all
                select order_id, day, original, happened_at, case when measure in (1, 2) then quantity else 0 end, case measure when 1 then amount + discount else 0 end,
                       case measure when 1 then discount else 0 end, case measure when 2 then -amount else 0 end, case measure when 3 then amount else 0 end, tax,
                       case measure when 4 then amount else 0 end, case measure when 5 then amount else 0 end
                from order_sales where tenant_id = $1 and measure <> 0
            ) s
            join orders o on o.tenant_id = $1 and o.shopify_id = s.order_id and o.counted
            group by order_id, day, original
            """),
        new("product_days",
            "day, product_id, units_ordered, units_returned, gross, discounts, returns",
            "(units_ordered, units_returned, gross, discounts, returns) <> (0, 0, 0, 0, 0)",
            """
            select s.day, coalesce(s.product_id, 0) product_id,
                   coalesce(sum(quantity) filter (where measure = 1), 0)::bigint units_ordered, coalesce(-sum(quantity) filter (where measure = 2), 0)::bigint units_returned,
                   coalesce(sum(amount + discount) filter (where measure = 1), 0)::bigint gross, coalesce(sum(discount) filter (where measure = 1), 0)::bigint discounts,
                   coalesce(-sum(amount) filter (where measure = 2), 0)::bigint "returns"
            from order_sales s join orders o on o.tenant_id = s.tenant_id and o.shopify_id = s.order_id
            where s.tenant_id = $1 and o.tenant_id = $1 and o.counted and s.measure in (1, 2)
            group by s.day, coalesce(s.product_id, 0)
            """),
        new("product_months",
            "month, product_id, units_ordered, units_returned, gross, discounts, returns",
            "(units_ordered, units_returned, gross, discounts, returns) <> (0, 0, 0, 0, 0)",
            """
            select date_trunc('month', s.day::timestamp)::date as month, coalesce(s.product_id, 0) product_id,
                   coalesce(sum(quantity) filter (where measure = 1), 0)::bigint units_ordered, coalesce(-sum(quantity) filter (where measure = 2), 0)::bigint units_returned,
                   coalesce(sum(amount + discount) filter (where measure = 1), 0)::bigint gross, coalesce(sum(discount) filter (where measure = 1), 0)::bigint discounts,
                   coalesce(-sum(amount) filter (where measure = 2), 0)::bigint "returns"
            from order_sales s join orders o on o.tenant_id = s.tenant_id and o.shopify_id = s.order_id
            where s.tenant_id = $1 and o.tenant_id = $1 and o.counted and s.measure in (1, 2)
            group by 1, coalesce(s.product_id, 0)
            """),
        new("customer_days",
            "customer_id, day, orders, total_sales",
            "(orders, total_sales) <> (0, 0)",
            """
            select customer_id, day, sum(orders)::bigint orders, sum(total_sales)::bigint total_sales
            from (
                select customer_id, business_day as day, count(*) orders, 0 total_sales from orders
                where tenant_id = $1 and counted and customer_id is not null group by customer_id, business_day
                union all
                select o.customer_id, s.day, 0, sum(amount + tax) from order_sales s join orders o on o.tenant_id = s.tenant_id and o.shopify_id = s.order_id
                where s.tenant_id = $1 and o.tenant_id = $1 and o.counted and o.customer_id is not null and s.measure <> 0 group by o.customer_id, s.day
            ) entries
            group by customer_id, day
            """),
        new("customer_totals",
            "customer_id, orders, total_sales, first_order_day, last_order_day",
            "(orders, total_sales) <> (0, 0)",
            """
            select o.customer_id, count(*) orders, coalesce(sum(ledger.total_sales), 0)::bigint total_sales, min(o.business_day) first_order_day, max(o.business_day) last_order_day
            from orders o
            left join (select order_id, sum(amount + tax) total_sales from order_sales where tenant_id = $1 and measure <> 0 group by order_id) ledger on ledger.order_id = o.shopify_id
            where o.tenant_id = $1 and o.counted and o.customer_id is not null
            group by o.customer_id
            """),
        new("customer_returns",
            "day, previous_day, customers",
            "customers <> 0",
            """
            select day, previous_day, count(*) customers
            from (
                select business_day as day, lag(business_day, 1, '-infinity') over (partition by customer_id order by business_day) previous_day
                from (select distinct customer_id, business_day from orders where tenant_id = $1 and counted and customer_id is not null) days
            ) pairs
            group by day, previous_day
            """),
    ];
}
