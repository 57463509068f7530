using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Drills;

/// <summary>
/// HAProxy as <c>docs/haproxy.cfg</c> configures it, at a port of this machine and for instances on it.
/// </summary>
internal sealed class HaProxy : IAsyncDisposable
{
    private const string Sample = "haproxy.cfg",
        Backend = "xenoinsights";
    private const int KeptLines = 50;
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(20),
        _poll = TimeSpan.FromMilliseconds(100);
    private static readonly string[] _sampleServers = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"];

    private readonly Process _process;
    private readonly string _socket;
    private readonly ConcurrentQueue<string> _failed = new(),
        _changes = new(),
        _errors = new();

    private HaProxy(Process process, string socket) => (_process, _socket) = (process, socket);

    /// <summary>When it took an instance in or out.</summary>
    public IEnumerable<string> Changes => _changes;

    /// <summary>Its log lines of requests that were not answered with 200 or a redirect; the first fifty.</summary>
    public IEnumerable<string> FailedRequests => _failed;

    /// <summary>Its own count of what it sent to the instances, since it was started.</summary>
    /// <param name="Retries">Connections that were tried again.</param>
    /// <param name="Redispatches">Requests that went to another instance than the cookie or the first choice
    /// said.</param>
    public sealed record Figures(long Retries, long Redispatches, long BrokenAnswers, IReadOnlyList<long> PerInstance);

    /// <summary>Such as <c>2.6.12-1+deb12u4</c>.</summary>
    public static string Version(string binary)
    {
        using var process = Process.Start(new ProcessStartInfo(binary, ["-v"]) { RedirectStandardOutput = true })!;
        var words = process.StandardOutput.ReadToEnd().Split(' ');
        process.WaitForExit();
        return words is [_, _, var version, ..] ? version : "of an unknown version";
    }

    /// <summary>Starts it; returns when it takes connections.</summary>
    /// <param name="folder">For its configuration and its socket.</param>
    /// <param name="certificate">A PEM file with its key.</param>
    /// <param name="instances">Host and port of each.</param>
    /// <param name="more">Further sections of its configuration.</param>
    public static async Task<HaProxy> StartAsync(
        string binary,
        string folder,
        string certificate,
        int port,
        IReadOnlyList<string> instances,
        string more
    )
    {
        var (configuration, socket) = (Path.Combine(folder, Sample), Path.Combine(folder, "haproxy.sock"));
        var global = $"global\n    log stdout format raw local0\n    stats socket {socket}\n\n";
        await File.WriteAllTextAsync(configuration, global + Adapted(certificate, port, instances) + more);
        var start = new ProcessStartInfo(binary, ["-db", "-f", configuration])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var proxy = new HaProxy(Process.Start(start)!, socket);
        proxy.Read();
        try
        {
            await proxy.ListeningAsync(port);
            return proxy;
        }
        catch
        {
            await proxy.DisposeAsync();
            throw;
        }
    }

    public async Task<Figures> FiguresAsync()
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(_socket));
        await using var stream = new NetworkStream(socket);
        await stream.WriteAsync("show stat\n"u8.ToArray());
        using var reader = new StreamReader(stream, Encoding.ASCII);
        var lines = (await reader.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var names = lines[0].TrimStart('#', ' ').Split(',').ToList();
        var rows = lines.Skip(1).Select(line => line.Split(',')).Where(row => row[0] == Backend).ToList();
        var all = rows.Single(row => row[1] == "BACKEND");
        return new(
            Of(all, "wretr"),
            Of(all, "wredis"),
            Of(all, "eresp"),
            [.. rows.Where(row => row != all).Select(row => Of(row, "stot"))]
        );

        long Of(string[] row, string name) => long.Parse(row[names.IndexOf(name)], CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    /// <summary>The sample with this machine's addresses, so that what people copy is what is tried.</summary>
    private static string Adapted(string certificate, int port, IReadOnlyList<string> instances)
    {
        var text = File.ReadAllText(Path.Combine(Repository.Root, "docs", Sample));
        text = Replaced(text, "bind :443 ", $"bind 127.0.0.1:{port} ");
        text = Replaced(text, "/etc/haproxy/xenoinsights.pem", certificate);
        foreach (var (sample, here) in _sampleServers.Zip(instances))
            text = Replaced(text, sample, here);
        return text;
    }

    private static string Replaced(string text, string sample, string here) =>
        text.Contains(sample, StringComparison.Ordinal)
            ? text.Replace(sample, here, StringComparison.Ordinal)
            : throw new InvalidOperationException($"docs/{Sample} has no \"{sample}\".");

    private void Read()
    {
        _process.OutputDataReceived += (_, line) => Keep(line.Data ?? "");
        _process.ErrorDataReceived += (_, line) => _errors.Enqueue(line.Data ?? "");
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    private void Keep(string line)
    {
        var now = TimeProvider.System.GetUtcNow().ToString("HH:mm:ss.f", CultureInfo.InvariantCulture);
        if (line.StartsWith("Server ", StringComparison.Ordinal))
            _changes.Enqueue($"{now} {line}");
        else if (!IsSuccess(line) && _failed.Count < KeptLines)
            _failed.Enqueue(line);
    }

    private static bool IsSuccess(string line) =>
        line.Length == 0
        || line.Contains(" 200 ", StringComparison.Ordinal)
        || line.Contains(" 302 ", StringComparison.Ordinal);

    private async Task ListeningAsync(int port)
    {
        for (
            var began = TimeProvider.System.GetTimestamp();
            TimeProvider.System.GetElapsedTime(began) < _patience && !_process.HasExited;
            await Task.Delay(_poll)
        )
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync("127.0.0.1", port);
                return;
            }
            catch (SocketException)
            {
                // Not yet.
            }
        }
        throw new InvalidOperationException($"HAProxy does not start:\n{string.Join('\n', _errors)}");
    }
}
