using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace XenoInsights.Tests.Drills;

/// <summary>
/// A built version of the product as a process in Production. No store has a token, and unless settings name a provider
/// nobody can sign in.
/// </summary>
internal sealed class Instance : IAsyncDisposable
{
    private const string Secret = "drill-secret";
    private static readonly TimeSpan _patience = TimeSpan.FromMinutes(3),
        _poll = TimeSpan.FromMilliseconds(200);
    private static readonly HttpClient _http = new(
        new SocketsHttpHandler { PooledConnectionIdleTimeout = TimeSpan.FromSeconds(5) }
    )
    {
        Timeout = TimeSpan.FromSeconds(10),
    };

    private readonly Process _process;
    private readonly ConcurrentQueue<string> _output = new();
    private static readonly Dictionary<string, string> _noSettings = [];

    private Instance(Process process, Uri address) => (_process, Address) = (process, address);

    public Uri Address { get; }

    /// <summary>The end of what it wrote.</summary>
    public string Output => string.Join('\n', _output);

    /// <summary>Starts it; returns when it is ready.</summary>
    /// <param name="dll">The product's <c>XenoInsights.dll</c>.</param>
    /// <param name="settings">Keys as in appsettings.json; they win over those of every instance.</param>
    /// <param name="port">Where it listens; null: at a free port.</param>
    public static async Task<Instance> StartAsync(
        string dll,
        string connectionString,
        string key,
        IReadOnlyDictionary<string, string>? settings = null,
        int? port = null
    )
    {
        var address = new Uri($"http://127.0.0.1:{port ?? FreePort()}/");
        var command = Command(dll, connectionString, key, "", address);
        foreach (var (name, value) in settings ?? _noSettings)
            command.Environment[name.Replace(":", "__", StringComparison.Ordinal)] = value;
        var process = Process.Start(command)!;
        var instance = new Instance(process, address);
        process.OutputDataReceived += (_, line) => instance.Keep(line.Data);
        process.ErrorDataReceived += (_, line) => instance.Keep(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        try
        {
            await instance.ReadyAsync();
            return instance;
        }
        catch
        {
            await instance.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs a command of a version to its end; fails with what it wrote when it does not end with 0.</summary>
    public static async Task<string> RunAsync(string dll, string connectionString, string key, string command)
    {
        using var process = Process.Start(Command(dll, connectionString, key, command, null))!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0
            ? output
            : throw new InvalidOperationException($"{command} ended with {process.ExitCode}:\n{output}{await errors}");
    }

    /// <summary>A signed delivery.</summary>
    /// <param name="to">The app's address.</param>
    public static HttpRequestMessage Delivery(Uri to, string topic, string domain, string webhookId, byte[] body)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(to, "webhooks/shopify"))
        {
            Content = new ByteArrayContent(body),
        };
        request.Headers.Add("X-Shopify-Topic", topic);
        request.Headers.Add("X-Shopify-Shop-Domain", domain);
        request.Headers.Add("X-Shopify-Webhook-Id", webhookId);
        request.Headers.Add(
            "X-Shopify-Triggered-At",
            TimeProvider.System.GetUtcNow().ToString("O", CultureInfo.InvariantCulture)
        );
        request.Headers.Add(
            "X-Shopify-Hmac-Sha256",
            Convert.ToBase64String(HMACSHA256.HashData(Encoding.UTF8.GetBytes(Secret), body))
        );
        request.Content.Headers.ContentType = new("application/json");
        return request;
    }

    /// <summary>Sends a signed delivery; null when no answer came.</summary>
    public async Task<HttpStatusCode?> SendAsync(string topic, string domain, string webhookId, byte[] body)
    {
        using var request = Delivery(Address, topic, domain, webhookId, body);
        try
        {
            using var response = await _http.SendAsync(request);
            return response.StatusCode;
        }
        catch (Exception failure) when (failure is HttpRequestException or TaskCanceledException)
        {
            return null;
        }
    }

    /// <summary>SIGTERM, as a service manager sends it; returns when it has ended by itself.</summary>
    public async Task StopAsync()
    {
        using (var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]))
            await kill.WaitForExitAsync();
        using var patience = new CancellationTokenSource(_patience);
        await _process.WaitForExitAsync(patience.Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private static ProcessStartInfo Command(
        string dll,
        string connectionString,
        string key,
        string command,
        Uri? address
    ) =>
        new("dotnet", command.Length > 0 ? [dll, command] : [dll])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment =
            {
                ["ASPNETCORE_ENVIRONMENT"] = "Production",
                ["ASPNETCORE_URLS"] = address?.GetLeftPart(UriPartial.Authority) ?? "",
                ["App__PublicUrl"] = "https://xeno.example.test",
                ["Oidc__Authority"] = "https://login.example.test",
                ["Oidc__ClientId"] = "drill",
                ["Oidc__ClientSecret"] = "drill",
                ["Shopify__ClientId"] = "drill",
                ["Shopify__ClientSecret"] = Secret,
                ["Encryption__Keys__0"] = key,
                ["ConnectionStrings__XenoInsights"] = connectionString,
                ["Serilog__MinimumLevel__Default"] = "Warning",
            },
        };

    private async Task ReadyAsync()
    {
        for (
            var began = TimeProvider.System.GetTimestamp();
            TimeProvider.System.GetElapsedTime(began) < _patience && !_process.HasExited;
            await Task.Delay(_poll)
        )
        {
            try
            {
                using var response = await _http.GetAsync(new Uri(Address, "health/ready"));
                if (response.IsSuccessStatusCode)
                    return;
            }
            catch (Exception notYet) when (notYet is HttpRequestException or TaskCanceledException) { }
        }
        throw new InvalidOperationException($"An instance does not become ready. It wrote:\n{Output}");
    }

    private void Keep(string? line)
    {
        if (line is null)
            return;
        _output.Enqueue(line);
        if (_output.Count > 50)
            _output.TryDequeue(out _);
    }

    internal static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
