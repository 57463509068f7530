using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace XenoInsights.Tests.Connect;

/// <summary>
/// The token endpoint and the two Admin API calls that connecting a store needs, with the misbehaviours that tests ask for.
/// One per test class; each test uses shops of its own.
/// </summary>
public sealed class FakeShopifyServer : IAsyncDisposable
{
    public const string Code = "a-good-code";

    private readonly WebApplication _app;
    private readonly ConcurrentDictionary<string, FakeShop> _shops = new();
    private long _ids = 1000;

    private FakeShopifyServer(WebApplication app) => _app = app;

    /// <summary>For <c>Shopify:ShopUrl</c>.</summary>
    public string ShopUrl =>
        _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()
        + "/{shop}";

    public static async Task<FakeShopifyServer> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        var shopify = new FakeShopifyServer(app);
        app.MapPost(
            "/{shop}/admin/oauth/access_token",
            (string shop, HttpContext http) => shopify.TokenAsync(shop, http)
        );
        app.MapPost(
            "/{shop}/admin/api/{version}/graphql.json",
            (string shop, HttpContext http) => shopify.GraphQLAsync(shop, http)
        );
        await app.StartAsync();
        return shopify;
    }

    /// <summary>A shop nobody has connected yet.</summary>
    public FakeShop AddShop(long? shopId = null, string? domain = null)
    {
        var id = shopId ?? Interlocked.Increment(ref _ids);
        var shop = new FakeShop { ShopId = id, Domain = domain ?? $"shop-{id}.myshopify.com" };
        return _shops[shop.Domain] = shop;
    }

    /// <summary>The shop answers at its former domain as well, and says what it is called now.</summary>
    public void Rename(FakeShop shop, string domain) => _shops[shop.Domain = domain] = shop;

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private async Task<IResult> TokenAsync(string domain, HttpContext http)
    {
        var form = await http.Request.ReadFormAsync();
        if (!_shops.TryGetValue(domain, out var shop))
            return Results.NotFound();
        Interlocked.Increment(ref shop.TokenCalls);
        if (shop.TokenStatus is { } status)
            return Results.Json(new { error = shop.TokenError }, statusCode: status);
        if (shop.TokenDelay > TimeSpan.Zero)
            await Task.Delay(shop.TokenDelay);
        if (form["client_id"] != StoreHost.ClientId || form["client_secret"] != StoreHost.ClientSecret)
            return Results.Json(new { error = "invalid_client" }, statusCode: 401);
        if (
            form["grant_type"] == "refresh_token"
                ? !shop.Accepts(form["refresh_token"].ToString())
                : form["code"] != Code || form["expiring"] != "1"
        )
            return Results.Json(new { error = "invalid_request" }, statusCode: 400);
        var pair = shop.Rotate(form["refresh_token"].ToString());
        if (Interlocked.Exchange(ref shop.AnswersToLose, 0) == 1)
        {
            http.Abort();
            return Results.Empty;
        }
        return Results.Json(
            new
            {
                access_token = pair.Access,
                scope = shop.Scope,
                expires_in = shop.ExpiresIn,
                refresh_token = pair.Refresh,
                refresh_token_expires_in = 7776000,
            }
        );
    }

    private async Task<IResult> GraphQLAsync(string domain, HttpContext http)
    {
        using var body = await JsonDocument.ParseAsync(http.Request.Body);
        if (!_shops.TryGetValue(domain, out var shop))
            return Results.NotFound();
        if (shop.AdminStatus is { } status)
            return Results.StatusCode(status);
        if (!shop.Knows(http.Request.Headers["X-Shopify-Access-Token"].ToString()))
            return Results.Unauthorized();
        if (body.RootElement.GetProperty("query").GetString()!.StartsWith("query Shop", StringComparison.Ordinal))
        {
            return Results.Json(
                new
                {
                    data = new
                    {
                        shop = new
                        {
                            id = "gid://shopify/Shop/" + shop.ShopId.ToString(CultureInfo.InvariantCulture),
                            name = "Stand-in " + shop.ShopId,
                            myshopifyDomain = shop.Domain,
                            currencyCode = "GBP",
                            ianaTimezone = shop.TimeZone,
                        },
                    },
                }
            );
        }
        if (
            body
                .RootElement.GetProperty("query")
                .GetString()!
                .StartsWith("query WebhookSubscriptions", StringComparison.Ordinal)
        )
        {
            var nodes = shop.Subscriptions.Select(s => new { topic = s.Key, uri = s.Value }).ToArray();
            return Results.Json(new { data = new { webhookSubscriptions = new { nodes } } });
        }
        Interlocked.Increment(ref shop.SubscribeCalls);
        var variables = body.RootElement.GetProperty("variables");
        var taken = !shop.Subscriptions.TryAdd(
            variables.GetProperty("topic").GetString()!,
            variables.GetProperty("uri").GetString()!
        );
        if (shop.RefusesWebhooks)
            return Results.Json(new { errors = new[] { new { message = "Internal error." } } }, statusCode: 500);
        object[] errors = taken
            ?
            [
                new
                {
                    field = new[] { "webhookSubscription", "callbackUrl" },
                    message = "Address for this topic has already been taken",
                },
            ]
            : [];
        return Results.Json(
            new
            {
                data = new
                {
                    webhookSubscriptionCreate = new { webhookSubscription = (object?)null, userErrors = errors },
                },
            }
        );
    }
}

public sealed class FakeShop
{
    private readonly Lock _lock = new();
    private readonly HashSet<string> _accessTokens = [];
    private string? _refresh,
        _previousRefresh;
    private (string Access, string Refresh) _pair;
    private int _pairs;

    internal int TokenCalls,
        AnswersToLose,
        SubscribeCalls;

    public required long ShopId { get; set; }
    public required string Domain { get; set; }
    public string Scope { get; set; } = "read_orders,read_customers,read_products";
    public int? ExpiresIn { get; set; } = 3600;
    public TimeSpan TokenDelay { get; set; }

    /// <summary>IANA.</summary>
    public string TimeZone { get; set; } = "Europe/London";

    /// <summary>Answers the token endpoint with this status and error.</summary>
    public int? TokenStatus { get; set; }
    public string TokenError { get; set; } = "invalid_request";

    /// <summary>Answers the Admin API with this status.</summary>
    public int? AdminStatus { get; set; }
    public bool RefusesWebhooks { get; set; }
    public ConcurrentDictionary<string, string> Subscriptions { get; } = new();
    public int Calls => Volatile.Read(ref TokenCalls);

    /// <summary>The next pair is made, but the answer with it never arrives.</summary>
    public void LoseNextAnswer() => Volatile.Write(ref AnswersToLose, 1);

    /// <summary>The merchant removes the app: no token works from then on.</summary>
    public void Uninstall()
    {
        lock (_lock)
        {
            _accessTokens.Clear();
            (_refresh, _previousRefresh) = (null, null);
        }
    }

    public bool Knows(string accessToken)
    {
        lock (_lock)
            return _accessTokens.Contains(accessToken);
    }

    /// <summary>The app was removed: nothing that was given out before lets anybody in.</summary>
    public void Revoke()
    {
        lock (_lock)
        {
            _accessTokens.Clear();
            (_refresh, _previousRefresh) = (null, null);
        }
    }

    // The previous refresh token may be used again until the replacement is.
    internal bool Accepts(string refreshToken)
    {
        lock (_lock)
            return refreshToken == _refresh || refreshToken == _previousRefresh;
    }

    internal (string Access, string Refresh) Rotate(string usedRefreshToken)
    {
        lock (_lock)
        {
            if (usedRefreshToken.Length > 0 && usedRefreshToken == _previousRefresh)
                return _pair;
            _previousRefresh = usedRefreshToken.Length > 0 ? usedRefreshToken : null;
            _pair = ($"shpat_{ShopId}_{++_pairs}", $"shprt_{ShopId}_{_pairs}");
            _refresh = _pair.Refresh;
            _accessTokens.Add(_pair.Access);
            return _pair;
        }
    }
}
