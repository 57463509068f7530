using Npgsql;

namespace XenoInsights.Data;

/// <summary>
/// A tenant's advisory lock, until the end of the unit of work. Whoever stores objects takes it shared; who changes
/// what they rely on, or erases, takes it exclusively: waits for them, and holds them off.
/// </summary>
internal static class TenantLock
{
    /// <summary>The statement that takes it shared; <c>$1</c> is the tenant.</summary>
    public const string Shared = "select pg_advisory_xact_lock_shared(hashtextextended($1::text, 0))";

    private const string Exclusive = "select pg_advisory_xact_lock(hashtextextended($1::text, 0))";

    public static Task TakeExclusiveAsync(XenoDbContext db, Guid tenantId, CancellationToken ct) =>
        db.ExecuteAsync([new NpgsqlBatchCommand(Exclusive) { Parameters = { Sql.Uuid(tenantId) } }], ct);
}
