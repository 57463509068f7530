using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace XenoInsights.Ingestion;

/// <summary>
/// A stable 64-bit hash of a record's content, so that an unchanged object is recognised and two versions of one second
/// have an order. An order that was read with more of its edits known comes after one that was read with fewer. Raise
/// <see cref="Format"/> with every field that joins a record: it leads the hash, so re-reading an object replaces what
/// older code stored.
/// </summary>
internal sealed class ContentHash
{
    private const long Format = 2;
    private const int FormatShift = 56,
        EditsShift = 48,
        MostEdits = 255;

    private readonly XxHash64 _hash = new();

    public long Of(IngestRecord record)
    {
        Add(record.Deleted ? 1 : 0);
        switch (record)
        {
            case OrderRecord order:
                Add(order);
                break;
            case CustomerRecord customer:
                Add(customer);
                break;
            case ProductRecord product:
                Add(product);
                break;
            case CheckoutRecord checkout:
                Add(checkout);
                break;
            default:
                throw new ArgumentException($"{record.GetType().Name} is not a known record.", nameof(record));
        }
        var edits = record is OrderRecord { KnownEdits: var known } ? (long)Math.Min(known, MostEdits) : 0;
        var hash = unchecked((long)_hash.GetCurrentHashAsUInt64()) & ((1L << EditsShift) - 1);
        _hash.Reset();
        return (Format << FormatShift) | (edits << EditsShift) | hash;
    }

    private void Add(OrderRecord order)
    {
        Add(order.Name);
        Add(order.CreatedAt);
        Add(order.ProcessedAt);
        Add(order.CancelledAt);
        Add(order.CustomerId);
        Add(order.Test ? 1 : 0);
        Add(order.FinancialStatus);
        Add(order.FulfillmentStatus);
        Add(order.SourceName);
        Add(order.Currency);
        Add(order.CurrentTotal);
        Add(order.Lines.Count);
        foreach (var line in order.Lines)
        {
            Add(line.ShopifyId);
            Add(line.ProductId);
            Add(line.VariantId);
            Add(line.Title);
            Add(line.Sku);
            Add(line.Quantity);
            Add(line.CurrentQuantity);
            Add(line.GiftCard ? 1 : 0);
            Add(line.OriginalTotal);
            Add(line.Discount);
        }
        Add(order.Sales.Count);
        foreach (var sale in order.Sales)
        {
            Add(sale.HappenedAt);
            Add(sale.Original ? 1 : 0);
            Add((long)sale.Measure);
            Add(sale.LineItemId);
            Add(sale.ProductId);
            Add(sale.Quantity);
            Add(sale.Amount);
            Add(sale.Discount);
            Add(sale.Tax);
        }
        Add(order.Refunds.Count);
        foreach (var refund in order.Refunds)
        {
            Add(refund.ShopifyId);
            Add(refund.CreatedAt);
            Add(refund.ProcessedAt);
            Add(refund.Total);
            Add(refund.Lines.Count);
            foreach (var line in refund.Lines)
            {
                Add(line.LineItemId);
                Add(line.Quantity);
                Add(line.Subtotal);
                Add(line.Tax);
            }
        }
    }

    private void Add(CustomerRecord customer)
    {
        Add(customer.CreatedAt);
        Add(customer.FirstName);
        Add(customer.LastName);
        Add(customer.DisplayName);
        Add(customer.Email);
        Add(customer.Phone);
        Add(customer.CountryCode);
        Add(customer.City);
        Add(customer.State);
        Add(customer.NumberOfOrders);
        Add(customer.AmountSpent);
    }

    private void Add(ProductRecord product)
    {
        Add(product.CreatedAt);
        Add(product.Title);
        Add(product.Handle);
        Add(product.Status);
        Add(product.Vendor);
        Add(product.ProductType);
        Add(product.GiftCard ? 1 : 0);
    }

    private void Add(CheckoutRecord checkout)
    {
        Add(checkout.Name);
        Add(checkout.CreatedAt);
        Add(checkout.CompletedAt);
        Add(checkout.CustomerId);
        Add(checkout.RecoveryUrl);
        Add(checkout.Currency);
        Add(checkout.Total);
        Add(checkout.Lines.Count);
        foreach (var line in checkout.Lines)
        {
            Add(line.ProductId);
            Add(line.Title);
            Add(line.Sku);
            Add(line.Quantity);
            Add(line.Total);
        }
    }

    private void Add(DateTimeOffset instant) => Add(instant.UtcTicks);

    private void Add(DateTimeOffset? instant) => Add(instant?.UtcTicks ?? long.MinValue);

    private void Add(long? value) => Add(value ?? long.MinValue);

    private void Add(long value) => _hash.Append(MemoryMarshal.AsBytes(new ReadOnlySpan<long>(in value)));

    // The length keeps ("ab", "c") apart from ("a", "bc"), and null apart from empty.
    private void Add(string? text)
    {
        Add(text?.Length ?? -1L);
        _hash.Append(MemoryMarshal.AsBytes(text.AsSpan()));
    }
}
