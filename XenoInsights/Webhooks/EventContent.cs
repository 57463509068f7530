using System.Text.Json;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Sync;

namespace XenoInsights.Webhooks;

/// <summary>What a delivery asks for beyond storing objects; each is carried out in a transaction of its own.</summary>
internal enum ShopAction
{
    None,
    UpdateShop,
    Uninstall,
    UpdateScopes,
    WakeImport,
    MergeCustomers,
    AnswerDataRequest,
    RedactCustomer,
    RedactShop,
}

/// <summary>What a delivery says, independent of what is stored.</summary>
internal sealed record EventContent(string Outcome)
{
    /// <summary>Those whose payload is an order.</summary>
    public static readonly string[] OrderTopics =
    [
        "orders/create",
        "orders/updated",
        "orders/cancelled",
        "orders/paid",
        "orders/fulfilled",
        "orders/partially_fulfilled",
    ];

    public IReadOnlyList<IngestRecord> Records { get; init; } = [];

    /// <summary>Objects to read again from Shopify, because the payload does not tell all of them.</summary>
    public IReadOnlyList<(RefetchKind Kind, long ShopifyId)> Refetches { get; init; } = [];
    public ShopAction ShopAction { get; init; }
    public bool IsIgnored { get; init; }

    /// <summary>What a topic asks for beyond storing objects.</summary>
    public static ShopAction ActionOf(string topic) =>
        topic switch
        {
            "customers/merge" => ShopAction.MergeCustomers,
            "shop/update" => ShopAction.UpdateShop,
            "app/uninstalled" => ShopAction.Uninstall,
            "app/scopes_update" => ShopAction.UpdateScopes,
            "bulk_operations/finish" => ShopAction.WakeImport,
            "customers/data_request" => ShopAction.AnswerDataRequest,
            "customers/redact" => ShopAction.RedactCustomer,
            "shop/redact" => ShopAction.RedactShop,
            _ => ShopAction.None,
        };

    /// <summary>The one place that knows what each topic means.</summary>
    /// <exception cref="FormatException">The payload is not what the topic promises.</exception>
    /// <exception cref="JsonException">The payload is no JSON.</exception>
    /// <param name="edits">Of an order: what is known of its edits.</param>
    public static EventContent Of(
        string topic,
        byte[] payload,
        DateTimeOffset triggeredAt,
        string currency,
        IReadOnlyList<OrderEdit>? edits = null
    )
    {
        using var document = JsonDocument.Parse(StorableJson.Clean(payload));
        var body = document.RootElement;
        if (body.ValueKind != JsonValueKind.Object)
            throw new FormatException($"The payload is {body.ValueKind}, not an object.");
        RefuseOtherTopics(topic, body);
        var deletion = WebhookPayload.VersionOfDeletion(triggeredAt);
        return topic switch
        {
            _ when OrderTopics.Contains(topic) => OfOrder(
                WebhookPayload.ReadOrder(body, currency, edits ?? []),
                currency
            ),
            "orders/edited" => ReadAgain(RefetchKind.Order, OrderOfEdit(body), "The order was edited"),
            "orders/delete" => Stores(WebhookPayload.DeletedOrder(body.Id(), deletion)),
            "refunds/create" => ReadAgain(
                RefetchKind.Order,
                body.LongOrNull("order_id") ?? throw Utf8JsonReaderExtensions.Missing("A refund", "order_id"),
                "The order has a refund"
            ),
            "customers/create" or "customers/update" or "customers/enable" or "customers/disable" => Stores(
                WebhookPayload.ReadCustomer(body, currency)
            ),
            "customers/delete" => Stores(WebhookPayload.DeletedCustomer(body.Id(), deletion)),
            "products/create" or "products/update" => OfProduct(WebhookPayload.ReadProduct(body)),
            "products/delete" => Stores(WebhookPayload.DeletedProduct(body.Id(), deletion)),
            "checkouts/create" or "checkouts/update" => OfCheckout(body, currency),
            "checkouts/delete" => Stores(WebhookPayload.DeletedCheckout(body.Id(), deletion)),
            _ when ActionOf(topic) is not ShopAction.None and var demand => new("Carried out by itself.")
            {
                ShopAction = demand,
            },
            _ => Ignored("No figure needs this topic."),
        };
    }

    /// <summary>
    /// The topic is not signed and the body is: one that shows itself to be of another topic is not taken for what the
    /// topic says. A deletion tells an id, and an object has been created.
    /// </summary>
    private static void RefuseOtherTopics(string topic, JsonElement body)
    {
        if (
            TypeOf(topic) is { } type
            && body.Text("admin_graphql_api_id") is { } gid
            && !gid.StartsWith($"gid://shopify/{type}/", StringComparison.Ordinal)
        )
            throw new FormatException($"The topic {topic} speaks of a {type}, and the body is {gid}.");
        if (
            topic is "orders/delete" or "customers/delete" or "products/delete" or "checkouts/delete"
            && body.TryGetProperty("created_at", out _)
        )
            throw new FormatException($"The topic {topic} tells a deletion, and the body is an object.");
    }

    private static string? TypeOf(string topic) =>
        topic switch
        {
            "orders/create"
            or "orders/updated"
            or "orders/cancelled"
            or "orders/paid"
            or "orders/fulfilled"
            or "orders/partially_fulfilled" => "Order",
            "customers/create"
            or "customers/update"
            or "customers/enable"
            or "customers/disable"
            or "customers/delete" => "Customer",
            "products/create" or "products/update" => "Product",
            "refunds/create" => "Refund",
            _ => null,
        };

    /// <summary>The customer that a body speaks of, readable otherwise or not.</summary>
    public static long? PersonIn(string topic, byte[] payload)
    {
        try
        {
            using var document = JsonDocument.Parse(StorableJson.Clean(payload));
            var body = document.RootElement;
            return body.ValueKind != JsonValueKind.Object ? null
                : topic
                    is "customers/create"
                        or "customers/update"
                        or "customers/enable"
                        or "customers/disable"
                        or "customers/delete"
                    ? body.Id()
                : body.Object("customer")?.Id();
        }
        catch (Exception failure) when (failure is FormatException or JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    private static EventContent OfOrder(WebhookPayload.Order order, string currency)
    {
        // It counts nowhere, so nothing that a payload cannot tell is missed.
        if (order.Record.Currency != currency)
            return Stores(order.Record) with
            {
                Outcome =
                    $"The order is in {order.Record.Currency}, a former currency of the shop: it is not included in any figure.",
            };
        if (order.IsComplete)
            return Stores(order.Record) with { Outcome = "The order as the delivery tells it." };
        return Stores(order.Record) with
        {
            Outcome = "The order as far as the delivery tells it; it is read again from Shopify.",
            Refetches = [(RefetchKind.Order, order.Record.ShopifyId)],
        };
    }

    private static EventContent OfProduct(ProductRecord product) =>
        Stores(product) with
        {
            Refetches = [(RefetchKind.Product, product.ShopifyId)],
        };

    private static EventContent OfCheckout(JsonElement body, string currency) =>
        WebhookPayload.IsAnonymous(body)
            ? Ignored("Nobody has left an address in this checkout yet, so it does not count as abandoned.")
        : WebhookPayload.CurrencyOf(body) is { } paid && paid != currency
            ? ReadAgain(RefetchKind.Checkout, body.Id(), $"The buyer pays in {paid}")
        : Stores(WebhookPayload.ReadCheckout(body, currency));

    private static EventContent Stores(IngestRecord record) =>
        new(record.Deleted ? "Deleted." : "Stored.") { Records = [record] };

    private static EventContent ReadAgain(RefetchKind kind, long id, string why) =>
        new($"{why}: it is read again from Shopify.") { Refetches = [(kind, id)] };

    private static EventContent Ignored(string why) => new(why) { IsIgnored = true };

    private static long OrderOfEdit(JsonElement body) =>
        body.Object("order_edit")?.LongOrNull("order_id")
        ?? throw Utf8JsonReaderExtensions.Missing("An order edit", "order_id");
}
