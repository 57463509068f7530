using System.Globalization;
using Microsoft.AspNetCore.Components;
using XenoInsights.Data;
using XenoInsights.Formatting;
using XenoInsights.Ingestion;
using XenoInsights.Insights.Overview;
using XenoInsights.Navigation;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Insights;

/// <summary>What <see cref="PageFrame"/> needs to know of a page.</summary>
public interface IInsightsPage
{
    StoreAccess Store { get; }
    StoreClock Clock { get; }
    DateRange? History { get; }
    StoreHistory? StoreHistory { get; }
    SyncJobView? Running { get; }
    DateTimeOffset? CurrentTo { get; }
    bool IsLoading { get; }
    bool IsFailing { get; }
    IReadOnlyList<KeyboardShortcuts.Shortcut> Keys { get; }
}

/// <summary>
/// A page that answers what its address asks, so that any view can be kept, sent and reloaded. The answer stays on
/// screen while a newer one is found, a newer question cancels an older one, and changes of the store's data ask again,
/// at most twice a second.
/// </summary>
/// <typeparam name="TQuestion">Compared by value: a record.</typeparam>
/// <typeparam name="TAnswer">Serializable: it travels from prerendering to the circuit.</typeparam>
public abstract class InsightsPage<TQuestion, TAnswer> : ComponentBase, IInsightsPage, IDisposable
    where TQuestion : class
    where TAnswer : class
{
    private static readonly TimeSpan _refreshInterval = TimeSpan.FromMilliseconds(500);

    private readonly CancellationTokenSource _closed = new();
    private CancellationTokenSource? _load;
    private IDisposable? _subscription;
    private Handed? _handed;
    private bool _hasChanged,
        _isRefreshing;

    [Inject]
    public required SalesQueries Sales { get; set; }

    [Inject]
    public required SyncJobs Jobs { get; set; }

    [Inject]
    public required TenantChanges Changes { get; set; }

    [Inject]
    public required NavigationManager Navigation { get; set; }

    [Inject]
    public required XenoDatabase Database { get; set; }

    [Inject]
    public required TenantContext Tenant { get; set; }

    [Inject]
    public required TimeProvider Time { get; set; }

    [Inject]
    public required ILoggerFactory Loggers { get; set; }

    [CascadingParameter]
    public required StoreAccess Store { get; set; }

    [Parameter]
    public required string Handle { get; set; }

    public StoreClock Clock { get; private set; } = null!;

    /// <summary>First and last day with orders; null while none are known.</summary>
    public DateRange? History => StoreHistory?.Days;

    /// <summary>Null until the first question is answered.</summary>
    public StoreHistory? StoreHistory { get; private set; }

    /// <summary>A full import on its way.</summary>
    public SyncJobView? Running { get; private set; }
    public DateTimeOffset? CurrentTo { get; private set; }
    public bool IsLoading { get; private set; }

    /// <summary>
    /// Reference under which our logs know why the last question was not answered; an older answer may still be shown.
    /// </summary>
    public string? Failure { get; private set; }
    public virtual bool IsFailing => Failure is not null;
    public IReadOnlyList<KeyboardShortcuts.Shortcut> Keys { get; private set; } = [];

    /// <summary>From prerendering to the circuit, which then shows the same picture without asking again.</summary>
    [PersistentState]
    public PageState<Handed>? FromPrerendering
    {
        get =>
            Answer is not null && Answered is not null && IsHandable(Answer)
                ? Tenant.Pack(new Handed(Answered, Answer, StoreHistory, Running, CurrentTo))
                : null;
        set => _handed = Tenant.Unpack(value);
    }

    protected Days Days { get; } = new(CultureInfo.CurrentCulture);
    protected MetricFormatter Format { get; private set; } = null!;
    protected Money Money => Format.Money;
    protected DateOnly Today => Clock.Today;

    /// <summary>What <see cref="Answer"/> answers: not yet what the address asks while that is being found.</summary>
    protected TQuestion? Answered { get; private set; }
    protected TAnswer? Answer { get; private set; }

    /// <summary>What the address asks. Read after <see cref="ReadAddress"/>.</summary>
    protected abstract TQuestion Asked { get; }

    protected abstract Task<TAnswer> AskAsync(TQuestion question, CancellationToken ct);

    /// <summary>
    /// Takes what the address says into fields; called before every question, and again when the history is known.
    /// </summary>
    protected virtual void ReadAddress() { }

    protected virtual IEnumerable<KeyboardShortcuts.Shortcut> PageKeys() => [];

    /// <summary>Another answer to the same question: parts that failed may keep what they had.</summary>
    protected virtual TAnswer Merge(TAnswer old, TAnswer newer) => newer;

    /// <summary>Answers too long to travel inside the page are asked for again by the circuit.</summary>
    protected virtual bool IsHandable(TAnswer answer) => true;

    protected override void OnInitialized() => Keys = [.. PageKeys()];

    protected override async Task OnParametersSetAsync()
    {
        Clock = new(Time, Store.TimeZone);
        Format = new(new(Store.Currency, CultureInfo.CurrentCulture), CultureInfo.CurrentCulture);
        if (_handed is not null)
            (Answered, Answer, StoreHistory, Running, CurrentTo, _handed) = (
                _handed.Question,
                _handed.Answer,
                _handed.History,
                _handed.Running,
                _handed.CurrentTo,
                null
            );
        ReadAddress();
        if (!Asked.Equals(Answered))
            await LoadAsync();
    }

    protected override void OnAfterRender(bool firstRender)
    {
        if (firstRender)
            _subscription = Changes.Subscribe(Store.TenantId, () => InvokeAsync(RefreshAsync));
    }

    /// <summary>Asks again what the address asks.</summary>
    protected async Task LoadAsync()
    {
        _load?.Cancel();
        using var load = _load = CancellationTokenSource.CreateLinkedTokenSource(_closed.Token);
        IsLoading = Answer is not null;
        try
        {
            var (running, history) = (Jobs.RunningAsync(load.Token), Sales.HistoryAsync(Today, load.Token));
            await Task.WhenAll(running, history);
            (Running, StoreHistory) = (
                await running is { Type: SyncJobType.Full } import ? import : null,
                await history
            );
            // Only the history tells how far “All time” reaches back, and whether there is anything to compare with.
            ReadAddress();
            var asked = Asked;
            var answer = await AskAsync(asked, load.Token);
            Answer = Answer is not null && asked.Equals(Answered) ? Merge(Answer, answer) : answer;
            (Answered, Failure) = (asked, null);
            CurrentTo ??= Store.DataCurrentTo;
        }
        catch (OperationCanceledException) when (load.IsCancellationRequested)
        {
            return; // A newer question is being answered, or the page is closed.
        }
        catch (Exception failure) when (DatabaseFailure.Is(failure))
        {
            Failure = DatabaseFailure.Log(Loggers.CreateLogger(GetType()), failure, GetType().Name);
        }
        finally
        {
            if (ReferenceEquals(_load, load))
                (_load, IsLoading) = (null, false);
        }
    }

    // Changes that arrive while a refresh runs, or within its interval, are answered by one more.
    private async Task RefreshAsync()
    {
        _hasChanged = true;
        if (_isRefreshing)
            return;
        _isRefreshing = true;
        try
        {
            while (_hasChanged && !_closed.IsCancellationRequested)
            {
                _hasChanged = false;
                await LookAgainAsync();
                StateHasChanged();
                await Task.Delay(_refreshInterval, Time, _closed.Token);
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

    private async Task LookAgainAsync()
    {
        try
        {
            CurrentTo = await Database.LastChangeAsync(_closed.Token);
        }
        catch (Exception failure) when (DatabaseFailure.Is(failure))
        {
            Failure = DatabaseFailure.Log(Loggers.CreateLogger(GetType()), failure, "The time of the last change");
            return;
        }
        if (_load is null)
            await LoadAsync();
        IsLoading = false;
    }

    /// <summary>Changes these parts of the address and keeps the others; null takes a part away.</summary>
    protected void Navigate(Dictionary<string, object?> parameters) =>
        Navigation.NavigateTo(Navigation.GetUriWithQueryParameters(parameters));

    /// <summary>Changes one part of the question; lists begin on their first page again.</summary>
    protected void Set(string part, object? value) => Navigate(new() { ["after"] = null, [part] = value });

    protected Task Run(Action action) => InvokeAsync(action);

    protected static string Iso(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    public void Dispose()
    {
        _subscription?.Dispose();
        _closed.Cancel();
        _closed.Dispose();
        GC.SuppressFinalize(this);
    }

    public sealed record Handed(
        TQuestion Question,
        TAnswer Answer,
        StoreHistory? History,
        SyncJobView? Running,
        DateTimeOffset? CurrentTo
    );
}
