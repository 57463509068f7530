using System.Collections.Concurrent;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.EntityFrameworkCore.Migrations.Operations;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Data;

/// <summary>
/// Upgrades of a database that serves meanwhile: what is in order is not touched, locks are not waited for, whatever is
/// missing is made.
/// </summary>
public sealed class MigratorTests(PostgresServer server)
{
    /// <summary>The first migration: everything before 0.2.0 in one.</summary>
    private const string Baseline = "20261128131210_Baseline";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_earlier_schema_is_upgraded_under_writers_that_lock_tables_in_any_order()
    {
        await using var database = await server.CreateEmptyDatabaseAsync();
        await MigrateToBaselineAsync(database.ConnectionString);
        var tables = await ListAsync(
            database.ConnectionString,
            """
            select quote_ident(relname) from pg_class where relnamespace = 'public'::regnamespace
                and relkind = 'r' and relname <> '__EFMigrationsHistory'
            """
        );
        using var upgraded = new CancellationTokenSource();

        // As writers do: a row lock here, then one there. Waiting for all of them at once would be a deadlock within
        // moments.
        var writers = Enumerable
            .Range(0, 4)
            .Select(seed =>
                Task.Run(async () =>
                {
                    var random = new Random(seed);
                    await using var connection = await OpenAsync(database.ConnectionString);
                    while (!upgraded.IsCancellationRequested)
                    {
                        await using var transaction = await connection.BeginTransactionAsync(Ct);
                        foreach (var table in tables.OrderBy(_ => random.Next()).Take(5))
                        {
                            await ExecuteAsync(connection, $"lock table {table} in row exclusive mode");
                            await Task.Delay(random.Next(10), Ct);
                        }
                        await transaction.CommitAsync(Ct);
                    }
                })
            )
            .ToList();
        await Migrator.MigrateAsync(database.ConnectionString, ct: Ct);
        await upgraded.CancelAsync();
        await Task.WhenAll(writers);

        await AssertCompleteAsync(database.ConnectionString);
    }

    [Fact]
    public async Task What_is_in_order_is_not_locked()
    {
        await using var database = await server.CreateDatabaseAsync();
        await using var busy = await OpenAsync(database.ConnectionString);
        await using var transaction = await busy.BeginTransactionAsync(Ct);
        foreach (
            var table in await ListAsync(
                database.ConnectionString,
                """
                select quote_ident(relname) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
                """
            )
        )
            await ExecuteAsync(busy, $"lock table {table} in row exclusive mode");

        await Migrator.MigrateAsync(database.ConnectionString, Impatient, Ct);
        await Migrator.FinishAsync(database.ConnectionString, Impatient, Ct);
    }

    [Fact]
    public async Task Nobody_waits_behind_an_upgrade_that_waits_for_a_lock()
    {
        await using var database = await server.CreateDatabaseAsync();
        await using var busy = await OpenAsync(database.ConnectionString);
        await ExecuteAsync(busy, "drop policy tenant on orders");
        await using var transaction = await busy.BeginTransactionAsync(Ct);
        await ExecuteAsync(busy, "lock table orders in row exclusive mode");
        var waiting = new TaskCompletionSource();

        var upgrade = Task.Run(() =>
            Migrator.MigrateAsync(
                database.ConnectionString,
                new()
                {
                    LockTimeout = TimeSpan.FromMilliseconds(200),
                    Say = line =>
                    {
                        if (line.EndsWith("trying again", StringComparison.Ordinal))
                            waiting.TrySetResult();
                    },
                },
                Ct
            )
        );
        await waiting.Task.WaitAsync(Ct);
        await using (var other = await OpenAsync(database.ConnectionString))
        {
            for (var i = 0; i < 20; i++)
                await ExecuteAsync(other, "set lock_timeout = '5s'; update orders set name = name");
        }
        Assert.False(upgrade.IsCompleted);
        await transaction.CommitAsync(Ct);
        await upgrade;

        await AssertCompleteAsync(database.ConnectionString);
    }

    [Fact]
    public async Task An_upgrade_that_cannot_get_its_locks_says_who_holds_them_and_changes_nothing()
    {
        await using var database = await server.CreateDatabaseAsync();
        await using var busy = await OpenAsync(database.ConnectionString);
        await ExecuteAsync(busy, "drop policy tenant on orders");
        await using var transaction = await busy.BeginTransactionAsync(Ct);
        await ExecuteAsync(busy, "lock table orders in row exclusive mode");

        var stopped = await Assert.ThrowsAsync<UpgradeStoppedException>(() =>
            Migrator.MigrateAsync(database.ConnectionString, Impatient, Ct)
        );

        Assert.Contains("Row-level security of orders", stopped.Message, StringComparison.Ordinal);
        Assert.Contains($"pid {busy.ProcessID}, ", stopped.Message, StringComparison.Ordinal);
        Assert.Contains("lock table orders", stopped.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_upgrades_of_an_empty_database_at_once_make_one_schema()
    {
        await using var database = await server.CreateEmptyDatabaseAsync();

        await Task.WhenAll(
            Migrator.MigrateAsync(database.ConnectionString, ct: Ct),
            Migrator.MigrateAsync(database.ConnectionString, ct: Ct)
        );

        await AssertCompleteAsync(database.ConnectionString);
        await using var db = Migrator.Context(database.ConnectionString);
        Assert.Equal(Schema.Known, await db.Database.GetAppliedMigrationsAsync(Ct));
    }

    /// <summary>What a restore without the server's roles, an interrupted build or a person with psql leaves.</summary>
    [Theory]
    [InlineData("alter table orders disable row level security", "orders: row-level security is not enabled")]
    [InlineData("alter table orders no force row level security", "orders: row-level security is not forced")]
    [InlineData("drop policy tenant on customers", "customers: the policy tenant for xeno_app is missing")]
    [InlineData(
        "drop policy tenant on customers; create policy tenant on customers to xeno_app using (true)",
        "customers: the policy tenant for xeno_app is not as it must be"
    )]
    [InlineData(
        "alter policy system on events to public",
        "events: the policy system for xeno_system is not as it must be"
    )]
    [InlineData("revoke update on products from xeno_app", "products: xeno_app may not update")]
    [InlineData("revoke select (topic) on events from xeno_system", "events: xeno_system may not select topic")]
    public async Task What_is_missing_is_found_and_made(string damage, string problem)
    {
        await using var database = await server.CreateDatabaseAsync();
        await PostgresServer.ExecuteAsync(database.ConnectionString, damage);

        Assert.Equal([problem], await DifferencesAsync(database.ConnectionString));
        await Migrator.MigrateAsync(database.ConnectionString, ct: Ct);

        await AssertCompleteAsync(database.ConnectionString);
    }

    /// <summary>An older version that still runs may need it, so only the end of an upgrade takes it away.</summary>
    [Theory]
    [InlineData("grant select on orders to xeno_system", "orders: xeno_system may select, which nothing here needs")]
    [InlineData(
        "grant select (email) on customers to public",
        "customers: public may select email, which nothing here needs"
    )]
    [InlineData(
        "create policy everything on orders to xeno_system using (true)",
        "orders: there is a policy everything for xeno_system that nothing here needs"
    )]
    public async Task What_is_too_much_is_found_and_taken_away_when_the_upgrade_is_finished(
        string damage,
        string problem
    )
    {
        await using var database = await server.CreateDatabaseAsync();
        await PostgresServer.ExecuteAsync(database.ConnectionString, damage);

        await Migrator.MigrateAsync(database.ConnectionString, ct: Ct);
        Assert.Equal([problem], await DifferencesAsync(database.ConnectionString));
        await Migrator.FinishAsync(database.ConnectionString, ct: Ct);

        await AssertCompleteAsync(database.ConnectionString);
    }

    [Fact]
    public async Task Indexes_that_are_missing_or_were_left_invalid_are_built_while_others_write()
    {
        await using var database = await server.CreateDatabaseAsync();
        await PostgresServer.ExecuteAsync(
            database.ConnectionString,
            """
            drop index ix_orders_tenant_id_name;
            update pg_index set indisvalid = false
            where indexrelid in ('ux_sync_jobs_unfinished'::regclass, 'ix_events_waiting'::regclass);
            """
        );
        var definitions = await ListAsync(
            database.ConnectionString,
            "select indexdef from pg_indexes where schemaname = 'public' order by 1"
        );
        var said = new ConcurrentQueue<string>();

        await Migrator.MigrateAsync(database.ConnectionString, new() { Say = said.Enqueue }, Ct);

        await AssertCompleteAsync(database.ConnectionString);
        Assert.Equal(2, said.Count(line => line.StartsWith("Dropping index", StringComparison.Ordinal)));
        Assert.Equal(3, said.Count(line => line.StartsWith("Building index", StringComparison.Ordinal)));
        var built = await ListAsync(
            database.ConnectionString,
            "select indexdef from pg_indexes where schemaname = 'public' order by 1"
        );
        Assert.Equal(
            ["CREATE INDEX ix_orders_tenant_id_name ON public.orders USING btree (tenant_id, name)"],
            built.Except(definitions)
        );
        Assert.Empty(definitions.Except(built));
    }

    /// <summary>
    /// The migrator keeps these rules' other half: it builds indexes concurrently and sets policies and grants itself.
    /// </summary>
    [Fact]
    public void Migrations_change_nothing_the_version_before_uses_and_lock_nothing_for_long()
    {
        using var db = Migrator.Context("Host=localhost;Database=design");
        var assembly = db.GetService<IMigrationsAssembly>();
        var faults = new List<string>();
        foreach (var (id, type) in assembly.Migrations.Where(m => string.CompareOrdinal(m.Key, Baseline) > 0))
        {
            var operations = assembly.CreateMigration(type, db.Database.ProviderName!).UpOperations;
            var created = operations.OfType<CreateTableOperation>().Select(t => t.Name).ToHashSet();
            var contracts = operations
                .OfType<SqlOperation>()
                .Any(o => o.Sql.Contains("set required_migration", StringComparison.Ordinal));
            faults.AddRange(
                operations.Select(o => Fault(o, created, contracts)).OfType<string>().Select(fault => $"{id}: {fault}")
            );
        }

        Assert.Empty(faults);
        Assert.NotNull(Fault(new DropColumnOperation { Table = "orders", Name = "name" }, [], contracts: false));
        Assert.NotNull(
            Fault(
                new CreateIndexOperation
                {
                    Table = "orders",
                    Name = "x",
                    IsUnique = true,
                    Columns = ["name"],
                },
                [],
                contracts: false
            )
        );
        Assert.Null(Fault(new DropColumnOperation { Table = "orders", Name = "name" }, [], contracts: true));
    }

    [Fact]
    public async Task Database_of_a_version_before_the_baseline_is_named()
    {
        await using var database = await server.CreateDatabaseAsync();
        await PostgresServer.ExecuteAsync(
            database.ConnectionString,
            "update \"__EFMigrationsHistory\" set migration_id = '20261123033349_Initial'"
        );

        var stopped = await Assert.ThrowsAsync<UpgradeStoppedException>(() =>
            Migrator.MigrateAsync(database.ConnectionString, ct: Ct)
        );

        Assert.Contains("before 0.2.0", stopped.Message, StringComparison.Ordinal);
        Assert.Contains(".data", stopped.Message, StringComparison.Ordinal);
    }

    private static string? Fault(MigrationOperation operation, HashSet<string> created, bool contracts) =>
        operation switch
        {
            CreateTableOperation or CreateIndexOperation { IsUnique: false } => null,
            CreateIndexOperation index when created.Contains(index.Table) || contracts => null,
            CreateIndexOperation index =>
                $"unique {index.Name} on {index.Table}: what the version before stores may break it",
            AddColumnOperation { IsNullable: false, DefaultValue: null, DefaultValueSql: null } column
                when !created.Contains(column.Table) =>
                $"{column.Table}.{column.Name}: needs a default, which the version before stores",
            AddColumnOperation { DefaultValueSql: { } sql } column
                when !sql.StartsWith("now()", StringComparison.Ordinal) =>
                $"{column.Table}.{column.Name}: a default that is computed for each row writes the table anew",
            AddColumnOperation => null,
            AlterColumnOperation { IsNullable: true } column when column.ColumnType == column.OldColumn.ColumnType =>
                null,
            ITableMigrationOperation table when created.Contains(table.Table) => null,
            SqlOperation => null,
            _ when contracts => null,
            DropIndexOperation => null,
            _ => $"{operation.GetType().Name}: takes away or changes what the version before uses; "
                + "it belongs into a later migration that calls for Migrator.Required",
        };

    private static MigrateOptions Impatient => new() { Patience = TimeSpan.Zero };

    private static async Task AssertCompleteAsync(string connectionString)
    {
        Assert.Empty(await DifferencesAsync(connectionString));
        await using var connection = await OpenAsync(connectionString);
        await using var db = Migrator.Context(connectionString);
        Assert.Empty(await Indexes.MissingAsync(db, connection, Ct));
        Assert.Empty(await Indexes.InvalidAsync(connection, Ct));
        Assert.Equal(Schema.Known, await ListAsync(connectionString, "select unnest(migrations) from schema_info"));
    }

    private static async Task<List<string>> DifferencesAsync(string connectionString)
    {
        await using var connection = await OpenAsync(connectionString);
        return (await RowLevelSecurity.DifferencesAsync(connection, Ct)).ConvertAll(d => $"{d.Table}: {d.Problem}");
    }

    /// <summary>As the version of that time did it.</summary>
    private static async Task MigrateToBaselineAsync(string connectionString)
    {
        await using var db = new XenoDbContext(
            new DbContextOptionsBuilder<XenoDbContext>()
                .UseNpgsql(connectionString)
                .UseSnakeCaseNamingConvention()
                .Options,
            TransactionStart.ForNobody
        );
        await db.GetService<IMigrator>().MigrateAsync(Baseline, Ct);
    }

    private static async Task<NpgsqlConnection> OpenAsync(string connectionString)
    {
        var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync(Ct);
        return connection;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(Ct);
    }

    private static async Task<List<string>> ListAsync(string connectionString, string sql)
    {
        await using var connection = await OpenAsync(connectionString);
        var rows = new List<string>();
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync(Ct);
        while (await reader.ReadAsync(Ct))
            rows.Add(reader.GetString(0));
        return rows;
    }
}
