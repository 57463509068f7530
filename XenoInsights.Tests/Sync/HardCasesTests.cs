using System.Globalization;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Development.FakeShopify.Stores;
using XenoInsights.Ingestion;
using XenoInsights.Sync;
using XenoInsights.Tenants;
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
        var expected = (domain == HardCases.Domain ? HardCases.InEuros : HardCases.InYen)
            .SelectMany(c => c.Days)
            .GroupBy(d => d.Day)
            .ToDictionary(g => g.Key, g => g.ToArray());
        var (first, last) = (expected.Keys.Min().AddDays(-3), expected.Keys.Max().AddDays(3));

        var days = (
            await host.Import.AskAsync(tenant, $"orders/by-date?from={ImportHost.Day(first)}&to={ImportHost.Day(last)}")
        )
            .EnumerateArray()
            .ToArray();

        Assert.Equal(
            (job.ObjectsExpected, job.ObjectsExpected, 0L, 0L),
            (job.ObjectsRead, job.Stored, job.Unchanged, job.Rejected)
        );
        Assert.Equal(last.DayNumber - first.DayNumber + 1, days.Length);
        Assert.Empty(
            days.Select((day, i) => Difference(first.AddDays(i), day, expected.GetValueOrDefault(first.AddDays(i), [])))
                .OfType<string>()
        );
        Assert.Empty(await host.Import.RollupDifferencesAsync(tenant));
    }

    [Theory]
    [InlineData(HardCases.Domain)]
    [InlineData(HardCases.YenDomain)]
    public async Task Duties_and_fees_and_the_sums_of_the_whole_time_are_too(string domain)
    {
        var (tenant, _) = await host.Import.ImportAsync(domain);
        var expected = (domain == HardCases.Domain ? HardCases.InEuros : HardCases.InYen)
            .SelectMany(c => c.Days)
            .ToArray();

        var overview = await host.Import.AskAsync(
            tenant,
            $"overview?from={ImportHost.Day(expected.Min(d => d.Day))}&to={ImportHost.Day(expected.Max(d => d.Day))}"
        );
        var stored = await host.Import.InTenantAsync(
            tenant,
            db =>
                db.SalesDays.Where(d => d.Duties != 0 || d.Fees != 0)
                    .OrderBy(d => d.Day)
                    .Select(d => new
                    {
                        d.Day,
                        d.Duties,
                        d.Fees,
                    })
                    .ToListAsync(Ct)
        );

        Assert.Equal(
            expected
                .Where(d => d.Duties != 0 || d.Fees != 0)
                .OrderBy(d => d.Day)
                .Select(d => new
                {
                    d.Day,
                    d.Duties,
                    d.Fees,
                }),
            stored
        );
        Assert.Equal(expected.Sum(d => d.Orders), Long(overview, "totalOrders"));
        Assert.Equal(expected.Sum(d => d.Duties), Long(overview, "dutiesCents"));
        Assert.Equal(expected.Sum(d => d.Fees), Long(overview, "feesCents"));
        Assert.Equal(
            expected.Sum(d => d.Net + d.Shipping + d.Taxes + d.Duties + d.Fees),
            Long(overview, "totalRevenueCents")
        );
        Assert.Equal(1, Long(overview, "totalCustomers"));
        Assert.Equal(1, Long(overview, "returningCustomers"));
    }

    /// <summary>All orders are one person's, but for the guests'.</summary>
    [Theory]
    [InlineData(HardCases.Domain, "2025-06-01", "2025-06-30")]
    [InlineData(HardCases.Domain, "2025-07-01", "2025-07-31")]
    [InlineData(HardCases.Domain, "2025-06-10", "2025-06-10")]
    [InlineData(HardCases.Domain, "2024-12-01", "2024-12-31")]
    [InlineData(HardCases.Domain, "2024-12-15", "2025-12-31")]
    [InlineData(HardCases.YenDomain, "2025-06-01", "2025-06-30")]
    [InlineData(HardCases.YenDomain, "2024-12-01", "2025-12-31")]
    public async Task Every_page_says_of_a_range_what_its_days_worked_out_by_hand_come_to(
        string domain,
        string first,
        string last
    )
    {
        var (tenant, _) = await host.Import.ImportAsync(domain);
        var cases = domain == HardCases.Domain ? HardCases.InEuros : HardCases.InYen;
        var (from, to) = (
            DateOnly.ParseExact(first, "yyyy-MM-dd", CultureInfo.InvariantCulture),
            DateOnly.ParseExact(last, "yyyy-MM-dd", CultureInfo.InvariantCulture)
        );
        var firstEver = cases
            .Where(c => c.Order.CustomerId is not null)
            .SelectMany(c => c.Days)
            .Where(d => d.Orders > 0)
            .Min(d => d.Day);
        var (all, known) = (In(from, to, _ => true), In(from, to, c => c.Order.CustomerId is not null));
        Task<JsonElement> AskAsync(string question) =>
            host.Import.AskAsync(tenant, $"{question}from={first}&to={last}");

        Assert.Equal(
            (all.Sum(d => (long)d.Orders), all.Sum(Total)),
            Both(await AskAsync("orders/sums?"), "orders", "totalCents")
        );
        Assert.Equal(
            all.Sum(d => d.Net),
            Long((await AskAsync("products/sums?")).GetProperty("figures"), "netSalesCents")
        );
        var bought = known.Sum(d => (long)d.Orders);
        // Who placed no order in the range is not of it, whatever came back from them.
        Assert.Equal(
            (bought, bought > 0 ? known.Sum(Total) : 0),
            Both(await AskAsync("customers/sums?"), "orders", "totalCents")
        );
        Assert.Equal(
            from <= firstEver && firstEver <= to ? 1 : 0,
            Long(await AskAsync("customers/sums?who=new&"), "customers")
        );
        Assert.Equal(bought > 0 ? 1 : 0, Long(await AskAsync("customers/sums?who=returning&"), "customers"));

        var changed = await AskAsync("what-changed?");
        var before = changed.GetProperty("beforeRange");
        var was = In(Day(before, "from"), Day(before, "to"), _ => true);
        Assert.Equal((was.Sum(Total), all.Sum(Total)), Both(changed, "before", "now"));
        Assert.Equal(
            all.Sum(Total) - was.Sum(Total),
            changed.GetProperty("contributions").EnumerateArray().Sum(p => Long(p, "amount"))
        );
        var byOrders = (await AskAsync("what-changed?metric=orders&"))
            .GetProperty("contributions")
            .EnumerateArray()
            .ToDictionary(p => p.GetProperty("key").GetString()!, p => Long(p, "now"));
        Assert.Equal(
            (firstEver >= from ? bought : 0, firstEver >= from ? 0 : bought, all.Sum(d => (long)d.Orders) - bought),
            (byOrders["new"], byOrders["earlier"], byOrders["guests"])
        );

        var cohort = (await host.Import.AskAsync(tenant, "cohorts?period=month"))
            .EnumerateArray()
            .Single(c => Long(c, "customers") > 0);
        Assert.Equal(new DateOnly(firstEver.Year, firstEver.Month, 1), Day(cohort, "first"));
        foreach (var cell in cohort.GetProperty("cells").EnumerateArray())
        {
            var month = In(Day(cell, "from"), Day(cell, "to"), c => c.Order.CustomerId is not null);
            Assert.Equal((month.Sum(d => (long)d.Orders), month.Sum(Total)), Both(cell, "orders", "totalCents"));
        }

        List<ExpectedDay> In(DateOnly begin, DateOnly end, Func<HardCase, bool> isAsked) =>
            [.. cases.Where(isAsked).SelectMany(c => c.Days).Where(d => d.Day >= begin && d.Day <= end)];
    }

    private static long Total(ExpectedDay day) => day.Net + day.Shipping + day.Taxes + day.Duties + day.Fees;

    private static (long, long) Both(JsonElement answer, string one, string other) =>
        (Long(answer, one), Long(answer, other));

    private static DateOnly Day(JsonElement of, string name) =>
        DateOnly.ParseExact(of.GetProperty(name).GetString()!, "yyyy-MM-dd", CultureInfo.InvariantCulture);

    [Fact]
    public async Task Yen_have_no_minor_units()
    {
        var (tenant, _) = await host.Import.ImportAsync(HardCases.YenDomain);

        var overview = await host.Import.AskAsync(tenant, "overview?from=2025-06-02&to=2025-06-02");
        var line = await host.Import.InTenantAsync(
            tenant,
            db =>
                db.OrderLineItems.Where(l => l.Quantity == 2)
                    .OrderBy(l => l.OrderId)
                    .Select(l => l.OriginalTotal)
                    .FirstAsync(Ct)
        );

        // Two teapots of ¥1,100 with a tenth of tax in the price.
        Assert.Equal("JPY", overview.GetProperty("currency").GetString());
        Assert.Equal(
            (2000L, 200L, 2200L),
            (Long(overview, "grossSalesCents"), Long(overview, "taxesCents"), Long(overview, "totalRevenueCents"))
        );
        Assert.Equal(2200, line);
    }

    [Fact]
    public async Task Without_leave_to_read_all_orders_sixty_days_arrive_and_the_store_says_so()
    {
        var store = host.Import.Shopify.Store(HarbourLane.Domain);
        var (tenant, job) = await host.Import.ImportAsync(HarbourLane.Domain);
        var all = (await store.DataAsync()).Orders.All().ToArray();
        var since = job.StartedAt!.Value.AddDays(-60);

        var (here, stored) = await host.Import.InTenantAsync(
            tenant,
            async db => (await db.Tenants.SingleAsync(Ct), await db.Orders.Select(o => o.ShopifyId).ToListAsync(Ct))
        );

        Assert.True(here.HistoryLimited);
        // The first day of which Shopify shows every order.
        var ended = new StoreCalendar(tenant, here.Currency, here.TimeZone).DayOf(job.FinishedAt!.Value);
        Assert.Contains(here.HistoryFrom, new DateOnly?[] { ended.AddDays(-59), ended.AddDays(-60) });
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
            Date = ImportHost.Day(day),
            Orders = cases.Sum(c => (long)c.Orders),
            Gross = cases.Sum(c => c.Gross),
            Discounts = cases.Sum(c => c.Discounts),
            Returns = cases.Sum(c => c.Returns),
            Net = cases.Sum(c => c.Net),
            Shipping = cases.Sum(c => c.Shipping),
            Taxes = cases.Sum(c => c.Taxes),
            Total = cases.Sum(c => c.Net + c.Shipping + c.Taxes + c.Duties + c.Fees),
        };
        var actual = new
        {
            Date = answered.GetProperty("date").GetString()!,
            Orders = Long(answered, "orders"),
            Gross = Long(answered, "grossSalesCents"),
            Discounts = Long(answered, "discountsCents"),
            Returns = Long(answered, "returnsCents"),
            Net = Long(answered, "netSalesCents"),
            Shipping = Long(answered, "shippingCents"),
            Taxes = Long(answered, "taxesCents"),
            Total = Long(answered, "revenueCents"),
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
        Import = await ImportHost.StartAsync(
            postgres,
            [HardCases.CreateEuros(), HardCases.CreateYen(), HarbourLane.Create(4, TimeProvider.System)]
        );

    public ValueTask DisposeAsync() => Import.DisposeAsync();
}
