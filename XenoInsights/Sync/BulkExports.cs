using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>The run cannot prove that it is complete. The message tells the merchant what happened.</summary>
public sealed class ImportFailedException(string message) : Exception(message), IExpectedFailure
{
    public bool IsExpected => true;
}

/// <summary>
/// A run through Shopify's bulk operations: one export an object type, side by side at Shopify, read one after the
/// other. A kind whose numbers do not add up (announced = read = stored + unchanged + rejected + gone) fails the run;
/// nothing is called done that is not. Interrupted anywhere, it goes on with the exports it had started and reads an
/// unfinished one again from its beginning, which changes nothing that was already applied.
/// </summary>
public sealed class BulkExports(BulkOperations bulk, BulkFinished finished, ILogger<BulkExports> logger)
{
    private const int ExportAttempts = 3;
    private static readonly TimeSpan _firstPoll = TimeSpan.FromMilliseconds(200),
        _slowestPoll = TimeSpan.FromSeconds(5);

    /// <param name="documentOf">What is exported of a kind.</param>
    /// <param name="doing">What is done with it, for the merchant: "Importing".</param>
    /// <param name="readAsync">Reads a finished export and counts what it read; one of nothing has no file.</param>
    public async Task RunAsync(
        SyncLease lease,
        ShopReference shop,
        Func<ObjectKind, string> documentOf,
        string doing,
        Func<ImportPart, BulkOperation, Task> readAsync,
        CancellationToken ct
    )
    {
        var cursor = lease.Cursor is null
            ? ImportCursor.Start()
            : JsonSerializer.Deserialize<ImportCursor>(lease.Cursor)!;
        // What earlier turns of this run went through is not held against this one: they may have been killed.
        foreach (var part in cursor.Parts.Where(p => !p.Done && p.OperationId is not null))
            part.Exports = 1;
        // All exports run side by side at Shopify; five may.
        foreach (var part in cursor.Parts.Where(p => !p.Done && p.OperationId is null))
            await StartAsync(part);
        foreach (var part in cursor.Parts.Where(p => !p.Done))
            await RunPartAsync(part);
        if (cursor.Parts.Find(p => p.IsUnreadable) is { } unreadable)
        {
            var count = unreadable.RejectedRoots.ToString("N0", CultureInfo.InvariantCulture);
            throw new ImportFailedException(
                $"None of the {count} {unreadable.Kind.Words()} could be read. The first: {unreadable.Rejections[0]}"
            );
        }

        async Task StartAsync(ImportPart part)
        {
            var operation = await bulk.StartAsync(shop, documentOf(part.Kind), ct);
            part.OperationId = operation.Id;
            part.Exports++;
            await lease.SaveAsync(cursor.Progress($"Asking Shopify for {part.Kind.Words()}"), cursor, ct);
        }

        async Task RunPartAsync(ImportPart part)
        {
            while (true)
            {
                var export = await FinishedAsync(part);
                try
                {
                    await ReadAsync(part, export);
                    return;
                }
                catch (ShopifyException failure)
                    when (failure.Failure is ShopifyFailure.PartialData or ShopifyFailure.NotFound
                        && part.Exports < ExportAttempts
                    )
                {
                    logger.LogWarning(
                        failure,
                        "The file of {Operation} is not usable; asking for {Kind} again",
                        export.Id,
                        part.Kind
                    );
                    await StartAsync(part);
                }
            }
        }

        async Task<BulkOperation> FinishedAsync(ImportPart part)
        {
            for (var wait = _firstPoll; ; wait = TimeSpan.FromTicks(Math.Min(wait.Ticks * 3 / 2, _slowestPoll.Ticks)))
            {
                var operation = await FindAsync(shop, part.OperationId!, ct);
                if (operation is { Status: BulkStatus.Completed })
                    return operation;
                if (operation is { HasEnded: false })
                {
                    part.Announced = operation.ObjectCount;
                    await lease.SaveAsync(cursor.Progress($"Shopify is preparing {part.Kind.Words()}"), cursor, ct);
                    await finished.WaitAsync(lease.TenantId, wait, ct);
                    continue;
                }
                if (part.Exports >= ExportAttempts)
                    throw new ImportFailedException(
                        $"Shopify did not finish its export of {part.Kind.Words()} in {part.Exports} attempts "
                            + $"({operation?.Status.ToString() ?? "no longer known"} {operation?.ErrorCode}). "
                            + "Nothing half done was counted as complete. Start it again later."
                    );
                logger.LogWarning(
                    "Export {Operation} of {Kind} ended as {Status} {Error}; asking again",
                    part.OperationId,
                    part.Kind,
                    operation?.Status,
                    operation?.ErrorCode
                );
                await StartAsync(part);
            }
        }

        async Task ReadAsync(ImportPart part, BulkOperation export)
        {
            part.Begin(export.ObjectCount);
            await lease.SaveAsync(cursor.Progress($"{doing} {part.Kind.Words()}"), cursor, ct);
            await readAsync(part, export);

            if (part.Read != part.Announced)
                throw new ShopifyException(
                    ShopifyFailure.PartialData,
                    $"Shopify announced {part.Announced:N0} objects for {part.Kind.Words()}, "
                        + $"but its file held {part.Read:N0}. The run is not complete; start it again."
                );
            part.Check();
            part.Done = true;
            await lease.SaveAsync(cursor.Progress($"{doing} {part.Kind.Words()}"), cursor, ct);
        }
    }

    /// <summary>
    /// Null when Shopify no longer knows the operation: after a week, or when the store was connected anew.
    /// </summary>
    private async Task<BulkOperation?> FindAsync(ShopReference shop, string id, CancellationToken ct)
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
}

internal static class ObjectKinds
{
    /// <summary>For merchants.</summary>
    public static string Words(this ObjectKind kind) =>
        kind switch
        {
            ObjectKind.Products => "products",
            ObjectKind.Customers => "customers",
            ObjectKind.Orders => "orders",
            _ => "abandoned checkouts",
        };

    public static string Table(this ObjectKind kind) =>
        kind switch
        {
            ObjectKind.Products => "products",
            ObjectKind.Customers => "customers",
            ObjectKind.Orders => "orders",
            _ => "checkouts",
        };
}

/// <summary>Where a run has come to, kind by kind; saved as JSON with the counters it explains.</summary>
public sealed class ImportCursor
{
    public List<ImportPart> Parts { get; init; } = [];

    /// <summary>
    /// The shop days that a check covers, both included; null: all that are over. Null in other runs.
    /// </summary>
    public DateOnly? From { get; init; }
    public DateOnly? To { get; init; }

    public static ImportCursor Start() =>
        new() { Parts = [.. Enum.GetValues<ObjectKind>().Select(kind => new ImportPart { Kind = kind })] };

    public SyncProgress Progress(string phase) =>
        new(
            phase,
            Parts.Sum(p => p.Announced),
            Parts.Sum(p => p.Read),
            Parts.Sum(p => p.Stored),
            Parts.Sum(p => p.Unchanged),
            Parts.Sum(p => p.Rejected),
            Parts.Sum(p => p.Gone)
        );
}

public sealed class ImportPart
{
    private const int KeptRejections = 50;

    public ObjectKind Kind { get; init; }
    public string? OperationId { get; set; }

    /// <summary>How many exports this turn of the run had, since Shopify's may fail.</summary>
    public int Exports { get; set; }
    public long Announced { get; set; }
    public long Read { get; set; }
    public long Stored { get; set; }
    public long Unchanged { get; set; }
    public long Rejected { get; set; }
    public long Gone { get; set; }
    public bool Done { get; set; }

    /// <summary>A run of changes: the next page, and up to when changes were seen.</summary>
    public string? After { get; set; }
    public DateTimeOffset? Since { get; set; }
    public DateTimeOffset? UpdatedTo { get; set; }

    /// <summary>The first objects that could not be read, and why.</summary>
    public List<string> Rejections { get; init; } = [];

    /// <summary>How many whole objects (orders, not their lines) could not be read or stored.</summary>
    public long RejectedRoots { get; set; }

    /// <summary>
    /// Orders that are stored and not included in any figure, because they are in a former currency of the shop; the
    /// first of them by name.
    /// </summary>
    public long NotIncluded { get; set; }
    public List<string> NotIncludedNames { get; init; } = [];

    /// <summary>
    /// Whether there was more than one object and none of them could be read: then it is not the objects' fault.
    /// </summary>
    [JsonIgnore]
    public bool IsUnreadable => RejectedRoots > 1 && Stored + Unchanged + Gone == 0;

    internal void Begin(long announced)
    {
        Announced = announced;
        Read = Stored = Unchanged = Rejected = Gone = RejectedRoots = NotIncluded = 0;
        Rejections.Clear();
        NotIncludedNames.Clear();
    }

    internal void Count(ImportCounts more)
    {
        lock (Rejections)
        {
            Read += more.Read;
            Stored += more.Stored;
            Unchanged += more.Unchanged;
            Gone += more.Gone;
            Rejected += more.Rejected;
            Rejections.AddRange(more.Rejections.Take(KeptRejections - Rejections.Count));
            RejectedRoots += more.RejectedRoots;
            NotIncluded += more.InOtherCurrency.Count;
            NotIncludedNames.AddRange(
                more.InOtherCurrency.Take(KeptRejections - NotIncludedNames.Count)
                    .Select(o => $"{o.Name} ({o.Currency})")
            );
        }
    }

    internal void Check()
    {
        if (Read != Stored + Unchanged + Rejected + Gone)
            throw new InvalidOperationException(
                $"{Kind}: read {Read} ≠ stored {Stored} + unchanged {Unchanged} + rejected {Rejected} + gone {Gone}."
            );
    }
}

/// <param name="Rejections">Of some of the rejected objects, why.</param>
internal sealed record ImportCounts(
    long Read,
    long Stored,
    long Unchanged,
    long Gone,
    IReadOnlyList<string> Rejections,
    long Rejected
)
{
    /// <summary>As <see cref="ImportPart.RejectedRoots"/>.</summary>
    public long RejectedRoots { get; init; }

    /// <summary>Orders in a former currency of the shop, stored or as they were.</summary>
    public IReadOnlyList<OrderRecord> InOtherCurrency { get; init; } = [];
}
