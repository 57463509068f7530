using System.Collections.Frozen;

namespace XenoInsights.Shopify;

/// <summary>What the payload of a topic is.</summary>
public enum TopicPayload
{
    /// <summary>
    /// No object that is stored as it is told, such as the shop or a request: the topic has a handler.
    /// </summary>
    ForHandler,
    Order,
    OrderEdit,
    Refund,
    Customer,
    Product,
    Checkout,
}

/// <summary>One webhook topic of Shopify.</summary>
/// <param name="Name">Lower case, as in <c>X-Shopify-Topic</c>: <c>orders/create</c>.</param>
/// <param name="Payload">What its payload is.</param>
/// <param name="Scope">The access scope that Shopify sends it for; null: every app may have it.</param>
public sealed record WebhookTopic(string Name, TopicPayload Payload, string? Scope = null)
{
    /// <summary>
    /// Whether the app subscribes to it in every shop. Compliance topics are set in the app's configuration instead,
    /// and others are only understood should they come.
    /// </summary>
    public bool IsSubscribed { get; init; } = true;

    /// <summary>The payload is the id of an object that is gone.</summary>
    public bool IsDeletion { get; init; }

    /// <summary>The type in the payload's <c>admin_graphql_api_id</c>; null where it tells none.</summary>
    public string? ObjectType { get; init; }

    /// <summary>A compliance topic: answered with a 200 whether or not the shop is known.</summary>
    public bool IsCompliance { get; init; }

    /// <summary>The payload is the shop itself.</summary>
    public bool IsShop { get; init; }

    /// <summary>It ends what is known of a store: Shopify is asked whether it is true before it is applied.</summary>
    public bool EndsStore { get; init; }

    /// <summary>The payload always names its shop, by id and by domain.</summary>
    public bool NamesItsShop => IsCompliance || IsShop;

    /// <summary>It counts for a store whose app was removed too; all others are ignored then.</summary>
    public bool OutlivesInstall => IsCompliance || EndsStore;

    /// <summary>In the spelling of the GraphQL enum <c>WebhookSubscriptionTopic</c>: <c>ORDERS_CREATE</c>.</summary>
    public string SubscriptionName { get; } = Name.ToUpperInvariant().Replace('/', '_');
}

/// <summary>
/// The one table of topics: what is subscribed to, what is made of a payload, and the labels of metrics come from here.
/// Whoever sends chooses the topic, so anything may be asked for.
/// </summary>
public static class WebhookTopics
{
    public const string OrdersCreate = "orders/create",
        OrdersEdited = "orders/edited",
        CustomersMerge = "customers/merge",
        CustomersDataRequest = "customers/data_request",
        CustomersRedact = "customers/redact",
        ShopUpdate = "shop/update",
        ShopRedact = "shop/redact",
        AppUninstalled = "app/uninstalled",
        AppScopesUpdate = "app/scopes_update",
        BulkOperationsFinish = "bulk_operations/finish";

    private const string ReadOrders = "read_orders",
        ReadCustomers = "read_customers",
        ReadProducts = "read_products";

    public static IReadOnlyList<WebhookTopic> All { get; } =
    [
        Order(OrdersCreate),
        Order("orders/updated"),
        Order("orders/cancelled"),
        Order("orders/paid"),
        Order("orders/fulfilled") with
        {
            IsSubscribed = false,
        },
        Order("orders/partially_fulfilled") with
        {
            IsSubscribed = false,
        },
        new(OrdersEdited, TopicPayload.OrderEdit, ReadOrders),
        new("orders/delete", TopicPayload.Order, ReadOrders) { IsDeletion = true },
        new("refunds/create", TopicPayload.Refund, ReadOrders) { ObjectType = "Refund" },
        Customer("customers/create"),
        Customer("customers/update"),
        Customer("customers/enable") with
        {
            IsSubscribed = false,
        },
        Customer("customers/disable") with
        {
            IsSubscribed = false,
        },
        Customer("customers/delete") with
        {
            IsDeletion = true,
        },
        new(CustomersMerge, TopicPayload.ForHandler, "read_customer_merge"),
        Product("products/create"),
        Product("products/update"),
        new("products/delete", TopicPayload.Product, ReadProducts) { IsDeletion = true },
        new("checkouts/create", TopicPayload.Checkout, ReadOrders),
        new("checkouts/update", TopicPayload.Checkout, ReadOrders),
        new("checkouts/delete", TopicPayload.Checkout, ReadOrders) { IsDeletion = true },
        new(ShopUpdate, TopicPayload.ForHandler) { IsShop = true },
        new(AppUninstalled, TopicPayload.ForHandler) { IsShop = true, EndsStore = true },
        new(AppScopesUpdate, TopicPayload.ForHandler),
        new(BulkOperationsFinish, TopicPayload.ForHandler),
        Compliance(CustomersDataRequest),
        Compliance(CustomersRedact),
        Compliance(ShopRedact) with
        {
            EndsStore = true,
        },
    ];

    private static readonly FrozenDictionary<string, WebhookTopic> _byName = All.ToFrozenDictionary(topic =>
        topic.Name
    );

    /// <summary>Null for a topic that is not in the table.</summary>
    public static WebhookTopic? Find(string name) => _byName.GetValueOrDefault(name);

    private static WebhookTopic Order(string name) =>
        new(name, TopicPayload.Order, ReadOrders) { ObjectType = "Order" };

    private static WebhookTopic Customer(string name) =>
        new(name, TopicPayload.Customer, ReadCustomers) { ObjectType = "Customer" };

    private static WebhookTopic Product(string name) =>
        new(name, TopicPayload.Product, ReadProducts) { ObjectType = "Product" };

    private static WebhookTopic Compliance(string name) =>
        new(name, TopicPayload.ForHandler) { IsSubscribed = false, IsCompliance = true };
}
