using System.Globalization;
using XenoInsights.Formatting;

namespace XenoInsights.Tenants;

/// <summary>A shop's clock: its days begin and end in its own time zone.</summary>
public sealed class StoreClock(TimeProvider time, string timeZone)
{
    private readonly TimeZoneInfo _zone = TimeZoneInfo.FindSystemTimeZoneById(timeZone);

    public DateOnly Today => DateOnly.FromDateTime(Now.DateTime);

    public DateTimeOffset Now => At(time.GetUtcNow());

    public DateTimeOffset At(DateTimeOffset instant) => TimeZoneInfo.ConvertTime(instant, _zone);

    /// <summary>As people read it: 14:05 today, Fri 20 Nov, 14:05 before.</summary>
    public string Moment(DateTimeOffset instant, Days days)
    {
        var local = At(instant);
        var (day, hour) = (
            DateOnly.FromDateTime(local.DateTime),
            local.ToString("HH:mm", System.Globalization.CultureInfo.InvariantCulture)
        );
        return day == Today ? hour : $"{(day.Year == Today.Year ? days.WithWeekday(day) : days.Full(day))}, {hour}";
    }

    /// <summary>
    /// When the shop's clocks showed this time: the earlier of two times, or the later if <paramref name="end"/>; one
    /// that they skipped counts as the hour after.
    /// </summary>
    public DateTimeOffset InstantOf(DateTime local, bool end)
    {
        var shown = DateTime.SpecifyKind(local, DateTimeKind.Unspecified);
        if (!_zone.IsAmbiguousTime(shown))
            return new(shown, _zone.GetUtcOffset(_zone.IsInvalidTime(shown) ? shown.AddHours(-1) : shown));
        var offsets = _zone.GetAmbiguousTimeOffsets(shown);
        return new(shown, end ? offsets.Min() : offsets.Max());
    }
}
