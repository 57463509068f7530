using System.Net;
using System.Net.Http.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Connect;

namespace XenoInsights.Tests.Sync;

/// <summary>Runs of changes and comparisons: what webhooks did not tell is found, only that is read, and the numbers add up.</summary>
public sealed class DeltaTests(FaultyStores stores) : IClassFixture<FaultyStores>
{
    private ImportHost Host => stores.Host;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private static DateTimeOffset Now =>
        DateTimeOffset.FromUnixTimeSeconds(TimeProvider.System.GetUtcNow().ToUnixTimeSeconds());

    [Fact]
    public async Task Changes_that_no_webhook_told_are_read_and_nothing_else()
    {
        var (store, data, tenant) = await ImportedAsync();
        var changed = data
            .Orders.All()
            .Where((_, i) => i % 10 == 3)
            .Select(o => o with { Name = o.Name + "-changed", UpdatedAt = Now })
            .ToList();
        changed.ForEach(data.Orders.Put);
        data.Orders.Put(
            new DemoOrderBuilder(store.Shop, 900_001, Now.AddDays(-1)).Line("Something new", 2, 1234).Build() with
            {
                UpdatedAt = Now,
            }
        );
        data.Customers.Put(data.Customers.All().First() with { UpdatedAt = Now, FirstName = "Renamed" });
        data.Products.Put(data.Products.All().First() with { UpdatedAt = Now, Title = "Renamed" });
        data.Checkouts.Put(data.Checkouts.All().First() with { UpdatedAt = Now, CompletedAt = Now });

        var job = await RunAsync(tenant, "delta");
        AssertAddsUp(job);
        await AssertSameAsync(store, tenant);
        Assert.Equal(
            "Renamed",
            await Host.InTenantAsync(
                tenant,
                db =>
                    db.Customers.Where(c => c.ShopifyId == data.Customers.All().First().Id)
                        .Select(c => c.FirstName)
                        .SingleAsync(Ct)
            )
        );
        Assert.NotNull(
            await Host.InTenantAsync(
                tenant,
                db =>
                    db.Checkouts.Where(c => c.ShopifyId == data.Checkouts.All().First().Id)
                        .Select(c => c.CompletedAt)
                        .SingleAsync(Ct)
            )
        );

        Assert.Equal(changed.Count + 4, job.Stored);

        var again = await RunAsync(tenant, "delta");
        AssertAddsUp(again);
        Assert.Equal(0, again.Stored);
        Assert.Equal(again.ObjectsRead, again.Unchanged);
    }

    [Fact]
    public async Task An_update_within_the_second_of_the_watermark_is_not_missed()
    {
        var (store, data, tenant) = await ImportedAsync();
        var at = Now;
        data.Orders.Put(data.Orders.All().First() with { UpdatedAt = at, Name = "#first" });
        await RunAsync(tenant, "delta");
        data.Orders.Put(data.Orders.All().Last() with { UpdatedAt = at, Name = "#second of the same second" });

        var job = await RunAsync(tenant, "delta");

        Assert.Equal(1, job.Stored);
        await AssertSameAsync(store, tenant);
    }

    [Fact]
    public async Task A_comparison_finds_what_was_deleted_and_changed_while_nobody_listened()
    {
        var (store, data, tenant) = await ImportedAsync();
        var deleted = data.Orders.All().Where((_, i) => i % 50 == 9).Select(o => o.Id).ToList();
        deleted.ForEach(id => Assert.True(data.Orders.Remove(id)));
        Assert.True(data.Products.Remove(data.Products.All().First().Id));
        Assert.True(data.Customers.Remove(data.Customers.All().Last().Id));
        // Long before any watermark: only a comparison sees it.
        var silent = data.Orders.All().First();
        await Host.InTenantAsync(
            tenant,
            db =>
                db.Orders.Where(o => o.ShopifyId == silent.Id)
                    .ExecuteUpdateAsync(set => set.SetProperty(o => o.UpdatedAt, silent.UpdatedAt.AddDays(-1)), Ct)
        );

        var job = await RunAsync(tenant, "rehydrate");

        AssertAddsUp(job);
        Assert.Equal(deleted.Count + 2, job.Gone);
        Assert.Equal(1, job.Stored);
        await AssertSameAsync(store, tenant);
        Assert.Equal(0, (await RunAsync(tenant, "rehydrate")).Gone);
    }

    [Fact]
    public async Task Checkouts_that_a_webhook_told_and_Shopify_does_not_list_stay()
    {
        var (store, _, tenant) = await ImportedAsync();
        var open = new CheckoutRecord
        {
            ShopifyId = 4711,
            UpdatedAt = Now,
            CreatedAt = Now.AddHours(-1),
            Source = RecordSource.Webhook,
            Total = 1200,
        };
        await Host.InTenantAsync(
            tenant,
            db =>
                IngestionWriter.ApplyAsync(
                    db,
                    new StoreCalendar(tenant, store.Shop.Currency.Code, store.Shop.TimeZone),
                    [open],
                    Ct
                )
        );

        await RunAsync(tenant, "rehydrate");

        Assert.True(
            await Host.InTenantAsync(
                tenant,
                db => db.Checkouts.AnyAsync(c => c.ShopifyId == 4711 && c.DeletedAt == null, Ct)
            )
        );
    }

    [Fact]
    public async Task Without_a_full_import_changes_are_not_followed()
    {
        var store = stores.NextMixed();
        store.Faults.FailBulk = 100;
        var tenant = await Host.ConnectAsync(store.Shop.Domain);
        await Host.EndOfNewestAsync(tenant);

        var job = await RunAsync(tenant, "delta", SyncJobStatus.Failed);

        Assert.Contains("Start a full import", job.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_domain_that_belongs_to_another_shop_now_lets_nothing_in()
    {
        var (store, data, tenant) = await ImportedAsync();
        await Host.InTenantAsync(
            tenant,
            db => db.Tenants.ExecuteUpdateAsync(set => set.SetProperty(t => t.ShopId, store.Shop.Ids.Shop + 1), Ct)
        );
        data.Orders.Put(data.Orders.All().First() with { UpdatedAt = Now, Name = "#foreign" });

        var job = await RunAsync(tenant, "delta", SyncJobStatus.Failed);

        Assert.Contains("belongs to another shop now", job.Error, StringComparison.Ordinal);
        Assert.False(await Host.InTenantAsync(tenant, db => db.Orders.AnyAsync(o => o.Name == "#foreign", Ct)));
    }

    [Theory]
    [InlineData(402, "Frozen")]
    [InlineData(423, "Locked")]
    [InlineData(403, "AccessMissing")]
    public async Task What_Shopify_refuses_becomes_a_state_of_the_store_and_ends_with_the_first_answer(
        int status,
        string expected
    )
    {
        var (store, _, tenant) = await ImportedAsync();
        store.Faults.Respond = (status, 1);

        var refused = await RunAsync(tenant, "delta", SyncJobStatus.Failed);
        Assert.Contains(store.Shop.Domain, refused.Error, StringComparison.Ordinal);
        Assert.Equal(expected, await StatusAsync());
        var page = await Host.Owner.GetStringAsync(new Uri($"/stores/{store.Shop.Handle}/sync", UriKind.Relative), Ct);
        Assert.Contains("warn-banner", page, StringComparison.Ordinal);

        await RunAsync(tenant, "delta");
        Assert.Equal("Connected", await StatusAsync());

        Task<string> StatusAsync() =>
            Host.InTenantAsync(tenant, async db => (await db.Tenants.Select(t => t.Status).SingleAsync(Ct)).ToString());
    }

    [Fact]
    public async Task A_cancelled_run_stops_and_another_can_begin()
    {
        var (store, _, tenant) = await ImportedAsync();
        store.Faults.HoldBulk = true;
        var job = await StartAsync(tenant, "rehydrate");
        await Host.NewestAsync(tenant, j => j.Status == SyncJobStatus.Running);
        using (
            var cancelled = await Host.Owner.PostAsJsonAsync(
                $"/api/ingestion/jobs/{job.Id}/cancel",
                new { tenant_id = tenant },
                Ct
            )
        )
            Assert.Equal(HttpStatusCode.NoContent, cancelled.StatusCode);
        using (
            var again = await Host.Owner.PostAsJsonAsync(
                $"/api/ingestion/jobs/{job.Id}/cancel",
                new { tenant_id = tenant },
                Ct
            )
        )
            Assert.Equal(HttpStatusCode.Conflict, again.StatusCode);
        store.Faults.HoldBulk = false;

        Assert.Equal(SyncJobStatus.Cancelled, (await Host.JobsAsync(tenant))[0].Status);
        AssertAddsUp(await RunAsync(tenant, "rehydrate"));
    }

    [Fact]
    public async Task A_night_is_enqueued_once_however_often_and_by_whomever_it_is_fired()
    {
        var tenant = await ImportedDaysAgoAtNoonAsync();
        var schedule = ActivatorUtilities.CreateInstance<SyncSchedule>(
            Host.App.Services,
            Microsoft.Extensions.Options.Options.Create(new SyncOptions { NightFromHour = 0, NightHours = 1 })
        );

        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => schedule.EnqueueAsync(Ct)));
        for (
            var patience = 0;
            (await Host.JobsAsync(tenant)).Any(j => j.Status is SyncJobStatus.Queued or SyncJobStatus.Running);
            patience++
        )
        {
            Assert.True(patience < 300, "The night does not end.");
            await Task.Delay(100, Ct);
        }
        // The check of closed days comes after the changes, and once.
        Assert.Equal(1, await schedule.EnqueueAsync(Ct));
        var check = await Host.EndOfNewestAsync(tenant);
        Assert.Equal(SyncJobType.Reconcile, check.Type);
        Assert.Equal(0, await schedule.EnqueueAsync(Ct));

        var jobs = await Host.JobsAsync(tenant);
        Assert.Single(jobs, j => j.Type == SyncJobType.Delta);
        Assert.True(jobs.Count(j => j.Type == SyncJobType.Rehydrate) <= 1);
        Assert.All(jobs, j => Assert.Equal(SyncJobStatus.Succeeded, j.Status));
    }

    [Fact]
    public async Task Two_instances_one_of_them_ten_minutes_ahead_run_each_nightly_delta_once()
    {
        var tenant = await ImportedDaysAgoAtNoonAsync();
        var ahead = new MovableClock();
        ahead.Advance(TimeSpan.FromMinutes(10));
        await using var other = await Host.StartAnotherAsync(services => services.AddSingleton<TimeProvider>(ahead));
        var night = Microsoft.Extensions.Options.Options.Create(new SyncOptions { NightFromHour = 0, NightHours = 1 });
        SyncSchedule[] schedules =
        [
            ActivatorUtilities.CreateInstance<SyncSchedule>(Host.App.Services, night),
            ActivatorUtilities.CreateInstance<SyncSchedule>(other.Services, night),
        ];

        for (var round = 0; round < 3; round++)
        {
            await Task.WhenAll(schedules.SelectMany(s => new[] { s.EnqueueAsync(Ct), s.EnqueueAsync(Ct) }));
            for (
                var patience = 0;
                (await Host.JobsAsync(tenant)).Any(j => j.Status is SyncJobStatus.Queued or SyncJobStatus.Running);
                patience++
            )
            {
                Assert.True(patience < 300, "The night does not end.");
                await Task.Delay(100, Ct);
            }
        }

        var jobs = await Host.JobsAsync(tenant);
        Assert.Single(jobs, j => j.Type == SyncJobType.Delta);
        Assert.Single(jobs, j => j.Type == SyncJobType.Reconcile);
        Assert.All(jobs, j => Assert.Equal(SyncJobStatus.Succeeded, j.Status));
    }

    [Fact]
    public async Task A_time_zone_that_was_changed_and_not_told_is_found_by_the_next_run()
    {
        var (store, data, tenant) = await ImportedAsync();
        store.TimeZone = "Pacific/Auckland";

        await FollowShopAsync(tenant);

        await AssertDaysAsync(data, tenant, "Pacific/Auckland");
        await AssertSameAsync(store, tenant);
    }

    [Fact]
    public async Task A_recalculation_that_failed_is_named_on_every_page_and_tried_again_at_night()
    {
        var tenant = await ImportedDaysAgoAtNoonAsync();
        var domain = await Host.InTenantAsync(tenant, db => db.Tenants.Select(t => t.ShopDomain).SingleAsync(Ct));
        await Host.InTenantAsync(tenant, db => SyncJobs.EnqueueAsync(db, tenant, SyncJobType.Recalculate, null, Ct));
        await Host.IdleAsync(tenant);
        await Host.InTenantAsync(
            tenant,
            db =>
                db.SyncJobs.Where(j => j.Type == SyncJobType.Recalculate)
                    .ExecuteUpdateAsync(set => set.SetProperty(j => j.Status, SyncJobStatus.Failed), Ct)
        );
        var page = await Host.Owner.GetStringAsync(
            new Uri($"/stores/{domain.Split('.')[0]}/overview", UriKind.Relative),
            Ct
        );
        Assert.Contains("Figures could not be recalculated", page, StringComparison.Ordinal);

        var night = Microsoft.Extensions.Options.Options.Create(new SyncOptions { NightFromHour = 0, NightHours = 1 });
        await ActivatorUtilities.CreateInstance<SyncSchedule>(Host.App.Services, night).EnqueueAsync(Ct);
        await Host.IdleAsync(tenant);

        var newest = (await Host.JobsAsync(tenant)).First(j => j.Type == SyncJobType.Recalculate);
        Assert.Equal(SyncJobStatus.Succeeded, newest.Status);
        page = await Host.Owner.GetStringAsync(
            new Uri($"/stores/{domain.Split('.')[0]}/overview", UriKind.Relative),
            Ct
        );
        Assert.DoesNotContain("recalculated", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_time_zone_that_was_changed_while_the_store_was_not_connected_is_found_by_connecting_it_again()
    {
        var (store, data, tenant) = await ImportedAsync();
        store.TimeZone = "Pacific/Auckland";

        // The merchant has agreed before and is not asked again.
        using (
            var connected = await Host.Owner.GetAsync(
                new Uri($"/auth/start?shop={store.Shop.Domain}", UriKind.Relative),
                Ct
            )
        )
            Assert.Equal(HttpStatusCode.OK, connected.StatusCode);

        await Host.IdleAsync(tenant);
        await AssertDaysAsync(data, tenant, "Pacific/Auckland");
        Assert.All(await Host.JobsAsync(tenant), job => Assert.Equal(SyncJobStatus.Succeeded, job.Status));
        await AssertSameAsync(store, tenant);
    }

    [Fact]
    public async Task A_time_zone_that_changes_in_the_middle_of_an_import_leaves_nothing_on_the_old_days()
    {
        var store = stores.NextMixed();
        store.Faults.HoldBulk = true;
        var tenant = await Host.ConnectAsync(store.Shop.Domain);
        await Host.NewestAsync(
            tenant,
            j =>
                j.Status == SyncJobStatus.Running
                && j.Phase?.StartsWith("Shopify is preparing", StringComparison.Ordinal) == true
        );
        store.TimeZone = "Pacific/Auckland";
        await Host.InTenantAsync(
            tenant,
            db => ShopSettings.KeepAsync(db, tenant, store.Shop.Name, store.TimeZone, store.Shop.Currency.Code, Ct)
        );
        store.Faults.HoldBulk = false;

        await Host.IdleAsync(tenant);
        Assert.All(await Host.JobsAsync(tenant), job => Assert.Equal(SyncJobStatus.Succeeded, job.Status));
        await AssertDaysAsync(await store.DataAsync(), tenant, "Pacific/Auckland");
        await AssertSameAsync(store, tenant);
    }

    /// <summary>A run of changes, and the recalculation that it finds necessary.</summary>
    private async Task FollowShopAsync(Guid tenant)
    {
        await StartAsync(tenant, "delta");
        await Host.IdleAsync(tenant);
        Assert.All(await Host.JobsAsync(tenant), job => Assert.Equal(SyncJobStatus.Succeeded, job.Status));
        Assert.Single(await Host.JobsAsync(tenant), job => job.Type == SyncJobType.Recalculate);
    }

    private async Task AssertDaysAsync(DemoData data, Guid tenant, string timeZone)
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById(timeZone);
        Assert.Equal(
            timeZone,
            await Host.InTenantAsync(tenant, db => db.Tenants.Select(t => t.TimeZone).SingleAsync(Ct))
        );
        Assert.Equal(
            data.Orders.All()
                .OrderBy(o => o.Id)
                .Select(o => (o.Id, DateOnly.FromDateTime(TimeZoneInfo.ConvertTime(o.ProcessedAt, zone).DateTime))),
            (
                await Host.InTenantAsync(
                    tenant,
                    db =>
                        db.Orders.OrderBy(o => o.ShopifyId)
                            .Select(o => new { o.ShopifyId, o.BusinessDay })
                            .ToListAsync(Ct)
                )
            ).Select(o => (o.ShopifyId, o.BusinessDay))
        );
    }

    /// <summary>Imported five days ago, and where the shop is the day is half over, whenever the test runs.</summary>
    private async Task<Guid> ImportedDaysAgoAtNoonAsync()
    {
        var store = stores.NextMixed();
        var offset = 12 - TimeProvider.System.GetUtcNow().Hour;
        store.TimeZone = offset switch
        {
            0 => "Etc/UTC",
            > 0 => $"Etc/GMT-{offset}",
            _ => $"Etc/GMT+{-offset}",
        };
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        await Host.InTenantAsync(
            tenant,
            db => db.SyncJobs.ExecuteUpdateAsync(set => set.SetProperty(j => j.StartedAt, Now.AddDays(-5)), Ct)
        );
        return tenant;
    }

    private async Task<(DemoStore Store, DemoData Data, Guid Tenant)> ImportedAsync()
    {
        var store = stores.NextMixed();
        var (tenant, _) = await Host.ImportAsync(store.Shop.Domain);
        return (store, await store.DataAsync(), tenant);
    }

    private async Task<SyncJobView> RunAsync(Guid tenant, string type, SyncJobStatus expected = SyncJobStatus.Succeeded)
    {
        var started = await StartAsync(tenant, type);
        var job = await Host.EndOfNewestAsync(tenant);
        Assert.Equal(started.Id, job.Id);
        Assert.True(job.Status == expected, $"{job.Status} {job.Error}");
        return job;
    }

    private async Task<SyncJobView> StartAsync(Guid tenant, string type)
    {
        using var response = await ImportHost.AskForImportAsync(Host.Owner, tenant, type);
        Assert.Equal(HttpStatusCode.Accepted, response.StatusCode);
        return (await Host.JobsAsync(tenant))[0];
    }

    private static void AssertAddsUp(SyncJobView job)
    {
        Assert.Equal(job.ObjectsRead, job.Stored + job.Unchanged + job.Rejected + job.Gone);
        Assert.Equal(0, job.Rejected);
    }

    /// <summary>Orders by id and version as Shopify has them, and rollups as the ledger has them.</summary>
    private async Task AssertSameAsync(DemoStore store, Guid tenant)
    {
        var data = await store.DataAsync();
        var stored = await Host.InTenantAsync(
            tenant,
            db =>
                db.Orders.Where(o => o.DeletedAt == null)
                    .OrderBy(o => o.ShopifyId)
                    .Select(o => new
                    {
                        o.ShopifyId,
                        o.UpdatedAt,
                        o.Name,
                    })
                    .ToListAsync(Ct)
        );
        Assert.Equal(
            data.Orders.All()
                .OrderBy(o => o.Id)
                .Select(o => new
                {
                    ShopifyId = o.Id,
                    o.UpdatedAt,
                    o.Name,
                }),
            stored
        );
        Assert.Equal(
            data.Customers.All().Count(),
            await Host.InTenantAsync(tenant, db => db.Customers.CountAsync(c => c.DeletedAt == null, Ct))
        );
        Assert.Equal(
            data.Products.All().Count(),
            await Host.InTenantAsync(tenant, db => db.Products.CountAsync(p => p.DeletedAt == null, Ct))
        );
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));
    }
}
