namespace XenoInsights.Sync;

/// <summary>
/// Which sync jobs a process may begin beside those that run. A slot is kept free for each type that runs none, so that
/// thousands of nightly jobs do not hold up a new store's import, nor one long type all others; and of two full imports
/// side by side one is a store's first.
/// </summary>
internal sealed class SyncSlots(int parallel)
{
    private static readonly SyncJobType[] _types = Enum.GetValues<SyncJobType>();

    private readonly Lock _lock = new();
    private readonly Dictionary<Guid, (SyncJobType Type, bool IsFirstImport)> _running = [];

    /// <summary>Full imports fill memory and processors; the others mostly wait for Shopify.</summary>
    private int MostFull => Math.Max(1, parallel / 4);

    /// <summary>How many more jobs of each type may begin now.</summary>
    public IReadOnlyDictionary<SyncJobType, int> Free()
    {
        lock (_lock)
            return _types.ToDictionary(type => type, FreeOf);
    }

    /// <summary>Takes a slot; false when there is none, or the job runs here already.</summary>
    public bool TryTake(Guid jobId, SyncJobType type, bool isFirstImport)
    {
        lock (_lock)
        {
            if (FreeOf(type) == 0 || _running.ContainsKey(jobId))
                return false;
            if (type == SyncJobType.Full && !isFirstImport && RepeatedImports() >= Math.Max(1, MostFull - 1))
                return false;
            _running[jobId] = (type, isFirstImport);
            return true;
        }
    }

    public void Release(Guid jobId)
    {
        lock (_lock)
            _running.Remove(jobId);
    }

    private int FreeOf(SyncJobType type)
    {
        var kept = parallel < _types.Length ? 0 : _types.Count(other => other != type && RunningOf(other) == 0);
        var free = parallel - _running.Count - kept;
        if (type == SyncJobType.Full)
            free = Math.Min(free, MostFull - RunningOf(type));
        return Math.Max(0, free);
    }

    private int RunningOf(SyncJobType type) => _running.Values.Count(job => job.Type == type);

    private int RepeatedImports() =>
        _running.Values.Count(job => job is { Type: SyncJobType.Full, IsFirstImport: false });
}
