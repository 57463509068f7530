namespace XenoInsights.Tenants;

/// <summary>
/// The shop's time zone or currency changed since the records were read: whoever applies them begins again with the new
/// ones.
/// </summary>
public sealed class ShopChangedException() : Exception("The shop's time zone or currency was changed meanwhile.");

/// <summary>The store was erased since the records were read: nothing of it is stored any more.</summary>
public sealed class StoreErasedException() : Exception("The store was erased meanwhile.");

/// <summary>
/// A shop's identity for ingestion: whose rows, which currency, and which shop day an instant falls on.
/// </summary>
public sealed class StoreCalendar(Guid tenantId, string currency, string timeZone)
{
    private readonly TimeZoneInfo _zone = TimeZoneInfo.FindSystemTimeZoneById(timeZone);

    public Guid TenantId { get; } = tenantId;

    /// <summary>ISO 4217.</summary>
    public string Currency { get; } = currency;

    /// <summary>IANA.</summary>
    public string TimeZone { get; } = timeZone;

    /// <summary>Whether days and amounts are still read as the shop has them.</summary>
    internal bool Is(string currencyNow, string timeZoneNow) => (currencyNow, timeZoneNow) == (Currency, TimeZone);

    /// <summary>The shop-local date of an instant.</summary>
    public DateOnly DayOf(DateTimeOffset instant) =>
        DateOnly.FromDateTime(TimeZoneInfo.ConvertTimeFromUtc(instant.UtcDateTime, _zone));
}
