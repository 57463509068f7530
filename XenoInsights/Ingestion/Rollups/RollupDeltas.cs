using System.Runtime.InteropServices;

namespace XenoInsights.Ingestion.Rollups;

/// <summary>
/// What a batch adds to each rollup row: contributions of the incoming versions less those of the versions they
/// replace.
/// </summary>
internal sealed class RollupDeltas
{
    /// <summary>Gathers lines without a product, so that products add up to the day.</summary>
    public const long NoProduct = 0;

    public Dictionary<DateOnly, SalesDelta> Days { get; } = [];
    public Dictionary<(DateOnly Day, long ProductId), ProductDelta> Products { get; } = [];
    public Dictionary<(long CustomerId, DateOnly Day), CustomerDelta> Customers { get; } = [];

    public void AddOrder(DateOnly day, long? customerId, bool online, int sign)
    {
        ref var sales = ref At(Days, day);
        sales.Orders += sign;
        if (online)
            sales.OnlineOrders += sign;
        if (customerId is { } customer)
            At(Customers, (customer, day)).Orders += sign;
    }

    public void AddSale(
        DateOnly day,
        long? customerId,
        bool original,
        SaleMeasure measure,
        long? productId,
        int quantity,
        long amount,
        long discount,
        long tax,
        int sign
    )
    {
        if (measure == SaleMeasure.Uncounted)
            return;
        (amount, discount, tax, quantity) = (sign * amount, sign * discount, sign * tax, sign * quantity);

        ref var sales = ref At(Days, day);
        sales.Taxes += tax;
        switch (measure)
        {
            case SaleMeasure.Sale:
                sales.Gross += amount + discount;
                sales.Discounts += discount;
                if (original)
                    sales.OrderValue += amount;
                ref var sold = ref At(Products, (day, productId ?? NoProduct));
                sold.UnitsOrdered += quantity;
                sold.Gross += amount + discount;
                sold.Discounts += discount;
                break;
            case SaleMeasure.Return:
                sales.Returns -= amount;
                ref var returned = ref At(Products, (day, productId ?? NoProduct));
                returned.UnitsReturned -= quantity;
                returned.Returns -= amount;
                break;
            case SaleMeasure.Shipping:
                sales.Shipping += amount;
                break;
            case SaleMeasure.Duty:
                sales.Duties += amount;
                break;
            case SaleMeasure.Fee:
                sales.Fees += amount;
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(measure), measure, "The measure counts nowhere.");
        }
        if (customerId is { } customer)
            At(Customers, (customer, day)).TotalSales += amount + tax;
    }

    /// <summary>Those of <see cref="Products"/> by calendar month.</summary>
    public Dictionary<(DateOnly Month, long ProductId), ProductDelta> ProductMonths()
    {
        var months = new Dictionary<(DateOnly, long), ProductDelta>();
        foreach (var ((day, product), delta) in Products)
            At(months, (new DateOnly(day.Year, day.Month, 1), product)) += delta;
        return months;
    }

    public static ref TDelta At<TKey, TDelta>(Dictionary<TKey, TDelta> deltas, TKey key)
        where TKey : notnull
        where TDelta : struct => ref CollectionsMarshal.GetValueRefOrAddDefault(deltas, key, out _);
}

internal record struct SalesDelta
{
    public long Orders,
        OnlineOrders,
        OrderValue,
        Gross,
        Discounts,
        Returns,
        Shipping,
        Taxes,
        Duties,
        Fees,
        Customers,
        NewCustomers,
        OneOrderCustomers;
}

internal record struct ProductDelta
{
    public long UnitsOrdered,
        UnitsReturned,
        Gross,
        Discounts,
        Returns;

    public static ProductDelta operator +(ProductDelta a, ProductDelta b) =>
        new()
        {
            UnitsOrdered = a.UnitsOrdered + b.UnitsOrdered,
            UnitsReturned = a.UnitsReturned + b.UnitsReturned,
            Gross = a.Gross + b.Gross,
            Discounts = a.Discounts + b.Discounts,
            Returns = a.Returns + b.Returns,
        };
}

internal record struct CustomerDelta
{
    public long Orders,
        TotalSales;
}
