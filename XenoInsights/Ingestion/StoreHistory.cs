using Npgsql;
using XenoInsights.Data;
using XenoInsights.Formatting;
using XenoInsights.Tenants;

namespace XenoInsights.Ingestion;

/// <summary>Orders dated on days that belong to no history.</summary>
/// <param name="TotalCents">Their days' total sales, minor units.</param>
public sealed record OutsideOrders(long Orders, long TotalCents);

/// <summary>
/// Which shop days a store's charts, periods and comparisons are made of. An order dated on any other day counts on
/// that day and is named to the merchant, but never makes a day known: else one wrong date would stretch every series
/// over thousands of years.
/// </summary>
/// <param name="Begins">The first day of which all orders can be known.</param>
/// <param name="Days">First and last day with orders from then to the shop's today; null without any.</param>
/// <param name="Before">Orders dated before it begins; null without any.</param>
/// <param name="After">Orders dated after today; null without any.</param>
public sealed record StoreHistory(DateOnly Begins, DateRange? Days, OutsideOrders? Before, OutsideOrders? After)
{
    /// <summary>
    /// Without <c>read_all_orders</c> Shopify shows orders of the last 60 days, so these and today are whole days.
    /// </summary>
    public const int DaysWithoutAllOrders = 59;

    /// <summary>
    /// No store has days before: Shopify opened in 2006, and this leaves room for orders that were brought along from
    /// elsewhere.
    /// </summary>
    public static DateOnly FirstDay { get; } = new(2000, 1, 1);

    /// <summary>Shopify does not show all of it, or did not when it was imported.</summary>
    public bool IsLimited => Begins > FirstDay;

    public DateRange DaysBefore => new(DateOnly.MinValue, Begins.AddDays(-1));

    public static DateRange DaysAfter(DateOnly today) => new(today.AddDays(1), DateOnly.MaxValue);

    /// <param name="today">The shop's.</param>
    internal static async Task<StoreHistory> ReadAsync(XenoDbContext db, DateOnly today, CancellationToken ct)
    {
        var begins = await BeginsAsync(db, ct);
        await using var batch = db.NewBatch();
        batch.BatchCommands.Add(
            Command(
                db,
                """
                select day from sales_days where tenant_id = $1 and orders > 0 and day between $2 and $3
                order by day limit 1
                """,
                begins,
                today
            )
        );
        batch.BatchCommands.Add(
            Command(
                db,
                """
                select day from sales_days where tenant_id = $1 and orders > 0 and day between $2 and $3
                order by day desc limit 1
                """,
                begins,
                today
            )
        );
        batch.BatchCommands.Add(Command(db, Outside("day < $2"), begins));
        batch.BatchCommands.Add(Command(db, Outside("day > $2"), today));
        await using var reader = await batch.ExecuteReaderAsync(ct);
        var first = await DayAsync(reader, ct);
        await reader.NextResultAsync(ct);
        var last = await DayAsync(reader, ct);
        await reader.NextResultAsync(ct);
        var before = await OutsideAsync(reader, ct);
        await reader.NextResultAsync(ct);
        return new StoreHistory(
            begins,
            first is { } from && last is { } to ? new DateRange(from, to) : null,
            before,
            await OutsideAsync(reader, ct)
        );
    }

    /// <summary>As the last import found; before its end, as far back as Shopify shows orders.</summary>
    private static async Task<DateOnly> BeginsAsync(XenoDbContext db, CancellationToken ct)
    {
        await using var command = db.Command(
            "select history_from, history_limited, connected_at, currency, time_zone from tenants where tenant_id = $1"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = db.TenantId ?? Guid.Empty });
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct))
            return FirstDay;
        DateOnly? known = reader.IsDBNull(0) ? null : reader.GetFieldValue<DateOnly>(0);
        if (known is null && reader.GetBoolean(1))
        {
            var shop = new StoreCalendar(db.TenantId ?? Guid.Empty, reader.GetString(3), reader.GetString(4));
            known = shop.DayOf(reader.GetFieldValue<DateTimeOffset>(2)).AddDays(-DaysWithoutAllOrders);
        }
        return known > FirstDay ? known.Value : FirstDay;
    }

    private static string Outside(string days) =>
        $"""
            select coalesce(sum(orders), 0)::bigint,
                coalesce(sum(gross - discounts - "returns" + shipping + taxes + duties + fees), 0)::bigint
            from sales_days where tenant_id = $1 and {days}
            """;

    private static NpgsqlBatchCommand Command(XenoDbContext db, string sql, params ReadOnlySpan<DateOnly> days)
    {
        var command = new NpgsqlBatchCommand(sql);
        command.Parameters.Add(new NpgsqlParameter { Value = db.TenantId ?? Guid.Empty });
        foreach (var day in days)
            command.Parameters.Add(new NpgsqlParameter { Value = day });
        return command;
    }

    private static async Task<DateOnly?> DayAsync(NpgsqlDataReader reader, CancellationToken ct) =>
        await reader.ReadAsync(ct) ? reader.GetFieldValue<DateOnly>(0) : null;

    private static async Task<OutsideOrders?> OutsideAsync(NpgsqlDataReader reader, CancellationToken ct)
    {
        await reader.ReadAsync(ct);
        return reader.GetInt64(0) == 0 ? null : new OutsideOrders(reader.GetInt64(0), reader.GetInt64(1));
    }
}
