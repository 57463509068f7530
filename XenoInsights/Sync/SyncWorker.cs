using System.Collections.Concurrent;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Install;
using XenoInsights.Reconciliation;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>Works off the queue of runs. Any number of processes may: a run belongs to whoever holds its lease.</summary>
internal sealed class SyncWorker(SystemDatabase system, TenantDatabase tenants, AdminObjects objects, FullImport fullImport, DeltaSync delta, Rehydrate rehydrate, Reconcile reconcile, StoreHealth health, SyncSignal signal, IOptions<SyncOptions> options, TimeProvider time, ILogger<SyncWorker> logger) : BackgroundService
{
    /// <summary>Full imports fill memory and processors; the others mostly wait for Shopify.</summary>
    private const int ParallelFull = 2;
    private const int MaxAttempts = 12, MaxStarts = 100;
    private static readonly TimeSpan Poll = TimeSpan.FromSeconds(1);

    private readonly TimeSpan _lease = TimeSpan.FromSeconds(options.Value.LeaseSeconds);
    private readonly ConcurrentDictionary<Guid, SyncJobType> _running = new();

    private bool HasRoomFor(SyncJobType type) => _running.Count < options.Value.Parallel && (type != SyncJobType.Full || _running.Values.Count(t => t == SyncJobType.Full) < ParallelFull);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var runs = new List<Task>();
        try
        {
            while (!stoppingToken.IsCancellationRequested)
            {
                runs.RemoveAll(r => r.IsCompleted);
                try
                {
                    foreach (var lease in await FindWorkAsync(stoppingToken))
                    {
                        if (!HasRoomFor(lease.Type) || _running.ContainsKey(lease.JobId) || !await lease.TakeAsync(stoppingToken)) continue;
                        _running[lease.JobId] = lease.Type;
                        runs.Add(Task.Run(() => RunAsync(lease, stoppingToken), CancellationToken.None));
                    }
                }
                catch (Exception failure) when (failure is not OperationCanceledException)
                {
                    logger.LogError(failure, "The queue of runs cannot be read; trying again");
                    await Task.Delay(Poll * 5, time, stoppingToken);
                }
                await signal.WaitAsync(Poll, stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Stopping: the runs below hand their leases back.
        }
        await Task.WhenAll(runs);
    }

    private Task<List<SyncLease>> FindWorkAsync(CancellationToken ct) => system.RunAsync(async db =>
    {
        await using var command = db.Command(
            """
            select tenant_id, id, type, attempts from sync_jobs
            where ((status = 'Queued' and coalesce(not_before, now()) <= now()) or (status = 'Running' and lease_until < now())) and (type <> 'Full' or $1)
            order by created_at limit $2
            """);
        command.Parameters.Add(new Npgsql.NpgsqlParameter { Value = HasRoomFor(SyncJobType.Full) });
        command.Parameters.Add(new Npgsql.NpgsqlParameter { Value = 2 * options.Value.Parallel });
        var leases = new List<SyncLease>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            leases.Add(new SyncLease(tenants, reader.GetGuid(0), reader.GetGuid(1), Enum.Parse<SyncJobType>(reader.GetString(2)), reader.GetInt32(3), _lease));
        return leases;
    }, ct);

    private async Task RunAsync(SyncLease lease, CancellationToken stopping)
    {
        using var run = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var scope = logger.BeginScope(new Dictionary<string, object> { ["SyncJob"] = lease.JobId, ["Tenant"] = lease.TenantId });
        var heartbeat = BeatAsync(lease, run);
        try
        {
            var tenant = await tenants.RunAsync(lease.TenantId, db => db.Tenants.AsNoTracking().SingleAsync(run.Token), run.Token);
            logger.LogInformation("{Type} run of {Shop} begins, attempt {Attempt}", lease.Type, tenant.ShopDomain, lease.Attempts);
            if (lease.Attempts > MaxStarts) throw new ImportFailedException($"The run was interrupted {MaxStarts} times. Start it again; if it stops again, tell whoever runs this installation.");
            tenant = await FollowShopAsync(tenant, run.Token);
            await WorkAsync(lease, tenant, run.Token);
            // Shopify has answered: before the run is over for whoever watches it.
            await health.RecoveredAsync(tenant);
            await lease.SucceedAsync(async db =>
            {
                await OrderHistory.KeepAsync(db, lease, tenant, time.GetUtcNow(), CancellationToken.None);
                await EnqueueFirstCheckAsync(db, lease);
            }, CancellationToken.None);
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
            _running.TryRemove(lease.JobId, out _);
            signal.Wake();
        }
    }

    /// <summary>
    /// A domain may have been given to another shop: nothing of it may get into this store. And a change of its domain,
    /// time zone or currency may not have been heard.
    /// </summary>
    private async Task<Tenant> FollowShopAsync(Tenant tenant, CancellationToken ct)
    {
        var shop = await objects.ShopAsync(new(tenant.TenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone), ct);
        if (shop.ShopId != tenant.ShopId) throw new ImportFailedException($"{tenant.ShopDomain} belongs to another shop now ({shop.ShopId} instead of {tenant.ShopId}). Nothing was read. Connect the store at its present address.");
        if (ShopDomainName.TryParse(shop.Domain, out var domain) && domain != tenant.ShopDomain
            && await system.RunAsync(
                db => ShopDomainRegistry.RenameAsync(db, tenant.TenantId, tenant.ShopId, domain, ct), ct))
            logger.LogWarning("{Shop} is {Domain} now and no delivery told", tenant.ShopDomain, domain);
        return await tenants.RunAsync(tenant.TenantId, async db =>
        {
            if (await ShopSettings.KeepAsync(db, tenant.TenantId, shop.Name, shop.TimeZone, shop.Currency, ct) is { } changed)
                logger.LogWarning("{Shop} was changed and no delivery told: {Change}", tenant.ShopDomain, changed);
            return await db.Tenants.AsNoTracking().SingleAsync(ct);
        }, ct);
    }

    /// <summary>A store's first import is proven as a whole as soon as it has ended.</summary>
    private async Task EnqueueFirstCheckAsync(XenoDbContext db, SyncLease lease)
    {
        if (lease.Type != SyncJobType.Full || !options.Value.CheckFirstImport || await db.DayChecks.AnyAsync()) return;
        await SyncJobs.EnqueueAsync(db, lease.TenantId, SyncJobType.Reconcile, Reconcile.AllDays(), CancellationToken.None);
    }

    private Task WorkAsync(SyncLease lease, Tenant tenant, CancellationToken ct) => lease.Type switch
    {
        SyncJobType.Full => fullImport.RunAsync(lease, tenant, ct),
        SyncJobType.Delta => delta.RunAsync(lease, tenant, ct),
        SyncJobType.Rehydrate => rehydrate.RunAsync(lease, tenant, ct),
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
                    logger.LogWarning("The run was taken over by another worker");
                    break;
                case OperationCanceledException when stopping.IsCancellationRequested:
                    await lease.ReturnAsync(TimeSpan.Zero, null, CancellationToken.None);
                    break;
                case OperationCanceledException:
                    break; // the heartbeat found the lease lost
                case ShopChangedException:
                    logger.LogInformation("The run begins again with the shop's new settings");
                    await lease.ReturnAsync(TimeSpan.Zero, null, CancellationToken.None);
                    break;
                case ShopifyException { IsTransient: true } or Npgsql.NpgsqlException { IsTransient: true } or HttpRequestException or TimeoutException when lease.Attempts < MaxAttempts:
                    var wait = TimeSpan.FromSeconds(Math.Min(600, 5 * Math.Pow(2, lease.Attempts - 1)) * (0.75 + Random.Shared.NextDouble() / 2));
                    logger.LogWarning(failure, "The run is put off by {Wait}", wait);
                    await lease.ReturnAsync(wait, $"{MerchantMessage(failure)} Trying again by itself.", CancellationToken.None);
                    break;
                default:
                    logger.LogError(failure, "The run failed");
                    await health.NoteAsync(lease.TenantId, failure);
                    await lease.FailAsync(MerchantMessage(failure), CancellationToken.None);
                    break;
            }
        }
        catch (Exception unreachable) when (unreachable is Npgsql.NpgsqlException or InvalidOperationException)
        {
            // The database is away: the lease runs out by itself, and whoever finds the run then goes on.
            logger.LogError(unreachable, "The end of the run could not be recorded");
        }
    }

    private static string MerchantMessage(Exception failure) => failure switch
    {
        ShopifyException or ImportFailedException or ReconnectRequiredException => failure.Message,
        Npgsql.NpgsqlException or HttpRequestException or TimeoutException => "The connection broke off.",
        _ => "The run stopped by a fault of ours, which is recorded. Everything stored so far is correct; start it again.",
    };

    private async Task BeatAsync(SyncLease lease, CancellationTokenSource run)
    {
        try
        {
            while (true)
            {
                await Task.Delay(_lease / 4, time, run.Token);
                if (!await lease.HeartbeatAsync(run.Token)) await run.CancelAsync();
            }
        }
        catch (OperationCanceledException) when (run.IsCancellationRequested)
        {
            // The run has ended.
        }
        catch (Exception failure)
        {
            logger.LogWarning(failure, "The run's lease could not be prolonged");
            await run.CancelAsync();
        }
    }
}
