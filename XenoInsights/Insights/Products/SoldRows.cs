using System.Globalization;
using XenoInsights.Formatting;

namespace XenoInsights.Insights.Products;

/// <summary>The rollup rows of a range: those of its whole months, and of the days before and after them.</summary>
internal static class SoldRows
{
    /// <summary>
    /// SQL for rows with product_id, units_ordered, units_returned, gross, discounts and returns, several a product.
    /// </summary>
    /// <param name="from">The parameter that holds the first day of <paramref name="range"/>; the tenant is $1.</param>
    /// <param name="to">The one that holds its last.</param>
    public static string Of(DateRange range, string from, string to)
    {
        // The calendar has no month after its last one.
        if (range.To.Year == DateOnly.MaxValue.Year)
            return $"({Days($"day between {from} and {to}")})";
        var first = range.From.Day == 1 ? range.From : Month(range.From).AddMonths(1);
        var end = Month(range.To.AddDays(1));
        if (first >= end)
            return $"({Days($"day between {from} and {to}")})";
        return $"""
            (select product_id, units_ordered, units_returned, gross, discounts, "returns" from product_months
                where tenant_id = $1 and month >= {Literal(
                first
            )} and month < {Literal(end)}
             union all {Days($"day >= {from} and day < {Literal(first)}")}
             union all {Days($"day >= {Literal(end)} and day <= {to}")})
            """;
    }

    private static string Days(string condition) =>
        $"""
            select product_id, units_ordered, units_returned, gross, discounts, "returns" from product_days
            where tenant_id = $1 and {condition}
            """;

    private static DateOnly Month(DateOnly day) => new(day.Year, day.Month, 1);

    private static string Literal(DateOnly day) =>
        string.Create(CultureInfo.InvariantCulture, $"date '{day:yyyy-MM-dd}'");
}
