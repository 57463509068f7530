using XenoInsights.Notifications;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Operations.Fleet;

/// <summary>
/// A store as operators see it: states, times and numbers of events, nothing of what its data say. UTC.
/// </summary>
/// <param name="DataCurrentTo">When the store's data last changed; null before the first import.</param>
/// <param name="Waiting">Webhook events that are not applied yet.</param>
/// <param name="OldestSeconds">How long the oldest of them waits; null without any.</param>
/// <param name="Failed">Webhook events that could not be applied and wait for a replay.</param>
/// <param name="LastJobs">The newest sync job of each type.</param>
public sealed record StoreState(
    Guid TenantId,
    string StoreDomain,
    TenantStatus Status,
    DateTimeOffset ConnectedAt,
    DateTimeOffset? DataCurrentTo,
    long Waiting,
    double? OldestSeconds,
    long Failed,
    IReadOnlyList<JobState> LastJobs
);

/// <summary>A sync job of some store. UTC.</summary>
public sealed record JobState(
    Guid Id,
    Guid TenantId,
    string StoreDomain,
    SyncJobType Type,
    SyncJobStatus Status,
    int Attempts,
    DateTimeOffset CreatedAt,
    DateTimeOffset? StartedAt,
    DateTimeOffset? FinishedAt,
    string? Error
);

/// <summary>An incident of some store. UTC; open while it has no end.</summary>
public sealed record IncidentState(
    Guid Id,
    Guid TenantId,
    string StoreDomain,
    IncidentKind Kind,
    DateTimeOffset OpenedAt,
    DateTimeOffset? ResolvedAt,
    string Detail
);

/// <summary>An incident of many stores at once. UTC.</summary>
/// <param name="Stores">In how many stores it was at most.</param>
public sealed record FleetIncidentState(
    Guid Id,
    IncidentKind Kind,
    DateTimeOffset OpenedAt,
    DateTimeOffset? ResolvedAt,
    int Stores
);

/// <summary>The last row of a page, from which the next one goes on.</summary>
public readonly record struct Place(DateTimeOffset At, Guid Id);
