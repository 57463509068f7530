using System.Globalization;
using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;
using XenoInsights.Formatting;
using XenoInsights.Insights.Orders;
using XenoInsights.Insights.Overview;
using XenoInsights.Insights.Products;
using XenoInsights.Tenants;
using XenoInsights.Ui;

namespace XenoInsights.Insights.Checkouts;

/// <summary>Checkouts that were left, those that came back, and those still open.</summary>
public sealed partial class CheckoutsPage : RangePage<CheckoutsPage.Question, CheckoutsPage.Shown>
{
    private const int PageSize = 50,
        ProductsShown = 10,
        LargestHandedSeries = 400;

    private Granularity _granularity;
    private OpenFilter _filter = null!;
    private CheckoutSort _sort;
    private string? _after;
    private (Shown Answer, IReadOnlyList<Figure> Figures, TimeAxis Axis)? _drawn;

    [Inject]
    public required CheckoutQueries Queries { get; set; }

    [Inject]
    public required ProductQueries Products { get; set; }

    [Inject]
    public required IJSRuntime JS { get; set; }

    [SupplyParameterFromQuery(Name = "g")]
    public string? GranularityKey { get; set; }

    [SupplyParameterFromQuery(Name = "metric")]
    public string? MetricKey { get; set; }

    [SupplyParameterFromQuery(Name = "product")]
    public string? ProductKey { get; set; }

    [SupplyParameterFromQuery(Name = "sort")]
    public string? SortKey { get; set; }

    [SupplyParameterFromQuery(Name = "after")]
    public string? AfterKey { get; set; }

    protected override Question Asked => new(_filter, Before, _granularity, _sort, _after);

    private string ApiQuery => $"tenant_id={Store.TenantId}&from={Iso(Range.From)}&to={Iso(Range.To)}";

    private static string Further(CheckoutSort sort) =>
        sort switch
        {
            CheckoutSort.Newest => "Older",
            CheckoutSort.Oldest => "Newer",
            _ => "More",
        };

    private static string CsvQuery => CsvSeparator.QueryFor(CultureInfo.CurrentCulture);

    private string OpenCsv =>
        $"/api/metrics/checkouts/open.csv?{ApiQuery}{(_filter.ProductId is { } id ? $"&product={id}" : null)}"
        + $"&sort={OrdersApi.Key(_sort)}{CsvQuery}";

    protected override void ReadAddress()
    {
        base.ReadAddress();
        _granularity =
            Enum.TryParse<Granularity>(GranularityKey, ignoreCase: true, out var asked)
            && Period.Granularities.Contains(asked)
                ? asked
                : Period.DefaultGranularity;
        (_filter, _sort, _after) = (
            new(Range, MetricsApi.NumberOf(ProductKey)),
            CheckoutsApi.SortOf(SortKey) ?? CheckoutSort.Newest,
            CheckoutQueries.IsPlace(AfterKey) ? AfterKey : null
        );
    }

    protected override async Task<Shown> AskAsync(Question question, CancellationToken ct)
    {
        var range = question.Open.Range;
        var (now, series, hours, products) = (
            Queries.OverviewAsync(range, ct),
            Queries.ByDateAsync(range, question.Granularity, ct),
            Queries.ByHourAsync(range, ct),
            Queries.ProductsAsync(range, ProductsShown, ct)
        );
        var (sums, open) = (
            Queries.OpenSumsAsync(question.Open, ct),
            Queries.OpenAsync(question.Open, question.Sort, question.After, PageSize, ct)
        );
        var (before, seriesBefore) = question.Before is { } days
            ? (Queries.OverviewAsync(days, ct), Queries.ByDateAsync(days, question.Granularity, ct))
            : default;
        var title = question.Open.ProductId is { } product
            ? (await Products.FindAsync(product, range, ct))?.Title
            : null;
        return new(
            await now,
            before is null ? null : await before,
            await series,
            seriesBefore is null ? null : await seriesBefore,
            await hours,
            await products,
            await sums,
            await open,
            title
        );
    }

    protected override bool IsHandable(Shown answer) => answer.Series.Count <= LargestHandedSeries;

    private Figure Chosen => Drawn.Figures.FirstOrDefault(f => f.Key == MetricKey) ?? Drawn.Figures[0];

    // Made once for every answer: the chart is drawn anew whenever it is given another figure.
    private (Shown Answer, IReadOnlyList<Figure> Figures, TimeAxis Axis) Drawn =>
        _drawn is { } drawn && ReferenceEquals(drawn.Answer, Answer) ? drawn : (_drawn = Draw(Answer!)).Value;

    private (Shown Answer, IReadOnlyList<Figure> Figures, TimeAxis Axis) Draw(Shown answer)
    {
        IReadOnlyList<Figure> figures =
        [
            Of("abandoned-checkouts", Unit.Count, Better.Lower, c => c.Abandoned, p => p.Abandoned),
            Of("lost-value", Unit.Money, Better.Lower, c => c.LostCents, p => p.LostCents),
            Of("recovered-checkouts", Unit.Count, Better.Higher, c => c.Recovered, p => p.Recovered),
            Of("recovery-rate", Unit.Rate, Better.Higher, c => c.RecoveryRate, p => p.RecoveryRate),
            Of("recovered-value", Unit.Money, Better.Higher, c => c.RecoveredCents, p => p.RecoveredCents),
        ];
        return (
            answer,
            figures,
            new(
                Answered!.Open.Range,
                Answered.Before,
                Answered.Granularity,
                [.. answer.Series.Select(p => new Bucket(p.Date, p.Hour))],
                answer.SeriesBefore?.Select(p => new Bucket(p.Date, p.Hour)).ToList()
            )
        );

        Figure Of(
            string key,
            Unit unit,
            Better better,
            Func<CheckoutsOverview, decimal?> of,
            Func<CheckoutPoint, decimal?> at
        ) =>
            new(
                key,
                unit,
                better,
                of(answer.Now),
                answer.Before is null ? null : of(answer.Before),
                [.. answer.Series.Select(at)],
                answer.SeriesBefore?.Select(at).ToList()
            );
    }

    public override void Go(Period period) => Navigate(new(AddressOf(period)) { ["g"] = null });

    private void Go(Granularity granularity) =>
        Navigate(new() { ["g"] = granularity == Period.DefaultGranularity ? null : Key(granularity) });

    private void Go(string metric) => Navigate(new() { ["metric"] = metric == "abandoned-checkouts" ? null : metric });

    /// <summary>From a point of the chart to its days alone.</summary>
    private void Open(DateRange days) => Go(Period.Named(days, Today));

    private string Width(long count) =>
        Answer!.Now.Known == 0
            ? "0"
            : Math.Min(100m, count * 100m / Answer.Now.Known).ToString("0.#", CultureInfo.InvariantCulture) + "%";

    private string Age(DateTimeOffset since) =>
        (Time.GetUtcNow() - since) switch
        {
            { TotalMinutes: < 60 } age => $"{Math.Max(0, (int)age.TotalMinutes)} min",
            { TotalHours: < 48 } age => $"{(int)age.TotalHours} h",
            var age => $"{(int)age.TotalDays} days",
        };

    /// <summary>Only what leads to a web page.</summary>
    private static string? LinkOf(OpenCheckout checkout) =>
        Uri.TryCreate(checkout.RecoveryUrl, UriKind.Absolute, out var link) && link.Scheme is "https" or "http"
            ? link.AbsoluteUri
            : null;

    private static string Key(Granularity granularity) => granularity.ToString().ToLowerInvariant();

    private static string Name(CheckoutSort sort) =>
        sort switch
        {
            CheckoutSort.Oldest => "Oldest first",
            CheckoutSort.Largest => "Largest first",
            _ => "Newest first",
        };

    public sealed record Question(
        OpenFilter Open,
        DateRange? Before,
        Granularity Granularity,
        CheckoutSort Sort,
        string? After
    );

    public sealed record Shown(
        CheckoutsOverview Now,
        CheckoutsOverview? Before,
        IReadOnlyList<CheckoutPoint> Series,
        IReadOnlyList<CheckoutPoint>? SeriesBefore,
        IReadOnlyList<CheckoutHour> Hours,
        IReadOnlyList<CheckoutProduct> Products,
        OpenSums OpenSums,
        OpenCheckouts Open,
        string? ProductTitle
    );
}
