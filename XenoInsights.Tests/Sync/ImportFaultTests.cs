using System.Net;
using System.Net.Http.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Sync;

/// <summary>Imports from a Shopify that fails. Whatever it does, what was read is accounted for and the rollups equal the ledger.</summary>
public sealed class ImportFaultTests(FaultyStores stores) : IClassFixture<FaultyStores>
{
    private const int Exports = 4;

    private ImportHost Host => stores.Host;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Without_faults_everything_is_stored_and_a_second_import_finds_it_unchanged()
    {
        var store = stores.NextMixed();
        var all = await ImportStores.ObjectsAsync(store);

        var (tenant, first) = await Host.ImportAsync(store.Shop.Domain);
        var second = await Host.ImportAgainAsync(tenant);

        AssertCounts(first, expected: all, stored: all, unchanged: 0);
        AssertCounts(second, expected: all, stored: 0, unchanged: all);
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task Only_orders_that_changed_in_Shopify_are_stored_again()
    {
        var store = stores.NextMixed();
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        var orders = (await store.DataAsync()).Orders;
        var later = DateTimeOffset.FromUnixTimeSeconds(TimeProvider.System.GetUtcNow().ToUnixTimeSeconds());
        var changed = orders
            .All()
            .Where((_, i) => i % 40 == 7)
            .Select(o => o with { Name = o.Name + "-changed", UpdatedAt = later })
            .ToList();
        changed.Add(
            new DemoOrderBuilder(store.Shop, 900_000, later.AddDays(-1)).Line("Something new", 2, 1234).Build()
        );
        changed.ForEach(orders.Put);

        var job = await Host.ImportAgainAsync(tenant);

        var all = await ImportStores.ObjectsAsync(store);
        AssertCounts(
            job,
            expected: all,
            stored: changed.Sum(ImportStores.Objects),
            unchanged: all - changed.Sum(ImportStores.Objects)
        );
        await AssertCompleteAsync(tenant, store);
    }

    public static TheoryData<string, Action<DemoFaults>> EndsBadlyOnce =>
        new()
        {
            { "failed", faults => faults.FailBulk = 1 },
            { "canceled", faults => faults.CancelBulk = 1 },
            { "expired", faults => faults.ExpireBulk = 1 },
        };

    [Theory(DisableDiscoveryEnumeration = true)]
    [MemberData(nameof(EndsBadlyOnce))]
    public async Task An_export_that_failed_was_canceled_or_expired_is_asked_for_again(
        string how,
        Action<DemoFaults> fault
    )
    {
        Assert.NotEmpty(how);
        var store = stores.NextMixed();
        fault(store.Faults);

        var (tenant, job) = await Host.ImportAsync(store.Shop.Domain);

        Assert.Equal(Exports + 1, store.Bulk.Set.All().Count());
        var all = await ImportStores.ObjectsAsync(store);
        AssertCounts(job, expected: all, stored: all, unchanged: 0);
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task An_export_that_Shopify_has_forgotten_is_asked_for_again()
    {
        var store = stores.NextMixed();
        store.Faults.HoldBulk = true;
        var tenant = await Host.ConnectAsync(store.Shop.Domain);
        await ExportsAsync(store);
        foreach (var export in store.Bulk.Set.All().ToArray())
            store.Bulk.Set.Remove(export.Id);
        store.Faults.HoldBulk = false;

        var job = await Host.EndOfNewestAsync(tenant);

        Assert.True(job.Status == SyncJobStatus.Succeeded, job.Error);
        AssertCounts(job, expected: await ImportStores.ObjectsAsync(store), stored: job.ObjectsRead, unchanged: 0);
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task Exports_that_never_succeed_fail_the_import_and_nothing_is_called_complete()
    {
        var store = stores.NextMixed();
        store.Faults.FailBulk = int.MaxValue;
        var tenant = await Host.ConnectAsync(store.Shop.Domain);

        var job = await Host.EndOfNewestAsync(tenant);

        Assert.Equal(SyncJobStatus.Failed, job.Status);
        Assert.Contains(
            "did not finish its export of products in 3 attempts (Failed INTERNAL_SERVER_ERROR)",
            job.Error,
            StringComparison.Ordinal
        );
        Assert.NotNull(job.FinishedAt);
        Assert.Equal((0, 0, 0, 0), (job.ObjectsRead, job.Stored, job.Unchanged, job.Rejected));
        Assert.Equal(
            (0, 0),
            await Host.InTenantAsync(
                tenant,
                async db => (await db.Orders.CountAsync(Ct), await db.SalesDays.CountAsync(Ct))
            )
        );

        store.Faults.FailBulk = 0;
        var next = await Host.ImportAgainAsync(tenant);

        Assert.Equal(SyncJobStatus.Succeeded, next.Status);
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task A_file_that_is_shorter_than_announced_is_exported_again()
    {
        var store = stores.NextMixed();
        store.Faults.TruncateDownloads = 1;

        var (tenant, job) = await Host.ImportAsync(store.Shop.Domain);

        Assert.Equal(Exports + 1, store.Bulk.Set.All().Count());
        AssertCounts(job, expected: await ImportStores.ObjectsAsync(store), stored: job.ObjectsRead, unchanged: 0);
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task A_file_that_is_always_shorter_than_announced_fails_the_import()
    {
        var store = stores.NextMixed();
        store.Faults.TruncateDownloads = int.MaxValue;
        var tenant = await Host.ConnectAsync(store.Shop.Domain);

        var job = await Host.EndOfNewestAsync(tenant);

        Assert.Equal(SyncJobStatus.Failed, job.Status);
        Assert.Contains("bytes", job.Error, StringComparison.Ordinal);
        AssertAddsUp(job);
        Assert.True(job.ObjectsRead < job.ObjectsExpected);
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));
    }

    [Fact]
    public async Task A_download_that_breaks_off_goes_on_where_it_was()
    {
        var store = stores.NextOrdersAlone();
        store.Faults.DropDownloads = 3;

        var (tenant, job) = await Host.ImportAsync(store.Shop.Domain);

        Assert.Equal(Exports, store.Bulk.Set.All().Count());
        AssertCounts(job, expected: await ImportStores.ObjectsAsync(store), stored: job.ObjectsRead, unchanged: 0);
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task A_file_with_a_line_too_many_is_exported_again_and_nothing_counts_twice()
    {
        var store = stores.NextOrdersAlone();
        await SpoilExportsAsync(store, faults => faults.DuplicateLine = Exports);

        var (tenant, job) = await Host.ImportAsync(store.Shop.Domain);

        // The file is longer than a batch: what its first reading had counted must not be counted into the second.
        AssertCounts(job, expected: await ImportStores.ObjectsAsync(store), stored: 0, unchanged: job.ObjectsRead);
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task A_file_that_always_has_a_line_too_many_fails_the_import_though_its_orders_are_right()
    {
        var store = stores.NextOrdersAlone();
        await SpoilExportsAsync(store, faults => faults.DuplicateLine = int.MaxValue);
        var tenant = await Host.ConnectAsync(store.Shop.Domain);

        var job = await Host.EndOfNewestAsync(tenant);

        var all = await ImportStores.ObjectsAsync(store);
        Assert.Equal(SyncJobStatus.Failed, job.Status);
        Assert.Contains(
            $"announced {all:N0} objects for orders, but its file held {all + 1:N0}",
            job.Error,
            StringComparison.Ordinal
        );
        AssertAddsUp(job);
        Assert.Equal((all + 1, 1), (job.ObjectsRead, job.Rejected));
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task Throttled_calls_are_waited_out()
    {
        var store = stores.NextMixed();
        store.Faults.HoldBulk = true;
        var tenant = await Host.ConnectAsync(store.Shop.Domain);
        await ExportsAsync(store);
        (store.Faults.ThrottleCalls, store.Faults.HoldBulk) = (2, false);

        var job = await Host.EndOfNewestAsync(tenant);

        AssertCounts(job, expected: await ImportStores.ObjectsAsync(store), stored: job.ObjectsRead, unchanged: 0);
        Assert.Equal(0, store.Faults.ThrottleCalls);
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task Shopify_answering_500_to_questions_is_asked_again()
    {
        var store = stores.NextMixed();
        store.Faults.HoldBulk = true;
        var tenant = await Host.ConnectAsync(store.Shop.Domain);
        await ExportsAsync(store);
        (store.Faults.Respond, store.Faults.HoldBulk) = ((500, 2), false);

        var job = await Host.EndOfNewestAsync(tenant);

        AssertCounts(job, expected: await ImportStores.ObjectsAsync(store), stored: job.ObjectsRead, unchanged: 0);
        Assert.Equal(Exports, store.Bulk.Set.All().Count());
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task Shopify_answering_500_to_the_start_of_an_export_puts_the_import_off_and_it_goes_on_by_itself()
    {
        var store = stores.NextMixed();
        var (tenant, first) = await Host.ImportAsync(store.Shop.Domain);
        store.Faults.BreakBulkStart = 1;

        var (_, asked) = await Host.StartImportAsync(tenant);
        var rescheduled = await Host.NewestAsync(
            tenant,
            job => job is { Status: SyncJobStatus.Queued, Error: not null }
        );
        var ended = await Host.EndOfNewestAsync(tenant);

        Assert.Equal((asked.Id, asked.Id), (rescheduled.Id, ended.Id));
        Assert.Contains("Trying again by itself.", rescheduled.Error, StringComparison.Ordinal);
        Assert.Null(ended.Error);
        AssertCounts(ended, expected: first.ObjectsRead, stored: 0, unchanged: first.ObjectsRead);
    }

    [Fact]
    public async Task A_refused_token_is_refreshed_and_the_import_goes_on()
    {
        var store = stores.NextMixed();
        store.Faults.HoldBulk = true;
        var tenant = await Host.ConnectAsync(store.Shop.Domain);
        await ExportsAsync(store);
        var before = await TokenAsync(tenant);
        (store.Faults.Respond, store.Faults.HoldBulk) = ((401, 1), false);

        var job = await Host.EndOfNewestAsync(tenant);

        Assert.True(job.Status == SyncJobStatus.Succeeded, job.Error);
        Assert.NotEqual(before, await TokenAsync(tenant));
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task An_uninstalled_store_fails_its_import_and_asks_to_be_connected_again()
    {
        var store = stores.NextMixed();
        store.Faults.LoseWebhooks = 1; // nobody told us; when Shopify does, the run is cancelled (LiveStoreTests)
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        Host.Shopify.Uninstall(store.Shop.Domain);

        var job = await Host.ImportAgainAsync(tenant);

        Assert.Equal(SyncJobStatus.Failed, job.Status);
        Assert.Contains("Connect the store again", job.Error, StringComparison.Ordinal);
        Assert.Equal(
            TenantStatus.ReconnectRequired,
            await Host.InTenantAsync(tenant, db => db.Tenants.Select(t => t.Status).SingleAsync(Ct))
        );
        AssertAddsUp(job);
        await AssertCompleteAsync(tenant, store);
    }

    [Fact]
    public async Task Two_imports_asked_for_at_once_are_one()
    {
        var store = stores.NextMixed();
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        store.Faults.HoldBulk = true;

        var answers = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Host.StartImportAsync(tenant)));
        store.Faults.HoldBulk = false;
        var ended = await Host.EndOfNewestAsync(tenant);

        Assert.Equal(
            [HttpStatusCode.Accepted, .. Enumerable.Repeat(HttpStatusCode.Conflict, 5)],
            answers.Select(a => a.Status).Order()
        );
        Assert.Equal(ended.Id, Assert.Single(answers.Select(a => a.Job.Id).Distinct()));
        Assert.Equal(2, (await Host.JobsAsync(tenant)).Count);
    }

    [Fact]
    public async Task Viewers_may_look_at_imports_but_not_start_them()
    {
        var (tenant, job) = await Host.ImportAsync(stores.NextMixed().Shop.Domain);
        using var viewer = await Host.App.SignInAsync("viewer@demo.test");
        using (var stranger = await ImportHost.AskForImportAsync(viewer, tenant))
            Assert.Equal(HttpStatusCode.NotFound, stranger.StatusCode);
        await Host
            .App.Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                db =>
                    db.Database.ExecuteSqlAsync(
                        $"insert into memberships (tenant_id, user_id, role, created_at) select {tenant}, user_id, 'Viewer', now() from users where email = 'viewer@demo.test'",
                        Ct
                    ),
                Ct
            );

        using var start = await ImportHost.AskForImportAsync(viewer, tenant);
        using var look = await viewer.GetAsync(
            new Uri($"/api/ingestion/jobs/{job.Id}?tenant_id={tenant}", UriKind.Relative),
            Ct
        );

        Assert.Equal(
            (HttpStatusCode.Forbidden, "application/problem+json"),
            (start.StatusCode, start.Content.Headers.ContentType!.MediaType)
        );
        Assert.Equal(HttpStatusCode.OK, look.StatusCode);
        Assert.Single(await Host.JobsAsync(tenant));
    }

    [Fact]
    public async Task An_import_of_another_store_is_not_found()
    {
        var (mine, job) = await Host.ImportAsync(stores.NextMixed().Shop.Domain);
        var (other, _) = await Host.ImportAsync(stores.NextMixed().Shop.Domain);

        using var own = await Host.Owner.GetAsync(
            new Uri($"/api/ingestion/jobs/{job.Id}?tenant_id={mine}", UriKind.Relative),
            Ct
        );
        using var foreign = await Host.Owner.GetAsync(
            new Uri($"/api/ingestion/jobs/{job.Id}?tenant_id={other}", UriKind.Relative),
            Ct
        );

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.NotFound), (own.StatusCode, foreign.StatusCode));
    }

    [Fact]
    public async Task An_import_of_an_unknown_kind_is_refused()
    {
        var (tenant, _) = await Host.ImportAsync(stores.NextMixed().Shop.Domain);

        using var response = await Host.Owner.PostAsJsonAsync(
            "/api/ingestion/start",
            new { tenant_id = tenant.ToString(), type = "some" },
            Ct
        );

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Single(await Host.JobsAsync(tenant));
    }

    /// <summary>All four exports end with the fault, and only they: a fault set earlier could be taken by an export that was asked for again.</summary>
    private static async Task SpoilExportsAsync(DemoStore store, Action<DemoFaults> fault)
    {
        await store.DataAsync();
        store.Faults.HoldBulk = true;
        fault(store.Faults);
        _ = Task.Run(
            async () =>
            {
                await ExportsAsync(store);
                store.Faults.HoldBulk = false;
            },
            Ct
        );
    }

    /// <summary>Returns when all exports have been asked for and are written.</summary>
    private static async Task ExportsAsync(DemoStore store)
    {
        var orders = (await store.DataAsync()).Orders.All().Count();
        while (store.Bulk.Set.All().Count() < Exports || store.Bulk.Set.All().Max(o => o.RootObjectCount) < orders)
            await Task.Delay(20, Ct);
    }

    private Task<string> TokenAsync(Guid tenant) =>
        Host.InTenantAsync(
            tenant,
            async db => Convert.ToHexString((await db.ShopifyCredentials.SingleAsync(Ct)).AccessToken)
        );

    private static void AssertAddsUp(SyncJobView job) =>
        Assert.Equal(job.ObjectsRead, job.Stored + job.Unchanged + job.Rejected);

    private static void AssertCounts(SyncJobView job, long expected, long stored, long unchanged)
    {
        Assert.True(job.Status == SyncJobStatus.Succeeded, job.Error);
        Assert.Equal(
            (expected, expected, stored, unchanged, 0),
            (job.ObjectsExpected, job.ObjectsRead, job.Stored, job.Unchanged, job.Rejected)
        );
        AssertAddsUp(job);
    }

    /// <summary>Every object of the store is there, the ledger adds up to what was paid, and the rollups equal the ledger.</summary>
    private async Task AssertCompleteAsync(Guid tenant, DemoStore store)
    {
        var data = await store.DataAsync();
        var orders = data.Orders.All().ToArray();
        var expected = new
        {
            Orders = orders.Length,
            Lines = orders.Sum(o => o.Lines.Count),
            Sales = orders.Sum(o => o.Agreements.Sum(a => a.Sales.Count)),
            Refunds = orders.Sum(o => o.Refunds.Count),
            Customers = data.Customers.All().Count(),
            Products = data.Products.All().Count(),
            Checkouts = data.Checkouts.All().Count(),
            Total = orders.Sum(o => o.Agreements.Sum(a => a.Sales.Sum(s => s.Total.Minor))),
        };

        var stored = await Host.InTenantAsync(
            tenant,
            async db => new
            {
                Orders = await db.Orders.CountAsync(Ct),
                Lines = await db.OrderLineItems.CountAsync(Ct),
                Sales = await db.OrderSales.CountAsync(Ct),
                Refunds = await db.Refunds.CountAsync(Ct),
                Customers = await db.Customers.CountAsync(Ct),
                Products = await db.Products.CountAsync(Ct),
                Checkouts = await db.Checkouts.CountAsync(Ct),
                Total = await db.OrderSales.SumAsync(s => s.Amount + s.Tax, Ct),
            }
        );

        Assert.Equal(expected, stored);
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));
        Assert.Equal(
            expected.Total,
            await Host.InTenantAsync(
                tenant,
                db =>
                    db.SalesDays.SumAsync(
                        d => d.Gross - d.Discounts - d.Returns + d.Shipping + d.Taxes + d.Duties + d.Fees,
                        Ct
                    )
            )
        );
    }
}

/// <summary>One product and one fake Shopify, in which every test has a store of its own.</summary>
public sealed class FaultyStores(PostgresServer postgres) : IAsyncLifetime
{
    private readonly Queue<DemoStore> _mixed = new(Enumerable.Range(200, 25).Select(i => ImportStores.Mixed(i)));
    private readonly Queue<DemoStore> _ordersAlone = new(
        Enumerable.Range(300, 4).Select(i => ImportStores.OrdersAlone(i))
    );

    public ImportHost Host { get; private set; } = null!;

    public PostgresServer Postgres { get; } = postgres;

    public DemoStore NextMixed() => _mixed.Dequeue();

    /// <summary>No other kind of object, and more orders than fit into one batch.</summary>
    public DemoStore NextOrdersAlone() => _ordersAlone.Dequeue();

    public async ValueTask InitializeAsync() =>
        Host = await ImportHost.StartAsync(
            Postgres,
            [.. _mixed, .. _ordersAlone, XenoInsights.Development.FakeShopify.Stores.HardCases.CreateEuros()],
            loggedFrom: "Fatal"
        );

    public ValueTask DisposeAsync() => Host.DisposeAsync();
}
