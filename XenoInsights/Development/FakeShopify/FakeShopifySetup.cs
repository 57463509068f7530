using XenoInsights.App;
using XenoInsights.Data;

namespace XenoInsights.Development.FakeShopify;

public static class FakeShopifySetup
{
    private const string EnabledKey = "FakeShopify:Enabled";

    /// <summary>In Development without credentials of a real app, points the product at the fake Shopify and runs it beside the product.</summary>
    /// <exception cref="ConfigurationException">It was switched on outside Development.</exception>
    public static WebApplicationBuilder AddFakeShopify(this WebApplicationBuilder builder)
    {
        var configuration = builder.Configuration;
        var development = builder.Environment.IsDevelopment();
        var enabled =
            configuration.GetValue<bool?>(EnabledKey)
            ?? (development && string.IsNullOrEmpty(configuration["Shopify:ClientId"]));
        if (!enabled)
        {
            return builder;
        }
        if (!development)
        {
            throw new ConfigurationException(
                $"{EnabledKey} is for Development only: remove it and set Shopify:ClientId and Shopify:ClientSecret to the app's credentials."
            );
        }
        var options = new FakeShopifyOptions
        {
            AppUrl = Uri.TryCreate(configuration["App:PublicUrl"], UriKind.Absolute, out var app) ? app : null,
            AutoApprove = [Stores.OnlineRetail.Domain],
            OrdersPerMinute = Number(configuration, "FakeShopify:OrdersPerMinute", 6),
            RetryClock = Number(configuration, "FakeShopify:RetryClock", 1),
        };
        options = options with { Url = configuration["FakeShopify:Url"] ?? options.Url };
        configuration.AddInMemoryCollection(
            new Dictionary<string, string?>
            {
                [EnabledKey] = "true",
                ["Shopify:ClientId"] = options.ClientId,
                ["Shopify:Scopes"] = "read_orders,read_all_orders,read_customers,read_products",
                ["Shopify:ClientSecret"] = options.ClientSecret,
                ["Shopify:ShopUrl"] = options.Url.TrimEnd('/') + "/{shop}",
            }
        );
        builder.Services.AddHostedService(services => new FakeShopifyService(
            options with
            {
                Time = services.GetService<TimeProvider>() ?? TimeProvider.System,
                Loggers = services.GetRequiredService<ILoggerFactory>(),
            }
        ));
        return builder;
    }

    private static double Number(ConfigurationManager configuration, string key, double otherwise)
    {
        if (configuration[key] is not { Length: > 0 } text)
            return otherwise;
        return
            double.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out var value)
            && value is >= 0 and <= 10_000
            ? value
            : throw new ConfigurationException($"{key} must be a number from 0 to 10000.");
    }
}

/// <summary>Starts with the product, before it serves its first page, and stops after it.</summary>
public sealed class FakeShopifyService(FakeShopifyOptions options) : IHostedService
{
    private int _stopped;

    public FakeShopifyHost? Host { get; private set; }

    public async Task StartAsync(CancellationToken cancellationToken) =>
        Host = await FakeShopifyHost.StartAsync(options, cancellationToken);

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        // A host that is stopped and disposed at once stops its services twice.
        if (Host is { } host && Interlocked.Exchange(ref _stopped, 1) == 0)
        {
            await host.DisposeAsync();
        }
    }
}
