using System.Diagnostics;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Compliance;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Queues;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>
/// Applies what waits in a store's inbox. Objects, rollups, what is to be read again and the deliveries' own state change in one
/// transaction: a process that dies leaves its batch as it was. A store's lane is held by a transaction lock, which PostgreSQL
/// gives back with the connection, so nothing can be orphaned (docs/adr/0010).
/// </summary>
internal sealed class EventProcessor(
    TenantDatabase tenants,
    ShopActions demands,
    Erasure erasure,
    AccessCheck access,
    ShopRename rename,
    WebhookMetrics metrics,
    IOptions<WebhookOptions> options,
    TimeProvider time,
    ILogger<EventProcessor> logger
)
{
    public const int LargestBatch = 200;
    private const string StillInstalled =
        "Shopify still accepts the app's access to this store, so the app is installed: nothing was done.";

    /// <summary>A busy store's batch has hundreds; its span and its rows tell all of them.</summary>
    private const int MostLoggedTraces = 10;

    private const int LargestBatchBytes = 8 * 1024 * 1024,
        LongestError = 2000;

    /// <summary>SQLSTATE of a session that was ended because its transaction did nothing for too long.</summary>
    private const string IdleInTransaction = "25P03";

    private static readonly TimeSpan _longestPause = TimeSpan.FromHours(1),
        _longestWait = TimeSpan.FromMinutes(15);

    internal sealed record Waiting(
        string WebhookId,
        string Topic,
        DateTimeOffset TriggeredAt,
        DateTimeOffset ReceivedAt,
        int Attempts,
        byte[]? Payload,
        string? TraceId
    )
    {
        /// <summary>The object it speaks of; of an edit or a refund the order.</summary>
        public long? ObjectId { get; init; }
    }

    internal sealed record Result(Waiting Delivery, EventStatus Status, string? Outcome, string? Error);

    /// <param name="Done">What became of the deliveries that are applied together; the demanding ones follow, each in a transaction of its own.</param>
    private sealed record Batch(
        List<Waiting> Events,
        List<Waiting> Demanding,
        List<Result> Done,
        List<IngestRecord> Records,
        HashSet<(RefetchKind, long)> Refetches,
        ApplyResult Applied
    )
    {
        public static readonly Batch Empty = new([], [], [], [], [], default);
    }

    /// <summary>Applies one batch of the store's due deliveries and says how many it took. Deliveries that fail by themselves do not keep the others back.</summary>
    public async Task<int> ApplyBatchAsync(TenantTurn turn, CancellationToken ct)
    {
        var tenantId = turn.TenantId;
        Batch batch;
        using var activity = WebhookMetrics.Activities.StartActivity("apply webhooks");
        try
        {
            batch = await ApplyAsync(tenantId, null, ct);
        }
        catch (Exception failure) when (IsOfTheData(failure))
        {
            logger.LogWarning(failure, "A batch of deliveries cannot be applied as one; trying them one by one");
            return await ApplyOneByOneAsync(turn, ct);
        }
        if (batch.Events.Count > 0)
        {
            var traces = batch.Events.Select(delivery => delivery.TraceId).Distinct().Take(MostLoggedTraces);
            logger.LogInformation(
                "{Count} deliveries of {Tenant} applied, received as {Traces}",
                batch.Events.Count,
                tenantId,
                traces
            );
        }
        foreach (var delivery in batch.Events)
            if (
                delivery.TraceId is { } trace
                && ActivityContext.TryParse($"00-{trace}-0000000000000001-01", null, out var receipt)
            )
                activity?.AddLink(new ActivityLink(receipt));
        foreach (var delivery in batch.Demanding)
            await CarryOutAsync(turn, delivery, ct);
        return batch.Events.Count;
    }

    /// <summary>Deliveries of the batch, alone: the one that fails is put off, or given up after its last attempt.</summary>
    private async Task<int> ApplyOneByOneAsync(TenantTurn turn, CancellationToken ct)
    {
        var tenantId = turn.TenantId;
        var waiting = await tenants.RunForApplyingAsync(tenantId, db => DueAsync(db, tenantId, null, ct), ct);
        foreach (var delivery in waiting)
        {
            try
            {
                var batch = await ApplyAsync(tenantId, delivery.WebhookId, ct);
                foreach (var demanding in batch.Demanding)
                    await CarryOutAsync(turn, demanding, ct);
            }
            catch (Exception failure) when (IsOfTheData(failure))
            {
                await PutOffAsync(tenantId, delivery, failure, ct);
            }
        }
        return waiting.Count;
    }

    private async Task<Batch> ApplyAsync(Guid tenantId, string? only, CancellationToken ct)
    {
        var batch = await tenants.RunForApplyingAsync(tenantId, db => ApplyAsync(db, tenantId, only, ct), ct);
        Count(batch.Done);
        return batch;
    }

    private async Task<Batch> ApplyAsync(XenoDbContext db, Guid tenantId, string? only, CancellationToken ct)
    {
        if (!await TakeLaneAsync(db, tenantId, ct))
            return Batch.Empty;
        if (await db.Tenants.AsNoTracking().SingleOrDefaultAsync(ct) is not { } tenant)
            return Batch.Empty;
        var waiting = await DueAsync(db, tenantId, only, ct);
        if (waiting.Count == 0)
            return Batch.Empty;

        var (done, demanding, records, refetches) = (
            new List<Result>(),
            new List<Waiting>(),
            new List<IngestRecord>(),
            new HashSet<(RefetchKind, long)>()
        );
        var edits = await OrderEdits.FindAsync(db, tenantId, waiting, ct);
        var told = new List<(long CustomerId, DateTimeOffset TriggeredAt)>();
        foreach (var delivery in waiting)
        {
            var (meaning, unreadable) = Read(delivery, tenant, edits);
            if (unreadable is not null)
                done.Add(new(delivery, EventStatus.Dead, null, unreadable));
            else if (meaning!.ShopAction != ShopAction.None)
                demanding.Add(delivery);
            else
            {
                records.AddRange(meaning.Records.Select(r => r with { ReadAt = delivery.ReceivedAt }));
                told.AddRange(
                    meaning
                        .Records.Where(r => r is CustomerRecord { Deleted: false })
                        .Select(r => (r.ShopifyId, ShopActions.Earlier(delivery)))
                );
                refetches.UnionWith(meaning.Refetches);
                done.Add(
                    new(delivery, meaning.IsIgnored ? EventStatus.Ignored : EventStatus.Applied, meaning.Outcome, null)
                );
            }
        }
        foreach (var edited in await OrderEdits.EditedAsync(db, tenantId, waiting, ct))
            records.AddRange(Read(edited, tenant, edits).EventContent?.Records ?? []);
        var applied = await IngestionWriter.ApplyAsync(
            db,
            new StoreCalendar(tenantId, tenant.Currency, tenant.TimeZone),
            records,
            ct
        );
        refetches.UnionWith(
            (await ErasedPeople.ToReadAsync(db, tenantId, told, ct)).Select(id => (RefetchKind.Customer, id))
        );
        await Refetches.RequestAsync(db, tenantId, refetches, ct);
        await MarkAsync(db, tenantId, done, ct);
        await erasure.EmptyLateEventsAsync(db, tenantId, [.. done.Select(r => r.Delivery)], ct);
        return new Batch(waiting, demanding, done, records, refetches, applied);
    }

    private (EventContent? EventContent, string? Unreadable) Read(
        Waiting delivery,
        Tenant tenant,
        ILookup<long, OrderEdit> edits
    )
    {
        if (delivery.Payload is null)
            return (null, "The payload is no longer kept.");
        try
        {
            var known = delivery.ObjectId is { } order ? edits[order].ToList() : [];
            var meaning = EventContent.Of(
                delivery.Topic,
                delivery.Payload,
                delivery.TriggeredAt,
                tenant.Currency,
                known
            );
            // Whatever was on its way when the merchant removed the app is none of our business any more; erasures are.
            var late =
                tenant.Status == TenantStatus.Disconnected
                && meaning.ShopAction
                    is not (
                        ShopAction.Uninstall
                        or ShopAction.RedactShop
                        or ShopAction.RedactCustomer
                        or ShopAction.AnswerDataRequest
                    );
            return (late ? new EventContent("The app is not installed any more.") { IsIgnored = true } : meaning, null);
        }
        catch (Exception failure) when (Utf8JsonReaderExtensions.IsUnreadable(failure))
        {
            logger.LogWarning(
                failure,
                "Delivery {WebhookId} of {Topic} cannot be read (trace {Trace})",
                delivery.WebhookId,
                delivery.Topic,
                delivery.TraceId
            );
            return (null, failure.Message);
        }
    }

    private async Task CarryOutAsync(TenantTurn turn, Waiting delivery, CancellationToken ct)
    {
        var tenantId = turn.TenantId;
        try
        {
            if (ShopTopics.AreDestructive(delivery.Topic) && !await IsTrueAsync(turn, delivery, ct))
                return;
            if (delivery.Topic == "shop/update")
                await FollowDomainAsync(turn, delivery, ct);
            var done = await tenants.RunForShopActionAsync(
                tenantId,
                db => CarryOutAsync(db, tenantId, delivery, ct),
                ct
            );
            Count(done is null ? [] : [done]);
            if (done is not null)
                await demands.AnnounceAsync(tenantId, delivery, ct);
        }
        catch (Exception failure) when (IsOfTheData(failure))
        {
            await PutOffAsync(tenantId, delivery, failure, ct);
        }
    }

    /// <summary>
    /// Whether the store's access is gone, as Shopify itself says. While it works, the delivery is not true and
    /// ignored; while Shopify says nothing, the delivery waits for as long as that lasts.
    /// </summary>
    private async Task<bool> IsTrueAsync(TenantTurn turn, Waiting delivery, CancellationToken ct)
    {
        var tenantId = turn.TenantId;
        var tenant = await tenants.RunAsync(tenantId, db => db.Tenants.AsNoTracking().SingleOrDefaultAsync(ct), ct);
        if (tenant is null)
            return false;
        // Connected since: it does nothing, and says so itself.
        if (tenant.Status != TenantStatus.Disconnected && ShopActions.Earlier(delivery) < tenant.ConnectedAt)
            return true;
        var answer = await turn.WithoutSlotAsync(() => access.AskAsync(tenant, ct));
        if (answer == Access.Gone)
            return true;
        if (answer == Access.Unknown)
            await AskLaterAsync(tenantId, delivery, ct);
        else
            await IgnoreAsync(tenantId, new(delivery, EventStatus.Ignored, StillInstalled, null), ct);
        return false;
    }

    private async Task IgnoreAsync(Guid tenantId, Result ignored, CancellationToken ct)
    {
        logger.LogWarning(
            "{Topic} {WebhookId} of {Tenant} is not true and was ignored",
            ignored.Delivery.Topic,
            ignored.Delivery.WebhookId,
            tenantId
        );
        await tenants.RunForApplyingAsync(
            tenantId,
            async db =>
            {
                await MarkAsync(db, tenantId, [ignored], ct);
                await erasure.EmptyLateEventsAsync(db, tenantId, [ignored.Delivery], ct);
            },
            ct
        );
        Count([ignored]);
    }

    /// <summary>
    /// An outage of Shopify's is no failed attempt: it is asked again after a quarter of the time that it has lasted.
    /// </summary>
    private Task AskLaterAsync(Guid tenantId, Waiting delivery, CancellationToken ct)
    {
        metrics.Failed(delivery.Topic, dead: false);
        return tenants.RunForApplyingAsync(
            tenantId,
            async db =>
            {
                await using var command = db.Command(
                    """
                    update events set due_at = now() + greatest($3, least($4, (now() - received_at) / 4)),
                        last_error = 'Shopify does not say whether the app is still installed; it is asked again.'
                    where tenant_id = $1 and webhook_id = $2 and status = 1
                    """
                );
                command.Parameters.Add(Sql.Uuid(tenantId));
                command.Parameters.Add(new NpgsqlParameter { Value = delivery.WebhookId });
                command.Parameters.Add(
                    new NpgsqlParameter { Value = TimeSpan.FromSeconds(options.Value.RetrySeconds) }
                );
                command.Parameters.Add(new NpgsqlParameter { Value = _longestWait });
                await command.ExecuteNonQueryAsync(ct);
            },
            ct
        );
    }

    private async Task FollowDomainAsync(TenantTurn turn, Waiting delivery, CancellationToken ct)
    {
        using var body = JsonDocument.Parse(StorableJson.Clean(delivery.Payload!));
        var shop = body.RootElement;
        await turn.WithoutSlotAsync(async () =>
        {
            await rename.FollowAsync(turn.TenantId, shop, ct);
            return true;
        });
    }

    private async Task<Result?> CarryOutAsync(XenoDbContext db, Guid tenantId, Waiting delivery, CancellationToken ct)
    {
        if (!await TakeLaneAsync(db, tenantId, ct) || (await DueAsync(db, tenantId, delivery.WebhookId, ct)).Count == 0)
            return null;
        if (await db.Tenants.AsNoTracking().SingleOrDefaultAsync(ct) is not { } tenant)
            return null;
        var meaning = EventContent.Of(delivery.Topic, delivery.Payload!, delivery.TriggeredAt, tenant.Currency);
        var outcome = await demands.CarryOutAsync(db, tenant, meaning.ShopAction, delivery, ct);
        var done = new Result(delivery, EventStatus.Applied, outcome, null);
        await MarkAsync(db, tenantId, [done], ct);
        await erasure.EmptyLateEventsAsync(db, tenantId, [delivery], ct);
        return done;
    }

    /// <summary>
    /// Applies one waiting delivery inside the caller's unit of work, which is then taken back: the way is the worker's, so what it says
    /// would happen is what happens. The caller holds the lane.
    /// </summary>
    public async Task<TriedEvent> TryAsync(
        XenoDbContext db,
        Guid tenantId,
        string webhookId,
        string topic,
        CancellationToken ct
    )
    {
        var transaction = db.Database.CurrentTransaction!;
        await transaction.CreateSavepointAsync("delivery", ct);
        try
        {
            var batch = await ApplyAsync(db, tenantId, webhookId, ct);
            if (batch.Demanding is [var demanding])
                return await CarryOutAsync(db, tenantId, demanding, ct) is { } done
                    ? new(webhookId, topic, ReplayEffect.CarriedOut, false, Promised(done))
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
        catch (Exception failure) when (IsOfTheData(failure))
        {
            await transaction.RollbackToSavepointAsync("delivery", ct);
            return new(webhookId, topic, ReplayEffect.Fails, false, MessageOf(failure));
        }
        finally
        {
            db.ChangeTracker.Clear();
        }

        // Nobody is asked by a dry run.
        string? Promised(Result done) =>
            ShopTopics.AreDestructive(topic)
                ? $"If Shopify no longer accepts the app's access: {done.Outcome}"
                : done.Outcome;

        TriedEvent Gone() =>
            new(webhookId, topic, ReplayEffect.Ignored, false, "What it speaks of would be erased before its turn.");
    }

    private static ReplayEffect EffectOf(Batch batch, Result result) =>
        result.Status switch
        {
            EventStatus.Dead => ReplayEffect.Fails,
            EventStatus.Ignored => ReplayEffect.Ignored,
            _ when batch.Records.Count == 0 => ReplayEffect.ReadAgain,
            _ when batch.Applied.Stored == 0 => ReplayEffect.Unchanged,
            _ => batch.Records.Exists(r => r.Deleted) ? ReplayEffect.Deleted : ReplayEffect.Stored,
        };

    /// <summary>False while another process applies this store's deliveries. A process that hangs within the transaction loses it, and the lane, by the database's clock.</summary>
    public static async Task<bool> TakeLaneAsync(XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        await using var command = db.Command(
            "select pg_try_advisory_xact_lock(hashtextextended('webhooks ' || $1::text, 0)), set_config('idle_in_transaction_session_timeout', '30s', true)"
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        return (bool)(await command.ExecuteScalarAsync(ct))!;
    }

    private static async Task<List<Waiting>> DueAsync(
        XenoDbContext db,
        Guid tenantId,
        string? only,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            select webhook_id, topic, coalesce(triggered_at, received_at), received_at, attempts, payload, trace_id, object_id
            from (
                select *, sum(coalesce(octet_length(payload), 0)) over (order by due_at, webhook_id) as bytes_to_here, row_number() over (order by due_at, webhook_id) as number
                from (
                    select * from events where tenant_id = $1 and status = 1 and due_at <= now() and ($2::text is null or webhook_id = $2)
                    order by due_at, webhook_id limit $3) due) sized
            where bytes_to_here <= $4 or number = 1
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(
            new NpgsqlParameter { Value = (object?)only ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text }
        );
        command.Parameters.Add(new NpgsqlParameter { Value = LargestBatch });
        command.Parameters.Add(new NpgsqlParameter { Value = (long)LargestBatchBytes });
        var waiting = new List<Waiting>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            waiting.Add(Read(reader));
        return waiting;
    }

    /// <summary>From a row that begins with its columns.</summary>
    internal static Waiting Read(NpgsqlDataReader row) =>
        new(
            row.GetString(0),
            row.GetString(1),
            row.GetFieldValue<DateTimeOffset>(2),
            row.GetFieldValue<DateTimeOffset>(3),
            row.GetInt32(4),
            row.IsDBNull(5) ? null : row.GetFieldValue<byte[]>(5),
            row.IsDBNull(6) ? null : row.GetString(6)
        )
        {
            ObjectId = row.IsDBNull(7) ? null : row.GetInt64(7),
        };

    internal static async Task MarkAsync(XenoDbContext db, Guid tenantId, List<Result> results, CancellationToken ct)
    {
        if (results.Count == 0)
            return;
        await db.ExecuteAsync(
            [
                new UnnestInsert<Result>("events", tenantId, results)
                    .Text("webhook_id", r => r.Delivery.WebhookId)
                    .Small("status", r => (short)r.Status)
                    .Text("outcome", r => r.Outcome)
                    .Text("last_error", r => r.Error)
                    .Update(
                        "webhook_id",
                        "status = incoming.status, outcome = incoming.outcome, last_error = incoming.last_error, attempts = stored.attempts + 1, applied_at = clock_timestamp()"
                    ),
            ],
            ct
        );
    }

    /// <summary>After the commit.</summary>
    private void Count(List<Result> results)
    {
        foreach (var (delivery, status, _, _) in results)
        {
            // By two clocks, ours and the database's: good enough to watch, while the freshness shown to people is the database's alone.
            if (status == EventStatus.Applied)
                metrics.Applied(delivery.Topic, time.GetUtcNow() - delivery.ReceivedAt);
            else if (status == EventStatus.Ignored)
                metrics.Ignored(delivery.Topic);
            else
                metrics.Failed(delivery.Topic, dead: true);
        }
    }

    private async Task PutOffAsync(Guid tenantId, Waiting delivery, Exception failure, CancellationToken ct)
    {
        var attempts = delivery.Attempts + 1;
        var dead = attempts >= options.Value.MaxAttempts;
        var pause = new Backoff(TimeSpan.FromSeconds(options.Value.RetrySeconds), _longestPause).After(attempts);
        logger.LogWarning(
            failure,
            "Delivery {WebhookId} of {Topic} failed for the {Attempt}. time (trace {Trace})",
            delivery.WebhookId,
            delivery.Topic,
            attempts,
            delivery.TraceId
        );
        await tenants.RunForApplyingAsync(
            tenantId,
            async db =>
            {
                await using var command = db.Command(
                    "update events set attempts = $3, status = $4, due_at = now() + $5, last_error = $6 where tenant_id = $1 and webhook_id = $2 and status = 1"
                );
                command.Parameters.Add(Sql.Uuid(tenantId));
                command.Parameters.Add(new NpgsqlParameter { Value = delivery.WebhookId });
                command.Parameters.Add(new NpgsqlParameter { Value = attempts });
                command.Parameters.Add(
                    new NpgsqlParameter { Value = (short)(dead ? EventStatus.Dead : EventStatus.Pending) }
                );
                command.Parameters.Add(new NpgsqlParameter { Value = pause });
                command.Parameters.Add(new NpgsqlParameter { Value = MessageOf(failure) });
                await command.ExecuteNonQueryAsync(ct);
                // An erasure that failed needs its body to be tried again.
                if (dead && delivery.Topic != "customers/redact")
                    await erasure.EmptyLateEventsAsync(db, tenantId, [delivery], ct);
            },
            ct
        );
        metrics.Failed(delivery.Topic, dead);
    }

    /// <summary>The deliveries' own fault, as against a database that is away: trying the others can help.</summary>
    private static bool IsOfTheData(Exception failure) =>
        failure switch
        {
            OperationCanceledException => false,
            NpgsqlException database => database is PostgresException { IsTransient: false } postgres
                && !postgres.SqlState.StartsWith("57", StringComparison.Ordinal)
                && postgres.SqlState != IdleInTransaction
                && !postgres.SqlState.StartsWith("08", StringComparison.Ordinal),
            _ when failure.InnerException is NpgsqlException inner => IsOfTheData(inner),
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
