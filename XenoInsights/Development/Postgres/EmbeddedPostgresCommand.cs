using System.Runtime.InteropServices;

namespace XenoInsights.Development.Postgres;

/// <summary>
/// <c>XenoInsights postgres</c>: the private server alone, until Ctrl+C, for psql and other tools. Prints its
/// connection string.
/// </summary>
public static class EmbeddedPostgresCommand
{
    public static async Task<int> RunAsync(string[] args)
    {
        var configuration = new ConfigurationBuilder()
            .AddJsonFile(Path.Combine(AppContext.BaseDirectory, "appsettings.json"), optional: true)
            .AddEnvironmentVariables()
            .AddCommandLine(args[1..])
            .Build();
        await using var postgres = await EmbeddedPostgres.StartAsync(
            EmbeddedPostgresOptions.From(configuration),
            CancellationToken.None
        );
        Console.WriteLine(postgres.ConnectionString);
        var end = new TaskCompletionSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, End);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, End);
        await end.Task;
        return 0;

        void End(PosixSignalContext signal)
        {
            signal.Cancel = true;
            end.TrySetResult();
        }
    }
}
