using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Notifications;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Operations.Fleet;

/// <summary>
/// What operators ask across stores, as the role that may not read what events say (<see cref="RowLevelSecurity"/>).
/// Each question is one page, and begins after the last row of the page before.
/// </summary>
public sealed class FleetQueries(Operators operators)
{
    /// <summary>In the order of their ids, which is that in which they were first connected.</summary>
    /// <exception cref="AccessDeniedException">The caller is no operator.</exception>
    public Task<List<StoreState>> StoresAsync(
        Caller? caller,
        TenantStatus? status,
        Guid? after,
        int limit,
        CancellationToken ct
    ) =>
        operators.RunAsync(
            caller,
            async db =>
            {
                var stores = await StoresAsync(db, status, after, limit, ct);
                var jobs = await LastJobsAsync(db, stores.ConvertAll(s => s.TenantId), ct);
                return stores.ConvertAll(store => store with { LastJobs = [.. jobs[store.TenantId]] });
            },
            ct
        );

    /// <summary>The newest first.</summary>
    /// <inheritdoc cref="StoresAsync(Caller?, TenantStatus?, Guid?, int, CancellationToken)"/>
    public Task<List<JobState>> JobsAsync(
        Caller? caller,
        SyncJobType? type,
        SyncJobStatus? status,
        Place? before,
        int limit,
        CancellationToken ct
    ) =>
        operators.RunAsync(
            caller,
            db =>
            {
                var jobs = db.SyncJobs.IgnoreQueryFilters([XenoDbContext.TenantFilter]);
                if (type is { } ofType)
                    jobs = jobs.Where(j => j.Type == ofType);
                if (status is { } inStatus)
                    jobs = jobs.Where(j => j.Status == inStatus);
                if (before is { At: var at, Id: var id })
                    jobs = jobs.Where(j =>
                        EF.Functions.LessThan(ValueTuple.Create(j.CreatedAt, j.Id), ValueTuple.Create(at, id))
                    );
                return View(db, jobs.OrderByDescending(j => j.CreatedAt).ThenByDescending(j => j.Id).Take(limit))
                    .ToListAsync(ct);
            },
            ct
        );

    /// <summary>The newest first.</summary>
    /// <param name="isOpen">Null: both.</param>
    /// <inheritdoc cref="StoresAsync(Caller?, TenantStatus?, Guid?, int, CancellationToken)"/>
    public Task<List<IncidentState>> IncidentsAsync(
        Caller? caller,
        IncidentKind? kind,
        bool? isOpen,
        Place? before,
        int limit,
        CancellationToken ct
    ) =>
        operators.RunAsync(
            caller,
            db =>
            {
                var incidents = db.Incidents.IgnoreQueryFilters([XenoDbContext.TenantFilter]);
                if (kind is { } ofKind)
                    incidents = incidents.Where(i => i.Kind == ofKind);
                if (isOpen is { } open)
                    incidents = incidents.Where(i => (i.ResolvedAt == null) == open);
                if (before is { At: var at, Id: var id })
                {
                    incidents = incidents.Where(i =>
                        EF.Functions.LessThan(ValueTuple.Create(i.OpenedAt, i.Id), ValueTuple.Create(at, id))
                    );
                }
                var tenants = db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter]);
                return (
                    from incident in incidents
                        .OrderByDescending(i => i.OpenedAt)
                        .ThenByDescending(i => i.Id)
                        .Take(limit)
                    join tenant in tenants on incident.TenantId equals tenant.TenantId
                    orderby incident.OpenedAt descending, incident.Id descending
                    select new IncidentState(
                        incident.Id,
                        incident.TenantId,
                        tenant.ShopDomain,
                        incident.Kind,
                        incident.OpenedAt,
                        incident.ResolvedAt,
                        incident.Detail
                    )
                ).ToListAsync(ct);
            },
            ct
        );

    /// <summary>What many stores had at once, the newest first.</summary>
    /// <inheritdoc cref="StoresAsync(Caller?, TenantStatus?, Guid?, int, CancellationToken)"/>
    public Task<List<FleetIncidentState>> FleetIncidentsAsync(Caller? caller, int limit, CancellationToken ct) =>
        operators.RunAsync(
            caller,
            db =>
                db.FleetIncidents.OrderByDescending(f => f.OpenedAt)
                    .Take(limit)
                    .Select(f => new FleetIncidentState(f.Id, f.Kind, f.OpenedAt, f.ResolvedAt, f.Stores))
                    .ToListAsync(ct),
            ct
        );

    private static async Task<List<StoreState>> StoresAsync(
        XenoDbContext db,
        TenantStatus? status,
        Guid? after,
        int limit,
        CancellationToken ct
    )
    {
        // Waiting and failed events are counted apart: each has an index of its own.
        await using var command = db.Command(
            """
            select t.tenant_id, t.shop_domain, t.status, t.connected_at, v.changed_at, waiting.count,
                   extract(epoch from now() - waiting.oldest)::float8,
                   (select count(*) from events e where e.tenant_id = t.tenant_id and e.status = 4)
            from tenants t
            left join data_versions v on v.tenant_id = t.tenant_id
            cross join lateral (
                select count(*), min(received_at) oldest from events e
                    where e.tenant_id = t.tenant_id and e.status = 1) waiting
            where ($1::text is null or t.status = $1) and ($2::uuid is null or t.tenant_id > $2)
            order by t.tenant_id limit $3
            """
        );
        command.Parameters.Add(Sql.Text(status?.ToString()));
        command.Parameters.Add(
            new NpgsqlParameter { Value = (object?)after ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid }
        );
        command.Parameters.Add(new NpgsqlParameter { Value = limit });
        var stores = new List<StoreState>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            stores.Add(Store(reader));
        return stores;
    }

    private static StoreState Store(NpgsqlDataReader reader) =>
        new(
            reader.GetGuid(0),
            reader.GetString(1),
            Enum.Parse<TenantStatus>(reader.GetString(2)),
            reader.GetFieldValue<DateTimeOffset>(3),
            reader.IsDBNull(4) ? null : reader.GetFieldValue<DateTimeOffset>(4),
            reader.GetInt64(5),
            reader.IsDBNull(6) ? null : reader.GetDouble(6),
            reader.GetInt64(7),
            []
        );

    private static async Task<ILookup<Guid, JobState>> LastJobsAsync(
        XenoDbContext db,
        List<Guid> stores,
        CancellationToken ct
    )
    {
        var newest = db
            .SyncJobs.FromSql(
                $"""
                select distinct on (tenant_id, type) * from sync_jobs where tenant_id = any({stores})
                order by tenant_id, type, created_at desc, id desc
                """
            )
            .IgnoreQueryFilters([XenoDbContext.TenantFilter]);
        return (await View(db, newest).ToListAsync(ct)).OrderBy(j => j.Type).ToLookup(j => j.TenantId);
    }

    /// <summary>The newest first.</summary>
    private static IQueryable<JobState> View(XenoDbContext db, IQueryable<SyncJob> jobs) =>
        from job in jobs
        join tenant in db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
            on job.TenantId equals tenant.TenantId
        orderby job.CreatedAt descending, job.Id descending
        select new JobState(
            job.Id,
            job.TenantId,
            tenant.ShopDomain,
            job.Type,
            job.Status,
            job.Attempts,
            job.CreatedAt,
            job.StartedAt,
            job.FinishedAt,
            job.Error
        );
}
