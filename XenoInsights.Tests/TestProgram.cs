using Xunit.MicrosoftTestingPlatform;
using Xunit.Runner.InProc.SystemConsole;

namespace XenoInsights.Tests;

/// <summary>The tests as always; <c>benchmark NAME</c> runs a benchmark instead (docs/performance.md), <c>drill NAME</c> what the scripts in <c>.ci</c> need.</summary>
internal static class TestProgram
{
    public static Task<int> Main(string[] args) =>
        args switch
        {
            ["drill", .. var rest] => Drills.DrillProgram.RunAsync(rest),
            ["benchmark", .. var rest] => Benchmarks.BenchmarkProgram.RunAsync(rest),
            _ when args.Any(arg => arg is "--server" or "--internal-msbuild-node") =>
                TestPlatformTestFramework.RunAsync(args, SelfRegisteredExtensions.AddSelfRegisteredExtensions),
            _ => ConsoleRunner.Run(args),
        };
}
