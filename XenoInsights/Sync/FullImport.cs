using System.Threading.Channels;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// A store's whole history through Shopify's bulk operations: one export an object type, streamed into ingestion.
/// </summary>
public sealed class FullImport(BulkExports exports, BulkDownload download, TenantDatabase tenants)
{
    private const int BatchObjects = 30_000,
        Appliers = 2;

    public Task RunAsync(SyncLease lease, Tenant tenant, CancellationToken ct)
    {
        var shop = new ShopReference(tenant.TenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone);
        var calendar = new StoreCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone);
        return exports.RunAsync(
            lease,
            shop,
            GraphQLDocuments.Bulk,
            "Importing",
            (part, export) => ApplyFileAsync(lease, calendar, part, export, ct),
            ct
        );
    }

    /// <summary>
    /// Parsing and storing overlap, and so do two transactions: while one adds to the rollups, the next stores its
    /// rows. What waits in between is bounded, so memory is too.
    /// </summary>
    private async Task ApplyFileAsync(
        SyncLease lease,
        StoreCalendar shop,
        ImportPart part,
        BulkOperation export,
        CancellationToken ct
    )
    {
        if (export.Url is null)
            return;
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var batches = Channel.CreateBounded<Batch>(1);
        var stages = Enumerable
            .Range(0, Appliers)
            .Select(_ => ApplyBatchesAsync(batches.Reader))
            .Append(ReadBatchesAsync(shop, export, batches.Writer, failed.Token))
            .ToList();
        await foreach (var stage in Task.WhenEach(stages).WithCancellation(CancellationToken.None))
        {
            if (!stage.IsCompletedSuccessfully)
                await failed.CancelAsync();
        }
        // The failure that stopped the others comes first, not the cancellation it caused.
        if (stages.Find(s => s.IsFaulted) is { } fault)
            await fault;
        await Task.WhenAll(stages);

        async Task ApplyBatchesAsync(ChannelReader<Batch> reader)
        {
            await Task.Yield();
            await foreach (var batch in reader.ReadAllAsync(failed.Token))
                await ApplyAsync(lease, shop, part, batch, failed.Token);
        }
    }

    private async Task ApplyAsync(
        SyncLease lease,
        StoreCalendar shop,
        ImportPart part,
        Batch batch,
        CancellationToken ct
    )
    {
        var counts = await tenants.RunAsync(
            lease.TenantId,
            async db =>
            {
                var records = batch.Records.ConvertAll(r => r with { ReadAt = lease.StartedAt });
                var (applied, unstorable) = await IngestionWriter.ApplyEachAsync(db, shop, records, ct);
                var counts = batch.Counts(shop, applied, unstorable);
                await lease.CountAsync(
                    db,
                    new(
                        $"Importing {part.Kind.Words()}",
                        0,
                        counts.Read,
                        counts.Stored,
                        counts.Unchanged,
                        counts.Rejected
                    ),
                    null,
                    ct
                );
                return counts;
            },
            ct
        );
        part.Count(counts);
    }

    private async Task ReadBatchesAsync(
        StoreCalendar shop,
        BulkOperation export,
        ChannelWriter<Batch> batches,
        CancellationToken ct
    )
    {
        await Task.Yield();
        await using var file = await download.OpenAsync(export.Url!, export.FileSize, ct);
        var batch = new Batch();
        await foreach (var item in new JsonlAssembler(shop.Currency).ReadAsync(file, ct))
        {
            batch.Add(item);
            if (batch.Objects < BatchObjects)
                continue;
            await batches.WriteAsync(batch, ct);
            batch = new Batch();
        }
        await batches.WriteAsync(batch, ct);
        batches.Complete();
    }
}

/// <summary>What one transaction applies.</summary>
internal sealed class Batch
{
    public List<IngestRecord> Records { get; } = [];
    public long Objects { get; private set; }

    private readonly List<string> _rejections = [];
    private long _rejectedObjects,
        _rejectedRoots;

    public void Add(BulkItem item)
    {
        Objects += item.SourceObjects;
        if (item.Record is { } record)
            Records.Add(record);
        else
        {
            _rejectedObjects += item.SourceObjects;
            if (item.Rejected!.IsRoot)
                _rejectedRoots++;
            _rejections.Add(item.Rejected.ToString());
        }
    }

    /// <param name="unstorable">Records that were set aside, and why.</param>
    public ImportCounts Counts(
        StoreCalendar shop,
        ApplyResult applied,
        IReadOnlyList<(IngestRecord Item, string Reason)> unstorable
    ) =>
        new(
            Objects,
            applied.Stored,
            applied.Unchanged,
            Gone: 0,
            [.. _rejections, .. unstorable.Select(u => ObjectRefetch.Unstorable(u.Item, u.Reason))],
            _rejectedObjects + unstorable.Sum(u => (long)u.Item.SourceObjects)
        )
        {
            RejectedRoots = _rejectedRoots + unstorable.Count,
            InOtherCurrency =
            [
                .. Records.OfType<OrderRecord>().Where(o => o.Currency is { } currency && currency != shop.Currency),
            ],
        };
}
