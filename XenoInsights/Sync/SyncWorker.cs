using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Queues;
using XenoInsights.Shopify;
using XenoInsights.Sync.Reconciliation;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// Works off the queue of runs. Any number of processes may: a run belongs to whoever holds its lease.
/// </summary>
internal sealed class SyncWorker(
    SystemDatabase system,
    TenantDatabase tenants,
    AdminObjects objects,
    FullImport fullImport,
    DeltaSync delta,
    Rehydrate rehydrate,
    Reconcile reconcile,
    Recalculate recalculate,
    StoreHealth health,
    [FromKeyedServices(SyncJobs.Queue)] WorkSignal signal,
    IOptions<SyncOptions> options,
    IHostApplicationLifetime lifetime,
    TimeProvider time,
    ILogger<SyncWorker> logger
) : BackgroundService
{
    private const int MaxAttempts = 12,
        MaxStarts = 100;
    private static readonly TimeSpan _poll = TimeSpan.FromSeconds(1);
    private static readonly Backoff _backoff = new(TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(10));

    private readonly TimeSpan _lease = TimeSpan.FromSeconds(options.Value.LeaseSeconds);
    private readonly SyncSlots _slots = new(options.Value.Parallel);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var runs = new List<Task>();
        try
        {
            await lifetime.WaitForStartAsync(stoppingToken);
            while (!stoppingToken.IsCancellationRequested)
            {
                runs.RemoveAll(r => r.IsCompleted);
                try
                {
                    foreach (var (lease, isFirstImport) in await FindWorkAsync(stoppingToken))
                    {
                        if (await TryBeginAsync(lease, isFirstImport, stoppingToken))
                            runs.Add(Task.Run(() => RunAsync(lease, stoppingToken), CancellationToken.None));
                    }
                }
                catch (Exception failure) when (failure is not OperationCanceledException)
                {
                    logger.LogError(failure, "Reading the queue of sync jobs failed; it is read again");
                    await Task.Delay(_poll * 5, time, stoppingToken);
                }
                await signal.WaitAsync(_poll, stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Stopping: the runs below hand their leases back.
        }
        await Task.WhenAll(runs);
    }

    private async Task<bool> TryBeginAsync(SyncLease lease, bool isFirstImport, CancellationToken ct)
    {
        if (!_slots.TryTake(lease.JobId, lease.Type, isFirstImport))
            return false;
        var isTaken = false;
        try
        {
            isTaken = await lease.TakeAsync(ct);
            return isTaken;
        }
        finally
        {
            if (!isTaken)
                _slots.Release(lease.JobId);
        }
    }

    // For each type the jobs at the head of its queue: a long queue of one type hides no other.
    private Task<List<(SyncLease Lease, bool IsFirstImport)>> FindWorkAsync(CancellationToken ct) =>
        system.RunAsync(
            async db =>
            {
                var free = _slots.Free().Where(slot => slot.Value > 0).ToList();
                await using var command = db.Command(
                    """
                    select due.tenant_id, due.id, due.type, due.attempts, due.priority
                    from unnest($1::text[], $2::int[]) as slot (type, free)
                    cross join lateral (
                        select j.tenant_id, j.id, j.type, j.attempts, j.priority, j.created_at from sync_jobs j
                        where j.type = slot.type and j.status in ('Queued', 'Running')
                            and ((j.status = 'Queued' and coalesce(j.not_before, now()) <= now())
                                or (j.status = 'Running' and j.lease_until < now()))
                            -- Days are proven when they are those of the store's time zone.
                            and (j.type <> 'Reconcile' or not exists (
                                select from sync_jobs r
                                where r.tenant_id = j.tenant_id and r.type = 'Recalculate'
                                    and r.status in ('Queued', 'Running')))
                        order by j.priority, j.created_at
                        limit slot.free) due
                    order by due.priority, due.created_at
                    """
                );
                command.Parameters.Add(
                    new Npgsql.NpgsqlParameter { Value = free.Select(slot => slot.Key.ToString()).ToArray() }
                );
                // Twice as many as fit: other processes take some of them.
                command.Parameters.Add(
                    new Npgsql.NpgsqlParameter { Value = free.Select(slot => 2 * slot.Value).ToArray() }
                );
                var work = new List<(SyncLease, bool)>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                {
                    var type = Enum.Parse<SyncJobType>(reader.GetString(2));
                    var lease = new SyncLease(
                        tenants,
                        reader.GetGuid(0),
                        reader.GetGuid(1),
                        type,
                        reader.GetInt32(3),
                        _lease
                    );
                    work.Add((lease, reader.GetInt16(4) == SyncJob.FirstImportPriority));
                }
                return work;
            },
            ct
        );

    private async Task RunAsync(SyncLease lease, CancellationToken stopping)
    {
        using var run = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var scope = logger.BeginScope(
            new Dictionary<string, object> { ["SyncJob"] = lease.JobId, ["Tenant"] = lease.TenantId }
        );
        var heartbeat = BeatAsync(lease, run);
        try
        {
            var tenant = await tenants.RunAsync(
                lease.TenantId,
                db => db.Tenants.AsNoTracking().SingleAsync(run.Token),
                run.Token
            );
            logger.LogInformation(
                "{Type} run of {Shop} begins, attempt {Attempt}",
                lease.Type,
                tenant.ShopDomain,
                lease.Attempts
            );
            if (lease.Attempts > MaxStarts)
                throw new ImportFailedException(
                    $"The run was interrupted {MaxStarts} times. Start it again; if it stops again, "
                        + "tell whoever runs this installation."
                );
            var asksShopify = lease.Type != SyncJobType.Recalculate;
            if (asksShopify)
                tenant = await FollowShopAsync(tenant, run.Token);
            await WorkAsync(lease, tenant, run.Token);
            // Shopify has answered: before the run is over for whoever watches it.
            if (asksShopify)
                await health.RecoveredAsync(tenant);
            await lease.SucceedAsync(db => ConcludeAsync(db, lease, tenant), CancellationToken.None);
            logger.LogInformation("{Type} run of {Shop} succeeded", lease.Type, tenant.ShopDomain);
        }
        catch (Exception failure)
        {
            await EndAsync(lease, failure, stopping);
        }
        finally
        {
            await run.CancelAsync();
            await heartbeat;
            _slots.Release(lease.JobId);
            signal.Wake();
        }
    }

    /// <summary>
    /// A domain may have been given to another shop: nothing of it may get into this store. And a change of its domain,
    /// time zone or currency may not have been heard.
    /// </summary>
    private async Task<Tenant> FollowShopAsync(Tenant tenant, CancellationToken ct)
    {
        var shop = await objects.ShopAsync(
            new(tenant.TenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone),
            ct
        );
        if (shop.ShopId != tenant.ShopId)
            throw new ImportFailedException(
                $"{tenant.ShopDomain} belongs to another shop now ({shop.ShopId} instead of {tenant.ShopId}). "
                    + "Nothing was read. Connect the store at its present address."
            );
        if (
            ShopDomainName.TryParse(shop.Domain, out var domain)
            && domain != tenant.ShopDomain
            && await system.RunAsync(
                db => ShopDomainRegistry.RenameAsync(db, tenant.TenantId, tenant.ShopId, domain, ct),
                ct
            )
        )
            logger.LogWarning("{Shop} is {Domain} now, and no event told", tenant.ShopDomain, domain);
        return await tenants.RunAsync(
            tenant.TenantId,
            async db =>
            {
                if (
                    await ShopSettings.KeepAsync(db, tenant.TenantId, shop.Name, shop.TimeZone, shop.Currency, ct) is
                    { } changed
                )
                    logger.LogWarning("{Shop} was changed, and no event told: {Change}", tenant.ShopDomain, changed);
                return await db.Tenants.AsNoTracking().SingleAsync(ct);
            },
            ct
        );
    }

    /// <summary>What the success of a run brings about, in the unit of work that ends it.</summary>
    private async Task ConcludeAsync(XenoDbContext db, SyncLease lease, Tenant tenant)
    {
        if (lease.Type == SyncJobType.Recalculate)
            await Recalculate.ConcludeAsync(db, tenant, CancellationToken.None);
        await OrderHistory.KeepAsync(db, lease, tenant, time.GetUtcNow(), CancellationToken.None);
        await EnqueueFirstCheckAsync(db, lease);
    }

    /// <summary>A store's first import is proven as a whole as soon as it has ended.</summary>
    private async Task EnqueueFirstCheckAsync(XenoDbContext db, SyncLease lease)
    {
        if (lease.Type != SyncJobType.Full || !options.Value.CheckFirstImport || await db.ReconciledDays.AnyAsync())
            return;
        await SyncJobs.EnqueueAsync(
            db,
            lease.TenantId,
            SyncJobType.Reconcile,
            Reconcile.AllDays(),
            CancellationToken.None
        );
    }

    private Task WorkAsync(SyncLease lease, Tenant tenant, CancellationToken ct) =>
        lease.Type switch
        {
            SyncJobType.Full => fullImport.RunAsync(lease, tenant, ct),
            SyncJobType.Delta => delta.RunAsync(lease, tenant, ct),
            SyncJobType.Rehydrate => rehydrate.RunAsync(lease, tenant, ct),
            SyncJobType.Recalculate => recalculate.RunAsync(lease, tenant, ct),
            _ => reconcile.RunAsync(lease, tenant, ct),
        };

    /// <summary>Every way a run can end badly is a state that someone sees, with what to do about it.</summary>
    private async Task EndAsync(SyncLease lease, Exception failure, CancellationToken stopping)
    {
        try
        {
            switch (failure)
            {
                case LeaseLostException:
                    logger.LogWarning(
                        "{Type} run {SyncJob} of {Tenant} was taken over by another worker",
                        lease.Type,
                        lease.JobId,
                        lease.TenantId
                    );
                    break;
                case OperationCanceledException when stopping.IsCancellationRequested:
                    await lease.ReturnAsync(TimeSpan.Zero, null, CancellationToken.None);
                    break;
                case OperationCanceledException:
                    break; // the heartbeat found the lease lost
                case ShopChangedException:
                    logger.LogInformation(
                        "{Type} run {SyncJob} of {Tenant} begins again with the shop's new settings",
                        lease.Type,
                        lease.JobId,
                        lease.TenantId
                    );
                    await lease.ReturnAsync(TimeSpan.Zero, null, CancellationToken.None);
                    break;
                case ShopifyException { IsTransient: true }
                or Npgsql.NpgsqlException { IsTransient: true }
                or HttpRequestException
                or TimeoutException when lease.Attempts < MaxAttempts:
                    var wait = _backoff.After(lease.Attempts);
                    logger.LogWarning(
                        "{Type} run {SyncJob} of {Tenant} is rescheduled in {Wait}: {Reason}",
                        lease.Type,
                        lease.JobId,
                        lease.TenantId,
                        wait,
                        failure.Message
                    );
                    await lease.ReturnAsync(
                        wait,
                        $"{MerchantMessage(failure)} Trying again by itself.",
                        CancellationToken.None
                    );
                    break;
                default:
                    LogFailure(lease, failure);
                    await health.NoteAsync(lease.TenantId, failure);
                    await lease.FailAsync(MerchantMessage(failure), CancellationToken.None);
                    break;
            }
        }
        catch (Exception unreachable) when (unreachable is Npgsql.NpgsqlException or InvalidOperationException)
        {
            // The database is away: the lease runs out by itself, and whoever finds the run then goes on.
            logger.LogError(
                unreachable,
                "The end of {Type} run {SyncJob} of {Tenant} could not be recorded",
                lease.Type,
                lease.JobId,
                lease.TenantId
            );
        }
    }

    private void LogFailure(SyncLease lease, Exception failure)
    {
        if (failure.IsExpected())
            logger.LogWarning(
                "{Type} run {SyncJob} of {Tenant} failed: {Reason}",
                lease.Type,
                lease.JobId,
                lease.TenantId,
                failure.Message
            );
        else
            logger.LogError(
                failure,
                "{Type} run {SyncJob} of {Tenant} failed",
                lease.Type,
                lease.JobId,
                lease.TenantId
            );
    }

    private static string MerchantMessage(Exception failure) =>
        failure switch
        {
            ShopifyException or ImportFailedException or ReconnectRequiredException => failure.Message,
            Npgsql.NpgsqlException or HttpRequestException or TimeoutException => "The connection broke off.",
            _ => "The run stopped by a fault of ours, which is recorded. Everything stored so far is correct; "
                + "start it again.",
        };

    private async Task BeatAsync(SyncLease lease, CancellationTokenSource run)
    {
        try
        {
            while (true)
            {
                await Task.Delay(_lease / 4, time, run.Token);
                if (!await lease.HeartbeatAsync(run.Token))
                    await run.CancelAsync();
            }
        }
        catch (OperationCanceledException) when (run.IsCancellationRequested)
        {
            // The run has ended.
        }
        catch (Exception failure)
        {
            logger.LogWarning(
                failure,
                "The lease of {Type} run {SyncJob} of {Tenant} could not be prolonged",
                lease.Type,
                lease.JobId,
                lease.TenantId
            );
            await run.CancelAsync();
        }
    }
}
