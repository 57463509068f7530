using Microsoft.Extensions.Options;
using XenoInsights.Hosting;
using XenoInsights.Shopify;

namespace XenoInsights.Connect;

/// <summary>Connecting stores: OAuth with Shopify, the tokens that come of it and their encryption.</summary>
public static class ConnectSetup
{
    private const string StartPath = "/auth/start";

    // Within a refresh a few attempts run under a row lock; together they must end before those who wait for it time
    // out.
    private static readonly TimeSpan _tokenTimeout = TimeSpan.FromSeconds(8),
        _connectTimeout = TimeSpan.FromSeconds(5);
    private const long MaxAnswerBytes = 1 << 20;

    /// <summary>The configured keys, and what opens and seals tokens with them.</summary>
    internal static void AddTokenVault(this WebApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddOptions<EncryptionOptions>().BindConfiguration(EncryptionOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<EncryptionOptions>, EncryptionOptionsValidator>();
        services.AddSingleton<TokenEncryption>();
    }

    public static void AddConnect(this WebApplicationBuilder builder)
    {
        var services = builder.Services;
        builder.AddTokenVault();
        services.AddOptions<FormTargets>().Configure<IOptions<ShopifyOptions>>(AddShopify);
        AddShopClient(services, OAuthClient.HttpClientName, _tokenTimeout);
        AddShopClient(services, ShopSetupClient.HttpClientName, _tokenTimeout);
        services
            .AddSingleton<OAuthClient>()
            .AddSingleton<ShopSetupClient>()
            .AddSingleton<ShopRename>()
            .AddSingleton<AccessTokens>()
            .AddScoped<ConnectStore>()
            .AddScoped<DisconnectStore>()
            .AddSingleton<OpenStore>();
        services.AddSingleton<AccessTokenSource>(provider =>
            provider.GetRequiredService<AccessTokens>().ForAdminClientAsync
        );
    }

    public static void MapConnect(this WebApplication app)
    {
        app.MapGet(StartPath, ConnectRoutes.StartAsync).AllowAnonymous().ExcludeFromDescription();
        app.MapPost(StartPath, ConnectRoutes.StartConfirmedAsync).ExcludeFromDescription();
        app.MapMethods(ConnectStore.CallbackPath, [HttpMethods.Get, HttpMethods.Post], ConnectRoutes.CompleteAsync)
            .AllowAnonymous()
            .ExcludeFromDescription();
    }

    /// <summary>
    /// The App URL of Shopify's admin is the home page with parameters. Comes before sign-in is asked for.
    /// </summary>
    public static void UseAppUrl(this WebApplication app) =>
        app.UseWhen(ConnectRoutes.IsAppUrl, branch => branch.Run(ConnectRoutes.OpenAsync));

    /// <summary>
    /// The form that connects a store leads to the shop's consent, and from there to Shopify's own sign-in.
    /// </summary>
    private static void AddShopify(FormTargets targets, IOptions<ShopifyOptions> shopify)
    {
        var shops = shopify.Value.ShopUrl.Replace("{shop}", "*.myshopify.com", StringComparison.Ordinal);
        var path = shops.IndexOf('/', shops.IndexOf("://", StringComparison.Ordinal) + "://".Length);
        targets.AddSource(path < 0 ? shops : shops[..path]);
        if (shopify.Value.ShopUrl == ShopifyOptions.DefaultShopUrl)
            targets.AddSource("https://*.shopify.com");
    }

    // A shop that redirects elsewhere does not get to see our secret or a token.
    internal static void AddShopClient(IServiceCollection services, string name, TimeSpan timeout) =>
        services
            .AddHttpClient(
                name,
                client => (client.Timeout, client.MaxResponseContentBufferSize) = (timeout, MaxAnswerBytes)
            )
            .ConfigurePrimaryHttpMessageHandler(() =>
                new SocketsHttpHandler
                {
                    AllowAutoRedirect = false,
                    UseCookies = false,
                    ConnectTimeout = _connectTimeout,
                    ActivityHeadersPropagator = ShopifySetup.NoTracing,
                }
            );
}
