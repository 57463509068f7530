using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// One run: of everything, of what changed, of a comparison or of a recalculation. Its counters are the proof of the
/// run: read = stored + unchanged + rejected + gone, or it failed.
/// </summary>
public sealed class SyncJob : ITenantOwned
{
    public Guid TenantId { get; init; }
    public Guid Id { get; init; }
    public SyncJobType Type { get; init; }

    /// <summary>Makes enqueuing idempotent: one job a tenant, type and slot.</summary>
    public required string Slot { get; init; }
    public SyncJobStatus Status { get; set; }

    /// <summary>What it is doing now, in words for the merchant; null before and after.</summary>
    public string? Phase { get; set; }

    /// <summary>Objects (JSONL lines) that Shopify announced; grows while its exports run.</summary>
    public long ObjectsExpected { get; set; }
    public long ObjectsRead { get; set; }
    public long Stored { get; set; }
    public long Unchanged { get; set; }
    public long Rejected { get; set; }

    /// <summary>Objects that Shopify no longer has and that were marked as deleted here.</summary>
    public long Gone { get; set; }

    /// <summary>What went wrong and what to do, in words for the merchant.</summary>
    public string? Error { get; set; }

    /// <summary>Where to go on, as JSON; written in the transaction of the rows it speaks of.</summary>
    public string? Cursor { get; set; }
    public int Attempts { get; set; }

    /// <summary>
    /// Within a type the lower number begins first: a store's first import, then what a person asked for, then what was
    /// scheduled.
    /// </summary>
    public short Priority { get; init; }

    public const short FirstImportPriority = 0,
        AskedPriority = 1,
        ScheduledPriority = 2;

    /// <summary>By the database clock; a running job whose lease has passed belongs to whoever claims it.</summary>
    public DateTimeOffset? LeaseUntil { get; set; }
    public Guid? LeaseOwner { get; set; }
    public DateTimeOffset? NotBefore { get; set; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? StartedAt { get; set; }
    public DateTimeOffset? FinishedAt { get; set; }
}

public enum SyncJobType
{
    /// <summary>Everything Shopify lets us read, by bulk operations.</summary>
    Full = 1,

    /// <summary>What changed since the last run.</summary>
    Delta = 2,

    /// <summary>
    /// All ids and versions are compared; what differs is read again, what is gone is marked as deleted.
    /// </summary>
    Rehydrate = 3,

    /// <summary>Closed days are proven against Shopify, order by order.</summary>
    Reconcile = 4,

    /// <summary>Stored orders are brought to the shop's present time zone and currency.</summary>
    Recalculate = 5,
}

public enum SyncJobStatus
{
    Queued = 1,
    Running = 2,
    Succeeded = 3,
    Failed = 4,
    Cancelled = 5,
}

/// <summary>
/// Up to when a store's changes of a kind are stored: the next run of changes begins there. Shopify's clock.
/// </summary>
public sealed class SyncWatermark : ITenantOwned
{
    public Guid TenantId { get; init; }
    public ObjectKind Kind { get; init; }
    public DateTimeOffset UpdatedTo { get; init; }
}

internal sealed class SyncJobConfiguration : IEntityTypeConfiguration<SyncJob>, IEntityTypeConfiguration<SyncWatermark>
{
    public void Configure(EntityTypeBuilder<SyncWatermark> builder)
    {
        builder.HasKey(w => new { w.TenantId, w.Kind });
        builder.Property(w => w.Kind).HasConversion<string>();
        builder.HasOne<Tenant>().WithMany().HasForeignKey(w => w.TenantId).OnDelete(DeleteBehavior.Cascade);
    }

    public void Configure(EntityTypeBuilder<SyncJob> builder)
    {
        builder.HasKey(j => new { j.TenantId, j.Id });
        builder
            .HasIndex(j => new
            {
                j.TenantId,
                j.Type,
                j.Slot,
            })
            .IsUnique();
        // One unfinished job a tenant and type, however many people and schedules ask for one.
        builder
            .HasIndex(j => new { j.TenantId, j.Type })
            .IsUnique()
            .HasFilter("status in ('Queued', 'Running')")
            .HasDatabaseName("ux_sync_jobs_unfinished");
        builder.HasIndex(j => new { j.TenantId, j.CreatedAt });
        // Operators page through the jobs of all stores, the newest first.
        builder.HasIndex(j => new { j.CreatedAt, j.Id });
        // The head of each type's queue, over all tenants.
        builder
            .HasIndex(j => new
            {
                j.Type,
                j.Priority,
                j.CreatedAt,
            })
            .HasFilter("status in ('Queued', 'Running')")
            .HasDatabaseName("ix_sync_jobs_due");
        builder
            .Property(j => j.Priority)
            .HasDefaultValue(SyncJob.ScheduledPriority)
            .HasSentinel(SyncJob.ScheduledPriority);
        builder.Property(j => j.Type).HasConversion<string>();
        builder.Property(j => j.Status).HasConversion<string>();
        builder.Property(j => j.Cursor).HasColumnType("jsonb");
        builder.HasOne<Tenant>().WithMany().HasForeignKey(j => j.TenantId).OnDelete(DeleteBehavior.Cascade);
    }
}
