using Npgsql;
using XenoInsights.Data;

namespace XenoInsights.Ingestion.Rollups;

/// <summary>
/// Makes stored rollups equal to the ledger again, while the store goes on selling. What is wrong stays as wrong as it
/// is whatever is applied meanwhile, since applying adds the same to both. So the difference is taken in one statement
/// and added, and nobody has to wait for the computation: only the rows that were wrong are locked, for as long as it
/// takes to write them.
/// </summary>
internal static class RollupRepair
{
    private const int RowsAtOnce = 5_000,
        OwnersAtOnce = 1_000;

    /// <summary>Repairs table after table, each in units of work of its own.</summary>
    /// <returns>How many rows, orders and customers were wrong.</returns>
    public static async Task<long> RunAsync(TenantDatabase tenants, Guid tenantId, CancellationToken ct = default)
    {
        // Days and totals of customers first: what follows from them is only as steady as they are right.
        var repaired = 0L;
        foreach (var table in LedgerRollups.Tables.OrderByDescending(t => t.Owner))
            repaired +=
                table.Owner == RollupOwner.None
                    ? await RepairCountersAsync(tenants, tenantId, table, ct)
                    : await RepairOwnersAsync(tenants, tenantId, table, ct);
        return repaired;
    }

    private static async Task<long> RepairCountersAsync(
        TenantDatabase tenants,
        Guid tenantId,
        LedgerRollup table,
        CancellationToken ct
    )
    {
        var repaired = 0L;
        int rows;
        do
        {
            rows = await tenants.RunAsync(tenantId, db => AddDifferencesAsync(db, tenantId, table, ct), ct);
            repaired += rows;
        } while (rows == RowsAtOnce);
        return repaired;
    }

    private static async Task<int> AddDifferencesAsync(
        XenoDbContext db,
        Guid tenantId,
        LedgerRollup table,
        CancellationToken ct
    )
    {
        var (counters, key) = (table.Counters, table.Key);
        var differences = counters.Select(c => $"coalesce(ledger.{c}, 0) - coalesce(stored.{c}, 0) as {c}");
        var additions = counters.Select(c => $"{c} = {table.Name}.{c} + excluded.{c}");
        var isWrong = string.Join(" or ", counters.Select(c => $"{c} <> 0"));
        await using var command = db.Command(
            $"""
            insert into {table.Name} (tenant_id, {key}, {string.Join(", ", counters)})
            select $1, {key}, {string.Join(", ", counters)}
            from (
                select {key}, {string.Join(", ", differences)}
                from ({table.Query}) ledger
                full join (select {table.Columns} from {table.Name} where tenant_id = $1) stored using ({key})
            ) difference
            where {isWrong}
            order by {key}
            limit {RowsAtOnce}
            on conflict (tenant_id, {key}) do update set {string.Join(", ", additions)}
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        var rows = await command.ExecuteNonQueryAsync(ct);
        if (rows > 0)
            await IngestionWriter.BumpDataVersionAsync(db, tenantId, ct);
        return rows;
    }

    private static async Task<long> RepairOwnersAsync(
        TenantDatabase tenants,
        Guid tenantId,
        LedgerRollup table,
        CancellationToken ct
    )
    {
        var owners = await tenants.RunAsync(tenantId, db => WrongOwnersAsync(db, tenantId, table, ct), ct);
        foreach (var some in owners.Chunk(OwnersAtOnce))
            await tenants.RunAsync(tenantId, db => ReplaceAsync(db, tenantId, table, some, ct), ct);
        return owners.Count;
    }

    private static async Task<IReadOnlyList<long>> WrongOwnersAsync(
        XenoDbContext db,
        Guid tenantId,
        LedgerRollup table,
        CancellationToken ct
    )
    {
        var stored = $"select {table.Columns} from {table.Name} where tenant_id = $1 and ({table.NotEmpty})";
        var computed = $"select {table.Columns} from ({table.Query}) ledger where {table.NotEmpty}";
        var ids = await db.QueryIdsAsync(
            new(
                $"""
                select {table.Key} from (({stored} except {computed}) union all ({computed} except {stored})) difference
                """
            )
            {
                Parameters = { Sql.Uuid(tenantId) },
            },
            ct
        );
        return [.. ids.Order()];
    }

    /// <summary>
    /// Locks the owners, so that nobody writes rows of theirs meanwhile, and computes their rows anew.
    /// </summary>
    private static async Task ReplaceAsync(
        XenoDbContext db,
        Guid tenantId,
        LedgerRollup table,
        long[] owners,
        CancellationToken ct
    )
    {
        if (table.Owner == RollupOwner.Customer)
            await CustomerHistories.LockAsync(db, tenantId, owners, ct);
        else
            await OrderWriter.LockAsync(db, tenantId, owners, ct);
        await db.ExecuteAsync(
            table.Name == "customer_totals"
                ? [OverwriteTotals(tenantId, table, owners)]
                : Replace(tenantId, table, owners),
            ct
        );
        await IngestionWriter.BumpDataVersionAsync(db, tenantId, ct);
    }

    /// <summary>
    /// Deletes the rows of some orders or customers and computes them anew; the caller holds their locks.
    /// </summary>
    internal static NpgsqlBatchCommand[] Replace(Guid tenantId, LedgerRollup table, IReadOnlyCollection<long> owners) =>
        [
            Sql.DeleteByIds(table.Name, table.Key, tenantId, owners),
            new(
                $"""
                insert into {table.Name} (tenant_id, {table.Columns})
                select $1, {table.Columns} from ({table.Query}) ledger where {table.Key} = any($2) and {table.NotEmpty}
                """
            )
            {
                Parameters = { Sql.Uuid(tenantId), Sql.Ids(owners) },
            },
        ];

    // These rows are locks themselves, so none of them is deleted.
    private static NpgsqlBatchCommand OverwriteTotals(Guid tenantId, LedgerRollup table, long[] customers) =>
        new(
            $"""
            update customer_totals stored
            set orders = coalesce(ledger.orders, 0), total_sales = coalesce(ledger.total_sales, 0),
                first_order_day = ledger.first_order_day, last_order_day = ledger.last_order_day
            from unnest($2) as wrong(id) left join ({table.Query}) ledger on ledger.customer_id = wrong.id
            where stored.tenant_id = $1 and stored.customer_id = wrong.id
            """
        )
        {
            Parameters = { Sql.Uuid(tenantId), Sql.Ids(customers) },
        };
}
