using System.Diagnostics;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>What a question costs from the outside: HTTP over loopback, signed in, one at a time.</summary>
internal static class EndpointsBenchmark
{
    private const int WarmUp = 20, Requests = 200;

    private static readonly (string Name, string Path)[] Questions =
    [
        ("overview", "overview"), ("orders/by-date", "orders/by-date?granularity=day"), ("customers/top", "customers/top"), ("products/top", "products/top"),
    ];

    public static async Task RunAsync(HttpClient http, string tenant)
    {
        var today = DateOnly.FromDateTime(DateTime.Today);
        foreach (var (range, days) in ((string, int)[])[("30 days", 30), ("365 days", 365)])
        {
            foreach (var (name, path) in Questions)
            {
                var times = new List<double>(Requests);
                for (var i = 0; i < WarmUp + Requests; i++)
                {
                    // Another range each time, as people ask: no answer can be one that was kept.
                    var to = today.AddDays(-(i % 7));
                    var address = new Uri($"/api/metrics/{path}{(path.Contains('?', StringComparison.Ordinal) ? '&' : '?')}tenant_id={tenant}&from={to.AddDays(1 - days):yyyy-MM-dd}&to={to:yyyy-MM-dd}", UriKind.Relative);
                    var start = Stopwatch.GetTimestamp();
                    using var answer = await http.GetAsync(address);
                    answer.EnsureSuccessStatusCode();
                    if (i >= WarmUp) times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                }
                times.Sort();
                Console.WriteLine($"  {range,-8} {name,-15} p50 {times[Requests / 2],7:N1} ms   p95 {times[Requests * 95 / 100],7:N1} ms");
            }
        }
    }
}
