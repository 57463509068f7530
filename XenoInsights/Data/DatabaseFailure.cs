using System.Data.Common;
using System.Diagnostics;

namespace XenoInsights.Data;

/// <summary>What the database does to a page is shown on it, with a reference; anything else is a bug and goes to the error boundary.</summary>
internal static class DatabaseFailure
{
    public static bool Is(Exception failure) =>
        failure.GetBaseException() is DbException or TimeoutException or IOException;

    /// <summary>Logs the failure under a reference that the page shows.</summary>
    public static string Log(ILogger logger, Exception failure, string what)
    {
        var reference = (Activity.Current?.TraceId.ToString() ?? Guid.NewGuid().ToString("N"))[..8];
        logger.LogError(failure, "{Part} did not load, reference {Reference}", what, reference);
        return reference;
    }
}
