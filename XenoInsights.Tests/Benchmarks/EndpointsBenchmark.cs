using System.Diagnostics;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>
/// What a question costs from the outside: HTTP over loopback, signed in, one at a time. New: ranges that nobody has
/// asked for since the data changed; known: ranges asked before.
/// </summary>
internal static class EndpointsBenchmark
{
    private const int WarmUp = 40,
        New = 60,
        Known = 200;

    private static readonly (string Name, string Path)[] _questions =
    [
        ("overview", "overview?"),
        ("orders/by-date", "orders/by-date?granularity=day&"),
        ("customers/top", "customers/top?"),
        ("products/top", "products/top?"),
        ("orders", "orders?"),
        ("orders, largest", "orders?sort=largest&"),
        ("orders/sums", "orders/sums?"),
        ("what-changed", "what-changed?"),
        ("…by product", "what-changed?by=product&"),
        ("customers", "customers?"),
        ("customers/sums", "customers/sums?who=returning&"),
        ("products", "products?"),
        ("checkouts", "checkouts?"),
        ("checkouts/open", "checkouts/open?"),
    ];

    /// <summary>Questions about the whole history: asked again they are known for a while.</summary>
    private static readonly string[] _wholeHistory =
    [
        "cohorts?period=month",
        "cohorts?period=week",
        "customers/segments?",
    ];

    public static async Task RunAsync(HttpClient http, string tenant)
    {
        foreach (var question in _wholeHistory)
        {
            var times = await TimesAsync(
                5,
                _ => new Uri($"/api/metrics/{question}&tenant_id={tenant}", UriKind.Relative)
            );
            Console.WriteLine(
                $"  whole history {question, -21} first {times[^1], 8:N1} ms   known: {times[0], 5:N1} ms"
            );
        }
        var last = DateOnly.FromDateTime(TimeProvider.System.GetUtcNow().DateTime);
        foreach (var (range, days) in ((string, int)[])[("30 days", 30), ("365 days", 365)])
        {
            foreach (var (name, path) in _questions)
            {
                // Ranges of other lengths warm the code up without answering any of those that count.
                await TimesAsync(WarmUp, i => Address(path, tenant, last.AddDays(-i), days + 1));
                var fresh = await TimesAsync(New, i => Address(path, tenant, last.AddDays(-i), days));
                var known = await TimesAsync(Known, i => Address(path, tenant, last.AddDays(-i % New), days));
                Console.WriteLine(
                    $"  {range, -8} {name, -16} new: p50 {fresh[New / 2], 6:N1} ms  p95 "
                        + $"{fresh[New * 95 / 100], 6:N1} ms   known: p50 {known[Known / 2], 5:N1} ms  p95 "
                        + $"{known[Known * 95 / 100], 5:N1} ms"
                );
            }
        }

        async Task<List<double>> TimesAsync(int count, Func<int, Uri> address)
        {
            var times = new List<double>(count);
            for (var i = 0; i < count; i++)
            {
                var start = Stopwatch.GetTimestamp();
                using var answer = await http.GetAsync(address(i));
                answer.EnsureSuccessStatusCode();
                times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }
            times.Sort();
            return times;
        }
    }

    private static Uri Address(string path, string tenant, DateOnly to, int days) =>
        new(
            $"/api/metrics/{path}tenant_id={tenant}&from={to.AddDays(1 - days):yyyy-MM-dd}&to={to:yyyy-MM-dd}",
            UriKind.Relative
        );
}
