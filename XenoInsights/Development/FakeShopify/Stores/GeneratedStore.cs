using System.Globalization;

namespace XenoInsights.Development.FakeShopify.Stores;

/// <summary>How large a made-up store is, and where.</summary>
public sealed record GeneratedStoreOptions
{
    public int Ordinal { get; init; } = 100;

    public string Domain { get; init; } = "generated.myshopify.com";

    public string Name { get; init; } = "Generated";

    public int Seed { get; init; } = 1;

    public int Orders { get; init; } = 1000;

    public int Days { get; init; } = 365;

    public int Customers { get; init; } = 400;

    public int Products { get; init; } = 100;

    public DemoCurrency Currency { get; init; } = new("USD");

    public string TimeZone { get; init; } = "America/New_York";

    public IReadOnlySet<string> GrantedScopes { get; init; } =
        new HashSet<string> { "read_orders", "read_customers", "read_products", "read_all_orders" };
}

/// <summary>
/// A store of any size whose every object follows from the seed and its number: nothing is kept, a million orders cost
/// no memory. The days end with the last full week; ids do not depend on the date.
/// </summary>
public sealed class GeneratedStore
{
    private const int FirstNumber = 1001;
    private const decimal TaxRate = 0.08m;

    private static readonly string[] _materials =
    [
        "Oak",
        "Linen",
        "Brass",
        "Clay",
        "Wool",
        "Slate",
        "Cork",
        "Glass",
        "Copper",
        "Cotton",
    ];
    private static readonly string[] _things =
    [
        "tray",
        "lamp",
        "bowl",
        "throw",
        "clock",
        "vase",
        "stool",
        "mirror",
        "basket",
        "candle",
        "teapot",
        "shelf",
    ];
    private static readonly string[] _firstNames =
    [
        "Alba",
        "Bram",
        "Clio",
        "Dario",
        "Enid",
        "Floyd",
        "Greta",
        "Hollis",
        "Ines",
        "Jorah",
        "Kit",
        "Lorna",
        "Milo",
        "Nell",
        "Orson",
        "Pia",
    ];
    private static readonly string[] _lastNames =
    [
        "Ashdown",
        "Birchley",
        "Crestwell",
        "Dovemoor",
        "Eastmarsh",
        "Foxhollow",
        "Gladewin",
        "Highmoor",
        "Ivesley",
        "Jaywick",
        "Kestrelby",
        "Lowmere",
    ];

    private readonly GeneratedStoreOptions _options;
    private readonly DemoShop _shop;
    private readonly DateTimeOffset _start;
    private readonly DateTimeOffset _end;
    private readonly DemoProduct[] _products;
    private readonly Lazy<Totals[]> _totals;

    private GeneratedStore(DemoShop shop, GeneratedStoreOptions options, TimeProvider time)
    {
        (_shop, _options) = (shop, options);
        var monday = new DateTimeOffset(2024, 1, 1, 0, 0, 0, TimeSpan.Zero);
        _end = monday.AddDays(7 * Math.Floor((time.GetUtcNow() - monday).TotalDays / 7));
        _start = _end.AddDays(-options.Days);
        _products = [.. Enumerable.Range(0, options.Products).Select(Product)];
        _totals = new(CountTotals);
    }

    public static DemoStore Create(GeneratedStoreOptions options, TimeProvider time)
    {
        var shop = new DemoShop
        {
            Ordinal = options.Ordinal,
            Domain = options.Domain,
            Name = options.Name,
            Currency = options.Currency,
            TimeZone = options.TimeZone,
            GrantedScopes = options.GrantedScopes,
            CreatedAt = new DateTimeOffset(2023, 6, 1, 12, 0, 0, TimeSpan.Zero),
        };
        return new DemoStore(shop, () => new GeneratedStore(shop, options, time).Data());
    }

    private DemoData Data() =>
        new(
            new DemoSet<DemoOrder>(
                _options.Orders,
                Order,
                id => Position(_shop.Ids.NumberOfOrder(id) - FirstNumber, _options.Orders)
            ),
            new DemoSet<DemoCustomer>(
                _options.Customers,
                Customer,
                id => Position(_shop.Ids.NumberOfCustomer(id) - 1, _options.Customers)
            ),
            DemoSet.Of(_products),
            new DemoSet<DemoCheckout>(
                _options.Orders / 12,
                Checkout,
                id => Position(_shop.Ids.NumberOfCheckout(id) - 1, _options.Orders / 12)
            )
        );

    private static int? Position(long? index, int count) => index >= 0 && index < count ? (int)index : null;

    private DemoOrder Order(int index)
    {
        var dice = new Dice(_options.Seed, index);
        var at = TimeOf(index, ref dice);
        var customer = CustomerOf(ref dice);
        var builder = new DemoOrderBuilder(_shop, FirstNumber + index, at).Customer(
            customer is { } buyer ? _shop.Ids.Customer(buyer + 1) : null,
            customer is { } known ? EmailOf(known) : null
        );
        var taxed = dice.Below(100) < 60;
        var discounted = dice.Below(100) < 15;
        var lines = 1 + dice.Below(5);
        for (var i = 0; i < lines; i++)
        {
            var product = _products[(int)(_products.Length * dice.Fraction() * dice.Fraction())];
            var quantity = 1 + dice.Below(3);
            var price = product.Price.Minor * quantity;
            var discount = discounted ? price / 10 : 0;
            var tax = taxed ? (long)Math.Round((price - discount) * TaxRate, MidpointRounding.AwayFromZero) : 0;
            builder.Line(
                product.Title,
                quantity,
                product.Price.Minor,
                tax,
                TaxRate,
                orderDiscount: discount,
                product: product
            );
        }
        if (dice.Below(100) < 60)
        {
            builder.Shipping("Standard", (long)(5 * _shop.Currency.UnitsPerOne));
        }
        var refundAt = at.AddHours(dice.Below(20 * 24)).AddMinutes(dice.Below(60));
        if (dice.Below(100) < 6 && refundAt < _end)
        {
            builder.Refund(refundAt, [(dice.Below(lines), 1)]);
        }
        return (discounted ? builder.Code("WELCOME10") : builder).Build();
    }

    private DemoCustomer Customer(int index)
    {
        var of = _totals.Value[index];
        var dice = new Dice(_options.Seed + 1, index);
        return new DemoCustomer
        {
            Id = _shop.Ids.Customer(index + 1),
            CreatedAt = of.Orders == 0 ? _start : of.First,
            UpdatedAt = of.Orders == 0 ? _start : of.Updated,
            FirstName = _firstNames[dice.Below(_firstNames.Length)],
            LastName = _lastNames[dice.Below(_lastNames.Length)],
            Email = EmailOf(index),
            AcceptsMarketing = dice.Below(3) == 0,
            NumberOfOrders = of.Orders,
            AmountSpent = _shop.Money(of.Spent),
            LastOrderId = of.Orders == 0 ? null : _shop.Ids.Order(FirstNumber + of.LastIndex),
        };
    }

    private DemoProduct Product(int index)
    {
        var dice = new Dice(_options.Seed + 2, index);
        var title = $"{_materials[index % _materials.Length]} {_things[index / _materials.Length % _things.Length]}";
        var edition = index / (_materials.Length * _things.Length);
        return new DemoProduct
        {
            Id = _shop.Ids.Product(index + 1),
            VariantId = _shop.Ids.Variant(index + 1),
            Title = edition == 0 ? title : string.Create(CultureInfo.InvariantCulture, $"{title} no. {edition + 1}"),
            Sku = string.Create(CultureInfo.InvariantCulture, $"GEN-{index + 1:0000}"),
            Price = _shop.Money(
                (long)((3 + dice.Below(87)) * _shop.Currency.UnitsPerOne) - (_shop.Currency.Decimals > 0 ? 1 : 0)
            ),
            Vendor = _shop.Name,
            ProductType = _things[index / _materials.Length % _things.Length],
            CreatedAt = _start,
            UpdatedAt = _start,
        };
    }

    private DemoCheckout Checkout(int index)
    {
        var order = Order(index * 12);
        var dice = new Dice(_options.Seed + 3, index);
        var created = order.CreatedAt.AddMinutes(-dice.Below(120));
        DateTimeOffset? completed = dice.Below(100) < 15 ? created.AddMinutes(dice.Below(60)) : null;
        return new DemoCheckout
        {
            Id = _shop.Ids.Checkout(index + 1),
            CreatedAt = created,
            UpdatedAt = completed ?? created,
            CompletedAt = completed,
            CustomerId = order.CustomerId,
            Currency = _shop.Currency,
            Lines =
            [
                .. order.Lines.Select(l => new DemoCheckoutLine(
                    l.Id,
                    l.Title,
                    l.Sku,
                    l.Quantity,
                    l.UnitPrice,
                    l.ProductId,
                    l.VariantId
                )),
            ],
        };
    }

    /// <summary>Each order has its own slice of the time, so that numbers and dates go together.</summary>
    private DateTimeOffset TimeOf(int index, ref Dice dice)
    {
        var slice = TimeSpan.FromDays(_options.Days) / _options.Orders;
        var at = _start + (slice * index) + (slice * dice.Fraction());
        return DateTimeOffset.FromUnixTimeSeconds(at.ToUnixTimeSeconds());
    }

    /// <summary>A few buy often, most buy once; eight in a hundred are guests.</summary>
    private int? CustomerOf(ref Dice dice)
    {
        var rank = dice.Fraction();
        return dice.Below(100) < 8 ? null : (int)(_options.Customers * rank * rank * rank);
    }

    private string EmailOf(int customer) =>
        string.Create(CultureInfo.InvariantCulture, $"buyer-{customer + 1}@{_shop.Handle}.example.com");

    private Totals[] CountTotals()
    {
        var counted = new Totals[_options.Customers];
        for (var i = 0; i < _options.Orders; i++)
        {
            var order = Order(i);
            if (_shop.Ids.NumberOfCustomer(order.CustomerId ?? 0) is { } number)
            {
                ref var customer = ref counted[number - 1];
                customer.First = customer.Orders++ == 0 ? order.CreatedAt : customer.First;
                customer.Updated = order.UpdatedAt > customer.Updated ? order.UpdatedAt : customer.Updated;
                customer.Spent += order.TotalReceived.Minor - order.TotalRefunded.Minor;
                customer.LastIndex = i;
            }
        }
        return counted;
    }

    private struct Totals
    {
        public int Orders;
        public int LastIndex;
        public long Spent;
        public DateTimeOffset First;
        public DateTimeOffset Updated;
    }

    /// <summary>SplitMix64: the same throws for the same seed, for ever.</summary>
    private struct Dice(int seed, int index)
    {
        private ulong _state = ((ulong)(uint)seed << 32) + (uint)index;

        public int Below(int limit) => (int)(Next() % (ulong)limit);

        public double Fraction() => (Next() >> 11) * (1.0 / (1UL << 53));

        private ulong Next()
        {
            var z = _state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
    }
}

/// <summary>
/// The second store of the demo, left for a newcomer to connect; it grants only the last sixty days of orders.
/// </summary>
public static class HarbourLane
{
    public const string Domain = "harbour-lane.myshopify.com";

    public static DemoStore Create(int ordinal, TimeProvider time) =>
        GeneratedStore.Create(
            new GeneratedStoreOptions
            {
                Ordinal = ordinal,
                Domain = Domain,
                Name = "Harbour Lane",
                Seed = 42,
                Orders = 300,
                Days = 120,
                Customers = 170,
                Products = 48,
                GrantedScopes = new HashSet<string> { "read_orders", "read_customers", "read_products" },
            },
            time
        );
}
