using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Queues;

namespace XenoInsights.Sync;

/// <summary>A run as people and the API see it; see <see cref="SyncJob"/>.</summary>
public sealed record SyncJobView(
    Guid Id,
    SyncJobType Type,
    SyncJobStatus Status,
    string? Phase,
    long ObjectsExpected,
    long ObjectsRead,
    long Stored,
    long Unchanged,
    long Rejected,
    long Gone,
    DateTimeOffset CreatedAt,
    DateTimeOffset? StartedAt,
    DateTimeOffset? FinishedAt,
    string? Error
);

/// <summary>The queue of runs. Asking twice enqueues once: a store has at most one unfinished run of a type.</summary>
public sealed class SyncJobs(
    TenantDatabase tenants,
    XenoDatabase database,
    [FromKeyedServices(SyncJobs.Queue)] WorkSignal signal
)
{
    /// <summary>Names the queue, and the signal that wakes its worker.</summary>
    public const string Queue = "sync_jobs";

    /// <summary>
    /// As <see cref="EnqueueAsync(Guid, SyncJobType, ImportCursor?, CancellationToken)"/>, for an admin of the entered
    /// store.
    /// </summary>
    /// <exception cref="AccessDeniedException">The person is no admin of it.</exception>
    public Task<(SyncJobView Job, bool Created)> StartAsync(
        SyncJobType type,
        ImportCursor? days,
        CancellationToken ct
    ) => EnqueueAsync(work => database.InTenantAsync(MemberRole.Admin, work, ct), type, days, ct);

    /// <summary>Enqueues a run, or returns the unfinished one of that type with <c>Created</c> false.</summary>
    public Task<(SyncJobView Job, bool Created)> EnqueueAsync(
        Guid tenantId,
        SyncJobType type,
        ImportCursor? days = null,
        CancellationToken ct = default
    ) => EnqueueAsync(work => tenants.RunAsync(tenantId, work, ct), type, days, ct);

    private async Task<(SyncJobView Job, bool Created)> EnqueueAsync(
        Func<Func<XenoDbContext, Task<(SyncJobView? Job, bool Created)>>, Task<(SyncJobView? Job, bool Created)>> run,
        SyncJobType type,
        ImportCursor? days,
        CancellationToken ct
    )
    {
        var result = await run(async db =>
        {
            var id = await EnqueueAsync(db, db.TenantId!.Value, type, days, ct);
            var created = id is not null;
            var job = await View(
                    db.SyncJobs.Where(j =>
                        created
                            ? j.Id == id
                            : j.Type == type && (j.Status == SyncJobStatus.Queued || j.Status == SyncJobStatus.Running)
                    )
                )
                .FirstOrDefaultAsync(ct);
            return (job, created);
        });
        // The unfinished run may have ended between the insert and the look: then there is room for ours.
        if (result.Job is not { } job)
            return await EnqueueAsync(run, type, days, ct);
        if (result.Created)
            signal.Wake();
        return (job, result.Created);
    }

    /// <summary>Enqueues within the caller's unit of work; null when an unfinished run of that type is there.</summary>
    /// <param name="days">What a check begins with; null for other runs.</param>
    /// <param name="priority">See <see cref="SyncJob.Priority"/>; a first import has its own.</param>
    internal static async Task<Guid?> EnqueueAsync(
        XenoDbContext db,
        Guid tenantId,
        SyncJobType type,
        ImportCursor? days,
        CancellationToken ct,
        short priority = SyncJob.AskedPriority
    )
    {
        var id = Guid.CreateVersion7();
        await using var insert = db.Command(
            """
            insert into sync_jobs
                (tenant_id, id, type, slot, status, objects_expected, objects_read, stored, unchanged, rejected, gone,
                    attempts, created_at, cursor, priority)
            values ($1, $2, $3, $4, 'Queued', 0, 0, 0, 0, 0, 0, 0, now(), $5, case
                when $3 = 'Full' and not exists (
                    select from sync_jobs where tenant_id = $1 and type = 'Full' and status = 'Succeeded') then $6
                else $7 end)
            on conflict do nothing
            """
        );
        insert.Parameters.Add(new NpgsqlParameter { Value = tenantId });
        insert.Parameters.Add(new NpgsqlParameter { Value = id });
        insert.Parameters.Add(new NpgsqlParameter { Value = type.ToString() });
        insert.Parameters.Add(new NpgsqlParameter { Value = $"asked:{id}" });
        insert.Parameters.Add(
            new NpgsqlParameter
            {
                Value = days is null ? DBNull.Value : JsonSerializer.Serialize(days),
                NpgsqlDbType = NpgsqlDbType.Jsonb,
            }
        );
        insert.Parameters.Add(new NpgsqlParameter { Value = SyncJob.FirstImportPriority });
        insert.Parameters.Add(new NpgsqlParameter { Value = priority });
        return await insert.ExecuteNonQueryAsync(ct) == 1 ? id : null;
    }

    /// <summary>
    /// Ends a run of the entered tenant that waits or runs; false when it has ended, or is a recalculation, without
    /// which days of two time zones would stay. Whoever works on it finds its lease gone; what it stored stays, and is
    /// correct.
    /// </summary>
    public Task<bool> CancelAsync(Guid id, CancellationToken ct = default) =>
        database.InTenantAsync(
            MemberRole.Admin,
            async db =>
            {
                await using var command = db.Command(
                    """
                    update sync_jobs set status = 'Cancelled', phase = null, error = null, finished_at = now(),
                        lease_owner = null, lease_until = null
                    where tenant_id = $1 and id = $2 and status in ('Queued', 'Running') and type <> 'Recalculate'
                    """
                );
                command.Parameters.Add(Sql.Uuid(db.TenantId!.Value));
                command.Parameters.Add(Sql.Uuid(id));
                return await command.ExecuteNonQueryAsync(ct) == 1;
            },
            ct
        );

    /// <summary>Some of the objects that a run of the entered tenant could not read, each with its reason.</summary>
    public Task<List<string>> RejectionsAsync(Guid id, CancellationToken ct = default) =>
        database.InTenantAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    select value #>> '{}' from sync_jobs, jsonb_path_query(cursor, '$.Parts[*].Rejections[*]') as value
                    where tenant_id = $1 and id = $2
                    """
                );
                command.Parameters.Add(Sql.Uuid(db.TenantId!.Value));
                command.Parameters.Add(Sql.Uuid(id));
                var reasons = new List<string>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    reasons.Add(reader.GetString(0));
                return reasons;
            },
            ct
        );

    /// <summary>
    /// Orders that runs of the entered tenant found in a former currency of the shop, and which no figure includes: how
    /// many, and the first of them by name. Only runs that found any.
    /// </summary>
    public Task<Dictionary<Guid, (long Count, string Names)>> NotIncludedAsync(CancellationToken ct = default) =>
        database.InTenantAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    select id, (part ->> 'NotIncluded')::bigint, (
                        select string_agg(name, ', ') from jsonb_array_elements_text(part -> 'NotIncludedNames') name)
                    from sync_jobs, jsonb_path_query(cursor, '$.Parts[*] ? (@.NotIncluded > 0)') part
                    where tenant_id = $1
                    """
                );
                command.Parameters.Add(Sql.Uuid(db.TenantId!.Value));
                var found = new Dictionary<Guid, (long, string)>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    found[reader.GetGuid(0)] = (reader.GetInt64(1), reader.GetString(2));
                return found;
            },
            ct
        );

    /// <summary>The entered tenant's runs, newest first.</summary>
    public Task<IReadOnlyList<SyncJobView>> ListAsync(int limit, CancellationToken ct = default) =>
        database.InTenantAsync(
            async db =>
                (IReadOnlyList<SyncJobView>)
                    await View(db.SyncJobs.OrderByDescending(j => j.CreatedAt).ThenByDescending(j => j.Id).Take(limit))
                        .ToListAsync(ct),
            ct
        );

    public Task<SyncJobView?> FindAsync(Guid id, CancellationToken ct = default) =>
        database.InTenantAsync(db => View(db.SyncJobs.Where(j => j.Id == id)).SingleOrDefaultAsync(ct), ct);

    /// <summary>The entered tenant's run that is queued or running, the oldest first; null when it is idle.</summary>
    public Task<SyncJobView?> RunningAsync(CancellationToken ct = default) =>
        database.InTenantAsync(
            db =>
                View(
                        db.SyncJobs.Where(j => j.Status == SyncJobStatus.Queued || j.Status == SyncJobStatus.Running)
                            .OrderBy(j => j.CreatedAt)
                    )
                    .FirstOrDefaultAsync(ct),
            ct
        );

    private static IQueryable<SyncJobView> View(IQueryable<SyncJob> jobs) =>
        jobs.Select(j => new SyncJobView(
            j.Id,
            j.Type,
            j.Status,
            j.Phase,
            j.ObjectsExpected,
            j.ObjectsRead,
            j.Stored,
            j.Unchanged,
            j.Rejected,
            j.Gone,
            j.CreatedAt,
            j.StartedAt,
            j.FinishedAt,
            j.Error
        ));
}
