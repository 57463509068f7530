namespace XenoInsights.Development.FakeShopify.Stores;

/// <summary>
/// What a case adds to one shop day, worked out by hand. Minor units of the shop's currency, without tax. Returns are
/// positive; what the merchant kept of a refund lowers them. Orders counts orders placed; test orders add nothing.
/// </summary>
public sealed record ExpectedDay(DateOnly Day)
{
    public int Orders { get; init; }

    public long Gross { get; init; }

    public long Discounts { get; init; }

    public long Returns { get; init; }

    public long Shipping { get; init; }

    public long Taxes { get; init; }

    public long Tips { get; init; }

    public long Duties { get; init; }

    public long Fees { get; init; }

    public long GiftCards { get; init; }

    public long Net => Gross - Discounts - Returns;
}

/// <summary>An order that is easily counted wrongly, and the days it must count on.</summary>
public sealed record HardCase(string Name, DemoOrder Order, IReadOnlyList<ExpectedDay> Days);

/// <summary>
/// Two small shops with one order for each trap: one in euros, taxes added, in New York; one in yen, taxes included, in
/// Tokyo.
/// </summary>
public static class HardCases
{
    public const string Domain = "hard-cases.myshopify.com";
    public const string YenDomain = "hard-cases-jpy.myshopify.com";

    private static readonly DemoShop _euros = new()
    {
        Ordinal = 2,
        Domain = Domain,
        Name = "Hard Cases",
        Currency = new DemoCurrency("EUR"),
        TimeZone = "America/New_York",
        CreatedAt = new DateTimeOffset(2024, 11, 1, 12, 0, 0, TimeSpan.Zero),
    };

    private static readonly DemoShop _yen = new()
    {
        Ordinal = 3,
        Domain = YenDomain,
        Name = "Hard Cases Japan",
        Currency = new DemoCurrency("JPY", 0),
        TimeZone = "Asia/Tokyo",
        TaxesIncluded = true,
        CreatedAt = new DateTimeOffset(2024, 11, 1, 12, 0, 0, TimeSpan.Zero),
    };

    private static readonly DemoProduct _satchel = Product(_euros, 1, "Canvas satchel", "SATCHEL", 2000);
    private static readonly DemoProduct _giftCard = Product(_euros, 2, "Gift card", "GIFT-50", 5000) with
    {
        IsGiftCard = true,
    };
    private static readonly DemoProduct _teapot = Product(_yen, 1, "Cast iron teapot", "TEAPOT", 1100);

    public static IReadOnlyList<HardCase> InEuros { get; } =
    [
        new(
            "percentage off a line",
            Placed(_euros, 1001, At(_euros, 6, 2, 12))
                .Line("Canvas satchel", 2, 5000, lineDiscount: 1000, product: _satchel)
                .Code("TENOFF")
                .Build(),
            [Day(6, 2) with { Orders = 1, Gross = 10_000, Discounts = 1000 }]
        ),
        new(
            "fixed amount off the order, shared by its lines",
            Placed(_euros, 1002, At(_euros, 6, 3, 12))
                .Line("Canvas satchel", 1, 3000, orderDiscount: 450, product: _satchel)
                .Line("Wool blanket", 1, 7000, orderDiscount: 1050)
                .Shipping("Standard", 500)
                .Code("FIFTEEN")
                .Build(),
            [Day(6, 3) with { Orders = 1, Gross = 10_000, Discounts = 1500, Shipping = 500 }]
        ),
        new(
            "discount on shipping belongs to shipping",
            Placed(_euros, 1003, At(_euros, 6, 4, 12))
                .Line("Canvas satchel", 2, 2000, product: _satchel)
                .Shipping("Express", 800, discount: 300)
                .Build(),
            [Day(6, 4) with { Orders = 1, Gross = 4000, Shipping = 500 }]
        ),
        new(
            "one of three given back on the same day",
            Placed(_euros, 1004, At(_euros, 6, 5, 9))
                .Line("Canvas satchel", 3, 2000, product: _satchel)
                .Refund(At(_euros, 6, 5, 17), [(0, 1)])
                .Build(),
            [Day(6, 5) with { Orders = 1, Gross = 6000, Returns = 2000 }]
        ),
        new(
            "everything given back on the same day",
            Placed(_euros, 1005, At(_euros, 6, 6, 9))
                .Line("Canvas satchel", 2, 2500, tax: 1000, product: _satchel)
                .Shipping("Standard", 600)
                .Refund(At(_euros, 6, 6, 18), [(0, 2)], shipping: 600)
                .Build(),
            [Day(6, 6) with { Orders = 1, Gross = 5000, Returns = 5000 }]
        ),
        new(
            "refund with a restocking fee kept",
            Placed(_euros, 1006, At(_euros, 6, 9, 12))
                .Line("Wool blanket", 1, 8000)
                .Refund(At(_euros, 6, 10, 12), [(0, 1)], discrepancy: 1000)
                .Build(),
            [Day(6, 9) with { Orders = 1, Gross = 8000 }, Day(6, 10) with { Returns = 7000 }]
        ),
        new(
            "goodwill beyond the goods",
            Placed(_euros, 1007, At(_euros, 6, 11, 12))
                .Line("Canvas satchel", 2, 2000, product: _satchel)
                .Refund(At(_euros, 6, 12, 12), [], discrepancy: -500)
                .Build(),
            [Day(6, 11) with { Orders = 1, Gross = 4000 }, Day(6, 12) with { Returns = 500 }]
        ),
        new(
            "refund counts on its own day, with its tax",
            Placed(_euros, 1008, At(_euros, 6, 13, 12))
                .Line("Canvas satchel", 2, 3000, tax: 1200, product: _satchel)
                .Refund(At(_euros, 6, 23, 12), [(0, 1)])
                .Build(),
            [
                Day(6, 13) with
                {
                    Orders = 1,
                    Gross = 6000,
                    Taxes = 1200,
                },
                Day(6, 23) with
                {
                    Returns = 3000,
                    Taxes = -600,
                },
            ]
        ),
        new(
            "only the shipping is given back",
            Placed(_euros, 1009, At(_euros, 6, 16, 12))
                .Line("Wool blanket", 1, 4500)
                .Shipping("Express", 900)
                .Refund(At(_euros, 6, 18, 12), [], shipping: 900)
                .Build(),
            [Day(6, 16) with { Orders = 1, Gross = 4500, Shipping = 900 }, Day(6, 18) with { Shipping = -900 }]
        ),
        new(
            "a line added later sells on the day of the edit",
            Placed(_euros, 1010, At(_euros, 6, 17, 12))
                .Line("Canvas satchel", 1, 2000, product: _satchel)
                .EditAdd(At(_euros, 6, 19, 12), "Leather strap", 1, 3500)
                .Build(),
            [Day(6, 17) with { Orders = 1, Gross = 2000 }, Day(6, 19) with { Gross = 3500 }]
        ),
        new(
            "a line removed later comes back on the day of the edit",
            Placed(_euros, 1011, At(_euros, 6, 20, 12))
                .Line("Canvas satchel", 1, 2000, product: _satchel)
                .Line("Leather strap", 1, 1500)
                .EditRemove(At(_euros, 6, 24, 12), 1, 1)
                .Build(),
            [Day(6, 20) with { Orders = 1, Gross = 3500 }, Day(6, 24) with { Returns = 1500 }]
        ),
        new(
            "a cancelled order sells on its day and comes back on the day it was cancelled",
            Placed(_euros, 1012, At(_euros, 6, 25, 12))
                .Line("Wool blanket", 1, 6000)
                .Shipping("Standard", 500)
                .Cancel(At(_euros, 6, 26, 12), "CUSTOMER")
                .Build(),
            [
                Day(6, 25) with
                {
                    Orders = 1,
                    Gross = 6000,
                    Shipping = 500,
                },
                Day(6, 26) with
                {
                    Returns = 6000,
                    Shipping = -500,
                },
            ]
        ),
        new(
            "a gift card is a debt, not a sale",
            Placed(_euros, 1013, At(_euros, 6, 27, 12))
                .Line("Gift card", 1, 5000, product: _giftCard, giftCard: true)
                .Line("Leather strap", 1, 1000)
                .Build(),
            [Day(6, 27) with { Orders = 1, Gross = 1000, GiftCards = 5000 }]
        ),
        new(
            "paid with a gift card counts in full",
            Placed(_euros, 1014, At(_euros, 6, 30, 12)).Line("Wool blanket", 1, 3300).PaidWith("gift_card").Build(),
            [Day(6, 30) with { Orders = 1, Gross = 3300 }]
        ),
        new(
            "a tip is no sale",
            Placed(_euros, 1015, At(_euros, 7, 1, 12))
                .Line("Canvas satchel", 1, 2500, product: _satchel)
                .Tip(400)
                .Build(),
            [Day(7, 1) with { Orders = 1, Gross = 2500, Tips = 400 }]
        ),
        new(
            "duty",
            Placed(_euros, 1016, At(_euros, 7, 2, 12)).Line("Wool blanket", 1, 10_000).Duty(0, 1250).Build(),
            [Day(7, 2) with { Orders = 1, Gross = 10_000, Duties = 1250 }]
        ),
        new(
            "an additional fee",
            Placed(_euros, 1017, At(_euros, 7, 3, 12))
                .Line("Canvas satchel", 2, 2000, product: _satchel)
                .Fee("Packaging", 200)
                .Build(),
            [Day(7, 3) with { Orders = 1, Gross = 4000, Fees = 200 }]
        ),
        new(
            "a test order counts nowhere",
            Placed(_euros, 1018, At(_euros, 7, 4, 12)).Line("Wool blanket", 1, 99_900).Test().Build(),
            []
        ),
        new(
            "taxes added to goods and shipping",
            Placed(_euros, 1019, At(_euros, 7, 7, 12))
                .Line("Enamel mug", 3, 999, tax: 599)
                .Shipping("Standard", 400, tax: 80)
                .Build(),
            [Day(7, 7) with { Orders = 1, Gross = 2997, Shipping = 400, Taxes = 679 }]
        ),
        new(
            "half a minute before the shop's midnight",
            Placed(_euros, 1020, At(_euros, 7, 8, 23, 59, 30)).Line("Enamel mug", 1, 1100).Build(),
            [Day(7, 8) with { Orders = 1, Gross = 1100 }]
        ),
        new(
            "half a minute after the shop's midnight",
            Placed(_euros, 1021, At(_euros, 7, 9, 0, 0, 30)).Line("Enamel mug", 1, 1200).Build(),
            [Day(7, 9) with { Orders = 1, Gross = 1200 }]
        ),
        new(
            "the last second before the clocks go forward",
            Placed(_euros, 1022, At(_euros, 3, 9, 1, 59, 59)).Line("Enamel mug", 1, 1300).Build(),
            [Day(3, 9) with { Orders = 1, Gross = 1300 }]
        ),
        new(
            "the last hour of the day of 23 hours",
            Placed(_euros, 1023, At(_euros, 3, 9, 23, 30)).Line("Enamel mug", 1, 1400).Build(),
            [Day(3, 9) with { Orders = 1, Gross = 1400 }]
        ),
        new(
            "the hour that comes twice, the second time",
            Placed(_euros, 1024, new DateTimeOffset(2025, 11, 2, 1, 30, 0, TimeSpan.FromHours(-5)))
                .Line("Enamel mug", 1, 1500)
                .Build(),
            [Day(11, 2) with { Orders = 1, Gross = 1500 }]
        ),
        new(
            "the last hour of the day of 25 hours",
            Placed(_euros, 1025, At(_euros, 11, 2, 23, 59)).Line("Enamel mug", 1, 1600).Build(),
            [Day(11, 2) with { Orders = 1, Gross = 1600 }]
        ),
        new(
            "an imported order counts when it was processed, not when it was created",
            Placed(_euros, 1026, At(_euros, 7, 10, 12))
                .ProcessedAt(new DateTimeOffset(2024, 12, 15, 15, 0, 0, TimeSpan.Zero))
                .Line("Enamel mug", 2, 1000)
                .Build(),
            [new ExpectedDay(new DateOnly(2024, 12, 15)) { Orders = 1, Gross = 2000 }]
        ),
        new(
            "a guest",
            Placed(_euros, 1027, At(_euros, 7, 11, 12)).Customer(null).Line("Enamel mug", 1, 1700).Build(),
            [Day(7, 11) with { Orders = 1, Gross = 1700 }]
        ),
        new(
            "a discount given later counts on the day of the edit",
            Placed(_euros, 1028, At(_euros, 7, 14, 12))
                .Line("Wool blanket", 2, 4000)
                .EditDiscount(At(_euros, 7, 15, 12), 0, 1000)
                .Build(),
            [Day(7, 14) with { Orders = 1, Gross = 8000 }, Day(7, 15) with { Discounts = 1000 }]
        ),
        new(
            "a custom line without a product",
            Placed(_euros, 1029, At(_euros, 7, 16, 12)).Line("Engraving", 1, 1800).Build(),
            [Day(7, 16) with { Orders = 1, Gross = 1800 }]
        ),
        new(
            "not paid yet",
            Placed(_euros, 1030, At(_euros, 7, 17, 12))
                .Line("Enamel mug", 1, 1900)
                .Status(FinancialStatus.Pending)
                .Build(),
            [Day(7, 17) with { Orders = 1, Gross = 1900 }]
        ),
        new(
            "payment voided, the order still stands",
            Placed(_euros, 1031, At(_euros, 7, 18, 12))
                .Line("Enamel mug", 1, 2100)
                .Status(FinancialStatus.Voided)
                .Build(),
            [Day(7, 18) with { Orders = 1, Gross = 2100 }]
        ),
        new(
            "bought in dollars, booked in euros",
            Placed(_euros, 1032, At(_euros, 7, 21, 12))
                .Presented(new DemoPresentment("USD", 2, 1.25m))
                .Line("Enamel mug", 2, 1000)
                .Shipping("Standard", 400)
                .Build(),
            [Day(7, 21) with { Orders = 1, Gross = 2000, Shipping = 400 }]
        ),
        new(
            "three units given back one by one come to the whole, tax and discount too",
            Placed(_euros, 1033, At(_euros, 7, 22, 12))
                .Line("Enamel mug", 3, 1000, tax: 580, lineDiscount: 100)
                .Refund(At(_euros, 7, 23, 12), [(0, 1)])
                .Refund(At(_euros, 7, 24, 12), [(0, 1)])
                .Refund(At(_euros, 7, 25, 12), [(0, 1)])
                .Build(),
            [
                Day(7, 22) with
                {
                    Orders = 1,
                    Gross = 3000,
                    Discounts = 100,
                    Taxes = 580,
                },
                Day(7, 23) with
                {
                    Returns = 967,
                    Taxes = -193,
                },
                Day(7, 24) with
                {
                    Returns = 966,
                    Taxes = -194,
                },
                Day(7, 25) with
                {
                    Returns = 967,
                    Taxes = -193,
                },
            ]
        ),
    ];

    public static IReadOnlyList<HardCase> InYen { get; } =
    [
        new(
            "prices hold their tax",
            Placed(_yen, 2001, At(_yen, 6, 2, 12))
                .Line("Cast iron teapot", 2, 1100, tax: 200, taxRate: 0.1m, product: _teapot)
                .Build(),
            [Day(6, 2) with { Orders = 1, Gross = 2000, Taxes = 200 }]
        ),
        new(
            "a discount lowers the tax it holds",
            Placed(_yen, 2002, At(_yen, 6, 3, 12))
                .Line("Cast iron teapot", 1, 3300, tax: 270, taxRate: 0.1m, lineDiscount: 330, product: _teapot)
                .Build(),
            [Day(6, 3) with { Orders = 1, Gross = 3000, Discounts = 300, Taxes = 270 }]
        ),
        new(
            "one of three given back, tax cut by the unit",
            Placed(_yen, 2003, At(_yen, 6, 4, 12))
                .Line("Tea bowl", 3, 1000, tax: 273, taxRate: 0.1m)
                .Refund(At(_yen, 6, 6, 12), [(0, 1)])
                .Build(),
            [Day(6, 4) with { Orders = 1, Gross = 2727, Taxes = 273 }, Day(6, 6) with { Returns = 909, Taxes = -91 }]
        ),
        new(
            "shipping holds its tax as well",
            Placed(_yen, 2004, At(_yen, 6, 5, 12))
                .Line("Tea bowl", 1, 1100, tax: 100, taxRate: 0.1m)
                .Shipping("Yamato", 550, tax: 50, taxRate: 0.1m)
                .Build(),
            [Day(6, 5) with { Orders = 1, Gross = 1000, Shipping = 500, Taxes = 150 }]
        ),
        new(
            "still yesterday in London",
            Placed(_yen, 2005, new DateTimeOffset(2025, 6, 30, 15, 30, 0, TimeSpan.Zero))
                .Line("Tea bowl", 1, 1100, tax: 100, taxRate: 0.1m)
                .Build(),
            [Day(7, 1) with { Orders = 1, Gross = 1000, Taxes = 100 }]
        ),
        new(
            "a cancelled order comes back with the tax it held",
            Placed(_yen, 2006, At(_yen, 7, 2, 12))
                .Line("Cast iron teapot", 1, 2200, tax: 200, taxRate: 0.1m, product: _teapot)
                .Shipping("Yamato", 550, tax: 50, taxRate: 0.1m)
                .Cancel(At(_yen, 7, 3, 12), "INVENTORY")
                .Build(),
            [
                Day(7, 2) with
                {
                    Orders = 1,
                    Gross = 2000,
                    Shipping = 500,
                    Taxes = 250,
                },
                Day(7, 3) with
                {
                    Returns = 2000,
                    Shipping = -500,
                    Taxes = -250,
                },
            ]
        ),
    ];

    public static DemoStore CreateEuros() => new(_euros, () => Data(_euros, InEuros, [_satchel, _giftCard]));

    public static DemoStore CreateYen() => new(_yen, () => Data(_yen, InYen, [_teapot]));

    private static DemoData Data(DemoShop shop, IReadOnlyList<HardCase> cases, IReadOnlyList<DemoProduct> products)
    {
        var orders = cases.Select(c => c.Order).OrderBy(o => o.CreatedAt).ToArray();
        var bought = orders.Where(o => o.CustomerId is not null).ToArray();
        var customer = new DemoCustomer
        {
            Id = shop.Ids.Customer(1),
            CreatedAt = bought[0].CreatedAt,
            UpdatedAt = bought.Max(o => o.UpdatedAt),
            FirstName = "Hedda",
            LastName = "Hardcastle",
            Email = "hedda@example.com",
            NumberOfOrders = bought.Length,
            AmountSpent = bought.Aggregate(
                shop.Money(0),
                (sum, o) => sum + shop.Money(o.TotalReceived.Minor - o.TotalRefunded.Minor)
            ),
            LastOrderId = bought[^1].Id,
        };
        return new(DemoSet.Of(orders), DemoSet.Of([customer]), DemoSet.Of(products), DemoSet.Of<DemoCheckout>([]));
    }

    private static DemoOrderBuilder Placed(DemoShop shop, long number, DateTimeOffset at) =>
        new DemoOrderBuilder(shop, number, at).Customer(shop.Ids.Customer(1), "hedda@example.com");

    private static DemoProduct Product(DemoShop shop, int number, string title, string sku, long price) =>
        new()
        {
            Id = shop.Ids.Product(number),
            VariantId = shop.Ids.Variant(number),
            Title = title,
            Sku = sku,
            Price = shop.Money(price),
            Vendor = shop.Name,
            CreatedAt = shop.CreatedAt,
            UpdatedAt = shop.CreatedAt,
        };

    private static ExpectedDay Day(int month, int day) => new(new DateOnly(2025, month, day));

    /// <summary>The shop's wall clock in 2025.</summary>
    private static DateTimeOffset At(DemoShop shop, int month, int day, int hour, int minute = 0, int second = 0)
    {
        var local = new DateTime(2025, month, day, hour, minute, second);
        return new DateTimeOffset(local, shop.Zone.GetUtcOffset(local)).ToUniversalTime();
    }
}
