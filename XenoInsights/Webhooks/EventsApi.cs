using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Threading.Channels;
using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>Events and data changes for programs.</summary>
public static class EventsApi
{
    private const int LargestPage = 250;
    private static readonly TimeSpan _heartbeat = TimeSpan.FromSeconds(15),
        _atMostEvery = TimeSpan.FromMilliseconds(250);

    public static void AddEvents(this WebApplicationBuilder builder) =>
        builder
            .Services.AddScoped<EventQueries>()
            .AddScoped<IEventBacklogQuery>(services => services.GetRequiredService<EventQueries>())
            .AddScoped<Replays>();

    public static void MapEvents(this WebApplication app)
    {
        var events = app.MapGroup("/api/events").WithTags("Events");
        events
            .MapGet("/", ListAsync)
            .RequireTenantId()
            .WithSummary("Webhook deliveries, newest first; the Link header leads to the next page")
            .Produces<EventView[]>()
            .ProducesValidationProblem();
        events
            .MapGet("/{webhookId}", FindAsync)
            .RequireTenantId()
            .WithSummary("One delivery with headers and body; personal data are masked for viewers")
            .Produces<EventDetail>()
            .ProducesProblem(StatusCodes.Status404NotFound);
        events
            .MapPost("/replay", ReplayAsync)
            .WithSummary(
                "Apply events again: those named, or all that are dead-lettered; with dry_run, say what that would "
                    + $"change of the first {Replays.MostTried} and change nothing"
            )
            .Accepts<ReplayRequest>("application/json")
            .Produces<ReplayAnswer>()
            .ProducesValidationProblem()
            .ProducesProblem(StatusCodes.Status403Forbidden)
            .ProducesProblem(StatusCodes.Status409Conflict);
        app.MapGet("/api/metrics/stream", StreamAsync)
            .RequireTenantId()
            .WithTags("Metrics")
            .WithSummary(
                "Server-sent events: 'change' after each commit that changed the store's figures, 'beat' in between"
            )
            .Produces(StatusCodes.Status200OK, contentType: "text/event-stream");
    }

    /// <param name="WebhookIds">Which events; absent: all that are dead-lettered.</param>
    /// <param name="DryRun">Only say what it would change.</param>
    public sealed record ReplayRequest(
        [property: JsonPropertyName("tenant_id")] string? TenantId,
        [property: JsonPropertyName("webhook_ids")] IReadOnlyList<string>? WebhookIds,
        [property: JsonPropertyName("dry_run")] bool DryRun = false
    );

    /// <param name="DryRun">What it would change, if that was the question; nothing is replayed then.</param>
    public sealed record ReplayAnswer(int Replayed, DryRun? DryRun = null);

    private static async Task<IResult> ListAsync(
        HttpContext http,
        EventQueries events,
        string? topic,
        string? status,
        long? object_id,
        DateTimeOffset? from,
        DateTimeOffset? to,
        DateTimeOffset? before,
        string? before_id,
        int? limit,
        CancellationToken ct
    )
    {
        EventStatus? wanted = null;
        if (status is not null)
        {
            if (StatusOf(status) is not { } known)
                return TypedResults.ValidationProblem(
                    new Dictionary<string, string[]>
                    {
                        ["status"] = [$"'{status}' is not pending, applied, ignored or dead."],
                    }
                );
            wanted = known;
        }
        if (Unreadable(("topic", topic), ("before_id", before_id)) is { } unreadable)
            return unreadable;
        if (limit is < 1 or > LargestPage)
            return TypedResults.ValidationProblem(
                new Dictionary<string, string[]> { ["limit"] = [$"1 to {LargestPage}."] }
            );
        var size = limit ?? 50;
        var page = await events.ListAsync(new(topic, wanted, object_id, from, to, before, before_id), size, ct);
        if (page.Count == size)
        {
            var query = http
                .Request.Query.Where(q => q.Key is not ("before" or "before_id"))
                .SelectMany(q => q.Value.Select(v => KeyValuePair.Create(q.Key, v)))
                .Append(new("before", page[^1].ReceivedAt.UtcDateTime.ToString("O")))
                .Append(new("before_id", page[^1].WebhookId));
            http.Response.Headers.Link = $"<{http.Request.Path}{QueryString.Create(query)}>; rel=\"next\"";
        }
        return TypedResults.Ok(page);
    }

    private static EventStatus? StatusOf(string status) =>
        status switch
        {
            "pending" => EventStatus.Pending,
            "applied" => EventStatus.Applied,
            "ignored" => EventStatus.Ignored,
            "dead" => EventStatus.Dead,
            _ => null,
        };

    private static ValidationProblem? Unreadable(params (string Name, string? Text)[] given)
    {
        var wrong = given
            .Where(g => g.Text is not null && !EventFilter.IsText(g.Text))
            .Select(g => g.Name)
            .Distinct()
            .ToList();
        return wrong.Count == 0
            ? null
            : TypedResults.ValidationProblem(
                wrong.ToDictionary(name => name, _ => (string[])["Holds characters that no text has."])
            );
    }

    private static async Task<IResult> FindAsync(
        HttpContext http,
        string webhookId,
        EventQueries events,
        CancellationToken ct
    ) =>
        Unreadable((nameof(webhookId), webhookId)) as IResult
        ?? (
            await events.FindAsync(webhookId, ct) is { } found
                ? TypedResults.Ok(found)
                : TypedResults.Problem("This store has no such delivery.", statusCode: StatusCodes.Status404NotFound)
        );

    private static async Task<IResult> ReplayAsync(
        HttpContext http,
        ReplayRequest request,
        Replays replays,
        CancellationToken ct
    )
    {
        if (await http.EnterTenantAsync(request.TenantId) is { } refusal)
            return refusal;
        if (http.Store().Role == MemberRole.Viewer)
            return TypedResults.Problem(
                "Viewers cannot replay deliveries. Ask an owner or admin of the store.",
                statusCode: StatusCodes.Status403Forbidden
            );
        if (Unreadable([.. (request.WebhookIds ?? []).Select(id => ("webhook_ids", (string?)id))]) is { } unreadable)
            return unreadable;
        if (!request.DryRun)
            return TypedResults.Ok(new ReplayAnswer(await replays.ReplayAsync(request.WebhookIds, ct)));
        return await replays.TryAsync(request.WebhookIds, ct) is { } tried
            ? TypedResults.Ok(new ReplayAnswer(0, tried))
            : TypedResults.Problem(
                "The trial did not get its turn beside the deliveries that are being applied, or took too long. "
                    + "Nothing was changed; try again in a moment.",
                statusCode: StatusCodes.Status409Conflict
            );
    }

    private static ServerSentEventsResult<string> StreamAsync(
        HttpContext http,
        TenantChanges changes,
        AccessWatch access,
        XenoDatabase database,
        CancellationToken ct
    ) => TypedResults.ServerSentEvents(ChangesAsync(http, changes, access, database, ct));

    private static async IAsyncEnumerable<SseItem<string>> ChangesAsync(
        HttpContext http,
        TenantChanges changes,
        AccessWatch access,
        XenoDatabase database,
        [EnumeratorCancellation] CancellationToken ct
    )
    {
        var store = http.Store();
        var changed = Channel.CreateBounded<bool>(
            new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite }
        );
        using var subscription = changes.Subscribe(
            store.TenantId,
            () =>
            {
                changed.Writer.TryWrite(true);
                return Task.CompletedTask;
            }
        );
        // A role that changes ends the stream too: whoever listens connects again and is judged afresh.
        using var ended = access.Watch(
            http.User.Caller()!.Value,
            store.TenantId,
            store.Role,
            _ =>
            {
                changed.Writer.TryComplete();
                return Task.CompletedTask;
            }
        );
        while (!ct.IsCancellationRequested)
        {
            if (await NextAsync(changed.Reader, ct) is not { } isChange)
                yield break;
            if (await LastChangeAsync(database, ct) is not { } body)
                yield break;
            yield return new SseItem<string>(
                body.ToJsonString(JsonSerializerOptions.Web),
                isChange ? "change" : "beat"
            );
            if (isChange)
                await Task.Delay(_atMostEvery, ct);
        }
    }

    /// <summary>
    /// True: data changed. False: nothing changed for a while. Null: the person's access has ended or changed.
    /// </summary>
    private static async Task<bool?> NextAsync(ChannelReader<bool> changed, CancellationToken ct)
    {
        using var wait = CancellationTokenSource.CreateLinkedTokenSource(ct);
        wait.CancelAfter(_heartbeat);
        try
        {
            if (!await changed.WaitToReadAsync(wait.Token))
                return null;
            return changed.TryRead(out _);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <summary>Null: the person's access has ended.</summary>
    private static async Task<JsonObject?> LastChangeAsync(XenoDatabase database, CancellationToken ct)
    {
        try
        {
            return new JsonObject { ["changedAt"] = await database.LastChangeAsync(ct) };
        }
        catch (AccessDeniedException)
        {
            return null;
        }
    }
}
