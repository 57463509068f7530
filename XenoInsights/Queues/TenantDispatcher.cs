using System.Collections.Concurrent;

namespace XenoInsights.Queues;

/// <summary>
/// Works on the stores that have something due, first come, first served, each as soon as a slot is free. A store that
/// is slow or locked holds one slot and delays no other store. It is worked on once at a time, and one whose work
/// failed is left alone for a second, and for twice as long after each further failure, up to half a minute.
/// </summary>
/// <param name="slots">How many stores are worked on at once.</param>
/// <param name="signal">Wakes the dispatcher before its next look.</param>
internal sealed class TenantDispatcher(int slots, WorkSignal signal, TimeProvider time, ILogger logger) : IDisposable
{
    /// <summary>The least time between two looks that find something.</summary>
    public static readonly TimeSpan Gap = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan _afterFailedLook = TimeSpan.FromSeconds(1);
    private static readonly Backoff _backoff = new(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(30));

    private readonly SemaphoreSlim _slots = new(slots, slots),
        _outside = new(slots, slots);
    private readonly ConcurrentDictionary<Guid, bool> _busy = new();
    private readonly ConcurrentDictionary<Guid, Rest> _rests = new();

    // Of the loop alone.
    private readonly List<Guid> _queue = [];
    private readonly List<Task> _turns = [];
    private long _lookedAt;
    private bool _hasFound,
        _isWoken = true;

    private readonly record struct Rest(int Failures, long Since, TimeSpan Time);

    /// <summary>The time between two looks that nobody asked for.</summary>
    public required TimeSpan Poll { get; init; }

    /// <summary>The stores that have something due, whoever is working on them.</summary>
    public required Func<CancellationToken, Task<List<Guid>>> FindDueAsync { get; init; }

    /// <summary>
    /// Works on a store for one turn, and returns the least time from its beginning to the next one's.
    /// </summary>
    public required Func<TenantTurn, CancellationToken, Task<TimeSpan>> WorkAsync { get; init; }

    /// <summary>Dispatches until it is stopped, and returns when the last turn has ended.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        try
        {
            while (true)
            {
                stopping.ThrowIfCancellationRequested();
                Begin(stopping);
                if (IsTimeToLook())
                    await LookAsync(stopping);
                else
                    _isWoken |= await signal.WaitAsync(UntilNext(), stopping);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            await Task.WhenAll(_turns);
        }
    }

    public void Dispose()
    {
        _slots.Dispose();
        _outside.Dispose();
    }

    private bool IsTimeToLook()
    {
        if (_lookedAt == 0)
            return true;
        var since = time.GetElapsedTime(_lookedAt);
        return since >= Poll || (_isWoken && (!_hasFound || since >= Gap));
    }

    private TimeSpan UntilNext()
    {
        var next = (_isWoken ? Gap : Poll) - time.GetElapsedTime(_lookedAt);
        if (_slots.CurrentCount > 0)
            foreach (var tenant in _queue)
                if (RestOf(tenant) is var rest && rest < next)
                    next = rest;
        return next > TimeSpan.Zero ? next : TimeSpan.Zero;
    }

    private async Task LookAsync(CancellationToken ct)
    {
        // Who is busy now may have been found due by what is being done.
        var busy = _busy.Keys.ToHashSet();
        (_isWoken, _lookedAt) = (false, time.GetTimestamp());
        try
        {
            var due = await FindDueAsync(ct);
            _hasFound = due.Count > 0;
            Queue(due, busy);
        }
        catch (Exception failure) when (!ct.IsCancellationRequested)
        {
            logger.LogWarning(failure, "Looking for stores with something due failed");
            await Task.Delay(_afterFailedLook, time, ct);
        }
    }

    /// <summary>Who waits keeps the place; who is found comes last, whether it was just worked on or is new.</summary>
    private void Queue(List<Guid> due, HashSet<Guid> busy)
    {
        var found = due.ToHashSet();
        _queue.RemoveAll(tenant => !found.Contains(tenant));
        found.ExceptWith(_queue);
        _queue.AddRange(due.Where(tenant => found.Contains(tenant) && !busy.Contains(tenant)));
        foreach (
            var tenant in _rests
                .Keys.Except(due)
                .Where(tenant => !_busy.ContainsKey(tenant) && RestOf(tenant) <= TimeSpan.Zero)
        )
            _rests.TryRemove(tenant, out _);
    }

    private void Begin(CancellationToken stopping)
    {
        _turns.RemoveAll(turn => turn.IsCompleted);
        if (_slots.CurrentCount == 0)
            return;
        foreach (var tenant in _queue.Where(tenant => RestOf(tenant) <= TimeSpan.Zero).ToList())
        {
            if (!_slots.Wait(0, CancellationToken.None))
                return;
            _queue.Remove(tenant);
            _busy[tenant] = true;
            _turns.Add(Task.Run(() => TakeTurnAsync(tenant, stopping), CancellationToken.None));
        }
    }

    private async Task TakeTurnAsync(Guid tenant, CancellationToken stopping)
    {
        var began = time.GetTimestamp();
        try
        {
            _rests[tenant] = new(0, began, await WorkAsync(new TenantTurn(tenant, OutsideAsync), stopping));
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Stopping: what was not done is due for whoever looks next.
        }
        catch (Exception failure)
        {
            BackOff(tenant, failure);
        }
        finally
        {
            _busy.TryRemove(tenant, out _);
            _slots.Release();
            signal.Wake();
        }
    }

    private void BackOff(Guid tenant, Exception failure)
    {
        var failures = _rests.GetValueOrDefault(tenant).Failures + 1;
        var pause = _backoff.After(failures);
        _rests[tenant] = new(failures, time.GetTimestamp(), pause);
        logger.LogWarning(
            failure,
            "Work on {Tenant} failed {Failures} times in a row; it is tried again in {Pause}",
            tenant,
            failures,
            pause
        );
    }

    /// <summary>
    /// Gives the turn's slot to others while it waits for somebody else, with as many turns as there are slots.
    /// </summary>
    private async Task OutsideAsync(Func<Task> wait)
    {
        _slots.Release();
        signal.Wake();
        try
        {
            await _outside.WaitAsync(CancellationToken.None);
            try
            {
                await wait();
            }
            finally
            {
                _outside.Release();
            }
        }
        finally
        {
            // Always, so that each turn ends with a slot to give back.
            await _slots.WaitAsync(CancellationToken.None);
        }
    }

    private TimeSpan RestOf(Guid tenant) =>
        _rests.TryGetValue(tenant, out var rest) ? rest.Time - time.GetElapsedTime(rest.Since) : TimeSpan.Zero;
}

/// <summary>One turn of a store at a <see cref="TenantDispatcher"/>.</summary>
internal sealed class TenantTurn(Guid tenantId, Func<Func<Task>, Task> outside)
{
    public Guid TenantId => tenantId;

    /// <summary>
    /// Waits for somebody else, such as Shopify, without a slot: other stores are worked on meanwhile, this one is not.
    /// </summary>
    public async Task<T> WithoutSlotAsync<T>(Func<Task<T>> wait)
    {
        T? answer = default;
        await outside(async () => answer = await wait());
        return answer!;
    }
}
