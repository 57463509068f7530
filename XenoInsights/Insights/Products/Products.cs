using XenoInsights.Formatting;

namespace XenoInsights.Insights.Products;

/// <summary>Which products of a range, and what their net sales are compared with.</summary>
/// <param name="Before">With it, products that were sold only then are listed too, so that all changes add up.</param>
/// <param name="Search">Part of a title, the beginning of an SKU, or Shopify's id.</param>
public sealed record ProductFilter(
    DateRange Range,
    DateRange? Before = null,
    string? Search = null,
    string? Vendor = null,
    string? Type = null
);

public enum ProductSort
{
    NetSales,
    GrossSales,
    Discounts,
    Returns,
    UnitsOrdered,
    UnitsReturned,
    Units,
    ReturnRate,
    Change,
    Title,
}

/// <summary>What a product came to in a range, before taxes.</summary>
/// <param name="UnitsReturned">In the range, whenever they were ordered.</param>
/// <param name="ReturnsCents">Positive: the value that came back.</param>
public readonly record struct ProductMetrics(
    long UnitsOrdered,
    long UnitsReturned,
    long GrossSalesCents,
    long DiscountsCents,
    long ReturnsCents
)
{
    public long Units => UnitsOrdered - UnitsReturned;

    public long NetSalesCents => GrossSalesCents - DiscountsCents - ReturnsCents;

    /// <summary>A fraction of the units ordered; null where none were.</summary>
    public decimal? ReturnRate =>
        UnitsOrdered == 0
            ? null
            : decimal.Round((decimal)UnitsReturned / UnitsOrdered, 6, MidpointRounding.AwayFromZero);

    public static ProductMetrics operator +(ProductMetrics a, ProductMetrics b) =>
        new(
            a.UnitsOrdered + b.UnitsOrdered,
            a.UnitsReturned + b.UnitsReturned,
            a.GrossSalesCents + b.GrossSalesCents,
            a.DiscountsCents + b.DiscountsCents,
            a.ReturnsCents + b.ReturnsCents
        );
}

/// <param name="ShopifyId">0: lines without a product, and refund adjustments.</param>
/// <param name="Sku">Of its latest sale.</param>
/// <param name="Share">Of the net sales of all products; null where those are not positive.</param>
/// <param name="NetSalesBeforeCents">Null without a comparison.</param>
public sealed record ProductRow(
    long ShopifyId,
    string Title,
    string? Sku,
    string? Vendor,
    string? ProductType,
    long UnitsOrdered,
    long UnitsReturned,
    long Units,
    long GrossSalesCents,
    long DiscountsCents,
    long ReturnsCents,
    long NetSalesCents,
    decimal? ReturnRate,
    decimal? Share,
    long? NetSalesBeforeCents
);

/// <param name="Next">Where the next page begins; null on the last.</param>
public sealed record ProductRows(IReadOnlyList<ProductRow> Rows, string? Next);

/// <summary>What all products of a question come to, not only those of a page of it.</summary>
/// <param name="NetSalesOfDaysCents">Of the range's days, whatever the filter: what the overview says.</param>
public sealed record ProductSums(
    long Products,
    ProductMetrics Figures,
    long? NetSalesBeforeCents,
    long NetSalesOfDaysCents
);

/// <summary>What products can be told apart by.</summary>
public sealed record ProductKinds(IReadOnlyList<string> Vendors, IReadOnlyList<string> Types);

/// <summary>One product in a range. What is null is not asked of custom items, which are many things.</summary>
/// <param name="Title">That of the last line it was sold under, where Shopify has the product no more.</param>
/// <param name="Share">Of the net sales of all products.</param>
/// <param name="Orders">Placed in the range with it.</param>
/// <param name="Customers">Who placed them, each counted once; guests are not customers.</param>
/// <param name="NewCustomers">Those of them who had never bought it before the range.</param>
/// <param name="FirstSold">The first day with an order of it, as far as the history reaches.</param>
public sealed record ProductAnswer(
    long ShopifyId,
    string Title,
    string? Sku,
    string? Vendor,
    string? ProductType,
    string? Status,
    bool IsGiftCard,
    bool IsDeleted,
    DateOnly From,
    DateOnly To,
    long UnitsOrdered,
    long UnitsReturned,
    long Units,
    long GrossSalesCents,
    long DiscountsCents,
    long ReturnsCents,
    long NetSalesCents,
    decimal? ReturnRate,
    decimal? Share,
    long? Orders,
    long? Customers,
    long? NewCustomers,
    DateOnly? FirstSold,
    DateOnly? LastSold
);

/// <param name="Date">First day of the bucket; weeks begin on Monday.</param>
public sealed record ProductPoint(
    DateOnly Date,
    long UnitsOrdered,
    long UnitsReturned,
    long Units,
    long GrossSalesCents,
    long DiscountsCents,
    long ReturnsCents,
    long NetSalesCents,
    decimal? ReturnRate
);

/// <summary>Another product that the same customers bought in the same range, in whichever of their orders.</summary>
/// <param name="Customers">Who bought both.</param>
/// <param name="Share">Of the customers of the first product.</param>
/// <param name="Lift">That share ÷ the share of all customers of the range who bought the other: above 1, they go
/// together more than by chance.</param>
public sealed record AlsoBought(long ShopifyId, string Title, long Customers, decimal Share, decimal Lift);
