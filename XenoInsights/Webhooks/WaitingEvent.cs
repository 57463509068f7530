using System.Text.Json;
using XenoInsights.Shopify;

namespace XenoInsights.Webhooks;

/// <summary>A stored event that is to be applied.</summary>
/// <param name="TriggeredAt">When Shopify says it was triggered; without that, when it was received.</param>
/// <param name="Attempts">Those that failed.</param>
/// <param name="Payload">Null when it is no longer kept.</param>
internal sealed record WaitingEvent(
    string WebhookId,
    string Topic,
    DateTimeOffset TriggeredAt,
    DateTimeOffset ReceivedAt,
    int Attempts,
    byte[]? Payload,
    string? TraceId
)
{
    /// <summary>The object in its payload; of an edit or a refund the order.</summary>
    public long? ObjectId { get; init; }

    /// <summary>
    /// When it was triggered, but never after it was received: a clock that is ahead must not outrun a connection made
    /// since.
    /// </summary>
    public DateTimeOffset EffectiveAt => TriggeredAt < ReceivedAt ? TriggeredAt : ReceivedAt;

    /// <exception cref="JsonException">The payload is no JSON.</exception>
    public JsonElement ReadBody()
    {
        using var document = JsonDocument.Parse(StorableJson.Clean(Payload!));
        return document.RootElement.Clone();
    }
}

/// <summary>What became of an event.</summary>
/// <param name="Outcome">What applying it did, in words for people.</param>
/// <param name="Error">Why it failed.</param>
internal sealed record EventResult(WaitingEvent Event, EventStatus Status, string? Outcome, string? Error);
