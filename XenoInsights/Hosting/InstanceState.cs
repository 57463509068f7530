using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace XenoInsights.Hosting;

/// <summary>Whether this instance should get requests: warm, and not about to stop.</summary>
public sealed class InstanceState
{
    private volatile bool _isWarm,
        _isDraining;

    public bool IsWarm => _isWarm;
    public bool IsDraining => _isDraining;

    public void SetWarm() => _isWarm = true;

    public void SetDraining() => _isDraining = true;
}

/// <summary>
/// Judges this instance alone. A database that is away makes no instance unready: all would leave the load balancer
/// together, and people would see its bare error page instead of ours.
/// </summary>
internal sealed class InstanceHealth(InstanceState state) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(
        HealthCheckContext context,
        CancellationToken cancellationToken = default
    ) => Task.FromResult(Check());

    private HealthCheckResult Check()
    {
        if (state.IsDraining)
            return HealthCheckResult.Unhealthy("Stopping: requests in flight are finished, new ones belong elsewhere.");
        return state.IsWarm ? HealthCheckResult.Healthy() : HealthCheckResult.Unhealthy("Starting.");
    }
}
