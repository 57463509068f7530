using Microsoft.AspNetCore.Components;
using XenoInsights.Formatting;
using XenoInsights.Insights.Overview;
using XenoInsights.Ui;

namespace XenoInsights.Insights.Products;

/// <summary>One product in a range: what it came to, who bought it and what else they bought.</summary>
public sealed partial class ProductPage : RangePage<ProductPage.Question, ProductPage.Shown>
{
    private const int AlsoShown = 10,
        LargestHandedSeries = 400;

    private static readonly Granularity[] _granularities = [Granularity.Day, Granularity.Week, Granularity.Month];

    private Granularity _granularity;
    private (Shown Answer, IReadOnlyList<Figure> Figures, TimeAxis Axis)? _drawn;

    [Inject]
    public required ProductQueries Queries { get; set; }

    [Parameter]
    public long Id { get; set; }

    [SupplyParameterFromQuery(Name = "g")]
    public string? GranularityKey { get; set; }

    [SupplyParameterFromQuery(Name = "metric")]
    public string? MetricKey { get; set; }

    protected override Question Asked => new(Id, Range, Before, _granularity);

    private ProductAnswer? Product => Answer?.Product;

    protected override void ReadAddress()
    {
        base.ReadAddress();
        var usual = Usual;
        _granularity =
            Enum.TryParse<Granularity>(GranularityKey, ignoreCase: true, out var asked)
            && _granularities.Contains(asked)
                ? asked
                : usual;
    }

    protected override async Task<Shown> AskAsync(Question question, CancellationToken ct)
    {
        var product = Queries.FindAsync(question.Id, question.Range, ct);
        if (await product is null)
            return new(null, null, [], null, []);
        var (series, also) = (
            Queries.ByDateAsync(question.Id, question.Range, question.Granularity, ct),
            Queries.AlsoBoughtAsync(question.Id, question.Range, AlsoShown, ct)
        );
        if (question.Before is not { } days)
            return new(await product, null, await series, null, await also);
        var (before, seriesBefore) = (
            Queries.FindAsync(question.Id, days, ct),
            Queries.ByDateAsync(question.Id, days, question.Granularity, ct)
        );
        return new(await product, await before, await series, await seriesBefore, await also);
    }

    protected override bool IsHandable(Shown answer) => answer.Series.Count <= LargestHandedSeries;

    private Figure Chosen => Drawn.Figures.FirstOrDefault(f => f.Key == MetricKey) ?? Drawn.Figures[0];

    // Made once for every answer: the chart is drawn anew whenever it is given another figure.
    private (Shown Answer, IReadOnlyList<Figure> Figures, TimeAxis Axis) Drawn =>
        _drawn is { } drawn && ReferenceEquals(drawn.Answer, Answer) ? drawn : (_drawn = Draw(Answer!)).Value;

    private (Shown Answer, IReadOnlyList<Figure> Figures, TimeAxis Axis) Draw(Shown answer)
    {
        var product = answer.Product!;
        IReadOnlyList<Figure> figures =
        [
            Of("net-sales", Unit.Money, Better.Higher, p => p.NetSalesCents, p => p.NetSalesCents),
            Of("units-ordered", Unit.Count, Better.Higher, p => p.UnitsOrdered, p => p.UnitsOrdered),
            Of("returns", Unit.Money, Better.Lower, p => p.ReturnsCents, p => p.ReturnsCents),
            Of("return-rate", Unit.Rate, Better.Lower, p => p.ReturnRate, p => p.ReturnRate),
        ];
        return (
            answer,
            figures,
            new(
                Answered!.Range,
                Answered.Before,
                Answered.Granularity,
                [.. answer.Series.Select(p => new Bucket(p.Date))],
                answer.SeriesBefore?.Select(p => new Bucket(p.Date)).ToList()
            )
        );

        Figure Of(
            string key,
            Unit unit,
            Better better,
            Func<ProductAnswer, decimal?> of,
            Func<ProductPoint, decimal?> at
        ) =>
            new(
                key,
                unit,
                better,
                of(product),
                answer.Before is null ? null : of(answer.Before),
                [.. answer.Series.Select(at)],
                answer.SeriesBefore?.Select(at).ToList()
            );
    }

    private Granularity Usual =>
        Period.DefaultGranularity == Granularity.Hour ? Granularity.Day : Period.DefaultGranularity;

    public override void Go(Period period) => Navigate(new(AddressOf(period)) { ["g"] = null });

    private void Go(Granularity granularity) =>
        Navigate(new() { ["g"] = granularity == Usual ? null : Key(granularity) });

    private void Go(string metric) => Navigate(new() { ["metric"] = metric == "net-sales" ? null : metric });

    /// <summary>From a point of the chart to the orders behind it.</summary>
    private void Open(DateRange days) =>
        Navigation.NavigateTo(
            $"/stores/{Handle}/orders?product={Id}"
                + $"&metric={(Chosen.Key is "returns" or "return-rate" ? "returns" : "net-sales")}"
                + $"&from={Iso(days.From)}&to={Iso(days.To)}"
        );

    private string Orders(string metric) => $"/stores/{Handle}/orders?product={Id}&metric={metric}{RangeQuery('&')}";

    private Change Judged(long now, long? before) =>
        IsAllRunning ? Change.Of(now, before, Better.Higher).Unjudged() : Change.Of(now, before, Better.Higher);

    private IEnumerable<string> Facts(ProductAnswer product) =>
        new[]
        {
            product.Sku is null ? null : $"SKU {product.Sku}",
            product.ProductType,
            product.Vendor,
            product.LastSold is { } last ? $"Last sold {Days.Full(last)}" : null,
        }.OfType<string>();

    // Neither in the range nor in what it is compared with.
    private bool IsUnsold(ProductAnswer product) =>
        IsNothing(product) && (Answer!.Before is null || IsNothing(Answer.Before));

    private static bool IsNothing(ProductAnswer product) =>
        product is { UnitsOrdered: 0, UnitsReturned: 0, GrossSalesCents: 0, ReturnsCents: 0 };

    /// <summary>As many days as the range has, up to this one.</summary>
    private Period Until(DateOnly last) => Period.Named(new(last.AddDays(1 - Range.Days), last), Today);

    private static string Key(Granularity granularity) => granularity.ToString().ToLowerInvariant();

    // DRAFT reads Draft.
    private static string Readable(string status) =>
        status.Length == 0
            ? status
            : char.ToUpperInvariant(status[0]) + status[1..].ToLowerInvariant().Replace('_', ' ');

    public sealed record Question(long Id, DateRange Range, DateRange? Before, Granularity Granularity);

    public sealed record Shown(
        ProductAnswer? Product,
        ProductAnswer? Before,
        IReadOnlyList<ProductPoint> Series,
        IReadOnlyList<ProductPoint>? SeriesBefore,
        IReadOnlyList<AlsoBought> Also
    );
}
