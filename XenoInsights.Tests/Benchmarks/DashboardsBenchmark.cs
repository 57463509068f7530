using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using XenoInsights.Tests.Support;
using static XenoInsights.Tests.Benchmarks.WebhooksBenchmark;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>
/// Many open overviews in one process: the memory a circuit takes, and how long an order takes from being sent by
/// Shopify until the new count is on its way to everybody who looks at that store. Against ten of them.
/// </summary>
internal static class DashboardsBenchmark
{
    private const int Few = 10,
        Orders = 60;
    private static readonly TimeSpan _between = TimeSpan.FromMilliseconds(500),
        _settling = TimeSpan.FromSeconds(5);

    public static async Task RunAsync(int dashboards)
    {
        await using var server = await BenchmarkServer.StartAsync();
        await using var run = await Run.StartAsync(server);
        // Thousands, so that the count on the screen cannot be mistaken for anything else.
        await SendAsync(
            run,
            [
                .. Enumerable
                    .Range(0, 1000 * run.Stores.Count)
                    .Select(i => run.Request("orders/updated", i, $"warm-{i}", 1, today: true)),
            ],
            16,
            TimeSpan.FromHours(1)
        );
        await run.DrainedAsync();

        var cookies = new CookieContainer();
        using var handler = new SocketsHttpHandler { CookieContainer = cookies };
        using var http = new HttpClient(handler) { BaseAddress = run.Product.Address };
        (await http.GetAsync(AppHost.SignInPath(Run.Owner, "/signed-out"))).Dispose();

        var screens = new Screens(run);
        await screens.OpenAsync(http, cookies, Few);
        await MeasureAsync(run, screens, 0);
        var idle = run.Product.Memory();
        var watch = Stopwatch.StartNew();
        await screens.OpenAsync(http, cookies, dashboards);
        var opening = watch.Elapsed;
        await Task.Delay(_settling);
        var (open, full) = (dashboards - Few, run.Product.Memory());
        Console.WriteLine(
            $"  {open} more dashboards opened in {opening.TotalSeconds:N1} s; {idle / 1e6:N0} MB before, "
                + $"{full / 1e6:N0} MB after: {(full - idle) / 1e6 / open:N2} MB each"
        );
        await MeasureAsync(run, screens, Orders);
        await screens.CloseAsync();
    }

    /// <summary>
    /// One order after the other, each for another store: when it was sent, and when each of the store's pages was told
    /// its new count.
    /// </summary>
    private static async Task MeasureAsync(Run run, Screens screens, int from)
    {
        await using var connection = await Connection.OpenAsync(run.Product.Address);
        for (var i = 0; i < Orders; i++)
        {
            var store = i % run.Stores.Count;
            screens.Expect(store, Stopwatch.GetTimestamp());
            await connection.SendAsync(
                run.Request(
                    "orders/updated",
                    ((100_000 + from + i) * run.Stores.Count) + store,
                    $"more-{from + i}",
                    1,
                    today: true
                )
            );
            await Task.Delay(_between);
        }
        await Task.Delay(_settling);
        var (lags, missing, failure) = screens.Take();
        if (failure is not null || missing > 0)
            throw new InvalidOperationException($"{missing} pages were not told. {failure}");
        Console.WriteLine(
            $"  {screens.Count} dashboards of {run.Stores.Count} stores, "
                + $"an order each {_between.TotalMilliseconds:N0} ms: from sending to the screen p50 "
                + $"{At(lags, 0.5):N0} ms, p99 {At(lags, 0.99):N0} ms, longest {lags[^1]:N0} ms"
        );
    }

    /// <summary>All open pages, and what they were told.</summary>
    private sealed class Screens(Run run)
    {
        private readonly List<(BlazorCircuit Circuit, int Store)> _open = [];
        private readonly int[] _orders = [.. run.Stores.Select(_ => 1000)];
        private readonly ConcurrentDictionary<(int Store, int Count), long> _sent = new();
        private readonly ConcurrentDictionary<(BlazorCircuit, int Store, int Count), double> _lags = new();

        public int Count => _open.Count;

        public async Task OpenAsync(HttpClient http, CookieContainer cookies, int upTo)
        {
            while (_open.Count < upTo)
            {
                var batch = await Task.WhenAll(
                    Enumerable
                        .Range(_open.Count, Math.Min(4, upTo - _open.Count))
                        .Select(async i =>
                        {
                            var store = i % run.Stores.Count;
                            return (
                                await BlazorCircuit.OpenAsync(
                                    http,
                                    cookies,
                                    $"stores/{run.Stores[store].ShopDomain.Split('.')[0]}/overview?preset=today",
                                    (circuit, changes) => Look(circuit, store, changes)
                                ),
                                store
                            );
                        })
                );
                _open.AddRange(batch);
            }
            for (
                var patience = 0;
                _open.Exists(o => o.Circuit.Batches < 2 && o.Circuit.Failure is null) && patience < 300;
                patience++
            )
                await Task.Delay(100);
            await Task.Delay(_settling);
            if (_open.Find(o => o.Circuit.Failure is not null || o.Circuit.Batches < 2) is { Circuit: { } broken })
                throw new InvalidOperationException(
                    $"A page could not be opened: {broken.Failure ?? "it draws nothing"}\n{run.Product.Output}"
                );
        }

        public void Expect(int store, long at) => _sent[(store, ++_orders[store])] = at;

        /// <summary>
        /// A batch that holds a count as a text of its own (its length, then itself) shows that count and all smaller
        /// ones.
        /// </summary>
        private void Look(BlazorCircuit circuit, int store, byte[] changes)
        {
            var now = Stopwatch.GetTimestamp();
            foreach (var ((_, count), at) in _sent.Where(s => s.Key.Store == store))
            {
                var text = Encoding.UTF8.GetBytes(count.ToString("N0", CultureInfo.InvariantCulture));
                if (changes.AsSpan().IndexOf([(byte)text.Length, .. text]) < 0)
                    continue;
                foreach (var ((_, smaller), earlier) in _sent.Where(s => s.Key.Store == store && s.Key.Count <= count))
                    _lags.TryAdd((circuit, store, smaller), Stopwatch.GetElapsedTime(earlier, now).TotalMilliseconds);
            }
        }

        public (List<double> Lags, int Missing, string? Failure) Take()
        {
            var expected = _sent.Keys.Sum(s => _open.Count(o => o.Store == s.Store));
            var result = (
                _lags.Values.Order().ToList(),
                expected - _lags.Count,
                _open.Find(o => o.Circuit.Failure is not null).Circuit?.Failure
            );
            _sent.Clear();
            _lags.Clear();
            return result;
        }

        public async Task CloseAsync()
        {
            foreach (var (circuit, _) in _open)
                await circuit.DisposeAsync();
        }
    }
}
