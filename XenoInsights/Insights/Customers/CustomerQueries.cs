using System.Globalization;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Customers;

/// <summary>
/// Who bought, for the entered tenant. Lists cost as much as their range, whatever the page; segments look at every
/// customer.
/// </summary>
public sealed class CustomerQueries(XenoDatabase database, TenantContext tenant, AnswerCache answers)
{
    private const string Name =
        "coalesce(nullif(k.display_name, ''), nullif(concat_ws(' ', k.first_name, k.last_name), ''), "
        + "k.email, 'Customer ' || r.customer_id)";

    public async Task<CustomerSums> SumsAsync(CustomerFilter filter, CancellationToken ct = default) =>
        (await FacetsAsync(filter, ct))[(int)filter.Who];

    /// <summary>One a choice of <see cref="Who"/>, all else being equal; found in one pass over the range.</summary>
    public async Task<IReadOnlyList<CustomerSums>> FacetsAsync(CustomerFilter filter, CancellationToken ct = default)
    {
        var marks = await MarksAsync(ct);
        return await answers.GetAsync(
            database,
            Tenant,
            ("customers", filter with { Who = Who.All }),
            (db, token) => FacetsAsync(db, filter, marks, token),
            ct
        );
    }

    private async Task<IReadOnlyList<CustomerSums>> FacetsAsync(
        XenoDbContext db,
        CustomerFilter filter,
        SegmentMarks marks,
        CancellationToken ct
    )
    {
        // Who is new, and who never ordered again, had their first order in the range: those few are looked up, and the
        // others are what is left.
        await using var command = Command(
            db,
            filter,
            $"""
            select {SumsWhere("true")}, {SumsWhere("f.customer_id is not null")}, {SumsWhere("f.orders < 2")}
            from (select r.* {From(filter with { Who = Who.All }, marks, joinsTotals: false)}) r
            left join customer_totals f on f.tenant_id = $1 and f.customer_id = r.customer_id
                and f.first_order_day between $2 and $3
            """
        );
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        var (all, fresh, once) = (Sums(0), Sums(3), Sums(6));
        // Prospects have not even one.
        var returning =
            filter.Segment == Segment.Prospects
                ? new(0, 0, 0)
                : new CustomerSums(
                    all.Customers - once.Customers,
                    all.Orders - once.Orders,
                    all.TotalCents - once.TotalCents
                );
        return [all, fresh, returning];

        static string SumsWhere(string who) =>
            $"count(*) filter (where {who}), coalesce(sum(r.orders) filter (where {who}), 0)::bigint, "
            + $"coalesce(sum(r.sales) filter (where {who}), 0)::bigint";

        CustomerSums Sums(int at) => new(reader.GetInt64(at), reader.GetInt64(at + 1), reader.GetInt64(at + 2));
    }

    /// <param name="after">Where the page begins: <see cref="CustomerPageRows.Next"/> of the one before it.</param>
    public async Task<CustomerPageRows> PageAsync(
        CustomerFilter filter,
        CustomerSort sort,
        string? after,
        int size,
        CancellationToken ct = default
    )
    {
        var marks = await MarksAsync(ct);
        var rows = await database.InTenantAsync(
            db => ReadAsync(Rows(db, filter, sort, Place.Find(after), size + 1, marks), ct),
            ct
        );
        if (rows.Count <= size)
            return new CustomerPageRows(rows, null);
        rows.RemoveAt(size);
        return new CustomerPageRows(rows, Place.Of(rows[^1], sort).ToString());
    }

    // What the scores of all customers are measured by: found once for a while, so that lists do not sort every
    // customer. Asked before a unit of work begins, never within one: who holds a connection must not wait for another.
    private Task<SegmentMarks> MarksAsync(CancellationToken ct) =>
        answers.GetCostlyAsync(
            database,
            Tenant,
            "segment marks",
            async (db, ct) =>
            {
                await using var command = db.Command(Segments.Marks);
                command.Parameters.Add(new NpgsqlParameter { Value = Tenant });
                await using var reader = await command.ExecuteReaderAsync(ct);
                return await reader.ReadAsync(ct) && !reader.IsDBNull(0)
                    ? new SegmentMarks(
                        reader.GetFieldValue<DateOnly[]>(0),
                        reader.GetFieldValue<long[]>(1),
                        reader.GetFieldValue<long[]>(2)
                    )
                    : SegmentMarks.None;
            },
            ct
        );

    public static bool IsPlace(string? after) => Place.Find(after) is not null;

    /// <summary>For exports: in the order asked for, and by the customer's id.</summary>
    internal async Task<ExportRows<CustomerRow>> ExportAsync(
        CustomerFilter filter,
        CustomerSort sort,
        CancellationToken ct
    )
    {
        var marks = await MarksAsync(ct);
        return new(
            (db, size) => ReadAsync(Rows(db, filter, sort, null, size, marks), ct),
            (db, after, size) => ReadAsync(RowsById(db, filter, after?.ShopifyId, size, marks), ct),
            "by Shopify id"
        );
    }

    private static async Task<List<CustomerRow>> ReadAsync(NpgsqlCommand rows, CancellationToken ct)
    {
        await using var command = rows;
        await using var reader = await command.ExecuteReaderAsync(ct);
        var list = new List<CustomerRow>();
        while (await reader.ReadAsync(ct))
            list.Add(Read(reader));
        return list;
    }

    /// <summary>All eleven, empty ones included.</summary>
    public async Task<IReadOnlyList<SegmentAnswer>> SegmentsAsync(CancellationToken ct = default)
    {
        var marks = await MarksAsync(ct);
        return await answers.GetCostlyAsync(
            database,
            Tenant,
            "segments",
            (db, token) => SegmentsAsync(db, marks, token),
            ct
        );
    }

    private async Task<IReadOnlyList<SegmentAnswer>> SegmentsAsync(
        XenoDbContext db,
        SegmentMarks marks,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            $"""
            select {Segments.Sql}, count(*), sum(t.orders)::bigint, sum(t.total_sales)::bigint
            from customer_totals t cross join {Segments.Row(
                marks
            )} m where t.tenant_id = $1 and t.orders > 0 group by 1
            union all
            select {(int)
                Segment.Prospects}, count(*), 0, coalesce(sum(t.total_sales), 0)::bigint from customers k
                    left join customer_totals t on t.tenant_id = $1 and t.customer_id = k.shopify_id
            where k.tenant_id = $1 and k.deleted_at is null and coalesce(t.orders, 0) = 0
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = Tenant });
        var found = new Dictionary<Segment, (long Customers, long Orders, long Total)>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            found[(Segment)reader.GetInt32(0)] = (reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3));
        return
        [
            .. Enum.GetValues<Segment>()
                .Select(s => (Segment: s, Sums: found.GetValueOrDefault(s)))
                .Select(s => new SegmentAnswer(
                    Segments.Key(s.Segment),
                    Segments.Name(s.Segment),
                    Segments.Words(s.Segment),
                    s.Sums.Customers,
                    s.Sums.Orders,
                    s.Sums.Total
                )),
        ];
    }

    /// <summary>One customer; null if the store knows none of this id.</summary>
    public async Task<CustomerView?> FindAsync(long id, CancellationToken ct = default)
    {
        var marks = Segments.Row(await MarksAsync(ct));
        return await database.InTenantAsync(db => FindAsync(db, id, marks, ct), ct);
    }

    private async Task<CustomerView?> FindAsync(XenoDbContext db, long id, string marks, CancellationToken ct)
    {
        await using var command = db.Command(
            $"""
            select {Name}, k.email, k.phone, k.city, k.country_code, k.state, k.created_at,
                k.deleted_at is not null, coalesce(t.orders, 0), coalesce(t.total_sales, 0), t.first_order_day,
                t.last_order_day,
                   {Segments.Score("t.last_order_day", "m.recency", ">=")}, {Segments.Score(
                "t.orders",
                "m.frequency"
            )}, {Segments.Score("t.total_sales", "m.money")}
            from (select $2::bigint customer_id) r
            left join customers k on k.tenant_id = $1 and k.shopify_id = r.customer_id
            left join customer_totals t on t.tenant_id = $1 and t.customer_id = r.customer_id
            cross join {marks} m
            where k.shopify_id is not null or t.customer_id is not null
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = Tenant });
        command.Parameters.Add(new NpgsqlParameter { Value = id });
        CustomerView view;
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            if (!await reader.ReadAsync(ct))
                return null;
            var hasOrders = reader.GetInt64(8) > 0;
            var (recency, frequency, money) = hasOrders
                ? (reader.GetInt32(12), reader.GetInt32(13), reader.GetInt32(14))
                : default((int, int, int));
            var segment = hasOrders ? Segments.Of(recency, Segments.ValueOf(frequency, money)) : Segment.Prospects;
            view = new CustomerView(
                id,
                reader.GetString(0),
                Text(reader, 1),
                Text(reader, 2),
                Text(reader, 3),
                Text(reader, 4),
                Text(reader, 5),
                reader.IsDBNull(6) ? null : reader.GetFieldValue<DateTimeOffset>(6),
                !reader.IsDBNull(7) && reader.GetBoolean(7),
                reader.GetInt64(8),
                reader.GetInt64(9),
                Day(reader, 10),
                Day(reader, 11),
                Segments.Key(segment),
                hasOrders ? recency : null,
                hasOrders ? frequency : null,
                hasOrders ? money : null,
                []
            );
        }
        return view with { Months = await MonthsAsync(db, id, ct) };
    }

    // Only days that a store's history can have: an order with a wrong date must not add thousands of years of empty
    // months.
    private static async Task<IReadOnlyList<CustomerMonth>> MonthsAsync(XenoDbContext db, long id, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            select date_trunc('month', day)::date, sum(orders)::bigint, sum(total_sales)::bigint
            from customer_days where tenant_id = $1 and customer_id = $2 and (orders, total_sales) <> (0, 0)
                and day between $3 and now()::date + 1 group by 1 order by 1
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = db.TenantId!.Value });
        command.Parameters.Add(new NpgsqlParameter { Value = id });
        command.Parameters.Add(new NpgsqlParameter { Value = StoreHistory.FirstDay });
        var months = new Dictionary<DateOnly, CustomerMonth>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            months.Add(
                reader.GetFieldValue<DateOnly>(0),
                new(reader.GetFieldValue<DateOnly>(0), reader.GetInt64(1), reader.GetInt64(2))
            );
        if (months.Count == 0)
            return [];
        var (first, last) = (months.Keys.Min(), months.Keys.Max());
        var count = ((last.Year - first.Year) * 12) + last.Month - first.Month + 1;
        return
        [
            .. Enumerable
                .Range(0, count)
                .Select(i => first.AddMonths(i))
                .Select(month => months.GetValueOrDefault(month) ?? new(month, 0, 0)),
        ];
    }

    // The page is found first and dressed with names afterwards, so that both cost as much as the page. Only what the
    // filter and the order look at is joined before.
    private NpgsqlCommand Rows(
        XenoDbContext db,
        CustomerFilter filter,
        CustomerSort sort,
        Place? after,
        int limit,
        SegmentMarks marks
    )
    {
        var key = sort switch
        {
            CustomerSort.Orders => "r.orders",
            CustomerSort.Recent => RecentKey,
            _ => "r.sales",
        };
        var command = Command(db, filter, "");
        var beyond = after is null
            ? ""
            : $" and ({key}, r.customer_id) < ({command.Add(after.Key)}, {command.Add(after.Id)})";
        command.CommandText = $"""
            select {Columns(filter)}
            from (
                select r.*, {key} as place {From(filter, marks, joinsTotals: sort == CustomerSort.Recent)}{beyond}
                order by place desc, r.customer_id desc limit {command.Add(limit)}
            ) r
            {Dressing(marks)}
            order by r.place desc, r.customer_id desc
            """;
        return command;
    }

    // In the order of the index that begins with the customer, so that each page reads only its own customers' days.
    private NpgsqlCommand RowsById(XenoDbContext db, CustomerFilter filter, long? after, int limit, SegmentMarks marks)
    {
        var command = Command(db, filter, "");
        var beyond = after is { } id ? command.Add(id) : null;
        command.CommandText = $"""
            select {Columns(filter)}
            from (select r.* {From(
                filter,
                marks,
                joinsTotals: false,
                beyond
            )} order by r.customer_id limit {command.Add(limit)}) r
            {Dressing(marks)}
            order by r.customer_id
            """;
        return command;
    }

    // Days beyond those that PostgreSQL can count with are its infinities.
    private const string RecentKey =
        "coalesce(greatest(least(t.last_order_day, date '9999-12-30'), "
        + "date '0001-01-02') - date '2000-01-01', 0)::bigint";

    private static string Columns(CustomerFilter filter) =>
        $"""
            r.customer_id, {Name}, k.email, r.orders, r.sales,
            coalesce(t.orders, 0), coalesce(t.total_sales, 0), t.first_order_day, t.last_order_day,
            {(filter.Segment == Segment.Prospects ? $"{(int)Segment.Prospects}" : Segments.Sql)}
            """;

    private static string Dressing(SegmentMarks marks) =>
        $"""
            left join customer_totals t on t.tenant_id = $1 and t.customer_id = r.customer_id
            left join customers k on k.tenant_id = $1 and k.shopify_id = r.customer_id cross join {Segments.Row(
                marks
            )} m
            """;

    /// <param name="after">SQL for the id after which customers begin; null for all.</param>
    private static string From(CustomerFilter filter, SegmentMarks marks, bool joinsTotals, string? after = null)
    {
        string Beyond(string id) => after is null ? "" : $" and {id} > {after}";
        var (conditions, joins) = (new List<string>(), new List<string>());
        var isOfSegment = filter.Segment is not (null or Segment.Prospects);
        if (joinsTotals || isOfSegment || filter.Who == Who.Returning)
            joins.Add("left join customer_totals t on t.tenant_id = $1 and t.customer_id = r.customer_id");
        else if (filter.Who == Who.New || filter.First is not null)
            joins.Add("join customer_totals t on t.tenant_id = $1 and t.customer_id = r.customer_id");
        if (filter.Who == Who.New)
            conditions.Add("t.first_order_day between $2 and $3");
        if (filter.Who == Who.Returning)
            conditions.Add("t.orders >= 2");
        if (filter.First is not null)
            conditions.Add("t.first_order_day between $4 and $5");
        if (filter.Search is not null)
        {
            joins.Add("join customers k on k.tenant_id = $1 and k.shopify_id = r.customer_id");
            conditions.Add(
                "k.deleted_at is null and (k.display_name ilike $6 or concat_ws(' ', k.first_name, "
                    + "k.last_name) ilike $6 or k.email ilike $6)"
            );
        }
        if (isOfSegment)
        {
            joins.Add($"cross join {Segments.Row(marks)} m");
            conditions.Add($"{Segments.Sql} = {(int)filter.Segment!.Value}");
        }
        // Prospects have no days: they are the customers without an order, whatever the range.
        var source =
            filter.Segment == Segment.Prospects
                ? "(select shopify_id customer_id, 0::bigint orders, 0::bigint sales from customers p where "
                    + $"tenant_id = $1{Beyond("shopify_id")} and deleted_at is null and not exists (select from "
                    + "customer_totals where tenant_id = $1 and customer_id = p.shopify_id and orders > 0))"
                : "(select customer_id, sum(orders)::bigint orders, sum(total_sales)::bigint sales from "
                    + $"customer_days where tenant_id = $1{Beyond("customer_id")} and day between $2 and $3 group "
                    + "by customer_id having sum(orders) > 0)";
        return $"from {source} r {string.Join(' ', joins)} where "
            + $"{string.Join(" and ", conditions.DefaultIfEmpty("true"))}";
    }

    private static CustomerRow Read(NpgsqlDataReader reader) =>
        new(
            reader.GetInt64(0),
            reader.GetString(1),
            Text(reader, 2),
            reader.GetInt64(3),
            reader.GetInt64(4),
            reader.GetInt64(5),
            reader.GetInt64(6),
            Day(reader, 7),
            Day(reader, 8),
            Segments.Key(reader.IsDBNull(9) ? Segment.Prospects : (Segment)reader.GetInt32(9))
        );

    // $1 tenant, $2 and $3 range, $4 and $5 days of the first order, $6 search: named by number in every statement,
    // used where the filter asks.
    private NpgsqlCommand Command(XenoDbContext db, CustomerFilter filter, string sql)
    {
        var command = db.Command(sql);
        foreach (
            var (value, type) in new (object?, NpgsqlDbType)[]
            {
                (Tenant, NpgsqlDbType.Uuid),
                (filter.Range.From, NpgsqlDbType.Date),
                (filter.Range.To, NpgsqlDbType.Date),
                (filter.First?.From, NpgsqlDbType.Date),
                (filter.First?.To, NpgsqlDbType.Date),
                (Sql.Contains(filter.Search), NpgsqlDbType.Text),
            }
        )
            command.Parameters.Add(new NpgsqlParameter { Value = value ?? DBNull.Value, NpgsqlDbType = type });
        return command;
    }

    private Guid Tenant => tenant.TenantId ?? Guid.Empty;

    private static string? Text(NpgsqlDataReader reader, int at) => reader.IsDBNull(at) ? null : reader.GetString(at);

    private static DateOnly? Day(NpgsqlDataReader reader, int at) =>
        reader.IsDBNull(at) ? null : reader.GetFieldValue<DateOnly>(at);

    /// <summary>The last row of a page, by what rows are sorted by.</summary>
    private sealed record Place(long Key, long Id)
    {
        private static readonly DateOnly _epoch = new(2000, 1, 1);

        public static Place Of(CustomerRow row, CustomerSort sort) =>
            new(
                sort switch
                {
                    CustomerSort.Orders => row.Orders,
                    CustomerSort.Recent => row.LastOrderDay is { } day
                        ? Math.Clamp(day.DayNumber, 1, DateOnly.MaxValue.DayNumber - 1) - _epoch.DayNumber
                        : 0,
                    _ => row.TotalCents,
                },
                row.ShopifyId
            );

        public static Place? Find(string? text) =>
            text?.Split('.') is [var key, var id]
            && long.TryParse(key, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
            && long.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
                ? new(value, number)
                : null;

        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Key}.{Id}");
    }
}
