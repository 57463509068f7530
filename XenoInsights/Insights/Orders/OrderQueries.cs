using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Insights.Products;

namespace XenoInsights.Insights.Orders;

/// <summary>
/// The orders behind a figure, for the entered tenant: entries of a range, whose sums are the figure. Pages begin where
/// the last one ended, so the thousandth costs as much as the first.
/// </summary>
public sealed class OrderQueries(XenoDatabase database, TenantContext tenant, AnswerCache answers)
{
    private const int MostCustomersOfASearch = 500;
    private const string Total = "(e.gross - e.discounts - e.returns + e.shipping + e.taxes + e.duties + e.fees)";

    private const string SalesOfNoProduct = """
        order_entries d
        join order_sales s on s.tenant_id = $1 and s.order_id = d.order_id and s.day = d.day
            and s.original = d.original and s.product_id is null
            and d.tenant_id = $1 and d.day between $2 and $3
        """;

    /// <summary>Sums of everything that the filter lets through.</summary>
    public async Task<EntrySums> SumsAsync(EntryFilter filter, CancellationToken ct = default) =>
        (await ComparedSumsAsync(filter, ct)).Entries;

    /// <summary>
    /// The same, beside the sums of the range's days as the overview reports them: both as of one moment, so a
    /// difference is one.
    /// </summary>
    public Task<ComparedSums> ComparedSumsAsync(EntryFilter filter, CancellationToken ct = default) =>
        AskAsync(
            ("entries", filter),
            async (db, ct) =>
            {
                await using var command = Command(
                    db,
                    filter,
                    $"""
                    select entries.*, days.* from (
                        select count(*), count(*) filter (where e.original), {string.Join(
                        ", ",
                        _measures.Select(m => $"coalesce(sum(e.{m}), 0)::bigint")
                    )}, coalesce(sum(e.gross - e.discounts) filter (where e.original), 0)::bigint
                        {From(filter)} where {Where(filter)}
                    ) entries cross join (
                        select coalesce(sum(orders), 0)::bigint, {string.Join(
                        ", ",
                        _measures.Where(m => m != "units").Select(m => $"coalesce(sum({m}), 0)::bigint")
                    )}, coalesce(sum(order_value), 0)::bigint
                        from sales_days where tenant_id = $1 and day between $2 and $3
                    ) days
                    """
                );
                await using var reader = await command.ExecuteReaderAsync(ct);
                await reader.ReadAsync(ct);
                return new ComparedSums(
                    new(Big(0), Big(1), Big(2), Big(3), Big(4), Big(5), Big(6), Big(7), Big(8), Big(9), Big(10)),
                    new(0, Big(11), 0, Big(12), Big(13), Big(14), Big(15), Big(16), Big(17), Big(18), Big(19))
                );

                long Big(int at) => reader.GetInt64(at);
            },
            ct
        );

    /// <summary>What each choice of <see cref="EntryShow"/> would show, all else being equal.</summary>
    public Task<IReadOnlyList<EntryFacet>> FacetsAsync(EntryFilter filter, CancellationToken ct = default) =>
        AskAsync(
            ("entry facets", filter with { Show = EntryShow.All }),
            async (db, ct) =>
            {
                filter = filter with { Show = EntryShow.All };
                // New customers had their first order in the range, so those few are looked up; who is neither new nor
                // a guest is what is left.
                await using var command = Command(
                    db,
                    filter,
                    $"""
                    select {SumsWhere("true")}, {SumsWhere("e.original")}, {SumsWhere(
                        "c.customer_id is not null"
                    )}, {SumsWhere("e.customer_id is null")}
                    {From(
                        filter
                    )} left join customer_totals c on c.tenant_id = $1 and c.customer_id = e.customer_id
                        and c.first_order_day between $2 and $3
                    where {Where(filter)}
                    """
                );
                await using var reader = await command.ExecuteReaderAsync(ct);
                await reader.ReadAsync(ct);
                var (all, placed, fresh, guests) = (
                    Facet(EntryShow.All, 0),
                    Facet(EntryShow.Placed, 2),
                    Facet(EntryShow.FromNew, 4),
                    Facet(EntryShow.FromGuests, 6)
                );
                return (IReadOnlyList<EntryFacet>)
                    [
                        all,
                        placed,
                        new(EntryShow.Changes, all.Entries - placed.Entries, all.TotalCents - placed.TotalCents),
                        fresh,
                        new(
                            EntryShow.FromReturning,
                            all.Entries - fresh.Entries - guests.Entries,
                            all.TotalCents - fresh.TotalCents - guests.TotalCents
                        ),
                        guests,
                    ];

                EntryFacet Facet(EntryShow show, int at) => new(show, reader.GetInt64(at), reader.GetInt64(at + 1));

                static string SumsWhere(string condition) =>
                    $"count(*) filter (where {condition}), coalesce(sum({Total}) filter (where "
                    + $"{condition}), 0)::bigint";
            },
            ct
        );

    /// <param name="after">Where the page begins: <see cref="EntryPage.Next"/> of the one before it.</param>
    /// <exception cref="FormatException"><paramref name="after"/> is not such a place.</exception>
    public Task<EntryPage> PageAsync(
        EntryFilter filter,
        EntrySort sort,
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
                var rows = await ReadAsync(Rows(db, filter, sort, place, size + 1), ct);
                if (rows.Count <= size)
                    return new EntryPage(rows, null);
                rows.RemoveAt(size);
                return new EntryPage(rows, Place.Of(rows[^1]).ToString());
            },
            ct
        );
    }

    /// <summary>Whether a page may begin there.</summary>
    public static bool IsPlace(string? after) => Place.Find(after) is not null;

    /// <summary>
    /// What people call the customer and the product that the filter names; null where it names none, or nobody knows
    /// it.
    /// </summary>
    public Task<(string? Customer, string? Product)> NamesAsync(EntryFilter filter, CancellationToken ct = default) =>
        filter is { CustomerId: null, ProductId: null }
            ? Task.FromResult<(string?, string?)>((null, null))
            : database.InTenantAsync(
                async db =>
                {
                    await using var command = Command(
                        db,
                        filter,
                        $"""
                        select (select coalesce(nullif(display_name, ''), email) from customers
                            where tenant_id = $1 and shopify_id = $4),
                               ({ProductTitles.Of(
                            "$5",
                            "(select title from products where tenant_id = $1 and shopify_id = $5)"
                        )})
                        """
                    );
                    await using var reader = await command.ExecuteReaderAsync(ct);
                    await reader.ReadAsync(ct);
                    return (
                        reader.IsDBNull(0) ? null : reader.GetString(0),
                        filter.ProductId is null ? null : reader.GetString(1)
                    );
                },
                ct
            );

    /// <summary>
    /// For exports: in the order asked for, and by what an entry is known by, which never changes: its day, order and
    /// kind.
    /// </summary>
    internal ExportRows<OrderEntryRow> Export(EntryFilter filter, EntrySort sort, CancellationToken ct)
    {
        var byKey = sort == EntrySort.Newest ? EntryOrder.NewestKey : EntryOrder.OldestKey;
        return new(
            (db, size) => ReadAsync(Rows(db, filter, sort, null, size), ct),
            (db, after, size) => ReadAsync(Rows(db, filter, byKey, after is null ? null : Place.Of(after), size), ct),
            sort == EntrySort.Newest ? "by day, the newest first" : "by day, the oldest first"
        );
    }

    private static async Task<List<OrderEntryRow>> ReadAsync(NpgsqlCommand rows, CancellationToken ct)
    {
        await using var command = rows;
        await using var reader = await command.ExecuteReaderAsync(ct);
        var list = new List<OrderEntryRow>();
        while (await reader.ReadAsync(ct))
            list.Add(Read(reader));
        return list;
    }

    /// <summary>One order, deleted ones included; null if the store has none of this id.</summary>
    public Task<OrderView?> FindAsync(long id, CancellationToken ct = default) =>
        database.InTenantAsync(
            async db =>
            {
                var order = await db
                    .Orders.IgnoreQueryFilters([XenoDbContext.DeletedFilter])
                    .AsNoTracking()
                    .SingleOrDefaultAsync(o => o.ShopifyId == id, ct);
                if (order is null)
                    return null;
                var lines = await db
                    .OrderLineItems.AsNoTracking()
                    .Where(l => l.OrderId == id)
                    .OrderBy(l => l.ShopifyId)
                    .ToListAsync(ct);
                var sales = await db
                    .OrderSales.AsNoTracking()
                    .Where(s => s.OrderId == id)
                    .OrderBy(s => s.Original ? 0 : 1)
                    .ThenBy(s => s.HappenedAt)
                    .ThenBy(s => s.Ordinal)
                    .ToListAsync(ct);
                var refunds = await db
                    .Refunds.AsNoTracking()
                    .Where(r => r.OrderId == id)
                    .OrderBy(r => r.CreatedAt)
                    .Select(r => new RefundView(
                        r.ShopifyId,
                        r.CreatedAt,
                        r.Total,
                        db.RefundLineItems.Where(l => l.OrderId == id && l.RefundId == r.ShopifyId).Sum(l => l.Quantity)
                    ))
                    .ToListAsync(ct);
                var customer = await db
                    .Customers.AsNoTracking()
                    .SingleOrDefaultAsync(c => c.ShopifyId == order.CustomerId, ct);
                var orders = await db
                    .CustomerTotals.Where(t => t.CustomerId == order.CustomerId)
                    .Select(t => (long?)t.Orders)
                    .SingleOrDefaultAsync(ct);
                var titles = lines.ToDictionary(l => l.ShopifyId, l => l.Title);
                return new OrderView(
                    order.ShopifyId,
                    order.Name,
                    order.CreatedAt,
                    order.ProcessedAt,
                    order.BusinessDay,
                    order.CancelledAt,
                    order.UpdatedAt,
                    order.Test,
                    order.DeletedAt is not null,
                    order.Counted,
                    order.FinancialStatus,
                    order.FulfillmentStatus,
                    order.SourceName,
                    order.CurrentTotal,
                    order.CustomerId,
                    customer?.DisplayName ?? customer?.Email,
                    customer?.Email,
                    orders,
                    lines.ConvertAll(l => new OrderLineView(
                        l.ShopifyId,
                        l.ProductId,
                        l.Title,
                        l.Sku,
                        l.Quantity,
                        l.CurrentQuantity,
                        l.GiftCard,
                        l.OriginalTotal,
                        l.Discount
                    )),
                    sales.ConvertAll(s => new LedgerEntryView(
                        s.Day,
                        s.HappenedAt,
                        s.Original,
                        s.Measure.ToString().ToLowerInvariant(),
                        s.LineItemId,
                        s.LineItemId is { } line ? titles.GetValueOrDefault(line) : null,
                        s.Quantity,
                        s.Amount,
                        s.Discount,
                        s.Tax
                    )),
                    refunds
                );
            },
            ct
        );

    private static readonly string[] _measures =
    [
        "units",
        "gross",
        "discounts",
        "returns",
        "shipping",
        "taxes",
        "duties",
        "fees",
    ];

    private static string MeasuresOf(string row) => string.Join(", ", _measures.Select(m => $"{row}.{m}"));

    // The page is found first and dressed with names afterwards: joins cost as much as the page, not as the range.
    private NpgsqlCommand Rows(XenoDbContext db, EntryFilter filter, EntrySort sort, Place? after, int limit) =>
        Rows(db, filter, EntryOrder.Of(sort), after, limit);

    private NpgsqlCommand Rows(XenoDbContext db, EntryFilter filter, EntryOrder order, Place? after, int limit)
    {
        var command = Command(db, filter, "");
        var beyond = "";
        if (after is not null)
        {
            var numbers = new object[] { after.Day, after.At.UtcDateTime, after.OrderId, after.Original, after.Total }
                .Select(value => command.Add(value))
                .ToArray();
            beyond = " and " + string.Format(CultureInfo.InvariantCulture, order.Beyond, [.. numbers]);
        }
        command.CommandText = $"""
            select page.order_id, o.name, page.original, page.day, page.at, page.customer_id,
                   coalesce(nullif(k.display_name, ''), nullif(concat_ws(' ', k.first_name, k.last_name), ''), k.email),
                   {MeasuresOf("page")}, page.total
            from (
                select e.order_id, e.day, e.original, e.at, e.customer_id, {MeasuresOf("e")}, {Total} as total
                {From(filter)} where {Where(filter)}{beyond}
                order by {order.By} limit {command.Add(limit)}
            ) page
            join orders o on o.tenant_id = $1 and o.shopify_id = page.order_id
            left join customers k on k.tenant_id = $1 and k.shopify_id = page.customer_id
            order by {order.By}
            """;
        return command;
    }

    private static OrderEntryRow Read(NpgsqlDataReader reader) =>
        new(
            reader.GetInt64(0),
            reader.GetString(1),
            reader.GetBoolean(2),
            reader.GetFieldValue<DateOnly>(3),
            reader.GetFieldValue<DateTimeOffset>(4),
            reader.IsDBNull(5) ? null : reader.GetInt64(5),
            reader.IsDBNull(6) ? null : reader.GetString(6),
            reader.GetInt64(7),
            reader.GetInt64(8),
            reader.GetInt64(9),
            reader.GetInt64(10),
            reader.GetInt64(11),
            reader.GetInt64(12),
            reader.GetInt64(13),
            reader.GetInt64(14),
            reader.GetInt64(15)
        );

    // Of one product only its own lines count: what else is in its orders has nothing to do with its figures.
    private static string From(EntryFilter filter) =>
        filter.ProductId is null
            ? "from order_entries e"
            : $"""
                from (
                    select s.order_id, s.day, s.original,
                        max(case when s.original then o.processed_at else s.happened_at end) at, o.customer_id,
                        sum(s.quantity)::bigint units,
                        coalesce(sum(s.amount + s.discount) filter (where s.measure = 1), 0)::bigint gross,
                        coalesce(sum(s.discount) filter (where s.measure = 1), 0)::bigint discounts,
                        coalesce(-sum(s.amount) filter (where s.measure = 2), 0)::bigint "returns",
                        0::bigint shipping, sum(s.tax)::bigint taxes, 0::bigint duties, 0::bigint fees
                    from {(filter.ProductId == 0 ? SalesOfNoProduct : "order_sales s")}
                    join orders o on o.tenant_id = $1 and o.shopify_id = s.order_id and o.counted
                    where s.tenant_id = $1 and s.day between $2 and $3 and s.measure in (1, 2) {(
                    filter.ProductId == 0 ? "" : "and s.product_id = $5"
                )}
                    group by s.order_id, s.day, s.original, o.customer_id
                ) e
                """;

    private static string Where(EntryFilter filter)
    {
        var parts = new List<string> { EntryMetrics.Predicate(filter.Metric) };
        parts.Add(filter.ProductId is null ? "e.tenant_id = $1 and e.day between $2 and $3" : "true");
        if (filter.CustomerId is not null)
            parts.Add("e.customer_id = $4");
        if (filter.Over is not null)
            parts.Add($"{Total} > $6");
        if (filter.Search is not null)
        {
            parts.Add(
                $"""
                (e.order_id in (select shopify_id from orders where tenant_id = $1 and name in ($7, '#' || $7))
                 or e.customer_id in (select shopify_id from customers
                     where tenant_id = $1 and deleted_at is null and (display_name ilike $8 or email ilike $8)
                     limit {MostCustomersOfASearch}))
                """
            );
        }
        if (filter.Show is EntryShow.Placed or EntryShow.Changes or EntryShow.FromGuests)
            parts.Add(Condition(filter.Show));
        // Only the customers' own rows say whether they are new.
        else if (filter.Show != EntryShow.All)
            parts.Add(
                "exists (select from customer_totals c where c.tenant_id = $1 and c.customer_id = "
                    + $"e.customer_id and {Condition(filter.Show)})"
            );
        return string.Join(" and ", parts);
    }

    private static string Condition(EntryShow show) =>
        show switch
        {
            EntryShow.Placed => "e.original",
            EntryShow.Changes => "not e.original",
            EntryShow.FromNew => "c.first_order_day between $2 and $3",
            EntryShow.FromReturning => "c.first_order_day < $2",
            EntryShow.FromGuests => "e.customer_id is null",
            _ => "true",
        };

    // $1 tenant, $2 and $3 range, $4 customer, $5 product, $6 amount, $7 and $8 search: named by number in every
    // statement, used where the filter asks.
    private NpgsqlCommand Command(XenoDbContext db, EntryFilter filter, string sql)
    {
        var command = db.Command(sql);
        foreach (
            var (value, type) in new (object?, NpgsqlDbType)[]
            {
                (tenant.TenantId ?? Guid.Empty, NpgsqlDbType.Uuid),
                (filter.Range.From, NpgsqlDbType.Date),
                (filter.Range.To, NpgsqlDbType.Date),
                (filter.CustomerId, NpgsqlDbType.Bigint),
                (filter.ProductId, NpgsqlDbType.Bigint),
                (filter.Over, NpgsqlDbType.Bigint),
                (filter.Search, NpgsqlDbType.Text),
                (Sql.Contains(filter.Search), NpgsqlDbType.Text),
            }
        )
            command.Parameters.Add(new NpgsqlParameter { Value = value ?? DBNull.Value, NpgsqlDbType = type });
        return command;
    }

    private Task<T> AskAsync<T>(
        object question,
        Func<XenoDbContext, CancellationToken, Task<T>> answer,
        CancellationToken ct
    )
        where T : class => answers.GetAsync(database, tenant.TenantId ?? Guid.Empty, question, answer, ct);

    /// <param name="By">SQL that sorts rows.</param>
    /// <param name="Beyond">SQL for the rows after a place: {0} its day, {1} its time, {2} its order, {3} whether it
    /// placed that, {4} its total.</param>
    private sealed record EntryOrder(string By, string Beyond)
    {
        public static EntryOrder OldestKey { get; } =
            new("day, order_id, original", "(e.day, e.order_id, e.original) > ({0}, {2}, {3})");

        public static EntryOrder NewestKey { get; } =
            new("day desc, order_id desc, original desc", "(e.day, e.order_id, e.original) < ({0}, {2}, {3})");

        public static EntryOrder Of(EntrySort sort) =>
            sort switch
            {
                EntrySort.Oldest => new(
                    "day, at, order_id, original",
                    "(e.day, e.at, e.order_id, e.original) > ({0}, {1}, {2}, {3})"
                ),
                EntrySort.Largest => new(
                    "total desc, day desc, order_id desc, original desc",
                    $"({Total}, e.day, e.order_id, e.original) < ({{4}}, {{0}}, {{2}}, {{3}})"
                ),
                EntrySort.Smallest => new(
                    "total, day, order_id, original",
                    $"({Total}, e.day, e.order_id, e.original) > ({{4}}, {{0}}, {{2}}, {{3}})"
                ),
                _ => new(
                    "day desc, at desc, order_id desc, original desc",
                    "(e.day, e.at, e.order_id, e.original) < ({0}, {1}, {2}, {3})"
                ),
            };
    }

    /// <summary>The last row of a page, by everything that rows are sorted by.</summary>
    private sealed record Place(DateOnly Day, DateTimeOffset At, long OrderId, bool Original, long Total)
    {
        public static Place Of(OrderEntryRow row) => new(row.Day, row.At, row.OrderId, row.Placed, row.TotalCents);

        public static Place? Find(string? text) =>
            text?.Split('.') is [var day, var at, var order, var original, var total]
            && int.TryParse(day, CultureInfo.InvariantCulture, out var number)
            && number is >= 0 and < 3_000_000
            && long.TryParse(at, CultureInfo.InvariantCulture, out var ticks)
            && ticks >= 0
            && ticks <= DateTime.MaxValue.Ticks
            && long.TryParse(order, CultureInfo.InvariantCulture, out var id)
            && long.TryParse(total, CultureInfo.InvariantCulture, out var amount)
                ? new(
                    DateOnly.FromDayNumber(number),
                    new DateTimeOffset(ticks, TimeSpan.Zero),
                    id,
                    original == "1",
                    amount
                )
                : null;

        public override string ToString() =>
            string.Create(
                CultureInfo.InvariantCulture,
                $"{Day.DayNumber}.{At.UtcTicks}.{OrderId}.{(Original ? 1 : 0)}.{Total}"
            );
    }
}
