using Npgsql;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Cohorts;

public enum CohortPeriod
{
    Month,

    /// <summary>From Monday.</summary>
    Week,
}

/// <summary>Customers whose first order ever lies in one period, and what became of them. Money in minor units.</summary>
/// <param name="First">First day of the period.</param>
/// <param name="IsCut">History begins within it: it may hold customers who are older than that.</param>
/// <param name="Cells">From their first period on, one a period up to the one that is running; of that, what there is so far.</param>
public sealed record Cohort(DateOnly First, DateOnly Last, long Customers, bool IsCut, IReadOnlyList<CohortCell> Cells);

/// <param name="Customers">Those of the cohort who placed an order in the period; all of them in the first.</param>
/// <param name="TotalCents">Their total sales in it, what came back taken off.</param>
/// <param name="IsOver">False: the period is running; it counts in no average.</param>
public sealed record CohortCell(DateOnly From, DateOnly To, long Customers, long Orders, long TotalCents, bool IsOver);

/// <summary>Who comes back, by the period of the first order, for the entered tenant. Looks at the whole history.</summary>
public sealed class CohortQueries(XenoDatabase database, TenantContext tenant, AnswerCache answers)
{
    /// <param name="today">The shop's: the period that holds it is not over.</param>
    public Task<IReadOnlyList<Cohort>> CohortsAsync(CohortPeriod period, DateOnly today, CancellationToken ct = default) =>
        database.InTenantAsync(db => answers.GetCostlyAsync(db, tenant.TenantId ?? Guid.Empty, ("cohorts", period, today), async () =>
        {
            // A customer counts once a period: first what each did in it, then what each cohort did.
            await using var command = db.Command(
                """
                select date_trunc($2, c.first_order_day)::date cohort, c.period, count(*) filter (where c.orders > 0), sum(c.orders)::bigint, sum(c.sales)::bigint
                from (
                    select t.first_order_day, date_trunc($2, d.day)::date period, sum(d.orders)::bigint orders, sum(d.total_sales)::bigint sales
                    from customer_days d join customer_totals t on t.tenant_id = $1 and t.customer_id = d.customer_id
                    where d.tenant_id = $1 and t.first_order_day is not null
                    group by d.customer_id, t.first_order_day, date_trunc($2, d.day)
                ) c
                group by 1, 2
                """);
            command.Parameters.Add(new NpgsqlParameter { Value = tenant.TenantId ?? Guid.Empty });
            command.Parameters.Add(new NpgsqlParameter { Value = period.ToString() });
            var found = new Dictionary<(DateOnly Cohort, DateOnly Period), (long Customers, long Orders, long Total)>();
            await using (var reader = await command.ExecuteReaderAsync(ct))
            {
                while (await reader.ReadAsync(ct))
                    found[(reader.GetFieldValue<DateOnly>(0), reader.GetFieldValue<DateOnly>(1))] = (reader.GetInt64(2), reader.GetInt64(3), reader.GetInt64(4));
            }
            return (IReadOnlyList<Cohort>)Cohorts(period, today, found, await BeginAsync(db, ct));
        }, ct), ct);

    /// <summary>The first day of the period that a day lies in.</summary>
    public static DateOnly FirstOf(CohortPeriod period, DateOnly day) =>
        Sales.SalesQueries.BucketOf(day, period == CohortPeriod.Week ? Granularity.Week : Granularity.Month);

    private static DateOnly Next(CohortPeriod period, DateOnly first) => period == CohortPeriod.Week ? first.AddDays(7) : first.AddMonths(1);

    private static List<Cohort> Cohorts(CohortPeriod period, DateOnly today, Dictionary<(DateOnly Cohort, DateOnly Period), (long Customers, long Orders, long Total)> found, DateOnly? begin)
    {
        if (found.Count == 0) return [];
        var cohorts = new List<Cohort>();
        for (var first = found.Keys.Min(k => k.Cohort); first <= today; first = Next(period, first))
        {
            var cells = new List<CohortCell>();
            for (var from = first; from <= today; from = Next(period, from))
            {
                var (customers, orders, total) = found.GetValueOrDefault((first, from));
                var to = Next(period, from).AddDays(-1);
                cells.Add(new(from, to, customers, orders, total, to < today));
            }
            cohorts.Add(new(first, Next(period, first).AddDays(-1), cells[0].Customers, begin is { } day && FirstOf(period, day) == first, cells));
        }
        return cohorts;
    }

    private static async Task<DateOnly?> BeginAsync(XenoDbContext db, CancellationToken ct)
    {
        await using var command = db.Command("select day from sales_days where tenant_id = $1 and orders > 0 order by day limit 1");
        command.Parameters.Add(new NpgsqlParameter { Value = db.TenantId!.Value });
        return await command.ExecuteScalarAsync(ct) is DateOnly day ? day : null;
    }
}
