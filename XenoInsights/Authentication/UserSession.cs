using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace XenoInsights.Authentication;

/// <summary>
/// A signed-in browser. The cookie holds a random key and nothing else; deleting the row ends the session at once.
/// All times are the database's.
/// </summary>
public sealed class UserSession
{
    public Guid SessionId { get; init; }

    /// <summary>SHA-256 of the key in the cookie.</summary>
    public required byte[] KeyHash { get; init; }
    public Guid UserId { get; init; }
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>
    /// The last action of the person, exact to a minute. Updates that a page gets by itself are no action.
    /// </summary>
    public DateTimeOffset LastUsedAt { get; set; }

    /// <summary>When it ends unless the person does something; never later than <see cref="EndsAt"/>.</summary>
    public DateTimeOffset ExpiresAt { get; set; }

    /// <summary>When it ends in any case.</summary>
    public DateTimeOffset EndsAt { get; init; }

    /// <summary>The provider's id token, protected by the key ring: some providers want it back at sign-out.</summary>
    public byte[]? IdToken { get; init; }

    /// <summary>The provider's own name for its session (<c>sid</c>), where it gives one.</summary>
    public string? ProviderSessionId { get; init; }
}

internal sealed class UserSessionConfiguration : IEntityTypeConfiguration<UserSession>
{
    public void Configure(EntityTypeBuilder<UserSession> builder)
    {
        builder.ToTable("sessions");
        builder.HasKey(s => s.SessionId);
        builder.HasIndex(s => s.KeyHash).IsUnique();
        builder.HasIndex(s => s.UserId);
        builder.HasOne<User>().WithMany().HasForeignKey(s => s.UserId).OnDelete(DeleteBehavior.Cascade);
    }
}
