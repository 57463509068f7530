using System.Text.Json.Serialization;

namespace XenoInsights.Insights;

/// <summary>
/// The overview of a range. Money in minor units (<c>Cents</c>) of <see cref="Currency"/>; rules in docs/metrics.md.
/// </summary>
/// <param name="TotalRevenueCents">Total sales: net sales + shipping + taxes + duties + fees.</param>
/// <param name="TotalCustomers">Distinct customers who placed an order in the range; guests are not customers.</param>
/// <param name="AverageOrderValueCents">(Gross sales − discounts of the orders as placed) ÷ orders, rounded half
/// away from zero; 0 without orders.</param>
/// <param name="ReturnsCents">Positive: the value that came back.</param>
/// <param name="NewCustomers">Customers whose first order ever lies in the range.</param>
/// <param name="ReturningCustomers">Customers who ordered in the range and have two or more orders in their whole
/// history.</param>
public sealed record OverviewAnswer(
    long TotalOrders,
    long TotalRevenueCents,
    long TotalCustomers,
    long AverageOrderValueCents,
    string Currency,
    string TimeZone,
    DateOnly From,
    DateOnly To,
    long GrossSalesCents,
    long DiscountsCents,
    long ReturnsCents,
    long NetSalesCents,
    long ShippingCents,
    long TaxesCents,
    long DutiesCents,
    long FeesCents,
    long NewCustomers,
    long ReturningCustomers
);

/// <summary>One bucket of the series; empty buckets are present with zeros.</summary>
/// <param name="Date">First day of the bucket (weeks begin on Monday); a bucket cut by the range keeps its own first
/// day.</param>
/// <param name="RevenueCents">Total sales.</param>
/// <param name="Hour">Of hours only: 0 to 23 by the shop's clock.</param>
public sealed record SeriesPoint(
    DateOnly Date,
    long Orders,
    long RevenueCents,
    long GrossSalesCents,
    long DiscountsCents,
    long ReturnsCents,
    long NetSalesCents,
    long ShippingCents,
    long TaxesCents,
    long AverageOrderValueCents,
    long NewCustomers,
    long TotalCustomers = 0,
    long ReturningCustomers = 0,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Hour = null
);

/// <param name="RevenueCents">Total sales of the customer's orders, refunds in the range taken off.</param>
public sealed record TopCustomer(long ShopifyId, string Name, long Orders, long RevenueCents);

/// <param name="Quantity">Units ordered less units returned in the range.</param>
/// <param name="RevenueCents">Net sales.</param>
public sealed record TopProduct(long ShopifyId, string Title, long Quantity, long RevenueCents, long GrossSalesCents);

public enum Granularity
{
    /// <summary>For ranges of up to a week.</summary>
    Hour,
    Day,
    Week,
    Month,
}

/// <summary>
/// Abandoned checkouts of a range, by the shop day they were begun on. Shopify lists a checkout only once it was
/// abandoned; some are completed later.
/// </summary>
/// <param name="Abandoned">All of them: lost and recovered.</param>
/// <param name="LostCents">Value of those not completed so far.</param>
public sealed record CheckoutsAnswer(long Abandoned, long Lost, long LostCents, long Recovered, long RecoveredCents);
