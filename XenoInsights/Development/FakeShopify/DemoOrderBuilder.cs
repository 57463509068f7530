using System.Globalization;

namespace XenoInsights.Development.FakeShopify;

/// <summary>
/// Writes an order's life as it happens (placed, edited, refunded, cancelled) and keeps lines, ledger, refunds and
/// payments in step. Amounts in minor units of the shop's currency; with taxes included, prices hold their tax.
/// </summary>
public sealed class DemoOrderBuilder
{
    private readonly DemoShop _shop;
    private readonly long _number;
    private readonly DateTimeOffset _placedAt;
    private readonly List<Goods> _goods = [];
    private readonly List<Delivery> _deliveries = [];
    private readonly List<DemoFee> _fees = [];
    private readonly List<Event> _events;
    private DemoCurrency _currency;
    private DateTimeOffset _processedAt;
    private DateTimeOffset? _cancelledAt;
    private string? _cancelReason;
    private FinancialStatus? _status;
    private long? _customer;
    private string? _email;
    private bool _test;
    private string _gateway = "shopify_payments";
    private string[] _codes = [];

    public DemoOrderBuilder(DemoShop shop, long number, DateTimeOffset placedAt)
    {
        (_shop, _number, _placedAt) = (shop, number, placedAt);
        (_currency, _processedAt) = (shop.Currency, placedAt);
        _events = [new Event(AgreementKind.Order, placedAt)];
    }

    private DemoIds Ids => _shop.Ids;

    /// <summary>
    /// Tax and discounts are totals of the line; the order discount is its share of a discount on the whole order.
    /// </summary>
    public DemoOrderBuilder Line(
        string title,
        int quantity,
        long unitPrice,
        long tax = 0,
        decimal taxRate = 0.2m,
        long lineDiscount = 0,
        long orderDiscount = 0,
        DemoProduct? product = null,
        bool giftCard = false
    )
    {
        Sell(
            _events[0],
            new Goods(title, quantity, unitPrice)
            {
                Tax = tax,
                TaxRate = taxRate,
                LineDiscount = lineDiscount,
                OrderDiscount = orderDiscount,
                Product = product,
                Kind = giftCard ? SaleLine.GiftCard : SaleLine.Product,
            }
        );
        return this;
    }

    public DemoOrderBuilder Shipping(string title, long price, long discount = 0, long tax = 0, decimal taxRate = 0.2m)
    {
        var delivery = new Delivery(title, price, discount, tax, taxRate);
        _deliveries.Add(delivery);
        var total = price - discount + (_shop.TaxesIncluded ? 0 : tax);
        _events[0]
            .Sales.Add(
                new Entry(SaleAction.Order, SaleLine.Shipping, 1, total, tax, discount, discount)
                {
                    Delivery = delivery,
                }
            );
        return this;
    }

    public DemoOrderBuilder Tip(long amount)
    {
        Sell(_events[0], new Goods("Tip", 1, amount) { Kind = SaleLine.Tip });
        return this;
    }

    public DemoOrderBuilder Duty(int line, long amount)
    {
        var duty = new DemoDuty(Ids.Part(_number, line + 1), new DemoMoney(amount, _currency));
        _goods[line].Duties.Add(duty);
        _events[0].Sales.Add(new Entry(SaleAction.Order, SaleLine.Duty, 1, amount, 0, 0, 0) { Duty = duty });
        return this;
    }

    public DemoOrderBuilder Fee(string name, long amount)
    {
        var fee = new DemoFee(Ids.Part(_number, _fees.Count + 1), name, new DemoMoney(amount, _currency));
        _fees.Add(fee);
        _events[0].Sales.Add(new Entry(SaleAction.Order, SaleLine.AdditionalFee, 1, amount, 0, 0, 0) { Fee = fee });
        return this;
    }

    /// <summary>
    /// Gives back units of lines, shipping money, and the difference: positive if the merchant kept something.
    /// </summary>
    public DemoOrderBuilder Refund(
        DateTimeOffset at,
        (int Line, int Quantity)[] lines,
        long shipping = 0,
        long shippingTax = 0,
        long discrepancy = 0
    )
    {
        var refund = new Event(AgreementKind.Refund, at) { Discrepancy = discrepancy };
        foreach (var (line, quantity) in lines)
        {
            Return(refund, _goods[line], quantity);
        }
        if (shipping > 0)
        {
            var delivery = _deliveries[0];
            delivery.Refunded += shipping;
            var total = shipping + (_shop.TaxesIncluded ? 0 : shippingTax);
            refund.Sales.Add(
                new Entry(SaleAction.Return, SaleLine.Shipping, -1, -total, -shippingTax, 0, 0) { Delivery = delivery }
            );
        }
        if (discrepancy != 0)
        {
            refund.Sales.Add(new Entry(SaleAction.Return, SaleLine.Adjustment, null, discrepancy, 0, 0, 0));
        }
        _events.Add(refund);
        return this;
    }

    public DemoOrderBuilder EditAdd(DateTimeOffset at, string title, int quantity, long unitPrice, long tax = 0)
    {
        var edit = new Event(AgreementKind.OrderEdit, at);
        Sell(edit, new Goods(title, quantity, unitPrice) { Tax = tax });
        _events.Add(edit);
        return this;
    }

    public DemoOrderBuilder EditRemove(DateTimeOffset at, int line, int quantity)
    {
        var edit = new Event(AgreementKind.OrderEdit, at);
        Return(edit, _goods[line], quantity);
        _events.Add(edit);
        return this;
    }

    public DemoOrderBuilder EditDiscount(DateTimeOffset at, int line, long discount)
    {
        var edit = new Event(AgreementKind.OrderEdit, at);
        _goods[line].LineDiscount += discount;
        edit.Sales.Add(
            new Entry(SaleAction.Update, SaleLine.Product, null, -discount, 0, discount, discount)
            {
                Goods = _goods[line],
            }
        );
        _events.Add(edit);
        return this;
    }

    public DemoOrderBuilder Cancel(DateTimeOffset at, string reason)
    {
        (_cancelledAt, _cancelReason) = (at, reason);
        var all = _goods.Select((g, i) => (i, g.Quantity - g.Returned)).Where(g => g.Item2 > 0).ToArray();
        return Refund(at, all, _deliveries.Sum(d => d.Price - d.Discount - d.Refunded), _deliveries.Sum(d => d.Tax));
    }

    public DemoOrderBuilder Customer(long? id, string? address = null)
    {
        (_customer, _email) = (id, address);
        return this;
    }

    public DemoOrderBuilder ProcessedAt(DateTimeOffset at)
    {
        _processedAt = at;
        _events[0] = _events[0] with { At = at };
        return this;
    }

    public DemoOrderBuilder Status(FinancialStatus financial)
    {
        _status = financial;
        return this;
    }

    public DemoOrderBuilder Test()
    {
        _test = true;
        return this;
    }

    public DemoOrderBuilder PaidWith(string paymentGateway)
    {
        _gateway = paymentGateway;
        return this;
    }

    public DemoOrderBuilder Code(string discountCode)
    {
        _codes = [discountCode];
        return this;
    }

    /// <summary>The buyer saw and paid another currency.</summary>
    public DemoOrderBuilder Presented(DemoPresentment presentment)
    {
        _currency = _currency with { Presentment = presentment };
        return this;
    }

    public DemoOrder Build()
    {
        var lines = _goods.Select(BuildLine).ToArray();
        var shippingLines = _deliveries.Select(BuildShipping).ToArray();
        var agreements = new List<DemoAgreement>(_events.Count);
        var refunds = new List<DemoRefund>();
        var transactions = new List<DemoTransaction>();
        var paid = _status is null or FinancialStatus.Paid;
        var sales = 0;
        foreach (var happened in _events)
        {
            var entries = new List<DemoSale>(happened.Sales.Count);
            foreach (var entry in happened.Sales)
            {
                entries.Add(BuildSale(entry, ++sales, lines, shippingLines));
            }
            var due = happened.Sales.Sum(s => s.Total);
            if (happened.Kind == AgreementKind.Refund)
            {
                var transaction = new DemoTransaction(
                    Ids.Part(_number, transactions.Count + 1),
                    "REFUND",
                    Money(paid ? -due : 0),
                    happened.At,
                    _gateway
                );
                transactions.Add(transaction);
                refunds.Add(BuildRefund(happened, refunds.Count + 1, entries, transaction));
            }
            else if (paid && due > 0)
            {
                transactions.Add(
                    new(Ids.Part(_number, transactions.Count + 1), "SALE", Money(due), happened.At, _gateway)
                );
            }
            agreements.Add(
                new(Ids.Part(_number, agreements.Count + 1), happened.Kind, happened.At, entries)
                {
                    Refund = happened.Kind == AgreementKind.Refund ? refunds[^1] : null,
                }
            );
        }
        var received = transactions.Where(t => t.Kind == "SALE").Sum(t => t.Amount.Minor);
        var refunded = transactions.Where(t => t.Kind == "REFUND").Sum(t => t.Amount.Minor);
        return new DemoOrder
        {
            Id = Ids.Order(_number),
            Number = _number,
            Name = string.Create(CultureInfo.InvariantCulture, $"#{_number}"),
            CreatedAt = _placedAt,
            ProcessedAt = _processedAt,
            UpdatedAt = _events.Select(e => e.At).Append(_placedAt).Max(),
            CancelledAt = _cancelledAt,
            CancelReason = _cancelReason,
            ClosedAt = _cancelledAt,
            Currency = _currency,
            Test = _test,
            TaxesIncluded = _shop.TaxesIncluded,
            CustomerId = _customer,
            Email = _email,
            FinancialStatus =
                _status
                ?? refunded switch
                {
                    0 => FinancialStatus.Paid,
                    _ when refunded < received => FinancialStatus.PartiallyRefunded,
                    _ => FinancialStatus.Refunded,
                },
            DiscountCodes = _codes,
            Gateways = [_gateway],
            Lines = lines,
            ShippingLines = shippingLines,
            AdditionalFees = _fees,
            Agreements = agreements,
            Refunds = refunds,
            Transactions = transactions,
        };
    }

    private DemoMoney Money(long minor) => new(minor, _currency);

    private void Sell(Event happened, Goods sold)
    {
        sold.Position = _goods.Count;
        _goods.Add(sold);
        happened.Sales.Add(
            new Entry(
                SaleAction.Order,
                sold.Kind,
                sold.Quantity,
                Total(sold),
                sold.Tax,
                BeforeTaxes(sold),
                sold.LineDiscount + sold.OrderDiscount
            )
            {
                Goods = sold,
            }
        );
    }

    /// <summary>Shares of a line are cut so that returning unit after unit gives back exactly the whole.</summary>
    private void Return(Event happened, Goods sold, int quantity)
    {
        var (from, to) = (sold.Returned, sold.Returned + quantity);
        sold.Returned = to;
        happened.Sales.Add(
            new Entry(
                SaleAction.Return,
                sold.Kind,
                -quantity,
                -Share(Total(sold), from, to, sold.Quantity),
                -Share(sold.Tax, from, to, sold.Quantity),
                -Share(BeforeTaxes(sold), from, to, sold.Quantity),
                -Share(sold.LineDiscount + sold.OrderDiscount, from, to, sold.Quantity)
            )
            {
                Goods = sold,
            }
        );
    }

    private static long Share(long whole, int from, int to, int of) =>
        Portion(whole, to, of) - Portion(whole, from, of);

    private static long Portion(long whole, int units, int of) =>
        (long)Math.Round((decimal)whole * units / of, MidpointRounding.AwayFromZero);

    private long Total(Goods sold) =>
        (sold.UnitPrice * sold.Quantity)
        - sold.LineDiscount
        - sold.OrderDiscount
        + (_shop.TaxesIncluded ? 0 : sold.Tax);

    /// <summary>With taxes included a discount also lowers the tax: before taxes it is worth less.</summary>
    private long BeforeTaxes(Goods sold)
    {
        var discount = sold.LineDiscount + sold.OrderDiscount;
        return !_shop.TaxesIncluded || discount == 0 || sold.Tax == 0
            ? discount
            : (long)Math.Round(discount / (1 + sold.TaxRate), MidpointRounding.AwayFromZero);
    }

    private DemoLine BuildLine(Goods sold) =>
        new()
        {
            Id = Ids.Part(_number, sold.Position + 1),
            Title = sold.Title,
            Sku = sold.Product?.Sku,
            Vendor = sold.Product?.Vendor,
            Quantity = sold.Quantity,
            CurrentQuantity = sold.Quantity - sold.Returned,
            UnitPrice = Money(sold.UnitPrice),
            LineDiscounts = sold.LineDiscount == 0 ? [] : [Money(sold.LineDiscount)],
            OrderDiscounts = sold.OrderDiscount == 0 ? [] : [Money(sold.OrderDiscount)],
            Taxes = sold.Tax == 0 ? [] : [new DemoTax("VAT", sold.TaxRate, Money(sold.Tax))],
            Duties = sold.Duties,
            ProductId = sold.Product?.Id,
            VariantId = sold.Product?.VariantId,
            IsGiftCard = sold.Kind == SaleLine.GiftCard,
            RequiresShipping = sold.Kind == SaleLine.Product,
        };

    private DemoShippingLine BuildShipping(Delivery delivery, int position) =>
        new()
        {
            Id = Ids.Part(_number, position + 1),
            Title = delivery.Title,
            Price = Money(delivery.Price),
            Discounts = delivery.Discount == 0 ? [] : [Money(delivery.Discount)],
            Refunded = Money(delivery.Refunded),
            Taxes = delivery.Tax == 0 ? [] : [new DemoTax("VAT", delivery.TaxRate, Money(delivery.Tax))],
        };

    private DemoSale BuildSale(Entry entry, int part, DemoLine[] lines, DemoShippingLine[] shippingLines) =>
        new()
        {
            Id = Ids.Part(_number, part),
            Action = entry.Action,
            Line = entry.Line,
            Quantity = entry.Quantity,
            Total = Money(entry.Total),
            Tax = Money(entry.Tax),
            DiscountBeforeTaxes = Money(entry.DiscountBeforeTaxes),
            DiscountAfterTaxes = Money(entry.DiscountAfterTaxes),
            LineItem = entry.Goods is { } sold ? lines[sold.Position] : null,
            ShippingLine = entry.Delivery is { } delivery ? shippingLines[_deliveries.IndexOf(delivery)] : null,
            Duty = entry.Duty,
            Fee = entry.Fee,
        };

    private DemoRefund BuildRefund(Event happened, int part, List<DemoSale> sales, DemoTransaction transaction) =>
        new()
        {
            Id = Ids.Part(_number, part),
            CreatedAt = happened.At,
            Total = transaction.Amount,
            Lines =
            [
                .. sales
                    .Where(s => s.LineItem is not null)
                    .Select(s => new DemoRefundLine(
                        s.Id,
                        s.LineItem!,
                        -s.Quantity!.Value,
                        -(_shop.TaxesIncluded ? s.Total : s.Total - s.Tax),
                        -s.Tax
                    )),
            ],
            Shipping =
            [
                .. sales
                    .Where(s => s.ShippingLine is not null)
                    .Select(s => new DemoRefundShipping(
                        s.Id,
                        s.ShippingLine!,
                        -(_shop.TaxesIncluded ? s.Total : s.Total - s.Tax),
                        -s.Tax
                    )),
            ],
            Adjustments =
                happened.Discrepancy == 0
                    ? []
                    :
                    [
                        new DemoAdjustment(
                            Ids.Part(_number, part),
                            "REFUND_DISCREPANCY",
                            Money(happened.Discrepancy),
                            Money(0)
                        ),
                    ],
            Transactions = [transaction],
        };

    private sealed record Event(AgreementKind Kind, DateTimeOffset At)
    {
        public List<Entry> Sales { get; } = [];

        public long Discrepancy { get; init; }
    }

    private sealed record Entry(
        SaleAction Action,
        SaleLine Line,
        int? Quantity,
        long Total,
        long Tax,
        long DiscountBeforeTaxes,
        long DiscountAfterTaxes
    )
    {
        public Goods? Goods { get; init; }

        public Delivery? Delivery { get; init; }

        public DemoDuty? Duty { get; init; }

        public DemoFee? Fee { get; init; }
    }

    private sealed class Goods(string title, int quantity, long unitPrice)
    {
        public string Title => title;

        public int Quantity => quantity;

        public long UnitPrice => unitPrice;

        public int Position { get; set; }

        public SaleLine Kind { get; init; } = SaleLine.Product;

        public long Tax { get; init; }

        public decimal TaxRate { get; init; } = 0.2m;

        public long LineDiscount { get; set; }

        public long OrderDiscount { get; init; }

        public DemoProduct? Product { get; init; }

        public List<DemoDuty> Duties { get; } = [];

        public int Returned { get; set; }
    }

    private sealed class Delivery(string title, long price, long discount, long tax, decimal taxRate)
    {
        public string Title => title;

        public long Price => price;

        public long Discount => discount;

        public long Tax => tax;

        public decimal TaxRate => taxRate;

        public long Refunded { get; set; }
    }
}
