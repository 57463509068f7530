using XenoInsights.Data;

namespace XenoInsights.Tenants;

/// <summary>One of the caller's stores, as <c>GET /api/tenants</c> lists it.</summary>
/// <param name="Role">owner, admin or viewer.</param>
/// <param name="DataCurrentTo">When the store's data last changed; null before the first import.</param>
public sealed record TenantListing(
    Guid Id,
    string StoreDomain,
    string Name,
    string Currency,
    string TimeZone,
    string Role,
    DateTimeOffset? DataCurrentTo
);

internal static class TenantsApi
{
    public static void MapTenantsApi(this WebApplication app) =>
        app.MapGet(
                "/api/tenants",
                async (HttpContext http, Memberships memberships, CancellationToken ct) =>
                    (await memberships.ListAsync(http.User, ct)).Select(Listing).ToArray()
            )
            .WithTags("Stores")
            .WithSummary("The caller's stores");

    private static TenantListing Listing(StoreAccess store) =>
        new(
            store.TenantId,
            store.ShopDomain,
            store.Name,
            store.Currency,
            store.TimeZone,
            store.Role switch
            {
                MemberRole.Owner => "owner",
                MemberRole.Admin => "admin",
                _ => "viewer",
            },
            store.DataCurrentTo
        );
}
