using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// From which shop day on all orders of a store are known. Older ones that a webhook tells of are stored, but make no
/// day known.
/// </summary>
internal static class OrderHistory
{
    /// <summary>How far back Shopify shows orders without <c>read_all_orders</c>.</summary>
    private static readonly TimeSpan _shown = TimeSpan.FromDays(60);

    /// <summary>
    /// Keeps what a full import makes known, in the unit of work that ends it. Days that were known stay known, unless
    /// nothing was read for so long that Shopify has ceased to show orders which nobody told us of: then there is a
    /// gap, and history begins after it.
    /// </summary>
    /// <param name="tenant">As it was when the import began.</param>
    public static async Task KeepAsync(
        XenoDbContext db,
        SyncLease lease,
        Tenant tenant,
        DateTimeOffset now,
        CancellationToken ct
    )
    {
        if (lease.Type != SyncJobType.Full)
            return;
        var from = tenant.HistoryLimited ? await LimitedAsync(db, lease, tenant, now, ct) : DateOnly.MinValue;
        await db.Tenants.ExecuteUpdateAsync(set => set.SetProperty(t => t.HistoryFrom, from), ct);
    }

    private static async Task<DateOnly> LimitedAsync(
        XenoDbContext db,
        SyncLease lease,
        Tenant tenant,
        DateTimeOffset now,
        CancellationToken ct
    )
    {
        var shown = new StoreCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone)
            .DayOf(now)
            .AddDays(-StoreHistory.DaysWithoutAllOrders);
        if (tenant.HistoryFrom is not { } known || known > shown)
            return shown;
        var lastRead = await db
            .SyncJobs.Where(j =>
                j.Id != lease.JobId
                && j.Status == SyncJobStatus.Succeeded
                && (j.Type == SyncJobType.Full || j.Type == SyncJobType.Delta)
            )
            .MaxAsync(j => j.StartedAt, ct);
        return lastRead > lease.StartedAt - _shown ? known : shown;
    }
}
