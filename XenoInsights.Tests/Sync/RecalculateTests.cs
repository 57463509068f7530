using System.Collections.Concurrent;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Ingestion;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Sync;

/// <summary>Stored orders are brought to another time zone or currency in steps, while the store goes on.</summary>
public sealed class RecalculateTests(PostgresServer server) : IAsyncLifetime
{
    private const int Orders = 1_300,
        LaterOrders = 200;

    private TestStores _stores = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _stores = await TestStores.CreateAsync(server);

    public ValueTask DisposeAsync() => _stores.DisposeAsync();

    [Fact]
    public async Task Another_time_zone_equals_a_fresh_import_and_the_ledger_at_every_commit()
    {
        var (shop, orders) = await StoreAsync("Europe/London");
        var checkout = new CheckoutRecord
        {
            ShopifyId = 1,
            UpdatedAt = orders[0].UpdatedAt,
            CreatedAt = new(2026, 3, 28, 12, 0, 0, TimeSpan.Zero),
            Source = RecordSource.AdminApi,
        };
        await _stores.ApplyAsync(shop, checkout);
        await ChangeAsync(shop, "Pacific/Auckland");
        var moved = new StoreCalendar(shop.TenantId, "GBP", "Pacific/Auckland");
        var later = New(seed: 5, first: Orders + 1, count: LaterOrders);

        var differences = new ConcurrentBag<string>();
        using var done = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var watching = Task.Run(
            async () =>
            {
                while (!done.IsCancellationRequested)
                    foreach (var difference in await _stores.RollupDifferencesAsync(moved))
                        differences.Add(difference);
            },
            Ct
        );
        // As if deliveries came while orders move: ids before and after where the run is.
        var applying = Task.Run(
            async () =>
            {
                foreach (var batch in later.Concat(orders.Select(Newer)).Chunk(40))
                    await _stores.ApplyAsync(moved, batch);
            },
            Ct
        );
        await RunAsync(shop.TenantId);
        await applying;
        await done.CancelAsync();
        await watching;

        Assert.Empty(differences);
        var fresh = await _stores.AddAsync(timeZone: "Pacific/Auckland");
        await _stores.ApplyAsync(fresh, [.. orders.Select(Newer), .. later, checkout]);
        await AssertEqualAsync(fresh.TenantId, shop.TenantId);
        var job = await JobAsync(shop.TenantId);
        Assert.Equal((SyncJobStatus.Succeeded, job.Stored + job.Unchanged), (job.Status, job.ObjectsRead));
        Assert.InRange(job.Stored, 1, job.ObjectsRead);
    }

    [Fact]
    public async Task Settings_that_change_again_send_the_run_back_to_its_beginning()
    {
        var (shop, orders) = await StoreAsync("Europe/London");
        await ChangeAsync(shop, "Pacific/Auckland");
        var (lease, tenant) = await TakeAsync(shop.TenantId);
        var moved = new StoreCalendar(shop.TenantId, "GBP", "Pacific/Auckland");
        await _stores.Tenants.RunAsync(
            shop.TenantId,
            db => Recalculation.OrdersAsync(db, moved, 0, Orders / 2, Ct),
            Ct
        );
        await ChangeAsync(shop, "America/Los_Angeles");

        await Assert.ThrowsAsync<ShopChangedException>(() =>
            new Recalculate(_stores.Tenants).RunAsync(lease, tenant, Ct)
        );
        // The change came when the last step was done: the run does not end as if it had seen it.
        await Assert.ThrowsAsync<ShopChangedException>(() =>
            lease.SucceedAsync(db => Recalculate.ConcludeAsync(db, tenant, Ct), Ct)
        );
        await lease.ReturnAsync(TimeSpan.Zero, null, Ct);
        await RunAsync(shop.TenantId);

        var fresh = await _stores.AddAsync(timeZone: "America/Los_Angeles");
        await _stores.ApplyAsync(fresh, [.. orders]);
        await AssertEqualAsync(fresh.TenantId, shop.TenantId);
    }

    [Fact]
    public async Task Settings_that_change_and_change_back_send_the_run_back_as_well()
    {
        var (shop, orders) = await StoreAsync("Europe/London");
        await ChangeAsync(shop, "Pacific/Auckland");
        var (lease, _) = await TakeAsync(shop.TenantId);
        var moved = new StoreCalendar(shop.TenantId, "GBP", "Pacific/Auckland");
        var recalculate = new Recalculate(_stores.Tenants);
        await lease.SaveAsync(new("", 0, 0, 0, 0, 0), RecalculateCursor.Start, Ct);
        var cursor = await recalculate.OrdersAsync(lease, moved, "", RecalculateCursor.Start, Ct);
        // What is applied in between has days that the run has passed by.
        await ChangeAsync(shop, "America/Los_Angeles");
        var newer = Newer(orders.First(o => o.ShopifyId == 7));
        await _stores.ApplyAsync(new StoreCalendar(shop.TenantId, "GBP", "America/Los_Angeles"), newer);
        await ChangeAsync(shop, "Pacific/Auckland");

        await Assert.ThrowsAsync<ShopChangedException>(() => recalculate.OrdersAsync(lease, moved, "", cursor, Ct));
        await lease.ReturnAsync(TimeSpan.Zero, null, Ct);
        await RunAsync(shop.TenantId);

        var fresh = await _stores.AddAsync(timeZone: "Pacific/Auckland");
        await _stores.ApplyAsync(fresh, [.. orders.Where(o => o.ShopifyId != 7), newer]);
        await AssertEqualAsync(fresh.TenantId, shop.TenantId);
    }

    [Fact]
    public async Task A_run_that_was_interrupted_goes_on_where_it_was()
    {
        var (shop, orders) = await StoreAsync("Europe/London");
        await ChangeAsync(shop, "Pacific/Auckland");
        var (lease, tenant) = await TakeAsync(shop.TenantId);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var running = new Recalculate(_stores.Tenants).RunAsync(lease, tenant, stop.Token);
        while (!running.IsCompleted && (await JobAsync(shop.TenantId)).ObjectsRead == 0)
            await Task.Delay(1, Ct);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        await lease.ReturnAsync(TimeSpan.Zero, null, Ct);

        await RunAsync(shop.TenantId);

        var job = await JobAsync(shop.TenantId);
        // Each order was looked at once.
        Assert.Equal((job.ObjectsExpected, 2), (job.ObjectsRead, job.Attempts));
        var fresh = await _stores.AddAsync(timeZone: "Pacific/Auckland");
        await _stores.ApplyAsync(fresh, [.. orders]);
        await AssertEqualAsync(fresh.TenantId, shop.TenantId);
    }

    [Fact]
    public async Task Orders_in_a_former_currency_leave_the_rollups_and_come_back_with_it()
    {
        var (shop, orders) = await StoreAsync("Europe/London");
        await ChangeAsync(shop, "Europe/London", "EUR");
        await RunAsync(shop.TenantId);

        Assert.Empty(await _stores.RollupDifferencesAsync(shop));
        Assert.Equal(0, await InAsync(shop.TenantId, db => db.Orders.CountAsync(o => o.Counted, Ct)));
        Assert.Equal(
            0,
            await InAsync(shop.TenantId, db => db.SalesDays.SumAsync(d => d.Orders + d.Gross + d.Taxes, Ct))
        );

        await ChangeAsync(shop, "Europe/London", "GBP");
        await RunAsync(shop.TenantId);

        var fresh = await _stores.AddAsync();
        await _stores.ApplyAsync(fresh, [.. orders]);
        await AssertEqualAsync(fresh.TenantId, shop.TenantId);
    }

    private async Task<(StoreCalendar Shop, OrderRecord[] Orders)> StoreAsync(string timeZone)
    {
        var shop = await _stores.AddAsync(timeZone: timeZone);
        var orders = New(seed: 4, first: 1, count: Orders);
        await _stores.ApplyAsync(shop, [.. orders]);
        return (shop, orders);
    }

    private static OrderRecord[] New(int seed, int first, int count)
    {
        var versions = new OrderVersions(seed);
        return [.. Enumerable.Range(first, count).Select(id => versions.Next(id, 0))];
    }

    /// <summary>Every seventh order changes while the run is under way.</summary>
    private static OrderRecord Newer(OrderRecord order) =>
        order.ShopifyId % 7 == 0
            ? order with
            {
                UpdatedAt = order.UpdatedAt.AddHours(1),
                Source = RecordSource.AdminApi,
                Name = "newer",
            }
            : order;

    private Task<string?> ChangeAsync(StoreCalendar shop, string timeZone, string currency = "GBP") =>
        InAsync(shop.TenantId, db => ShopSettings.KeepAsync(db, shop.TenantId, "Shop", timeZone, currency, Ct));

    private async Task<(SyncLease Lease, Tenant Tenant)> TakeAsync(Guid tenantId)
    {
        var tenant = await InAsync(tenantId, db => db.Tenants.AsNoTracking().SingleAsync(Ct));
        var job = await JobAsync(tenantId);
        var lease = new SyncLease(_stores.Tenants, tenantId, job.Id, job.Type, job.Attempts, TimeSpan.FromMinutes(1));
        Assert.True(await lease.TakeAsync(Ct));
        return (lease, tenant);
    }

    /// <summary>The newest unfinished recalculation, or the last one.</summary>
    private Task<SyncJob> JobAsync(Guid tenantId) =>
        InAsync(
            tenantId,
            db =>
                db.SyncJobs.AsNoTracking()
                    .Where(j => j.Type == SyncJobType.Recalculate)
                    .OrderByDescending(j => j.CreatedAt)
                    .FirstAsync(Ct)
        );

    private async Task RunAsync(Guid tenantId)
    {
        var (lease, tenant) = await TakeAsync(tenantId);
        await new Recalculate(_stores.Tenants).RunAsync(lease, tenant, Ct);
        await lease.SucceedAsync(db => Recalculate.ConcludeAsync(db, tenant, Ct), Ct);
    }

    private async Task AssertEqualAsync(Guid expected, Guid actual)
    {
        (string Table, string Columns, string Condition)[] tables =
        [
            ("orders", "shopify_id, business_day, counted, currency, name", "true"),
            ("order_sales", "order_id, ordinal, day, original, measure, amount", "true"),
            ("checkouts", "shopify_id, business_day", "true"),
            .. LedgerRollups.Tables.Select(t => (t.Name, t.Columns, t.NotEmpty)),
        ];
        foreach (var (table, columns, condition) in tables)
            Assert.Equal(
                await RowsAsync(expected, table, columns, condition),
                await RowsAsync(actual, table, columns, condition)
            );
        Assert.NotEqual("", await RowsAsync(actual, "orders", "shopify_id", "counted"));
    }

    private Task<string> RowsAsync(Guid tenantId, string table, string columns, string condition) =>
        InAsync(
            tenantId,
            async db =>
            {
                var sql =
                    $"select coalesce(string_agg(r::text, e'\\n' order by r::text), '') as \"Value\" from (select {columns} from {table} where {condition}) r";
                return await db.Database.SqlQueryRaw<string>(sql).SingleAsync(Ct);
            }
        );

    private Task<T> InAsync<T>(Guid tenantId, Func<XenoDbContext, Task<T>> work) =>
        _stores.Tenants.RunAsync(tenantId, work, Ct);
}
