using Microsoft.EntityFrameworkCore;
using Quartz;
using XenoInsights.Data;
using XenoInsights.Install;
using XenoInsights.Notifications;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Operations;

/// <summary>What has to be done now and then whatever anyone does. All schedules stand here; running one twice, late or on several instances does no harm.</summary>
public static class Housekeeping
{
    public static void AddHousekeeping(this WebApplicationBuilder builder)
    {
        builder.Services.AddQuartz(quartz =>
        {
            Schedule<ForgetOldInstalls>(quartz, "0 7 * * * ?");
            Schedule<KeepTokensAlive>(quartz, "0 23 3 * * ?");
            Schedule<KeepSubscriptions>(quartz, "0 53 4 * * ?");
            Schedule<ForgetOldDeliveries>(quartz, "0 37 * * * ?");
            Schedule<IncidentWatch>(quartz, "15 * * * * ?");
            Schedule<ForgetOldMails>(quartz, "0 17 5 * * ?");
            Schedule<SyncSchedule>(quartz, "0 0/10 * * * ?");
            Schedule<ForgetOldRuns>(quartz, "0 47 5 * * ?");
        });
        builder.Services.AddQuartzHostedService(options => options.WaitForJobsToComplete = true);
    }

    private static void Schedule<T>(IQuartzBuilder quartz, string cron) where T : IJob
    {
        quartz.AddJob<T>(job => job.WithIdentity(typeof(T).Name).StoreDurably());
        quartz.AddTrigger(trigger => trigger.ForJob(typeof(T).Name).WithIdentity(typeof(T).Name).WithCronSchedule(cron, schedule => schedule.InTimeZone(TimeZoneInfo.Utc)));
    }
}

/// <summary>An install that nobody finished is of no use after its ten minutes; a day keeps it for questions.</summary>
internal sealed class ForgetOldInstalls(SystemDatabase system, TimeProvider time) : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var old = time.GetUtcNow().AddDays(-1);
        await system.RunAsync(db => db.OAuthStates.Where(s => s.ExpiresAt < old).ExecuteDeleteAsync(cancellationToken), cancellationToken);
    }
}

/// <summary>A refresh token dies after 90 days without use; a store that nothing was read from for a day is refreshed, so that it never comes near.</summary>
internal sealed class KeepTokensAlive(SystemDatabase system, ShopifyTokens tokens, TimeProvider time, ILogger<KeepTokensAlive> logger) : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var idle = time.GetUtcNow().AddDays(-1);
        var tenants = await system.RunAsync(db =>
            (from credential in db.ShopifyCredentials.IgnoreQueryFilters([XenoDbContext.TenantFilter])
             join tenant in db.Tenants on credential.TenantId equals tenant.TenantId
             where credential.AccessTokenExpiresAt < idle && tenant.Status == TenantStatus.Connected
             select credential.TenantId).ToListAsync(cancellationToken), cancellationToken);
        foreach (var tenant in tenants)
        {
            try
            {
                await tokens.GetAccessTokenAsync(tenant, cancellationToken);
            }
            catch (Exception failure) when (!cancellationToken.IsCancellationRequested)
            {
                // One store's trouble is not the next one's: a dead token is on record as ReconnectRequired, an outage is tried again tomorrow.
                logger.LogWarning(failure, "The token of {Tenant} could not be refreshed", tenant);
            }
        }
    }
}

/// <summary>Shopify deletes a subscription whose deliveries failed for four hours, without a word: each day every store is subscribed again to what is missing.</summary>
internal sealed class KeepSubscriptions(SystemDatabase system, ShopifyTokens tokens, StoreInstall install, ILogger<KeepSubscriptions> logger) : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var stores = await system.RunAsync(db => db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter]).Where(t => t.Status == TenantStatus.Connected)
            .Select(t => new { t.TenantId, t.ShopDomain }).ToListAsync(cancellationToken), cancellationToken);
        foreach (var store in stores)
        {
            try
            {
                await install.SubscribeAsync(store.ShopDomain, await tokens.GetAccessTokenAsync(store.TenantId, cancellationToken), cancellationToken);
            }
            catch (Exception failure) when (!cancellationToken.IsCancellationRequested)
            {
                logger.LogWarning(failure, "The subscriptions of {Shop} could not be looked after", store.ShopDomain);
            }
        }
    }
}
