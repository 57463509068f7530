namespace XenoInsights.Hosting;

/// <summary>
/// <c>XenoInsights healthcheck</c>: asks the app running beside it in the container whether it lives. The image has no
/// curl.
/// </summary>
public static class HealthCheckCommand
{
    private const string DefaultAddress = "http://localhost:8080";
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(5);

    /// <returns>0 when /health/live answers with success, else 1 and the reason on the error output.</returns>
    public static async Task<int> RunAsync()
    {
        var address = new Uri(ServerAddress(Environment.GetEnvironmentVariable), "/health/live");
        using var http = new HttpClient { Timeout = _patience };
        try
        {
            using var response = await http.GetAsync(address);
            if (response.IsSuccessStatusCode)
                return 0;
            await Console.Error.WriteLineAsync($"{address} answered {(int)response.StatusCode}");
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            await Console.Error.WriteLineAsync($"{address} does not answer: {e.Message}");
        }
        return 1;
    }

    /// <summary>Where the app listens, as it reads it itself: the first plain http address, at this machine.</summary>
    public static Uri ServerAddress(Func<string, string?> environment)
    {
        var urls =
            environment("ASPNETCORE_URLS")
                ?.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            ?? [];
        if (Array.Find(urls, url => url.StartsWith("http://", StringComparison.OrdinalIgnoreCase)) is { } listening)
        {
            var port = BindingAddress.Parse(listening).Port;
            return new UriBuilder(DefaultAddress) { Port = port }.Uri;
        }
        var ports = environment("ASPNETCORE_HTTP_PORTS")?.Split(';', StringSplitOptions.RemoveEmptyEntries) ?? [];
        return ports.Length > 0 ? new Uri($"http://localhost:{ports[0]}") : new Uri(DefaultAddress);
    }
}
