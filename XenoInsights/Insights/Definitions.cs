namespace XenoInsights.Insights;

/// <summary>
/// What a figure means. The same text stands on the definitions page, in the popover beside the figure and at the head
/// of every export.
/// </summary>
/// <param name="Key">Its name in addresses: <c>/definitions#net-sales</c>.</param>
/// <param name="Words">For whoever reads the figure: what counts, when, and what is left out.</param>
/// <param name="Rule">As it is computed.</param>
/// <param name="Source">Whose rule it is: Shopify's, with the page it is from, or ours.</param>
public sealed record Definition(string Key, string Name, string Group, string Words, string Rule, string Source);

/// <summary>Every figure of the product, in the order of the pages that show them.</summary>
public static class Definitions
{
    private const string Sales = "Sales",
        Customers = "Customers",
        Days = "Days and comparisons",
        Orders = "Orders",
        Products = "Products",
        Checkouts = "Abandoned checkouts";
    private const string ApiCheckouts = "Shopify Admin API, AbandonedCheckout";
    private const string HelpSales = "Shopify Help Center, Sales reports",
        HelpCustomers = "Shopify Help Center, Customer reports",
        Ours = "Ours";

    public static IReadOnlyList<Definition> All { get; } =
    [
        new(
            "gross-sales",
            "Gross sales",
            Sales,
            "Value of the goods ordered, before discounts, taxes, shipping and returns. "
                + "Gift cards sold and tips are left out.",
            "Σ (amount + discount) of ledger entries for products that were ordered or repriced",
            HelpSales
        ),
        new(
            "discounts",
            "Discounts",
            Sales,
            "What line and order discounts took off the goods, before taxes. "
                + "Discounts on shipping lower shipping instead.",
            "Σ discount of the same entries",
            HelpSales
        ),
        new(
            "returns",
            "Returns",
            Sales,
            "Value of goods that came back by refund, edit or cancellation, on the day that happened, "
                + "with the adjustments of refunds.",
            "−Σ amount of ledger entries that return products or adjust refunds",
            HelpSales
        ),
        new(
            "net-sales",
            "Net sales",
            Sales,
            "What the goods brought in: gross sales less discounts and returns.",
            "gross sales − discounts − returns",
            HelpSales
        ),
        new(
            "shipping",
            "Shipping",
            Sales,
            "Shipping charged, less shipping discounts and refunded shipping, before taxes.",
            "Σ amount of ledger entries for shipping",
            HelpSales
        ),
        new(
            "taxes",
            "Taxes",
            Sales,
            "Taxes on goods, shipping, duties and fees, less those of what came back.",
            "Σ tax of all counted ledger entries",
            HelpSales
        ),
        new("duties", "Duties", Sales, "Import duties charged.", "Σ amount of ledger entries for duties", HelpSales),
        new(
            "fees",
            "Fees",
            Sales,
            "Additional fees charged on orders.",
            "Σ amount of ledger entries for fees",
            HelpSales
        ),
        new(
            "total-sales",
            "Total sales",
            Sales,
            "Net sales plus shipping, taxes, duties and fees. Sales count on the day processed, "
                + "refunds on the day refunded. May be negative on a day.",
            "net sales + shipping + taxes + duties + fees",
            HelpSales
        ),
        new(
            "orders",
            "Orders",
            Sales,
            "Orders by the day they were processed. Test and deleted orders are left out; "
                + "cancelled and unpaid ones count.",
            "number of counted orders whose processedAt is on the day",
            HelpSales
        ),
        new(
            "average-order-value",
            "Average order value",
            Sales,
            "Gross sales less discounts of the orders as they were placed, divided by their number. "
                + "Later edits and returns do not change it.",
            "Σ amount of products in the agreements that placed the orders ÷ orders",
            HelpSales
        ),
        new(
            "units",
            "Units",
            Sales,
            "Units ordered less units that came back.",
            "Σ quantity of ledger entries for products",
            HelpSales
        ),
        new(
            "entry",
            "Entries",
            Orders,
            "What an order adds to a day: one entry for the order as it was placed, "
                + "and one for each later day on which a refund, an edit or its cancellation changed it. "
                + "Entries of a range add up to its figures.",
            "ledger entries by order, shop day, and whether the order’s first agreement holds them",
            Ours
        ),
        new(
            "customers",
            "Customers",
            Customers,
            "People who placed an order in the range, each counted once. Guests are not customers.",
            "distinct customers of counted orders in the range",
            HelpCustomers
        ),
        new(
            "new-customers",
            "New customers",
            Customers,
            "Customers whose first order ever lies in the range.",
            "customers whose first order day is in the range",
            HelpCustomers
        ),
        new(
            "returning-customers",
            "Returning customers",
            Customers,
            "Of the customers who ordered, those with two or more orders in their whole history, "
                + "also when the second came after the range.",
            "customers of the range − those whose only order lies in it",
            HelpCustomers
        ),
        new(
            "returning-rate",
            "Returning rate",
            Customers,
            "Of the customers who ordered, those with two or more orders in their whole history.",
            "returning customers ÷ customers",
            HelpCustomers
        ),
        new(
            "earlier-customers",
            "Earlier customers",
            Customers,
            "Customers who had ordered before the range; with new customers and guests they divide every order of it.",
            "customers whose first order day lies before the range",
            Ours
        ),
        new(
            "segment",
            "Segment",
            Customers,
            "How recently, how often and for how much a customer ordered, "
                + "each scored from 1 to 5 against the store’s other customers, "
                + "and sorted into Shopify’s eleven groups. Prospects have no order.",
            "score = 1 + how many of the store’s 20, 40, 60 and 80 % marks a value lies above (recency: "
                + "reaches); group by recency × ⌈(frequency + money) ÷ 2⌉",
            Ours
        ),
        new(
            "cohort",
            "Cohort",
            Customers,
            "Customers by the month or week of their first order ever. Everyone belongs to one. "
                + "Where history begins within a cohort, it also holds customers who are older than that.",
            "first order day by month, or by week from Monday, in the shop’s time zone",
            Ours
        ),
        new(
            "retention",
            "Came back",
            Customers,
            "Of a cohort, those who ordered again in a later month or week. "
                + "The month or week that is still running is left out of every average.",
            "customers of the cohort with an order in the period ÷ customers of the cohort",
            "Shopify Help Center, Customer cohort analysis; here the first period is always 100 %"
        ),
        new(
            "value-per-customer",
            "Value per customer",
            Customers,
            "What a cohort’s customers brought in since their first order, returns taken off, "
                + "divided by how many they are.",
            "Σ total sales of the cohort up to a period ÷ customers of the cohort",
            Ours
        ),
        new(
            "units-ordered",
            "Units ordered",
            Products,
            "Units on the lines of orders, on the day the order was processed, and units that edits added, "
                + "on the day of the edit.",
            "Σ quantity of ledger entries that sell products",
            HelpSales
        ),
        new(
            "units-returned",
            "Units returned",
            Products,
            "Units that came back by refund, edit or cancellation, on the day that happened, "
                + "whenever they were ordered.",
            "−Σ quantity of ledger entries that return products",
            HelpSales
        ),
        new(
            "return-rate",
            "Return rate",
            Products,
            "Units that came back in the range for every unit ordered in it. "
                + "What came back may have been ordered before, so a short range can come to more than 100%.",
            "units returned ÷ units ordered",
            Ours
        ),
        new(
            "product-share",
            "Share",
            Products,
            "A product’s part of the net sales of all products, custom items included.",
            "net sales ÷ net sales of the range",
            Ours
        ),
        new(
            "custom-items",
            "Custom items",
            Products,
            "Lines that belong to no product, and adjustments of refunds, which Shopify books on none. "
                + "With them, products add up to net sales.",
            "ledger entries without a product",
            Ours
        ),
        new(
            "product-customers",
            "Its customers",
            Products,
            "Customers with an order, placed in the range, that has the product on it; each counted once. "
                + "Guests are not customers.",
            "distinct customers of orders whose first agreement sells it in the range",
            Ours
        ),
        new(
            "new-to-product",
            "New to it",
            Products,
            "Customers of the product who had never bought it before the range. They may have bought other things.",
            "its customers without an earlier order that sells it",
            Ours
        ),
        new(
            "also-bought",
            "Customers who also bought",
            Products,
            "Other products that the product’s customers bought in the same range, "
                + "in whichever of their orders, by how many customers bought both.",
            "distinct customers with orders of both in the range",
            Ours
        ),
        new(
            "lift",
            "Lift",
            Products,
            "How much more often the product’s customers bought the other than customers in general: "
                + "2 is twice as often, 1 is no more than by chance. With few customers it says little.",
            "(customers of both ÷ its customers) ÷ (customers of the other ÷ customers of the range)",
            Ours
        ),
        new(
            "abandoned-checkouts",
            "Abandoned",
            Checkouts,
            "Checkouts in which contact details were entered and which were then left. "
                + "Those completed later are among them. They count on the day they were begun.",
            "number of Shopify’s abandoned checkouts created on the day",
            ApiCheckouts
        ),
        new(
            "recovered-checkouts",
            "Recovered",
            Checkouts,
            "Abandoned checkouts that were completed later, counted on the day they were begun, "
                + "so the figure of past days still grows.",
            "abandoned checkouts with completedAt",
            ApiCheckouts
        ),
        new(
            "recovery-rate",
            "Recovery rate",
            Checkouts,
            "Of the checkouts abandoned in the range, those completed so far.",
            "recovered ÷ abandoned",
            Ours
        ),
        new(
            "lost-checkouts",
            "Not recovered",
            Checkouts,
            "Abandoned checkouts that have not been completed so far.",
            "abandoned checkouts without completedAt",
            ApiCheckouts
        ),
        new(
            "lost-value",
            "Left in them",
            Checkouts,
            "What the checkouts that have not been completed come to, "
                + "with shipping and taxes as far as they were known.",
            "Σ totalPrice of abandoned checkouts without completedAt",
            ApiCheckouts
        ),
        new(
            "recovered-value",
            "Recovered value",
            Checkouts,
            "What the recovered checkouts came to when they were left. Their orders may differ.",
            "Σ totalPrice of abandoned checkouts with completedAt",
            ApiCheckouts
        ),
        new(
            "in-lost-checkouts",
            "In them",
            Checkouts,
            "Lines of the checkouts that were not recovered, after discounts, without shipping and taxes.",
            "Σ discounted total of lines of abandoned checkouts without completedAt",
            Ours
        ),
        new(
            "known-checkouts",
            "Known checkouts",
            Checkouts,
            "Checkouts that certainly got as far as contact details: orders of the online store, "
                + "and abandoned ones that were not recovered. Shopify tells neither visits nor carts nor "
                + "checkouts left before contact details.",
            "orders whose source is web + abandoned checkouts without completedAt",
            Ours
        ),
        new(
            "contribution",
            "Contribution",
            Days,
            "The part of a change that one thing accounts for; all parts together are the change. "
                + "Orders and the value of an order share what they did together equally. "
                + "A contribution is not a cause.",
            "orders: Δn × (v₀ + v₁) ÷ 2; value: the rest of Δ(n × v), with n orders of v gross sales each",
            Ours
        ),
        new(
            "shop-day",
            "Days",
            Days,
            "Days begin and end in the shop’s time zone. An order counts on the day it was processed; "
                + "refunds, edits and cancellations on the day they were made, so past days never change.",
            "(processedAt or happenedAt) at the shop’s IANA time zone",
            HelpSales
        ),
        new(
            "comparison",
            "Comparisons",
            Days,
            "A month is compared with the month before, a year with the year before, "
                + "anything else with as many days a whole number of weeks earlier, "
                + "so that Mondays meet Mondays. Nothing is compared with days before the history begins.",
            "months − 1 month; years − 12 months; else −⌈days ÷ 7⌉ × 7 days; previous year −364 days",
            Ours
        ),
    ];

    private static readonly Dictionary<string, Definition> _byKey = All.ToDictionary(d => d.Key);

    /// <exception cref="KeyNotFoundException">No figure has this key.</exception>
    public static Definition Of(string key) => _byKey[key];

    public static IEnumerable<Definition> Of(params IEnumerable<string> keys) => keys.Select(Of);
}
