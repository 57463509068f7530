using Npgsql;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Ingestion.Rollups;

/// <summary>
/// The rollups, kept exact by deltas with every apply. <see cref="LedgerRollups"/> computes them from the ledger: both
/// must agree at every commit.
/// </summary>
internal static class RollupWriter
{
    /// <summary>
    /// Applies of one tenant run side by side. Who changes its time zone or currency, or erases, waits for them and
    /// holds them off.
    /// </summary>
    /// <exception cref="ShopChangedException">The days or amounts of <paramref name="shop"/> are no longer those of the
    /// store.</exception>
    /// <exception cref="SchemaMismatchException">The database accepts newer versions only.</exception>
    internal static async Task LockSharedAsync(XenoDbContext db, StoreCalendar shop, CancellationToken ct)
    {
        await using var batch = db.Batch([
            new(TenantLock.Shared) { Parameters = { Sql.Uuid(shop.TenantId) } },
            // After the lock, so that nobody can change it before the end of this unit of work.
            new(
                """
                select currency, time_zone, (select required_migration from schema_info) from tenants
                where tenant_id = $1
                """
            )
            {
                Parameters = { Sql.Uuid(shop.TenantId) },
            },
        ]);
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        if (!await reader.ReadAsync(ct))
            throw new StoreErasedException();
        if (!shop.Is(reader.GetString(0), reader.GetString(1)))
            throw new ShopChangedException();
        // A backfill may have begun that relies on what only newer versions keep.
        Schema.ThrowIfTooOld(await reader.IsDBNullAsync(2, ct) ? null : reader.GetString(2));
    }

    /// <summary>
    /// Adds deltas row by row in key order, table after table, which is the lock order of every writer.
    /// </summary>
    internal static async Task ApplyAsync(XenoDbContext db, Guid tenantId, RollupDeltas deltas, CancellationToken ct)
    {
        var returns = await CustomerHistories.ApplyAsync(db, tenantId, deltas, ct);

        var commands = new List<NpgsqlBatchCommand>();
        var days = deltas.Days.Where(d => d.Value != default).OrderBy(d => d.Key).ToList();
        if (days.Count > 0)
            commands.Add(
                new UnnestInsert<KeyValuePair<DateOnly, SalesDelta>>("sales_days", tenantId, days)
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
                    .AddTo("day")
            );

        var products = deltas.Products.Where(p => p.Value != default).OrderBy(p => p.Key).ToList();
        if (products.Count > 0)
            commands.Add(Counters(new("product_days", tenantId, products)).AddTo("day", "product_id"));
        var months = deltas.ProductMonths().Where(p => p.Value != default).OrderBy(p => p.Key).ToList();
        if (months.Count > 0)
            commands.Add(Counters(new("product_months", tenantId, months), "month").AddTo("month", "product_id"));

        var pairs = returns.Where(r => r.Value != 0).OrderBy(r => r.Key).ToList();
        if (pairs.Count > 0)
            commands.Add(
                new UnnestInsert<KeyValuePair<(DateOnly Day, DateOnly PreviousDay), long>>(
                    "customer_returns",
                    tenantId,
                    pairs
                )
                    .Day("day", r => r.Key.Day)
                    .Day("previous_day", r => r.Key.PreviousDay)
                    .Big("customers", r => r.Value)
                    .AddTo("day", "previous_day")
            );

        if (commands.Count > 0)
            await db.ExecuteAsync(commands, ct);
    }

    private static UnnestInsert<KeyValuePair<(DateOnly First, long ProductId), ProductDelta>> Counters(
        UnnestInsert<KeyValuePair<(DateOnly First, long ProductId), ProductDelta>> rows,
        string first = "day"
    ) =>
        rows.Day(first, p => p.Key.First)
            .Big("product_id", p => p.Key.ProductId)
            .Big("units_ordered", p => p.Value.UnitsOrdered)
            .Big("units_returned", p => p.Value.UnitsReturned)
            .Big("gross", p => p.Value.Gross)
            .Big("discounts", p => p.Value.Discounts)
            .Big("returns", p => p.Value.Returns);
}
