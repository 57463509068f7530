using Microsoft.Extensions.Diagnostics.HealthChecks;
using XenoInsights.Data;

namespace XenoInsights.Hosting;

/// <summary>
/// Ready = the database's schema accepts this version. Once it did, a database that is away changes nothing: requests
/// answer 503 by themselves (<see cref="DatabaseUnavailableHandler"/>), and the gauge <c>xeno.database.up</c> says so.
/// </summary>
internal sealed class SchemaHealth(SystemDatabase database, SchemaGate gate) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(
        HealthCheckContext context,
        CancellationToken cancellationToken = default
    )
    {
        if (!gate.IsAccepted)
            await TryLookAsync(cancellationToken);
        if (gate.Problem is { } problem)
            return HealthCheckResult.Unhealthy(problem);
        return gate.IsAccepted
            ? HealthCheckResult.Healthy()
            : HealthCheckResult.Unhealthy("The database has not answered yet.");
    }

    // A unit of work passes the gate, which looks at the schema.
    private async Task TryLookAsync(CancellationToken ct)
    {
        try
        {
            await database.QueryAsync("select 1", [], reader => reader.GetInt32(0), ct);
        }
        catch (Exception failure)
            when (failure is SchemaMismatchException || DatabaseUnavailableHandler.IsUnavailable(failure))
        {
            // What the gate saw tells the rest.
        }
    }
}
