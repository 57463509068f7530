namespace XenoInsights.Tenants;

/// <summary>Which tenant this request, circuit or job works for. Nothing entered means no rows.</summary>
public sealed class TenantContext
{
    public Guid? TenantId { get; private set; }

    /// <summary>Binds this scope to a tenant, for good: a second tenant needs a second scope, so that no running query can change sides.</summary>
    public void Enter(Guid tenantId)
    {
        if (tenantId == Guid.Empty) throw new ArgumentException("An empty tenant id names no tenant.", nameof(tenantId));
        if (TenantId is { } entered && entered != tenantId) throw new InvalidOperationException("This scope already works for another tenant.");
        TenantId = tenantId;
    }
}
