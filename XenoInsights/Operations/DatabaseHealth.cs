using Microsoft.Extensions.Diagnostics.HealthChecks;
using XenoInsights.Data;

namespace XenoInsights.Operations;

/// <summary>Ready = a unit of work gets through: the server answers, and this database is migrated.</summary>
internal sealed class DatabaseHealth(SystemDatabase database) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        await database.RunAsync(db => db.Command("select 1 from tenants limit 1").ExecuteScalarAsync(cancellationToken), cancellationToken);
        return HealthCheckResult.Healthy();
    }
}
