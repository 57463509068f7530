using XenoInsights.Formatting;

namespace XenoInsights.Insights.WhatChanged;

/// <summary>What a change is divided by.</summary>
public enum ChangeBy
{
    /// <summary>
    /// New, earlier and unknown customers, each by their orders and the value of an order; then what is taken off and
    /// added.
    /// </summary>
    Customers,
    Product,
    Country,
}

/// <summary>What <see cref="Contribution.Before"/> and <see cref="Contribution.Now"/> count.</summary>
public enum ContributionUnit
{
    Orders,

    /// <summary>Minor units.</summary>
    Money,

    /// <summary>Minor units an order.</summary>
    MoneyPerOrder,
}

/// <summary>A part of a change. All parts together are the change, to the last minor unit.</summary>
/// <param name="Key">Names the part: <c>new-orders</c>, <c>product-123</c>.</param>
/// <param name="Part">Of a divided name: orders, or order value.</param>
/// <param name="Amount">Minor units, or orders where the figure counts them.</param>
/// <param name="Orders">Part of an address: the orders of the range behind it; null where there is no such
/// list.</param>
public sealed record Contribution(
    string Key,
    string Name,
    string? Part,
    ContributionUnit Unit,
    long Before,
    long Now,
    long Amount,
    string? Orders
);

/// <summary>How a figure came from one value to another.</summary>
/// <param name="Metric">total-sales, net-sales or orders.</param>
/// <param name="Before">In <paramref name="BeforeRange"/>; minor units, or a count.</param>
public sealed record ChangeAnswer(
    string Metric,
    ChangeBy By,
    DateRange Range,
    DateRange BeforeRange,
    long Now,
    long Before,
    IReadOnlyList<Contribution> Contributions
)
{
    public long Change => Now - Before;
}

/// <summary>What entries of one kind of customer come to in one range.</summary>
internal readonly record struct Part(
    long Orders,
    long Gross,
    long Discounts,
    long Returns,
    long Shipping,
    long Taxes,
    long Duties,
    long Fees
)
{
    public long Net => Gross - Discounts - Returns;
    public long Total => Net + Shipping + Taxes + Duties + Fees;

    public static Part operator +(Part a, Part b) =>
        new(
            a.Orders + b.Orders,
            a.Gross + b.Gross,
            a.Discounts + b.Discounts,
            a.Returns + b.Returns,
            a.Shipping + b.Shipping,
            a.Taxes + b.Taxes,
            a.Duties + b.Duties,
            a.Fees + b.Fees
        );

    public static Part operator -(Part a, Part b) =>
        new(
            a.Orders - b.Orders,
            a.Gross - b.Gross,
            a.Discounts - b.Discounts,
            a.Returns - b.Returns,
            a.Shipping - b.Shipping,
            a.Taxes - b.Taxes,
            a.Duties - b.Duties,
            a.Fees - b.Fees
        );

    public long Of(string metric) =>
        metric switch
        {
            "orders" => Orders,
            "net-sales" => Net,
            _ => Total,
        };
}

/// <summary>Divides changes so that nothing is left over.</summary>
internal static class Decomposition
{
    public static IReadOnlyList<string> Metrics { get; } = ["total-sales", "net-sales", "orders"];

    /// <summary>
    /// By number and value of orders: Δ(n·v) = Δn·(v₀+v₁)/2 + Δv·(n₀+n₁)/2, which treats both alike; rounding falls
    /// on the value. Where one side has no orders an order has no value there, and the whole change is one of
    /// orders.
    /// </summary>
    public static (long ByOrders, long ByValue) OfOrders(Part before, Part now)
    {
        var change = now.Gross - before.Gross;
        if (before.Orders == 0 || now.Orders == 0)
            return (change, 0);
        var middle = ((decimal)before.Gross / before.Orders + (decimal)now.Gross / now.Orders) / 2;
        var byOrders = (long)Math.Round((now.Orders - before.Orders) * middle, MidpointRounding.AwayFromZero);
        return (byOrders, change - byOrders);
    }

    /// <summary>Discounts, returns and what comes on top of net sales, as far as the figure holds them.</summary>
    public static IEnumerable<Contribution> OfRest(string metric, Part before, Part now)
    {
        if (metric == "orders")
            yield break;
        yield return Of("discounts", -1, p => p.Discounts);
        yield return Of("returns", -1, p => p.Returns);
        foreach (var onTop in OnTop(metric, before, now))
            yield return onTop;

        Contribution Of(string key, int sign, Func<Part, long> read) =>
            new(
                key,
                Definitions.Of(key).Name,
                null,
                ContributionUnit.Money,
                read(before),
                read(now),
                sign * (read(now) - read(before)),
                $"metric={key}"
            );
    }

    public static IEnumerable<Contribution> OnTop(string metric, Part before, Part now) =>
        metric != "total-sales"
            ? []
            : new (string Key, Func<Part, long> Read)[]
            {
                ("shipping", p => p.Shipping),
                ("taxes", p => p.Taxes),
                ("duties", p => p.Duties),
                ("fees", p => p.Fees),
            }
                .Where(m => m.Key is "shipping" or "taxes" || m.Read(before) != 0 || m.Read(now) != 0)
                .Select(m => new Contribution(
                    m.Key,
                    Definitions.Of(m.Key).Name,
                    null,
                    ContributionUnit.Money,
                    m.Read(before),
                    m.Read(now),
                    m.Read(now) - m.Read(before),
                    $"metric={m.Key}"
                ));
}
