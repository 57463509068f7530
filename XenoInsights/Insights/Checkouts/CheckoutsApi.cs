using System.Globalization;
using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Formatting;
using XenoInsights.Insights.Orders;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Checkouts;

/// <summary>Abandoned checkouts as an API.</summary>
public static class CheckoutsApi
{
    private const int DefaultLimit = 50;

    public static void AddCheckouts(this WebApplicationBuilder builder) =>
        builder.Services.AddScoped<CheckoutQueries>();

    public static void MapCheckouts(this WebApplication app)
    {
        var metrics = app.MapGroup("/api/metrics").RequireTenantId().WithTags("Checkouts");
        metrics
            .MapGet("/checkouts", Overview)
            .WithSummary("Checkouts abandoned in a range and what became of them")
            .WithDescription(
                "Shopify lists a checkout once contact details were entered and it was left; those completed "
                    + "later stay on the list. They count on the shop day they were begun."
            );
        metrics
            .MapGet("/checkouts/by-date", ByDate)
            .WithSummary("The same by hour, day, week or month, empty buckets included");
        metrics.MapGet("/checkouts/by-date.csv", ByDateCsv).WithSummary("The series as CSV").LimitExports();
        metrics.MapGet("/checkouts/by-hour", ByHour).WithSummary("By day of the week and hour of the shop's clock");
        metrics.MapGet("/checkouts/by-hour.csv", ByHourCsv).WithSummary("The hours as CSV").LimitExports();
        metrics.MapGet("/checkouts/products", Products).WithSummary("What lies in those not recovered");
        metrics.MapGet("/checkouts/products.csv", ProductsCsv).WithSummary("All of the list as CSV").LimitExports();
        metrics
            .MapGet("/checkouts/open", Open)
            .WithSummary("Those not completed so far")
            .WithDescription(
                "sort: newest, oldest or largest. product: only those with this product in them (0: with a line "
                    + "without one). A further page is linked by the Link header."
            );
        metrics.MapGet("/checkouts/open.csv", OpenCsv).WithSummary("All of the list as CSV").LimitExports();
    }

    public static CheckoutSort? SortOf(string? key) =>
        key switch
        {
            null or "newest" => CheckoutSort.Newest,
            "oldest" => CheckoutSort.Oldest,
            "largest" => CheckoutSort.Largest,
            _ => null,
        };

    private static async Task<Results<Ok<CheckoutsOverview>, ValidationProblem>> Overview(
        HttpContext http,
        CheckoutQueries checkouts,
        TimeProvider time,
        string? from,
        string? to,
        CancellationToken ct
    ) =>
        MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal
            ? refusal
            : TypedResults.Ok(await checkouts.OverviewAsync(range, ct));

    private static async Task<Results<Ok<IReadOnlyList<CheckoutPoint>>, ValidationProblem>> ByDate(
        HttpContext http,
        CheckoutQueries checkouts,
        TimeProvider time,
        string? granularity,
        string? from,
        string? to,
        CancellationToken ct
    ) =>
        MetricsApi.SeriesOf(http, time, granularity, from, to, out var range, out var by) is { } refusal
            ? refusal
            : TypedResults.Ok(await checkouts.ByDateAsync(range, by, ct));

    private static async Task<Results<CsvWritten, ValidationProblem>> ByDateCsv(
        HttpContext http,
        CheckoutQueries checkouts,
        TimeProvider time,
        string? granularity,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (MetricsApi.SeriesOf(http, time, granularity, from, to, out var range, out var by) is { } refusal)
            return refusal;
        var name = by.ToString().ToLowerInvariant();
        string[] measures =
        [
            "abandoned-checkouts",
            "lost-checkouts",
            "lost-value",
            "recovered-checkouts",
            "recovered-value",
            "recovery-rate",
        ];
        await using var csv = await Csv.BeginAsync(
            http,
            time,
            $"checkouts-by-{name}",
            $"Abandoned checkouts by {name}",
            range,
            Definitions.Of(measures),
            [
                .. by == Granularity.Hour ? ["Day", "Hour"] : new[] { by.ToString() },
                .. Definitions.Of(measures).Select(d => d.Name),
            ]
        );
        foreach (var point in await checkouts.ByDateAsync(range, by, ct))
        {
            csv.Day(point.Date);
            if (point.Hour is { } hour)
                csv.Count(hour);
            await csv.Count(point.Abandoned)
                .Count(point.Lost)
                .Money(point.LostCents)
                .Count(point.Recovered)
                .Money(point.RecoveredCents)
                .Rate(point.RecoveryRate)
                .EndRowAsync(ct);
        }
        return CsvWritten.Instance;
    }

    private static async Task<Results<Ok<IReadOnlyList<CheckoutHour>>, ValidationProblem>> ByHour(
        HttpContext http,
        CheckoutQueries checkouts,
        TimeProvider time,
        string? from,
        string? to,
        CancellationToken ct
    ) =>
        MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal
            ? refusal
            : TypedResults.Ok(await checkouts.ByHourAsync(range, ct));

    private static async Task<Results<CsvWritten, ValidationProblem>> ByHourCsv(
        HttpContext http,
        CheckoutQueries checkouts,
        TimeProvider time,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        string[] measures = ["abandoned-checkouts", "recovered-checkouts", "lost-value"];
        await using var csv = await Csv.BeginAsync(
            http,
            time,
            "checkouts-by-hour",
            "Abandoned checkouts by day of the week and hour",
            range,
            Definitions.Of(measures),
            ["Weekday", "Hour", .. Definitions.Of(measures).Select(d => d.Name)]
        );
        foreach (var hour in await checkouts.ByHourAsync(range, ct))
            await csv.Text(CultureInfo.InvariantCulture.DateTimeFormat.DayNames[hour.Weekday % 7])
                .Count(hour.Hour)
                .Count(hour.Abandoned)
                .Count(hour.Recovered)
                .Money(hour.LostCents)
                .EndRowAsync(ct);
        return CsvWritten.Instance;
    }

    private static async Task<Results<Ok<IReadOnlyList<CheckoutProduct>>, ValidationProblem>> Products(
        HttpContext http,
        CheckoutQueries checkouts,
        TimeProvider time,
        string? limit,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        if (MetricsApi.LimitOf(limit, DefaultLimit, out var size) is { } wrong)
            return wrong;
        return TypedResults.Ok(await checkouts.ProductsAsync(range, size, ct));
    }

    private static async Task<Results<CsvWritten, ValidationProblem>> ProductsCsv(
        HttpContext http,
        CheckoutQueries checkouts,
        TimeProvider time,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        await using var csv = await Csv.BeginAsync(
            http,
            time,
            "checkouts-products",
            "Products in abandoned checkouts",
            range,
            Definitions.Of(["lost-checkouts", "in-lost-checkouts", "recovery-rate"]),
            ["Product", "Not recovered", "Units in them", "Value in them", "Recovered", "Recovery rate", "Shopify id"]
        );
        foreach (var row in await checkouts.ProductsAsync(range, null, ct))
            await csv.Text(row.Title)
                .Count(row.Lost)
                .Count(row.LostUnits)
                .Money(row.LostCents)
                .Count(row.Recovered)
                .Rate(row.RecoveryRate)
                .Count(row.ShopifyId)
                .EndRowAsync(ct);
        return CsvWritten.Instance;
    }

    private static async Task<Results<Ok<IReadOnlyList<OpenCheckout>>, ValidationProblem>> Open(
        HttpContext http,
        CheckoutQueries checkouts,
        TimeProvider time,
        string? product,
        string? sort,
        string? limit,
        string? after,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (Read(http, time, product, sort, from, to, out var filter, out var sorted) is { } refusal)
            return refusal;
        if (MetricsApi.LimitOf(limit, DefaultLimit, out var size) is { } wrong)
            return wrong;
        if (after is not null && !CheckoutQueries.IsPlace(after))
            return MetricsApi.Invalid("after", $"'{after}' is not where a page ended.");
        var page = await checkouts.OpenAsync(filter, sorted, after, size, ct);
        if (page.Next is not null)
            http.Response.Headers.Link =
                $"<{http.Request.Path}{http.Request.QueryString.With("after", page.Next)}>; rel=\"next\"";
        return TypedResults.Ok(page.Rows);
    }

    private static async Task<Results<CsvWritten, ValidationProblem>> OpenCsv(
        HttpContext http,
        CheckoutQueries checkouts,
        ExportWriter exports,
        TimeProvider time,
        string? product,
        string? sort,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (Read(http, time, product, sort, from, to, out var filter, out var sorted) is { } refusal)
            return refusal;
        var clock = new StoreClock(time, http.Store().TimeZone);
        await exports.WriteAsync(checkouts.Export(filter, sorted, ct), Begin, Write, ct);
        return CsvWritten.Instance;

        Task<Csv> Begin(string? order) =>
            Csv.BeginAsync(
                http,
                time,
                "open-checkouts",
                "Open checkouts",
                filter.Range,
                Definitions.Of(["lost-checkouts", "lost-value"]),
                [
                    "Checkout",
                    "Begun on",
                    "At",
                    "Customer",
                    "E-mail",
                    "Units",
                    "Items",
                    "Value",
                    "Recovery link",
                    "Shopify id",
                    "Customer id",
                ],
                filter.ProductId is { } id ? $"product {id}" : null,
                order
            );

        void Write(Csv csv, OpenCheckout row) =>
            csv.Text(row.Name)
                .Day(row.Day)
                .Instant(clock.At(row.CreatedAt))
                .Text(row.Customer)
                .Text(row.Email)
                .Count(row.Units)
                .Text(string.Join(", ", row.Items))
                .Money(row.TotalCents)
                .Text(row.RecoveryUrl)
                .Count(row.ShopifyId)
                .Count(row.CustomerId);
    }

    private static ValidationProblem? Read(
        HttpContext http,
        TimeProvider time,
        string? product,
        string? sort,
        string? from,
        string? to,
        out OpenFilter filter,
        out CheckoutSort sorted
    )
    {
        (filter, sorted) = (null!, default);
        if (MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        if (SortOf(sort) is not { } order)
            return MetricsApi.Invalid("sort", $"'{sort}' is not newest, oldest or largest.");
        var id = MetricsApi.NumberOf(product);
        if (product is not null && id is null)
            return MetricsApi.Invalid("product", $"'{product}' is not a product's number.");
        (filter, sorted) = (new(range, id), order);
        return null;
    }
}
