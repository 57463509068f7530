using System.Net;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using XenoInsights.App;
using XenoInsights.Authentication;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Development;

/// <summary>
/// With the demo Shopify: connects its first store as the demo owner would in a browser, through sign-in, consent and
/// callback, so that a fresh checkout starts with figures. The demo viewer gets to see it.
/// </summary>
internal sealed class DemoStoreConnector(
    IServer server,
    IHttpClientFactory clients,
    SystemDatabase system,
    AccessTokens tokens,
    IServiceScopeFactory scopes,
    IConfiguration configuration,
    IOptions<AppOptions> app,
    IOptions<OidcOptions> oidc,
    IHostApplicationLifetime lifetime,
    TimeProvider time,
    ILogger<DemoStoreConnector> logger
) : BackgroundService
{
    public const string HttpClientName = "demo-connection";

    private const string Shop = "online-retail.myshopify.com";
    private const int MaxRedirects = 12;
    private static readonly TimeSpan _firstPause = TimeSpan.FromSeconds(1),
        _longestPause = TimeSpan.FromSeconds(30);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (
            !configuration.GetValue("FakeShopify:Enabled", false)
            || !configuration.GetValue("FakeShopify:ConnectStore", true)
            || !oidc.Value.IsAbsent
        )
            return;
        await StartedAsync(stoppingToken);
        for (var pause = _firstPause; ; pause = pause * 2 < _longestPause ? pause * 2 : _longestPause)
        {
            try
            {
                await ConnectAsync(stoppingToken);
                return;
            }
            catch (Exception failure)
                when (failure
                        is HttpRequestException
                            or Npgsql.NpgsqlException
                            or InvalidOperationException { InnerException: Npgsql.NpgsqlException }
                    || (failure is TaskCanceledException && !stoppingToken.IsCancellationRequested)
                )
            {
                logger.TriesAgain(Shop, pause, failure);
                await Task.Delay(pause, time, stoppingToken);
            }
        }
    }

    private async Task StartedAsync(CancellationToken ct)
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = lifetime.ApplicationStarted.Register(started.SetResult);
        await started.Task.WaitAsync(ct);
    }

    private async Task ConnectAsync(CancellationToken ct)
    {
        if (await IsConnectedAsync(ct) && await SubscribeAgainAsync(ct))
            return;
        await VisitAsync([SignIn(DevelopmentIdentityProvider.Viewer, "/signed-out")], ct);
        await VisitAsync([SignIn(DevelopmentIdentityProvider.Owner, "/signed-out"), $"/auth/start?shop={Shop}"], ct);
        if (!await IsConnectedAsync(ct))
            throw new HttpRequestException($"The way through OAuth ended without {Shop} being connected.");
        await LetInAsync(DevelopmentIdentityProvider.Viewer, MemberRole.Viewer, ct);
        logger.Connected(Shop);
    }

    /// <summary>
    /// The fake Shopify keeps tokens over a restart, but not who subscribed to what. False when it does not let us
    /// in any more.
    /// </summary>
    private async Task<bool> SubscribeAgainAsync(CancellationToken ct)
    {
        var tenant = await system.RunAsync(
            db =>
                db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    .AsNoTracking()
                    .SingleAsync(t => t.ShopDomain == Shop, ct),
            ct
        );
        if (tenant.Status != TenantStatus.Connected)
            return true;
        try
        {
            var token = await tokens.GetAccessTokenAsync(tenant.TenantId, ct);
            await using var scope = scopes.CreateAsyncScope();
            await scope.ServiceProvider.GetRequiredService<ConnectStore>().SubscribeAsync(Shop, token, ct);
            return true;
        }
        catch (ReconnectRequiredException)
        {
            return false;
        }
    }

    // A store that was uninstalled by hand stays so; one whose tokens the fake Shopify no longer has is connected
    // again.
    private Task<bool> IsConnectedAsync(CancellationToken ct) =>
        system.RunAsync(
            db =>
                db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    .AnyAsync(t => t.ShopDomain == Shop && t.Status != TenantStatus.ReconnectRequired, ct),
            ct
        );

    private static string SignIn(string email, string returnUrl) =>
        $"/signin?login_hint={Uri.EscapeDataString(email)}&returnUrl={Uri.EscapeDataString(returnUrl)}";

    /// <summary>
    /// One browser: its cookies, its redirects. Addresses of ours are visited where this process listens, whatever
    /// App:PublicUrl says.
    /// </summary>
    private async Task VisitAsync(IReadOnlyList<string> paths, CancellationToken ct)
    {
        var cookies = new CookieContainer();
        foreach (var path in paths)
        {
            var next = new Uri(ServerAddress.Of(server), path);
            for (var hop = 0; next is not null; hop++)
            {
                if (hop == MaxRedirects)
                    throw new HttpRequestException($"More than {MaxRedirects} redirects from {path}.");
                next = await StepAsync(AtHome(next), cookies, ct);
            }
        }
    }

    private async Task<Uri?> StepAsync(Uri address, CookieContainer cookies, CancellationToken ct)
    {
        using var client = clients.CreateClient(HttpClientName);
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        if (cookies.GetCookieHeader(address) is { Length: > 0 } header)
            request.Headers.Add("Cookie", header);
        using var response = await client.SendAsync(request, ct);
        if (response.Headers.TryGetValues("Set-Cookie", out var values))
        {
            foreach (var value in values)
                cookies.SetCookies(address, value);
        }
        if (response.Headers.Location is { } location)
            return IsPageOfOurs(new Uri(address, location)) ? null : new Uri(address, location);
        if (response.IsSuccessStatusCode)
            return null;
        throw new HttpRequestException(
            $"{address.GetLeftPart(UriPartial.Path)} answered {(int)response.StatusCode}: "
                + $"{await response.Content.ReadAsStringAsync(ct)}",
            null,
            response.StatusCode
        );
    }

    // The dashboard at the end of the way is for people.
    private static bool IsPageOfOurs(Uri address) =>
        address.AbsolutePath.StartsWith("/stores/", StringComparison.Ordinal);

    private Uri AtHome(Uri address) =>
        address.GetLeftPart(UriPartial.Authority) == app.Value.At("/").GetLeftPart(UriPartial.Authority)
            ? new(ServerAddress.Of(server), address.PathAndQuery)
            : address;

    private Task LetInAsync(string email, MemberRole role, CancellationToken ct) =>
        system.RunAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    insert into memberships (tenant_id, user_id, role, created_at)
                    select t.tenant_id, u.user_id, @role, now() from tenants t, users u
                    where t.shop_domain = @shop and u.issuer = @issuer and u.email = @email
                    on conflict do nothing
                    """
                );
                command.Parameters.AddWithValue("role", role.ToString());
                command.Parameters.AddWithValue("shop", Shop);
                command.Parameters.AddWithValue("issuer", DevelopmentIdentityProvider.Issuer.ToString());
                command.Parameters.AddWithValue("email", email);
                await command.ExecuteNonQueryAsync(ct);
            },
            ct
        );
}

internal static partial class DemoStoreConnectorLog
{
    [LoggerMessage(LogLevel.Information, "Connected the demo store {Shop}; its import begins")]
    public static partial void Connected(this ILogger logger, string shop);

    [LoggerMessage(LogLevel.Warning, "Could not connect the demo store {Shop} yet; trying again in {Pause}")]
    public static partial void TriesAgain(this ILogger logger, string shop, TimeSpan pause, Exception failure);
}
