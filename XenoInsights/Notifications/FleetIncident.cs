using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace XenoInsights.Notifications;

/// <summary>
/// Incidents of one kind that began in many stores at about the same time: what operators have to know of, once. Of no
/// store; at most one of a kind at a time. Times are the database's.
/// </summary>
public sealed class FleetIncident
{
    public Guid Id { get; init; }
    public IncidentKind Kind { get; init; }
    public DateTimeOffset OpenedAt { get; init; }
    public DateTimeOffset? ResolvedAt { get; init; }

    /// <summary>In how many stores it was at most.</summary>
    public int Stores { get; init; }
}

/// <summary>A mail to an operator about a fleet incident; see <see cref="Mail"/>.</summary>
public sealed class OperatorMail
{
    public Guid Id { get; init; }
    public Guid FleetIncidentId { get; init; }
    public bool IsRecovery { get; init; }
    public required string Recipient { get; init; }
    public required string Subject { get; init; }
    public required string Text { get; init; }
    public required string Html { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset DueAt { get; init; }
    public int Attempts { get; init; }
    public DateTimeOffset? SentAt { get; init; }
    public DateTimeOffset? GivenUpAt { get; init; }
    public string? LastError { get; init; }
}

internal sealed class FleetIncidentConfiguration
    : IEntityTypeConfiguration<FleetIncident>,
        IEntityTypeConfiguration<OperatorMail>
{
    public void Configure(EntityTypeBuilder<FleetIncident> builder)
    {
        builder.ToTable("fleet_incidents");
        builder.HasKey(f => f.Id);
        builder.Property(f => f.Kind).HasConversion<string>();
        builder
            .HasIndex(f => f.Kind)
            .IsUnique()
            .HasFilter("resolved_at is null")
            .HasDatabaseName("ux_fleet_incidents_open");
    }

    public void Configure(EntityTypeBuilder<OperatorMail> builder)
    {
        builder.ToTable("operator_mails");
        builder.HasKey(m => m.Id);
        builder
            .HasIndex(m => new
            {
                m.FleetIncidentId,
                m.Recipient,
                m.IsRecovery,
            })
            .IsUnique();
        builder
            .HasIndex(m => m.DueAt)
            .HasFilter("sent_at is null and given_up_at is null")
            .HasDatabaseName("ix_operator_mails_due");
        builder
            .HasOne<FleetIncident>()
            .WithMany()
            .HasForeignKey(m => m.FleetIncidentId)
            .OnDelete(DeleteBehavior.Cascade);
    }
}
