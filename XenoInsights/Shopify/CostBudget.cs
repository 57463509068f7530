namespace XenoInsights.Shopify;

/// <summary>
/// What a shop's bucket of query cost holds, as far as this process knows. Shopify refuses a query whose requested cost
/// does not fit, so we wait before sending it. Other processes and apps of the same shop draw on it unseen; Shopify's
/// answer corrects us.
/// </summary>
internal sealed class CostBudget(TimeProvider time)
{
    private readonly Lock _lock = new();
    private double _available;
    private double _maximum;
    private double _restoredPerSecond;
    private long _asOf;
    private bool _known;
    private double _inFlight;

    /// <summary>Returns once the cost fits and is set aside; <see cref="Settle"/> must follow.</summary>
    public async Task ReserveAsync(double cost, CancellationToken ct)
    {
        while (TryReserve(cost) is { Ticks: > 0 } wait)
            await Task.Delay(wait, time, ct);
    }

    /// <param name="status">What Shopify said it holds after the query; null when there was no such answer.</param>
    public void Settle(double reserved, ThrottleStatus? status)
    {
        lock (_lock)
        {
            _inFlight -= reserved;
            if (status is not { } told)
                return;
            (_known, _asOf) = (true, time.GetTimestamp());
            (_available, _maximum, _restoredPerSecond) = (
                told.CurrentlyAvailable,
                told.MaximumAvailable,
                Math.Max(1, told.RestoreRate)
            );
        }
    }

    /// <summary>
    /// How long to wait after Shopify refused a query of this cost: until it fits, at least a second.
    /// </summary>
    public TimeSpan WaitFor(double cost)
    {
        lock (_lock)
        {
            var missing = _known ? Math.Min(cost, _maximum) - Held() : 0;
            return TimeSpan.FromSeconds(Math.Max(1, missing / Math.Max(1, _restoredPerSecond)));
        }
    }

    private TimeSpan TryReserve(double cost)
    {
        lock (_lock)
        {
            var missing = _known ? Math.Min(cost, _maximum) - (Held() - _inFlight) : 0;
            if (missing > 0)
                return TimeSpan.FromSeconds(Math.Max(0.05, missing / _restoredPerSecond));
            _inFlight += cost;
            return TimeSpan.Zero;
        }
    }

    private double Held() =>
        Math.Min(_maximum, _available + (time.GetElapsedTime(_asOf).TotalSeconds * _restoredPerSecond));
}

internal readonly record struct ThrottleStatus(double MaximumAvailable, double CurrentlyAvailable, double RestoreRate);
