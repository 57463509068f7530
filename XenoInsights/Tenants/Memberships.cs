using System.Linq.Expressions;
using System.Security.Claims;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Access;
using XenoInsights.Data;

namespace XenoInsights.Tenants;

/// <summary>A store as one of its members sees it.</summary>
public sealed record StoreAccess
{
    public required Guid TenantId { get; init; }

    /// <summary><c>x.myshopify.com</c>.</summary>
    public required string ShopDomain { get; init; }
    public required string Name { get; init; }

    /// <summary>ISO 4217.</summary>
    public required string Currency { get; init; }

    /// <summary>IANA zone of the shop's days.</summary>
    public required string TimeZone { get; init; }
    public required TenantStatus Status { get; init; }
    public required DateTimeOffset ConnectedAt { get; init; }
    public required bool HistoryLimited { get; init; }
    public required MemberRole Role { get; init; }

    /// <summary>When the store's data last changed; null before its first import.</summary>
    public DateTimeOffset? DataCurrentTo { get; init; }

    /// <summary>Names the store in addresses: the <c>x</c> of its domain.</summary>
    public string Handle => ShopDomain.Split('.')[0];
}

/// <summary>One who may see a store.</summary>
public sealed record Member(string? Name, string? Email, MemberRole Role);

/// <summary>Which stores a person may see. Asked afresh each time, so a membership that ends, ends with the next request or page. Operators get nothing extra.</summary>
public sealed class Memberships(SystemDatabase database)
{
    /// <summary>By name.</summary>
    public async Task<IReadOnlyList<StoreAccess>> ListAsync(ClaimsPrincipal person, CancellationToken ct = default) => await QueryAsync(person, _ => true, ct);

    /// <summary>Null when there is no such store or the person is not a member: nobody learns which.</summary>
    public async Task<StoreAccess?> FindAsync(ClaimsPrincipal person, Guid tenantId, CancellationToken ct = default) =>
        (await QueryAsync(person, t => t.TenantId == tenantId, ct)).SingleOrDefault();

    /// <inheritdoc cref="FindAsync(ClaimsPrincipal, Guid, CancellationToken)"/>
    /// <param name="handle">The <c>x</c> of <c>x.myshopify.com</c>.</param>
    public async Task<StoreAccess?> FindAsync(ClaimsPrincipal person, string handle, CancellationToken ct = default)
    {
        var domain = handle.ToLowerInvariant() + ".myshopify.com";
        return (await QueryAsync(person, t => t.ShopDomain == domain, ct)).SingleOrDefault();
    }

    /// <summary>Who may see a store, owners first.</summary>
    public async Task<IReadOnlyList<Member>> OfAsync(Guid tenantId, CancellationToken ct = default)
    {
        var members = await database.RunAsync(db =>
            (from member in db.Memberships.IgnoreQueryFilters([XenoDbContext.TenantFilter])
             join user in db.Users on member.UserId equals user.UserId
             where member.TenantId == tenantId
             select new Member(user.Name, user.Email, member.Role)).ToListAsync(ct), ct);
        return [.. members.OrderByDescending(m => m.Role).ThenBy(m => m.Name, StringComparer.CurrentCulture)];
    }

    private async Task<List<StoreAccess>> QueryAsync(ClaimsPrincipal person, Expression<Func<Tenant, bool>> which, CancellationToken ct)
    {
        if (person.UserId() is not { } userId) return [];
        return await database.RunAsync(db =>
            (from tenant in db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter]).Where(which)
             join member in db.Memberships on tenant.TenantId equals member.TenantId
             join version in db.DataVersions on tenant.TenantId equals version.TenantId into versions
             from version in versions.DefaultIfEmpty()
             where member.UserId == userId
             orderby tenant.Name, tenant.TenantId
             select new StoreAccess
             {
                 TenantId = tenant.TenantId,
                 ShopDomain = tenant.ShopDomain,
                 Name = tenant.Name,
                 Currency = tenant.Currency,
                 TimeZone = tenant.TimeZone,
                 Status = tenant.Status,
                 ConnectedAt = tenant.ConnectedAt,
                 HistoryLimited = tenant.HistoryLimited,
                 Role = member.Role,
                 DataCurrentTo = version == null ? null : version.ChangedAt,
             }).ToListAsync(ct), ct);
    }
}
