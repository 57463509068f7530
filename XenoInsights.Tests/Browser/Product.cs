using System.Text.RegularExpressions;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Playwright;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.FakeShopify.Stores;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;
using XenoInsights.Tests.Sync;

namespace XenoInsights.Tests.InBrowser;

/// <summary>
/// The product as the browser tests share it: the owner has a store with half a year of orders, which the viewer sees
/// too, and one of hard cases, which the viewer does not. The operator has none; Harbour Lane is left for a newcomer.
/// </summary>
public sealed class Product(PostgresServer postgres) : IAsyncLifetime
{
    public const string Owner = "owner@demo.test",
        Viewer = "viewer@demo.test",
        Newcomer = "operator@demo.test";

    private static readonly DemoStore _store = ImportStores.Mixed(7, orders: 400);

    public ImportHost Import { get; private set; } = null!;
    public AppHost App => Import.App;
    public Guid Tenant { get; private set; }

    public static string Path(string page) => $"/stores/{_store.Shop.Handle}/{page}";

    /// <summary>A product that sells.</summary>
    public static string SoldPath => Path($"products/{_store.Shop.Ids.Product(1)}?preset=12m");

    public static string ForeignPath => $"/stores/{HardCases.Domain.Split('.')[0]}/overview";

    /// <summary>The shop's day, on which its figures still change.</summary>
    public static DateOnly Today =>
        DateOnly.FromDateTime(TimeZoneInfo.ConvertTime(TimeProvider.System.GetUtcNow(), _store.Shop.Zone).DateTime);

    public async ValueTask InitializeAsync()
    {
        Import = await ImportHost.StartAsync(
            postgres,
            [_store, HardCases.CreateEuros(), HarbourLane.Create(4, TimeProvider.System)]
        );
        (Tenant, _) = await Import.ImportAsync(_store.Shop.Domain);
        await Import.ConnectAsync(HardCases.Domain);
        using var viewer = await App.SignInAsync(Viewer);
        await LetInAsync(Viewer);
    }

    public ValueTask DisposeAsync() => Import.DisposeAsync();

    /// <summary>An order of the shop's today, stored as an import would.</summary>
    public Task PlaceOrderAsync(long number, long amount)
    {
        var now = TimeProvider.System.GetUtcNow();
        var order = new OrderRecord
        {
            ShopifyId = _store.Shop.Ids.Order(number),
            UpdatedAt = now,
            Name = $"#{number}",
            CreatedAt = now,
            ProcessedAt = now,
            FinancialStatus = "PAID",
            CurrentTotal = amount,
            Sales = [new SaleRecord(now, true, SaleMeasure.Sale, null, null, 1, amount, 0, 0)],
        };
        var shop = new StoreCalendar(Tenant, _store.Shop.Currency.Code, _store.Shop.TimeZone);
        return Import.InTenantAsync(Tenant, db => IngestionWriter.ApplyAsync(db, shop, [order]));
    }

    private Task LetInAsync(string email) =>
        App
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(async db =>
            {
                var user = await db.Set<User>().SingleAsync(u => u.Email == email);
                db.Memberships.Add(
                    new Membership
                    {
                        TenantId = Tenant,
                        UserId = user.UserId,
                        Role = MemberRole.Viewer,
                        CreatedAt = DateTimeOffset.UnixEpoch,
                    }
                );
                await db.SaveChangesAsync();
            });
}

[CollectionDefinition]
#pragma warning disable CA1711 // xUnit calls it a collection.
public sealed class BrowserCollection : ICollectionFixture<Product>;
#pragma warning restore CA1711

internal static class Reading
{
    /// <summary>Waits until the circuit has taken the page over: from then on it answers clicks.</summary>
    public static Task InteractiveAsync(this IPage page) => page.Locator("[data-interactive]").WaitForAsync();

    /// <summary>Waits until the page hears its keys, a moment after it is drawn.</summary>
    public static Task ListeningAsync(this IPage page) =>
        page.Locator("#shortcuts[data-listening]").WaitForAsync(new() { State = WaitForSelectorState.Attached });

    /// <summary>A key figure's tile, which is the tab of its chart.</summary>
    public static ILocator Tile(this IPage page, string label) =>
        page.GetByRole(AriaRole.Tab, new() { NameRegex = new Regex("^" + Regex.Escape(label)) });

    /// <summary>The chart, by the sentence that describes it.</summary>
    public static ILocator Chart(this IPage page, string label) =>
        page.GetByRole(AriaRole.Slider, new() { NameRegex = new Regex("^" + Regex.Escape(label)) });

    /// <summary>Opens a menu and chooses from it.</summary>
    public static async Task ChooseAsync(this IPage page, string menu, string item)
    {
        await page.GetByRole(AriaRole.Button, new() { Name = menu, Exact = true }).ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { NameRegex = new Regex("^" + Regex.Escape(item)) })
            .And(page.Locator(".menu-item"))
            .ClickAsync();
    }
}
