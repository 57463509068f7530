namespace XenoInsights.Hosting;

/// <summary>Which requests come from programs and which from people.</summary>
internal static class ApiRequests
{
    /// <summary>Programs get a status and problem details, never a redirect to a page.</summary>
    public static bool IsApi(HttpRequest request) => IsApi(request.Path);

    /// <inheritdoc cref="IsApi(HttpRequest)"/>
    public static bool IsApi(PathString path) => path.StartsWithSegments("/api") || path.StartsWithSegments("/_blazor");
}
