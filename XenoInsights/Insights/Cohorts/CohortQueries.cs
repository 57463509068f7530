using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion;

namespace XenoInsights.Insights.Cohorts;

public enum CohortPeriod
{
    Month,

    /// <summary>From Monday.</summary>
    Week,
}

/// <summary>
/// Customers whose first order ever lies in one period, and what became of them. Money in minor units.
/// </summary>
/// <param name="First">First day of the period.</param>
/// <param name="IsCut">History begins within it: it may hold customers who are older than that.</param>
/// <param name="Cells">From their first period on, one a period up to the one that is running; of that, what there is
/// so far.</param>
public sealed record Cohort(DateOnly First, DateOnly Last, long Customers, bool IsCut, IReadOnlyList<CohortCell> Cells);

/// <param name="Customers">Those of the cohort who placed an order in the period; all of them in the first.</param>
/// <param name="TotalCents">Their total sales in it, what came back taken off.</param>
/// <param name="IsOver">False: the period is running; it counts in no average.</param>
public sealed record CohortCell(DateOnly From, DateOnly To, long Customers, long Orders, long TotalCents, bool IsOver);

/// <summary>
/// Who comes back, by the period of the first order, for the entered tenant. Looks at the whole history.
/// </summary>
public sealed class CohortQueries(XenoDatabase database, TenantContext tenant, AnswerCache answers)
{
    /// <summary>
    /// The newest cohorts there are at most; every cohort has a cell for each later one, so what they take grows with
    /// the square.
    /// </summary>
    public const int MostMonths = 360,
        MostWeeks = 208;

    /// <param name="today">The shop's: the period that holds it is not over.</param>
    public Task<IReadOnlyList<Cohort>> CohortsAsync(
        CohortPeriod period,
        DateOnly today,
        CancellationToken ct = default
    ) =>
        answers.GetCostlyAsync(
            database,
            tenant.TenantId ?? Guid.Empty,
            ("cohorts", period, today),
            async (db, ct) =>
            {
                if ((await StoreHistory.ReadAsync(db, today, ct)).Days is not { } history)
                    return (IReadOnlyList<Cohort>)[];
                var begin = FirstOf(period, history.From);
                List<DateOnly> periods =
                [
                    .. Periods(period, begin, today).TakeLast(period == CohortPeriod.Week ? MostWeeks : MostMonths),
                ];
                var end = Next(period, periods[^1]);
                // A customer counts once a period: first what each did in it, then what each cohort did. Periods by
                // number, for date_trunc() would take most of the time.
                await using var command = db.Command(
                    """
                    select width_bucket(t.first_order_day, $2), c.period, count(*) filter (where c.orders > 0),
                        sum(c.orders)::bigint, sum(c.sales)::bigint
                    from (
                        select customer_id, width_bucket(day, $2) period, sum(orders::int) orders,
                            sum(total_sales)::bigint sales
                        from customer_days where tenant_id = $1 and day >= $3 and day < $4 group by 1, 2
                    ) c
                    join customer_totals t on t.tenant_id = $1 and t.customer_id = c.customer_id
                        and t.first_order_day >= $3 and t.first_order_day < $4
                    group by 1, 2
                    """
                );
                command.Parameters.Add(new NpgsqlParameter { Value = tenant.TenantId ?? Guid.Empty });
                command.Parameters.Add(new NpgsqlParameter { Value = periods.Append(end).ToArray() });
                command.Parameters.Add(new NpgsqlParameter { Value = periods[0] });
                command.Parameters.Add(new NpgsqlParameter { Value = end });
                var found = new Dictionary<(int Cohort, int Period), (long Customers, long Orders, long Total)>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    found[(reader.GetInt32(0) - 1, reader.GetInt32(1) - 1)] = (
                        reader.GetInt64(2),
                        reader.GetInt64(3),
                        reader.GetInt64(4)
                    );
                return Cohorts(period, periods, today, isCut: periods[0] == begin, found);
            },
            ct
        );

    /// <summary>The first day of the period that a day lies in.</summary>
    public static DateOnly FirstOf(CohortPeriod period, DateOnly day) =>
        Overview.SalesQueries.BucketOf(day, period == CohortPeriod.Week ? Granularity.Week : Granularity.Month);

    private static DateOnly Next(CohortPeriod period, DateOnly first) =>
        period == CohortPeriod.Week ? first.AddDays(7) : first.AddMonths(1);

    private static IEnumerable<DateOnly> Periods(CohortPeriod period, DateOnly first, DateOnly today)
    {
        for (var from = first; from <= today; from = Next(period, from))
            yield return from;
    }

    /// <summary>From the first period with a new customer on.</summary>
    /// <param name="isCut">History begins in the first of <paramref name="periods"/>.</param>
    private static List<Cohort> Cohorts(
        CohortPeriod period,
        List<DateOnly> periods,
        DateOnly today,
        bool isCut,
        Dictionary<(int Cohort, int Period), (long Customers, long Orders, long Total)> found
    )
    {
        var cohorts = new List<Cohort>();
        for (var at = found.Count == 0 ? periods.Count : found.Keys.Min(k => k.Cohort); at < periods.Count; at++)
        {
            var cells = new List<CohortCell>();
            for (var later = at; later < periods.Count; later++)
            {
                var (customers, orders, total) = found.GetValueOrDefault((at, later));
                var to = Next(period, periods[later]).AddDays(-1);
                cells.Add(new(periods[later], to, customers, orders, total, to < today));
            }
            cohorts.Add(
                new(
                    periods[at],
                    Next(period, periods[at]).AddDays(-1),
                    cells[0].Customers,
                    IsCut: isCut && at == 0,
                    cells
                )
            );
        }
        return cohorts;
    }
}
