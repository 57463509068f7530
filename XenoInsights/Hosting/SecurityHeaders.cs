using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Components;
using Microsoft.Extensions.Options;
using Scalar.AspNetCore;

namespace XenoInsights.Hosting;

/// <summary>
/// Headers that narrow what a browser lets a page of ours do. Scripts come from us alone; the inline ones are Blazor's
/// import map, allowed by its hash, and the start of the API page, by a nonce. Styles may be inline: MudBlazor and the
/// charts write style attributes. The policy has no address for reports: browsers tell of refusals on their consoles,
/// and the tests read those.
/// </summary>
internal sealed class SecurityHeaders(
    RequestDelegate next,
    IHostEnvironment environment,
    IOptions<AppOptions> app,
    IOptions<FormTargets> targets
)
{
    private static readonly TimeSpan _httpsOnly = TimeSpan.FromDays(365);

    private readonly ConditionalWeakTable<ImportMapDefinition, string> _hashes = [];

    public Task InvokeAsync(HttpContext context)
    {
        context.Response.OnStarting(() =>
        {
            var headers = context.Response.Headers;
            headers.XContentTypeOptions = "nosniff";
            headers.XFrameOptions = "DENY";
            headers["Referrer-Policy"] = "strict-origin-when-cross-origin";
            headers["Cross-Origin-Opener-Policy"] = "same-origin";
            headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";
            headers.ContentSecurityPolicy = Policy(context);
            // Figures and people's data are nobody's to keep on the way, whatever the answer is.
            if (context.Request.Path.StartsWithSegments("/api") && headers.CacheControl.Count == 0)
                headers.CacheControl = "no-store";
            if (IsHttpsOnly)
                headers.StrictTransportSecurity = $"max-age={_httpsOnly.TotalSeconds:0}";
            return Task.CompletedTask;
        });
        return next(context);
    }

    // By the public address, not by the request: behind a proxy that is not believed every request looks like http. Not
    // for this machine's own name, where it would lock out every other http address of it.
    private bool IsHttpsOnly => app.Value.IsHttps && !new Uri(app.Value.PublicUrl).IsLoopback;

    private string Policy(HttpContext context)
    {
        // In Development the pages that forms lead to are on other ports of this machine, and dotnet watch reloads the
        // page over a socket of its own.
        var local = environment.IsDevelopment();
        var forms = string.Join(' ', targets.Value.Origins.Prepend("'self'"));
        return string.Join(
            "; ",
            "default-src 'self'",
            $"script-src 'self' {InlineScript(context)}".TrimEnd(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            local ? "connect-src 'self' ws://localhost:* http://localhost:*" : "connect-src 'self'",
            local ? $"form-action {forms} http://localhost:* http://127.0.0.1:*" : $"form-action {forms}",
            "object-src 'none'",
            // Blazor finds its circuit by the page's own base element.
            "base-uri 'self'",
            "frame-ancestors 'none'"
        );
    }

    private string? InlineScript(HttpContext context)
    {
        if (context.Items[ScalarOptions.NonceHttpContextItemKey] is string nonce)
            return $"'nonce-{nonce}'";
        return context.GetEndpoint()?.Metadata.GetMetadata<ImportMapDefinition>() is { } map
            ? _hashes.GetValue(map, Hash)
            : null;
    }

    /// <summary>Browsers hash what they parsed, so line ends are plain.</summary>
    private static string Hash(ImportMapDefinition map)
    {
        var script = map.ToString().ReplaceLineEndings("\n");
        return $"'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(script)))}'";
    }
}
