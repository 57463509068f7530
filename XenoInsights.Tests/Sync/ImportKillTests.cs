using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.FakeShopify.Stores;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Sync;

/// <summary>The real product as a process of its own, killed without warning in the middle of a run, again and again. Five times in the suite; SYNC_KILLS makes it more (docs/performance.md).</summary>
public sealed class ImportKillTests(PostgresServer postgres)
{
    private const int Orders = 20_000;
    private const string Domain = "killed.myshopify.com";

    private static readonly int _kills = int.TryParse(
        Environment.GetEnvironmentVariable("SYNC_KILLS"),
        System.Globalization.CultureInfo.InvariantCulture,
        out var kills
    )
        ? kills
        : 5;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_import_killed_at_random_moments_ends_by_itself_with_the_data_of_an_undisturbed_one()
    {
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var store = NewStore();
        var all = await ImportStores.ObjectsAsync(store);
        await using var shopify = await FakeShopifyHost.StartAsync(
            new FakeShopifyOptions { Url = "http://127.0.0.1:0", Stores = [store] },
            Ct
        );
        await using var database = await postgres.CreateDatabaseAsync();
        var settings = ImportHost.SettingsFor(shopify);
        settings["Sync:LeaseSeconds"] = "1";

        var kills = 0;
        for (var kill = 1; kill <= _kills; kill++)
        {
            var attempts = await AttemptsAsync(database);
            // What the last process had read would be taken for the reading of this one, which begins the file again.
            await PostgresServer.ExecuteAsync(database.ConnectionString, "update sync_jobs set objects_read = 0");
            await using var product = await ProductProcess.StartAsync(database, settings);
            if (kill == 1)
            {
                using var owner = await product.SignInAsync();
                await ImportHost.ConnectAsync(owner, Domain);
            }
            // The first time right at the beginning, then anywhere in the reading but near its end.
            if (
                !await KillDuringImportAsync(
                    product,
                    database,
                    attempts,
                    kill == 1 ? 0 : random.NextInt64(all * 8 / 10),
                    TimeSpan.FromMilliseconds(random.Next(100))
                )
            )
                break;
            kills++;
        }
        await using var last = await ProductProcess.StartAsync(database, settings);
        var (status, error) = await EndAsync(database);

        Assert.True(status == "Succeeded", $"{status}: {error}\n{last.Output}");
        Assert.Equal(1L, await ScalarAsync<long>(database, "select count(*) from sync_jobs"));
        // A busy machine may let it end before the next kill; most must have hit.
        Assert.InRange(kills, 2, _kills);
        Assert.InRange(await AttemptsAsync(database), kills + 1, int.MaxValue);
        Assert.True(
            await ScalarAsync<bool>(
                database,
                "select objects_read = objects_expected and objects_read = stored + unchanged and rejected = 0 from sync_jobs"
            )
        );
        await AssertSameAsUndisturbedAsync(database);
    }

    [Fact]
    public async Task A_run_of_changes_killed_at_random_moments_counts_every_page_once_and_misses_nothing()
    {
        const int Changed = 1200;
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var store = GeneratedStore.Create(
            new()
            {
                Ordinal = 402,
                Domain = Domain,
                Seed = 4,
                Orders = 2000,
                Days = 365,
                Customers = 300,
                Products = 50,
            },
            TimeProvider.System
        );
        await using var shopify = await FakeShopifyHost.StartAsync(
            new FakeShopifyOptions
            {
                Url = "http://127.0.0.1:0",
                Stores = [store],
                BucketSize = 20_000,
                RestoreRate = 10_000,
            },
            Ct
        );
        await using var database = await postgres.CreateDatabaseAsync();
        var settings = ImportHost.SettingsFor(shopify);
        settings["Sync:LeaseSeconds"] = "1";
        var product = await ProductProcess.StartAsync(database, settings);
        try
        {
            using (var owner = await product.SignInAsync())
            {
                var tenant = await ImportHost.ConnectAsync(owner, Domain);
                Assert.Equal("Succeeded", (await EndAsync(database)).Status);
                var at = DateTimeOffset.FromUnixTimeSeconds(TimeProvider.System.GetUtcNow().ToUnixTimeSeconds());
                var orders = (await store.DataAsync()).Orders;
                foreach (var order in orders.All().Take(Changed).ToList())
                    orders.Put(order with { UpdatedAt = at, Name = order.Name + "-changed" });
                store.Faults.Delay = TimeSpan.FromMilliseconds(20);
                using var asked = await ImportHost.AskForImportAsync(owner, tenant, "delta");
                Assert.Equal(HttpStatusCode.Accepted, asked.StatusCode);
            }
            for (var kill = 1; kill <= _kills; kill++)
            {
                var until = Changed * 0.9 * kill / _kills;
                for (
                    var patience = 0;
                    !await ScalarAsync<bool>(
                        database,
                        $"select status = 'Succeeded' or (attempts >= {kill} and objects_read >= {until:0}) from sync_jobs where type = 'Delta'"
                    );
                    patience++
                )
                {
                    Assert.True(
                        patience < 4000,
                        $"The run comes no further than {await ScalarAsync<long>(database, "select objects_read from sync_jobs where type = 'Delta'")}.\n{product.Output}"
                    );
                    await Task.Delay(10, Ct);
                }
                await Task.Delay(random.Next(60), Ct);
                product.Kill();
                await product.DisposeAsync();
                product = await ProductProcess.StartAsync(database, settings);
            }
            for (
                var patience = 0;
                await ScalarAsync<string>(database, "select status from sync_jobs where type = 'Delta'")
                    is "Running"
                        or "Queued";
                patience++
            )
            {
                Assert.True(patience < 600, product.Output);
                await Task.Delay(100, Ct);
            }
        }
        finally
        {
            await product.DisposeAsync();
        }

        Assert.Equal(
            "Succeeded",
            await ScalarAsync<string>(database, "select status from sync_jobs where type = 'Delta'")
        );
        Assert.InRange(
            await ScalarAsync<int>(database, "select attempts from sync_jobs where type = 'Delta'"),
            3,
            int.MaxValue
        );
        Assert.Equal(
            (long)Changed,
            await ScalarAsync<long>(database, "select count(*) from orders where name like '%-changed'")
        );
        // Counted with the page's rows or not at all: a page read again after a kill is counted once.
        Assert.Equal(
            (long)Changed,
            await ScalarAsync<long>(database, "select stored from sync_jobs where type = 'Delta'")
        );
        Assert.True(
            await ScalarAsync<bool>(
                database,
                "select objects_read = objects_expected and objects_read = stored + unchanged and rejected = 0 and gone = 0 from sync_jobs where type = 'Delta'"
            )
        );
        Assert.True(
            await ScalarAsync<bool>(
                database,
                "select (select sum(gross - discounts - returns + shipping + taxes + duties + fees) from sales_days) = (select sum(amount + tax) from order_sales s join orders o on o.shopify_id = s.order_id where measure <> 0 and o.counted)"
            )
        );
    }

    [Fact]
    public async Task A_check_killed_at_random_moments_names_and_repairs_all_that_differed()
    {
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var store = GeneratedStore.Create(
            new()
            {
                Ordinal = 403,
                Domain = Domain,
                Seed = 5,
                Orders = 12_000,
                Days = 100,
                Customers = 2000,
                Products = 50,
            },
            TimeProvider.System
        );
        await using var shopify = await FakeShopifyHost.StartAsync(
            new FakeShopifyOptions { Url = "http://127.0.0.1:0", Stores = [store] },
            Ct
        );
        await using var database = await postgres.CreateDatabaseAsync();
        var settings = ImportHost.SettingsFor(shopify);
        settings["Sync:LeaseSeconds"] = "1";
        var product = await ProductProcess.StartAsync(database, settings);
        string[] damaged;
        try
        {
            using (var owner = await product.SignInAsync())
            {
                var tenant = await ImportHost.ConnectAsync(owner, Domain);
                Assert.Equal("Succeeded", (await EndAsync(database)).Status);
                // A hundred orders all over the days, each with one entry a little wrong: the rollups follow the ledger, so only Shopify can tell.
                damaged = (
                    await ScalarAsync<string[]>(
                        database,
                        "with damaged as (update order_sales s set amount = amount + 7 from (select order_id, min(ordinal) as ordinal from order_sales where measure = 1 and order_id % 120 = 1 group by order_id) one where s.order_id = one.order_id and s.ordinal = one.ordinal and s.day < current_date - 2 returning s.order_id) select array_agg(distinct order_id::text order by order_id::text) from damaged"
                    )
                );
                using var asked = await owner.PostAsJsonAsync(
                    "/api/ingestion/start",
                    new
                    {
                        tenant_id = tenant.ToString(),
                        type = "reconcile",
                        from = ImportHost.Day(
                            DateOnly.FromDateTime(TimeProvider.System.GetUtcNow().UtcDateTime).AddDays(-110)
                        ),
                    },
                    Ct
                );
                Assert.Equal(HttpStatusCode.Accepted, asked.StatusCode);
            }
            for (var kill = 1; kill <= _kills; kill++)
            {
                for (
                    var patience = 0;
                    !await ScalarAsync<bool>(
                        database,
                        $"select status = 'Succeeded' or (attempts >= {kill} and phase like 'Comparing%') from sync_jobs where type = 'Reconcile'"
                    );
                    patience++
                )
                {
                    Assert.True(patience < 4000, product.Output);
                    await Task.Delay(5, Ct);
                }
                await Task.Delay(random.Next(400), Ct);
                product.Kill();
                await product.DisposeAsync();
                product = await ProductProcess.StartAsync(database, settings);
            }
            for (
                var patience = 0;
                await ScalarAsync<string>(database, "select status from sync_jobs where type = 'Reconcile'")
                    is "Running"
                        or "Queued";
                patience++
            )
            {
                Assert.True(patience < 600, product.Output);
                await Task.Delay(100, Ct);
            }
        }
        finally
        {
            await product.DisposeAsync();
        }

        Assert.Equal(
            ("Succeeded", null),
            (
                await ScalarAsync<string>(database, "select status from sync_jobs where type = 'Reconcile'"),
                await ScalarAsync<string?>(database, "select error from sync_jobs where type = 'Reconcile'")
            )
        );
        Assert.InRange(
            await ScalarAsync<int>(database, "select attempts from sync_jobs where type = 'Reconcile'"),
            2,
            int.MaxValue
        );
        Assert.True(damaged.Length > 50);
        Assert.Equal(
            damaged,
            await ScalarAsync<string[]>(
                database,
                "select array_agg(distinct id::text order by id::text) from reconciled_days, unnest(differing_orders) id"
            )
        );
        Assert.Equal(
            0L,
            await ScalarAsync<long>(
                database,
                "select count(*) from reconciled_days where state = 'Different' or total_here <> total_in_shopify"
            )
        );
        var undamaged = (await store.DataAsync())
            .Orders.All()
            .Sum(o => o.Agreements.Sum(a => a.Sales.Sum(s => s.Total.Minor)));
        Assert.Equal(
            undamaged,
            (long)await ScalarAsync<decimal>(database, "select sum(amount + tax) from order_sales")
        );
        Assert.Equal(
            undamaged,
            (long)
                await ScalarAsync<decimal>(
                    database,
                    "select sum(gross - discounts - returns + shipping + taxes + duties + fees) from sales_days"
                )
        );
    }

    [Theory]
    [InlineData("0")]
    [InlineData("601")]
    public async Task A_lease_that_makes_no_sense_is_refused_at_the_start(string seconds)
    {
        await using var database = await postgres.CreateDatabaseAsync();

        var refused = await Assert.ThrowsAsync<XenoInsights.Data.ConfigurationException>(() =>
            AppHost.StartAsync(database, new Dictionary<string, string?> { ["Sync:LeaseSeconds"] = seconds })
        );

        Assert.Contains("Sync:LeaseSeconds must be 1 to 600 seconds.", refused.Message, StringComparison.Ordinal);
    }

    private static DemoStore NewStore() =>
        GeneratedStore.Create(
            new()
            {
                Ordinal = 400,
                Domain = Domain,
                Seed = 9,
                Orders = Orders,
                Days = 365,
                Customers = 6000,
                Products = 200,
            },
            TimeProvider.System
        );

    /// <summary>Waits until this process has taken the import over and read so many objects, and then kills it. False when the import had ended by then.</summary>
    private static async Task<bool> KillDuringImportAsync(
        ProductProcess product,
        TestDatabase database,
        int earlierAttempts,
        long objects,
        TimeSpan pause
    )
    {
        for (
            var patience = 0;
            !await ScalarAsync<bool>(
                database,
                $"select attempts > {earlierAttempts} and objects_read >= {objects} from sync_jobs"
            );
            patience++
        )
        {
            Assert.True(patience < 4000, $"Nobody took the import over and read {objects} objects.\n{product.Output}");
            await Task.Delay(15, Ct);
        }
        await Task.Delay(pause, Ct);
        product.Kill();
        TestContext.Current.TestOutputHelper!.WriteLine(
            "killed: "
                + await ScalarAsync<string>(
                    database,
                    "select concat_ws(' ', status, phase, objects_read, 'of', objects_expected) from sync_jobs"
                )
        );
        return await ScalarAsync<string>(database, "select status from sync_jobs") == "Running";
    }

    private static Task<int> AttemptsAsync(TestDatabase database) =>
        ScalarAsync<int>(database, "select attempts from sync_jobs");

    private static async Task<(string Status, string? Error)> EndAsync(TestDatabase database)
    {
        for (var patience = 0; patience < 1200; patience++)
        {
            var status = await ScalarAsync<string>(database, "select status from sync_jobs");
            if (status is "Succeeded" or "Failed")
                return (status, await ScalarAsync<string?>(database, "select error from sync_jobs"));
            await Task.Delay(100, Ct);
        }
        return ("unfinished", null);
    }

    /// <summary>Row by row, ledger and rollups, whatever the tenant is called.</summary>
    private async Task AssertSameAsUndisturbedAsync(TestDatabase killed)
    {
        await using var undisturbed = await ImportHost.StartAsync(postgres, [NewStore()]);
        var (tenant, _) = await undisturbed.ImportAsync(Domain);
        Assert.Empty(await undisturbed.RollupDifferencesAsync(tenant));
        await using var connection = new NpgsqlConnection(undisturbed.ConnectionString + ";Pooling=false");
        foreach (
            var table in (string[])
                [
                    "orders",
                    "order_line_items",
                    "order_sales",
                    "refunds",
                    "refund_line_items",
                    "customers",
                    "products",
                    "checkouts",
                    "checkout_line_items",
                    "order_entries",
                    "sales_days",
                    "product_days",
                    "product_months",
                    "customer_days",
                    "customer_totals",
                    "customer_returns",
                ]
        )
        {
            // How often batches met on the way decides which day pairs were counted up and down again; those rows say nothing.
            var counted = table == "customer_returns" ? "where customers <> 0" : "";
            var digest =
                $"select count(*) || ' rows ' || coalesce(md5(string_agg(row, ',' order by row)), '') from (select (to_jsonb(t) - 'tenant_id')::text as row from {table} t {counted}) rows";
            Assert.Equal(
                (table, await ScalarAsync<string>(undisturbed.ConnectionString, digest)),
                (table, await ScalarAsync<string>(killed.ConnectionString, digest))
            );
        }
        Assert.Equal(Orders, await ScalarAsync<long>(killed.ConnectionString, "select count(*) from orders"));
        Assert.True(
            await ScalarAsync<bool>(
                killed.ConnectionString,
                "select (select sum(gross - discounts - returns + shipping + taxes + duties + fees) from sales_days) = (select sum(amount + tax) from order_sales where measure <> 0)"
            )
        );
    }

    private static Task<T> ScalarAsync<T>(TestDatabase database, string sql) =>
        ScalarAsync<T>(database.ConnectionString, sql);

    private static async Task<T> ScalarAsync<T>(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync(Ct);
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(Ct) is T value ? value : default!;
    }
}

/// <summary>The built product, started as <c>dotnet XenoInsights.dll</c> on a port of its own.</summary>
internal sealed class ProductProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly Uri _address;
    private readonly ConcurrentQueue<string> _output = new();
    private bool _disposed;

    private ProductProcess(Process process, Uri address)
    {
        (_process, _address) = (process, address);
        process.OutputDataReceived += (_, line) => Keep(line.Data);
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public Uri Address => _address;

    /// <summary>The end of what it wrote.</summary>
    public string Output => string.Join('\n', _output);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static Task<ProductProcess> StartAsync(
        TestDatabase database,
        IReadOnlyDictionary<string, string?> settings
    ) => StartAsync(database.ConnectionString, settings);

    public static async Task<ProductProcess> StartAsync(
        string connectionString,
        IReadOnlyDictionary<string, string?> settings
    )
    {
        var address = new Uri($"http://localhost:{FreePort()}/");
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "XenoInsights.dll")])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment =
            {
                ["ASPNETCORE_ENVIRONMENT"] = "Development",
                ["ASPNETCORE_URLS"] = address.GetLeftPart(UriPartial.Authority),
                ["App__PublicUrl"] = address.GetLeftPart(UriPartial.Authority),
                ["ConnectionStrings__XenoInsights"] = connectionString,
                ["Serilog__MinimumLevel__Default"] = "Warning",
            },
        };
        foreach (var (key, value) in settings)
            start.Environment[key.Replace(":", "__", StringComparison.Ordinal)] = value;
        var product = new ProductProcess(Process.Start(start)!, address);
        try
        {
            await product.ListeningAsync();
            return product;
        }
        catch
        {
            await product.DisposeAsync();
            throw;
        }
    }

    public async Task<HttpClient> SignInAsync()
    {
        var client = new HttpClient(new SocketsHttpHandler { CookieContainer = new CookieContainer() })
        {
            BaseAddress = _address,
        };
        using var landing = await client.GetAsync(AppHost.SignInPath("owner@demo.test", "/signed-out"), Ct);
        Assert.True(landing.IsSuccessStatusCode, $"Signing in ended with {(int)landing.StatusCode}.\n{Output}");
        return client;
    }

    /// <summary>Bytes of memory it holds at this moment.</summary>
    public long Memory()
    {
        _process.Refresh();
        return _process.WorkingSet64;
    }

    /// <summary>SIGKILL: it gets no chance to tidy up.</summary>
    public void Kill() => _process.Kill();

    public async ValueTask DisposeAsync()
    {
        if (_disposed)
            return;
        _disposed = true;
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync(CancellationToken.None);
        _process.Dispose();
    }

    private async Task ListeningAsync()
    {
        using var client = new HttpClient { BaseAddress = _address };
        // Among storms on few processors starting takes its time.
        for (var patience = 0; patience < 1800 && !_process.HasExited; patience++)
        {
            try
            {
                using var answer = await client.GetAsync(new Uri("health/live", UriKind.Relative), Ct);
                if (answer.IsSuccessStatusCode)
                    return;
            }
            catch (HttpRequestException)
            {
                // Not listening yet.
            }
            await Task.Delay(100, Ct);
        }
        var end = _process.HasExited ? $"ended with {_process.ExitCode}" : "does not answer";
        throw new InvalidOperationException($"The product does not start: it {end}.\n{Output}");
    }

    private void Keep(string? line)
    {
        if (line is null)
            return;
        _output.Enqueue(line);
        while (_output.Count > 60)
            _output.TryDequeue(out _);
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
