using System.Runtime.InteropServices;
using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Ingestion;

namespace XenoInsights.Shopify;

/// <summary>What is read of a shop, in the order it is read in: orders find their products and customers.</summary>
public enum ObjectKind
{
    Products,
    Customers,
    Orders,
    AbandonedCheckouts,
}

/// <summary>That an object exists, and in which version.</summary>
public readonly record struct ObjectVersion(long ShopifyId, DateTimeOffset UpdatedAt);

/// <param name="Rejections">Of listed objects whose id or version cannot be read, why.</param>
/// <param name="Next">Where the next page begins; null after the last.</param>
public sealed record VersionPage(IReadOnlyList<ObjectVersion> Versions, IReadOnlyList<string> Rejections, string? Next);

/// <param name="Rejections">Why, by id, the others cannot be read.</param>
internal sealed record ReadableObjects(List<IngestRecord> Records, Dictionary<long, string> Rejections)
{
    public void Add(ReadableObjects more)
    {
        Records.AddRange(more.Records);
        foreach (var (id, reason) in more.Rejections)
            Rejections[id] = reason;
    }
}

/// <summary>How many objects a shop has; <see cref="Orders"/> counts only what the app may see.</summary>
public sealed record ShopCounts(long Orders, long Customers, long Products, long AbandonedCheckouts);

/// <summary>
/// Reads single objects as they are now: what a webhook announced, or what a bulk file could not give. Objects that no
/// longer exist are missing from the result.
/// </summary>
public sealed class AdminObjects(AdminClient admin)
{
    // A query may cost 1000 at most; an order with its pages costs about 115, a checkout with its lines about 20, a
    // customer 5, a product 1.
    private const int OrdersAtOnce = 5;
    private const int CustomersAtOnce = 100;
    private const int ProductsAtOnce = 250;
    private const int CheckoutsAtOnce = 25;

    /// <exception cref="ShopifyException">Also when an object is not as expected
    /// (<see cref="ShopifyFailure.PartialData"/>): it is never left out silently.</exception>
    public async Task<IReadOnlyList<OrderRecord>> OrdersAsync(
        ShopReference shop,
        IEnumerable<long> ids,
        CancellationToken ct
    )
    {
        var orders = new List<OrderRecord>();
        var reader = new OrderReader(shop.Currency);
        foreach (var chunk in ids.Distinct().Chunk(OrdersAtOnce))
        foreach (var node in await NodesAsync(shop, GraphQLDocuments.OrdersByIds, "Order", chunk, ct))
        {
            Read(node, reader.Begin);
            await CompleteAsync(shop, reader, node.GetProperty("id").GetString()!, ct);
            orders.Add(Finish<OrderRecord>(reader));
        }
        return orders;
    }

    public Task<IReadOnlyList<CustomerRecord>> CustomersAsync(
        ShopReference shop,
        IEnumerable<long> ids,
        CancellationToken ct
    ) =>
        ReadAsync<CustomerRecord>(
            shop,
            new CustomerReader(shop.Currency),
            GraphQLDocuments.CustomersByIds,
            "Customer",
            ids.Distinct().Chunk(CustomersAtOnce),
            ct
        );

    public Task<IReadOnlyList<ProductRecord>> ProductsAsync(
        ShopReference shop,
        IEnumerable<long> ids,
        CancellationToken ct
    ) =>
        ReadAsync<ProductRecord>(
            shop,
            new ProductReader(shop.Currency),
            GraphQLDocuments.ProductsByIds,
            "Product",
            ids.Distinct().Chunk(ProductsAtOnce),
            ct
        );

    /// <summary>Shopify has a node for a checkout only once it counts as abandoned.</summary>
    public async Task<IReadOnlyList<CheckoutRecord>> CheckoutsAsync(
        ShopReference shop,
        IEnumerable<long> ids,
        CancellationToken ct
    )
    {
        var checkouts = new List<CheckoutRecord>();
        var reader = new CheckoutReader(shop.Currency);
        foreach (var chunk in ids.Distinct().Chunk(CheckoutsAtOnce))
        foreach (var node in await NodesAsync(shop, GraphQLDocuments.CheckoutsByIds, "AbandonedCheckout", chunk, ct))
        {
            Read(node, reader.Begin);
            while (reader.LinesAfter is { } after)
                Read(
                    (
                        await admin.SendAsync(
                            shop,
                            GraphQLDocuments.CheckoutLines,
                            new { id = node.GetProperty("id").GetString()!, after },
                            ct
                        )
                    ).GetProperty("node"),
                    reader.Continue
                );
            checkouts.Add(Finish<CheckoutRecord>(reader));
        }
        return checkouts;
    }

    /// <summary>Objects as they are now; those that do not exist are missing.</summary>
    public async Task<IReadOnlyCollection<IngestRecord>> ReadAsync(
        ShopReference shop,
        ObjectKind kind,
        IEnumerable<long> ids,
        CancellationToken ct
    ) =>
        kind switch
        {
            ObjectKind.Products => await ProductsAsync(shop, ids, ct),
            ObjectKind.Customers => await CustomersAsync(shop, ids, ct),
            ObjectKind.Orders => await OrdersAsync(shop, ids, ct),
            _ => await CheckoutsAsync(shop, ids, ct),
        };

    /// <summary>
    /// As <see cref="ReadAsync(ShopReference, ObjectKind, IEnumerable{long}, CancellationToken)"/>, but one that cannot
    /// be read is left out with the reason and the others are read all the same.
    /// </summary>
    internal async Task<ReadableObjects> ReadEachAsync(
        ShopReference shop,
        ObjectKind kind,
        IReadOnlyCollection<long> ids,
        CancellationToken ct
    )
    {
        try
        {
            return new([.. await ReadAsync(shop, kind, ids, ct)], []);
        }
        catch (ShopifyException failure) when (failure.Failure == ShopifyFailure.PartialData && ids.Count == 1)
        {
            return new([], new() { [ids.First()] = failure.Message });
        }
        catch (ShopifyException failure) when (failure.Failure == ShopifyFailure.PartialData)
        {
            var each = new ReadableObjects([], []);
            foreach (var id in ids)
                each.Add(await ReadEachAsync(shop, kind, [id], ct));
            return each;
        }
    }

    /// <summary>
    /// A page of what a search finds, oldest change first (checkouts by id). Searches are case-insensitive to seconds
    /// and may match whole days: whoever asks filters again.
    /// </summary>
    public async Task<VersionPage> VersionsAsync(
        ShopReference shop,
        ObjectKind kind,
        string search,
        int size,
        string? after,
        CancellationToken ct
    )
    {
        var data = await admin.SendAsync(
            shop,
            GraphQLDocuments.Versions(kind),
            new
            {
                first = size,
                after,
                search,
            },
            ct
        );
        var connection = data.EnumerateObject().First().Value;
        var page = connection.GetProperty("pageInfo");
        var (versions, rejections) = (new List<ObjectVersion>(), new List<string>());
        foreach (var node in connection.GetProperty("nodes").EnumerateArray())
            if (ReadVersion(node, out var unreadable) is { } version)
                versions.Add(version);
            else
                rejections.Add(unreadable!);
        return new(
            versions,
            rejections,
            page.GetProperty("hasNextPage").GetBoolean() ? page.GetProperty("endCursor").GetString() : null
        );
    }

    /// <summary>Null when it cannot be read, with what was found and why.</summary>
    internal static ObjectVersion? ReadVersion(JsonElement node, out string? unreadable)
    {
        unreadable = null;
        try
        {
            return new ObjectVersion(IdOf(node), node.GetProperty("updatedAt").GetDateTimeOffset());
        }
        catch (Exception failure) when (Utf8JsonReaderExtensions.IsUnreadable(failure))
        {
            unreadable = $"{node.GetRawText()}: {failure.Message}";
            return null;
        }
    }

    /// <summary>
    /// The shop that answers there, as it is now: its domain may have been given to another one, its time zone or
    /// currency changed.
    /// </summary>
    public async Task<ShopInfo> ShopAsync(ShopReference shop, CancellationToken ct) =>
        ShopInfo.Read((await admin.SendAsync(shop, GraphQLDocuments.Shop, null, ct)).GetProperty("shop"));

    private static long IdOf(JsonElement node)
    {
        var gid = node.GetProperty("id").GetString()!;
        return long.Parse(gid.AsSpan(gid.LastIndexOf('/') + 1), System.Globalization.CultureInfo.InvariantCulture);
    }

    public async Task<ShopCounts> CountsAsync(ShopReference shop, CancellationToken ct)
    {
        var data = await admin.SendAsync(shop, GraphQLDocuments.Counts, null, ct);
        return new ShopCounts(
            Exact(data, "orders"),
            Exact(data, "customers"),
            Exact(data, "products"),
            Exact(data, "abandonedCheckouts")
        );
    }

    /// <summary>How many of the orders the app may see a search finds, exactly.</summary>
    public async Task<long> CountOrdersAsync(ShopReference shop, string search, CancellationToken ct) =>
        Exact(await admin.SendAsync(shop, GraphQLDocuments.CountOrders, new { search }, ct), "ordersCount");

    private async Task<IReadOnlyList<TRecord>> ReadAsync<TRecord>(
        ShopReference shop,
        RecordReader reader,
        string document,
        string type,
        IEnumerable<long[]> chunks,
        CancellationToken ct
    )
        where TRecord : IngestRecord
    {
        var records = new List<TRecord>();
        foreach (var chunk in chunks)
        foreach (var node in await NodesAsync(shop, document, type, chunk, ct))
        {
            Read(node, reader.Begin);
            records.Add(Finish<TRecord>(reader));
        }
        return records;
    }

    private async Task<IEnumerable<JsonElement>> NodesAsync(
        ShopReference shop,
        string document,
        string type,
        long[] ids,
        CancellationToken ct
    )
    {
        var data = await admin.SendAsync(
            shop,
            document,
            new { ids = ids.Select(id => $"gid://shopify/{type}/{id}") },
            ct
        );
        return data.GetProperty("nodes").EnumerateArray().Where(node => node.ValueKind == JsonValueKind.Object);
    }

    private async Task CompleteAsync(ShopReference shop, OrderReader reader, string id, CancellationToken ct)
    {
        if (reader.RefundsIncomplete)
        {
            reader.ResetRefunds();
            Read(await OrderPageAsync(shop, GraphQLDocuments.OrderRefunds, new { id }, ct), reader.Continue);
        }
        while (reader.LinesAfter is { } after)
            Read(await OrderPageAsync(shop, GraphQLDocuments.OrderLines, new { id, after }, ct), reader.Continue);
        if (reader.LedgerIncomplete)
            await ReadLedgerAsync(shop, reader, id, ct);
        foreach (var (refund, first) in reader.RefundLinesAfter)
            for (string? after = first; after is not null; )
            {
                var data = await admin.SendAsync(shop, GraphQLDocuments.RefundLines, new { id = refund, after }, ct);
                string? next = null;
                Read(data.GetProperty("refund"), (ref Utf8JsonReader json) => next = reader.ContinueRefund(ref json));
                after = next;
            }
    }

    private async Task ReadLedgerAsync(ShopReference shop, OrderReader reader, string id, CancellationToken ct)
    {
        reader.ResetLedger();
        string? after = null,
            salesAfter = null;
        do
        {
            Read(
                await OrderPageAsync(
                    shop,
                    GraphQLDocuments.OrderLedger,
                    new
                    {
                        id,
                        after,
                        salesAfter,
                    },
                    ct
                ),
                reader.Continue
            );
            salesAfter = reader.SalesAfter;
            if (salesAfter is null)
                after = reader.AgreementsAfter;
        } while (salesAfter is not null || after is not null);
    }

    private async Task<JsonElement> OrderPageAsync(
        ShopReference shop,
        string document,
        object variables,
        CancellationToken ct
    ) => (await admin.SendAsync(shop, document, variables, ct)).GetProperty("order");

    private delegate void JsonReading(ref Utf8JsonReader reader);

    private static void Read(JsonElement element, JsonReading read)
    {
        try
        {
            var reader = new Utf8JsonReader(JsonMarshal.GetRawUtf8Value(element));
            read(ref reader);
        }
        catch (Exception unreadable) when (Utf8JsonReaderExtensions.IsUnreadable(unreadable))
        {
            throw Unreadable(unreadable);
        }
    }

    private static TRecord Finish<TRecord>(RecordReader reader)
        where TRecord : IngestRecord
    {
        try
        {
            return (TRecord)reader.Finish();
        }
        catch (Exception unreadable) when (Utf8JsonReaderExtensions.IsUnreadable(unreadable))
        {
            throw Unreadable(unreadable);
        }
    }

    private static ShopifyException Unreadable(Exception cause) =>
        new(ShopifyFailure.PartialData, $"An object of Shopify could not be read: {cause.Message}", cause);

    private static long Exact(JsonElement data, string name)
    {
        var count = data.GetProperty(name);
        return count.GetProperty("precision").GetString() == "EXACT"
            ? count.GetProperty("count").GetInt64()
            : throw new ShopifyException(ShopifyFailure.PartialData, $"Shopify counts {name} only roughly.");
    }
}
