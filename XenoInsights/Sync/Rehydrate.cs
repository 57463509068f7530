using System.Text;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>
/// All ids and versions that Shopify has against all that is stored: what differs is read again, what Shopify no longer
/// has is marked as deleted. The only way to learn of orders, customers and products that were deleted while nobody
/// listened. Nothing is marked because it was missing in a list: Shopify is asked for it by its id first.
/// </summary>
public sealed class Rehydrate(BulkExports exports, BulkDownload download, ObjectRefetch refresh, TenantDatabase tenants)
{
    private const int AtOnce = 50,
        Compared = 5000;

    /// <summary>
    /// Without <c>read_all_orders</c> Shopify hides orders older than 60 days, which is not the same as not having
    /// them.
    /// </summary>
    private static readonly TimeSpan _visible = TimeSpan.FromDays(59);

    public Task RunAsync(SyncLease lease, Tenant tenant, CancellationToken ct)
    {
        var shop = new ShopReference(tenant.TenantId, tenant.ShopDomain, tenant.Currency, tenant.TimeZone);
        return exports.RunAsync(
            lease,
            shop,
            GraphQLDocuments.BulkVersions,
            "Comparing",
            (part, export) => CompareAsync(new(lease, tenant, shop, part), export, ct),
            ct
        );
    }

    private sealed record Comparison(SyncLease Lease, Tenant Tenant, ShopReference Shop, ImportPart Part)
    {
        public HashSet<long> Listed { get; } = [];
        public StoreCalendar Calendar => new(Tenant.TenantId, Tenant.Currency, Tenant.TimeZone);
    }

    private async Task CompareAsync(Comparison comparison, BulkOperation export, CancellationToken ct)
    {
        if (export.Url is not null)
            await CompareListAsync(comparison, export.Url, export.FileSize, ct);
        // A checkout that a webhook told is listed only once it counts as abandoned: not being listed says nothing.
        if (comparison.Part.Kind != ObjectKind.AbandonedCheckouts)
            await MarkGoneAsync(comparison, ct);
    }

    private async Task CompareListAsync(Comparison comparison, Uri url, long? size, CancellationToken ct)
    {
        await using var file = await download.OpenAsync(url, size, ct);
        var versions = new List<ObjectVersion>(Compared);
        await foreach (var line in JsonlLines.ReadAsync(file, ct))
        {
            if (Parse(line.Span, out var unreadable) is not { } version)
            {
                await StoreAsync(comparison, new(0, [], [], [unreadable!]), ct);
                continue;
            }
            if (!comparison.Listed.Add(version.ShopifyId))
                throw new ShopifyException(
                    ShopifyFailure.PartialData,
                    $"Shopify's list of {comparison.Part.Kind.Words()} holds {version.ShopifyId} twice."
                );
            versions.Add(version);
            if (versions.Count < Compared)
                continue;
            await RefreshAsync(comparison, versions, ct);
            versions.Clear();
        }
        await RefreshAsync(comparison, versions, ct);
    }

    private async Task RefreshAsync(Comparison comparison, List<ObjectVersion> versions, CancellationToken ct)
    {
        // Most are as they were: those are settled in one look, the others read in small transactions.
        var outdated = await refresh.OutdatedAsync(comparison.Shop.TenantId, comparison.Part.Kind, versions, ct);
        await StoreAsync(comparison, new(versions.Count - outdated.Count, [], [], []), ct);
        foreach (var some in outdated.Chunk(AtOnce))
            await StoreAsync(comparison, await refresh.ReadAsync(comparison.Shop, comparison.Part.Kind, some, ct), ct);
    }

    /// <summary>What is stored and was not listed, and was there before the list was made.</summary>
    private async Task MarkGoneAsync(Comparison comparison, CancellationToken ct)
    {
        var missing = (await StoredAsync(comparison, ct)).Where(id => !comparison.Listed.Contains(id)).ToList();
        foreach (var some in missing.Chunk(AtOnce))
        {
            var refreshed = await refresh.ReadAsync(comparison.Shop, comparison.Part.Kind, some, ct);
            comparison.Part.Announced += some.Length;
            await StoreAsync(comparison, refreshed, ct);
        }
    }

    private Task<List<long>> StoredAsync(Comparison comparison, CancellationToken ct) =>
        tenants.RunAsync(
            comparison.Shop.TenantId,
            async db =>
            {
                var created =
                    comparison.Part.Kind == ObjectKind.Orders && comparison.Tenant.HistoryLimited
                        ? "and created_at > now() - $3"
                        : "and $3 is not null";
                await using var command = db.Command(
                    $"""
                    select shopify_id from {comparison.Part.Kind.Table()}
                    where tenant_id = $1 and deleted_at is null and created_at < $2 {created}
                    """
                );
                command.Parameters.Add(Sql.Uuid(comparison.Shop.TenantId));
                command.Parameters.Add(new Npgsql.NpgsqlParameter { Value = comparison.Lease.StartedAt.UtcDateTime });
                command.Parameters.Add(
                    new Npgsql.NpgsqlParameter { Value = _visible, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Interval }
                );
                var ids = new List<long>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    ids.Add(reader.GetInt64(0));
                return ids;
            },
            ct
        );

    private Task StoreAsync(Comparison comparison, Refetched refreshed, CancellationToken ct) =>
        tenants.RunAsync(
            comparison.Shop.TenantId,
            async db =>
            {
                var counts = await ObjectRefetch.StoreAsync(
                    db,
                    comparison.Calendar,
                    refreshed,
                    comparison.Lease.StartedAt,
                    ct
                );
                await comparison.Lease.CountAsync(
                    db,
                    new(
                        $"Comparing {comparison.Part.Kind.Words()}",
                        0,
                        counts.Read,
                        counts.Stored,
                        counts.Unchanged,
                        counts.Rejected,
                        counts.Gone
                    ),
                    null,
                    ct
                );
                comparison.Part.Count(counts);
            },
            ct
        );

    private static ObjectVersion? Parse(ReadOnlySpan<byte> line, out string? unreadable)
    {
        try
        {
            using var json = JsonDocument.Parse(StorableJson.Clean(line).ToArray());
            return AdminObjects.ReadVersion(json.RootElement, out unreadable);
        }
        catch (JsonException failure)
        {
            unreadable = $"{Encoding.UTF8.GetString(line)}: {failure.Message}";
            return null;
        }
    }
}
