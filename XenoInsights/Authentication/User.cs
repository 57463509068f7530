using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace XenoInsights.Authentication;

/// <summary>A person who has signed in, known by what their identity provider says of them.</summary>
public sealed class User
{
    public Guid UserId { get; init; }

    /// <summary>
    /// The provider (<c>iss</c>) and its immutable name for the person (<c>sub</c>) are the identity; e-mail and name
    /// may change.
    /// </summary>
    public required string Issuer { get; init; }
    public required string Subject { get; init; }

    public string? Email { get; set; }
    public string? Name { get; set; }

    /// <summary>The provider says that <see cref="Email"/> is this person's.</summary>
    public bool EmailVerified { get; set; }

    /// <summary>
    /// Was an operator at the last sign-in. What counts is looked up at each request (<see cref="Operators"/>).
    /// </summary>
    public bool IsOperator { get; set; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset LastSignInAt { get; set; }
}

internal sealed class UserConfiguration : IEntityTypeConfiguration<User>
{
    public void Configure(EntityTypeBuilder<User> builder)
    {
        builder.HasKey(u => u.UserId);
        builder.HasIndex(u => new { u.Issuer, u.Subject }).IsUnique();
        builder.Property(u => u.EmailVerified).HasDefaultValue(false);
    }
}
