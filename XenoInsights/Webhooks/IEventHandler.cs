using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Queues;
using XenoInsights.Tenants;

namespace XenoInsights.Webhooks;

/// <summary>
/// Applies the events of one topic that ask for more than storing objects. Each event has a unit of work of its own,
/// which may run again after a failure. Events come late and out of order, so a handler compares when one was triggered
/// with what happened since.
/// </summary>
internal interface IEventHandler
{
    string Topic { get; }

    /// <summary>
    /// Before the unit of work: what has to be asked of Shopify first. May run again, and does not run in a dry run.
    /// </summary>
    Task PrepareAsync(TenantTurn turn, JsonElement body, CancellationToken ct) => Task.CompletedTask;

    /// <summary>Applies the event in the unit of work that marks it.</summary>
    /// <returns>What was done, in words for people.</returns>
    Task<string> HandleAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    );

    /// <summary>After the commit; does not run when the process ends in between.</summary>
    Task CommittedAsync(Guid tenantId, WaitingEvent applied, CancellationToken ct) => Task.CompletedTask;
}

/// <summary>Empties bodies that must not be kept although their event was applied.</summary>
internal interface IEventBodyEraser
{
    /// <summary>
    /// In the unit of work that marks the events: empties the bodies of those that tell of somebody who was erased in
    /// the meantime.
    /// </summary>
    Task EmptyLateEventsAsync(
        XenoDbContext db,
        Guid tenantId,
        IReadOnlyCollection<WaitingEvent> events,
        CancellationToken ct
    );
}
