using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Hosting.Internal;
using Npgsql;
using XenoInsights.Data;

namespace XenoInsights.Tests.Data;

public sealed class DatabaseConnectionTests
{
    private const string Configured = "Host=db.test;Database=xeno";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_url_is_read_with_its_escapes_and_parameters()
    {
        var target = await UrlAsync(
            "postgres://xeno%40eu:p%40ss%3Aw%2Frd%25@db.example.test:6543/xeno%20insights?sslmode=verify-full"
                + "&channel_binding=require&application_name=shop&connect_timeout=7&pgbouncer=true"
        );

        Assert.Equal(("db.example.test", 6543, "xeno insights"), (target.Host, target.Port, target.Database));
        Assert.Equal(("xeno@eu", "p@ss:w/rd%"), (target.Username, target.Password));
        Assert.Equal((SslMode.VerifyFull, ChannelBinding.Require), (target.SslMode, target.ChannelBinding));
        Assert.Equal(("shop", 7), (target.ApplicationName, target.Timeout));
    }

    [Theory]
    [InlineData("postgresql://db.test/xeno", "db.test", 5432)]
    [InlineData("POSTGRES://db.test", "db.test", 5432)]
    [InlineData("postgres://me@[::1]:5433/xeno", "::1", 5433)]
    public async Task A_url_may_leave_out_what_has_a_default(string url, string host, int port)
    {
        var target = await UrlAsync(url);

        Assert.Equal((host, port), (target.Host, target.Port));
    }

    [Theory]
    [InlineData("DATABASE_URL", "postgres://db.test/xeno?sslmode=maybe", "sslmode=maybe")]
    [InlineData("DATABASE_URL", "postgres://db.test/xeno?sslmode=2", "sslmode=2")]
    [InlineData("DATABASE_URL", "postgres://db.test/xeno?connect_timeout=soon", "connect_timeout")]
    [InlineData("DATABASE_URL", "postgres://db.test/xeno?servicefile=x", "servicefile")]
    [InlineData("DATABASE_URL", "postgres://db.test:port/xeno", "well-formed")]
    [InlineData("DATABASE_URL", "postgres:///xeno", "no host")]
    [InlineData("DATABASE_URL", "mysql://db.test/xeno", "")]
    [InlineData("ConnectionStrings:XenoInsights", "Host=db.test;Port=many", "")]
    [InlineData("ConnectionStrings:XenoInsights", "Database=xeno", "no host")]
    public async Task A_value_that_cannot_be_used_names_its_key(string key, string value, string reason)
    {
        var refused = await Assert.ThrowsAsync<ConfigurationException>(() => ResolveAsync("Production", (key, value)));

        Assert.StartsWith($"{key} is not a PostgreSQL connection string", refused.Message, StringComparison.Ordinal);
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_connection_string_wins_over_the_url_and_serves_as_direct_connection_too()
    {
        await using var database = await ResolveAsync(
            "Production",
            ("ConnectionStrings:XenoInsights", Configured),
            ("DATABASE_URL", "postgres://other.test/x")
        );

        Assert.Equal((Configured, Configured), (database.Main, database.Direct));
        Assert.False(database.IsEmbedded);
    }

    [Fact]
    public async Task A_direct_connection_is_used_where_it_is_configured()
    {
        await using var database = await ResolveAsync(
            "Development",
            ("DATABASE_URL", "postgres://pooler.test/xeno"),
            ("ConnectionStrings:XenoInsightsDirect", Configured)
        );

        Assert.Equal(("Host=pooler.test;Database=xeno", Configured), (database.Main, database.Direct));
    }

    [Fact]
    public async Task A_direct_connection_alone_is_refused()
    {
        var refused = await Assert.ThrowsAsync<ConfigurationException>(() =>
            ResolveAsync("Development", ("ConnectionStrings:XenoInsightsDirect", Configured))
        );

        Assert.Contains("ConnectionStrings:XenoInsights is not", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Production")]
    [InlineData("Staging")]
    public async Task Outside_Development_the_missing_key_is_named(string environment)
    {
        var refused = await Assert.ThrowsAsync<ConfigurationException>(() => ResolveAsync(environment));

        Assert.Contains("ConnectionStrings:XenoInsights", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Development_brings_its_own_server()
    {
        var root = Directory.CreateTempSubdirectory("xenoinsights-");
        await using (var database = await ResolveAsync("Development", ("Postgres:DataRoot", root.FullName)))
        {
            Assert.True(database.IsEmbedded);
            Assert.Equal(database.Main, database.Direct);
        }
        root.Delete(recursive: true);
    }

    private static async Task<NpgsqlConnectionStringBuilder> UrlAsync(string url)
    {
        await using var database = await ResolveAsync("Production", ("DATABASE_URL", url));
        return new(database.Main);
    }

    private static Task<DatabaseConnection> ResolveAsync(
        string environment,
        params (string Key, string Value)[] settings
    ) =>
        DatabaseConnection.ResolveAsync(
            new ConfigurationBuilder()
                .AddInMemoryCollection(settings.Select(s => KeyValuePair.Create(s.Key, (string?)s.Value)))
                .Build(),
            new HostingEnvironment { EnvironmentName = environment },
            DevelopmentParts.StartPostgres,
            Ct
        );
}
