using Microsoft.AspNetCore.Diagnostics;
using XenoInsights.Data;
using XenoInsights.Hosting;

namespace XenoInsights.Tenants;

/// <summary>
/// Answers requests whose unit of work was refused: access ended, or was reduced, after the request had begun.
/// </summary>
internal sealed class AccessDeniedHandler : IExceptionHandler
{
    public async ValueTask<bool> TryHandleAsync(
        HttpContext httpContext,
        Exception exception,
        CancellationToken cancellationToken
    )
    {
        if (exception is not AccessDeniedException denied || httpContext.Response.HasStarted)
            return false;
        IResult answer =
            denied.Reason == AccessDenial.NoAccess
                ? RequireTenant.StoreNotFound()
                : new ForbiddenProblem("Your role does not allow this.");
        await answer.ExecuteAsync(httpContext);
        return true;
    }
}
