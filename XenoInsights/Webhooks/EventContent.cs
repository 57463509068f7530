using System.Text.Json;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Sync;

namespace XenoInsights.Webhooks;

/// <summary>What an event says, independent of what is stored.</summary>
/// <param name="Outcome">What applying it does, in words for people.</param>
internal sealed record EventContent(string Outcome)
{
    public IReadOnlyList<IngestRecord> Records { get; init; } = [];

    /// <summary>Objects to read again from Shopify, because the payload does not tell all of them.</summary>
    public IReadOnlyList<(RefetchKind Kind, long ShopifyId)> Refetches { get; init; } = [];

    /// <summary>The topic's <see cref="IEventHandler"/> applies it, in a unit of work of its own.</summary>
    public bool IsForHandler { get; init; }

    /// <summary>Nothing is to be applied.</summary>
    public bool IsIgnored { get; init; }

    /// <summary>Reads a payload as what <see cref="WebhookTopics"/> says that the topic's payload is.</summary>
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
        if (WebhookTopics.Find(topic) is not { } known)
            return Ignored("No figure needs this topic.");
        RefuseOtherTopics(known, body);
        return known.IsDeletion ? OfDeletion(known, body, triggeredAt) : OfObject(known, body, currency, edits ?? []);
    }

    private static EventContent OfObject(
        WebhookTopic topic,
        JsonElement body,
        string currency,
        IReadOnlyList<OrderEdit> edits
    ) =>
        topic.Payload switch
        {
            TopicPayload.Order => OfOrder(WebhookPayload.ReadOrder(body, currency, edits), currency),
            TopicPayload.OrderEdit => Refetched(RefetchKind.Order, OrderOfEdit(body), "The order was edited"),
            TopicPayload.Refund => Refetched(RefetchKind.Order, OrderOfRefund(body), "The order has a refund"),
            TopicPayload.Customer => Stored(WebhookPayload.ReadCustomer(body, currency)),
            TopicPayload.Product => OfProduct(WebhookPayload.ReadProduct(body)),
            TopicPayload.Checkout => OfCheckout(body, currency),
            _ => new("Applied by itself.") { IsForHandler = true },
        };

    private static EventContent OfDeletion(WebhookTopic topic, JsonElement body, DateTimeOffset triggeredAt)
    {
        var (id, version) = (body.Id(), WebhookPayload.VersionOfDeletion(triggeredAt));
        return Stored(
            topic.Payload switch
            {
                TopicPayload.Order => WebhookPayload.DeletedOrder(id, version),
                TopicPayload.Customer => WebhookPayload.DeletedCustomer(id, version),
                TopicPayload.Product => WebhookPayload.DeletedProduct(id, version),
                TopicPayload.Checkout => WebhookPayload.DeletedCheckout(id, version),
                _ => throw new ArgumentOutOfRangeException(
                    nameof(topic),
                    topic.Name,
                    "Tells no deletion of an object."
                ),
            }
        );
    }

    /// <summary>
    /// The topic is not signed and the body is: one that shows itself to be of another topic is not taken for what the
    /// topic says. A deletion tells an id, and an object has been created.
    /// </summary>
    private static void RefuseOtherTopics(WebhookTopic topic, JsonElement body)
    {
        if (
            topic.ObjectType is { } type
            && body.Text("admin_graphql_api_id") is { } gid
            && !gid.StartsWith($"gid://shopify/{type}/", StringComparison.Ordinal)
        )
            throw new FormatException($"The topic {topic.Name} speaks of a {type}, and the body is {gid}.");
        if (topic.IsDeletion && body.TryGetProperty("created_at", out _))
            throw new FormatException($"The topic {topic.Name} tells a deletion, and the body is an object.");
    }

    private static EventContent OfOrder(WebhookPayload.Order order, string currency)
    {
        // It counts nowhere, so nothing that a payload cannot tell is missed.
        if (order.Record.Currency != currency)
            return Stored(order.Record) with
            {
                Outcome =
                    $"The order is in {order.Record.Currency}, a former currency of the shop: "
                    + "it is not included in any figure.",
            };
        if (order.IsComplete)
            return Stored(order.Record) with { Outcome = "The order as the delivery tells it." };
        return Stored(order.Record) with
        {
            Outcome = "The order as far as the delivery tells it; it is read again from Shopify.",
            Refetches = [(RefetchKind.Order, order.Record.ShopifyId)],
        };
    }

    private static EventContent OfProduct(ProductRecord product) =>
        Stored(product) with
        {
            Refetches = [(RefetchKind.Product, product.ShopifyId)],
        };

    private static EventContent OfCheckout(JsonElement body, string currency)
    {
        if (WebhookPayload.IsAnonymous(body))
            return Ignored("Nobody has left an address in this checkout yet, so it does not count as abandoned.");
        if (WebhookPayload.CurrencyOf(body) is { } paid && paid != currency)
            return Refetched(RefetchKind.Checkout, body.Id(), $"The buyer pays in {paid}");
        return Stored(WebhookPayload.ReadCheckout(body, currency));
    }

    private static EventContent Stored(IngestRecord record) =>
        new(record.Deleted ? "Deleted." : "Stored.") { Records = [record] };

    private static EventContent Refetched(RefetchKind kind, long id, string why) =>
        new($"{why}: it is read again from Shopify.") { Refetches = [(kind, id)] };

    private static EventContent Ignored(string why) => new(why) { IsIgnored = true };

    private static long OrderOfEdit(JsonElement body) =>
        body.Object("order_edit")?.LongOrNull("order_id")
        ?? throw Utf8JsonReaderExtensions.Missing("An order edit", "order_id");

    private static long OrderOfRefund(JsonElement body) =>
        body.LongOrNull("order_id") ?? throw Utf8JsonReaderExtensions.Missing("A refund", "order_id");
}
