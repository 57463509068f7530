using System.Diagnostics;
using System.Diagnostics.Metrics;
using XenoInsights.Shopify;

namespace XenoInsights.Webhooks;

/// <summary>
/// Meters of the inbox, by topic and never by store: a label per store would grow with the customers.
/// </summary>
internal sealed class WebhookMetrics
{
    public const string MeterName = "XenoInsights.Webhooks";

    public static readonly ActivitySource Activities = new(MeterName);

    private readonly Counter<long> _received,
        _stored,
        _duplicates,
        _refused,
        _nothingStored,
        _applied,
        _ignored,
        _retried,
        _dead;
    private readonly Histogram<double> _lag;
    private readonly TimeProvider _time;
    private Backlog _backlog;
    private Func<long> _inFlight = () => 0;

    /// <param name="Waiting">Events.</param>
    /// <param name="Oldest">The age of the oldest of them, when they were looked at.</param>
    /// <param name="LookedAt">A timestamp of the clock.</param>
    private sealed record Backlog(long Waiting, TimeSpan Oldest, long LookedAt);

    public WebhookMetrics(IMeterFactory meters, TimeProvider time)
    {
        _time = time;
        _backlog = new(0, TimeSpan.Zero, time.GetTimestamp());
        var meter = meters.Create(MeterName);
        _received = meter.CreateCounter<long>("xeno.webhooks.received");
        _stored = meter.CreateCounter<long>("xeno.webhooks.stored");
        _duplicates = meter.CreateCounter<long>("xeno.webhooks.deduplicated");
        _refused = meter.CreateCounter<long>("xeno.webhooks.refused");
        _nothingStored = meter.CreateCounter<long>("xeno.webhooks.acknowledged_unknown_shop");
        _applied = meter.CreateCounter<long>("xeno.webhooks.applied");
        _ignored = meter.CreateCounter<long>("xeno.webhooks.ignored");
        _retried = meter.CreateCounter<long>("xeno.webhooks.retried");
        _dead = meter.CreateCounter<long>("xeno.webhooks.dead_lettered");
        _lag = meter.CreateHistogram(
            "xeno.webhooks.receipt_to_applied",
            "s",
            advice: new InstrumentAdvice<double>
            {
                HistogramBucketBoundaries = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 3600],
            }
        );
        meter.CreateObservableGauge("xeno.webhooks.waiting", () => _backlog.Waiting);
        meter.CreateObservableGauge("xeno.webhooks.oldest_waiting", () => OldestWaiting().TotalSeconds, "s");
        meter.CreateObservableGauge("xeno.webhooks.in_flight", () => _inFlight());
    }

    public void Received(string topic) => _received.Add(1, Label(topic));

    public void Stored(string topic, bool duplicate) => (duplicate ? _duplicates : _stored).Add(1, Label(topic));

    public void Refused(string topic, string reason) => _refused.Add(1, Label(topic), new("reason", reason));

    /// <summary>Acknowledged although no such shop is known: there is nothing to answer or to erase.</summary>
    public void NothingStored(string topic) => _nothingStored.Add(1, Label(topic));

    public void ObserveInFlight(Func<long> inFlight) => _inFlight = inFlight;

    public void Applied(string topic, TimeSpan sinceReceipt)
    {
        _applied.Add(1, Label(topic));
        _lag.Record(sinceReceipt.TotalSeconds, Label(topic));
    }

    public void Ignored(string topic) => _ignored.Add(1, Label(topic));

    public void Failed(string topic, bool dead) => (dead ? _dead : _retried).Add(1, Label(topic));

    public void Waiting(long waiting, TimeSpan oldest) => _backlog = new(waiting, oldest, _time.GetTimestamp());

    /// <summary>
    /// As of the last look, which is seconds ago. While nobody can look it grows: whatever waited then may wait still,
    /// and an age that stands still would tell that all is well.
    /// </summary>
    private TimeSpan OldestWaiting()
    {
        var backlog = _backlog;
        var since = _time.GetElapsedTime(backlog.LookedAt);
        return since > 2 * BacklogWatch.Interval ? backlog.Oldest + since : backlog.Oldest;
    }

    /// <summary>Whoever sends chooses the topic; only those of the table become labels.</summary>
    private static KeyValuePair<string, object?> Label(string topic) =>
        new("topic", WebhookTopics.Find(topic)?.Name ?? "other");
}
