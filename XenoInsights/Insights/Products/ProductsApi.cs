using System.Globalization;
using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Formatting;
using XenoInsights.Hosting;
using XenoInsights.Insights.Orders;
using XenoInsights.Insights.Overview;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Products;

/// <summary>The products of a range, and one product, as an API.</summary>
public static class ProductsApi
{
    public const int LongestSearch = 100;
    private const int DefaultLimit = 50,
        DefaultAlsoBought = 10,
        MostAlsoBought = 250;

    private static readonly string[] _measures =
    [
        "units-ordered",
        "units-returned",
        "units",
        "gross-sales",
        "discounts",
        "returns",
        "net-sales",
        "return-rate",
    ];

    public static void AddProducts(this WebApplicationBuilder builder) => builder.Services.AddScoped<ProductQueries>();

    public static void MapProducts(this WebApplication app)
    {
        var metrics = app.MapGroup("/api/metrics").RequireTenantId().WithTags("Products");
        metrics
            .MapGet("/products", List)
            .WithSummary("What each product came to in a range")
            .WithDescription(
                $"""
                Net sales of all products, product 0 (lines without one) included, are those of the range. q: part of a
                title, the beginning of the SKU of a recent sale, or a Shopify id. vendor, type: as Shopify has them.
                compare: previous (as many days a whole number of weeks earlier, or the month or year before), year,
                the first day of as many days (yyyy-MM-dd), or none (default); with it, products sold only then are
                listed too.
                sort: {string.Join(
                    ", ",
                    Enum.GetValues<ProductSort>().Select(s => OrdersApi.Key(s))
                )}. order: asc or desc (default; of titles asc). A further page is linked by the Link header.
                """
            );
        metrics.MapGet("/products.csv", ListCsv).WithSummary("All products of the same question as CSV").LimitExports();
        metrics.MapGet("/products/sums", Sums).WithSummary("What the products of the same question come to");
        metrics.MapGet("/products/{id:long}", Find).WithSummary("One product in a range");
        metrics
            .MapGet("/products/{id:long}/by-date", ByDate)
            .WithSummary("The same by day, week or month, empty buckets included");
        metrics.MapGet("/products/{id:long}/by-date.csv", ByDateCsv).WithSummary("The series as CSV").LimitExports();
        metrics
            .MapGet("/products/{id:long}/also-bought", AlsoBought)
            .WithSummary("What else its customers bought in the range")
            .WithDescription(
                "Of the customers who bought the product on an order placed in the range: other products that "
                    + "they bought in the range, in whichever of their orders, by the number of customers who bought "
                    + "both. lift: their share ÷ the share of all customers of the range who bought the other. Guests "
                    + "are not customers."
            );
        metrics
            .MapGet("/products/{id:long}/also-bought.csv", AlsoBoughtCsv)
            .WithSummary("The list as CSV")
            .LimitExports();
    }

    public static ProductSort? SortOf(string? key) =>
        key is null
            ? ProductSort.NetSales
            : Enum.GetValues<ProductSort>()
                .Where(sort => OrdersApi.Key(sort) == key)
                .Select(sort => (ProductSort?)sort)
                .FirstOrDefault();

    /// <summary>Titles are read from A, figures from the largest.</summary>
    public static bool? IsAscending(string? order, ProductSort sort) =>
        order switch
        {
            null => sort == ProductSort.Title,
            "asc" => true,
            "desc" => false,
            _ => null,
        };

    private static async Task<Results<Ok<IReadOnlyList<ProductRow>>, ValidationProblem>> List(
        HttpContext http,
        ProductQueries products,
        SalesQueries sales,
        TimeProvider time,
        [AsParameters] Asked asked,
        string? limit,
        string? after,
        CancellationToken ct
    )
    {
        if (asked.Read(http, time, out var filter, out var sort, out var ascending) is { } refusal)
            return refusal;
        if (MetricsApi.LimitOf(limit, DefaultLimit, out var size) is { } wrong)
            return wrong;
        if (after is not null && !ProductQueries.IsPlace(after, sort))
            return MetricsApi.Invalid("after", $"'{after}' is not where a page of this order ended.");
        if (await UnknownAsync(http, sales, time, filter, ct) is { } unknown)
            return unknown;
        var page = await products.PageAsync(filter, sort, ascending, after, size, ct);
        if (page.Next is not null)
            http.Response.Headers.Link =
                $"<{http.Request.Path}{http.Request.QueryString.With("after", page.Next)}>; rel=\"next\"";
        return TypedResults.Ok(page.Rows);
    }

    private static async Task<Results<Ok<ProductSums>, ValidationProblem>> Sums(
        HttpContext http,
        ProductQueries products,
        SalesQueries sales,
        TimeProvider time,
        [AsParameters] Asked asked,
        CancellationToken ct
    )
    {
        if (asked.Read(http, time, out var filter, out _, out _) is { } refusal)
            return refusal;
        return await UnknownAsync(http, sales, time, filter, ct) is { } unknown
            ? unknown
            : TypedResults.Ok(await products.SumsAsync(filter, ct));
    }

    private static async Task<ValidationProblem?> UnknownAsync(
        HttpContext http,
        SalesQueries sales,
        TimeProvider time,
        ProductFilter filter,
        CancellationToken ct
    ) =>
        filter.Before is { } before
            ? MetricsApi.Unknown(
                await sales.HistoryAsync(new StoreClock(time, http.Store().TimeZone).Today, ct),
                before
            )
            : null;

    private static async Task<Results<CsvWritten, ValidationProblem>> ListCsv(
        HttpContext http,
        ProductQueries products,
        SalesQueries sales,
        ExportWriter exports,
        TimeProvider time,
        [AsParameters] Asked asked,
        CancellationToken ct
    )
    {
        if (asked.Read(http, time, out var filter, out var sort, out var ascending) is { } refusal)
            return refusal;
        if (await UnknownAsync(http, sales, time, filter, ct) is { } unknown)
            return unknown;
        await exports.WriteAsync(products.Export(filter, sort, ascending, ct), Begin, Write, ct);
        return CsvWritten.Instance;

        Task<Csv> Begin(string? order)
        {
            string[] compared = filter.Before is null ? [] : ["Net sales before"];
            return Csv.BeginAsync(
                http,
                time,
                "products",
                filter.Before is { } days
                    ? $"Products, compared with {days.From:yyyy-MM-dd} to {days.To:yyyy-MM-dd}"
                    : "Products",
                filter.Range,
                Definitions.Of([.. _measures, "product-share", "shop-day"]),
                [
                    "Product",
                    "SKU",
                    "Vendor",
                    "Type",
                    .. Definitions.Of(_measures).Select(d => d.Name),
                    "Share of net sales",
                    .. compared,
                    "Shopify id",
                ],
                asked.Words(),
                order
            );
        }

        void Write(Csv csv, ProductRow row)
        {
            csv.Text(row.Title)
                .Text(row.Sku)
                .Text(row.Vendor)
                .Text(row.ProductType)
                .Count(row.UnitsOrdered)
                .Count(row.UnitsReturned)
                .Count(row.Units)
                .Money(row.GrossSalesCents)
                .Money(row.DiscountsCents)
                .Money(row.ReturnsCents)
                .Money(row.NetSalesCents)
                .Rate(row.ReturnRate)
                .Rate(row.Share);
            if (filter.Before is not null)
                csv.Money(row.NetSalesBeforeCents);
            csv.Count(row.ShopifyId);
        }
    }

    private static async Task<Results<Ok<ProductAnswer>, ValidationProblem, NotFoundProblem>> Find(
        HttpContext http,
        ProductQueries products,
        TimeProvider time,
        long id,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        return await products.FindAsync(id, range, ct) is { } product ? TypedResults.Ok(product) : NotFound();
    }

    private static async Task<Results<Ok<IReadOnlyList<ProductPoint>>, ValidationProblem, NotFoundProblem>> ByDate(
        HttpContext http,
        ProductQueries products,
        TimeProvider time,
        long id,
        string? granularity,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (Read(http, time, granularity, from, to, out var range, out var by) is { } refusal)
            return refusal;
        if (await products.FindAsync(id, range, ct) is null)
            return NotFound();
        return TypedResults.Ok(await products.ByDateAsync(id, range, by, ct));
    }

    private static async Task<Results<CsvWritten, ValidationProblem, NotFoundProblem>> ByDateCsv(
        HttpContext http,
        ProductQueries products,
        TimeProvider time,
        long id,
        string? granularity,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (Read(http, time, granularity, from, to, out var range, out var by) is { } refusal)
            return refusal;
        if (await products.FindAsync(id, range, ct) is not { } product)
            return NotFound();
        await using var csv = await Csv.BeginAsync(
            http,
            time,
            $"product-{id}-by-{by.ToString().ToLowerInvariant()}",
            $"{product.Title} by {by.ToString().ToLowerInvariant()}",
            range,
            Definitions.Of([.. _measures, "shop-day"]),
            [by.ToString(), .. Definitions.Of(_measures).Select(d => d.Name)]
        );
        foreach (var point in await products.ByDateAsync(id, range, by, ct))
            await csv.Day(point.Date)
                .Count(point.UnitsOrdered)
                .Count(point.UnitsReturned)
                .Count(point.Units)
                .Money(point.GrossSalesCents)
                .Money(point.DiscountsCents)
                .Money(point.ReturnsCents)
                .Money(point.NetSalesCents)
                .Rate(point.ReturnRate)
                .EndRowAsync(ct);
        return CsvWritten.Instance;
    }

    private static async Task<Results<Ok<IReadOnlyList<AlsoBought>>, ValidationProblem, NotFoundProblem>> AlsoBought(
        HttpContext http,
        ProductQueries products,
        TimeProvider time,
        long id,
        string? limit,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        if (MetricsApi.LimitOf(limit, DefaultAlsoBought, out var size) is { } wrong)
            return wrong;
        if (await products.FindAsync(id, range, ct) is null)
            return NotFound();
        return TypedResults.Ok(await products.AlsoBoughtAsync(id, range, size, ct));
    }

    private static async Task<Results<CsvWritten, ValidationProblem, NotFoundProblem>> AlsoBoughtCsv(
        HttpContext http,
        ProductQueries products,
        TimeProvider time,
        long id,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        if (await products.FindAsync(id, range, ct) is not { } product)
            return NotFound();
        await using var csv = await Csv.BeginAsync(
            http,
            time,
            $"product-{id}-also-bought",
            $"What customers of {product.Title} also bought",
            range,
            Definitions.Of(["also-bought", "lift"]),
            ["Product", "Customers who bought both", "Share of its customers", "Lift", "Shopify id"]
        );
        foreach (var row in await products.AlsoBoughtAsync(id, range, MostAlsoBought, ct))
            await csv.Text(row.Title)
                .Count(row.Customers)
                .Rate(row.Share)
                .Rate(row.Lift)
                .Count(row.ShopifyId)
                .EndRowAsync(ct);
        return CsvWritten.Instance;
    }

    private static ValidationProblem? Read(
        HttpContext http,
        TimeProvider time,
        string? granularity,
        string? from,
        string? to,
        out DateRange range,
        out Granularity by
    )
    {
        (range, by) = (default, default);
        if (MetricsApi.GranularityOf(granularity) is not { } parsed || parsed == Granularity.Hour)
            return MetricsApi.Invalid("granularity", $"'{granularity}' is not day, week or month.");
        by = parsed;
        return MetricsApi.RangeOf(http, time, from, to, out range);
    }

    private static NotFoundProblem NotFound() => new("This store has no such product.", "Product not found");

    /// <summary>The parts of a question, as they are written in an address.</summary>
    internal sealed record Asked(
        string? From,
        string? To,
        string? Compare,
        string? Q,
        string? Vendor,
        string? Type,
        string? Sort,
        string? Order
    )
    {
        public ValidationProblem? Read(
            HttpContext http,
            TimeProvider time,
            out ProductFilter filter,
            out ProductSort sort,
            out bool ascending
        )
        {
            (filter, sort, ascending) = (null!, default, false);
            if (MetricsApi.RangeOf(http, time, From, To, out var range) is { } refusal)
                return refusal;
            if (
                Compare is not (null or "none" or "previous" or "year")
                && MetricsApi.DateOf(Compare) is not { Year: >= 2000 and < 9000 }
            )
                return MetricsApi.Invalid(
                    "compare",
                    $"'{Compare}' is not previous, year, none or the first day to compare with."
                );
            if (Compare is not (null or "none") && !MetricsApi.HasComparison(range))
                return MetricsApi.Invalid("from", "There is nothing to compare it with.");
            foreach (var (name, text) in new[] { ("q", Q), ("vendor", Vendor), ("type", Type) })
                if (text is { Length: > LongestSearch })
                    return MetricsApi.Invalid(name, $"It has at most {LongestSearch} characters.");
            if (SortOf(Sort) is not { } sorted)
                return MetricsApi.Invalid(
                    "sort",
                    $"'{Sort}' is not one of {string.Join(", ", Enum.GetValues<ProductSort>().Select(SortKey))}."
                );
            if (IsAscending(Order, sorted) is not { } rising)
                return MetricsApi.Invalid("order", $"'{Order}' is not asc or desc.");
            (sort, ascending) = (sorted, rising);
            var period = Period.Named(range, new StoreClock(time, http.Store().TimeZone).Today);
            filter = new(
                range,
                Compare is null or "none" ? null : period.ComparedWith(Period.ComparisonOf(Compare)),
                MetricsApi.Searched(Q),
                MetricsApi.Searched(Vendor),
                MetricsApi.Searched(Type)
            );
            return null;
        }

        private static string SortKey(ProductSort sort) => OrdersApi.Key(sort);

        /// <summary>What the question leaves out, for the head of an export; null if nothing.</summary>
        public string? Words()
        {
            var parts = new[] { ("search", Q), ("vendor", Vendor), ("type", Type) }
                .Where(p => !string.IsNullOrWhiteSpace(p.Item2))
                .Select(p => $"{p.Item1} {p.Item2}")
                .ToList();
            return parts.Count == 0 ? null : string.Join(", ", parts);
        }
    }
}
