using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.Extensions.Options;
using XenoInsights.Data;

namespace XenoInsights.Hosting;

/// <summary>
/// What requests look like behind a proxy: whose address they come from, and which address they were sent to.
/// </summary>
public static class ProxySetup
{
    private const string KnownNetworks = "ForwardedHeaders:KnownNetworks";

    /// <summary>
    /// Beyond a proxy on this machine, <c>ForwardedHeaders:KnownNetworks</c> lists whose word counts, as CIDR.
    /// </summary>
    public static void AddKnownProxies(this WebApplicationBuilder builder)
    {
        var networks = (builder.Configuration.GetSection(KnownNetworks).Get<string[]>() ?? [])
            .Select(value =>
                System.Net.IPNetwork.TryParse(value, out var network)
                    ? network
                    : throw new ConfigurationException(
                        $"{KnownNetworks}: '{value}' is not a network such as 10.0.0.0/8."
                    )
            )
            .ToList();
        builder.Services.Configure<ForwardedHeadersOptions>(options =>
        {
            options.ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto;
            networks.ForEach(options.KnownIPNetworks.Add);
        });
    }

    /// <summary>First of all: whatever follows sees the visitor's address instead of the proxy's.</summary>
    public static void UseKnownProxies(this WebApplication app)
    {
        // The framework has put its own in front when its switch is on; a second would believe one proxy more than
        // there is.
        if (!app.Configuration.GetValue("FORWARDEDHEADERS_ENABLED", false))
            app.UseForwardedHeaders();
    }

    /// <summary>
    /// Where TLS ends before the app, requests look like http to an inner host; redirects and cookies must speak of the
    /// outer one.
    /// </summary>
    public static void UsePublicAddress(this WebApplication app)
    {
        var publicUrl = new Uri(app.Services.GetRequiredService<IOptions<AppOptions>>().Value.PublicUrl);
        if (publicUrl.Scheme != Uri.UriSchemeHttps)
            return;
        var host = publicUrl.IsDefaultPort
            ? new HostString(publicUrl.Host)
            : new HostString(publicUrl.Host, publicUrl.Port);
        app.Use(
            (http, next) =>
            {
                http.Request.Scheme = publicUrl.Scheme;
                http.Request.Host = host;
                return next();
            }
        );
    }
}
