namespace XenoInsights.Tenants;

internal static class EachTenant
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
                    logger.LogWarning("{What} failed for tenant {TenantId}: {Reason}", what, tenant, expected.Message);
                }
                catch (Exception failure) when (!inner.IsCancellationRequested)
                {
                    logger.LogWarning(failure, "{What} failed for tenant {TenantId}; the others go on", what, tenant);
                }
            }
        );
    }
}
