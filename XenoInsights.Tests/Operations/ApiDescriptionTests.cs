using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Operations;

/// <summary>The description of the API is made of the handlers' types, so it says what they answer.</summary>
public sealed class ApiDescriptionTests(PostgresServer postgres)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_call_names_its_answers_and_its_store()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var host = await AppHost.StartAsync(database);
        using var visitor = host.Visitor();
        var description = await visitor.GetFromJsonAsync<JsonObject>(
            new Uri("/api/openapi.json", UriKind.Relative),
            Ct
        );

        Assert.Equal("200 400 404", AnswersOf(description!, "get", "/api/metrics/overview"));
        Assert.Equal("200 400 404", AnswersOf(description!, "get", "/api/metrics/orders/{id}"));
        Assert.Equal("200 400 404", AnswersOf(description!, "get", "/api/metrics/products/{id}/by-date"));
        Assert.Equal("200 400 404 429", AnswersOf(description!, "get", "/api/metrics/orders.csv"));
        Assert.Equal("200 400 404 429", AnswersOf(description!, "get", "/api/metrics/products/{id}/by-date.csv"));
        Assert.Equal("200 400 404", AnswersOf(description!, "get", "/api/ingestion/jobs"));
        Assert.Equal("200 400 404", AnswersOf(description!, "get", "/api/reconciliation"));
        Assert.Equal("202 400 403 404 409", AnswersOf(description!, "post", "/api/ingestion/start"));
        Assert.Equal("204 400 403 404 409", AnswersOf(description!, "post", "/api/ingestion/jobs/{id}/cancel"));
        Assert.Equal("200 400 403", AnswersOf(description!, "get", "/api/operations/stores"));
        Assert.Equal("200 400 403", AnswersOf(description!, "post", "/api/operations/replay"));
        Assert.Contains("tenant_id", ParametersOf(description!, "/api/metrics/overview"));
        Assert.Contains("tenant_id", ParametersOf(description!, "/api/events"));
        Assert.Contains("separator", ParametersOf(description!, "/api/metrics/orders.csv"));
        Assert.Equal("text/csv", ContentOf(description!, "/api/metrics/orders.csv", "200"));
        Assert.Equal("application/json", ContentOf(description!, "/api/metrics/overview", "200"));
        Assert.Equal("application/problem+json", ContentOf(description!, "/api/metrics/overview", "404"));
    }

    [Fact]
    public async Task Handlers_of_the_API_say_in_their_types_what_they_answer()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var host = await AppHost.StartAsync(database);

        var untyped = host
            .Services.GetRequiredService<EndpointDataSource>()
            .Endpoints.OfType<RouteEndpoint>()
            .Where(endpoint =>
                endpoint.RoutePattern.RawText!.TrimStart('/').StartsWith("api/", StringComparison.Ordinal)
            )
            .Select(endpoint => endpoint.Metadata.GetMetadata<System.Reflection.MethodInfo>())
            .Where(handler =>
                handler is { ReturnType: var type } && (type == typeof(IResult) || type == typeof(Task<IResult>))
            )
            .Where(handler => handler!.DeclaringType!.Assembly == typeof(Program).Assembly)
            // Theirs are described by hand.
            .Where(handler => handler!.DeclaringType != typeof(XenoInsights.Webhooks.EventsApi))
            .Select(handler => $"{handler!.DeclaringType}.{handler.Name}");

        Assert.Empty(untyped);
    }

    private static JsonObject OperationOf(JsonObject description, string method, string path) =>
        description["paths"]![path]![method]!.AsObject();

    private static string AnswersOf(JsonObject description, string method, string path) =>
        string.Join(
            ' ',
            OperationOf(description, method, path)["responses"]!.AsObject().Select(answer => answer.Key).Order()
        );

    private static IEnumerable<string> ParametersOf(JsonObject description, string path) =>
        OperationOf(description, "get", path)["parameters"]!.AsArray().Select(p => (string)p!["name"]!);

    private static string ContentOf(JsonObject description, string path, string status) =>
        Assert.Single(OperationOf(description, "get", path)["responses"]![status]!["content"]!.AsObject()).Key;
}
