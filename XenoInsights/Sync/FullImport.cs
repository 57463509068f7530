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
public sealed class FullImport(BulkOperations bulk, BulkDownload download, TenantDatabase tenants, TimeProvider time, ILogger<FullImport> logger)
{
    private const int BatchObjects = 12_000, ExportAttempts = 3;
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
            var operation = await FindExportAsync(shop, part, ct);
            if (operation is { Status: BulkStatus.Completed }) return operation;
            if (operation is { HasEnded: false })
            {
                part.Announced = operation.ObjectCount;
                await lease.SaveAsync(cursor.Progress($"Shopify is preparing {WordFor(part.Kind)}"), cursor, ct);
                await Task.Delay(wait, time, ct);
                continue;
            }
            if (part.Exports >= ExportAttempts)
                throw new ImportFailedException($"Shopify did not finish its export of {WordFor(part.Kind)} in {part.Exports} attempts ({operation?.Status.ToString() ?? "Unknown"} {operation?.ErrorCode}). Nothing half done was counted as complete. Start the import again later.");
            logger.LogWarning("Export {Operation} of {Kind} ended as {Status} {Error}; asking again", part.OperationId, part.Kind, operation?.Status, operation?.ErrorCode);
            await StartExportAsync(lease, shop, cursor, part, ct);
        }
    }

    /// <summary>Null when Shopify has forgotten it, as it does after some days.</summary>
    private async Task<BulkOperation?> FindExportAsync(ShopReference shop, ImportPart part, CancellationToken ct)
    {
        try
        {
            return await bulk.GetAsync(shop, part.OperationId!, ct);
        }
        catch (ShopifyException forgotten) when (forgotten.Failure == ShopifyFailure.NotFound)
        {
            return null;
        }
    }

    private async Task ReadExportAsync(SyncLease lease, ShopCalendar shop, ImportCursor cursor, ImportPart part, BulkOperation export, CancellationToken ct)
    {
        part.Begin(export.ObjectCount);
        await lease.SaveAsync(cursor.Progress($"Importing {WordFor(part.Kind)}"), cursor, ct);
        if (export.Url is not null) await ApplyFileAsync(lease, shop, cursor, part, export, ct);

        if (part.Read != part.Announced)
            throw new ShopifyException(ShopifyFailure.PartialData, $"Shopify announced {part.Announced:N0} objects for {WordFor(part.Kind)}, but its file held {part.Read:N0}. The import is not complete; start it again.");
        if (part.Read != part.Stored + part.Unchanged + part.Rejected)
            throw new InvalidOperationException($"{part.Kind}: read {part.Read} ≠ stored {part.Stored} + unchanged {part.Unchanged} + rejected {part.Rejected}.");
        part.Done = true;
        await lease.SaveAsync(cursor.Progress($"Imported {WordFor(part.Kind)}"), cursor, ct);
    }

    /// <summary>Parsing and storing overlap: one batch is being applied while the next is read. What waits in between is bounded, so memory is too.</summary>
    private async Task ApplyFileAsync(SyncLease lease, ShopCalendar shop, ImportCursor cursor, ImportPart part, BulkOperation export, CancellationToken ct)
    {
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var batches = Channel.CreateBounded<Batch>(1);
        var reading = Task.Run(async () =>
        {
            try
            {
                await ReadBatchesAsync(shop, export, batches.Writer, failed.Token);
                batches.Writer.Complete();
            }
            catch (Exception failure)
            {
                batches.Writer.Complete(failure);
            }
        }, CancellationToken.None);
        try
        {
            await foreach (var batch in batches.Reader.ReadAllAsync(ct))
            {
                await tenants.RunAsync(lease.TenantId, async db =>
                {
                    var applied = await IngestionWriter.ApplyAsync(db, shop, batch.Records, ct);
                    part.After(batch, applied);
                    await lease.SaveAsync(db, cursor.Progress($"Importing {WordFor(part.Kind)}"), cursor, ct);
                }, ct);
                part.Commit();
            }
        }
        finally
        {
            await failed.CancelAsync();
            await reading;
        }
    }

    private async Task ReadBatchesAsync(ShopCalendar shop, BulkOperation export, ChannelWriter<Batch> batches, CancellationToken ct)
    {
        await using var file = await download.OpenAsync(export.Url!, export.FileSize, ct);
        var assembler = new JsonlAssembler(shop.Currency);
        var batch = new Batch();
        await foreach (var item in assembler.ReadAsync(file, ct))
        {
            batch.Add(item);
            if (batch.Objects < BatchObjects) continue;
            await batches.WriteAsync(batch, ct);
            batch = new Batch();
        }
        await batches.WriteAsync(batch, ct);
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
        Commit();
        Rejections.Clear();
    }

    internal void After(Batch batch, ApplyResult applied)
    {
        // A unit of work may be run again after a transient failure, so counting starts from the last commit each time.
        (Read, Stored, Unchanged, Rejected) = (_committed.Read + batch.Objects, _committed.Stored + applied.Stored, _committed.Unchanged + applied.Unchanged, _committed.Rejected + batch.RejectedObjects);
        if (Rejections.Count < KeptRejections) Rejections.AddRange(batch.Rejections.Except(Rejections).Take(KeptRejections - Rejections.Count));
    }

    internal void Commit() => _committed = (Read, Stored, Unchanged, Rejected);

    private (long Read, long Stored, long Unchanged, long Rejected) _committed;
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
