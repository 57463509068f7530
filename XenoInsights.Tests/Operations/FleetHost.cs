using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using XenoInsights.Data;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Operations;

/// <summary>
/// The product with stores of a test's own, in which nothing is applied and no sync job runs by itself.
/// </summary>
public sealed class FleetHost(PostgresServer postgres) : IAsyncLifetime
{
    private TestDatabase _database = null!;
    private long _shopIds;

    public AppHost App { get; private set; } = null!;
    public HttpClient Operator { get; private set; } = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _database = await postgres.CreateDatabaseAsync();
        App = await AppHost.StartAsync(
            _database,
            new Dictionary<string, string?>
            {
                ["FakeShopify:Enabled"] = "false",
                ["Shopify:ClientId"] = "x",
                ["Shopify:ClientSecret"] = "y",
                ["Encryption:Keys:0"] = "test:" + Convert.ToBase64String(new byte[32]),
            },
            services: StopWorkers
        );
        Operator = await App.SignInAsync("operator@demo.test");
    }

    public async ValueTask DisposeAsync()
    {
        Operator.Dispose();
        await App.DisposeAsync();
        await _database.DisposeAsync();
    }

    public async Task<Guid> AddStoreAsync(TenantStatus status = TenantStatus.Connected)
    {
        var shopId = Interlocked.Increment(ref _shopIds);
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = shopId,
            ShopDomain = $"fleet-{shopId}.myshopify.com",
            Name = "secret name",
            Currency = "EUR",
            TimeZone = "Europe/Berlin",
            Status = status,
            ConnectedAt = TimeProvider.System.GetUtcNow(),
        };
        await App
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                async db =>
                {
                    db.Tenants.Add(tenant);
                    await db.SaveChangesAsync(Ct);
                },
                Ct
            );
        return tenant.TenantId;
    }

    /// <summary>Failed events of a store, received one minute after the other, the last one now.</summary>
    public Task AddFailedAsync(Guid store, int count, string topic = "orders/create", string error = "refused") =>
        InStoreAsync(
            store,
            async db =>
            {
                var now = TimeProvider.System.GetUtcNow();
                db.Events.AddRange(
                    Enumerable
                        .Range(0, count)
                        .Select(i => new Event
                        {
                            TenantId = store,
                            WebhookId = $"{topic} {error} {i}",
                            Topic = topic,
                            Headers = """{"x":"secret"}""",
                            Payload = "secret"u8.ToArray(),
                            Status = EventStatus.Dead,
                            LastError = error,
                            Attempts = 8,
                            ReceivedAt = now.AddMinutes(i + 1 - count),
                            DueAt = now,
                        })
                );
                return await db.SaveChangesAsync(Ct);
            }
        );

    public Task<T> InStoreAsync<T>(Guid store, Func<XenoDbContext, Task<T>> work) =>
        App.Services.GetRequiredService<TenantDatabase>().RunAsync(store, work, Ct);

    public Task SqlAsync(string sql, params object[] values) =>
        PostgresServer.ExecuteAsync(
            _database.ConnectionString,
            string.Format(CultureInfo.InvariantCulture, sql, values)
        );

    private static void StopWorkers(IServiceCollection services)
    {
        Type[] workers = [typeof(WebhookWorker), typeof(SyncWorker)];
        foreach (var worker in services.Where(s => s.ServiceType == typeof(IHostedService)).ToList())
        {
            if (workers.Contains(worker.ImplementationType))
                services.Remove(worker);
        }
    }
}
