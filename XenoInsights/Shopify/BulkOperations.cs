using System.Globalization;
using System.Text.Json;

namespace XenoInsights.Shopify;

public enum BulkStatus
{
    Created,
    Running,
    Completed,
    Failed,
    Canceling,
    Canceled,
    Expired,
}

/// <summary>A bulk operation as Shopify last told.</summary>
/// <param name="Id">Its gid: with it a run can be taken up again by another process.</param>
/// <param name="ErrorCode">Why it failed: ACCESS_DENIED, INTERNAL_SERVER_ERROR or TIMEOUT.</param>
/// <param name="ObjectCount">Lines of the file, so far while it runs.</param>
/// <param name="RootObjectCount">Those of them without a parent.</param>
/// <param name="FileSize">Bytes.</param>
/// <param name="Url">Where the file lies, for 7 days; null until completed, and when there was nothing to
/// export.</param>
/// <param name="PartialDataUrl">What a failed operation got done. Never complete.</param>
public sealed record BulkOperation(
    string Id,
    BulkStatus Status,
    string? ErrorCode,
    long ObjectCount,
    long RootObjectCount,
    long? FileSize,
    Uri? Url,
    Uri? PartialDataUrl
)
{
    public bool HasEnded => Status is not (BulkStatus.Created or BulkStatus.Running or BulkStatus.Canceling);
}

/// <summary>Starts and follows Shopify's bulk queries, whose result is a file of JSON lines.</summary>
public sealed class BulkOperations(AdminClient admin)
{
    /// <summary>Starts a bulk query with children grouped below their parents.</summary>
    /// <param name="document">One of the bulk documents of <see cref="Documents"/>.</param>
    /// <exception cref="ShopifyException"><see cref="ShopifyFailure.BulkBusy"/> when as many run as Shopify allows
    /// (five a shop).</exception>
    public async Task<BulkOperation> StartAsync(ShopReference shop, string document, CancellationToken ct)
    {
        var data = await admin.SendAsync(shop, GraphQLDocuments.BulkRun, new { query = document }, ct);
        var payload = data.GetProperty("bulkOperationRunQuery");
        return Refusal(payload) is { } refusal ? throw refusal : Read(payload.GetProperty("bulkOperation"));
    }

    /// <exception cref="ShopifyException"><see cref="ShopifyFailure.NotFound"/> when Shopify does not know
    /// it.</exception>
    public async Task<BulkOperation> GetAsync(ShopReference shop, string id, CancellationToken ct)
    {
        var data = await admin.SendAsync(shop, GraphQLDocuments.BulkPoll, new { id }, ct);
        return Read(data.GetProperty("bulkOperation"));
    }

    /// <summary>Asks to stop it. One that has ended meanwhile is returned as it ended.</summary>
    public async Task<BulkOperation> CancelAsync(ShopReference shop, string id, CancellationToken ct)
    {
        var data = await admin.SendAsync(shop, GraphQLDocuments.BulkCancel, new { id }, ct);
        var payload = data.GetProperty("bulkOperationCancel");
        if (Refusal(payload) is not { } refusal)
            return Read(payload.GetProperty("bulkOperation"));
        var operation = await GetAsync(shop, id, ct);
        return operation.HasEnded ? operation : throw refusal;
    }

    /// <summary>Those of this app that have not ended, the newest first.</summary>
    public async Task<IReadOnlyList<BulkOperation>> ListRunningAsync(ShopReference shop, CancellationToken ct)
    {
        var data = await admin.SendAsync(shop, GraphQLDocuments.BulkList, null, ct);
        return
        [
            .. data.GetProperty("bulkOperations")
                .GetProperty("nodes")
                .EnumerateArray()
                .Select(Read)
                .Where(operation => !operation.HasEnded),
        ];
    }

    private static ShopifyException? Refusal(JsonElement payload)
    {
        var errors = payload.GetProperty("userErrors").EnumerateArray().ToList();
        if (errors.Count == 0)
            return payload.GetProperty("bulkOperation").ValueKind == JsonValueKind.Object
                ? null
                : new ShopifyException(
                    ShopifyFailure.InvalidRequest,
                    "Shopify did not say what became of the bulk operation."
                );
        var message = string.Join("; ", errors.Select(error => error.GetProperty("message").GetString()));
        var busy = errors.Any(error =>
            error.TryGetProperty("code", out var code) && code.GetString() is "OPERATION_IN_PROGRESS" or "LIMIT_REACHED"
        );
        return busy
            ? new ShopifyException(
                ShopifyFailure.BulkBusy,
                $"Shopify runs as many exports of this store as it allows: {message}"
            )
            : new ShopifyException(ShopifyFailure.InvalidRequest, $"Shopify refused the bulk operation: {message}");
    }

    private static BulkOperation Read(JsonElement operation) =>
        operation.ValueKind != JsonValueKind.Object
            ? throw new ShopifyException(ShopifyFailure.NotFound, "Shopify no longer knows this bulk operation.")
            : new BulkOperation(
                operation.GetProperty("id").GetString()!,
                Enum.TryParse<BulkStatus>(operation.GetProperty("status").GetString(), ignoreCase: true, out var status)
                    ? status
                    : throw new ShopifyException(
                        ShopifyFailure.InvalidRequest,
                        $"Shopify reports an unknown state of a bulk operation: {operation.GetProperty("status")}."
                    ),
                operation.GetProperty("errorCode").GetString(),
                Number(operation, "objectCount") ?? 0,
                Number(operation, "rootObjectCount") ?? 0,
                Number(operation, "fileSize"),
                Address(operation, "url"),
                Address(operation, "partialDataUrl")
            );

    /// <summary>Shopify writes 64-bit numbers as text.</summary>
    private static long? Number(JsonElement operation, string name) =>
        operation.GetProperty(name) is { ValueKind: not JsonValueKind.Null } value
            ? long.Parse(value.ToString(), CultureInfo.InvariantCulture)
            : null;

    private static Uri? Address(JsonElement operation, string name) =>
        operation.GetProperty(name).GetString() is { } url ? new Uri(url) : null;
}
