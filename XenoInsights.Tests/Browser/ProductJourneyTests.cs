using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using XenoInsights.Formatting;
using XenoInsights.Tests.Support;
using XenoInsights.Ui;
using static Microsoft.Playwright.Assertions;

namespace XenoInsights.Tests.InBrowser;

/// <summary>What people do with products and checkouts.</summary>
[Collection<BrowserCollection>]
public sealed class ProductJourneyTests(Product product, BrowserFixture browser) : BrowserTest(browser)
{
    private static readonly CultureInfo _culture = CultureInfo.GetCultureInfo("en-US");

    [Fact]
    public async Task From_a_top_product_to_its_page_its_orders_and_one_that_goes_with_it()
    {
        var page = await OpenAsync("overview?preset=91d");
        var top = page.GetByRole(AriaRole.Region, new() { Name = "Top products" }).Locator("tbody a").First;
        var title = await top.InnerTextAsync();

        await top.ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = title, Exact = true })).ToBeVisibleAsync();
        await page.InteractiveAsync();
        await Expect(page.Chart("Net sales by day")).ToBeVisibleAsync();
        var net = await page.Locator("aside .sum a[title]").First.InnerTextAsync();
        await page.Locator("aside .sum a[title]").First.ClickAsync();
        await Expect(page.GetByText("Of each order only the lines of this product count here")).ToBeVisibleAsync();
        // Taxes of its lines are in the orders' total; the link asks for net sales.
        await Expect(page.GetByRole(AriaRole.Region, new() { Name = "How the list adds up" }).Locator("b").First)
            .ToHaveTextAsync(net);

        await page.GoBackAsync();
        var also = page.GetByRole(AriaRole.Region, new() { NameRegex = new Regex("^Customers who also bought") })
            .Locator("tbody a")
            .First;
        var other = await also.InnerTextAsync();
        await also.ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = other, Exact = true })).ToBeVisibleAsync();
        await Expect(page).ToHaveURLAsync(new Regex(@"\?preset=91d$"));
    }

    [Fact]
    public async Task Products_add_up_and_are_sorted_searched_and_compared_by_the_address()
    {
        var page = await OpenAsync("products?preset=91d");
        var bar = page.GetByRole(AriaRole.Region, new() { Name = "How the list adds up" });
        await Expect(bar.GetByRole(AriaRole.Img, new() { Name = "equals" })).ToBeVisibleAsync();
        Assert.Equal(
            await bar.Locator("div > b").First.InnerTextAsync(),
            await bar.Locator("div > b").Nth(1).InnerTextAsync()
        );

        await page.GetByRole(AriaRole.Button, new() { Name = "Product", Exact = true }).ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex("sort=title"));
        await Expect(page.Locator("th[aria-sort=ascending]")).ToHaveTextAsync(new Regex("^Product"));
        var first = await page.Locator("tbody tr a").First.InnerTextAsync();
        await page.GetByRole(AriaRole.Button, new() { NameRegex = new Regex("^Product") })
            .And(page.Locator(".sorter"))
            .ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex("order=desc"));
        await Expect(page.Locator("tbody tr a").Last).ToHaveTextAsync(first);

        await page.Keyboard.PressAsync("/");
        await page.Keyboard.TypeAsync(first);
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = $"Remove Matches “{first}”" })).ToBeVisibleAsync();
        await Expect(page.Locator("tbody tr a").First).ToContainTextAsync(first);
        await Expect(bar.GetByRole(AriaRole.Img)).ToHaveCountAsync(0);

        await page.GotoAsync(
            page.Url.Replace(Uri.EscapeDataString(first), "nothing-like-it", StringComparison.Ordinal)
        );
        await page.InteractiveAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Nothing matches" })).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Remove “Matches “nothing-like-it””" }).ClickAsync();
        await Expect(page.Locator("tbody tr").First).ToBeVisibleAsync();
    }

    [Fact]
    public async Task A_figure_of_checkouts_is_chosen_and_lost_carts_lead_to_those_still_open()
    {
        var page = await OpenAsync("checkouts?preset=12m");
        await Expect(page.Chart("Abandoned by week")).ToBeVisibleAsync();
        var answer = await product.Import.AskAsync(
            product.Tenant,
            $"checkouts?from={Sync.ImportHost.Day(Product.Today.AddYears(-1).AddDays(1))}"
                + $"&to={Sync.ImportHost.Day(Product.Today)}"
        );
        await Expect(page.Tile("Abandoned").Locator(".value"))
            .ToHaveTextAsync(Numbers.Count(answer.GetProperty("abandoned").GetInt64(), _culture));

        await page.Tile("Recovery rate").ClickAsync();
        await Expect(page.Chart("Recovery rate by week")).ToBeVisibleAsync();
        await Expect(page).ToHaveURLAsync(new Regex("metric=recovery-rate"));
        await page.Keyboard.PressAsync("ArrowLeft");
        await Expect(page.Locator("#kpi-recovered-checkouts")).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Chart("Recovered by week")).ToBeVisibleAsync();

        var row = page.GetByRole(AriaRole.Region, new() { Name = "What lies in the lost carts" })
            .Locator("tbody tr")
            .First;
        var (title, lost) = (
            await row.Locator("a").First.InnerTextAsync(),
            await row.Locator("a").Nth(1).InnerTextAsync()
        );
        await row.Locator("a").Nth(1).ClickAsync();
        var open = page.GetByRole(AriaRole.Region, new() { Name = "Open checkouts" });
        await Expect(open.GetByText($"With {title}")).ToBeVisibleAsync();
        await Expect(open.Locator("tbody tr")).ToHaveCountAsync(int.Parse(lost, _culture));
        await open.GetByRole(AriaRole.Button, new() { NameRegex = new Regex("^Remove With") }).ClickAsync();
        await Expect(open.Locator("tbody tr")).Not.ToHaveCountAsync(int.Parse(lost, _culture));
    }

    private async Task<IPage> OpenAsync(string path)
    {
        var opened = await OpenSignedInAsync(product.App, Product.Path(path));
        await opened.Page.InteractiveAsync();
        return opened.Page;
    }
}
