using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.Extensions.Options;
using XenoInsights.Hosting;

namespace XenoInsights.Authentication;

/// <summary>
/// Learns from the provider's metadata where signing out leads, so that the form that signs out may go there. The
/// configured address is known without asking; some providers end sessions at another host.
/// </summary>
internal sealed class ProviderOrigin(
    IOptions<OidcOptions> oidc,
    IOptionsMonitor<OpenIdConnectOptions> handler,
    IOptions<FormTargets> targets,
    TimeProvider time
) : BackgroundService
{
    private static readonly TimeSpan _pause = TimeSpan.FromMinutes(1);

    public static void AddConfigured(FormTargets targets, IOptions<OidcOptions> oidc)
    {
        targets.Add(oidc.Value.Authority);
        targets.Add(oidc.Value.MetadataAddress);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (oidc.Value.IsAbsent)
            return;
        while (!await TryLearnAsync(stoppingToken))
            await Task.Delay(_pause, time, stoppingToken);
    }

    private async Task<bool> TryLearnAsync(CancellationToken ct)
    {
        try
        {
            var manager = handler.Get(OpenIdConnectDefaults.AuthenticationScheme).ConfigurationManager!;
            var provider = await manager.GetConfigurationAsync(ct);
            targets.Value.Add(provider.EndSessionEndpoint);
            return true;
        }
        catch (InvalidOperationException)
        {
            // Whoever signs in meanwhile gets a page that says so, and the log has it from there.
            return false;
        }
    }
}
