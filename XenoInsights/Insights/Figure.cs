using XenoInsights.Formatting;
using XenoInsights.Insights.Overview;
using XenoInsights.Tenants;

namespace XenoInsights.Insights;

/// <summary>A figure over the range of a page: a tile shows it, a chart draws it.</summary>
/// <param name="Key">Its name in addresses, and the key of its definition.</param>
/// <param name="Now">Of the whole range; minor units, a count or a fraction, null where there is nothing to
/// measure.</param>
/// <param name="Before">Of the whole comparison.</param>
/// <param name="Values">By bucket.</param>
/// <param name="ValuesBefore">By bucket of the comparison; null without one.</param>
public sealed record Figure(
    string Key,
    Unit Unit,
    Better Better,
    decimal? Now,
    decimal? Before,
    IReadOnlyList<decimal?> Values,
    IReadOnlyList<decimal?>? ValuesBefore,
    bool ExactOnTile = false
)
{
    public Definition Definition => Definitions.Of(Key);

    public string Label => Definition.Name;

    /// <summary>As far as there are values: what is still to come is left out.</summary>
    public IReadOnlyList<decimal?> Course => [.. Values.Reverse().SkipWhile(value => value is null).Reverse()];

    public bool IsCompared => ValuesBefore is not null;

    public Change Compare(decimal? now, decimal? before) =>
        Unit == Unit.Rate
            ? Change.OfRate(now, before, Better)
            : Change.Of((long)(now ?? 0), now is null ? null : (long?)before, Better);
}

/// <summary>One place on the time axis.</summary>
/// <param name="Date">First day of the bucket.</param>
/// <param name="Hour">Of hours only.</param>
public readonly record struct Bucket(DateOnly Date, int? Hour = null)
{
    /// <summary>An hour that the shop's clock has not reached: not empty, but not there yet.</summary>
    public bool IsToCome(StoreClock clock) =>
        Hour is { } hour && (Date > clock.Today || (Date == clock.Today && hour > clock.Now.Hour));
}

/// <summary>The time axis that the figures of a page share.</summary>
public sealed record TimeAxis(
    DateRange Now,
    DateRange? Before,
    Granularity Granularity,
    IReadOnlyList<Bucket> Buckets,
    IReadOnlyList<Bucket>? BucketsBefore
)
{
    public DateOnly LastDayOf(Bucket bucket) =>
        Granularity switch
        {
            Granularity.Week => bucket.Date.AddDays(6),
            Granularity.Month => bucket.Date.AddMonths(1).AddDays(-1),
            _ => bucket.Date,
        };

    /// <summary>The days of a bucket, as far as the range has them.</summary>
    public DateRange DaysOf(int index)
    {
        var (first, last) = (Buckets[index].Date, LastDayOf(Buckets[index]));
        return new(first < Now.From ? Now.From : first, last > Now.To ? Now.To : last);
    }
}
