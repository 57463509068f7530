using System.Globalization;
using Microsoft.AspNetCore.Components;
using XenoInsights.Formatting;

namespace XenoInsights.Insights.Customers;

/// <summary>Who ordered in a range, and the segments that all customers fall into.</summary>
public sealed partial class CustomersPage : RangePage<CustomersPage.Question, CustomersPage.Shown>
{
    private const int PageSize = 50;

    private const string MapLabel =
        "Segments by how recently customers ordered, from bottom to top, and how often and for how much, "
        + "from left to right. The table holds the same.";

    private CustomerFilter _filter = null!;
    private CustomerSort _sort;
    private string? _search,
        _after;
    private bool _isMap;

    [Inject]
    public required CustomerQueries Queries { get; set; }

    [SupplyParameterFromQuery(Name = "view")]
    public string? ViewKey { get; set; }

    [SupplyParameterFromQuery(Name = "who")]
    public string? WhoKey { get; set; }

    [SupplyParameterFromQuery(Name = "segment")]
    public string? SegmentKey { get; set; }

    [SupplyParameterFromQuery(Name = "sort")]
    public string? SortKey { get; set; }

    [SupplyParameterFromQuery(Name = "q")]
    public string? SearchKey { get; set; }

    [SupplyParameterFromQuery(Name = "first_from")]
    public string? FirstFromKey { get; set; }

    [SupplyParameterFromQuery(Name = "first_to")]
    public string? FirstToKey { get; set; }

    [SupplyParameterFromQuery(Name = "after")]
    public string? AfterKey { get; set; }

    public override bool IsCompared => false;

    protected override Question Asked => new(_filter, _sort, _after, _isMap);

    private long AllInSegments => Answer!.Segments.Sum(s => s.Customers);

    private IReadOnlyList<(string Part, string Text)> Pills =>
        [
            .. _filter.Segment is not { } segment
                ? []
                : new[] { ("segment", $"Segment is {Segments.Name(segment).ToLower(CultureInfo.CurrentCulture)}") },
            .. _filter.First is not { } first
                ? []
                : new[] { ("first_from", $"First order {Days.Span(first.From, first.To)}") },
            .. _filter.Search is null ? [] : new[] { ("q", $"Matches “{_filter.Search}”") },
        ];

    /// <summary>The same question to the API.</summary>
    private string ApiQuery =>
        string.Join(
            '&',
            new (string Name, string? Value)[]
            {
                ("from", Iso(Range.From)),
                ("to", Iso(Range.To)),
                ("who", _filter.Who == Who.All ? null : WhoKey),
                ("segment", _filter.Segment is null ? null : SegmentKey),
                ("sort", _sort == CustomerSort.Sales ? null : SortKey),
                ("q", _filter.Search),
                ("first_from", _filter.First is { } from ? Iso(from.From) : null),
                ("first_to", _filter.First is { } to ? Iso(to.To) : null),
            }
                .Where(p => p.Value is not null)
                .Select(p => $"{p.Name}={Uri.EscapeDataString(p.Value!)}")
        );

    protected override void ReadAddress()
    {
        base.ReadAddress();
        DateRange? first =
            MetricsApi.DateOf(FirstFromKey) is { } from && MetricsApi.DateOf(FirstToKey) is { } to
                ? new(from, to)
                : null;
        _filter = new(
            Range,
            CustomersApi.WhoOf(WhoKey) ?? Who.All,
            MetricsApi.Searched(SearchKey, CustomersApi.LongestSearch),
            Segments.Find(SegmentKey),
            first
        );
        (_sort, _after, _search, _isMap) = (
            CustomersApi.SortOf(SortKey) ?? CustomerSort.Sales,
            CustomerQueries.IsPlace(AfterKey) ? AfterKey : null,
            _filter.Search,
            ViewKey == "segments"
        );
    }

    protected override async Task<Shown> AskAsync(Question question, CancellationToken ct)
    {
        if (question.IsMap)
            return new(new(0, 0, 0), [], new([], null), await Queries.SegmentsAsync(ct));
        var (page, facets) = (
            Queries.PageAsync(question.Filter, question.Sort, question.After, PageSize, ct),
            Queries.FacetsAsync(question.Filter, ct)
        );
        return new((await facets)[(int)question.Filter.Who], await facets, await page, []);
    }

    private void Search() => Set("q", string.IsNullOrWhiteSpace(_search) ? null : _search.Trim());

    private void Remove(string part) =>
        Navigate(
            part == "first_from"
                ? new()
                {
                    ["first_from"] = null,
                    ["first_to"] = null,
                    ["after"] = null,
                }
                : new() { [part] = null, ["after"] = null }
        );

    // Each segment's name stands once in the map, in its first field.
    private static bool IsNamedAt(int recency, int value)
    {
        var segment = Segments.Of(recency, value);
        return !Enumerable
            .Range(recency, 6 - recency)
            .SelectMany(r => Enumerable.Range(1, 5).Select(v => (r, v)))
            .Any(f => (f.r > recency || f.v < value) && Segments.Of(f.r, f.v) == segment);
    }

    private string Written(DateOnly? day) => day is { } known ? Days.Full(known) : Numbers.Nothing;

    private static string Each(long orders, long customers) =>
        ((decimal)orders / customers).ToString("N1", CultureInfo.CurrentCulture);

    private static string Name(CustomerSort sort) =>
        sort switch
        {
            CustomerSort.Orders => "Most orders",
            CustomerSort.Recent => "Latest order",
            _ => "Largest sales",
        };

    public sealed record Question(CustomerFilter Filter, CustomerSort Sort, string? After, bool IsMap);

    /// <param name="Facets">One a choice of <see cref="Who"/>, all else being equal.</param>
    public sealed record Shown(
        CustomerSums Sums,
        IReadOnlyList<CustomerSums> Facets,
        CustomerPageRows Page,
        IReadOnlyList<SegmentAnswer> Segments
    );
}
