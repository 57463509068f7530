using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using XenoInsights.Shopify;

namespace XenoInsights.Tests.Shopify;

/// <summary>
/// A server that answers as a test tells it to, over real HTTP, with our client beside it. Each answer serves one
/// request; the last serves all that follow.
/// </summary>
internal sealed class Fake : IAsyncDisposable
{
    public static readonly ShopReference Shop = new(
        Guid.Parse("11111111-1111-1111-1111-111111111111"),
        "a-shop.myshopify.com",
        "CAD",
        "America/Toronto"
    );

    private readonly WebApplication _server;
    private readonly Queue<RequestDelegate> _answers;
    private readonly WebApplication _app;
    private RequestDelegate? _last;

    private Fake(WebApplication server, Queue<RequestDelegate> answers, HurriedTime time)
    {
        (_server, _answers, Time) = (server, answers, time);
        _server.Run(AnswerAsync);
        var builder = WebApplication.CreateBuilder(
            new WebApplicationOptions { EnvironmentName = "Development", ContentRootPath = AppContext.BaseDirectory }
        );
        builder.Logging.ClearProviders();
        builder.AddShopify();
        builder.Services.Configure<ShopifyOptions>(options =>
            (options.ClientId, options.ClientSecret, options.ShopUrl) = ("id", "secret", Address + "/{shop}")
        );
        builder.Services.AddSingleton<TimeProvider>(time);
        builder.Services.AddSingleton<AccessTokenSource>(
            (tenantId, rejectedToken, _) =>
            {
                Assert.Equal(Shop.TenantId, tenantId);
                TokensAsked.Add(rejectedToken is not null);
                return Task.FromResult(rejectedToken is null ? "stale" : "fresh");
            }
        );
        _app = builder.Build();
    }

    public HurriedTime Time { get; }
    public string Address => _server.Urls.First();
    public List<(string Path, string? Token, string Body, string? Range)> Requests { get; } = [];
    public List<string> TraceParents { get; } = [];
    public List<bool> TokensAsked { get; } = [];
    public ShopifyOptions Options => _app.Services.GetRequiredService<IOptions<ShopifyOptions>>().Value;

    public AdminClient Admin => _app.Services.GetRequiredService<AdminClient>();
    public AdminObjects Objects => _app.Services.GetRequiredService<AdminObjects>();
    public BulkOperations Bulk => _app.Services.GetRequiredService<BulkOperations>();
    public BulkDownload Download => _app.Services.GetRequiredService<BulkDownload>();

    public static async Task<Fake> StartAsync(params RequestDelegate[] answers)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var server = builder.Build();
        var queue = new Queue<RequestDelegate>(answers);
        var fake = new Fake(server, queue, new HurriedTime());
        await server.StartAsync();
        return fake;
    }

    public static RequestDelegate Json(string body, int status = 200, params (string Name, string Value)[] headers) =>
        context =>
        {
            context.Response.StatusCode = status;
            context.Response.ContentType = "application/json";
            foreach (var (name, value) in headers)
                context.Response.Headers[name] = value;
            return context.Response.WriteAsync(body);
        };

    /// <summary>An answer with these <c>data</c> and what the bucket holds after it.</summary>
    public static RequestDelegate Data(string data, int requested = 10, int available = 1990) =>
        Json(
            $$"""
            {"data":{{data}},"extensions":{"cost":{"requestedQueryCost":{{requested}},
            "actualQueryCost":{{requested}},"throttleStatus":{"maximumAvailable":2000.0,
            "currentlyAvailable":{{available}},"restoreRate":100.0} } } }
            """
        );

    public static RequestDelegate Hangup =>
        context =>
        {
            context.Abort();
            return Task.CompletedTask;
        };

    public async Task<ShopifyException> FailureAsync() =>
        await Assert.ThrowsAsync<ShopifyException>(() =>
            Admin.SendAsync(Shop, "query Q { shop { id } }", null, TestContext.Current.CancellationToken)
        );

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _server.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        TraceParents.AddRange(context.Request.Headers.TraceParent.OfType<string>());
        using var body = new StreamReader(context.Request.Body);
        Requests.Add(
            (
                context.Request.Path,
                context.Request.Headers["X-Shopify-Access-Token"],
                await body.ReadToEndAsync(),
                context.Request.Headers.Range
            )
        );
        if (_answers.TryDequeue(out var next))
            _last = next;
        await _last!(context);
    }
}

/// <summary>
/// A clock that stands still but for the waits that are asked of it: each passes at once and moves it by its length.
/// </summary>
internal sealed class HurriedTime : TimeProvider
{
    private readonly DateTimeOffset _start = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);
    private long _elapsed;

    public List<TimeSpan> Waits { get; } = [];

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _elapsed);

    public override DateTimeOffset GetUtcNow() => _start.AddTicks(GetTimestamp());

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        // The limits on silence are long and never reached in a test that goes well; left at their length they cannot
        // spoil it.
        if (dueTime >= TimeSpan.FromSeconds(60))
            return base.CreateTimer(callback, state, dueTime, period);
        lock (Waits)
            Waits.Add(dueTime);
        Interlocked.Add(ref _elapsed, dueTime.Ticks);
        return base.CreateTimer(callback, state, TimeSpan.Zero, period);
    }
}
