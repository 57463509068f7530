using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion.Rollups;

namespace XenoInsights.Ingestion;

/// <summary>
/// Which product a line was sold under, once it was known. Shopify no longer tells it of a product that was deleted, in
/// payloads and in the Admin API alike, but its sales stay its own: a version without the product keeps the one stored
/// before, and an older version that comes late still tells it. So the result does not depend on the order of arrival.
/// </summary>
internal static class ProductLinks
{
    private readonly record struct Line(long OrderId, long LineId);

    /// <summary>The newest versions with the products that older ones of the same batch name.</summary>
    public static List<Versioned<OrderRecord>> Share(
        IReadOnlyCollection<IngestRecord> batch,
        List<Versioned<OrderRecord>> newest
    )
    {
        var lacking = newest.Where(o => Lacks(o.Record)).Select(o => o.Record.ShopifyId).ToHashSet();
        if (lacking.Count == 0)
            return newest;
        var known = new Dictionary<Line, long>();
        foreach (
            var (line, product) in batch
                .OfType<OrderRecord>()
                .Where(o => lacking.Contains(o.ShopifyId))
                .SelectMany(Told)
        )
            known[line] = product;
        return known.Count == 0 ? newest : newest.ConvertAll(o => o with { Record = With(o.Record, known) });
    }

    /// <summary>
    /// The orders with the products that their stored versions name for lines which no longer name one.
    /// </summary>
    public static async Task<List<Versioned<OrderRecord>>> KeepAsync(
        XenoDbContext db,
        Guid tenantId,
        List<Versioned<OrderRecord>> orders,
        IReadOnlyDictionary<long, StoredOrder> replaced,
        CancellationToken ct
    )
    {
        var lacking = orders
            .Where(o => replaced.ContainsKey(o.Record.ShopifyId) && Lacks(o.Record))
            .Select(o => o.Record.ShopifyId)
            .ToList();
        if (lacking.Count == 0)
            return orders;
        var known = await KnownAsync(db, tenantId, lacking, ct);
        return known.Count == 0 ? orders : orders.ConvertAll(o => o with { Record = With(o.Record, known) });
    }

    /// <summary>
    /// What versions that are not stored, being older, tell of stored lines without a product; the change is added to
    /// <paramref name="deltas"/>.
    /// </summary>
    /// <returns>Whether it was anything new.</returns>
    public static async Task<bool> LearnAsync(
        XenoDbContext db,
        Guid tenantId,
        IEnumerable<OrderRecord> older,
        RollupDeltas deltas,
        CancellationToken ct
    )
    {
        var told = older.SelectMany(Told).DistinctBy(t => t.Line).ToList();
        if (told.Count == 0)
            return false;
        NpgsqlParameter[] parameters =
        [
            Sql.Uuid(tenantId),
            Sql.Ids(told.ConvertAll(t => t.Line.OrderId)),
            Sql.Ids(told.ConvertAll(t => t.Line.LineId)),
            Sql.Ids(told.ConvertAll(t => t.ProductId)),
        ];
        await MoveSalesAsync(db, parameters, deltas, ct);
        await using var update = db.Batch([
            Statement(
                """
                update order_sales s set product_id = told.product_id
                from unnest($2, $3, $4) as told(order_id, line_id, product_id)
                where s.tenant_id = $1 and s.order_id = told.order_id and s.line_item_id = told.line_id
                    and s.product_id is null
                """,
                parameters
            ),
            Statement(
                """
                update order_line_items l set product_id = told.product_id
                from unnest($2, $3, $4) as told(order_id, line_id, product_id)
                where l.tenant_id = $1 and l.order_id = told.order_id and l.shopify_id = told.line_id
                    and l.product_id is null
                """,
                parameters
            ),
        ]);
        return await update.ExecuteNonQueryAsync(ct) > 0;
    }

    private static bool Lacks(OrderRecord order) =>
        order.Lines.Any(l => l.ProductId is null)
        || order.Sales.Any(s => s is { ProductId: null, LineItemId: not null });

    private static async Task<Dictionary<Line, long>> KnownAsync(
        XenoDbContext db,
        Guid tenantId,
        List<long> orders,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            select order_id, shopify_id, product_id from order_line_items
            where tenant_id = $1 and order_id = any($2) and product_id is not null
            union
            select order_id, line_item_id, product_id from order_sales
            where tenant_id = $1 and order_id = any($2) and product_id is not null and line_item_id is not null
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(Sql.Ids(orders));
        var known = new Dictionary<Line, long>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            known[new(reader.GetInt64(0), reader.GetInt64(1))] = reader.GetInt64(2);
        return known;
    }

    private static OrderRecord With(OrderRecord order, Dictionary<Line, long> known)
    {
        if (!Lacks(order))
            return order;
        return order with
        {
            Lines = [.. order.Lines.Select(l => l with { ProductId = l.ProductId ?? ProductOf(l.ShopifyId) })],
            Sales = [.. order.Sales.Select(s => s with { ProductId = s.ProductId ?? ProductOf(s.LineItemId) })],
        };

        long? ProductOf(long? line) =>
            line is { } id && known.TryGetValue(new(order.ShopifyId, id), out var product) ? product : null;
    }

    private static IEnumerable<(Line Line, long ProductId)> Told(OrderRecord order)
    {
        foreach (var line in order.Lines)
            if (line.ProductId is { } product)
                yield return (new(order.ShopifyId, line.ShopifyId), product);
        foreach (var sale in order.Sales)
            if (sale is { ProductId: { } product, LineItemId: { } line })
                yield return (new(order.ShopifyId, line), product);
    }

    /// <summary>
    /// Takes the entries off the lines without a product and adds them to the product's; all other figures stay.
    /// </summary>
    private static async Task MoveSalesAsync(
        XenoDbContext db,
        NpgsqlParameter[] parameters,
        RollupDeltas deltas,
        CancellationToken ct
    )
    {
        await using var batch = db.Batch([
            Statement(
                """
                select s.day, o.customer_id, s.original, s.measure, s.quantity, s.amount, s.discount, s.tax,
                    told.product_id
                from unnest($2, $3, $4) as told(order_id, line_id, product_id)
                join order_sales s on s.tenant_id = $1 and s.order_id = told.order_id
                    and s.line_item_id = told.line_id and s.product_id is null
                join orders o on o.tenant_id = $1 and o.shopify_id = s.order_id and o.counted
                """,
                parameters
            ),
        ]);
        await using var reader = await batch.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            Add(product: null, sign: -1);
            Add(reader.GetInt64(8), sign: 1);
        }

        void Add(long? product, int sign) =>
            deltas.AddSale(
                reader.GetFieldValue<DateOnly>(0),
                reader.IsDBNull(1) ? null : reader.GetInt64(1),
                reader.GetBoolean(2),
                (SaleMeasure)reader.GetInt16(3),
                product,
                reader.GetInt32(4),
                reader.GetInt64(5),
                reader.GetInt64(6),
                reader.GetInt64(7),
                sign
            );
    }

    private static NpgsqlBatchCommand Statement(string sql, NpgsqlParameter[] parameters)
    {
        var statement = new NpgsqlBatchCommand(sql);
        foreach (var parameter in parameters)
            statement.Parameters.Add(parameter.Clone());
        return statement;
    }
}
