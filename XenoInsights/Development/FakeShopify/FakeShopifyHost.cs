using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using XenoInsights.Development.FakeShopify.Stores;

namespace XenoInsights.Development.FakeShopify;

public sealed record FakeShopifyOptions
{
    public string Url { get; init; } = "http://localhost:5081";

    public string ClientId { get; init; } = "demo-client-id";

    public string ClientSecret { get; init; } = "demo-client-secret";

    /// <summary>Where the app is; besides loopback addresses the only redirect target.</summary>
    public Uri? AppUrl { get; init; }

    /// <summary>Shop domains whose merchant agrees without being shown a page.</summary>
    public IReadOnlyCollection<string> AutoApprove { get; init; } = [];

    public TimeSpan AccessTokenLifetime { get; init; } = TimeSpan.FromHours(1);

    public int BucketSize { get; init; } = 2000;

    /// <summary>Points a second.</summary>
    public int RestoreRate { get; init; } = 100;

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>How often something happens in the first store by itself; 0: nothing does.</summary>
    public double OrdersPerMinute { get; init; }

    /// <summary>
    /// 1: failed deliveries are repeated as the platform does, over 4 hours. A hundredth: over two and a half minutes.
    /// </summary>
    public double RetryClock { get; init; } = 1;

    /// <summary>What happens by chance happens again with the same seed.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Null: nothing is logged.</summary>
    public ILoggerFactory? Loggers { get; init; }

    /// <summary>Null: the four stores of the demo.</summary>
    public IReadOnlyList<DemoStore>? Stores { get; init; }
}

/// <summary>
/// A fake Shopify: a web server of its own, every shop below the path /{shop domain}. For Development and tests.
/// Its data live in memory and in a temporary folder that goes with it.
/// </summary>
public sealed class FakeShopifyHost : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly string _folder = Directory.CreateTempSubdirectory("demo-shopify-").FullName;
    private readonly Dictionary<string, DemoStore> _stores;
    private readonly DemoDeliveries _deliveries;
    private readonly Dictionary<string, OrderSimulator> _lives;
    private readonly CancellationTokenSource _stopping = new();
    private Task _living = Task.CompletedTask;
    private readonly byte[] _resultKey = RandomNumberGenerator.GetBytes(32);

    private FakeShopifyHost(FakeShopifyOptions options, WebApplication app)
    {
        Options = options;
        _app = app;
        Stores = options.Stores ?? DefaultStores(options.Time);
        _stores = Stores.ToDictionary(s => s.Shop.Domain, StringComparer.OrdinalIgnoreCase);
        _deliveries = new DemoDeliveries(options);
        _lives = Stores.ToDictionary(
            s => s.Shop.Domain,
            s => new OrderSimulator(s, _deliveries, options.Time, options.Seed),
            StringComparer.OrdinalIgnoreCase
        );
        foreach (var store in Stores)
        {
            store.Grant.Open(store.Shop.Domain, options.ClientSecret, options.AccessTokenLifetime);
            (store.Bucket.Maximum, store.Bucket.RestorePerSecond) = (options.BucketSize, options.RestoreRate);
        }
    }

    public FakeShopifyOptions Options { get; }

    public IReadOnlyList<DemoStore> Stores { get; }

    /// <summary>The address it really listens on, without a slash at the end.</summary>
    public string Url { get; private set; } = "";

    public static async Task<FakeShopifyHost> StartAsync(FakeShopifyOptions options, CancellationToken cancellation)
    {
        var builder = WebApplication.CreateEmptyBuilder(
            new() { ApplicationName = typeof(FakeShopifyHost).Assembly.GetName().Name }
        );
        builder.WebHost.UseKestrelCore().UseUrls(options.Url);
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        if (options.Loggers is { } loggers)
        {
            builder.Services.AddSingleton(loggers);
        }
        var app = builder.Build();
        var host = new FakeShopifyHost(options, app);
        host.Map();
        await app.StartAsync(cancellation);
        host.Url = app
            .Services.GetRequiredService<IServer>()
            .Features.Get<IServerAddressesFeature>()!
            .Addresses.First()
            .TrimEnd('/');
        if (options.OrdersPerMinute > 0)
        {
            host._living = host.Life(host.Stores[0].Shop.Domain)
                .RunAsync(options.OrdersPerMinute, host._stopping.Token);
        }
        return host;
    }

    public DemoStore Store(string domain) => _stores[domain];

    /// <summary>What can happen in a store, to be made to happen.</summary>
    public OrderSimulator Life(string domain) => _lives[domain];

    /// <summary>No delivery is on its way or waits for its repetition.</summary>
    public bool WebhooksIdle => _deliveries.IsIdle;

    /// <summary>The merchant removes the app: tokens and webhook subscriptions are gone at once.</summary>
    public void Uninstall(string domain)
    {
        var store = Store(domain);
        // Before anybody hears of it: whoever then asks with the old token is refused.
        store.Grant.Uninstall(Now);
        _deliveries.Announce(
            store,
            "app/uninstalled",
            new System.Text.Json.Nodes.JsonObject
            {
                ["id"] = store.Shop.Ids.Shop,
                ["myshopify_domain"] = store.Shop.Domain,
            },
            Now
        );
        store.Webhooks.Clear();
        store.Bulk.CancelAll();
    }

    /// <summary>The same, asked for by the app itself.</summary>
    internal AdminPayload Uninstall(DemoStore store)
    {
        Uninstall(store.Shop.Domain);
        return new AdminPayload(null, []);
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _living;
        await _deliveries.DisposeAsync();
        _stopping.Dispose();
        foreach (var store in Stores)
        {
            store.Bulk.CancelAll();
        }
        await _app.StopAsync();
        await _app.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>The part of the platform's schema that is served here.</summary>
    public static GraphQL.Types.ISchema AdminSchema => AdminGraphQL.Schema;

    public static bool Answers(string type, string field) => AdminFields.Find(type, field) is not null;

    internal DateTimeOffset Now => Options.Time.GetUtcNow();

    internal string NewResultFile() => Path.Combine(_folder, RandomNumberGenerator.GetHexString(32, lowercase: true));

    internal string? ResultUrl(DemoBulkOperation operation, bool partial, DateTimeOffset now)
    {
        var wanted = partial ? DemoBulkStatus.Failed : DemoBulkStatus.Completed;
        if (operation.File is null || operation.StatusAt(now) != wanted)
        {
            return null;
        }
        var name = Path.GetFileName(operation.File);
        var expires = (operation.CompletedAt!.Value + TimeSpan.FromDays(7)).ToUnixTimeSeconds();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{Url}/bulk-results/{name}?Expires={expires}&Signature={Signature(name, expires)}"
        );
    }

    private static IReadOnlyList<DemoStore> DefaultStores(TimeProvider time) =>
        [OnlineRetail.Create(1, time), HardCases.CreateEuros(), HardCases.CreateYen(), HarbourLane.Create(4, time)];

    private void Map()
    {
        _app.MapGet("/", http => DemoPages.WriteAsync(http, DemoPages.Stores(this)));
        _app.MapGet("/bulk-results/{name}", DownloadAsync);
        _app.MapGet("/{shop}/admin/apps/open", http => InStoreAsync(http, OAuth.OpenAppAsync));
        _app.MapGet("/{shop}/admin/oauth/authorize", http => InStoreAsync(http, OAuth.AuthorizeAsync));
        _app.MapPost("/{shop}/admin/oauth/approve", http => InStoreAsync(http, OAuth.ApproveAsync));
        _app.MapPost("/{shop}/admin/oauth/access_token", http => InStoreAsync(http, OAuth.TokenAsync));
        _app.MapPost("/{shop}/admin/uninstall", http => InStoreAsync(http, UninstallAsync));
        _app.MapPost("/{shop}/admin/api/{version}/graphql.json", http => InStoreAsync(http, AdminGraphQL.HandleAsync));
    }

    private async Task InStoreAsync(HttpContext http, Func<HttpContext, DemoStore, FakeShopifyHost, Task> handle)
    {
        if (Find((string)http.Request.RouteValues["shop"]!) is not { } store)
        {
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            await http.Response.WriteAsJsonAsync(new { errors = "Not Found" });
            return;
        }
        await handle(http, store, this);
    }

    /// <summary>By the domain it was made with, or the one its merchant gave it since.</summary>
    private DemoStore? Find(string domain) =>
        _stores.TryGetValue(domain, out var store)
            ? store
            : Stores.FirstOrDefault(s => s.Domain.Equals(domain, StringComparison.OrdinalIgnoreCase));

    private static Task UninstallAsync(HttpContext http, DemoStore store, FakeShopifyHost host)
    {
        host.Uninstall(store.Shop.Domain);
        http.Response.Redirect("/");
        return Task.CompletedTask;
    }

    private async Task DownloadAsync(HttpContext http)
    {
        var name = (string)http.Request.RouteValues["name"]!;
        var path = Path.Combine(_folder, Path.GetFileName(name));
        var store = Stores.FirstOrDefault(s => s.Bulk.Set.All().Any(o => o.File == path));
        if (
            store is null
            || !long.TryParse(http.Request.Query["Expires"], CultureInfo.InvariantCulture, out var expires)
            || http.Request.Query["Signature"] != Signature(name, expires)
            || Now.ToUnixTimeSeconds() > expires
        )
        {
            http.Response.StatusCode = store is null ? StatusCodes.Status404NotFound : StatusCodes.Status403Forbidden;
            return;
        }
        await SendAsync(http, path, store.Faults);
    }

    private static async Task SendAsync(HttpContext http, string path, DemoFaults faults)
    {
        var size = new FileInfo(path).Length;
        var (from, until) = (0L, size);
        if (
            http.Request.GetTypedHeaders().Range?.Ranges is { Count: 1 } ranges
            && ranges.First() is { From: { } start }
            && start < size
        )
        {
            (from, until) = (start, Math.Min(size, (ranges.First().To ?? size - 1) + 1));
            http.Response.StatusCode = StatusCodes.Status206PartialContent;
            http.Response.Headers.ContentRange = string.Create(
                CultureInfo.InvariantCulture,
                $"bytes {from}-{until - 1}/{size}"
            );
        }
        var half = from + ((until - from) / 2);
        var truncate = faults.Take(f => f.TruncateDownloads, (f, left) => f.TruncateDownloads = left);
        var drop = faults.Take(f => f.DropDownloads, (f, left) => f.DropDownloads = left);
        http.Response.ContentType = "application/jsonl";
        http.Response.Headers.AcceptRanges = "bytes";
        http.Response.Headers.ContentDisposition = $"attachment; filename=\"bulk-{Path.GetFileName(path)}.jsonl\"";
        http.Response.ContentLength = (truncate ? half : until) - from;
        await http.Response.SendFileAsync(path, from, (truncate || drop ? half : until) - from, http.RequestAborted);
        if (drop)
        {
            http.Abort();
        }
    }

    private string Signature(string name, long expires) =>
        Convert.ToHexStringLower(
            HMACSHA256.HashData(
                _resultKey,
                Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{name}|{expires}"))
            )
        );

    /// <summary>Ctrl+C belongs to the product's own host, which stops this one.</summary>
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
