using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Data;

namespace XenoInsights.Webhooks;

/// <summary>One webhook delivery as Shopify sent it: stored before it is acknowledged, applied later.</summary>
public sealed class Event : ITenantOwned
{
    public Guid TenantId { get; init; }

    /// <summary><c>X-Shopify-Webhook-Id</c>: the same on every retry of a delivery.</summary>
    public required string WebhookId { get; init; }
    public required string Topic { get; init; }

    /// <summary><c>X-Shopify-Event-Id</c>: shared by all deliveries of one merchant action.</summary>
    public string? EventId { get; init; }
    public DateTimeOffset? TriggeredAt { get; init; }
    public DateTimeOffset ReceivedAt { get; init; }

    /// <summary>All <c>X-Shopify-*</c> headers, as JSON.</summary>
    public required string Headers { get; init; }

    /// <summary>The raw body.</summary>
    public required byte[] Payload { get; init; }
    public EventStatus Status { get; set; }
    public int Attempts { get; set; }
    public string? LastError { get; set; }
    public DateTimeOffset? NextAttemptAt { get; set; }
    public DateTimeOffset? AppliedAt { get; set; }
}

public enum EventStatus
{
    Pending = 1,
    Applied = 2,
    Ignored = 3,
    Dead = 4,
}

internal sealed class EventConfiguration : IEntityTypeConfiguration<Event>
{
    public void Configure(EntityTypeBuilder<Event> builder)
    {
        builder.HasKey(e => new { e.TenantId, e.WebhookId });
        builder.Property(e => e.Headers).HasColumnType("jsonb");
        builder.Property(e => e.Status).HasConversion<short>();
        builder.HasIndex(e => new { e.TenantId, e.Status, e.NextAttemptAt });
    }
}
