using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Formatting;
using XenoInsights.Ingestion;
using XenoInsights.Insights.Products;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Overview;

/// <summary>
/// The overview's questions, for the entered tenant. Every answer comes from rollups, so its cost follows the range,
/// not the history.
/// </summary>
public sealed class SalesQueries(XenoDatabase database, TenantContext tenant, AnswerCache answers)
{
    public Task<OverviewAnswer> OverviewAsync(DateRange range, CancellationToken ct = default) =>
        AskAsync(
            ("overview", range),
            async (db, ct) =>
            {
                await using var batch = Batch(
                    db,
                    range,
                    """
                    select t.currency, t.time_zone, s.* from tenants t cross join (
                        select coalesce(sum(orders), 0)::bigint, coalesce(sum(order_value), 0)::bigint,
                            coalesce(sum(gross), 0)::bigint, coalesce(sum(discounts), 0)::bigint,
                            coalesce(sum(returns), 0)::bigint, coalesce(sum(shipping), 0)::bigint,
                            coalesce(sum(taxes), 0)::bigint, coalesce(sum(duties), 0)::bigint,
                            coalesce(sum(fees), 0)::bigint, coalesce(sum(new_customers), 0)::bigint,
                            coalesce(sum(one_order_customers), 0)::bigint
                        from sales_days where tenant_id = $1 and day between $2 and $3) s
                    where t.tenant_id = $1
                    """,
                    // A customer of the range is counted once: on their first day in it, which is the one they reached
                    // from before it.
                    """
                    select coalesce(sum(customers), 0)::bigint from customer_returns
                    where tenant_id = $1 and day between $2 and $3 and previous_day < $2
                    """
                );
                await using var reader = await batch.ExecuteReaderAsync(ct);
                await reader.ReadAsync(ct);
                var (currency, zone) = (reader.GetString(0), reader.GetString(1));
                var sales = SalesSums.Read(reader, 2);
                var (newCustomers, oneOrderCustomers) = (reader.GetInt64(11), reader.GetInt64(12));
                await reader.NextResultAsync(ct);
                await reader.ReadAsync(ct);
                var customers = reader.GetInt64(0);

                return new OverviewAnswer(
                    sales.Orders,
                    sales.Total,
                    customers,
                    sales.AverageOrderValue,
                    currency,
                    zone,
                    range.From,
                    range.To,
                    sales.Gross,
                    sales.Discounts,
                    sales.Returns,
                    sales.Net,
                    sales.Shipping,
                    sales.Taxes,
                    sales.Duties,
                    sales.Fees,
                    newCustomers,
                    customers - oneOrderCustomers
                );
            },
            ct
        );

    /// <summary>One point a bucket of the range, empty ones included.</summary>
    public Task<IReadOnlyList<SeriesPoint>> ByDateAsync(
        DateRange range,
        Granularity granularity,
        CancellationToken ct = default
    ) =>
        granularity == Granularity.Hour
            ? ByHourAsync(range, ct)
            : AskAsync(
                ("by-date", range, granularity),
                async (db, ct) =>
                {
                    var buckets = new SortedDictionary<DateOnly, SalesSums>();
                    for (var day = 0; day < range.Days; day++)
                        buckets.TryAdd(BucketOf(range.From.AddDays(day), granularity), default);

                    await using var batch = Batch(
                        db,
                        range,
                        """
                        select orders, order_value, gross, discounts, returns, shipping, taxes, duties, fees,
                            new_customers, one_order_customers, customers, day
                        from sales_days where tenant_id = $1 and day between $2 and $3
                        """
                    );
                    if (granularity != Granularity.Day)
                        AddCustomersOfBuckets(batch, range, granularity);
                    await using var reader = await batch.ExecuteReaderAsync(ct);
                    while (await reader.ReadAsync(ct))
                    {
                        var bucket = BucketOf(reader.GetFieldValue<DateOnly>(12), granularity);
                        var customers = granularity == Granularity.Day ? reader.GetInt64(11) : 0;
                        buckets[bucket] += SalesSums.Read(reader, 0) with
                        {
                            NewCustomers = reader.GetInt64(9),
                            OneOrderCustomers = reader.GetInt64(10),
                            Customers = customers,
                        };
                    }
                    if (await reader.NextResultAsync(ct))
                        while (await reader.ReadAsync(ct))
                            buckets[reader.GetFieldValue<DateOnly>(0)] += new SalesSums
                            {
                                Customers = reader.GetInt64(1),
                            };
                    return (IReadOnlyList<SeriesPoint>)[.. buckets.Select(b => b.Value.ToPoint(b.Key))];
                },
                ct
            );

    // Days have no rollup of their hours: the ledger entries of a week at most are sorted into them. What changed later
    // counts in the hour it happened.
    private Task<IReadOnlyList<SeriesPoint>> ByHourAsync(DateRange range, CancellationToken ct) =>
        AskAsync(
            ("by-hour", range),
            async (db, ct) =>
            {
                var hours = new Dictionary<(DateOnly, int), SalesSums>();
                var offsets = await ZoneOffsets.OfStoreAsync(db, ct);
                var hourOf = $"extract(hour from {ZoneOffsets.Local("at", 4)})::int";
                await using var batch = Batch(
                    db,
                    range,
                    $"""
                    select day, {hourOf}, sum(orders)::bigint, sum(order_value)::bigint, sum(gross)::bigint,
                        sum(discounts)::bigint, sum("returns")::bigint, sum(shipping)::bigint,
                        sum(taxes)::bigint, sum(duties)::bigint, sum(fees)::bigint, 0::bigint, 0::bigint,
                        0::bigint
                    from (
                        select day, at, 1 orders, gross - discounts order_value, gross, discounts, "returns",
                            shipping, taxes, duties, fees
                        from order_entries where tenant_id = $1 and day between $2 and $3 and original
                        union all
                        select e.day, s.happened_at, 0, 0,
                            case s.measure when 1 then s.amount + s.discount else 0 end,
                            case s.measure when 1 then s.discount else 0 end,
                            case s.measure when 2 then -s.amount else 0 end,
                            case s.measure when 3 then s.amount else 0 end, s.tax,
                            case s.measure when 4 then s.amount else 0 end,
                            case s.measure when 5 then s.amount else 0 end
                        from order_entries e join order_sales s on s.tenant_id = $1 and s.order_id = e.order_id
                            and s.day = e.day and not s.original and s.measure <> 0
                        where e.tenant_id = $1 and e.day between $2 and $3 and not e.original
                    ) entries group by 1, 2
                    """,
                    $"""
                    select e.day, e.hour, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint,
                        0::bigint, 0::bigint, 0::bigint,
                        count(*) filter (where c.first_order_day = e.day and e.is_first),
                        count(*) filter (where c.orders = 1), count(*)
                    from (
                        select customer_id, day, hour,
                            row_number() over (partition by customer_id, day order by hour) = 1 is_first
                        from (select distinct customer_id, day, {hourOf} as hour
                              from order_entries where tenant_id = $1 and day between $2 and $3 and original
                                  and customer_id is not null) placed) e
                    join customer_totals c on c.tenant_id = $1 and c.customer_id = e.customer_id
                    group by 1, 2
                    """
                );
                foreach (var command in batch.BatchCommands)
                    command.Parameters.AddRange(offsets.Parameters());
                await using var reader = await batch.ExecuteReaderAsync(ct);
                do
                {
                    while (await reader.ReadAsync(ct))
                    {
                        var hour = (reader.GetFieldValue<DateOnly>(0), reader.GetInt32(1));
                        hours[hour] =
                            hours.GetValueOrDefault(hour)
                            + SalesSums.Read(reader, 2) with
                            {
                                NewCustomers = reader.GetInt64(11),
                                OneOrderCustomers = reader.GetInt64(12),
                                Customers = reader.GetInt64(13),
                            };
                    }
                } while (await reader.NextResultAsync(ct));
                return (IReadOnlyList<SeriesPoint>)
                    [
                        .. Enumerable
                            .Range(0, range.Days * 24)
                            .Select(i => (Day: range.From.AddDays(i / 24), Hour: i % 24))
                            .Select(h => hours.GetValueOrDefault(h).ToPoint(h.Day) with { Hour = h.Hour }),
                    ];
            },
            ct
        );

    /// <summary>Customers by total sales in the range.</summary>
    public Task<IReadOnlyList<TopCustomer>> TopCustomersAsync(
        DateRange range,
        int limit,
        CancellationToken ct = default
    ) =>
        AskAsync(
            ("customers/top", range, limit),
            async (db, ct) =>
            {
                await using var batch = Batch(
                    db,
                    range,
                    """
                    select top.customer_id, coalesce(nullif(c.display_name, ''),
                        nullif(concat_ws(' ', c.first_name, c.last_name), ''), c.email,
                        'Customer ' || top.customer_id), top.orders, top.total_sales
                    from (select customer_id, sum(orders)::bigint orders, sum(total_sales)::bigint total_sales
                        from customer_days
                          where tenant_id = $1 and day between $2 and $3 group by customer_id
                          having (sum(orders), sum(total_sales)) <> (0, 0) order by 3 desc, 1 limit $4) top
                    left join customers c on c.tenant_id = $1 and c.shopify_id = top.customer_id
                    order by top.total_sales desc, top.customer_id
                    """
                );
                batch.BatchCommands[0].Parameters.Add(new NpgsqlParameter { Value = limit });
                return await ReadAsync(
                    batch,
                    r => new TopCustomer(r.GetInt64(0), r.GetString(1), r.GetInt64(2), r.GetInt64(3)),
                    ct
                );
            },
            ct
        );

    /// <summary>Products by net sales in the range.</summary>
    public Task<IReadOnlyList<TopProduct>> TopProductsAsync(
        DateRange range,
        int limit,
        CancellationToken ct = default
    ) =>
        AskAsync(
            ("products/top", range, limit),
            async (db, ct) =>
            {
                await using var batch = Batch(
                    db,
                    range,
                    $"""
                    select top.product_id, {ProductTitles.Of(
                        "top.product_id",
                        "p.title"
                    )}, top.units, top.net, top.gross
                    from (select product_id, sum(units_ordered - units_returned)::bigint units,
                        sum(gross - discounts - returns)::bigint net, sum(gross)::bigint gross from {SoldRows.Of(
                        range,
                        "$2",
                        "$3"
                    )} sold
                          group by product_id having (sum(units_ordered), sum(units_returned), sum(gross),
                              sum(discounts), sum("returns")) <> (0, 0, 0, 0, 0) order by 3 desc, 1 limit $4) top
                    left join products p on p.tenant_id = $1 and p.shopify_id = top.product_id
                    order by top.net desc, top.product_id
                    """
                );
                batch.BatchCommands[0].Parameters.Add(new NpgsqlParameter { Value = limit });
                return await ReadAsync(
                    batch,
                    r => new TopProduct(r.GetInt64(0), r.GetString(1), r.GetInt64(2), r.GetInt64(3), r.GetInt64(4)),
                    ct
                );
            },
            ct
        );

    /// <summary>
    /// Total sales in the range of the given customers, for comparisons; those without any are absent.
    /// </summary>
    public Task<IReadOnlyDictionary<long, long>> CustomerRevenueAsync(
        DateRange range,
        IReadOnlyCollection<long> ids,
        CancellationToken ct = default
    ) =>
        RevenueAsync(
            """
            select customer_id, sum(total_sales)::bigint from customer_days
            where tenant_id = $1 and day between $2 and $3 and customer_id = any($4) group by 1
            """,
            range,
            ids,
            ct
        );

    /// <summary>Net sales in the range of the given products, for comparisons; those without any are absent.</summary>
    public Task<IReadOnlyDictionary<long, long>> ProductRevenueAsync(
        DateRange range,
        IReadOnlyCollection<long> ids,
        CancellationToken ct = default
    ) =>
        // Day by day and product by product through the key, which begins with the day; a plain join might be made by
        // reading all products' days.
        RevenueAsync(
            """
            select ids.id, sum(p.net)::bigint from generate_series(0, $3::date - $2::date) as d(later)
            cross join unnest($4) as ids(id)
            cross join lateral (select gross - discounts - returns as net from product_days
                where tenant_id = $1 and day = $2::date + d.later and product_id = ids.id offset 0) p group by 1
            """,
            range,
            ids,
            ct
        );

    public Task<CheckoutsAnswer> CheckoutsAsync(DateRange range, CancellationToken ct = default) =>
        AskAsync(
            ("checkouts", range),
            async (db, ct) =>
            {
                await using var batch = Batch(
                    db,
                    range,
                    """
                    select count(*), count(*) filter (where completed_at is null),
                        coalesce(sum(total) filter (where completed_at is null), 0)::bigint,
                        count(completed_at),
                        coalesce(sum(total) filter (where completed_at is not null), 0)::bigint
                    from checkouts where tenant_id = $1 and business_day between $2 and $3 and deleted_at is null
                    """
                );
                return (
                    await ReadAsync(
                        batch,
                        r => new CheckoutsAnswer(
                            r.GetInt64(0),
                            r.GetInt64(1),
                            r.GetInt64(2),
                            r.GetInt64(3),
                            r.GetInt64(4)
                        ),
                        ct
                    )
                )[0];
            },
            ct
        );

    /// <param name="today">The shop's.</param>
    public Task<StoreHistory> HistoryAsync(DateOnly today, CancellationToken ct = default) =>
        database.InTenantAsync(db => StoreHistory.ReadAsync(db, today, ct), ct);

    /// <summary>The first day of the bucket that a day belongs to; weeks begin on Monday.</summary>
    public static DateOnly BucketOf(DateOnly day, Granularity granularity) =>
        granularity switch
        {
            Granularity.Day => day,
            Granularity.Week => day.AddDays(-(((int)day.DayOfWeek + 6) % 7)),
            Granularity.Month => new DateOnly(day.Year, day.Month, 1),
            _ => throw new ArgumentOutOfRangeException(nameof(granularity), granularity, "Not a granularity."),
        };

    private Task<T> AskAsync<T>(
        object question,
        Func<XenoDbContext, CancellationToken, Task<T>> answer,
        CancellationToken ct
    )
        where T : class => answers.GetAsync(database, tenant.TenantId ?? Guid.Empty, question, answer, ct);

    // As for the range: counted on their first day in the bucket, or in that part of it which the range covers. A day's
    // are in its own row.
    private void AddCustomersOfBuckets(NpgsqlBatch batch, DateRange range, Granularity granularity)
    {
        var command = Command(
            range,
            """
            select date_trunc($4, day)::date, sum(customers)::bigint from customer_returns
            where tenant_id = $1 and day between $2 and $3
                and previous_day < greatest(date_trunc($4, day)::date, $2) group by 1
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = granularity.ToString() });
        batch.BatchCommands.Add(command);
    }

    private Task<IReadOnlyDictionary<long, long>> RevenueAsync(
        string sql,
        DateRange range,
        IReadOnlyCollection<long> ids,
        CancellationToken ct
    ) =>
        database.InTenantAsync(
            async db =>
            {
                await using var batch = Batch(db, range, sql);
                batch.BatchCommands[0].Parameters.Add(new NpgsqlParameter { Value = ids.ToArray() });
                return (IReadOnlyDictionary<long, long>)
                    (await ReadAsync(batch, r => KeyValuePair.Create(r.GetInt64(0), r.GetInt64(1)), ct)).ToDictionary();
            },
            ct
        );

    private NpgsqlBatch Batch(XenoDbContext db, DateRange range, params ReadOnlySpan<string> statements)
    {
        var batch = db.NewBatch();
        foreach (var sql in statements)
            batch.BatchCommands.Add(Command(range, sql));
        return batch;
    }

    // $1 is the tenant, $2 and $3 are the range, in every statement.
    private NpgsqlBatchCommand Command(DateRange range, string sql)
    {
        var command = new NpgsqlBatchCommand(sql);
        command.Parameters.Add(
            new NpgsqlParameter { Value = tenant.TenantId ?? Guid.Empty, NpgsqlDbType = NpgsqlDbType.Uuid }
        );
        if (!sql.Contains("$2", StringComparison.Ordinal))
            return command;
        command.Parameters.Add(new NpgsqlParameter { Value = range.From });
        command.Parameters.Add(new NpgsqlParameter { Value = range.To });
        return command;
    }

    private static async Task<IReadOnlyList<T>> ReadAsync<T>(
        NpgsqlBatch batch,
        Func<NpgsqlDataReader, T> read,
        CancellationToken ct
    )
    {
        var rows = new List<T>();
        await using var reader = await batch.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            rows.Add(read(reader));
        return rows;
    }
}

/// <summary>Sums of <c>sales_days</c> and the measures that follow from them.</summary>
internal readonly record struct SalesSums(
    long Orders,
    long OrderValue,
    long Gross,
    long Discounts,
    long Returns,
    long Shipping,
    long Taxes,
    long Duties,
    long Fees,
    long NewCustomers = 0,
    long OneOrderCustomers = 0,
    long Customers = 0
)
{
    public long Net => Gross - Discounts - Returns;
    public long Total => Net + Shipping + Taxes + Duties + Fees;
    public long AverageOrderValue =>
        Orders == 0 ? 0 : (long)Math.Round((decimal)OrderValue / Orders, MidpointRounding.AwayFromZero);

    public static SalesSums Read(NpgsqlDataReader reader, int at) =>
        new(
            reader.GetInt64(at),
            reader.GetInt64(at + 1),
            reader.GetInt64(at + 2),
            reader.GetInt64(at + 3),
            reader.GetInt64(at + 4),
            reader.GetInt64(at + 5),
            reader.GetInt64(at + 6),
            reader.GetInt64(at + 7),
            reader.GetInt64(at + 8)
        );

    public static SalesSums operator +(SalesSums a, SalesSums b) =>
        new(
            a.Orders + b.Orders,
            a.OrderValue + b.OrderValue,
            a.Gross + b.Gross,
            a.Discounts + b.Discounts,
            a.Returns + b.Returns,
            a.Shipping + b.Shipping,
            a.Taxes + b.Taxes,
            a.Duties + b.Duties,
            a.Fees + b.Fees,
            a.NewCustomers + b.NewCustomers,
            a.OneOrderCustomers + b.OneOrderCustomers,
            a.Customers + b.Customers
        );

    public SeriesPoint ToPoint(DateOnly date) =>
        new(
            date,
            Orders,
            Total,
            Gross,
            Discounts,
            Returns,
            Net,
            Shipping,
            Taxes,
            AverageOrderValue,
            NewCustomers,
            Customers,
            Customers - OneOrderCustomers
        );
}
