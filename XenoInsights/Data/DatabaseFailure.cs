using System.Data.Common;
using System.Diagnostics;

namespace XenoInsights.Data;

/// <summary>
/// What the database does to a page is shown on it, with a reference; anything else is a bug and goes to the error
/// boundary.
/// </summary>
internal static partial class DatabaseFailure
{
    public static bool Is(Exception failure) =>
        failure.GetBaseException() is DbException or TimeoutException or IOException;

    /// <summary>Logs the failure under a reference that the page shows.</summary>
    public static string Log(ILogger logger, Exception failure, string what)
    {
        var reference = (Activity.Current?.TraceId.ToString() ?? Guid.NewGuid().ToString("N"))[..8];
        NotLoaded(logger, failure, what, reference);
        return reference;
    }

    [LoggerMessage(EventId = 1302, Level = LogLevel.Error, Message = "{Part} did not load, reference {Reference}")]
    private static partial void NotLoaded(ILogger logger, Exception failure, string part, string reference);
}
