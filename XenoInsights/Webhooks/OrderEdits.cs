using System.Text.Json;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;

namespace XenoInsights.Webhooks;

/// <summary>
/// Edits of orders that events told. An order's payload does not tell on which day a line was added or removed;
/// <c>orders/edited</c> does. That matters where the order cannot be read again, such as one of more than 60 days
/// without <c>read_all_orders</c>.
/// </summary>
internal static class OrderEdits
{
    private const string Topic = WebhookTopics.OrdersEdited;

    /// <summary>Topics whose payload is an order.</summary>
    private static readonly string[] _orderTopics =
    [
        .. WebhookTopics
            .All.Where(topic => topic is { Payload: TopicPayload.Order, IsDeletion: false })
            .Select(topic => topic.Name),
    ];

    /// <summary>Edits of the orders that these events speak of, by order, the earliest first.</summary>
    public static async Task<ILookup<long, OrderEdit>> FindAsync(
        XenoDbContext db,
        Guid tenantId,
        IEnumerable<WaitingEvent> events,
        CancellationToken ct
    )
    {
        var orders = events
            .Where(e =>
                e.Topic.StartsWith("orders/", StringComparison.Ordinal) && e.Topic != WebhookTopics.OrdersCreate
            )
            .Select(e => e.ObjectId)
            .OfType<long>()
            .Distinct()
            .ToList();
        var edits = new List<OrderEdit>();
        if (orders.Count > 0)
        {
            await using var command = db.Command(
                """
                select payload from events
                where tenant_id = $1 and object_id = any($2) and topic = $3 and payload is not null
                """
            );
            command.Parameters.Add(Sql.Uuid(tenantId));
            command.Parameters.Add(Sql.Ids(orders));
            command.Parameters.Add(new NpgsqlParameter { Value = Topic });
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
                if (Read(reader.GetFieldValue<byte[]>(0)) is { } edit)
                    edits.Add(edit);
        }
        return edits.OrderBy(e => e.CommittedAt).ToLookup(e => e.OrderId);
    }

    /// <summary>
    /// The newest payload of each order whose edit is among these events: it was read without the edit.
    /// </summary>
    public static async Task<List<WaitingEvent>> EditedAsync(
        XenoDbContext db,
        Guid tenantId,
        IEnumerable<WaitingEvent> events,
        CancellationToken ct
    )
    {
        var orders = events.Where(e => e.Topic == Topic).Select(e => e.ObjectId).OfType<long>().Distinct().ToList();
        var payloads = new List<WaitingEvent>();
        if (orders.Count == 0)
            return payloads;
        await using var command = db.Command(
            """
            select distinct on (object_id) webhook_id, topic, coalesce(triggered_at, received_at), received_at, payload,
                object_id
            from events
            where tenant_id = $1 and object_id = any($2) and topic = any($3) and payload is not null
            order by object_id, coalesce(triggered_at, received_at) desc, received_at desc
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(Sql.Ids(orders));
        command.Parameters.Add(
            new NpgsqlParameter { Value = _orderTopics, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text }
        );
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            payloads.Add(
                new(
                    reader.GetString(0),
                    reader.GetString(1),
                    reader.GetFieldValue<DateTimeOffset>(2),
                    reader.GetFieldValue<DateTimeOffset>(3),
                    0,
                    reader.GetFieldValue<byte[]>(4),
                    null
                )
                {
                    ObjectId = reader.GetInt64(5),
                }
            );
        return payloads;
    }

    /// <summary>Null when it cannot be read: then the order is as its own payload tells it.</summary>
    private static OrderEdit? Read(byte[] payload)
    {
        try
        {
            using var document = JsonDocument.Parse(StorableJson.Clean(payload));
            return WebhookPayload.ReadEdit(document.RootElement);
        }
        catch (Exception unreadable) when (Utf8JsonReaderExtensions.IsUnreadable(unreadable))
        {
            return null;
        }
    }
}
