namespace XenoInsights.Tests.Benchmarks;

/// <summary>Measurements, each as a ratio in one run against the physical limit or the plain alternative. Never part of the tests.</summary>
internal static class BenchmarkProgram
{
    public static async Task<int> RunAsync(string[] args)
    {
        switch (args)
        {
            case ["door", .. var rest]:
                await DoorBenchmark.RunAsync(rest is [var orders, ..] ? int.Parse(orders, System.Globalization.CultureInfo.InvariantCulture) : 100_000);
                return 0;
            default:
                await Console.Error.WriteLineAsync("benchmark door [orders]");
                return 2;
        }
    }
}
