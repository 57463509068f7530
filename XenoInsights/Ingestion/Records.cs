namespace XenoInsights.Ingestion;

/// <summary>
/// Where a version of an object was read; the more authoritative source wins between versions of the same instant.
/// </summary>
public enum RecordSource
{
    Webhook = 1,

    /// <summary>
    /// A bulk export: the whole ledger, but refunds without their lines, which bulk operations cannot reach.
    /// </summary>
    BulkExport = 2,

    /// <summary>The object by its id: everything.</summary>
    AdminApi = 3,
}

/// <summary>
/// What ingestion accepts, whatever wire it came over. All money is in minor units of the shop's
/// currency (orders and checkouts from before it was changed name theirs), all instants are UTC, and
/// <see cref="UpdatedAt"/> is the version: a newer one replaces the whole object.
/// </summary>
public abstract record IngestRecord
{
    /// <summary>Shopify's numeric id (the last part of the gid).</summary>
    public required long ShopifyId { get; init; }

    /// <summary>Shopify's <c>updated_at</c>, to the second.</summary>
    public required DateTimeOffset UpdatedAt { get; init; }

    public RecordSource Source { get; init; } = RecordSource.AdminApi;

    /// <summary>
    /// Database clock, not later than when Shopify was asked for this state, or when the delivery that tells it was
    /// received. Whoever was erased since is not brought back by it; null, nobody is who ever was erased.
    /// </summary>
    public DateTimeOffset? ReadAt { get; init; }

    /// <summary>
    /// How many objects of the source this record was assembled from (an order with its lines and sales counts each of
    /// them).
    /// </summary>
    public int SourceObjects { get; init; } = 1;

    /// <summary>Shopify's global id.</summary>
    public string Gid => $"gid://shopify/{TypeName}/{ShopifyId}";

    /// <summary>Shopify's name of the type.</summary>
    protected abstract string TypeName { get; }

    /// <summary>
    /// The object no longer exists in Shopify. A tombstone is a version like any other and contributes nothing.
    /// </summary>
    public bool Deleted { get; init; }
}

/// <summary>
/// An order with its lines and its sales ledger; the ledger alone decides all money that reports count.
/// </summary>
public sealed record OrderRecord : IngestRecord
{
    protected override string TypeName => "Order";

    /// <summary>The name the merchant knows it by, such as #1001.</summary>
    public required string Name { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>
    /// The instant that decides the order's shop day; earlier than <see cref="CreatedAt"/> for imported orders.
    /// </summary>
    public required DateTimeOffset ProcessedAt { get; init; }
    public DateTimeOffset? CancelledAt { get; init; }

    /// <summary>Null for a guest.</summary>
    public long? CustomerId { get; init; }
    public bool Test { get; init; }
    public string? FinancialStatus { get; init; }
    public string? FulfillmentStatus { get; init; }
    public string? SourceName { get; init; }

    /// <summary>
    /// ISO 4217: the shop's currency when the order was placed, in whose minor units all its money is. An order in a
    /// former one is stored and counts nowhere. Null: the shop's.
    /// </summary>
    public string? Currency { get; init; }

    /// <summary>Shopify's <c>currentTotalPriceSet</c>, kept to compare with what the ledger adds up to.</summary>
    public long CurrentTotal { get; init; }

    /// <summary>
    /// Of a payload: how many edits its ledger takes into account. Between readings of one version the one that knows
    /// more is right.
    /// </summary>
    public int KnownEdits { get; init; }

    public IReadOnlyList<OrderLineRecord> Lines { get; init; } = [];
    public IReadOnlyList<SaleRecord> Sales { get; init; } = [];
    public IReadOnlyList<RefundRecord> Refunds { get; init; } = [];
}

/// <param name="Quantity">Units ordered, including those later removed or refunded.</param>
/// <param name="CurrentQuantity">Units still on the order.</param>
/// <param name="OriginalTotal">Line total before discounts (unit price × quantity).</param>
/// <param name="Discount">Discounts allocated to the line, its share of order-level ones included.</param>
public sealed record OrderLineRecord(
    long ShopifyId,
    long? ProductId,
    long? VariantId,
    string Title,
    string? Sku,
    int Quantity,
    int CurrentQuantity,
    bool GiftCard,
    long OriginalTotal,
    long Discount
);

/// <summary>
/// One entry of Shopify's sales ledger (<c>agreements{sales}</c>), already sorted into the measure it counts in.
/// </summary>
/// <param name="HappenedAt">When the agreement was made: the day of refunds, edits and cancellations.</param>
/// <param name="Original">Part of the agreement that placed the order, and so of its average order value; dated by the
/// order's <c>processedAt</c>.</param>
/// <param name="Quantity">Units; negative when they come back.</param>
/// <param name="Amount">After discounts, before taxes; negative when it reverses.</param>
/// <param name="Discount">Discounts before taxes that <paramref name="Amount"/> already leaves out; positive lowers the
/// price.</param>
public sealed record SaleRecord(
    DateTimeOffset HappenedAt,
    bool Original,
    SaleMeasure Measure,
    long? LineItemId,
    long? ProductId,
    int Quantity,
    long Amount,
    long Discount,
    long Tax
);

/// <summary>Which reported measure a ledger entry counts in. Stored by number.</summary>
public enum SaleMeasure : short
{
    /// <summary>
    /// Stored but in no report: gift cards (a liability until used), tips, and kinds Shopify has not named yet.
    /// </summary>
    Uncounted = 0,

    /// <summary>Product ordered or its price changed: gross sales (amount + discount) and discounts.</summary>
    Sale = 1,

    /// <summary>Product taken back, or a refund's adjustment: returns.</summary>
    Return = 2,
    Shipping = 3,
    Duty = 4,
    Fee = 5,
}

/// <param name="Total">Money given back, taxes and shipping included.</param>
public sealed record RefundRecord(
    long ShopifyId,
    DateTimeOffset CreatedAt,
    DateTimeOffset? ProcessedAt,
    long Total,
    IReadOnlyList<RefundLineRecord> Lines
);

/// <param name="Subtotal">Value of the goods before taxes.</param>
public sealed record RefundLineRecord(long LineItemId, int Quantity, long Subtotal, long Tax);

public sealed record CustomerRecord : IngestRecord
{
    protected override string TypeName => "Customer";

    public required DateTimeOffset CreatedAt { get; init; }
    public string? FirstName { get; init; }
    public string? LastName { get; init; }

    /// <summary>The name to show: Shopify's display name.</summary>
    public string? DisplayName { get; init; }
    public string? Email { get; init; }
    public string? Phone { get; init; }
    public string? CountryCode { get; init; }
    public string? City { get; init; }
    public string? State { get; init; }

    /// <summary>Shopify's own counters, for cross-checks only.</summary>
    public long NumberOfOrders { get; init; }
    public long AmountSpent { get; init; }
}

public sealed record ProductRecord : IngestRecord
{
    protected override string TypeName => "Product";

    public required DateTimeOffset CreatedAt { get; init; }
    public required string Title { get; init; }
    public string? Handle { get; init; }
    public string? Status { get; init; }
    public string? Vendor { get; init; }
    public string? ProductType { get; init; }
    public bool GiftCard { get; init; }
}

/// <summary>A checkout that was begun; abandoned while <see cref="CompletedAt"/> is null. Never an order.</summary>
public sealed record CheckoutRecord : IngestRecord
{
    protected override string TypeName => "AbandonedCheckout";

    public string? Name { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? CompletedAt { get; init; }
    public long? CustomerId { get; init; }
    public string? RecoveryUrl { get; init; }

    /// <summary>As <see cref="OrderRecord.Currency"/>.</summary>
    public string? Currency { get; init; }
    public long Total { get; init; }
    public IReadOnlyList<CheckoutLineRecord> Lines { get; init; } = [];
}

/// <param name="Total">Discounted line total.</param>
public sealed record CheckoutLineRecord(long? ProductId, string Title, string? Sku, int Quantity, long Total);
