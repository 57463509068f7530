using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.FakeShopify.Stores;

namespace XenoInsights.Tests.FakeShopify;

public sealed class StoresTests
{
    public static TheoryData<string> Cases => [.. HardCases.InEuros.Concat(HardCases.InYen).Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_ledger_of_a_hard_case_adds_up_to_the_days_worked_out_by_hand(string name)
    {
        var euro = HardCases.InEuros.Any(c => c.Name == name);
        var hard = HardCases.InEuros.Concat(HardCases.InYen).Single(c => c.Name == name);
        var zone = TimeZoneInfo.FindSystemTimeZoneById(euro ? "America/New_York" : "Asia/Tokyo");

        Assert.Equal(hard.Days.OrderBy(d => d.Day), DaysOf(hard.Order, zone).OrderBy(d => d.Day));
    }

    [Fact]
    public void The_retail_year_becomes_the_store_its_rules_describe()
    {
        var clock = new StoppedClock(new DateTimeOffset(2026, 11, 23, 2, 0, 0, TimeSpan.Zero));
        var retail = OnlineRetail.Load(RetailShop, clock);

        Assert.Equal(541_909, retail.Counts.FileRows);
        Assert.Equal(19_959, retail.Counts.Orders);
        Assert.Equal(528_126, retail.Counts.LineItems);
        Assert.Equal(1_973, retail.Counts.ShippingLines);
        Assert.Equal(1_036_422_083, retail.Counts.GrossPence);
        Assert.Equal(9_288, retail.Counts.CancellationLines);
        Assert.Equal(3_864, retail.Counts.Refunds);
        Assert.Equal(47_019_771, retail.Counts.RefundedPence);
    }

    [Fact]
    public void The_retail_year_ends_within_a_week_and_keeps_its_numbers_and_wall_clock()
    {
        var summer = OnlineRetail
            .Load(RetailShop, new StoppedClock(new DateTimeOffset(2026, 7, 1, 12, 0, 0, TimeSpan.Zero)))
            .Data();
        var winter = OnlineRetail
            .Load(RetailShop, new StoppedClock(new DateTimeOffset(2026, 12, 1, 12, 0, 0, TimeSpan.Zero)))
            .Data();
        var (a, b) = (summer.Orders.All().ToArray(), winter.Orders.All().ToArray());

        Assert.InRange(
            new DateTimeOffset(2026, 7, 1, 12, 0, 0, TimeSpan.Zero) - a.Max(o => o.UpdatedAt),
            TimeSpan.Zero,
            TimeSpan.FromDays(7)
        );
        Assert.InRange(
            new DateTimeOffset(2026, 12, 1, 12, 0, 0, TimeSpan.Zero) - b.Max(o => o.UpdatedAt),
            TimeSpan.Zero,
            TimeSpan.FromDays(7)
        );
        Assert.Equal(a.Select(o => o.Id), b.Select(o => o.Id));
        Assert.Equal(
            a.Select(o => TimeZoneInfo.ConvertTime(o.CreatedAt, RetailShop.Zone).TimeOfDay),
            b.Select(o => TimeZoneInfo.ConvertTime(o.CreatedAt, RetailShop.Zone).TimeOfDay)
        );
        Assert.Equal(
            a.Select(o => TimeZoneInfo.ConvertTime(o.CreatedAt, RetailShop.Zone).DayOfWeek),
            b.Select(o => TimeZoneInfo.ConvertTime(o.CreatedAt, RetailShop.Zone).DayOfWeek)
        );
    }

    [Fact]
    public void No_more_is_ever_given_back_than_was_bought()
    {
        var orders = OnlineRetail.Load(RetailShop, TimeProvider.System).Data().Orders.All();
        Assert.All(
            orders,
            order =>
            {
                Assert.True(order.Lines.All(l => l.CurrentQuantity >= 0));
                Assert.True(order.CurrentTotal.Minor >= 0);
                Assert.True(order.Refunds.All(r => r.CreatedAt >= order.CreatedAt));
            }
        );
    }

    [Fact]
    public async Task A_generated_store_is_the_same_every_time_and_finds_what_it_lists()
    {
        var options = new GeneratedStoreOptions { Orders = 300, Seed = 7 };
        var first = await GeneratedStore.Create(options, TimeProvider.System).DataAsync();
        var second = await GeneratedStore.Create(options, TimeProvider.System).DataAsync();

        Assert.Equal(
            first.Orders.All().Select(o => (o.Id, o.CreatedAt, o.Total.Minor)),
            second.Orders.All().Select(o => (o.Id, o.CreatedAt, o.Total.Minor))
        );
        Assert.All(first.Orders.All(), order => Assert.Equal(order.Total, first.Orders.Find(order.Id)!.Total));
        Assert.Equal(
            first.Orders.All().Count(o => o.CustomerId is not null),
            first.Customers.All().Sum(c => c.NumberOfOrders)
        );
    }

    private static DemoShop RetailShop { get; } = OnlineRetail.Create(1, TimeProvider.System).Shop;

    private static IEnumerable<ExpectedDay> DaysOf(DemoOrder order, TimeZoneInfo zone)
    {
        DateOnly DayOf(DateTimeOffset at) => DateOnly.FromDateTime(TimeZoneInfo.ConvertTime(at, zone).DateTime);
        if (order.Test)
        {
            return [];
        }
        return order
            .Agreements.GroupBy(a => DayOf(a.HappenedAt))
            .Select(day =>
            {
                var sales = day.SelectMany(a => a.Sales).ToArray();
                var goods = sales.Where(s => s.Line == SaleLine.Product).ToArray();
                var sold = goods.Where(s => s.Action != SaleAction.Return).ToArray();
                long Total(SaleLine line) => sales.Where(s => s.Line == line).Sum(s => s.Total.Minor);
                return new ExpectedDay(day.Key)
                {
                    Orders = day.Count(a => a.Kind == AgreementKind.Order),
                    Gross = sold.Sum(s => s.Total.Minor - s.Tax.Minor + s.DiscountBeforeTaxes.Minor),
                    Discounts = sold.Sum(s => s.DiscountBeforeTaxes.Minor),
                    Returns =
                        -goods.Where(s => s.Action == SaleAction.Return).Sum(s => s.Total.Minor - s.Tax.Minor)
                        - Total(SaleLine.Adjustment),
                    Shipping = sales.Where(s => s.Line == SaleLine.Shipping).Sum(s => s.Total.Minor - s.Tax.Minor),
                    Taxes = sales.Sum(s => s.Tax.Minor),
                    Tips = Total(SaleLine.Tip),
                    Duties = Total(SaleLine.Duty),
                    Fees = Total(SaleLine.AdditionalFee),
                    GiftCards = Total(SaleLine.GiftCard),
                };
            });
    }
}
