using XenoInsights.Formatting;

namespace XenoInsights.Insights.Customers;

/// <summary>Which customers of a range.</summary>
public enum Who
{
    /// <summary>All who placed an order in it.</summary>
    All,

    /// <summary>First order ever in the range.</summary>
    New,

    /// <summary>Two or more orders in the whole history: Shopify's returning customers.</summary>
    Returning,
}

public enum CustomerSort
{
    Sales,
    Orders,
    Recent,
}

/// <summary>A question about customers. Records compare by value, so it names an answer.</summary>
/// <param name="Search">Part of a name or e-mail.</param>
/// <param name="First">Only those whose first order ever lies in these days: a cohort.</param>
public sealed record CustomerFilter(
    DateRange Range,
    Who Who = Who.All,
    string? Search = null,
    Segment? Segment = null,
    DateRange? First = null
);

/// <summary>A customer of a range. Money in minor units.</summary>
/// <param name="Orders">Placed in the range.</param>
/// <param name="TotalCents">Total sales in the range, what came back in it taken off.</param>
/// <param name="AllOrders">In the whole history.</param>
/// <param name="Segment">The key of their segment.</param>
public sealed record CustomerRow(
    long ShopifyId,
    string Name,
    string? Email,
    long Orders,
    long TotalCents,
    long AllOrders,
    long AllTotalCents,
    DateOnly? FirstOrderDay,
    DateOnly? LastOrderDay,
    string Segment
);

/// <summary>Sums of all customers of a question, not only of a page of it.</summary>
public sealed record CustomerSums(long Customers, long Orders, long TotalCents);

/// <param name="Next">Where the next page begins; null on the last.</param>
public sealed record CustomerPageRows(IReadOnlyList<CustomerRow> Rows, string? Next);

/// <summary>One customer with their whole history. Money in minor units.</summary>
/// <param name="Recency">Scores 1 to 5; null without orders.</param>
/// <param name="Months">Orders and total sales of each month since the first order, empty months included.</param>
public sealed record CustomerView(
    long ShopifyId,
    string Name,
    string? Email,
    string? Phone,
    string? City,
    string? CountryCode,
    string? State,
    DateTimeOffset? CreatedAt,
    bool IsDeleted,
    long Orders,
    long TotalCents,
    DateOnly? FirstOrderDay,
    DateOnly? LastOrderDay,
    string Segment,
    int? Recency,
    int? Frequency,
    int? Money,
    IReadOnlyList<CustomerMonth> Months
);

public sealed record CustomerMonth(DateOnly Month, long Orders, long TotalCents);
