using System.Text;
using System.Text.RegularExpressions;
using Deque.AxeCore.Playwright;
using Microsoft.EntityFrameworkCore;
using Microsoft.Playwright;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;
using static Microsoft.Playwright.Assertions;

namespace XenoInsights.Tests.InBrowser;

/// <summary>Deliveries on the page: found by time, tried, and the operators' view of all of them.</summary>
[Collection<BrowserCollection>]
public sealed class EventsTests(Product product, BrowserFixture browser) : BrowserTest(browser)
{
    [Fact]
    public async Task A_delivery_is_found_by_its_time_and_tried_before_it_is_replayed()
    {
        var received = new DateTimeOffset(2026, 1, 15, 12, 30, 0, TimeSpan.Zero);
        await product.Import.InTenantAsync(
            product.Tenant,
            async db =>
            {
                db.Events.Add(
                    new Event
                    {
                        TenantId = product.Tenant,
                        WebhookId = "dead-lettered long ago",
                        Topic = "orders/create",
                        Headers = "{}",
                        Status = EventStatus.Dead,
                        ReceivedAt = received,
                        DueAt = received,
                        LastError = "The cat sat on it.",
                        Payload = Encoding.UTF8.GetBytes(
                            """
                            {"id":4711,"name":"#4711","created_at":"2026-01-15T12:00:00Z","updated_at":"2026-01-15T12:00:00Z","current_total_price":"30.00",
                             "line_items":[{"id":1,"title":"Teapot","quantity":3,"current_quantity":3,"price":"10.00"}]}
                            """
                        ),
                    }
                );
                return await db.SaveChangesAsync(Ct);
            }
        );
        var page = (await OpenSignedInAsync(product.App, Product.Path("events"))).Page;
        await page.InteractiveAsync();

        await page.GetByLabel("From", new() { Exact = true }).FillAsync("2026-01-15T00:00");
        await page.GetByLabel("to", new() { Exact = true }).FillAsync("2026-01-16T23:59");
        await page.GetByRole(AriaRole.Button, new() { Name = "Filter" }).ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex(@"\?from=2026-01-15T00(:|%3A)00&to=2026-01-16T23(:|%3A)59$"));
        await Expect(page.GetByRole(AriaRole.Checkbox)).ToHaveCountAsync(1);

        await page.GetByRole(AriaRole.Checkbox).CheckAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "What would it change?" }).ClickAsync();
        var trial = page.GetByRole(
            AriaRole.Region,
            new() { Name = "What a replay of the selected delivery would change" }
        );
        await Expect(trial).ToContainTextAsync("The figures of one day would change. Nothing has been changed.");
        await Expect(trial).ToContainTextAsync("Stored");
        await CanBeUsedByEveryoneAsync(page);
        Assert.False(
            await product.Import.InTenantAsync(product.Tenant, db => db.Orders.AnyAsync(o => o.ShopifyId == 4711, Ct))
        );
        await product.Import.InTenantAsync(
            product.Tenant,
            db => db.Events.Where(e => e.WebhookId == "dead-lettered long ago").ExecuteDeleteAsync(Ct)
        );
    }

    [Fact]
    public async Task Operators_are_led_to_the_queues_of_all_stores_and_others_are_not()
    {
        var page = (await OpenSignedInAsync(product.App, "/stores", Product.Newcomer)).Page;
        await page.InteractiveAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "Operations" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Operations" })).ToBeVisibleAsync();
        await Expect(page.GetByText("Receipt to applied today")).ToBeVisibleAsync();
        await CanBeUsedByEveryoneAsync(page);

        var others = (await OpenSignedInAsync(product.App, "/stores")).Page;
        await others.InteractiveAsync();
        await Expect(others.GetByRole(AriaRole.Link, new() { Name = "Operations" })).ToHaveCountAsync(0);
        // Within the circuit, where no endpoint asks.
        await others.EvaluateAsync("Blazor.navigateTo('/operations')");
        await Expect(others.GetByText("Receipt to applied today")).ToHaveCountAsync(0);
        await Expect(others.GetByRole(AriaRole.Heading, new() { Name = "Most waiting" })).ToHaveCountAsync(0);
    }

    private static async Task CanBeUsedByEveryoneAsync(IPage page)
    {
        foreach (var scheme in (ColorScheme[])[ColorScheme.Dark, ColorScheme.Light])
        {
            await page.EmulateMediaAsync(new() { ColorScheme = scheme, ReducedMotion = ReducedMotion.Reduce });
            Assert.Empty(
                (await page.RunAxe())
                    .Violations.Where(v => v.Impact is "serious" or "critical")
                    .Select(v => $"{scheme}: {v.Help} {v.Nodes[0].Html}")
            );
        }
    }
}
