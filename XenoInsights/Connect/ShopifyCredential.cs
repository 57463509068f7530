using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Connect;

/// <summary>A shop's expiring offline token pair, encrypted with the tenant and column bound into each value.</summary>
public sealed class ShopifyCredential : ITenantOwned
{
    public Guid TenantId { get; init; }
    public required byte[] AccessToken { get; set; }
    public DateTimeOffset AccessTokenExpiresAt { get; set; }

    /// <summary>Rotates with every refresh; null only for an app whose tokens do not expire.</summary>
    public byte[]? RefreshToken { get; set; }
    public DateTimeOffset? RefreshTokenExpiresAt { get; set; }

    /// <summary>What Shopify granted, comma separated.</summary>
    public required string Scopes { get; set; }
    public DateTimeOffset UpdatedAt { get; set; }

    /// <summary>
    /// Who is asking Shopify for a new pair, and until when others wait for them; by the database's clock.
    /// </summary>
    public Guid? RefreshLease { get; set; }
    public DateTimeOffset? RefreshLeaseUntil { get; set; }
}

/// <summary>An install in flight: the single-use OAuth state, kept as a hash and bound to a browser cookie.</summary>
public sealed class OAuthState
{
    public required byte[] StateHash { get; init; }
    public required string ShopDomain { get; init; }

    /// <summary>
    /// Who began it here and alone may finish it; null when it began in Shopify, before anybody was asked who they are.
    /// </summary>
    public Guid? UserId { get; init; }
    public string? ReturnUrl { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset ExpiresAt { get; init; }
    public DateTimeOffset? UsedAt { get; set; }
}

internal sealed class ShopifyCredentialConfiguration : IEntityTypeConfiguration<ShopifyCredential>
{
    public void Configure(EntityTypeBuilder<ShopifyCredential> builder)
    {
        builder.HasKey(c => c.TenantId);
        builder.HasOne<Tenant>().WithMany().HasForeignKey(c => c.TenantId).OnDelete(DeleteBehavior.Cascade);
    }
}

internal sealed class OAuthStateConfiguration : IEntityTypeConfiguration<OAuthState>
{
    public void Configure(EntityTypeBuilder<OAuthState> builder)
    {
        builder.ToTable("oauth_states");
        builder.HasKey(s => s.StateHash);
    }
}
