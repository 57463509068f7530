namespace XenoInsights.Data;

/// <summary>Which store a request or circuit works for, and for whom. Nothing entered means no rows.</summary>
public sealed class TenantContext
{
    public Guid? TenantId { get; private set; }

    /// <summary>Who asks. Names them only: each unit of work looks up what they may do.</summary>
    public Caller? Caller { get; private set; }

    /// <summary>
    /// A unit of work of this scope was refused: whatever is open shows more than its person may see.
    /// </summary>
    public event Action? Denied;

    /// <summary>
    /// Binds this scope to a tenant, for good: a second tenant needs a second scope, so that no running query can
    /// change sides.
    /// </summary>
    public void Enter(Guid tenantId, Caller caller)
    {
        if (tenantId == Guid.Empty)
            throw new ArgumentException("An empty tenant id names no tenant.", nameof(tenantId));
        if (TenantId is { } entered && entered != tenantId)
            throw new InvalidOperationException("This scope already works for another tenant.");
        UseCaller(caller);
        TenantId = tenantId;
    }

    /// <summary>Binds this scope to a person, for good.</summary>
    public void UseCaller(Caller caller)
    {
        if (Caller is { } known && known != caller)
            throw new InvalidOperationException("This scope already works for somebody else.");
        Caller = caller;
    }

    /// <summary>Packs what a page hands from its prerendering to its circuit; it travels through the browser.</summary>
    public PageState<T>? Pack<T>(T? value)
        where T : class => value is not null && Caller is { } caller ? new(caller.UserId, TenantId, value) : null;

    /// <summary>
    /// Takes what came back from the browser; null unless it was packed for this person and this store.
    /// </summary>
    public T? Unpack<T>(PageState<T>? state)
        where T : class =>
        state is not null && state.UserId == Caller?.UserId && state.TenantId == TenantId ? state.Value : null;

    internal void ReportDenial() => Denied?.Invoke();
}

/// <summary>
/// Figures that travel through the browser inside a page, and whose they are. Nothing in it decides who may do what.
/// </summary>
public sealed record PageState<T>(Guid UserId, Guid? TenantId, T Value);
