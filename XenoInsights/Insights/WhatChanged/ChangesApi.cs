using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Formatting;
using XenoInsights.Insights.Overview;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.WhatChanged;

/// <summary>What moved a figure, as an API.</summary>
public static class ChangesApi
{
    public static void AddChanges(this WebApplicationBuilder builder) => builder.Services.AddScoped<ChangeQueries>();

    public static void MapChanges(this WebApplication app)
    {
        var metrics = app.MapGroup("/api/metrics").RequireTenantId().WithTags("What changed");
        metrics
            .MapGet("/what-changed", Change)
            .WithSummary("A figure’s change, divided into contributions that add up to it")
            .WithDescription(
                "metric: total-sales, net-sales or orders. by: customers, product or country (orders: not by "
                    + "product). compare: previous (as many days a whole number of weeks earlier, or the month or "
                    + "year before), year, or the first day of as many days to compare with (yyyy-MM-dd)."
            );
        metrics.MapGet("/what-changed.csv", ChangeCsv).WithSummary("The contributions as CSV").LimitExports();
    }

    public static ChangeBy? ByOf(string? key) =>
        key switch
        {
            null or "customers" => ChangeBy.Customers,
            "product" => ChangeBy.Product,
            "country" => ChangeBy.Country,
            _ => null,
        };

    private static async Task<Results<Ok<ChangeAnswer>, ValidationProblem>> Change(
        HttpContext http,
        ChangeQueries changes,
        SalesQueries sales,
        TimeProvider time,
        string? metric,
        string? by,
        string? from,
        string? to,
        string? compare,
        CancellationToken ct
    )
    {
        if (Read(http, time, metric, by, from, to, compare, out var asked) is { } refusal)
            return refusal;
        if (await UnknownAsync(http, sales, time, asked.Before, ct) is { } unknown)
            return unknown;
        return TypedResults.Ok(await changes.ChangeAsync(asked.Metric, asked.By, asked.Range, asked.Before, ct));
    }

    private static async Task<ValidationProblem?> UnknownAsync(
        HttpContext http,
        SalesQueries sales,
        TimeProvider time,
        DateRange before,
        CancellationToken ct
    ) => MetricsApi.Unknown(await sales.HistoryAsync(new StoreClock(time, http.Store().TimeZone).Today, ct), before);

    private static async Task<Results<CsvWritten, ValidationProblem>> ChangeCsv(
        HttpContext http,
        ChangeQueries changes,
        SalesQueries sales,
        TimeProvider time,
        string? metric,
        string? by,
        string? from,
        string? to,
        string? compare,
        CancellationToken ct
    )
    {
        if (Read(http, time, metric, by, from, to, compare, out var asked) is { } refusal)
            return refusal;
        if (await UnknownAsync(http, sales, time, asked.Before, ct) is { } unknown)
            return unknown;
        var answer = await changes.ChangeAsync(asked.Metric, asked.By, asked.Range, asked.Before, ct);
        var isCount = answer.Metric == "orders";
        await using var csv = await Csv.BeginAsync(
            http,
            time,
            "what-changed",
            $"What changed in {Definitions.Of(answer.Metric).Name.ToLowerInvariant()}, against "
                + $"{answer.BeforeRange.From:yyyy-MM-dd} to {answer.BeforeRange.To:yyyy-MM-dd}",
            answer.Range,
            Definitions.Of([answer.Metric, "contribution", "comparison"]),
            ["Contribution", "Part", "Before", "Now", "Contribution to the change"]
        );
        foreach (var part in answer.Contributions)
        {
            csv.Text(part.Name).Text(part.Part);
            if (part.Unit == ContributionUnit.Orders)
                csv.Count(part.Before).Count(part.Now);
            else
                csv.Money(part.Before).Money(part.Now);
            await (isCount ? csv.Count(part.Amount) : csv.Money(part.Amount)).EndRowAsync(ct);
        }
        csv.Text("Sum").Text(null);
        if (isCount)
            csv.Count(answer.Before).Count(answer.Now).Count(answer.Change);
        else
            csv.Money(answer.Before).Money(answer.Now).Money(answer.Change);
        await csv.EndRowAsync(ct);
        return CsvWritten.Instance;
    }

    private static ValidationProblem? Read(
        HttpContext http,
        TimeProvider time,
        string? metric,
        string? by,
        string? from,
        string? to,
        string? compare,
        out (string Metric, ChangeBy By, DateRange Range, DateRange Before) asked
    )
    {
        asked = default;
        if (MetricsApi.RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        if (metric is not null && !Decomposition.Metrics.Contains(metric))
            return MetricsApi.Invalid(
                "metric",
                $"'{metric}' is not one of {string.Join(", ", Decomposition.Metrics)}."
            );
        if (ByOf(by) is not { } divided)
            return MetricsApi.Invalid("by", $"'{by}' is not customers, product or country.");
        if (metric == "orders" && divided == ChangeBy.Product)
            return MetricsApi.Invalid("by", "An order may hold several products, so orders do not add up by product.");
        if (
            compare is not (null or "previous" or "year")
            && MetricsApi.DateOf(compare) is not { Year: >= 2000 and < 9000 }
        )
            return MetricsApi.Invalid(
                "compare",
                $"'{compare}' is not previous, year or the first day to compare with."
            );
        if (!MetricsApi.HasComparison(range))
            return MetricsApi.Invalid("from", "There is nothing to compare it with.");
        var period = Period.Named(range, new StoreClock(time, http.Store().TimeZone).Today);
        asked = (metric ?? "total-sales", divided, range, period.ComparedWith(Period.ComparisonOf(compare))!.Value);
        return null;
    }
}
