using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace XenoInsights.Compliance;

/// <summary>
/// Evidence that personal data were erased because Shopify asked: what, when, and how many rows there were before and
/// after. Holds no personal data, and outlives the store: it is not a tenant's table. The list of them is also what a
/// restored backup is brought up to date with (<see cref="ErasuresCommand"/>).
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

internal sealed class RedactionConfiguration : IEntityTypeConfiguration<Redaction>
{
    public void Configure(EntityTypeBuilder<Redaction> builder)
    {
        builder.HasKey(r => r.Id);
        builder.Property(r => r.Subject).HasColumnType("text[]");
    }
}
