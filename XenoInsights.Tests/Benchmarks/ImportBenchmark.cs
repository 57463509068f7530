using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.FakeShopify.Stores;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>
/// The product as a process of its own imports a generated store from the fake Shopify, through OAuth and bulk
/// operations: rows a second against <c>\copy</c>, peak memory against idle, then the four endpoints on what was
/// imported.
/// </summary>
internal static class ImportBenchmark
{
    public const string Handle = "generated";
    private const string Shop = Handle + ".myshopify.com";
    private static readonly TimeSpan _sampling = TimeSpan.FromMilliseconds(100);

    public static async Task RunAsync(int[] sizes)
    {
        await using var server = await BenchmarkServer.StartAsync();
        foreach (var orders in sizes)
        {
            Console.WriteLine($"{orders:N0} orders");
            var database = await server.CreateDatabaseAsync($"import_{orders}");
            await using var shopify = await StartShopifyAsync(orders);
            await using var product = await Product.StartAsync(database, shopify.Url.ToString());
            await ImportAsync(product, database);
            await EndpointsBenchmark.RunAsync(product.Http, await product.TenantAsync());
        }
    }

    /// <summary>Other questions, on what earlier runs imported.</summary>
    public static async Task AskAgainAsync(int[] sizes, Func<Product, Task> askAsync)
    {
        await using var server = await BenchmarkServer.StartAsync();
        foreach (var orders in sizes)
        {
            Console.WriteLine($"{orders:N0} orders");
            await using var product = await Product.StartAsync(
                server.Database($"import_{orders}"),
                "http://127.0.0.1:1"
            );
            await askAsync(product);
        }
    }

    private static Task<FakeShopifyHost> StartShopifyAsync(int orders) =>
        FakeShopifyHost.StartAsync(
            new FakeShopifyOptions
            {
                Url = "http://127.0.0.1:0",
                AutoApprove = [Shop],
                BucketSize = 20_000,
                RestoreRate = 1000,
                Stores =
                [
                    GeneratedStore.Create(
                        new GeneratedStoreOptions
                        {
                            Orders = orders,
                            Customers = Math.Max(100, orders / 10),
                            Products = Math.Clamp(orders / 50, 100, 5000),
                        },
                        TimeProvider.System
                    ),
                ],
            },
            CancellationToken.None
        );

    private static async Task ImportAsync(Product product, string database)
    {
        var idle = product.Memory();
        using (var connected = await product.Http.GetAsync(new Uri($"/auth/start?shop={Shop}", UriKind.Relative)))
            connected.EnsureSuccessStatusCode();
        var tenant = await product.TenantAsync();

        var watch = Stopwatch.StartNew();
        var reading = TimeSpan.Zero;
        var peak = idle;
        JsonElement job;
        while (true)
        {
            job = (
                await product.Http.GetFromJsonAsync<JsonElement>(
                    new Uri($"/api/ingestion/jobs?tenant_id={tenant}", UriKind.Relative)
                )
            )[0];
            if (job.GetProperty("status").GetString() is "succeeded" or "failed")
                break;
            if (reading == TimeSpan.Zero && job.GetProperty("phase").GetString() is "Importing orders")
                reading = watch.Elapsed;
            peak = Math.Max(peak, product.Memory());
            await Task.Delay(_sampling);
        }
        var (all, orders) = (watch.Elapsed, watch.Elapsed - reading);
        if (job.GetProperty("status").GetString() == "failed")
            throw new InvalidOperationException(job.ToString());

        var rows = await BenchmarkServer.RowsAsync(database);
        var copy = await BenchmarkServer.CopyAsync(database);
        Console.WriteLine(
            $"  import  {job.GetProperty("objectsRead").GetInt64(), 12:N0} objects → {rows:N0} rows; "
                + $"{all.TotalSeconds:N1} s in all, {orders.TotalSeconds:N1} s of them reading and storing orders"
        );
        Console.WriteLine($"          {rows / orders.TotalSeconds, 12:N0} rows/s");
        Console.WriteLine(
            $"  \\copy   {rows / copy.TotalSeconds, 12:N0} rows/s ({copy.TotalSeconds:N1} s); "
                + $"the import reaches {copy / orders:P0} of it"
        );
        Console.WriteLine(
            $"  memory  {idle / 1e6:N0} MB idle, {peak / 1e6:N0} MB at most, {(peak - idle) / 1e6:N0} MB above idle"
        );
    }

    /// <summary>The product in its own process, signed in as the demo owner.</summary>
    internal sealed class Product : IAsyncDisposable
    {
        private readonly Process _process;

        private Product(Process process, HttpClient http) => (_process, Http) = (process, http);

        public HttpClient Http { get; }

        public static async Task<Product> StartAsync(string database, string shopify)
        {
            var address = $"http://localhost:{FreePort()}";
            var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "XenoInsights.dll")])
            {
                RedirectStandardOutput = true,
            };
            foreach (
                var (key, value) in new Dictionary<string, string>
                {
                    ["ASPNETCORE_ENVIRONMENT"] = "Development",
                    ["ASPNETCORE_URLS"] = address,
                    ["App__PublicUrl"] = address,
                    ["ConnectionStrings__XenoInsights"] = database,
                    ["FakeShopify__Enabled"] = "false",
                    ["Shopify__ClientId"] = new FakeShopifyOptions().ClientId,
                    ["Shopify__ClientSecret"] = new FakeShopifyOptions().ClientSecret,
                    ["Shopify__Scopes"] = "read_orders,read_all_orders,read_customers,read_products",
                    ["Shopify__ShopUrl"] = shopify.TrimEnd('/') + "/{shop}",
                    ["Serilog__MinimumLevel__Default"] = "Warning",
                    ["Sync__CheckFirstImport"] = "false",
                }
            )
                start.Environment[key] = value;
            var process = Process.Start(start)!;
            process.OutputDataReceived += (_, line) =>
            {
                if (!string.IsNullOrEmpty(line.Data))
                    Console.Error.WriteLine(line.Data);
            };
            process.BeginOutputReadLine();

            var http = new HttpClient { BaseAddress = new Uri(address) };
            for (var attempt = 0; ; attempt++)
            {
                try
                {
                    using var signedIn = await http.GetAsync(
                        new Uri("/signin?login_hint=owner@demo.test&returnUrl=/api/tenants", UriKind.Relative)
                    );
                    if (signedIn.IsSuccessStatusCode)
                        break;
                }
                catch (HttpRequestException) when (attempt < 100)
                {
                    // Not listening yet.
                }
                await Task.Delay(200);
            }
            await Task.Delay(3000); // what starting took goes back before idle is measured
            return new Product(process, http);
        }

        public async Task<string> TenantAsync() =>
            (await Http.GetFromJsonAsync<JsonElement>(new Uri("/api/tenants", UriKind.Relative)))[0]
                .GetProperty("id")
                .GetString()!;

        /// <summary>Resident bytes, as Linux counts them.</summary>
        public long Memory() =>
            File.ReadLines($"/proc/{_process.Id}/status")
                .Where(l => l.StartsWith("VmRSS:", StringComparison.Ordinal))
                .Select(l =>
                    long.Parse(l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture)
                    * 1024
                )
                .First();

        public async ValueTask DisposeAsync()
        {
            Http.Dispose();
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
            _process.Dispose();
        }

        private static int FreePort()
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            return ((IPEndPoint)socket.LocalEndPoint!).Port;
        }
    }
}
