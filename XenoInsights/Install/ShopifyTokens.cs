using System.Net;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Install;

/// <summary>The shop no longer lets us in; only a person connecting it again changes that.</summary>
public sealed class ReconnectRequiredException(string shopDomain)
    : Exception($"Shopify no longer accepts our access to {shopDomain}. Connect the store again to go on.");

/// <summary>
/// Hands out access tokens that work. Shopify rotates the pair with every refresh, so a shop is refreshed by one caller at a time,
/// under the lock of its credential row, and the new pair is stored before anyone uses it.
/// </summary>
public sealed class ShopifyTokens(TenantDatabase database, OAuthClient oauth, TokenVault vault, TimeProvider time, ILogger<ShopifyTokens> logger)
{
    public const string AccessTokenColumn = "access_token", RefreshTokenColumn = "refresh_token";

    private const int RefreshAttempts = 3;
    private static readonly TimeSpan _refreshAhead = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan _retryPause = TimeSpan.FromMilliseconds(250);

    /// <summary>A token that is valid for some minutes yet.</summary>
    /// <exception cref="ReconnectRequiredException"/>
    /// <exception cref="HttpRequestException">Shopify does not answer and the old token has expired; later it may work.</exception>
    public async Task<string> GetAccessTokenAsync(Guid tenantId, CancellationToken ct)
    {
        var credential = await database.RunAsync(tenantId, db => db.ShopifyCredentials.AsNoTracking().SingleOrDefaultAsync(ct), ct);
        if (credential is not null && !IsDue(credential)) return AccessToken(credential);
        try
        {
            return await RefreshAsync(tenantId, IsDue, ct);
        }
        catch (Exception failure) when (IsOutage(failure, ct) && credential?.AccessTokenExpiresAt > time.GetUtcNow())
        {
            return AccessToken(credential); // Its last minutes; the next call asks again.
        }
    }

    /// <summary>After Shopify answered 401 to <paramref name="rejectedToken"/>: another token, refreshed now unless someone has done so meanwhile.</summary>
    /// <exception cref="ReconnectRequiredException"/>
    public Task<string> RefreshNowAsync(Guid tenantId, string rejectedToken, CancellationToken ct) =>
        RefreshAsync(tenantId, credential => AccessToken(credential) == rejectedToken, ct);

    /// <summary>The wire's <see cref="AccessTokenSource"/>: its failures are the wire's as well.</summary>
    internal async Task<string> ForAdminClientAsync(Guid tenantId, string? rejectedToken, CancellationToken ct)
    {
        try
        {
            return rejectedToken is null ? await GetAccessTokenAsync(tenantId, ct) : await RefreshNowAsync(tenantId, rejectedToken, ct);
        }
        catch (ReconnectRequiredException failure)
        {
            throw new ShopifyException(ShopifyFailure.Unauthorized, failure.Message, failure);
        }
        catch (OAuthRefusedException failure)
        {
            throw new ShopifyException(ShopifyFailure.InvalidRequest, InstallErrors.AppRefused.Text, failure);
        }
        catch (Exception failure) when (failure is HttpRequestException || IsOutage(failure, ct))
        {
            throw new ShopifyException(ShopifyFailure.Unavailable, "Shopify gives no new access token at the moment.", failure);
        }
    }

    internal static void Store(ShopifyCredential credential, TokenGrant grant, TokenVault vault, DateTimeOffset now)
    {
        credential.AccessToken = vault.Seal(credential.TenantId, AccessTokenColumn, grant.AccessToken);
        credential.AccessTokenExpiresAt = grant.ExpiresIn is { } seconds ? now.AddSeconds(seconds) : DateTimeOffset.MaxValue;
        credential.RefreshToken = grant.RefreshToken is { } token ? vault.Seal(credential.TenantId, RefreshTokenColumn, token) : null;
        credential.RefreshTokenExpiresAt = grant.RefreshTokenExpiresIn is { } lifetime ? now.AddSeconds(lifetime) : null;
        credential.Scopes = grant.Scope;
        credential.UpdatedAt = now;
    }

    private bool IsDue(ShopifyCredential credential) => credential.AccessTokenExpiresAt - time.GetUtcNow() <= _refreshAhead;

    private string AccessToken(ShopifyCredential credential) => vault.Open(credential.TenantId, AccessTokenColumn, credential.AccessToken);

    // Returns the verdict instead of throwing it: the tenant's new status has to be committed.
    private async Task<string> RefreshAsync(Guid tenantId, Func<ShopifyCredential, bool> isNeeded, CancellationToken ct)
    {
        var (token, shopDomain) = await database.RunAsync(tenantId, async db =>
        {
            await db.Database.ExecuteSqlAsync($"select 1 from shopify_credentials where tenant_id = {tenantId} for update", ct);
            var tenant = await db.Tenants.SingleAsync(ct);
            var credential = await db.ShopifyCredentials.SingleOrDefaultAsync(ct);
            if (credential is null || tenant.Status is TenantStatus.Disconnected or TenantStatus.ReconnectRequired) return (null, tenant.ShopDomain);
            if (!isNeeded(credential)) return (AccessToken(credential), tenant.ShopDomain);
            var refreshed = await TryRefreshAsync(tenant, credential, ct);
            await db.SaveChangesAsync(ct);
            return (refreshed, tenant.ShopDomain);
        }, ct);
        return token ?? throw new ReconnectRequiredException(shopDomain);
    }

    private async Task<string?> TryRefreshAsync(Tenant tenant, ShopifyCredential credential, CancellationToken ct)
    {
        try
        {
            if (credential.RefreshToken is not { } sealedToken) throw new OAuthRefusedException(HttpStatusCode.Unauthorized, "no refresh token");
            var grant = await RefreshPatientlyAsync(tenant.ShopDomain, vault.Open(tenant.TenantId, RefreshTokenColumn, sealedToken), ct);
            Store(credential, grant, vault, time.GetUtcNow());
            return grant.AccessToken;
        }
        catch (OAuthRefusedException refused) when (!refused.IsAboutOurCredentials)
        {
            logger.RefreshTokenIsDead(tenant.ShopDomain, refused);
            tenant.Status = TenantStatus.ReconnectRequired;
            return null;
        }
    }

    // An answer may be lost after Shopify has rotated the pair. The same refresh token then returns the new pair again.
    private async Task<TokenGrant> RefreshPatientlyAsync(string shopDomain, string refreshToken, CancellationToken ct)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await oauth.RefreshAsync(shopDomain, refreshToken, ct);
            }
            catch (Exception failure) when (attempt < RefreshAttempts && IsOutage(failure, ct))
            {
                logger.RefreshIsTriedAgain(shopDomain, failure);
                await Task.Delay(_retryPause * attempt, time, ct);
            }
        }
    }

    private static bool IsOutage(Exception failure, CancellationToken ct) =>
        !ct.IsCancellationRequested && failure is TaskCanceledException or HttpRequestException { StatusCode: null or >= HttpStatusCode.InternalServerError };
}

internal static partial class ShopifyTokensLog
{
    [LoggerMessage(LogLevel.Warning, "Shopify refuses the refresh token of {Shop}: the store has to be connected again")]
    public static partial void RefreshTokenIsDead(this ILogger logger, string shop, Exception refused);

    [LoggerMessage(LogLevel.Information, "No answer to the token refresh of {Shop}; asking again with the same token")]
    public static partial void RefreshIsTriedAgain(this ILogger logger, string shop, Exception failure);
}
