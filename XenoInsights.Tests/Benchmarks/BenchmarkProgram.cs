using System.Globalization;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>Measurements, each as a ratio in one run against the physical limit or the plain alternative (docs/performance.md). Never part of the tests.</summary>
internal static class BenchmarkProgram
{
    public static async Task<int> RunAsync(string[] args)
    {
        var sizes = args.Skip(1).Select(size => int.Parse(size, CultureInfo.InvariantCulture)).ToArray();
        switch (args.FirstOrDefault())
        {
            case "ingestion":
                await IngestionBenchmark.RunAsync(sizes is [var orders, ..] ? orders : 100_000);
                return 0;
            case "import":
                await ImportBenchmark.RunAsync(sizes is [] ? [10_000, 100_000, 1_000_000] : sizes);
                return 0;
            case "endpoints":
                await ImportBenchmark.AskAgainAsync(
                    sizes is [] ? [10_000, 100_000, 1_000_000] : sizes,
                    async product => await EndpointsBenchmark.RunAsync(product.Http, await product.TenantAsync())
                );
                return 0;
            case "pages":
                await ImportBenchmark.AskAgainAsync(
                    sizes is [] ? [10_000, 1_000_000] : sizes,
                    product => PagesBenchmark.RunAsync(product.Http.BaseAddress!, ImportBenchmark.Handle)
                );
                return 0;
            case "webhooks":
                await WebhooksBenchmark.RunAsync();
                return 0;
            case "stores":
                await StoresBenchmark.RunAsync(sizes is [var large, ..] ? large : 100_000);
                return 0;
            case "dashboards":
                await DashboardsBenchmark.RunAsync(sizes is [var open, ..] ? open : 500);
                return 0;
            case "nightly":
                await NightlyBenchmark.RunAsync(sizes is [] ? [1000] : sizes);
                return 0;
            default:
                await Console.Error.WriteLineAsync(
                    "benchmark ingestion [orders] | import [orders …] | endpoints [orders …] | pages [orders …] | webhooks | stores [orders] | dashboards [open] "
                        + "| nightly [stores …]"
                );
                return 2;
        }
    }
}
