using System.Reflection;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Mvc;

namespace XenoInsights.Hosting;

/// <summary>
/// Problem details whose status stands in the type, so that OpenAPI describes them. The framework's own
/// <see cref="Microsoft.AspNetCore.Http.HttpResults.ProblemHttpResult"/> knows its status only when it answers.
/// </summary>
public abstract class StatusProblem(int status, string detail, string? title) : IResult, IStatusCodeHttpResult
{
    public int? StatusCode => status;

    public Task ExecuteAsync(HttpContext httpContext) =>
        TypedResults.Problem(detail, statusCode: status, title: title).ExecuteAsync(httpContext);

    internal static void Describe<TProblem>(EndpointBuilder builder, int status)
        where TProblem : ProblemDetails =>
        builder.Metadata.Add(new ProducesResponseTypeMetadata(status, typeof(TProblem), ["application/problem+json"]));
}

/// <summary>403.</summary>
public sealed class ForbiddenProblem(string detail, string? title = null)
    : StatusProblem(StatusCodes.Status403Forbidden, detail, title),
        IEndpointMetadataProvider
{
    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) =>
        Describe<ProblemDetails>(builder, StatusCodes.Status403Forbidden);
}

/// <summary>404.</summary>
public sealed class NotFoundProblem(string detail, string? title = null)
    : StatusProblem(StatusCodes.Status404NotFound, detail, title),
        IEndpointMetadataProvider
{
    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) =>
        Describe<ProblemDetails>(builder, StatusCodes.Status404NotFound);
}

/// <summary>409.</summary>
public sealed class ConflictProblem(string detail, string? title = null)
    : StatusProblem(StatusCodes.Status409Conflict, detail, title),
        IEndpointMetadataProvider
{
    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) =>
        Describe<ProblemDetails>(builder, StatusCodes.Status409Conflict);
}
