using XenoInsights.Data;

namespace XenoInsights.Sync;

/// <summary>The queue of runs.</summary>
public sealed class SyncJobs(TenantDatabase tenants)
{
    /// <summary>Enqueues a run unless an unfinished one of that type exists.</summary>
    public Task EnqueueAsync(Guid tenantId, SyncJobType type, CancellationToken ct = default) => tenants.RunAsync(tenantId, async db =>
    {
        await using var insert = db.Command(
            """
            insert into sync_jobs (tenant_id, id, type, slot, status, objects_expected, objects_read, stored, unchanged, rejected, attempts, created_at)
            values (@tenant, @id, @type, @slot, 'Queued', 0, 0, 0, 0, 0, 0, now()) on conflict do nothing
            """);
        var id = Guid.CreateVersion7();
        insert.Parameters.AddWithValue("tenant", tenantId);
        insert.Parameters.AddWithValue("id", id);
        insert.Parameters.AddWithValue("type", type.ToString());
        insert.Parameters.AddWithValue("slot", $"asked:{id}");
        await insert.ExecuteNonQueryAsync(ct);
    }, ct);
}
