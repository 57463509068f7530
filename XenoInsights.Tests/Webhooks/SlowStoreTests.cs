using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>What is slow or stuck delays itself and nothing else, and is seen to be.</summary>
public sealed class SlowStoreTests(SlowStoreHost host, PostgresServer postgres) : IClassFixture<SlowStoreHost>
{
    private const int Slots = SlowStoreHost.Slots,
        Patience = 600;

    private static readonly DateTimeOffset _placed = new(2026, 5, 1, 10, 0, 0, TimeSpan.Zero);

    private readonly AppHost _app = host.App;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1)]
    [InlineData(2 * Slots + 1)]
    public async Task Locked_stores_delay_themselves_alone_and_are_counted_as_waiting(int lockedStores)
    {
        var stores = new List<Tenant>();
        for (var i = 0; i < lockedStores + 3; i++)
            stores.Add(await ConnectAsync());
        var (locked, free) = (stores[..lockedStores], stores[lockedStores..]);
        foreach (var store in locked)
            await DeliverAsync(store, order: 1);
        foreach (var store in locked)
            await AppliedAsync(store, 1);

        await using var elsewhere = new NpgsqlConnection(host.ConnectionString);
        await elsewhere.OpenAsync(Ct);
        await using var transaction = await elsewhere.BeginTransactionAsync(Ct);
        await LockAsync(elsewhere, locked);
        foreach (var store in locked)
            await DeliverAsync(store, order: 2);
        await EventuallyAsync(async () => await WaitForLocksAsync() > 0, "Nobody waits for the locked stores.");
        foreach (var store in stores)
            await DeliverAsync(store, order: 3);

        foreach (var store in free)
            await AppliedAsync(store, 1);
        using var gauges = new Gauges(_app);
        await EventuallyAsync(
            () => Task.FromResult(gauges.Read("xeno.webhooks.waiting") == 2 * lockedStores),
            "What waits is not counted."
        );
        Assert.True(gauges.Read("xeno.webhooks.oldest_waiting") > 0);
        foreach (var store in locked)
            Assert.Equal(1, await CountAsync(store, EventStatus.Applied));

        await transaction.RollbackAsync(Ct);
        foreach (var store in locked)
            await AppliedAsync(store, 3);
        foreach (var store in stores)
            Assert.Empty(await InTenantAsync(store, db => LedgerRollups.DifferencesAsync(db, store.TenantId, Ct)));
    }

    [Fact]
    public async Task A_page_that_is_slow_delays_no_other_and_is_told_once_more_of_all_that_came_meanwhile()
    {
        var store = await ConnectAsync();
        var changes = _app.Services.GetRequiredService<TenantChanges>();
        var (isShown, shown, others) = (new TaskCompletionSource(), 0, 0);
        using var slow = changes.Subscribe(
            store.TenantId,
            () =>
            {
                Interlocked.Increment(ref shown);
                return isShown.Task;
            }
        );
        using var other = changes.Subscribe(
            store.TenantId,
            () =>
            {
                Interlocked.Increment(ref others);
                return Task.CompletedTask;
            }
        );
        await EventuallyAsync(
            () => Task.FromResult(shown == 1 && others == 1),
            "The pages are not told that they are new."
        );

        for (var change = 2; change <= 4; change++)
        {
            await InTenantAsync(
                store,
                async db =>
                {
                    await IngestionWriter.BumpDataVersionAsync(db, store.TenantId, Ct);
                    return true;
                }
            );
            await EventuallyAsync(() => Task.FromResult(others == change), "The slow page delays the other.");
        }

        Assert.Equal(1, shown);
        isShown.SetResult();
        await EventuallyAsync(() => Task.FromResult(shown >= 2), "The slow page is not told of what came meanwhile.");
        await Task.Delay(50, Ct);
        Assert.Equal(2, shown);
    }

    [Fact]
    public async Task While_nobody_can_look_the_age_of_what_waits_grows()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var shop = await stores.AddAsync();
        await stores.Tenants.RunAsync(
            shop.TenantId,
            db =>
            {
                db.Events.Add(
                    new Event
                    {
                        TenantId = shop.TenantId,
                        WebhookId = "waits",
                        Topic = "orders/create",
                        Headers = "{}",
                        Status = EventStatus.Pending,
                        ReceivedAt = TimeProvider.System.GetUtcNow().AddSeconds(-90),
                        DueAt = TimeProvider.System.GetUtcNow(),
                    }
                );
                return db.SaveChangesAsync(Ct);
            },
            Ct
        );
        await using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var clock = new SteppedClock();
        var metrics = new WebhookMetrics(services.GetRequiredService<IMeterFactory>(), clock);
        using var watch = new BacklogWatch(stores.System, metrics, clock, NullLogger<BacklogWatch>.Instance);
        using var gauges = new Gauges(services);

        await watch.TryMeasureAsync(Ct);
        var measured = gauges.Read("xeno.webhooks.oldest_waiting");
        Assert.InRange(measured, 90, 900);
        Assert.Equal(1, gauges.Read("xeno.webhooks.waiting"));

        await PostgresServer.ExecuteAsync(stores.ConnectionString, "alter table events rename to events_away");
        foreach (var _ in Enumerable.Range(0, 2))
        {
            clock.Step(TimeSpan.FromMinutes(1));
            await watch.TryMeasureAsync(Ct);
        }
        Assert.Equal(measured + 120, gauges.Read("xeno.webhooks.oldest_waiting"), tolerance: 0.001);

        await PostgresServer.ExecuteAsync(stores.ConnectionString, "alter table events_away rename to events");
        await watch.TryMeasureAsync(Ct);
        Assert.InRange(gauges.Read("xeno.webhooks.oldest_waiting"), measured, measured + 119);
    }

    private async Task<Tenant> ConnectAsync()
    {
        var shopId = Random.Shared.NextInt64(1, long.MaxValue);
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = shopId,
            ShopDomain = $"slow-{shopId}.myshopify.com",
            Name = "Slow",
            Currency = "EUR",
            TimeZone = "Europe/Berlin",
            Status = TenantStatus.Connected,
            ConnectedAt = _placed,
        };
        await _app
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                async db =>
                {
                    db.Tenants.Add(tenant);
                    db.ShopDomains.Add(
                        new ShopDomain
                        {
                            Domain = tenant.ShopDomain,
                            TenantId = tenant.TenantId,
                            ShopId = shopId,
                        }
                    );
                    await db.SaveChangesAsync(Ct);
                },
                Ct
            );
        return tenant;
    }

    private async Task DeliverAsync(Tenant store, long order)
    {
        var body = $$"""
            {"id":{{order}},"admin_graphql_api_id":"gid://shopify/Order/{{order}}","name":"#{{order}}","created_at":"{{_placed:O}}","processed_at":"{{_placed:O}}",
             "updated_at":"{{_placed:O}}","test":false,"currency":"EUR","financial_status":"paid","source_name":"web","total_price":"10.00","current_total_price":"10.00",
             "current_total_tax":"0.00","total_tax":"0.00","taxes_included":false,"shipping_lines":[],"refunds":[],
             "line_items":[{"id":{{order}}1,"product_id":1,"title":"Thing","quantity":1,"current_quantity":1,"price":"10.00","total_discount":"0.00","gift_card":false,
                            "tax_lines":[],"discount_allocations":[]}]}
            """;
        using var http = _app.Visitor(followRedirects: false);
        // A process that is just starting may be too slow for Shopify's patience, which then sends again.
        await EventuallyAsync(
            async () => await SendAsync(http, store, $"{order}", body) == HttpStatusCode.OK,
            "A delivery is not stored."
        );
    }

    private static async Task<HttpStatusCode> SendAsync(HttpClient http, Tenant store, string webhookId, string body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, WebhooksApi.Path)
        {
            Content = new StringContent(body, Encoding.UTF8, "application/json"),
        };
        request.Headers.Add("X-Shopify-Topic", "orders/create");
        request.Headers.Add("X-Shopify-Shop-Domain", store.ShopDomain);
        request.Headers.Add("X-Shopify-Webhook-Id", webhookId);
        var signature = HMACSHA256.HashData(Encoding.UTF8.GetBytes(SlowStoreHost.Secret), Encoding.UTF8.GetBytes(body));
        request.Headers.Add("X-Shopify-Hmac-Sha256", Convert.ToBase64String(signature));
        using var response = await http.SendAsync(request, Ct);
        return response.StatusCode;
    }

    private static async Task LockAsync(NpgsqlConnection connection, List<Tenant> stores)
    {
        await using var command = new NpgsqlCommand(
            "select count(*) from (select from data_versions where tenant_id = any($1) for update) locked",
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = stores.ConvertAll(s => s.TenantId) });
        Assert.Equal(stores.Count, (long)(await command.ExecuteScalarAsync(Ct))!);
    }

    private async Task<long> WaitForLocksAsync()
    {
        await using var connection = new NpgsqlConnection(host.ConnectionString);
        await connection.OpenAsync(Ct);
        await using var command = new NpgsqlCommand(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            connection
        );
        return (long)(await command.ExecuteScalarAsync(Ct))!;
    }

    private Task AppliedAsync(Tenant store, int deliveries) =>
        EventuallyAsync(
            async () => await CountAsync(store, EventStatus.Applied) == deliveries,
            $"{deliveries} deliveries are not applied."
        );

    private Task<int> CountAsync(Tenant store, EventStatus status) =>
        InTenantAsync(store, db => db.Events.CountAsync(e => e.Status == status, Ct));

    private Task<T> InTenantAsync<T>(Tenant store, Func<XenoDbContext, Task<T>> work) =>
        _app.Services.GetRequiredService<TenantDatabase>().RunAsync(store.TenantId, work, Ct);

    private static async Task EventuallyAsync(Func<Task<bool>> isSo, string otherwise)
    {
        for (var patience = 0; patience < Patience; patience++)
        {
            if (await isSo())
                return;
            await Task.Delay(50, Ct);
        }
        throw new TimeoutException(otherwise);
    }

    /// <summary>The gauges of one host: others run in the same process.</summary>
    private sealed class Gauges : IDisposable
    {
        private readonly Dictionary<string, double> _values = [];
        private readonly MeterListener _listener = new();

        public Gauges(AppHost app)
            : this(app.Services) { }

        public Gauges(IServiceProvider services)
        {
            var factory = services.GetRequiredService<IMeterFactory>();
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Scope == factory && instrument.IsObservable)
                    listener.EnableMeasurementEvents(instrument);
            };
            _listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => _values[instrument.Name] = value);
            _listener.SetMeasurementEventCallback<double>(
                (instrument, value, _, _) => _values[instrument.Name] = value
            );
            _listener.Start();
        }

        public double Read(string gauge)
        {
            _listener.RecordObservableInstruments();
            return _values[gauge];
        }

        public void Dispose() => _listener.Dispose();
    }

    private sealed class SteppedClock : TimeProvider
    {
        private long _ticks = 1;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Step(TimeSpan by) => _ticks += by.Ticks;

        public override long GetTimestamp() => _ticks;
    }
}

/// <summary>The product with few slots for applying.</summary>
public sealed class SlowStoreHost(PostgresServer postgres) : IAsyncLifetime
{
    public const int Slots = 2;
    public const string Secret = "slow-secret";

    private TestDatabase _database = null!;

    public AppHost App { get; private set; } = null!;

    public string ConnectionString => _database.ConnectionString;

    public async ValueTask InitializeAsync()
    {
        _database = await postgres.CreateDatabaseAsync();
        App = await AppHost.StartAsync(
            _database,
            new Dictionary<string, string?>
            {
                ["FakeShopify:Enabled"] = "false",
                ["Shopify:ClientId"] = "slow",
                ["Shopify:ClientSecret"] = Secret,
                ["Webhooks:Parallel"] = Slots.ToString(CultureInfo.InvariantCulture),
                ["Serilog:MinimumLevel:Default"] = "Error",
            }
        );
    }

    public async ValueTask DisposeAsync()
    {
        await App.DisposeAsync();
        await _database.DisposeAsync();
    }
}
