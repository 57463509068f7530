namespace XenoInsights.Insights.Orders;

/// <summary>
/// One order with everything that its figures are made of. Money in minor units of the shop's currency.
/// </summary>
/// <param name="UpdatedAt">The version that is stored: Shopify's <c>updated_at</c>.</param>
/// <param name="IsCounted">False for test and deleted orders, which count nowhere.</param>
public sealed record OrderView(
    long ShopifyId,
    string Name,
    DateTimeOffset CreatedAt,
    DateTimeOffset ProcessedAt,
    DateOnly Day,
    DateTimeOffset? CancelledAt,
    DateTimeOffset UpdatedAt,
    bool IsTest,
    bool IsDeleted,
    bool IsCounted,
    string? FinancialStatus,
    string? FulfillmentStatus,
    string? SourceName,
    long CurrentTotalCents,
    long? CustomerId,
    string? Customer,
    string? Email,
    long? CustomerOrders,
    IReadOnlyList<OrderLineView> Lines,
    IReadOnlyList<LedgerEntryView> Ledger,
    IReadOnlyList<RefundView> Refunds
);

/// <param name="Quantity">Units ordered.</param>
/// <param name="CurrentQuantity">Units still on the order.</param>
/// <param name="OriginalTotalCents">Unit price × quantity, before discounts.</param>
public sealed record OrderLineView(
    long ShopifyId,
    long? ProductId,
    string Title,
    string? Sku,
    int Quantity,
    int CurrentQuantity,
    bool IsGiftCard,
    long OriginalTotalCents,
    long DiscountCents
);

/// <summary>One entry of Shopify's ledger of the order, sorted into the measure it counts in.</summary>
/// <param name="Measure">sale, return, shipping, duty, fee; uncounted for gift cards sold and tips.</param>
/// <param name="AmountCents">After discounts, before taxes; negative when it reverses.</param>
public sealed record LedgerEntryView(
    DateOnly Day,
    DateTimeOffset HappenedAt,
    bool Placed,
    string Measure,
    long? LineItemId,
    string? Title,
    int Quantity,
    long AmountCents,
    long DiscountCents,
    long TaxCents
);

/// <param name="TotalCents">Money given back, taxes and shipping included.</param>
public sealed record RefundView(long ShopifyId, DateTimeOffset CreatedAt, long TotalCents, long Units);
