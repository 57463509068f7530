using System.Globalization;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// What changed since the last run, whether or not a webhook told it: ids and versions by <c>updated_at</c>, and only
/// what differs is read whole. A page's rows, counters and the place of the next page commit together; the watermark
/// moves when a kind is through.
/// </summary>
/// <remarks>
/// Searches know whole seconds and may lag behind, clocks differ, and an object that is changed during the run may slip
/// past a list that is sorted by id (checkouts have no other order): each run begins <see cref="_overlap"/> before what
/// the last one has seen. Nothing is read whole twice because of that.
/// </remarks>
public sealed class DeltaSync(AdminObjects objects, ObjectRefetch refresh, TenantDatabase tenants)
{
    private const int PageSize = 50;
    private static readonly TimeSpan _overlap = TimeSpan.FromMinutes(10);

    public async Task RunAsync(SyncLease lease, Tenant tenant, CancellationToken ct)
    {
        var shop = new ShopReference(tenant.TenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone);
        var calendar = new StoreCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone);
        var cursor = lease.Cursor is null
            ? await BeginAsync(lease, ct)
            : JsonSerializer.Deserialize<ImportCursor>(lease.Cursor)!;
        foreach (var part in cursor.Parts)
            while (!part.Done)
                await ReadPageAsync(lease, shop, calendar, cursor, part, ct);
    }

    /// <summary>
    /// Changes are known up to where the last run of changes, or the last full import began, whichever is later.
    /// </summary>
    private async Task<ImportCursor> BeginAsync(SyncLease lease, CancellationToken ct)
    {
        var cursor = ImportCursor.Start();
        var (full, watermarks) = await tenants.RunAsync(
            lease.TenantId,
            async db =>
                (
                    await db
                        .SyncJobs.Where(j => j.Type == SyncJobType.Full && j.Status == SyncJobStatus.Succeeded)
                        .MaxAsync(j => j.StartedAt, ct),
                    await db.SyncWatermarks.ToDictionaryAsync(w => w.Kind, w => w.UpdatedTo, ct)
                ),
            ct
        );
        if (full is not { } everything)
            throw new ImportFailedException(
                "Everything has to be imported once before changes can be followed. Start a full import."
            );
        foreach (var part in cursor.Parts)
        {
            var known =
                watermarks.TryGetValue(part.Kind, out var watermark) && watermark > everything ? watermark : everything;
            part.Since = known - _overlap;
        }
        return cursor;
    }

    private async Task ReadPageAsync(
        SyncLease lease,
        ShopReference shop,
        StoreCalendar calendar,
        ImportCursor cursor,
        ImportPart part,
        CancellationToken ct
    )
    {
        var since = part.Since!.Value;
        // Quoted, or Shopify takes the colons for the syntax of the search.
        var search =
            $"updated_at:>='{since.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture)}'";
        var page = await objects.VersionsAsync(shop, part.Kind, search, PageSize, part.After, ct);
        var listed = page.Versions.Where(v => v.UpdatedAt >= since.AddSeconds(-1)).ToList();
        var outdated = await refresh.OutdatedAsync(shop.TenantId, part.Kind, listed, ct);
        var refreshed = (await refresh.ReadAsync(shop, part.Kind, outdated, ct)).With(
            listed.Count - outdated.Count,
            page.Rejections
        );
        var seen = listed.Count + page.Rejections.Count;

        part.After = page.Next;
        part.Done = page.Next is null;
        if (listed.Count > 0 && listed.Max(v => v.UpdatedAt) is var newest && !(newest < part.UpdatedTo))
            part.UpdatedTo = newest;
        await tenants.RunAsync(
            lease.TenantId,
            async db =>
            {
                var counts = await ObjectRefetch.StoreAsync(db, calendar, refreshed, lease.StartedAt, ct);
                part.Announced += seen;
                part.Count(counts);
                part.Check();
                await lease.CountAsync(
                    db,
                    new(
                        $"Reading changed {part.Kind.Words()}",
                        seen,
                        counts.Read,
                        counts.Stored,
                        counts.Unchanged,
                        counts.Rejected,
                        counts.Gone
                    ),
                    cursor,
                    ct
                );
                if (part.Done)
                    await RaiseWatermarkAsync(db, lease, part, ct);
            },
            ct
        );
    }

    /// <summary>
    /// To the newest change seen, but not beyond the run's beginning: what changed meanwhile may have been missed where
    /// the list is sorted by id.
    /// </summary>
    private static async Task RaiseWatermarkAsync(
        XenoDbContext db,
        SyncLease lease,
        ImportPart part,
        CancellationToken ct
    )
    {
        if (part.UpdatedTo is not { } seen)
            return;
        await using var command = db.Command(
            """
            insert into sync_watermarks (tenant_id, kind, updated_to) values ($1, $2, $3)
            on conflict (tenant_id, kind) do update set
                updated_to = greatest(sync_watermarks.updated_to, excluded.updated_to)
            """
        );
        command.Parameters.Add(Sql.Uuid(lease.TenantId));
        command.Parameters.Add(new NpgsqlParameter { Value = part.Kind.ToString() });
        command.Parameters.Add(
            new NpgsqlParameter { Value = (seen < lease.StartedAt ? seen : lease.StartedAt).UtcDateTime }
        );
        await command.ExecuteNonQueryAsync(ct);
    }
}
