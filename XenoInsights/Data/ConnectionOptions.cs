using System.ComponentModel.DataAnnotations;

namespace XenoInsights.Data;

/// <summary>Section <c>Postgres</c>.</summary>
internal sealed class ConnectionOptions
{
    public const string Section = "Postgres";

    /// <summary>Database connections of a process at most, beside those that store webhooks and those of exports.</summary>
    [Range(5, 500, ErrorMessage = CheckedOptions.Range)]
    public int Connections { get; set; } = 30;
}

/// <summary>Section <c>Exports</c>, the part of it that concerns the database.</summary>
internal sealed class ExportConnectionOptions
{
    public const string Section = "Exports";

    /// <summary>Database connections of a process that exports read from, and nothing else.</summary>
    [Range(1, 100, ErrorMessage = CheckedOptions.Range)]
    public int Connections { get; set; } = 4;
}
