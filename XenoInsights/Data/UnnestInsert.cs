using Npgsql;
using NpgsqlTypes;

namespace XenoInsights.Data;

/// <summary>
/// Rows for one set-based statement, sent as one array a column: <c>insert … select … from unnest(…)</c>. Unlike
/// COPY it runs under row-level security, needs no staging table, and one plan serves one row or ten thousand.
/// </summary>
internal sealed class UnnestInsert<T>(string table, Guid tenantId, IReadOnlyList<T> rows)
{
    private readonly List<(string Name, string Type)> _columns = [];
    private readonly List<NpgsqlParameter> _parameters = [new() { Value = tenantId, NpgsqlDbType = NpgsqlDbType.Uuid }];

    public UnnestInsert<T> Big(string column, Func<T, long> value) => Add(column, "bigint", NpgsqlDbType.Bigint, value);

    public UnnestInsert<T> Big(string column, Func<T, long?> value) =>
        Add(column, "bigint", NpgsqlDbType.Bigint, value);

    public UnnestInsert<T> Int(string column, Func<T, int> value) =>
        Add(column, "integer", NpgsqlDbType.Integer, value);

    public UnnestInsert<T> Small(string column, Func<T, short> value) =>
        Add(column, "smallint", NpgsqlDbType.Smallint, value);

    public UnnestInsert<T> Bool(string column, Func<T, bool> value) =>
        Add(column, "boolean", NpgsqlDbType.Boolean, value);

    public UnnestInsert<T> Text(string column, Func<T, string?> value) => Add(column, "text", NpgsqlDbType.Text, value);

    public UnnestInsert<T> Day(string column, Func<T, DateOnly> value) => Add(column, "date", NpgsqlDbType.Date, value);

    public UnnestInsert<T> Day(string column, Func<T, DateOnly?> value) =>
        Add(column, "date", NpgsqlDbType.Date, value);

    public UnnestInsert<T> Instant(string column, Func<T, DateTimeOffset> value) =>
        Add(column, "timestamptz", NpgsqlDbType.TimestampTz, row => value(row).UtcDateTime);

    public UnnestInsert<T> Instant(string column, Func<T, DateTimeOffset?> value) =>
        Add(column, "timestamptz", NpgsqlDbType.TimestampTz, row => value(row)?.UtcDateTime);

    /// <summary>
    /// Inserts the rows in the given order; <paramref name="suffix"/> says what happens on conflict and what returns.
    /// </summary>
    public NpgsqlBatchCommand Insert(string suffix = "") =>
        Command(
            $"""
            insert into {table} (tenant_id, {Names})
            select $1, {Names} from unnest({Arrays}) as incoming({Names})
            {suffix}
            """
        );

    /// <summary>
    /// Updates rows by key: all other columns take the incoming value, unless <paramref name="changes"/> says otherwise
    /// (<c>stored</c> and <c>incoming</c> name the two rows).
    /// </summary>
    public NpgsqlBatchCommand Update(string key, string? changes = null) =>
        Command(
            $"""
            update {table} as stored set {changes
                ?? string.Join(", ", _columns.Where(c => c.Name != key).Select(c => $"{c.Name} = incoming.{c.Name}"))}
            from unnest({Arrays}) as incoming({Names})
            where stored.tenant_id = $1 and stored.{key} = incoming.{key}
            """
        );

    /// <summary>
    /// Adds the rows' counters to the stored ones, creating missing rows; rows must come in key order, so that two
    /// writers never wait for each other crosswise.
    /// </summary>
    public NpgsqlBatchCommand AddTo(params string[] key)
    {
        var counters = _columns.Select(c => c.Name).Except(key).Select(c => $"{c} = {table}.{c} + excluded.{c}");
        return Insert($"on conflict (tenant_id, {string.Join(", ", key)}) do update set {string.Join(", ", counters)}");
    }

    /// <summary>
    /// Inserts versioned objects, or replaces them where the incoming version is newer; returns the ids that were
    /// stored.
    /// </summary>
    public NpgsqlBatchCommand ReplaceOlder()
    {
        var columns = _columns.Select(c => c.Name).Where(c => c != "shopify_id").Select(c => $"{c} = excluded.{c}");
        return Insert(
            $"""
            on conflict (tenant_id, shopify_id) do update set {string.Join(", ", columns)}
            where (excluded.updated_at, excluded.source, excluded.content_hash) > ({table}.updated_at,
                {table}.source, {table}.content_hash)
            returning shopify_id
            """
        );
    }

    private string Names => string.Join(", ", _columns.Select(c => c.Name));
    private string Arrays => string.Join(", ", _columns.Select((c, i) => $"${i + 2}::{c.Type}[]"));

    private UnnestInsert<T> Add<TValue>(string column, string type, NpgsqlDbType dbType, Func<T, TValue> value)
    {
        var values = new TValue[rows.Count];
        for (var i = 0; i < values.Length; i++)
            values[i] = value(rows[i]);
        _columns.Add((column, type));
        _parameters.Add(new NpgsqlParameter { Value = values, NpgsqlDbType = NpgsqlDbType.Array | dbType });
        return this;
    }

    private NpgsqlBatchCommand Command(string sql)
    {
        var command = new NpgsqlBatchCommand(sql);
        foreach (var parameter in _parameters)
            command.Parameters.Add(parameter.Clone());
        return command;
    }
}
