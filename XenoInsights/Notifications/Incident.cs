using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Notifications;

/// <summary>
/// Something about a store that a person should know of, from when it began until it was over. At most one of a kind at
/// a time.
/// </summary>
public sealed class Incident : ITenantOwned
{
    public Guid TenantId { get; init; }
    public Guid Id { get; init; }
    public IncidentKind Kind { get; init; }

    /// <summary>Database clock.</summary>
    public DateTimeOffset OpenedAt { get; init; }
    public DateTimeOffset? ResolvedAt { get; set; }

    /// <summary>What is wrong, in words for the merchant. No personal data.</summary>
    public required string Detail { get; init; }

    /// <summary>
    /// The mails about its beginning are not written yet, because it began in many stores at once
    /// (<see cref="FleetIncident"/>). Stays true where it ended before that.
    /// </summary>
    public bool MailsHeld { get; init; }
}

public enum IncidentKind
{
    /// <summary>The newest finished run of some type failed.</summary>
    SyncFailed = 1,

    /// <summary>Shopify refuses us: the store has to be connected again, paid for or unlocked.</summary>
    AccessLost = 2,

    /// <summary>A delivery waits longer than <see cref="NotificationOptions.LagMinutes"/>.</summary>
    Behind = 3,

    /// <summary>
    /// No delivery for so long that the same hours of the last four weeks let at least twenty be expected.
    /// </summary>
    Silent = 4,

    /// <summary>Events were dead-lettered and wait for a person.</summary>
    GivenUp = 5,

    /// <summary>
    /// The last full import could not read or store more than <c>Sync:RejectedIncidentPercent</c> of its objects.
    /// </summary>
    ObjectsRejected = 6,
}

/// <summary>
/// A mail to one person, written in the transaction of what it tells and sent afterwards. At most one for an incident's
/// beginning and one for its end.
/// </summary>
public sealed class Mail : ITenantOwned
{
    public Guid TenantId { get; init; }
    public Guid Id { get; init; }
    public Guid IncidentId { get; init; }
    public Guid UserId { get; init; }
    public bool IsRecovery { get; init; }
    public required string Recipient { get; init; }
    public required string Subject { get; init; }
    public required string Text { get; init; }
    public required string Html { get; init; }
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>Database clock: not sent before. Whoever sends it moves this ahead, so that nobody else does.</summary>
    public DateTimeOffset DueAt { get; init; }
    public int Attempts { get; init; }
    public DateTimeOffset? SentAt { get; init; }

    /// <summary>Set when it will not be tried again.</summary>
    public DateTimeOffset? GivenUpAt { get; init; }
    public string? LastError { get; init; }
}

/// <summary>
/// Whether a person wants mails about a kind of incident of a store. Without one, owners and admins do and viewers do
/// not.
/// </summary>
public sealed class NotificationPreference : ITenantOwned
{
    public Guid TenantId { get; init; }
    public Guid UserId { get; init; }
    public IncidentKind Kind { get; init; }
    public bool Wanted { get; set; }
}

internal sealed class IncidentConfiguration
    : IEntityTypeConfiguration<Incident>,
        IEntityTypeConfiguration<Mail>,
        IEntityTypeConfiguration<NotificationPreference>
{
    public void Configure(EntityTypeBuilder<Incident> builder)
    {
        builder.HasKey(i => new { i.TenantId, i.Id });
        builder.Property(i => i.Kind).HasConversion<string>();
        builder.Property(i => i.MailsHeld).HasDefaultValue(false);
        builder
            .HasIndex(i => new { i.TenantId, i.Kind })
            .IsUnique()
            .HasFilter("resolved_at is null")
            .HasDatabaseName("ux_incidents_open");
        // Across all stores: what operators page through, the newest first, and what began lately.
        builder.HasIndex(i => new { i.OpenedAt, i.Id });
        builder.HasOne<Tenant>().WithMany().HasForeignKey(i => i.TenantId).OnDelete(DeleteBehavior.Cascade);
    }

    public void Configure(EntityTypeBuilder<Mail> builder)
    {
        builder.HasKey(m => new { m.TenantId, m.Id });
        builder
            .HasIndex(m => new
            {
                m.TenantId,
                m.IncidentId,
                m.UserId,
                m.IsRecovery,
            })
            .IsUnique();
        builder
            .HasIndex(m => m.DueAt)
            .HasFilter("sent_at is null and given_up_at is null")
            .HasDatabaseName("ix_mails_due");
        builder.HasOne<Tenant>().WithMany().HasForeignKey(m => m.TenantId).OnDelete(DeleteBehavior.Cascade);
    }

    public void Configure(EntityTypeBuilder<NotificationPreference> builder)
    {
        builder.HasKey(c => new
        {
            c.TenantId,
            c.UserId,
            c.Kind,
        });
        builder.Property(c => c.Kind).HasConversion<string>();
        builder.HasOne<Tenant>().WithMany().HasForeignKey(c => c.TenantId).OnDelete(DeleteBehavior.Cascade);
    }
}
