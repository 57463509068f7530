using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;

namespace XenoInsights.Hosting;

/// <summary>
/// Circuits and WebSockets serve pages of this app alone: browsers send cookies with a WebSocket whoever opens it, and
/// no policy of the browser's keeps the answer from another site's script. A request without <c>Origin</c> passes, as
/// in ASP.NET's own check: browsers always send it with a WebSocket, and a program that sends none holds the session
/// itself.
/// </summary>
internal sealed partial class OriginCheck(
    RequestDelegate next,
    OwnOrigins own,
    IOptions<AppOptions> app,
    ILogger<OriginCheck> logger
)
{
    public Task InvokeAsync(HttpContext http)
    {
        if (!IsGuarded(http) || IsOurs(http.Request))
            return next(http);
        Log.OriginRefused(logger, http.Request.Headers.Origin.ToString(), app.Value.Origin);
        return Results
            .Problem(
                $"Only pages of {app.Value.Origin} may connect here. If this is one, App:PublicUrl has to be "
                    + "set to its address.",
                statusCode: StatusCodes.Status403Forbidden,
                title: "Another site's page"
            )
            .ExecuteAsync(http);
    }

    private static bool IsGuarded(HttpContext http) =>
        http.Request.Path.StartsWithSegments("/_blazor")
        || http.Request.Headers[HeaderNames.Upgrade]
            .ToString()
            .Contains("websocket", StringComparison.OrdinalIgnoreCase)
        || http.Features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true };

    private bool IsOurs(HttpRequest request) =>
        request.Headers.Origin.Count == 0 || own.Contains(request.Headers.Origin.ToString(), request);

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1005,
            Level = LogLevel.Warning,
            Message = "A page of {Origin} asked for a circuit or WebSocket and was refused; "
                + "App:PublicUrl is {PublicUrl}"
        )]
        public static partial void OriginRefused(ILogger logger, string origin, string publicUrl);
    }
}
