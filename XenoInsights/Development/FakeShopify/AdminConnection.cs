using System.Globalization;
using System.Text.Json;

namespace XenoInsights.Development.FakeShopify;

/// <summary>How values look on the wire.</summary>
internal static class Utf8JsonReaderExtensions
{
    /// <summary>PartiallyPaid is PARTIALLY_PAID.</summary>
    public static string Name<TEnum>(TEnum value)
        where TEnum : struct, Enum => Names<TEnum>.All[value];

    public static string Time(DateTimeOffset instant) =>
        instant.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    public static object? Scalar(object? value) =>
        value switch
        {
            DateTimeOffset instant => Time(instant),
            Gid or DemoAmount => value.ToString(),
            _ => value,
        };

    private static class Names<TEnum>
        where TEnum : struct, Enum
    {
        public static readonly Dictionary<TEnum, string> All = Enum.GetValues<TEnum>()
            .ToDictionary(value => value, value => JsonNamingPolicy.SnakeCaseUpper.ConvertName(value.ToString()));
    }
}

/// <summary>A list field's window; null where the query does not say.</summary>
internal readonly record struct AdminWindow(int? First, string? After, int? Last, string? Before)
{
    public const int Largest = 250;

    public void Check()
    {
        var problem = (First, Last) switch
        {
            (null, null) => "you must provide one of first or last",
            ({ }, { }) => "providing both first and last is not supported",
            (> Largest, _) => $"first cannot exceed {Largest}",
            (_, > Largest) => $"last cannot exceed {Largest}",
            (< 0, _) or (_, < 0) => "first and last must not be negative",
            _ => null,
        };
        if (problem is not null)
        {
            throw AdminError.BadRequest(problem);
        }
    }

    public static DemoCursor? Cursor(string? text) =>
        text is null
            ? null
            : DemoCursor.TryParse(text) ?? throw AdminError.BadRequest("Invalid cursor for current pagination sort.");
}

/// <summary>A connection before it is cut into pages: a page for ordinary queries, everything for bulk ones.</summary>
internal abstract class AdminConnection
{
    public abstract IEnumerable<object> All();

    public AdminPage Page(AdminWindow window)
    {
        window.Check();
        var forward = window.First is not null;
        var size = window.First ?? window.Last!.Value;
        var start = AdminWindow.Cursor(forward ? window.After : window.Before);
        var edges = Walk(!forward, start).Take(size + 1).ToList();
        var more = edges.Count > size;
        edges = edges[..Math.Min(size, edges.Count)];
        if (!forward)
        {
            edges.Reverse();
        }
        return forward ? new(edges, more, start is not null) : new(edges, start is not null, more);
    }

    protected abstract IEnumerable<AdminEdge> Walk(bool backward, DemoCursor? from);
}

internal sealed record AdminEdge(object Node, DemoCursor Cursor);

internal sealed record AdminPage(IReadOnlyList<AdminEdge> Edges, bool HasNext, bool HasPrevious);

internal sealed class ListConnection(IEnumerable<object> items) : AdminConnection
{
    public override IEnumerable<object> All() => items;

    protected override IEnumerable<AdminEdge> Walk(bool backward, DemoCursor? from)
    {
        var edges = items.Select((item, i) => new AdminEdge(item, new DemoCursor(i + 1, i + 1)));
        return backward
            ? edges.Reverse().SkipWhile(edge => edge.Cursor.LastId >= (from?.LastId ?? long.MaxValue))
            : edges.SkipWhile(edge => edge.Cursor.LastId <= (from?.LastId ?? 0));
    }
}

internal sealed class SetConnection<T>(
    DemoSet<T> set,
    Func<DemoCandidate<T>, bool>? filter,
    string sortKey,
    bool reverse
) : AdminConnection
    where T : class, IDemoObject
{
    /// <summary>
    /// Unsorted if the set's own order will do: a store of any size then passes through without an index.
    /// </summary>
    public override IEnumerable<object> All()
    {
        if (reverse || sortKey is not ("ID" or "CREATED_AT" or "PROCESSED_AT"))
        {
            foreach (var (item, _) in set.Walk(sortKey, reverse, null, filter))
            {
                yield return item;
            }
            yield break;
        }
        var candidate = new DemoCandidate<T>(_ => throw new InvalidOperationException("Made already."));
        foreach (var item in set.All())
        {
            candidate.MoveTo(0, DemoSet.KeyOf(item), item);
            if (filter is null || filter(candidate))
            {
                yield return item;
            }
        }
    }

    protected override IEnumerable<AdminEdge> Walk(bool backward, DemoCursor? from) =>
        set.Walk(sortKey, reverse != backward, from, filter).Select(match => new AdminEdge(match.Item, match.Cursor));
}
