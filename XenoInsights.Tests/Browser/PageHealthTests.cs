using Deque.AxeCore.Commons;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.InBrowser;

/// <summary>
/// What must be right about any page, on a wide screen, a tablet and a phone, light and dark: nothing failed, nothing
/// overflows, and axe has no serious objection.
/// </summary>
[Collection<BrowserCollection>]
public sealed class PageHealthTests(Product product, BrowserFixture browser) : BrowserTest(browser)
{
    private const int Wide = 1440,
        Tablet = 1024,
        Phone = 390,
        Height = 900;

    public static TheoryData<string> Paths =>
        [
            "/",
            "/stores",
            Product.Path("overview"),
            Product.Path("overview?preset=today"),
            Product.Path("what-changed"),
            Product.Path("what-changed?compare=none"),
            Product.Path("orders"),
            Product.Path("orders?metric=returns&q=nobody"),
            Product.Path("orders/1"),
            Product.Path("definitions"),
            Product.Path("products"),
            Product.Path("products?sort=title&compare=none&q=nothing-like-it"),
            Product.Path("products?preset=today"),
            Product.Path("products/1"),
            Product.SoldPath,
            Product.SoldPath.Replace("preset=12m", "from=2020-01-01&to=2020-01-07", StringComparison.Ordinal),
            Product.Path("products/0"),
            Product.Path("checkouts?preset=12m"),
            Product.Path("checkouts?preset=today"),
            Product.Path("checkouts?preset=12m&metric=recovery-rate&product=1"),
            Product.Path("settings"),
            Product.Path("customers"),
            Product.Path("customers?view=segments"),
            Product.Path("customers/1"),
            Product.Path("cohorts"),
            Product.Path("cohorts?p=week&m=revenue&as=sum"),
            Product.Path("sync"),
            Product.Path("events"),
            Product.Path("notifications"),
            Product.ForeignPath,
            "/stores/no-such-store/overview",
            "/no/such/page",
            "/signed-out",
            "/api/docs",
        ];

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task A_page_is_free_of_errors_fits_its_screen_and_can_be_used_by_everyone(string path)
    {
        var opened = await OpenSignedInAsync(product.App, path, width: Wide);
        var page = opened.Page;
        await SettledAsync(page);
        var problems = new List<string>();
        foreach (var width in (int[])[Wide, Tablet, Phone])
        {
            await page.SetViewportSizeAsync(width, Height);
            // A tablet has no colours of its own.
            foreach (
                var scheme in width == Tablet
                    ? [ColorScheme.Light]
                    : (ColorScheme[])[ColorScheme.Light, ColorScheme.Dark]
            )
            {
                await page.EmulateMediaAsync(new() { ColorScheme = scheme, ReducedMotion = ReducedMotion.Reduce });
                problems.AddRange((await LooksAsync(page)).Select(problem => $"{width} {scheme}: {problem}"));
            }
        }
        problems.AddRange(opened.Problems.Where(problem => !IsOfMissingPage(problem, page.Url)));
        Assert.True(problems.Count == 0, string.Join('\n', problems));
    }

    private static async Task SettledAsync(IPage page)
    {
        if (await page.Locator("script[src*='blazor.web']").CountAsync() > 0)
        {
            await page.InteractiveAsync();
            if (await page.Locator("#kpi-panel").CountAsync() > 0)
                await page.Locator(".chart[data-ready]").WaitForAsync();
        }
        else
        {
            await page.WaitForLoadStateAsync(LoadState.NetworkIdle);
        }
    }

    private static async Task<IEnumerable<string>> LooksAsync(IPage page)
    {
        var overflow = await page.EvaluateAsync<int>(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        );
        IEnumerable<string> looks = overflow > 0 ? [$"{overflow} px wider than the screen"] : [];
        // The colours of the API's documentation are those of the package that draws it.
        if (await page.Locator(".scalar-app").CountAsync() > 0)
            return looks;
        var axe = await page.RunAxe();
        return axe.Violations.Where(v => v.Impact is "serious" or "critical").SelectMany(Describe).Concat(looks);
    }

    private static IEnumerable<string> Describe(AxeResultItem violation) =>
        violation.Nodes.Select(node =>
            $"{violation.Id} ({violation.Impact}): {node.Target} {node.Html} "
            + $"{string.Join("; ", node.Any.Select(check => check.Message))}"
        );

    // The browser reports the page's own status, which is the point of a missing page.
    private static bool IsOfMissingPage(string problem, string url) =>
        problem == $"GET {url}: 404"
        || problem.Contains("the server responded with a status of 404", StringComparison.Ordinal);
}
