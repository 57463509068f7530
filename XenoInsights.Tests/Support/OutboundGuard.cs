using System.Collections.Concurrent;
using Microsoft.Extensions.Http;

namespace XenoInsights.Tests.Support;

/// <summary>
/// Fails every HTTP request of the app under test to a host that is neither this machine nor registered here.
/// </summary>
public sealed class OutboundGuard : IHttpMessageHandlerBuilderFilter
{
    private readonly ConcurrentDictionary<string, bool> _allowed = new(StringComparer.OrdinalIgnoreCase);
    private readonly ConcurrentQueue<Uri> _refused = new();

    /// <summary>The requests that failed here, in order: for suites that assert there were none.</summary>
    public IReadOnlyCollection<Uri> Refused => _refused;

    public void Allow(string host) => _allowed[host] = true;

    public HttpMessageHandler Guard(HttpMessageHandler inner) => new Handler(this) { InnerHandler = inner };

    public Action<HttpMessageHandlerBuilder> Configure(Action<HttpMessageHandlerBuilder> next) =>
        builder =>
        {
            next(builder);
            builder.AdditionalHandlers.Add(new Handler(this));
        };

    private void Check(Uri? target)
    {
        if (target is null || target.IsLoopback || _allowed.ContainsKey(target.Host))
            return;
        _refused.Enqueue(target);
        throw new InvalidOperationException(
            $"The app under test asked for {target.GetLeftPart(UriPartial.Path)}, "
                + $"but only this machine and hosts allowed on {nameof(OutboundGuard)} are reached from tests."
        );
    }

    private sealed class Handler(OutboundGuard guard) : DelegatingHandler
    {
        protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            guard.Check(request.RequestUri);
            return base.Send(request, cancellationToken);
        }

        protected override Task<HttpResponseMessage> SendAsync(
            HttpRequestMessage request,
            CancellationToken cancellationToken
        )
        {
            guard.Check(request.RequestUri);
            return base.SendAsync(request, cancellationToken);
        }
    }
}
