using XenoInsights.Formatting;

namespace XenoInsights.Insights.Orders;

/// <summary>Which of a range's entries; by default all.</summary>
public enum EntryShow
{
    All,

    /// <summary>Orders as they were placed.</summary>
    Placed,

    /// <summary>Refunds, edits and cancellations of orders, on the day they happened.</summary>
    Changes,

    /// <summary>Of customers whose first order ever lies in the range.</summary>
    FromNew,

    /// <summary>Of customers who had ordered before the range.</summary>
    FromReturning,

    /// <summary>Of nobody known.</summary>
    FromGuests,
}

public enum EntrySort
{
    Newest,
    Oldest,
    Largest,
    Smallest,
}

/// <summary>A question about entries. Records compare by value, so it names an answer.</summary>
/// <param name="Metric">Only entries that this figure is made of, by the key of its definition.</param>
/// <param name="Search">An order's name, or part of a customer's name or e-mail.</param>
/// <param name="ProductId">Only what the entries hold of this product; 0 for lines without one.</param>
/// <param name="Over">Minor units: only entries that add more than this to total sales.</param>
public sealed record EntryFilter(
    DateRange Range,
    string Metric = EntryMetrics.Default,
    EntryShow Show = EntryShow.All,
    string? Search = null,
    long? CustomerId = null,
    long? ProductId = null,
    long? Over = null
);

/// <summary>What one order adds to one shop day. Money in minor units; discounts and returns positive.</summary>
/// <param name="Placed">The order as it was placed; else what changed on <paramref name="Day"/>.</param>
/// <param name="At">When it was placed, or changed last on that day; UTC.</param>
/// <param name="TotalCents">What it adds to total sales: gross − discounts − returns + shipping + taxes + duties +
/// fees.</param>
public sealed record OrderEntryRow(
    long OrderId,
    string Name,
    bool Placed,
    DateOnly Day,
    DateTimeOffset At,
    long? CustomerId,
    string? Customer,
    long Units,
    long GrossSalesCents,
    long DiscountsCents,
    long ReturnsCents,
    long ShippingCents,
    long TaxesCents,
    long DutiesCents,
    long FeesCents,
    long TotalCents
);

/// <summary>Sums of all entries of a question, not only of a page of it.</summary>
public sealed record EntrySums(
    long Entries,
    long Orders,
    long Units,
    long GrossSalesCents,
    long DiscountsCents,
    long ReturnsCents,
    long ShippingCents,
    long TaxesCents,
    long DutiesCents,
    long FeesCents,
    long OrderValueCents
)
{
    public long NetSalesCents => GrossSalesCents - DiscountsCents - ReturnsCents;
    public long TotalCents => NetSalesCents + ShippingCents + TaxesCents + DutiesCents + FeesCents;
}

/// <param name="Days">Of the range's days, whatever the filter; without entries and units.</param>
public sealed record ComparedSums(EntrySums Entries, EntrySums Days);

/// <summary>One choice above the table, with what it would show.</summary>
public sealed record EntryFacet(EntryShow Show, long Entries, long TotalCents);

/// <param name="Next">Where the next page begins; null on the last.</param>
public sealed record EntryPage(IReadOnlyList<OrderEntryRow> Rows, string? Next);

/// <summary>The figures whose orders can be asked for, and which entries each is made of.</summary>
public static class EntryMetrics
{
    public const string Default = "total-sales";

    /// <summary>Keys of <see cref="Definitions"/>.</summary>
    public static IReadOnlyList<string> Keys { get; } =
    [
        "total-sales",
        "orders",
        "average-order-value",
        "gross-sales",
        "discounts",
        "returns",
        "net-sales",
        "shipping",
        "taxes",
        "duties",
        "fees",
    ];

    /// <summary>The entries that add to a figure.</summary>
    internal static string Predicate(string metric) =>
        metric switch
        {
            "orders" or "average-order-value" => "e.original",
            "gross-sales" => "e.gross <> 0",
            "discounts" => "e.discounts <> 0",
            "returns" => "e.returns <> 0",
            "net-sales" => "(e.gross, e.discounts, e.returns) <> (0, 0, 0)",
            "shipping" => "e.shipping <> 0",
            "taxes" => "e.taxes <> 0",
            "duties" => "e.duties <> 0",
            "fees" => "e.fees <> 0",
            _ => "true",
        };

    /// <summary>What the entries together come to.</summary>
    public static long Of(string metric, EntrySums sums) =>
        metric switch
        {
            "orders" => sums.Orders,
            "average-order-value" => sums.Orders == 0
                ? 0
                : (long)Math.Round((decimal)sums.OrderValueCents / sums.Orders, MidpointRounding.AwayFromZero),
            "gross-sales" => sums.GrossSalesCents,
            "discounts" => sums.DiscountsCents,
            "returns" => sums.ReturnsCents,
            "net-sales" => sums.NetSalesCents,
            "shipping" => sums.ShippingCents,
            "taxes" => sums.TaxesCents,
            "duties" => sums.DutiesCents,
            "fees" => sums.FeesCents,
            _ => sums.TotalCents,
        };
}
