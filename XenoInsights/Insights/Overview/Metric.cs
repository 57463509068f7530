using System.Globalization;
using XenoInsights.Formatting;
using XenoInsights.Tenants;

namespace XenoInsights.Insights.Overview;

public enum Unit
{
    Money,
    Count,
    Rate,
}

/// <summary>
/// A key figure of the overview: how it is read from the answers, and where what is behind it can be seen.
/// </summary>
/// <param name="Key">Its name in addresses, and the key of its definition.</param>
/// <param name="Of">Minor units, a count or a fraction; null where there is nothing to measure.</param>
/// <param name="Drill">Page and question of what is behind it.</param>
public sealed record Metric(
    string Key,
    Better Better,
    Unit Unit,
    Func<OverviewAnswer, decimal?> Of,
    Func<SeriesPoint, decimal?> At,
    string Drill,
    string DrillText,
    bool ExactOnTile = false
)
{
    public static IReadOnlyList<Metric> All { get; } =
    [
        new(
            "total-sales",
            Better.Higher,
            Unit.Money,
            o => o.TotalRevenueCents,
            p => p.RevenueCents,
            "orders?metric=total-sales",
            "Its orders"
        ),
        new(
            "orders",
            Better.Higher,
            Unit.Count,
            o => o.TotalOrders,
            p => p.Orders,
            "orders?metric=orders",
            "These orders"
        ),
        new(
            "average-order-value",
            Better.Higher,
            Unit.Money,
            o => o.TotalOrders == 0 ? null : o.AverageOrderValueCents,
            p => p.Orders == 0 ? null : p.AverageOrderValueCents,
            "orders?metric=average-order-value",
            "Its orders",
            ExactOnTile: true
        ),
        new(
            "new-customers",
            Better.Higher,
            Unit.Count,
            o => o.NewCustomers,
            p => p.NewCustomers,
            "customers?who=new",
            "These customers"
        ),
        new(
            "returning-rate",
            Better.Higher,
            Unit.Rate,
            o => Share(o.ReturningCustomers, o.TotalCustomers),
            p => Share(p.ReturningCustomers, p.TotalCustomers),
            "customers?who=returning",
            "Returning customers"
        ),
        new(
            "returns",
            Better.Lower,
            Unit.Money,
            o => o.ReturnsCents,
            p => p.ReturnsCents,
            "orders?metric=returns",
            "Its orders"
        ),
    ];

    /// <summary>Figures without a tile, for the chart.</summary>
    public static IReadOnlyList<Metric> Others { get; } =
    [
        new(
            "gross-sales",
            Better.Higher,
            Unit.Money,
            o => o.GrossSalesCents,
            p => p.GrossSalesCents,
            "orders?metric=gross-sales",
            "Its orders"
        ),
        new(
            "discounts",
            Better.Neither,
            Unit.Money,
            o => o.DiscountsCents,
            p => p.DiscountsCents,
            "orders?metric=discounts",
            "Its orders"
        ),
        new(
            "net-sales",
            Better.Higher,
            Unit.Money,
            o => o.NetSalesCents,
            p => p.NetSalesCents,
            "orders?metric=net-sales",
            "Its orders"
        ),
        new(
            "shipping",
            Better.Neither,
            Unit.Money,
            o => o.ShippingCents,
            p => p.ShippingCents,
            "orders?metric=shipping",
            "Its orders"
        ),
        new(
            "taxes",
            Better.Neither,
            Unit.Money,
            o => o.TaxesCents,
            p => p.TaxesCents,
            "orders?metric=taxes",
            "Its orders"
        ),
        new(
            "customers",
            Better.Higher,
            Unit.Count,
            o => o.TotalCustomers,
            p => p.TotalCustomers,
            "customers?who=all",
            "These customers"
        ),
        new(
            "returning-customers",
            Better.Higher,
            Unit.Count,
            o => o.ReturningCustomers,
            p => p.ReturningCustomers,
            "customers?who=returning",
            "These customers"
        ),
    ];

    public Definition Definition => Definitions.Of(Key);

    public string Label => Definition.Name;

    public static Metric Find(string? key) => All.Concat(Others).FirstOrDefault(m => m.Key == key) ?? All[0];

    /// <param name="clock">Hours that it has not reached are not empty, but not there yet.</param>
    public Figure In(KeyMetrics figures, StoreClock? clock) =>
        new(
            Key,
            Unit,
            Better,
            Of(figures.Now),
            figures.Before is { } before ? Of(before) : null,
            [
                .. figures.Series.Select(p =>
                    clock is not null && new Bucket(p.Date, p.Hour).IsToCome(clock) ? null : At(p)
                ),
            ],
            figures.SeriesBefore is { } series ? [.. series.Select(At)] : null,
            ExactOnTile
        );

    private static decimal? Share(long part, long whole) => whole == 0 ? null : (decimal)part / whole;
}

/// <summary>Writes measures of one store for one person.</summary>
public sealed class MetricFormatter(Money money, CultureInfo culture)
{
    public Money Money => money;

    public CultureInfo Culture => culture;

    public string Tile(Unit unit, bool isExact, decimal? value) =>
        value is { } known && unit == Unit.Money && !isExact ? money.Whole((long)known) : Exact(unit, value);

    public string Exact(Unit unit, decimal? value) =>
        (unit, value) switch
        {
            (_, null) => Numbers.Nothing,
            (Unit.Money, { } known) => money.Exact((long)known),
            (Unit.Rate, { } known) => Numbers.Rate(known, culture),
            (_, { } known) => Numbers.Count((long)known, culture),
        };

    public string AxisLabel(Unit unit, decimal value) =>
        unit switch
        {
            Unit.Money => money.Compact((long)value),
            Unit.Rate => (value * 100).ToString("0.#", culture) + "%",
            _ => Numbers.Compact(value, culture),
        };

    public string Count(long count) => Numbers.Count(count, culture);
}
