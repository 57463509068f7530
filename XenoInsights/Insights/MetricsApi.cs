using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Formatting;
using XenoInsights.Hosting;
using XenoInsights.Ingestion;
using XenoInsights.Insights.Overview;
using XenoInsights.Tenants;

namespace XenoInsights.Insights;

/// <summary>The questions of the dashboards as an API: same queries, same numbers.</summary>
public static class MetricsApi
{
    private const int DefaultDays = 30,
        DefaultLimit = 5,
        MaxLimit = 250;

    /// <summary>Forty years: what is asked day by day is bounded, and the whole history of any store fits.</summary>
    public const int MaxDays = 14_610;

    private static readonly string[] _seriesMeasures =
    [
        "total-sales",
        "orders",
        "gross-sales",
        "discounts",
        "returns",
        "net-sales",
        "shipping",
        "taxes",
        "average-order-value",
        "new-customers",
        "customers",
        "returning-customers",
    ];

    /// <summary>The model, the connections and how units of work begin.</summary>
    private static readonly WarmUpStep _databaseWarmUp = new(
        "the database",
        async (services, ct) =>
        {
            var tenants = services.GetRequiredService<TenantDatabase>();
            await Task.WhenAll(
                Enumerable
                    .Range(0, 4)
                    .Select(_ =>
                        tenants.RunAsync(Guid.NewGuid(), db => db.SalesDays.AsNoTracking().ToListAsync(ct), ct)
                    )
            );
        }
    );

    public static void AddInsights(this WebApplicationBuilder builder)
    {
        builder.AddAnswers();
        builder.AddExports();
        builder.Services.AddScoped<SalesQueries>();
        builder.Services.AddSingleton(_databaseWarmUp);
    }

    public static void MapInsights(this WebApplication app)
    {
        var metrics = app.MapGroup("/api/metrics").RequireTenantId().WithTags("Metrics");
        metrics
            .MapGet("/overview", Overview)
            .WithSummary("Sales, orders and customers of a range")
            .WithDescription(
                "from and to are shop-local dates (yyyy-MM-dd), both included; without them the last 30 days. "
                    + "Money in minor units of the shop's currency."
            );
        metrics
            .MapGet("/orders/by-date", ByDate)
            .WithSummary("The same by hour, day, week or month, empty buckets included");
        metrics.MapGet("/orders/by-date.csv", ByDateCsv).WithSummary("The series as CSV").LimitExports();
        metrics.MapGet("/customers/top", TopCustomers).WithSummary("Customers by total sales");
        metrics.MapGet("/products/top", TopProducts).WithSummary("Products by net sales");
    }

    // Parameters are bound as text on purpose: the framework binds before the filter that knows the store, so a date
    // that is none would be told to somebody who has no such store, and its 400 names no parameter.
    private static async Task<Results<Ok<OverviewAnswer>, ValidationProblem>> Overview(
        HttpContext http,
        SalesQueries sales,
        TimeProvider time,
        string? from,
        string? to,
        CancellationToken ct
    ) =>
        RangeOf(http, time, from, to, out var range) is { } refusal
            ? refusal
            : TypedResults.Ok(await sales.OverviewAsync(range, ct));

    private static async Task<Results<Ok<IReadOnlyList<SeriesPoint>>, ValidationProblem>> ByDate(
        HttpContext http,
        SalesQueries sales,
        TimeProvider time,
        string? granularity,
        string? from,
        string? to,
        CancellationToken ct
    ) =>
        SeriesOf(http, time, granularity, from, to, out var range, out var by) is { } refusal
            ? refusal
            : TypedResults.Ok(await sales.ByDateAsync(range, by, ct));

    /// <summary>Null with the range and the buckets that are meant, or what is wrong with the question.</summary>
    internal static ValidationProblem? SeriesOf(
        HttpContext http,
        TimeProvider time,
        string? granularity,
        string? from,
        string? to,
        out DateRange range,
        out Granularity by
    )
    {
        by = default;
        if (RangeOf(http, time, from, to, out range) is { } refusal)
            return refusal;
        if (GranularityOf(granularity) is not { } parsed)
            return Invalid("granularity", $"'{granularity}' is not hour, day, week or month.");
        if (parsed == Granularity.Hour && range.Days > Period.MostDaysByHour)
            return Invalid("granularity", $"Hours are there for ranges of up to {Period.MostDaysByHour} days.");
        by = parsed;
        return null;
    }

    private static async Task<Results<CsvWritten, ValidationProblem>> ByDateCsv(
        HttpContext http,
        SalesQueries sales,
        TimeProvider time,
        string? granularity,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (SeriesOf(http, time, granularity, from, to, out var range, out var by) is { } refusal)
            return refusal;
        var series = await sales.ByDateAsync(range, by, ct);
        await using var csv = await Csv.BeginAsync(
            http,
            time,
            $"sales-by-{granularity ?? "day"}",
            $"Sales by {granularity ?? "day"}",
            range,
            Definitions.Of(_seriesMeasures),
            [
                .. by == Granularity.Hour ? ["Day", "Hour"] : new[] { by.ToString() },
                .. Definitions.Of(_seriesMeasures).Select(d => d.Name),
            ]
        );
        foreach (var point in series)
        {
            csv.Day(point.Date);
            if (point.Hour is { } hour)
                csv.Count(hour);
            csv.Money(point.RevenueCents)
                .Count(point.Orders)
                .Money(point.GrossSalesCents)
                .Money(point.DiscountsCents)
                .Money(point.ReturnsCents)
                .Money(point.NetSalesCents)
                .Money(point.ShippingCents)
                .Money(point.TaxesCents)
                .Money(point.AverageOrderValueCents)
                .Count(point.NewCustomers)
                .Count(point.TotalCustomers)
                .Count(point.ReturningCustomers);
            await csv.EndRowAsync(ct);
        }
        return CsvWritten.Instance;
    }

    private static async Task<Results<Ok<IReadOnlyList<TopCustomer>>, ValidationProblem>> TopCustomers(
        HttpContext http,
        SalesQueries sales,
        TimeProvider time,
        string? limit,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (LimitOf(limit, DefaultLimit, out var size) is { } wrong)
            return wrong;
        if (RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        return TypedResults.Ok(await sales.TopCustomersAsync(range, size, ct));
    }

    private static async Task<Results<Ok<IReadOnlyList<TopProduct>>, ValidationProblem>> TopProducts(
        HttpContext http,
        SalesQueries sales,
        TimeProvider time,
        string? limit,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (LimitOf(limit, DefaultLimit, out var size) is { } wrong)
            return wrong;
        if (RangeOf(http, time, from, to, out var range) is { } refusal)
            return refusal;
        return TypedResults.Ok(await sales.TopProductsAsync(range, size, ct));
    }

    /// <summary>
    /// Null with the range that is meant (without dates the last 30 days up to the shop's today), or what is wrong with
    /// the dates.
    /// </summary>
    /// <param name="longest">In days; lists that have no day for each day may be longer.</param>
    internal static ValidationProblem? RangeOf(
        HttpContext http,
        TimeProvider time,
        string? from,
        string? to,
        out DateRange range,
        int longest = MaxDays
    )
    {
        range = default;
        if (from is not null && DateOf(from) is null)
            return Invalid("from", $"'{from}' is not a date such as 2026-11-23.");
        if (to is not null && DateOf(to) is null)
            return Invalid("to", $"'{to}' is not a date such as 2026-11-23.");

        var last = DateOf(to) ?? new StoreClock(time, http.Store().TimeZone).Today;
        if (DateOf(from) is null && last.DayNumber < DefaultDays)
            return Invalid("to", $"'{to}' leaves no {DefaultDays} days before it.");
        var first = DateOf(from) ?? last.AddDays(1 - DefaultDays);
        if (first > last)
            return Invalid("from", $"from ({first:yyyy-MM-dd}) lies after to ({last:yyyy-MM-dd}).");
        if (last.DayNumber - first.DayNumber >= longest)
            return Invalid("from", $"A range has at most {longest} days.");
        range = new DateRange(first, last);
        return null;
    }

    /// <summary>
    /// What a search looks for: null for nothing. PostgreSQL knows no text with a NUL in it, nor halves of characters.
    /// </summary>
    internal static string? Searched(string? text, int longest = int.MaxValue)
    {
        if (text is null)
            return null;
        var words = string.Concat(text.EnumerateRunes().Where(rune => rune.Value != 0 && rune != Rune.ReplacementChar))
            .Trim();
        if (words.Length > longest)
            words = words[..(char.IsHighSurrogate(words[longest - 1]) ? longest - 1 : longest)];
        return words.Length == 0 ? null : words;
    }

    /// <summary>A number from 0 up that an address names; null for none, and for what is no such number.</summary>
    internal static long? NumberOf(string? text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>Whether there are days before a range to compare it with, at the ends of the calendar.</summary>
    internal static bool HasComparison(DateRange range) => range.From.DayNumber > MaxDays + 366 && range.To.Year < 9999;

    /// <summary>Why nothing is compared with these days; null if they are known.</summary>
    internal static ValidationProblem? Unknown(StoreHistory history, DateRange before) =>
        history.IsLimited && before.From < history.Begins
            ? Invalid(
                "compare",
                $"Orders before {history.Begins:yyyy-MM-dd} are not known, so nothing is compared with "
                    + $"{before.From:yyyy-MM-dd} to {before.To:yyyy-MM-dd}."
            )
            : null;

    internal static DateOnly? DateOf(string? text) =>
        DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var date)
            ? date
            : null;

    internal static Granularity? GranularityOf(string? text) =>
        text switch
        {
            null or "day" => Granularity.Day,
            "hour" => Granularity.Hour,
            "week" => Granularity.Week,
            "month" => Granularity.Month,
            _ => null,
        };

    /// <summary>Null with the number of rows that is meant, or what is wrong with it.</summary>
    internal static ValidationProblem? LimitOf(string? text, int without, out int limit)
    {
        limit = without;
        if (text is null)
            return null;
        var isNumber = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out limit);
        return isNumber && limit is >= 1 and <= MaxLimit
            ? null
            : Invalid("limit", $"'{text}' is not a number from 1 to {MaxLimit}.");
    }

    internal static ValidationProblem Invalid(string parameter, string what) =>
        TypedResults.ValidationProblem(new Dictionary<string, string[]> { [parameter] = [what] }, detail: what);
}
