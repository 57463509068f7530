using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>What has to be stored of objects that Shopify listed.</summary>
/// <param name="Current">How many of them are stored in the version listed, or a newer one.</param>
/// <param name="Gone">Tombstones of those that Shopify, asked for them by id, does not have.</param>
internal sealed record Refetched(
    long Current,
    IReadOnlyList<IngestRecord> Records,
    IReadOnlyList<IngestRecord> Gone,
    IReadOnlyList<string> Rejections
)
{
    /// <summary>With what the list they were found by says of others.</summary>
    public Refetched With(long current, IReadOnlyList<string> rejections) =>
        this with
        {
            Current = current,
            Rejections = [.. rejections, .. Rejections],
        };
}

/// <summary>Compares listed versions with the stored ones and reads what differs, object by object.</summary>
public sealed class ObjectRefetch(AdminObjects objects, TenantDatabase tenants, TimeProvider time)
{
    /// <summary>
    /// Objects as they are now. Nothing is written, and no transaction is open while Shopify is asked.
    /// </summary>
    internal async Task<Refetched> ReadAsync(
        ShopReference shop,
        ObjectKind kind,
        IReadOnlyCollection<long> ids,
        CancellationToken ct
    )
    {
        if (ids.Count == 0)
            return new(0, [], [], []);
        var (records, rejections) = await objects.ReadEachAsync(shop, kind, ids, ct);
        // Each counts as one, whatever it consists of.
        return new(
            0,
            [.. records.Select(r => r with { SourceObjects = 1 })],
            [.. ids.Except(records.Select(r => r.ShopifyId)).Except(rejections.Keys).Select(id => Tombstone(kind, id))],
            [.. rejections.Select(r => $"{kind} {r.Key}: {r.Value}")]
        );
    }

    /// <summary>
    /// Those whose stored version is older. One that a webhook told in this very version counts as outdated: two
    /// changes within a second have the same version, and only what was read from Shopify is known to be the later one.
    /// </summary>
    internal Task<List<long>> OutdatedAsync(
        Guid tenantId,
        ObjectKind kind,
        IReadOnlyCollection<ObjectVersion> listed,
        CancellationToken ct
    ) =>
        tenants.RunAsync(
            tenantId,
            async db =>
            {
                await using var command = db.Command(
                    $"""
                    select shopify_id, updated_at, source from {kind.Table()}
                    where tenant_id = $1 and shopify_id = any($2)
                    """
                );
                command.Parameters.Add(Sql.Uuid(tenantId));
                command.Parameters.Add(Sql.Ids([.. listed.Select(v => v.ShopifyId)]));
                var current = new Dictionary<long, (DateTimeOffset UpdatedAt, RecordSource Source)>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    current[reader.GetInt64(0)] = (
                        reader.GetFieldValue<DateTimeOffset>(1),
                        (RecordSource)reader.GetInt16(2)
                    );
                return listed
                    .Where(v =>
                        !(
                            current.TryGetValue(v.ShopifyId, out var stored)
                            && (
                                stored.UpdatedAt > v.UpdatedAt
                                || (stored.UpdatedAt == v.UpdatedAt && stored.Source >= RecordSource.BulkExport)
                            )
                        )
                    )
                    .Select(v => v.ShopifyId)
                    .Distinct()
                    .ToList();
            },
            ct
        );

    /// <summary>Why an object that was read is not stored, for people.</summary>
    internal static string Unstorable(IngestRecord record, string reason) =>
        $"{record.Gid}: it cannot be stored: {reason}";

    private IngestRecord Tombstone(ObjectKind kind, long id)
    {
        var version = WebhookPayload.VersionOfDeletion(time.GetUtcNow());
        IngestRecord record = kind switch
        {
            ObjectKind.Products => WebhookPayload.DeletedProduct(id, version),
            ObjectKind.Customers => WebhookPayload.DeletedCustomer(id, version),
            ObjectKind.Orders => WebhookPayload.DeletedOrder(id, version),
            _ => WebhookPayload.DeletedCheckout(id, version),
        };
        return record with { Source = RecordSource.AdminApi };
    }

    /// <summary>Stores what was read, in the caller's unit of work, and says what became of it.</summary>
    /// <param name="readAt">Database clock, before anything of it was asked for.</param>
    internal static async Task<ImportCounts> StoreAsync(
        XenoDbContext db,
        StoreCalendar shop,
        Refetched refreshed,
        DateTimeOffset readAt,
        CancellationToken ct
    )
    {
        List<IngestRecord> records = [.. refreshed.Records.Select(r => r with { ReadAt = readAt })];
        var (applied, unstorable) = await IngestionWriter.ApplyEachAsync(db, shop, records, ct);
        var gone = await IngestionWriter.ApplyAsync(db, shop, refreshed.Gone, ct);
        var read = refreshed.Current + refreshed.Records.Count + refreshed.Gone.Count + refreshed.Rejections.Count;
        IReadOnlyList<string> rejections =
        [
            .. refreshed.Rejections,
            .. unstorable.Select(u => Unstorable(u.Item, u.Reason)),
        ];
        return new(
            read,
            applied.Stored,
            refreshed.Current + applied.Unchanged + gone.Unchanged,
            gone.Stored,
            rejections,
            rejections.Count
        );
    }
}
