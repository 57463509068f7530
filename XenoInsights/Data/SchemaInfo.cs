using System.Diagnostics.Metrics;
using System.Reflection;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql;

namespace XenoInsights.Data;

/// <summary>
/// The one row that says what the schema is, for every process that works on it. Written by <see cref="Migrator"/>
/// only.
/// </summary>
public sealed class SchemaInfo
{
    public bool OnlyRow { get; init; } = true;

    /// <summary>The migrations that are in effect completely: with their policies, grants and indexes.</summary>
    public required string[] Migrations { get; set; }

    /// <summary>
    /// A version that does not know this migration would write wrong rows now, and has to stop. Null: any may work.
    /// </summary>
    public string? RequiredMigration { get; set; }

    /// <summary>Names of the backfills that are done for all stores, also for those still to come.</summary>
    public required string[] Backfills { get; set; }
}

internal sealed class SchemaInfoConfiguration : IEntityTypeConfiguration<SchemaInfo>
{
    public void Configure(EntityTypeBuilder<SchemaInfo> builder)
    {
        builder.ToTable("schema_info", table => table.HasCheckConstraint("ck_schema_info_only_row", "only_row"));
        builder.HasKey(s => s.OnlyRow);
        builder.Property(s => s.OnlyRow).ValueGeneratedNever();
    }
}

/// <summary>
/// This version and the schema of the database do not fit together; the message says which of the two is older and what
/// to do.
/// </summary>
public sealed class SchemaMismatchException(string message) : InvalidOperationException(message);

/// <summary>What this version knows of the schema.</summary>
internal static class Schema
{
    /// <summary>The ids of this version's migrations, oldest first.</summary>
    public static IReadOnlyList<string> Known { get; } =
    [
        .. typeof(Schema)
            .Assembly.GetTypes()
            .Select(type => type.GetCustomAttribute<MigrationAttribute>()?.Id)
            .OfType<string>()
            .Order(StringComparer.Ordinal),
    ];

    /// <exception cref="SchemaMismatchException">This version is older than the schema accepts.</exception>
    public static void ThrowIfTooOld(string? requiredMigration)
    {
        if (TooOld(requiredMigration) is { } problem)
            throw new SchemaMismatchException(problem);
    }

    /// <summary>
    /// What is wrong with this version on a schema that has and requires these migrations; null: nothing.
    /// </summary>
    public static string? Mismatch(IReadOnlyCollection<string> migrations, string? requiredMigration)
    {
        var missing = Known.Except(migrations).ToList();
        if (missing.Count == 0)
            return TooOld(requiredMigration);
        var others = missing.Count > 1 ? $" and {missing.Count - 1} more" : "";
        return $"The database lacks migration {missing[0]}{others}, which this version needs: "
            + "run `XenoInsights migrate`. Nothing is read or written until then.";
    }

    private static string? TooOld(string? requiredMigration) =>
        requiredMigration is null || Known.Contains(requiredMigration)
            ? null
            : "This version is older than the database accepts: it does not know migration "
                + $"{requiredMigration}. It reads and writes nothing any more; run the newer version.";
}

/// <summary>
/// Asks the database every few seconds whether this version and the schema fit together, and lets no unit of work begin
/// when they do not. Every unit of work passes here, so nothing that reads or writes has to think of it.
/// </summary>
public sealed partial class SchemaGate : IDisposable
{
    /// <summary>How long an answer holds.</summary>
    internal static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _looking = new(1);
    private readonly TimeProvider _time;
    private readonly ILogger<SchemaGate> _logger;
    private long? _lookedAt;
    private string? _problem;

    /// <param name="meters">For the gauge <c>xeno.database.up</c>; null where nobody measures.</param>
    public SchemaGate(TimeProvider time, ILogger<SchemaGate> logger, IMeterFactory? meters = null)
    {
        _time = time;
        _logger = logger;
        meters?.Create("XenoInsights.Database").CreateObservableGauge("xeno.database.up", () => IsReachable ? 1 : 0);
    }

    /// <summary>The schema accepted this version when it was last looked at.</summary>
    public bool IsAccepted => _lookedAt is not null && _problem is null;

    /// <summary>Why it does not; null when it does, and before the first look.</summary>
    public string? Problem => _problem;

    /// <summary>Whether the database answered the last look.</summary>
    public bool IsReachable { get; private set; }

    private bool IsDue => _lookedAt is not { } at || _time.GetElapsedTime(at) >= LookEvery;

    /// <exception cref="SchemaMismatchException">They do not fit together.</exception>
    internal async Task PassAsync(NpgsqlDataSource source, CancellationToken ct)
    {
        // While one looks again, the others go by what it saw before.
        if (IsDue && await _looking.WaitAsync(_lookedAt is null ? Timeout.Infinite : 0, ct))
        {
            try
            {
                if (IsDue)
                    await LookAsync(source, ct);
            }
            finally
            {
                _looking.Release();
            }
        }
        if (_problem is { } problem)
            throw new SchemaMismatchException(problem);
    }

    public void Dispose() => _looking.Dispose();

    private async Task LookAsync(NpgsqlDataSource source, CancellationToken ct)
    {
        IsReachable = false;
        var problem = await ProblemAsync(source, ct);
        (IsReachable, _lookedAt) = (true, _time.GetTimestamp());
        if (problem == _problem)
            return;
        if (problem is null)
            Log.Accepted(_logger);
        else
            Log.Refused(_logger, problem);
        _problem = problem;
    }

    private static async Task<string?> ProblemAsync(NpgsqlDataSource source, CancellationToken ct)
    {
        try
        {
            await using var command = source.CreateCommand("select migrations, required_migration from schema_info");
            await using var reader = await command.ExecuteReaderAsync(ct);
            return await reader.ReadAsync(ct)
                ? Schema.Mismatch(
                    await reader.GetFieldValueAsync<string[]>(0, ct),
                    await reader.IsDBNullAsync(1, ct) ? null : reader.GetString(1)
                )
                : Schema.Mismatch([], null);
        }
        catch (PostgresException none) when (none.SqlState == PostgresErrorCodes.UndefinedTable)
        {
            return Schema.Mismatch([], null);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1300,
            Level = LogLevel.Information,
            Message = "The database has the schema that this version needs"
        )]
        public static partial void Accepted(ILogger logger);

        [LoggerMessage(
            EventId = 1301,
            Level = LogLevel.Error,
            Message = "The schema of the database and this version do not fit together: {Problem}"
        )]
        public static partial void Refused(ILogger logger, string problem);
    }
}
