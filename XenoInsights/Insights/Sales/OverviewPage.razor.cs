using System.Globalization;
using Microsoft.AspNetCore.Components;
using XenoInsights.Data;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Ui;

namespace XenoInsights.Insights.Sales;

/// <summary>The store at a glance. What it shows is written in its address, so any view can be kept, sent and reloaded.</summary>
public sealed partial class OverviewPage(
    OverviewLoader loader, SyncJobs jobs, TenantChanges changes, NavigationManager navigation, XenoDatabase database, TimeProvider time) : ComponentBase, IDisposable
{
    /// <summary>Longer series are loaded again by the circuit instead of travelling inside the page.</summary>
    private const int LargestHandedSeries = 400;
    private static readonly TimeSpan _refreshInterval = TimeSpan.FromMilliseconds(500);

    private readonly Days _days = new(CultureInfo.CurrentCulture);
    private readonly CancellationTokenSource _closed = new();
    private IReadOnlyList<Shortcuts.Shortcut> _keys = [];
    private ShopClock _clock = null!;
    private Measures _measures = null!;
    private Period _period = null!;
    private Comparison _comparison;
    private Granularity _granularity, _shownGranularity;
    private Metric _metric = Metric.All[0];
    private Question? _answered;
    private OverviewFigures? _figures;
    private Handed? _handed;
    private SyncJobView? _running;
    private DateTimeOffset? _currentTo;
    private string? _uncompared;
    private CancellationTokenSource? _load;
    private IDisposable? _subscription;
    private bool _isLoading, _hasChanged, _isRefreshing;

    [CascadingParameter] public required StoreAccess Store { get; set; }

    [Parameter] public required string Handle { get; set; }
    [SupplyParameterFromQuery(Name = "preset")] private string? PresetKey { get; set; }
    [SupplyParameterFromQuery] private string? From { get; set; }
    [SupplyParameterFromQuery] private string? To { get; set; }
    [SupplyParameterFromQuery(Name = "compare")] private string? CompareKey { get; set; }
    [SupplyParameterFromQuery(Name = "g")] private string? GranularityKey { get; set; }
    [SupplyParameterFromQuery(Name = "metric")] private string? MetricKey { get; set; }

    /// <summary>From prerendering to the circuit, which then shows the same picture without asking again.</summary>
    [PersistentState]
    public Handed? FromPrerendering
    {
        get => _figures is not null && _answered is not null && (_figures.Key.Value?.Series.Count ?? 0) <= LargestHandedSeries ? new(_answered, _figures, _running, _currentTo, _uncompared) : null;
        set => _handed = value;
    }

    private DateOnly Today => _clock.Today;

    private bool HasToday => _answered is { To: var to } && to >= Today;

    private bool IsAllRunning => HasToday && _answered!.From == _answered.To;

    private bool IsFailing => _figures is { Key.Failure: not null } or { Products.Failure: not null } or { Customers.Failure: not null } or { Checkouts.Failure: not null };

    /// <summary>The days nearest to the range that have orders, as many as the range has.</summary>
    private Period Nearest
    {
        get
        {
            var (history, days) = (_figures!.History!.Value, _period.Range.Days);
            return _period.Range.From > history.To
                ? Period.Named(new(history.To.AddDays(1 - days), history.To), Today)
                : Period.Named(new(history.From, history.From.AddDays(days - 1)), Today);
        }
    }

    private string NearestDay => _period.Range.From > _figures!.History!.Value.To
        ? $"The last day with orders is {_days.Full(_figures.History.Value.To)}."
        : $"The first day with orders is {_days.Full(_figures.History.Value.From)}.";

    protected override void OnInitialized() => _keys =
    [
        ShortcutTo("d", Preset.Today),
        ShortcutTo("e", Preset.Yesterday),
        ShortcutTo("7", Preset.Last7Days),
        ShortcutTo("28", Preset.Last28Days),
        ShortcutTo("9", Preset.Last91Days),
        ShortcutTo("m", Preset.MonthToDate),
        ShortcutTo("y", Preset.YearToDate),
        ShortcutTo("a", Preset.AllTime),
        new("ArrowLeft", "←", "Earlier period", () => Run(() => Go(_period.Earlier(Today)))),
        new("ArrowRight", "→", "Later period", () => Run(() => { if (_period.Later(Today) is { } later) Go(later); })),
        new("x", "X", "Next comparison", () => Run(() => Go((Comparison)(((int)_comparison + 1) % Enum.GetValues<Comparison>().Length)))),
        new("i", "I", "Day, week, month", () => Run(() => Go((Granularity)(((int)_granularity + 1) % Enum.GetValues<Granularity>().Length)))),
    ];

    protected override async Task OnParametersSetAsync()
    {
        _clock = new(time, Store.TimeZone);
        _measures = new(new(Store.Currency, CultureInfo.CurrentCulture), CultureInfo.CurrentCulture);
        TakeHanded();
        _period = Period.Read(PresetKey, From, To, Today, _figures?.History);
        _comparison = Period.ComparisonOf(CompareKey);
        _granularity = Enum.TryParse<Granularity>(GranularityKey, ignoreCase: true, out var asked) && Enum.IsDefined(asked) ? asked : _period.DefaultGranularity;
        _metric = Metric.Find(MetricKey);
        if (Asked != _answered) await LoadAsync();
    }

    protected override void OnAfterRender(bool firstRender)
    {
        if (firstRender) _subscription = changes.Subscribe(Store.TenantId, () => InvokeAsync(RefreshAsync));
    }

    private Question Asked => new(_period.Preset, _period.Range.From, _period.Range.To, _comparison, _granularity);

    private void TakeHanded()
    {
        if (_handed is null) return;
        (_answered, _figures, _running, _currentTo, _uncompared) = _handed;
        _shownGranularity = _answered.Granularity;
        _handed = null;
    }

    /// <summary>Answers what the address asks. A newer question cancels an older one; until then the old figures stay.</summary>
    private async Task LoadAsync()
    {
        _load?.Cancel();
        using var load = _load = CancellationTokenSource.CreateLinkedTokenSource(_closed.Token);
        var asked = Asked;
        _isLoading = _figures is not null;
        try
        {
            var running = jobs.RunningAsync(load.Token);
            var figures = await loader.LoadAsync(_period.Range, _period.ComparedWith(_comparison), _granularity, load.Token);
            // Only the figures tell how far “All time” reaches back.
            if (_period.Preset == Preset.AllTime && figures.History is { } history && Period.Of(Preset.AllTime, Today, history) is var all && all != _period)
            {
                _period = all;
                _granularity = Enum.TryParse<Granularity>(GranularityKey, ignoreCase: true, out _) ? _granularity : all.DefaultGranularity;
                asked = Asked;
                figures = await loader.LoadAsync(all.Range, null, _granularity, load.Token);
            }
            _running = await running is { Type: SyncJobType.Full } import ? import : null;
            figures = Comparable(figures);
            _figures = _figures is null || _answered != asked ? figures : Merge(_figures, figures);
            (_answered, _shownGranularity) = (asked, asked.Granularity);
            _currentTo ??= Store.DataCurrentTo;
        }
        catch (OperationCanceledException) when (load.IsCancellationRequested)
        {
            return; // A newer question is being answered, or the page is closed.
        }
        finally
        {
            if (ReferenceEquals(_load, load)) (_load, _isLoading) = (null, false);
        }
    }

    // Changes that arrive while a refresh runs, or within its interval, are answered by one more.
    private async Task RefreshAsync()
    {
        _hasChanged = true;
        if (_isRefreshing) return;
        _isRefreshing = true;
        try
        {
            while (_hasChanged && !_closed.IsCancellationRequested)
            {
                _hasChanged = false;
                _currentTo = await database.LastChangeAsync(_closed.Token);
                if (_load is null) await LoadAsync();
                _isLoading = false;
                StateHasChanged();
                await Task.Delay(_refreshInterval, time, _closed.Token);
            }
        }
        catch (OperationCanceledException) when (_closed.IsCancellationRequested)
        {
            // The page is closed.
        }
        finally
        {
            _isRefreshing = false;
        }
    }

    private Task ReloadAsync() => LoadAsync();

    // Days before the history begins are unknown, not zero: held against them, everything would look like growth.
    private OverviewFigures Comparable(OverviewFigures figures)
    {
        _uncompared = null;
        if (_period.ComparedWith(_comparison) is not { } before || figures.History is not { } history || before.From >= history.From) return figures;
        _uncompared = $"Not compared: history begins on {_days.Full(history.From)}.";
        return figures.WithoutComparison();
    }

    private static OverviewFigures Merge(OverviewFigures old, OverviewFigures newer) => new(
        newer.History ?? old.History, old.Key.ReplacedBy(newer.Key), old.Products.ReplacedBy(newer.Products),
        old.Customers.ReplacedBy(newer.Customers), old.Checkouts.ReplacedBy(newer.Checkouts));

    private bool HasNothing(KeyFigures key) => _figures!.History is { } history && key.Now is { TotalOrders: 0, TotalRevenueCents: 0, ReturnsCents: 0 }
        && (_period.Range.From > history.To || _period.Range.To < history.From);

    private Shortcuts.Shortcut ShortcutTo(string key, Preset preset) =>
        new(key, key.ToUpperInvariant(), Period.Label(preset), () => Run(() => Go(Period.Of(preset, Today, _figures?.History))));

    private Task Run(Action action) => InvokeAsync(action);

    private void Go(Period period) => Navigate(new()
    {
        ["preset"] = period.Preset is Preset.Custom or Period.Default ? null : Period.Key(period.Preset),
        ["from"] = period.Preset == Preset.Custom ? Iso(period.Range.From) : null,
        ["to"] = period.Preset == Preset.Custom ? Iso(period.Range.To) : null,
        ["g"] = null,
    });

    private void Go(Comparison comparison) => Navigate(new() { ["compare"] = comparison == Comparison.PreviousPeriod ? null : Period.Key(comparison) });

    private void Go(Granularity granularity) => Navigate(new() { ["g"] = granularity == _period.DefaultGranularity ? null : granularity.ToString().ToLowerInvariant() });

    private void Go(Metric metric) => Navigate(new() { ["metric"] = metric == Metric.All[0] ? null : metric.Key });

    private void Navigate(Dictionary<string, object?> parameters) => navigation.NavigateTo(navigation.GetUriWithQueryParameters(parameters));

    private static string Iso(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    public void Dispose()
    {
        _subscription?.Dispose();
        _closed.Cancel();
        _closed.Dispose();
    }

    /// <summary>What was asked, so that an answer is known to fit it.</summary>
    public sealed record Question(Preset Preset, DateOnly From, DateOnly To, Comparison Comparison, Granularity Granularity);

    public sealed record Handed(Question Answered, OverviewFigures Figures, SyncJobView? Running, DateTimeOffset? CurrentTo, string? Uncompared);
}
