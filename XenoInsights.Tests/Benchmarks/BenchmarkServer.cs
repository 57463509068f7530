using System.Diagnostics;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Development.Postgres;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>
/// A durable PostgreSQL of the benchmarks' own, with the plain alternative to compare with: <c>\copy</c> of the same
/// rows into the same indexed tables.
/// </summary>
internal sealed class BenchmarkServer : IAsyncDisposable
{
    private readonly EmbeddedPostgres _postgres;

    private BenchmarkServer(EmbeddedPostgres postgres) => _postgres = postgres;

    public static async Task<BenchmarkServer> StartAsync() =>
        new(
            await EmbeddedPostgres.StartAsync(
                new()
                {
                    DataRoot = Path.Combine(Path.GetTempPath(), "xeno-benchmark"),
                    StartFolder = AppContext.BaseDirectory,
                },
                default
            )
        );

    /// <summary>An empty, migrated database; one of the same name is dropped first.</summary>
    public async Task<string> CreateDatabaseAsync(string name)
    {
        await ExecuteAsync(_postgres.ConnectionString, $"drop database if exists {name} with (force)");
        await ExecuteAsync(_postgres.ConnectionString, $"create database {name}");
        await Migrator.MigrateAsync(Database(name));
        return Database(name);
    }

    /// <summary>A database that an earlier run left.</summary>
    public string Database(string name) =>
        new NpgsqlConnectionStringBuilder(_postgres.ConnectionString)
        {
            Database = name,
            CommandTimeout = 1800,
        }.ConnectionString;

    /// <summary>Rows an import wrote, over all tables it writes.</summary>
    public static async Task<long> RowsAsync(string database)
    {
        var rows = 0L;
        foreach (var table in await TablesAsync(database))
            rows += (long)(await ScalarAsync(database, $"select count(*) from {table}"))!;
        return rows;
    }

    /// <summary>
    /// How long <c>\copy</c> takes to load the same rows into empty tables with the same columns and indexes.
    /// </summary>
    public static async Task<TimeSpan> CopyAsync(string database)
    {
        var total = TimeSpan.Zero;
        await using var connection = new NpgsqlConnection(database);
        await connection.OpenAsync();
        foreach (var table in await TablesAsync(database))
        {
            await ExecuteAsync(database, $"create table copied_{table} (like {table} including all)");
            var csv = Path.GetTempFileName();
            await using (var file = new StreamWriter(csv))
            using (var export = await connection.BeginTextExportAsync($"copy {table} to stdout (format csv)"))
                await TransferAsync(export, file);
            var watch = Stopwatch.StartNew();
            using (var file = new StreamReader(csv))
            await using (
                var import = await connection.BeginTextImportAsync($"copy copied_{table} from stdin (format csv)")
            )
                await TransferAsync(file, import);
            total += watch.Elapsed;
            File.Delete(csv);
            await ExecuteAsync(database, $"drop table copied_{table}");
        }
        return total;
    }

    public static async Task ExecuteAsync(string database, string sql) => await ScalarAsync(database, sql);

    public ValueTask DisposeAsync() => _postgres.DisposeAsync();

    private static async Task<List<string>> TablesAsync(string database)
    {
        var tables = new List<string>();
        await using var connection = new NpgsqlConnection(database);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(
            """
            select relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid
                and attname = 'tenant_id' where relkind = 'r' and relnamespace = 'public'::regnamespace
                and relname not in ('tenants', 'memberships', 'shopify_credentials', 'shop_domains',
                'sync_jobs', 'events', 'data_versions')
            """,
            connection
        );
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync())
            tables.Add(reader.GetString(0));
        return tables;
    }

    private static async Task<object?> ScalarAsync(string database, string sql)
    {
        await using var connection = new NpgsqlConnection(database + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }

    private static async Task TransferAsync(TextReader from, TextWriter to)
    {
        var buffer = new char[1 << 16];
        int read;
        while ((read = await from.ReadBlockAsync(buffer)) > 0)
            await to.WriteAsync(buffer.AsMemory(0, read));
    }
}
