using System.Diagnostics;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Development.Postgres;

namespace XenoInsights.Tests.Data;

/// <summary>
/// Each test has a data folder of its own, reached by processes of the product itself where processes matter.
/// </summary>
public sealed class EmbeddedPostgresTests : IDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(20);

    private readonly string _root = Path.Combine(Path.GetTempPath(), $"xenoinsights-{Guid.NewGuid():n}");
    private readonly EmbeddedPostgresOptions _options;

    public EmbeddedPostgresTests() => _options = new() { DataRoot = _root, StartFolder = AppContext.BaseDirectory };

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public async Task Data_outlive_the_server_and_the_second_start_finds_them()
    {
        string data;
        await using (var first = await EmbeddedPostgres.StartAsync(_options, Ct))
        {
            await ExecuteAsync(first.ConnectionString, "create table kept (n int); insert into kept values (42)");
            data = first.DataFolder;
        }
        Assert.False(IsRunning(data));

        await using var second = await EmbeddedPostgres.StartAsync(_options, Ct);
        Assert.Equal(42, await ScalarAsync<int>(second.ConnectionString, "select n from kept"));
    }

    [Fact]
    public async Task It_is_durable_unless_told_otherwise_and_listens_to_this_machine_only()
    {
        await using var postgres = await EmbeddedPostgres.StartAsync(
            _options with
            {
                Settings = new Dictionary<string, string> { ["work_mem"] = "7MB" },
            },
            Ct
        );

        Assert.Equal("on", await ScalarAsync<string>(postgres.ConnectionString, "show fsync"));
        Assert.Equal("7MB", await ScalarAsync<string>(postgres.ConnectionString, "show work_mem"));
        Assert.Equal("127.0.0.1", await ScalarAsync<string>(postgres.ConnectionString, "show listen_addresses"));
        Assert.Equal("UTC", await ScalarAsync<string>(postgres.ConnectionString, "show timezone"));
        Assert.Equal("élan", await ScalarAsync<string>(postgres.ConnectionString, "select lower('ÉLAN')"));
        var refused = await Assert.ThrowsAsync<PostgresException>(() =>
            ExecuteAsync(postgres.ConnectionString + ";Password=guessed", "select 1")
        );
        Assert.Equal(PostgresErrorCodes.InvalidPassword, refused.SqlState);
        if (!OperatingSystem.IsWindows())
            Assert.Equal(
                UnixFileMode.UserRead | UnixFileMode.UserWrite,
                File.GetUnixFileMode(Path.Combine(_root, "pg.password"))
            );
    }

    [Fact]
    public async Task A_half_made_cluster_is_made_anew()
    {
        foreach (var major in Enumerable.Range(15, 10))
        {
            var unfinished = Directory.CreateDirectory(Path.Combine(_root, $"pg{major}.new"));
            await File.WriteAllTextAsync(Path.Combine(unfinished.FullName, "PG_VERSION"), "interrupted", Ct);
        }

        await using var postgres = await EmbeddedPostgres.StartAsync(_options, Ct);

        Assert.Equal(1, await ScalarAsync<int>(postgres.ConnectionString, "select 1"));
        Assert.False(Directory.Exists(postgres.DataFolder + ".new"));
    }

    [Fact]
    public async Task A_second_process_joins_the_server_and_the_last_to_leave_stops_it()
    {
        await using var first = await EmbeddedPostgres.StartAsync(_options, Ct);
        await using var second = await EmbeddedPostgres.StartAsync(_options, Ct);
        Assert.Equal(first.ConnectionString, second.ConnectionString);

        await first.DisposeAsync();
        Assert.Equal(1, await ScalarAsync<int>(second.ConnectionString, "select 1"));

        await second.DisposeAsync();
        Assert.False(IsRunning(second.DataFolder));
    }

    [Fact]
    public async Task Processes_starting_at_the_same_moment_share_one_server()
    {
        var all = await Task.WhenAll(
            Enumerable.Range(0, 4).Select(_ => Task.Run(() => EmbeddedPostgres.StartAsync(_options, Ct), Ct))
        );

        Assert.Single(all.Select(postgres => postgres.ConnectionString).Distinct());
        await Task.WhenAll(all.Select(postgres => postgres.DisposeAsync().AsTask()));
        Assert.False(IsRunning(all[0].DataFolder));
    }

    [Fact]
    public async Task The_server_stops_when_its_only_process_is_killed()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no watchdog: the next start adopts the server.");
        using var app = await StartProcessAsync();
        var data = Assert.Single(Directory.GetFiles(_root, "postmaster.pid", SearchOption.AllDirectories));

        app.Process.Kill();

        await EventuallyAsync(() => !File.Exists(data));
    }

    [Fact]
    public async Task The_server_stays_for_the_others_when_the_process_that_started_it_is_killed()
    {
        using var starter = await StartProcessAsync();
        await using var other = await EmbeddedPostgres.StartAsync(_options, Ct);
        Assert.Equal(starter.ConnectionString, other.ConnectionString);

        starter.Process.Kill();
        await Task.Delay(TimeSpan.FromSeconds(3), Ct); // longer than the killed process's watchdog tries

        Assert.Equal(1, await ScalarAsync<int>(other.ConnectionString, "select 1"));
        await other.DisposeAsync();
        Assert.False(IsRunning(other.DataFolder));
    }

    [Fact]
    public async Task A_start_recovers_after_app_and_server_were_killed_together()
    {
        using (var app = await StartProcessAsync())
        {
            await ExecuteAsync(app.ConnectionString, "create table kept (n int); insert into kept values (42)");
            app.Process.Kill(entireProcessTree: true);
            using var server = Process.GetProcessById(ServerPid());
            server.Kill();
            await server.WaitForExitAsync(Ct);
        }

        await using var postgres = await EmbeddedPostgres.StartAsync(_options, Ct);

        Assert.Equal(42, await ScalarAsync<int>(postgres.ConnectionString, "select n from kept"));
    }

    [Fact]
    public async Task The_database_is_made_again_after_it_was_dropped()
    {
        await using (var first = await EmbeddedPostgres.StartAsync(_options, Ct))
            await ExecuteAsync(first.ConnectionString + ";Database=postgres", "drop database xenoinsights");

        await using var second = await EmbeddedPostgres.StartAsync(_options, Ct);

        Assert.Equal(1, await ScalarAsync<int>(second.ConnectionString, "select 1"));
    }

    [Fact]
    public async Task Below_a_closed_home_the_data_move_to_where_the_server_account_reaches_them()
    {
        Directory.CreateDirectory(_root);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(_root, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        // Only root starts the server as somebody else.
        var moves = Environment.IsPrivilegedProcess && !OperatingSystem.IsWindows();

        string data;
        await using (
            var postgres = await EmbeddedPostgres.StartAsync(
                _options with
                {
                    DataRoot = Path.Combine(_root, ".data"),
                },
                Ct
            )
        )
        {
            data = postgres.DataFolder;
            Assert.Equal(1, await ScalarAsync<int>(postgres.ConnectionString, "select 1"));
        }

        Assert.StartsWith(moves ? "/var/tmp/xenoinsights-" : _root, data, StringComparison.Ordinal);
        if (moves)
            Directory.Delete(Path.GetDirectoryName(data)!, recursive: true);
    }

    [Fact]
    public async Task A_folder_without_PostgreSQL_is_refused_by_its_key()
    {
        Directory.CreateDirectory(_root);

        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() =>
            EmbeddedPostgres.StartAsync(_options with { Bin = _root }, Ct)
        );

        Assert.Contains("Postgres:Bin", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_cannot_start_says_why()
    {
        var settings = new Dictionary<string, string> { ["shared_buffers"] = "plenty" };

        var failed = await Assert.ThrowsAsync<InvalidOperationException>(() =>
            EmbeddedPostgres.StartAsync(_options with { Settings = settings }, Ct)
        );

        Assert.Contains("invalid value for parameter \"shared_buffers\"", failed.Message, StringComparison.Ordinal);
    }

    private sealed record App(Process Process, string ConnectionString) : IDisposable
    {
        public void Dispose()
        {
            Process.Kill();
            Process.Dispose();
        }
    }

    private async Task<App> StartProcessAsync()
    {
        var start = new ProcessStartInfo(
            "dotnet",
            [typeof(EmbeddedPostgres).Assembly.Location, "postgres", $"--Postgres:DataRoot={_root}"]
        )
        {
            RedirectStandardOutput = true,
        };
        var process = Process.Start(start)!;
        var connectionString = await process.StandardOutput.ReadLineAsync(Ct);
        Assert.NotNull(connectionString);
        return new(process, connectionString);
    }

    private int ServerPid()
    {
        var file = Assert.Single(Directory.GetFiles(_root, "postmaster.pid", SearchOption.AllDirectories));
        return int.Parse(File.ReadLines(file).First(), System.Globalization.CultureInfo.InvariantCulture);
    }

    private static bool IsRunning(string dataFolder) => File.Exists(Path.Combine(dataFolder, "postmaster.pid"));

    private static async Task EventuallyAsync(Func<bool> condition)
    {
        for (var waited = Stopwatch.StartNew(); !condition(); await Task.Delay(50, Ct))
            Assert.True(waited.Elapsed < _patience, $"It has not come true within {_patience.TotalSeconds} s.");
    }

    private static async Task ExecuteAsync(string connectionString, string sql) =>
        await ScalarAsync<object>(connectionString, sql);

    private static async Task<T?> ScalarAsync<T>(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync(Ct);
        await using var command = new NpgsqlCommand(sql, connection);
        return (T?)await command.ExecuteScalarAsync(Ct);
    }
}
