using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;
using Npgsql;
using Quartz;
using XenoInsights.Data;
using XenoInsights.Queues;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>Section <c>Retention</c>.</summary>
public sealed class RetentionOptions
{
    public const string Section = "Retention";

    /// <summary>
    /// Days until the body of an applied event is dropped: it holds personal data and most of the space. At least 7,
    /// while Shopify may still repeat it.
    /// </summary>
    [Range(7, int.MaxValue, ErrorMessage = CheckedOptions.AtLeast)]
    public int PayloadDays { get; set; } = 7;

    /// <summary>Days until an event is deleted, dead-lettered or not.</summary>
    public int EventDays { get; set; } = 30;
}

/// <summary>
/// Drops bodies and then events whose time is over, in small batches, so that nothing waits for it. Visits only stores
/// that have some, and reads only rows that are due.
/// </summary>
internal sealed class PurgeEvents(
    SystemDatabase system,
    TenantDatabase tenants,
    IOptions<RetentionOptions> options,
    ILogger<PurgeEvents> logger
) : IJob
{
    private const int Batch = 2000;

    /// <summary>The condition of <c>ix_events_payload_kept</c>.</summary>
    private const string HasPayload = "status in (2, 3) and payload_dropped_at is null";

    private const string IsNotWaiting = "status <> 1";

    private TimeSpan PayloadAge => TimeSpan.FromDays(options.Value.PayloadDays);

    private TimeSpan EventAge => TimeSpan.FromDays(options.Value.EventDays);

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var stores = await StoresWithOldPayloadsAsync(cancellationToken);
        await stores.ForEachTenantAsync(DropPayloadsAsync, logger, "Dropping old webhook bodies", cancellationToken);
        stores = await StoresWithOldEventsAsync(cancellationToken);
        await stores.ForEachTenantAsync(DeleteEventsAsync, logger, "Deleting old webhook events", cancellationToken);
    }

    internal Task<List<Guid>> StoresWithOldPayloadsAsync(CancellationToken ct) =>
        system.TenantsWithRowsBeforeAsync("events", "received_at", PayloadAge, HasPayload, ct);

    internal Task<List<Guid>> StoresWithOldEventsAsync(CancellationToken ct) =>
        system.TenantsWithRowsBeforeAsync("events", "received_at", EventAge, IsNotWaiting, ct);

    private Task DropPayloadsAsync(Guid tenant, CancellationToken ct) =>
        RepeatAsync(tenant, "update events set payload = null, payload_dropped_at = now()", HasPayload, PayloadAge, ct);

    private Task DeleteEventsAsync(Guid tenant, CancellationToken ct) =>
        RepeatAsync(tenant, "delete from events", IsNotWaiting, EventAge, ct);

    private async Task RepeatAsync(Guid tenant, string change, string condition, TimeSpan age, CancellationToken ct)
    {
        var sql = $"""
            {change} where tenant_id = $1 and webhook_id in (
                select webhook_id from events where tenant_id = $1 and received_at < now() - $2 and {condition}
                order by received_at limit $3)
            """;
        int rows;
        do
        {
            rows = await tenants.RunAsync(
                tenant,
                async db =>
                {
                    await using var command = db.Command(sql);
                    command.Parameters.Add(Sql.Uuid(tenant));
                    command.Parameters.Add(new NpgsqlParameter { Value = age });
                    command.Parameters.Add(new NpgsqlParameter { Value = Batch });
                    return await command.ExecuteNonQueryAsync(ct);
                },
                ct
            );
        } while (rows == Batch);
    }
}
