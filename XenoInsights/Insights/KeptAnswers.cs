using System.Text.Json;

namespace XenoInsights.Insights;

/// <summary>
/// Answers in memory, up to so many bytes in all and so many of one store. A store's own oldest answers give way to its
/// newer ones; where all stores together have too much, those of the store that has most do. So nobody's questions push
/// out the answers of others who ask less.
/// </summary>
/// <param name="most">Bytes in all.</param>
/// <param name="mostOfOne">Bytes of one store.</param>
internal sealed class KeptAnswers(long most, long mostOfOne, TimeProvider time)
{
    /// <summary>About what an answer takes beside itself: its question, and its places in the lists.</summary>
    private const int Overhead = 512;

    private static readonly TimeSpan _unasked = TimeSpan.FromMinutes(15),
        _sweeps = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<Guid, Share> _shares = [];
    private DateTimeOffset _swept;

    /// <summary>Of all answers that are kept.</summary>
    public long Bytes { get; private set; }

    /// <summary>
    /// The answer, if it was found in this version of the store's data, or serves although they have changed; else
    /// null.
    /// </summary>
    public object? Find(Guid tenantId, object question, long version)
    {
        var now = time.GetUtcNow();
        lock (_gate)
        {
            if (!_shares.TryGetValue(tenantId, out var share) || !share.Answers.TryGetValue(question, out var node))
                return null;
            if (node.Value.Version != version && node.Value.ServesUntil <= now)
                return null;
            node.Value.AskedAt = now;
            share.ByAge.Remove(node);
            share.ByAge.AddFirst(node);
            return node.Value.Answer;
        }
    }

    /// <param name="version">Of the data that it answers from.</param>
    /// <param name="serves">How long it serves whatever becomes of the data.</param>
    public void Keep(Guid tenantId, object question, long version, object answer, TimeSpan serves)
    {
        var size = SizeOf(answer);
        var now = time.GetUtcNow();
        lock (_gate)
        {
            if (_shares.TryGetValue(tenantId, out var share) && share.Answers.TryGetValue(question, out var older))
                Drop(tenantId, share, older);
            if (size > mostOfOne)
                return;
            if (!_shares.TryGetValue(tenantId, out share))
                _shares[tenantId] = share = new();
            share.Answers[question] = share.ByAge.AddFirst(
                new Kept(question, version, answer, size, now + serves) { AskedAt = now }
            );
            share.Bytes += size;
            Bytes += size;
            Sweep(now);
            while (share.Bytes > mostOfOne)
                Drop(tenantId, share, share.ByAge.Last!);
            while (Bytes > most)
                DropOfLargest();
        }
    }

    /// <summary>Estimated: an answer takes about as much memory as its JSON has characters.</summary>
    private static long SizeOf(object answer)
    {
        using var writer = new Utf8JsonWriter(Stream.Null);
        JsonSerializer.Serialize(writer, answer, answer.GetType());
        return writer.BytesCommitted + writer.BytesPending + Overhead;
    }

    private void DropOfLargest()
    {
        var (tenantId, share) = _shares.MaxBy(s => s.Value.Bytes);
        Drop(tenantId, share, share.ByAge.Last!);
    }

    // What nobody has asked for lately is of no more use.
    private void Sweep(DateTimeOffset now)
    {
        if (now - _swept < _sweeps)
            return;
        _swept = now;
        foreach (var (tenantId, share) in _shares.ToList())
            while (share.ByAge.Last is { } last && now - last.Value.AskedAt > _unasked)
                Drop(tenantId, share, last);
    }

    private void Drop(Guid tenantId, Share share, LinkedListNode<Kept> node)
    {
        share.Answers.Remove(node.Value.Question);
        share.ByAge.Remove(node);
        share.Bytes -= node.Value.Size;
        Bytes -= node.Value.Size;
        if (share.Answers.Count == 0)
            _shares.Remove(tenantId);
    }

    private sealed class Share
    {
        public Dictionary<object, LinkedListNode<Kept>> Answers { get; } = [];

        /// <summary>Asked for last, first.</summary>
        public LinkedList<Kept> ByAge { get; } = new();
        public long Bytes { get; set; }
    }

    private sealed record Kept(object Question, long Version, object Answer, long Size, DateTimeOffset ServesUntil)
    {
        public DateTimeOffset AskedAt { get; set; }
    }
}
