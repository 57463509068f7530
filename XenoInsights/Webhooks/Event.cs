using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Data;

namespace XenoInsights.Webhooks;

/// <summary>One webhook event as Shopify delivered it: stored before it is acknowledged, applied later.</summary>
public sealed class Event : ITenantOwned
{
    public Guid TenantId { get; init; }

    /// <summary><c>X-Shopify-Webhook-Id</c>: the same on every retry of a delivery.</summary>
    public required string WebhookId { get; init; }

    /// <summary>Lower case, such as <c>orders/create</c>.</summary>
    public required string Topic { get; init; }

    /// <summary><c>X-Shopify-Event-Id</c>: shared by all deliveries of one merchant action.</summary>
    public string? EventId { get; init; }
    public DateTimeOffset? TriggeredAt { get; init; }

    /// <summary>Database clock, when it was stored.</summary>
    public DateTimeOffset ReceivedAt { get; init; }

    /// <summary>All <c>X-Shopify-*</c> headers but the signature, as JSON.</summary>
    public required string Headers { get; init; }

    /// <summary>The raw body; null once its retention is over or a person in it was erased.</summary>
    public byte[]? Payload { get; init; }

    /// <summary>
    /// Database clock: when the body was dropped because its retention was over. Null before, and for rows whose body
    /// was dropped before this was kept.
    /// </summary>
    public DateTimeOffset? PayloadDroppedAt { get; init; }

    /// <summary>The Shopify id of the order, customer, product or checkout that it speaks of.</summary>
    public long? ObjectId { get; init; }
    public EventStatus Status { get; set; }
    public int Attempts { get; set; }
    public string? LastError { get; set; }

    /// <summary>What applying it did, in words for people; null before.</summary>
    public string? Outcome { get; set; }

    /// <summary>Database clock: not applied before. Moved into the future by every failed attempt.</summary>
    public DateTimeOffset DueAt { get; set; }
    public DateTimeOffset? AppliedAt { get; set; }

    /// <summary>
    /// W3C trace id of the request that brought it; the log lines of the batch that applies it carry it too.
    /// </summary>
    public string? TraceId { get; init; }
}

public enum EventStatus
{
    Pending = 1,
    Applied = 2,

    /// <summary>Nothing to apply: a topic or an object that figures do not need.</summary>
    Ignored = 3,

    /// <summary>Dead-lettered after repeated failures; waits for a person to replay it.</summary>
    Dead = 4,
}

internal sealed class EventConfiguration : IEntityTypeConfiguration<Event>
{
    public void Configure(EntityTypeBuilder<Event> builder)
    {
        builder.HasKey(e => new { e.TenantId, e.WebhookId });
        builder.Property(e => e.Headers).HasColumnType("jsonb");
        builder.Property(e => e.Status).HasConversion<short>();
        // Only what waits is in it: the queue costs the same however long the history behind it.
        builder
            .HasIndex(e => new { e.TenantId, e.DueAt })
            .HasFilter("status = 1")
            .HasDatabaseName("ix_events_waiting");
        builder.HasIndex(e => e.TenantId).HasFilter("status = 4").HasDatabaseName("ix_events_given_up");
        builder.HasIndex(e => new { e.TenantId, e.ReceivedAt });
        // Only rows whose body is still to be dropped: housekeeping finds them without reading what it did before.
        builder
            .HasIndex(e => new { e.TenantId, e.ReceivedAt }, "ix_events_payload_kept")
            .HasFilter("status in (2, 3) and payload_dropped_at is null")
            .HasDatabaseName("ix_events_payload_kept");
        builder.HasIndex(e => new { e.TenantId, e.ObjectId });
    }
}
