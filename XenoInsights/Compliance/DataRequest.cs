using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Data;

namespace XenoInsights.Compliance;

/// <summary>
/// What is stored of a person, gathered because they asked for it (<c>customers/data_request</c>); a file for the
/// store's owner.
/// </summary>
public sealed class DataRequest : ITenantOwned
{
    public Guid TenantId { get; init; }
    public Guid Id { get; init; }
    public long CustomerId { get; init; }
    public DateTimeOffset RequestedAt { get; init; }

    /// <summary>JSON.</summary>
    public required string File { get; init; }
}

internal sealed class DataRequestConfiguration : IEntityTypeConfiguration<DataRequest>
{
    public void Configure(EntityTypeBuilder<DataRequest> builder)
    {
        builder.HasKey(r => new { r.TenantId, r.Id });
        builder.Property(r => r.File).HasColumnType("jsonb");
    }
}
