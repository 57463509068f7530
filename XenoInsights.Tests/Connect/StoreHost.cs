using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Connect;

/// <summary>The product with a stand-in Shopify and a clock that tests may put forward.</summary>
public sealed class StoreHost(PostgresServer postgres) : IAsyncLifetime
{
    public const string ClientId = "test-client",
        ClientSecret = "hush",
        PreviousClientSecret = "hush-hush";

    private readonly ConcurrentDictionary<string, Lazy<Task<Cookie>>> _sessions = new();
    private TestDatabase _database = null!;

    public AppHost App { get; private set; } = null!;
    public FakeShopifyServer Shopify { get; private set; } = null!;
    public MovableClock Clock { get; } = new();
    public IServiceProvider Services => App.Services;
    public string ConnectionString => _database.ConnectionString;

    public async ValueTask InitializeAsync()
    {
        _database = await postgres.CreateDatabaseAsync();
        Shopify = await FakeShopifyServer.StartAsync();
        var settings = new Dictionary<string, string?>
        {
            ["Shopify:ClientId"] = ClientId,
            ["Shopify:ClientSecret"] = ClientSecret,
            ["Shopify:PreviousClientSecret"] = PreviousClientSecret,
            ["Shopify:ShopUrl"] = Shopify.ShopUrl,
            ["Shopify:Scopes"] = "read_orders,read_customers,read_products,read_all_orders",
            ["FakeShopify:Enabled"] = "false",
            ["Encryption:Keys:0"] = "test:" + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)),
        };
        App = await AppHost.StartAsync(
            _database,
            settings,
            services: services =>
            {
                services.AddSingleton<TimeProvider>(Clock);
                // The stand-in has nothing to import: runs stay queued.
                services.Remove(services.Single(s => s.ImplementationType == typeof(SyncWorker)));
            }
        );
    }

    public async ValueTask DisposeAsync()
    {
        await App.DisposeAsync();
        await Shopify.DisposeAsync();
        await _database.DisposeAsync();
    }

    /// <summary>A browser of its own with the session of a demo user, who signs in once.</summary>
    public async Task<Browser> SignInAsync(string email = "owner@demo.test")
    {
        var session = await _sessions.GetOrAdd(email, _ => new(() => SessionAsync(email))).Value;
        var browser = new Browser(App);
        browser.SetCookie(session.Name, session.Value);
        return browser;
    }

    /// <summary>A browser with a session that no other test shares.</summary>
    public async Task<Browser> SignInAnewAsync(string email = "owner@demo.test")
    {
        var browser = new Browser(App);
        await SignInAsync(browser, email);
        return browser;
    }

    private async Task<Cookie> SessionAsync(string email)
    {
        using var browser = await SignInAnewAsync(email);
        return browser.Session!;
    }

    /// <summary>Follows the redirects of a sign-in.</summary>
    public async Task SignInAsync(Browser browser, string email)
    {
        for (Uri? next = AppHost.SignInPath(email, "/signed-out"); next is not null; )
        {
            using var response = await browser.GetAsync(next);
            Assert.True((int)response.StatusCode < 400, $"{next} answered {(int)response.StatusCode}.");
            next = response.Headers.Location is { } location ? new Uri(App.Address, location) : null;
        }
    }

    /// <summary>Begins to connect a shop and returns the state that Shopify is given.</summary>
    public static async Task<string> BeginAsync(HttpClient browser, string shop)
    {
        using var response = await browser.GetAsync(new Uri($"/auth/start?shop={shop}", UriKind.Relative));
        Assert.Equal(HttpStatusCode.Redirect, response.StatusCode);
        return QueryHelpers.ParseQuery(response.Headers.Location!.Query)["state"].ToString();
    }

    /// <summary>Shopify's answer, signed as Shopify does.</summary>
    public Uri Callback(
        string shop,
        string state,
        TimeSpan age = default,
        string secret = ClientSecret,
        string code = FakeShopifyServer.Code
    )
    {
        var timestamp = (Clock.GetUtcNow() - age).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        return SignedByShopify(
            "/auth/callback",
            secret,
            ("code", code),
            ("host", "YWRtaW4uc2hvcGlmeS5jb20"),
            ("shop", shop),
            ("state", state),
            ("timestamp", timestamp)
        );
    }

    /// <summary>An address with Shopify's signature over its parameters, which come in alphabetical order.</summary>
    public static Uri SignedByShopify(string path, string secret, params (string Name, string Value)[] parameters)
    {
        var text = string.Join('&', parameters.Select(p => $"{p.Name}={Uri.EscapeDataString(p.Value)}"));
        var hmac = Convert.ToHexStringLower(
            HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes(text))
        );
        return new($"{path}?{text}&hmac={hmac}", UriKind.Relative);
    }

    /// <summary>Connects a shop and returns its tenant.</summary>
    public async Task<Tenant> ConnectAsync(HttpClient browser, FakeShop shop)
    {
        var state = await BeginAsync(browser, shop.Domain);
        using var response = await browser.GetAsync(Callback(shop.Domain, state));
        Assert.True(response.StatusCode == HttpStatusCode.Redirect, await response.Content.ReadAsStringAsync());
        Assert.Equal($"/stores/{shop.Domain.Split('.')[0]}/overview", response.Headers.Location!.ToString());
        return (await FindTenantAsync(shop.ShopId))!;
    }

    public Task<Tenant?> FindTenantAsync(long shopId) =>
        Services
            .GetRequiredService<SystemDatabase>()
            .RunAsync(db =>
                db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    .AsNoTracking()
                    .SingleOrDefaultAsync(t => t.ShopId == shopId)
            );

    /// <summary>Makes a person who has signed in an owner of the store.</summary>
    public Task AddOwnerAsync(Tenant tenant, string email = "owner@demo.test") =>
        Services
            .GetRequiredService<SystemDatabase>()
            .RunAsync(async db =>
            {
                var user = await db.Users.Where(u => u.Email == email).Select(u => u.UserId).SingleAsync();
                db.Memberships.Add(
                    new()
                    {
                        TenantId = tenant.TenantId,
                        UserId = user,
                        Role = MemberRole.Owner,
                        CreatedAt = DateTimeOffset.UnixEpoch,
                    }
                );
                await db.SaveChangesAsync();
            });

    /// <summary>Does the store's queued recalculation, as the sync worker would.</summary>
    public async Task RecalculateAsync(Tenant shop)
    {
        var tenants = Services.GetRequiredService<TenantDatabase>();
        var (tenant, job) = await InTenantAsync(
            shop,
            async db =>
                (
                    await db.Tenants.AsNoTracking().SingleAsync(),
                    await db
                        .SyncJobs.AsNoTracking()
                        .SingleAsync(j => j.Type == SyncJobType.Recalculate && j.Status == SyncJobStatus.Queued)
                )
        );
        var lease = new SyncLease(tenants, shop.TenantId, job.Id, job.Type, job.Attempts, TimeSpan.FromMinutes(1));
        Assert.True(await lease.TakeAsync(CancellationToken.None));
        await Services.GetRequiredService<Recalculate>().RunAsync(lease, tenant, CancellationToken.None);
        await lease.SucceedAsync(
            db => Recalculate.ConcludeAsync(db, tenant, CancellationToken.None),
            CancellationToken.None
        );
    }

    public Task<T> InTenantAsync<T>(Tenant tenant, Func<XenoDbContext, Task<T>> work) =>
        Services.GetRequiredService<TenantDatabase>().RunAsync(tenant.TenantId, work);

    /// <summary>Asserts that the app refused, and by which code.</summary>
    public static async Task RefusedAsync(
        HttpClient browser,
        Uri address,
        string code,
        HttpStatusCode status = HttpStatusCode.BadRequest
    )
    {
        using var response = await browser.GetAsync(address);
        var body = await response.Content.ReadAsStringAsync();
        Assert.True(status == response.StatusCode, $"{(int)response.StatusCode} {response.Headers.Location} {body}");
        using var problem = JsonDocument.Parse(body);
        Assert.Equal(code, problem.RootElement.GetProperty("code").GetString());
    }
}

/// <summary>A browser that shows redirects instead of following them, and its cookies.</summary>
public sealed class Browser : HttpClient
{
    public Browser(AppHost app)
        : this(app, new()) { }

    private Browser(AppHost app, CookieContainer cookies)
        : base(new SocketsHttpHandler { AllowAutoRedirect = false, CookieContainer = cookies }) =>
        (BaseAddress, Cookies) = (app.Address, cookies);

    public CookieContainer Cookies { get; }

    public Cookie? Session => Cookies.GetCookies(BaseAddress!)["xeno"];

    public void SetCookie(string name, string value) => Cookies.Add(BaseAddress!, new Cookie(name, value));
}

/// <summary>The real clock, put forward. Never back: other tests share it.</summary>
public sealed class MovableClock : TimeProvider
{
    private long _ahead;

    public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + TimeSpan.FromTicks(Interlocked.Read(ref _ahead));

    public void Advance(TimeSpan by) => Interlocked.Add(ref _ahead, by.Ticks);
}
