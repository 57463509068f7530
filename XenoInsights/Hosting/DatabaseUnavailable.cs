using System.Data.Common;
using System.Globalization;
using Npgsql;
using XenoInsights.Authentication;

namespace XenoInsights.Hosting;

/// <summary>
/// Answers requests that fail because the database is away or has no room: 503 with Retry-After, problem details for
/// programs and a page for people. The instance itself stays ready.
/// </summary>
internal sealed class DatabaseUnavailable(RequestDelegate next, ILogger<DatabaseUnavailable> logger)
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

    public async Task InvokeAsync(HttpContext http)
    {
        try
        {
            await next(http);
        }
        catch (Exception failure)
            when (IsUnavailable(failure) && !http.Response.HasStarted && !http.RequestAborted.IsCancellationRequested)
        {
            logger.LogError("The database is not available: {Failure}", failure.GetBaseException().Message);
            http.Response.Clear();
            http.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
            await Answer(http).ExecuteAsync(http);
        }
    }

    /// <summary>Connections that fail or cannot be had, and a server that shuts down, is read-only or full: not a fault of the request.</summary>
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
        if (ApiRequests.IsApi(http.Request))
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
            "Our database does not answer. Your data are safe, and what Shopify sends meanwhile arrives later. Please try again in a moment.",
            [new("Try again", http.Request.Path + http.Request.QueryString)]
        );
    }
}
