using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Compliance;
using XenoInsights.Data;
using XenoInsights.Sync;

namespace XenoInsights.Webhooks;

/// <summary>One webhook delivery as Shopify sent it: stored before it is acknowledged, applied later.</summary>
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

    /// <summary>Database clock, when the delivery was stored.</summary>
    public DateTimeOffset ReceivedAt { get; init; }

    /// <summary>All <c>X-Shopify-*</c> headers but the signature, as JSON.</summary>
    public required string Headers { get; init; }

    /// <summary>The raw body; null once its retention is over or a person in it was erased.</summary>
    public byte[]? Payload { get; init; }

    /// <summary>
    /// Database clock: when the body was dropped because its retention was over. Null before, and for rows whose body was
    /// dropped before this was kept.
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

    /// <summary>W3C trace id of the request that brought it; the log lines of the batch that applies it carry it too.</summary>
    public string? TraceId { get; init; }
}

public enum EventStatus
{
    Pending = 1,
    Applied = 2,

    /// <summary>Nothing to apply: a topic or an object that figures do not need.</summary>
    Ignored = 3,

    /// <summary>Given up after repeated failures; waits for a person to replay it.</summary>
    Dead = 4,
}

/// <summary>
/// Evidence that personal data were erased because Shopify asked: what, when, and how many rows there were before and after. Holds no
/// personal data, and outlives the store: it is not a tenant's table. The list of them is also what a restored backup
/// is brought up to date with (<see cref="ErasuresCommand"/>).
/// </summary>
public sealed class Redaction
{
    public Guid Id { get; init; }

    /// <summary>The store, as it was known here.</summary>
    public Guid Store { get; init; }

    /// <summary><c>customers/redact</c> or <c>shop/redact</c>.</summary>
    public required string Topic { get; init; }
    public required string WebhookId { get; init; }
    public DateTimeOffset RequestedAt { get; init; }
    public DateTimeOffset DoneAt { get; init; }
    public long RowsBefore { get; init; }
    public long RowsAfter { get; init; }

    /// <summary>Shopify's number of the shop; null for erasures of before it was kept.</summary>
    public long? ShopId { get; init; }

    /// <summary>
    /// Whom: <see cref="IdentifierHashes"/> of what the person is recognised by; empty for a whole store.
    /// </summary>
    public IReadOnlyList<string>? Subject { get; init; }
}

/// <summary>What is stored of a person, gathered because they asked for it (<c>customers/data_request</c>); a file for the store's owner.</summary>
public sealed class DataRequest : ITenantOwned
{
    public Guid TenantId { get; init; }
    public Guid Id { get; init; }
    public long CustomerId { get; init; }
    public DateTimeOffset RequestedAt { get; init; }

    /// <summary>JSON.</summary>
    public required string File { get; init; }
}

internal sealed class EventConfiguration
    : IEntityTypeConfiguration<Event>,
        IEntityTypeConfiguration<RefetchRequest>,
        IEntityTypeConfiguration<Redaction>,
        IEntityTypeConfiguration<DataRequest>
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

    public void Configure(EntityTypeBuilder<RefetchRequest> builder)
    {
        builder.HasKey(r => new
        {
            r.TenantId,
            r.Kind,
            r.ShopifyId,
        });
        builder.Property(r => r.Kind).HasConversion<short>();
        builder.HasIndex(r => new { r.TenantId, r.DueAt });
    }

    public void Configure(EntityTypeBuilder<Redaction> builder)
    {
        builder.HasKey(r => r.Id);
        builder.Property(r => r.Subject).HasColumnType("text[]");
    }

    public void Configure(EntityTypeBuilder<DataRequest> builder)
    {
        builder.HasKey(r => new { r.TenantId, r.Id });
        builder.Property(r => r.File).HasColumnType("jsonb");
    }
}
