namespace XenoInsights.Ingestion;

/// <summary>A shop's identity for ingestion: whose rows, which currency, and which shop day an instant falls on.</summary>
public sealed class ShopCalendar(Guid tenantId, string currency, string timeZone)
{
    private readonly TimeZoneInfo _zone = TimeZoneInfo.FindSystemTimeZoneById(timeZone);

    public Guid TenantId { get; } = tenantId;

    /// <summary>ISO 4217.</summary>
    public string Currency { get; } = currency;

    /// <summary>The shop-local date of an instant.</summary>
    public DateOnly DayOf(DateTimeOffset instant) => DateOnly.FromDateTime(TimeZoneInfo.ConvertTimeFromUtc(instant.UtcDateTime, _zone));
}
