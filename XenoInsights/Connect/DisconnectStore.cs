using System.Net;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Connect;

/// <summary>
/// The way out of a store, from our side: removes the app from the shop in Shopify, which ends every access at once.
/// What is stored stays until Shopify asks for its erasure, 48 hours later (<c>shop/redact</c>); connecting again goes
/// on where it was.
/// </summary>
public sealed class DisconnectStore(
    AccessTokens tokens,
    ShopSetupClient desk,
    XenoDatabase person,
    TenantDatabase database,
    TimeProvider time,
    ILogger<DisconnectStore> logger
)
{
    /// <returns>Null when the store is disconnected; else why it still is connected, for the person who
    /// asked.</returns>
    /// <exception cref="AccessDeniedException">The person is not an owner of the entered store.</exception>
    public async Task<string?> DisconnectAsync(StoreAccess store, CancellationToken ct)
    {
        await person.RequireAsync(MemberRole.Owner, ct);
        try
        {
            var token = await tokens.GetAccessTokenAsync(store.TenantId, ct);
            if (await desk.UninstallAsync(store.ShopDomain, token, ct) is { } complaint)
            {
                logger.LogWarning(
                    "Shopify did not remove the app from {Shop}: {Complaint}",
                    store.ShopDomain,
                    complaint
                );
                return "Shopify did not remove the app. Nothing was changed; try again in a minute, "
                    + "or remove it in Shopify under Settings, Apps.";
            }
        }
        catch (Exception failure)
            when (failure
                    is ReconnectRequiredException
                        or HttpRequestException { StatusCode: HttpStatusCode.Unauthorized or HttpStatusCode.NotFound }
            )
        {
            // Shopify no longer knows us there: that is what was wanted.
            logger.LogInformation(failure, "The app was already removed from {Shop}", store.ShopDomain);
        }
        catch (Exception failure)
            when (failure is HttpRequestException or TimeoutException or OAuthRefusedException
                || (failure is TaskCanceledException && !ct.IsCancellationRequested)
            )
        {
            logger.LogWarning(failure, "{Shop} could not be disconnected", store.ShopDomain);
            return "Shopify does not answer just now. Nothing was changed; try again in a minute.";
        }
        // Shopify tells us as well, as it does when the app is removed there; whoever comes first does it.
        await database.RunAsync(store.TenantId, db => DisconnectAsync(db, store.TenantId, time.GetUtcNow(), ct), ct);
        return null;
    }

    /// <summary>Ends everything that reads from the shop, unless it was connected again since.</summary>
    internal static async Task DisconnectAsync(XenoDbContext db, Guid tenantId, DateTimeOffset at, CancellationToken ct)
    {
        if (
            await db
                .Tenants.Where(t => t.ConnectedAt <= at)
                .ExecuteUpdateAsync(set => set.SetProperty(t => t.Status, TenantStatus.Disconnected), ct) == 0
        )
            return;
        await db.ShopifyCredentials.ExecuteDeleteAsync(ct);
        await db.RefetchRequests.ExecuteDeleteAsync(ct);
        await using var cancel = db.Command(
            """
            update sync_jobs set status = 'Cancelled', phase = null, error = 'The app was removed in Shopify.',
                finished_at = now(), lease_owner = null, lease_until = null
            where tenant_id = $1 and status in ('Queued', 'Running') and type <> 'Recalculate'
            """
        );
        cancel.Parameters.Add(Sql.Uuid(tenantId));
        await cancel.ExecuteNonQueryAsync(ct);
        await IngestionWriter.BumpDataVersionAsync(db, tenantId, ct);
    }
}
