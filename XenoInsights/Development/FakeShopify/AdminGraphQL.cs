using System.Text.Json;
using GraphQL;
using GraphQL.Execution;
using GraphQL.Resolvers;
using GraphQL.SystemTextJson;
using GraphQL.Transport;
using GraphQL.Types;
using GraphQL.Validation;
using GraphQLParser.AST;
using Microsoft.Extensions.Primitives;

namespace XenoInsights.Development.FakeShopify;

internal sealed record AdminVersion(string Handle, bool Supported);

internal static class AdminVersions
{
    public static readonly AdminVersion[] All =
    [
        new("2026-01", true),
        new("2026-04", true),
        new("2026-07", true),
        new("2026-10", true),
        new("2027-01", false),
        new("unstable", false),
    ];

    public static AdminVersion Newest => All.Last(v => v.Supported);

    /// <summary>A version that is not served falls forward to the oldest stable one.</summary>
    public static string Served(string asked) =>
        All.Any(v => v.Handle == asked) ? asked : All.First(v => v.Supported).Handle;
}

/// <summary>An error with the extensions the platform gives it.</summary>
internal sealed class AdminError(string message, object? wire) : ExecutionError(message)
{
    public object? Wire { get; } = wire;

    public static AdminError BadRequest(string message) => new(message, new { code = "BAD_REQUEST" });

    public static AdminError NotFound(string id) => new($"Invalid id: {id}", new { code = "RESOURCE_NOT_FOUND" });

    public static AdminError InvalidGlobalId(string id) =>
        new($"Invalid global id '{id}'", new { code = "argumentLiteralsIncompatible", typeName = "CoercionError" });

    public static AdminError TooMany(int count) =>
        new(
            $"The input array size of {count} is greater than the maximum allowed of {AdminWindow.Largest}.",
            new { code = "MAX_INPUT_SIZE_EXCEEDED" }
        );

    public static AdminError AccessDenied(string field, string scope) =>
        new(
            $"Access denied for {field} field. Required access: `{scope}` access scope.",
            new
            {
                code = "ACCESS_DENIED",
                documentation = "https://shopify.dev/api/usage/access-scopes",
                requiredAccess = $"`{scope}` access scope.",
            }
        );
}

/// <summary>The Admin API's GraphQL endpoint over one table of fields.</summary>
internal static class AdminGraphQL
{
    private static readonly string[] _interfaces =
    [
        "Node",
        "LegacyInteroperability",
        "Sale",
        "SalesAgreement",
        "DisplayableError",
        "Media",
        "Fee",
    ];
    private static readonly string[] _scalars = ["DateTime", "Decimal", "Money", "URL", "UnsignedInt64"];
    private const int SingleQueryMaximum = 1000;
    private static readonly GraphQLSerializer _serializer = new(new ErrorInfo());
    private static readonly DocumentExecuter _executer = new();

    public static Schema Schema { get; } = BuildSchema();

    public static async Task HandleAsync(HttpContext http, DemoStore store, FakeShopifyHost host)
    {
        var cancellation = http.RequestAborted;
        http.Response.Headers["X-Shopify-API-Version"] = AdminVersions.Served(
            (string)http.Request.RouteValues["version"]!
        );
        http.Response.Headers["X-Request-Id"] = Guid.NewGuid().ToString();
        if (store.Faults.Delay > TimeSpan.Zero)
        {
            await Task.Delay(store.Faults.Delay, cancellation);
        }
        if (store.Faults.TakeStatus() is { } status)
        {
            await RefuseAsync(http, status);
            return;
        }
        if (
            !http.Request.Headers.TryGetValue("X-Shopify-Access-Token", out var token)
            || store.Grant.ScopesOf(token.ToString(), host.Now) is not { } scopes
        )
        {
            await RefuseAsync(http, StatusCodes.Status401Unauthorized);
            return;
        }
        GraphQLRequest? call;
        try
        {
            call = await _serializer.ReadAsync<GraphQLRequest>(http.Request.Body, cancellation);
        }
        catch (JsonException)
        {
            call = null;
        }
        if (string.IsNullOrEmpty(call?.Query))
        {
            http.Response.StatusCode = StatusCodes.Status400BadRequest;
            await http.Response.WriteAsJsonAsync(
                new { errors = new { query = "Required parameter missing or invalid" } },
                cancellation
            );
            return;
        }
        if (
            call.Query.Contains("bulkOperationRunQuery", StringComparison.Ordinal)
            && store.Faults.Take(f => f.BreakBulkStart, (f, left) => f.BreakBulkStart = left)
        )
        {
            await RefuseAsync(http, StatusCodes.Status500InternalServerError);
            return;
        }
        var request = new AdminRequest(store, await store.DataAsync(), scopes, host.Now, host);
        var result = await ExecuteAsync(call, request, cancellation);
        http.Response.ContentType = "application/json; charset=utf-8";
        await _serializer.WriteAsync(http.Response.Body, result, cancellation);
    }

    public static GraphQLDocument? TryParse(string query, out string? error)
    {
        try
        {
            error = null;
            return new GraphQLDocumentBuilder().Build(query);
        }
        catch (ExecutionError e)
        {
            error = e.Message;
            return null;
        }
    }

    public static async Task<IReadOnlyList<string>> ValidateAsync(GraphQLDocument document)
    {
        var result = await new DocumentValidator().ValidateAsync(
            new ValidationOptions
            {
                Schema = Schema,
                Document = document,
                Operation = document.Definitions.OfType<GraphQLOperationDefinition>().First(),
                Variables = Inputs.Empty,
            }
        );
        return [.. result.Errors.Select(e => e.Message)];
    }

    private static async Task<ExecutionResult> ExecuteAsync(
        GraphQLRequest call,
        AdminRequest request,
        CancellationToken cancellation
    )
    {
        if (TryParse(call.Query!, out var syntax) is not { } document)
        {
            return new ExecutionResult { Errors = [new AdminError(syntax!, null)] };
        }
        var operations = document.Definitions.OfType<GraphQLOperationDefinition>().ToArray();
        var operation = operations.FirstOrDefault(o =>
            call.OperationName is null || o.Name?.Value == call.OperationName
        );
        var requested = operation is null ? 0 : Cost.Requested(document, operation, Schema, call.Variables);
        if (requested > SingleQueryMaximum)
        {
            return new ExecutionResult { Errors = [TooExpensive(requested)] };
        }
        var bucket = request.Store.Bucket;
        var throttled = request.Store.Faults.Take(f => f.ThrottleCalls, (f, left) => f.ThrottleCalls = left);
        if (throttled || !bucket.TryTake(requested, request.Now))
        {
            return new ExecutionResult
            {
                Errors =
                [
                    new AdminError(
                        "Throttled",
                        new { code = "THROTTLED", documentation = "https://shopify.dev/api/usage/rate-limits" }
                    ),
                ],
                Extensions = new() { ["cost"] = CostOf(requested, null, bucket, request.Now, throttled) },
            };
        }
        var result = await _executer.ExecuteAsync(
            new ExecutionOptions
            {
                Schema = Schema,
                Query = call.Query,
                Document = document,
                OperationName = call.OperationName,
                Variables = call.Variables,
                UserContext = new Dictionary<string, object?> { [nameof(AdminRequest)] = request },
                ThrowOnUnhandledException = true,
                CancellationToken = cancellation,
            }
        );
        var actual = operation is null
            ? 0
            : Math.Min(requested, Cost.Actual(document, operation, Schema, call.Variables, request.PageSizes));
        bucket.GiveBack(requested - actual, request.Now);
        result.Extensions = new() { ["cost"] = CostOf(requested, actual, bucket, request.Now, throttled: false) };
        if (request.Search.Count > 0)
        {
            result.Extensions["search"] = request.Search;
        }
        return result;
    }

    private static AdminError TooExpensive(int cost) =>
        new(
            $"Query cost is {cost}, which exceeds the single query max cost limit ({SingleQueryMaximum}). "
                + "See https://shopify.dev/concepts/about-apis/rate-limits for more information on how the cost "
                + "of a query is calculated. To query larger amounts of data with fewer limits, "
                + "bulk operations should be used instead. See "
                + "https://shopify.dev/tutorials/perform-bulk-operations-with-admin-api for usage details.",
            new
            {
                code = "MAX_COST_EXCEEDED",
                cost,
                maxCost = SingleQueryMaximum,
                documentation = "https://shopify.dev/api/usage/rate-limits",
            }
        );

    private static object CostOf(int requested, int? actual, DemoBucket bucket, DateTimeOffset now, bool throttled) =>
        new
        {
            requestedQueryCost = requested,
            actualQueryCost = actual,
            throttleStatus = new
            {
                maximumAvailable = (double)bucket.Maximum,
                currentlyAvailable = throttled ? 0 : bucket.Available(now),
                restoreRate = (double)bucket.RestorePerSecond,
            },
        };

    private static async Task RefuseAsync(HttpContext http, int status)
    {
        http.Response.StatusCode = status;
        if (status == StatusCodes.Status429TooManyRequests)
        {
            http.Response.Headers.RetryAfter = new StringValues("2.0");
        }
        await http.Response.WriteAsJsonAsync(
            new
            {
                errors = status switch
                {
                    401 => "[API] Invalid API key or access token (unrecognized login or wrong password)",
                    402 => "Unavailable Shop",
                    403 => "[API] This action requires merchant approval for the necessary scope.",
                    423 => "This shop is locked.",
                    429 => "Exceeded 2 calls per second for api client. Reduce request rates to resume "
                        + "uninterrupted service.",
                    _ => "Internal Server Error",
                },
            }
        );
    }

    private static Schema BuildSchema()
    {
        using var resource =
            typeof(AdminGraphQL).Assembly.GetManifestResourceStream("FakeShopify/admin-subset.2026-10.graphql")
            ?? throw new InvalidOperationException("The schema subset is not embedded.");
        var sdl = new StreamReader(resource).ReadToEnd();
        Schema? schema = null;
        schema = GraphQL.Types.Schema.For(
            sdl,
            builder =>
            {
                foreach (var name in _interfaces)
                {
                    builder.Types.For(name).ResolveType = source =>
                        schema!.AllTypes[AdminFields.TypeOf(source)] as IObjectGraphType
                        ?? throw new InvalidOperationException($"{source} has no object type.");
                }
            }
        );
        foreach (var scalar in _scalars)
        {
            schema.RegisterType(new WireScalar(scalar));
        }
        schema.Initialize();
        foreach (
            var type in schema
                .AllTypes.OfType<IObjectGraphType>()
                .Where(t => !t.Name.StartsWith("__", StringComparison.Ordinal))
        )
        {
            foreach (var field in type.Fields)
            {
                field.Resolver = new FuncFieldResolver<object?>(context => Resolve(context, type.Name, field.Name));
            }
        }
        return schema;
    }

    private static object? Resolve(IResolveFieldContext context, string type, string field)
    {
        var resolver =
            AdminFields.Find(type, field) ?? throw new InvalidOperationException($"{type}.{field} has no answer.");
        var request = (AdminRequest)context.UserContext[nameof(AdminRequest)]!;
        var arguments = new AdminArguments(name =>
            context.Arguments is { } all && all.TryGetValue(name, out var argument) ? argument.Value : null
        );
        var value = resolver(context.Source ?? request, arguments, request);
        if (value is AdminConnection connection)
        {
            var page = connection.Page(arguments.Window);
            lock (request.PageSizes)
            {
                request.PageSizes[context.FieldAst] = Math.Max(
                    page.Edges.Count,
                    request.PageSizes.GetValueOrDefault(context.FieldAst)
                );
            }
            return page;
        }
        return Utf8JsonReaderExtensions.Scalar(value);
    }

    /// <summary>The platform's own scalars; values are already as they travel.</summary>
    private sealed class WireScalar : ScalarGraphType
    {
        public WireScalar(string name) => Name = name;

        public override object? ParseLiteral(GraphQLValue value) =>
            value switch
            {
                GraphQLStringValue text => text.Value.ToString(),
                GraphQLIntValue number => number.Value.ToString(),
                GraphQLFloatValue number => number.Value.ToString(),
                GraphQLNullValue => null,
                _ => ThrowLiteralConversionError(value),
            };

        public override object? ParseValue(object? value) => value?.ToString();

        public override object? Serialize(object? value) => value;
    }

    private sealed class ErrorInfo : ErrorInfoProvider
    {
        public override GraphQL.Execution.ErrorInfo GetInfo(ExecutionError executionError) =>
            new()
            {
                Message = executionError.Message,
                Extensions = executionError is AdminError { Wire: { } wire }
                    ? JsonSerializer
                        .SerializeToElement(wire)
                        .EnumerateObject()
                        .ToDictionary(p => p.Name, p => (object?)p.Value)
                    : null,
            };
    }
}
