using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;

namespace XenoInsights.Ingestion;

/// <summary>
/// How many source objects of a batch were stored, and how many were already there in this or a newer version.
/// </summary>
public readonly record struct ApplyResult(long Stored, long Unchanged)
{
    public static ApplyResult operator +(ApplyResult left, ApplyResult right) =>
        new(left.Stored + right.Stored, left.Unchanged + right.Unchanged);

    public static ApplyResult Add(ApplyResult left, ApplyResult right) => left + right;
}

/// <summary>
/// The only code that writes Shopify's objects and their rollups. Applying is a join over versions
/// (updated_at, then source, then content hash): in any order, any number of times, from any number of writers, the
/// newest version ends up stored and counted exactly once. People who were erased are kept out of it
/// (<see cref="ErasedPeople"/>), whatever the versions.
/// </summary>
public static class IngestionWriter
{
    /// <summary>
    /// Applies a batch of one tenant inside the caller's unit of work, so that whatever the caller saves with it
    /// commits with it.
    /// </summary>
    public static async Task<ApplyResult> ApplyAsync(
        XenoDbContext db,
        StoreCalendar shop,
        IReadOnlyCollection<IngestRecord> batch,
        CancellationToken ct = default
    )
    {
        if (batch.Count == 0)
            return default;
        await RollupWriter.LockSharedAsync(db, shop, ct);
        var kept = await ErasedPeople.KeepOutAsync(db, shop.TenantId, batch, ct);

        var result = new ApplyResult();
        result += await ObjectWriter.ApplyAsync(db, shop, Newest<ProductRecord>(kept), ct);
        result += await ObjectWriter.ApplyAsync(db, shop, Newest<CustomerRecord>(kept), ct);
        result += await ObjectWriter.ApplyAsync(db, shop, Newest<CheckoutRecord>(kept), ct);
        result += await OrderWriter.ApplyAsync(db, shop, ProductLinks.Share(kept, Newest<OrderRecord>(kept)), ct);

        var repeated = batch.Sum(r => r.SourceObjects) - result.Stored - result.Unchanged;
        if (result.Stored > 0)
            await BumpDataVersionAsync(db, shop.TenantId, ct);
        return result with { Unchanged = result.Unchanged + repeated };
    }

    /// <summary>
    /// As <see cref="ApplyAsync"/>, but an object that cannot be stored is set aside alone and the others are stored.
    /// </summary>
    internal static Task<IsolatedResult<IngestRecord>> ApplyEachAsync(
        XenoDbContext db,
        StoreCalendar shop,
        IReadOnlyList<IngestRecord> batch,
        CancellationToken ct
    ) => ObjectIsolation.ApplyAsync(db, shop.TenantId, batch, some => ApplyAsync(db, shop, some, ct), ct);

    /// <summary>
    /// Stores orders as Shopify has them now, although what is stored claims to be that version or a later one: for
    /// what a comparison found to be wrong, and for nothing else. Where another version was stored since it was looked
    /// at, the usual order of versions decides.
    /// </summary>
    /// <param name="orders">Each with the version that was found wrong; null where nothing was stored.</param>
    internal static async Task<ApplyResult> ReplaceAsync(
        XenoDbContext db,
        StoreCalendar shop,
        IReadOnlyCollection<(OrderRecord Order, DateTimeOffset? Seen)> orders,
        CancellationToken ct
    )
    {
        if (orders.Count == 0)
            return default;
        await RollupWriter.LockSharedAsync(db, shop, ct);
        var wrong = orders.Where(o => o.Seen is not null).OrderBy(o => o.Order.ShopifyId).ToList();
        await db.ExecuteAsync(
            [
                new NpgsqlBatchCommand(
                    """
                    update orders set updated_at = 'epoch', source = 0
                    from (select o.shopify_id from orders o
                        join unnest($2, $3) as wrong(id, seen) on o.shopify_id = wrong.id
                        and o.updated_at = wrong.seen where o.tenant_id = $1 order by o.shopify_id
                    for update of o) locked
                    where orders.tenant_id = $1 and orders.shopify_id = locked.shopify_id
                    """
                )
                {
                    Parameters =
                    {
                        Sql.Uuid(shop.TenantId),
                        Sql.Ids([.. wrong.Select(o => o.Order.ShopifyId)]),
                        new()
                        {
                            Value = wrong.ConvertAll(o => o.Seen!.Value.UtcDateTime),
                            NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Array | NpgsqlTypes.NpgsqlDbType.TimestampTz,
                        },
                    },
                },
            ],
            ct
        );
        return await ApplyAsync(db, shop, [.. orders.Select(o => o.Order)], ct);
    }

    /// <summary>One version an id, the newest, in key order: the order in which all writers lock.</summary>
    private static List<Versioned<T>> Newest<T>(IReadOnlyCollection<IngestRecord> batch)
        where T : IngestRecord
    {
        var hash = new ContentHash();
        var newest = new Dictionary<long, Versioned<T>>();
        foreach (var record in batch.OfType<T>())
        {
            var versioned = new Versioned<T>(record, hash.Of(record));
            if (!newest.TryGetValue(record.ShopifyId, out var other) || versioned.Version.CompareTo(other.Version) > 0)
                newest[record.ShopifyId] = versioned;
        }
        return [.. newest.Values.OrderBy(r => r.Record.ShopifyId)];
    }

    /// <summary>Tells open pages and kept answers that something they show has changed.</summary>
    internal static async Task BumpDataVersionAsync(XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            insert into data_versions (tenant_id, version, changed_at) select tenant_id, 1, now() from tenants
                where tenant_id = $1
            on conflict (tenant_id) do update set version = data_versions.version + 1, changed_at = now()
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = tenantId });
        await command.ExecuteNonQueryAsync(ct);
    }
}

/// <summary>A record with the key that orders its versions.</summary>
internal readonly record struct Versioned<T>(T Record, long ContentHash)
    where T : IngestRecord
{
    public RecordVersion Version => new(Record.UpdatedAt.ToUniversalTime(), Record.Source, ContentHash);
}

internal readonly record struct RecordVersion(DateTimeOffset UpdatedAt, RecordSource Source, long ContentHash)
    : IComparable<RecordVersion>
{
    public int CompareTo(RecordVersion other) =>
        (UpdatedAt, Source, ContentHash).CompareTo((other.UpdatedAt, other.Source, other.ContentHash));
}
