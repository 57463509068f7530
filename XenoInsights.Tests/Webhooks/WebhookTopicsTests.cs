using XenoInsights.Shopify;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>The table of topics and the handlers that belong to it.</summary>
public sealed class WebhookTopicsTests
{
    [Fact]
    public void Topics_are_named_once_and_subscribed_to_by_the_name_of_the_schema()
    {
        Assert.Distinct(WebhookTopics.All.Select(topic => topic.Name));
        Assert.Equal("BULK_OPERATIONS_FINISH", WebhookTopics.Find("bulk_operations/finish")!.SubscriptionName);
        Assert.Null(WebhookTopics.Find("carts/update"));
    }

    [Fact]
    public void Compliance_topics_come_from_the_configuration_of_the_app_and_name_their_shop() =>
        Assert.Equal(
            ["customers/data_request", "customers/redact", "shop/redact"],
            WebhookTopics
                .All.Where(topic => topic is { IsCompliance: true, IsSubscribed: false, NamesItsShop: true })
                .Select(topic => topic.Name)
        );

    [Fact]
    public void A_topic_that_needs_a_handler_and_has_none_is_named_at_once()
    {
        var missing = Assert.Throws<InvalidOperationException>(() => new EventHandlers([]));

        Assert.All(
            WebhookTopics.All,
            topic =>
                Assert.Equal(
                    topic.Payload == TopicPayload.ForHandler,
                    missing.Message.Contains(topic.Name, StringComparison.Ordinal)
                )
        );
    }
}
