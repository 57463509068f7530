using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using XenoInsights.Development.FakeShopify.Stores;
using XenoInsights.Formatting;
using XenoInsights.Insights;
using XenoInsights.Tests.Support;
using XenoInsights.Tests.Sync;
using XenoInsights.Ui;
using static Microsoft.Playwright.Assertions;

namespace XenoInsights.Tests.InBrowser;

/// <summary>What people come for, from the first visit to signing out.</summary>
[Collection<BrowserCollection>]
public sealed class JourneyTests(Product product, BrowserFixture browser) : BrowserTest(browser)
{
    private const int SoonMilliseconds = 5000,
        ImportMilliseconds = 60_000;

    private static readonly CultureInfo _culture = CultureInfo.GetCultureInfo("en-US");
    private static readonly Days _days = new(_culture);

    private static string Overview => Product.Path("overview");

    [Fact]
    public async Task A_newcomer_connects_a_store_and_watches_its_figures_arrive()
    {
        var opened = await OpenSignedInAsync(product.App, "/", Product.Newcomer);
        var page = opened.Page;
        await page.WaitForURLAsync("**/stores");
        await page.InteractiveAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Connect your Shopify store" }))
            .ToBeVisibleAsync();
        await Expect(page.GetByText("the last 60 days of orders")).ToBeVisibleAsync();

        await page.GetByLabel("Store address").FillAsync("not a store");
        await page.GetByRole(AriaRole.Button, new() { Name = "Continue to Shopify" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("is not a store’s address");

        await page.GetByLabel("Store address").FillAsync(HarbourLane.Domain);
        await page.GetByRole(AriaRole.Button, new() { Name = "Continue to Shopify" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Install XenoInsights on Harbour Lane" }))
            .ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Install", Exact = true }).ClickAsync();

        await page.WaitForURLAsync("**/stores/harbour-lane/overview");
        await page.InteractiveAsync();
        await Expect(page.Tile("Total sales")).ToBeVisibleAsync(new() { Timeout = ImportMilliseconds });
        await Expect(page.GetByText("Orders older than 60 days need one more permission"))
            .ToBeVisibleAsync(new() { Timeout = ImportMilliseconds });
        await Expect(page.Tile("Orders").Locator(".value")).Not.ToHaveTextAsync("0");

        await page.GetByRole(AriaRole.Link, new() { Name = "Sync", Exact = true }).ClickAsync();
        await Expect(
                page.GetByRole(AriaRole.Row).Filter(new() { HasText = "Full import" }).GetByText("All accounted for")
            )
            .ToBeVisibleAsync();
        Assert.Empty(opened.Problems);
    }

    [Fact]
    public async Task Figures_and_table_of_the_overview_are_those_of_the_api()
    {
        var page = await OpenOverviewAsync();
        var (from, to) = (Product.Today.AddDays(-27), Product.Today);
        var range = $"from={ImportHost.Day(from)}&to={ImportHost.Day(to)}";
        var answer = await product.Import.AskAsync(product.Tenant, $"overview?{range}");
        var series = (await product.Import.AskAsync(product.Tenant, $"orders/by-date?{range}"))
            .EnumerateArray()
            .ToArray();
        var money = new Money(answer.GetProperty("currency").GetString()!, _culture);

        await Expect(page.Tile("Total sales").Locator(".value"))
            .ToHaveTextAsync(money.Whole(Long(answer, "totalRevenueCents")));
        await Expect(page.Tile("Orders").Locator(".value"))
            .ToHaveTextAsync(Numbers.Count(Long(answer, "totalOrders"), _culture));
        await Expect(page.Tile("Average order value").Locator(".value"))
            .ToHaveTextAsync(money.Exact(Long(answer, "averageOrderValueCents")));
        await Expect(page.Tile("New customers").Locator(".value"))
            .ToHaveTextAsync(Numbers.Count(Long(answer, "newCustomers"), _culture));
        await Expect(LedgerLine(page, "Total sales")).ToHaveTextAsync(money.Exact(Long(answer, "totalRevenueCents")));
        await Expect(LedgerLine(page, "Net sales")).ToHaveTextAsync(money.Exact(Long(answer, "netSalesCents")));
        await page.GetByRole(AriaRole.Button, new() { Name = "Show as table" }).ClickAsync();

        var table = page.GetByRole(AriaRole.Region, new() { Name = "Total sales as a table" });
        await Expect(table.Locator("tbody tr")).ToHaveCountAsync(series.Length);
        Assert.Equal(
            series.Select(point =>
                (
                    _days.WithWeekday(
                        DateOnly.Parse(point.GetProperty("date").GetString()!, CultureInfo.InvariantCulture)
                    ),
                    money.Exact(Long(point, "revenueCents"))
                )
            ),
            (await table.Locator("td:nth-child(1)").AllInnerTextsAsync()).Zip(
                await table.Locator("td:nth-child(2)").AllInnerTextsAsync()
            )
        );
    }

    [Fact]
    public async Task A_key_figure_is_chosen_with_the_pointer_or_the_keyboard()
    {
        var page = await OpenOverviewAsync();
        await Expect(page.Tile("Total sales")).ToHaveAttributeAsync("aria-selected", "true");
        await Expect(page.Chart("Total sales by day")).ToBeVisibleAsync();

        await page.Tile("Orders").ClickAsync();
        await Expect(page.Tile("Orders")).ToHaveAttributeAsync("aria-selected", "true");
        await Expect(page.Chart("Orders by day")).ToBeVisibleAsync();
        await Expect(page).ToHaveURLAsync(new Regex(@"\?metric=orders$"));

        await page.Keyboard.PressAsync("ArrowRight");
        await Expect(page.Tile("Average order value")).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Tile("Average order value")).ToHaveAttributeAsync("aria-selected", "true");
        await Expect(page.Chart("Average order value by day")).ToBeVisibleAsync();
        await Expect(page).ToHaveURLAsync(new Regex(@"\?metric=average-order-value$"));

        await page.Keyboard.PressAsync("Home");
        await Expect(page.Tile("Total sales")).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("ArrowLeft");
        await Expect(page.Tile("Returns")).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Space");
        await Expect(page.Chart("Returns by day")).ToBeVisibleAsync();
        await Expect(page).ToHaveURLAsync(new Regex(@"\?metric=returns$"));
    }

    [Fact]
    public async Task Arrow_keys_read_the_points_of_the_chart()
    {
        var page = await OpenOverviewAsync("?metric=orders");
        var chart = page.Chart("Orders by day");
        await Expect(chart).ToHaveAttributeAsync("data-ready", "true");

        await chart.FocusAsync();
        await page.Keyboard.PressAsync("Home");
        await Expect(chart)
            .ToHaveAttributeAsync(
                "aria-valuetext",
                new Regex("^" + Regex.Escape(_days.WithWeekday(Product.Today.AddDays(-27))))
            );
        await page.Keyboard.PressAsync("ArrowRight");

        await Expect(chart)
            .ToHaveAttributeAsync(
                "aria-valuetext",
                new Regex("^" + Regex.Escape(_days.WithWeekday(Product.Today.AddDays(-26))))
            );
        await Expect(page).ToHaveURLAsync(new Regex(@"\?metric=orders$"));
    }

    [Fact]
    public async Task Another_period_changes_address_heading_and_figures()
    {
        var page = await OpenOverviewAsync();
        await page.ChooseAsync("Last 28 days", "Last 7 days");

        await Expect(page).ToHaveURLAsync(new Regex(@"\?preset=7d$"));
        await ExpectPeriodAsync(page, Product.Today.AddDays(-6), Product.Today);
    }

    [Fact]
    public async Task Arrows_step_a_period_back_and_forward_and_so_does_the_browser()
    {
        var page = await OpenOverviewAsync();
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Next period" })).ToBeDisabledAsync();

        await page.GetByRole(AriaRole.Button, new() { Name = "Previous period" }).ClickAsync();
        await Expect(page)
            .ToHaveURLAsync(
                new Regex(
                    $"from={ImportHost.Day(Product.Today.AddDays(-55))}"
                        + $"&to={ImportHost.Day(Product.Today.AddDays(-28))}$"
                )
            );
        await ExpectPeriodAsync(page, Product.Today.AddDays(-55), Product.Today.AddDays(-28));

        await page.GetByRole(AriaRole.Button, new() { Name = "Next period" }).ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex("/overview$"));
        await ExpectPeriodAsync(page, Product.Today.AddDays(-27), Product.Today);

        await page.GoBackAsync();
        await ExpectPeriodAsync(page, Product.Today.AddDays(-55), Product.Today.AddDays(-28));
    }

    [Fact]
    public async Task Weeks_without_a_comparison_are_the_same_after_the_address_is_opened_again()
    {
        var page = await OpenOverviewAsync();
        await Expect(page.Tile("Orders")).ToContainTextAsync("from");
        await page.GetByRole(AriaRole.Button, new() { Name = "Week", Exact = true }).ClickAsync();
        await Expect(page.Chart("Total sales by week")).ToBeVisibleAsync();
        await page.ChooseAsync("vs Previous 28 days", "No comparison");
        await Expect(page).ToHaveURLAsync(new Regex(@"\?g=week&compare=none$"));
        await Expect(page.Tile("Orders")).Not.ToContainTextAsync("from");
        await page.Tile("Orders").ClickAsync();
        await Expect(page.Chart("Orders by week")).ToBeVisibleAsync();
        var shown = await page.GetByRole(AriaRole.Tablist).InnerTextAsync();

        await page.ReloadAsync();
        await page.InteractiveAsync();

        await Expect(page.Chart("Orders by week")).ToBeVisibleAsync();
        await Expect(page.Tile("Orders")).ToHaveAttributeAsync("aria-selected", "true");
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Week", Exact = true }))
            .ToHaveAttributeAsync("aria-pressed", "true");
        Assert.Equal(shown, await page.GetByRole(AriaRole.Tablist).InnerTextAsync());
    }

    [Fact]
    public async Task An_open_overview_follows_new_orders_by_itself_and_leaves_the_focus_alone()
    {
        var page = await OpenOverviewAsync();
        var orders = await OrdersAsync();
        await Expect(page.Tile("Orders").Locator(".value")).ToHaveTextAsync(orders.ToString(_culture));
        await page.EvaluateAsync("window.stillTheSame = true");
        await page.GetByRole(AriaRole.Button, new() { Name = "Last 28 days", Exact = true }).ClickAsync();
        await page.Tile("New customers").FocusAsync();

        await product.PlaceOrderAsync(number: 9_000_001, amount: 12_345);

        await Expect(page.Tile("Orders").Locator(".value"))
            .ToHaveTextAsync((orders + 1).ToString(_culture), new() { Timeout = SoonMilliseconds });
        await Expect(page.Tile("New customers")).ToBeFocusedAsync();
        await Expect(page.Locator("#range-menu")).ToBeVisibleAsync();
        Assert.True(await page.EvaluateAsync<bool>("window.stillTheSame"));
    }

    [Fact]
    public async Task From_a_figure_to_its_orders_and_one_of_them_and_back()
    {
        var page = await OpenOverviewAsync(
            "?from=" + ImportHost.Day(Product.Today.AddDays(-40)) + "&to=" + ImportHost.Day(Product.Today.AddDays(-10))
        );
        var amount = await LedgerLine(page, "Net sales").InnerTextAsync();

        await LedgerLine(page, "Net sales").ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Orders behind net sales" })).ToBeVisibleAsync();
        var sums = page.GetByRole(AriaRole.Region, new() { Name = "How the list adds up" });
        await Expect(sums.Locator("b").First).ToHaveTextAsync(amount);
        await Expect(sums.Locator("b").Nth(1)).ToHaveTextAsync(amount);
        await Expect(sums.GetByRole(AriaRole.Img, new() { Name = "equals" }).First).ToBeVisibleAsync();

        await page.GetByRole(AriaRole.Button, new() { NameRegex = new Regex("^Orders") })
            .And(page.Locator(".facets button"))
            .ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex("show=placed"));
        var order = page.Locator("tbody tr").First.GetByRole(AriaRole.Link).First;
        var (name, adds) = (
            await order.InnerTextAsync(),
            await page.Locator("tbody tr").First.Locator("td").Last.InnerTextAsync()
        );
        await order.ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = name, Exact = true })).ToBeVisibleAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Ledger" })).ToBeVisibleAsync();
        Assert.NotEmpty(adds);

        await page.GoBackAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Orders behind net sales" })).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Searchbox).FillAsync(name);
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator("tbody tr")).Not.ToHaveCountAsync(0);
        await Expect(page.Locator("tbody tr").First).ToContainTextAsync(name);
        await page.GetByRole(AriaRole.Button, new() { NameRegex = new Regex("^Remove Matches") }).ClickAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "Overview", Exact = true }).First.ClickAsync();
        await Expect(LedgerLine(page, "Net sales")).ToHaveTextAsync(amount);
    }

    [Fact]
    public async Task What_changed_adds_up_and_its_rows_open_their_orders()
    {
        var page = await OpenOverviewAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "What changed?" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Img, new() { Name = "equals" })).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Product", Exact = true }).ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex(@"\?by=product$"));
        await Expect(page.Locator("tbody tr").First.GetByRole(AriaRole.Link))
            .ToHaveAttributeAsync("href", new Regex("product="));
        await Expect(page.GetByRole(AriaRole.Img, new() { Name = "equals" })).ToBeVisibleAsync();

        await page.Locator("tbody tr").First.GetByRole(AriaRole.Link).ClickAsync();
        await Expect(page.GetByText("Of each order only the lines of this product count here")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task Pages_are_reached_by_keys_and_keep_the_range()
    {
        var page = await OpenOverviewAsync();
        await page.ListeningAsync();
        await page.Keyboard.PressAsync("7");
        await Expect(page).ToHaveURLAsync(new Regex(@"\?preset=7d$"));
        await page.Keyboard.TypeAsync("gr");
        await Expect(page).ToHaveURLAsync(new Regex(@"/orders\?preset=7d$"));
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Orders", Exact = true })).ToBeVisibleAsync();
        await Expect(page.GetByRole(AriaRole.Searchbox)).ToBeVisibleAsync();
        await page.ListeningAsync();
        await page.Keyboard.PressAsync("/");
        await Expect(page.GetByRole(AriaRole.Searchbox)).ToBeFocusedAsync();
        await page.GetByRole(AriaRole.Searchbox).BlurAsync();
        await page.Keyboard.TypeAsync("gd");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Definitions", Exact = true })).ToBeVisibleAsync();
    }

    [Fact]
    public async Task A_point_of_the_chart_opens_the_orders_of_its_day()
    {
        var page = await OpenOverviewAsync("?metric=orders&preset=91d");
        var chart = page.Chart("Orders by day");
        await Expect(chart).ToHaveAttributeAsync("data-ready", "true");
        await chart.FocusAsync();
        await page.Keyboard.PressAsync("Home");
        await page.Keyboard.PressAsync("Enter");

        var day = ImportHost.Day(Product.Today.AddDays(-90));
        await Expect(page).ToHaveURLAsync(new Regex($"orders\\?metric=orders&from={day}&to={day}$"));
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Orders placed" })).ToBeVisibleAsync();
    }

    [Fact]
    public async Task What_arrives_by_itself_is_written_as_its_reader_writes()
    {
        var page = (await OpenSignedInAsync(product.App, Overview, locale: "de-DE")).Page;
        await page.InteractiveAsync();
        await Expect(page.Tile("Total sales").Locator(".value"))
            .ToHaveTextAsync(new Regex(@"^\d{1,3}(\.\d{3})*\sUS\$$"));
        var before = await page.Tile("Total sales").Locator(".value").InnerTextAsync();

        await product.PlaceOrderAsync(number: 9_000_002, amount: 54_321);

        await Expect(page.Tile("Total sales").Locator(".value"))
            .Not.ToHaveTextAsync(before, new() { Timeout = SoonMilliseconds });
        await Expect(page.Tile("Total sales").Locator(".value"))
            .ToHaveTextAsync(new Regex(@"^\d{1,3}(\.\d{3})*\sUS\$$"));
    }

    [Fact]
    public async Task A_cell_of_a_cohort_opens_its_customers_and_one_of_them()
    {
        var page = (await OpenSignedInAsync(product.App, Product.Path("cohorts"))).Page;
        await page.InteractiveAsync();
        var cell = page.Locator("tbody tr:not(.average) td > a[class^=h-]:not([title*=': 0 of'])").First;
        var customers = Regex.Match((await cell.GetAttributeAsync("title"))!, ": (\\d+) of").Groups[1].Value;

        await cell.ClickAsync();
        await Expect(page.Locator("tfoot th").First).ToHaveTextAsync($"All {customers}");
        await Expect(page.GetByRole(AriaRole.Button, new() { NameRegex = new Regex("^Remove First order") }))
            .ToBeVisibleAsync();
        var name = await page.Locator("tbody tr").First.GetByRole(AriaRole.Link).InnerTextAsync();
        await page.Locator("tbody tr").First.GetByRole(AriaRole.Link).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = name, Exact = true })).ToBeVisibleAsync();
        await page.Locator("section tbody tr").Last.GetByRole(AriaRole.Link).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Ledger" })).ToBeVisibleAsync();
    }

    [Fact]
    public async Task A_viewer_sees_a_store_but_cannot_start_its_import()
    {
        var viewer = (await OpenSignedInAsync(product.App, Product.Path("sync"), Product.Viewer)).Page;
        var owner = (await OpenSignedInAsync(product.App, Product.Path("sync"))).Page;
        await viewer.InteractiveAsync();
        await owner.InteractiveAsync();

        await Expect(viewer.GetByText("All accounted for").First).ToBeVisibleAsync();
        await Expect(viewer.GetByRole(AriaRole.Button, new() { Name = "Import everything again" })).ToHaveCountAsync(0);
        await Expect(owner.GetByRole(AriaRole.Button, new() { Name = "Import everything again" })).ToBeVisibleAsync();
        await viewer.GotoAsync(Overview);
        await Expect(viewer.Tile("Total sales")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task A_store_of_others_looks_like_one_that_does_not_exist()
    {
        var page = (await OpenSignedInAsync(product.App, "/stores", Product.Viewer)).Page;

        var foreign = await SeenAsync(Product.ForeignPath);
        var missing = await SeenAsync("/stores/no-such-store/overview");

        Assert.Equal(missing, foreign);
        Assert.Equal(404, foreign.Status);

        async Task<(int Status, string Text)> SeenAsync(string path)
        {
            var response = await page.GotoAsync(path);
            await page.InteractiveAsync();
            return (response!.Status, await page.GetByRole(AriaRole.Main).InnerTextAsync());
        }
    }

    [Fact]
    public async Task Signing_out_ends_the_session()
    {
        var page = (await OpenSignedInAsync(product.App, "/stores", Product.Viewer)).Page;
        await page.InteractiveAsync();

        await page.GetByRole(AriaRole.Button, new() { Name = "Signed in as Demo viewer" }).ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign out" }).ClickAsync();
        await page.WaitForURLAsync("**/signed-out");
        await page.GotoAsync("/stores");

        Assert.Equal("/dev-idp/authorize", new Uri(page.Url).AbsolutePath);
    }

    [Fact]
    public async Task A_chosen_theme_is_there_from_the_first_paint()
    {
        var page = (await OpenSignedInAsync(product.App, "/stores")).Page;
        await page.InteractiveAsync();
        var html = page.Locator("html");
        await Expect(html).ToHaveAttributeAsync("data-theme", "light");
        var themes = page.GetByRole(AriaRole.Button, new() { NameRegex = new Regex("^Theme: ") });
        await themes.ClickAsync();
        await themes.ClickAsync();
        await Expect(html).ToHaveAttributeAsync("data-theme", "dark");
        await Expect(themes).ToHaveAccessibleNameAsync("Theme: dark");
        // What the document said when its body came, and everything it says later.
        await page.AddInitScriptAsync(
            """
            window.themes = [];
            new MutationObserver(() => {
              const theme = document.documentElement.dataset.theme ?? 'none';
              if (document.body && window.themes.at(-1) !== theme) window.themes.push(theme);
            }).observe(document, { subtree: true, childList: true, attributes: true });
            """
        );

        await page.ReloadAsync();
        await page.InteractiveAsync();

        await Expect(themes).ToHaveAccessibleNameAsync("Theme: dark");
        Assert.Equal(["dark"], await page.EvaluateAsync<string[]>("window.themes"));
    }

    private async Task<IPage> OpenOverviewAsync(string query = "")
    {
        var page = (await OpenSignedInAsync(product.App, Overview + query)).Page;
        await page.InteractiveAsync();
        return page;
    }

    private async Task ExpectPeriodAsync(IPage page, DateOnly from, DateOnly to)
    {
        var orders = await OrdersAsync(from, to);
        await Expect(page.GetByText($"{_days.FullWithWeekday(from)} – {_days.FullWithWeekday(to)}")).ToBeVisibleAsync();
        await Expect(page.Tile("Orders").Locator(".value")).ToHaveTextAsync(orders.ToString(_culture));
        await Expect(
                page.GetByRole(AriaRole.Slider, new() { NameRegex = new Regex(Regex.Escape(_days.Span(from, to))) })
            )
            .ToBeVisibleAsync();
    }

    private Task<long> OrdersAsync() => OrdersAsync(Product.Today.AddDays(-27), Product.Today);

    private async Task<long> OrdersAsync(DateOnly from, DateOnly to) =>
        Long(
            await product.Import.AskAsync(
                product.Tenant,
                $"overview?from={ImportHost.Day(from)}&to={ImportHost.Day(to)}"
            ),
            "totalOrders"
        );

    private static ILocator LedgerLine(IPage page, string name) =>
        page.GetByRole(AriaRole.Complementary)
            .GetByRole(AriaRole.Row)
            .Filter(new() { Has = page.GetByRole(AriaRole.Rowheader, new() { Name = name, Exact = true }) })
            .GetByRole(AriaRole.Cell)
            .First;

    private static long Long(JsonElement answer, string name) => answer.GetProperty(name).GetInt64();
}
