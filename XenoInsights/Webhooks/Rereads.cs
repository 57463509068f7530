using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>Objects whose payload could not tell everything, read again as they are now, within Shopify's cost budget.</summary>
internal sealed class Rereads(TenantDatabase tenants, AdminObjects objects, StoreHealth health, ILogger<Rereads> logger)
{
    private const int AtOnce = 50;
    private static readonly TimeSpan _lease = TimeSpan.FromMinutes(2), _longestPause = TimeSpan.FromHours(1);

    private sealed record Claim(RereadKind Kind, long ShopifyId, DateTime RequestedAt, int Attempts);

    /// <summary>Asks for objects in the unit of work that saw the need. One that is being read meanwhile will be read once more.</summary>
    public static async Task RequestAsync(XenoDbContext db, Guid tenantId, IEnumerable<(RereadKind Kind, long ShopifyId)> wanted, CancellationToken ct)
    {
        var rows = wanted.Distinct().OrderBy(w => w).ToList();
        if (rows.Count == 0) return;
        await using var command = db.Command(
            """
            insert into rereads (tenant_id, kind, shopify_id, requested_at, due_at, attempts)
            select $1, kind, shopify_id, now(), now(), 0 from unnest($2, $3) as wanted(kind, shopify_id)
            on conflict (tenant_id, kind, shopify_id) do update set requested_at = greatest(excluded.requested_at, rereads.requested_at + interval '1 microsecond')
            """);
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(new NpgsqlParameter { Value = rows.ConvertAll(r => (short)r.Kind), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Smallint });
        command.Parameters.Add(Sql.Ids(rows.ConvertAll(r => r.ShopifyId)));
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Reads some of the store's due objects and stores them through the door.</summary>
    public async Task ReadAsync(Guid tenantId, CancellationToken ct)
    {
        var (tenant, claims) = await tenants.RunAsync(tenantId, async db => (await db.Tenants.AsNoTracking().SingleOrDefaultAsync(ct), await ClaimAsync(db, tenantId, ct)), ct);
        if (tenant is null) return;
        var shop = new ShopReference(tenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone);
        foreach (var kind in claims.GroupBy(c => c.Kind)) await ReadAsync(tenant, shop, [.. kind], ct);
    }

    private async Task ReadAsync(Tenant tenant, ShopReference shop, List<Claim> claims, CancellationToken ct)
    {
        try
        {
            var records = await RecordsAsync(shop, claims[0].Kind, claims.Select(c => c.ShopifyId), ct);
            await tenants.RunAsync(tenant.TenantId, async db =>
            {
                await IngestionWriter.ApplyAsync(db, new ShopCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone), records, ct);
                await DoneAsync(db, tenant.TenantId, claims, ct);
            }, ct);
            await health.RecoveredAsync(tenant);
        }
        catch (ShopifyException failure) when (failure.Failure == ShopifyFailure.PartialData && claims.Count > 1)
        {
            // One of them cannot be read; the others can.
            foreach (var claim in claims) await ReadAsync(tenant, shop, [claim], ct);
        }
        catch (Exception failure) when (failure is ShopifyException or HttpRequestException or TimeoutException)
        {
            logger.LogWarning(failure, "{Count} objects could not be read again", claims.Count);
            await PutOffAsync(tenant.TenantId, claims, failure.Message, ct);
            await health.NoteAsync(tenant.TenantId, failure);
        }
    }

    /// <summary>What Shopify no longer has, or no longer shows us, is missing here: the delivery's own version stays. Only a delete delivery says deleted.</summary>
    private async Task<IReadOnlyCollection<IngestRecord>> RecordsAsync(ShopReference shop, RereadKind kind, IEnumerable<long> ids, CancellationToken ct) => kind switch
    {
        RereadKind.Order => await objects.OrdersAsync(shop, ids, ct),
        RereadKind.Customer => await objects.CustomersAsync(shop, ids, ct),
        RereadKind.Checkout => await objects.CheckoutsAsync(shop, ids, ct),
        _ => await objects.ProductsAsync(shop, ids, ct),
    };

    /// <summary>Moves the rows ahead by a lease: a process that dies while it reads loses them by the database's clock.</summary>
    private static async Task<List<Claim>> ClaimAsync(XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            update rereads set due_at = now() + $2, attempts = rereads.attempts + 1
            from (select kind, shopify_id from rereads where tenant_id = $1 and due_at <= now() order by due_at, kind, shopify_id limit $3 for update skip locked) due
            where rereads.tenant_id = $1 and rereads.kind = due.kind and rereads.shopify_id = due.shopify_id
            returning rereads.kind, rereads.shopify_id, rereads.requested_at, rereads.attempts
            """);
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(new NpgsqlParameter { Value = _lease });
        command.Parameters.Add(new NpgsqlParameter { Value = AtOnce });
        var claims = new List<Claim>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) claims.Add(new((RereadKind)reader.GetInt16(0), reader.GetInt64(1), reader.GetDateTime(2), reader.GetInt32(3)));
        return claims;
    }

    private static Task DoneAsync(XenoDbContext db, Guid tenantId, List<Claim> claims, CancellationToken ct) => db.ExecuteAsync(
    [
        Match(
            """
            delete from rereads using unnest($2, $3, $4) as read(kind, shopify_id, requested_at)
            where rereads.tenant_id = $1 and rereads.kind = read.kind and rereads.shopify_id = read.shopify_id and rereads.requested_at = read.requested_at
            """, tenantId, claims),
        // Asked for again while it was read: at once more.
        Match(
            """
            update rereads set due_at = now(), attempts = 0, last_error = null from unnest($2, $3, $4) as read(kind, shopify_id, requested_at)
            where rereads.tenant_id = $1 and rereads.kind = read.kind and rereads.shopify_id = read.shopify_id
            """, tenantId, claims),
    ], ct);

    private Task PutOffAsync(Guid tenantId, List<Claim> claims, string error, CancellationToken ct) => tenants.RunAsync(tenantId, db =>
    {
        var pause = Math.Min(_longestPause.TotalSeconds, 5 * Math.Pow(2, claims.Max(c => c.Attempts) - 1)) * (0.75 + Random.Shared.NextDouble() / 2);
        var command = Match(
            """
            update rereads set due_at = now() + $5, last_error = $6 from unnest($2, $3, $4) as read(kind, shopify_id, requested_at)
            where rereads.tenant_id = $1 and rereads.kind = read.kind and rereads.shopify_id = read.shopify_id
            """, tenantId, claims);
        command.Parameters.Add(new NpgsqlParameter { Value = TimeSpan.FromSeconds(pause) });
        command.Parameters.Add(new NpgsqlParameter { Value = error });
        return db.ExecuteAsync([command], ct);
    }, ct);

    private static NpgsqlBatchCommand Match(string sql, Guid tenantId, List<Claim> claims) => new(sql)
    {
        Parameters =
        {
            Sql.Uuid(tenantId),
            new() { Value = claims.ConvertAll(c => (short)c.Kind), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Smallint },
            Sql.Ids(claims.ConvertAll(c => c.ShopifyId)),
            new() { Value = claims.ConvertAll(c => c.RequestedAt), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz },
        },
    };
}

/// <summary>Goes round the connected stores with objects to read again.</summary>
internal sealed class RereadWorker(SystemDatabase system, Rereads rereads, TimeProvider time, ILogger<RereadWorker> logger) : BackgroundService
{
    private const int Stores = 4;
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(500), _pauseAfterFailure = TimeSpan.FromSeconds(2);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                var pause = _poll;
                try
                {
                    var due = await system.TenantsWithDueAsync("rereads", "true", stoppingToken);
                    await Parallel.ForEachAsync(due, new ParallelOptions { MaxDegreeOfParallelism = Stores, CancellationToken = stoppingToken }, async (tenant, ct) => await rereads.ReadAsync(tenant, ct));
                }
                catch (Exception failure) when (!stoppingToken.IsCancellationRequested)
                {
                    logger.LogWarning(failure, "Objects cannot be read again for now");
                    pause = _pauseAfterFailure;
                }
                await Task.Delay(pause, time, stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Stopping.
        }
    }
}
