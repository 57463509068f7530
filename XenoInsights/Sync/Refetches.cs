using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Ingestion;
using XenoInsights.Queues;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// Objects whose payload could not tell everything, read again as they are now, within Shopify's cost budget.
/// </summary>
internal sealed class Refetches(
    TenantDatabase tenants,
    AdminObjects objects,
    StoreHealth health,
    ILogger<Refetches> logger
)
{
    private const int AtOnce = 50;
    private static readonly TimeSpan _lease = TimeSpan.FromMinutes(2),
        _firstPause = TimeSpan.FromSeconds(5),
        _longestPause = TimeSpan.FromHours(1);

    /// <summary>
    /// An object that itself is the cause seldom gets better before it changes, and then it is asked for anew.
    /// </summary>
    private static readonly TimeSpan _longestPauseOfOne = TimeSpan.FromDays(1);

    /// <param name="ClaimedAt">Database clock, before Shopify was asked.</param>
    private sealed record Claim(
        RefetchKind Kind,
        long ShopifyId,
        DateTime RequestedAt,
        int Attempts,
        DateTimeOffset ClaimedAt
    );

    /// <summary>
    /// Asks for objects in the unit of work that saw the need. One that is being read meanwhile will be read once more.
    /// </summary>
    public static async Task RequestAsync(
        XenoDbContext db,
        Guid tenantId,
        IEnumerable<(RefetchKind Kind, long ShopifyId)> wanted,
        CancellationToken ct
    )
    {
        var rows = wanted.Distinct().OrderBy(w => w).ToList();
        if (rows.Count == 0)
            return;
        await using var command = db.Command(
            """
            insert into refetch_requests (tenant_id, kind, shopify_id, requested_at, due_at, attempts)
            select $1, kind, shopify_id, now(), now(), 0 from unnest($2, $3) as wanted(kind, shopify_id)
            on conflict (tenant_id, kind, shopify_id) do update set
                requested_at = greatest(
                    excluded.requested_at, refetch_requests.requested_at + interval '1 microsecond'),
                due_at = case when refetch_requests.due_at > now() + $4
                    then excluded.due_at else refetch_requests.due_at end
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = rows.ConvertAll(r => (short)r.Kind),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Smallint,
            }
        );
        command.Parameters.Add(Sql.Ids(rows.ConvertAll(r => r.ShopifyId)));
        // Beyond the longest pause are only objects that were set aside: one that has changed may be readable now.
        command.Parameters.Add(new NpgsqlParameter { Value = 2 * _longestPause });
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// Reads some of the store's due objects, stores them through ingestion and says how many it took.
    /// </summary>
    public async Task<int> ReadAsync(Guid tenantId, CancellationToken ct)
    {
        var (tenant, claims) = await tenants.RunAsync(
            tenantId,
            async db => (await db.Tenants.AsNoTracking().SingleOrDefaultAsync(ct), await ClaimAsync(db, tenantId, ct)),
            ct
        );
        if (tenant is null)
            return 0;
        var shop = new ShopReference(tenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone);
        foreach (var kind in claims.GroupBy(c => c.Kind))
            await ReadAsync(tenant, shop, [.. kind], ct);
        return claims.Count;
    }

    private async Task ReadAsync(Tenant tenant, ShopReference shop, List<Claim> claims, CancellationToken ct)
    {
        try
        {
            // What Shopify no longer has, or no longer shows us, is missing here: the event's own version stays.
            // Only an event of a deletion says deleted.
            var read = await objects.ReadEachAsync(
                shop,
                KindOf(claims[0].Kind),
                claims.ConvertAll(c => c.ShopifyId),
                ct
            );
            await StoreAsync(tenant, claims, read, ct);
            await health.RecoveredAsync(tenant);
        }
        catch (StoreErasedException)
        {
            // Its claims are gone with it.
        }
        catch (Exception failure) when (!ct.IsCancellationRequested)
        {
            // Whatever it was, other kinds and other stores go on.
            var reason = MessageOf(failure);
            if (failure.IsExpected())
                logger.LogWarning(
                    "Refetching {Count} objects of {Tenant} failed: {Reason}",
                    claims.Count,
                    tenant.TenantId,
                    reason
                );
            else
                logger.LogWarning(
                    failure,
                    "Refetching {Count} objects of {Tenant} failed",
                    claims.Count,
                    tenant.TenantId
                );
            await tenants.RunAsync(
                tenant.TenantId,
                db => RescheduleAsync(db, tenant.TenantId, claims, reason, _longestPause, ct),
                ct
            );
            await health.NoteAsync(tenant.TenantId, failure);
        }
    }

    /// <summary>
    /// Stores what could be read. What cannot be read or stored is rescheduled alone, with the reason.
    /// </summary>
    private Task StoreAsync(Tenant tenant, List<Claim> claims, ReadableObjects read, CancellationToken ct) =>
        tenants.RunForApplyingAsync(
            tenant.TenantId,
            async db =>
            {
                List<IngestRecord> records = [.. read.Records.Select(r => r with { ReadAt = claims[0].ClaimedAt })];
                var (_, unstorable) = await IngestionWriter.ApplyEachAsync(
                    db,
                    new StoreCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone),
                    records,
                    ct
                );
                var rejected = new Dictionary<long, string>(read.Rejections);
                foreach (var (record, reason) in unstorable)
                    rejected[record.ShopifyId] = ObjectRefetch.Unstorable(record, reason);
                await DoneAsync(db, tenant.TenantId, claims.FindAll(c => !rejected.ContainsKey(c.ShopifyId)), ct);
                foreach (var claim in claims.Where(c => rejected.ContainsKey(c.ShopifyId)))
                {
                    logger.LogWarning(
                        "{Kind} {Id} of {Shop} was set aside: {Reason}",
                        claim.Kind,
                        claim.ShopifyId,
                        tenant.ShopDomain,
                        rejected[claim.ShopifyId]
                    );
                    await RescheduleAsync(
                        db,
                        tenant.TenantId,
                        [claim],
                        rejected[claim.ShopifyId],
                        _longestPauseOfOne,
                        ct
                    );
                }
            },
            ct
        );

    private static ObjectKind KindOf(RefetchKind kind) =>
        kind switch
        {
            RefetchKind.Order => ObjectKind.Orders,
            RefetchKind.Customer => ObjectKind.Customers,
            RefetchKind.Checkout => ObjectKind.AbandonedCheckouts,
            _ => ObjectKind.Products,
        };

    private static string MessageOf(Exception failure) =>
        failure is ShopifyException or HttpRequestException or TimeoutException or ReconnectRequiredException
            ? failure.Message
            : ObjectIsolation.ReasonOf(failure);

    /// <summary>
    /// Moves the rows ahead by a lease: a process that dies while it reads loses them by the database's clock.
    /// </summary>
    private static async Task<List<Claim>> ClaimAsync(XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            update refetch_requests set due_at = now() + $2, attempts = refetch_requests.attempts + 1
            from (
                select kind, shopify_id from refetch_requests where tenant_id = $1 and due_at <= now()
                order by due_at, kind, shopify_id limit $3 for update skip locked) due
            where refetch_requests.tenant_id = $1 and refetch_requests.kind = due.kind
                and refetch_requests.shopify_id = due.shopify_id
            returning refetch_requests.kind, refetch_requests.shopify_id, refetch_requests.requested_at,
                refetch_requests.attempts, now()
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(new NpgsqlParameter { Value = _lease });
        command.Parameters.Add(new NpgsqlParameter { Value = AtOnce });
        var claims = new List<Claim>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            claims.Add(
                new(
                    (RefetchKind)reader.GetInt16(0),
                    reader.GetInt64(1),
                    reader.GetDateTime(2),
                    reader.GetInt32(3),
                    reader.GetFieldValue<DateTimeOffset>(4)
                )
            );
        return claims;
    }

    private static Task DoneAsync(XenoDbContext db, Guid tenantId, List<Claim> claims, CancellationToken ct) =>
        claims.Count == 0
            ? Task.CompletedTask
            : db.ExecuteAsync(
                [
                    Match(
                        """
                        delete from refetch_requests using unnest($2, $3, $4) as read(kind, shopify_id, requested_at)
                        where refetch_requests.tenant_id = $1 and refetch_requests.kind = read.kind
                            and refetch_requests.shopify_id = read.shopify_id
                            and refetch_requests.requested_at = read.requested_at
                        """,
                        tenantId,
                        claims
                    ),
                    // Asked for again while it was read: at once more.
                    Match(
                        """
                        update refetch_requests set due_at = now(), attempts = 0, last_error = null
                        from unnest($2, $3, $4) as read(kind, shopify_id, requested_at)
                        where refetch_requests.tenant_id = $1 and refetch_requests.kind = read.kind
                            and refetch_requests.shopify_id = read.shopify_id
                        """,
                        tenantId,
                        claims
                    ),
                ],
                ct
            );

    private static Task RescheduleAsync(
        XenoDbContext db,
        Guid tenantId,
        List<Claim> claims,
        string error,
        TimeSpan longest,
        CancellationToken ct
    )
    {
        var pause = new Backoff(_firstPause, longest).After(claims.Max(c => c.Attempts));
        var command = Match(
            """
            update refetch_requests set due_at = now() + $5, last_error = $6
            from unnest($2, $3, $4) as read(kind, shopify_id, requested_at)
            where refetch_requests.tenant_id = $1 and refetch_requests.kind = read.kind
                and refetch_requests.shopify_id = read.shopify_id
            """,
            tenantId,
            claims
        );
        command.Parameters.Add(new NpgsqlParameter { Value = pause });
        command.Parameters.Add(new NpgsqlParameter { Value = error });
        return db.ExecuteAsync([command], ct);
    }

    private static NpgsqlBatchCommand Match(string sql, Guid tenantId, List<Claim> claims) =>
        new(sql)
        {
            Parameters =
            {
                Sql.Uuid(tenantId),
                new()
                {
                    Value = claims.ConvertAll(c => (short)c.Kind),
                    NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Smallint,
                },
                Sql.Ids(claims.ConvertAll(c => c.ShopifyId)),
                new()
                {
                    Value = claims.ConvertAll(c => c.RequestedAt),
                    NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz,
                },
            },
        };
}

/// <summary>Reads for the stores with objects to read again: one that is slow, or fails, holds up no other.</summary>
internal sealed class RefetchWorker(
    SystemDatabase system,
    Refetches refetches,
    IOptions<DispatchOptions> options,
    IHostApplicationLifetime lifetime,
    TimeProvider time,
    ILogger<RefetchWorker> logger
) : BackgroundService
{
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(500);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.WaitForStartAsync(stoppingToken);
        using var dispatcher = new TenantDispatcher(options.Value.Parallel, new WorkSignal(), time, logger)
        {
            Poll = _poll,
            FindDueAsync = ct => system.TenantsWithDueAsync("refetch_requests", "true", ct),
            WorkAsync = ReadAsync,
        };
        await dispatcher.RunAsync(stoppingToken);
    }

    /// <summary>What was claimed by a turn that fails is due again after its lease.</summary>
    private async Task<TimeSpan> ReadAsync(TenantTurn turn, CancellationToken ct) =>
        await refetches.ReadAsync(turn.TenantId, ct) > 0 ? TimeSpan.Zero : _poll;
}
