using Microsoft.AspNetCore.Components;
using XenoInsights.Formatting;
using XenoInsights.Navigation;

namespace XenoInsights.Insights.Overview;

/// <summary>The store at a glance.</summary>
public sealed partial class OverviewPage : RangePage<OverviewPage.Question, OverviewMetrics>
{
    /// <summary>Longer series are loaded again by the circuit instead of travelling inside the page.</summary>
    private const int LargestHandedSeries = 400;

    private Granularity _granularity;
    private Metric _metric = Metric.All[0];

    [Inject]
    public required OverviewLoader Loader { get; set; }

    [SupplyParameterFromQuery(Name = "g")]
    public string? GranularityKey { get; set; }

    [SupplyParameterFromQuery(Name = "metric")]
    public string? MetricKey { get; set; }

    public override bool IsFailing =>
        Failure is not null
        || Answer
            is { Key.Failure: not null }
                or { Products.Failure: not null }
                or { Customers.Failure: not null }
                or { Checkouts.Failure: not null };

    protected override Question Asked => new(Period.Preset, Range.From, Range.To, Before, _granularity);

    protected override void ReadAddress()
    {
        base.ReadAddress();
        _granularity =
            Enum.TryParse<Granularity>(GranularityKey, ignoreCase: true, out var asked)
            && Period.Granularities.Contains(asked)
                ? asked
                : Period.DefaultGranularity;
        _metric = Metric.Find(MetricKey);
    }

    protected override Task<OverviewMetrics> AskAsync(Question question, CancellationToken ct) =>
        Loader.LoadAsync(new(question.From, question.To), question.Before, question.Granularity, ct);

    protected override OverviewMetrics Merge(OverviewMetrics old, OverviewMetrics newer) =>
        new(
            old.Key.ReplacedBy(newer.Key),
            old.Products.ReplacedBy(newer.Products),
            old.Customers.ReplacedBy(newer.Customers),
            old.Checkouts.ReplacedBy(newer.Checkouts)
        );

    protected override bool IsHandable(OverviewMetrics answer) =>
        (answer.Key.Value?.Series.Count ?? 0) <= LargestHandedSeries;

    protected override IEnumerable<KeyboardShortcuts.Shortcut> PageKeys() =>
        [
            .. base.PageKeys(),
            new(
                "i",
                "I",
                "Hour, day, week, month",
                () =>
                    Run(() =>
                        Go(
                            Period.Granularities[
                                (Period.Granularities.ToList().IndexOf(_granularity) + 1) % Period.Granularities.Count
                            ]
                        )
                    )
            ),
        ];

    private bool HasNothing(KeyMetrics key) =>
        History is { } history
        && key.Now is { TotalOrders: 0, TotalRevenueCents: 0, ReturnsCents: 0 }
        && (Range.From > history.To || Range.To < history.From);

    public override void Go(Period period) => Navigate(new(AddressOf(period)) { ["g"] = null });

    private void Go(Granularity granularity) =>
        Navigate(new() { ["g"] = granularity == Period.DefaultGranularity ? null : Key(granularity) });

    /// <summary>From a point of the chart to what is behind it.</summary>
    private void Open(DateRange days) =>
        Navigation.NavigateTo($"/stores/{Handle}/{_metric.Drill}&from={Iso(days.From)}&to={Iso(days.To)}");

    private void Go(Metric metric) => Navigate(new() { ["metric"] = metric == Metric.All[0] ? null : metric.Key });

    private static string Key(Granularity granularity) => granularity.ToString().ToLowerInvariant();

    /// <summary>What was asked, so that an answer is known to fit it.</summary>
    public sealed record Question(
        Preset Preset,
        DateOnly From,
        DateOnly To,
        DateRange? Before,
        Granularity Granularity
    );
}
