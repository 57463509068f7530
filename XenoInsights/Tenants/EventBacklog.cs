namespace XenoInsights.Tenants;

/// <summary>
/// How current a store is: what waits, since when, and how long today's deliveries took from receipt to applied.
/// Database clock.
/// </summary>
/// <summary>A store's events that wait or failed, and how fast those of the day were applied.</summary>
public sealed record EventBacklog(long Waiting, TimeSpan? Oldest, TimeSpan? P50, TimeSpan? P99, long Dead);

/// <summary>Asks for the entered store's <see cref="EventBacklog"/>.</summary>
public interface IEventBacklogQuery
{
    /// <param name="today">The beginning of the shop's day.</param>
    Task<EventBacklog> StateAsync(DateTimeOffset today, CancellationToken ct);
}
