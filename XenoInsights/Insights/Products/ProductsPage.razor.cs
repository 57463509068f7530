using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;
using XenoInsights.Formatting;
using XenoInsights.Insights.Orders;

namespace XenoInsights.Insights.Products;

/// <summary>Every product of a range; together they are its net sales.</summary>
public sealed partial class ProductsPage : RangePage<ProductsPage.Question, ProductsPage.Shown>
{
    private const int PageSize = 50;

    private ProductFilter _filter = null!;
    private ProductSort _sort;
    private bool _ascending;
    private string? _search,
        _after;

    [Inject]
    public required ProductQueries Queries { get; set; }

    [Inject]
    public required IJSRuntime JS { get; set; }

    [SupplyParameterFromQuery(Name = "q")]
    public string? SearchKey { get; set; }

    [SupplyParameterFromQuery(Name = "vendor")]
    public string? VendorKey { get; set; }

    [SupplyParameterFromQuery(Name = "type")]
    public string? TypeKey { get; set; }

    [SupplyParameterFromQuery(Name = "sort")]
    public string? SortKey { get; set; }

    [SupplyParameterFromQuery(Name = "order")]
    public string? OrderKey { get; set; }

    [SupplyParameterFromQuery(Name = "after")]
    public string? AfterKey { get; set; }

    protected override Question Asked => new(_filter, _sort, _ascending, _after);

    private bool IsNarrowed =>
        Answered is { Filter: { Search: not null } or { Vendor: not null } or { Type: not null } };

    private IReadOnlyList<(string Part, string Text)> Pills =>
        [
            .. _filter.Vendor is null ? [] : new[] { ("vendor", $"Vendor is {_filter.Vendor}") },
            .. _filter.Type is null ? [] : new[] { ("type", $"Type is {_filter.Type}") },
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
                ("compare", Before is null ? null : Period.Key(Comparison)),
                ("q", _filter.Search),
                ("vendor", _filter.Vendor),
                ("type", _filter.Type),
                ("sort", _sort == ProductSort.NetSales ? null : OrdersApi.Key(_sort)),
                ("order", OrderKeyOrNull(_sort, _ascending)),
            }
                .Where(p => p.Value is not null)
                .Select(p => $"{p.Name}={Uri.EscapeDataString(p.Value!)}")
        );

    protected override void ReadAddress()
    {
        base.ReadAddress();
        _filter = new(Range, Before, Cut(SearchKey), Cut(VendorKey), Cut(TypeKey));
        _sort = ProductsApi.SortOf(SortKey) ?? ProductSort.NetSales;
        if (_sort == ProductSort.Change && Before is null)
            _sort = ProductSort.NetSales;
        _ascending = ProductsApi.IsAscending(OrderKey, _sort) ?? false;
        (_after, _search) = (ProductQueries.IsPlace(AfterKey, _sort) ? AfterKey : null, _filter.Search);
    }

    protected override async Task<Shown> AskAsync(Question question, CancellationToken ct)
    {
        var (sums, page, kinds) = (
            Queries.SumsAsync(question.Filter, ct),
            Queries.PageAsync(question.Filter, question.Sort, question.Ascending, question.After, PageSize, ct),
            Queries.KindsAsync(ct)
        );
        return new(await sums, await page, await kinds);
    }

    private void Search() => Set("q", string.IsNullOrWhiteSpace(_search) ? null : _search.Trim());

    // A second time the other way round.
    private void SortBy(ProductSort sort)
    {
        var usual = ProductsApi.IsAscending(null, sort)!.Value;
        var ascending = sort == _sort ? !_ascending : usual;
        Navigate(
            new()
            {
                ["after"] = null,
                ["sort"] = sort == ProductSort.NetSales ? null : OrdersApi.Key(sort),
                ["order"] = OrderKeyOrNull(sort, ascending),
            }
        );
    }

    // Each figure has its usual order, which addresses leave out.
    private static string? OrderKeyOrNull(ProductSort sort, bool ascending)
    {
        if (ascending == ProductsApi.IsAscending(null, sort))
            return null;
        return ascending ? "asc" : "desc";
    }

    private Change Judged(long now, long before) =>
        IsAllRunning ? Change.Of(now, before, Better.Higher).Unjudged() : Change.Of(now, before, Better.Higher);

    private string Count(long products) => $"{Format.Count(products)} {(products == 1 ? "product" : "products")}";

    private string Units(long units) => units == 0 ? Numbers.Nothing : Format.Count(units);

    private string Amount(long minor) => minor == 0 ? Numbers.Nothing : Money.Exact(minor);

    private static string? Cut(string? text) => MetricsApi.Searched(text, ProductsApi.LongestSearch);

    private static string Name(ProductSort sort) =>
        sort switch
        {
            ProductSort.GrossSales => "Gross sales",
            ProductSort.UnitsOrdered => "Units ordered",
            ProductSort.UnitsReturned => "Units returned",
            ProductSort.Units => "Net units",
            ProductSort.ReturnRate => "Return rate",
            ProductSort.NetSales => "Net sales",
            ProductSort.Change => "Change in net sales",
            _ => sort.ToString(),
        };

    public sealed record Question(ProductFilter Filter, ProductSort Sort, bool Ascending, string? After);

    public sealed record Shown(ProductSums Sums, ProductRows Page, ProductKinds Kinds);
}
