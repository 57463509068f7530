using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tests.Insights;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.InBrowser;

/// <summary>
/// Titles, names and numbers without a blank in them are cut or wrapped: no page grows wider than its screen.
/// </summary>
public sealed class UnbrokenNamesTests(MetricsStores stores, BrowserFixture browser)
    : BrowserTest(browser),
        IClassFixture<MetricsStores>
{
    private const int Wide = 1440,
        Phone = 390,
        Height = 900,
        Length = 255;

    private static readonly string[] _pages =
    [
        "overview",
        "orders",
        "orders/1",
        "orders?product=1&customer=77&q=" + "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
        "customers",
        "customers/77",
        "products",
        "products/1",
        "products?vendor=" + "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
        "what-changed?by=product",
        "checkouts",
        "checkouts?product=1",
    ];

    [Fact]
    public async Task Pages_fit_a_phone_and_a_wide_screen_whatever_things_are_called()
    {
        var handle = await FillAsync();
        var page = (await OpenSignedInAsync(stores.App, "/stores", width: Wide)).Page;
        var problems = new List<string>();
        foreach (var path in _pages)
        {
            await page.GotoAsync($"/stores/{handle}/{path}");
            await page.InteractiveAsync();
            foreach (var width in (int[])[Wide, Phone])
            {
                await page.SetViewportSizeAsync(width, Height);
                var overflow = await page.EvaluateAsync<int>(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                );
                if (overflow > 0)
                    problems.Add($"{path} at {width}: {overflow} px wider than the screen");
            }
        }
        Assert.True(problems.Count == 0, string.Join('\n', problems));
    }

    private async Task<string> FillAsync()
    {
        var tenant = await stores.AddAsync("Europe/London", "GBP", MemberRole.Owner);
        var (at, name) = (stores.Clock.GetUtcNow().AddDays(-2), new string('W', Length));
        await stores
            .App.Services.GetRequiredService<TenantDatabase>()
            .RunAsync(
                tenant,
                db =>
                    IngestionWriter.ApplyAsync(
                        db,
                        new(tenant, "GBP", "Europe/London"),
                        [
                            new ProductRecord
                            {
                                ShopifyId = 1,
                                UpdatedAt = at,
                                CreatedAt = at,
                                Title = name,
                                Vendor = name,
                                ProductType = name,
                                Status = "DRAFT",
                            },
                            new ProductRecord
                            {
                                ShopifyId = 2,
                                UpdatedAt = at,
                                CreatedAt = at,
                                Title = name,
                                Vendor = "V" + name,
                            },
                            new CustomerRecord
                            {
                                ShopifyId = 77,
                                UpdatedAt = at,
                                CreatedAt = at,
                                DisplayName = name,
                                Email = $"{name}@{name}.test",
                                City = name,
                                CountryCode = "GB",
                            },
                            new CheckoutRecord
                            {
                                ShopifyId = 5,
                                UpdatedAt = at,
                                CreatedAt = at,
                                Name = name,
                                CustomerId = 77,
                                Total = 100,
                                Lines = [new(1, name, name, 1, 100)],
                            },
                            .. Enumerable
                                .Range(1, 2)
                                .Select(i => new OrderRecord
                                {
                                    ShopifyId = i,
                                    UpdatedAt = at,
                                    Name = "#" + name,
                                    CreatedAt = at.AddDays(-28 * (i - 1)),
                                    ProcessedAt = at.AddDays(-28 * (i - 1)),
                                    CustomerId = 77,
                                    CurrentTotal = 100,
                                    Lines =
                                    [
                                        new(i * 10, 1, null, name, name, 1, 1, false, 100 * i, 0),
                                        new((i * 10) + 1, 2, null, name, name, 1, 1, false, 100, 0),
                                    ],
                                    Sales =
                                    [
                                        new SaleRecord(
                                            at.AddDays(-28 * (i - 1)),
                                            true,
                                            SaleMeasure.Sale,
                                            i * 10,
                                            1,
                                            1,
                                            100 * i,
                                            0,
                                            0
                                        ),
                                        new SaleRecord(
                                            at.AddDays(-28 * (i - 1)),
                                            true,
                                            SaleMeasure.Sale,
                                            (i * 10) + 1,
                                            2,
                                            1,
                                            100,
                                            0,
                                            0
                                        ),
                                    ],
                                }),
                        ]
                    )
            );
        return await stores
            .App.Services.GetRequiredService<TenantDatabase>()
            .RunAsync(tenant, db => Task.FromResult(db.Tenants.Single().Handle));
    }
}
