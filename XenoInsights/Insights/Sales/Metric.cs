using System.Globalization;
using XenoInsights.Ui;

namespace XenoInsights.Insights.Sales;

public enum Unit
{
    Money,
    Count,
    Rate,
}

/// <summary>A key figure of the overview: what it is called, how it is defined, and how it is read from the answers.</summary>
/// <param name="Key">Its name in addresses.</param>
/// <param name="Of">Minor units, a count or a fraction; null where there is nothing to measure.</param>
public sealed record Metric(
    string Key, string Label, string Definition, Better Better, Unit Unit, Func<OverviewAnswer, decimal?> Of, Func<SeriesPoint, decimal?> At, bool ExactOnTile = false)
{
    public static IReadOnlyList<Metric> All { get; } =
    [
        new("total-sales", "Total sales", "Net sales plus shipping, taxes, duties and fees. Sales count on the day processed, refunds on the day refunded.",
            Better.Higher, Unit.Money, o => o.TotalRevenueCents, p => p.RevenueCents),
        new("orders", "Orders", "Orders by the day they were processed. Test and deleted orders are left out.",
            Better.Higher, Unit.Count, o => o.TotalOrders, p => p.Orders),
        new("average-order-value", "Average order value", "Gross sales less discounts of the orders as they were placed, divided by their number.",
            Better.Higher, Unit.Money, o => o.TotalOrders == 0 ? null : o.AverageOrderValueCents, p => p.Orders == 0 ? null : p.AverageOrderValueCents, ExactOnTile: true),
        new("new-customers", "New customers", "Customers whose first order ever lies in the range.",
            Better.Higher, Unit.Count, o => o.NewCustomers, p => p.NewCustomers),
        new("returning-rate", "Returning rate", "Of the customers who ordered, those with two or more orders in their whole history.",
            Better.Higher, Unit.Rate, o => Share(o.ReturningCustomers, o.TotalCustomers), p => Share(p.ReturningCustomers, p.TotalCustomers)),
        new("returns", "Returns", "Value of what came back, on the day it was refunded.",
            Better.Lower, Unit.Money, o => o.ReturnsCents, p => p.ReturnsCents),
    ];

    public static Metric Find(string? key) => All.FirstOrDefault(m => m.Key == key) ?? All[0];

    public Change Compare(decimal? now, decimal? before) => Unit == Unit.Rate
        ? Change.OfRate(now, before, Better)
        : Change.Of((long)(now ?? 0), now is null ? null : (long?)before, Better);

    private static decimal? Share(long part, long whole) => whole == 0 ? null : (decimal)part / whole;
}

/// <summary>Writes measures of one store for one person.</summary>
public sealed class Measures(Money money, CultureInfo culture)
{
    public Money Money => money;

    public CultureInfo Culture => culture;

    public string Tile(Metric metric, decimal? value) => value is { } known && metric is { Unit: Unit.Money, ExactOnTile: false } ? money.Whole((long)known) : Exact(metric.Unit, value);

    public string Exact(Unit unit, decimal? value) => (unit, value) switch
    {
        (_, null) => Figures.Nothing,
        (Unit.Money, { } known) => money.Exact((long)known),
        (Unit.Rate, { } known) => Figures.Rate(known, culture),
        (_, { } known) => Figures.Count((long)known, culture),
    };

    public string AxisLabel(Unit unit, decimal value) => unit switch
    {
        Unit.Money => money.Compact((long)value),
        Unit.Rate => (value * 100).ToString("0.#", culture) + "%",
        _ => Figures.Compact(value, culture),
    };

    public string Count(long count) => Figures.Count(count, culture);
}
