namespace XenoInsights.Hosting;

/// <summary>
/// Origins as browsers write them: scheme and host in lower case, the host in ASCII, no default port.
/// </summary>
internal static class WebOrigin
{
    public static string Of(Uri address)
    {
        var host = address.HostNameType == UriHostNameType.IPv6 ? $"[{address.IdnHost}]" : address.IdnHost;
        var port = address.IsDefaultPort ? "" : $":{address.Port}";
        return $"{address.Scheme}://{host}{port}";
    }

    /// <summary>The address that the request itself was sent to.</summary>
    public static string? Of(HttpRequest request) =>
        Uri.TryCreate($"{request.Scheme}://{request.Host}", UriKind.Absolute, out var address) ? Of(address) : null;
}
