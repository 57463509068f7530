using System.Globalization;
using System.IO.Compression;
using CsvHelper;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Insights;

/// <summary>
/// A second opinion on the year of online-retail.myshopify.com: computed from the file of invoices by the rules of its
/// README, in decimal pounds, without a line of the product's. Days are the shop's.
/// </summary>
internal sealed class OnlineRetailBooks
{
    private static readonly HashSet<string> _shipping = ["POST", "DOT", "C2"];

    private readonly ILookup<DateOnly, Entry> _entriesOfDay;

    private OnlineRetailBooks(int weeks, List<Invoice> invoices)
    {
        Orders =
        [
            .. invoices
                .Where(i => !i.IsCancellation)
                .Select(i => i with { Lines = [.. i.Lines.Where(l => l is { Quantity: > 0, Price: > 0 })] })
                .Where(i => i.Lines.Count > 0),
        ];
        Refunds = Match([.. invoices.Where(i => i.IsCancellation)]);
        Days = (DayOf(Orders.Min(o => o.At), weeks), DayOf(invoices.Max(i => i.At), weeks));
        Entries = [.. EntriesOf(weeks)];
        _entriesOfDay = Entries.ToLookup(e => e.Day);
        Placed = [.. Orders.Select(o => new Placing(DayOf(o.At, weeks), o.Customer))];
        OrdersOf = Orders.Where(o => o.Customer is not null).CountBy(o => o.Customer!.Value).ToDictionary();
        FirstDayOf = Placed
            .Where(p => p.Customer is not null)
            .GroupBy(p => p.Customer!.Value)
            .ToDictionary(g => g.Key, g => g.Min(p => p.Day));
        DescriptionsOf = invoices
            .SelectMany(i => i.Lines)
            .GroupBy(l => l.Code)
            .ToDictionary(g => g.Key, g => g.Select(l => Words(l.Description)).ToHashSet());
    }

    public IReadOnlyList<Invoice> Orders { get; }
    public IReadOnlyList<Refund> Refunds { get; }
    public IReadOnlyList<Entry> Entries { get; }
    public IReadOnlyList<Placing> Placed { get; }

    /// <summary>The first and the last day on which anything happened.</summary>
    public (DateOnly First, DateOnly Last) Days { get; }

    /// <summary>Orders of each customer in the whole history.</summary>
    public IReadOnlyDictionary<int, int> OrdersOf { get; }
    public IReadOnlyDictionary<int, DateOnly> FirstDayOf { get; }
    public IReadOnlyDictionary<string, HashSet<string>> DescriptionsOf { get; }

    public static OnlineRetailBooks Read(int weeks) => new(weeks, Invoices());

    /// <summary>How far the dates move: the last event is never in the future.</summary>
    public static int WeeksAt(DateTimeOffset now)
    {
        var wallClock = TimeZoneInfo.ConvertTime(now, TimeZoneInfo.FindSystemTimeZoneById("Europe/London")).DateTime;
        return (int)Math.Floor((wallClock - new DateTime(2011, 12, 9, 12, 50, 0)) / TimeSpan.FromDays(7));
    }

    public static string Words(string text) =>
        string.Join(' ', text.Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToUpperInvariant();

    public Figures In(DateOnly from, DateOnly to)
    {
        var entries = Enumerable
            .Range(from.DayNumber, to.DayNumber - from.DayNumber + 1)
            .SelectMany(day => _entriesOfDay[DateOnly.FromDayNumber(day)])
            .ToArray();
        var placed = Placed.Where(p => p.Day >= from && p.Day <= to).ToArray();
        var customers = placed.Where(p => p.Customer is not null).Select(p => p.Customer!.Value).ToHashSet();
        return new Figures(
            placed.Length,
            entries.Sum(e => e.Gross),
            entries.Sum(e => e.Returns),
            entries.Sum(e => e.Shipping),
            customers.Count,
            customers.Count(c => FirstDayOf[c] >= from),
            customers.Count(c => OrdersOf[c] >= 2)
        );
    }

    private static DateOnly DayOf(DateTime wallClock, int weeks) => DateOnly.FromDateTime(wallClock).AddDays(7 * weeks);

    private IEnumerable<Entry> EntriesOf(int weeks)
    {
        foreach (var order in Orders)
        foreach (var line in order.Lines)
            yield return Booked(DayOf(order.At, weeks), order.Customer, line, line.Quantity, isReturn: false);
        foreach (var refund in Refunds)
            yield return Booked(
                DayOf(refund.Cancellation.At, weeks),
                refund.Order.Customer,
                refund.Line,
                refund.Quantity,
                isReturn: true
            );
    }

    private static Entry Booked(DateOnly day, int? customer, Line line, int quantity, bool isReturn)
    {
        var worth = quantity * line.Price;
        return _shipping.Contains(line.Code)
            ? new Entry(day, customer, null, 0, 0, 0, isReturn ? -worth : worth)
            : new Entry(
                day,
                customer,
                line.Code,
                isReturn ? -quantity : quantity,
                isReturn ? 0 : worth,
                isReturn ? worth : 0,
                0
            );
    }

    private List<Refund> Match(Invoice[] cancellations)
    {
        var refunds = new List<Refund>();
        var left = Orders.SelectMany(o => o.Lines).ToDictionary(l => l, l => l.Quantity);
        var bought = Orders
            .Where(o => o.Customer is not null)
            .SelectMany(order => order.Lines.Select(line => (Order: order, Line: line)))
            .ToLookup(b => (b.Order.Customer, b.Line.Code));
        foreach (var cancellation in cancellations)
        {
            foreach (var returned in cancellation.Lines.Where(l => l.Quantity < 0))
            {
                var open = -returned.Quantity;
                // Latest first; OrderBy is stable, so lines of one moment are taken from the end of the file backwards.
                var candidates = bought[(cancellation.Customer, returned.Code)]
                    .Where(b => b.Order.At <= cancellation.At)
                    .Reverse()
                    .OrderByDescending(b => b.Order.At)
                    .ToArray();
                var samePrice = candidates.Where(b => b.Line.Price == returned.Price);
                var ways = returned.Code is "M" or "m" ? samePrice : samePrice.Concat(candidates);
                foreach (var (order, line) in ways)
                {
                    var units = Math.Min(open, left[line]);
                    if (units == 0)
                        continue;
                    left[line] -= units;
                    open -= units;
                    refunds.Add(new Refund(cancellation, order, line, units));
                }
            }
        }
        return refunds;
    }

    private static List<Invoice> Invoices()
    {
        var invoices = new Dictionary<string, Invoice>();
        using var file = File.OpenRead(
            Path.Combine(Repository.Root, "XenoInsights", "Development", "FakeShopify", "Data", "online-retail.csv.gz")
        );
        using var csv = CsvReader.Create(new GZipStream(file, CompressionMode.Decompress));
        while (csv.Read())
        {
            var number = csv.GetString(0);
            if (number.StartsWith('A'))
                continue;
            if (!invoices.TryGetValue(number, out var invoice))
            {
                var customer = csv.GetString(6);
                invoice = new Invoice(
                    number,
                    DateTime.ParseExact(csv.GetString(4), "yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
                    customer.Length == 0 ? null : (int)decimal.Parse(customer, CultureInfo.InvariantCulture),
                    []
                );
                invoices.Add(number, invoice);
            }
            invoice.Lines.Add(
                new Line(
                    csv.GetString(1),
                    csv.GetString(2),
                    csv.Parse<int>(3),
                    Math.Round(csv.Parse<decimal>(5), 2, MidpointRounding.AwayFromZero)
                )
            );
        }
        return [.. invoices.Values];
    }

    /// <param name="At">London's local time, as in the file.</param>
    internal sealed record Invoice(string Number, DateTime At, int? Customer, List<Line> Lines)
    {
        public bool IsCancellation => Number.StartsWith('C');
    }

    /// <summary>A class: two lines that read alike are still two.</summary>
    internal sealed class Line(string code, string description, int quantity, decimal price)
    {
        public string Code => code;
        public string Description => description;
        public int Quantity => quantity;
        public decimal Price => price;
    }

    internal sealed record Refund(Invoice Cancellation, Invoice Order, Line Line, int Quantity);

    /// <param name="Product">Stock code; null for shipping.</param>
    internal sealed record Entry(
        DateOnly Day,
        int? Customer,
        string? Product,
        int Units,
        decimal Gross,
        decimal Returns,
        decimal Shipping
    )
    {
        public decimal Total => Gross - Returns + Shipping;
    }

    internal sealed record Placing(DateOnly Day, int? Customer);
}

/// <summary>What a range must come to, in pounds.</summary>
internal sealed record Figures(
    int Orders,
    decimal Gross,
    decimal Returns,
    decimal Shipping,
    int Customers,
    int NewCustomers,
    int ReturningCustomers
)
{
    public decimal Net => Gross - Returns;
    public decimal Total => Net + Shipping;
    public decimal AverageOrderValue => Orders == 0 ? 0 : Math.Round(Gross / Orders, 2, MidpointRounding.AwayFromZero);
}
