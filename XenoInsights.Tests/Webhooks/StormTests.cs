using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using XenoInsights.Compliance;
using XenoInsights.Data;
using XenoInsights.Development;
using XenoInsights.Development.Postgres;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;
using XenoInsights.Tests.Sync;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>
/// Two processes of the product on one PostgreSQL with ordinary durability, all of them killed without warning while deliveries pour in.
/// Two of the stores send orders that are partly unreadable: those are set aside, and hold up nothing of theirs or of others.
/// Small in the suite; STORM_DELIVERIES, STORM_STORES, STORM_KILLS and STORM_STOPS make it large (docs/performance.md).
/// </summary>
public sealed class StormTests
{
    private const string Secret = "storm-secret";
    private const int Senders = 24,
        VersionsPerOrder = 5,
        PartlyUnreadableStores = 2;

    private static readonly int _deliveries = Setting("STORM_DELIVERIES", 3000),
        _stores = Setting("STORM_STORES", 4),
        _kills = Setting("STORM_KILLS", 3),
        _stops = Setting("STORM_STOPS", 2);

    // The index of names takes none this long.
    private static readonly string _endless = string.Concat(
        Enumerable.Range(0, 300).Select(_ => Guid.NewGuid().ToString("N"))
    );

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private sealed record Delivery(Tenant Store, string WebhookId, string Body, bool Forged)
    {
        public long OrderId { get; init; }
        public int Version { get; init; }

        /// <summary>No version of this order can be read or stored.</summary>
        public bool Unreadable { get; init; }
    }

    [Fact]
    public async Task Nothing_acknowledged_is_lost_counted_twice_or_forged_whatever_is_killed_meanwhile()
    {
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var root = Path.Combine(Path.GetTempPath(), $"xeno_storm_{Guid.NewGuid():n}"[..24]);
        await using var server = await FragileServer.StartAsync(root);
        await Migrator.MigrateAsync(server.ConnectionString, ct: Ct);
        await using var transactions = new TenantTransactions(server.ConnectionString, NullLoggerFactory.Instance);
        var (system, tenants) = (new SystemDatabase(transactions), new TenantDatabase(transactions));
        var stores = await ConnectAsync(system);
        var deliveries = Deliveries(stores, new Random(seed));

        ProductProcess[] products =
        [
            await ProductProcess.StartAsync(server.ConnectionString, Settings()),
            await ProductProcess.StartAsync(server.ConnectionString, Settings()),
        ];
        var killed = 0;
        try
        {
            var (acknowledged, accepted) = (new ConcurrentDictionary<(Guid, string), bool>(), 0);
            var waiting = new ConcurrentQueue<Delivery>(deliveries);
            var sending = Task.WhenAll(Enumerable.Range(0, Senders).Select(_ => Task.Run(SendAllAsync, Ct)));
            var faults = Enumerable
                .Range(1, _kills)
                .Select(i => (At: i / (_kills + 1.0), Stop: false))
                .Concat(Enumerable.Range(1, _stops).Select(i => (At: (i - 0.5) / _stops, Stop: true)))
                .OrderBy(f => f.At);
            foreach (var fault in faults)
            {
                while (!sending.IsCompleted && acknowledged.Count < fault.At * deliveries.Count * 0.85)
                    await Task.Delay(5, Ct);
                if (fault.Stop)
                    await server.CrashAsync();
                else
                {
                    var at = killed++ % products.Length;
                    products[at].Kill();
                    await products[at].DisposeAsync();
                    products[at] = await ProductProcess.StartAsync(server.ConnectionString, Settings());
                }
            }
            await sending;
            Assert.Equal(0, accepted);
            await DrainedAsync(tenants, stores);
            await AssertExactAsync(tenants, stores, deliveries, acknowledged);

            async Task SendAllAsync()
            {
                using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
                while (waiting.TryDequeue(out var delivery))
                {
                    var status = await SendAsync(http, products[Random.Shared.Next(products.Length)].Address, delivery);
                    if (status == HttpStatusCode.OK && delivery.Forged)
                        Interlocked.Increment(ref accepted);
                    else if (status == HttpStatusCode.OK)
                        acknowledged[(delivery.Store.TenantId, delivery.WebhookId)] = true;
                    // Shopify repeats what was not acknowledged; a forger does not.
                    else if (!delivery.Forged)
                    {
                        waiting.Enqueue(delivery);
                        await Task.Delay(20, Ct);
                    }
                }
            }
        }
        finally
        {
            foreach (var product in products)
                await product.DisposeAsync();
        }
    }

    [Fact]
    public async Task Without_a_database_the_answer_is_503_and_soon_after_its_return_200()
    {
        await using var server = await FragileServer.StartAsync(
            Path.Combine(Path.GetTempPath(), $"xeno_gone_{Guid.NewGuid():n}"[..24])
        );
        await Migrator.MigrateAsync(server.ConnectionString, ct: Ct);
        await using var transactions = new TenantTransactions(server.ConnectionString, NullLoggerFactory.Instance);
        var store = (await ConnectAsync(new SystemDatabase(transactions)))[0];
        await using var product = await ProductProcess.StartAsync(server.ConnectionString, Settings());
        using var http = new HttpClient();
        Assert.Equal(
            HttpStatusCode.OK,
            await SendAsync(http, product.Address, new(store, "before", Order(1, 1), Forged: false))
        );

        await server.StopAsync();
        for (var i = 0; i < 5; i++)
        {
            var asked = System.Diagnostics.Stopwatch.StartNew();
            Assert.Equal(
                HttpStatusCode.ServiceUnavailable,
                await SendAsync(http, product.Address, new(store, "while", Order(1, 2), Forged: false))
            );
            TestContext.Current.TestOutputHelper!.WriteLine($"503 after {asked.ElapsedMilliseconds} ms");
        }
        await server.StartAgainAsync();
        var back = System.Diagnostics.Stopwatch.StartNew();
        while (
            await SendAsync(http, product.Address, new(store, "while", Order(1, 2), Forged: false)) != HttpStatusCode.OK
        )
            Assert.True(back.Elapsed < TimeSpan.FromSeconds(30), "The product does not find its database again.");
        TestContext.Current.TestOutputHelper!.WriteLine($"200 after {back.ElapsedMilliseconds} ms");
    }

    /// <summary>Bodies, headers and encodings at random: whatever comes, the answer is a 4xx, and nothing is stored that was not signed. FUZZ_REQUESTS makes it long.</summary>
    [Fact]
    public async Task Mutated_deliveries_get_a_4xx_and_leave_nothing()
    {
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        await using var server = await FragileServer.StartAsync(
            Path.Combine(Path.GetTempPath(), $"xeno_fuzz_{Guid.NewGuid():n}"[..24])
        );
        await Migrator.MigrateAsync(server.ConnectionString, ct: Ct);
        await using var transactions = new TenantTransactions(server.ConnectionString, NullLoggerFactory.Instance);
        var store = (await ConnectAsync(new SystemDatabase(transactions)))[0];
        await using var product = await ProductProcess.StartAsync(server.ConnectionString, Settings());
        var answers = new ConcurrentDictionary<HttpStatusCode, int>();
        var signed = new ConcurrentBag<string>();
        await Parallel.ForEachAsync(
            Enumerable.Range(0, Setting("FUZZ_REQUESTS", 4000)),
            new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = Ct },
            async (i, ct) =>
            {
                var random = new Random(seed + i);
                using var http = new HttpClient();
                using var request = Mutated(random, product.Address, store, i, out var isSigned);
                using var response = await http.SendAsync(request, ct);
                answers.AddOrUpdate(response.StatusCode, 1, (_, count) => count + 1);
                Assert.True(
                    (int)response.StatusCode < 500,
                    $"Request {i} of seed {seed} got {(int)response.StatusCode}."
                );
                if (response.StatusCode == HttpStatusCode.OK)
                {
                    Assert.True(isSigned, $"Request {i} of seed {seed} was not signed.");
                    signed.Add(request.Headers.GetValues("X-Shopify-Webhook-Id").First());
                }
            }
        );
        var stored = await new TenantDatabase(transactions).RunAsync(
            store.TenantId,
            db => db.Events.Select(e => e.WebhookId).ToListAsync(Ct),
            Ct
        );
        Assert.Equal(signed.Distinct().Order(StringComparer.Ordinal), stored.Order(StringComparer.Ordinal));
        Assert.True(answers.Count >= 3, string.Join(' ', answers));
    }

    private static HttpRequestMessage Mutated(Random random, Uri product, Tenant store, int number, out bool signed)
    {
        var body = Encoding.UTF8.GetBytes(Order(number, 1));
        var signature = HMACSHA256.HashData(Encoding.UTF8.GetBytes(Secret), body);
        var headers = new Dictionary<string, string>
        {
            ["X-Shopify-Topic"] = "orders/updated",
            ["X-Shopify-Shop-Domain"] = store.ShopDomain,
            ["X-Shopify-Webhook-Id"] = $"fuzz-{number}",
            ["X-Shopify-Triggered-At"] = "2026-05-01T10:00:00Z",
            ["X-Shopify-Hmac-Sha256"] = Convert.ToBase64String(signature),
        };
        var original = body;
        for (var mutations = random.Next(0, 3); mutations > 0; mutations--)
        {
            var name = headers.Keys.ElementAt(random.Next(headers.Count));
            switch (random.Next(7))
            {
                case 0:
                    body = [.. body];
                    body[random.Next(body.Length)] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    body = body[..random.Next(1, body.Length)];
                    break;
                case 2:
                    body = [.. body, .. new byte[random.Next(1, 200)]];
                    break;
                case 3:
                    headers.Remove(name);
                    break;
                case 4:
                    headers[name] = new string((char)random.Next(33, 127), random.Next(1, 300));
                    break;
                case 5:
                    headers[name] += ((char)random.Next(33, 127)).ToString();
                    break;
                default:
                    headers[name] = headers[name].ToUpperInvariant();
                    break;
            }
            if (headers.Count == 0)
                break;
        }
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(product, "webhooks/shopify"))
        {
            Content = new ByteArrayContent(body),
        };
        if (random.Next(10) == 0)
            request.Content.Headers.ContentEncoding.Add(random.Next(2) == 0 ? "gzip" : "nonsense");
        if (random.Next(10) == 0)
            request.Content.Headers.TryAddWithoutValidation("Content-Type", "text/" + (char)random.Next(33, 127));
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        signed =
            body.AsSpan().SequenceEqual(original)
            && headers.GetValueOrDefault("X-Shopify-Hmac-Sha256") is { } given
            && Convert.TryFromBase64String(given, new byte[600], out _)
            && Convert.FromBase64String(given).AsSpan().SequenceEqual(signature);
        return request;
    }

    private static async Task AssertExactAsync(
        TenantDatabase tenants,
        List<Tenant> stores,
        List<Delivery> deliveries,
        ConcurrentDictionary<(Guid, string), bool> acknowledged
    )
    {
        foreach (var store in stores)
        {
            var mine = deliveries.Where(d => d.Store == store && !d.Forged).ToList();
            var stored = await tenants.RunAsync(
                store.TenantId,
                db =>
                    db.Events.Select(e => new
                        {
                            e.WebhookId,
                            e.Status,
                            e.LastError,
                        })
                        .ToListAsync(Ct),
                Ct
            );
            Assert.Empty(
                acknowledged
                    .Keys.Where(k => k.Item1 == store.TenantId)
                    .Select(k => k.Item2)
                    .Except(stored.Select(e => e.WebhookId))
            );
            Assert.Equal(
                mine.Select(d => d.WebhookId).Distinct().Order(StringComparer.Ordinal),
                stored.Select(e => e.WebhookId).Order(StringComparer.Ordinal)
            );
            var unreadable = mine.Where(d => d.Unreadable).Select(d => d.WebhookId).ToHashSet();
            Assert.All(
                stored.Where(e => !unreadable.Contains(e.WebhookId)),
                e => Assert.True(e.Status == EventStatus.Applied, $"{e.WebhookId} {e.Status} {e.LastError}")
            );
            Assert.All(
                stored.Where(e => unreadable.Contains(e.WebhookId)),
                e => Assert.True(e.Status == EventStatus.Dead && e.LastError is not null, $"{e.WebhookId} {e.Status}")
            );

            var newest = mine.Where(d => !d.Unreadable)
                .GroupBy(d => d.OrderId)
                .ToDictionary(g => g.Key, g => g.Max(d => d.Version));
            var orders = await tenants.RunAsync(
                store.TenantId,
                db => db.Orders.ToDictionaryAsync(o => o.ShopifyId, o => o.CurrentTotal, Ct),
                Ct
            );
            Assert.Equal(
                newest.ToDictionary(n => n.Key, n => n.Value * 1000L).OrderBy(o => o.Key),
                orders.OrderBy(o => o.Key)
            );
            Assert.Equal(
                newest.Values.Sum() * 1000L,
                await tenants.RunAsync(store.TenantId, db => db.SalesDays.SumAsync(d => d.Gross, Ct), Ct)
            );
            Assert.Empty(
                await tenants.RunAsync(store.TenantId, db => LedgerRollups.DifferencesAsync(db, store.TenantId, Ct), Ct)
            );
        }
    }

    private static async Task DrainedAsync(TenantDatabase tenants, List<Tenant> stores)
    {
        foreach (var store in stores)
            for (
                var patience = 0;
                await tenants.RunAsync(
                    store.TenantId,
                    db => db.Events.AnyAsync(e => e.Status == EventStatus.Pending, Ct),
                    Ct
                );
                patience++
            )
            {
                Assert.True(patience < 6000, "The inbox is not worked off.");
                await Task.Delay(50, Ct);
            }
    }

    /// <summary>One in five out of order, one in ten twice, one in fifty forged.</summary>
    private static List<Delivery> Deliveries(List<Tenant> stores, Random random)
    {
        var deliveries = new List<Delivery>();
        for (var i = 0; deliveries.Count < _deliveries; i++)
        {
            var store = stores[i % stores.Count];
            var id = i + 1;
            var isPartlyUnreadable = i % stores.Count < PartlyUnreadableStores;
            for (var version = 1; version <= VersionsPerOrder; version++)
            {
                var (body, isUnreadable) = isPartlyUnreadable ? Odd(id, version) : (Order(id, version), false);
                deliveries.Add(
                    new(store, $"{i}-{version}", body, Forged: false)
                    {
                        OrderId = id,
                        Version = version,
                        Unreadable = isUnreadable,
                    }
                );
            }
        }
        deliveries.AddRange(deliveries.Where(_ => random.Next(10) == 0).ToList());
        deliveries.AddRange(
            deliveries
                .Where(_ => random.Next(50) == 0)
                .Select(d => d with { WebhookId = "forged-" + d.WebhookId, Forged = true })
                .ToList()
        );
        for (var i = 0; i < deliveries.Count; i++)
            if (random.Next(5) == 0)
            {
                var other = random.Next(deliveries.Count);
                (deliveries[i], deliveries[other]) = (deliveries[other], deliveries[i]);
            }
        return deliveries;
    }

    /// <summary>Of five orders one lacks what it must have, one is refused by the database, one holds what no text can, and two are as usual.</summary>
    private static (string Body, bool IsUnreadable) Odd(long id, int version)
    {
        var order = Order(id, version);
        return (id / (_stores + PartlyUnreadableStores) % 5) switch
        {
            0 => ($$"""{"id":{{id}},"admin_graphql_api_id":"gid://shopify/Order/{{id}}"}""", true),
            1 => (order.Replace($"\"#{id}\"", $"\"{_endless}\"", StringComparison.Ordinal), true),
            2 => (order.Replace("Teapot", "Tea\\u0000pot \\ud83d", StringComparison.Ordinal), false),
            _ => (order, false),
        };
    }

    private static string Order(long id, int version) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $$"""
            {"id":{{id}},"admin_graphql_api_id":"gid://shopify/Order/{{id}}","name":"#{{id}}","created_at":"2026-05-0{{1
                + id % 7}}T10:00:00Z","processed_at":"2026-05-0{{1 + id % 7}}T10:00:00Z",
             "updated_at":"2026-05-09T10:00:0{{version}}Z","current_total_price":"{{version}}0.00","customer":{"id":{{id
                % 50
                + 1}} },
             "line_items":[{"id":{{id}},"title":"Teapot","quantity":{{version}},"current_quantity":{{version}},"price":"10.00","product_id":{{id
                % 9
                + 1}} }]}
            """
        );

    private static async Task<HttpStatusCode?> SendAsync(HttpClient http, Uri product, Delivery delivery)
    {
        var body = Encoding.UTF8.GetBytes(delivery.Body);
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(product, "webhooks/shopify"))
        {
            Content = new ByteArrayContent(body),
        };
        request.Headers.Add("X-Shopify-Topic", "orders/updated");
        request.Headers.Add("X-Shopify-Shop-Domain", delivery.Store.ShopDomain);
        request.Headers.Add("X-Shopify-Webhook-Id", delivery.WebhookId);
        request.Headers.Add(
            "X-Shopify-Hmac-Sha256",
            Convert.ToBase64String(
                HMACSHA256.HashData(Encoding.UTF8.GetBytes(delivery.Forged ? "forged" : Secret), body)
            )
        );
        try
        {
            using var response = await http.SendAsync(request, Ct);
            return response.StatusCode;
        }
        catch (Exception failure)
            when (failure is HttpRequestException or TaskCanceledException && !Ct.IsCancellationRequested)
        {
            return null;
        }
    }

    private static async Task<List<Tenant>> ConnectAsync(SystemDatabase system)
    {
        var stores = Enumerable
            .Range(1, _stores + PartlyUnreadableStores)
            .Select(i => new Tenant
            {
                TenantId = Guid.CreateVersion7(),
                ShopId = i,
                ShopDomain = $"storm-{i}.myshopify.com",
                Name = $"Storm {i}",
                Currency = "EUR",
                TimeZone = "Europe/Berlin",
                Status = TenantStatus.Connected,
            })
            .ToList();
        await system.RunAsync(
            async db =>
            {
                db.Tenants.AddRange(stores);
                db.ShopDomains.AddRange(
                    stores.Select(s => new ShopDomain
                    {
                        Domain = s.ShopDomain,
                        TenantId = s.TenantId,
                        ShopId = s.ShopId,
                    })
                );
                await db.SaveChangesAsync(Ct);
            },
            Ct
        );
        return stores;
    }

    private static Dictionary<string, string?> Settings() =>
        new()
        {
            ["FakeShopify:Enabled"] = "false",
            ["Shopify:ClientId"] = "storm",
            ["Shopify:ClientSecret"] = Secret,
            // What the database refuses is dead-lettered soon enough to be seen.
            ["Webhooks:MaxAttempts"] = "3",
            ["Webhooks:RetrySeconds"] = "0.2",
            ["Serilog:MinimumLevel:Default"] = "Error",
            ["Encryption:Keys:0"] = "test:" + Convert.ToBase64String(new byte[32]),
        };

    private static int Setting(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out var value)
            ? value
            : otherwise;
}

/// <summary>A PostgreSQL of its own, with ordinary durability, that can be stopped as a crash would and comes back at the same address.</summary>
internal sealed class FragileServer : IAsyncDisposable
{
    private readonly EmbeddedPostgres _postgres;
    private readonly PostgresBinaries _binaries;
    private readonly string _root;

    private FragileServer(EmbeddedPostgres postgres, PostgresBinaries binaries, string root) =>
        (_postgres, _binaries, _root) = (postgres, binaries, root);

    public string ConnectionString => _postgres.ConnectionString;

    public static async Task<FragileServer> StartAsync(string root)
    {
        var options = new EmbeddedPostgresOptions { DataRoot = root, StartFolder = AppContext.BaseDirectory };
        var (binaries, _) = PostgresBinaries.Find(options);
        return new(await EmbeddedPostgres.StartAsync(options, CancellationToken.None), binaries, root);
    }

    /// <summary>No checkpoint, no goodbye: what was not in the log is gone.</summary>
    public Task<int> StopAsync() =>
        _binaries.ControlAsync(
            CancellationToken.None,
            "-D",
            _postgres.DataFolder,
            "-s",
            "-m",
            "immediate",
            "-w",
            "stop"
        );

    public async Task StartAgainAsync()
    {
        var port = new NpgsqlConnectionStringBuilder(ConnectionString).Port;
        var arguments = $"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200";
        for (
            var attempt = 1;
            await _binaries.ControlAsync(
                CancellationToken.None,
                "-D",
                _postgres.DataFolder,
                "-l",
                Path.Combine(_postgres.DataFolder, "server.log"),
                "-s",
                "-w",
                "-t",
                "60",
                "-o",
                arguments,
                "start"
            ) != 0;
            attempt++
        )
        {
            Assert.True(attempt < 40, "PostgreSQL does not come back.");
            await Task.Delay(250);
        }
    }

    public async Task CrashAsync()
    {
        await StopAsync();
        await StartAgainAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _postgres.DisposeAsync();
        if (Directory.Exists(_root))
            Directory.Delete(_root, recursive: true);
    }
}
