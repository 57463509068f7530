using System.Net;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Ingestion;
using XenoInsights.Notifications;
using XenoInsights.Shopify;
using XenoInsights.Sync;

namespace XenoInsights.Tests.Sync;

/// <summary>
/// Objects that cannot be stored, or must not be counted: each is set aside alone and named, and everything else goes
/// on.
/// </summary>
public sealed class SetAsideTests(FaultyStores stores) : IClassFixture<FaultyStores>
{
    private ImportHost Host => stores.Host;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private static DateTimeOffset Now =>
        DateTimeOffset.FromUnixTimeSeconds(TimeProvider.System.GetUtcNow().ToUnixTimeSeconds());

    /// <summary>The index of names takes none this long.</summary>
    private static string Unstorable =>
        string.Concat(Enumerable.Range(0, 300).Select(_ => Guid.NewGuid().ToString("N")));

    [Fact]
    public async Task A_NUL_in_a_title_or_name_is_dropped_and_nothing_stops()
    {
        var (store, data) = await StoreAsync();
        var (customer, product) = (data.Customers.All().First(), data.Products.All().First());
        data.Customers.Put(customer with { FirstName = "A\0da" });
        data.Products.Put(product with { Title = "Cup\0board" });

        var (tenant, job) = await Host.ImportAsync(store.Shop.Domain);

        Assert.Equal(0, job.Rejected);
        Assert.Equal(
            "Ada",
            await Host.InTenantAsync(
                tenant,
                db => db.Customers.Where(c => c.ShopifyId == customer.Id).Select(c => c.FirstName).SingleAsync(Ct)
            )
        );
        Assert.Equal(
            "Cupboard",
            await Host.InTenantAsync(
                tenant,
                db => db.Products.Where(p => p.ShopifyId == product.Id).Select(p => p.Title).SingleAsync(Ct)
            )
        );
        data.Products.Put(product with { Title = "Tea\0pot", UpdatedAt = Now });
        var delta = await RunAsync(tenant, "delta");
        Assert.Equal((1, 0), (delta.Stored, delta.Rejected));
    }

    [Fact]
    public async Task An_order_that_cannot_be_stored_is_named_and_the_others_of_its_batch_are_stored()
    {
        var (store, data) = await StoreAsync();
        var all = data.Orders.All().ToList();
        var bad = all[70];
        data.Orders.Put(bad with { Name = Unstorable });

        var (tenant, job) = await Host.ImportAsync(store.Shop.Domain);

        Assert.Equal(ImportStores.Objects(bad), job.Rejected);
        Assert.Equal(job.ObjectsRead, job.Stored + job.Unchanged + job.Rejected + job.Gone);
        Assert.Equal(all.Count - 1, await Host.InTenantAsync(tenant, db => db.Orders.CountAsync(Ct)));
        Assert.Contains($"gid://shopify/Order/{bad.Id}", await CursorAsync(tenant), StringComparison.Ordinal);
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));

        // The next run of changes has it among others, and goes past it.
        var changed = all.Where((_, i) => i % 30 == 1)
            .Select(o => o with { Name = o.Name + "-changed", UpdatedAt = Now })
            .ToList();
        changed.ForEach(data.Orders.Put);
        data.Orders.Put(bad with { Name = Unstorable, UpdatedAt = Now });
        var delta = await RunAsync(tenant, "delta");
        Assert.Equal((changed.Count, 1), (delta.Stored, delta.Rejected));
        var watermark = await Host.InTenantAsync(
            tenant,
            db => db.SyncWatermarks.Where(w => w.Kind == ObjectKind.Orders).Select(w => w.UpdatedTo).SingleAsync(Ct)
        );
        Assert.True(
            watermark > delta.CreatedAt.AddMinutes(-5),
            $"{watermark:O} is before the run of {delta.CreatedAt:O}."
        );

        // Comparison and check name it too, and repair all the rest.
        Assert.Equal(1, (await RunAsync(tenant, "rehydrate")).Rejected);
        Assert.Equal(SyncJobStatus.Succeeded, (await RunAsync(tenant, "reconcile")).Status);
        data.Orders.Put(bad with { Name = "#readable", UpdatedAt = Now });
        Assert.Equal(0, (await RunAsync(tenant, "delta")).Rejected);
        Assert.Equal(all.Count, await Host.InTenantAsync(tenant, db => db.Orders.CountAsync(Ct)));
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));
    }

    [Fact]
    public async Task An_object_that_cannot_be_stored_holds_up_no_other_that_is_read_again()
    {
        var ((store, data), (other, otherData)) = (await StoreAsync(), await StoreAsync());
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        var (otherTenant, _) = await Host.ImportAsync(other.Shop.Domain);
        var bad = data.Orders.All().First();
        data.Orders.Put(bad with { Name = Unstorable, UpdatedAt = Now });
        var good = Change(data, 12);
        var goodToo = Change(otherData, 5);

        await RequestAsync(tenant, [bad.Id, .. good]);
        await RequestAsync(otherTenant, goodToo);

        await EventuallyAsync(async () =>
            await ChangedAsync(tenant) == good.Count && await ChangedAsync(otherTenant) == goodToo.Count
        );
        var left = Assert.Single(
            await Host.InTenantAsync(tenant, db => db.RefetchRequests.AsNoTracking().ToListAsync(Ct))
        );
        Assert.Equal(bad.Id, left.ShopifyId);
        Assert.Contains("cannot be stored", left.LastError, StringComparison.Ordinal);
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));

        List<long> Change(DemoData of, int count)
        {
            var orders = of
                .Orders.All()
                .Skip(1)
                .Take(count)
                .Select(o => o with { Name = o.Name + "-changed", UpdatedAt = Now })
                .ToList();
            orders.ForEach(of.Orders.Put);
            return orders.ConvertAll(o => o.Id);
        }

        Task<int> ChangedAsync(Guid of) =>
            Host.InTenantAsync(of, db => db.Orders.CountAsync(o => o.Name.EndsWith("-changed"), Ct));
    }

    [Fact]
    public async Task An_import_that_can_store_no_order_has_failed_and_every_page_says_so()
    {
        var store = stores.NextOrdersAlone();
        var data = await store.DataAsync();
        foreach (var order in data.Orders.All().Skip(20).ToList())
            data.Orders.Remove(order.Id);
        foreach (var order in data.Orders.All().ToList())
            data.Orders.Put(order with { Name = Unstorable });
        var tenant = await Host.ConnectAsync(store.Shop.Domain);

        var job = await Host.EndOfNewestAsync(tenant);

        Assert.Equal(SyncJobStatus.Failed, job.Status);
        Assert.Contains("None of the 20 orders could be read", job.Error, StringComparison.Ordinal);
        await Host.App.Services.GetRequiredService<IncidentDetector>().LookAsync(Ct);
        Assert.Contains(
            IncidentKind.ObjectsRejected,
            await Host.InTenantAsync(tenant, db => db.Incidents.Select(i => i.Kind).ToListAsync(Ct))
        );
        var overview = await PageAsync(store, "overview");
        Assert.Contains("20 orders could not be read", overview, StringComparison.Ordinal);
        Assert.DoesNotContain("No orders yet", overview, StringComparison.Ordinal);
        Assert.Contains(
            "objects of the last import could not be read",
            await PageAsync(store, "sync"),
            StringComparison.Ordinal
        );

        // Once they can be read, all of it is over.
        foreach (var order in data.Orders.All().ToList())
            data.Orders.Put(order with { Name = $"#{order.Number}" });
        Assert.Equal(SyncJobStatus.Succeeded, (await Host.ImportAgainAsync(tenant)).Status);
        await Host.App.Services.GetRequiredService<IncidentDetector>().LookAsync(Ct);
        Assert.All(
            await Host.InTenantAsync(tenant, db => db.Incidents.AsNoTracking().ToListAsync(Ct)),
            incident => Assert.NotNull(incident.ResolvedAt)
        );
        Assert.DoesNotContain("could not be read", await PageAsync(store, "overview"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Orders_in_a_former_currency_are_stored_named_and_included_in_no_figure()
    {
        var (store, data) = await StoreAsync();
        var before = data.Orders.All().Count(o => !o.Test);
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        store.Currency = "JPY";

        Assert.Equal(SyncJobStatus.Succeeded, (await RunAsync(tenant, "delta")).Status);
        await Host.NewestAsync(tenant, j => j is { Type: SyncJobType.Full, Status: SyncJobStatus.Succeeded });

        Assert.Equal("JPY", await Host.InTenantAsync(tenant, db => db.Tenants.Select(t => t.Currency).SingleAsync(Ct)));
        Assert.Equal(0, await CountedAsync());
        var yen = store.Shop with { Currency = new DemoCurrency("JPY", 0) };
        data.Orders.Put(
            new DemoOrderBuilder(yen, 900_010, Now.AddDays(-1)).Line("Tea", 1, 1200).Build() with
            {
                UpdatedAt = Now,
            }
        );
        data.Orders.Put(data.Orders.All().First() with { UpdatedAt = Now, Tags = ["looked at"] });
        var delta = await RunAsync(tenant, "delta");
        Assert.Equal((2, 0), (delta.Stored, delta.Rejected));
        Assert.Equal(1, await CountedAsync());
        Assert.Equal(1200, await Host.InTenantAsync(tenant, db => db.SalesDays.SumAsync(d => d.Gross, Ct)));
        Assert.Equal(0, (await RunAsync(tenant, "delta")).Stored);
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));
        Assert.Equal(SyncJobStatus.Succeeded, (await RunAsync(tenant, "reconcile")).Status);
        Assert.DoesNotContain(
            await Host.InTenantAsync(tenant, db => db.ReconciledDays.AsNoTracking().ToListAsync(Ct)),
            day => day.State == XenoInsights.Sync.Reconciliation.DayState.Different
        );

        var overview = await PageAsync(store, "overview");
        Assert.Contains(
            $"{before} orders in another currency ({store.Shop.Currency.Code}) are not included",
            overview,
            StringComparison.Ordinal
        );
        Assert.Contains("in another currency, not included", await PageAsync(store, "sync"), StringComparison.Ordinal);

        Task<int> CountedAsync() => Host.InTenantAsync(tenant, db => db.Orders.CountAsync(o => o.Counted, Ct));
    }

    [Fact]
    public async Task A_renamed_store_is_followed_and_found_under_both_names()
    {
        var (store, data) = await StoreAsync();
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        store.Domain = $"renamed-{store.Shop.Handle}.myshopify.com";
        data.Orders.Put(data.Orders.All().First() with { UpdatedAt = Now, Name = "#after" });

        Assert.Equal(1, (await RunAsync(tenant, "delta")).Stored);

        Assert.Equal(
            store.Domain,
            await Host.InTenantAsync(tenant, db => db.Tenants.Select(t => t.ShopDomain).SingleAsync(Ct))
        );
        Assert.Equal(2, await Host.InTenantAsync(tenant, db => db.ShopDomains.CountAsync(Ct)));
        Assert.Equal(SyncJobStatus.Succeeded, (await Host.ImportAgainAsync(tenant)).Status);
        using var old = await Host.Owner.GetAsync(
            new Uri($"/stores/{store.Shop.Handle}/orders?preset=7d", UriKind.Relative),
            Ct
        );
        Assert.Equal(
            (HttpStatusCode.OK, $"/stores/renamed-{store.Shop.Handle}/orders?preset=7d"),
            (old.StatusCode, old.RequestMessage!.RequestUri!.PathAndQuery)
        );
    }

    [Fact]
    public async Task A_time_zone_that_PostgreSQL_does_not_know_has_days_and_hours_like_any_other()
    {
        var (store, data) = await StoreAsync();
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        // .NET knows it by this name, PostgreSQL only as Asia/Kolkata.
        store.TimeZone = "India Standard Time";

        await RunAsync(tenant, "delta");
        await Host.IdleAsync(tenant);

        var zone = store.Zone;
        Assert.Equal(
            data.Orders.All()
                .OrderBy(o => o.Id)
                .Select(o => DateOnly.FromDateTime(TimeZoneInfo.ConvertTime(o.ProcessedAt, zone).DateTime)),
            await Host.InTenantAsync(
                tenant,
                db => db.Orders.OrderBy(o => o.ShopifyId).Select(o => o.BusinessDay).ToListAsync(Ct)
            )
        );
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));
        var local = TimeZoneInfo.ConvertTime(data.Orders.All().First(o => !o.Test).ProcessedAt, zone);
        var day = ImportHost.Day(DateOnly.FromDateTime(local.DateTime));
        var hours = await Host.AskAsync(tenant, $"orders/by-date?granularity=hour&from={day}&to={day}");
        Assert.True(
            hours
                .EnumerateArray()
                .Single(h => h.GetProperty("hour").GetInt32() == local.Hour)
                .GetProperty("orders")
                .GetInt64() > 0,
            hours.GetRawText()
        );
        await Host.AskAsync(tenant, $"checkouts/by-hour?from={day}&to={day}");
        await Host.AskAsync(tenant, $"checkouts/by-date?granularity=hour&from={day}&to={day}");
    }

    [Fact]
    public async Task Sales_of_a_deleted_product_stay_its_own_whichever_way_the_order_is_read_again()
    {
        var (store, data) = await StoreAsync();
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        var before = await ProductsAsync();
        var gone = data
            .Orders.All()
            .SelectMany(o => o.Lines)
            .Select(l => l.ProductId)
            .OfType<long>()
            .GroupBy(id => id)
            .OrderByDescending(g => g.Count())
            .First()
            .Key;
        data.Products.Remove(gone);
        foreach (
            var (order, i) in data
                .Orders.All()
                .Where(o => o.Lines.Any(l => l.ProductId == gone))
                .Select((o, i) => (o, i))
                .ToList()
        )
            data.Orders.Put(Without(order, gone) with { UpdatedAt = i % 2 == 0 ? Now : order.UpdatedAt });

        await RunAsync(tenant, "delta");
        Assert.Equal(before, await ProductsAsync());
        Assert.Equal(SyncJobStatus.Succeeded, (await Host.ImportAgainAsync(tenant)).Status);
        await RunAsync(tenant, "reconcile");

        Assert.Equal(before, await ProductsAsync());
        Assert.DoesNotContain(
            await Host.InTenantAsync(tenant, db => db.ReconciledDays.AsNoTracking().ToListAsync(Ct)),
            day => day.State == XenoInsights.Sync.Reconciliation.DayState.Different
        );
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));

        Task<List<string>> ProductsAsync() =>
            Host.InTenantAsync(
                tenant,
                async db =>
                    (
                        await db
                            .ProductDays.AsNoTracking()
                            .Where(d => d.Gross != 0 || d.Returns != 0)
                            .OrderBy(d => d.Day)
                            .ThenBy(d => d.ProductId)
                            .ToListAsync(Ct)
                    ).ConvertAll(d => $"{d.Day} {d.ProductId} {d.UnitsOrdered} {d.Gross} {d.Returns}")
            );
    }

    [Fact]
    public async Task Refunds_of_an_import_have_their_units_and_forty_one_are_all_read()
    {
        var (store, data) = await StoreAsync();
        var builder = new DemoOrderBuilder(store.Shop, 900_041, Now.AddDays(-50)).Line("Tea", 41, 250);
        for (var i = 0; i < 41; i++)
            builder.Refund(Now.AddDays(-49).AddMinutes(i), [(0, 1)]);
        data.Orders.Put(builder.Build() with { UpdatedAt = Now.AddDays(-1) });

        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        await AssertRefundsAsync();
        data.Orders.Put(data.Orders.Find(store.Shop.Ids.Order(900_041))! with { UpdatedAt = Now });
        await RunAsync(tenant, "delta");
        await AssertRefundsAsync();

        async Task AssertRefundsAsync()
        {
            var id = store.Shop.Ids.Order(900_041);
            var refunds = await Host.InTenantAsync(
                tenant,
                db => db.Refunds.AsNoTracking().Where(r => r.OrderId == id).ToListAsync(Ct)
            );
            Assert.Equal((41, 10_250), (refunds.Count, refunds.Sum(r => r.Total)));
            var lines = await Host.InTenantAsync(
                tenant,
                db => db.RefundLineItems.AsNoTracking().Where(r => r.OrderId == id).ToListAsync(Ct)
            );
            Assert.Equal(41, lines.Count);
            Assert.All(lines, line => Assert.Equal((1, 250), (line.Quantity, line.Subtotal)));
        }
    }

    /// <summary>As Shopify tells an order whose product was deleted.</summary>
    private static DemoOrder Without(DemoOrder order, long product)
    {
        return order with
        {
            Lines = [.. order.Lines.Select(Bare)],
            Agreements =
            [
                .. order.Agreements.Select(a =>
                    a with
                    {
                        Sales = [.. a.Sales.Select(s => s.LineItem is { } line ? s with { LineItem = Bare(line) } : s)],
                    }
                ),
            ],
        };

        DemoLine Bare(DemoLine line) =>
            line.ProductId == product ? line with { ProductId = null, VariantId = null } : line;
    }

    private async Task<(DemoStore Store, DemoData Data)> StoreAsync()
    {
        var store = stores.NextMixed();
        return (store, await store.DataAsync());
    }

    private async Task<SyncJobView> RunAsync(Guid tenant, string type)
    {
        using var response = await ImportHost.AskForImportAsync(Host.Owner, tenant, type);
        Assert.Equal(HttpStatusCode.Accepted, response.StatusCode);
        var wanted = Enum.Parse<SyncJobType>(type, ignoreCase: true);
        var id = (await Host.JobsAsync(tenant)).First(j => j.Type == wanted).Id;
        await EventuallyAsync(async () =>
            (await Host.JobsAsync(tenant)).Single(j => j.Id == id).Status
                is not (SyncJobStatus.Queued or SyncJobStatus.Running)
        );
        var job = (await Host.JobsAsync(tenant)).Single(j => j.Id == id);
        Assert.True(job.Status == SyncJobStatus.Succeeded, $"{job.Status} {job.Error}");
        Assert.Equal(job.ObjectsRead, job.Stored + job.Unchanged + job.Rejected + job.Gone);
        return job;
    }

    private Task<bool> RequestAsync(Guid tenant, IEnumerable<long> orders) =>
        Host.InTenantAsync(
            tenant,
            async db =>
            {
                await Refetches.RequestAsync(db, tenant, orders.Select(id => (RefetchKind.Order, id)), Ct);
                return true;
            }
        );

    private Task<string> CursorAsync(Guid tenant) =>
        Host.InTenantAsync(
            tenant,
            async db =>
                (await db.SyncJobs.Where(j => j.Type == SyncJobType.Full).Select(j => j.Cursor).SingleAsync(Ct))!
        );

    /// <summary>The page's HTML as a browser reads it: one space wherever its source breaks a line.</summary>
    private async Task<string> PageAsync(DemoStore store, string page)
    {
        var address = new Uri($"/stores/{store.Shop.Handle}/{page}", UriKind.Relative);
        var html = WebUtility.HtmlDecode(await Host.Owner.GetStringAsync(address, Ct));
        return string.Join(' ', html.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
    }

    private static async Task EventuallyAsync(Func<Task<bool>> isSo)
    {
        for (var patience = 0; patience < 600; patience++)
        {
            if (await isSo())
                return;
            await Task.Delay(100, Ct);
        }
        throw new TimeoutException("It did not become so within a minute.");
    }
}
