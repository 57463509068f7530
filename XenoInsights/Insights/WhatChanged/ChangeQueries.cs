using Npgsql;
using XenoInsights.Data;
using XenoInsights.Formatting;
using XenoInsights.Insights.Products;

namespace XenoInsights.Insights.WhatChanged;

/// <summary>
/// How a figure moved between two ranges, divided exactly; for the entered tenant. Both ranges are read by one
/// statement, as of one moment.
/// </summary>
public sealed class ChangeQueries(XenoDatabase database, TenantContext tenant, AnswerCache answers)
{
    private const int LargestMovers = 10;

    private const string Sums = "count(*) filter (where e.original), " + Days;

    private const string Days = """
        coalesce(sum(e.gross), 0)::bigint, coalesce(sum(e.discounts), 0)::bigint,
        coalesce(sum(e.returns), 0)::bigint, coalesce(sum(e.shipping), 0)::bigint,
        coalesce(sum(e.taxes), 0)::bigint, coalesce(sum(e.duties), 0)::bigint, coalesce(sum(e.fees), 0)::bigint
        """;

    /// <param name="metric">One of <see cref="Decomposition.Metrics"/>.</param>
    public Task<ChangeAnswer> ChangeAsync(
        string metric,
        ChangeBy by,
        DateRange range,
        DateRange before,
        CancellationToken ct = default
    ) =>
        answers.GetAsync(
            database,
            tenant.TenantId ?? Guid.Empty,
            ("what-changed", metric, by, range, before),
            async (db, ct) =>
            {
                var (was, now, parts) = by switch
                {
                    ChangeBy.Product => await ByProductAsync(db, metric, range, before, ct),
                    ChangeBy.Country => await ByCountryAsync(db, metric, range, before, ct),
                    _ => await ByCustomersAsync(db, metric, range, before, ct),
                };
                return new ChangeAnswer(metric, by, range, before, now, was, parts);
            },
            ct
        );

    private async Task<(long Before, long Now, IReadOnlyList<Contribution> Parts)> ByCustomersAsync(
        XenoDbContext db,
        string metric,
        DateRange range,
        DateRange before,
        CancellationToken ct
    )
    {
        // New customers and guests are few beside all others, who are therefore found as what is left of the days.
        var parts = await PartsAsync(
            db,
            range,
            before,
            (isNow, from, to) =>
                $"""
                    select {isNow}, 'new', {Sums} from customer_totals c
                    join order_entries e on e.tenant_id = $1 and e.customer_id = c.customer_id
                        and e.day between {from} and {to}
                    where c.tenant_id = $1 and c.first_order_day between {from} and {to}
                    union all
                    select {isNow}, 'guests', {Sums} from order_entries e
                    where e.tenant_id = $1 and e.customer_id is null and e.day between {from} and {to}
                    union all
                    select {isNow}, 'all', coalesce(sum(orders), 0)::bigint, {Days} from sales_days e
                    where e.tenant_id = $1 and e.day between {from} and {to}
                    """,
            ct
        );
        var (was, now) = (parts.Before["all"], parts.Now["all"]);
        foreach (var side in (Dictionary<string, Part>[])[parts.Before, parts.Now])
            side["earlier"] = side["all"] - side["new"] - side["guests"];
        var contributions = new List<Contribution>();
        foreach (
            var (key, name) in new[]
            {
                ("new", "New customers"),
                ("earlier", "Earlier customers"),
                ("guests", "Guests"),
            }
        )
        {
            var (a, b) = (parts.Before.GetValueOrDefault(key), parts.Now.GetValueOrDefault(key));
            var show = key switch
            {
                "new" => "from-new",
                "earlier" => "from-returning",
                _ => "from-guests",
            };
            if (metric == "orders")
            {
                contributions.Add(
                    new(
                        key,
                        name,
                        null,
                        ContributionUnit.Orders,
                        a.Orders,
                        b.Orders,
                        b.Orders - a.Orders,
                        $"metric=orders&show={show}"
                    )
                );
                continue;
            }
            var (byOrders, byValue) = Decomposition.OfOrders(a, b);
            contributions.Add(
                new(
                    key + "-orders",
                    name,
                    "orders",
                    ContributionUnit.Orders,
                    a.Orders,
                    b.Orders,
                    byOrders,
                    $"metric=gross-sales&show={show}"
                )
            );
            contributions.Add(
                new(
                    key + "-value",
                    name,
                    "order value",
                    ContributionUnit.MoneyPerOrder,
                    PerOrder(a),
                    PerOrder(b),
                    byValue,
                    $"metric=gross-sales&show={show}&sort=largest"
                )
            );
        }
        return (was.Of(metric), now.Of(metric), [.. contributions, .. Decomposition.OfRest(metric, was, now)]);
    }

    private async Task<(long Before, long Now, IReadOnlyList<Contribution> Parts)> ByCountryAsync(
        XenoDbContext db,
        string metric,
        DateRange range,
        DateRange before,
        CancellationToken ct
    )
    {
        var parts = await PartsAsync(
            db,
            range,
            before,
            (isNow, from, to) =>
                $"""
                    select {isNow},
                        case when e.customer_id is null then 'guests'
                            else coalesce(nullif(k.country_code, ''), 'unknown') end,
                        {Sums}
                    from order_entries e left join customers k on k.tenant_id = $1
                        and k.shopify_id = e.customer_id
                    where e.tenant_id = $1 and e.day between {from} and {to} group by 2
                    """,
            ct
        );
        var all = parts
            .Before.Keys.Union(parts.Now.Keys)
            .Select(key =>
                (
                    Key: key,
                    Before: parts.Before.GetValueOrDefault(key).Of(metric),
                    Now: parts.Now.GetValueOrDefault(key).Of(metric)
                )
            )
            .OrderByDescending(p => Math.Abs(p.Now - p.Before))
            .ThenBy(p => p.Key, StringComparer.Ordinal)
            .ToList();
        var unit = metric == "orders" ? ContributionUnit.Orders : ContributionUnit.Money;
        var shown = all.Take(LargestMovers)
            .Select(p => new Contribution(
                "country-" + p.Key,
                p.Key switch
                {
                    "guests" => "Guests",
                    "unknown" => "Country unknown",
                    _ => CountryName(p.Key),
                },
                null,
                unit,
                p.Before,
                p.Now,
                p.Now - p.Before,
                p.Key == "guests" ? "show=from-guests" : null
            ));
        return (
            Sum(parts.Before).Of(metric),
            Sum(parts.Now).Of(metric),
            [
                .. shown,
                .. Rest("All other countries", unit, all.Skip(LargestMovers).Select(p => (p.Before, p.Now)).ToList()),
            ]
        );
    }

    private async Task<(long Before, long Now, IReadOnlyList<Contribution> Parts)> ByProductAsync(
        XenoDbContext db,
        string metric,
        DateRange range,
        DateRange before,
        CancellationToken ct
    )
    {
        await using var command = Command(
            db,
            range,
            before,
            $"""
            with moved as (
                select product_id, sum(net_before)::bigint was, sum(net_now)::bigint now from (
                    select product_id, gross - discounts - returns net_now, 0 net_before from {SoldRows.Of(
                range,
                "$2",
                "$3"
            )} sold
                    union all
                    select product_id, 0, gross - discounts - returns from {SoldRows.Of(before, "$4", "$5")} sold) days
                group by product_id having (sum(net_before), sum(net_now)) <> (0, 0)),
            ranked as (select *, row_number() over (order by abs(now - was) desc, product_id) place from moved)
            select 0 kind, r.place, r.product_id, {ProductTitles.Of("r.product_id", "p.title")}, r.was, r.now, 0, 0, 0
            from ranked r left join products p on p.tenant_id = $1 and p.shopify_id = r.product_id where r.place <= $6
            union all
            select 1, 0, 0, null, coalesce(sum(was), 0)::bigint, coalesce(sum(now), 0)::bigint, count(*), 0, 0
            from ranked where place > $6
            union all
            select 2, 0, coalesce(sum(shipping), 0)::bigint, null, coalesce(sum(taxes), 0)::bigint,
                coalesce(sum(duties), 0)::bigint, coalesce(sum(fees), 0)::bigint,
                coalesce(sum(gross - discounts - returns), 0)::bigint, 0 from sales_days
            where tenant_id = $1 and day between $4 and $5
            union all
            select 3, 0, coalesce(sum(shipping), 0)::bigint, null, coalesce(sum(taxes), 0)::bigint,
                coalesce(sum(duties), 0)::bigint, coalesce(sum(fees), 0)::bigint,
                coalesce(sum(gross - discounts - returns), 0)::bigint, 0 from sales_days
            where tenant_id = $1 and day between $2 and $3
            order by 1, 2
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = LargestMovers });
        var contributions = new List<Contribution>();
        var sides = new Part[2];
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var (kind, id, was, now) = (reader.GetInt32(0), reader.GetInt64(2), reader.GetInt64(4), reader.GetInt64(5));
            if (kind == 0)
                contributions.Add(
                    new(
                        $"product-{id}",
                        reader.GetString(3),
                        null,
                        ContributionUnit.Money,
                        was,
                        now,
                        now - was,
                        $"metric=net-sales&product={id}"
                    )
                );
            else if (kind == 1)
                contributions.AddRange(
                    Rest("All other products", ContributionUnit.Money, reader.GetInt64(6) == 0 ? [] : [(was, now)])
                );
            else
                sides[kind - 2] = new Part(0, reader.GetInt64(7), 0, 0, id, was, now, reader.GetInt64(6));
        }
        return (
            sides[0].Of(metric),
            sides[1].Of(metric),
            [.. contributions, .. Decomposition.OnTop(metric, sides[0], sides[1])]
        );
    }

    /// <param name="ofRange">SQL for the parts of one range, given whether it is the present one and its first and last
    /// day.</param>
    private async Task<(Dictionary<string, Part> Before, Dictionary<string, Part> Now)> PartsAsync(
        XenoDbContext db,
        DateRange range,
        DateRange before,
        Func<string, string, string, string> ofRange,
        CancellationToken ct
    )
    {
        var (was, now) = (new Dictionary<string, Part>(), new Dictionary<string, Part>());
        await using var command = Command(
            db,
            range,
            before,
            $"{ofRange("true", "$2", "$3")} union all {ofRange("false", "$4", "$5")}"
        );
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            (reader.GetBoolean(0) ? now : was)[reader.GetString(1)] = new Part(
                reader.GetInt64(2),
                reader.GetInt64(3),
                reader.GetInt64(4),
                reader.GetInt64(5),
                reader.GetInt64(6),
                reader.GetInt64(7),
                reader.GetInt64(8),
                reader.GetInt64(9)
            );
        }
        return (was, now);
    }

    private static IEnumerable<Contribution> Rest(
        string name,
        ContributionUnit unit,
        List<(long Before, long Now)> rest
    ) =>
        rest.Count == 0
            ? []
            :
            [
                new(
                    "others",
                    name,
                    null,
                    unit,
                    rest.Sum(r => r.Before),
                    rest.Sum(r => r.Now),
                    rest.Sum(r => r.Now - r.Before),
                    null
                ),
            ];

    private static Part Sum(Dictionary<string, Part> parts) =>
        parts.Values.Aggregate(default(Part), (sum, part) => sum + part);

    private static long PerOrder(Part part) =>
        part.Orders == 0 ? 0 : (long)Math.Round((decimal)part.Gross / part.Orders, MidpointRounding.AwayFromZero);

    private static string CountryName(string code)
    {
        try
        {
            return new System.Globalization.RegionInfo(code).EnglishName;
        }
        catch (ArgumentException)
        {
            return code;
        }
    }

    private NpgsqlCommand Command(XenoDbContext db, DateRange range, DateRange before, string sql)
    {
        var command = db.Command(sql);
        foreach (
            var value in new object[] { tenant.TenantId ?? Guid.Empty, range.From, range.To, before.From, before.To }
        )
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        return command;
    }
}
