using System.Text.Json;
using XenoInsights.Shopify;

namespace XenoInsights.Webhooks;

/// <summary>
/// What the inbox needs to know of a body: which object it speaks of, and which shop if it says so. Anything else is
/// for whoever applies it.
/// </summary>
/// <param name="ShopDomain">Lower case.</param>
internal readonly record struct Envelope(long? ObjectId, long? ShopId, string? ShopDomain)
{
    /// <summary>Null for anything but one JSON object.</summary>
    public static Envelope? Read(string topic, ReadOnlySpan<byte> body)
    {
        var parts = new Parts();
        var reader = new Utf8JsonReader(body);
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return null;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                parts.Read(ref reader);
            // Whatever follows the object is no part of it.
            return reader.Read() ? null : parts.Of(topic);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private struct Parts
    {
        private long? _id,
            _gid,
            _orderId,
            _shopId;
        private string? _shopDomain,
            _myshopifyDomain;

        public void Read(ref Utf8JsonReader reader)
        {
            if (reader.ValueTextEquals("id"u8))
                _id = Number(ref reader);
            else if (reader.ValueTextEquals("order_id"u8))
                _orderId = Number(ref reader);
            else if (reader.ValueTextEquals("shop_id"u8))
                _shopId = Number(ref reader);
            else if (reader.ValueTextEquals("admin_graphql_api_id"u8))
                _gid = Number(ref reader);
            else if (reader.ValueTextEquals("shop_domain"u8))
                _shopDomain = Text(ref reader);
            else if (reader.ValueTextEquals("myshopify_domain"u8))
                _myshopifyDomain = Text(ref reader);
            else if (reader.ValueTextEquals("order_edit"u8))
                _orderId = OrderOfEdit(ref reader);
            else
                Pass(ref reader);
        }

        public readonly Envelope Of(string topic)
        {
            var known = WebhookTopics.Find(topic);
            if (known is { IsShop: true })
                return new(null, _gid ?? _id, _myshopifyDomain?.ToLowerInvariant());
            if (known is { Payload: TopicPayload.Refund or TopicPayload.OrderEdit })
                return new(_orderId, _shopId, null);
            return new(_gid ?? _id, _shopId, _shopDomain?.ToLowerInvariant());
        }
    }

    private static long? OrderOfEdit(ref Utf8JsonReader reader)
    {
        long? id = null;
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            reader.Skip();
            return id;
        }
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("order_id"u8))
                id = Number(ref reader);
            else
                Pass(ref reader);
        }
        return id;
    }

    private static void Pass(ref Utf8JsonReader reader)
    {
        reader.Read();
        reader.Skip();
    }

    /// <summary>A number, or the one at the end of a gid.</summary>
    private static long? Number(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var number))
            return number;
        if (
            reader.TokenType == JsonTokenType.String
            && long.TryParse(reader.ValueSpan[(reader.ValueSpan.LastIndexOf((byte)'/') + 1)..], out var id)
        )
            return id;
        reader.Skip();
        return null;
    }

    private static string? Text(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.String)
        {
            reader.Skip();
            return null;
        }
        try
        {
            return reader.GetString();
        }
        catch (InvalidOperationException)
        {
            return null; // Half a character: no domain.
        }
    }
}
