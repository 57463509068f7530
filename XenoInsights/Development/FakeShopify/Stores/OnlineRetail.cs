using System.Globalization;
using System.IO.Compression;

namespace XenoInsights.Development.FakeShopify.Stores;

/// <summary>
/// The real year of a British gift wholesaler (see Data/README.md for source and rules), moved by whole weeks so that
/// it ends within the last seven days. Lines are kept in columns; orders, lines and ledger are put together when they
/// are read.
/// </summary>
public sealed class OnlineRetail
{
    public const string Domain = "online-retail.myshopify.com";

    private const int Guest = -1;
    private static readonly HashSet<string> _shippingCodes = ["POST", "DOT", "C2"];
    private static readonly HashSet<string> _manualCodes = ["M", "m"];

    private readonly DemoShop _shop;
    private readonly DemoIds _ids;

    // One entry per order, in the file's order; lines and refunds of order i are those from First[i] up to First[i +
    // 1].
    private readonly int[] _orderNumber,
        _orderCustomer,
        _firstLine,
        _firstRefundPart;
    private readonly byte[] _orderCountry;
    private readonly DateTimeOffset[] _orderTime;
    private readonly Dictionary<int, int> _orderAt = [];

    // One entry per line, shipping lines among them. Prices in pence.
    private readonly int[] _lineCode,
        _lineQuantity,
        _linePrice;

    private readonly RefundPart[] _refundParts;
    private readonly string[] _codes,
        _countries;
    private readonly int[] _customerNumber;
    private readonly Dictionary<int, int> _customerAt = [];
    private readonly DemoProduct[] _products;
    private readonly (
        int Orders,
        long Spent,
        int FirstOrder,
        int LastOrder,
        DateTimeOffset UpdatedAt
    )[] _customerTotals;
    private readonly (int Order, DateTimeOffset Created, DateTimeOffset? Completed)[] _checkouts;

    /// <summary>What the file held and what became of it.</summary>
    public OnlineRetailCounts Counts { get; }

    private OnlineRetail(DemoShop shop, TimeProvider time)
    {
        _shop = shop;
        _ids = shop.Ids;
        var file = OnlineRetailFile.Read();
        _codes = file.Codes;
        _countries = file.Countries;
        _customerNumber = file.Customers;
        for (var i = 0; i < _customerNumber.Length; i++)
        {
            _customerAt[_customerNumber[i]] = i;
        }

        var kept = file.Invoices.Where(invoice => !invoice.IsCancellation && invoice.Lines.Any(IsSale)).ToArray();
        var lines = kept.Sum(invoice => invoice.Lines.Count(IsSale));
        _orderNumber = new int[kept.Length];
        _orderCustomer = new int[kept.Length];
        _orderCountry = new byte[kept.Length];
        _orderTime = new DateTimeOffset[kept.Length];
        _firstLine = new int[kept.Length + 1];
        (_lineCode, _lineQuantity, _linePrice) = (new int[lines], new int[lines], new int[lines]);
        var weeks = WeeksToNow(file.Invoices.Max(i => i.LocalTime), time);
        for (int order = 0, line = 0; order < kept.Length; order++)
        {
            var invoice = kept[order];
            _orderNumber[order] = invoice.Number;
            _orderCustomer[order] = invoice.Customer;
            _orderCountry[order] = invoice.Country;
            _orderTime[order] = Moved(invoice.LocalTime, weeks);
            _orderAt[invoice.Number] = order;
            foreach (var sold in invoice.Lines.Where(IsSale))
            {
                (_lineCode[line], _lineQuantity[line], _linePrice[line]) = (sold.Code, sold.Quantity, sold.Price);
                line++;
            }
            _firstLine[order + 1] = line;
        }

        var cancellations = file.Invoices.Where(invoice => invoice.IsCancellation).ToArray();
        (_refundParts, var unmatched) = Match(cancellations, weeks);
        _firstRefundPart = new int[kept.Length + 1];
        foreach (var part in _refundParts)
        {
            _firstRefundPart[part.Order + 1]++;
        }
        for (var i = 1; i < _firstRefundPart.Length; i++)
        {
            _firstRefundPart[i] += _firstRefundPart[i - 1];
        }

        _products = Products(file);
        _customerTotals = CustomerTotals();
        _checkouts = Checkouts();
        Counts = new()
        {
            FileRows = file.Rows,
            Orders = kept.Length,
            LineItems = lines - _lineCode.Count(IsShipping),
            ShippingLines = _lineCode.Count(IsShipping),
            GrossPence = Enumerable
                .Range(0, lines)
                .Where(i => !IsShipping(_lineCode[i]))
                .Sum(i => (long)_lineQuantity[i] * _linePrice[i]),
            CancellationLines = cancellations.Sum(invoice => invoice.Lines.Count),
            Refunds = _refundParts.Select(p => (p.Order, p.Cancellation)).Distinct().Count(),
            RefundedPence = _refundParts.Sum(p => (long)p.Quantity * _linePrice[p.Line]),
            UnmatchedCancellationLines = unmatched.Lines,
            UnmatchedUnits = unmatched.Units,
            Checkouts = _checkouts.Length,
        };
    }

    public static DemoStore Create(int ordinal, TimeProvider time)
    {
        var shop = new DemoShop
        {
            Ordinal = ordinal,
            Domain = Domain,
            Name = "Online Retail",
            Currency = new DemoCurrency("GBP"),
            TimeZone = "Europe/London",
            CreatedAt = new DateTimeOffset(2009, 12, 1, 9, 0, 0, TimeSpan.Zero),
        };
        return new DemoStore(shop, () => Load(shop, time).Data());
    }

    public static OnlineRetail Load(DemoShop shop, TimeProvider time) => new(shop, time);

    public DemoData Data() =>
        new(
            new DemoSet<DemoOrder>(
                _orderNumber.Length,
                Order,
                id => _ids.NumberOfOrder(id) is { } number && _orderAt.TryGetValue((int)number, out var i) ? i : null
            ),
            new DemoSet<DemoCustomer>(
                _customersByFirstOrder.Length,
                position => Customer(_customersByFirstOrder[position]),
                PositionOfCustomer
            ),
            DemoSet.Of(_products),
            new DemoSet<DemoCheckout>(_checkouts.Length, Checkout, PositionOfCheckout)
        );

    private bool IsShipping(int code) => _shippingCodes.Contains(_codes[code]);

    private static bool IsSale(FileLine line) => line is { Quantity: > 0, Price: > 0 };

    /// <summary>So that no event lies in the future; the year's last day is then at most seven days ago.</summary>
    private int WeeksToNow(DateTime last, TimeProvider time)
    {
        var now = TimeZoneInfo.ConvertTime(time.GetUtcNow(), _shop.Zone).DateTime;
        return (int)Math.Floor((now - last).TotalDays / 7);
    }

    /// <summary>The wall clock stays as it was, also across daylight saving.</summary>
    private DateTimeOffset Moved(DateTime local, int weeks)
    {
        var moved = local.AddDays(7 * weeks);
        if (_shop.Zone.IsInvalidTime(moved))
        {
            moved = moved.AddHours(1);
        }
        return new DateTimeOffset(moved, _shop.Zone.GetUtcOffset(moved)).ToUniversalTime();
    }

    private (RefundPart[] Parts, (int Lines, long Units) Unmatched) Match(FileInvoice[] cancellations, int weeks)
    {
        var left = (int[])_lineQuantity.Clone();
        var bought = new Dictionary<(int Customer, int Code), List<(int Order, int Line)>>();
        for (var order = 0; order < _orderNumber.Length; order++)
        {
            for (var line = _firstLine[order]; line < _firstLine[order + 1] && _orderCustomer[order] != Guest; line++)
            {
                var key = (_orderCustomer[order], _lineCode[line]);
                if (!bought.TryGetValue(key, out var list))
                {
                    bought[key] = list = [];
                }
                list.Add((order, line));
            }
        }

        var parts = new List<RefundPart>();
        var unmatched = (Lines: 0, Units: 0L);
        foreach (var cancellation in cancellations)
        {
            var at = Moved(cancellation.LocalTime, weeks);
            foreach (var returned in cancellation.Lines)
            {
                var open = -returned.Quantity;
                if (open > 0 && bought.TryGetValue((cancellation.Customer, returned.Code), out var candidates))
                {
                    var samePriceOnly = _manualCodes.Contains(_codes[returned.Code]);
                    open = Take(
                        candidates,
                        l => _linePrice[l] == returned.Price,
                        at,
                        cancellation.Number,
                        open,
                        left,
                        parts
                    );
                    open = samePriceOnly
                        ? open
                        : Take(candidates, _ => true, at, cancellation.Number, open, left, parts);
                }
                if (open != 0)
                {
                    unmatched = (unmatched.Lines + 1, unmatched.Units + Math.Abs(open));
                }
            }
        }
        return ([.. parts.OrderBy(p => p.Order).ThenBy(p => p.At).ThenBy(p => p.Cancellation)], unmatched);
    }

    /// <summary>
    /// Takes what is still unreturned, from the latest earlier order backwards; returns how many units stay open.
    /// </summary>
    private int Take(
        List<(int Order, int Line)> candidates,
        Func<int, bool> fits,
        DateTimeOffset at,
        int cancellation,
        int open,
        int[] left,
        List<RefundPart> parts
    )
    {
        for (var i = candidates.Count - 1; i >= 0 && open > 0; i--)
        {
            var (order, line) = candidates[i];
            if (_orderTime[order] > at || left[line] == 0 || !fits(line))
            {
                continue;
            }
            var quantity = Math.Min(open, left[line]);
            left[line] -= quantity;
            open -= quantity;
            parts.Add(new RefundPart(order, line, quantity, cancellation, at));
        }
        return open;
    }

    private DemoOrder Order(int i)
    {
        var number = _orderNumber[i];
        var time = _orderTime[i];
        var parts = _refundParts.AsSpan(_firstRefundPart[i], _firstRefundPart[i + 1] - _firstRefundPart[i]);
        var lines = new List<DemoLine>();
        var shippingLines = new List<DemoShippingLine>();
        var lineItemOf = new Dictionary<int, DemoLine>();
        var shippingLineOf = new Dictionary<int, DemoShippingLine>();
        var sales = new List<DemoSale>(_firstLine[i + 1] - _firstLine[i]);
        var total = 0L;
        for (var line = _firstLine[i]; line < _firstLine[i + 1]; line++)
        {
            var part = line - _firstLine[i] + 1;
            var refunded = 0;
            foreach (var refund in parts)
            {
                refunded += refund.Line == line ? refund.Quantity : 0;
            }
            var worth = (long)_lineQuantity[line] * _linePrice[line];
            total += worth;
            if (IsShipping(_lineCode[line]))
            {
                var shipping = new DemoShippingLine
                {
                    Id = _ids.Part(number, part),
                    Title = ProductOf(line).Title,
                    Price = _shop.Money(worth),
                    Refunded = _shop.Money((long)refunded * _linePrice[line]),
                };
                shippingLines.Add(shipping);
                shippingLineOf[line] = shipping;
                sales.Add(Sale(number, part, SaleAction.Order, 1, worth, shippingLine: shipping));
            }
            else
            {
                var product = ProductOf(line);
                var item = new DemoLine
                {
                    Id = _ids.Part(number, part),
                    Title = product.Title,
                    Sku = product.Sku,
                    Vendor = product.Vendor,
                    Quantity = _lineQuantity[line],
                    CurrentQuantity = _lineQuantity[line] - refunded,
                    UnitPrice = _shop.Money(_linePrice[line]),
                    ProductId = product.Id,
                    VariantId = product.VariantId,
                };
                lines.Add(item);
                if (parts.Length > 0)
                {
                    lineItemOf[line] = item;
                }
                sales.Add(Sale(number, part, SaleAction.Order, item.Quantity, worth, item));
            }
        }

        var agreements = new List<DemoAgreement> { new(_ids.Part(number, 1), AgreementKind.Order, time, sales) };
        var refunds = new List<DemoRefund>();
        var transactions = new List<DemoTransaction> { new(_ids.Part(number, 1), "SALE", _shop.Money(total), time) };
        const int firstReturn = 50_000;
        for (var from = 0; from < parts.Length; )
        {
            var to = from;
            while (to < parts.Length && parts[to].Cancellation == parts[from].Cancellation)
            {
                to++;
            }
            var amount = 0L;
            var returns = new List<DemoSale>();
            var refundLines = new List<DemoRefundLine>();
            var refundShipping = new List<DemoRefundShipping>();
            for (var p = from; p < to; p++)
            {
                var part = parts[p];
                var worth = (long)part.Quantity * _linePrice[part.Line];
                amount += worth;
                if (lineItemOf.TryGetValue(part.Line, out var item))
                {
                    returns.Add(Sale(number, firstReturn + p, SaleAction.Return, -part.Quantity, -worth, item));
                    refundLines.Add(
                        new(_ids.Part(number, firstReturn + p), item, part.Quantity, _shop.Money(worth), _shop.Money(0))
                    );
                }
                else
                {
                    var shipping = shippingLineOf[part.Line];
                    returns.Add(Sale(number, firstReturn + p, SaleAction.Return, -1, -worth, shippingLine: shipping));
                    refundShipping.Add(
                        new(_ids.Part(number, firstReturn + p), shipping, _shop.Money(worth), _shop.Money(0))
                    );
                }
            }
            var transaction = new DemoTransaction(
                _ids.Part(number, transactions.Count + 1),
                "REFUND",
                _shop.Money(amount),
                parts[from].At
            );
            transactions.Add(transaction);
            var refund = new DemoRefund
            {
                Id = _ids.Part(number, refunds.Count + 1),
                CreatedAt = parts[from].At,
                Note = string.Create(CultureInfo.InvariantCulture, $"C{parts[from].Cancellation}"),
                Total = _shop.Money(amount),
                Lines = refundLines,
                Shipping = refundShipping,
                Transactions = [transaction],
            };
            refunds.Add(refund);
            agreements.Add(
                new(_ids.Part(number, refunds.Count + 1), AgreementKind.Refund, refund.CreatedAt, returns)
                {
                    Refund = refund,
                }
            );
            from = to;
        }

        var refundedTotal = refunds.Sum(r => r.Total.Minor);
        return new DemoOrder
        {
            Id = _ids.Order(number),
            Number = number,
            Name = string.Create(CultureInfo.InvariantCulture, $"#{number}"),
            CreatedAt = time,
            ProcessedAt = time,
            UpdatedAt = UpdatedAt(i),
            Currency = _shop.Currency,
            CustomerId = _orderCustomer[i] == Guest ? null : _ids.Customer(_customerNumber[_orderCustomer[i]]),
            Email = _orderCustomer[i] == Guest ? null : OnlineRetailNames.Email(_customerNumber[_orderCustomer[i]]),
            Address = AddressOf(_orderCountry[i]),
            FinancialStatus = refundedTotal switch
            {
                0 => FinancialStatus.Paid,
                _ when refundedTotal == total => FinancialStatus.Refunded,
                _ => FinancialStatus.PartiallyRefunded,
            },
            Gateways = ["manual"],
            Lines = lines,
            ShippingLines = shippingLines,
            Agreements = agreements,
            Refunds = refunds,
            Transactions = transactions,
        };
    }

    private DemoSale Sale(
        int number,
        int part,
        SaleAction action,
        int quantity,
        long worth,
        DemoLine? lineItem = null,
        DemoShippingLine? shippingLine = null
    ) =>
        new()
        {
            Id = _ids.Part(number, part),
            Action = action,
            Line = lineItem is null ? SaleLine.Shipping : SaleLine.Product,
            Quantity = quantity,
            Total = _shop.Money(worth),
            Tax = _shop.Money(0),
            DiscountBeforeTaxes = _shop.Money(0),
            DiscountAfterTaxes = _shop.Money(0),
            LineItem = lineItem,
            ShippingLine = shippingLine,
        };

    private DateTimeOffset UpdatedAt(int order) =>
        _firstRefundPart[order + 1] > _firstRefundPart[order]
            ? _refundParts[_firstRefundPart[order + 1] - 1].At
            : _orderTime[order];

    private DemoProduct ProductOf(int line) => _products[_productAt[_lineCode[line]]];

    private readonly Dictionary<int, int> _productAt = [];

    private DemoProduct[] Products(OnlineRetailFile file)
    {
        var made = new List<DemoProduct>();
        var price = new int[_codes.Length];
        for (var line = 0; line < _lineCode.Length; line++)
        {
            price[_lineCode[line]] = _linePrice[line];
        }
        for (var order = 0; order < _orderNumber.Length; order++)
        {
            for (var line = _firstLine[order]; line < _firstLine[order + 1]; line++)
            {
                var code = _lineCode[line];
                if (_productAt.TryAdd(code, made.Count))
                {
                    made.Add(
                        new DemoProduct
                        {
                            Id = _ids.Product(code + 1),
                            VariantId = _ids.Variant(code + 1),
                            Title = Tidy(file.TitleOf(code)),
                            Sku = _codes[code],
                            Price = _shop.Money(price[code]),
                            Vendor = "Online Retail",
                            ProductType = "Gifts",
                            CreatedAt = _orderTime[order],
                            UpdatedAt = _orderTime[order],
                        }
                    );
                }
            }
        }
        return [.. made];
    }

    private static string Tidy(string title)
    {
        var words = string.Join(' ', title.Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToLowerInvariant();
        return words.Length == 0 ? "Untitled" : char.ToUpperInvariant(words[0]) + words[1..];
    }

    private int[] _customersByFirstOrder = [];
    private int[] _positionOfCustomer = [];

    private (int, long, int, int, DateTimeOffset)[] CustomerTotals()
    {
        var totals = new (int Orders, long Spent, int FirstOrder, int LastOrder, DateTimeOffset UpdatedAt)[
            _customerNumber.Length
        ];
        for (var order = 0; order < _orderNumber.Length; order++)
        {
            if (_orderCustomer[order] == Guest)
            {
                continue;
            }
            ref var customer = ref totals[_orderCustomer[order]];
            customer.FirstOrder = customer.Orders++ == 0 ? order : customer.FirstOrder;
            customer.LastOrder = order;
            var updated = UpdatedAt(order);
            customer.UpdatedAt = updated > customer.UpdatedAt ? updated : customer.UpdatedAt;
            for (var line = _firstLine[order]; line < _firstLine[order + 1]; line++)
            {
                customer.Spent += (long)_lineQuantity[line] * _linePrice[line];
            }
            foreach (
                var part in _refundParts.AsSpan(
                    _firstRefundPart[order],
                    _firstRefundPart[order + 1] - _firstRefundPart[order]
                )
            )
            {
                customer.Spent -= (long)part.Quantity * _linePrice[part.Line];
            }
        }
        _customersByFirstOrder =
        [
            .. Enumerable.Range(0, totals.Length).Where(c => totals[c].Orders > 0).OrderBy(c => totals[c].FirstOrder),
        ];
        _positionOfCustomer = new int[totals.Length];
        Array.Fill(_positionOfCustomer, -1);
        for (var position = 0; position < _customersByFirstOrder.Length; position++)
        {
            _positionOfCustomer[_customersByFirstOrder[position]] = position;
        }
        return totals;
    }

    private int? PositionOfCustomer(long id) =>
        _ids.NumberOfCustomer(id) is { } number
        && _customerAt.TryGetValue((int)number, out var customer)
        && _positionOfCustomer[customer] >= 0
            ? _positionOfCustomer[customer]
            : null;

    private DemoCustomer Customer(int customer)
    {
        var totals = _customerTotals[customer];
        var number = _customerNumber[customer];
        var (first, last) = OnlineRetailNames.Of(number);
        return new DemoCustomer
        {
            Id = _ids.Customer(number),
            CreatedAt = _orderTime[totals.FirstOrder],
            UpdatedAt = totals.UpdatedAt,
            FirstName = first,
            LastName = last,
            Email = OnlineRetailNames.Email(number),
            AcceptsMarketing = number % 3 == 0,
            Address = AddressOf(_orderCountry[totals.LastOrder]),
            NumberOfOrders = totals.Orders,
            AmountSpent = _shop.Money(totals.Spent),
            LastOrderId = _ids.Order(_orderNumber[totals.LastOrder]),
        };
    }

    private DemoAddress? AddressOf(byte country) => OnlineRetailNames.Country(_countries[country]);

    /// <summary>
    /// Made up: eight baskets in a hundred are abandoned first, and fifteen in a hundred of those are then completed.
    /// </summary>
    private (int, DateTimeOffset, DateTimeOffset?)[] Checkouts()
    {
        var made = new List<(int Order, DateTimeOffset Created, DateTimeOffset? Completed)>();
        for (var order = 0; order < _orderNumber.Length; order++)
        {
            var dice = new Random(_orderNumber[order]);
            if (dice.Next(100) < 8)
            {
                var recovered = dice.Next(100) < 15;
                var created = _orderTime[order].AddMinutes(-dice.Next(60, 48 * 60));
                made.Add(
                    (order, created, recovered ? created + ((_orderTime[order] - created) * dice.NextDouble()) : null)
                );
            }
        }
        _checkoutAt = [];
        made.Sort((a, b) => (a.Created, a.Order).CompareTo((b.Created, b.Order)));
        for (var i = 0; i < made.Count; i++)
        {
            _checkoutAt[_orderNumber[made[i].Order]] = i;
        }
        return [.. made];
    }

    private Dictionary<int, int> _checkoutAt = [];

    private int? PositionOfCheckout(long id) =>
        _ids.NumberOfCheckout(id) is { } number && _checkoutAt.TryGetValue((int)number, out var position)
            ? position
            : null;

    private DemoCheckout Checkout(int position)
    {
        var (order, created, completed) = _checkouts[position];
        var lines = new List<DemoCheckoutLine>();
        for (var line = _firstLine[order]; line < _firstLine[order + 1]; line++)
        {
            if (!IsShipping(_lineCode[line]))
            {
                var product = ProductOf(line);
                lines.Add(
                    new(
                        _ids.Part(_orderNumber[order], lines.Count + 1),
                        product.Title,
                        product.Sku,
                        _lineQuantity[line],
                        _shop.Money(_linePrice[line]),
                        product.Id,
                        product.VariantId
                    )
                );
            }
        }
        return new DemoCheckout
        {
            Id = _ids.Checkout(_orderNumber[order]),
            CreatedAt = created,
            UpdatedAt = completed ?? created,
            CompletedAt = completed,
            CustomerId = _orderCustomer[order] == Guest ? null : _ids.Customer(_customerNumber[_orderCustomer[order]]),
            Address = AddressOf(_orderCountry[order]),
            Currency = _shop.Currency,
            Lines = lines,
        };
    }

    private readonly record struct RefundPart(int Order, int Line, int Quantity, int Cancellation, DateTimeOffset At);
}

/// <summary>Counts of the whole file, before any change made later. Money in pence.</summary>
public sealed record OnlineRetailCounts
{
    public int FileRows { get; init; }

    public int Orders { get; init; }

    public int LineItems { get; init; }

    public int ShippingLines { get; init; }

    public long GrossPence { get; init; }

    public int CancellationLines { get; init; }

    public int Refunds { get; init; }

    public long RefundedPence { get; init; }

    public int UnmatchedCancellationLines { get; init; }

    public long UnmatchedUnits { get; init; }

    public int Checkouts { get; init; }
}

internal readonly record struct FileLine(int Code, int Quantity, int Price);

internal sealed record FileInvoice(int Number, bool IsCancellation, DateTime LocalTime, int Customer, byte Country)
{
    public List<FileLine> Lines { get; } = [];
}

/// <summary>
/// The file as it is: invoices in order of appearance, texts as numbers. Bad-debt invoices ("A…") are left out.
/// </summary>
internal sealed class OnlineRetailFile
{
    private readonly Dictionary<string, int> _codeAt = [],
        _countryAt = [],
        _titleAt = [];
    private readonly Dictionary<int, int> _customerAt = [];
    private readonly Dictionary<(int Code, int Title), int> _titleUses = [];
    private readonly Dictionary<(int Number, bool Cancellation), FileInvoice> _invoiceAt = [];

    public List<FileInvoice> Invoices { get; } = [];

    public int Rows { get; private set; }

    public string[] Codes => [.. _codeAt.Keys];

    public string[] Countries => [.. _countryAt.Keys];

    public int[] Customers => [.. _customerAt.Keys];

    private Dictionary<int, int>? _bestTitle;
    private string[] _titles = [];

    public static OnlineRetailFile Read()
    {
        var file = new OnlineRetailFile();
        using var resource =
            typeof(OnlineRetailFile).Assembly.GetManifestResourceStream("FakeShopify/online-retail.csv.gz")
            ?? throw new InvalidOperationException("online-retail.csv.gz is not embedded.");
        using var reader = new StreamReader(new GZipStream(resource, CompressionMode.Decompress), bufferSize: 1 << 16);
        reader.ReadLine();
        Span<Range> fields = stackalloc Range[8];
        while (reader.ReadLine() is { } row)
        {
            file.Rows++;
            var start = 0;
            for (var i = 0; i < 8; i++)
            {
                fields[i] = Field(row, ref start);
            }
            file.Add(row, fields);
        }
        return file;
    }

    public string TitleOf(int code)
    {
        if (_bestTitle is null)
        {
            (_bestTitle, _titles) = ([], [.. _titleAt.Keys]);
            foreach (var ((titled, title), uses) in _titleUses)
            {
                if (!_bestTitle.TryGetValue(titled, out var best) || uses > _titleUses[(titled, best)])
                {
                    _bestTitle[titled] = title;
                }
            }
        }
        return _bestTitle.TryGetValue(code, out var found) ? _titles[found] : "";
    }

    private static Range Field(string row, ref int start)
    {
        var from = start;
        if (from < row.Length && row[from] == '"')
        {
            var end = from + 1;
            while (row[end] != '"' || (end + 1 < row.Length && row[end + 1] == '"'))
            {
                end += row[end] == '"' ? 2 : 1;
            }
            start = end + 2;
            return (from + 1)..end;
        }
        var comma = row.IndexOf(',', from);
        var until = comma < 0 ? row.Length : comma;
        start = until + 1;
        return from..until;
    }

    private void Add(string row, ReadOnlySpan<Range> fields)
    {
        var invoice = row.AsSpan(fields[0]);
        if (invoice[0] == 'A')
        {
            return;
        }
        var cancellation = invoice[0] == 'C';
        var number = int.Parse(cancellation ? invoice[1..] : invoice, CultureInfo.InvariantCulture);
        if (!_invoiceAt.TryGetValue((number, cancellation), out var kept))
        {
            var customer = row.AsSpan(fields[6]);
            var dot = customer.IndexOf('.');
            kept = new FileInvoice(
                number,
                cancellation,
                DateTime.ParseExact(row.AsSpan(fields[4]), "yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
                customer.IsEmpty
                    ? -1
                    : Number(
                        _customerAt,
                        int.Parse(dot < 0 ? customer : customer[..dot], CultureInfo.InvariantCulture)
                    ),
                (byte)Number(_countryAt, row.AsSpan(fields[7]))
            );
            _invoiceAt.Add((number, cancellation), kept);
            Invoices.Add(kept);
        }
        var line = new FileLine(
            Number(_codeAt, row.AsSpan(fields[1])),
            int.Parse(row.AsSpan(fields[3]), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture),
            Pence(row.AsSpan(fields[5]))
        );
        kept.Lines.Add(line);
        var title = row.AsSpan(fields[2]).Trim();
        if (!cancellation && line is { Quantity: > 0, Price: > 0 } && !title.IsEmpty)
        {
            var use = (line.Code, Number(_titleAt, title));
            _titleUses[use] = _titleUses.GetValueOrDefault(use) + 1;
        }
    }

    private static int Pence(ReadOnlySpan<char> price) =>
        (int)
            Math.Round(
                decimal.Parse(
                    price,
                    NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign,
                    CultureInfo.InvariantCulture
                ) * 100,
                MidpointRounding.AwayFromZero
            );

    private static int Number(Dictionary<string, int> numbers, ReadOnlySpan<char> text)
    {
        var lookup = numbers.GetAlternateLookup<ReadOnlySpan<char>>();
        if (!lookup.TryGetValue(text, out var number))
        {
            numbers.Add(text.ToString(), number = numbers.Count);
        }
        return number;
    }

    private static int Number(Dictionary<int, int> numbers, int value)
    {
        if (!numbers.TryGetValue(value, out var number))
        {
            numbers.Add(value, number = numbers.Count);
        }
        return number;
    }
}

/// <summary>Invented names for the file's customer numbers; nobody is called like this on purpose.</summary>
internal static class OnlineRetailNames
{
    private static readonly string[] _first =
    [
        "Wren",
        "Tamsin",
        "Barnaby",
        "Odessa",
        "Lachlan",
        "Marigold",
        "Cosmo",
        "Isolde",
        "Fenton",
        "Petra",
        "Ambrose",
        "Juniper",
        "Rafferty",
        "Saffron",
        "Linus",
        "Ottilie",
        "Casper",
        "Beatrix",
        "Digby",
        "Elowen",
        "Hector",
        "Posy",
        "Rufus",
        "Thea",
    ];

    private static readonly string[] _last =
    [
        "Hollowbrook",
        "Thistlewick",
        "Marlowbridge",
        "Penhallowe",
        "Ashgrove",
        "Brambleton",
        "Copperfen",
        "Dunmallow",
        "Elderwisp",
        "Fernleaf",
        "Greywether",
        "Harrowdene",
        "Inglemoor",
        "Larkspire",
        "Mossgate",
        "Netherby",
        "Oakhampstead",
        "Quillfeather",
        "Rookhope",
        "Silverdale",
        "Tarnwick",
        "Underhay",
        "Wintersett",
        "Yarrowfield",
    ];

    private static readonly string[] _trade =
    [
        "Copper Kettle",
        "Blue Lantern",
        "Old Orchard",
        "Paper Boat",
        "Harbour Light",
        "Clover & Twine",
        "Button Tin",
        "Larder Lane",
        "Painted Gate",
        "Little Acorn",
        "Velvet Thimble",
        "Corner House",
        "Tea Chest",
        "Robin's Nest",
        "Sugar Loaf",
        "Crooked Spire",
    ];

    private static readonly string[] _kind = ["Gifts", "Trading", "Homewares", "Stores", "Emporium", "Supplies"];

    private static readonly Dictionary<string, string> _countryCodes = new()
    {
        ["United Kingdom"] = "GB",
        ["France"] = "FR",
        ["Australia"] = "AU",
        ["Netherlands"] = "NL",
        ["Germany"] = "DE",
        ["Norway"] = "NO",
        ["EIRE"] = "IE",
        ["Switzerland"] = "CH",
        ["Spain"] = "ES",
        ["Poland"] = "PL",
        ["Portugal"] = "PT",
        ["Italy"] = "IT",
        ["Belgium"] = "BE",
        ["Lithuania"] = "LT",
        ["Japan"] = "JP",
        ["Iceland"] = "IS",
        ["Channel Islands"] = "JE",
        ["Denmark"] = "DK",
        ["Cyprus"] = "CY",
        ["Sweden"] = "SE",
        ["Austria"] = "AT",
        ["Israel"] = "IL",
        ["Finland"] = "FI",
        ["Bahrain"] = "BH",
        ["Greece"] = "GR",
        ["Hong Kong"] = "HK",
        ["Singapore"] = "SG",
        ["Lebanon"] = "LB",
        ["United Arab Emirates"] = "AE",
        ["Saudi Arabia"] = "SA",
        ["Czech Republic"] = "CZ",
        ["Canada"] = "CA",
        ["Brazil"] = "BR",
        ["USA"] = "US",
        ["Malta"] = "MT",
        ["RSA"] = "ZA",
    };

    public static (string First, string Last) Of(int customer)
    {
        var dice = new Random(customer);
        return dice.Next(3) == 0
            ? (_first[dice.Next(_first.Length)], _last[dice.Next(_last.Length)])
            : (_trade[dice.Next(_trade.Length)], _kind[dice.Next(_kind.Length)]);
    }

    public static string Email(int customer) =>
        string.Create(CultureInfo.InvariantCulture, $"customer-{customer}@example.com");

    /// <summary>Nothing for "Unspecified" and "European Community".</summary>
    public static DemoAddress? Country(string name) =>
        _countryCodes.TryGetValue(name, out var code)
            ? new DemoAddress(
                code,
                name switch
                {
                    "EIRE" => "Ireland",
                    "USA" => "United States",
                    "RSA" => "South Africa",
                    "Channel Islands" => "Jersey",
                    _ => name,
                }
            )
            : null;
}
