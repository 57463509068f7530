using XenoInsights.Data;
using XenoInsights.Formatting;

namespace XenoInsights.Insights.Overview;

/// <summary>Everything on the overview page: four panels that load, and fail, by themselves.</summary>
public sealed record OverviewMetrics(
    Panel<KeyMetrics> Key,
    Panel<Ranking<TopProduct>> Products,
    Panel<Ranking<TopCustomer>> Customers,
    Panel<ComparedCheckouts> Checkouts
);

public sealed record KeyMetrics(
    OverviewAnswer Now,
    OverviewAnswer? Before,
    IReadOnlyList<SeriesPoint> Series,
    IReadOnlyList<SeriesPoint>? SeriesBefore
);

/// <param name="Before">Revenue of the same rows in the comparison; those without any are absent. Null without a
/// comparison.</param>
public sealed record Ranking<T>(IReadOnlyList<T> Rows, IReadOnlyDictionary<long, long>? Before);

public sealed record ComparedCheckouts(CheckoutsAnswer Now, CheckoutsAnswer? Before);

/// <summary>A part of the page. It may hold older figures and a failure at once: then the refresh failed.</summary>
/// <param name="Failure">Reference of the failure in our logs.</param>
public sealed record Panel<T>(T? Value, string? Failure)
    where T : class
{
    /// <summary>The newer panel, unless it failed: figures that were there stay.</summary>
    public Panel<T> ReplacedBy(Panel<T> newer) => newer.Value is null ? newer with { Value = Value } : newer;
}

/// <summary>Asks the overview's questions, all at once.</summary>
public sealed class OverviewLoader(SalesQueries queries, ILogger<OverviewLoader> logger)
{
    private const int Rows = 6;

    public async Task<OverviewMetrics> LoadAsync(
        DateRange range,
        DateRange? before,
        Granularity granularity,
        CancellationToken ct
    )
    {
        var key = TryAsync("key figures", () => KeyFiguresAsync(range, before, granularity, ct), ct);
        var products = TryAsync(
            "top products",
            () => RankAsync(queries.TopProductsAsync, p => p.ShopifyId, queries.ProductRevenueAsync, range, before, ct),
            ct
        );
        var customers = TryAsync(
            "top customers",
            () =>
                RankAsync(queries.TopCustomersAsync, c => c.ShopifyId, queries.CustomerRevenueAsync, range, before, ct),
            ct
        );
        var checkouts = TryAsync(
            "checkouts",
            async () =>
                new ComparedCheckouts(
                    await queries.CheckoutsAsync(range, ct),
                    before is { } earlier ? await queries.CheckoutsAsync(earlier, ct) : null
                ),
            ct
        );
        return new(await key, await products, await customers, await checkouts);
    }

    private async Task<KeyMetrics> KeyFiguresAsync(
        DateRange range,
        DateRange? before,
        Granularity granularity,
        CancellationToken ct
    )
    {
        var now = queries.OverviewAsync(range, ct);
        var series = queries.ByDateAsync(range, granularity, ct);
        if (before is not { } earlier)
            return new(await now, null, await series, null);
        var overviewBefore = queries.OverviewAsync(earlier, ct);
        var seriesBefore = queries.ByDateAsync(earlier, granularity, ct);
        await Task.WhenAll(now, series, overviewBefore, seriesBefore);
        return new(await now, await overviewBefore, await series, await seriesBefore);
    }

    private static async Task<Ranking<T>> RankAsync<T>(
        Func<DateRange, int, CancellationToken, Task<IReadOnlyList<T>>> top,
        Func<T, long> id,
        Func<DateRange, IReadOnlyCollection<long>, CancellationToken, Task<IReadOnlyDictionary<long, long>>> revenue,
        DateRange range,
        DateRange? before,
        CancellationToken ct
    )
    {
        var rows = await top(range, Rows, ct);
        return new(rows, before is { } earlier ? await revenue(earlier, [.. rows.Select(id)], ct) : null);
    }

    private async Task<Panel<T>> TryAsync<T>(string what, Func<Task<T>> load, CancellationToken ct)
        where T : class
    {
        try
        {
            return new(await load(), null);
        }
        catch (Exception failure) when (!ct.IsCancellationRequested && DatabaseFailure.Is(failure))
        {
            return new(null, DatabaseFailure.Log(logger, failure, $"The {what} of an overview"));
        }
    }
}
