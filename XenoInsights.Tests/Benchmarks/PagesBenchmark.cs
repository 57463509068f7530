using System.Globalization;
using Microsoft.Playwright;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>
/// What a person waits for in a browser, on a store that an earlier import left: from the address until the largest
/// thing is painted, which is the page's figures, and from a click on an earlier period until its figures are there.
/// Every range is new to the product.
/// </summary>
internal static class PagesBenchmark
{
    private const int Visits = 7,
        Clicks = 7,
        Days = 30;

    private static readonly string[] _pages =
    [
        "overview?",
        "what-changed?",
        "orders?",
        "customers?",
        "products?",
        "cohorts?",
        "checkouts?",
    ];

    public static async Task RunAsync(Uri address, string handle)
    {
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Chromium.LaunchAsync(playwright);
        var page = await (
            await browser.NewContextAsync(
                new()
                {
                    BaseURL = address.ToString(),
                    Locale = "en-US",
                    ViewportSize = new() { Width = 1440, Height = 900 },
                }
            )
        ).NewPageAsync();
        await page.GotoAsync(AppHost.SignInPath("owner@demo.test", $"/stores/{handle}/overview").ToString());
        await page.Locator("[data-interactive]").WaitForAsync();
        foreach (var path in _pages)
        {
            await VisitAsync(page, handle, path, 40);
            var painted = new List<double>();
            for (var visit = 0; visit < Visits; visit++)
                painted.Add(await VisitAsync(page, handle, path, 50 + visit));
            var answered = new List<double>();
            // Cohorts have no range: they are about the whole history.
            for (var click = 0; click < Clicks && path != "cohorts?"; click++)
                answered.Add(await StepAsync(page));
            painted.Sort();
            answered.Sort();
            var another =
                answered.Count == 0
                    ? ""
                    : string.Create(
                        CultureInfo.InvariantCulture,
                        $"   another period: p50 {answered[Clicks / 2], 5:N0} ms  longest {answered[^1], 5:N0} ms"
                    );
            Console.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"  {path.TrimEnd('?'), -14} painted: p50 {painted[Visits / 2], 6:N0} ms  "
                        + $"longest {painted[^1], 6:N0} ms{another}"
                )
            );
        }
    }

    private static async Task<double> VisitAsync(IPage page, string handle, string path, int daysAgo)
    {
        var to = DateOnly.FromDateTime(TimeProvider.System.GetUtcNow().DateTime).AddDays(-daysAgo);
        await page.GotoAsync($"/stores/{handle}/{path}from={to.AddDays(1 - Days):yyyy-MM-dd}&to={to:yyyy-MM-dd}");
        await page.Locator("[data-interactive]").WaitForAsync();
        if (await page.Locator("[aria-busy=true]").CountAsync() > 0)
            throw new InvalidOperationException($"{page.Url} was sent without its figures.");
        return await page.EvaluateAsync<double>(
            "() => new Promise(found => new PerformanceObserver(list => "
                + "found(list.getEntries().at(-1).startTime)).observe({ type: 'largest-contentful-paint', "
                + "buffered: true }))"
        );
    }

    /// <summary>
    /// The range above the figures changes at once; the bar of loading goes when the figures are those of that range.
    /// </summary>
    private static Task<double> StepAsync(IPage page) =>
        page.EvaluateAsync<double>(
            """
            () => new Promise(done => {
                const range = () => document.querySelector('.page-head .sub')?.textContent;
                const before = range(), clicked = performance.now();
                const isDrawn = () => range() !== before && !document.querySelector('.loading-bar, [aria-busy=true]');
                const look = () => isDrawn() ? done(performance.now() - clicked) : requestAnimationFrame(look);
                document.querySelector('[aria-label="Previous period"]').click();
                requestAnimationFrame(look);
            })
            """
        );
}
