using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Serilog.Core;
using Serilog.Events;
using XenoInsights.App;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Operations;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Operations;

public sealed class OperationsTests(PostgresServer postgres)
{
    private static readonly string[] _quiet =
    [
        "Serilog:MinimumLevel:Default",
        "Serilog:MinimumLevel:Override:Microsoft",
        "Serilog:MinimumLevel:Override:Microsoft.Hosting.Lifetime",
    ];

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_database_that_goes_away_is_503_on_requests_and_leaves_the_instance_ready()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var host = await AppHost.StartAsync(
            database,
            _quiet.ToDictionary(key => key, string? (_) => "Fatal")
        );
        using var http = host.Visitor();

        Assert.Equal(
            (HttpStatusCode.OK, HttpStatusCode.OK),
            (await StatusAsync(http, "/health/live"), await StatusAsync(http, "/health/ready"))
        );

        using var person = await host.SignInAsync();
        await database.DisposeAsync();

        Assert.Equal(
            (HttpStatusCode.OK, HttpStatusCode.OK),
            (await StatusAsync(http, "/health/live"), await StatusAsync(http, "/health/ready"))
        );
        using var api = await person.GetAsync(new Uri("/api/tenants", UriKind.Relative), Ct);
        Assert.Equal(
            (HttpStatusCode.ServiceUnavailable, "application/problem+json"),
            (api.StatusCode, api.Content.Headers.ContentType?.MediaType)
        );
        Assert.Equal(TimeSpan.FromSeconds(5), api.Headers.RetryAfter?.Delta);
        using var page = await person.GetAsync(new Uri("/stores", UriKind.Relative), Ct);
        Assert.Equal(
            (HttpStatusCode.ServiceUnavailable, "text/html"),
            (page.StatusCode, page.Content.Headers.ContentType?.MediaType)
        );
        Assert.Contains("does not answer", await page.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Development", "/orders", "text/html")]
    [InlineData("Production", "/orders", "text/html")]
    [InlineData("Production", "/api/orders", "application/problem+json")]
    public async Task A_failure_of_the_database_is_answered_for_the_address_that_was_asked(
        string environment,
        string path,
        string mediaType
    )
    {
        var builder = WebApplication.CreateBuilder([
            $"--environment={environment}",
            "--Serilog:MinimumLevel:Default=Fatal",
        ]);
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.AddHosting();
        await using var app = builder.Build();
        app.UseRequestLog();
        app.UseErrorPage();
        app.UseProblemDetails();
        app.MapGet(path, string () => throw new NpgsqlException("broken", new IOException()));
        await app.StartAsync(Ct);
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
        http.DefaultRequestHeaders.Accept.Add(new MediaTypeWithQualityHeaderValue(mediaType));

        using var response = await http.GetAsync(new Uri(path + "?page=2", UriKind.Relative), Ct);

        Assert.Equal(
            (HttpStatusCode.ServiceUnavailable, mediaType, TimeSpan.FromSeconds(5)),
            (response.StatusCode, response.Content.Headers.ContentType?.MediaType, response.Headers.RetryAfter?.Delta)
        );
        if (mediaType == "text/html")
        {
            var page = await response.Content.ReadAsStringAsync(Ct);
            Assert.Contains("href=\"/orders?page=2\"", page, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Metrics_are_few_and_name_requests_queries_and_the_runtime()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var host = await AppHost.StartAsync(database);
        using var http = host.Visitor();
        await StatusAsync(http, "/no-such-page");
        await StatusAsync(http, "/health/ready");

        var metrics = await http.GetStringAsync(new Uri("/metrics", UriKind.Relative), Ct);

        Assert.Contains("http_server_request_duration_seconds_count", metrics, StringComparison.Ordinal);
        Assert.Contains("db_client_", metrics, StringComparison.Ordinal);
        Assert.Contains("dotnet_gc_collections", metrics, StringComparison.Ordinal);

        // Metrics are the process's: every other host that a test runs beside this one adds its lines, but no kinds of
        // them.
        Assert.InRange(metrics.Split('\n').Count(line => line.StartsWith("# TYPE", StringComparison.Ordinal)), 10, 80);
    }

    [Fact]
    public async Task Health_answers_the_version_that_the_changelog_describes()
    {
        await using var app = await StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };

        var health = await http.GetFromJsonAsync<JsonElement>(new Uri("/health", UriKind.Relative), Ct);

        Assert.Equal("Healthy", health.GetProperty("status").GetString());
        var version = health.GetProperty("version").GetString();
        Assert.Equal(typeof(HostingSetup).Assembly.GetName().Version!.ToString(3), version);
        var changelog = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "CHANGELOG.md"), Ct);
        Assert.Contains($"## [{version}] - ", changelog, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/api/broken", 500)]
    [InlineData("/api/number", 400)]
    [InlineData("/api/no-such-route", 404)]
    public async Task Errors_of_the_API_are_problem_details_with_the_trace_of_the_log(string path, int status)
    {
        await using var app = await StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
        using var request = new HttpRequestMessage(HttpMethod.Get, path + "?n=many");
        request.Headers.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));

        using var response = await http.SendAsync(request, Ct);
        var problem = await response.Content.ReadFromJsonAsync<JsonElement>(Ct);

        Assert.Equal(
            (status, "application/problem+json"),
            ((int)response.StatusCode, response.Content.Headers.ContentType?.MediaType)
        );
        Assert.Equal(status, problem.GetProperty("status").GetInt32());
        Assert.Equal("0af7651916cd43dd8448eb211c80319c", problem.GetProperty("traceId").GetString());
        Assert.DoesNotContain("secret", problem.ToString(), StringComparison.Ordinal);
        if (path == "/api/number")
            Assert.Equal("'many' cannot be used here.", problem.GetProperty("errors").GetProperty("n")[0].GetString());
    }

    [Theory]
    [InlineData("ForwardedHeaders:KnownNetworks:0", "127.0.0.0/8")]
    [InlineData("Unrelated", "")]
    [InlineData("FORWARDEDHEADERS_ENABLED", "true")]
    public async Task A_known_proxy_tells_scheme_and_address_for_one_hop_only(string key, string value)
    {
        await using var app = await StartAsync((key, value));
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
        http.DefaultRequestHeaders.Add("X-Forwarded-Proto", "https");
        http.DefaultRequestHeaders.Add("X-Forwarded-For", "198.51.100.9, 203.0.113.7");

        Assert.Equal("https 203.0.113.7", await http.GetStringAsync(new Uri("/api/seen", UriKind.Relative), Ct));
    }

    [Fact]
    public void A_known_network_that_is_none_is_refused_by_its_key()
    {
        var builder = WebApplication.CreateBuilder();
        builder.Configuration["ForwardedHeaders:KnownNetworks:0"] = "office";

        var refused = Assert.Throws<ConfigurationException>(builder.AddKnownProxies);

        Assert.Contains("ForwardedHeaders:KnownNetworks", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Requests_are_logged_by_their_path_and_never_by_their_query()
    {
        var log = new KeptLog();
        var builder = WebApplication.CreateBuilder([
            "--Serilog:MinimumLevel:Default=Information",
            "--Serilog:MinimumLevel:Override:Microsoft=Warning",
        ]);
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddSingleton<ILogEventSink>(log);
        builder.AddHosting();
        await using var app = builder.Build();
        app.UseRequestLog();
        app.UseProblemDetails();
        app.MapGet("/api/found", () => "here");
        app.MapGet("/api/broken", string () => throw new InvalidOperationException("broken"));
        await app.StartAsync(Ct);
        using (var http = new HttpClient { BaseAddress = new Uri(app.Urls.First()) })
        {
            foreach (var path in (string[])["/api/found", "/api/broken", "/api/missing", "/found"])
                await StatusAsync(http, path + "?q=ann%40shop.test&login_hint=ann");
        }
        await app.StopAsync(Ct);

        Assert.All(
            ["/api/found", "/api/broken", "/api/missing", "/found"],
            path => Assert.Contains(log.Lines, line => line.Contains(path, StringComparison.Ordinal))
        );
        Assert.DoesNotContain(
            log.Lines,
            line =>
                line.Contains("shop.test", StringComparison.Ordinal)
                || line.Contains("login_hint", StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task An_instance_that_stops_is_not_ready_and_logs_no_error_about_it()
    {
        var log = new KeptLog();
        await using var database = await postgres.CreateDatabaseAsync();
        await using var host = await AppHost.StartAsync(
            database,
            services: services => services.AddSingleton<ILogEventSink>(log)
        );
        using var http = host.Visitor();
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(http, "/health/ready"));

        host.Services.GetRequiredService<InstanceState>().SetDraining();

        Assert.Equal(HttpStatusCode.ServiceUnavailable, await StatusAsync(http, "/health/ready"));
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(http, "/health/live"));
        Assert.DoesNotContain(
            log.Lines,
            line =>
                line.Contains("/health", StringComparison.Ordinal)
                || line.Contains("HealthCheck", StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task An_instance_tries_the_inbox_statement_before_it_is_ready_and_stores_nothing()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var source = NpgsqlDataSource.Create(database.ConnectionString + ";Pooling=false");
        await using var holder = await source.OpenConnectionAsync(Ct);
        await using var transaction = await holder.BeginTransactionAsync(Ct);
        await using (var hold = new NpgsqlCommand("lock table events in share mode", holder))
            await hold.ExecuteNonQueryAsync(Ct);
        await using var host = await AppHost.StartAsync(
            database,
            new Dictionary<string, string?> { ["Instance:WarmUp"] = "true" }
        );
        using var http = host.Visitor();

        await using var waits = source.CreateCommand(
            """
            select exists (select from pg_stat_activity where datname = current_database()
                and wait_event_type = 'Lock' and query like '%insert into events%')
            """
        );
        for (var patience = 0; await waits.ExecuteScalarAsync(Ct) is false; patience++)
        {
            Assert.True(patience < 600, "It does not try to store a delivery.");
            await Task.Delay(50, Ct);
        }
        await transaction.RollbackAsync(Ct);
        for (var patience = 0; await StatusAsync(http, "/health/ready") != HttpStatusCode.OK; patience++)
        {
            Assert.True(patience < 600, "It does not become ready.");
            await Task.Delay(50, Ct);
        }

        await using var stored = source.CreateCommand("select count(*) from events");
        Assert.Equal(0L, await stored.ExecuteScalarAsync(Ct));
    }

    [Theory]
    [InlineData("every night")]
    [InlineData("0 3 * * *")]
    [InlineData("")]
    public async Task A_schedule_that_is_none_is_refused_by_its_key(string cron)
    {
        await using var database = await postgres.CreateDatabaseAsync();

        var refused = await Assert.ThrowsAnyAsync<ConfigurationException>(() =>
            AppHost.StartAsync(database, new Dictionary<string, string?> { ["Schedules:KeepTokensAlive"] = cron })
        );

        Assert.Contains(
            "Schedules:KeepTokensAlive must be a cron expression",
            refused.Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task A_schedule_of_a_job_that_there_is_not_is_refused()
    {
        await using var database = await postgres.CreateDatabaseAsync();

        var refused = await Assert.ThrowsAnyAsync<ConfigurationException>(() =>
            AppHost.StartAsync(database, new Dictionary<string, string?> { ["Schedules:NightlySync"] = "0 3 * * * ?" })
        );

        Assert.Contains("Schedules:NightlySync", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, null, "http://localhost:8080/")]
    [InlineData(null, "9090;9091", "http://localhost:9090/")]
    [InlineData("https://+:443;http://+:5000", "9090", "http://localhost:5000/")]
    [InlineData("http://0.0.0.0", null, "http://localhost/")]
    public void The_health_check_asks_where_the_app_listens(string? urls, string? ports, string address) =>
        Assert.Equal(
            new Uri(address),
            HealthCheckCommand.ServerAddress(key => key == "ASPNETCORE_URLS" ? urls : ports)
        );

    /// <summary>Everything that was logged, with all properties.</summary>
    private sealed class KeptLog : ILogEventSink
    {
        private readonly ConcurrentQueue<string> _lines = new();

        public IReadOnlyCollection<string> Lines => _lines;

        public void Emit(LogEvent logEvent) =>
            _lines.Enqueue(
                $"{logEvent.RenderMessage(CultureInfo.InvariantCulture)} "
                    + $"{string.Join(' ', logEvent.Properties)} {logEvent.Exception}"
            );
    }

    private static async Task<HttpStatusCode> StatusAsync(HttpClient http, string path)
    {
        using var response = await http.GetAsync(new Uri(path, UriKind.Relative), Ct);
        return response.StatusCode;
    }

    private static async Task<WebApplication> StartAsync(params (string Key, string Value)[] settings)
    {
        var builder = WebApplication.CreateBuilder([
            .. settings.Select(setting => $"--{setting.Key}={setting.Value}"),
            .. _quiet.Select(key => $"--{key}=Fatal"),
        ]);
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.AddHosting();
        builder.AddKnownProxies();
        var app = builder.Build();
        app.UseKnownProxies();
        app.UseProblemDetails();
        app.MapGet("/api/broken", string () => throw new InvalidOperationException("the secret of the house"));
        app.MapGet("/api/number", (int n) => n);
        app.MapHosting();
        app.MapGet(
            "/api/seen",
            (HttpContext context) => $"{context.Request.Scheme} {context.Connection.RemoteIpAddress}"
        );
        await app.StartAsync(Ct);
        return app;
    }
}
