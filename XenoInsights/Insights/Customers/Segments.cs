using System.Globalization;

namespace XenoInsights.Insights.Customers;

/// <summary>
/// Shopify's eleven groups of customers by how recently, how often and for how much they ordered
/// (<c>CustomerRfmGroup</c>).
/// </summary>
public enum Segment
{
    Champions,
    Loyal,
    Active,
    New,
    Promising,
    NeedsAttention,
    AtRisk,
    PreviouslyLoyal,
    AlmostLost,
    Dormant,

    /// <summary>Customers without an order.</summary>
    Prospects,
}

/// <summary>
/// Which customers belong to which group. Each measure is scored 1 to 5 by how many of the store's own marks (the
/// values that 20, 40, 60 and 80 % of its customers do not exceed) it lies above, so equal values share a score; a last
/// order on the day of a mark passes it, else nobody could be recent on a day on which a fifth of them ordered.
/// Shopify's own map is not published; this one is ours.
/// </summary>
public static class Segments
{
    /// <summary>By recency (1 to 5, rows) and the mean of frequency and money, rounded up (1 to 5, columns).</summary>
    private static readonly Segment[][] _map =
    [
        [Segment.Dormant, Segment.Dormant, Segment.AtRisk, Segment.AtRisk, Segment.PreviouslyLoyal],
        [Segment.AlmostLost, Segment.AlmostLost, Segment.AtRisk, Segment.AtRisk, Segment.PreviouslyLoyal],
        [Segment.AlmostLost, Segment.NeedsAttention, Segment.NeedsAttention, Segment.Loyal, Segment.Loyal],
        [Segment.Promising, Segment.Active, Segment.Active, Segment.Loyal, Segment.Loyal],
        [Segment.New, Segment.Active, Segment.Active, Segment.Champions, Segment.Champions],
    ];

    public static Segment Of(int recency, int value) => _map[recency - 1][value - 1];

    public static int ValueOf(int frequency, int money) => (frequency + money + 1) / 2;

    public static string Name(Segment segment) =>
        segment switch
        {
            Segment.NeedsAttention => "Needs attention",
            Segment.AtRisk => "At risk",
            Segment.PreviouslyLoyal => "Previously loyal",
            Segment.AlmostLost => "Almost lost",
            _ => segment.ToString(),
        };

    public static string Words(Segment segment) =>
        segment switch
        {
            Segment.Champions => "Ordered lately, often and for much",
            Segment.Loyal => "Order often or for much, lately enough",
            Segment.Active => "Ordered lately, at an ordinary rate",
            Segment.New => "Ordered lately for the first time or for little",
            Segment.Promising => "Ordered not long ago for the first time or for little",
            Segment.NeedsAttention => "Ordinary customers who have not ordered for a while",
            Segment.AtRisk => "Good customers who have not ordered for long",
            Segment.PreviouslyLoyal => "Once among the best, not seen for long",
            Segment.AlmostLost => "Ordered little, and not for a while",
            Segment.Dormant => "Ordered little, long ago",
            _ => "Customers without an order",
        };

    /// <summary>Its name in addresses and the API: needs-attention.</summary>
    public static string Key(Segment segment) => Name(segment).ToLowerInvariant().Replace(' ', '-');

    public static Segment? Find(string? key) =>
        Enum.GetValues<Segment>().Where(s => Key(s) == key).Select(s => (Segment?)s).FirstOrDefault();

    /// <summary>
    /// SQL for the segment's number of a row <c>t</c> of customer_totals, beside a row <c>m</c> of marks.
    /// </summary>
    internal static string Sql { get; } =
        $"({Array(_map)})[{Score("t.last_order_day", "m.recency", ">=")}][({Score("t.orders", "m.frequency")} "
        + $"+ {Score("t.total_sales", "m.money")} + 1) / 2]";

    internal static string Score(string value, string marks, string passes = ">") =>
        $"(1 + {string.Join(" + ", Enumerable.Range(1, 4).Select(i => $"({value} {passes} {marks}[{i}])::int"))})";

    /// <summary>SQL for the marks of the tenant $1: null without customers.</summary>
    internal const string Marks = """
        select percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (order by last_order_day) recency,
            percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (order by orders) frequency,
            percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (order by total_sales) money
        from customer_totals where tenant_id = $1 and orders > 0
        """;

    /// <summary>The same marks as a row, once they are known.</summary>
    internal static string Row(SegmentMarks marks) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"(select array[{string.Join(", ", marks.Recency.Select(d => $"date '{d:yyyy-MM-dd}'"))}] "
                + $"recency, array[{string.Join(", ", marks.Frequency)}]::bigint[] frequency, "
                + $"array[{string.Join(", ", marks.Money)}]::bigint[] money)"
        );

    private static string Array(Segment[][] map) =>
        $"array[{string.Join(", ", map.Select(row => $"[{string.Join(", ", row.Select(s => (int)s))}]"))}]";
}

/// <summary>The values that 20, 40, 60 and 80 % of a store's customers with orders do not exceed.</summary>
internal sealed record SegmentMarks(DateOnly[] Recency, long[] Frequency, long[] Money)
{
    public static SegmentMarks None { get; } = new([default, default, default, default], [0, 0, 0, 0], [0, 0, 0, 0]);
}

/// <param name="Customers">How many customers are in it.</param>
/// <param name="TotalCents">Their total sales in the whole history, minor units.</param>
public sealed record SegmentAnswer(
    string Segment,
    string Name,
    string Words,
    long Customers,
    long Orders,
    long TotalCents
);
