using System.Collections.Frozen;
using XenoInsights.Shopify;

namespace XenoInsights.Webhooks;

/// <summary>One handler for each topic of <see cref="WebhookTopics"/> that needs one.</summary>
internal sealed class EventHandlers
{
    private readonly FrozenDictionary<string, IEventHandler> _byTopic;

    public EventHandlers(IEnumerable<IEventHandler> handlers)
    {
        _byTopic = handlers.ToFrozenDictionary(handler => handler.Topic);
        var needed = WebhookTopics.All.Where(topic => topic.Payload == TopicPayload.ForHandler).Select(t => t.Name);
        var wrong = needed.Except(_byTopic.Keys).Union(_byTopic.Keys.Except(needed)).ToList();
        if (wrong.Count > 0)
            throw new InvalidOperationException(
                $"These topics do not have exactly one handler: {string.Join(", ", wrong)}."
            );
    }

    public IEventHandler Of(string topic) => _byTopic[topic];
}
