using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Notifications;
using XenoInsights.Tenants;

namespace XenoInsights.Operations;

/// <summary>
/// The inboxes of all stores together, for who looks after the installation. Database clock; days are UTC's.
/// </summary>
/// <param name="ToReadAgain">Objects that wait to be read again from Shopify.</param>
/// <param name="P50Seconds">From receipt to applied, deliveries received today: half took no longer.</param>
/// <param name="MostWaiting">At most <see cref="QueueStatuses.Shown"/> stores, the longest queue first.</param>
/// <param name="MostGivenUp">At most <see cref="QueueStatuses.Shown"/> stores.</param>
/// <param name="FleetIncidents">What many stores have at once and lasts.</param>
public sealed record QueueStatus(
    long Waiting,
    double? OldestSeconds,
    long GivenUp,
    long ToReadAgain,
    double? P50Seconds,
    double? P99Seconds,
    IReadOnlyList<StoreBacklog> MostWaiting,
    IReadOnlyList<StoreBacklog> MostGivenUp,
    IReadOnlyList<FleetIncident> FleetIncidents
);

/// <summary>One store's inbox: numbers, and the domain it is known by.</summary>
public sealed record StoreBacklog(
    Guid TenantId,
    string StoreDomain,
    TenantStatus Status,
    long Waiting,
    double? OldestSeconds,
    long GivenUp,
    double? P50Seconds,
    double? P99Seconds
);

/// <summary>Asks across stores, as the role that may not read what deliveries say (<see cref="RowLevelSecurity"/>).</summary>
public sealed class QueueStatuses(Operators operators)
{
    public const int Shown = 50;

    /// <exception cref="AccessDeniedException">The caller is no operator.</exception>
    public Task<QueueStatus> AskAsync(Caller? caller, CancellationToken ct) =>
        operators.RunAsync(
            caller,
            async db =>
            {
                var incidents = await db
                    .FleetIncidents.AsNoTracking()
                    .Where(f => f.ResolvedAt == null)
                    .OrderBy(f => f.OpenedAt)
                    .ToListAsync(ct);
                var (waiting, givenUp) = (await StoresAsync(db, "waiting", ct), await StoresAsync(db, "given_up", ct));
                await using var command = db.Command(
                    $"""
                    select (select count(*) from events where status = 1), 
                           (select extract(epoch from now() - min(received_at))::float8 from events where status = 1),
                           (select count(*) from events where status = 4), (select count(*) from refetch_requests),
                           {Percentiles}
                    from tenants t cross join lateral (select applied_at, received_at from events e
                        where e.tenant_id = t.tenant_id and e.received_at >= {Today} and e.status = 2) done
                    """
                );
                await using var reader = await command.ExecuteReaderAsync(ct);
                await reader.ReadAsync(ct);
                return new QueueStatus(
                    reader.GetInt64(0),
                    Seconds(reader, 1),
                    reader.GetInt64(2),
                    reader.GetInt64(3),
                    Seconds(reader, 4),
                    Seconds(reader, 5),
                    waiting,
                    givenUp,
                    incidents
                );
            },
            ct
        );

    private const string Today = "date_trunc('day', now() at time zone interval '0') at time zone interval '0'";

    private const string Percentiles =
        "extract(epoch from percentile_cont(0.5) within group (order by applied_at - received_at))::float8, "
        + "extract(epoch from percentile_cont(0.99) within group (order by applied_at - received_at))::float8";

    private static async Task<List<StoreBacklog>> StoresAsync(XenoDbContext db, string by, CancellationToken ct)
    {
        await using var command = db.Command(
            $"""
            with queues as (
                select tenant_id, count(*) filter (where status = 1) waiting,
                    min(received_at) filter (where status = 1) oldest, count(*) filter (where status = 4) given_up
                from events where status in (1, 4) group by tenant_id)
            select t.tenant_id, t.shop_domain, t.status, waiting, extract(epoch from now() - oldest)::float8, given_up,
                today.*
            from (select * from queues where {by} > 0 order by {by} desc, tenant_id limit $1) q
            join tenants t using (tenant_id)
            cross join lateral (select {Percentiles} from events e
                where e.tenant_id = t.tenant_id and e.received_at >= {Today} and e.status = 2) today
            order by {by} desc, t.tenant_id
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = Shown, NpgsqlDbType = NpgsqlDbType.Integer });
        var stores = new List<StoreBacklog>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            stores.Add(
                new(
                    reader.GetGuid(0),
                    reader.GetString(1),
                    Enum.Parse<TenantStatus>(reader.GetString(2)),
                    reader.GetInt64(3),
                    Seconds(reader, 4),
                    reader.GetInt64(5),
                    Seconds(reader, 6),
                    Seconds(reader, 7)
                )
            );
        return stores;
    }

    private static double? Seconds(NpgsqlDataReader reader, int at) =>
        reader.IsDBNull(at) ? null : reader.GetDouble(at);
}
