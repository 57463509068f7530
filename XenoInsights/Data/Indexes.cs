using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.EntityFrameworkCore.Migrations.Operations;
using Npgsql;

namespace XenoInsights.Data;

/// <summary>
/// The indexes of the model against those of the database. Missing ones are built concurrently, so nobody waits for
/// them.
/// </summary>
internal static class Indexes
{
    /// <summary>Names of indexes that the model has and the database has not.</summary>
    public static async Task<List<string>> MissingAsync(
        XenoDbContext db,
        NpgsqlConnection connection,
        CancellationToken ct
    )
    {
        var stored = await NamesAsync(connection, "true", ct);
        return
        [
            .. OfModel(db)
                .Select(index => index.Name)
                .Where(name => !stored.Contains(name))
                .Order(StringComparer.Ordinal),
        ];
    }

    /// <summary>
    /// What an interrupted build left: it takes part in every write and answers no question. Not those that are being
    /// built right now.
    /// </summary>
    public static Task<HashSet<string>> InvalidAsync(NpgsqlConnection connection, CancellationToken ct) =>
        NamesAsync(
            connection,
            "not i.indisvalid and not exists (select from pg_stat_progress_create_index p where "
                + "p.index_relid = i.indexrelid)",
            ct
        );

    /// <summary>Drops invalid indexes and builds the missing ones. May be interrupted and repeated.</summary>
    public static async Task BuildAsync(
        XenoDbContext db,
        NpgsqlConnection connection,
        Action<string> say,
        CancellationToken ct
    )
    {
        foreach (var name in await InvalidAsync(connection, ct))
        {
            say($"Dropping index {name}, which an interrupted build left");
            await ExecuteAsync(connection, $"drop index concurrently if exists \"{name}\"", ct);
        }
        var missing = await MissingAsync(db, connection, ct);
        var generator = db.GetService<IMigrationsSqlGenerator>();
        foreach (var index in OfModel(db).Where(index => missing.Contains(index.Name)))
        {
            say($"Building index {index.Name} on {index.Table.Name} concurrently");
            await ExecuteAsync(connection, CreateSql(generator, index), ct);
        }
    }

    private static IEnumerable<ITableIndex> OfModel(XenoDbContext db) =>
        db.GetService<IDesignTimeModel>().Model.GetRelationalModel().Tables.SelectMany(table => table.Indexes);

    private static string CreateSql(IMigrationsSqlGenerator generator, ITableIndex index)
    {
        var create = CreateIndexOperation.CreateFrom(index);
        create[OnlineMigrationsSqlGenerator.Now] = true;
        create["Npgsql:CreatedConcurrently"] = true;
        return generator.Generate([create], index.Table.Model.Model).Single().CommandText;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task<HashSet<string>> NamesAsync(
        NpgsqlConnection connection,
        string condition,
        CancellationToken ct
    )
    {
        var names = new HashSet<string>();
        await using var command = new NpgsqlCommand(
            $"""
            select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
            where c.relnamespace = 'public'::regnamespace and {condition}
            """,
            connection
        );
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            names.Add(reader.GetString(0));
        return names;
    }
}
