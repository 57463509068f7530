using XenoInsights.Data;

namespace XenoInsights.Ingestion.Rollups;

/// <summary>The rollups as the ledger (orders and their sales) says they should be.</summary>
public static class LedgerRollups
{
    /// <summary>
    /// Rows by which stored rollups differ from the ledger, as "table: row" from either side; empty when they are
    /// identical.
    /// </summary>
    public static async Task<IReadOnlyList<string>> DifferencesAsync(
        XenoDbContext db,
        Guid tenantId,
        CancellationToken ct = default
    )
    {
        var differences = new List<string>();
        foreach (var table in Tables)
        {
            // Rows whose counters have all returned to zero stay: they say nothing, and deleting them would take their
            // locks away.
            var stored = $"select {table.Columns} from {table.Name} where tenant_id = $1 and ({table.NotEmpty})";
            var computed = $"select {table.Columns} from ({table.Query}) truth where {table.NotEmpty}";
            await using var command = db.Command(
                $"(select 'stored ' || d::text from ({stored} except {computed}) d) union all (select "
                    + $"'ledger ' || d::text from ({computed} except {stored}) d) limit 20"
            );
            command.Parameters.Add(Sql.Uuid(tenantId));
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
                differences.Add($"{table.Name}: {reader.GetString(0)}");
        }
        return differences;
    }

    // The measures of SaleMeasure by number: 1 sale, 2 return, 3 shipping, 4 duty, 5 fee.
    internal static readonly LedgerRollup[] Tables =
    [
        new(
            "sales_days",
            RollupOwner.None,
            "day",
            "day, orders, online_orders, order_value, gross, discounts, returns, shipping, taxes, duties, "
                + "fees, customers, new_customers, one_order_customers",
            "(orders, online_orders, order_value, gross, discounts, returns, shipping, taxes, duties, "
                + "fees, customers, new_customers, one_order_customers) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "
                + "0)",
            """
            select day, coalesce(sum(orders), 0)::bigint orders,
                coalesce(sum(online_orders), 0)::bigint online_orders,
                coalesce(sum(order_value), 0)::bigint order_value, coalesce(sum(gross), 0)::bigint gross,
                coalesce(sum(discounts), 0)::bigint discounts, coalesce(sum(returns), 0)::bigint "returns",
                coalesce(sum(shipping), 0)::bigint shipping, coalesce(sum(taxes), 0)::bigint taxes,
                coalesce(sum(duties), 0)::bigint duties, coalesce(sum(fees), 0)::bigint fees,
                coalesce(sum(customers), 0)::bigint customers,
                coalesce(sum(new_customers), 0)::bigint new_customers,
                coalesce(sum(one_order_customers), 0)::bigint one_order_customers
            from (
                select business_day as day, count(*) orders,
                    count(*) filter (where source_name = 'web') online_orders, 0 order_value, 0 gross,
                    0 discounts, 0 "returns", 0 shipping, 0 taxes, 0 duties, 0 fees,
                    count(distinct customer_id) customers, 0 new_customers, 0 one_order_customers
                from orders where tenant_id = $1 and counted group by business_day
                union all
                select s.day, 0, 0, sum(amount) filter (where measure = 1 and original),
                    sum(amount + discount) filter (where measure = 1),
                    sum(discount) filter (where measure = 1), -sum(amount) filter (where measure = 2),
                    sum(amount) filter (where measure = 3), sum(tax), sum(amount) filter (where measure = 4),
                    sum(amount) filter (where measure = 5), 0, 0, 0
                from order_sales s join orders o on o.tenant_id = s.tenant_id and o.shopify_id = s.order_id
                where s.tenant_id = $1 and o.tenant_id = $1 and o.counted and s.measure <> 0 group by s.day
                union all
                select first_day, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, count(*), count(*) filter (where orders = 1)
                from (select min(business_day) first_day, count(*) orders from orders
                    where tenant_id = $1 and counted and customer_id is not null group by customer_id) c
                group by first_day
            ) entries
            group by day
            """
        ),
        new(
            "order_entries",
            RollupOwner.Order,
            "order_id",
            "order_id, day, original, at, customer_id, units, gross, discounts, returns, shipping, taxes, duties, fees",
            "true",
            """
            select order_id, day, original,
                case when original then max(o.processed_at) else max(s.happened_at) end at,
                max(o.customer_id) customer_id, sum(units)::bigint units, sum(gross)::bigint gross,
                sum(discounts)::bigint discounts, sum("returns")::bigint "returns",
                sum(shipping)::bigint shipping, sum(taxes)::bigint taxes, sum(duties)::bigint duties,
                sum(fees)::bigint fees
            from (
                select shopify_id order_id, business_day as day, true original, processed_at happened_at,
                    0 units, 0 gross, 0 discounts, 0 "returns", 0 shipping, 0 taxes, 0 duties, 0 fees
                from orders where tenant_id = $1 and counted
                union all
                select order_id, day, original, happened_at,
                    case when measure in (1, 2) then quantity else 0 end,
                    case measure when 1 then amount + discount else 0 end,
                    case measure when 1 then discount else 0 end, case measure when 2 then -amount else 0 end,
                    case measure when 3 then amount else 0 end, tax,
                    case measure when 4 then amount else 0 end, case measure when 5 then amount else 0 end
                from order_sales where tenant_id = $1 and measure <> 0
            ) s
            join orders o on o.tenant_id = $1 and o.shopify_id = s.order_id and o.counted
            group by order_id, day, original
            """
        ),
        new(
            "product_days",
            RollupOwner.None,
            "day, product_id",
            "day, product_id, units_ordered, units_returned, gross, discounts, returns",
            "(units_ordered, units_returned, gross, discounts, returns) <> (0, 0, 0, 0, 0)",
            """
            select s.day, coalesce(s.product_id, 0) product_id,
                coalesce(sum(quantity) filter (where measure = 1), 0)::bigint units_ordered,
                coalesce(-sum(quantity) filter (where measure = 2), 0)::bigint units_returned,
                coalesce(sum(amount + discount) filter (where measure = 1), 0)::bigint gross,
                coalesce(sum(discount) filter (where measure = 1), 0)::bigint discounts,
                coalesce(-sum(amount) filter (where measure = 2), 0)::bigint "returns"
            from order_sales s join orders o on o.tenant_id = s.tenant_id and o.shopify_id = s.order_id
            where s.tenant_id = $1 and o.tenant_id = $1 and o.counted and s.measure in (1, 2)
            group by s.day, coalesce(s.product_id, 0)
            """
        ),
        new(
            "product_months",
            RollupOwner.None,
            "month, product_id",
            "month, product_id, units_ordered, units_returned, gross, discounts, returns",
            "(units_ordered, units_returned, gross, discounts, returns) <> (0, 0, 0, 0, 0)",
            """
            select date_trunc('month', s.day::timestamp)::date as month, coalesce(s.product_id, 0) product_id,
                coalesce(sum(quantity) filter (where measure = 1), 0)::bigint units_ordered,
                coalesce(-sum(quantity) filter (where measure = 2), 0)::bigint units_returned,
                coalesce(sum(amount + discount) filter (where measure = 1), 0)::bigint gross,
                coalesce(sum(discount) filter (where measure = 1), 0)::bigint discounts,
                coalesce(-sum(amount) filter (where measure = 2), 0)::bigint "returns"
            from order_sales s join orders o on o.tenant_id = s.tenant_id and o.shopify_id = s.order_id
            where s.tenant_id = $1 and o.tenant_id = $1 and o.counted and s.measure in (1, 2)
            group by 1, coalesce(s.product_id, 0)
            """
        ),
        new(
            "customer_days",
            RollupOwner.Customer,
            "customer_id",
            "customer_id, day, orders, total_sales",
            "(orders, total_sales) <> (0, 0)",
            """
            select customer_id, day, sum(orders)::bigint orders, sum(total_sales)::bigint total_sales
            from (
                select customer_id, business_day as day, count(*) orders, 0 total_sales from orders
                where tenant_id = $1 and counted and customer_id is not null group by customer_id, business_day
                union all
                select o.customer_id, s.day, 0, sum(amount + tax) from order_sales s
                join orders o on o.tenant_id = s.tenant_id and o.shopify_id = s.order_id
                where s.tenant_id = $1 and o.tenant_id = $1 and o.counted and o.customer_id is not null
                    and s.measure <> 0 group by o.customer_id, s.day
            ) entries
            group by customer_id, day
            """
        ),
        new(
            "customer_totals",
            RollupOwner.Customer,
            "customer_id",
            "customer_id, orders, total_sales, first_order_day, last_order_day",
            "(orders, total_sales) <> (0, 0)",
            """
            select o.customer_id, count(*) orders, coalesce(sum(ledger.total_sales), 0)::bigint total_sales,
                min(o.business_day) first_order_day, max(o.business_day) last_order_day
            from orders o
            left join (select order_id, sum(amount + tax) total_sales from order_sales
                where tenant_id = $1 and measure <> 0 group by order_id) ledger on ledger.order_id = o.shopify_id
            where o.tenant_id = $1 and o.counted and o.customer_id is not null
            group by o.customer_id
            """
        ),
        new(
            "customer_returns",
            RollupOwner.None,
            "day, previous_day",
            "day, previous_day, customers",
            "customers <> 0",
            """
            select day, previous_day, count(*) customers
            from (
                select business_day as day,
                    lag(business_day, 1, '-infinity') over (partition by customer_id order by business_day) previous_day
                from (select distinct customer_id, business_day from orders
                    where tenant_id = $1 and counted and customer_id is not null) days
            ) pairs
            group by day, previous_day
            """
        ),
    ];
}

/// <summary>What the rows of a rollup belong to, and with it which lock guards them.</summary>
internal enum RollupOwner
{
    /// <summary>Counters of a day, a month or a product: each row is its own lock.</summary>
    None,

    /// <summary>An order's row in <c>orders</c> is the lock.</summary>
    Order,

    /// <summary>A customer's row in <c>customer_totals</c> is the lock.</summary>
    Customer,
}

/// <summary>A rollup table and the query of the ledger that computes it; <c>$1</c> is the tenant.</summary>
/// <param name="Key">Its key without the tenant, or the owner's id.</param>
/// <param name="NotEmpty">Tells rows that say something from those whose counters have returned to zero.</param>
internal sealed record LedgerRollup(
    string Name,
    RollupOwner Owner,
    string Key,
    string Columns,
    string NotEmpty,
    string Query
)
{
    /// <summary>Its columns that are counters.</summary>
    public IReadOnlyList<string> Counters => [.. Split(Columns).Except(Split(Key))];

    private static string[] Split(string names) => names.Split(',', StringSplitOptions.TrimEntries);
}
