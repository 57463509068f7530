using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.FakeShopify.Stores;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Tenants;
using XenoInsights.Tests.Connect;
using XenoInsights.Tests.Support;
using XenoInsights.Tests.Sync;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>The fake Shopify delivers what happens in it to the product, which must end with the figures that an import would bring.</summary>
public sealed class LiveStoreTests(PostgresServer postgres)
{
    private const string Domain = "living.myshopify.com";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_happens_after_the_import_arrives_by_itself_and_equals_another_import()
    {
        var store = GeneratedStore.Create(
            new()
            {
                Ordinal = 401,
                Domain = Domain,
                Seed = 3,
                Orders = 400,
                Days = 100,
                Customers = 120,
                Products = 40,
            },
            TimeProvider.System
        );
        await using var host = await ImportHost.StartAsync(postgres, [store], loggedFrom: "Error");
        var (tenant, _) = await host.ImportAsync(Domain);
        (store.Faults.DuplicateWebhooks, store.Faults.ShuffleWebhooks) = (0.3, TimeSpan.FromMilliseconds(300));
        var live = host.Shopify.Life(Domain);

        var placed = new List<DemoOrder>();
        for (var i = 0; i < 25; i++)
            placed.Add(await live.PlaceOrderAsync());
        var refunded = Assert.IsType<DemoOrder>(await live.RefundAsync());
        var cancelled = Assert.IsType<DemoOrder>(await live.CancelAsync());
        var checkout = await live.AbandonCheckoutAsync();
        var abroad = await live.AbandonCheckoutAsync(new DemoPresentment("JPY", 0, 160m));
        var deleted = placed.First(o => o.Id != refunded.Id && o.Id != cancelled.Id).Id;
        await live.DeleteOrderAsync(deleted);
        await SettledAsync(host, tenant);

        var tenants = host.App.Services.GetRequiredService<TenantDatabase>();
        var orders = await tenants.RunAsync(
            tenant,
            db => db.Orders.Where(o => o.SourceName == "web").Select(o => o.ShopifyId).ToListAsync(Ct),
            Ct
        );
        Assert.All(placed, o => Assert.Equal(o.Id != deleted, orders.Contains(o.Id)));
        foreach (var abandoned in (DemoCheckout[])[checkout, abroad])
        {
            Assert.Equal(
                abandoned.LinesTotal.Minor,
                (
                    await tenants.RunAsync(
                        tenant,
                        db => db.Checkouts.SingleAsync(c => c.ShopifyId == abandoned.Id, Ct),
                        Ct
                    )
                ).Total
            );
            Assert.Equal(
                abandoned.Lines.Select(l => l.Total.Minor),
                await tenants.RunAsync(
                    tenant,
                    db =>
                        db.CheckoutLineItems.Where(l => l.CheckoutId == abandoned.Id)
                            .OrderBy(l => l.Ordinal)
                            .Select(l => l.Total)
                            .ToListAsync(Ct),
                    Ct
                )
            );
        }
        Assert.Empty(await host.RollupDifferencesAsync(tenant));
        var arrived = await DaysAsync(tenants, tenant);

        await host.ImportAgainAsync(tenant);
        Assert.Equal(arrived, await DaysAsync(tenants, tenant));

        host.Shopify.Uninstall(Domain);
        for (
            var patience = 0;
            await tenants.RunAsync(tenant, db => db.Tenants.Select(t => t.Status).SingleAsync(Ct), Ct)
                != TenantStatus.Disconnected;
            patience++
        )
        {
            Assert.True(patience < 400, "The product did not hear that it was removed.");
            await Task.Delay(50, Ct);
        }
        using var refused = await ImportHost.AskForImportAsync(host.Owner, tenant);
        Assert.Equal(HttpStatusCode.Conflict, refused.StatusCode);
    }

    /// <summary>A third of the deliveries never arrives, deletions among them: a run of changes and a comparison bring everything back, and a full import then finds nothing to store.</summary>
    [Fact]
    public async Task What_lost_webhooks_did_not_tell_the_next_runs_find()
    {
        var store = GeneratedStore.Create(
            new()
            {
                Ordinal = 403,
                Domain = Domain,
                Seed = 5,
                Orders = 300,
                Days = 100,
                Customers = 120,
                Products = 40,
            },
            TimeProvider.System
        );
        await using var host = await ImportHost.StartAsync(postgres, [store], loggedFrom: "Error");
        var (tenant, _) = await host.ImportAsync(Domain);
        store.Faults.LoseWebhooks = 0.33;
        var live = host.Shopify.Life(Domain);
        var placed = new List<DemoOrder>();
        for (var i = 0; i < 60; i++)
        {
            placed.Add(await live.PlaceOrderAsync());
            if (i % 6 == 0)
                await live.RefundAsync();
            if (i % 15 == 0)
                await live.CancelAsync();
            if (i % 10 == 0)
                await live.AbandonCheckoutAsync();
        }
        foreach (var order in placed.Take(6))
            await live.DeleteOrderAsync(order.Id);
        await SettledAsync(host, tenant);
        var data = await store.DataAsync();
        Assert.NotEqual(data.Orders.All().Select(o => (o.Id, o.UpdatedAt)).Order(), await VersionsAsync());

        var changes = await RunAsync("delta");
        var comparison = await RunAsync("rehydrate");
        Assert.True(changes.Stored > 0, $"{changes}");
        Assert.Equal((0, 0), (changes.Rejected, comparison.Rejected));

        Assert.Equal(data.Orders.All().Select(o => (o.Id, o.UpdatedAt)).Order(), await VersionsAsync());
        Assert.Empty(await host.RollupDifferencesAsync(tenant));
        var import = await host.ImportAgainAsync(tenant);
        Assert.Equal((0, import.ObjectsRead), (import.Stored, import.Unchanged));

        async Task<IEnumerable<(long, DateTimeOffset)>> VersionsAsync() =>
            (
                await host.InTenantAsync(
                    tenant,
                    db => db.Orders.Select(o => new { o.ShopifyId, o.UpdatedAt }).ToListAsync(Ct)
                )
            )
                .Select(o => (o.ShopifyId, o.UpdatedAt))
                .Order();

        async Task<XenoInsights.Sync.SyncJobView> RunAsync(string type)
        {
            using var asked = await ImportHost.AskForImportAsync(host.Owner, tenant, type);
            Assert.Equal(HttpStatusCode.Accepted, asked.StatusCode);
            var job = await host.EndOfNewestAsync(tenant);
            Assert.True(job.Status == XenoInsights.Sync.SyncJobStatus.Succeeded, job.Error);
            return job;
        }
    }

    /// <summary>Lost for good: Shopify thinks they arrived. Deletions and checkouts come as one delivery each, so these are what a week loses.</summary>
    [Fact]
    public async Task A_week_that_lost_one_webhook_in_a_hundred_ends_without_drift()
    {
        var clock = new MovableClock();
        var store = GeneratedStore.Create(
            new()
            {
                Ordinal = 404,
                Domain = Domain,
                Seed = 6,
                Orders = 300,
                Days = 100,
                Customers = 120,
                Products = 40,
            },
            TimeProvider.System
        );
        await using var host = await ImportHost.StartAsync(postgres, [store], loggedFrom: "Error", time: clock);
        var (tenant, _) = await host.ImportAsync(Domain);
        var live = host.Shopify.Life(Domain);
        var data = await store.DataAsync();
        // Everything up to now was imported eight days ago; the week that follows lies between.
        await host.InTenantAsync(
            tenant,
            db =>
                db.SyncJobs.ExecuteUpdateAsync(
                    set => set.SetProperty(j => j.StartedAt, j => j.StartedAt!.Value.AddDays(-8)),
                    Ct
                )
        );
        clock.Advance(TimeSpan.FromDays(-7));
        store.Faults.LoseWebhooks = 0.01;
        var drift = 0;
        // Chance may spare a week; then it is one with more to lose.
        for (var day = 0; day < 7 || (drift == 0 && day < 30); day++)
        {
            for (var i = 0; i < 30; i++)
            {
                var order = await live.PlaceOrderAsync();
                await live.AbandonCheckoutAsync();
                if (i % 2 == 0)
                    await live.DeleteOrderAsync(order.Id);
                if (i % 10 == 5)
                    await live.RefundAsync();
            }
            await SettledAsync(host, tenant);
            if (day < 6)
                clock.Advance(TimeSpan.FromDays(1));
            else
                drift = await DriftAsync();
        }
        Assert.True(drift > 0);

        var changes = await RunAsync(new { tenant_id = tenant, type = "delta" });
        var left = await DriftAsync();
        var check = await RunAsync(
            new
            {
                tenant_id = tenant,
                type = "reconcile",
                from = ImportHost.Day(DateOnly.FromDateTime(TimeProvider.System.GetUtcNow().AddDays(-9).DateTime)),
            }
        );
        var comparison = await RunAsync(new { tenant_id = tenant, type = "rehydrate" });

        // What a webhook told is read once more, as Shopify's own word outranks it; what none told is among it.
        Assert.True(changes.Stored >= drift - left && changes.Rejected == 0, $"{drift} {left} {changes}");
        Assert.Equal(0, await DriftAsync());
        Assert.Equal(left, check.Stored + check.Gone + comparison.Stored + comparison.Gone);
        Assert.Empty(await host.RollupDifferencesAsync(tenant));

        async Task<int> DriftAsync()
        {
            var orders = await host.InTenantAsync(
                tenant,
                db => db.Orders.Select(o => new { o.ShopifyId, o.UpdatedAt }).ToListAsync(Ct)
            );
            var checkouts = await host.InTenantAsync(
                tenant,
                db => db.Checkouts.Select(c => new { c.ShopifyId, c.UpdatedAt }).ToListAsync(Ct)
            );
            var customers = await host.InTenantAsync(
                tenant,
                db => db.Customers.Select(c => new { c.ShopifyId, c.UpdatedAt }).ToListAsync(Ct)
            );
            return Different(
                    orders.Select(o => (o.ShopifyId, o.UpdatedAt)),
                    data.Orders.All().Select(o => (o.Id, o.UpdatedAt))
                )
                + Different(
                    checkouts.Select(o => (o.ShopifyId, o.UpdatedAt)),
                    data.Checkouts.All().Select(o => (o.Id, o.UpdatedAt))
                )
                + Different(
                    customers.Select(o => (o.ShopifyId, o.UpdatedAt)),
                    data.Customers.All().Select(o => (o.Id, o.UpdatedAt))
                );
        }

        static int Different(
            IEnumerable<(long Id, DateTimeOffset At)> here,
            IEnumerable<(long Id, DateTimeOffset At)> there
        )
        {
            var (ours, theirs) = (
                here.ToHashSet(),
                there.Select(t => (t.Id, At: DateTimeOffset.FromUnixTimeSeconds(t.At.ToUnixTimeSeconds()))).ToHashSet()
            );
            return ours.Except(theirs).Concat(theirs.Except(ours)).Select(v => v.Id).Distinct().Count();
        }

        async Task<XenoInsights.Sync.SyncJobView> RunAsync(object question)
        {
            using var asked = await host.Owner.PostAsJsonAsync("/api/ingestion/start", question, Ct);
            Assert.True(asked.StatusCode == HttpStatusCode.Accepted, await asked.Content.ReadAsStringAsync(Ct));
            var job = await host.EndOfNewestAsync(tenant);
            Assert.True(job.Status == XenoInsights.Sync.SyncJobStatus.Succeeded, job.Error);
            return job;
        }
    }

    /// <summary>Each awkward order as a delivery: what the payload tells completely must be what the ledger says; the rest must know that it does not.</summary>
    [Fact]
    public async Task A_payload_taken_for_complete_has_the_ledger_of_the_Admin_API()
    {
        DemoStore[] stores = [HardCases.CreateEuros(), HardCases.CreateYen()];
        await using var host = await ImportHost.StartAsync(postgres, stores);
        var tenants = host.App.Services.GetRequiredService<TenantDatabase>();
        var (complete, incomplete) = (0, 0);
        foreach (var store in stores)
        {
            var (tenant, _) = await host.ImportAsync(store.Shop.Domain);
            var calendar = new StoreCalendar(tenant, store.Shop.Currency.Code, store.Shop.TimeZone);
            foreach (var order in (await store.DataAsync()).Orders.All())
            {
                using var payload = JsonDocument.Parse(
                    Encoding.UTF8.GetBytes(DemoPayloads.Of(order, store.Shop).ToJsonString())
                );
                var read = WebhookPayload.ReadOrder(payload.RootElement, store.Shop.Currency.Code, []);
                if (!read.IsComplete)
                {
                    incomplete++;
                    continue;
                }
                complete++;
                var told = Sums(
                    read.Record.Sales.Select(s =>
                        (
                            calendar.DayOf(s.Original ? read.Record.ProcessedAt : s.HappenedAt),
                            s.Measure,
                            s.Quantity,
                            s.Amount,
                            s.Tax
                        )
                    )
                );
                var ledger = Sums(
                    (
                        await tenants.RunAsync(
                            tenant,
                            db => db.OrderSales.Where(s => s.OrderId == order.Id).ToListAsync(Ct),
                            Ct
                        )
                    ).Select(s => (s.Day, s.Measure, s.Quantity, s.Amount, s.Tax))
                );
                Assert.Equal((order.Name, ledger), (order.Name, told));
            }
        }
        Assert.True(complete >= 8 && incomplete >= 5, $"{complete} complete, {incomplete} incomplete");
    }

    private static string Sums(
        IEnumerable<(DateOnly Day, SaleMeasure Measure, int Quantity, long Amount, long Tax)> sales
    ) =>
        string.Join(
            '\n',
            sales
                .Where(s => s.Measure != SaleMeasure.Uncounted)
                .GroupBy(s => (s.Day, s.Measure))
                .OrderBy(g => g.Key)
                .Select(g =>
                    $"{g.Key.Day:O} {g.Key.Measure} {(g.Key.Measure is SaleMeasure.Sale or SaleMeasure.Return ? g.Sum(s => s.Quantity) : 0)} {g.Sum(s => s.Amount)} {g.Sum(s => s.Tax)}"
                )
        );

    private static Task<string> DaysAsync(TenantDatabase tenants, Guid tenant) =>
        tenants.RunAsync(
            tenant,
            async db =>
                string.Join(
                    '\n',
                    (await db.SalesDays.AsNoTracking().OrderBy(d => d.Day).ToListAsync(Ct)).Select(d =>
                        $"{d.Day:O} {d.Orders} {d.OrderValue} {d.Gross} {d.Discounts} {d.Returns} {d.Shipping} {d.Taxes} {d.Customers} {d.NewCustomers} {d.OneOrderCustomers}"
                    )
                ),
            Ct
        );

    private static async Task SettledAsync(ImportHost host, Guid tenant)
    {
        var tenants = host.App.Services.GetRequiredService<TenantDatabase>();
        for (var patience = 0; ; patience++)
        {
            var open = await tenants.RunAsync(
                tenant,
                async db =>
                    await db.Events.CountAsync(e => e.Status == EventStatus.Pending, Ct)
                    + await db.RefetchRequests.CountAsync(Ct),
                Ct
            );
            if (host.Shopify.WebhooksIdle && open == 0)
                break;
            Assert.True(patience < 600, $"{open} deliveries and objects still wait.");
            await Task.Delay(50, Ct);
        }
        Assert.All(
            await tenants.RunAsync(tenant, db => db.Events.ToListAsync(Ct), Ct),
            e => Assert.True(e.Status is EventStatus.Applied or EventStatus.Ignored, $"{e.Topic} {e.LastError}")
        );
    }
}
