using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace XenoInsights.Data;

/// <summary>How to upgrade a database; the defaults are for one that serves.</summary>
public sealed record MigrateOptions
{
    /// <summary>The longest wait for one lock: nobody who serves is held up longer than that.</summary>
    public TimeSpan LockTimeout { get; init; } = TimeSpan.FromMilliseconds(400);

    /// <summary>How long to go on trying for a lock, and for another <c>migrate</c> to end.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Told what is being done, a line each.</summary>
    public Action<string> Say { get; init; } = _ => { };

    public TimeProvider Time { get; init; } = TimeProvider.System;
}

/// <summary>
/// Brings a database to this version's schema while the version before goes on serving. Runs as the login that owns the
/// tables. Interrupted anywhere, it is run again and goes on.
/// </summary>
/// <remarks>
/// In this order: roles; each pending migration in a transaction of its own; policies and grants that are not as
/// declared (<see cref="RowLevelSecurity"/>); missing indexes, concurrently. Locks are taken for a moment or not at all
/// (<see cref="ShortLocks"/>).
/// </remarks>
public static class Migrator
{
    /// <exception cref="UpgradeStoppedException">Locks could not be had, or another upgrade runs; the message says who
    /// is in the way.</exception>
    public static async Task MigrateAsync(
        string connectionString,
        MigrateOptions? how = null,
        CancellationToken ct = default
    )
    {
        how ??= new();
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync(ct);
        await using var alone = await UpgradeLock.TakeAsync(connectionString, how, ct);
        await using var db = Context(connectionString);
        var locks = new ShortLocks(how.LockTimeout, how.Patience, how.Time, how.Say);

        await locks.RunAsync(connection, "Roles", RowLevelSecurity.Roles, ct);
        var isNew = (await AppliedAsync(connection, ct)).Count == 0;
        foreach (var (name, script) in await PendingAsync(db, connection, ct))
        {
            how.Say($"Migration {name}");
            await locks.RunAsync(connection, $"Migration {name}", script, ct);
        }
        // Nobody can need more than this version does where there was nothing before it.
        await SecureAsync(connection, locks, how, withExcess: isNew, ct);
        await Indexes.BuildAsync(db, connection, how.Say, ct);
        await locks.RunAsync(connection, "What the schema is", Record(isNew ? Backfills.All : []), ct);
        how.Say("The schema is that of this version");
        if (await WaitingAsync(connection, Backfills.All, ct) is { Count: > 0 } waiting)
            how.Say(
                $"Still to be filled: {string.Join(", ", waiting.Select(b => b.Name))}. "
                    + "Run `XenoInsights finish-upgrade` once no older version runs"
            );
    }

    /// <summary>
    /// The second half of an upgrade, once no older version runs: fills what this version's migrations have made room
    /// for, and takes away rights that only older versions needed. From its first backfill on the database refuses
    /// versions that would not keep what is filled.
    /// </summary>
    /// <exception cref="UpgradeStoppedException">Migrations are pending, or some stores could not be filled; the
    /// message says which and why.</exception>
    public static Task FinishAsync(
        string connectionString,
        MigrateOptions? how = null,
        CancellationToken ct = default
    ) => FinishAsync(connectionString, Backfills.All, SchemaGate.LookEvery * 2, how ?? new(), ct);

    /// <param name="grace">How long older versions take to notice that they are refused.</param>
    internal static async Task FinishAsync(
        string connectionString,
        IReadOnlyList<Backfill> backfills,
        TimeSpan grace,
        MigrateOptions how,
        CancellationToken ct
    )
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync(ct);
        await using var alone = await UpgradeLock.TakeAsync(connectionString, how, ct);
        if (Schema.Known.Except(await AppliedAsync(connection, ct)).FirstOrDefault() is { } pending)
            throw new UpgradeStoppedException($"Migration {pending} is pending: run `XenoInsights migrate` first.");
        var locks = new ShortLocks(how.LockTimeout, how.Patience, how.Time, how.Say);
        await using var transactions = new TenantTransactions(connectionString, NullLoggerFactory.Instance);
        var failures = new List<string>();
        foreach (var backfill in await WaitingAsync(connection, backfills, ct))
        {
            if (await RequireAsync(connection, backfill.Migration, ct))
                await Task.Delay(grace, how.Time, ct);
            var failed = await Backfills.RunAsync(transactions, backfill, how.Say, ct);
            failures.AddRange(failed);
            if (failed.Count > 0)
                continue;
            await locks.RunAsync(
                connection,
                $"Backfill {backfill.Name}",
                $"update schema_info set backfills = array_append(backfills, '{backfill.Name}')",
                ct
            );
            how.Say($"Backfill {backfill.Name} is done");
        }
        await SecureAsync(connection, locks, how, withExcess: true, ct);
        if (failures.Count > 0)
            throw new UpgradeStoppedException(
                $"{string.Join('\n', failures)}\nThe others are done. Run `XenoInsights finish-upgrade` again."
            );
        how.Say("The upgrade is finished");
    }

    /// <summary>From now on versions that do not know the migration are refused.</summary>
    /// <returns>Whether they were not before.</returns>
    private static async Task<bool> RequireAsync(NpgsqlConnection connection, string migration, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(Required(migration), connection);
        return await command.ExecuteNonQueryAsync(ct) > 0;
    }

    /// <summary>
    /// For a migration that takes something away: versions that do not know <paramref name="migration"/>, and so still
    /// use it, are refused.
    /// </summary>
    internal static string Required(string migration) =>
        $"""
            update schema_info set required_migration = '{migration}'
            where required_migration is null or required_migration < '{migration}'
            """;

    private static string Record(IEnumerable<Backfill> done) =>
        $$"""
            insert into schema_info (only_row, migrations, backfills)
            select true, array_agg(migration_id order by migration_id), '{{{string.Join(
                ',',
                done.Select(b => b.Name)
            )}}}' from "__EFMigrationsHistory"
            on conflict (only_row) do update set migrations = excluded.migrations
            """;

    private static async Task<List<Backfill>> WaitingAsync(
        NpgsqlConnection connection,
        IEnumerable<Backfill> backfills,
        CancellationToken ct
    )
    {
        await using var command = new NpgsqlCommand("select backfills from schema_info", connection);
        var done = (string[]?)await command.ExecuteScalarAsync(ct) ?? [];
        return [.. backfills.Where(b => !done.Contains(b.Name))];
    }

    /// <summary>A context for the schema: it does no unit of work, so it has no roles.</summary>
    internal static XenoDbContext Context(string connectionString) =>
        new(
            new DbContextOptionsBuilder<XenoDbContext>()
                .UseNpgsql(connectionString)
                .UseSnakeCaseNamingConvention()
                .ReplaceService<IMigrationsSqlGenerator, OnlineMigrationsSqlGenerator>()
                .Options,
            TransactionStart.ForNobody
        );

    /// <summary>The migrations that the database has, by EF's own record; none where there is no schema yet.</summary>
    internal static async Task<List<string>> AppliedAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        var applied = new List<string>();
        await using var exists = new NpgsqlCommand(
            "select to_regclass('\"__EFMigrationsHistory\"') is not null",
            connection
        );
        if (await exists.ExecuteScalarAsync(ct) is not true)
            return applied;
        await using var command = new NpgsqlCommand(
            "select migration_id from \"__EFMigrationsHistory\" order by 1",
            connection
        );
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            applied.Add(reader.GetString(0));
        return applied;
    }

    private static async Task<List<(string Name, string Script)>> PendingAsync(
        XenoDbContext db,
        NpgsqlConnection connection,
        CancellationToken ct
    )
    {
        var known = Schema.Known;
        var applied = await AppliedAsync(connection, ct);
        if (applied.Count > 0 && !applied.Contains(known[0]))
            throw new UpgradeStoppedException(
                "This database was made by a version before 0.2.0, and there is no upgrade from those. "
                    + "In Development delete the folder .data; "
                    + "elsewhere begin with an empty database, and connect the stores again: "
                    + "Shopify has all their data."
            );
        var migrator = db.GetService<IMigrator>();
        return
        [
            .. known
                .Select((name, at) => (Name: name, Before: at == 0 ? Migration.InitialDatabase : known[at - 1]))
                .Where(migration => !applied.Contains(migration.Name))
                .Select(migration =>
                    (
                        migration.Name,
                        migrator.GenerateScript(
                            migration.Before,
                            migration.Name,
                            MigrationsSqlGenerationOptions.NoTransactions
                        )
                    )
                ),
        ];
    }

    /// <summary>Each table in a transaction of its own, so that no lock waits for another; most need nothing.</summary>
    private static async Task SecureAsync(
        NpgsqlConnection connection,
        ShortLocks locks,
        MigrateOptions how,
        bool withExcess,
        CancellationToken ct
    )
    {
        var differences = await RowLevelSecurity.DifferencesAsync(connection, ct);
        foreach (var table in differences.Where(d => withExcess || !d.IsExcess).GroupBy(d => d.Table))
        {
            how.Say($"Row-level security of {table.Key}");
            await locks.RunAsync(
                connection,
                $"Row-level security of {table.Key}",
                string.Join(";\n", table.Select(d => d.Repair)),
                ct
            );
        }
    }
}

/// <summary>Only one upgrade at a time: a lock of a session that does nothing else.</summary>
internal sealed class UpgradeLock : IAsyncDisposable
{
    private const string TryLock = "select pg_try_advisory_lock(hashtextextended('XenoInsights upgrade', 0))";
    private static readonly TimeSpan _again = TimeSpan.FromMilliseconds(500);

    private readonly NpgsqlConnection _connection;

    private UpgradeLock(NpgsqlConnection connection) => _connection = connection;

    /// <exception cref="UpgradeStoppedException">Another one runs for longer than the patience.</exception>
    public static async Task<UpgradeLock> TakeAsync(string connectionString, MigrateOptions how, CancellationToken ct)
    {
        var connection = new NpgsqlConnection(connectionString + ";Pooling=false;Keepalive=30");
        try
        {
            await connection.OpenAsync(ct);
            await using var command = new NpgsqlCommand(TryLock, connection);
            var began = how.Time.GetTimestamp();
            // Asked again and again rather than waited for: a statement that waits would hold up the other's concurrent
            // index builds.
            for (var said = false; await command.ExecuteScalarAsync(ct) is not true; said = true)
            {
                if (how.Time.GetElapsedTime(began) >= how.Patience)
                    throw new UpgradeStoppedException(
                        string.Create(
                            CultureInfo.InvariantCulture,
                            $"Another upgrade of this database has run for {how.Patience:c}; nothing was changed."
                        )
                    );
                if (!said)
                    how.Say("Another upgrade of this database runs; waiting for it");
                await Task.Delay(_again, how.Time, ct);
            }
            return new(connection);
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    public ValueTask DisposeAsync() => _connection.DisposeAsync();
}
