using System.Reflection;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Mvc;
using Microsoft.OpenApi;
using XenoInsights.Hosting;

namespace XenoInsights.Tenants;

/// <summary>
/// For API routes with <c>?tenant_id=</c>: 400 without a usable one, 404 unless the caller is a member, else the
/// request works for that store and <see cref="Store"/> tells about it.
/// </summary>
public static class RequireTenant
{
    public const string Parameter = "tenant_id";

    private const string Explanation = "the id of one of your stores, as GET /api/tenants lists them.";

    public static TBuilder RequireTenantId<TBuilder>(this TBuilder builder)
        where TBuilder : IEndpointConventionBuilder
    {
        builder.AddEndpointFilter(FilterAsync);
        builder.Add(TenantRefusal.Describe);
        return builder.AddOpenApiOperationTransformer(
            (operation, _, _) =>
            {
                (operation.Parameters ??= []).Insert(0, Described());
                return Task.CompletedTask;
            }
        );
    }

    /// <summary>The store that the request has entered.</summary>
    public static StoreAccess Store(this HttpContext http) =>
        http.Features.Get<StoreAccess>()
        ?? throw new InvalidOperationException("This route does not require a tenant.");

    /// <summary>
    /// For handlers that take the tenant from elsewhere, such as a body: null when the request may go on.
    /// </summary>
    public static async Task<TenantRefusal?> EnterTenantAsync(this HttpContext http, string? tenantId)
    {
        if (!Guid.TryParse(tenantId, out var id))
        {
            return new TenantRefusal(
                TypedResults.ValidationProblem(
                    new Dictionary<string, string[]> { [Parameter] = [$"Required: {Explanation}"] },
                    detail: $"{Parameter} is missing or not a store id."
                )
            );
        }
        var store = await http
            .RequestServices.GetRequiredService<TenantAuthorization>()
            .EnterAsync(http.User, id, http.RequestAborted);
        if (store is null)
            return new TenantRefusal(StoreNotFound());
        http.Features.Set(store);
        return null;
    }

    internal static NotFoundProblem StoreNotFound() => new("You have no store with this id.", "Store not found");

    private static async ValueTask<object?> FilterAsync(
        EndpointFilterInvocationContext context,
        EndpointFilterDelegate next
    )
    {
        var given = context.HttpContext.Request.Query[Parameter];
        if (await context.HttpContext.EnterTenantAsync(given.Count == 1 ? given[0] : null) is { } refusal)
            return refusal;
        return await next(context);
    }

    private static OpenApiParameter Described() =>
        new()
        {
            Name = Parameter,
            In = ParameterLocation.Query,
            Required = true,
            Description = $"Required: {Explanation}",
            Schema = new OpenApiSchema { Type = JsonSchemaType.String, Format = "uuid" },
        };
}

/// <summary>Why a request does not enter a store: 400 without a usable id, 404 unless the caller is a member.</summary>
public sealed class TenantRefusal : IResult, IEndpointMetadataProvider
{
    private readonly IResult _answer;

    internal TenantRefusal(IResult answer) => _answer = answer;

    public Task ExecuteAsync(HttpContext httpContext) => _answer.ExecuteAsync(httpContext);

    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) => Describe(builder);

    internal static void Describe(EndpointBuilder builder)
    {
        StatusProblem.Describe<HttpValidationProblemDetails>(builder, StatusCodes.Status400BadRequest);
        StatusProblem.Describe<ProblemDetails>(builder, StatusCodes.Status404NotFound);
    }
}
