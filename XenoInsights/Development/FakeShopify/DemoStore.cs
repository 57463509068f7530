namespace XenoInsights.Development.FakeShopify;

/// <summary>A store's settings as its merchant would have made them.</summary>
public sealed record DemoShop
{
    /// <summary>Part of every id in the store; unique among the stores of one host.</summary>
    public required int Ordinal { get; init; }

    /// <summary>"name.myshopify.com".</summary>
    public required string Domain { get; init; }

    public required string Name { get; init; }

    public required DemoCurrency Currency { get; init; }

    /// <summary>IANA name.</summary>
    public required string TimeZone { get; init; }

    public bool TaxesIncluded { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Scopes the merchant grants when they are asked for; the others are left out of the grant.</summary>
    public IReadOnlySet<string> GrantedScopes { get; init; } =
        new HashSet<string> { "read_orders", "read_customers", "read_products", "read_all_orders" };

    public DemoIds Ids => new(Ordinal);

    public TimeZoneInfo Zone => TimeZoneInfo.FindSystemTimeZoneById(TimeZone);

    public string Handle => Domain.Split('.')[0];

    public DemoMoney Money(long minor) => new(minor, Currency);
}

/// <summary>
/// Numbers that stay the same from one start to the next, whatever the dates. Order numbers below ten million.
/// </summary>
public readonly record struct DemoIds(int Store)
{
    private const long PerStore = 1_000_000_000;

    public long Shop => 60_000_000_000 + Store;

    public long Order(long number) => 5_000_000_000_000 + (Store * PerStore) + number;

    public long Customer(long number) => 7_000_000_000_000 + (Store * PerStore) + number;

    public long Product(long number) => 8_000_000_000_000 + (Store * PerStore) + number;

    public long Variant(long number) => 40_000_000_000_000 + (Store * PerStore) + number;

    public long Checkout(long number) => 30_000_000_000_000 + (Store * PerStore) + number;

    /// <summary>
    /// Parts of an order: lines, sales, agreements, refunds … each kind counted for itself, below 100,000.
    /// </summary>
    public long Part(long orderNumber, int part) => ((Store + 1) * 1_000_000_000_000) + (orderNumber * 100_000) + part;

    /// <summary>The order a part belongs to.</summary>
    public long OrderOfPart(long id) => Order((id - ((Store + 1) * 1_000_000_000_000)) / 100_000);

    public long? NumberOfOrder(long id) => NumberIn(id, Order(0));

    public long? NumberOfCustomer(long id) => NumberIn(id, Customer(0));

    public long? NumberOfCheckout(long id) => NumberIn(id, Checkout(0));

    private static long? NumberIn(long id, long first) => id >= first && id < first + PerStore ? id - first : null;
}

public sealed record DemoData(
    DemoSet<DemoOrder> Orders,
    DemoSet<DemoCustomer> Customers,
    DemoSet<DemoProduct> Products,
    DemoSet<DemoCheckout> Checkouts
);

/// <summary>A store: its settings, its data (loaded on first need), its install of the app, and its faults.</summary>
public sealed class DemoStore(DemoShop shop, Func<DemoData> load)
{
    private readonly Lazy<Task<DemoData>> _data = new(() => Task.Run(load));

    public DemoShop Shop { get; } = shop;

    /// <summary>As its merchant has it now; at first the one the data were made for.</summary>
    public string TimeZone { get; set; } = shop.TimeZone;

    /// <summary>As its merchant has it now; the store also answers at the one it was made with.</summary>
    public string Domain { get; set; } = shop.Domain;

    /// <summary>As its merchant has it now. Orders stay in the currency they were placed in.</summary>
    public string Currency { get; set; } = shop.Currency.Code;

    public TimeZoneInfo Zone => TimeZoneInfo.FindSystemTimeZoneById(TimeZone);

    public DemoFaults Faults { get; } = new();

    public Task<DemoData> DataAsync() => _data.Value;

    internal DemoGrant Grant { get; } = new();

    internal DemoBucket Bucket { get; } = new();

    internal DemoWebhooks Webhooks { get; } = new();

    internal DemoBulk Bulk { get; } = new();
}

/// <summary>What goes wrong on purpose, for tests. A counted fault ends by itself after as many calls.</summary>
public sealed class DemoFaults
{
    private readonly Lock _gate = new();

    /// <summary>The next GraphQL calls are answered "Throttled".</summary>
    public int ThrottleCalls { get; set; }

    /// <summary>The next GraphQL calls are answered with this status: 401, 402, 403, 423, 429, 500, 502 …</summary>
    public (int Status, int Calls) Respond { get; set; }

    /// <summary>Added to every GraphQL answer.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>The next starts of bulk queries are answered with status 500.</summary>
    public int BreakBulkStart { get; set; }

    /// <summary>The next bulk queries end FAILED with this error code and a partialDataUrl of the first half.</summary>
    public int FailBulk { get; set; }

    public string BulkErrorCode { get; set; } = "INTERNAL_SERVER_ERROR";

    /// <summary>The next bulk queries end CANCELED, as stalled ones do.</summary>
    public int CancelBulk { get; set; }

    /// <summary>While set, bulk queries stay RUNNING.</summary>
    public bool HoldBulk { get; set; }

    /// <summary>The next finished bulk results cannot be fetched any more: the operation is EXPIRED.</summary>
    public int ExpireBulk { get; set; }

    /// <summary>The next downloads end properly, but in the middle of a line.</summary>
    public int TruncateDownloads { get; set; }

    /// <summary>The next downloads lose the connection half-way.</summary>
    public int DropDownloads { get; set; }

    /// <summary>The next bulk results have their last line twice.</summary>
    public int DuplicateLine { get; set; }

    /// <summary>Shares of webhook deliveries (0 to 1) that never leave, and that leave twice.</summary>
    public double LoseWebhooks { get; set; }

    public double DuplicateWebhooks { get; set; }

    /// <summary>
    /// Deliveries wait this long, and up to as long again as <see cref="ShuffleWebhooks"/>, each by itself: they arrive
    /// out of order.
    /// </summary>
    public TimeSpan DelayWebhooks { get; set; }

    public TimeSpan ShuffleWebhooks { get; set; }

    /// <summary>The next refreshes rotate the tokens, but the answer never arrives.</summary>
    public int LoseRefreshResponse { get; set; }

    internal bool Take(Func<DemoFaults, int> read, Action<DemoFaults, int> write)
    {
        lock (_gate)
        {
            var left = read(this);
            if (left <= 0)
            {
                return false;
            }
            write(this, left - 1);
            return true;
        }
    }

    internal int? TakeStatus()
    {
        lock (_gate)
        {
            if (Respond.Calls <= 0)
            {
                return null;
            }
            Respond = (Respond.Status, Respond.Calls - 1);
            return Respond.Status;
        }
    }
}
