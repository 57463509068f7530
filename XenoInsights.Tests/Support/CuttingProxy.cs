using System.Net;
using System.Net.Sockets;

namespace XenoInsights.Tests.Support;

/// <summary>
/// Stands between a client and PostgreSQL, and cuts connections exactly at COMMIT: the client never learns whether it
/// happened.
/// </summary>
public sealed class CuttingProxy : IAsyncDisposable
{
    private static readonly byte[] _commit = "COMMIT\0"u8.ToArray();

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stopped = new();
    private readonly int _target;
    private readonly Task _accepting;
    private int _cutBefore,
        _cutAfter,
        _cuts;

    public CuttingProxy(int targetPort)
    {
        _target = targetPort;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public int Cuts => _cuts;

    /// <summary>
    /// The next COMMIT does not reach the server (<paramref name="reachesServer"/> false), or its answer does not reach
    /// the client.
    /// </summary>
    public void CutNext(bool reachesServer) =>
        Interlocked.Exchange(ref reachesServer ? ref _cutAfter : ref _cutBefore, 1);

    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync();
        _listener.Stop();
        await _accepting;
        _stopped.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _ = ServeAsync(await _listener.AcceptTcpClientAsync(_stopped.Token));
        }
        catch (Exception stopped) when (stopped is OperationCanceledException or SocketException)
        {
            // The test is over.
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using var server = new TcpClient { NoDelay = true };
        using (client)
        {
            try
            {
                client.NoDelay = true;
                await server.ConnectAsync(IPAddress.Loopback, _target, _stopped.Token);
                await Task.WhenAny(
                    ToServerAsync(client.GetStream(), server.GetStream()),
                    server.GetStream().CopyToAsync(client.GetStream(), _stopped.Token)
                );
            }
            catch (Exception broken)
                when (broken is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // Either side hung up, which is what this is about.
            }
        }
    }

    private async Task ToServerAsync(NetworkStream client, NetworkStream server)
    {
        var buffer = new byte[64 * 1024];
        while (await client.ReadAsync(buffer, _stopped.Token) is > 0 and var read)
        {
            var commits = buffer.AsSpan(0, read).IndexOf(_commit) >= 0;
            if (commits && Interlocked.Exchange(ref _cutBefore, 0) == 1)
            {
                Interlocked.Increment(ref _cuts);
                return;
            }
            await server.WriteAsync(buffer.AsMemory(0, read), _stopped.Token);
            if (commits && Interlocked.Exchange(ref _cutAfter, 0) == 1)
            {
                Interlocked.Increment(ref _cuts);
                // Let the server act on it; then nobody hears the answer.
                await Task.Delay(3, _stopped.Token);
                return;
            }
        }
    }
}
