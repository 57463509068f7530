using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.FakeShopify.Stores;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Sync;
using XenoInsights.Sync.Reconciliation;

namespace XenoInsights.Tests.Sync;

/// <summary>Checks of closed days against a Shopify that knows better: what differs is named, repaired and remembered, and nothing else is touched.</summary>
public sealed class ReconcileTests(FaultyStores stores) : IClassFixture<FaultyStores>
{
    private ImportHost Host => stores.Host;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task After_an_import_every_closed_day_is_equal()
    {
        var (store, tenant) = await ImportedAsync();

        var job = await CheckAsync(tenant, days: 210);

        Assert.Equal(0, job.Stored + job.Gone + job.Rejected);
        var days = await DaysAsync(tenant);
        Assert.Equal(210, days.Count);
        Assert.All(
            days,
            day =>
                Assert.Equal(
                    (DayState.Equal, day.TotalInShopify, day.OrdersInShopify),
                    (day.State, day.TotalHere, day.OrdersHere)
                )
        );
        var yesterday = days.Max(d => d.Day);
        var data = await store.DataAsync();
        Assert.Equal(
            data.Orders.All()
                .Count(o =>
                    DayOf(store, o.ProcessedAt) <= yesterday && DayOf(store, o.ProcessedAt) > yesterday.AddDays(-210)
                ),
            days.Sum(d => d.OrdersInShopify)
        );
        Assert.All(
            await Host.InTenantAsync(tenant, db => db.ReconciledCounts.ToListAsync(Ct)),
            count => Assert.Equal(count.InShopify, count.Here)
        );
    }

    [Fact]
    public async Task What_differs_is_named_repaired_and_remembered()
    {
        var (store, tenant) = await ImportedAsync();
        var data = await store.DataAsync();
        var today = DayOf(store, TimeProvider.System.GetUtcNow());
        var closed = data
            .Orders.All()
            .Where(o =>
                !o.Test
                && DayOf(store, o.ProcessedAt) < today
                && DayOf(store, o.ProcessedAt) > today.AddDays(-50)
                && o.UpdatedAt < TimeProvider.System.GetUtcNow().AddDays(-1)
            )
            .Take(5)
            .ToList();
        var (falsified, lost, deletedThere, entombed, misfiled) = (
            closed[0],
            closed[1],
            closed[2],
            closed[3],
            closed[4]
        );
        await Host.InTenantAsync(
            tenant,
            async db =>
            {
                await ExecuteAsync(
                    db,
                    $"update order_sales set amount = amount + 700 where order_id = {falsified.Id} and measure = 1"
                );
                await ExecuteAsync(db, $"delete from order_sales where order_id = {lost.Id}");
                await ExecuteAsync(db, $"delete from order_line_items where order_id = {lost.Id}");
                await ExecuteAsync(db, $"delete from refund_line_items where order_id = {lost.Id}");
                await ExecuteAsync(db, $"delete from refunds where order_id = {lost.Id}");
                await ExecuteAsync(db, $"delete from orders where shopify_id = {lost.Id}");
                await ExecuteAsync(
                    db,
                    $"update orders set deleted_at = now(), updated_at = now(), counted = false where shopify_id = {entombed.Id}"
                );
                await ExecuteAsync(
                    db,
                    $"update orders set business_day = business_day - 1 where shopify_id = {misfiled.Id}"
                );
                return true;
            }
        );
        await RollupRepair.RunAsync(Host.App.Services.GetRequiredService<TenantDatabase>(), tenant, Ct);
        Assert.True(data.Orders.Remove(deletedThere.Id));

        var job = await CheckAsync(tenant, days: 60);
        Assert.Equal(SyncJobType.Reconcile, job.Type);
        Assert.Equal((1, 0), (job.Gone, job.Rejected));

        var days = await DaysAsync(tenant);
        Assert.DoesNotContain(days, d => d.State == DayState.Different);
        var repaired = days.Where(d => d.State == DayState.Repaired).ToList();
        Assert.Equal(closed.Select(o => o.Id).Order(), repaired.SelectMany(d => d.DifferingOrders).Distinct().Order());
        Assert.Contains(repaired, d => d.TotalBefore != d.TotalHere);
        Assert.Empty(await Host.RollupDifferencesAsync(tenant));
        Assert.False(
            await Host.InTenantAsync(tenant, db => db.Orders.AnyAsync(o => o.ShopifyId == deletedThere.Id, Ct))
        );

        // Equal now; what was repaired is remembered beside it.
        await CheckAsync(tenant, days: 60);
        var after = await DaysAsync(tenant);
        Assert.Equal(60, after.Count(d => d.State == DayState.Equal));
        Assert.Equal(repaired.Count, after.Count(d => d.State == DayState.Repaired));
    }

    [Fact]
    public async Task Reported_figures_that_are_not_those_of_the_ledger_are_made_again()
    {
        var (_, tenant) = await ImportedAsync();
        await Host.InTenantAsync(
            tenant,
            async db =>
            {
                await ExecuteAsync(
                    db,
                    "update sales_days set gross = gross + 1 where day = (select max(day) from sales_days where day < current_date - 3)"
                );
                return true;
            }
        );

        await CheckAsync(tenant, days: 30);

        Assert.Empty(await Host.RollupDifferencesAsync(tenant));
        Assert.Single(
            await DaysAsync(tenant),
            d => d.State == DayState.Repaired && d.TotalBefore == d.TotalHere + 1 && d.DifferingOrders.Length == 0
        );
    }

    [Fact]
    public async Task The_hard_cases_are_equal_on_every_day()
    {
        var (tenant, _) = await Host.ImportAsync(HardCases.Domain);
        var first = await Host.InTenantAsync(tenant, db => db.SalesDays.MinAsync(d => d.Day, Ct));

        await CheckAsync(tenant, from: first);

        Assert.All(
            await DaysAsync(tenant),
            day =>
                Assert.True(
                    day.State == DayState.Equal,
                    $"{day.Day}: {day.TotalHere} here, {day.TotalInShopify} in Shopify, orders {day.OrdersHere} and {day.OrdersInShopify}"
                )
        );
    }

    [Fact]
    public async Task A_Shopify_that_does_not_answer_proves_nothing_and_says_so()
    {
        var (store, tenant) = await ImportedAsync();
        store.Faults.Respond = (402, 1);

        var job = await CheckAsync(tenant, days: 7, expected: SyncJobStatus.Failed);

        Assert.Contains("frozen", job.Error, StringComparison.Ordinal);
        Assert.Empty(await DaysAsync(tenant));
    }

    [Fact]
    public async Task Only_days_that_are_over_can_be_checked()
    {
        var (_, tenant) = await ImportedAsync();
        using var future = await Host.Owner.PostAsJsonAsync(
            "/api/ingestion/start",
            new
            {
                tenant_id = tenant,
                type = "reconcile",
                from = "2099-01-01",
            },
            Ct
        );
        using var days = await Host.Owner.PostAsJsonAsync(
            "/api/ingestion/start",
            new
            {
                tenant_id = tenant,
                type = "delta",
                from = "2026-01-01",
            },
            Ct
        );
        Assert.Equal((HttpStatusCode.BadRequest, HttpStatusCode.BadRequest), (future.StatusCode, days.StatusCode));
        using var foreign = await Host.Owner.GetAsync(
            new Uri($"/api/reconciliation?tenant_id={Guid.NewGuid()}", UriKind.Relative),
            Ct
        );
        Assert.Equal(HttpStatusCode.NotFound, foreign.StatusCode);
        await CheckAsync(tenant, days: 7);
        var listed = await Host.Owner.GetFromJsonAsync<JsonElement[]>($"/api/reconciliation?tenant_id={tenant}", Ct);
        Assert.Equal(7, listed!.Length);
        Assert.All(listed, day => Assert.Equal("equal", day.GetProperty("state").GetString()));
    }

    [Fact]
    public async Task All_days_are_checked_when_the_first_import_has_ended_and_not_after_later_ones()
    {
        var store = ImportStores.Mixed(240);
        await using var host = await ImportHost.StartAsync(stores.Postgres, [store], checkFirstImport: true);
        var tenant = await host.ConnectAsync(store.Shop.Domain);

        var check = await host.NewestAsync(
            tenant,
            j => j is { Type: SyncJobType.Reconcile, Status: not (SyncJobStatus.Queued or SyncJobStatus.Running) }
        );

        Assert.True(check.Status == SyncJobStatus.Succeeded, check.Error);
        var days = await host.InTenantAsync(tenant, db => db.ReconciledDays.OrderBy(d => d.Day).ToListAsync(Ct));
        var first = await host.InTenantAsync(tenant, db => db.SalesDays.MinAsync(d => d.Day, Ct));
        var yesterday = DayOf(store, TimeProvider.System.GetUtcNow()).AddDays(-1);
        Assert.Equal((first, yesterday), (days[0].Day, days[^1].Day));
        Assert.Equal(yesterday.DayNumber - first.DayNumber + 1, days.Count);
        Assert.All(days, day => Assert.Equal(DayState.Equal, day.State));

        await host.ImportAgainAsync(tenant);
        Assert.Equal(
            [SyncJobType.Full, SyncJobType.Reconcile, SyncJobType.Full],
            (await host.JobsAsync(tenant)).Select(j => j.Type)
        );
    }

    [Fact]
    public async Task Days_of_another_time_zone_are_proven_again()
    {
        var (store, tenant) = await ImportedAsync();
        await CheckAsync(tenant, days: 7);
        store.TimeZone = "Pacific/Auckland";
        using (var asked = await ImportHost.AskForImportAsync(Host.Owner, tenant, "delta"))
            Assert.Equal(HttpStatusCode.Accepted, asked.StatusCode);

        var check = await Host.NewestAsync(
            tenant,
            j => j is { Type: SyncJobType.Reconcile, Status: not (SyncJobStatus.Queued or SyncJobStatus.Running) }
        );

        Assert.True(check.Status == SyncJobStatus.Succeeded, check.Error);
        var days = await DaysAsync(tenant);
        Assert.InRange(days.Count, 8, int.MaxValue);
        Assert.All(days, day => Assert.Equal((DayState.Equal, check.Id), (day.State, day.JobId)));
    }

    private async Task<(DemoStore Store, Guid Tenant)> ImportedAsync()
    {
        var store = stores.NextMixed();
        return (store, (await Host.ImportAsync(store.Shop.Domain)).Tenant);
    }

    private async Task<SyncJobView> CheckAsync(
        Guid tenant,
        int days = 0,
        DateOnly? from = null,
        SyncJobStatus expected = SyncJobStatus.Succeeded
    )
    {
        var zone = await Host.InTenantAsync(tenant, db => db.Tenants.Select(t => t.TimeZone).SingleAsync(Ct));
        var first =
            from
            ?? DateOnly
                .FromDateTime(
                    TimeZoneInfo
                        .ConvertTime(TimeProvider.System.GetUtcNow(), TimeZoneInfo.FindSystemTimeZoneById(zone))
                        .DateTime
                )
                .AddDays(-days);
        using var response = await Host.Owner.PostAsJsonAsync(
            "/api/ingestion/start",
            new
            {
                tenant_id = tenant,
                type = "reconcile",
                from = ImportHost.Day(first),
            },
            Ct
        );
        Assert.True(response.StatusCode == HttpStatusCode.Accepted, await response.Content.ReadAsStringAsync(Ct));
        var job = await Host.EndOfNewestAsync(tenant);
        Assert.True(job.Status == expected, $"{job.Status} {job.Error}");
        return job;
    }

    private Task<List<ReconciledDay>> DaysAsync(Guid tenant) =>
        Host.InTenantAsync(tenant, db => db.ReconciledDays.OrderBy(d => d.Day).ToListAsync(Ct));

    private static DateOnly DayOf(DemoStore store, DateTimeOffset instant) =>
        DateOnly.FromDateTime(TimeZoneInfo.ConvertTime(instant, store.Shop.Zone).DateTime);

    private static async Task ExecuteAsync(XenoDbContext db, string sql)
    {
        await using var command = db.Command(sql);
        await command.ExecuteNonQueryAsync(Ct);
    }
}
