using System.Net;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Connect;

/// <summary>
/// Hands out access tokens that work. Shopify rotates the pair with every refresh, so a shop is refreshed by one caller
/// at a time, who holds a lease on its credential meanwhile, and the new pair is stored before anyone uses it.
/// </summary>
public sealed class AccessTokens(
    TenantDatabase database,
    OAuthClient oauth,
    TokenEncryption vault,
    TimeProvider time,
    ILogger<AccessTokens> logger
)
{
    public const string AccessTokenColumn = "access_token",
        RefreshTokenColumn = "refresh_token";

    private const int RefreshAttempts = 3;
    private static readonly TimeSpan _refreshAhead = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan _retryPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan _leasePoll = TimeSpan.FromMilliseconds(100);

    // Longer than all attempts together: whoever waits for it does not ask beside them.
    private static readonly TimeSpan _lease = TimeSpan.FromSeconds(30);

    /// <summary>A token that is valid for some minutes yet.</summary>
    /// <exception cref="ReconnectRequiredException"/>
    /// <exception cref="HttpRequestException">Shopify does not answer and the old token has expired; later it may
    /// work.</exception>
    public async Task<string> GetAccessTokenAsync(Guid tenantId, CancellationToken ct)
    {
        var credential = await database.RunAsync(
            tenantId,
            db => db.ShopifyCredentials.AsNoTracking().SingleOrDefaultAsync(ct),
            ct
        );
        if (credential is not null && !IsDue(credential))
            return AccessToken(credential);
        try
        {
            return await RefreshAsync(tenantId, IsDue, ct);
        }
        catch (Exception failure) when (IsOutage(failure, ct) && credential?.AccessTokenExpiresAt > time.GetUtcNow())
        {
            return AccessToken(credential); // Its last minutes; the next call asks again.
        }
    }

    /// <summary>
    /// After Shopify answered 401 to <paramref name="rejectedToken"/>: another token, refreshed now unless someone has
    /// done so meanwhile.
    /// </summary>
    /// <exception cref="ReconnectRequiredException"/>
    public Task<string> RefreshNowAsync(Guid tenantId, string rejectedToken, CancellationToken ct) =>
        RefreshAsync(tenantId, credential => AccessToken(credential) == rejectedToken, ct);

    /// <summary>The wire's <see cref="AccessTokenSource"/>: its failures are the wire's as well.</summary>
    internal async Task<string> ForAdminClientAsync(Guid tenantId, string? rejectedToken, CancellationToken ct)
    {
        try
        {
            return rejectedToken is null
                ? await GetAccessTokenAsync(tenantId, ct)
                : await RefreshNowAsync(tenantId, rejectedToken, ct);
        }
        catch (ReconnectRequiredException failure)
        {
            throw new ShopifyException(ShopifyFailure.Unauthorized, failure.Message, failure);
        }
        catch (OAuthRefusedException failure)
        {
            throw new ShopifyException(ShopifyFailure.InvalidRequest, ConnectErrors.AppRefused.Text, failure);
        }
        catch (Exception failure) when (failure is HttpRequestException || IsOutage(failure, ct))
        {
            throw new ShopifyException(
                ShopifyFailure.Unavailable,
                "Shopify gives no new access token at the moment.",
                failure
            );
        }
    }

    internal static void Store(
        ShopifyCredential credential,
        TokenGrant grant,
        TokenEncryption vault,
        DateTimeOffset now
    )
    {
        credential.AccessToken = vault.Seal(credential.TenantId, AccessTokenColumn, grant.AccessToken);
        credential.AccessTokenExpiresAt = grant.ExpiresIn is { } seconds
            ? now.AddSeconds(seconds)
            : DateTimeOffset.MaxValue;
        credential.RefreshToken = grant.RefreshToken is { } token
            ? vault.Seal(credential.TenantId, RefreshTokenColumn, token)
            : null;
        credential.RefreshTokenExpiresAt = grant.RefreshTokenExpiresIn is { } lifetime
            ? now.AddSeconds(lifetime)
            : null;
        credential.Scopes = grant.Scope;
        credential.UpdatedAt = now;
        (credential.RefreshLease, credential.RefreshLeaseUntil) = (null, null);
    }

    private bool IsDue(ShopifyCredential credential) =>
        credential.AccessTokenExpiresAt - time.GetUtcNow() <= _refreshAhead;

    private string AccessToken(ShopifyCredential credential) =>
        vault.Open(credential.TenantId, AccessTokenColumn, credential.AccessToken);

    /// <param name="Token">A token that needs no refresh.</param>
    /// <param name="Lease">Ours to refresh with, if set.</param>
    /// <param name="RefreshToken">Sealed.</param>
    /// <param name="IsDead">Only connecting the store again helps.</param>
    private sealed record Turn(
        string ShopDomain,
        string? Token = null,
        Guid? Lease = null,
        byte[]? RefreshToken = null,
        bool IsDead = false
    );

    // Shopify is asked outside any transaction: a slow shop holds neither a connection nor a lock.
    private async Task<string> RefreshAsync(Guid tenantId, Func<ShopifyCredential, bool> isNeeded, CancellationToken ct)
    {
        while (true)
        {
            var turn = await TakeTurnAsync(tenantId, isNeeded, ct);
            if (turn.IsDead)
                throw new ReconnectRequiredException(turn.ShopDomain);
            if (turn.Token is { } token)
                return token;
            if (turn.Lease is not { } lease)
                await Task.Delay(_leasePoll, time, ct);
            else if (await RefreshAsync(tenantId, turn, lease, ct) is { } refreshed)
                return refreshed;
        }
    }

    private Task<Turn> TakeTurnAsync(Guid tenantId, Func<ShopifyCredential, bool> isNeeded, CancellationToken ct) =>
        database.RunAsync(
            tenantId,
            async db =>
            {
                await db.Database.ExecuteSqlAsync(
                    $"select 1 from shopify_credentials where tenant_id = {tenantId} for update",
                    ct
                );
                var tenant = await db.Tenants.AsNoTracking().SingleAsync(ct);
                var credential = await db.ShopifyCredentials.SingleOrDefaultAsync(ct);
                if (credential is null || tenant.Status is TenantStatus.Disconnected or TenantStatus.ReconnectRequired)
                    return new Turn(tenant.ShopDomain, IsDead: true);
                if (!isNeeded(credential))
                    return new Turn(tenant.ShopDomain, AccessToken(credential));
                var now = await db.Database.SqlQuery<DateTimeOffset>($"select now() as \"Value\"").SingleAsync(ct);
                if (credential.RefreshLeaseUntil > now)
                    return new Turn(tenant.ShopDomain);
                (credential.RefreshLease, credential.RefreshLeaseUntil) = (Guid.NewGuid(), now + _lease);
                await db.SaveChangesAsync(ct);
                return new Turn(
                    tenant.ShopDomain,
                    Lease: credential.RefreshLease,
                    RefreshToken: credential.RefreshToken
                );
            },
            ct
        );

    /// <summary>Null when somebody else took over meanwhile: then their pair counts.</summary>
    private async Task<string?> RefreshAsync(Guid tenantId, Turn turn, Guid lease, CancellationToken ct)
    {
        try
        {
            if (turn.RefreshToken is not { } sealedToken)
                throw new OAuthRefusedException(HttpStatusCode.Unauthorized, "no refresh token");
            var refreshToken = vault.Open(tenantId, RefreshTokenColumn, sealedToken);
            var grant = await RefreshWithRetryAsync(turn.ShopDomain, refreshToken, ct);
            // Shopify has rotated the pair: it is kept, even if whoever asked for it has gone.
            return await KeepAsync(tenantId, lease, grant, CancellationToken.None) ? grant.AccessToken : null;
        }
        catch (OAuthRefusedException refused) when (!refused.IsAboutOurCredentials)
        {
            logger.RefreshTokenIsDead(turn.ShopDomain, refused);
            if (await RequireReconnectAsync(tenantId, lease, ct))
                throw new ReconnectRequiredException(turn.ShopDomain);
            return null;
        }
        catch (Exception)
        {
            await EndLeaseAsync(tenantId, lease);
            throw;
        }
    }

    private Task<bool> KeepAsync(Guid tenantId, Guid lease, TokenGrant grant, CancellationToken ct) =>
        database.RunAsync(
            tenantId,
            async db =>
            {
                if (
                    await db.ShopifyCredentials.SingleOrDefaultAsync(c => c.RefreshLease == lease, ct)
                    is not { } credential
                )
                    return false;
                Store(credential, grant, vault, time.GetUtcNow());
                await db.SaveChangesAsync(ct);
                return true;
            },
            ct
        );

    private Task<bool> RequireReconnectAsync(Guid tenantId, Guid lease, CancellationToken ct) =>
        database.RunAsync(
            tenantId,
            async db =>
            {
                var ours = db.ShopifyCredentials.Where(c => c.RefreshLease == lease);
                if (
                    await ours.ExecuteUpdateAsync(
                        set =>
                            set.SetProperty(c => c.RefreshLease, (Guid?)null)
                                .SetProperty(c => c.RefreshLeaseUntil, (DateTimeOffset?)null),
                        ct
                    ) == 0
                )
                    return false;
                await db.Tenants.ExecuteUpdateAsync(
                    set => set.SetProperty(t => t.Status, TenantStatus.ReconnectRequired),
                    ct
                );
                return true;
            },
            ct
        );

    private async Task EndLeaseAsync(Guid tenantId, Guid lease)
    {
        try
        {
            await database.RunAsync(
                tenantId,
                db =>
                    db.ShopifyCredentials.Where(c => c.RefreshLease == lease)
                        .ExecuteUpdateAsync(set => set.SetProperty(c => c.RefreshLeaseUntil, (DateTimeOffset?)null))
            );
        }
        catch (Npgsql.NpgsqlException failure)
        {
            // The lease ends by itself; until then others wait.
            logger.LeaseNotEnded(tenantId, failure);
        }
    }

    // An answer may be lost after Shopify has rotated the pair. The same refresh token then returns the new pair again.
    private async Task<TokenGrant> RefreshWithRetryAsync(string shopDomain, string refreshToken, CancellationToken ct)
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
        !ct.IsCancellationRequested
        && failure
            is TaskCanceledException
                or HttpRequestException { StatusCode: null or >= HttpStatusCode.InternalServerError };
}

internal static partial class AccessTokensLog
{
    [LoggerMessage(
        LogLevel.Warning,
        "Shopify refuses the refresh token of {Shop}: the store has to be connected again"
    )]
    public static partial void RefreshTokenIsDead(this ILogger logger, string shop, Exception refused);

    [LoggerMessage(LogLevel.Warning, "The lease on the tokens of {TenantId} could not be ended; it runs out by itself")]
    public static partial void LeaseNotEnded(this ILogger logger, Guid tenantId, Exception failure);

    [LoggerMessage(LogLevel.Information, "No answer to the token refresh of {Shop}; asking again with the same token")]
    public static partial void RefreshIsTriedAgain(this ILogger logger, string shop, Exception failure);
}
