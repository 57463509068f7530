using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Cohorts;

/// <summary>Who comes back, as an API.</summary>
public static class CohortsApi
{
    public static void AddCohorts(this WebApplicationBuilder builder) => builder.Services.AddScoped<CohortQueries>();

    public static void MapCohorts(this WebApplication app)
    {
        var metrics = app.MapGroup("/api/metrics").RequireTenantId().WithTags("Cohorts");
        metrics
            .MapGet("/cohorts", List)
            .WithSummary("Customers by the period of their first order, and what they did in each period since")
            .WithDescription(
                "period: month or week (from Monday). Cell 0 is the period of the first order: all customers of "
                    + "the cohort ordered in it. The period that is running has isOver false. At most the newest 360 "
                    + "months or 208 weeks. Of a large store an answer may be some seconds old."
            );
        metrics.MapGet("/cohorts.csv", ListCsv).WithSummary("The cohorts as CSV, a line a cell").LimitExports();
    }

    public static CohortPeriod? PeriodOf(string? key) =>
        key switch
        {
            null or "month" => CohortPeriod.Month,
            "week" => CohortPeriod.Week,
            _ => null,
        };

    private static async Task<Results<Ok<IReadOnlyList<Cohort>>, ValidationProblem>> List(
        HttpContext http,
        CohortQueries cohorts,
        TimeProvider time,
        string? period,
        CancellationToken ct
    ) =>
        PeriodOf(period) is { } parsed
            ? TypedResults.Ok(await cohorts.CohortsAsync(parsed, new StoreClock(time, http.Store().TimeZone).Today, ct))
            : MetricsApi.Invalid("period", $"'{period}' is not month or week.");

    private static async Task<Results<CsvWritten, ValidationProblem>> ListCsv(
        HttpContext http,
        CohortQueries cohorts,
        TimeProvider time,
        string? period,
        CancellationToken ct
    )
    {
        if (PeriodOf(period) is not { } parsed)
            return MetricsApi.Invalid("period", $"'{period}' is not month or week.");
        var found = await cohorts.CohortsAsync(parsed, new StoreClock(time, http.Store().TimeZone).Today, ct);
        var most = parsed == CohortPeriod.Week ? CohortQueries.MostWeeks : CohortQueries.MostMonths;
        await using var csv = await Csv.BeginAsync(
            http,
            time,
            $"cohorts-by-{period ?? "month"}",
            $"Cohorts by {period ?? "month"} of the first order, at most the newest {most}",
            null,
            Definitions.Of(["cohort", "retention", "total-sales"]),
            [
                "First order from",
                "to",
                "Customers in the cohort",
                "Periods since",
                "Period from",
                "to",
                "Customers who ordered",
                "Orders",
                "Total sales",
                "Share of the cohort",
                "Period is over",
            ]
        );
        foreach (var cohort in found)
        {
            foreach (var (cell, since) in cohort.Cells.Select((c, i) => (c, i)))
            {
                csv.Day(cohort.First)
                    .Day(cohort.Last)
                    .Count(cohort.Customers)
                    .Count(since)
                    .Day(cell.From)
                    .Day(cell.To)
                    .Count(cell.Customers)
                    .Count(cell.Orders)
                    .Money(cell.TotalCents)
                    .Rate(cohort.Customers == 0 ? null : (decimal)cell.Customers / cohort.Customers)
                    .Text(cell.IsOver ? "yes" : "no");
                await csv.EndRowAsync(ct);
            }
        }
        return CsvWritten.Instance;
    }
}
