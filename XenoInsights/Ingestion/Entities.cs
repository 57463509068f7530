using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Data;

namespace XenoInsights.Ingestion;

/// <summary>What every ingested object carries: its key and the version that was applied last.</summary>
public abstract class IngestedObject : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long ShopifyId { get; init; }

    /// <summary>The applied version: Shopify's <c>updated_at</c>; <c>-infinity</c> before the first one.</summary>
    public DateTimeOffset UpdatedAt { get; init; }
    public RecordSource Source { get; init; }

    /// <summary>
    /// Hash of the applied content: equal versions with equal hashes are the same, the higher hash wins otherwise.
    /// </summary>
    public long ContentHash { get; init; }

    /// <summary>Set on tombstones: gone in Shopify, kept so that a late update cannot bring it back.</summary>
    public DateTimeOffset? DeletedAt { get; init; }
}

public sealed class Order : IngestedObject
{
    public string Name { get; init; } = "";
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset ProcessedAt { get; init; }

    /// <summary>The shop day of <see cref="ProcessedAt"/>.</summary>
    public DateOnly BusinessDay { get; init; }
    public DateTimeOffset? CancelledAt { get; init; }
    public long? CustomerId { get; init; }
    public bool Test { get; init; }
    public string? FinancialStatus { get; init; }
    public string? FulfillmentStatus { get; init; }
    public string? SourceName { get; init; }
    public string Currency { get; init; } = "";

    /// <summary>Minor units of <see cref="Currency"/>.</summary>
    public long CurrentTotal { get; init; }

    /// <summary>
    /// False for test orders, tombstones and orders in a former currency of the shop: their ledger is kept but counts
    /// nowhere.
    /// </summary>
    public bool Counted { get; init; }
}

public sealed class OrderLineItem : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long OrderId { get; init; }
    public long ShopifyId { get; init; }
    public long? ProductId { get; init; }
    public long? VariantId { get; init; }
    public string Title { get; init; } = "";
    public string? Sku { get; init; }
    public int Quantity { get; init; }
    public int CurrentQuantity { get; init; }
    public bool GiftCard { get; init; }
    public long OriginalTotal { get; init; }
    public long Discount { get; init; }
}

/// <summary>
/// One dated entry of an order's sales ledger; see <see cref="SaleRecord"/>. The truth that every rollup is made of.
/// </summary>
public sealed class OrderSale : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long OrderId { get; init; }
    public int Ordinal { get; init; }

    /// <summary>The shop day the entry counts on.</summary>
    public DateOnly Day { get; init; }
    public DateTimeOffset HappenedAt { get; init; }
    public bool Original { get; init; }
    public SaleMeasure Measure { get; init; }
    public long? LineItemId { get; init; }
    public long? ProductId { get; init; }
    public int Quantity { get; init; }
    public long Amount { get; init; }
    public long Discount { get; init; }
    public long Tax { get; init; }
}

public sealed class Refund : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long OrderId { get; init; }
    public long ShopifyId { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? ProcessedAt { get; init; }
    public long Total { get; init; }
}

public sealed class RefundLineItem : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long OrderId { get; init; }
    public long RefundId { get; init; }
    public int Ordinal { get; init; }
    public long LineItemId { get; init; }
    public int Quantity { get; init; }
    public long Subtotal { get; init; }
    public long Tax { get; init; }
}

public sealed class Customer : IngestedObject
{
    public DateTimeOffset CreatedAt { get; init; }
    public string? FirstName { get; init; }
    public string? LastName { get; init; }
    public string? DisplayName { get; init; }
    public string? Email { get; init; }
    public string? Phone { get; init; }
    public string? CountryCode { get; init; }
    public string? City { get; init; }
    public string? State { get; init; }
    public long NumberOfOrders { get; init; }
    public long AmountSpent { get; init; }
}

public sealed class Product : IngestedObject
{
    public DateTimeOffset CreatedAt { get; init; }
    public string Title { get; init; } = "";
    public string? Handle { get; init; }
    public string? Status { get; init; }
    public string? Vendor { get; init; }
    public string? ProductType { get; init; }
    public bool GiftCard { get; init; }
}

public sealed class Checkout : IngestedObject
{
    public string? Name { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? CompletedAt { get; init; }

    /// <summary>The shop day it was begun on.</summary>
    public DateOnly BusinessDay { get; init; }
    public long? CustomerId { get; init; }
    public string? RecoveryUrl { get; init; }
    public string Currency { get; init; } = "";
    public long Total { get; init; }
}

public sealed class CheckoutLineItem : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long CheckoutId { get; init; }
    public int Ordinal { get; init; }
    public long? ProductId { get; init; }
    public string Title { get; init; } = "";
    public string? Sku { get; init; }
    public int Quantity { get; init; }
    public long Total { get; init; }
}

/// <summary>
/// Rollup: what one counted order adds to one shop day: as it was placed, or by what changed later (refunds, edits,
/// cancellation). The entries of a range add up to its figures, measure by measure; every counted order has exactly one
/// that placed it.
/// </summary>
public sealed class OrderEntry : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long OrderId { get; init; }
    public DateOnly Day { get; init; }

    /// <summary>True: as it was placed. False: what changed on <see cref="Day"/>.</summary>
    public bool Original { get; init; }

    /// <summary>When it was placed, or changed last on that day.</summary>
    public DateTimeOffset At { get; init; }
    public long? CustomerId { get; init; }

    /// <summary>Units ordered less units that came back.</summary>
    public long Units { get; init; }
    public long Gross { get; init; }
    public long Discounts { get; init; }

    /// <summary>Positive: what came back.</summary>
    public long Returns { get; init; }
    public long Shipping { get; init; }
    public long Taxes { get; init; }
    public long Duties { get; init; }
    public long Fees { get; init; }
}

/// <summary>
/// Rollup: a shop day's sales. Sums of <see cref="OrderSale"/> entries of counted orders, plus how the day's customers
/// stand.
/// </summary>
public sealed class SalesDay : ITenantOwned
{
    public Guid TenantId { get; init; }
    public DateOnly Day { get; init; }
    public long Orders { get; init; }

    /// <summary>Those of them that were placed through the online store's checkout.</summary>
    public long OnlineOrders { get; init; }

    /// <summary>
    /// Gross sales − discounts of the day's orders as they were placed: the numerator of the average order value.
    /// </summary>
    public long OrderValue { get; init; }
    public long Gross { get; init; }
    public long Discounts { get; init; }

    /// <summary>Positive: what came back.</summary>
    public long Returns { get; init; }
    public long Shipping { get; init; }
    public long Taxes { get; init; }
    public long Duties { get; init; }
    public long Fees { get; init; }

    /// <summary>Customers who placed an order on this day.</summary>
    public long Customers { get; init; }

    /// <summary>Customers whose first order ever was placed on this day.</summary>
    public long NewCustomers { get; init; }

    /// <summary>Customers with exactly one order in their whole history, placed on this day.</summary>
    public long OneOrderCustomers { get; init; }
}

/// <summary>
/// Rollup: a product's shop day. Product 0 gathers lines without a product, so that products add up to the day.
/// </summary>
public sealed class ProductDay : ITenantOwned
{
    public Guid TenantId { get; init; }
    public DateOnly Day { get; init; }
    public long ProductId { get; init; }
    public long UnitsOrdered { get; init; }
    public long UnitsReturned { get; init; }
    public long Gross { get; init; }
    public long Discounts { get; init; }
    public long Returns { get; init; }
}

/// <summary>
/// Rollup: what a product's shop days of a calendar month come to, so that a year is twelve rows a product.
/// </summary>
public sealed class ProductMonth : ITenantOwned
{
    public Guid TenantId { get; init; }

    /// <summary>Its first day.</summary>
    public DateOnly Month { get; init; }
    public long ProductId { get; init; }
    public long UnitsOrdered { get; init; }
    public long UnitsReturned { get; init; }
    public long Gross { get; init; }
    public long Discounts { get; init; }
    public long Returns { get; init; }
}

/// <summary>Rollup: a customer's shop day. Guests have none.</summary>
public sealed class CustomerDay : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long CustomerId { get; init; }
    public DateOnly Day { get; init; }
    public long Orders { get; init; }
    public long TotalSales { get; init; }
}

/// <summary>Rollup: a customer's whole history; its row is also the lock under which that history changes.</summary>
public sealed class CustomerTotal : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long CustomerId { get; init; }
    public long Orders { get; init; }
    public long TotalSales { get; init; }
    public DateOnly? FirstOrderDay { get; init; }
    public DateOnly? LastOrderDay { get; init; }
}

/// <summary>
/// Rollup: how many customers ordered on <see cref="Day"/> having last ordered on <see cref="PreviousDay"/>
/// (<c>-infinity</c>: never). The distinct customers of any range a…b are those with Day in a…b and PreviousDay
/// before a, however long the history.
/// </summary>
public sealed class CustomerReturn : ITenantOwned
{
    public Guid TenantId { get; init; }
    public DateOnly Day { get; init; }
    public DateOnly PreviousDay { get; init; }
    public long Customers { get; init; }
}

internal sealed class IngestionConfiguration
    : IEntityTypeConfiguration<Order>,
        IEntityTypeConfiguration<OrderLineItem>,
        IEntityTypeConfiguration<OrderSale>,
        IEntityTypeConfiguration<Refund>,
        IEntityTypeConfiguration<RefundLineItem>,
        IEntityTypeConfiguration<Customer>,
        IEntityTypeConfiguration<Product>,
        IEntityTypeConfiguration<Checkout>,
        IEntityTypeConfiguration<CheckoutLineItem>,
        IEntityTypeConfiguration<OrderEntry>,
        IEntityTypeConfiguration<SalesDay>,
        IEntityTypeConfiguration<ProductDay>,
        IEntityTypeConfiguration<ProductMonth>,
        IEntityTypeConfiguration<CustomerDay>,
        IEntityTypeConfiguration<CustomerTotal>,
        IEntityTypeConfiguration<CustomerReturn>
{
    // No foreign keys among ingested tables: the writer replaces an order with its children as one, orders may arrive
    // before their customers, and the per-row check would cost an import more than all its indexes (docs/adr/0003).
    public void Configure(EntityTypeBuilder<Order> builder)
    {
        Versioned(builder);
        builder.HasIndex(o => new
        {
            o.TenantId,
            o.BusinessDay,
            o.ShopifyId,
        });
        builder.HasIndex(o => new { o.TenantId, o.Name });
        // Few: test orders, deleted ones and those in a former currency of the shop.
        builder
            .HasIndex(o => new { o.TenantId, o.Currency })
            .HasFilter("not counted")
            .HasDatabaseName("ix_orders_not_counted");
    }

    public void Configure(EntityTypeBuilder<OrderLineItem> builder) =>
        builder.HasKey(l => new
        {
            l.TenantId,
            l.OrderId,
            l.ShopifyId,
        });

    public void Configure(EntityTypeBuilder<OrderSale> builder)
    {
        builder.HasKey(s => new
        {
            s.TenantId,
            s.OrderId,
            s.Ordinal,
        });
        builder
            .HasIndex(s => new
            {
                s.TenantId,
                s.ProductId,
                s.Day,
                s.OrderId,
            })
            .HasFilter("product_id is not null");
    }

    public void Configure(EntityTypeBuilder<Refund> builder) =>
        builder.HasKey(r => new
        {
            r.TenantId,
            r.OrderId,
            r.ShopifyId,
        });

    public void Configure(EntityTypeBuilder<RefundLineItem> builder) =>
        builder.HasKey(r => new
        {
            r.TenantId,
            r.OrderId,
            r.RefundId,
            r.Ordinal,
        });

    public void Configure(EntityTypeBuilder<Customer> builder) => Versioned(builder);

    public void Configure(EntityTypeBuilder<Product> builder) => Versioned(builder);

    public void Configure(EntityTypeBuilder<Checkout> builder)
    {
        Versioned(builder);
        builder.HasIndex(c => new { c.TenantId, c.BusinessDay });
    }

    public void Configure(EntityTypeBuilder<CheckoutLineItem> builder) =>
        builder.HasKey(l => new
        {
            l.TenantId,
            l.CheckoutId,
            l.Ordinal,
        });

    public void Configure(EntityTypeBuilder<OrderEntry> builder)
    {
        builder.HasKey(e => new
        {
            e.TenantId,
            e.OrderId,
            e.Day,
            e.Original,
        });
        builder.HasIndex(e => new
        {
            e.TenantId,
            e.Day,
            e.At,
            e.OrderId,
            e.Original,
        });
        builder
            .HasIndex(e => new
            {
                e.TenantId,
                e.CustomerId,
                e.Day,
            })
            .HasFilter("customer_id is not null");
        builder.HasIndex(e => new { e.TenantId, e.Day }).HasFilter("customer_id is null");
    }

    public void Configure(EntityTypeBuilder<SalesDay> builder) => builder.HasKey(d => new { d.TenantId, d.Day });

    public void Configure(EntityTypeBuilder<ProductDay> builder) =>
        builder.HasKey(d => new
        {
            d.TenantId,
            d.Day,
            d.ProductId,
        });

    public void Configure(EntityTypeBuilder<ProductMonth> builder) =>
        builder.HasKey(m => new
        {
            m.TenantId,
            m.Month,
            m.ProductId,
        });

    public void Configure(EntityTypeBuilder<CustomerDay> builder)
    {
        builder.HasKey(d => new
        {
            d.TenantId,
            d.CustomerId,
            d.Day,
        });
        builder
            .HasIndex(d => new { d.TenantId, d.Day })
            .IncludeProperties(d => new
            {
                d.CustomerId,
                d.Orders,
                d.TotalSales,
            });
    }

    public void Configure(EntityTypeBuilder<CustomerTotal> builder)
    {
        builder.HasKey(c => new { c.TenantId, c.CustomerId });
        builder.HasIndex(c => new { c.TenantId, c.FirstOrderDay });
    }

    public void Configure(EntityTypeBuilder<CustomerReturn> builder) =>
        builder.HasKey(r => new
        {
            r.TenantId,
            r.Day,
            r.PreviousDay,
        });

    private static void Versioned<T>(EntityTypeBuilder<T> builder)
        where T : IngestedObject
    {
        builder.HasKey(o => new { o.TenantId, o.ShopifyId });
        builder.Property(o => o.Source).HasConversion<short>();
        builder.HasQueryFilter("Deleted", o => o.DeletedAt == null);
    }
}
