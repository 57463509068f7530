using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>An event in a list: everything but what it says.</summary>
public sealed record EventView(
    string WebhookId,
    string Topic,
    long? ObjectId,
    EventStatus Status,
    int Attempts,
    DateTimeOffset? TriggeredAt,
    DateTimeOffset ReceivedAt,
    DateTimeOffset? AppliedAt,
    DateTimeOffset DueAt,
    string? Outcome,
    string? LastError,
    string? TraceId
);

/// <summary>
/// One event with its headers and body; for viewers personal data are masked. Both null once their retention is over or
/// a person was erased.
/// </summary>
public sealed record EventDetail(EventView Event, JsonNode? Headers, JsonNode? Payload);

/// <summary>
/// Which events; absent means all. <see cref="Before"/> is exclusive and pages on from the last row of a page.
/// </summary>
public sealed record EventFilter(
    string? Topic = null,
    EventStatus? Status = null,
    long? ObjectId = null,
    DateTimeOffset? From = null,
    DateTimeOffset? To = null,
    DateTimeOffset? Before = null,
    string? BeforeId = null
)
{
    /// <summary>Whether the database can hold the text at all: it has no NUL and no half of a character.</summary>
    public static bool IsText(string text) => !text.Contains('\0', StringComparison.Ordinal) && !HasHalfCharacter(text);

    private static bool HasHalfCharacter(string text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
                continue;
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
                return true;
            i++;
        }
        return false;
    }
}

/// <summary>The entered store's events.</summary>
public sealed class EventQueries(XenoDatabase database) : IEventBacklogQuery
{
    private const string Mask = "•••";

    private static readonly HashSet<string> _personal = new(StringComparer.OrdinalIgnoreCase)
    {
        "email",
        "contact_email",
        "phone",
        "first_name",
        "last_name",
        "address1",
        "address2",
        "zip",
        "city",
        "company",
        "latitude",
        "longitude",
        "note",
        "browser_ip",
        "user_agent",
        "abandoned_checkout_url",
        "order_status_url",
        "token",
        "cart_token",
        "checkout_token",
        "landing_site",
        "referring_site",
        "display_name",
    };

    private static readonly HashSet<string> _people = new(StringComparer.OrdinalIgnoreCase)
    {
        "customer",
        "default_address",
        "billing_address",
        "shipping_address",
        "addresses",
    };

    /// <summary>Newest first.</summary>
    public Task<List<EventView>> ListAsync(EventFilter filter, int limit, CancellationToken ct) =>
        database.InTenantAsync(
            db =>
            {
                var events = db.Events.AsNoTracking();
                if (filter.Topic is { } topic)
                    events = events.Where(e => e.Topic == topic);
                if (filter.Status is { } status)
                    events = events.Where(e => e.Status == status);
                if (filter.ObjectId is { } id)
                    events = events.Where(e => e.ObjectId == id);
                if (filter.From is { } from)
                    events = events.Where(e => e.ReceivedAt >= from.ToUniversalTime());
                if (filter.To is { } to)
                    events = events.Where(e => e.ReceivedAt < to.ToUniversalTime());
                if (filter.Before is { } before)
                {
                    var (at, after) = (before.ToUniversalTime(), filter.BeforeId ?? "");
                    events = events.Where(e =>
                        EF.Functions.LessThan(
                            ValueTuple.Create(e.ReceivedAt, e.WebhookId),
                            ValueTuple.Create(at, after)
                        )
                    );
                }
                return View(events.OrderByDescending(e => e.ReceivedAt).ThenByDescending(e => e.WebhookId).Take(limit))
                    .ToListAsync(ct);
            },
            ct
        );

    public Task<EventDetail?> FindAsync(string webhookId, CancellationToken ct) =>
        database.InTenantAsync(
            async db =>
            {
                var found = db.Events.AsNoTracking().Where(e => e.WebhookId == webhookId);
                if (await View(found).SingleOrDefaultAsync(ct) is not { } view)
                    return null;
                var said = await found.Select(e => new { e.Headers, e.Payload }).SingleAsync(ct);
                return new EventDetail(
                    view,
                    JsonNode.Parse(said.Headers),
                    Shown(said.Payload, db.Role ?? MemberRole.Viewer)
                );
            },
            ct
        );

    /// <param name="today">The beginning of the shop's day.</param>
    public Task<EventBacklog> StateAsync(DateTimeOffset today, CancellationToken ct) =>
        database.InTenantAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    select (select count(*) from events where tenant_id = $1 and status = 1),
                           (select now() - min(received_at) from events where tenant_id = $1 and status = 1),
                           percentile_cont(0.5) within group (order by applied_at - received_at),
                           percentile_cont(0.99) within group (order by applied_at - received_at),
                           (select count(*) from events where tenant_id = $1 and status = 4)
                    from events where tenant_id = $1 and received_at >= $2 and status = 2
                    """
                );
                command.Parameters.Add(Sql.Uuid(db.TenantId!.Value));
                command.Parameters.Add(new NpgsqlParameter { Value = today.UtcDateTime });
                await using var reader = await command.ExecuteReaderAsync(ct);
                await reader.ReadAsync(ct);
                return new EventBacklog(reader.GetInt64(0), Span(1), Span(2), Span(3), reader.GetInt64(4));

                TimeSpan? Span(int at) => reader.IsDBNull(at) ? null : reader.GetFieldValue<TimeSpan>(at);
            },
            ct
        );

    private static IQueryable<EventView> View(IQueryable<Event> events) =>
        events.Select(e => new EventView(
            e.WebhookId,
            e.Topic,
            e.ObjectId,
            e.Status,
            e.Attempts,
            e.TriggeredAt,
            e.ReceivedAt,
            e.AppliedAt,
            e.DueAt,
            e.Outcome,
            e.LastError,
            e.TraceId
        ));

    private static JsonNode? Shown(byte[]? payload, MemberRole role)
    {
        if (payload is null)
            return null;
        JsonNode? body;
        try
        {
            body = JsonNode.Parse(payload);
        }
        catch (JsonException)
        {
            return JsonValue.Create(role == MemberRole.Viewer ? Mask : System.Text.Encoding.UTF8.GetString(payload));
        }
        if (role == MemberRole.Viewer)
            MaskPeople(body, inPerson: false);
        return body;
    }

    private static void MaskPeople(JsonNode? node, bool inPerson)
    {
        if (node is JsonArray list)
        {
            foreach (var item in list)
                MaskPeople(item, inPerson);
            return;
        }
        if (node is not JsonObject body)
            return;
        foreach (var (name, value) in body.ToList())
        {
            if (value is JsonValue && (_personal.Contains(name) || (inPerson && name is "name")))
                body[name] = Mask;
            else
                MaskPeople(value, inPerson || _people.Contains(name));
        }
    }
}
