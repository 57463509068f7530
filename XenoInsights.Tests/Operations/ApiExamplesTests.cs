using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Operations;

/// <summary>The examples for people who write scripts call what there is.</summary>
public sealed partial class ApiExamplesTests(PostgresServer postgres)
{
    [Fact]
    public async Task Examples_call_routes_that_exist()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var host = await AppHost.StartAsync(database);
        var routes = host
            .Services.GetRequiredService<EndpointDataSource>()
            .Endpoints.OfType<RouteEndpoint>()
            .Select(endpoint => "/" + endpoint.RoutePattern.RawText!.Trim('/'))
            .ToHashSet();

        foreach (var file in (string[])["XenoInsights/XenoInsights.http", "docs/api.md"])
        {
            var examples = await File.ReadAllTextAsync(
                Path.Combine(Repository.Root, file),
                TestContext.Current.CancellationToken
            );
            var called = Address().Matches(examples).Select(match => match.Groups[1].Value).ToList();

            Assert.NotEmpty(called);
            Assert.DoesNotContain(
                called,
                path =>
                    !routes.Contains(path)
                    && !routes.Any(route => route.StartsWith(path + "/{", StringComparison.Ordinal))
            );
        }
    }

    [GeneratedRegex(@"(?:localhost:5080|\{\{host\}\})(/(?:api|health)[^\s?""<>#;]*)")]
    private static partial Regex Address();
}
