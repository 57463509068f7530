using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;

namespace XenoInsights.Tenants;

/// <summary>
/// A time zone's offsets from UTC for SQL. The calendar of a store is .NET's everywhere: PostgreSQL is given the
/// offsets and never a zone's name, which its own time zone files may not know or know otherwise.
/// </summary>
public sealed class ZoneOffsets
{
    /// <summary>Before it clocks showed local mean time, which never changed; after it the last offset stays.</summary>
    private const int FirstYear = 1840,
        LastYear = 2200;
    private static readonly TimeSpan _step = TimeSpan.FromHours(12);
    private static readonly ConcurrentDictionary<string, ZoneOffsets> _known = new(StringComparer.Ordinal);

    private readonly List<DateTime> _since = [];
    private readonly List<TimeSpan> _offsets = [];

    private ZoneOffsets(TimeZoneInfo zone)
    {
        // .NET does not list the instants at which a zone's offset changes: they are looked for between instants with
        // different offsets.
        var from = new DateTime(FirstYear, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        Add(DateTime.MinValue, zone.GetUtcOffset(from));
        for (var until = from + _step; until.Year <= LastYear; (from, until) = (until, until + _step))
            if (zone.GetUtcOffset(until) is var offset && offset != _offsets[^1])
                Add(FirstWith(zone, from, until), offset);
    }

    /// <exception cref="TimeZoneNotFoundException">This machine does not know the zone.</exception>
    /// <param name="timeZone">IANA.</param>
    public static ZoneOffsets Of(string timeZone) =>
        _known.GetOrAdd(timeZone, name => new(TimeZoneInfo.FindSystemTimeZoneById(name)));

    /// <summary>Those of the store that the unit of work has entered.</summary>
    public static async Task<ZoneOffsets> OfStoreAsync(XenoDbContext db, CancellationToken ct) =>
        Of(await db.Tenants.Select(t => t.TimeZone).SingleAsync(ct));

    /// <summary>The clock of the zone at an instant, as a <c>timestamp</c> in SQL.</summary>
    /// <param name="instant">A <c>timestamptz</c> in SQL.</param>
    /// <param name="first">The number of the first of the two parameters that <see cref="Parameters"/> makes.</param>
    public static string Local(string instant, int first) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"({instant} at time zone (${first + 1}::interval[])[width_bucket({instant}, ${first}::timestamptz[])])"
        );

    /// <summary>When each offset begins, and the offsets.</summary>
    public NpgsqlParameter[] Parameters() =>
        [
            new() { Value = _since, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz },
            new() { Value = _offsets, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Interval },
        ];

    private void Add(DateTime since, TimeSpan offset)
    {
        // PostgreSQL's -infinity is DateTime's smallest value.
        _since.Add(DateTime.SpecifyKind(since, DateTimeKind.Utc));
        _offsets.Add(offset);
    }

    private static DateTime FirstWith(TimeZoneInfo zone, DateTime from, DateTime until)
    {
        var before = zone.GetUtcOffset(from);
        while (until - from > TimeSpan.FromSeconds(1))
        {
            var middle = from + TimeSpan.FromSeconds(Math.Floor((until - from).TotalSeconds / 2));
            if (zone.GetUtcOffset(middle) == before)
                from = middle;
            else
                until = middle;
        }
        return until;
    }
}
