using System.Globalization;
using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;
using XenoInsights.Formatting;
using XenoInsights.Ingestion;
using XenoInsights.Sync.Reconciliation;

namespace XenoInsights.Insights.Orders;

/// <summary>The orders behind a figure: what each adds to the range, with a sum that must be the figure.</summary>
public sealed partial class OrdersPage : RangePage<OrdersPage.Question, OrdersPage.Shown>
{
    private const int PageSize = 50;

    private EntryFilter _filter = null!;
    private EntrySort _sort;
    private string? _search,
        _after;

    [Inject]
    public required OrderQueries Queries { get; set; }

    [Inject]
    public required ReconciliationQueries Checks { get; set; }

    [Inject]
    public required IJSRuntime JS { get; set; }

    [SupplyParameterFromQuery(Name = "metric")]
    public string? MetricKey { get; set; }

    [SupplyParameterFromQuery(Name = "show")]
    public string? ShowKey { get; set; }

    [SupplyParameterFromQuery(Name = "sort")]
    public string? SortKey { get; set; }

    [SupplyParameterFromQuery(Name = "q")]
    public string? SearchKey { get; set; }

    [SupplyParameterFromQuery(Name = "customer")]
    public string? CustomerKey { get; set; }

    [SupplyParameterFromQuery(Name = "product")]
    public string? ProductKey { get; set; }

    /// <summary>Whole units of the shop's currency.</summary>
    [SupplyParameterFromQuery(Name = "over")]
    public string? OverKey { get; set; }

    /// <summary>before or after: the orders dated on days that belong to no history, whatever the range.</summary>
    [SupplyParameterFromQuery(Name = "outside")]
    public string? OutsideKey { get; set; }

    [SupplyParameterFromQuery(Name = "after")]
    public string? AfterKey { get; set; }

    public override bool IsCompared => false;

    protected override Question Asked => new(_filter, _sort, _after);

    private bool IsBehindFigure => MetricKey is not null;

    private Definition Definition => Definitions.Of((Answered?.Filter ?? _filter).Metric);

    private DateRange Asking =>
        OutsideKey switch
        {
            "before" => StoreHistory?.DaysBefore ?? Range,
            "after" => StoreHistory.DaysAfter(Today),
            _ => Range,
        };

    private string Outside =>
        OutsideKey == "before" ? $"Dated before {Days.Full(_filter.Range.To.AddDays(1))}" : "Dated after today";

    private string Heading =>
        _filter.Metric switch
        {
            "orders" => "Orders placed",
            _ when IsBehindFigure => $"Orders behind {Definition.Name.ToLower(CultureInfo.CurrentCulture)}",
            _ => "Orders",
        };

    private static string Number(long id) => id.ToString(CultureInfo.InvariantCulture);

    private string TotalRule => HasToday ? "pending" : "double";

    private static string Further(EntrySort sort) =>
        sort switch
        {
            EntrySort.Newest => "Older",
            EntrySort.Oldest => "Newer",
            _ => "More",
        };

    /// <summary>A column that gives way on a smaller screen, unless the list is about it.</summary>
    private string? Roomy(string measure) => _filter.Metric == measure ? null : "roomy";

    private bool HasRare => Answer!.Sums is not { DutiesCents: 0, FeesCents: 0 };

    private long Scale => (long)Math.Pow(10, Formatting.Currencies.ExponentOf(Store.Currency));

    private string Note =>
        _filter.ProductId is not null
            ? "Of each order only the lines of this product count here, with their taxes."
            : "An order counts on the day it was processed; a refund, an edit or a cancellation on the day "
                + "it was made. Test and deleted orders are left out.";

    private IReadOnlyList<(string Part, string Text)> Pills =>
        [
            .. _filter.Range == Range ? [] : new[] { ("outside", Outside) },
            .. _filter.Metric == EntryMetrics.Default
                ? []
                : new[]
                {
                    ("metric", $"Behind {Definitions.Of(_filter.Metric).Name.ToLower(CultureInfo.CurrentCulture)}"),
                },
            .. _filter.CustomerId is null
                ? []
                : new[] { ("customer", $"Customer is {Answer?.CustomerName ?? Number(_filter.CustomerId.Value)}") },
            .. _filter.ProductId is null
                ? []
                : new[] { ("product", $"Product is {Answer?.ProductTitle ?? Number(_filter.ProductId.Value)}") },
            .. _filter.Over is not { } over ? [] : new[] { ("over", $"Over {Money.Whole(over)}") },
            .. _filter.Search is null ? [] : new[] { ("q", $"Matches “{_filter.Search}”") },
        ];

    /// <summary>The same question to the API.</summary>
    private string ApiQuery =>
        string.Join(
            '&',
            new (string Name, string? Value)[]
            {
                ("from", Iso(_filter.Range.From)),
                ("to", Iso(_filter.Range.To)),
                ("metric", IsBehindFigure ? _filter.Metric : null),
                ("show", _filter.Show == EntryShow.All ? null : Key(_filter.Show)),
                ("sort", _sort == EntrySort.Newest ? null : Key(_sort)),
                ("q", _filter.Search),
                ("customer", Text(_filter.CustomerId)),
                ("product", Text(_filter.ProductId)),
                ("over", Text(_filter.Over / Scale)),
            }
                .Where(p => p.Value is not null)
                .Select(p => $"{p.Name}={Uri.EscapeDataString(p.Value!)}")
        );

    protected override void ReadAddress()
    {
        base.ReadAddress();
        _filter = new(
            Asking,
            EntryMetrics.Keys.Contains(MetricKey) ? MetricKey! : EntryMetrics.Default,
            OrdersApi.ShowOf(ShowKey) ?? EntryShow.All,
            MetricsApi.Searched(SearchKey, OrdersApi.LongestSearch),
            MetricsApi.NumberOf(CustomerKey),
            MetricsApi.NumberOf(ProductKey),
            MetricsApi.NumberOf(OverKey) is { } over and < 1_000_000_000 ? over * Scale : null
        );
        (_sort, _after, _search) = (
            OrdersApi.SortOf(SortKey) ?? EntrySort.Newest,
            OrderQueries.IsPlace(AfterKey) ? AfterKey : null,
            _filter.Search
        );
    }

    protected override async Task<Shown> AskAsync(Question question, CancellationToken ct)
    {
        var filter = question.Filter;
        var (compared, facets, page) = (
            Queries.ComparedSumsAsync(filter, ct),
            Queries.FacetsAsync(filter, ct),
            Queries.PageAsync(filter, question.Sort, question.After, PageSize, ct)
        );
        var names = Queries.NamesAsync(filter, ct);
        var isWhole = filter with { Metric = "", Range = default } == new EntryFilter(default, "");
        var proof =
            isWhole && filter.Metric is "total-sales" && filter.Range.To < Today
                ? Checks.ProofAsync(filter.Range.From, filter.Range.To, ct)
                : null;
        var sums = await compared;
        return new(
            sums.Entries,
            await facets,
            await page,
            isWhole ? EntryMetrics.Of(filter.Metric, sums.Days) : null,
            proof is not null && await proof is { } total ? new(total.Total, total.CheckedAt) : null,
            (await names).Customer,
            (await names).Product
        );
    }

    private void Search() => Set("q", string.IsNullOrWhiteSpace(_search) ? null : _search.Trim());

    private string Written(long value) =>
        Answered!.Filter.Metric == "orders" ? Format.Count(value) : Money.Exact(value);

    private string Amount(long minor) => minor == 0 ? Numbers.Nothing : Money.Exact(minor);

    private string Moment(DateTimeOffset instant) => Clock.Moment(instant, Days);

    private static string? Text(long? value) => value?.ToString(CultureInfo.InvariantCulture);

    private static string Key(Enum value) => OrdersApi.Key(value);

    private static string Name(EntryShow show) =>
        show switch
        {
            EntryShow.Placed => "Orders",
            EntryShow.Changes => "Refunds and changes",
            EntryShow.FromNew => "New customers",
            EntryShow.FromReturning => "Earlier customers",
            EntryShow.FromGuests => "Guests",
            _ => "All",
        };

    private static string Name(EntrySort sort) =>
        sort switch
        {
            EntrySort.Oldest => "Oldest first",
            EntrySort.Largest => "Largest first",
            EntrySort.Smallest => "Smallest first",
            _ => "Newest first",
        };

    public sealed record Question(EntryFilter Filter, EntrySort Sort, string? After);

    /// <param name="Figure">The same figure as the overview has it; null where the list is only a part of it.</param>
    /// <param name="InShopify">What Shopify's ledger came to, where every day of the range was proven.</param>
    public sealed record Shown(
        EntrySums Sums,
        IReadOnlyList<EntryFacet> Facets,
        EntryPage Page,
        long? Figure,
        Proven? InShopify,
        string? CustomerName,
        string? ProductTitle
    );

    public sealed record Proven(long Value, DateTimeOffset CheckedAt);
}
