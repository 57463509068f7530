using XenoInsights.Ingestion;

namespace XenoInsights.Shopify;

/// <summary>
/// Shopify's sales ledger (<c>Order.agreements.sales</c>) sorted into what our reports count. Shopify signs its
/// entries: a <c>RETURN</c> has a negative quantity, amount, tax and discount; totals include taxes and exclude
/// discounts.
/// </summary>
public static class SalesLedger
{
    /// <summary>
    /// Goods ordered or repriced are sales, goods taken back are returns, and so is an <c>ADJUSTMENT</c>, the
    /// difference between what a refund should have been and was: its sign says whether it adds to returns (negative)
    /// or lessens them. Shipping, duties and fees count under their own name in both directions. Gift cards are a
    /// liability until used and tips are not sales; like kinds that Shopify may add later they count nowhere.
    /// </summary>
    public static SaleMeasure Measure(ReadOnlySpan<byte> lineType, ReadOnlySpan<byte> actionType)
    {
        if (lineType.SequenceEqual("PRODUCT"u8))
            return OfProduct(actionType);
        if (lineType.SequenceEqual("SHIPPING"u8))
            return SaleMeasure.Shipping;
        if (lineType.SequenceEqual("ADJUSTMENT"u8))
            return SaleMeasure.Return;
        if (lineType.SequenceEqual("DUTY"u8))
            return SaleMeasure.Duty;
        if (lineType.SequenceEqual("FEE"u8) || lineType.SequenceEqual("ADDITIONAL_FEE"u8))
            return SaleMeasure.Fee;
        return SaleMeasure.Uncounted;
    }

    private static SaleMeasure OfProduct(ReadOnlySpan<byte> actionType)
    {
        if (actionType.SequenceEqual("RETURN"u8))
            return SaleMeasure.Return;
        return actionType.SequenceEqual("ORDER"u8) || actionType.SequenceEqual("UPDATE"u8)
            ? SaleMeasure.Sale
            : SaleMeasure.Uncounted;
    }

    /// <summary>
    /// Units an entry moves: those of goods only, negative when they come back whatever sign the wire has, and none for
    /// <c>UPDATE</c>, which changes the price of units already counted.
    /// </summary>
    public static int Units(ReadOnlySpan<byte> lineType, ReadOnlySpan<byte> actionType, int quantity)
    {
        var goods = lineType.SequenceEqual("PRODUCT"u8) || lineType.SequenceEqual("GIFT_CARD"u8);
        if (!goods || actionType.SequenceEqual("UPDATE"u8))
            return 0;
        return actionType.SequenceEqual("RETURN"u8) ? -Math.Abs(quantity) : quantity;
    }
}
