using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace XenoInsights.Tests.Support;

/// <summary>The ground the other suites stand on.</summary>
public sealed class SupportTests(PostgresServer postgres, BrowserFixture browser) : BrowserTest(browser)
{
    [Fact]
    public async Task Every_database_is_migrated_and_apart_from_the_others()
    {
        await using var one = await postgres.CreateDatabaseAsync();
        await using var other = await postgres.CreateDatabaseAsync();

        await PostgresServer.ExecuteAsync(one.ConnectionString, "create table tenants_of_one (n int)");

        Assert.NotEqual(one.Name, other.Name);
        Assert.True(await ExistsAsync(one, "__EFMigrationsHistory"));
        Assert.True(await ExistsAsync(other, "__EFMigrationsHistory"));
        Assert.False(await ExistsAsync(other, "tenants_of_one"));
    }

    [Fact]
    public async Task The_product_runs_on_a_port_of_its_own_and_reaches_nobody_outside()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var host = await AppHost.StartAsync(database, services: services => services.AddHttpClient());
        using var visitor = host.Visitor();
        var outbound = host.Services.GetRequiredService<IHttpClientFactory>().CreateClient("any");

        using var response = await visitor.GetAsync(new Uri("health/live", UriKind.Relative), Ct);
        await Assert.ThrowsAsync<InvalidOperationException>(() =>
            outbound.GetAsync(new Uri("https://shop.example.test/"), Ct)
        );
        using var self = await outbound.GetAsync(new Uri(host.Address, "health/live"), Ct);

        Assert.True(response.IsSuccessStatusCode);
        Assert.Equal(["https://shop.example.test/"], host.Outbound.Refused.Select(uri => uri.ToString()));
    }

    [Fact]
    public async Task A_page_remembers_what_went_wrong_on_it()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var host = await AppHost.StartAsync(database);
        var page = await OpenAsync(host, Microsoft.Playwright.ColorScheme.Dark, width: 390);

        await page.Page.GotoAsync("/health/live");
        await page.Page.EvaluateAsync("fetch('/api/no-such-route').then(() => console.error('mislaid'))");

        Assert.True(
            await page.Page.EvaluateAsync<bool>(
                "matchMedia('(prefers-color-scheme: dark)').matches && innerWidth === 390"
            )
        );
        Assert.Contains("console: mislaid", page.ConsoleErrors);
        Assert.Contains(
            page.FailedRequests,
            request => request.EndsWith("/api/no-such-route: 401", StringComparison.Ordinal)
        );
    }

    private static async Task<bool> ExistsAsync(TestDatabase database, string table)
    {
        await using var connection = new NpgsqlConnection(database.ConnectionString + ";Pooling=false");
        await connection.OpenAsync(Ct);
        await using var command = new NpgsqlCommand(
            "select exists (select from pg_tables where tablename = $1)",
            connection
        )
        {
            Parameters = { new() { Value = table } },
        };
        return (bool)(await command.ExecuteScalarAsync(Ct))!;
    }
}
