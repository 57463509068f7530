using System.Globalization;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Queues;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync.Reconciliation;

/// <summary>
/// Proves closed days against Shopify, with zero tolerance. Every ledger entry of a day belongs to an order that was
/// updated on that day or later: those orders are exported anew, compared entry by entry with what is stored, and what
/// differs is stored again through ingestion. What is stored for those days and was not exported is asked for by its
/// id. Then the days' reported totals must equal the sums of what Shopify gave, and the orders placed must be as many
/// as Shopify counts.
/// </summary>
public sealed class Reconcile(
    BulkExports exports,
    BulkDownload download,
    AdminObjects objects,
    ObjectRefetch refresh,
    TenantDatabase tenants,
    [FromKeyedServices(SyncJobs.Queue)] WorkSignal signal,
    TimeProvider time,
    ILogger<Reconcile> logger
)
{
    /// <summary>Days that the daily check covers.</summary>
    public const int DailyDays = 7;

    private const int LongestCheck = 1100;
    private const int AtOnce = 500,
        KeptIds = 100,
        Recounts = 3,
        CountedDays = 62;
    private static readonly TimeSpan _beforeRecount = TimeSpan.FromSeconds(3);

    /// <summary>What Shopify says and what is stored, while a run works on its days.</summary>
    private sealed record Check(
        SyncLease Lease,
        Tenant Tenant,
        ShopReference Shop,
        StoreCalendar Calendar,
        ImportPart Part,
        DateOnly From,
        DateOnly To
    )
    {
        public RollupDeltas Shopify { get; } = new();
        public HashSet<long> Exported { get; } = [];
        public Dictionary<DateOnly, List<long>> Differing { get; } = [];
        public Dictionary<DateOnly, long> Before { get; } = [];

        /// <summary>Orders placed each day among those Shopify gave, test orders included.</summary>
        public Dictionary<DateOnly, long> Placed { get; } = [];

        public bool Covers(DateOnly day) => day >= From && day <= To;

        public void Count(OrderRecord order)
        {
            if (order.Deleted)
                return;
            if (Calendar.DayOf(order.ProcessedAt) is var placed && Covers(placed))
                Placed[placed] = Placed.GetValueOrDefault(placed) + 1;
            if (!Calendar.Counts(order))
                return;
            if (Covers(Calendar.DayOf(order.ProcessedAt)))
                Shopify.AddOrder(Calendar.DayOf(order.ProcessedAt), null, online: false, 1);
            foreach (var sale in order.Sales)
                if (DayOf(order, sale) is var day && Covers(day))
                    Shopify.AddSale(
                        day,
                        null,
                        sale.Original,
                        sale.Measure,
                        null,
                        sale.Quantity,
                        sale.Amount,
                        sale.Discount,
                        sale.Tax,
                        1
                    );
        }

        public DateOnly DayOf(OrderRecord order, SaleRecord sale) =>
            Calendar.DayOf(sale.Original ? order.ProcessedAt : sale.HappenedAt);

        public void Note(long order, IEnumerable<DateOnly> days)
        {
            foreach (var day in days.Where(Covers).Distinct())
                if (!Differing.TryGetValue(day, out var ids))
                    Differing[day] = [order];
                else if (!ids.Contains(order))
                    ids.Add(order);
        }
    }

    /// <summary>The days of a run, as its cursor begins: closed days only, by default the last seven.</summary>
    public static ImportCursor Days(string timeZone, DateTimeOffset now, DateOnly? from, DateOnly? to)
    {
        var yesterday = Yesterday(timeZone, now);
        var last = to is { } end && end < yesterday ? end : yesterday;
        return new()
        {
            Parts = [new() { Kind = ObjectKind.Orders }],
            From = from ?? last.AddDays(1 - DailyDays),
            To = last,
        };
    }

    /// <summary>Why a run cannot have such days, for whoever asked for them; null when it can.</summary>
    public static string? Complaint(ImportCursor days)
    {
        if (days.From > days.To)
            return "Only days that are over can be checked, and the first must not come after the last.";
        var isTooLong = days.To!.Value.DayNumber - days.From!.Value.DayNumber >= LongestCheck;
        return isTooLong ? $"At most {LongestCheck} days at once." : null;
    }

    /// <summary>From the first day there is to yesterday, as they are when the run begins.</summary>
    public static ImportCursor AllDays() => new() { Parts = [new() { Kind = ObjectKind.Orders }] };

    private static DateOnly Yesterday(string timeZone, DateTimeOffset now) =>
        DateOnly
            .FromDateTime(TimeZoneInfo.ConvertTime(now, TimeZoneInfo.FindSystemTimeZoneById(timeZone)).DateTime)
            .AddDays(-1);

    public async Task RunAsync(SyncLease lease, Tenant tenant, CancellationToken ct)
    {
        var shop = new ShopReference(tenant.TenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone);
        var cursor = JsonSerializer.Deserialize<ImportCursor>(
            lease.Cursor ?? throw new InvalidOperationException("A check needs its days.")
        )!;
        var to = cursor.To ?? Yesterday(tenant.TimeZone, lease.StartedAt);
        var from = cursor.From ?? await FirstDayAsync(lease.TenantId, ct) ?? to;
        var isLimited =
            tenant.HistoryLimited
            && DateOnly.FromDateTime(time.GetUtcNow().UtcDateTime).AddDays(-58) is var visible
            && from < visible;
        if (isLimited)
            from = DateOnly.FromDateTime(time.GetUtcNow().UtcDateTime).AddDays(-58);
        if (from > to)
            throw new ImportFailedException(
                "Shopify does not show orders that old to this app, so those days cannot be checked."
            );

        var search = $"updated_at:>='{Start(tenant, from)}'";
        await exports.RunAsync(
            lease,
            shop,
            _ => GraphQLDocuments.Filtered(GraphQLDocuments.BulkOrders, search),
            "Comparing",
            (part, export) =>
                CompareDaysAsync(
                    new(lease, tenant, shop, new(tenant.TenantId, tenant.Currency, tenant.TimeZone), part, from, to),
                    export,
                    ct
                ),
            ct
        );
        // Last, when what differed within the days is repaired: what then differs lies outside of them.
        await CompareCountsAsync(tenant, shop, ct);
    }

    private Task<DateOnly?> FirstDayAsync(Guid tenantId, CancellationToken ct) =>
        tenants.RunAsync(
            tenantId,
            db => db.SalesDays.Where(d => d.Day >= StoreHistory.FirstDay).MinAsync(d => (DateOnly?)d.Day, ct),
            ct
        );

    /// <summary>The first instant of a shop day, as Shopify's searches want it.</summary>
    private static string Start(Tenant tenant, DateOnly day)
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById(tenant.TimeZone);
        var midnight = day.ToDateTime(TimeOnly.MinValue);
        while (zone.IsInvalidTime(midnight))
            midnight = midnight.AddMinutes(15);
        // Where the hour comes twice, the day begins with the first.
        var offset = zone.IsAmbiguousTime(midnight)
            ? zone.GetAmbiguousTimeOffsets(midnight).Max()
            : zone.GetUtcOffset(midnight);
        return new DateTimeOffset(midnight, offset).UtcDateTime.ToString(
            "yyyy-MM-dd'T'HH:mm:ss'Z'",
            CultureInfo.InvariantCulture
        );
    }

    private async Task CompareDaysAsync(Check check, BulkOperation export, CancellationToken ct)
    {
        foreach (var (day, totals) in await ReportedAsync(check, ct))
            check.Before[day] = Total(totals);
        await RememberAsync(check, ct);
        if (export.Url is not null)
            await CompareExportAsync(check, export, ct);
        await CompareUnexportedAsync(check, ct);
        await ConcludeAsync(check, ct);
    }

    /// <summary>
    /// What an earlier turn of this run had found before it was interrupted: it is repaired by now, and would pass for
    /// equal.
    /// </summary>
    private Task RememberAsync(Check check, CancellationToken ct) =>
        tenants.RunAsync(
            check.Shop.TenantId,
            async db =>
            {
                foreach (
                    var found in await db
                        .ReconciledDays.AsNoTracking()
                        .Where(c => c.JobId == check.Lease.JobId)
                        .ToListAsync(ct)
                )
                {
                    check.Before[found.Day] = found.TotalBefore;
                    check.Differing[found.Day] = [.. found.DifferingOrders];
                }
            },
            ct
        );

    private async Task CompareExportAsync(Check check, BulkOperation export, CancellationToken ct)
    {
        await using var file = await download.OpenAsync(export.Url!, export.FileSize, ct);
        var orders = new List<OrderRecord>(AtOnce);
        await foreach (var item in new JsonlAssembler(check.Shop.Currency).ReadAsync(file, ct))
        {
            if (item.Record is OrderRecord order)
                orders.Add(order);
            else
                check.Part.Count(new(item.SourceObjects, 0, 0, 0, [item.Rejected!.ToString()], item.SourceObjects));
            if (orders.Count < AtOnce)
                continue;
            await CompareOrdersAsync(check, orders, ct);
            orders.Clear();
        }
        await CompareOrdersAsync(check, orders, ct);
    }

    private async Task CompareOrdersAsync(Check check, List<OrderRecord> orders, CancellationToken ct)
    {
        if (orders.Count == 0)
            return;
        var stored = await StoredAsync(check, [.. orders.Select(o => o.ShopifyId)], ct);
        var (differing, moved) = (new List<OrderRecord>(), new List<long>());
        foreach (var order in orders)
        {
            check.Exported.Add(order.ShopifyId);
            stored.TryGetValue(order.ShopifyId, out var here);
            if (here is not null && here.UpdatedAt > order.UpdatedAt)
                moved.Add(order.ShopifyId);
            else
            {
                check.Count(order);
                if (here is not null && here.Says(check, order))
                    continue;
                differing.Add(order);
                check.Note(
                    order.ShopifyId,
                    order
                        .Sales.Select(sale => check.DayOf(order, sale))
                        .Append(check.Calendar.DayOf(order.ProcessedAt))
                        .Concat(here?.Entries.Select(e => e.Day) ?? [])
                );
            }
        }
        // What changed since the export was made: as it is now.
        var now = await refresh.ReadAsync(check.Shop, ObjectKind.Orders, moved, ct);
        foreach (var order in now.Records.OfType<OrderRecord>())
        {
            check.Count(order);
            // Read just now, so nothing that came from Shopify can be newer: what claims to be is wrong, and so is the
            // same version with other entries.
            var here = stored[order.ShopifyId];
            if (here.UpdatedAt < order.UpdatedAt || (here.UpdatedAt == order.UpdatedAt && here.Says(check, order)))
                continue;
            differing.Add(order);
            check.Note(
                order.ShopifyId,
                order.Sales.Select(sale => check.DayOf(order, sale)).Append(check.Calendar.DayOf(order.ProcessedAt))
            );
        }
        await StoreAsync(check, orders.Sum(o => o.SourceObjects), differing, stored, now, ct);
    }

    /// <summary>
    /// Stored orders with entries on these days that the export lacks: Shopify says what has become of each.
    /// </summary>
    private async Task CompareUnexportedAsync(Check check, CancellationToken ct)
    {
        var unexported = (await WithEntriesAsync(check, ct)).Where(o => !check.Exported.Contains(o.Id)).ToList();
        foreach (var some in unexported.Chunk(50))
        {
            var stored = await StoredAsync(check, [.. some.Select(o => o.Id)], ct);
            var now = await refresh.ReadAsync(check.Shop, ObjectKind.Orders, [.. some.Select(o => o.Id)], ct);
            foreach (var order in now.Records.OfType<OrderRecord>())
                check.Count(order);
            foreach (var (id, days) in some)
                check.Note(id, days);
            check.Part.Announced += some.Length;
            await StoreAsync(
                check,
                some.Length,
                [.. now.Records.OfType<OrderRecord>()],
                stored,
                now with
                {
                    Records = [],
                },
                ct
            );
        }
    }

    /// <summary>Repairs and their evidence commit together.</summary>
    private Task StoreAsync(
        Check check,
        long read,
        List<OrderRecord> differing,
        Dictionary<long, Stored> stored,
        Refetched now,
        CancellationToken ct
    ) =>
        tenants.RunAsync(
            check.Shop.TenantId,
            async db =>
            {
                List<(OrderRecord Order, DateTimeOffset? Seen)> wrong = differing.ConvertAll(o =>
                    (o, stored.GetValueOrDefault(o.ShopifyId)?.UpdatedAt)
                );
                var (replaced, unstorable) = await ObjectIsolation.ApplyAsync(
                    db,
                    check.Shop.TenantId,
                    wrong,
                    some => IngestionWriter.ReplaceAsync(db, check.Calendar, some, ct),
                    ct
                );
                IReadOnlyList<string> rejections =
                [
                    .. unstorable.Select(u => ObjectRefetch.Unstorable(u.Item.Order, u.Reason)),
                ];
                if (differing.Count + now.Gone.Count > 0)
                    foreach (var day in check.Differing.Keys)
                        await KeepAsync(
                            db,
                            check,
                            day,
                            DayState.Different,
                            [0, 0, check.Before.GetValueOrDefault(day), 0, 0],
                            ct
                        );
                var also = await ObjectRefetch.StoreAsync(db, check.Calendar, now, check.Lease.StartedAt, ct);
                var rejected = also.Rejected + unstorable.Sum(u => (long)u.Item.Order.SourceObjects);
                var counts = new ImportCounts(
                    read,
                    replaced.Stored + also.Stored,
                    read - replaced.Stored - also.Stored - also.Gone - rejected,
                    also.Gone,
                    [.. rejections, .. also.Rejections],
                    rejected
                );
                await check.Lease.CountAsync(
                    db,
                    new(
                        "Comparing orders",
                        0,
                        counts.Read,
                        counts.Stored,
                        counts.Unchanged,
                        counts.Rejected,
                        counts.Gone
                    ),
                    null,
                    ct
                );
                check.Part.Count(counts);
            },
            ct
        );

    private async Task ConcludeAsync(Check check, CancellationToken ct)
    {
        var counted = await ShopifysCountsAsync(check, ct);
        var differences = await tenants.RunAsync(
            check.Shop.TenantId,
            db => LedgerRollups.DifferencesAsync(db, check.Shop.TenantId, ct),
            ct
        );
        if (differences.Count > 0)
        {
            var repaired = await RollupRepair.RunAsync(tenants, check.Shop.TenantId, ct);
            logger.LogError(
                "{Repaired} rows of the rollups of {Shop} differed from its ledger and were repaired: {Differences}",
                repaired,
                check.Shop.ShopDomain,
                differences
            );
        }
        await tenants.RunAsync(check.Shop.TenantId, db => KeepAsync(db, check, counted, ct), ct);
    }

    private static async Task KeepAsync(
        XenoDbContext db,
        Check check,
        Dictionary<DateOnly, long> counted,
        CancellationToken ct
    )
    {
        var reported = await ReportedAsync(db, check, ct);
        var placed = await db
            .Orders.Where(o => o.DeletedAt == null && o.BusinessDay >= check.From && o.BusinessDay <= check.To)
            .GroupBy(o => o.BusinessDay)
            .Select(g => new { g.Key, Count = g.LongCount() })
            .ToDictionaryAsync(g => g.Key, g => g.Count, ct);
        for (var day = check.From; day <= check.To; day = day.AddDays(1))
        {
            var (here, shopify) = (reported.GetValueOrDefault(day), check.Shopify.Days.GetValueOrDefault(day));
            var ordersHere = placed.GetValueOrDefault(day);
            var inShopify = counted.TryGetValue(day, out var count) ? count : check.Placed.GetValueOrDefault(day);
            var isEqual = here == shopify && ordersHere == inShopify;
            var before = check.Before.GetValueOrDefault(day);
            var hasDiffered = check.Differing.ContainsKey(day) || before != Total(here);
            var state = (isEqual, hasDiffered) switch
            {
                (false, _) => DayState.Different,
                (true, true) => DayState.Repaired,
                _ => DayState.Equal,
            };
            var checkedDay = day;
            await db.ReconciledDays.Where(c => c.Day == checkedDay && c.State == DayState.Equal).ExecuteDeleteAsync(ct);
            await KeepAsync(db, check, day, state, [ordersHere, inShopify, before, Total(here), Total(shopify)], ct);
        }
    }

    /// <param name="figures">Orders here and in Shopify; total before, here and in Shopify.</param>
    private static async Task KeepAsync(
        XenoDbContext db,
        Check check,
        DateOnly day,
        DayState state,
        long[] figures,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            insert into reconciled_days (tenant_id, day, job_id, checked_at, state, orders_here, orders_in_shopify,
                total_before, total_here, total_in_shopify, differing_orders)
            values ($1, $2, $3, now(), $4, $5, $6, $7, $8, $9, $10)
            on conflict (tenant_id, day, job_id) do update set checked_at = excluded.checked_at,
                state = excluded.state, orders_here = excluded.orders_here,
                orders_in_shopify = excluded.orders_in_shopify, total_before = excluded.total_before,
                total_here = excluded.total_here, total_in_shopify = excluded.total_in_shopify,
                differing_orders = excluded.differing_orders
            """
        );
        command.Parameters.Add(Sql.Uuid(check.Shop.TenantId));
        command.Parameters.Add(new NpgsqlParameter { Value = day });
        command.Parameters.Add(Sql.Uuid(check.Lease.JobId));
        command.Parameters.Add(new NpgsqlParameter { Value = state.ToString() });
        foreach (var figure in figures)
            command.Parameters.Add(new NpgsqlParameter { Value = figure });
        command.Parameters.Add(Sql.Ids([.. (check.Differing.GetValueOrDefault(day) ?? []).Take(KeptIds)]));
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// Counts are taken while the shop goes on selling: a difference counts only if it stays. Then a comparison of all
    /// ids is asked for, which repairs it.
    /// </summary>
    private async Task CompareCountsAsync(Tenant tenant, ShopReference shop, CancellationToken ct)
    {
        for (var attempt = 1; ; attempt++)
        {
            var there = await objects.CountsAsync(shop, ct);
            var differs = await tenants.RunAsync(
                tenant.TenantId,
                async db =>
                {
                    // Checkouts are stored before Shopify counts them as abandoned, and orders it does not show cannot
                    // be counted.
                    var kinds = new List<(ObjectKind Kind, long Here, long InShopify)>
                    {
                        (
                            ObjectKind.Products,
                            await db.Products.LongCountAsync(p => p.DeletedAt == null, ct),
                            there.Products
                        ),
                        (
                            ObjectKind.Customers,
                            await db.Customers.LongCountAsync(c => c.DeletedAt == null, ct),
                            there.Customers
                        ),
                    };
                    if (!tenant.HistoryLimited)
                        kinds.Add(
                            (
                                ObjectKind.Orders,
                                await db.Orders.LongCountAsync(o => o.DeletedAt == null, ct),
                                there.Orders
                            )
                        );
                    foreach (var (kind, here, inShopify) in kinds)
                    {
                        await using var command = db.Command(
                            """
                            insert into reconciled_counts (tenant_id, kind, checked_at, here, in_shopify)
                            values ($1, $2, now(), $3, $4)
                            on conflict (tenant_id, kind) do update set checked_at = excluded.checked_at,
                                here = excluded.here, in_shopify = excluded.in_shopify
                            """
                        );
                        command.Parameters.Add(Sql.Uuid(tenant.TenantId));
                        command.Parameters.Add(new NpgsqlParameter { Value = kind.ToString() });
                        command.Parameters.Add(new NpgsqlParameter { Value = here });
                        command.Parameters.Add(new NpgsqlParameter { Value = inShopify });
                        await command.ExecuteNonQueryAsync(ct);
                    }
                    var isDifferent = kinds.Exists(k => k.Here != k.InShopify);
                    if (isDifferent && attempt == Recounts)
                        await SyncJobs.EnqueueAsync(db, tenant.TenantId, SyncJobType.Rehydrate, null, ct);
                    return isDifferent;
                },
                ct
            );
            if (!differs)
                return;
            if (attempt == Recounts)
            {
                logger.LogWarning(
                    "{Shop} has another number of objects than is stored; a comparison is queued",
                    tenant.ShopDomain
                );
                signal.Wake();
                return;
            }
            await Task.Delay(_beforeRecount, time, ct);
        }
    }

    /// <summary>Orders placed each day by Shopify's own count; asked for short ranges only, a question a day.</summary>
    private async Task<Dictionary<DateOnly, long>> ShopifysCountsAsync(Check check, CancellationToken ct)
    {
        var counted = new Dictionary<DateOnly, long>();
        if (check.To.DayNumber - check.From.DayNumber >= CountedDays)
            return counted;
        for (var day = check.From; day <= check.To; day = day.AddDays(1))
            counted[day] = await objects.CountOrdersAsync(
                check.Shop,
                $"processed_at:>='{Start(check.Tenant, day)}' processed_at:<'{Start(check.Tenant, day.AddDays(1))}'",
                ct
            );
        return counted;
    }

    private static long Total(SalesDelta day) =>
        day.Gross - day.Discounts - day.Returns + day.Shipping + day.Taxes + day.Duties + day.Fees;

    private Task<Dictionary<DateOnly, SalesDelta>> ReportedAsync(Check check, CancellationToken ct) =>
        tenants.RunAsync(check.Shop.TenantId, db => ReportedAsync(db, check, ct), ct);

    /// <summary>The days as dashboards show them; what concerns customers is not Shopify's to tell.</summary>
    private static Task<Dictionary<DateOnly, SalesDelta>> ReportedAsync(
        XenoDbContext db,
        Check check,
        CancellationToken ct
    ) =>
        db
            .SalesDays.Where(d => d.Day >= check.From && d.Day <= check.To)
            .ToDictionaryAsync(
                d => d.Day,
                d => new SalesDelta
                {
                    Orders = d.Orders,
                    OrderValue = d.OrderValue,
                    Gross = d.Gross,
                    Discounts = d.Discounts,
                    Returns = d.Returns,
                    Shipping = d.Shipping,
                    Taxes = d.Taxes,
                    Duties = d.Duties,
                    Fees = d.Fees,
                },
                ct
            );

    private sealed record Entry(
        DateOnly Day,
        bool Original,
        SaleMeasure Measure,
        long? ProductId,
        int Quantity,
        long Amount,
        long Discount,
        long Tax
    );

    private sealed record Stored(
        DateTimeOffset UpdatedAt,
        bool Deleted,
        bool Test,
        bool Counted,
        DateOnly Day,
        long? CustomerId
    )
    {
        public List<Entry> Entries { get; } = [];

        /// <summary>
        /// Products by line: Shopify no longer tells those that were deleted, and that is no difference.
        /// </summary>
        public Dictionary<long, long> Products { get; } = [];

        public bool Says(Check check, OrderRecord order) =>
            !Deleted
            && Test == order.Test
            && Counted == check.Calendar.Counts(order)
            && CustomerId == order.CustomerId
            && Day == check.Calendar.DayOf(order.ProcessedAt)
            && Entries
                .Select(e => e.ToString())
                .Order(StringComparer.Ordinal)
                .SequenceEqual(
                    order.Sales.Select(s => EntryOf(check, order, s).ToString()).Order(StringComparer.Ordinal)
                );

        private Entry EntryOf(Check check, OrderRecord order, SaleRecord sale)
        {
            var product =
                sale.ProductId
                ?? (sale.LineItemId is { } line && Products.TryGetValue(line, out var known) ? known : null);
            return new(
                check.DayOf(order, sale),
                sale.Original,
                sale.Measure,
                product,
                sale.Quantity,
                sale.Amount,
                sale.Discount,
                sale.Tax
            );
        }
    }

    private Task<Dictionary<long, Stored>> StoredAsync(Check check, long[] ids, CancellationToken ct) =>
        tenants.RunAsync(
            check.Shop.TenantId,
            async db =>
            {
                await using var command = db.Command(
                    """
                    select o.shopify_id, o.updated_at, o.deleted_at is not null, o.test, o.business_day, o.customer_id,
                        s.day, s.original, s.measure, s.product_id, s.quantity, s.amount, s.discount, s.tax,
                        o.counted, s.line_item_id
                    from orders o left join order_sales s on s.tenant_id = $1 and s.order_id = o.shopify_id
                    where o.tenant_id = $1 and o.shopify_id = any($2)
                    """
                );
                command.Parameters.Add(Sql.Uuid(check.Shop.TenantId));
                command.Parameters.Add(Sql.Ids(ids));
                var stored = new Dictionary<long, Stored>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                {
                    if (!stored.TryGetValue(reader.GetInt64(0), out var order))
                        stored[reader.GetInt64(0)] = order = new(
                            reader.GetFieldValue<DateTimeOffset>(1),
                            reader.GetBoolean(2),
                            reader.GetBoolean(3),
                            reader.GetBoolean(14),
                            reader.GetFieldValue<DateOnly>(4),
                            reader.IsDBNull(5) ? null : reader.GetInt64(5)
                        );
                    if (!reader.IsDBNull(15) && !reader.IsDBNull(9))
                        order.Products[reader.GetInt64(15)] = reader.GetInt64(9);
                    if (!reader.IsDBNull(6))
                        order.Entries.Add(
                            new(
                                reader.GetFieldValue<DateOnly>(6),
                                reader.GetBoolean(7),
                                (SaleMeasure)reader.GetInt16(8),
                                reader.IsDBNull(9) ? null : reader.GetInt64(9),
                                reader.GetInt32(10),
                                reader.GetInt64(11),
                                reader.GetInt64(12),
                                reader.GetInt64(13)
                            )
                        );
                }
                return stored;
            },
            ct
        );

    private Task<List<(long Id, DateOnly[] Days)>> WithEntriesAsync(Check check, CancellationToken ct) =>
        tenants.RunAsync(
            check.Shop.TenantId,
            async db =>
            {
                await using var command = db.Command(
                    """
                    select id, array_agg(distinct day) from (
                        select order_id as id, day from order_sales where tenant_id = $1 and day between $2 and $3
                        union all
                        select shopify_id, business_day from orders
                        where tenant_id = $1 and business_day between $2 and $3
                    ) entries
                    where id in (select shopify_id from orders where tenant_id = $1 and deleted_at is null) group by id
                    """
                );
                command.Parameters.Add(Sql.Uuid(check.Shop.TenantId));
                command.Parameters.Add(new NpgsqlParameter { Value = check.From, NpgsqlDbType = NpgsqlDbType.Date });
                command.Parameters.Add(new NpgsqlParameter { Value = check.To, NpgsqlDbType = NpgsqlDbType.Date });
                var orders = new List<(long, DateOnly[])>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    orders.Add((reader.GetInt64(0), reader.GetFieldValue<DateOnly[]>(1)));
                return orders;
            },
            ct
        );
}
