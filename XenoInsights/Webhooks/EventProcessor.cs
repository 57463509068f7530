using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Queues;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>
/// Applies the waiting events of a store. Objects, rollups, what is to be refetched and the events' own state change in
/// one transaction: a process that dies leaves its batch as it was. Who applies a store's events holds a transaction
/// lock, which PostgreSQL gives back with the connection, so nothing can be orphaned (docs/adr/0010).
/// </summary>
internal sealed class EventProcessor(
    TenantDatabase tenants,
    EventHandlers handlers,
    IEventBodyEraser bodies,
    AccessCheck access,
    WebhookMetrics metrics,
    IOptions<WebhookOptions> options,
    TimeProvider time,
    ILogger<EventProcessor> logger
)
{
    private const string StillInstalled =
        "Shopify still accepts the app's access to this store, so the app is installed: nothing was done.";

    /// <summary>A busy store's batch has hundreds; its span and its rows tell all of them.</summary>
    private const int MostLoggedTraces = 10;

    private const int LongestError = 2000;

    /// <summary>SQLSTATE of a session that was ended because its transaction did nothing for too long.</summary>
    private const string IdleInTransaction = "25P03";

    private static readonly TimeSpan _longestPause = TimeSpan.FromHours(1),
        _longestWait = TimeSpan.FromMinutes(15);

    /// <param name="Events">All events of the batch.</param>
    /// <param name="ForHandlers">Those that follow, each in a unit of work of its own.</param>
    /// <param name="Done">What became of the others, which are applied together.</param>
    private sealed record Batch(
        List<WaitingEvent> Events,
        List<WaitingEvent> ForHandlers,
        List<EventResult> Done,
        List<IngestRecord> Records,
        HashSet<(RefetchKind, long)> Refetches,
        ApplyResult Applied
    )
    {
        public static Batch Of(List<WaitingEvent> events) => new(events, [], [], [], [], default);
    }

    /// <summary>
    /// Applies one batch of the store's due events and says how many it took. Events that fail by themselves do not
    /// keep the others back.
    /// </summary>
    public async Task<int> ApplyBatchAsync(TenantTurn turn, CancellationToken ct)
    {
        var tenantId = turn.TenantId;
        Batch batch;
        using var activity = WebhookMetrics.Activities.StartActivity("apply webhooks");
        try
        {
            batch = await ApplyAsync(tenantId, null, ct);
        }
        catch (Exception failure) when (IsOfEvent(failure))
        {
            logger.LogWarning(
                failure,
                "A batch of events of {Tenant} cannot be applied as one; they are applied one by one",
                tenantId
            );
            return await ApplyOneByOneAsync(turn, ct);
        }
        Trace(tenantId, batch.Events, activity);
        foreach (var waiting in batch.ForHandlers)
            await HandleAsync(turn, waiting, ct);
        return batch.Events.Count;
    }

    /// <summary>Ties the batch to the requests that brought its events.</summary>
    private void Trace(Guid tenantId, List<WaitingEvent> events, Activity? activity)
    {
        if (events.Count > 0)
        {
            var traces = events.Select(applied => applied.TraceId).Distinct().Take(MostLoggedTraces);
            logger.LogInformation(
                "{Count} events of {Tenant} applied, received as {Traces}",
                events.Count,
                tenantId,
                traces
            );
        }
        foreach (var applied in events)
            if (
                applied.TraceId is { } trace
                && ActivityContext.TryParse($"00-{trace}-0000000000000001-01", null, out var receipt)
            )
                activity?.AddLink(new ActivityLink(receipt));
    }

    /// <summary>
    /// Events of the batch, alone: the one that fails is rescheduled, or dead-lettered after its last attempt.
    /// </summary>
    private async Task<int> ApplyOneByOneAsync(TenantTurn turn, CancellationToken ct)
    {
        var tenantId = turn.TenantId;
        var due = await tenants.RunForApplyingAsync(tenantId, db => EventQueue.DueAsync(db, tenantId, null, ct), ct);
        foreach (var waiting in due)
        {
            try
            {
                var batch = await ApplyAsync(tenantId, waiting.WebhookId, ct);
                foreach (var handled in batch.ForHandlers)
                    await HandleAsync(turn, handled, ct);
            }
            catch (Exception failure) when (IsOfEvent(failure))
            {
                await FailAsync(tenantId, waiting, failure, ct);
            }
        }
        return due.Count;
    }

    private async Task<Batch> ApplyAsync(Guid tenantId, string? only, CancellationToken ct)
    {
        var batch = await tenants.RunForApplyingAsync(tenantId, db => ApplyAsync(db, tenantId, only, ct), ct);
        Count(batch.Done);
        return batch;
    }

    private async Task<Batch> ApplyAsync(XenoDbContext db, Guid tenantId, string? only, CancellationToken ct)
    {
        if (!await EventQueue.TryLockAsync(db, tenantId, ct))
            return Batch.Of([]);
        if (await db.Tenants.AsNoTracking().SingleOrDefaultAsync(ct) is not { } tenant)
            return Batch.Of([]);
        var batch = Batch.Of(await EventQueue.DueAsync(db, tenantId, only, ct));
        if (batch.Events.Count == 0)
            return batch;

        var edits = await OrderEdits.FindAsync(db, tenantId, batch.Events, ct);
        var told = new List<(long CustomerId, DateTimeOffset TriggeredAt)>();
        foreach (var waiting in batch.Events)
            told.AddRange(Sort(waiting, tenant, edits, batch));
        foreach (var edited in await OrderEdits.EditedAsync(db, tenantId, batch.Events, ct))
            batch.Records.AddRange(Read(edited, tenant, edits).Content?.Records ?? []);
        var applied = await IngestionWriter.ApplyAsync(
            db,
            new StoreCalendar(tenantId, tenant.Currency, tenant.TimeZone),
            batch.Records,
            ct
        );
        batch.Refetches.UnionWith(
            (await ErasedPeople.ToReadAsync(db, tenantId, told, ct)).Select(id => (RefetchKind.Customer, id))
        );
        await Refetches.RequestAsync(db, tenantId, batch.Refetches, ct);
        await EventQueue.MarkAsync(db, tenantId, batch.Done, ct);
        await bodies.EmptyLateEventsAsync(db, tenantId, [.. batch.Done.Select(r => r.Event)], ct);
        return batch with { Applied = applied };
    }

    /// <summary>Adds to the batch what an event asks for.</summary>
    /// <returns>The customers that it tells of.</returns>
    private IEnumerable<(long CustomerId, DateTimeOffset TriggeredAt)> Sort(
        WaitingEvent waiting,
        Tenant tenant,
        ILookup<long, OrderEdit> edits,
        Batch batch
    )
    {
        var (content, unreadable) = Read(waiting, tenant, edits);
        if (content is null)
        {
            batch.Done.Add(new(waiting, EventStatus.Dead, null, unreadable));
            return [];
        }
        if (content.IsForHandler)
        {
            batch.ForHandlers.Add(waiting);
            return [];
        }
        var status = content.IsIgnored ? EventStatus.Ignored : EventStatus.Applied;
        batch.Records.AddRange(content.Records.Select(r => r with { ReadAt = waiting.ReceivedAt }));
        batch.Refetches.UnionWith(content.Refetches);
        batch.Done.Add(new(waiting, status, content.Outcome, null));
        return content
            .Records.Where(r => r is CustomerRecord { Deleted: false })
            .Select(r => (r.ShopifyId, waiting.EffectiveAt));
    }

    private (EventContent? Content, string? Unreadable) Read(
        WaitingEvent waiting,
        Tenant tenant,
        ILookup<long, OrderEdit> edits
    )
    {
        if (waiting.Payload is null)
            return (null, "The payload is no longer kept.");
        try
        {
            var known = waiting.ObjectId is { } order ? edits[order].ToList() : [];
            var content = EventContent.Of(waiting.Topic, waiting.Payload, waiting.TriggeredAt, tenant.Currency, known);
            // What was on its way when the merchant removed the app is not ours to apply any more; erasures are.
            var isLate =
                tenant.Status == TenantStatus.Disconnected
                && WebhookTopics.Find(waiting.Topic) is not { OutlivesInstall: true };
            return isLate
                ? (new EventContent("The app is not installed any more.") { IsIgnored = true }, null)
                : (content, null);
        }
        catch (Exception failure) when (Utf8JsonReaderExtensions.IsUnreadable(failure))
        {
            logger.LogWarning(
                failure,
                "Event {WebhookId} of {Topic} of {Tenant} cannot be read and is dead-lettered (trace {Trace})",
                waiting.WebhookId,
                waiting.Topic,
                tenant.TenantId,
                waiting.TraceId
            );
            return (null, failure.Message);
        }
    }

    /// <summary>Applies an event by its topic's handler, in a unit of work of its own.</summary>
    private async Task HandleAsync(TenantTurn turn, WaitingEvent waiting, CancellationToken ct)
    {
        var (tenantId, handler) = (turn.TenantId, handlers.Of(waiting.Topic));
        try
        {
            if (EndsStore(waiting.Topic) && !await IsTrueAsync(turn, waiting, ct))
                return;
            await handler.PrepareAsync(turn, waiting.ReadBody(), ct);
            var done = await tenants.RunForHandlerAsync(
                tenantId,
                db => HandleAsync(db, tenantId, handler, waiting, ct),
                ct
            );
            if (done is null)
                return;
            Count([done]);
            await handler.CommittedAsync(tenantId, waiting, ct);
        }
        catch (Exception failure) when (IsOfEvent(failure))
        {
            await FailAsync(tenantId, waiting, failure, ct);
        }
    }

    /// <summary>Null when another process has applied it, or its store is gone.</summary>
    private async Task<EventResult?> HandleAsync(
        XenoDbContext db,
        Guid tenantId,
        IEventHandler handler,
        WaitingEvent waiting,
        CancellationToken ct
    )
    {
        if (!await EventQueue.TryLockAsync(db, tenantId, ct))
            return null;
        if ((await EventQueue.DueAsync(db, tenantId, waiting.WebhookId, ct)).Count == 0)
            return null;
        if (await db.Tenants.AsNoTracking().SingleOrDefaultAsync(ct) is not { } tenant)
            return null;
        var outcome = await handler.HandleAsync(db, tenant, waiting, waiting.ReadBody(), ct);
        var done = new EventResult(waiting, EventStatus.Applied, outcome, null);
        await EventQueue.MarkAsync(db, tenantId, [done], ct);
        await bodies.EmptyLateEventsAsync(db, tenantId, [waiting], ct);
        return done;
    }

    private static bool EndsStore(string topic) => WebhookTopics.Find(topic) is { EndsStore: true };

    /// <summary>
    /// Whether the store's access is gone, as Shopify itself says. While it works, the event is not true and ignored;
    /// while Shopify says nothing, the event waits for as long as that lasts.
    /// </summary>
    private async Task<bool> IsTrueAsync(TenantTurn turn, WaitingEvent waiting, CancellationToken ct)
    {
        var tenantId = turn.TenantId;
        var tenant = await tenants.RunAsync(tenantId, db => db.Tenants.AsNoTracking().SingleOrDefaultAsync(ct), ct);
        if (tenant is null)
            return false;
        // Connected since: it does nothing, and says so itself.
        if (tenant.Status != TenantStatus.Disconnected && waiting.EffectiveAt < tenant.ConnectedAt)
            return true;
        var answer = await turn.WithoutSlotAsync(() => access.AskAsync(tenant, ct));
        if (answer == Access.Gone)
            return true;
        if (answer == Access.Unknown)
            await AskLaterAsync(tenantId, waiting, ct);
        else
            await IgnoreAsync(tenantId, new(waiting, EventStatus.Ignored, StillInstalled, null), ct);
        return false;
    }

    private async Task IgnoreAsync(Guid tenantId, EventResult ignored, CancellationToken ct)
    {
        logger.LogWarning(
            "Event {WebhookId} of {Topic} of {Tenant} is not true and was ignored",
            ignored.Event.WebhookId,
            ignored.Event.Topic,
            tenantId
        );
        await tenants.RunForApplyingAsync(
            tenantId,
            async db =>
            {
                await EventQueue.MarkAsync(db, tenantId, [ignored], ct);
                await bodies.EmptyLateEventsAsync(db, tenantId, [ignored.Event], ct);
            },
            ct
        );
        Count([ignored]);
    }

    /// <summary>
    /// An outage of Shopify's is no failed attempt: it is asked again after a quarter of the time that it has lasted.
    /// </summary>
    private Task AskLaterAsync(Guid tenantId, WaitingEvent waiting, CancellationToken ct)
    {
        metrics.Failed(waiting.Topic, dead: false);
        return tenants.RunForApplyingAsync(
            tenantId,
            db =>
                EventQueue.RescheduleAsync(
                    db,
                    tenantId,
                    waiting,
                    TimeSpan.FromSeconds(options.Value.RetrySeconds),
                    _longestWait,
                    "Shopify does not say whether the app is still installed; it is asked again.",
                    ct
                ),
            ct
        );
    }

    /// <summary>
    /// Applies one waiting event inside the caller's unit of work, which is then taken back: the way is the worker's,
    /// so what it says would happen is what happens. The caller holds the store's event lock.
    /// </summary>
    public async Task<TriedEvent> TryAsync(
        XenoDbContext db,
        Guid tenantId,
        string webhookId,
        string topic,
        CancellationToken ct
    )
    {
        const string savepoint = "event";
        var transaction = db.Database.CurrentTransaction!;
        await transaction.CreateSavepointAsync(savepoint, ct);
        try
        {
            var batch = await ApplyAsync(db, tenantId, webhookId, ct);
            if (batch.ForHandlers is [var waiting])
                return await HandleAsync(db, tenantId, handlers.Of(topic), waiting, ct) is { } done
                    ? new(webhookId, topic, ReplayEffect.CarriedOut, false, Expected(done))
                    : Gone();
            if (batch.Done is not [var result])
                return Gone();
            return new(
                webhookId,
                topic,
                EffectOf(batch, result),
                batch.Refetches.Count > 0,
                result.Error ?? result.Outcome
            );
        }
        catch (Exception failure) when (IsOfEvent(failure))
        {
            await transaction.RollbackToSavepointAsync(savepoint, ct);
            return new(webhookId, topic, ReplayEffect.Fails, false, MessageOf(failure));
        }
        finally
        {
            db.ChangeTracker.Clear();
        }

        // Nobody is asked by a dry run.
        string? Expected(EventResult done) =>
            EndsStore(topic) ? $"If Shopify no longer accepts the app's access: {done.Outcome}" : done.Outcome;

        TriedEvent Gone() =>
            new(webhookId, topic, ReplayEffect.Ignored, false, "What it speaks of would be erased before its turn.");
    }

    private static ReplayEffect EffectOf(Batch batch, EventResult result) =>
        result.Status switch
        {
            EventStatus.Dead => ReplayEffect.Fails,
            EventStatus.Ignored => ReplayEffect.Ignored,
            _ when batch.Records.Count == 0 => ReplayEffect.ReadAgain,
            _ when batch.Applied.Stored == 0 => ReplayEffect.Unchanged,
            _ when batch.Records.Exists(r => r.Deleted) => ReplayEffect.Deleted,
            _ => ReplayEffect.Stored,
        };

    /// <summary>After the commit.</summary>
    private void Count(List<EventResult> results)
    {
        foreach (var (applied, status, _, _) in results)
        {
            // By two clocks, ours and the database's: good enough to watch, while the freshness shown to people is the
            // database's alone.
            if (status == EventStatus.Applied)
                metrics.Applied(applied.Topic, time.GetUtcNow() - applied.ReceivedAt);
            else if (status == EventStatus.Ignored)
                metrics.Ignored(applied.Topic);
            else
                metrics.Failed(applied.Topic, dead: true);
        }
    }

    /// <summary>Reschedules an event after a failed attempt, or dead-letters it after its last one.</summary>
    private async Task FailAsync(Guid tenantId, WaitingEvent failed, Exception failure, CancellationToken ct)
    {
        var attempts = failed.Attempts + 1;
        var isDead = attempts >= options.Value.MaxAttempts;
        var pause = new Backoff(TimeSpan.FromSeconds(options.Value.RetrySeconds), _longestPause).After(attempts);
        logger.LogWarning(
            failure,
            "Event {WebhookId} of {Topic} of {Tenant} failed, attempt {Attempt}; it is {Status} (trace {Trace})",
            failed.WebhookId,
            failed.Topic,
            tenantId,
            attempts,
            isDead ? "dead-lettered" : "rescheduled",
            failed.TraceId
        );
        await tenants.RunForApplyingAsync(
            tenantId,
            async db =>
            {
                await EventQueue.FailAsync(db, tenantId, failed, isDead, pause, MessageOf(failure), ct);
                // An erasure that failed needs its body to be tried again.
                if (isDead && failed.Topic != WebhookTopics.CustomersRedact)
                    await bodies.EmptyLateEventsAsync(db, tenantId, [failed], ct);
            },
            ct
        );
        metrics.Failed(failed.Topic, isDead);
    }

    /// <summary>The event's own fault, as against a database that is away: trying the others can help.</summary>
    private static bool IsOfEvent(Exception failure) =>
        failure switch
        {
            OperationCanceledException => false,
            NpgsqlException database => database is PostgresException { IsTransient: false } postgres
                && !postgres.SqlState.StartsWith("57", StringComparison.Ordinal)
                && postgres.SqlState != IdleInTransaction
                && !postgres.SqlState.StartsWith("08", StringComparison.Ordinal),
            _ when failure.InnerException is NpgsqlException inner => IsOfEvent(inner),
            _ => true,
        };

    private static string MessageOf(Exception failure)
    {
        var message =
            (failure as PostgresException ?? failure.InnerException as PostgresException)?.MessageText
            ?? failure.Message;
        message = message.Replace('\0', ' ');
        return message.Length <= LongestError ? message : message[..LongestError];
    }
}
