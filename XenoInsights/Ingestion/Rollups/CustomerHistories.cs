using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;

namespace XenoInsights.Ingestion.Rollups;

/// <summary>
/// Rollups that depend on a customer's whole history: which order day followed which. Each customer's row in
/// <c>customer_totals</c> is locked first, so a history is read and changed by one writer at a time.
/// </summary>
internal static class CustomerHistories
{
    private static readonly DateOnly _never = DateOnly.MinValue; // -infinity in PostgreSQL

    /// <summary>
    /// Stores the customers' days and totals, adds first and only orders to the batch's sales days, and returns the
    /// change of day pairs.
    /// </summary>
    public static async Task<Dictionary<(DateOnly Day, DateOnly PreviousDay), long>> ApplyAsync(
        XenoDbContext db,
        Guid tenantId,
        RollupDeltas deltas,
        CancellationToken ct
    )
    {
        var returns = new Dictionary<(DateOnly, DateOnly), long>();
        var changed = deltas.Customers.Where(c => c.Value != default).OrderBy(c => c.Key).ToList();
        if (changed.Count == 0)
            return returns;

        var customers = changed.Select(c => c.Key.CustomerId).Distinct().ToArray();
        await LockAsync(db, tenantId, customers, ct);
        var reordered = changed.Where(c => c.Value.Orders != 0).Select(c => c.Key.CustomerId).Distinct().ToArray();
        var histories = await OrdersByDayAsync(db, tenantId, reordered, ct);

        var totals = customers.ToDictionary(id => id, _ => new TotalDelta());
        foreach (var (key, delta) in changed)
        {
            totals[key.CustomerId].Orders += delta.Orders;
            totals[key.CustomerId].TotalSales += delta.TotalSales;
        }
        var changes = changed.ToLookup(c => c.Key.CustomerId);
        foreach (var id in reordered)
        {
            var history = histories.GetValueOrDefault(id) ?? [];
            Count(history, returns, deltas.Days, sign: -1);
            foreach (var (key, delta) in changes[id])
                RollupDeltas.At(history, key.Day) += delta.Orders;
            Count(history, returns, deltas.Days, sign: 1);
            totals[id].Days = history.Where(d => d.Value > 0).Select(d => d.Key).ToList();
        }
        await StoreAsync(db, tenantId, changed, totals, ct);
        return returns;
    }

    /// <summary>
    /// Creates the rows that are missing, then locks all in key order: in this order nobody can wait for each other
    /// crosswise.
    /// </summary>
    internal static async Task LockAsync(XenoDbContext db, Guid tenantId, long[] customers, CancellationToken ct)
    {
        var existing = await db.QueryIdsAsync(
            new("select customer_id from customer_totals where tenant_id = $1 and customer_id = any($2)")
            {
                Parameters = { Sql.Uuid(tenantId), Sql.Ids(customers) },
            },
            ct
        );
        await db.ExecuteAsync(
            [
                new(
                    """
                    insert into customer_totals (tenant_id, customer_id, orders, total_sales)
                    select $1, id, 0, 0 from unnest($2) id on conflict do nothing
                    """
                )
                {
                    Parameters = { Sql.Uuid(tenantId), Sql.Ids([.. customers.Where(id => !existing.Contains(id))]) },
                },
                new(
                    """
                    select from customer_totals where tenant_id = $1 and customer_id = any($2)
                    order by customer_id for update
                    """
                )
                {
                    Parameters = { Sql.Uuid(tenantId), Sql.Ids(customers) },
                },
            ],
            ct
        );
    }

    private static async Task<Dictionary<long, Dictionary<DateOnly, long>>> OrdersByDayAsync(
        XenoDbContext db,
        Guid tenantId,
        long[] customers,
        CancellationToken ct
    )
    {
        var histories = new Dictionary<long, Dictionary<DateOnly, long>>();
        await using var command = db.Command(
            """
            select customer_id, day, orders from customer_days
            where tenant_id = $1 and customer_id = any($2) and orders <> 0
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(Sql.Ids(customers));
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var id = reader.GetInt64(0);
            if (!histories.TryGetValue(id, out var history))
                histories.Add(id, history = []);
            history.Add(reader.GetFieldValue<DateOnly>(1), reader.GetInt64(2));
        }
        return histories;
    }

    /// <summary>
    /// Adds (or takes away) what one customer's history contributes: its pairs of following days, its first day, its
    /// only order.
    /// </summary>
    private static void Count(
        Dictionary<DateOnly, long> history,
        Dictionary<(DateOnly, DateOnly), long> returns,
        Dictionary<DateOnly, SalesDelta> days,
        int sign
    )
    {
        var previous = _never;
        var orders = 0L;
        foreach (var (day, count) in history.Where(d => d.Value > 0).OrderBy(d => d.Key))
        {
            RollupDeltas.At(returns, (day, previous)) += sign;
            ref var sales = ref RollupDeltas.At(days, day);
            sales.Customers += sign;
            if (previous == _never)
                sales.NewCustomers += sign;
            previous = day;
            orders += count;
        }
        if (orders == 1)
            RollupDeltas.At(days, previous).OneOrderCustomers += sign;
    }

    private static Task StoreAsync(
        XenoDbContext db,
        Guid tenantId,
        List<KeyValuePair<(long CustomerId, DateOnly Day), CustomerDelta>> changed,
        Dictionary<long, TotalDelta> totals,
        CancellationToken ct
    )
    {
        var commands = new List<NpgsqlBatchCommand>
        {
            new UnnestInsert<KeyValuePair<(long CustomerId, DateOnly Day), CustomerDelta>>(
                "customer_days",
                tenantId,
                changed
            )
                .Big("customer_id", c => c.Key.CustomerId)
                .Day("day", c => c.Key.Day)
                .Big("orders", c => c.Value.Orders)
                .Big("total_sales", c => c.Value.TotalSales)
                .AddTo("customer_id", "day"),
            UpdateTotals(tenantId, [.. totals.OrderBy(t => t.Key)]),
        };
        return db.ExecuteAsync(commands, ct);
    }

    private static NpgsqlBatchCommand UpdateTotals(Guid tenantId, List<KeyValuePair<long, TotalDelta>> totals)
    {
        var rows = new UnnestInsert<KeyValuePair<long, TotalDelta>>("customer_totals", tenantId, totals)
            .Big("customer_id", t => t.Key)
            .Big("orders", t => t.Value.Orders)
            .Big("total_sales", t => t.Value.TotalSales)
            .Bool("reordered", t => t.Value.Days is not null)
            .Day("first_order_day", t => t.Value.Days is { Count: > 0 } days ? days.Min() : (DateOnly?)null)
            .Day("last_order_day", t => t.Value.Days is { Count: > 0 } days ? days.Max() : (DateOnly?)null);
        return rows.Update(
            "customer_id",
            """
            orders = stored.orders + incoming.orders, total_sales = stored.total_sales + incoming.total_sales,
            first_order_day =
                case when incoming.reordered then incoming.first_order_day else stored.first_order_day end,
            last_order_day =
                case when incoming.reordered then incoming.last_order_day else stored.last_order_day end
            """
        );
    }

    private sealed class TotalDelta
    {
        public long Orders,
            TotalSales;

        /// <summary>All order days after the batch; null when the batch left them as they were.</summary>
        public List<DateOnly>? Days;
    }
}
