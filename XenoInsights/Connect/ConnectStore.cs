using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Connect;

/// <summary>
/// Connecting a store by OAuth's authorization code grant. Whoever gets through has proved to Shopify that they may
/// install apps there: they become the store's owner if it has none, and otherwise its admin.
/// </summary>
public sealed class ConnectStore(
    SystemDatabase system,
    TenantDatabase tenants,
    OAuthClient oauth,
    ShopSetupClient desk,
    TokenEncryption vault,
    SyncJobs syncJobs,
    IOptions<ShopifyOptions> shopify,
    IOptions<AppOptions> app,
    TimeProvider time,
    ILogger<ConnectStore> logger
)
{
    public const string CallbackPath = "/auth/callback";

    internal static readonly TimeSpan StateLifetime = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan _stateRetention = TimeSpan.FromDays(1);
    private static readonly TimeSpan _webhooksTimeout = TimeSpan.FromSeconds(20);
    private const int StateBytes = 32,
        WebhooksAtOnce = 4;

    // Older orders come with it, but Shopify grants it to approved apps only.
    private const string AllOrdersScope = "read_all_orders";

    private static readonly WebhookTopic[] _topics = [.. WebhookTopics.All.Where(topic => topic.IsSubscribed)];

    /// <summary>
    /// Where to send the person for Shopify's consent, and the state that their browser has to bring back.
    /// </summary>
    /// <param name="userId">Who began it; null when Shopify did, by sending somebody here.</param>
    /// <param name="domain"><c>x.myshopify.com</c>.</param>
    public async Task<(Uri Consent, string State)> BeginAsync(Guid? userId, string domain, CancellationToken ct)
    {
        var state = WebEncoders.Base64UrlEncode(RandomNumberGenerator.GetBytes(StateBytes));
        await StoreStateAsync(userId, domain, state, ct);
        var consent = QueryHelpers.AddQueryString(
            new Uri(shopify.Value.AddressOf(domain), "admin/oauth/authorize").ToString(),
            new Dictionary<string, string?>
            {
                ["client_id"] = shopify.Value.ClientId,
                ["scope"] = string.Join(',', shopify.Value.ScopeList),
                ["redirect_uri"] = app.Value.At(CallbackPath).ToString(),
                ["state"] = state,
            }
        );
        return (new(consent), state);
    }

    /// <summary>Checks Shopify's answer without using it up: a sign-in may have to come first.</summary>
    /// <param name="browserState">The state that this browser was given.</param>
    /// <returns>The shop that approved, and who began it; null when Shopify did.</returns>
    /// <exception cref="ConnectRefusedException"/>
    public async Task<(string Domain, Guid? BegunBy)> VerifyAsync(
        IQueryCollection query,
        string? browserState,
        CancellationToken ct
    )
    {
        if (query.ContainsKey("error"))
            throw new ConnectRefusedException(ConnectErrors.Cancelled);
        if (!QuerySignature.IsValid(query, shopify.Value))
            throw new ConnectRefusedException(ConnectErrors.BadSignature);
        if (!ShopDomainName.TryParse(query["shop"].ToString(), out var domain))
            throw new ConnectRefusedException(ConnectErrors.BadShop);
        var hash = Hash(query["state"].ToString());
        if (browserState is null || !CryptographicOperations.FixedTimeEquals(hash, Hash(browserState)))
            throw new ConnectRefusedException(ConnectErrors.BadState);
        var now = time.GetUtcNow();
        var begun =
            await system.RunAsync(
                db =>
                    db.OAuthStates.AsNoTracking()
                        .SingleOrDefaultAsync(s => s.StateHash == hash && s.UsedAt == null && s.ExpiresAt > now, ct),
                ct
            ) ?? throw new ConnectRefusedException(ConnectErrors.BadState);
        if (begun.ShopDomain != domain)
            throw new ConnectRefusedException(ConnectErrors.OtherShop);
        // The answer carries our state, so it is younger than that; a sign-in may have come since.
        if (!ConnectLink.IsWithin(query["timestamp"].ToString(), begun.CreatedAt, now))
            throw new ConnectRefusedException(ConnectErrors.Stale);
        return (domain, begun.UserId);
    }

    /// <summary>
    /// Uses up an answer that was verified, connects the store for this person and starts its full import. Returns its
    /// domain.
    /// </summary>
    /// <exception cref="ConnectRefusedException"/>
    public async Task<string> CompleteAsync(Guid userId, IQueryCollection query, CancellationToken ct)
    {
        var domain = await UseStateAsync(userId, query, ct);
        var (grant, shop) = await ApprovedAsync(domain, query["code"].ToString(), ct);
        var tenantId = await system.RunAsync(db => FindOrAddTenantAsync(db, shop, ct), ct);
        await tenants.RunAsync(tenantId, db => ConnectAsync(db, tenantId, userId, shop, grant, ct), ct);
        logger.Connected(shop.Domain, tenantId);
        // Before the import begins: what changes while it runs then arrives as well.
        await SubscribeAsync(shop.Domain, grant.AccessToken, ct);
        await syncJobs.EnqueueAsync(tenantId, SyncJobType.Full, ct: ct);
        return shop.Domain;
    }

    private async Task StoreStateAsync(Guid? userId, string domain, string state, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await system.RunAsync(
            async db =>
            {
                await db.OAuthStates.Where(s => s.ExpiresAt < now - _stateRetention).ExecuteDeleteAsync(ct);
                db.OAuthStates.Add(
                    new()
                    {
                        StateHash = Hash(state),
                        ShopDomain = domain,
                        UserId = userId,
                        CreatedAt = now,
                        ExpiresAt = now + StateLifetime,
                    }
                );
                await db.SaveChangesAsync(ct);
            },
            ct
        );
    }

    /// <summary>
    /// Returns the shop that was asked for. One statement, so that of two callbacks with one state only one gets
    /// through.
    /// </summary>
    /// <exception cref="ConnectRefusedException"/>
    public async Task<string> UseStateAsync(Guid userId, IQueryCollection query, CancellationToken ct)
    {
        var domain = await system.RunAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    update oauth_states set used_at = @now
                    where state_hash = @hash and (user_id = @user or user_id is null) and used_at is null
                        and expires_at > @now
                    returning shop_domain
                    """
                );
                command.Parameters.AddWithValue("now", time.GetUtcNow());
                command.Parameters.AddWithValue("hash", Hash(query["state"].ToString()));
                command.Parameters.AddWithValue("user", userId);
                return (string?)await command.ExecuteScalarAsync(ct);
            },
            ct
        );
        return domain ?? throw new ConnectRefusedException(ConnectErrors.BadState);
    }

    private async Task<(TokenGrant Grant, ShopInfo Shop)> ApprovedAsync(
        string domain,
        string code,
        CancellationToken ct
    )
    {
        try
        {
            var grant = await oauth.ExchangeCodeAsync(domain, code, ct);
            var missing = MissingScopes(grant).ToList();
            if (missing.Count > 0)
                throw new ConnectRefusedException(ConnectErrors.MissingScopes(missing));
            var shop = await desk.ReadShopAsync(domain, grant.AccessToken, ct);
            // A shop may still answer to a domain it once had; the one it names itself is where its webhooks come from.
            if (!TimeZoneInfo.TryFindSystemTimeZoneById(shop.TimeZone, out _))
                throw new ConnectRefusedException(ConnectErrors.UnknownTimeZone(shop.TimeZone));
            return ShopDomainName.TryParse(shop.Domain, out var permanent)
                ? (grant, shop with { Domain = permanent })
                : throw new ConnectRefusedException(ConnectErrors.OtherShop);
        }
        catch (OAuthRefusedException refused)
        {
            throw new ConnectRefusedException(
                refused.IsAboutOurCredentials ? ConnectErrors.AppRefused : ConnectErrors.CodeRefused,
                refused
            );
        }
        catch (Exception failure)
            when (failure is HttpRequestException || (failure is TaskCanceledException && !ct.IsCancellationRequested))
        {
            throw new ConnectRefusedException(ConnectErrors.ShopUnavailable, failure);
        }
    }

    // Granting write_x grants read_x without naming it.
    private IEnumerable<string> MissingScopes(TokenGrant grant)
    {
        var granted = Scopes(grant);
        return shopify.Value.ScopeList.Where(wanted =>
            wanted != AllOrdersScope
            && !granted.Contains(wanted)
            && !(
                wanted.StartsWith("read_", StringComparison.Ordinal)
                && granted.Contains("write_" + wanted["read_".Length..])
            )
        );
    }

    private static HashSet<string> Scopes(TokenGrant grant) =>
        [.. grant.Scope.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)];

    /// <summary>The shop id decides: a shop that comes back, under whatever domain, finds its old tenant.</summary>
    private async Task<Guid> FindOrAddTenantAsync(XenoDbContext db, ShopInfo shop, CancellationToken ct)
    {
        // Two people may be connecting one shop at this moment.
        var id = shop.ShopId.ToString(CultureInfo.InvariantCulture);
        await db.Database.ExecuteSqlAsync($"select pg_advisory_xact_lock(hashtext('install'), hashtext({id}))", ct);
        var domains = db
            .ShopDomains.IgnoreQueryFilters([XenoDbContext.TenantFilter])
            .Where(d => d.ShopId == shop.ShopId);
        if (await domains.AsNoTracking().FirstOrDefaultAsync(ct) is { } known)
        {
            await ShopDomainRegistry.KeepAsync(db, known.TenantId, shop.ShopId, shop.Domain, ct);
            return known.TenantId;
        }
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = shop.ShopId,
            ShopDomain = shop.Domain,
            Name = shop.Name,
            Currency = shop.Currency,
            TimeZone = shop.TimeZone,
            Status = TenantStatus.ReconnectRequired,
            ConnectedAt = time.GetUtcNow(),
        };
        db.Tenants.Add(tenant);
        await db.SaveChangesAsync(ct);
        await ShopDomainRegistry.KeepAsync(db, tenant.TenantId, shop.ShopId, shop.Domain, ct);
        return tenant.TenantId;
    }

    private async Task ConnectAsync(
        XenoDbContext db,
        Guid tenantId,
        Guid userId,
        ShopInfo shop,
        TokenGrant grant,
        CancellationToken ct
    )
    {
        await db.Database.ExecuteSqlAsync($"select 1 from tenants where tenant_id = {tenantId} for update", ct);
        var now = time.GetUtcNow();
        await ShopSettings.KeepAsync(db, tenantId, shop.Name, shop.TimeZone, shop.Currency, ct);
        var tenant = await db.Tenants.SingleAsync(ct);
        tenant.ShopDomain = shop.Domain;
        (tenant.Status, tenant.ConnectedAt, tenant.HistoryLimited) = (
            TenantStatus.Connected,
            now,
            !Scopes(grant).Contains(AllOrdersScope)
        );
        await WelcomeAsync(db, tenantId, userId, now, ct);
        var credential = await db.ShopifyCredentials.SingleOrDefaultAsync(ct);
        if (credential is null)
            db.ShopifyCredentials.Add(
                credential = new()
                {
                    TenantId = tenantId,
                    AccessToken = [],
                    Scopes = "",
                }
            );
        AccessTokens.Store(credential, grant, vault, now);
        await db.SaveChangesAsync(ct);
    }

    private static async Task WelcomeAsync(
        XenoDbContext db,
        Guid tenantId,
        Guid userId,
        DateTimeOffset now,
        CancellationToken ct
    )
    {
        var members = await db.Memberships.ToListAsync(ct);
        var role = members.Exists(m => m.Role == MemberRole.Owner) ? MemberRole.Admin : MemberRole.Owner;
        var mine = members.Find(m => m.UserId == userId);
        if (mine is null)
            db.Memberships.Add(
                new()
                {
                    TenantId = tenantId,
                    UserId = userId,
                    Role = role,
                    CreatedAt = now,
                }
            );
        else if (mine.Role < role)
            mine.Role = role;
    }

    /// <summary>
    /// Subscribes to every topic; one that is subscribed already stays. A failure is logged and no more: an import
    /// still brings the changes, only later.
    /// </summary>
    public Task SubscribeAsync(string domain, string accessToken, CancellationToken ct) =>
        SubscribeAsync(domain, accessToken, _topics, ct);

    /// <summary>
    /// Subscribes to the topics that are not subscribed to. Shopify drops a subscription after repeated failures,
    /// without a word.
    /// </summary>
    public async Task SubscribeToMissingAsync(string domain, string accessToken, CancellationToken ct)
    {
        var subscribed = await desk.SubscribedTopicsAsync(domain, accessToken, WebhookAddress, ct);
        await SubscribeAsync(
            domain,
            accessToken,
            [.. _topics.Where(topic => !subscribed.Contains(topic.SubscriptionName))],
            ct
        );
    }

    private Uri WebhookAddress => app.Value.At("/webhooks/shopify");

    private async Task SubscribeAsync(string domain, string accessToken, WebhookTopic[] topics, CancellationToken ct)
    {
        var target = WebhookAddress;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(_webhooksTimeout);
        await Parallel.ForEachAsync(
            topics,
            new ParallelOptions { MaxDegreeOfParallelism = WebhooksAtOnce, CancellationToken = CancellationToken.None },
            async (topic, _) =>
            {
                try
                {
                    if (
                        await desk.SubscribeAsync(domain, accessToken, topic.SubscriptionName, target, limit.Token) is
                        { } problem
                    )
                        logger.NotSubscribed(domain, topic.Name, topic.Scope, problem, null);
                }
                catch (Exception failure)
                {
                    // One topic's trouble is not the next one's.
                    logger.NotSubscribed(domain, topic.Name, topic.Scope, failure.Message, failure);
                }
            }
        );
        ct.ThrowIfCancellationRequested();
    }

    private static byte[] Hash(string state) => SHA256.HashData(Encoding.UTF8.GetBytes(state));
}

internal static partial class ConnectStoreLog
{
    [LoggerMessage(LogLevel.Information, "Connected {Shop} as tenant {TenantId}")]
    public static partial void Connected(this ILogger logger, string shop, Guid tenantId);

    [LoggerMessage(LogLevel.Warning, "{Shop} does not send {Topic}, for which it needs the scope {Scope}: {Problem}")]
    public static partial void NotSubscribed(
        this ILogger logger,
        string shop,
        string topic,
        string? scope,
        string problem,
        Exception? failure
    );

    [LoggerMessage(LogLevel.Warning, "A store was not connected: {Code}")]
    public static partial void Refused(this ILogger logger, string code, Exception refusal);
}
