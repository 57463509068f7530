using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using XenoInsights.DemoShopify;
using XenoInsights.DemoShopify.Stores;
using XenoInsights.Sync;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Sync;

/// <summary>Orders that are easily counted wrongly, imported, against the days worked out by hand.</summary>
public sealed class HardCasesTests(HardCasesHost host) : IClassFixture<HardCasesHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(HardCases.Domain)]
    [InlineData(HardCases.YenDomain)]
    public async Task Every_day_of_the_hard_cases_is_as_worked_out_by_hand(string domain)
    {
        var (tenant, job) = await host.Import.ImportAsync(domain);
        var expected = (domain == HardCases.Domain ? HardCases.InEuros : HardCases.InYen).SelectMany(c => c.Days).GroupBy(d => d.Day).ToDictionary(g => g.Key, g => g.ToArray());
        var (first, last) = (expected.Keys.Min().AddDays(-3), expected.Keys.Max().AddDays(3));

        var days = (await host.Import.AskAsync(tenant, $"orders/by-date?from={ImportHost.Day(first)}&to={ImportHost.Day(last)}")).EnumerateArray().ToArray();

        Assert.Equal((job.ObjectsExpected, job.ObjectsExpected, 0L, 0L), (job.ObjectsRead, job.Stored, job.Unchanged, job.Rejected));
        Assert.Equal(last.DayNumber - first.DayNumber + 1, days.Length);
        Assert.Empty(days.Select((day, i) => Difference(first.AddDays(i), day, expected.GetValueOrDefault(first.AddDays(i), []))).OfType<string>());
        Assert.Empty(await host.Import.RollupDifferencesAsync(tenant));
    }

    [Theory]
    [InlineData(HardCases.Domain)]
    [InlineData(HardCases.YenDomain)]
    public async Task Duties_and_fees_and_the_sums_of_the_whole_time_are_too(string domain)
    {
        var (tenant, _) = await host.Import.ImportAsync(domain);
        var expected = (domain == HardCases.Domain ? HardCases.InEuros : HardCases.InYen).SelectMany(c => c.Days).ToArray();

        var overview = await host.Import.AskAsync(tenant, $"overview?from={ImportHost.Day(expected.Min(d => d.Day))}&to={ImportHost.Day(expected.Max(d => d.Day))}");
        var stored = await host.Import.InTenantAsync(tenant, db => db.SalesDays.Where(d => d.Duties != 0 || d.Fees != 0).OrderBy(d => d.Day).Select(d => new { d.Day, d.Duties, d.Fees }).ToListAsync(Ct));

        Assert.Equal(expected.Where(d => d.Duties != 0 || d.Fees != 0).OrderBy(d => d.Day).Select(d => new { d.Day, d.Duties, d.Fees }), stored);
        Assert.Equal(expected.Sum(d => d.Orders), Long(overview, "totalOrders"));
        Assert.Equal(expected.Sum(d => d.Duties), Long(overview, "dutiesCents"));
        Assert.Equal(expected.Sum(d => d.Fees), Long(overview, "feesCents"));
        Assert.Equal(expected.Sum(d => d.Net + d.Shipping + d.Taxes + d.Duties + d.Fees), Long(overview, "totalRevenueCents"));
        Assert.Equal(1, Long(overview, "totalCustomers"));
        Assert.Equal(1, Long(overview, "returningCustomers"));
    }

    [Fact]
    public async Task Yen_have_no_minor_units()
    {
        var (tenant, _) = await host.Import.ImportAsync(HardCases.YenDomain);

        var overview = await host.Import.AskAsync(tenant, "overview?from=2025-06-02&to=2025-06-02");
        var line = await host.Import.InTenantAsync(tenant, db => db.OrderLineItems.Where(l => l.Quantity == 2).OrderBy(l => l.OrderId).Select(l => l.OriginalTotal).FirstAsync(Ct));

        // Two teapots of ¥1,100 with a tenth of tax in the price.
        Assert.Equal("JPY", overview.GetProperty("currency").GetString());
        Assert.Equal((2000L, 200L, 2200L), (Long(overview, "grossSalesCents"), Long(overview, "taxesCents"), Long(overview, "totalRevenueCents")));
        Assert.Equal(2200, line);
    }

    [Fact]
    public async Task Without_leave_to_read_all_orders_sixty_days_arrive_and_the_store_says_so()
    {
        var store = host.Import.Shopify.Store(HarbourLane.Domain);
        var (tenant, job) = await host.Import.ImportAsync(HarbourLane.Domain);
        var all = (await store.DataAsync()).Orders.All().ToArray();
        var since = job.StartedAt!.Value.AddDays(-60);

        var (limited, stored) = await host.Import.InTenantAsync(tenant, async db => (
            (await db.Tenants.SingleAsync(Ct)).HistoryLimited, await db.Orders.Select(o => o.ShopifyId).ToListAsync(Ct)));

        Assert.True(limited);
        // An order that turns sixty days old while it is read may be on either side.
        Assert.Empty(all.Where(o => o.CreatedAt > since.AddMinutes(10)).Select(o => o.Id).Except(stored));
        Assert.Empty(stored.Except(all.Where(o => o.CreatedAt > since.AddMinutes(-10)).Select(o => o.Id)));
        Assert.InRange(stored.Count, 1, all.Length - 50);
        Assert.Equal(job.ObjectsExpected, job.ObjectsRead);
    }

    private static string? Difference(DateOnly day, JsonElement answered, ExpectedDay[] cases)
    {
        var expected = new
        {
            Date = ImportHost.Day(day), Orders = cases.Sum(c => (long)c.Orders),
            Gross = cases.Sum(c => c.Gross), Discounts = cases.Sum(c => c.Discounts), Returns = cases.Sum(c => c.Returns), Net = cases.Sum(c => c.Net),
            Shipping = cases.Sum(c => c.Shipping), Taxes = cases.Sum(c => c.Taxes), Total = cases.Sum(c => c.Net + c.Shipping + c.Taxes + c.Duties + c.Fees),
        };
        var actual = new
        {
            Date = answered.GetProperty("date").GetString()!, Orders = Long(answered, "orders"),
            Gross = Long(answered, "grossSalesCents"), Discounts = Long(answered, "discountsCents"), Returns = Long(answered, "returnsCents"), Net = Long(answered, "netSalesCents"),
            Shipping = Long(answered, "shippingCents"), Taxes = Long(answered, "taxesCents"), Total = Long(answered, "revenueCents"),
        };
        return expected.Equals(actual) ? null : $"expected {expected}, was {actual}";
    }

    private static long Long(JsonElement answer, string name) => answer.GetProperty(name).GetInt64();
}

/// <summary>The three small stores of the demo; each is imported once, by whichever test asks first.</summary>
public sealed class HardCasesHost(PostgresServer postgres) : IAsyncLifetime
{
    public ImportHost Import { get; private set; } = null!;

    public async ValueTask InitializeAsync() =>
        Import = await ImportHost.StartAsync(postgres, [HardCases.CreateEuros(), HardCases.CreateYen(), HarbourLane.Create(4, TimeProvider.System)]);

    public ValueTask DisposeAsync() => Import.DisposeAsync();
}
