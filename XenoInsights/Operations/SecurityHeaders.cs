using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Components;

namespace XenoInsights.Operations;

/// <summary>
/// Headers that narrow what a browser lets a page of ours do. Scripts come from us alone; the one inline script is Blazor's
/// import map, allowed by its hash. Styles may be inline: MudBlazor and the charts write style attributes.
/// </summary>
internal sealed class SecurityHeaders(RequestDelegate next, IHostEnvironment environment)
{
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
            return Task.CompletedTask;
        });
        return next(context);
    }

    private string Policy(HttpContext context)
    {
        // Redirects after a form count as its action: to the identity provider and to Shopify. In Development both are plain
        // http on another port, and dotnet watch reloads the page over a socket of its own.
        var local = environment.IsDevelopment();
        return string.Join("; ",
            "default-src 'self'",
            $"script-src 'self' {InlineScript(context)}".TrimEnd(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            local ? "connect-src 'self' ws://localhost:* http://localhost:*" : "connect-src 'self'",
            local ? "form-action 'self' https: http://localhost:* http://127.0.0.1:*" : "form-action 'self' https:",
            "object-src 'none'",
            "base-uri 'self'",
            "frame-ancestors 'none'");
    }

    private string? InlineScript(HttpContext context)
    {
        // The API page starts itself with an inline script of its own.
        if (context.Request.Path.StartsWithSegments("/api/docs"))
            return "'unsafe-inline'";
        return context.GetEndpoint()?.Metadata.GetMetadata<ImportMapDefinition>() is { } map ? _hashes.GetValue(map, Hash) : null;
    }

    /// <summary>Browsers hash what they parsed, so line ends are plain.</summary>
    private static string Hash(ImportMapDefinition map)
    {
        var script = map.ToString().ReplaceLineEndings("\n");
        return $"'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(script)))}'";
    }
}
