using System.Threading.Channels;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>A store's whole history through Shopify's bulk operations: one export an object type, streamed through the one door.</summary>
public sealed class FullImport(BulkExports exports, BulkDownload download, TenantDatabase tenants)
{
    private const int BatchObjects = 30_000, Appliers = 2;

    public Task RunAsync(SyncLease lease, Tenant tenant, CancellationToken ct)
    {
        var shop = new ShopReference(tenant.TenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone);
        var calendar = new ShopCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone);
        return exports.RunAsync(lease, shop, Documents.Bulk, "Importing", (part, export) => ApplyFileAsync(lease, calendar, part, export, ct), ct);
    }

    /// <summary>
    /// Parsing and storing overlap, and so do two transactions: while one adds to the rollups, the next stores its rows. What waits in
    /// between is bounded, so memory is too.
    /// </summary>
    private async Task ApplyFileAsync(SyncLease lease, ShopCalendar shop, ImportPart part, BulkOperation export, CancellationToken ct)
    {
        if (export.Url is null) return;
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var batches = Channel.CreateBounded<Batch>(1);
        var stages = Enumerable.Range(0, Appliers).Select(_ => ApplyBatchesAsync(batches.Reader)).Append(ReadBatchesAsync(shop, export, batches.Writer, failed.Token)).ToList();
        await foreach (var stage in Task.WhenEach(stages).WithCancellation(CancellationToken.None))
        {
            if (!stage.IsCompletedSuccessfully) await failed.CancelAsync();
        }
        // The failure that stopped the others comes first, not the cancellation it caused.
        if (stages.Find(s => s.IsFaulted) is { } fault) await fault;
        await Task.WhenAll(stages);

        async Task ApplyBatchesAsync(ChannelReader<Batch> reader)
        {
            await Task.Yield();
            await foreach (var batch in reader.ReadAllAsync(failed.Token))
                await ApplyAsync(lease, shop, part, batch, failed.Token);
        }
    }

    private async Task ApplyAsync(SyncLease lease, ShopCalendar shop, ImportPart part, Batch batch, CancellationToken ct)
    {
        var applied = await tenants.RunAsync(lease.TenantId, async db =>
        {
            var applied = await IngestionWriter.ApplyAsync(db, shop, batch.Records, ct);
            await lease.CountAsync(db, new($"Importing {part.Kind.Words()}", 0, batch.Objects, applied.Stored, applied.Unchanged, batch.RejectedObjects), null, ct);
            return applied;
        }, ct);
        part.Count(new(batch.Objects, applied.Stored, applied.Unchanged, Gone: 0, batch.Rejections, batch.RejectedObjects));
    }

    private async Task ReadBatchesAsync(ShopCalendar shop, BulkOperation export, ChannelWriter<Batch> batches, CancellationToken ct)
    {
        await Task.Yield();
        await using var file = await download.OpenAsync(export.Url!, export.FileSize, ct);
        var batch = new Batch();
        await foreach (var item in new JsonlAssembler(shop.Currency).ReadAsync(file, ct))
        {
            batch.Add(item);
            if (batch.Objects < BatchObjects) continue;
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
    public List<string> Rejections { get; } = [];
    public long Objects { get; private set; }
    public long RejectedObjects { get; private set; }

    public void Add(BulkItem item)
    {
        Objects += item.SourceObjects;
        if (item.Record is { } record) Records.Add(record);
        else
        {
            RejectedObjects += item.SourceObjects;
            Rejections.Add($"line {item.Rejected!.Line}: {item.Rejected.Gid} {item.Rejected.Reason}");
        }
    }
}
