using XenoInsights.Data;

namespace XenoInsights.Queues;

internal static class DueTenants
{
    /// <summary>The stores with rows that are due, by the index (tenant_id, due_at); the longest due first.</summary>
    public static Task<List<Guid>> TenantsWithDueAsync(
        this SystemDatabase system,
        string table,
        string condition,
        CancellationToken ct
    ) => system.TenantsWithRowsBeforeAsync(table, "due_at", TimeSpan.Zero, condition, ct);

    /// <summary>
    /// The stores with rows that are older than <paramref name="age"/>, the oldest first. It goes from store to store
    /// through an index (tenant_id, <paramref name="time"/>): the same cost whether a store has one row or a million.
    /// </summary>
    /// <param name="condition">That of the index, if it is a partial one.</param>
    public static Task<List<Guid>> TenantsWithRowsBeforeAsync(
        this SystemDatabase system,
        string table,
        string time,
        TimeSpan age,
        string condition,
        CancellationToken ct
    ) =>
        system.RunAsync(
            async db =>
            {
                await using var command = db.Command(
                    $"""
                    with recursive oldest as (
                        (select tenant_id, {time} from {table} where {condition} order by tenant_id, {time} limit 1)
                        union all
                        select next.* from oldest, lateral (
                            select tenant_id, {time} from {table} where {condition} and tenant_id > oldest.tenant_id
                            order by tenant_id, {time} limit 1) next
                    )
                    select tenant_id from oldest where {time} <= now() - $1 order by {time}
                    """
                );
                command.Parameters.Add(new() { Value = age });
                var due = new List<Guid>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    due.Add(reader.GetGuid(0));
                return due;
            },
            ct
        );
}
