namespace XenoInsights.Tenants;

/// <summary>
/// For API routes with <c>?tenant_id=</c>: 400 without a usable one, 404 unless the caller is a member, else the request works for that
/// store and <see cref="Store"/> tells about it.
/// </summary>
public static class RequireTenant
{
    public const string Parameter = "tenant_id";

    public static TBuilder RequireTenantId<TBuilder>(this TBuilder builder)
        where TBuilder : IEndpointConventionBuilder => builder.AddEndpointFilter(FilterAsync);

    /// <summary>The store that the request has entered.</summary>
    public static StoreAccess Store(this HttpContext http) =>
        http.Features.Get<StoreAccess>()
        ?? throw new InvalidOperationException("This route does not require a tenant.");

    /// <summary>For handlers that take the tenant from elsewhere, such as a body: null when the request may go on.</summary>
    public static async Task<IResult?> EnterTenantAsync(this HttpContext http, string? tenantId)
    {
        if (!Guid.TryParse(tenantId, out var id))
        {
            return Results.ValidationProblem(
                new Dictionary<string, string[]>
                {
                    [Parameter] = ["Required: the id of one of your stores, as GET /api/tenants lists them."],
                },
                detail: $"{Parameter} is missing or not a store id."
            );
        }
        var store = await http
            .RequestServices.GetRequiredService<TenantAuthorization>()
            .EnterAsync(http.User, id, http.RequestAborted);
        if (store is null)
            return StoreNotFound();
        http.Features.Set(store);
        return null;
    }

    internal static IResult StoreNotFound() =>
        Results.Problem(
            "You have no store with this id.",
            statusCode: StatusCodes.Status404NotFound,
            title: "Store not found"
        );

    private static async ValueTask<object?> FilterAsync(
        EndpointFilterInvocationContext context,
        EndpointFilterDelegate next
    )
    {
        var given = context.HttpContext.Request.Query[Parameter];
        return await context.HttpContext.EnterTenantAsync(given.Count == 1 ? given[0] : null) ?? await next(context);
    }
}
