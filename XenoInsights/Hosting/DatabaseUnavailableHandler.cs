using System.Data.Common;
using System.Globalization;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Http.Features;
using Npgsql;

namespace XenoInsights.Hosting;

/// <summary>
/// Answers requests that fail because the database is away or has no room: 503 with Retry-After, problem details for
/// programs and a page for people. The instance itself stays ready.
/// </summary>
internal sealed partial class DatabaseUnavailableHandler(ILogger<DatabaseUnavailableHandler> logger) : IExceptionHandler
{
    private const int RetryAfterSeconds = 5;

    /// <summary>No room, shutting down, read-only, no such database.</summary>
    private static readonly string[] _states =
    [
        "53",
        "57P",
        PostgresErrorCodes.ReadOnlySqlTransaction,
        PostgresErrorCodes.InvalidCatalogName,
    ];

    public async ValueTask<bool> TryHandleAsync(
        HttpContext httpContext,
        Exception exception,
        CancellationToken cancellationToken
    )
    {
        if (!IsUnavailable(exception) || httpContext.RequestAborted.IsCancellationRequested)
            return false;
        Log.DatabaseUnavailable(logger, exception.GetBaseException().Message);
        httpContext.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
        await Answer(httpContext).ExecuteAsync(httpContext);
        return true;
    }

    /// <summary>
    /// Connections that fail or cannot be had, and a server that shuts down, is read-only or full: not a fault of the
    /// request.
    /// </summary>
    public static bool IsUnavailable(Exception failure)
    {
        for (Exception? cause = failure; cause is not null; cause = cause.InnerException)
        {
            if (cause is DbException { IsTransient: true })
                return true;
            if (
                cause is PostgresException { SqlState: { } state }
                && _states.Any(prefix => state.StartsWith(prefix, StringComparison.Ordinal))
            )
                return true;
        }
        return false;
    }

    private static IResult Answer(HttpContext http)
    {
        // The request's own path may be that of the error page by now.
        var path = new PathString(http.Features.GetRequiredFeature<IExceptionHandlerPathFeature>().Path);
        if (ApiRequests.IsApi(path))
        {
            return TypedResults.Problem(
                "The database is not available. Nothing was changed; try again in a moment.",
                statusCode: StatusCodes.Status503ServiceUnavailable,
                title: "Not available right now"
            );
        }
        return NoticePage.Result(
            StatusCodes.Status503ServiceUnavailable,
            "Not available right now",
            "Our database does not answer. Your data are safe, and what Shopify sends meanwhile arrives later. "
                + "Please try again in a moment.",
            [new("Try again", path + http.Request.QueryString)]
        );
    }

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1000,
            Level = LogLevel.Error,
            Message = "A request failed because the database is not available: {Failure}"
        )]
        public static partial void DatabaseUnavailable(ILogger logger, string failure);
    }
}
