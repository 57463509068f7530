using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Formatting;
using XenoInsights.Ingestion;
using XenoInsights.Insights.Overview;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Products;

/// <summary>
/// What was sold, for the entered tenant. Figures come from the rollup of products' days; who bought, from the orders
/// of the range only.
/// </summary>
public sealed class ProductQueries(XenoDatabase database, TenantContext tenant, AnswerCache answers)
{
    public const long CustomItems = 0;

    /// <summary>
    /// A search looks at the SKUs of this many of a product's latest sales: there is no list of its variants.
    /// </summary>
    private const int SkusOfASearch = 5;
    private const int MostKinds = 200;

    private static readonly string[] _measures = ["units_ordered", "units_returned", "gross", "discounts", "returns"];

    public Task<ProductSums> SumsAsync(ProductFilter filter, CancellationToken ct = default) =>
        AskAsync(
            ("products/sums", filter),
            async (db, ct) =>
            {
                await using var command = Command(
                    db,
                    filter,
                    $"""
                    select count(*), {string.Join(
                        ", ",
                        _measures.Select(m => $"coalesce(sum({m}), 0)::bigint")
                    )}, coalesce(sum(net_before), 0)::bigint, ({NetOfDays})
                    from ({Listed(filter)}) listed
                    """
                );
                await using var reader = await command.ExecuteReaderAsync(ct);
                await reader.ReadAsync(ct);
                return new ProductSums(
                    reader.GetInt64(0),
                    Figures(reader, 1),
                    filter.Before is null ? null : reader.GetInt64(6),
                    reader.GetInt64(7)
                );
            },
            ct
        );

    /// <param name="after">Where the page begins: <see cref="ProductRows.Next"/> of the one before it.</param>
    /// <exception cref="FormatException"><paramref name="after"/> is not such a place.</exception>
    public Task<ProductRows> PageAsync(
        ProductFilter filter,
        ProductSort sort,
        bool ascending,
        string? after,
        int size,
        CancellationToken ct = default
    )
    {
        var place = after is null
            ? null
            : Place.Find(after, sort) ?? throw new FormatException($"'{after}' is not where a page ended.");
        return AskAsync(
            ("products", filter, sort, ascending, after, size),
            async (db, ct) =>
            {
                var (rows, last, isMore) = (new List<ProductRow>(), (Place?)null, false);
                await using var command = Rows(db, filter, Sorted(sort), ascending, place, size + 1);
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                {
                    if (isMore = rows.Count == size)
                        break;
                    rows.Add(Read(reader, filter));
                    last = Place.At(reader, sort);
                }
                return new ProductRows(rows, isMore ? last!.ToString() : null);
            },
            ct
        );
    }

    /// <summary>Whether a page may begin there.</summary>
    public static bool IsPlace(string? after, ProductSort sort) => Place.Find(after, sort) is not null;

    /// <summary>For exports: in the order asked for, and by the product's id.</summary>
    internal ExportRows<ProductRow> Export(
        ProductFilter filter,
        ProductSort sort,
        bool ascending,
        CancellationToken ct
    ) =>
        new(
            (db, size) => ReadAsync(Rows(db, filter, Sorted(sort), ascending, null, size), filter, ct),
            (db, after, size) =>
                ReadAsync(
                    Rows(
                        db,
                        filter,
                        "product_id",
                        ascending: true,
                        after is null ? null : new Place(after.ShopifyId, null, after.ShopifyId),
                        size
                    ),
                    filter,
                    ct
                ),
            "by Shopify id"
        );

    private static async Task<List<ProductRow>> ReadAsync(
        NpgsqlCommand rows,
        ProductFilter filter,
        CancellationToken ct
    )
    {
        await using var command = rows;
        await using var reader = await command.ExecuteReaderAsync(ct);
        var list = new List<ProductRow>();
        while (await reader.ReadAsync(ct))
            list.Add(Read(reader, filter));
        return list;
    }

    public Task<ProductKinds> KindsAsync(CancellationToken ct = default) =>
        AskAsync(
            "products/kinds",
            async (db, ct) =>
                new ProductKinds(
                    await db
                        .Products.Where(p => p.Vendor != null && p.Vendor != "")
                        .Select(p => p.Vendor!)
                        .Distinct()
                        .Order()
                        .Take(MostKinds)
                        .ToListAsync(ct),
                    await db
                        .Products.Where(p => p.ProductType != null && p.ProductType != "")
                        .Select(p => p.ProductType!)
                        .Distinct()
                        .Order()
                        .Take(MostKinds)
                        .ToListAsync(ct)
                ),
            ct
        );

    /// <summary>Null if the store never had nor sold a product of this id.</summary>
    public async Task<ProductAnswer?> FindAsync(long id, DateRange range, CancellationToken ct = default) =>
        (
            await AskAsync(("product", id, range), async (db, ct) => new Found(await FindAsync(db, id, range, ct)), ct)
        ).Product;

    /// <summary>One point a bucket of the range, empty ones included.</summary>
    public Task<IReadOnlyList<ProductPoint>> ByDateAsync(
        long id,
        DateRange range,
        Granularity granularity,
        CancellationToken ct = default
    ) =>
        AskAsync(
            ("product/by-date", id, range, granularity),
            async (db, ct) =>
            {
                var buckets = new SortedDictionary<DateOnly, ProductMetrics>();
                for (var day = 0; day < range.Days; day++)
                    buckets.TryAdd(SalesQueries.BucketOf(range.From.AddDays(day), granularity), default);
                await using var command = Command(
                    db,
                    new(range),
                    $"select {string.Join(", ", _measures)}, day from {DaysOf("$6")}",
                    id,
                    DaysIn(range)
                );
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    buckets[SalesQueries.BucketOf(reader.GetFieldValue<DateOnly>(5), granularity)] += Figures(
                        reader,
                        0
                    );
                return (IReadOnlyList<ProductPoint>)[.. buckets.Select(b => Point(b.Key, b.Value))];
            },
            ct
        );

    /// <summary>
    /// What else the customers who bought a product bought in the range, most of them first. Bought means: on a line of
    /// an order placed in the range. Custom items are many things, so nothing is said of those who bought some.
    /// </summary>
    public Task<IReadOnlyList<AlsoBought>> AlsoBoughtAsync(
        long id,
        DateRange range,
        int limit,
        CancellationToken ct = default
    ) =>
        id == CustomItems
            ? Task.FromResult<IReadOnlyList<AlsoBought>>([])
            : AskAsync(
                ("product/also-bought", id, range, limit),
                async (db, ct) =>
                {
                    var rows = new List<AlsoBought>();
                    await using var command = Command(
                        db,
                        new(range),
                        $"""
                        with buyers as materialized ({BuyersOf("$6")}), shared as materialized (
                            select s.product_id, count(distinct b.customer_id) both_bought
                            from buyers b
                            join order_entries e on e.tenant_id = $1 and e.customer_id = b.customer_id
                                and e.day between $2 and $3 and e.original
                            join order_sales s on s.tenant_id = $1 and s.order_id = e.order_id
                                and s.product_id <> $6 and {Bought}
                            group by s.product_id order by 2 desc, 1 limit $7
                        )
                        select shared.product_id, {Title(
                            "shared.product_id"
                        )}, both_bought, (select count(*) from buyers),
                               (select count(*) from ({BuyersOf(
                            "shared.product_id"
                        )}) others), (select sum(customers)::bigint from customer_returns
                            where tenant_id = $1 and day between $2 and $3 and previous_day < $2)
                        from shared left join products k on k.tenant_id = $1 and k.shopify_id = shared.product_id
                        order by both_bought desc, shared.product_id
                        """,
                        id,
                        limit
                    );
                    await using var reader = await command.ExecuteReaderAsync(ct);
                    while (await reader.ReadAsync(ct))
                    {
                        var (both, buyers, others, all) = (
                            reader.GetInt64(2),
                            reader.GetInt64(3),
                            reader.GetInt64(4),
                            reader.GetInt64(5)
                        );
                        rows.Add(
                            new(
                                reader.GetInt64(0),
                                reader.GetString(1),
                                both,
                                decimal.Round((decimal)both / buyers, 6),
                                decimal.Round((decimal)both * all / ((decimal)buyers * others), 6)
                            )
                        );
                    }
                    return (IReadOnlyList<AlsoBought>)rows;
                },
                ct
            );

    private async Task<ProductAnswer?> FindAsync(XenoDbContext db, long id, DateRange range, CancellationToken ct)
    {
        var product = await db
            .Products.IgnoreQueryFilters([XenoDbContext.DeletedFilter])
            .AsNoTracking()
            .SingleOrDefaultAsync(p => p.ShopifyId == id, ct);
        var (sold, figures, net) = await FiguresAsync(db, id, range, ct);
        if (product is null && sold.First is null && id != CustomItems)
            return null;
        var (orders, customers, newCustomers) = id == CustomItems ? default : await BuyersAsync(db, id, range, ct);
        return new(
            id,
            id == CustomItems ? ProductTitles.CustomItems : Known(product?.Title) ?? sold.Title,
            sold.Sku,
            Known(product?.Vendor),
            Known(product?.ProductType),
            product?.Status,
            product?.GiftCard ?? false,
            id != CustomItems && product?.DeletedAt is not null,
            range.From,
            range.To,
            figures.UnitsOrdered,
            figures.UnitsReturned,
            figures.Units,
            figures.GrossSalesCents,
            figures.DiscountsCents,
            figures.ReturnsCents,
            figures.NetSalesCents,
            figures.ReturnRate,
            ShareOf(figures.NetSalesCents, net),
            orders,
            customers,
            newCustomers,
            sold.First,
            sold.Last
        );
    }

    private async Task<(Sold Sold, ProductMetrics Figures, long NetOfDays)> FiguresAsync(
        XenoDbContext db,
        long id,
        DateRange range,
        CancellationToken ct
    )
    {
        var sums = string.Join(", ", _measures.Select(m => $"coalesce(sum({m}), 0)::bigint"));
        await using var command = Command(
            db,
            new(range),
            $"""
            select figures.*, ({NetOfDays}),
                   (select s.day from order_sales s
                    join orders o on o.tenant_id = $1 and o.shopify_id = s.order_id and o.counted
                    where s.tenant_id = $1 and s.product_id = $6 and s.measure = 1
                    order by s.day limit 1),
                   latest.day, latest.sku, {ProductTitles.Of("$6", "null")}
            from (select {sums} from {DaysOf("$6")}) figures
            left join lateral (
                select s.day, l.sku from order_sales s
                join orders o on o.tenant_id = $1 and o.shopify_id = s.order_id and o.counted
                left join order_line_items l
                    on l.tenant_id = $1 and l.order_id = s.order_id and l.shopify_id = s.line_item_id
                where s.tenant_id = $1 and s.product_id = $6 and s.measure = 1
                order by s.day desc limit 1) latest on true
            """,
            id,
            DaysIn(range)
        );
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return (new(Day(6), Day(7), Text(reader, 8), reader.GetString(9)), Figures(reader, 0), reader.GetInt64(5));

        DateOnly? Day(int at) => reader.IsDBNull(at) ? null : reader.GetFieldValue<DateOnly>(at);
    }

    // Whether somebody bought it before is looked up customer by customer, order by order, in the product's part of the
    // index: it costs as much as their histories, not as the product's.
    private async Task<(long? Orders, long? Customers, long? New)> BuyersAsync(
        XenoDbContext db,
        long id,
        DateRange range,
        CancellationToken ct
    )
    {
        await using var command = Command(
            db,
            new(range),
            $"""
            select (select count(distinct s.order_id) from order_sales s
                join orders o on o.tenant_id = $1 and o.shopify_id = s.order_id and o.counted
                    where s.tenant_id = $1 and s.product_id = $6 and s.day between $2 and $3 and {Bought}),
                   count(*), count(*) filter (where earlier.found is null)
            from ({BuyersOf("$6")}) b
            left join lateral (
                select 1 found from order_entries e join order_sales s on s.tenant_id = $1
                    and s.product_id = $6 and s.day = e.day and s.order_id = e.order_id and {Bought}
                where e.tenant_id = $1 and e.customer_id = b.customer_id and e.day < $2 and e.original
                limit 1) earlier on true
            """,
            id
        );
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return (reader.GetInt64(0), reader.GetInt64(1), reader.GetInt64(2));
    }

    private const string Bought = "s.original and s.measure = 1 and s.quantity > 0";
    private const string NetOfDays = """
        select coalesce(sum(gross - discounts - returns), 0)::bigint from sales_days
        where tenant_id = $1 and day between $2 and $3
        """;

    private static string BuyersOf(string product) =>
        $"""
            select distinct o.customer_id from order_sales s
            join orders o on o.tenant_id = $1 and o.shopify_id = s.order_id and o.counted and o.customer_id is not null
            where s.tenant_id = $1 and s.product_id = {product} and s.day between $2 and $3 and {Bought}
            """;

    // Day by day ($7) through the key, which begins with the day: a product's year is 365 look-ups instead of a year of
    // all products.
    private static string DaysOf(string product) =>
        "(select p.* from unnest($7) as d(day) join product_days p on p.tenant_id = $1 and p.day = d.day "
        + $"and p.product_id = {product}) days";

    private static DateOnly[] DaysIn(DateRange range) =>
        [.. Enumerable.Range(0, range.Days).Select(range.From.AddDays)];

    private static string Title(string id) => ProductTitles.Of(id, "k.title");

    private static string Listed(ProductFilter filter)
    {
        var conditions = new List<string>
        {
            "(p.units_ordered, p.units_returned, p.gross, p.discounts, p.returns, p.net_before) <> (0, 0, 0, 0, 0, 0)",
        };
        if (filter.Vendor is not null)
            conditions.Add("k.vendor = $7");
        if (filter.Type is not null)
            conditions.Add("k.product_type = $8");
        if (filter.Search is not null)
        {
            conditions.Add(
                $"""
                ({Title("p.product_id")} ilike $9 or p.product_id::text = $6 or exists (
                    select from (select s.order_id, s.line_item_id from order_sales s
                        where s.tenant_id = $1 and s.product_id = p.product_id and s.day <= $3
                    order by s.day desc limit {SkusOfASearch}) s
                    join order_line_items l on l.tenant_id = $1 and l.order_id = s.order_id
                        and l.shopify_id = s.line_item_id where l.sku ilike $10))
                """
            );
        }
        return $"""
            select p.*, p.gross - p.discounts - p.returns net, {Title("p.product_id")} title, k.vendor, k.product_type
            from (
                select product_id, {string.Join(
                ", ",
                _measures.Select(m => $"sum({m})::bigint \"{m}\"")
            )}, sum(net_before)::bigint net_before
                from ({Sold(
                SoldRows.Of(filter.Range, "$2", "$3"),
                string.Join(", ", _measures.Select(m => $"sum({m}) \"{m}\"")),
                "0"
            )}{(
                filter.Before is { } before
                    ? " union all "
                        + Sold(SoldRows.Of(before, "$4", "$5"), "0, 0, 0, 0, 0", "sum(gross - discounts - returns)")
                    : ""
            )}) both_ranges
                group by product_id
            ) p left join products k on k.tenant_id = $1 and k.shopify_id = p.product_id
            where {string.Join(" and ", conditions)}
            """;

        static string Sold(string rows, string measures, string before) =>
            $"select product_id, {measures}, {before} net_before from {rows} sold group by product_id";
    }

    // The page is found first and dressed with SKUs afterwards.
    private NpgsqlCommand Rows(
        XenoDbContext db,
        ProductFilter filter,
        string sortedBy,
        bool ascending,
        Place? after,
        int limit
    )
    {
        var (than, direction) = ascending ? (">", "") : ("<", " desc");
        var measures = string.Join(", ", _measures.Select(m => $"page.{m}"));
        return Command(
            db,
            filter,
            $"""
            select page.product_id, page.title, line.sku, page.vendor, page.product_type, {measures},
                   page.net_before, page.sorted_by, ({NetOfDays})
            from (
                select * from (select *, {sortedBy} sorted_by from ({Listed(filter)}) listed) sorted
                {(after is null ? "" : $"where (sorted_by, product_id) {than} ($11, $12)")}
                order by sorted_by{direction}, product_id{direction} limit {limit}
            ) page
            left join lateral (
                select l.sku from (
                    select s.order_id, s.line_item_id from order_sales s
                    where s.tenant_id = $1 and s.product_id = page.product_id and s.day <= $3
                    order by s.day desc limit 1) s
                join order_line_items l
                    on l.tenant_id = $1 and l.order_id = s.order_id and l.shopify_id = s.line_item_id) line on true
            order by page.sorted_by{direction}, page.product_id{direction}
            """,
            after: after
        );
    }

    private static string Sorted(ProductSort sort) =>
        sort switch
        {
            ProductSort.GrossSales => "gross",
            ProductSort.Discounts => "discounts",
            ProductSort.Returns => "returns",
            ProductSort.UnitsOrdered => "units_ordered",
            ProductSort.UnitsReturned => "units_returned",
            ProductSort.Units => "units_ordered - units_returned",
            // In millionths, rounded as they are shown; products of which nothing was ordered come after those of which
            // nothing came back.
            ProductSort.ReturnRate =>
                "case when units_ordered = 0 then -1 else round(units_returned * 1000000::numeric / "
                    + "units_ordered)::bigint end",
            ProductSort.Change => "net - net_before",
            ProductSort.Title => "lower(title)",
            _ => "net",
        };

    private static ProductRow Read(NpgsqlDataReader reader, ProductFilter filter)
    {
        var figures = Figures(reader, 5);
        return new(
            reader.GetInt64(0),
            reader.GetString(1),
            Text(reader, 2),
            Text(reader, 3),
            Text(reader, 4),
            figures.UnitsOrdered,
            figures.UnitsReturned,
            figures.Units,
            figures.GrossSalesCents,
            figures.DiscountsCents,
            figures.ReturnsCents,
            figures.NetSalesCents,
            figures.ReturnRate,
            ShareOf(figures.NetSalesCents, reader.GetInt64(12)),
            filter.Before is null ? null : reader.GetInt64(10)
        );
    }

    private static ProductMetrics Figures(NpgsqlDataReader reader, int at) =>
        new(
            reader.GetInt64(at),
            reader.GetInt64(at + 1),
            reader.GetInt64(at + 2),
            reader.GetInt64(at + 3),
            reader.GetInt64(at + 4)
        );

    private static ProductPoint Point(DateOnly date, ProductMetrics of) =>
        new(
            date,
            of.UnitsOrdered,
            of.UnitsReturned,
            of.Units,
            of.GrossSalesCents,
            of.DiscountsCents,
            of.ReturnsCents,
            of.NetSalesCents,
            of.ReturnRate
        );

    private static decimal? ShareOf(long net, long all) => all <= 0 ? null : decimal.Round((decimal)net / all, 6);

    private static string? Text(NpgsqlDataReader reader, int at) =>
        reader.IsDBNull(at) ? null : Known(reader.GetString(at));

    private static string? Known(string? text) => string.IsNullOrWhiteSpace(text) ? null : text;

    // $1 tenant, $2 and $3 range, $4 and $5 what it is compared with; then of lists $6 and $9 search, $7 vendor, $8
    // type, $10 SKU, $11 and $12 where the page before ended.
    private NpgsqlCommand Command(XenoDbContext db, ProductFilter filter, string sql, Place? after = null)
    {
        var command = Command(db, filter, sql, []);
        foreach (
            var text in new[]
            {
                filter.Search,
                filter.Vendor,
                filter.Type,
                Sql.Contains(filter.Search),
                Sql.Contains(filter.Search)?[1..],
            }
        )
            command.Parameters.Add(
                new NpgsqlParameter { Value = (object?)text ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text }
            );
        if (after is not null)
        {
            command.Parameters.Add(new NpgsqlParameter { Value = after.Words is { } words ? words : after.Number });
            command.Parameters.Add(new NpgsqlParameter { Value = after.Id });
        }
        return command;
    }

    // $6 and on: what else is given.
    private NpgsqlCommand Command(
        XenoDbContext db,
        ProductFilter filter,
        string sql,
        params ReadOnlySpan<object> others
    )
    {
        var command = db.Command(sql);
        command.Parameters.Add(
            new NpgsqlParameter { Value = tenant.TenantId ?? Guid.Empty, NpgsqlDbType = NpgsqlDbType.Uuid }
        );
        foreach (var day in new[] { filter.Range.From, filter.Range.To, filter.Before?.From, filter.Before?.To })
            command.Parameters.Add(
                new NpgsqlParameter { Value = (object?)day ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Date }
            );
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

    private sealed record Found(ProductAnswer? Product);

    private readonly record struct Sold(DateOnly? First, DateOnly? Last, string? Sku, string Title);

    /// <summary>The last row of a page, by everything that rows are sorted by.</summary>
    private sealed record Place(long Number, string? Words, long Id)
    {
        private static readonly UTF8Encoding _strict = new(false, throwOnInvalidBytes: true);

        public static Place At(NpgsqlDataReader reader, ProductSort sort) =>
            sort == ProductSort.Title
                ? new(0, reader.GetString(11), reader.GetInt64(0))
                : new(reader.GetInt64(11), null, reader.GetInt64(0));

        public static Place? Find(string? text, ProductSort sort)
        {
            if (
                text?.Split('.') is not [var value, var id]
                || !long.TryParse(id, CultureInfo.InvariantCulture, out var product)
            )
                return null;
            if (sort != ProductSort.Title)
                return long.TryParse(value, CultureInfo.InvariantCulture, out var number)
                    ? new(number, null, product)
                    : null;
            try
            {
                var words = _strict.GetString(Base64Url.DecodeFromChars(value));
                return words.Contains('\0', StringComparison.Ordinal) ? null : new(0, words, product);
            }
            catch (Exception failure) when (failure is FormatException or DecoderFallbackException)
            {
                return null;
            }
        }

        public override string ToString()
        {
            var sortedBy = Words is null
                ? Number.ToString(CultureInfo.InvariantCulture)
                : Base64Url.EncodeToString(_strict.GetBytes(Words));
            return string.Create(CultureInfo.InvariantCulture, $"{sortedBy}.{Id}");
        }
    }
}
