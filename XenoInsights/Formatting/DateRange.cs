using System.Text.Json.Serialization;

namespace XenoInsights.Formatting;

/// <summary>Shop-local dates, both included.</summary>
public readonly record struct DateRange(DateOnly From, DateOnly To)
{
    public int Days => To.DayNumber - From.DayNumber + 1;

    /// <summary>The range of equal length that ends the day before this one begins.</summary>
    [JsonIgnore]
    public DateRange Previous => new(From.AddDays(-Days), From.AddDays(-1));
}
