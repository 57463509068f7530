using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Playwright;
using Npgsql;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;
using XenoInsights.Tests.Sync;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>
/// Deliveries from receipt to screen, over real connections to the product as a process of its own: acknowledged a
/// second against pgbench storing the same row with one durable commit each, applied a second, one flooding store
/// beside nineteen quiet ones, and what a person sees in a browser at 200 orders a second.
/// </summary>
internal static class WebhooksBenchmark
{
    private const string Secret = "benchmark-secret";
    private const int Stores = 20,
        BodyBytes = 4096;
    private static readonly TimeSpan _acknowledging = TimeSpan.FromSeconds(12),
        _flooding = TimeSpan.FromSeconds(20),
        _watching = TimeSpan.FromSeconds(30);

    public static async Task RunAsync()
    {
        await using var server = await BenchmarkServer.StartAsync();
        await using var run = await Run.StartAsync(server);
        await SendAsync(
            run,
            [
                .. Enumerable
                    .Range(0, 20_000)
                    .Select(i => run.Request(i % 2 == 0 ? "themes/update" : "orders/updated", i, $"warm-{i}", 1)),
            ],
            16,
            TimeSpan.FromSeconds(30),
            perSecond: 600
        );
        foreach (var clients in (int[])[8, 32, 128])
            await AcknowledgedAsync(run, clients);
        await AppliedAsync(run, 20_000);
        await FloodedAsync(run);
        await OnScreenAsync(run);
    }

    private static async Task AcknowledgedAsync(Run run, int clients)
    {
        // A topic that nothing is done for: storing is measured here, applying below.
        var requests = await Task.Run(() =>
            Enumerable
                .Range(0, 60_000)
                .AsParallel()
                .AsOrdered()
                .Select(i => run.Request("themes/update", i, $"ack-{clients}-{i}", 1))
                .ToList()
        );
        var times = await SendAsync(run, requests, clients, _acknowledging);
        var acknowledged = times.Count / _acknowledging.TotalSeconds;
        await run.DrainedAsync();
        var (plain, latency) = await PgBenchAsync(run, clients);
        Console.WriteLine(
            $"  {clients, 3} connections: {acknowledged, 7:N0}/s acknowledged, p50 {At(times, 0.5):N1} ms, "
                + $"p99 {At(times, 0.99):N1} ms; pgbench {plain, 7:N0}/s, mean {latency:N1} ms; "
                + $"ratio {acknowledged / plain:N2}"
        );
    }

    /// <summary>
    /// The same row from prepared statements, a commit each, without row-level security, signature or parsing.
    /// </summary>
    private static async Task<(double PerSecond, double Milliseconds)> PgBenchAsync(Run run, int clients)
    {
        var script = Path.GetTempFileName();
        var body = Encoding.UTF8.GetString(Run.Body(1, 1));
        await File.WriteAllTextAsync(
            script,
            $"""
            insert into events (tenant_id, webhook_id, topic, event_id, triggered_at, received_at, headers,
                payload, object_id, status, attempts, due_at, trace_id)
            values ('{run.Stores[0].TenantId}', gen_random_uuid()::text, 'themes/update', null, now(), now(),
                '{Run.HeadersJson}'::jsonb, convert_to('{body}', 'UTF8'), 1, 3, 0, now(),
                '0af7651916cd43dd8448eb211c80319c')
            on conflict (tenant_id, webhook_id) do nothing;
            """.ReplaceLineEndings(" ")
        );
        var address = new NpgsqlConnectionStringBuilder(run.Database);
        var start = new ProcessStartInfo(
            "pgbench",
            [
                "-n",
                "-M",
                "prepared",
                "-c",
                $"{clients}",
                "-j",
                "2",
                "-T",
                $"{_acknowledging.TotalSeconds:0}",
                "-f",
                script,
                address.Database!,
            ]
        )
        {
            RedirectStandardOutput = true,
            Environment =
            {
                ["PGHOST"] = address.Host,
                ["PGPORT"] = $"{address.Port}",
                ["PGUSER"] = address.Username,
                ["PGPASSWORD"] = address.Password,
            },
        };
        using var process = Process.Start(start)!;
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        File.Delete(script);
        return (Figure("tps = "), Figure("latency average = "));

        double Figure(string name)
        {
            var at = output.IndexOf(name, StringComparison.Ordinal);
            if (process.ExitCode != 0 || at < 0)
                throw new InvalidOperationException($"pgbench failed: {output}");
            return double.Parse(
                output.AsSpan(at + name.Length).TrimStart().ToString().Split(' ')[0],
                CultureInfo.InvariantCulture
            );
        }
    }

    private static async Task AppliedAsync(Run run, int orders)
    {
        var requests = Enumerable
            .Range(0, orders)
            .Select(i => run.Request("orders/updated", i, $"apply-{i}", 1))
            .ToList();
        await run.ScalarAsync("analyze");
        var watch = Stopwatch.StartNew();
        var times = await SendAsync(run, requests, 32, TimeSpan.FromHours(1));
        var received = watch.Elapsed;
        await run.DrainedAsync();
        Console.WriteLine(
            $"  {times.Count:N0} orders of {Stores} stores: all received after {received.TotalSeconds:N1} "
                + $"s, all applied after {watch.Elapsed.TotalSeconds:N1} s: "
                + $"{times.Count / watch.Elapsed.TotalSeconds:N0}/s on {Environment.ProcessorCount} cores, "
                + "which the senders and PostgreSQL share"
        );
    }

    private static async Task FloodedAsync(Run run)
    {
        var quiet = await LagAsync("quiet", 0);
        var flooded = await LagAsync("flooded", 32);
        Console.WriteLine(
            $"  19 stores, 1 order a second each: p50 {quiet.P50:N0} ms, "
                + $"p95 {quiet.P95:N0} ms from receipt to applied; beside a store with {flooded.Flood:N0} orders "
                + $"a second p50 {flooded.P50:N0} ms, p95 {flooded.P95:N0} ms; "
                + $"ratio of p95 {flooded.P95 / quiet.P95:N2}"
        );

        async Task<(double P50, double P95, double Flood)> LagAsync(string name, int flooders)
        {
            var until = TimeProvider.System.GetUtcNow() + _flooding;
            var flood = Enumerable
                .Range(0, 20_000)
                .Select(i => run.Request("orders/updated", i * Stores, $"flood-{name}-{i}", 2))
                .ToList();
            var flooding =
                flooders == 0
                    ? Task.FromResult<List<double>>([])
                    : SendAsync(run, flood, flooders, _flooding, perSecond: 1000);
            await Task.WhenAll(
                Enumerable
                    .Range(1, Stores - 1)
                    .Select(async store =>
                    {
                        await using var connection = await Connection.OpenAsync(run.Product.Address);
                        await Task.Delay(Random.Shared.Next(1000));
                        for (var i = 0; TimeProvider.System.GetUtcNow() < until; i++)
                        {
                            await connection.SendAsync(
                                run.Request("orders/updated", store + i * Stores, $"{name}-{store}-{i}", 2)
                            );
                            await Task.Delay(1000);
                        }
                    })
            );
            var sent = (await flooding).Count / _flooding.TotalSeconds;
            await run.DrainedAsync();
            var lag = await run.LagAsync(name + "-%");
            return (lag.P50, lag.P95, sent);
        }
    }

    /// <summary>An event is on screen when the tile counts at least as many orders as were sent up to it.</summary>
    private static async Task OnScreenAsync(Run run)
    {
        const int PerSecond = 200;
        await SendAsync(
            run,
            [run.Request("orders/updated", 999_999 * Stores, "screen-first", 1, today: true)],
            1,
            _watching
        );
        await run.DrainedAsync();
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Chromium.LaunchAsync(playwright);
        var page = await (
            await browser.NewContextAsync(new() { BaseURL = run.Product.Address.ToString(), Locale = "en-US" })
        ).NewPageAsync();
        var handle = run.Stores[0].ShopDomain.Split('.')[0];
        await page.GotoAsync(AppHost.SignInPath(Run.Owner, $"/stores/{handle}/overview?preset=today").ToString());
        await page.Locator("[data-interactive]").WaitForAsync();
        await page.EvaluateAsync(
            """
            () => {
                const tabs = () => [...document.querySelectorAll('[role=tab]')];
                const tile = () => tabs().find(t => t.textContent.trim().startsWith('Orders'));
                const read = () => {
                    const m = tile()?.textContent.replace(/,/g, '').match(/Orders\D*(\d+)/);
                    return m ? Number(m[1]) : null;
                };
                window.seen = [];
                const note = () => {
                    const n = read();
                    if (n !== null && n !== window.seen.at(-1)?.[0]) window.seen.push([n, Date.now()]);
                };
                note();
                const changes = { childList: true, subtree: true, characterData: true };
                new MutationObserver(note).observe(document.body, changes);
            }
            """
        );
        var before =
            (await page.EvaluateAsync<double[][]>("() => window.seen")).LastOrDefault()?[0]
            ?? throw new InvalidOperationException(
                $"The page shows no orders: {await page.Locator("main").InnerTextAsync()}"
            );
        var requests = Enumerable
            .Range(0, PerSecond * (int)_watching.TotalSeconds)
            .Select(i => run.Request("orders/updated", (1_000_000 + i) * Stores, $"screen-{i}", 1, today: true))
            .ToList();
        var sent = new ConcurrentBag<double>();
        await SendAsync(
            run,
            requests,
            16,
            _watching,
            PerSecond,
            () => sent.Add(TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds())
        );
        await run.DrainedAsync();
        await Task.Delay(3000);
        var seen = await page.EvaluateAsync<double[][]>("() => window.seen");
        var lags = sent.Order()
            .Select(
                (at, i) =>
                    (
                        seen.FirstOrDefault(s => s[0] >= before + i + 1)
                        ?? throw new InvalidOperationException(
                            $"Order {i + 1} of {sent.Count} never came to the screen; it shows {seen[^1][0] - before}."
                        )
                    )[1] - at
            )
            .Order()
            .ToList();
        Console.WriteLine(
            $"  {sent.Count / _watching.TotalSeconds:N0} orders a second to one open dashboard: "
                + $"from sending to the screen p50 {At(lags, 0.5):N0} ms, p99 {At(lags, 0.99):N0} ms, "
                + $"{seen.Length / _watching.TotalSeconds:N1} refreshes a second"
        );
    }

    /// <summary>
    /// Milliseconds of each acknowledged request, ascending. With <paramref name="perSecond"/> no faster than that.
    /// </summary>
    internal static async Task<List<double>> SendAsync(
        Run run,
        List<byte[]> requests,
        int clients,
        TimeSpan atMost,
        double? perSecond = null,
        Action? sending = null
    )
    {
        var (next, started) = (-1, Stopwatch.GetTimestamp());
        var times = new ConcurrentBag<List<double>>();
        await Task.WhenAll(
            Enumerable
                .Range(0, clients)
                .Select(_ =>
                    Task.Run(async () =>
                    {
                        var mine = new List<double>();
                        await using var connection = await Connection.OpenAsync(run.Product.Address);
                        while (
                            Stopwatch.GetElapsedTime(started) < atMost
                            && Interlocked.Increment(ref next) is var at
                            && at < requests.Count
                        )
                        {
                            if (
                                perSecond is { } rate
                                && TimeSpan.FromSeconds(at / rate) - Stopwatch.GetElapsedTime(started)
                                    is { Ticks: > 0 } early
                            )
                                await Task.Delay(early);
                            var asked = Stopwatch.GetTimestamp();
                            sending?.Invoke();
                            await connection.SendAsync(requests[at]);
                            mine.Add(Stopwatch.GetElapsedTime(asked).TotalMilliseconds);
                        }
                        times.Add(mine);
                    })
                )
        );
        return [.. times.SelectMany(t => t).Order()];
    }

    internal static double At(List<double> sorted, double part) =>
        sorted[Math.Min(sorted.Count - 1, (int)(sorted.Count * part))];

    /// <summary>One kept-alive connection, as cheap as can be: sender and receiver share the machine.</summary>
    internal sealed class Connection : IAsyncDisposable
    {
        private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        private readonly byte[] _answer = new byte[4096];

        public static async Task<Connection> OpenAsync(Uri address)
        {
            var connection = new Connection();
            await connection._socket.ConnectAsync(address.Host, address.Port);
            return connection;
        }

        public async Task SendAsync(byte[] request)
        {
            await _socket.SendAsync(request);
            var length = 0;
            while (!_answer.AsSpan(0, length).EndsWith("\r\n\r\n"u8))
            {
                var read = await _socket.ReceiveAsync(_answer.AsMemory(length));
                if (read == 0 || length + read == _answer.Length)
                    throw new IOException("The product broke off.");
                length += read;
            }
            if (!_answer.AsSpan().StartsWith("HTTP/1.1 200"u8))
                throw new IOException(Encoding.ASCII.GetString(_answer, 0, length));
        }

        public ValueTask DisposeAsync()
        {
            _socket.Dispose();
            return default;
        }
    }

    /// <summary>The product, its stores and its database.</summary>
    internal sealed class Run : IAsyncDisposable
    {
        public const string Owner = "owner@demo.test",
            HeadersJson =
                """{"X-Shopify-Topic":"orders/updated","X-Shopify-Shop-Domain":"bench-1.myshopify.com", """
                + """ "X-Shopify-Webhook-Id":"b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", """
                + """ "X-Shopify-Triggered-At":"2026-05-09T10:00:00Z"}""";

        private readonly TenantTransactions _transactions;

        private Run(string database, ProductProcess product, List<Tenant> stores, TenantTransactions transactions) =>
            (Database, Product, Stores, _transactions) = (database, product, stores, transactions);

        public string Database { get; }
        public ProductProcess Product { get; }
        public List<Tenant> Stores { get; }

        public static async Task<Run> StartAsync(BenchmarkServer server, string name = "webhooks")
        {
            var database = await server.CreateDatabaseAsync(name);
            var transactions = new TenantTransactions(database, NullLoggerFactory.Instance);
            var product = await ProductProcess.StartAsync(
                database,
                new Dictionary<string, string?>
                {
                    ["FakeShopify:Enabled"] = "false",
                    ["Shopify:ClientId"] = "benchmark",
                    ["Shopify:ClientSecret"] = Secret,
                    ["Serilog:MinimumLevel:Default"] = "Error",
                    ["Encryption:Keys:0"] = "test:" + Convert.ToBase64String(new byte[32]),
                }
            );
            using var owner = await product.SignInAsync();
            var stores = Enumerable
                .Range(1, WebhooksBenchmark.Stores)
                .Select(i => new Tenant
                {
                    TenantId = Guid.CreateVersion7(),
                    ShopId = i,
                    ShopDomain = $"bench-{i}.myshopify.com",
                    Name = $"Bench {i}",
                    Currency = "EUR",
                    TimeZone = "Europe/Berlin",
                    Status = TenantStatus.Connected,
                })
                .ToList();
            await new SystemDatabase(transactions).RunAsync(async db =>
            {
                var user = await db.Set<User>().SingleAsync(u => u.Email == Owner);
                db.Tenants.AddRange(stores);
                db.ShopDomains.AddRange(
                    stores.Select(s => new ShopDomain
                    {
                        Domain = s.ShopDomain,
                        TenantId = s.TenantId,
                        ShopId = s.ShopId,
                    })
                );
                db.Memberships.AddRange(
                    stores.Select(s => new Membership
                    {
                        TenantId = s.TenantId,
                        UserId = user.UserId,
                        Role = MemberRole.Owner,
                        CreatedAt = DateTimeOffset.UnixEpoch,
                    })
                );
                await db.SaveChangesAsync();
            });
            return new(database, product, stores, transactions);
        }

        public byte[] Request(string topic, int number, string webhookId, int version, bool today = false) =>
            Request(
                topic,
                Stores[number % Stores.Count],
                webhookId,
                Body(number + 1, version, today),
                $"2026-05-09T10:00:0{version}Z"
            );

        /// <summary>A signed delivery with any body.</summary>
        public byte[] Request(string topic, Tenant store, string webhookId, byte[] body, string triggeredAt)
        {
            var signature = Convert.ToBase64String(HMACSHA256.HashData(Encoding.UTF8.GetBytes(Secret), body));
            var head = string.Create(
                CultureInfo.InvariantCulture,
                $"POST /webhooks/shopify HTTP/1.1\r\nHost: {Product.Address.Authority}\r\n"
                    + $"Content-Type: application/json\r\nContent-Length: {body.Length}\r\n"
                    + $"X-Shopify-Topic: {topic}\r\nX-Shopify-Shop-Domain: {store.ShopDomain}\r\n"
                    + $"X-Shopify-Webhook-Id: {webhookId}\r\nX-Shopify-Triggered-At: {triggeredAt}\r\n"
                    + $"X-Shopify-Hmac-Sha256: {signature}\r\n\r\n"
            );
            return [.. Encoding.ASCII.GetBytes(head), .. body];
        }

        /// <summary>An order of 4 KB that its delivery tells completely.</summary>
        public static byte[] Body(long id, int version, bool today = false)
        {
            var at =
                (
                    today
                        ? TimeProvider.System.GetUtcNow().UtcDateTime
                        : new DateTime(2026, 5, 1 + (int)(id % 7), 10, 0, 0)
                ).ToString("s", CultureInfo.InvariantCulture) + "Z";
            var (updated, customer, product) = ($"{at[..^1]}.{version}Z", id % 50 + 1, id % 9 + 1);
            var body = string.Create(
                CultureInfo.InvariantCulture,
                $$"""
                {"id":{{id}},"admin_graphql_api_id":"gid://shopify/Order/{{id}}","name":"#{{id}}",
                "created_at":"{{at}}","processed_at":"{{at}}","updated_at":"{{updated}}",
                "current_total_price":"{{version}}0.00","customer":{"id":{{customer}} },
                "line_items":[{"id":{{id}},"title":"Teapot","quantity":{{version}},"current_quantity":{{version}},
                "price":"10.00","product_id":{{product}} }],"note":"x
                """
            );
            return Encoding.UTF8.GetBytes(body + new string('x', Math.Max(0, BodyBytes - body.Length - 2)) + "\"}");
        }

        public async Task DrainedAsync()
        {
            while ((long)(await ScalarAsync("select count(*) from events where status = 1"))! > 0)
                await Task.Delay(100);
            if ((long)(await ScalarAsync("select count(*) from events where status = 4"))! is > 0 and var dead)
                throw new InvalidOperationException(
                    $"{dead} deliveries are dead-lettered: "
                        + $"{await ScalarAsync("select last_error from events where status = 4 limit 1")}"
                );
        }

        public async Task<(double P50, double P95)> LagAsync(string webhookIds)
        {
            var lags = (double[])
                (
                    await ScalarAsync(
                        $"""
                        select percentile_cont(array[0.5, 0.95]) within group
                            (order by extract(epoch from applied_at - received_at)::float8 * 1000) from events
                        where webhook_id like '{webhookIds}'
                        """
                    )
                )!;
            return (lags[0], lags[1]);
        }

        public async Task<object?> ScalarAsync(string sql)
        {
            await using var connection = new NpgsqlConnection(Database);
            await connection.OpenAsync();
            await using var command = new NpgsqlCommand(sql, connection);
            return await command.ExecuteScalarAsync();
        }

        public async ValueTask DisposeAsync()
        {
            await Product.DisposeAsync();
            await _transactions.DisposeAsync();
        }
    }
}
