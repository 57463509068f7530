using System.Security.Claims;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using XenoInsights.Authentication;
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

/// <summary>
/// Which stores a person may see. Asked afresh each time, together with whether their session is alive. Operators get
/// nothing extra.
/// </summary>
public sealed class Memberships(SystemDatabase database)
{
    /// <summary>By name.</summary>
    public async Task<IReadOnlyList<StoreAccess>> ListAsync(ClaimsPrincipal person, CancellationToken ct = default) =>
        await QueryAsync(person, "true", [], ct);

    /// <summary>Null when there is no such store or the person is not a member: nobody learns which.</summary>
    public async Task<StoreAccess?> FindAsync(ClaimsPrincipal person, Guid tenantId, CancellationToken ct = default)
    {
        var stores = await QueryAsync(person, "t.tenant_id = $3", [new() { Value = tenantId }], ct);
        return stores.SingleOrDefault();
    }

    /// <inheritdoc cref="FindAsync(ClaimsPrincipal, Guid, CancellationToken)"/>
    /// <param name="handle">The <c>x</c> of <c>x.myshopify.com</c>.</param>
    public async Task<StoreAccess?> FindAsync(ClaimsPrincipal person, string handle, CancellationToken ct = default)
    {
        var domain = handle.ToLowerInvariant() + ".myshopify.com";
        var stores = await QueryAsync(person, "t.shop_domain = $3", [new() { Value = domain }], ct);
        return stores.SingleOrDefault();
    }

    /// <summary>
    /// The handle that a store of the person has now, by one it had before its domain was changed; null when there is
    /// none.
    /// </summary>
    public async Task<string?> CurrentHandleAsync(ClaimsPrincipal person, string former, CancellationToken ct = default)
    {
        var domain = former.ToLowerInvariant() + ".myshopify.com";
        var stores = await QueryAsync(
            person,
            "t.tenant_id = (select d.tenant_id from shop_domains d where d.domain = $3)",
            [new() { Value = domain }],
            ct
        );
        return stores.SingleOrDefault()?.Handle;
    }

    /// <summary>Who may see the entered store, owners first.</summary>
    public static async Task<IReadOnlyList<Member>> OfAsync(XenoDatabase database, CancellationToken ct = default)
    {
        var members = await database.AcrossTenantsAsync(
            db =>
                (
                    from member in db.Memberships
                    join user in db.Users on member.UserId equals user.UserId
                    select new Member(user.Name, user.Email, member.Role)
                ).ToListAsync(ct),
            ct
        );
        return [.. members.OrderByDescending(m => m.Role).ThenBy(m => m.Name, StringComparer.CurrentCulture)];
    }

    // Every request asks this: SQL in one round trip instead of LINQ in three.
    private async Task<List<StoreAccess>> QueryAsync(
        ClaimsPrincipal person,
        string which,
        NpgsqlParameter[] arguments,
        CancellationToken ct
    )
    {
        if (person.Caller() is not { } caller)
            return [];
        var sql = $"""
            select t.tenant_id, t.shop_domain, t.name, t.currency, t.time_zone, t.status, t.connected_at,
                t.history_limited, m.role, v.changed_at
            from sessions s
            join memberships m on m.user_id = s.user_id
            join tenants t on t.tenant_id = m.tenant_id
            left join data_versions v on v.tenant_id = t.tenant_id
            where s.session_id = $1 and s.user_id = $2 and s.expires_at > now() and {which}
            order by t.name, t.tenant_id
            """;
        NpgsqlParameter[] callers = [new() { Value = caller.SessionId }, new() { Value = caller.UserId }];
        return await database.QueryAsync(sql, [.. callers, .. arguments], Read, ct);
    }

    private static StoreAccess Read(NpgsqlDataReader reader) =>
        new()
        {
            TenantId = reader.GetGuid(0),
            ShopDomain = reader.GetString(1),
            Name = reader.GetString(2),
            Currency = reader.GetString(3),
            TimeZone = reader.GetString(4),
            Status = Enum.Parse<TenantStatus>(reader.GetString(5)),
            ConnectedAt = reader.GetFieldValue<DateTimeOffset>(6),
            HistoryLimited = reader.GetBoolean(7),
            Role = Enum.Parse<MemberRole>(reader.GetString(8)),
            DataCurrentTo = reader.IsDBNull(9) ? null : reader.GetFieldValue<DateTimeOffset>(9),
        };
}
