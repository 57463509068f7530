using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Formatting;
using XenoInsights.Hosting;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Orders;

/// <summary>The orders behind a figure, and one order, as an API.</summary>
public static class OrdersApi
{
    public const int LongestSearch = 100;
    private const int DefaultLimit = 50;

    public static void AddOrders(this WebApplicationBuilder builder) => builder.Services.AddScoped<OrderQueries>();

    public static void MapOrders(this WebApplication app)
    {
        var metrics = app.MapGroup("/api/metrics/orders").RequireTenantId().WithTags("Orders");
        metrics
            .MapGet("", Entries)
            .WithSummary("What each order adds to a range")
            .WithDescription(
                $"""
                An order has an entry for the day it was placed and one for each later day on which a refund, an edit
                or its cancellation changed it; the entries of a range add up to its figures.
                metric: only entries that a figure is made of ({string.Join(
                    ", ",
                    EntryMetrics.Keys
                )}). show: all, placed, changes, from-new, from-returning or from-guests.
                customer, product: Shopify ids (product 0: lines without one).
                over: whole units of the shop's currency. q: an order's name, or part of a customer's name or e-mail.
                sort: newest, oldest, largest or smallest. A further page is linked by the Link header.
                """
            );
        metrics.MapGet("/sums", Sums).WithSummary("What the entries of the same question come to");
        app.MapGet("/api/metrics/orders.csv", EntriesCsv)
            .RequireTenantId()
            .WithTags("Orders")
            .WithSummary("All entries of the same question as CSV")
            .LimitExports();
        metrics.MapGet("/{id:long}", Find).WithSummary("One order with its lines, ledger and refunds");
    }

    public static EntryShow? ShowOf(string? key) =>
        key switch
        {
            null or "all" => EntryShow.All,
            "placed" => EntryShow.Placed,
            "changes" => EntryShow.Changes,
            "from-new" => EntryShow.FromNew,
            "from-returning" => EntryShow.FromReturning,
            "from-guests" => EntryShow.FromGuests,
            _ => null,
        };

    public static EntrySort? SortOf(string? key) =>
        key switch
        {
            null or "newest" => EntrySort.Newest,
            "oldest" => EntrySort.Oldest,
            "largest" => EntrySort.Largest,
            "smallest" => EntrySort.Smallest,
            _ => null,
        };

    /// <summary>A choice's name in addresses: FromNew is from-new.</summary>
    public static string Key(Enum value) =>
        string.Concat(
            value
                .ToString()
                .Select((letter, i) => (char.IsUpper(letter) && i > 0 ? "-" : "") + char.ToLowerInvariant(letter))
        );

    private static async Task<Results<Ok<IReadOnlyList<OrderEntryRow>>, ValidationProblem>> Entries(
        HttpContext http,
        OrderQueries orders,
        TimeProvider time,
        [AsParameters] Asked asked,
        string? limit,
        string? after,
        CancellationToken ct
    )
    {
        if (asked.Read(http, time, out var filter, out var sort) is { } refusal)
            return refusal;
        if (MetricsApi.LimitOf(limit, DefaultLimit, out var size) is { } wrong)
            return wrong;
        if (after is not null && !OrderQueries.IsPlace(after))
            return MetricsApi.Invalid("after", $"'{after}' is not where a page ended.");
        var page = await orders.PageAsync(filter, sort, after, size, ct);
        if (page.Next is not null)
            http.Response.Headers.Link =
                $"<{http.Request.Path}{http.Request.QueryString.With("after", page.Next)}>; rel=\"next\"";
        return TypedResults.Ok(page.Rows);
    }

    private static async Task<Results<Ok<EntrySums>, ValidationProblem>> Sums(
        HttpContext http,
        OrderQueries orders,
        TimeProvider time,
        [AsParameters] Asked asked,
        CancellationToken ct
    ) =>
        asked.Read(http, time, out var filter, out _) is { } refusal
            ? refusal
            : TypedResults.Ok(await orders.SumsAsync(filter, ct));

    private static async Task<Results<CsvWritten, ValidationProblem>> EntriesCsv(
        HttpContext http,
        OrderQueries orders,
        ExportWriter exports,
        TimeProvider time,
        [AsParameters] Asked asked,
        CancellationToken ct
    )
    {
        if (asked.Read(http, time, out var filter, out var sort) is { } refusal)
            return refusal;
        var clock = new StoreClock(time, http.Store().TimeZone);
        string[] measures =
        [
            "gross-sales",
            "discounts",
            "returns",
            "shipping",
            "taxes",
            "duties",
            "fees",
            "total-sales",
        ];
        await exports.WriteAsync(orders.Export(filter, sort, ct), Begin, Write, ct);
        return CsvWritten.Instance;

        Task<Csv> Begin(string? order) =>
            Csv.BeginAsync(
                http,
                time,
                "orders",
                $"Orders behind {Definitions.Of(filter.Metric).Name.ToLowerInvariant()}",
                filter.Range,
                Definitions.Of(["entry", filter.Metric, "shop-day"]),
                [
                    "Order",
                    "Kind",
                    "Counted on",
                    "At",
                    "Customer",
                    "Units",
                    .. Definitions.Of(measures).Select(d => d.Name),
                    "Shopify id",
                    "Customer id",
                ],
                asked.Words(),
                order
            );

        void Write(Csv csv, OrderEntryRow row) =>
            csv.Text(row.Name)
                .Text(KindOf(row))
                .Day(row.Day)
                .Instant(clock.At(row.At))
                .Text(row.Customer)
                .Count(row.Units)
                .Money(row.GrossSalesCents)
                .Money(row.DiscountsCents)
                .Money(row.ReturnsCents)
                .Money(row.ShippingCents)
                .Money(row.TaxesCents)
                .Money(row.DutiesCents)
                .Money(row.FeesCents)
                .Money(row.TotalCents)
                .Count(row.OrderId)
                .Count(row.CustomerId);
    }

    private static string KindOf(OrderEntryRow row)
    {
        if (row.Placed)
            return "Order";
        return row.ReturnsCents > 0 ? "Refund" : "Change";
    }

    private static async Task<Results<Ok<OrderView>, NotFoundProblem>> Find(
        OrderQueries orders,
        long id,
        CancellationToken ct
    ) =>
        await orders.FindAsync(id, ct) is { } order
            ? TypedResults.Ok(order)
            : new NotFoundProblem("This store has no such order.", "Order not found");

    /// <summary>The parts of a question, as they are written in an address.</summary>
    internal sealed record Asked(
        string? From,
        string? To,
        string? Metric,
        string? Show,
        string? Sort,
        string? Q,
        string? Customer,
        string? Product,
        string? Over
    )
    {
        public ValidationProblem? Read(HttpContext http, TimeProvider time, out EntryFilter filter, out EntrySort sort)
        {
            (filter, sort) = (null!, default);
            if (MetricsApi.RangeOf(http, time, From, To, out var range, longest: int.MaxValue) is { } refusal)
                return refusal;
            if (Metric is not null && !EntryMetrics.Keys.Contains(Metric))
                return MetricsApi.Invalid(
                    "metric",
                    $"'{Metric}' is not one of {string.Join(", ", EntryMetrics.Keys)}."
                );
            if (ShowOf(Show) is not { } show)
                return MetricsApi.Invalid(
                    "show",
                    $"'{Show}' is not all, placed, changes, from-new, from-returning or from-guests."
                );
            if (SortOf(Sort) is not { } sorted)
                return MetricsApi.Invalid("sort", $"'{Sort}' is not newest, oldest, largest or smallest.");
            if (Q is { Length: > LongestSearch })
                return MetricsApi.Invalid("q", $"A search has at most {LongestSearch} characters.");
            if (!IsNumber(Customer, out var customer))
                return MetricsApi.Invalid("customer", $"'{Customer}' is not a customer's number.");
            if (!IsNumber(Product, out var product))
                return MetricsApi.Invalid("product", $"'{Product}' is not a product's number.");
            if (!IsNumber(Over, out var over) || over >= 1_000_000_000)
                return MetricsApi.Invalid("over", $"'{Over}' is not a whole amount below a thousand million.");
            var scale = (long)Math.Pow(10, Currencies.ExponentOf(http.Store().Currency));
            filter = new EntryFilter(
                range,
                Metric ?? EntryMetrics.Default,
                show,
                MetricsApi.Searched(Q),
                customer,
                product,
                over * scale
            );
            sort = sorted;
            return null;
        }

        /// <summary>What the question leaves out, for the head of an export; null if nothing.</summary>
        public string? Words()
        {
            var parts = new[]
            {
                ("show", Show),
                ("search", Q),
                ("customer", Customer),
                ("product", Product),
                ("over", Over),
            }
                .Where(p => !string.IsNullOrWhiteSpace(p.Item2))
                .Select(p => $"{p.Item1} {p.Item2}")
                .ToList();
            return parts.Count == 0 ? null : string.Join(", ", parts);
        }

        private static bool IsNumber(string? text, out long? number)
        {
            number = MetricsApi.NumberOf(text);
            return text is null || number is not null;
        }
    }
}

internal static class QueryStringExtensions
{
    /// <summary>The same query with one part set.</summary>
    public static QueryString With(this QueryString query, string part, string value)
    {
        var parts = Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(query.Value);
        parts[part] = value;
        return QueryString.Create(parts);
    }
}
