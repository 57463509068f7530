using System.Text.RegularExpressions;
using Microsoft.EntityFrameworkCore;
using Microsoft.Playwright;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;
using XenoInsights.Tests.Sync;
using static Microsoft.Playwright.Assertions;

namespace XenoInsights.Tests.InBrowser;

/// <summary>
/// The way out: nobody leaves by mistake, Shopify is told, the figures stay, and the way back is where one looks for
/// it.
/// </summary>
public sealed class DisconnectTests(PostgresServer postgres, BrowserFixture browser) : BrowserTest(browser)
{
    [Fact]
    public async Task An_owner_disconnects_a_store_keeps_its_figures_and_connects_it_again()
    {
        var store = ImportStores.Mixed(11, orders: 60);
        await using var host = await ImportHost.StartAsync(postgres, [store]);
        var (tenant, _) = await host.ImportAsync(store.Shop.Domain);
        var page = (await OpenSignedInAsync(host.App, $"/stores/{store.Shop.Handle}/settings")).Page;
        await page.InteractiveAsync();
        var button = page.GetByRole(AriaRole.Button, new() { Name = $"Disconnect {store.Shop.Name}" });
        await Expect(button).ToBeDisabledAsync();
        await page.GetByLabel("To confirm, write").FillAsync(store.Shop.Handle);

        store.Faults.Respond = (503, 1);
        await button.ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("Nothing was changed");
        Assert.Equal((TenantStatus.Connected, true), (await StatusAsync(), store.Grant.InstalledScopes is not null));

        store.Faults.ThrottleCalls = 1;
        await button.ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("Shopify did not remove the app");
        await Expect(page.GetByRole(AriaRole.Alert))
            .Not.ToContainTextAsync(new Regex(@"[{\[]|THROTTLED", RegexOptions.IgnoreCase));

        await button.ClickAsync();
        await Expect(page.GetByText("This store is disconnected.")).ToBeVisibleAsync();
        Assert.Equal(
            (TenantStatus.Disconnected, false),
            (await StatusAsync(), store.Grant.InstalledScopes is not null)
        );
        Assert.Empty(await host.InTenantAsync(tenant, db => db.ShopifyCredentials.ToListAsync(Ct)));

        await page.GotoAsync($"/stores/{store.Shop.Handle}/overview?preset=12m");
        await Expect(page.GetByText($"The app was removed from {store.Shop.Name}.")).ToBeVisibleAsync();
        await Expect(page.Tile("Orders")).Not.ToContainTextAsync(new Regex(@"^Orders\s*0\b"));

        await page.GotoAsync($"/stores/{store.Shop.Handle}/settings");
        await page.GetByRole(AriaRole.Link, new() { Name = "Connect it again" }).ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { NameRegex = new Regex("^Install") }).ClickAsync();
        await page.InteractiveAsync();
        Assert.Equal((TenantStatus.Connected, true), (await StatusAsync(), store.Grant.InstalledScopes is not null));

        Task<TenantStatus> StatusAsync() =>
            host.InTenantAsync(tenant, db => db.Tenants.Select(t => t.Status).SingleAsync(Ct));
    }
}
