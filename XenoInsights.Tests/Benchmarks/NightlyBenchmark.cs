using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Npgsql;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Sync;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>
/// A night: every store's run of changes, with twenty changed orders each, all due at the same moment. Time, query
/// points, database work, and how even the stores fare.
/// </summary>
internal static class NightlyBenchmark
{
    private const int ChangedOrders = 20;

    public static async Task RunAsync(int[] sizes)
    {
        await using var server = await BenchmarkServer.StartAsync();
        foreach (var stores in sizes)
            await RunAsync(server, stores);
    }

    private static async Task RunAsync(BenchmarkServer server, int count)
    {
        var database = await server.CreateDatabaseAsync($"nightly_{count}");
        var stores = Enumerable.Range(1, count).Select(Store).ToList();
        await using var shopify = await FakeShopifyHost.StartAsync(
            new FakeShopifyOptions { Url = "http://127.0.0.1:0", Stores = stores },
            CancellationToken.None
        );
        var settings = ImportHost.SettingsFor(shopify);
        settings["Serilog:MinimumLevel:Default"] = "Error";
        await ConnectAsync(database, stores, settings["Encryption:Keys:0"]!);
        await using var product = await ProductProcess.StartAsync(database, settings);
        await Task.Delay(3000);

        var before = await WorkAsync(database);
        var watch = Stopwatch.StartNew();
        await BenchmarkServer.ExecuteAsync(
            database,
            """
            insert into sync_jobs (tenant_id, id, type, slot, status, objects_expected, objects_read, stored,
                unchanged, rejected, gone, attempts, created_at)
            select tenant_id, gen_random_uuid(), 'Delta', 'nightly', 'Queued', 0, 0, 0, 0, 0, 0, 0, now() from tenants
            """
        );
        while (
            await ScalarAsync<long>(
                database,
                "select count(*) from sync_jobs where slot = 'nightly' and status in ('Queued', 'Running')"
            ) > 0
        )
            await Task.Delay(200);
        var took = watch.Elapsed;
        await Task.Delay(1500); // statistics of transactions come a second late
        var after = await WorkAsync(database);

        var stored = await ScalarAsync<long>(
            database,
            """
            select count(*) from sync_jobs where slot = 'nightly' and status = 'Succeeded' and stored = 20
                and objects_read = 20
            """
        );
        if (stored != count)
        {
            const string firstError = "select error from sync_jobs where status = 'Failed' limit 1";
            var error = await ScalarAsync<string>(database, firstError);
            throw new InvalidOperationException(
                $"{count - stored} runs did not store their {ChangedOrders} orders: {error}"
            );
        }
        var run = await ScalarAsync<double[]>(
            database,
            """
            select percentile_cont(array[0.5, 0.95, 1]) within group
                (order by extract(epoch from finished_at - started_at)::float8) from sync_jobs where slot = 'nightly'
            """
        );
        var points = stores.Sum(s => s.Bucket.Spent);
        Console.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"  {count:N0} stores: {took.TotalSeconds:N1} s, {count / took.TotalSeconds:N1} stores a "
                    + $"second; a run p50 {run[0]:N2} s, p95 {run[1]:N2} s, longest {run[2]:N2} s; "
                    + $"{(double)points / count:N0} points a store; "
                    + $"{(after.Commits - before.Commits) / (double)count:N1} transactions and "
                    + $"{(after.Rows - before.Rows) / (double)count:N0} rows written a store"
            )
        );
    }

    private static DemoStore Store(int ordinal)
    {
        var shop = new DemoShop
        {
            Ordinal = ordinal,
            Domain = $"night-{ordinal}.myshopify.com",
            Name = $"Night {ordinal}",
            Currency = new DemoCurrency("EUR"),
            TimeZone = "Europe/Berlin",
            CreatedAt = new DateTimeOffset(2024, 1, 1, 12, 0, 0, TimeSpan.Zero),
        };
        return new DemoStore(
            shop,
            () =>
                new DemoData(
                    DemoSet.Of([.. Enumerable.Range(1, ChangedOrders).Select(Order)]),
                    DemoSet.Of<DemoCustomer>([]),
                    DemoSet.Of<DemoProduct>([]),
                    DemoSet.Of<DemoCheckout>([])
                )
        );

        DemoOrder Order(int i) =>
            new DemoOrderBuilder(shop, 1000 + i, TimeProvider.System.GetUtcNow().AddMinutes(-i))
                .Customer(shop.Ids.Customer(1 + i))
                .Line("Thing", 1, 1200, tax: 200)
                .Line("Other thing", 2, 700, tax: 120)
                .Build();
    }

    /// <summary>Connected and once imported, as far as a run of changes looks.</summary>
    private static async Task ConnectAsync(string database, List<DemoStore> stores, string key)
    {
        await using var transactions = new TenantTransactions(database, NullLoggerFactory.Instance);
        var (system, tenants) = (new SystemDatabase(transactions), new TenantDatabase(transactions));
        var vault = new TokenEncryption(Options.Create(new EncryptionOptions { Keys = { key } }));
        var now = TimeProvider.System.GetUtcNow();
        foreach (var store in stores)
        {
            const string Scopes = "read_orders,read_all_orders,read_customers,read_products";
            var tokens = store.Grant.Exchange(store.Grant.NewCode(Scopes, now), expiring: false, now)!;
            var tenant = new Tenant
            {
                TenantId = Guid.CreateVersion7(),
                ShopId = store.Shop.Ids.Shop,
                ShopDomain = store.Shop.Domain,
                Name = store.Shop.Name,
                Currency = "EUR",
                TimeZone = "Europe/Berlin",
                Status = TenantStatus.Connected,
                ConnectedAt = now.AddDays(-30),
            };
            await system.RunAsync(async db =>
            {
                db.Tenants.Add(tenant);
                await db.SaveChangesAsync();
            });
            await tenants.RunAsync(
                tenant.TenantId,
                async db =>
                {
                    db.ShopifyCredentials.Add(
                        new()
                        {
                            TenantId = tenant.TenantId,
                            AccessToken = vault.Seal(tenant.TenantId, "access_token", tokens.AccessToken),
                            AccessTokenExpiresAt = now.AddDays(1),
                            Scopes = Scopes,
                            UpdatedAt = now,
                        }
                    );
                    db.SyncJobs.Add(
                        new()
                        {
                            TenantId = tenant.TenantId,
                            Id = Guid.CreateVersion7(),
                            Type = SyncJobType.Full,
                            Slot = "first",
                            Status = SyncJobStatus.Succeeded,
                            CreatedAt = now.AddDays(-1),
                            StartedAt = now.AddDays(-1),
                            FinishedAt = now.AddDays(-1),
                        }
                    );
                    await db.SaveChangesAsync();
                }
            );
        }
    }

    private static async Task<(long Commits, long Rows)> WorkAsync(string database) =>
        (
            await ScalarAsync<long>(
                database,
                "select xact_commit from pg_stat_database where datname = current_database()"
            ),
            await ScalarAsync<long>(
                database,
                """
                select tup_inserted + tup_updated + tup_deleted from pg_stat_database where datname = current_database()
                """
            )
        );

    private static async Task<T> ScalarAsync<T>(string database, string sql)
    {
        await using var connection = new NpgsqlConnection(database);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync() is T value ? value : default!;
    }
}
