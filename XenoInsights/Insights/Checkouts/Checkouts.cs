using System.Text.Json.Serialization;
using XenoInsights.Formatting;

namespace XenoInsights.Insights.Checkouts;

/// <summary>
/// What became of the checkouts of a range, by the shop day they were begun on, and how many orders came through.
/// </summary>
/// <param name="Abandoned">All that Shopify lists: contact details were entered and it was left. Those completed later
/// are among them.</param>
/// <param name="LostCents">Value of those not completed so far.</param>
/// <param name="RecoveryRate">Recovered ÷ abandoned; null without any.</param>
/// <param name="MinutesToRecover">Half of the recovered ones took no longer from their beginning; null without
/// any.</param>
/// <param name="OnlineOrders">Orders placed in the range through the online store.</param>
/// <param name="Known">Checkouts known to have got as far as contact details: online orders and what was not
/// recovered.</param>
/// <param name="CompletionRate">Online orders ÷ those known.</param>
public sealed record CheckoutsOverview(
    long Abandoned,
    long Lost,
    long LostCents,
    long Recovered,
    long RecoveredCents,
    decimal? RecoveryRate,
    long? MinutesToRecover,
    long OnlineOrders,
    long Known,
    decimal? CompletionRate
);

/// <param name="Date">First day of the bucket; weeks begin on Monday.</param>
/// <param name="Hour">Of hours only: 0 to 23 by the shop's clock.</param>
public sealed record CheckoutPoint(
    DateOnly Date,
    long Abandoned,
    long Lost,
    long LostCents,
    long Recovered,
    long RecoveredCents,
    decimal? RecoveryRate,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Hour = null
);

/// <summary>One hour of one day of the week, by the shop's clock.</summary>
/// <param name="Weekday">1 is Monday.</param>
public sealed record CheckoutHour(int Weekday, int Hour, long Abandoned, long Recovered, long LostCents);

/// <summary>A product in abandoned checkouts.</summary>
/// <param name="ShopifyId">0: lines without a product.</param>
/// <param name="Lost">Checkouts with it that were not recovered.</param>
/// <param name="LostUnits">Its units in them.</param>
/// <param name="LostCents">Value of its lines in them, after discounts, without shipping.</param>
public sealed record CheckoutProduct(
    long ShopifyId,
    string Title,
    long Lost,
    long LostUnits,
    long LostCents,
    long Recovered,
    decimal RecoveryRate
);

public enum CheckoutSort
{
    Newest,
    Oldest,
    Largest,
}

/// <param name="ProductId">Only checkouts with this product in them.</param>
public sealed record OpenFilter(DateRange Range, long? ProductId = null);

/// <summary>A checkout that was not completed so far.</summary>
/// <param name="Items">Titles of its first lines.</param>
/// <param name="Lines">How many it has in all.</param>
/// <param name="RecoveryUrl">Leads its customer back to it; null where Shopify gave none, and for viewers.</param>
public sealed record OpenCheckout(
    long ShopifyId,
    string? Name,
    DateTimeOffset CreatedAt,
    DateOnly Day,
    long? CustomerId,
    string? Customer,
    string? Email,
    long TotalCents,
    long Units,
    long Lines,
    IReadOnlyList<string> Items,
    string? RecoveryUrl
);

/// <param name="Next">Where the next page begins; null on the last.</param>
public sealed record OpenCheckouts(IReadOnlyList<OpenCheckout> Rows, string? Next);

public sealed record OpenSums(long Checkouts, long TotalCents);
