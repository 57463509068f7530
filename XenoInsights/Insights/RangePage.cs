using Microsoft.AspNetCore.Components;
using XenoInsights.Formatting;
using XenoInsights.Navigation;

namespace XenoInsights.Insights;

/// <summary>A page about a range of shop days, chosen in the app bar and kept from page to page.</summary>
public interface IRangePage : IInsightsPage
{
    Period Period { get; }
    Comparison Comparison { get; }

    /// <summary>False: the page has nothing to compare, and shows no choice.</summary>
    bool IsCompared { get; }
    void Go(Period period);
    void Go(Comparison comparison);
}

/// <inheritdoc cref="IRangePage"/>
public abstract class RangePage<TQuestion, TAnswer> : InsightsPage<TQuestion, TAnswer>, IRangePage
    where TQuestion : class
    where TAnswer : class
{
    [SupplyParameterFromQuery(Name = "preset")]
    public string? PresetKey { get; set; }

    [SupplyParameterFromQuery(Name = "from")]
    public string? FromKey { get; set; }

    [SupplyParameterFromQuery(Name = "to")]
    public string? ToKey { get; set; }

    [SupplyParameterFromQuery(Name = "compare")]
    public string? CompareKey { get; set; }

    public Period Period { get; private set; } = null!;
    public Comparison Comparison { get; private set; }
    public virtual bool IsCompared => true;

    protected DateRange Range => Period.Range;

    /// <summary>The days to compare with; null where there is nothing to compare, or where it would mislead.</summary>
    protected DateRange? Before => Uncompared is null ? Period.ComparedWith(Comparison) : null;

    /// <summary>
    /// Why nothing is compared although it was asked for. Days before the history begins are unknown, not zero: held
    /// against them, everything would look like growth.
    /// </summary>
    protected string? Uncompared =>
        IsCompared
        && Period.ComparedWith(Comparison) is { } before
        && History is { } history
        && before.From < history.From
            ? $"Not compared: history begins on {Days.Full(history.From)}."
            : null;

    /// <summary>The range still moves.</summary>
    protected bool HasToday => Range.To >= Today;

    /// <summary>The whole range is the running day: its changes say nothing good or bad yet.</summary>
    protected bool IsAllRunning => HasToday && Range.Days == 1;

    /// <summary>
    /// The parts that keep this range in links to other pages, beginning with <paramref name="first"/> (? or &amp;);
    /// empty for the default.
    /// </summary>
    protected string RangeQuery(char first = '?') => StorePages.KeptQuery(Navigation.Uri, first);

    protected override void ReadAddress()
    {
        Period = Period.Read(PresetKey, FromKey, ToKey, Today, History);
        Comparison = Period.ComparisonOf(CompareKey);
    }

    protected override IEnumerable<KeyboardShortcuts.Shortcut> PageKeys()
    {
        yield return To("d", Preset.Today);
        yield return To("e", Preset.Yesterday);
        yield return To("7", Preset.Last7Days);
        yield return To("28", Preset.Last28Days);
        yield return To("9", Preset.Last91Days);
        yield return To("m", Preset.MonthToDate);
        yield return To("y", Preset.YearToDate);
        yield return To("a", Preset.AllTime);
        yield return new("ArrowLeft", "←", "Earlier period", () => Run(() => Go(Period.Earlier(Today))));
        yield return new(
            "ArrowRight",
            "→",
            "Later period",
            () =>
                Run(() =>
                {
                    if (Period.Later(Today) is { } later)
                        Go(later);
                })
        );
        if (IsCompared)
            yield return new(
                "x",
                "X",
                "Next comparison",
                () =>
                    Run(() =>
                        Go(
                            Insights.Comparison.Named[
                                (Insights.Comparison.Named.ToList().IndexOf(Comparison) + 1)
                                    % Insights.Comparison.Named.Count
                            ]
                        )
                    )
            );
    }

    public virtual void Go(Period period) => Navigate(AddressOf(period));

    public void Go(Comparison comparison) =>
        Set("compare", comparison == Insights.Comparison.PreviousPeriod ? null : Period.Key(comparison));

    /// <summary>The parts of the address that name this period; lists begin on their first page again.</summary>
    protected static Dictionary<string, object?> AddressOf(Period period) =>
        new()
        {
            ["preset"] = period.Preset is Preset.Custom or Period.Default ? null : Period.Key(period.Preset),
            ["from"] = period.Preset == Preset.Custom ? Iso(period.Range.From) : null,
            ["to"] = period.Preset == Preset.Custom ? Iso(period.Range.To) : null,
            ["after"] = null,
        };

    private KeyboardShortcuts.Shortcut To(string key, Preset preset) =>
        new(key, key.ToUpperInvariant(), Period.Label(preset), () => Run(() => Go(Period.Of(preset, Today, History))));
}
