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
            ("Access__SessionIdle", "00:00:01"),
            ("Exports__Connections", "0"),
            ("Exports__PageRows", "0"),
            ("Instance__DrainSeconds", "301"),
            ("Notifications__LagMinutes", "0"),
            ("Shopify__ApiVersion", "2026-11"),
            ("Smtp__Port", "0"),
            ("Smtp__Security", "Ssl"),
            ("Webhooks__RetrySeconds", "0"),
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
                "Postgres:Connections must be 5 to 500.",
                "Access:SessionIdle must be from one minute (00:01:00) to 90 days (90.00:00:00).",
                "Exports:Connections must be 1 to 100.",
                "Exports:PageRows must be 1 to 100000.",
                "Instance:DrainSeconds must be 0 to 300 seconds.",
                "Notifications:LagMinutes must be 1 to 1440.",
                "Shopify:ApiVersion must be a version such as 2026-10.",
                "Smtp:Port must be 1 to 65535.",
                "Smtp:Security must be StartTls, SslOnConnect or None.",
                "Webhooks:RetrySeconds must be more than 0 and at most 3600.",
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

    [Fact]
    public async Task A_command_tells_wrong_options_in_plain_lines()
    {
        var (exitCode, errors) = await RunAsync(
            ["verify"],
            ("ConnectionStrings__XenoInsights", "Host=localhost;Port=1;Database=x;Username=x"),
            ("Postgres__Connections", "3")
        );

        Assert.Equal(1, exitCode);
        Assert.Contains("Postgres:Connections must be 5 to 500.", errors, StringComparison.Ordinal);
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
