using System.Globalization;
using Bunit;
using Microsoft.AspNetCore.Components;
using XenoInsights.Data;
using XenoInsights.Formatting;
using XenoInsights.Insights;
using XenoInsights.Insights.Overview;
using XenoInsights.Tenants;

namespace XenoInsights.Tests.Insights;

public sealed class OverviewPartsTests : BunitContext
{
    private static readonly DateOnly _day = new(2026, 11, 20);

    public OverviewPartsTests()
    {
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo("en-GB");
        RenderTree.Add<CascadingValue<StoreAccess>>(p =>
            p.Add(
                c => c.Value,
                new StoreAccess
                {
                    TenantId = Guid.NewGuid(),
                    ShopDomain = "shop.myshopify.com",
                    Name = "Shop",
                    Currency = "GBP",
                    TimeZone = "Europe/London",
                    Status = TenantStatus.Connected,
                    ConnectedAt = default,
                    HistoryLimited = false,
                    Role = MemberRole.Owner,
                }
            )
        );
    }

    [Fact]
    public void The_ledger_adds_up_and_names_duties_and_fees_only_where_there_are_any()
    {
        var ledger = Render<Ledger>(p =>
            p.Add(l => l.OrdersHref, "orders?metric={0}")
                .Add(l => l.Now, Answer(gross: 10000))
                .Add(l => l.Before, Answer(gross: 8000))
                .Add(l => l.Money, Pounds)
        );
        Assert.Equal(
            ["Gross sales", "Discounts", "Returns", "Net sales", "Shipping", "Taxes", "Total sales"],
            ledger.FindAll("tbody th .term").Select(h => h.TextContent)
        );
        Assert.Equal(
            ["£100.00", "−£1.00", "−£2.00", "£97.00", "£3.00", "£4.00", "£104.00"],
            ledger.FindAll("tbody td:nth-child(2)").Select(c => c.TextContent)
        );
        Assert.Equal("orders?metric=returns", ledger.FindAll("tbody td a")[2].GetAttribute("href"));
        Assert.Equal("+25.0%", ledger.Find("tbody tr td:last-child").TextContent);

        ledger.Render(p =>
            p.Add(l => l.OrdersHref, "orders?metric={0}").Add(l => l.Now, Answer(gross: 10000, duties: 50))
        );
        Assert.Contains("Duties", ledger.Markup, StringComparison.Ordinal);
    }

    [Fact]
    public void The_total_is_ruled_off_only_when_no_day_is_running()
    {
        var ledger = Render<Ledger>(p =>
            p.Add(l => l.OrdersHref, "orders?metric={0}").Add(l => l.Now, Answer()).Add(l => l.Money, Pounds)
        );
        Assert.Single(ledger.FindAll(".double"));
        ledger.Render(p => p.Add(l => l.IsRunning, true));
        Assert.Empty(ledger.FindAll(".double"));
        Assert.Single(ledger.FindAll(".pending"));
    }

    [Fact]
    public void Choosing_a_tile_chooses_what_the_chart_draws()
    {
        Metric? chosen = null;
        var figures = new KeyMetrics(Answer(), Answer(gross: 8000), [Point, Point], [Point, Point]);
        var strip = Render<KpiStrip>(p =>
            p.Add(s => s.Figures, figures)
                .Add(s => s.Format, new MetricFormatter(Pounds, CultureInfo.CurrentCulture))
                .Add(s => s.Selected, Metric.All[0])
                .Add(s => s.SelectedChanged, m => chosen = m)
        );
        Assert.Equal(6, strip.FindAll("[role=tab]").Count);
        Assert.Equal("kpi-total-sales", strip.Find("[aria-selected=true]").Id);
        strip.Find("#kpi-returns").Click();
        Assert.Equal("returns", chosen?.Key);
    }

    [Fact]
    public void A_rate_of_nobody_is_unknown_rather_than_zero() =>
        Assert.Null(Metric.Find("returning-rate").Of(Answer() with { TotalCustomers = 0 }));

    private static Money Pounds => new("GBP", CultureInfo.GetCultureInfo("en-GB"));

    private static SeriesPoint Point => new(_day, 1, 10400, 10000, 100, 200, 9700, 300, 400, 9900, 1);

    private static OverviewAnswer Answer(long gross = 10000, long duties = 0) =>
        new(
            1,
            gross - 300 + 700 + duties,
            1,
            gross - 100,
            "GBP",
            "Europe/London",
            _day,
            _day,
            gross,
            100,
            200,
            gross - 300,
            300,
            400,
            duties,
            0,
            1,
            0
        );
}
