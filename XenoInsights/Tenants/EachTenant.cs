namespace XenoInsights.Tenants;

internal static partial class EachTenant
{
    /// <summary>Does something for tenant after tenant. One tenant's failure is logged and holds up no other.</summary>
    public static async Task ForEachTenantAsync(
        this IEnumerable<Guid> tenants,
        Func<Guid, CancellationToken, Task> work,
        ILogger logger,
        string what,
        CancellationToken ct,
        int parallel = 1
    )
    {
        var options = new ParallelOptions { MaxDegreeOfParallelism = parallel, CancellationToken = ct };
        await Parallel.ForEachAsync(
            tenants,
            options,
            async (tenant, inner) =>
            {
                try
                {
                    await work(tenant, inner);
                }
                catch (Exception expected) when (expected.IsExpected())
                {
                    Log.FailedAsExpected(logger, what, tenant, expected.Message);
                }
                catch (Exception failure) when (!inner.IsCancellationRequested)
                {
                    Log.Failed(logger, failure, what, tenant);
                }
            }
        );
    }

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1200,
            Level = LogLevel.Warning,
            Message = "{What} failed for tenant {TenantId}: {Reason}"
        )]
        public static partial void FailedAsExpected(ILogger logger, string what, Guid tenantId, string reason);

        [LoggerMessage(
            EventId = 1201,
            Level = LogLevel.Warning,
            Message = "{What} failed for tenant {TenantId}; the others go on"
        )]
        public static partial void Failed(ILogger logger, Exception failure, string what, Guid tenantId);
    }
}
