using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using Quartz;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>Section <c>Retention</c>.</summary>
public sealed class RetentionOptions
{
    public const string Section = "Retention";

    /// <summary>Days until the body of an applied delivery is dropped: it holds personal data and most of the space. At least 7, while Shopify may still repeat it.</summary>
    public int PayloadDays { get; set; } = 7;

    /// <summary>Days until a delivery is forgotten altogether, given up or not.</summary>
    public int EventDays { get; set; } = 30;
}

/// <summary>Drops bodies and then deliveries whose time is over, store by store and in small batches, so that nothing waits for it.</summary>
internal sealed class ForgetOldDeliveries(
    SystemDatabase system, TenantDatabase tenants, IOptions<RetentionOptions> options, ILogger<ForgetOldDeliveries> logger) : IJob
{
    private const int Batch = 2000;

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var ids = await system.RunAsync(db => db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter]).Select(t => t.TenantId).ToListAsync(cancellationToken), cancellationToken);
        await ids.ForEachTenantAsync(ForgetAsync, logger, "Dropping old webhook bodies", cancellationToken);
    }

    public async Task ForgetAsync(Guid tenant, CancellationToken ct)
    {
        await RepeatAsync(tenant, "update events set payload = null where tenant_id = $1 and webhook_id in (select webhook_id from events where tenant_id = $1 and received_at < now() - $2 and payload is not null and status in (2, 3) limit $3)", options.Value.PayloadDays, ct);
        await RepeatAsync(tenant, "delete from events where tenant_id = $1 and webhook_id in (select webhook_id from events where tenant_id = $1 and received_at < now() - $2 and status <> 1 limit $3)", options.Value.EventDays, ct);
    }

    private async Task RepeatAsync(Guid tenant, string sql, int days, CancellationToken ct)
    {
        int rows;
        do
        {
            rows = await tenants.RunAsync(tenant, async db =>
            {
                await using var command = db.Command(sql);
                command.Parameters.Add(Sql.Uuid(tenant));
                command.Parameters.Add(new NpgsqlParameter { Value = TimeSpan.FromDays(days) });
                command.Parameters.Add(new NpgsqlParameter { Value = Batch });
                return await command.ExecuteNonQueryAsync(ct);
            }, ct);
        }
        while (rows == Batch);
    }
}
