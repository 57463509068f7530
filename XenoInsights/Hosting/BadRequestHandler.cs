using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Diagnostics;

namespace XenoInsights.Hosting;

/// <summary>
/// Names what the framework could not bind, a parameter or a property of the body, in a validation problem. By itself the
/// framework answers 400 without a word.
/// </summary>
internal sealed partial class BadRequestHandler : IExceptionHandler
{
    private const string Body = "body";

    public async ValueTask<bool> TryHandleAsync(
        HttpContext httpContext,
        Exception exception,
        CancellationToken cancellationToken
    )
    {
        if (exception is not BadHttpRequestException { StatusCode: StatusCodes.Status400BadRequest } refused)
            return false;
        if (ProblemOf(refused) is not { } problem)
            return false;
        await TypedResults
            .ValidationProblem(
                new Dictionary<string, string[]> { [problem.Name] = [problem.Text] },
                detail: problem.Text
            )
            .ExecuteAsync(httpContext);
        return true;
    }

    private static (string Name, string Text)? ProblemOf(BadHttpRequestException refused)
    {
        if (refused.InnerException is JsonException json)
            return (PropertyOf(json), "It cannot be read as JSON of the kind that is expected here.");
        // The framework tells the parameter in its message only.
        var unbound = Unbound().Match(refused.Message);
        return unbound.Success ? (unbound.Groups[1].Value, $"'{unbound.Groups[2].Value}' cannot be used here.") : null;
    }

    /// <summary>Of <c>$.from</c> it is <c>from</c>.</summary>
    private static string PropertyOf(JsonException json) => json.Path is ['$', '.', .. var property] ? property : Body;

    [GeneratedRegex("""^Failed to bind parameter ".* (\w+)" from "(.*)"\.$""", RegexOptions.Singleline)]
    private static partial Regex Unbound();
}
