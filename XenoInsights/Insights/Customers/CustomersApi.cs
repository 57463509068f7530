using System.Globalization;
using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Formatting;
using XenoInsights.Hosting;
using XenoInsights.Insights.Orders;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Customers;

/// <summary>Customers, their segments, and one of them, as an API.</summary>
public static class CustomersApi
{
    public const int LongestSearch = 100;
    private const int DefaultLimit = 50;

    public static void AddCustomers(this WebApplicationBuilder builder) =>
        builder.Services.AddScoped<CustomerQueries>();

    public static void MapCustomers(this WebApplication app)
    {
        var metrics = app.MapGroup("/api/metrics").RequireTenantId().WithTags("Customers");
        metrics
            .MapGet("/customers", List)
            .WithSummary("Customers who ordered in a range")
            .WithDescription(
                $"""
                who: all, new (first order ever in the range) or returning (two or more orders in their whole history).
                segment: {string.Join(
                    ", ",
                    Enum.GetValues<Segment>().Select(Segments.Key)
                )}; prospects have no orders, whatever the range.
                first_from, first_to: only customers whose first order ever lies in these days. q: part of a name or
                e-mail. sort: sales, orders or recent. A further page is linked by the Link header.
                """
            );
        metrics
            .MapGet("/customers.csv", ListCsv)
            .WithSummary("All customers of the same question as CSV")
            .LimitExports();
        metrics
            .MapGet("/customers/sums", Sums)
            .WithSummary("How many customers the same question has, and what they come to");
        metrics
            .MapGet(
                "/customers/segments",
                async (CustomerQueries customers, CancellationToken ct) =>
                    TypedResults.Ok(await customers.SegmentsAsync(ct))
            )
            .WithSummary("Customers by how recently, how often and for how much they ordered");
        metrics.MapGet("/customers/{id:long}", Find).WithSummary("One customer with their whole history");
    }

    public static Who? WhoOf(string? key) =>
        key switch
        {
            null or "all" => Who.All,
            "new" => Who.New,
            "returning" => Who.Returning,
            _ => null,
        };

    public static CustomerSort? SortOf(string? key) =>
        key switch
        {
            null or "sales" => CustomerSort.Sales,
            "orders" => CustomerSort.Orders,
            "recent" => CustomerSort.Recent,
            _ => null,
        };

    private static async Task<Results<Ok<IReadOnlyList<CustomerRow>>, ValidationProblem>> List(
        HttpContext http,
        CustomerQueries customers,
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
        if (after is not null && !CustomerQueries.IsPlace(after))
            return MetricsApi.Invalid("after", $"'{after}' is not where a page ended.");
        var page = await customers.PageAsync(filter, sort, after, size, ct);
        if (page.Next is not null)
            http.Response.Headers.Link =
                $"<{http.Request.Path}{http.Request.QueryString.With("after", page.Next)}>; rel=\"next\"";
        return TypedResults.Ok(page.Rows);
    }

    private static async Task<Results<Ok<CustomerSums>, ValidationProblem>> Sums(
        HttpContext http,
        CustomerQueries customers,
        TimeProvider time,
        [AsParameters] Asked asked,
        CancellationToken ct
    ) =>
        asked.Read(http, time, out var filter, out _) is { } refusal
            ? refusal
            : TypedResults.Ok(await customers.SumsAsync(filter, ct));

    private static async Task<Results<CsvWritten, ValidationProblem>> ListCsv(
        HttpContext http,
        CustomerQueries customers,
        ExportWriter exports,
        TimeProvider time,
        [AsParameters] Asked asked,
        CancellationToken ct
    )
    {
        if (asked.Read(http, time, out var filter, out var sort) is { } refusal)
            return refusal;
        await exports.WriteAsync(await customers.ExportAsync(filter, sort, ct), Begin, Write, ct);
        return CsvWritten.Instance;

        Task<Csv> Begin(string? order) =>
            Csv.BeginAsync(
                http,
                time,
                "customers",
                "Customers",
                filter.Range,
                Definitions.Of([
                    "customers",
                    filter.Who == Who.New ? "new-customers" : "returning-customers",
                    "total-sales",
                    "segment",
                ]),
                [
                    "Customer",
                    "E-mail",
                    "Orders",
                    "Total sales",
                    "Orders ever",
                    "Total sales ever",
                    "First order",
                    "Last order",
                    "Segment",
                    "Shopify id",
                ],
                asked.Words(),
                order
            );

        void Write(Csv csv, CustomerRow row) =>
            csv.Text(row.Name)
                .Text(row.Email)
                .Count(row.Orders)
                .Money(row.TotalCents)
                .Count(row.AllOrders)
                .Money(row.AllTotalCents)
                .Day(row.FirstOrderDay)
                .Day(row.LastOrderDay)
                .Text(row.Segment)
                .Count(row.ShopifyId);
    }

    private static async Task<Results<Ok<CustomerView>, NotFoundProblem>> Find(
        CustomerQueries customers,
        long id,
        CancellationToken ct
    ) =>
        await customers.FindAsync(id, ct) is { } customer
            ? TypedResults.Ok(customer)
            : new NotFoundProblem("This store has no such customer.", "Customer not found");

    /// <summary>The parts of a question, as they are written in an address.</summary>
    internal sealed record Asked(
        string? From,
        string? To,
        string? Who,
        string? Segment,
        string? Sort,
        string? Q,
        [property: Microsoft.AspNetCore.Mvc.FromQuery(Name = "first_from")] string? FirstFrom,
        [property: Microsoft.AspNetCore.Mvc.FromQuery(Name = "first_to")] string? FirstTo
    )
    {
        public ValidationProblem? Read(
            HttpContext http,
            TimeProvider time,
            out CustomerFilter filter,
            out CustomerSort sort
        )
        {
            (filter, sort) = (null!, default);
            if (MetricsApi.RangeOf(http, time, From, To, out var range) is { } refusal)
                return refusal;
            if (WhoOf(Who) is not { } who)
                return MetricsApi.Invalid("who", $"'{Who}' is not all, new or returning.");
            if (Segment is not null && Segments.Find(Segment) is null)
                return MetricsApi.Invalid("segment", $"'{Segment}' is not a segment.");
            if (SortOf(Sort) is not { } sorted)
                return MetricsApi.Invalid("sort", $"'{Sort}' is not sales, orders or recent.");
            if (Q is { Length: > LongestSearch })
                return MetricsApi.Invalid("q", $"A search has at most {LongestSearch} characters.");
            if (FirstFrom is not null && MetricsApi.DateOf(FirstFrom) is null)
                return MetricsApi.Invalid("first_from", $"'{FirstFrom}' is not a date such as 2026-11-23.");
            if (FirstTo is not null && MetricsApi.DateOf(FirstTo) is null)
                return MetricsApi.Invalid("first_to", $"'{FirstTo}' is not a date such as 2026-11-23.");
            DateRange? first =
                FirstFrom is null && FirstTo is null
                    ? null
                    : new(
                        MetricsApi.DateOf(FirstFrom) ?? DateOnly.MinValue,
                        MetricsApi.DateOf(FirstTo) ?? DateOnly.MaxValue
                    );
            (filter, sort) = (
                new CustomerFilter(range, who, MetricsApi.Searched(Q), Segments.Find(Segment), first),
                sorted
            );
            return null;
        }

        /// <summary>What the question leaves out, for the head of an export; null if nothing.</summary>
        public string? Words()
        {
            var parts = new[]
            {
                ("", Who),
                ("segment", Segment),
                ("search", Q),
                ("first order from", FirstFrom),
                ("first order to", FirstTo),
            }
                .Where(p => !string.IsNullOrWhiteSpace(p.Item2))
                .Select(p => $"{p.Item1} {p.Item2}".Trim())
                .ToList();
            return parts.Count == 0 ? null : string.Join(", ", parts);
        }
    }
}
