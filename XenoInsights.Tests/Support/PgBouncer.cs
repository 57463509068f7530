using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace XenoInsights.Tests.Support;

/// <summary>
/// A PgBouncer in transaction mode with few server connections, so that every client meets connections that others have
/// used.
/// </summary>
internal sealed class PgBouncer : IAsyncDisposable
{
    private const int ServerConnections = 4;

    private readonly Process _process;
    private readonly string _folder;

    private PgBouncer(Process process, string folder, string connectionString) =>
        (_process, _folder, ConnectionString) = (process, folder, connectionString);

    public string ConnectionString { get; }

    /// <summary>Null where it is not installed.</summary>
    public static string? Binary { get; } =
        new[] { "/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer" }.FirstOrDefault(
            File.Exists
        );

    public static async Task<PgBouncer> StartAsync(string connectionString)
    {
        var server = new NpgsqlConnectionStringBuilder(connectionString);
        var folder = Directory.CreateTempSubdirectory("xeno-pgbouncer-").FullName;
        var port = FreePort();
        var asRoot = Environment.UserName == "root";
        await File.WriteAllTextAsync(
            Path.Combine(folder, "pgbouncer.ini"),
            $"""
            [databases]
            * = host={server.Host} port={server.Port} user={server.Username} password={server.Password}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            default_pool_size = {ServerConnections}
            max_client_conn = 500
            ignore_startup_parameters = extra_float_digits
            {(asRoot ? "user = nobody" : "")}
            """
        );
        if (asRoot && !OperatingSystem.IsWindows())
            File.SetUnixFileMode(
                folder,
                UnixFileMode.UserRead
                    | UnixFileMode.UserWrite
                    | UnixFileMode.UserExecute
                    | UnixFileMode.OtherRead
                    | UnixFileMode.OtherExecute
            );
        var process = Process.Start(
            new ProcessStartInfo(Binary!, ["-q", Path.Combine(folder, "pgbouncer.ini")])
            {
                RedirectStandardError = true,
            }
        )!;
        process.ErrorDataReceived += (_, _) => { };
        process.BeginErrorReadLine();

        var through = new NpgsqlConnectionStringBuilder
        {
            Host = "127.0.0.1",
            Port = port,
            Database = server.Database,
            Username = server.Username,
            NoResetOnClose = true,
            MaxPoolSize = 50,
        }.ConnectionString;
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                await using var connection = new NpgsqlConnection(through + ";Pooling=false");
                await connection.OpenAsync();
                return new PgBouncer(process, folder, through);
            }
            catch (NpgsqlException) when (attempt < 50)
            {
                await Task.Delay(100);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
