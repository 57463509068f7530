using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace XenoInsights.Hosting;

/// <summary>Where this process can reach itself, known once it listens.</summary>
internal static class ServerAddress
{
    public static Uri Of(IServer server)
    {
        var addresses = server.Features.Get<IServerAddressesFeature>()?.Addresses ?? [];
        var http =
            addresses.FirstOrDefault(a => a.StartsWith("http://", StringComparison.Ordinal))
            ?? throw new InvalidOperationException("The app calls itself over http, but listens on no http address.");
        var binding = BindingAddress.Parse(http);
        var host = binding.Host is "*" or "+" or "0.0.0.0" or "[::]" ? "localhost" : binding.Host;
        return new UriBuilder("http", host, binding.Port).Uri;
    }
}
