using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Authentication;
using XenoInsights.Data;

namespace XenoInsights.Tenants;

/// <summary>One connected Shopify store. Everything the product knows belongs to exactly one.</summary>
public sealed class Tenant : ITenantOwned
{
    public Guid TenantId { get; init; }

    /// <summary>Shopify's immutable numeric shop id: the identity behind every domain the shop may ever have.</summary>
    public long ShopId { get; init; }

    /// <summary>The permanent <c>x.myshopify.com</c> domain, lower case.</summary>
    public required string ShopDomain { get; set; }

    public required string Name { get; set; }

    /// <summary>ISO 4217 code of the shop's currency; all money of this tenant is in its minor units.</summary>
    public required string Currency { get; set; }

    /// <summary>IANA zone; decides which shop day an instant belongs to.</summary>
    public required string TimeZone { get; set; }

    /// <summary>
    /// The zone that Shopify names now, if this installation does not know it: days then stay those of
    /// <see cref="TimeZone"/>.
    /// </summary>
    public string? UnknownTimeZone { get; set; }

    public TenantStatus Status { get; set; }
    public DateTimeOffset ConnectedAt { get; set; }

    /// <summary>Shopify shows only the last 60 days of orders because <c>read_all_orders</c> is not granted.</summary>
    public bool HistoryLimited { get; set; }

    /// <summary>
    /// The first shop day of which all orders are known since a full import has ended; <see cref="DateOnly.MinValue"/>:
    /// all that Shopify has. Null before.
    /// </summary>
    public DateOnly? HistoryFrom { get; set; }

    /// <summary>The part of the domain that names the store in our addresses.</summary>
    public string Handle => ShopDomain.Split('.')[0];
}

public enum TenantStatus
{
    Connected = 1,

    /// <summary>Uninstalled in Shopify: tokens are dead, data stay until Shopify asks us to erase them.</summary>
    Disconnected = 2,

    /// <summary>The tokens no longer work; the merchant has to approve the app again.</summary>
    ReconnectRequired = 3,

    /// <summary>
    /// Shopify answers 402: the merchant owes Shopify money. From here on down runs go on trying, and the first answer
    /// ends the state.
    /// </summary>
    Frozen = 4,

    /// <summary>Shopify answers 423.</summary>
    Locked = 5,

    /// <summary>Shopify denies something that the app needs: a scope or an approval is missing.</summary>
    AccessMissing = 6,
}

/// <summary>Who may see a store, and what they may do there.</summary>
public sealed class Membership : ITenantOwned
{
    public Guid TenantId { get; init; }
    public Guid UserId { get; init; }
    public MemberRole Role { get; set; }
    public DateTimeOffset CreatedAt { get; init; }
}

/// <summary>
/// Global look-up from a shop's domain to its tenant: the only place where a domain is unique. A shop keeps its former
/// domains.
/// </summary>
public sealed class ShopDomain : ITenantOwned
{
    public required string Domain { get; init; }
    public Guid TenantId { get; init; }
    public long ShopId { get; init; }
}

/// <summary>
/// Counts commits that changed a tenant's data; pages and caches compare it to know whether to ask again.
/// </summary>
public sealed class DataVersion : ITenantOwned
{
    public Guid TenantId { get; init; }
    public long Version { get; init; }

    /// <summary>Database clock of the last change.</summary>
    public DateTimeOffset ChangedAt { get; init; }
}

public static class DataVersions
{
    /// <summary>When the entered tenant's data last changed; null before its first import.</summary>
    public static Task<DateTimeOffset?> LastChangeAsync(this XenoDatabase database, CancellationToken ct = default) =>
        database.InTenantAsync(
            db => db.DataVersions.Select(v => (DateTimeOffset?)v.ChangedAt).SingleOrDefaultAsync(ct),
            ct
        );

    /// <summary>How many commits have changed the tenant's data so far.</summary>
    public static async Task<long> DataVersionAsync(this XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        await using var command = db.Command("select version from data_versions where tenant_id = $1");
        command.Parameters.Add(new() { Value = tenantId });
        return await command.ExecuteScalarAsync(ct) is long version ? version : 0;
    }
}

internal sealed class TenantConfiguration : IEntityTypeConfiguration<Tenant>
{
    public void Configure(EntityTypeBuilder<Tenant> builder)
    {
        builder.HasKey(t => t.TenantId);
        builder.Ignore(t => t.Handle);
        builder.Property(t => t.Status).HasConversion<string>();
    }
}

internal sealed class MembershipConfiguration : IEntityTypeConfiguration<Membership>
{
    public void Configure(EntityTypeBuilder<Membership> builder)
    {
        builder.HasKey(m => new { m.TenantId, m.UserId });
        builder.Property(m => m.Role).HasConversion<string>();
        builder.HasIndex(m => m.UserId);
        builder.HasOne<Tenant>().WithMany().HasForeignKey(m => m.TenantId).OnDelete(DeleteBehavior.Cascade);
        builder.HasOne<User>().WithMany().HasForeignKey(m => m.UserId).OnDelete(DeleteBehavior.Cascade);
    }
}

internal sealed class ShopDomainConfiguration : IEntityTypeConfiguration<ShopDomain>
{
    public void Configure(EntityTypeBuilder<ShopDomain> builder)
    {
        builder.HasKey(d => d.Domain);
        builder.HasIndex(d => d.ShopId);
    }
}

internal sealed class DataVersionConfiguration : IEntityTypeConfiguration<DataVersion>
{
    public void Configure(EntityTypeBuilder<DataVersion> builder) => builder.HasKey(v => v.TenantId);
}
