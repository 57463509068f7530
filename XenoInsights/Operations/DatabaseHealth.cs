using Microsoft.Extensions.Diagnostics.HealthChecks;
using XenoInsights.Data;

namespace XenoInsights.Operations;

/// <summary>Ready = a unit of work gets through: the server answers, and its schema and this version fit together.</summary>
internal sealed class DatabaseHealth(SystemDatabase database) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            await database.RunAsync(db => db.Command("select 1 from tenants limit 1").ExecuteScalarAsync(cancellationToken), cancellationToken);
            return HealthCheckResult.Healthy();
        }
        catch (SchemaMismatchException mismatch)
        {
            return HealthCheckResult.Unhealthy(mismatch.Message);
        }
    }
}
