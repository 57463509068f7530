using XenoInsights.Tenants;

namespace XenoInsights.Ingestion;

/// <summary>Which orders figures include.</summary>
internal static class CountedOrders
{
    /// <summary>
    /// Test orders, deleted ones and those in a former currency of the shop are stored and count nowhere.
    /// </summary>
    public static bool Counts(this StoreCalendar store, OrderRecord order) =>
        !order.Test && !order.Deleted && (order.Currency ?? store.Currency) == store.Currency;
}
