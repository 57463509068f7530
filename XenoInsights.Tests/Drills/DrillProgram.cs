using System.Globalization;

namespace XenoInsights.Tests.Drills;

/// <summary>What the scripts in <c>.ci</c> need beside shell commands. Never part of the tests.</summary>
internal static class DrillProgram
{
    public static async Task<int> RunAsync(string[] args)
    {
        switch (args)
        {
            case ["upgrade", var earlier, .. var size]:
                return await UpgradeDrill.RunAsync(
                    earlier,
                    size is [var orders, ..] ? int.Parse(orders, CultureInfo.InvariantCulture) : 30_000
                )
                    ? 0
                    : 1;
            case ["rolling", var product, var haproxy]:
                return await RollingDrill.RunAsync(product, haproxy) ? 0 : 1;
            case ["fill", var connectionString, var key]:
                await RestoreDrill.FillAsync(connectionString, key);
                return 0;
            case ["sql", var connectionString, var sql]:
                await RestoreDrill.PrintAsync(connectionString, sql);
                return 0;
            case ["base-backup", var connectionString, var source, var target]:
                await RestoreDrill.BaseBackupAsync(connectionString, source, target);
                return 0;
            default:
                await Console.Error.WriteLineAsync(
                    "drill upgrade EARLIER_DLL [orders] | rolling PRODUCT_DLL HAPROXY | fill CONNECTION KEY | sql CONNECTION SQL | base-backup CONNECTION FROM_FOLDER TO_FOLDER"
                );
                return 2;
        }
    }
}
