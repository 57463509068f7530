using System.Globalization;
using Microsoft.Extensions.Options;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Shopify;

namespace XenoInsights.Sync;

/// <summary>What a store's figures lack.</summary>
/// <param name="Rejected">Objects (lines of Shopify's files) of the last full import that could not be read or
/// stored.</param>
/// <param name="Read">All of its objects.</param>
/// <param name="UnreadOrders">Orders among those rejected.</param>
/// <param name="OrdersInOtherCurrency">Orders from before the shop changed its currency, which no figure
/// includes.</param>
/// <param name="OtherCurrencies">Their currencies, ISO 4217.</param>
/// <param name="UnknownTimeZone">The zone Shopify names, if this installation does not know it; days are still those of
/// the zone before.</param>
public sealed record StoreNotice(
    long Rejected,
    long Read,
    long UnreadOrders,
    long OrdersInOtherCurrency,
    string? OtherCurrencies,
    string? UnknownTimeZone
)
{
    /// <summary>
    /// The recalculation that is unfinished or failed: figures are those of two time zones or currencies until it has
    /// succeeded.
    /// </summary>
    public RecalculationNotice? Recalculation { get; init; }

    /// <summary>Whether so much was rejected that figures cannot be relied on.</summary>
    public bool IsIncident { get; init; }
}

/// <param name="Looked">Orders and checkouts done.</param>
/// <param name="Expected">All of them; 0 before it begins.</param>
public sealed record RecalculationNotice(bool HasFailed, long Looked, long Expected);

/// <summary>Asks for the entered store, for every page of it.</summary>
public sealed class StoreNotices(XenoDatabase database, IOptions<SyncOptions> options)
{
    public Task<StoreNotice> AskAsync(CancellationToken ct) =>
        database.InTenantAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    select coalesce(f.rejected, 0), coalesce(f.objects_read, 0), coalesce(f.unread_orders, 0)::bigint,
                        o.count, o.currencies, t.unknown_time_zone,
                           r.status, r.objects_read, r.objects_expected
                    from tenants t
                    left join lateral (
                        select rejected, objects_read, (
                            select sum((part ->> 'RejectedRoots')::bigint)
                            from jsonb_path_query(cursor, '$.Parts[*]') part where part ->> 'Kind' = $2) unread_orders
                        from sync_jobs
                        where tenant_id = $1 and type = 'Full' and status in ('Succeeded', 'Failed')
                            and objects_read > 0
                        order by finished_at desc limit 1) f on true
                    left join lateral (
                        select status, objects_read, objects_expected from sync_jobs
                        where tenant_id = $1 and type = 'Recalculate' order by created_at desc limit 1) r
                        on r.status in ('Queued', 'Running', 'Failed')
                    cross join lateral (
                        select count(*), string_agg(distinct currency, ', ') currencies from orders
                        where tenant_id = $1 and not counted and not test and deleted_at is null
                            and currency <> t.currency) o
                    where t.tenant_id = $1
                    """
                );
                command.Parameters.Add(Sql.Uuid(db.TenantId ?? Guid.Empty));
                var orders = ((int)ObjectKind.Orders).ToString(CultureInfo.InvariantCulture);
                command.Parameters.Add(new NpgsqlParameter { Value = orders });
                await using var reader = await command.ExecuteReaderAsync(ct);
                if (!await reader.ReadAsync(ct))
                    return new StoreNotice(0, 0, 0, 0, null, null);
                var (rejected, read) = (reader.GetInt64(0), reader.GetInt64(1));
                return new StoreNotice(rejected, read, reader.GetInt64(2), reader.GetInt64(3), Text(4), Text(5))
                {
                    Recalculation = reader.IsDBNull(6)
                        ? null
                        : new(
                            reader.GetString(6) == nameof(SyncJobStatus.Failed),
                            reader.GetInt64(7),
                            reader.GetInt64(8)
                        ),
                    IsIncident = rejected * 100m > read * options.Value.RejectedIncidentPercent,
                };

                string? Text(int column) => reader.IsDBNull(column) ? null : reader.GetString(column);
            },
            ct
        );
}
