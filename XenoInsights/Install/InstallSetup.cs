using Microsoft.Extensions.Options;
using XenoInsights.Access;
using XenoInsights.App;
using XenoInsights.Data;
using XenoInsights.Operations;
using XenoInsights.Shopify;

namespace XenoInsights.Install;

/// <summary>Connecting stores: OAuth with Shopify, the tokens that come of it, and in Development the demo store.</summary>
public static class InstallSetup
{
    // Within a refresh a few attempts run under a row lock; together they must end before those who wait for it give up.
    private static readonly TimeSpan _tokenTimeout = TimeSpan.FromSeconds(8), _connectTimeout = TimeSpan.FromSeconds(5);
    // Our own callback asks for a token, for the shop and for its webhooks, one after the other.
    private static readonly TimeSpan _callbackTimeout = TimeSpan.FromMinutes(1);
    private const long MaxAnswerBytes = 1 << 20;

    /// <summary>The configured keys, and what opens and seals tokens with them.</summary>
    internal static void AddTokenVault(this WebApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddOptions<EncryptionOptions>().BindConfiguration(EncryptionOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<EncryptionOptions>, EncryptionOptionsValidator>();
        if (builder.Environment.IsDevelopment())
        {
            var dataRoot = DatabaseConnection.PrivateOptions(builder.Configuration).DataRoot;
            services.PostConfigure<EncryptionOptions>(options =>
            {
                if (options.Keys.Count == 0) options.Keys.Add(DevelopmentEncryptionKey.ReadOrCreate(dataRoot));
            });
        }
        services.AddSingleton<TokenVault>();
    }

    public static void AddInstall(this WebApplicationBuilder builder)
    {
        var services = builder.Services;
        builder.AddTokenVault();
        services.AddOptions<FormTargets>().Configure<IOptions<ShopifyOptions>>(AddShopify);
        AddShopClient(services, OAuthClient.HttpClientName, _tokenTimeout);
        AddShopClient(services, ShopDesk.HttpClientName, _tokenTimeout);
        services.AddSingleton<OAuthClient>().AddSingleton<ShopDesk>().AddSingleton<ShopRename>()
            .AddSingleton<ShopifyTokens>().AddScoped<StoreInstall>().AddScoped<StoreDisconnect>();
        services.AddSingleton<AccessTokenSource>(provider => provider.GetRequiredService<ShopifyTokens>().ForAdminClientAsync);
        if (builder.Environment.IsDevelopment())
        {
            AddShopClient(services, DemoConnection.HttpClientName, _callbackTimeout);
            services.AddHostedService<DemoConnection>();
        }
    }

    public static void MapInstall(this WebApplication app)
    {
        app.MapMethods("/auth/start", [HttpMethods.Get, HttpMethods.Post], StartAsync).ExcludeFromDescription();
        app.MapGet(StoreInstall.CallbackPath, CompleteAsync).ExcludeFromDescription();
    }

    /// <summary>The form that connects a store leads to the shop's consent, and from there to Shopify's own sign-in.</summary>
    private static void AddShopify(FormTargets targets, IOptions<ShopifyOptions> shopify)
    {
        var shops = shopify.Value.ShopUrl.Replace("{shop}", "*.myshopify.com", StringComparison.Ordinal);
        var path = shops.IndexOf('/', shops.IndexOf("://", StringComparison.Ordinal) + "://".Length);
        targets.AddSource(path < 0 ? shops : shops[..path]);
        if (shopify.Value.ShopUrl == ShopifyOptions.DefaultShopUrl) targets.AddSource("https://*.shopify.com");
    }

    // A shop that redirects elsewhere does not get to see our secret or a token.
    private static void AddShopClient(IServiceCollection services, string name, TimeSpan timeout) => services
        .AddHttpClient(name, client => (client.Timeout, client.MaxResponseContentBufferSize) = (timeout, MaxAnswerBytes))
        .ConfigurePrimaryHttpMessageHandler(() => new SocketsHttpHandler
        {
            AllowAutoRedirect = false, UseCookies = false, ConnectTimeout = _connectTimeout,
            ActivityHeadersPropagator = ShopifySetup.NoTracing,
        });

    private static async Task<IResult> StartAsync(HttpContext http, StoreInstall install, IOptions<AppOptions> app, CancellationToken ct)
    {
        var shop = http.Request.HasFormContentType ? (await http.Request.ReadFormAsync(ct))["shop"] : http.Request.Query["shop"];
        try
        {
            var (consent, state) = await install.BeginAsync(http.User.UserId()!.Value, shop.Count == 1 ? shop[0] : null, http.Request.Query, ct);
            http.Response.Cookies.Append(StateCookie(app.Value), state, CookieOptions(app.Value));
            return Results.Redirect(consent.ToString());
        }
        catch (InstallRefusedException refusal)
        {
            return Answer(http, refusal);
        }
    }

    private static async Task<IResult> CompleteAsync(HttpContext http, StoreInstall install, IOptions<AppOptions> app, CancellationToken ct)
    {
        var browserState = http.Request.Cookies[StateCookie(app.Value)];
        http.Response.Cookies.Delete(StateCookie(app.Value), CookieOptions(app.Value));
        try
        {
            var domain = await install.CompleteAsync(http.User.UserId()!.Value, http.Request.Query, browserState, ct);
            return Results.Redirect($"/stores/{domain.Split('.')[0]}/overview");
        }
        catch (InstallRefusedException refusal)
        {
            return Answer(http, refusal);
        }
    }

    private static string StateCookie(AppOptions app) => app.IsHttps ? "__Host-xeno-install" : "xeno-install";

    private static CookieOptions CookieOptions(AppOptions app) =>
        new() { HttpOnly = true, Secure = app.IsHttps, SameSite = SameSiteMode.Lax, Path = "/", MaxAge = StoreInstall.StateLifetime, IsEssential = true };

    private static IResult Answer(HttpContext http, InstallRefusedException refusal)
    {
        http.RequestServices.GetRequiredService<ILogger<StoreInstall>>().Refused(refusal.Error.Code, refusal);
        var error = refusal.Error;
        return http.Request.GetTypedHeaders().Accept.Any(a => a.MediaType == "text/html")
            ? NoticePage.Result(error.Status, error.Title, error.Text, [new("Your stores", "/stores")])
            : Results.Problem(error.Text, statusCode: error.Status, title: error.Title, extensions: new Dictionary<string, object?> { ["code"] = error.Code });
    }
}
