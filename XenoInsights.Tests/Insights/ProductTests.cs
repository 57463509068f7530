using System.Net;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Ingestion;

namespace XenoInsights.Tests.Insights;

/// <summary>
/// Products that are unknown, gone, or none at all; what returns belong to; and what an export of them says.
/// </summary>
public sealed class ProductTests(MetricsStores stores) : IClassFixture<MetricsStores>
{
    private static readonly DateTimeOffset _at = new(2025, 6, 4, 10, 0, 0, TimeSpan.Zero);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Lines_without_a_product_and_products_shopify_has_no_more_are_listed_too()
    {
        var tenant = await StoreAsync(
            Product(1, "Lamp"),
            Product(2, "Gone"),
            Product(3, "Never sold"),
            Order(
                1,
                70,
                (1, "Lamp", "L-1", 2, 2000),
                (2, "Gone", "G-1", 1, 500),
                (9, "From before", "B-1", 1, 300),
                (null, "Engraving", null, 1, 150)
            )
        );
        await ApplyAsync(
            tenant,
            new ProductRecord
            {
                ShopifyId = 2,
                UpdatedAt = _at.AddDays(1),
                CreatedAt = _at.AddDays(1),
                Title = "",
                Deleted = true,
                Source = RecordSource.Webhook,
            }
        );

        var rows = (await stores.AskAsync(tenant, "products?from=2025-06-01&to=2025-06-30")).EnumerateArray().ToArray();
        var (gone, unknown, custom) = (
            await FindAsync(tenant, 2),
            await FindAsync(tenant, 9),
            await FindAsync(tenant, 0)
        );

        Assert.Equal(
            ["Lamp 2000 L-1", "Gone 500 G-1", "From before 300 B-1", "Custom items 150 "],
            rows.Select(r => $"{r.GetProperty("title")} {r.GetProperty("netSalesCents")} {r.GetProperty("sku")}")
        );
        Assert.Equal(
            [0.677966m, 0.169492m, 0.101695m, 0.050847m],
            rows.Select(r => r.GetProperty("share").GetDecimal())
        );
        Assert.Equal(
            ("Gone", true, 500),
            (
                gone.GetProperty("title").GetString(),
                gone.GetProperty("isDeleted").GetBoolean(),
                gone.GetProperty("netSalesCents").GetInt64()
            )
        );
        Assert.Equal(
            ("From before", false, 1),
            (
                unknown.GetProperty("title").GetString(),
                unknown.GetProperty("isDeleted").GetBoolean(),
                unknown.GetProperty("customers").GetInt64()
            )
        );
        Assert.Equal(
            ("Custom items", 150, JsonValueKind.Null),
            (
                custom.GetProperty("title").GetString(),
                custom.GetProperty("netSalesCents").GetInt64(),
                custom.GetProperty("customers").ValueKind
            )
        );
        Assert.Equal(
            0,
            (await stores.AskAsync(tenant, "products/0/also-bought?from=2025-06-01&to=2025-06-30")).GetArrayLength()
        );
        Assert.Equal(
            (0, JsonValueKind.Null),
            (
                (await FindAsync(tenant, 3)).GetProperty("unitsOrdered").GetInt64(),
                (await FindAsync(tenant, 3)).GetProperty("returnRate").ValueKind
            )
        );
    }

    [Fact]
    public async Task What_comes_back_counts_when_it_does_so_a_rate_may_pass_a_hundred_per_cent()
    {
        var tenant = await StoreAsync(
            Product(1, "Lamp"),
            Order(1, 70, (1, "Lamp", null, 3, 3000)) with
            {
                Sales =
                [
                    new SaleRecord(_at, true, SaleMeasure.Sale, 100, 1, 3, 3000, 0, 0),
                    new SaleRecord(_at.AddDays(2), false, SaleMeasure.Return, 100, 1, -2, -2000, 0, 0),
                    new SaleRecord(_at.AddDays(2), false, SaleMeasure.Return, null, null, 0, 50, 0, 0),
                ],
            },
            Order(2, 71, (1, "Lamp", null, 1, 1000)) with
            {
                ProcessedAt = _at.AddDays(2),
                Sales = [new SaleRecord(_at.AddDays(2), true, SaleMeasure.Sale, 200, 1, 1, 1000, 0, 0)],
            }
        );

        var later = (await stores.AskAsync(tenant, "products?from=2025-06-06&to=2025-06-06&compare=previous"))
            .EnumerateArray()
            .ToDictionary(r => r.GetProperty("shopifyId").GetInt64());
        var sums = await stores.AskAsync(tenant, "products/sums?from=2025-06-06&to=2025-06-06");
        var overview = await stores.AskAsync(tenant, "overview?from=2025-06-06&to=2025-06-06");

        Assert.Equal(
            (1L, 2L, -1000L, 2m),
            (
                Long(later[1], "unitsOrdered"),
                Long(later[1], "unitsReturned"),
                Long(later[1], "netSalesCents"),
                later[1].GetProperty("returnRate").GetDecimal()
            )
        );
        // The adjustment belongs to no product, and lowers what came back.
        Assert.Equal(50, Long(later[0], "netSalesCents"));
        Assert.Equal(Long(overview, "netSalesCents"), Long(sums.GetProperty("figures"), "netSalesCents"));
        Assert.Equal(JsonValueKind.Null, later[1].GetProperty("share").ValueKind);
    }

    [Fact]
    public async Task New_to_a_product_are_those_who_never_bought_it_before_whatever_else_they_bought()
    {
        OrderRecord On(OrderRecord order, int day) =>
            order with
            {
                ProcessedAt = _at.AddDays(day),
                Sales = [.. order.Sales.Select(s => s with { HappenedAt = _at.AddDays(day) })],
            };
        var tenant = await StoreAsync(
            Product(1, "Lamp"),
            Product(2, "Shade"),
            On(Order(1, 70, (1, "Lamp", null, 1, 1000)), -30),
            On(Order(2, 71, (2, "Shade", null, 1, 500)), -30),
            On(Order(3, 70, (1, "Lamp", null, 1, 1000)), 0),
            On(Order(4, 71, (1, "Lamp", null, 1, 1000)), 1),
            On(Order(5, 71, (2, "Shade", null, 1, 500)), 2),
            On(Order(6, 72, (2, "Shade", null, 1, 500)), 2),
            On(Order(7, null, (1, "Lamp", null, 1, 1000)), 2)
        );

        var lamp = await FindAsync(tenant, 1);
        var also = Assert.Single(
            (await stores.AskAsync(tenant, "products/1/also-bought?from=2025-06-01&to=2025-06-30")).EnumerateArray()
        );

        Assert.Equal((3L, 2L, 1L), (Long(lamp, "orders"), Long(lamp, "customers"), Long(lamp, "newCustomers")));
        Assert.Equal(
            ("2025-05-05", "2025-06-06"),
            (lamp.GetProperty("firstSold").GetString(), lamp.GetProperty("lastSold").GetString())
        );
        // One of the two bought a shade, in another order; of the three customers of the range two did.
        Assert.Equal(
            ("Shade", 1L, 0.5m, 0.75m),
            (
                also.GetProperty("title").GetString(),
                Long(also, "customers"),
                also.GetProperty("share").GetDecimal(),
                also.GetProperty("lift").GetDecimal()
            )
        );
    }

    [Fact]
    public async Task Vendors_types_and_titles_narrow_the_list_and_signs_of_patterns_mean_themselves()
    {
        var tenant = await StoreAsync(
            Product(1, "100% wool") with
            {
                Vendor = "Alder",
                ProductType = "Cloth",
            },
            Product(2, "100 pins") with
            {
                Vendor = "Birch",
                ProductType = "Pins",
            },
            Order(1, 70, (1, "100% wool", "W_1", 1, 1000), (2, "100 pins", "WX1", 1, 200))
        );
        async Task<string> Titles(string parts) =>
            string.Join(
                ", ",
                (await stores.AskAsync(tenant, $"products?from=2025-06-01&to=2025-06-30&{parts}"))
                    .EnumerateArray()
                    .Select(r => r.GetProperty("title").GetString())
            );

        Assert.Equal("100% wool, 100 pins", await Titles("q=100"));
        Assert.Equal("100% wool", await Titles("q=100%25"));
        Assert.Equal("100% wool", await Titles("q=w_1"));
        Assert.Equal("100 pins", await Titles("q=wx"));
        Assert.Equal("100 pins", await Titles("vendor=Birch"));
        Assert.Equal("", await Titles("vendor=Birch&type=Cloth"));
        Assert.Equal("100 pins, 100% wool", await Titles("order=asc"));
        Assert.Equal("100% wool, 100 pins", await Titles("q=%00"));
    }

    [Fact]
    public async Task Lists_name_products_by_any_title_they_ever_had_and_leave_out_empty_rows()
    {
        var tenant = await StoreAsync(
            Product(1, "Lamp"),
            Order(1, 70, (1, "Lamp", "L-1", 2, 2000), (9, "Summer shirt", "B-1", 1, 300)),
            Order(2, 71, (1, "Lamp", null, 1, 100), (8, "Vanished", null, 1, 200)),
            new CheckoutRecord
            {
                ShopifyId = 5,
                UpdatedAt = _at,
                CreatedAt = _at,
                Total = 300,
                Lines = [new(9, "", null, 1, 300)],
            }
        );
        // The second order is gone, and with it all that its product and its customer ever came to.
        await ApplyAsync(
            tenant,
            new OrderRecord
            {
                ShopifyId = 2,
                UpdatedAt = _at.AddDays(1),
                Name = "#2",
                CreatedAt = _at,
                ProcessedAt = _at,
                Deleted = true,
                Source = RecordSource.Webhook,
            }
        );
        const string range = "from=2025-06-01&to=2025-06-30";
        async Task<string> NamesAsync(string question, string part = "title") =>
            string.Join(
                ", ",
                (await stores.AskAsync(tenant, question)).EnumerateArray().Select(r => r.GetProperty(part).GetString())
            );

        Assert.Equal("Lamp, Summer shirt", await NamesAsync($"products/top?{range}"));
        Assert.Equal("Lamp, Summer shirt", await NamesAsync($"products?{range}"));
        Assert.Equal("Summer shirt", await NamesAsync($"products?{range}&q=shirt"));
        Assert.Equal("Summer shirt", await NamesAsync($"products/1/also-bought?{range}"));
        Assert.Equal("Summer shirt", await NamesAsync($"checkouts/products?{range}"));
        Assert.Equal("Customer 70", await NamesAsync($"customers/top?{range}", "name"));
        var moved = (await stores.AskAsync(tenant, $"what-changed?by=product&metric=net-sales&{range}"))
            .GetProperty("contributions")
            .EnumerateArray()
            .Select(c => c.GetProperty("name").GetString());
        Assert.Equal(["Lamp", "Summer shirt"], moved);
        Assert.Equal("Summer shirt", (await FindAsync(tenant, 9)).GetProperty("title").GetString());
        var csv = await stores.Owner.GetStringAsync(
            new Uri($"/api/metrics/products.csv?{range}&tenant_id={tenant}", UriKind.Relative),
            Ct
        );
        Assert.Equal(
            (true, false),
            (
                csv.Contains("Summer shirt,B-1", StringComparison.Ordinal),
                csv.Contains("Product 9", StringComparison.Ordinal)
            )
        );
    }

    [Fact]
    public async Task An_export_holds_the_list_and_runs_nothing_in_a_spreadsheet()
    {
        var tenant = await StoreAsync(
            Product(1, "=1+1") with
            {
                Vendor = "Alder",
            },
            Order(1, 70, (1, "=1+1", "L-1", 2, 1999))
        );
        using var response = await stores.Owner.GetAsync(
            new Uri(
                "/api/metrics/products.csv?from=2025-06-01&to=2025-06-30&compare=previous&vendor=Alder"
                    + $"&tenant_id={tenant}",
                UriKind.Relative
            ),
            Ct
        );
        var lines = (await response.Content.ReadAsStringAsync(Ct))
            .TrimStart('\uFEFF')
            .Split("\r\n", StringSplitOptions.RemoveEmptyEntries);

        Assert.Equal("text/csv", response.Content.Headers.ContentType?.MediaType);
        Assert.Contains("# Only vendor Alder", lines);
        Assert.Contains(lines, line => line.StartsWith("# Return rate: ", StringComparison.Ordinal));
        Assert.Equal(
            [
                "Product,SKU,Vendor,Type,Units ordered,Units returned,Units,Gross "
                    + "sales,Discounts,Returns,Net sales,Return rate,Share of net sales,Net sales before,Shopify "
                    + "id",
                "\"'=1+1\",L-1,Alder,,2,0,2,19.99,0.00,0.00,19.99,0,1,0.00,1",
            ],
            lines[^2..]
        );
    }

    [Theory]
    [InlineData("products/4711")]
    [InlineData("products/-1")]
    [InlineData("products/4711/by-date")]
    [InlineData("products/4711/also-bought")]
    [InlineData("products/4711/by-date.csv")]
    [InlineData("products/4711/also-bought.csv")]
    public async Task A_product_the_store_never_had_is_not_found(string question)
    {
        using var response = await stores.Owner.GetAsync(
            new Uri($"/api/metrics/{question}?tenant_id={stores.Busy}", UriKind.Relative),
            Ct
        );

        Assert.Equal(
            (HttpStatusCode.NotFound, "application/problem+json"),
            (response.StatusCode, response.Content.Headers.ContentType?.MediaType)
        );
    }

    private Task<JsonElement> FindAsync(Guid tenant, long id) =>
        stores.AskAsync(tenant, $"products/{id}?from=2025-06-01&to=2025-06-30");

    private async Task<Guid> StoreAsync(params IngestRecord[] records)
    {
        var tenant = await stores.AddAsync("Europe/London", "GBP", MemberRole.Owner);
        await ApplyAsync(tenant, records);
        return tenant;
    }

    private Task<ApplyResult> ApplyAsync(Guid tenant, params IngestRecord[] records) =>
        stores
            .App.Services.GetRequiredService<TenantDatabase>()
            .RunAsync(tenant, db => IngestionWriter.ApplyAsync(db, new(tenant, "GBP", "Europe/London"), records));

    private static ProductRecord Product(long id, string title) =>
        new()
        {
            ShopifyId = id,
            UpdatedAt = _at,
            CreatedAt = _at,
            Title = title,
        };

    private static OrderRecord Order(
        long id,
        long? customer,
        params (long? Product, string Title, string? Sku, int Quantity, long Amount)[] lines
    ) =>
        new()
        {
            ShopifyId = id,
            UpdatedAt = _at,
            Name = $"#{id}",
            CreatedAt = _at,
            ProcessedAt = _at,
            CustomerId = customer,
            CurrentTotal = lines.Sum(l => l.Amount),
            Lines =
            [
                .. lines.Select(
                    (l, i) =>
                        new OrderLineRecord(
                            (id * 100) + i,
                            l.Product,
                            null,
                            l.Title,
                            l.Sku,
                            l.Quantity,
                            l.Quantity,
                            false,
                            l.Amount,
                            0
                        )
                ),
            ],
            Sales =
            [
                .. lines.Select(
                    (l, i) =>
                        new SaleRecord(
                            _at,
                            true,
                            SaleMeasure.Sale,
                            (id * 100) + i,
                            l.Product,
                            l.Quantity,
                            l.Amount,
                            0,
                            0
                        )
                ),
            ],
        };

    private static long Long(JsonElement answer, string name) => answer.GetProperty(name).GetInt64();
}
