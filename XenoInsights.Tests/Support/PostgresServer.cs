using Npgsql;
using XenoInsights.Data;
using XenoInsights.Development.Postgres;
using XenoInsights.Tests.Support;

[assembly: AssemblyFixture(typeof(PostgresServer))]

namespace XenoInsights.Tests.Support;

/// <summary>
/// The PostgreSQL of a test run, started when the first test asks for a database: a private one in a temporary folder,
/// or the server that XENOINSIGHTS_TEST_POSTGRES (a connection string or postgres:// URL of a superuser) names.
/// The private one does not wait for the disk: a suite about durability starts its own <see cref="EmbeddedPostgres"/>.
/// </summary>
public sealed class PostgresServer : IAsyncDisposable
{
    private const string ServerKey = "XENOINSIGHTS_TEST_POSTGRES";

    private static readonly Dictionary<string, string> _fast = new()
    {
        ["fsync"] = "off",
        ["synchronous_commit"] = "off",
        ["full_page_writes"] = "off",
    };

    private readonly string _run = $"xeno_test_{Guid.NewGuid():n}"[..22];
    private readonly string _dataRoot;
    private readonly Lazy<Task<Template>> _template;
    private EmbeddedPostgres? _private;
    private int _databases;

    public PostgresServer()
    {
        _dataRoot = Path.Combine(Path.GetTempPath(), _run);
        _template = new(CreateTemplateAsync);
    }

    /// <summary>
    /// A database of its own for a test or a class, with this version's schema and no rows. Dispose it to drop it.
    /// </summary>
    public async Task<TestDatabase> CreateDatabaseAsync()
    {
        var template = await _template.Value;
        var name = $"{_run}_{Interlocked.Increment(ref _databases)}";
        await ExecuteAsync(template.Server, $"create database {name} template {template.Database}");
        return new(template.Server, name);
    }

    /// <summary>The same without a schema.</summary>
    public async Task<TestDatabase> CreateEmptyDatabaseAsync()
    {
        var template = await _template.Value;
        var name = $"{_run}_{Interlocked.Increment(ref _databases)}";
        await ExecuteAsync(template.Server, $"create database {name}");
        return new(template.Server, name);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_template.IsValueCreated)
            return;
        if (_template.Value.IsCompletedSuccessfully && _private is null)
        {
            var template = await _template.Value;
            await ExecuteAsync(template.Server, $"drop database if exists {template.Database} with (force)");
        }
        if (_private is null)
            return;
        await _private.DisposeAsync();
        Directory.Delete(_dataRoot, recursive: true);
    }

    internal static async Task ExecuteAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    private sealed record Template(string Server, string Database);

    private async Task<Template> CreateTemplateAsync()
    {
        var template = new Template(await ServerAsync(), _run);
        await ExecuteAsync(template.Server, $"create database {template.Database}");
        var target = new NpgsqlConnectionStringBuilder(template.Server)
        {
            Database = template.Database,
            Pooling = false,
        };
        await Migrator.MigrateAsync(target.ConnectionString);
        return template;
    }

    private async Task<string> ServerAsync()
    {
        if (Environment.GetEnvironmentVariable(ServerKey) is { Length: > 0 } configured)
            return PostgresUrl.IsUrl(configured) ? PostgresUrl.Parse(configured).ConnectionString : configured;
        _private = await EmbeddedPostgres.StartAsync(
            new()
            {
                DataRoot = _dataRoot,
                StartFolder = AppContext.BaseDirectory,
                Settings = _fast,
            },
            CancellationToken.None
        );
        return _private.ConnectionString;
    }
}

/// <summary>A fresh database of the test run's server.</summary>
public sealed class TestDatabase : IAsyncDisposable
{
    private readonly string _server;

    internal TestDatabase(string server, string name)
    {
        _server = server;
        Name = name;
        // Few connections each: many databases share the server's limit.
        ConnectionString = new NpgsqlConnectionStringBuilder(server)
        {
            Database = name,
            MaxPoolSize = 20,
        }.ConnectionString;
    }

    public string Name { get; }

    public string ConnectionString { get; }

    public async ValueTask DisposeAsync() =>
        await PostgresServer.ExecuteAsync(_server, $"drop database if exists {Name} with (force)");
}
