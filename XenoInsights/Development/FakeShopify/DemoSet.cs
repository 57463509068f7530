using System.Globalization;
using System.Text;
using System.Text.Json;

namespace XenoInsights.Development.FakeShopify;

/// <summary>
/// What can be sorted and filtered without making the object. Instants in milliseconds since 1970, UTC.
/// </summary>
public readonly record struct DemoKey(long Id, long CreatedAt, long UpdatedAt, long ProcessedAt);

/// <summary>A position in a sorted list; travels as the platform's opaque base64 JSON.</summary>
public readonly record struct DemoCursor(long LastId, long LastValue)
{
    public override string ToString() =>
        Convert.ToBase64String(
            Encoding.ASCII.GetBytes(
                string.Create(CultureInfo.InvariantCulture, $$"""{"last_id":{{LastId}},"last_value":{{LastValue}}}""")
            )
        );

    public static DemoCursor? TryParse(string text)
    {
        try
        {
            using var json = JsonDocument.Parse(Convert.FromBase64String(text));
            return new DemoCursor(
                json.RootElement.GetProperty("last_id").GetInt64(),
                json.RootElement.GetProperty("last_value").GetInt64()
            );
        }
        catch (Exception e)
            when (e is FormatException or JsonException or KeyNotFoundException or InvalidOperationException)
        {
            return null;
        }
    }
}

/// <summary>One object under the eye of a filter; made only if the filter asks for more than the key.</summary>
public sealed class DemoCandidate<T>(Func<int, T> item)
    where T : class
{
    private int _position;
    private T? _made;

    public DemoKey Key { get; private set; }

    public T Item => _made ??= item(_position);

    public void MoveTo(int newPosition, in DemoKey key, T? known = null)
    {
        _position = newPosition;
        Key = key;
        _made = known;
    }
}

public static class DemoSet
{
    public static DemoSet<T> Of<T>(IReadOnlyList<T> items)
        where T : class, IDemoObject
    {
        var positions = new Dictionary<long, int>(items.Count);
        for (var i = 0; i < items.Count; i++)
        {
            positions.Add(items[i].Id, i);
        }
        return new(items.Count, i => items[i], id => positions.TryGetValue(id, out var position) ? position : null);
    }

    public static DemoKey KeyOf(IDemoObject item) =>
        new(
            item.Id,
            item.CreatedAt.ToUnixTimeMilliseconds(),
            item.UpdatedAt.ToUnixTimeMilliseconds(),
            (item is DemoOrder order ? order.ProcessedAt : item.CreatedAt).ToUnixTimeMilliseconds()
        );
}

/// <summary>
/// The objects of one kind in a store: computed from their position when asked for, so that a store of any size
/// stays small, with the changes made since kept on top. Positions are in order of creation. Safe for concurrent
/// use.
/// </summary>
public sealed class DemoSet<T>(int computed, Func<int, T> compute, Func<long, int?> positionOf)
    where T : class, IDemoObject
{
    private readonly Lock _gate = new();
    private readonly Dictionary<int, T?> _changed = [];
    private readonly Dictionary<long, int> _added = [];
    private int _count = computed;
    private DemoKey[]? _keys;
    private readonly Dictionary<string, int[]> _orders = [];

    public T? Find(long id)
    {
        lock (_gate)
        {
            return PositionOf(id) is { } position ? At(position) : null;
        }
    }

    /// <summary>Everything there is, oldest first, made one by one.</summary>
    public IEnumerable<T> All()
    {
        for (var position = 0; ; position++)
        {
            T? item;
            lock (_gate)
            {
                if (position >= _count)
                {
                    yield break;
                }
                item = At(position);
            }
            if (item is not null)
            {
                yield return item;
            }
        }
    }

    /// <summary>Adds the object, or replaces the one with its id.</summary>
    public void Put(T item)
    {
        lock (_gate)
        {
            if (PositionOf(item.Id) is not { } position)
            {
                position = _count++;
                _added[item.Id] = position;
            }
            _changed[position] = item;
            ClearKeys();
        }
    }

    public bool Remove(long id)
    {
        lock (_gate)
        {
            if (PositionOf(id) is not { } position || At(position) is null)
            {
                return false;
            }
            _changed[position] = null;
            ClearKeys();
            return true;
        }
    }

    public int Count(Func<DemoCandidate<T>, bool>? filter, int limit = int.MaxValue)
    {
        var (sortedKeys, order) = Sorted("ID");
        var candidate = new DemoCandidate<T>(Make);
        var matches = 0;
        foreach (var position in order)
        {
            candidate.MoveTo(position, sortedKeys[position]);
            if (filter is null || filter(candidate))
            {
                if (++matches >= limit)
                {
                    break;
                }
            }
        }
        return matches;
    }

    /// <summary>The matches in sorted order, from behind the cursor on.</summary>
    public IEnumerable<(T Item, DemoCursor Cursor)> Walk(
        string sortKey,
        bool descending,
        DemoCursor? after,
        Func<DemoCandidate<T>, bool>? filter
    )
    {
        var (sortedKeys, order) = Sorted(sortKey);
        var candidate = new DemoCandidate<T>(Make);
        for (
            var i = after is { } cursor ? FirstBehind(sortedKeys, order, sortKey, descending, cursor) : 0;
            i < order.Length;
            i++
        )
        {
            var position = order[descending ? order.Length - 1 - i : i];
            candidate.MoveTo(position, sortedKeys[position]);
            if (filter is null || filter(candidate))
            {
                yield return (candidate.Item, new DemoCursor(candidate.Key.Id, SortValue(candidate.Key, sortKey)));
            }
        }
    }

    private static int FirstBehind(DemoKey[] keys, int[] order, string sortKey, bool descending, DemoCursor cursor)
    {
        int low = 0,
            high = order.Length;
        while (low < high)
        {
            var middle = (low + high) / 2;
            var key = keys[order[descending ? order.Length - 1 - middle : middle]];
            var comparison = (SortValue(key, sortKey), key.Id).CompareTo((cursor.LastValue, cursor.LastId));
            if (descending ? comparison >= 0 : comparison <= 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }
        return low;
    }

    // The platform's other sort keys (titles, totals, relevance) are not needed by a reader of changes; they come out
    // by id.
    private static long SortValue(in DemoKey key, string sortKey) =>
        sortKey switch
        {
            "CREATED_AT" or "PUBLISHED_AT" => key.CreatedAt,
            "UPDATED_AT" => key.UpdatedAt,
            "PROCESSED_AT" => key.ProcessedAt,
            _ => key.Id,
        };

    private (DemoKey[] Keys, int[] Order) Sorted(string sortKey)
    {
        lock (_gate)
        {
            if (_keys is null)
            {
                _keys = new DemoKey[_count];
                for (var i = 0; i < _count; i++)
                {
                    _keys[i] = At(i) is { } item ? DemoSet.KeyOf(item) : default;
                }
            }
            if (!_orders.TryGetValue(sortKey, out var order))
            {
                var all = _keys;
                order = [.. Enumerable.Range(0, _count).Where(i => all[i].Id != 0)];
                Array.Sort(
                    order,
                    (a, b) => (SortValue(all[a], sortKey), all[a].Id).CompareTo((SortValue(all[b], sortKey), all[b].Id))
                );
                _orders[sortKey] = order;
            }
            return (_keys, order);
        }
    }

    private T Make(int position)
    {
        lock (_gate)
        {
            return At(position) ?? throw new InvalidOperationException("The object was removed while it was read.");
        }
    }

    private T? At(int position) =>
        _changed.Count > 0 && _changed.TryGetValue(position, out var item) ? item : compute(position);

    private int? PositionOf(long id) => _added.TryGetValue(id, out var position) ? position : positionOf(id);

    private void ClearKeys()
    {
        _keys = null;
        _orders.Clear();
    }
}
