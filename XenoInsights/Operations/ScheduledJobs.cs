using Microsoft.EntityFrameworkCore;
using Quartz;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Notifications;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Operations;

/// <summary>
/// What has to be done now and then whatever anyone does. All schedules stand here; <c>Schedules:&lt;name of the
/// job&gt;</c> sets another one. Each runs on one instance of all (<see cref="ScheduledJob{T}"/>); running late or
/// twice does no harm.
/// </summary>
public static class ScheduledJobs
{
    private const string Section = "Schedules",
        Never = "never";

    public static void AddScheduledJobs(this WebApplicationBuilder builder)
    {
        var configured = builder
            .Configuration.GetSection(Section)
            .GetChildren()
            .ToDictionary(schedule => schedule.Key, schedule => schedule.Value ?? "", StringComparer.OrdinalIgnoreCase);
        builder.Services.AddQuartz(quartz =>
        {
            Schedule<PurgeOAuthStates>("0 7 * * * ?");
            Schedule<DeleteExpiredSessions>("0 17 * * * ?");
            Schedule<KeepTokensAlive>("0 23 3 * * ?");
            Schedule<KeepSubscriptions>("0 53 4 * * ?");
            Schedule<PurgeEvents>("0 37 * * * ?");
            Schedule<IncidentDetector>("15 * * * * ?");
            Schedule<PurgeEmails>("0 17 5 * * ?");
            Schedule<SyncSchedule>("0 0/10 * * * ?");
            Schedule<PurgeSyncJobs>("0 47 5 * * ?");
            if (configured.Keys.FirstOrDefault() is { } unknown)
                throw new ConfigurationException($"{Section}:{unknown} names no job.");

            void Schedule<T>(string usual)
                where T : class, IJob
            {
                var name = typeof(T).Name;
                if (!configured.Remove(name, out var cron))
                    cron = usual;
                if (cron == Never)
                    return;
                if (!CronExpression.TryParse(cron, out _))
                    throw new ConfigurationException(
                        $"{Section}:{name} must be a cron expression that begins with seconds, such as {usual}, "
                            + $"or {Never}."
                    );
                builder.Services.AddTransient<T>();
                quartz.AddJob<ScheduledJob<T>>(job => job.WithIdentity(name).StoreDurably());
                quartz.AddTrigger(trigger =>
                    trigger
                        .ForJob(name)
                        .WithIdentity(name)
                        .WithCronSchedule(cron, schedule => schedule.InTimeZone(TimeZoneInfo.Utc))
                );
            }
        });
        builder.Services.AddQuartzHostedService(options => options.WaitForJobsToComplete = true);
    }
}

/// <summary>An install that nobody finished is of no use after its ten minutes; a day keeps it for questions.</summary>
internal sealed class PurgeOAuthStates(SystemDatabase system, TimeProvider time) : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var old = time.GetUtcNow().AddDays(-1);
        await system.RunAsync(
            db => db.OAuthStates.Where(s => s.ExpiresAt < old).ExecuteDeleteAsync(cancellationToken),
            cancellationToken
        );
    }
}

/// <summary>Sessions that have ended are of no use any more.</summary>
internal sealed class DeleteExpiredSessions(SystemDatabase system) : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) =>
        await system.RunAsync(
            db => db.Database.ExecuteSqlAsync($"delete from sessions where expires_at < now()", cancellationToken),
            cancellationToken
        );
}

/// <summary>
/// A refresh token dies after 90 days without use; a store that nothing was read from for a day is refreshed, so that
/// it never comes near.
/// </summary>
internal sealed class KeepTokensAlive(
    SystemDatabase system,
    AccessTokens tokens,
    TimeProvider time,
    ILogger<KeepTokensAlive> logger
) : IJob
{
    private const int AtOnce = 8;

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var idle = time.GetUtcNow().AddDays(-1);
        var tenants = await system.RunAsync(
            db =>
                (
                    from credential in db.ShopifyCredentials.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    join tenant in db.Tenants on credential.TenantId equals tenant.TenantId
                    where credential.AccessTokenExpiresAt < idle && tenant.Status == TenantStatus.Connected
                    select credential.TenantId
                ).ToListAsync(cancellationToken),
            cancellationToken
        );
        // A dead token is on record as ReconnectRequired, an outage is tried again tomorrow.
        await tenants.ForEachTenantAsync(
            tokens.GetAccessTokenAsync,
            logger,
            "Refreshing the access token",
            cancellationToken,
            AtOnce
        );
    }
}

/// <summary>
/// Shopify deletes a subscription whose deliveries failed for four hours, without a word: each day every store is
/// subscribed again to what is missing.
/// </summary>
internal sealed class KeepSubscriptions(
    SystemDatabase system,
    AccessTokens tokens,
    ConnectStore install,
    ILogger<KeepSubscriptions> logger
) : IJob
{
    private const int AtOnce = 8;

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var stores = await system.RunAsync(
            db =>
                db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    .Where(t => t.Status == TenantStatus.Connected)
                    .ToDictionaryAsync(t => t.TenantId, t => t.ShopDomain, cancellationToken),
            cancellationToken
        );
        await stores.Keys.ForEachTenantAsync(
            KeepAsync,
            logger,
            "Looking after webhook subscriptions",
            cancellationToken,
            AtOnce
        );

        async Task KeepAsync(Guid tenantId, CancellationToken ct)
        {
            var token = await tokens.GetAccessTokenAsync(tenantId, ct);
            await install.SubscribeToMissingAsync(stores[tenantId], token, ct);
        }
    }
}
