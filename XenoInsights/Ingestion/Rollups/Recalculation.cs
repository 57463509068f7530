using Npgsql;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Ingestion.Rollups;

/// <summary>What a step looked at.</summary>
/// <param name="Last">The id to go on after; null when nothing is left.</param>
/// <param name="Moved">How many of those looked at were on another day or counted otherwise.</param>
internal readonly record struct RecalculationStep(long? Last, int Looked, int Moved);

/// <summary>
/// Brings stored orders and checkouts to the shop's present time zone and currency, some of them in each unit of work.
/// Orders change their days as if they were applied anew: what they contributed is taken from the rollups, what they
/// contribute now is added, so that the rollups equal the ledger at every commit. Orders that are applied meanwhile
/// have the new days already.
/// </summary>
internal static class Recalculation
{
    private static readonly LedgerRollup _entries = LedgerRollups.Tables.Single(t => t.Owner == RollupOwner.Order);

    /// <summary>Looks at the next orders by id.</summary>
    /// <exception cref="ShopChangedException">The shop's settings changed again.</exception>
    public static async Task<RecalculationStep> OrdersAsync(
        XenoDbContext db,
        StoreCalendar shop,
        long after,
        int limit,
        CancellationToken ct
    )
    {
        await RollupWriter.LockSharedAsync(db, shop, ct);
        var (step, wrong) = await FindAsync(db, shop, after, limit, ct);
        if (wrong.Count == 0)
            return step;

        var deltas = new RollupDeltas();
        var before = await OrderWriter.LockAsync(db, shop.TenantId, wrong, ct);
        await OrderWriter.AddStoredAsync(db, shop.TenantId, before, deltas, sign: -1, ct);
        await db.ExecuteAsync([.. Move(shop, wrong), .. RollupRepair.Replace(shop.TenantId, _entries, wrong)], ct);
        var moved = await OrderWriter.LockAsync(db, shop.TenantId, wrong, ct);
        await OrderWriter.AddStoredAsync(db, shop.TenantId, moved, deltas, sign: 1, ct);
        await RollupWriter.ApplyAsync(db, shop.TenantId, deltas, ct);
        await IngestionWriter.BumpDataVersionAsync(db, shop.TenantId, ct);
        return step with { Moved = wrong.Count };
    }

    /// <summary>Looks at the next checkouts by id; no rollup depends on their days.</summary>
    /// <exception cref="ShopChangedException">The shop's settings changed again.</exception>
    public static async Task<RecalculationStep> CheckoutsAsync(
        XenoDbContext db,
        StoreCalendar shop,
        long after,
        int limit,
        CancellationToken ct
    )
    {
        await RollupWriter.LockSharedAsync(db, shop, ct);
        var day = $"{ZoneOffsets.Local("b.created_at", 4)}::date";
        await using var command = db.Command(
            $"""
            with batch as (
                select shopify_id, created_at from checkouts
                where tenant_id = $1 and shopify_id > $2 order by shopify_id limit $3 for update
            ), moved as (
                update checkouts c set business_day = {day} from batch b
                where c.tenant_id = $1 and c.shopify_id = b.shopify_id and c.business_day <> {day}
                returning c.shopify_id
            )
            select max(shopify_id), count(*)::int, (select count(*)::int from moved) from batch
            """
        );
        foreach (var parameter in Parameters(shop, after, limit))
            command.Parameters.Add(parameter);
        RecalculationStep step;
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            await reader.ReadAsync(ct);
            step = new(reader.IsDBNull(0) ? null : reader.GetInt64(0), reader.GetInt32(1), reader.GetInt32(2));
        }
        if (step.Moved > 0)
            await IngestionWriter.BumpDataVersionAsync(db, shop.TenantId, ct);
        return step;
    }

    private static async Task<(RecalculationStep Step, List<long> Wrong)> FindAsync(
        XenoDbContext db,
        StoreCalendar shop,
        long after,
        int limit,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            $"""
            with batch as materialized (
                select shopify_id, processed_at, business_day, counted, {Counts(6)} counts from orders
                where tenant_id = $1 and shopify_id > $2 order by shopify_id limit $3
            )
            select shopify_id, counted <> counts or business_day <> {ZoneOffsets.Local(
                "processed_at",
                4
            )}::date or exists (
                select from order_sales s
                where s.tenant_id = $1 and s.order_id = batch.shopify_id and s.day <> {SaleDay(
                "batch.processed_at",
                4
            )})
            from batch order by shopify_id
            """
        );
        foreach (var parameter in Parameters(shop, after, limit))
            command.Parameters.Add(parameter);
        command.Parameters.Add(new() { Value = shop.Currency });
        var (step, wrong) = (new RecalculationStep(), new List<long>());
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            step = step with { Last = reader.GetInt64(0), Looked = step.Looked + 1 };
            if (reader.GetBoolean(1))
                wrong.Add(reader.GetInt64(0));
        }
        return (step, wrong);
    }

    private static IEnumerable<NpgsqlBatchCommand> Move(StoreCalendar shop, List<long> orders)
    {
        var offsets = ZoneOffsets.Of(shop.TimeZone);
        yield return Statement(
            $"""
            update orders set business_day = {ZoneOffsets.Local("processed_at", 3)}::date, counted = {Counts(5)}
            where tenant_id = $1 and shopify_id = any($2)
            """,
            [Sql.Uuid(shop.TenantId), Sql.Ids(orders), .. offsets.Parameters(), new() { Value = shop.Currency }]
        );
        yield return Statement(
            $"""
            update order_sales s set day = {SaleDay("o.processed_at", 3)} from orders o
            where s.tenant_id = $1 and s.order_id = any($2) and o.tenant_id = $1 and o.shopify_id = s.order_id
                and s.day <> {SaleDay("o.processed_at", 3)}
            """,
            [Sql.Uuid(shop.TenantId), Sql.Ids(orders), .. offsets.Parameters()]
        );
    }

    /// <summary>What <see cref="CountedOrders.Counts"/> says, of a stored order.</summary>
    private static string Counts(int currency) => $"(not test and deleted_at is null and currency = ${currency})";

    private static string SaleDay(string processedAt, int offsets) =>
        $"{ZoneOffsets.Local($"(case when s.original then {processedAt} else s.happened_at end)", offsets)}::date";

    private static NpgsqlParameter[] Parameters(StoreCalendar shop, long after, int limit) =>
        [
            Sql.Uuid(shop.TenantId),
            new() { Value = after },
            new() { Value = limit },
            .. ZoneOffsets.Of(shop.TimeZone).Parameters(),
        ];

    private static NpgsqlBatchCommand Statement(string sql, NpgsqlParameter[] parameters)
    {
        var statement = new NpgsqlBatchCommand(sql);
        foreach (var parameter in parameters)
            statement.Parameters.Add(parameter);
        return statement;
    }
}
