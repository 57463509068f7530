using System.Text.Json;
using System.Threading.Channels;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>The run cannot prove that it is complete. The message tells the merchant what happened.</summary>
public sealed class ImportFailedException(string message) : Exception(message);

/// <summary>
/// A store's whole history through Shopify's bulk operations: one export an object type, streamed through the one door. A kind whose
/// numbers do not add up (announced = read = stored + unchanged + rejected) fails the run; nothing is called done that is not.
/// Interrupted anywhere, it goes on with the exports it had started and reads an unfinished one again from its beginning, which
/// changes nothing that was already applied.
/// </summary>
public sealed class FullImport(BulkOperations bulk, BulkDownload download, TenantDatabase tenants, BulkFinished finished, ILogger<FullImport> logger)
{
    private const int BatchObjects = 30_000, Appliers = 2, ExportAttempts = 3;
    private static readonly TimeSpan FirstPoll = TimeSpan.FromMilliseconds(200), SlowestPoll = TimeSpan.FromSeconds(5);

    public async Task RunAsync(SyncLease lease, Tenant tenant, CancellationToken ct)
    {
        var shop = new ShopReference(tenant.TenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone);
        var calendar = new ShopCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone);
        var cursor = lease.Cursor is null ? ImportCursor.Start() : JsonSerializer.Deserialize<ImportCursor>(lease.Cursor)!;

        // What earlier turns of this run went through is not held against this one: they may have been killed.
        foreach (var part in cursor.Parts.Where(p => !p.Done && p.OperationId is not null)) part.Exports = 1;
        // All exports run side by side at Shopify; five may.
        foreach (var part in cursor.Parts.Where(p => !p.Done && p.OperationId is null)) await StartExportAsync(lease, shop, cursor, part, ct);
        foreach (var part in cursor.Parts.Where(p => !p.Done)) await ImportPartAsync(lease, shop, calendar, cursor, part, ct);
    }

    private async Task ImportPartAsync(SyncLease lease, ShopReference shop, ShopCalendar calendar, ImportCursor cursor, ImportPart part, CancellationToken ct)
    {
        while (true)
        {
            var export = await FinishedExportAsync(lease, shop, cursor, part, ct);
            try
            {
                await ReadExportAsync(lease, calendar, cursor, part, export, ct);
                return;
            }
            catch (ShopifyException failure) when (failure.Failure is ShopifyFailure.PartialData or ShopifyFailure.NotFound && part.Exports < ExportAttempts)
            {
                logger.LogWarning(failure, "The file of {Operation} is not usable; asking for {Kind} again", export.Id, part.Kind);
                await StartExportAsync(lease, shop, cursor, part, ct);
            }
        }
    }

    private async Task StartExportAsync(SyncLease lease, ShopReference shop, ImportCursor cursor, ImportPart part, CancellationToken ct)
    {
        var operation = await bulk.StartAsync(shop, DocumentOf(part.Kind), ct);
        part.OperationId = operation.Id;
        part.Exports++;
        await lease.SaveAsync(cursor.Progress($"Asking Shopify for {WordFor(part.Kind)}"), cursor, ct);
    }

    private async Task<BulkOperation> FinishedExportAsync(SyncLease lease, ShopReference shop, ImportCursor cursor, ImportPart part, CancellationToken ct)
    {
        for (var wait = FirstPoll; ; wait = TimeSpan.FromTicks(Math.Min(wait.Ticks * 3 / 2, SlowestPoll.Ticks)))
        {
            var operation = await FindExportAsync(shop, part.OperationId!, ct);
            if (operation is { Status: BulkStatus.Completed }) return operation;
            if (operation is { HasEnded: false })
            {
                part.Announced = operation.ObjectCount;
                await lease.SaveAsync(cursor.Progress($"Shopify is preparing {WordFor(part.Kind)}"), cursor, ct);
                await finished.WaitAsync(lease.TenantId, wait, ct);
                continue;
            }
            if (part.Exports >= ExportAttempts)
                throw new ImportFailedException($"Shopify did not finish its export of {WordFor(part.Kind)} in {part.Exports} attempts ({operation?.Status.ToString() ?? "forgotten"} {operation?.ErrorCode}). Nothing half done was counted as complete. Start the import again later.");
            logger.LogWarning("Export {Operation} of {Kind} ended as {Status} {Error}; asking again", part.OperationId, part.Kind, operation?.Status, operation?.ErrorCode);
            await StartExportAsync(lease, shop, cursor, part, ct);
        }
    }

    /// <summary>Null when Shopify has forgotten the operation: after a week, or when the store was connected anew.</summary>
    private async Task<BulkOperation?> FindExportAsync(ShopReference shop, string id, CancellationToken ct)
    {
        try
        {
            return await bulk.GetAsync(shop, id, ct);
        }
        catch (ShopifyException failure) when (failure.Failure == ShopifyFailure.NotFound)
        {
            return null;
        }
    }

    private async Task ReadExportAsync(SyncLease lease, ShopCalendar shop, ImportCursor cursor, ImportPart part, BulkOperation export, CancellationToken ct)
    {
        part.Begin(export.ObjectCount);
        await lease.SaveAsync(cursor.Progress($"Importing {WordFor(part.Kind)}"), cursor, ct);
        if (export.Url is not null) await ApplyFileAsync(lease, shop, part, export, ct);

        if (part.Read != part.Announced)
            throw new ShopifyException(ShopifyFailure.PartialData, $"Shopify announced {part.Announced:N0} objects for {WordFor(part.Kind)}, but its file held {part.Read:N0}. The import is not complete; start it again.");
        if (part.Read != part.Stored + part.Unchanged + part.Rejected)
            throw new InvalidOperationException($"{part.Kind}: read {part.Read} ≠ stored {part.Stored} + unchanged {part.Unchanged} + rejected {part.Rejected}.");
        part.Done = true;
        await lease.SaveAsync(cursor.Progress($"Imported {WordFor(part.Kind)}"), cursor, ct);
    }

    /// <summary>
    /// Parsing and storing overlap, and so do two transactions: while one adds to the rollups, the next stores its rows. What waits in
    /// between is bounded, so memory is too.
    /// </summary>
    private async Task ApplyFileAsync(SyncLease lease, ShopCalendar shop, ImportPart part, BulkOperation export, CancellationToken ct)
    {
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
            await lease.CountAsync(db, $"Importing {WordFor(part.Kind)}", batch.Objects, applied, batch.RejectedObjects, ct);
            return applied;
        }, ct);
        part.Count(batch, applied);
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

    private static string WordFor(ImportKind kind) => kind switch
    {
        ImportKind.Products => "products",
        ImportKind.Customers => "customers",
        ImportKind.Orders => "orders",
        _ => "abandoned checkouts",
    };

    private static string DocumentOf(ImportKind kind) => kind switch
    {
        ImportKind.Products => Documents.BulkProducts,
        ImportKind.Customers => Documents.BulkCustomers,
        ImportKind.Orders => Documents.BulkOrders,
        _ => Documents.BulkAbandonedCheckouts,
    };
}

public enum ImportKind
{
    Products,
    Customers,
    Orders,
    AbandonedCheckouts,
}

/// <summary>Where a full import has come to; saved as JSON with every batch.</summary>
public sealed class ImportCursor
{
    public List<ImportPart> Parts { get; init; } = [];

    public static ImportCursor Start() => new() { Parts = [.. Enum.GetValues<ImportKind>().Select(kind => new ImportPart { Kind = kind })] };

    public SyncProgress Progress(string phase) =>
        new(phase, Parts.Sum(p => p.Announced), Parts.Sum(p => p.Read), Parts.Sum(p => p.Stored), Parts.Sum(p => p.Unchanged), Parts.Sum(p => p.Rejected));
}

public sealed class ImportPart
{
    private const int KeptRejections = 50;

    public ImportKind Kind { get; init; }
    public string? OperationId { get; set; }

    /// <summary>How many exports this turn of the run had, since Shopify's may fail.</summary>
    public int Exports { get; set; }
    public long Announced { get; set; }
    public long Read { get; set; }
    public long Stored { get; set; }
    public long Unchanged { get; set; }
    public long Rejected { get; set; }
    public bool Done { get; set; }

    /// <summary>The first objects that could not be read, and why.</summary>
    public List<string> Rejections { get; init; } = [];

    internal void Begin(long announced)
    {
        Announced = announced;
        Read = Stored = Unchanged = Rejected = 0;
        Rejections.Clear();
    }

    internal void Count(Batch batch, ApplyResult applied)
    {
        lock (Rejections)
        {
            Read += batch.Objects;
            Stored += applied.Stored;
            Unchanged += applied.Unchanged;
            Rejected += batch.RejectedObjects;
            Rejections.AddRange(batch.Rejections.Take(KeptRejections - Rejections.Count));
        }
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
