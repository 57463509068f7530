using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync.Reconciliation;

/// <summary>
/// What one comparison of a closed shop day with Shopify found: evidence, kept where anything differed, else until the
/// day is checked again.
/// </summary>
public sealed class ReconciledDay : ITenantOwned
{
    public Guid TenantId { get; init; }

    /// <summary>The shop's day.</summary>
    public DateOnly Day { get; init; }

    /// <summary>The run that checked it.</summary>
    public Guid JobId { get; init; }

    /// <summary>Database clock.</summary>
    public DateTimeOffset CheckedAt { get; init; }
    public DayState State { get; init; }

    /// <summary>Orders placed on the day, test orders included: stored here, and by Shopify's own count.</summary>
    public long OrdersHere { get; init; }
    public long OrdersInShopify { get; init; }

    /// <summary>
    /// Total sales in minor units: as reported here before the check, as reported here after repairs, and as Shopify's
    /// ledger adds up.
    /// </summary>
    public long TotalBefore { get; init; }
    public long TotalHere { get; init; }
    public long TotalInShopify { get; init; }

    /// <summary>Shopify ids of the orders that differed on this day, the first hundred.</summary>
    public long[] DifferingOrders { get; init; } = [];
}

public enum DayState
{
    Equal = 1,

    /// <summary>Something differed, was read again, and is equal now.</summary>
    Repaired = 2,
    Different = 3,
}

/// <summary>How many objects of a kind there are, here and in Shopify, when last compared.</summary>
public sealed class ReconciledCount : ITenantOwned
{
    public Guid TenantId { get; init; }
    public ObjectKind Kind { get; init; }
    public DateTimeOffset CheckedAt { get; init; }
    public long Here { get; init; }
    public long InShopify { get; init; }
}

internal sealed class ReconciledDayConfiguration
    : IEntityTypeConfiguration<ReconciledDay>,
        IEntityTypeConfiguration<ReconciledCount>
{
    public void Configure(EntityTypeBuilder<ReconciledDay> builder)
    {
        builder.HasKey(c => new
        {
            c.TenantId,
            c.Day,
            c.JobId,
        });
        builder.Property(c => c.State).HasConversion<string>();
        builder.HasOne<Tenant>().WithMany().HasForeignKey(c => c.TenantId).OnDelete(DeleteBehavior.Cascade);
    }

    public void Configure(EntityTypeBuilder<ReconciledCount> builder)
    {
        builder.HasKey(c => new { c.TenantId, c.Kind });
        builder.Property(c => c.Kind).HasConversion<string>();
        builder.HasOne<Tenant>().WithMany().HasForeignKey(c => c.TenantId).OnDelete(DeleteBehavior.Cascade);
    }
}
