using Microsoft.Extensions.Options;

namespace XenoInsights.Hosting;

/// <summary>
/// The origins whose pages are this app's: that of <c>App:PublicUrl</c>; in Development also the address that was
/// asked.
/// </summary>
internal sealed class OwnOrigins(IOptions<AppOptions> app, IHostEnvironment environment)
{
    /// <param name="origin">As browsers write it.</param>
    public bool Contains(string origin, HttpRequest request) =>
        origin == app.Value.Origin || (environment.IsDevelopment() && origin == WebOrigin.Of(request));

    /// <summary>
    /// Whether the person themselves or a page of this app sent the browser here, as against a link on another site.
    /// Browsers say so (<c>Sec-Fetch-Site</c>); older ones have to bring our page as <c>Referer</c>. What does not ask
    /// for a page is a program.
    /// </summary>
    public bool Sent(HttpRequest request)
    {
        var site = request.Headers["Sec-Fetch-Site"].ToString();
        if (site.Length > 0)
            return site is "none" or "same-origin";
        var referer = request.GetTypedHeaders().Referer;
        if (referer is { IsAbsoluteUri: true })
            return Contains(WebOrigin.Of(referer), request);
        return !request.GetTypedHeaders().Accept.Any(accepted => accepted.MediaType == "text/html");
    }
}
