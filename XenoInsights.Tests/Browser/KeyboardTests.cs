using System.Text.RegularExpressions;
using Microsoft.Playwright;
using XenoInsights.Tests.Support;
using static Microsoft.Playwright.Assertions;

namespace XenoInsights.Tests.InBrowser;

/// <summary>
/// A morning without a pointer: Tab reaches what is needed, one sees where one is, Enter and Escape do what they
/// should.
/// </summary>
[Collection<BrowserCollection>]
public sealed class KeyboardTests(Product product, BrowserFixture browser) : BrowserTest(browser)
{
    [Fact]
    public async Task Compare_drill_down_and_come_back()
    {
        var page = await OpenAsync("overview?preset=91d");
        await TabToAsync(page, page.Locator("[popovertarget=comparison-menu]").First);
        await page.Keyboard.PressAsync("Enter");
        await TabToAsync(page, page.Locator("#comparison-menu .menu-item", new() { HasText = "No comparison" }));
        await page.Keyboard.PressAsync("Enter");
        await Expect(page).ToHaveURLAsync(new Regex("compare=none"));
        await Expect(page.Locator("#comparison-menu")).ToBeHiddenAsync();

        await TabToAsync(page, page.Locator("aside .sum a[title]").First);
        await page.Keyboard.PressAsync("Enter");
        await Expect(page).ToHaveURLAsync(new Regex(@"/orders\?"));
        await TabToAsync(page, page.Locator("tbody a").First);
        var order = await page.Locator("tbody a").First.InnerTextAsync();
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = order, Exact = true })).ToBeVisibleAsync();
        await TabToAsync(page, page.Locator("a.back"));
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Heading, new() { NameRegex = new Regex("^Orders") })).ToBeVisibleAsync();
    }

    [Fact]
    public async Task What_changed_and_its_orders()
    {
        var page = await OpenAsync("overview?preset=91d&compare=none");
        await page.Keyboard.PressAsync("x");
        await Expect(page).Not.ToHaveURLAsync(new Regex("compare=none"));
        await page.Keyboard.TypeAsync("gw");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "What changed", Exact = true }))
            .ToBeVisibleAsync();
        await TabToAsync(page, page.Locator("tbody a").First);
        await page.Keyboard.PressAsync("Enter");
        await Expect(page).ToHaveURLAsync(new Regex(@"/orders\?.*show=from-new"));
    }

    [Fact]
    public async Task Export_and_a_cohort_down_to_one_customer()
    {
        var page = await OpenAsync("products?preset=91d");
        var file = await page.RunAndWaitForDownloadAsync(() => page.Keyboard.PressAsync("Shift+E"));
        Assert.EndsWith(".csv", file.SuggestedFilename, StringComparison.Ordinal);

        await page.Keyboard.TypeAsync("gh");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Cohorts", Exact = true })).ToBeVisibleAsync();
        var cell = page.Locator("tbody tr:not(.average) td > a[class^=h-]:not([title*=': 0 of'])").First;
        await TabToAsync(page, cell);
        await page.Keyboard.PressAsync("Enter");
        await Expect(page).ToHaveURLAsync(new Regex(@"/customers\?"));
        await TabToAsync(page, page.Locator("tbody a").First);
        var name = await page.Locator("tbody a").First.InnerTextAsync();
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = name, Exact = true })).ToBeVisibleAsync();
    }

    [Fact]
    public async Task A_definition_the_sheet_of_keys_and_days_to_check()
    {
        var page = await OpenAsync("overview?preset=91d");
        await page.Keyboard.PressAsync("?");
        await Expect(page.Locator("#shortcuts")).ToBeVisibleAsync();
        await page.Keyboard.PressAsync("Escape");
        await Expect(page.Locator("#shortcuts")).ToBeHiddenAsync();

        var term = page.Locator("aside button.term").First;
        await TabToAsync(page, term);
        await page.Keyboard.PressAsync("Enter");
        var definition = page.Locator($"[id='{await term.GetAttributeAsync("popovertarget")}']");
        await Expect(definition).ToBeVisibleAsync();
        await page.Keyboard.PressAsync("Escape");
        await Expect(definition).ToBeHiddenAsync();
        await Expect(term).ToBeFocusedAsync();

        await page.Keyboard.TypeAsync("gs");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Sync", Exact = true })).ToBeVisibleAsync();
        await TabToAsync(page, page.GetByRole(AriaRole.Button, new() { Name = "Check these days" }));
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByText("Check of closed days is queued.")).ToBeVisibleAsync();
        await Expect(page.GetByText("28 days, all equal")).ToBeVisibleAsync(new() { Timeout = 30_000 });
    }

    private async Task<IPage> OpenAsync(string path)
    {
        var page = (await OpenSignedInAsync(product.App, Product.Path(path))).Page;
        await page.InteractiveAsync();
        await page.ListeningAsync();
        return page;
    }

    /// <summary>As far as it takes, and there it can be seen.</summary>
    private static async Task TabToAsync(IPage page, ILocator target)
    {
        await target.WaitForAsync();
        for (
            var pressed = 0;
            !await target.EvaluateAsync<bool>("element => element === document.activeElement");
            pressed++
        )
        {
            Assert.True(
                pressed < 250,
                $"Tab does not reach {target}; it came to "
                    + $"{await page.EvaluateAsync<string>("document.activeElement?.outerHTML.slice(0, 200)")}."
            );
            await page.Keyboard.PressAsync("Tab");
        }
        var ring = await target.EvaluateAsync<string>(
            "element => element.matches(':focus-visible') + ' ' + getComputedStyle(element).outline"
        );
        Assert.True(
            ring.StartsWith("true", StringComparison.Ordinal) && ring.Contains("solid", StringComparison.Ordinal),
            $"{target} does not show that it has the focus: {ring}"
        );
    }
}
