using System.Security.Claims;
using XenoInsights.Authentication;
using XenoInsights.Data;

namespace XenoInsights.Tenants;

/// <summary>
/// The way into a store for requests and circuits: checks the membership and enters the <see cref="TenantContext"/>.
/// A circuit works for one store; going to another one is a full page load.
/// </summary>
public sealed class TenantAuthorization(Memberships memberships, TenantContext context)
{
    /// <summary>Null: answer as for a store that does not exist.</summary>
    public async Task<StoreAccess?> EnterAsync(ClaimsPrincipal person, string handle, CancellationToken ct = default) =>
        Enter(person, await memberships.FindAsync(person, handle, ct));

    /// <inheritdoc cref="EnterAsync(ClaimsPrincipal, string, CancellationToken)"/>
    public async Task<StoreAccess?> EnterAsync(ClaimsPrincipal person, Guid tenantId, CancellationToken ct = default) =>
        Enter(person, await memberships.FindAsync(person, tenantId, ct));

    private StoreAccess? Enter(ClaimsPrincipal person, StoreAccess? store)
    {
        if (store is not null && person.Caller() is { } caller)
            context.Enter(store.TenantId, caller);
        return store;
    }
}
