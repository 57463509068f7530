namespace XenoInsights.Sync;

public enum RefetchKind
{
    Order = 1,
    Customer = 2,
    Product = 3,
    Checkout = 4,
}
