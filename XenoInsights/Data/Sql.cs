using Npgsql;
using NpgsqlTypes;

namespace XenoInsights.Data;

/// <summary>Statements of the writers, all inside the caller's transaction, under row-level security.</summary>
internal static class Sql
{
    public static NpgsqlBatchCommand DeleteByIds(
        string table,
        string column,
        Guid tenantId,
        IReadOnlyCollection<long> ids
    ) =>
        new($"delete from {table} where tenant_id = $1 and {column} = any($2)")
        {
            Parameters = { Uuid(tenantId), Ids(ids) },
        };

    public static NpgsqlParameter Uuid(Guid id) => new() { Value = id, NpgsqlDbType = NpgsqlDbType.Uuid };

    public static NpgsqlParameter Text(string? text) =>
        new() { Value = (object?)text ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };

    public static NpgsqlParameter Instant(DateTimeOffset? instant) =>
        new() { Value = (object?)instant?.UtcDateTime ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz };

    public static NpgsqlParameter Ids(IReadOnlyCollection<long> ids) =>
        new() { Value = ids as long[] ?? [.. ids], NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint };

    /// <summary>
    /// A pattern for ILIKE that finds the text anywhere, with nothing of it read as a wildcard; null finds nothing to
    /// look for.
    /// </summary>
    public static string? Contains(string? text) => text is null ? null : $"%{Escaped(text)}%";

    private static string Escaped(string text) =>
        text.Replace("\\", "\\\\", StringComparison.Ordinal)
            .Replace("%", "\\%", StringComparison.Ordinal)
            .Replace("_", "\\_", StringComparison.Ordinal);

    /// <summary>Adds a value, and returns the number by which the statement names it.</summary>
    public static string Add(this NpgsqlCommand command, object value)
    {
        command.Parameters.Add(new NpgsqlParameter { Value = value });
        return "$" + command.Parameters.Count.ToString(System.Globalization.CultureInfo.InvariantCulture);
    }

    public static async Task ExecuteAsync(
        this XenoDbContext db,
        IEnumerable<NpgsqlBatchCommand> commands,
        CancellationToken ct
    )
    {
        await using var batch = db.Batch(commands);
        await batch.ExecuteNonQueryAsync(ct);
    }

    public static async Task<HashSet<long>> QueryIdsAsync(
        this XenoDbContext db,
        NpgsqlBatchCommand command,
        CancellationToken ct
    )
    {
        var ids = new HashSet<long>();
        await using var batch = db.Batch([command]);
        await using var reader = await batch.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            ids.Add(reader.GetInt64(0));
        return ids;
    }

    public static NpgsqlBatch Batch(this XenoDbContext db, IEnumerable<NpgsqlBatchCommand> commands)
    {
        var batch = db.NewBatch();
        foreach (var command in commands)
            batch.BatchCommands.Add(command);
        return batch;
    }
}
