using System.Threading.Channels;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Queues;
using XenoInsights.Shopify;

namespace XenoInsights.Webhooks;

/// <summary>A delivery whose signature was verified, as it goes into the inbox.</summary>
/// <param name="Domain">As the header says, lower case; not signed.</param>
/// <param name="ShopId">As the body says, if it does; signed.</param>
/// <param name="TriggeredAt">As the header says; one that is not near the time of receipt is not believed.</param>
internal sealed record Delivery(
    string Domain,
    long? ShopId,
    string WebhookId,
    string Topic,
    string? EventId,
    DateTimeOffset? TriggeredAt,
    string Headers,
    byte[] Payload,
    long? ObjectId,
    string? TraceId
);

internal enum StoreResult
{
    Stored,

    /// <summary>A repetition of what is stored.</summary>
    Duplicate,

    /// <summary>No such store is connected.</summary>
    UnknownShop,

    /// <summary>The body names another shop than the one that the header's domain belongs to.</summary>
    OtherShop,

    /// <summary>The database can never store it, such as a header that it has no text for.</summary>
    Unstorable,

    /// <summary>Not now: the database is away or busy.</summary>
    Unavailable,
}

/// <summary>
/// Stores deliveries. Requests in flight together share one statement and one commit, so that the disk is asked once
/// for all of them; an answer is given after that commit. Works on connections of its own: however busy dashboards are,
/// deliveries get through.
/// </summary>
internal sealed class Inbox(
    [FromKeyedServices(DataSetup.Ingest)] TenantTransactions transactions,
    [FromKeyedServices(EventQueue.Name)] WorkSignal signal,
    ILogger<Inbox> logger
) : BackgroundService
{
    private const int Writers = 2,
        LargestBatch = 256,
        LongestQueue = 4096,
        WarmUpRounds = 10;

    // Shopify repeats a delivery for four hours and may be a day late; clocks differ by seconds.
    private static readonly TimeSpan _oldest = TimeSpan.FromHours(48),
        _ahead = TimeSpan.FromMinutes(5);

    /// <summary>
    /// The connections and the statement that store deliveries: the first ones would otherwise wait for them longer
    /// than
    /// <see cref="WebhooksApi"/> waits for an answer. Nobody's domain, so nothing is stored.
    /// </summary>
    public static WarmUpStep WarmUp { get; } =
        new(
            "storing deliveries",
            async (services, ct) =>
            {
                var inbox = services.GetRequiredService<Inbox>();
                var nobodys = new Delivery("", null, "warm-up", "", null, null, "{}", "{}"u8.ToArray(), null, null);
                for (var i = 0; i < WarmUpRounds; i++)
                    await Task.WhenAll(Enumerable.Range(0, Writers).Select(_ => inbox.StoreAsync(nobodys)))
                        .WaitAsync(ct);
            }
        );

    private readonly SystemDatabase _system = new(transactions);
    private readonly Channel<Waiting> _queue = Channel.CreateBounded<Waiting>(
        new BoundedChannelOptions(LongestQueue) { FullMode = BoundedChannelFullMode.Wait }
    );

    private sealed record Waiting(Delivery Delivery, TaskCompletionSource<StoreResult> Answer);

    /// <summary>
    /// Completes when the delivery is committed, or cannot be. A full queue is <see cref="StoreResult.Unavailable"/> at
    /// once.
    /// </summary>
    public Task<StoreResult> StoreAsync(Delivery delivery)
    {
        var waiting = new Waiting(delivery, new(TaskCreationOptions.RunContinuationsAsynchronously));
        return _queue.Writer.TryWrite(waiting) ? waiting.Answer.Task : Task.FromResult(StoreResult.Unavailable);
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(Enumerable.Range(0, Writers).Select(_ => WriteAsync(stoppingToken)));

    private async Task WriteAsync(CancellationToken stopping)
    {
        await Task.Yield();
        var batch = new List<Waiting>(LargestBatch);
        try
        {
            while (await _queue.Reader.WaitToReadAsync(stopping))
            {
                while (batch.Count < LargestBatch && _queue.Reader.TryRead(out var waiting))
                    batch.Add(waiting);
                // What was accepted is stored even while the process stops: the request still waits for its answer.
                if (batch.Count > 0)
                    await StoreAsync(batch);
                batch.Clear();
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            while (_queue.Reader.TryRead(out var waiting))
                waiting.Answer.TrySetResult(StoreResult.Unavailable);
        }
    }

    private async Task StoreAsync(List<Waiting> batch)
    {
        // One order for all writers, so that two never wait for each other crosswise.
        batch.Sort(
            (a, b) =>
                string.CompareOrdinal(
                    a.Delivery.Domain + a.Delivery.WebhookId,
                    b.Delivery.Domain + b.Delivery.WebhookId
                )
        );
        try
        {
            var results = await InsertAsync(batch.ConvertAll(w => w.Delivery));
            for (var i = 0; i < batch.Count; i++)
                batch[i].Answer.TrySetResult(results[i]);
            if (results.Contains(StoreResult.Stored))
                signal.Wake();
        }
        catch (Exception failure) when (Cause(failure) is PostgresException { IsTransient: false } && batch.Count > 1)
        {
            // One of them is the cause; the others must not go down with it.
            foreach (var waiting in batch)
                await StoreAsync([waiting]);
        }
        catch (Exception failure)
            when (Cause(failure) is PostgresException { IsTransient: false, SqlState: ['2', '2', ..] })
        {
            logger.LogWarning(failure, "A delivery of {Topic} cannot be stored", batch[0].Delivery.Topic);
            batch[0].Answer.TrySetResult(StoreResult.Unstorable);
        }
        catch (Exception failure)
        {
            // Whatever it was: nobody is told "stored" who is not. Shopify sends it again.
            logger.LogWarning(failure, "{Count} deliveries could not be stored", batch.Count);
            foreach (var waiting in batch)
                waiting.Answer.TrySetResult(StoreResult.Unavailable);
        }
    }

    private static Exception Cause(Exception failure) =>
        failure is NpgsqlException ? failure : failure.InnerException ?? failure;

    private Task<StoreResult[]> InsertAsync(List<Delivery> deliveries) =>
        _system.RunAsync(async db =>
        {
            // Holding the domain's row keeps a store's erasure and its last deliveries apart: either comes whole before
            // the other. A shop's id never changes and is signed where the body names it, so there it decides, also
            // after the shop took another domain; but a domain that is another shop's here is never taken for this
            // one's.
            await using var command = db.Command(
                """
                with incoming as (
                    select i.*, coalesce((
                        select d.domain from shop_domains d where i.names_shop and d.shop_id = i.shop_id
                        order by d.domain = i.domain desc, d.domain limit 1), i.domain) as found_at
                    from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                        as i(ordinal, domain, shop_id, names_shop, webhook_id, topic, event_id, triggered_at, headers,
                            payload, object_id, trace_id)
                ), target as (
                    select i.*, d.tenant_id from incoming i join shop_domains d on d.domain = i.found_at
                        and (i.shop_id is null or i.shop_id = d.shop_id)
                    where i.found_at = i.domain or not exists (select 1 from shop_domains other
                        where other.domain = i.domain)
                    for key share of d
                ), stored as (
                    insert into events (tenant_id, webhook_id, topic, event_id, triggered_at, received_at, headers,
                        payload, object_id, status, attempts, due_at, trace_id)
                    select tenant_id, webhook_id, topic, event_id,
                        case when triggered_at not between now() - $13 and now() + $14 then now() else triggered_at end,
                        now(), headers::jsonb, payload, object_id, 1, 0, now(), trace_id from target order by ordinal
                    on conflict (tenant_id, webhook_id) do nothing returning tenant_id, webhook_id
                )
                select i.ordinal, t.tenant_id is not null, s.webhook_id is not null,
                    exists (select 1 from shop_domains d where d.domain = i.domain)
                from incoming i left join target t on t.ordinal = i.ordinal
                left join stored s on s.tenant_id = t.tenant_id and s.webhook_id = t.webhook_id order by i.ordinal
                """
            );
            var parameters = command.Parameters;
            parameters.Add(Column(NpgsqlDbType.Integer, Enumerable.Range(0, deliveries.Count).ToArray()));
            parameters.Add(Column(NpgsqlDbType.Text, deliveries.ConvertAll(d => d.Domain)));
            parameters.Add(Column(NpgsqlDbType.Bigint, deliveries.ConvertAll(d => d.ShopId)));
            parameters.Add(Column(NpgsqlDbType.Boolean, deliveries.ConvertAll(d => NamesItsShop(d.Topic))));
            parameters.Add(Column(NpgsqlDbType.Text, deliveries.ConvertAll(d => d.WebhookId)));
            parameters.Add(Column(NpgsqlDbType.Text, deliveries.ConvertAll(d => d.Topic)));
            parameters.Add(Column(NpgsqlDbType.Text, deliveries.ConvertAll(d => d.EventId)));
            parameters.Add(Column(NpgsqlDbType.TimestampTz, deliveries.ConvertAll(d => d.TriggeredAt?.UtcDateTime)));
            parameters.Add(Column(NpgsqlDbType.Text, deliveries.ConvertAll(d => d.Headers)));
            parameters.Add(Column(NpgsqlDbType.Bytea, deliveries.ConvertAll(d => d.Payload)));
            parameters.Add(Column(NpgsqlDbType.Bigint, deliveries.ConvertAll(d => d.ObjectId)));
            parameters.Add(Column(NpgsqlDbType.Text, deliveries.ConvertAll(d => d.TraceId)));

            parameters.Add(new() { Value = _oldest });
            parameters.Add(new() { Value = _ahead });

            var results = new StoreResult[deliveries.Count];
            var seen = new HashSet<(string, string)>();
            await using var reader = await command.ExecuteReaderAsync();
            while (await reader.ReadAsync())
            {
                var at = reader.GetInt32(0);
                var (isTarget, isStored, isKnownDomain) = (
                    reader.GetBoolean(1),
                    reader.GetBoolean(2),
                    reader.GetBoolean(3)
                );
                if (!isTarget)
                    results[at] = isKnownDomain ? StoreResult.OtherShop : StoreResult.UnknownShop;
                else if (seen.Add((deliveries[at].Domain, deliveries[at].WebhookId)) && isStored)
                    results[at] = StoreResult.Stored;
                else
                    results[at] = StoreResult.Duplicate;
            }
            return results;
        });

    private static bool NamesItsShop(string topic) => WebhookTopics.Find(topic) is { NamesItsShop: true };

    private static NpgsqlParameter Column(NpgsqlDbType type, object values) =>
        new() { Value = values, NpgsqlDbType = NpgsqlDbType.Array | type };
}
