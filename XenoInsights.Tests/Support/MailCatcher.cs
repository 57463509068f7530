using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using MimeKit;
using SmtpServer;
using SmtpServer.ComponentModel;
using SmtpServer.Protocol;
using SmtpServer.Storage;

namespace XenoInsights.Tests.Support;

/// <summary>A mail server on this machine that keeps what it is given; it can be made to refuse.</summary>
public sealed class MailCatcher : MessageStore, IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private Task _running = Task.CompletedTask;

    public ConcurrentQueue<MimeMessage> Mails { get; } = new();
    public int Port { get; private init; }

    /// <summary>The next messages are answered with a temporary failure.</summary>
    public int Refuse { get; set; }

    public static MailCatcher Start()
    {
        using var free = new TcpListener(IPAddress.Loopback, 0);
        free.Start();
        var catcher = new MailCatcher { Port = ((IPEndPoint)free.LocalEndpoint).Port };
        free.Stop();
        var options = new SmtpServerOptionsBuilder()
            .ServerName("localhost")
            .Endpoint(
                new EndpointDefinitionBuilder().Endpoint(new IPEndPoint(IPAddress.Loopback, catcher.Port)).Build()
            )
            .Build();
        var services = new ServiceProvider();
        services.Add(catcher);
        catcher._running = new SmtpServer.SmtpServer(options, services).StartAsync(catcher._stop.Token);
        return catcher;
    }

    public override async Task<SmtpResponse> SaveAsync(
        ISessionContext context,
        IMessageTransaction transaction,
        ReadOnlySequence<byte> buffer,
        CancellationToken cancellationToken
    )
    {
        if (Refuse > 0)
        {
            Refuse--;
            return new SmtpResponse(SmtpReplyCode.Aborted, "Later.");
        }
        using var bytes = new MemoryStream(buffer.ToArray());
        Mails.Enqueue(await MimeMessage.LoadAsync(bytes, cancellationToken));
        return SmtpResponse.Ok;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        _stop.Dispose();
    }
}
