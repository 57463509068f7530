using System.Diagnostics;
using System.Net;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using XenoInsights.Data;

namespace XenoInsights.Shopify;

public static class ShopifySetup
{
    /// <summary>Our traces are none of Shopify's business: requests carry no <c>traceparent</c>.</summary>
    public static DistributedContextPropagator NoTracing { get; } =
        DistributedContextPropagator.CreateNoOutputPropagator();

    /// <summary>Everything of this folder. Who registers it also registers an <see cref="AccessTokenSource"/>.</summary>
    public static WebApplicationBuilder AddShopify(this WebApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddCheckedOptions<ShopifyOptions>(ShopifyOptions.Section);
        services.AddSingleton<IValidateOptions<ShopifyOptions>, ShopifyOptionsValidator>();
        services.TryAddSingleton(TimeProvider.System);
        services
            .AddHttpClient(
                AdminClient.HttpName,
                (provider, client) =>
                {
                    client.Timeout = TimeSpan.FromSeconds(60);
                    client.MaxResponseContentBufferSize =
                        provider.GetRequiredService<IOptions<ShopifyOptions>>().Value.MaxAnswerMegabytes * 1024L * 1024;
                }
            )
            .ConfigurePrimaryHttpMessageHandler(() =>
                new SocketsHttpHandler
                {
                    // A store that redirects may have become another one; the token must not follow.
                    AllowAutoRedirect = false,
                    ActivityHeadersPropagator = NoTracing,
                    AutomaticDecompression = DecompressionMethods.All,
                    ConnectTimeout = TimeSpan.FromSeconds(10),
                    MaxConnectionsPerServer = 8,
                    PooledConnectionLifetime = TimeSpan.FromMinutes(5),
                    UseCookies = false,
                }
            );
        // No time limit: a file may take an hour. Silence is limited where it is read.
        services
            .AddHttpClient(BulkDownload.HttpName, client => client.Timeout = Timeout.InfiniteTimeSpan)
            .ConfigurePrimaryHttpMessageHandler(() =>
                new SocketsHttpHandler
                {
                    // The address was checked; where it leads on to was not.
                    AllowAutoRedirect = false,
                    ActivityHeadersPropagator = NoTracing,
                    ConnectTimeout = TimeSpan.FromSeconds(10),
                    MaxConnectionsPerServer = 4,
                    PooledConnectionLifetime = TimeSpan.FromMinutes(5),
                    UseCookies = false,
                }
            );
        services.AddSingleton<AdminClient>();
        services.AddSingleton<BulkOperations>();
        services.AddSingleton<BulkDownload>();
        services.AddSingleton<AdminObjects>();
        return builder;
    }
}
