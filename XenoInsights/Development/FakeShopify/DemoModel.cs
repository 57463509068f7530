using System.Globalization;

namespace XenoInsights.Development.FakeShopify;

/// <summary>
/// A shop's currency (ISO 4217 code and number of decimals) and, where the buyer paid in another one, that one with its
/// rate.
/// </summary>
public sealed record DemoCurrency(string Code, int Decimals = 2, DemoPresentment? Presentment = null)
{
    public decimal UnitsPerOne =>
        Decimals switch
        {
            0 => 1,
            2 => 100,
            3 => 1000,
            _ => throw new NotSupportedException($"{Decimals} decimals"),
        };
}

public sealed record DemoPresentment(string Code, int Decimals, decimal Rate);

/// <summary>An exact amount in minor units of the shop's currency.</summary>
public readonly record struct DemoMoney(long Minor, DemoCurrency Currency)
{
    public static DemoMoney operator +(DemoMoney a, DemoMoney b) => a with { Minor = a.Minor + b.Minor };

    public static DemoMoney operator -(DemoMoney a, DemoMoney b) => a with { Minor = a.Minor - b.Minor };

    public static DemoMoney operator -(DemoMoney a) => a with { Minor = -a.Minor };

    public static DemoMoney operator *(DemoMoney a, long factor) => a with { Minor = a.Minor * factor };

    public DemoAmount ShopAmount => new(Minor, Currency.Decimals);

    public DemoAmount PresentmentAmount =>
        Currency.Presentment is { } other
            ? new(
                (long)
                    Math.Round(
                        Minor
                            * other.Rate
                            * new DemoCurrency(other.Code, other.Decimals).UnitsPerOne
                            / Currency.UnitsPerOne,
                        MidpointRounding.AwayFromZero
                    ),
                other.Decimals
            )
            : ShopAmount;
}

/// <summary>A decimal as Shopify writes it: no superfluous zeros, but always one decimal ("10.0", "2.55").</summary>
public readonly record struct DemoAmount(long Minor, int Decimals)
{
    public override string ToString()
    {
        Span<char> text = stackalloc char[32];
        TryFormat(text, out var written);
        return new string(text[..written]);
    }

    public bool TryFormat(Span<char> text, out int written)
    {
        var unit = Decimals switch
        {
            0 => 1L,
            2 => 100L,
            3 => 1000L,
            _ => throw new NotSupportedException($"{Decimals} decimals"),
        };
        var magnitude = Math.Abs(Minor);
        var at = 0;
        if (Minor < 0)
        {
            text[at++] = '-';
        }
        (magnitude / unit).TryFormat(text[at..], out var whole, provider: CultureInfo.InvariantCulture);
        at += whole;
        text[at++] = '.';
        var rest = magnitude % unit;
        do
        {
            unit /= 10;
            text[at++] = unit == 0 ? '0' : (char)('0' + (rest / unit));
            rest = unit == 0 ? 0 : rest % unit;
        } while (rest > 0);
        written = at;
        return true;
    }
}

/// <summary>A global id, gid://shopify/Type/123.</summary>
public readonly record struct Gid(string Type, long Id)
{
    public const string Prefix = "gid://shopify/";

    public override string ToString() => $"{Prefix}{Type}/{Id}";

    public static bool TryParse(string? text, out Gid gid)
    {
        gid = default;
        if (text is null || !text.StartsWith(Prefix, StringComparison.Ordinal))
        {
            return false;
        }
        var parts = text[Prefix.Length..].Split('?')[0].Split('/');
        if (parts.Length != 2 || !long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var id))
        {
            return false;
        }
        gid = new Gid(parts[0], id);
        return true;
    }
}

/// <summary>Anything the store keeps by number.</summary>
public interface IDemoObject
{
    long Id { get; }

    DateTimeOffset CreatedAt { get; }

    DateTimeOffset UpdatedAt { get; }
}

public enum FinancialStatus
{
    Authorized,
    Expired,
    Paid,
    PartiallyPaid,
    PartiallyRefunded,
    Pending,
    Refunded,
    Voided,
}

public enum FulfillmentStatus
{
    Unfulfilled,
    Fulfilled,
    PartiallyFulfilled,
    Restocked,
}

public enum SaleAction
{
    Order,
    Return,
    Update,
    Unknown,
}

public enum SaleLine
{
    Product,
    Shipping,
    Tip,
    GiftCard,
    Duty,
    Fee,
    AdditionalFee,
    Adjustment,
    Unknown,
}

public enum AgreementKind
{
    Order,
    OrderEdit,
    Refund,
    Return,
}

/// <summary>
/// An order as the platform knows it. <see cref="Agreements"/> are the ledger: every total is a sum over their sales,
/// so lines, totals and ledger cannot disagree.
/// </summary>
public sealed record DemoOrder : IDemoObject
{
    public required long Id { get; init; }

    public required long Number { get; init; }

    public required string Name { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset ProcessedAt { get; init; }

    public required DateTimeOffset UpdatedAt { get; init; }

    public DateTimeOffset? CancelledAt { get; init; }

    public string? CancelReason { get; init; }

    public DateTimeOffset? ClosedAt { get; init; }

    public required DemoCurrency Currency { get; init; }

    public bool Test { get; init; }

    public bool TaxesIncluded { get; init; }

    public long? CustomerId { get; init; }

    public string? Email { get; init; }

    public string? Note { get; init; }

    public string SourceName { get; init; } = "web";

    public FinancialStatus FinancialStatus { get; init; } = FinancialStatus.Paid;

    public FulfillmentStatus FulfillmentStatus { get; init; } = FulfillmentStatus.Fulfilled;

    public DemoAddress? Address { get; init; }

    public IReadOnlyList<string> Tags { get; init; } = [];

    public IReadOnlyList<string> DiscountCodes { get; init; } = [];

    public IReadOnlyList<string> Gateways { get; init; } = ["shopify_payments"];

    public required IReadOnlyList<DemoLine> Lines { get; init; }

    public IReadOnlyList<DemoShippingLine> ShippingLines { get; init; } = [];

    public IReadOnlyList<DemoFee> AdditionalFees { get; init; } = [];

    public required IReadOnlyList<DemoAgreement> Agreements { get; init; }

    public IReadOnlyList<DemoRefund> Refunds { get; init; } = [];

    public IReadOnlyList<DemoTransaction> Transactions { get; init; } = [];

    public bool Edited => Agreements.Any(a => a.Kind == AgreementKind.OrderEdit);

    public DemoMoney Total => Sum(s => s.Action != SaleAction.Return && s.Line != SaleLine.Adjustment, s => s.Total);

    public DemoMoney OriginalTotal => Sum(Agreements.Take(1), _ => true, s => s.Total);

    public DemoMoney CurrentTotal => Sum(s => s.Line != SaleLine.Adjustment, s => s.Total);

    public DemoMoney Subtotal => Sum(s => IsGoods(s) && s.Action != SaleAction.Return, PriceOf);

    public DemoMoney CurrentSubtotal => Sum(IsGoods, PriceOf);

    public DemoMoney TotalTax => Sum(s => s.Action != SaleAction.Return, s => s.Tax);

    public DemoMoney CurrentTotalTax => Sum(_ => true, s => s.Tax);

    public DemoMoney TotalDiscounts => Sum(s => s.Action != SaleAction.Return, s => s.DiscountAfterTaxes);

    public DemoMoney CurrentTotalDiscounts => Sum(_ => true, s => s.DiscountAfterTaxes);

    public DemoMoney TotalShipping => Sum(s => s.Line == SaleLine.Shipping && s.Action != SaleAction.Return, PriceOf);

    public DemoMoney CurrentShipping => Sum(s => s.Line == SaleLine.Shipping, PriceOf);

    public DemoMoney RefundedShipping =>
        -Sum(s => s.Line == SaleLine.Shipping && s.Action == SaleAction.Return, PriceOf);

    public DemoMoney TotalTip => Sum(s => s.Line == SaleLine.Tip && s.Action != SaleAction.Return, s => s.Total);

    public DemoMoney TotalDuties => Sum(s => s.Line == SaleLine.Duty && s.Action != SaleAction.Return, s => s.Total);

    public DemoMoney TotalAdditionalFees =>
        Sum(s => s.Line == SaleLine.AdditionalFee && s.Action != SaleAction.Return, s => s.Total);

    public DemoMoney RefundDiscrepancy => Sum(s => s.Line == SaleLine.Adjustment, s => s.Total);

    public DemoMoney TotalReceived => Paid("SALE") + Paid("CAPTURE");

    public DemoMoney TotalRefunded => Paid("REFUND");

    private DemoMoney Paid(string kind)
    {
        var sum = new DemoMoney(0, Currency);
        foreach (var transaction in Transactions)
        {
            if (transaction.Kind == kind)
            {
                sum += transaction.Amount;
            }
        }
        return sum;
    }

    private DemoMoney Sum(Func<DemoSale, bool> counts, Func<DemoSale, DemoMoney> amount) =>
        Sum(Agreements, counts, amount);

    private DemoMoney Sum(
        IEnumerable<DemoAgreement> agreements,
        Func<DemoSale, bool> counts,
        Func<DemoSale, DemoMoney> amount
    )
    {
        var sum = new DemoMoney(0, Currency);
        foreach (var agreement in agreements)
        {
            foreach (var sale in agreement.Sales)
            {
                if (counts(sale))
                {
                    sum += amount(sale);
                }
            }
        }
        return sum;
    }

    private static bool IsGoods(DemoSale sale) => sale.Line is SaleLine.Product or SaleLine.GiftCard;

    private DemoMoney PriceOf(DemoSale sale) => TaxesIncluded ? sale.Total : sale.Total - sale.Tax;
}

/// <summary>
/// Discounts are allocations; those of the whole order do not lower the line's own discounted total, as on the
/// platform.
/// </summary>
public sealed record DemoLine
{
    public required long Id { get; init; }

    public required string Title { get; init; }

    public string? VariantTitle { get; init; }

    public string? Sku { get; init; }

    public string? Vendor { get; init; }

    public required int Quantity { get; init; }

    public required int CurrentQuantity { get; init; }

    public required DemoMoney UnitPrice { get; init; }

    public IReadOnlyList<DemoMoney> LineDiscounts { get; init; } = [];

    public IReadOnlyList<DemoMoney> OrderDiscounts { get; init; } = [];

    public IReadOnlyList<DemoTax> Taxes { get; init; } = [];

    public IReadOnlyList<DemoDuty> Duties { get; init; } = [];

    public long? ProductId { get; init; }

    public long? VariantId { get; init; }

    public bool IsGiftCard { get; init; }

    public bool RequiresShipping { get; init; } = true;

    public DemoMoney OriginalTotal => UnitPrice * Quantity;

    public DemoMoney LineDiscount => LineDiscounts.Aggregate(UnitPrice * 0, (sum, discount) => sum + discount);

    public DemoMoney DiscountedTotal => OriginalTotal - LineDiscount;

    public DemoMoney AllDiscounts => OrderDiscounts.Aggregate(LineDiscount, (sum, discount) => sum + discount);
}

public sealed record DemoShippingLine
{
    public required long Id { get; init; }

    public required string Title { get; init; }

    public required DemoMoney Price { get; init; }

    public IReadOnlyList<DemoMoney> Discounts { get; init; } = [];

    public DemoMoney Refunded { get; init; }

    public IReadOnlyList<DemoTax> Taxes { get; init; } = [];

    public DemoMoney DiscountedPrice => Discounts.Aggregate(Price, (price, discount) => price - discount);
}

/// <summary>Rate as a fraction: 0.2 is 20 %.</summary>
public sealed record DemoTax(string Title, decimal Rate, DemoMoney Price);

public sealed record DemoDuty(
    long Id,
    DemoMoney Price,
    string CountryOfOrigin = "CN",
    string HarmonizedSystemCode = "420221"
);

public sealed record DemoFee(long Id, string Name, DemoMoney Price);

public sealed record DemoAgreement(
    long Id,
    AgreementKind Kind,
    DateTimeOffset HappenedAt,
    IReadOnlyList<DemoSale> Sales
)
{
    public DemoRefund? Refund { get; init; }
}

/// <summary>
/// One entry of the sales ledger. Total is after tax and discounts; returns are negative in money and quantity.
/// </summary>
public sealed record DemoSale
{
    public required long Id { get; init; }

    public required SaleAction Action { get; init; }

    public required SaleLine Line { get; init; }

    public int? Quantity { get; init; }

    public required DemoMoney Total { get; init; }

    public required DemoMoney Tax { get; init; }

    public required DemoMoney DiscountBeforeTaxes { get; init; }

    public required DemoMoney DiscountAfterTaxes { get; init; }

    public DemoLine? LineItem { get; init; }

    public DemoShippingLine? ShippingLine { get; init; }

    public DemoDuty? Duty { get; init; }

    public DemoFee? Fee { get; init; }
}

public sealed record DemoRefund
{
    public required long Id { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public string? Note { get; init; }

    public required DemoMoney Total { get; init; }

    public IReadOnlyList<DemoRefundLine> Lines { get; init; } = [];

    public IReadOnlyList<DemoRefundShipping> Shipping { get; init; } = [];

    public IReadOnlyList<DemoAdjustment> Adjustments { get; init; } = [];

    public IReadOnlyList<DemoTransaction> Transactions { get; init; } = [];
}

/// <summary>Amounts are positive here; subtotal is before tax unless the shop's prices include it.</summary>
public sealed record DemoRefundLine(
    long Id,
    DemoLine LineItem,
    int Quantity,
    DemoMoney Subtotal,
    DemoMoney Tax,
    string RestockType = "RETURN"
);

public sealed record DemoRefundShipping(long Id, DemoShippingLine ShippingLine, DemoMoney Subtotal, DemoMoney Tax);

/// <summary>Positive: the merchant kept it (restocking fee); negative: the merchant gave more (goodwill).</summary>
public sealed record DemoAdjustment(long Id, string Reason, DemoMoney Amount, DemoMoney Tax);

public sealed record DemoTransaction(
    long Id,
    string Kind,
    DemoMoney Amount,
    DateTimeOffset ProcessedAt,
    string Gateway = "shopify_payments"
);

public sealed record DemoAddress(
    string CountryCode,
    string Country,
    string? City = null,
    string? Zip = null,
    string? ProvinceCode = null
);

public sealed record DemoCustomer : IDemoObject
{
    public required long Id { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset UpdatedAt { get; init; }

    public string? FirstName { get; init; }

    public string? LastName { get; init; }

    public string? Email { get; init; }

    public IReadOnlyList<string> Tags { get; init; } = [];

    public string Locale { get; init; } = "en";

    public bool AcceptsMarketing { get; init; }

    public DemoAddress? Address { get; init; }

    public long NumberOfOrders { get; init; }

    public required DemoMoney AmountSpent { get; init; }

    public long? LastOrderId { get; init; }

    public string DisplayName => $"{FirstName} {LastName}".Trim() is { Length: > 0 } name ? name : Email ?? "";
}

/// <summary>Every product here has exactly one variant.</summary>
public sealed record DemoProduct : IDemoObject
{
    public required long Id { get; init; }

    public required long VariantId { get; init; }

    public required string Title { get; init; }

    public required string Sku { get; init; }

    public required DemoMoney Price { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset UpdatedAt { get; init; }

    public string Vendor { get; init; } = "";

    public string ProductType { get; init; } = "";

    public string Status { get; init; } = "ACTIVE";

    public bool IsGiftCard { get; init; }

    public int Inventory { get; init; } = 100;

    public IReadOnlyList<string> Tags { get; init; } = [];

    public string Handle =>
        string.Join(
            '-',
            Title
                .ToLowerInvariant()
                .Split(
                    [' ', '/', '\'', '.', ',', '&', '"', '*', '(', ')', '+', '#', '%', '?', '!', '-'],
                    StringSplitOptions.RemoveEmptyEntries
                )
        );
}

public sealed record DemoCheckout : IDemoObject
{
    public required long Id { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset UpdatedAt { get; init; }

    public DateTimeOffset? CompletedAt { get; init; }

    public long? CustomerId { get; init; }

    public bool TaxesIncluded { get; init; }

    public DemoAddress? Address { get; init; }

    public required DemoCurrency Currency { get; init; }

    public required IReadOnlyList<DemoCheckoutLine> Lines { get; init; }

    public DemoMoney LinesTotal => Lines.Aggregate(new DemoMoney(0, Currency), (sum, line) => sum + line.Total);
}

public sealed record DemoCheckoutLine(
    long Id,
    string Title,
    string? Sku,
    int Quantity,
    DemoMoney UnitPrice,
    long? ProductId,
    long? VariantId
)
{
    public DemoMoney Total => UnitPrice * Quantity;
}
