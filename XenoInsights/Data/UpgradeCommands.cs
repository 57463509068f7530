using System.Globalization;
using Npgsql;

namespace XenoInsights.Data;

/// <summary>
/// <c>XenoInsights migrate</c> and <c>XenoInsights finish-upgrade</c>: what is done goes to standard output, what is in
/// the way to standard error.
/// </summary>
public static class UpgradeCommands
{
    public const string Migrate = "migrate",
        Finish = "finish-upgrade";

    public static async Task<int> RunAsync(string command, DatabaseConnection database)
    {
        var how = new MigrateOptions
        {
            Say = line =>
                Console.WriteLine(
                    string.Create(CultureInfo.InvariantCulture, $"{TimeProvider.System.GetUtcNow():HH:mm:ss} {line}")
                ),
        };
        try
        {
            await (
                command == Migrate
                    ? Migrator.MigrateAsync(database.Direct, how)
                    : Migrator.FinishAsync(database.Direct, how)
            );
            return 0;
        }
        catch (Exception failure) when (failure is UpgradeStoppedException or NpgsqlException)
        {
            await Console.Error.WriteLineAsync($"{command}: {failure.Message}");
            return 1;
        }
    }
}
