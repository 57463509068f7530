using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Data;

namespace XenoInsights.Sync;

/// <summary>
/// An object whose payload could not tell everything and which is read again from Shopify. One row an object, however
/// many events ask for it.
/// </summary>
public sealed class RefetchRequest : ITenantOwned
{
    public Guid TenantId { get; init; }
    public RefetchKind Kind { get; init; }
    public long ShopifyId { get; init; }

    /// <summary>Database clock of the latest request: one that comes while the object is being read stays.</summary>
    public DateTimeOffset RequestedAt { get; init; }

    /// <summary>
    /// Database clock: not read before. A reader moves it ahead while it reads, so that nobody else does.
    /// </summary>
    public DateTimeOffset DueAt { get; init; }
    public int Attempts { get; init; }
    public string? LastError { get; init; }
}

internal sealed class RefetchRequestConfiguration : IEntityTypeConfiguration<RefetchRequest>
{
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
}
