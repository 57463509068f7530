using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// Where a recalculation goes on: after this order, or when all orders are done, after this checkout.
/// </summary>
internal sealed record RecalculateCursor(bool OrdersDone, long After)
{
    public static RecalculateCursor Start { get; } = new(OrdersDone: false, After: 0);
}

/// <summary>
/// Brings a store's orders and checkouts to its present time zone and currency, in short units of work: webhooks,
/// imports and people go on meanwhile. It ends when everything was looked at, and begins anew if the settings change
/// meanwhile. Needs no answer from Shopify.
/// </summary>
internal sealed class Recalculate(TenantDatabase tenants)
{
    private const int OrdersAtOnce = 500,
        CheckoutsAtOnce = 2_000;

    /// <summary>
    /// Inside the unit of work that changed the settings: queues a run, or sends an unfinished one back to its
    /// beginning.
    /// </summary>
    public static async Task RequestAsync(XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        if (await SyncJobs.EnqueueAsync(db, tenantId, SyncJobType.Recalculate, null, ct) is not null)
            return;
        await using var command = db.Command(
            """
            update sync_jobs set cursor = null, attempts = 0
            where tenant_id = $1 and type = 'Recalculate' and status in ('Queued', 'Running')
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <exception cref="ShopChangedException">The settings changed: the run begins anew.</exception>
    public async Task RunAsync(SyncLease lease, Tenant tenant, CancellationToken ct)
    {
        var shop = CalendarOf(tenant);
        var phase = $"Recalculating for {tenant.TimeZone} and {tenant.Currency}";
        var cursor = lease.Cursor is null
            ? await BeginAsync(lease, phase, ct)
            : JsonSerializer.Deserialize<RecalculateCursor>(lease.Cursor)!;
        while (!cursor.OrdersDone)
            cursor = await OrdersAsync(lease, shop, phase, cursor, ct);
        var isDone = false;
        while (!isDone)
            (cursor, isDone) = await CheckoutsAsync(lease, shop, phase, cursor, ct);
    }

    /// <summary>In the unit of work that ends the run: nothing has changed since its last step.</summary>
    /// <exception cref="ShopChangedException">The settings changed: the run begins anew.</exception>
    public static async Task ConcludeAsync(XenoDbContext db, Tenant tenant, CancellationToken ct)
    {
        await RollupWriter.LockSharedAsync(db, CalendarOf(tenant), ct);
        await ThrowIfSentBackAsync(db, ct);
        // Pages show that it has ended.
        await IngestionWriter.BumpDataVersionAsync(db, tenant.TenantId, ct);
    }

    private async Task<RecalculateCursor> BeginAsync(SyncLease lease, string phase, CancellationToken ct)
    {
        var expected = await tenants.RunAsync(
            lease.TenantId,
            async db =>
                await db.Orders.IgnoreQueryFilters([XenoDbContext.DeletedFilter]).LongCountAsync(ct)
                + await db.Checkouts.IgnoreQueryFilters([XenoDbContext.DeletedFilter]).LongCountAsync(ct),
            ct
        );
        await lease.SaveAsync(new(phase, expected, 0, 0, 0, 0), RecalculateCursor.Start, ct);
        return RecalculateCursor.Start;
    }

    /// <summary>One unit of work.</summary>
    /// <exception cref="ShopChangedException">The settings changed: the run begins anew.</exception>
    internal Task<RecalculateCursor> OrdersAsync(
        SyncLease lease,
        StoreCalendar shop,
        string phase,
        RecalculateCursor cursor,
        CancellationToken ct
    ) =>
        tenants.RunAsync(
            lease.TenantId,
            async db =>
            {
                var step = await Recalculation.OrdersAsync(db, shop, cursor.After, OrdersAtOnce, ct);
                await ThrowIfSentBackAsync(db, ct);
                var next = step.Last is { } last ? cursor with { After = last } : new(OrdersDone: true, After: 0);
                await CountAsync(db, lease, phase, step, next, ct);
                return next;
            },
            ct
        );

    private Task<(RecalculateCursor Next, bool IsDone)> CheckoutsAsync(
        SyncLease lease,
        StoreCalendar shop,
        string phase,
        RecalculateCursor cursor,
        CancellationToken ct
    ) =>
        tenants.RunAsync(
            lease.TenantId,
            async db =>
            {
                var step = await Recalculation.CheckoutsAsync(db, shop, cursor.After, CheckoutsAtOnce, ct);
                await ThrowIfSentBackAsync(db, ct);
                var next = step.Last is { } last ? cursor with { After = last } : cursor;
                await CountAsync(db, lease, phase, step, next, ct);
                return (next, step.Last is null);
            },
            ct
        );

    /// <summary>
    /// Settings that changed and changed back look as they did, but what was applied in between is on other days. Under
    /// the store's lock, which whoever changes them takes exclusively.
    /// </summary>
    private static async Task ThrowIfSentBackAsync(XenoDbContext db, CancellationToken ct)
    {
        var goesOn = await db.SyncJobs.AnyAsync(
            j => j.Type == SyncJobType.Recalculate && j.Status == SyncJobStatus.Running && j.Cursor != null,
            ct
        );
        if (!goesOn)
            throw new ShopChangedException();
    }

    private static Task CountAsync(
        XenoDbContext db,
        SyncLease lease,
        string phase,
        RecalculationStep step,
        RecalculateCursor next,
        CancellationToken ct
    ) => lease.CountAsync(db, new(phase, 0, step.Looked, step.Moved, step.Looked - step.Moved, 0), next, ct);

    private static StoreCalendar CalendarOf(Tenant tenant) => new(tenant.TenantId, tenant.Currency, tenant.TimeZone);
}
