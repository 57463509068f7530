using System.Globalization;
using System.Runtime.CompilerServices;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Formatting;
using XenoInsights.Ingestion;
using XenoInsights.Insights.Overview;
using XenoInsights.Insights.Products;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Checkouts;

/// <summary>
/// Abandoned checkouts, for the entered tenant: always those begun in a range, so the cost follows the range.
/// </summary>
public sealed class CheckoutQueries(XenoDatabase database, TenantContext tenant, AnswerCache answers)
{
    private const int ItemsOfACheckout = 3;

    public Task<CheckoutsOverview> OverviewAsync(DateRange range, CancellationToken ct = default) =>
        AskAsync(
            ("checkouts/overview", range),
            async (db, ct) =>
            {
                await using var command = Command(
                    db,
                    range,
                    $"""
                    select count(*), count(*) filter (where completed_at is null),
                        coalesce(sum(total) filter (where completed_at is null), 0)::bigint,
                        count(completed_at), coalesce(sum(total) filter (where completed_at is not null), 0)::bigint,
                           (percentile_disc(0.5) within group (order by floor(extract(epoch from completed_at -
                               created_at) / 60)) filter (where completed_at is not null))::bigint,
                           (select coalesce(sum(online_orders), 0)::bigint from sales_days
                               where tenant_id = $1 and day between $2 and $3)
                    from checkouts where {Begun}
                    """
                );
                await using var reader = await command.ExecuteReaderAsync(ct);
                await reader.ReadAsync(ct);
                var (abandoned, lost, recovered, orders) = (
                    reader.GetInt64(0),
                    reader.GetInt64(1),
                    reader.GetInt64(3),
                    reader.GetInt64(6)
                );
                return new CheckoutsOverview(
                    abandoned,
                    lost,
                    reader.GetInt64(2),
                    recovered,
                    reader.GetInt64(4),
                    Rate(recovered, abandoned),
                    reader.IsDBNull(5) ? null : reader.GetInt64(5),
                    orders,
                    orders + lost,
                    Rate(orders, orders + lost)
                );
            },
            ct
        );

    /// <summary>One point a bucket of the range, empty ones included.</summary>
    public Task<IReadOnlyList<CheckoutPoint>> ByDateAsync(
        DateRange range,
        Granularity granularity,
        CancellationToken ct = default
    ) =>
        AskAsync(
            ("checkouts/by-date", range, granularity),
            async (db, ct) =>
            {
                var byHour = granularity == Granularity.Hour;
                var buckets = new SortedDictionary<(DateOnly, int), Sums>();
                for (var day = 0; day < range.Days; day++)
                for (var hour = 0; hour < (byHour ? 24 : 1); hour++)
                    buckets.TryAdd((BucketOf(range.From.AddDays(day)), hour), default);
                var offsets = byHour ? (await ZoneOffsets.OfStoreAsync(db, ct)).Parameters() : [];
                await using var command = Command(
                    db,
                    range,
                    $"""
                    select business_day, {(
                        byHour ? _hour : "0"
                    )}, count(*), count(*) filter (where completed_at is null),
                        coalesce(sum(total) filter (where completed_at is null), 0)::bigint,
                           count(completed_at), coalesce(sum(total) filter (where completed_at is not null), 0)::bigint
                    from checkouts where {Begun} group by 1, 2
                    """
                );
                command.Parameters.AddRange(offsets);
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    buckets[(BucketOf(reader.GetFieldValue<DateOnly>(0)), reader.GetInt32(1))] += new Sums(
                        reader.GetInt64(2),
                        reader.GetInt64(3),
                        reader.GetInt64(4),
                        reader.GetInt64(5),
                        reader.GetInt64(6)
                    );
                return (IReadOnlyList<CheckoutPoint>)
                    [
                        .. buckets.Select(b => new CheckoutPoint(
                            b.Key.Item1,
                            b.Value.Abandoned,
                            b.Value.Lost,
                            b.Value.LostCents,
                            b.Value.Recovered,
                            b.Value.RecoveredCents,
                            Rate(b.Value.Recovered, b.Value.Abandoned),
                            byHour ? b.Key.Item2 : null
                        )),
                    ];

                DateOnly BucketOf(DateOnly day) => byHour ? day : SalesQueries.BucketOf(day, granularity);
            },
            ct
        );

    /// <summary>All 168 hours of the week, by when checkouts were begun.</summary>
    public Task<IReadOnlyList<CheckoutHour>> ByHourAsync(DateRange range, CancellationToken ct = default) =>
        AskAsync(
            ("checkouts/by-hour", range),
            async (db, ct) =>
            {
                var hours = Enumerable
                    .Range(0, 7 * 24)
                    .Select(i => new CheckoutHour((i / 24) + 1, i % 24, 0, 0, 0))
                    .ToArray();
                var offsets = await ZoneOffsets.OfStoreAsync(db, ct);
                await using var command = Command(
                    db,
                    range,
                    $"""
                    select extract(isodow from business_day)::int, {_hour}, count(*), count(completed_at),
                        coalesce(sum(total) filter (where completed_at is null), 0)::bigint
                    from checkouts where {Begun} group by 1, 2
                    """
                );
                command.Parameters.AddRange(offsets.Parameters());
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                {
                    var at = ((reader.GetInt32(0) - 1) * 24) + reader.GetInt32(1);
                    hours[at] = hours[at] with
                    {
                        Abandoned = reader.GetInt64(2),
                        Recovered = reader.GetInt64(3),
                        LostCents = reader.GetInt64(4),
                    };
                }
                return (IReadOnlyList<CheckoutHour>)hours;
            },
            ct
        );

    /// <summary>What lies in the checkouts that were not recovered, the most valuable first.</summary>
    public Task<IReadOnlyList<CheckoutProduct>> ProductsAsync(
        DateRange range,
        int? limit,
        CancellationToken ct = default
    ) =>
        AskAsync(
            ("checkouts/products", range, limit),
            async (db, ct) =>
            {
                var rows = new List<CheckoutProduct>();
                await using var command = Command(
                    db,
                    range,
                    $"""
                    select top.product_id, {ProductTitles.Of(
                        "top.product_id",
                        "coalesce(nullif(k.title, ''), case when top.product_id <> 0 then top.title end)"
                    )}, lost, lost_units, lost_value, recovered
                    from (
                        select coalesce(l.product_id, 0) product_id, max(l.title collate "C") title,
                            count(distinct c.shopify_id) filter (where c.completed_at is null) lost,
                            coalesce(sum(l.quantity) filter (where c.completed_at is null), 0)::bigint lost_units,
                            coalesce(sum(l.total) filter (where c.completed_at is null), 0)::bigint lost_value,
                            count(distinct c.shopify_id) filter (where c.completed_at is not null) recovered
                        from (select shopify_id, completed_at from checkouts where {Begun}) c
                        -- Checkout by checkout: a join of the whole might be made by reading every line there ever was.
                        cross join lateral (select product_id, title, quantity, total from checkout_line_items
                            where tenant_id = $1 and checkout_id = c.shopify_id offset 0) l
                        group by 1 order by lost_value desc, 1 {(limit is { } size ? $"limit {size}" : "")}
                    ) top left join products k on k.tenant_id = $1 and k.shopify_id = top.product_id
                    order by lost_value desc, top.product_id
                    """
                );
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                {
                    var (lost, recovered) = (reader.GetInt64(2), reader.GetInt64(5));
                    rows.Add(
                        new(
                            reader.GetInt64(0),
                            reader.GetString(1),
                            lost,
                            reader.GetInt64(3),
                            reader.GetInt64(4),
                            recovered,
                            Rate(recovered, lost + recovered) ?? 0
                        )
                    );
                }
                return (IReadOnlyList<CheckoutProduct>)rows;
            },
            ct
        );

    public Task<OpenSums> OpenSumsAsync(OpenFilter filter, CancellationToken ct = default) =>
        AskAsync(
            ("checkouts/open/sums", filter),
            async (db, ct) =>
            {
                await using var command = Command(
                    db,
                    filter.Range,
                    $"select count(*), coalesce(sum(total), 0)::bigint from checkouts c where {Open(filter)}",
                    filter.ProductId ?? 0
                );
                await using var reader = await command.ExecuteReaderAsync(ct);
                await reader.ReadAsync(ct);
                return new OpenSums(reader.GetInt64(0), reader.GetInt64(1));
            },
            ct
        );

    /// <param name="after">Where the page begins: <see cref="OpenCheckouts.Next"/> of the one before it.</param>
    /// <exception cref="FormatException"><paramref name="after"/> is not such a place.</exception>
    public Task<OpenCheckouts> OpenAsync(
        OpenFilter filter,
        CheckoutSort sort,
        string? after,
        int size,
        CancellationToken ct = default
    )
    {
        var place = after is null
            ? null
            : Place.Find(after) ?? throw new FormatException($"'{after}' is not where a page ended.");
        return database.InTenantAsync(
            async db =>
            {
                var rows = await ListAsync(RowsAsync(db, filter, sort, place, size + 1, ct), ct);
                if (rows.Count <= size)
                    return new OpenCheckouts(rows, null);
                rows.RemoveAt(size);
                return new OpenCheckouts(rows, Place.Of(rows[^1]).ToString());
            },
            ct
        );
    }

    /// <summary>Whether a page may begin there.</summary>
    public static bool IsPlace(string? after) => Place.Find(after) is not null;

    /// <summary>
    /// For exports: in the order asked for, and by the day and id of the checkout, which never change.
    /// </summary>
    internal ExportRows<OpenCheckout> Export(OpenFilter filter, CheckoutSort sort, CancellationToken ct) =>
        new(
            (db, size) => ListAsync(RowsAsync(db, filter, sort, null, size, ct), ct),
            (db, after, size) =>
                ListAsync(
                    RowsAsync(db, filter, CheckoutSort.Oldest, after is null ? null : Place.Of(after), size, ct),
                    ct
                ),
            "by the time they were begun"
        );

    // The page is found first and dressed with names and items afterwards.
    private async IAsyncEnumerable<OpenCheckout> RowsAsync(
        XenoDbContext db,
        OpenFilter filter,
        CheckoutSort sort,
        Place? after,
        int? limit,
        [EnumeratorCancellation] CancellationToken ct
    )
    {
        var (keys, than, direction) = sort switch
        {
            CheckoutSort.Oldest => (new[] { "business_day", "created_at", "shopify_id" }, ">", ""),
            CheckoutSort.Largest => (["total", "created_at", "shopify_id"], "<", " desc"),
            _ => (["business_day", "created_at", "shopify_id"], "<", " desc"),
        };
        // The link opens the customer's cart: what the person's role is now decides, not what a page took it for.
        var mayRecover = db.Role >= MemberRole.Admin;
        string Order(string table) => string.Join(", ", keys.Select(key => $"{table}.{key}{direction}"));
        var sortedBy = string.Join(", ", keys.Select(key => "c." + key));
        var first = sort == CheckoutSort.Largest ? "$8" : "$5";
        var beyond = after is null ? "" : $"and ({sortedBy}) {than} ({first}, $6, $7)";
        await using var command = Command(
            db,
            filter.Range,
            $"""
            select page.shopify_id, page.name, page.created_at, page.business_day, page.customer_id,
                   coalesce(nullif(k.display_name, ''), nullif(concat_ws(' ', k.first_name, k.last_name), ''), k.email),
                   k.email, page.total, lines.units, lines.lines, lines.titles, page.recovery_url
            from (
                select c.* from checkouts c where {Open(filter)} {beyond}
                order by {Order("c")} {(limit is { } size ? $"limit {size}" : "")}
            ) page
            left join customers k on k.tenant_id = $1 and k.shopify_id = page.customer_id
            cross join lateral (
                select coalesce(sum(quantity), 0)::bigint units, count(*) lines,
                    coalesce( (array_agg(title order by total desc, ordinal))[1:{ItemsOfACheckout}],
                        array[]::text[] ) titles
                from checkout_line_items l where l.tenant_id = $1 and l.checkout_id = page.shopify_id) lines
            order by {Order("page")}
            """,
            filter.ProductId ?? 0
        );
        if (after is not null)
            foreach (var value in new object[] { after.Day, after.CreatedAt.UtcDateTime, after.Id, after.Total })
                command.Parameters.Add(new NpgsqlParameter { Value = value });
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            yield return new(
                reader.GetInt64(0),
                Text(1),
                reader.GetFieldValue<DateTimeOffset>(2),
                reader.GetFieldValue<DateOnly>(3),
                reader.IsDBNull(4) ? null : reader.GetInt64(4),
                Text(5),
                Text(6),
                reader.GetInt64(7),
                reader.GetInt64(8),
                reader.GetInt64(9),
                reader.GetFieldValue<string[]>(10),
                mayRecover ? Text(11) : null
            );
        }

        string? Text(int at) => reader.IsDBNull(at) ? null : reader.GetString(at);
    }

    private static async Task<List<OpenCheckout>> ListAsync(IAsyncEnumerable<OpenCheckout> rows, CancellationToken ct)
    {
        var list = new List<OpenCheckout>();
        await foreach (var row in rows.WithCancellation(ct))
            list.Add(row);
        return list;
    }

    // Those from before the shop changed its currency are not added to the others.
    private const string InCurrency = "currency = (select currency from tenants where tenant_id = $1)";
    private const string Begun =
        $"tenant_id = $1 and business_day between $2 and $3 and deleted_at is null and {InCurrency}";

    // Needs the offsets of the store's zone as $4 and $5.
    private static readonly string _hour = $"extract(hour from {ZoneOffsets.Local("created_at", 4)})::int";

    private static string Open(OpenFilter filter) =>
        "c.tenant_id = $1 and c.business_day between $2 and $3 and c.deleted_at is null and c.completed_at "
        + $"is null and c.{InCurrency}"
        + filter.ProductId switch
        {
            null => "",
            0 => " and exists (select from checkout_line_items l where l.tenant_id = $1 and l.checkout_id = "
                + "c.shopify_id and l.product_id is null)",
            _ => " and exists (select from checkout_line_items l where l.tenant_id = $1 and l.checkout_id = "
                + "c.shopify_id and l.product_id = $4)",
        };

    private static decimal? Rate(long part, long whole) => whole == 0 ? null : decimal.Round((decimal)part / whole, 6);

    // $1 tenant, $2 and $3 range, $4 product of open checkouts; $5 to $8 where the page before ended.
    private NpgsqlCommand Command(XenoDbContext db, DateRange range, string sql, params ReadOnlySpan<object> others)
    {
        var command = db.Command(sql);
        command.Parameters.Add(
            new NpgsqlParameter { Value = tenant.TenantId ?? Guid.Empty, NpgsqlDbType = NpgsqlDbType.Uuid }
        );
        command.Parameters.Add(new NpgsqlParameter { Value = range.From });
        command.Parameters.Add(new NpgsqlParameter { Value = range.To });
        foreach (var other in others)
            command.Parameters.Add(new NpgsqlParameter { Value = other });
        return command;
    }

    private Task<T> AskAsync<T>(
        object question,
        Func<XenoDbContext, CancellationToken, Task<T>> answer,
        CancellationToken ct
    )
        where T : class => answers.GetAsync(database, tenant.TenantId ?? Guid.Empty, question, answer, ct);

    private readonly record struct Sums(long Abandoned, long Lost, long LostCents, long Recovered, long RecoveredCents)
    {
        public static Sums operator +(Sums a, Sums b) =>
            new(
                a.Abandoned + b.Abandoned,
                a.Lost + b.Lost,
                a.LostCents + b.LostCents,
                a.Recovered + b.Recovered,
                a.RecoveredCents + b.RecoveredCents
            );
    }

    /// <summary>The last row of a page, by everything that rows are sorted by.</summary>
    private sealed record Place(DateOnly Day, DateTimeOffset CreatedAt, long Id, long Total)
    {
        public static Place Of(OpenCheckout row) => new(row.Day, row.CreatedAt, row.ShopifyId, row.TotalCents);

        public static Place? Find(string? text) =>
            text?.Split('.') is [var day, var at, var id, var total]
            && int.TryParse(day, CultureInfo.InvariantCulture, out var number)
            && number is >= 0 and < 3_000_000
            && long.TryParse(at, CultureInfo.InvariantCulture, out var ticks)
            && ticks >= 0
            && ticks <= DateTime.MaxValue.Ticks
            && long.TryParse(id, CultureInfo.InvariantCulture, out var checkout)
            && long.TryParse(total, CultureInfo.InvariantCulture, out var amount)
                ? new(DateOnly.FromDayNumber(number), new DateTimeOffset(ticks, TimeSpan.Zero), checkout, amount)
                : null;

        public override string ToString() =>
            string.Create(CultureInfo.InvariantCulture, $"{Day.DayNumber}.{CreatedAt.UtcTicks}.{Id}.{Total}");
    }
}
