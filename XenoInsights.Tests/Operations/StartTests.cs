using System.Diagnostics;

namespace XenoInsights.Tests.Operations;

/// <summary>What is wrong with the configuration ends the process with all of it in plain lines.</summary>
public sealed class StartTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Everything_that_is_wrong_with_the_configuration_is_told_at_once()
    {
        var (exitCode, errors) = await RunAsync(
            [],
            ("Sync__Parallel", "many"),
            ("Postgres__Connections", "3"),
            ("Schedules__IncidentDetector", "often"),
            ("Retention__PayloadDays", "1"),
            ("ForwardedHeaders__KnownNetworks__0", "office"),
            ("App__PublicUrl", "http://insights.test"),
            ("DemoShopify__Enabled", "false"),
            ("Schedules__ForgetOldRuns", "never")
        );

        Assert.Equal(1, exitCode);
        Assert.All(
            [
                "ConnectionStrings:XenoInsights",
                "Oidc:Authority",
                "Encryption:Keys",
                "Shopify:ClientId",
                "Sync:Parallel",
                "Postgres:Connections",
                "Schedules:IncidentDetector",
                "Retention:PayloadDays",
                "ForwardedHeaders:KnownNetworks",
                "App:PublicUrl",
                "DemoShopify is FakeShopify now",
                "Schedules:ForgetOldRuns is Schedules:PurgeSyncJobs now",
            ],
            key => Assert.Contains(key, errors, StringComparison.Ordinal)
        );
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("Unhandled", errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("migrate")]
    [InlineData("finish-upgrade")]
    [InlineData("verify")]
    public async Task A_command_without_a_database_says_which_key_is_missing(string command)
    {
        var (exitCode, errors) = await RunAsync([command]);

        Assert.Equal(1, exitCode);
        Assert.Contains("ConnectionStrings:XenoInsights", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(
        string[] arguments,
        params (string Key, string Value)[] settings
    )
    {
        var dll = Path.Combine(AppContext.BaseDirectory, "XenoInsights.dll");
        var start = new ProcessStartInfo("dotnet", [dll, .. arguments])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        start.Environment["ASPNETCORE_ENVIRONMENT"] = "Production";
        start.Environment.Remove("DATABASE_URL");
        foreach (var (key, value) in settings)
            start.Environment[key] = value;
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(Ct);
        var errors = await process.StandardError.ReadToEndAsync(Ct);
        await process.WaitForExitAsync(Ct);
        return (process.ExitCode, errors + await output);
    }
}
