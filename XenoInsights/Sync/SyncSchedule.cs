using System.Globalization;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;
using Quartz;
using XenoInsights.Data;
using XenoInsights.Queues;
using XenoInsights.Sync.Reconciliation;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// Enqueues each store's nightly run of changes, the check of closed days that follows it, and the weekly comparison,
/// at a minute of the store's own night that its id decides, so that thousands of stores spread over it. The slot of a
/// run is its shop day or week: whoever fires this, how often, late or on how many instances, a slot is filled once. By
/// the database's clock.
/// </summary>
internal sealed class SyncSchedule(
    SystemDatabase system,
    [FromKeyedServices(SyncJobs.Queue)] WorkSignal signal,
    IOptions<SyncOptions> options,
    ILogger<SyncSchedule> logger
) : IJob
{
    /// <summary>A store that was imported or compared this lately has nothing to gain.</summary>
    private static readonly TimeSpan _freshImport = TimeSpan.FromHours(12),
        _freshComparison = TimeSpan.FromDays(3);

    private sealed record Store(
        Guid TenantId,
        string TimeZone,
        DateTimeOffset? Imported,
        DateTimeOffset? Compared,
        DateTimeOffset? Followed,
        SyncJobStatus? Recalculated
    );

    private readonly record struct Slot(Guid TenantId, SyncJobType Type, string Name, string? Cursor = null);

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) =>
        await EnqueueAsync(cancellationToken);

    /// <summary>How many runs it enqueued.</summary>
    public Task<int> EnqueueAsync(CancellationToken ct) =>
        system.RunAsync(
            async db =>
            {
                var now = await NowAsync(db, ct);
                var stores = await db
                    .Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    .Where(t => t.Status != TenantStatus.Disconnected && t.Status != TenantStatus.ReconnectRequired)
                    .Select(t => new Store(
                        t.TenantId,
                        t.TimeZone,
                        db.SyncJobs.Where(j =>
                                j.TenantId == t.TenantId
                                && j.Type == SyncJobType.Full
                                && j.Status == SyncJobStatus.Succeeded
                            )
                            .Max(j => j.StartedAt),
                        db.SyncJobs.Where(j =>
                                j.TenantId == t.TenantId
                                && j.Type == SyncJobType.Rehydrate
                                && j.Status == SyncJobStatus.Succeeded
                            )
                            .Max(j => j.StartedAt),
                        db.SyncJobs.Where(j =>
                                j.TenantId == t.TenantId
                                && j.Type == SyncJobType.Delta
                                && j.Status == SyncJobStatus.Succeeded
                            )
                            .Max(j => j.FinishedAt),
                        db.SyncJobs.Where(j => j.TenantId == t.TenantId && j.Type == SyncJobType.Recalculate)
                            .OrderByDescending(j => j.CreatedAt)
                            .Select(j => (SyncJobStatus?)j.Status)
                            .FirstOrDefault()
                    ))
                    .ToListAsync(ct);
                var enqueued = await InsertAsync(
                    db,
                    [.. stores.Where(HasKnownZone).SelectMany(store => Due(store, now))],
                    ct
                );
                if (enqueued == 0)
                    return 0;
                logger.LogInformation("{Count} scheduled runs are queued", enqueued);
                signal.Wake();
                return enqueued;
            },
            ct
        );

    /// <summary>One whose zone this machine's time zone data lack has no night here; the others have.</summary>
    private bool HasKnownZone(Store store)
    {
        if (TimeZoneInfo.TryFindSystemTimeZoneById(store.TimeZone, out _))
            return true;
        logger.LogError(
            "Nothing is scheduled for {Tenant}: this machine does not know its time zone {TimeZone}; update its tzdata",
            store.TenantId,
            store.TimeZone
        );
        return false;
    }

    private IEnumerable<Slot> Due(Store store, DateTimeOffset now)
    {
        if (store.Imported is not { } imported)
            yield break;
        var local = TimeZoneInfo.ConvertTime(now, TimeZoneInfo.FindSystemTimeZoneById(store.TimeZone)).DateTime;
        if (local.TimeOfDay < TimeSpan.FromMinutes(MinuteOf(store.TenantId, options.Value)))
            yield break;

        if (store.Recalculated == SyncJobStatus.Failed)
            yield return new(
                store.TenantId,
                SyncJobType.Recalculate,
                local.ToString("'nightly' yyyy-MM-dd", CultureInfo.InvariantCulture)
            );
        if (now - imported > _freshImport)
            yield return new(
                store.TenantId,
                SyncJobType.Delta,
                local.ToString("'nightly' yyyy-MM-dd", CultureInfo.InvariantCulture)
            );
        // After the night's changes are in: what they bring is no difference.
        if (
            now - imported > _freshImport
            && TimeZoneInfo
                .ConvertTime(store.Followed ?? default, TimeZoneInfo.FindSystemTimeZoneById(store.TimeZone))
                .Date == local.Date
        )
            yield return new(
                store.TenantId,
                SyncJobType.Reconcile,
                local.ToString("'daily' yyyy-MM-dd", CultureInfo.InvariantCulture),
                JsonSerializer.Serialize(Reconcile.Days(store.TimeZone, now, null, null))
            );
        var complete = store.Compared > imported ? store.Compared.Value : imported;
        var day = Place(store.TenantId) / 7919 % 7;
        if (((int)local.DayOfWeek + 6) % 7 >= day && now - complete > _freshComparison)
            yield return new(
                store.TenantId,
                SyncJobType.Rehydrate,
                $"weekly {ISOWeek.GetYear(local)}-{ISOWeek.GetWeekOfYear(local):00}"
            );
    }

    /// <summary>When the store's next nightly run is due.</summary>
    public static DateTimeOffset Next(Guid tenantId, string timeZone, DateTimeOffset now, SyncOptions options)
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById(timeZone);
        var local = TimeZoneInfo.ConvertTime(now, zone).DateTime;
        var due = local.Date.AddMinutes(MinuteOf(tenantId, options));
        if (due <= local)
            due = due.AddDays(1);
        return new DateTimeOffset(due, zone.GetUtcOffset(due));
    }

    private static uint Place(Guid tenantId) => BitConverter.ToUInt32(tenantId.ToByteArray(), 12);

    private static long MinuteOf(Guid tenantId, SyncOptions options) =>
        options.NightFromHour * 60 + Place(tenantId) % (options.NightHours * 60);

    private static async Task<DateTimeOffset> NowAsync(XenoDbContext db, CancellationToken ct)
    {
        await using var command = db.Command("select now()");
        return new DateTimeOffset((DateTime)(await command.ExecuteScalarAsync(ct))!);
    }

    private static async Task<int> InsertAsync(XenoDbContext db, List<Slot> slots, CancellationToken ct)
    {
        if (slots.Count == 0)
            return 0;
        // Also silent where such a run of the store is unfinished: the next firing finds room.
        await using var command = db.Command(
            """
            insert into sync_jobs (tenant_id, id, type, slot, status, objects_expected, objects_read, stored, unchanged,
                rejected, gone, attempts, created_at, cursor)
            select tenant_id, id, type, slot, 'Queued', 0, 0, 0, 0, 0, 0, 0, now(), cursor::jsonb
            from unnest($1, $2, $3, $4, $5) as due(tenant_id, id, type, slot, cursor) on conflict do nothing
            """
        );
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = slots.ConvertAll(s => s.TenantId),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid,
            }
        );
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = slots.ConvertAll(_ => Guid.CreateVersion7()),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid,
            }
        );
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = slots.ConvertAll(s => s.Type.ToString()),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text,
            }
        );
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = slots.ConvertAll(s => s.Name),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text,
            }
        );
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = slots.ConvertAll(s => s.Cursor),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text,
            }
        );
        return await command.ExecuteNonQueryAsync(ct);
    }
}

/// <summary>
/// Runs that nobody asks about any more; the newest successful one of each kind stays, for schedules and watermarks
/// rely on it.
/// </summary>
internal sealed class PurgeSyncJobs(SystemDatabase system, TenantDatabase tenants, ILogger<PurgeSyncJobs> logger) : IJob
{
    private static readonly TimeSpan _kept = TimeSpan.FromDays(90);

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var stores = await system.TenantsWithRowsBeforeAsync(
            "sync_jobs",
            "created_at",
            _kept,
            "true",
            cancellationToken
        );
        await stores.ForEachTenantAsync(DeleteAsync, logger, "Deleting old sync jobs", cancellationToken);
    }

    private Task DeleteAsync(Guid tenantId, CancellationToken ct) =>
        tenants.RunAsync(
            tenantId,
            async db =>
            {
                await using var command = db.Command(
                    """
                    delete from sync_jobs old
                    where tenant_id = $1 and created_at < now() - $2 and finished_at < now() - $2
                        and (status <> 'Succeeded' or exists (
                            select from sync_jobs newer
                            where newer.tenant_id = $1 and newer.type = old.type and newer.status = 'Succeeded'
                                and newer.started_at > old.started_at))
                    """
                );
                command.Parameters.Add(Sql.Uuid(tenantId));
                command.Parameters.Add(new NpgsqlParameter { Value = _kept });
                await command.ExecuteNonQueryAsync(ct);
            },
            ct
        );
}
