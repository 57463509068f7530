using System.Runtime.InteropServices;
using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Ingestion;

namespace XenoInsights.Shopify;

/// <summary>
/// Reads orders with their lines, refunds and sales ledger. Answers may hold only the first page of a connection: the
/// <c>…After</c> properties then say where to go on, and <see cref="Continue"/> takes the further pages.
/// </summary>
internal sealed class OrderReader(string currency) : RecordReader(currency)
{
    /// <summary>
    /// By <c>OrdersByIds</c>. Refunds are a list without pages: that many may be all of them, or not.
    /// </summary>
    internal const int RefundsAskedFor = 20;

    private const int LongestEnum = 64;

    private readonly List<OrderLineRecord> _lines = [];
    private readonly List<RefundRecord> _refunds = [];
    private readonly List<Agreement> _agreements = [];
    private readonly List<Sale> _sales = [];
    private readonly List<byte> _agreementGids = [];
    private readonly HashSet<long> _refundsWithoutLines = [];

    /// <summary>The shop's when the order was placed.</summary>
    private ShopCurrency _currency;
    private readonly byte[] _parent = new byte[Utf8JsonReaderExtensions.LongestGid];
    private int _parentLength;
    private long _id;
    private long? _customerId,
        _currentTotal;
    private DateTimeOffset? _createdAt,
        _processedAt,
        _updatedAt,
        _cancelledAt;
    private string? _name,
        _financialStatus,
        _fulfillmentStatus,
        _sourceName;
    private bool _test;

    private readonly record struct Agreement(
        int GidStart,
        int GidLength,
        DateTimeOffset HappenedAt,
        bool Places,
        long? RefundId
    );

    private readonly record struct Sale(
        int Agreement,
        SaleMeasure Measure,
        long? LineItemId,
        long? ProductId,
        int Quantity,
        long Amount,
        long Discount,
        long Tax
    );

    /// <summary>The cursor behind the lines read so far; null when they are all there.</summary>
    public string? LinesAfter { get; private set; }

    public string? AgreementsAfter { get; private set; }

    /// <summary>The cursor within the agreement read last.</summary>
    public string? SalesAfter { get; private set; }

    public bool LedgerIncomplete { get; private set; }

    /// <summary>
    /// Whether there may be more refunds than were asked for; <see cref="ResetRefunds"/>, then <see cref="Continue"/>
    /// with all of them.
    /// </summary>
    public bool RefundsIncomplete { get; private set; }

    /// <summary>Refunds that have more lines than were read, with the cursor behind those.</summary>
    public List<(string Gid, string After)> RefundLinesAfter { get; } = [];

    public override ReadOnlySpan<byte> Typename => "Order"u8;

    protected override void Reset()
    {
        _lines.Clear();
        ResetRefunds();
        ResetLedger();
        _currency = Currency;
        _parentLength = 0;
        _id = 0;
        _customerId = _currentTotal = null;
        _createdAt = _processedAt = _updatedAt = _cancelledAt = null;
        _name = _financialStatus = _fulfillmentStatus = _sourceName = null;
        _test = false;
        LinesAfter = null;
    }

    public void ResetRefunds()
    {
        _refunds.Clear();
        _refundsWithoutLines.Clear();
        RefundLinesAfter.Clear();
        RefundsIncomplete = false;
    }

    public void ResetLedger()
    {
        _agreements.Clear();
        _sales.Clear();
        _agreementGids.Clear();
        AgreementsAfter = SalesAfter = null;
        LedgerIncomplete = false;
    }

    protected override bool TryReadProperty(ref Utf8JsonReader reader)
    {
        if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
            _id = ReadOwnId(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "name"u8))
            _name = Utf8JsonReaderExtensions.Text(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "createdAt"u8))
            _createdAt = Utf8JsonReaderExtensions.Instant(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "processedAt"u8))
            _processedAt = Utf8JsonReaderExtensions.Instant(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "updatedAt"u8))
            _updatedAt = Utf8JsonReaderExtensions.Instant(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "cancelledAt"u8))
            _cancelledAt = Utf8JsonReaderExtensions.InstantOrNull(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "test"u8))
            _test = Utf8JsonReaderExtensions.Flag(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "displayFinancialStatus"u8))
            _financialStatus = Texts.Read(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "displayFulfillmentStatus"u8))
            _fulfillmentStatus = Texts.Read(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "sourceName"u8))
            _sourceName = Texts.Read(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "customer"u8))
            _customerId = Utf8JsonReaderExtensions.Reference(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "currentTotalPriceSet"u8))
            ReadCurrentTotal(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "refunds"u8))
            ReadRefunds(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "lineItems"u8))
            LinesAfter = ReadConnection(ref reader, (ref Utf8JsonReader node) => _lines.Add(ReadLine(ref node)));
        else if (Utf8JsonReaderExtensions.Is(ref reader, "agreements"u8))
            AgreementsAfter = ReadConnection(ref reader, (ref Utf8JsonReader node) => ReadAgreement(ref node));
        else
            return false;
        LedgerIncomplete |= AgreementsAfter is not null || SalesAfter is not null;
        return true;
    }

    /// <summary>
    /// Adds a further page of connections of the order begun. Throws when the order changed since, for then the pages
    /// do not fit together.
    /// </summary>
    public void Continue(ref Utf8JsonReader reader)
    {
        var version = _updatedAt;
        SalesAfter = null;
        if (!Utf8JsonReaderExtensions.Enter(ref reader))
            throw new FormatException("The order is gone.");
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (!TryReadProperty(ref reader))
                reader.Skip();
        if (_updatedAt != version)
            throw new FormatException("The order changed while its pages were read.");
    }

    /// <summary>Adds a further page of a refund's lines.</summary>
    public string? ContinueRefund(ref Utf8JsonReader reader)
    {
        string? after = null;
        long id = 0;
        var lines = new List<RefundLineRecord>();
        if (!Utf8JsonReaderExtensions.Enter(ref reader))
            throw new FormatException("The refund is gone.");
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
                id = Utf8JsonReaderExtensions.Id(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "refundLineItems"u8))
                after = ReadRefundLines(ref reader, lines);
            else
                reader.Skip();
        var at = _refunds.FindIndex(refund => refund.ShopifyId == id);
        _refunds[at] = _refunds[at] with { Lines = [.. _refunds[at].Lines, .. lines] };
        return after;
    }

    protected override ChildFate TryAddChild(ref Utf8JsonReader reader, ReadOnlySpan<byte> typename)
    {
        _parentLength = 0;
        if (typename.EndsWith("Sale"u8))
            return TryAddSale(ReadSale(ref reader, agreement: -1));
        if (typename.EndsWith("Agreement"u8))
            return ReadAgreement(ref reader);
        if (!typename.SequenceEqual("LineItem"u8))
            throw NoChild(typename, "an order");
        var line = ReadLine(ref reader);
        var fate = Judge(Parent.SequenceEqual(Gid));
        if (fate == ChildFate.Added)
            _lines.Add(line);
        return fate;
    }

    public override OrderRecord Finish() =>
        new()
        {
            ShopifyId = _id,
            UpdatedAt = _updatedAt ?? throw Utf8JsonReaderExtensions.Missing("An order", "updatedAt"),
            SourceObjects = 1 + _lines.Count + _agreements.Count + _sales.Count,
            Name = _name ?? throw Utf8JsonReaderExtensions.Missing("An order", "name"),
            CreatedAt = _createdAt ?? throw Utf8JsonReaderExtensions.Missing("An order", "createdAt"),
            ProcessedAt = _processedAt ?? throw Utf8JsonReaderExtensions.Missing("An order", "processedAt"),
            CancelledAt = _cancelledAt,
            CustomerId = _customerId,
            Test = _test,
            FinancialStatus = _financialStatus,
            FulfillmentStatus = _fulfillmentStatus,
            SourceName = _sourceName,
            Currency = _currency.Code,
            CurrentTotal = _currentTotal ?? throw Utf8JsonReaderExtensions.Missing("An order", "currentTotalPriceSet"),
            Lines = _lines.ToArray(),
            Sales = DatedSales(),
            Refunds = [.. _refunds.Select(WithLines)],
        };

    /// <summary>Tells in which currency all other amounts of the order are, which do not name it themselves.</summary>
    private void ReadCurrentTotal(ref Utf8JsonReader reader)
    {
        var hasAmounts = _lines.Count + _sales.Count + _refunds.Count > 0;
        var former = _currency;
        (_currentTotal, _currency) = Utf8JsonReaderExtensions.ShopMoneyAndCurrency(ref reader, Currency);
        if (hasAmounts && former.Code != _currency.Code)
            throw new FormatException("The order's currency came after amounts in it.");
    }

    /// <summary>Bulk operations cannot reach the lines of a refund; its entries in the ledger say the same.</summary>
    private RefundRecord WithLines(RefundRecord refund) =>
        _refundsWithoutLines.Contains(refund.ShopifyId)
            ? refund with
            {
                Lines = [.. _sales.Where(sale => IsReturned(sale, refund.ShopifyId)).Select(AsRefundLine)],
            }
            : refund;

    private bool IsReturned(Sale sale, long refund) =>
        sale is { LineItemId: not null, Quantity: < 0 } && _agreements[sale.Agreement].RefundId == refund;

    private static RefundLineRecord AsRefundLine(Sale sale) =>
        new(sale.LineItemId!.Value, -sale.Quantity, -sale.Amount, -sale.Tax);

    private ReadOnlySpan<byte> Parent => _parent.AsSpan(0, _parentLength);

    private ChildFate TryAddSale(in Sale sale)
    {
        var agreement = IndexOfAgreement(Parent);
        var fate = Judge(agreement >= 0);
        if (fate == ChildFate.Added)
            _sales.Add(sale with { Agreement = agreement });
        return fate;
    }

    private int IndexOfAgreement(ReadOnlySpan<byte> gid)
    {
        // Sales follow their agreement, so the last one is nearly always it.
        for (var i = _agreements.Count - 1; i >= 0; i--)
            if (
                CollectionsMarshal
                    .AsSpan(_agreementGids)
                    .Slice(_agreements[i].GidStart, _agreements[i].GidLength)
                    .SequenceEqual(gid)
            )
                return i;
        return -1;
    }

    private SaleRecord[] DatedSales()
    {
        var placing = PlacingAgreement();
        var dated = new SaleRecord[_sales.Count];
        var line = 0;
        for (var i = 0; i < dated.Length; i++)
        {
            var sale = _sales[i];
            dated[i] = new SaleRecord(
                _agreements[sale.Agreement].HappenedAt,
                sale.Agreement == placing,
                sale.Measure,
                sale.LineItemId,
                sale.ProductId ?? ProductOf(sale.LineItemId, ref line),
                sale.Quantity,
                sale.Amount,
                sale.Discount,
                sale.Tax
            );
        }
        return dated;
    }

    /// <summary>The agreement that placed the order: should there be several, the first.</summary>
    private int PlacingAgreement()
    {
        var placing = -1;
        for (var i = 0; i < _agreements.Count; i++)
            if (_agreements[i].Places && (placing < 0 || _agreements[i].HappenedAt < _agreements[placing].HappenedAt))
                placing = i;
        return placing;
    }

    /// <param name="line">Where the last one was found: sales come in the order of their lines, so the next is
    /// near.</param>
    private long? ProductOf(long? lineItemId, ref int line)
    {
        if (lineItemId is null)
            return null;
        for (var step = 0; step < _lines.Count; step++)
        {
            var at = (line + step) % _lines.Count;
            if (_lines[at].ShopifyId != lineItemId)
                continue;
            line = at;
            return _lines[at].ProductId;
        }
        return null;
    }

    private void ReadParent(ref Utf8JsonReader reader) =>
        _parentLength = Utf8JsonReaderExtensions.Gid(ref reader, _parent);

    private OrderLineRecord ReadLine(ref Utf8JsonReader reader)
    {
        long? id = null,
            productId = null,
            variantId = null,
            originalTotal = null;
        long discount = 0;
        string? title = null,
            sku = null;
        int? quantity = null,
            currentQuantity = null;
        var giftCard = false;
        Utf8JsonReaderExtensions.Enter(ref reader);
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
            {
                id = Utf8JsonReaderExtensions.Id(ref reader);
                NoteChild(ref reader);
            }
            else if (Utf8JsonReaderExtensions.Is(ref reader, "title"u8))
                title = Texts.Read(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "sku"u8))
                sku = Texts.Read(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "quantity"u8))
                quantity = Utf8JsonReaderExtensions.Count(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "currentQuantity"u8))
                currentQuantity = Utf8JsonReaderExtensions.Count(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "isGiftCard"u8))
                giftCard = Utf8JsonReaderExtensions.Flag(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "product"u8))
                productId = Utf8JsonReaderExtensions.Reference(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "variant"u8))
                variantId = Utf8JsonReaderExtensions.Reference(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "originalTotalSet"u8))
                originalTotal = Utf8JsonReaderExtensions.ShopMoney(ref reader, _currency);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "discountAllocations"u8))
                discount = SumOfAllocations(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "__parentId"u8))
                ReadParent(ref reader);
            else
                reader.Skip();
        return new OrderLineRecord(
            id ?? throw Utf8JsonReaderExtensions.Missing("An order line", "id"),
            productId,
            variantId,
            title ?? "",
            sku,
            quantity ?? throw Utf8JsonReaderExtensions.Missing("An order line", "quantity"),
            currentQuantity ?? throw Utf8JsonReaderExtensions.Missing("An order line", "currentQuantity"),
            giftCard,
            originalTotal ?? throw Utf8JsonReaderExtensions.Missing("An order line", "originalTotalSet"),
            discount
        );
    }

    private long SumOfAllocations(ref Utf8JsonReader reader)
    {
        long sum = 0;
        if (!Utf8JsonReaderExtensions.EnterList(ref reader))
            return sum;
        while (Utf8JsonReaderExtensions.Element(ref reader))
        {
            Utf8JsonReaderExtensions.Enter(ref reader);
            while (Utf8JsonReaderExtensions.Property(ref reader))
                if (Utf8JsonReaderExtensions.Is(ref reader, "allocatedAmountSet"u8))
                    sum = checked(sum + Utf8JsonReaderExtensions.ShopMoney(ref reader, _currency));
                else
                    reader.Skip();
        }
        return sum;
    }

    private ChildFate ReadAgreement(ref Utf8JsonReader reader)
    {
        Span<byte> gid = stackalloc byte[Utf8JsonReaderExtensions.LongestGid];
        var gidLength = 0;
        var at = _agreements.Count;
        DateTimeOffset? happenedAt = null;
        long? refundId = null;
        var places = false;
        Utf8JsonReaderExtensions.Enter(ref reader);
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
            {
                gidLength = Utf8JsonReaderExtensions.Gid(ref reader, gid);
                if (IndexOfAgreement(gid[..gidLength]) is >= 0 and var known)
                    at = known;
            }
            else if (Utf8JsonReaderExtensions.Is(ref reader, "__typename"u8))
                places = reader.TokenType == JsonTokenType.String && reader.ValueTextEquals("OrderAgreement"u8);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "happenedAt"u8))
                happenedAt = Utf8JsonReaderExtensions.Instant(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "refund"u8))
                refundId = Utf8JsonReaderExtensions.Reference(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "sales"u8))
                ReadSales(ref reader, at);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "__parentId"u8))
                ReadParent(ref reader);
            else
                reader.Skip();

        if (gidLength == 0)
            throw Utf8JsonReaderExtensions.Missing("An agreement", "id");
        if (_parentLength > 0 && !Parent.SequenceEqual(Gid))
            return ChildFate.Elsewhere;
        if (at < _agreements.Count)
            return ChildFate.Repeated; // in a bulk file; in an answer it is the same agreement with further sales
        _agreements.Add(
            new Agreement(
                _agreementGids.Count,
                gidLength,
                happenedAt ?? throw Utf8JsonReaderExtensions.Missing("An agreement", "happenedAt"),
                places,
                refundId
            )
        );
        _agreementGids.AddRange(gid[..gidLength]);
        return ChildFate.Added;
    }

    private void ReadSales(ref Utf8JsonReader reader, int agreement)
    {
        SalesAfter = ReadConnection(ref reader, (ref Utf8JsonReader node) => _sales.Add(ReadSale(ref node, agreement)));
        LedgerIncomplete |= SalesAfter is not null;
    }

    private Sale ReadSale(ref Utf8JsonReader reader, int agreement)
    {
        Span<byte> lineType = stackalloc byte[LongestEnum],
            actionType = stackalloc byte[LongestEnum];
        int lineTypeLength = 0,
            actionTypeLength = 0,
            quantity = 0;
        long? lineItemId = null,
            productId = null,
            total = null,
            discount = null,
            tax = null;
        Utf8JsonReaderExtensions.Enter(ref reader);
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
                NoteChild(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "actionType"u8))
                actionTypeLength = EnumText(ref reader, actionType);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "lineType"u8))
                lineTypeLength = EnumText(ref reader, lineType);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "quantity"u8))
                quantity = Utf8JsonReaderExtensions.Count(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "lineItem"u8))
                (lineItemId, productId) = ReadSoldLine(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "totalAmount"u8))
                total = Utf8JsonReaderExtensions.ShopMoney(ref reader, _currency);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "totalDiscountAmountBeforeTaxes"u8))
                discount = Utf8JsonReaderExtensions.ShopMoney(ref reader, _currency);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "totalTaxAmount"u8))
                tax = Utf8JsonReaderExtensions.ShopMoney(ref reader, _currency);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "__parentId"u8))
                ReadParent(ref reader);
            else
                reader.Skip();

        if (lineTypeLength == 0)
            throw Utf8JsonReaderExtensions.Missing("A sale", "lineType");
        if (actionTypeLength == 0)
            throw Utf8JsonReaderExtensions.Missing("A sale", "actionType");
        var taxed = tax ?? throw Utf8JsonReaderExtensions.Missing("A sale", "totalTaxAmount");
        return new Sale(
            agreement,
            SalesLedger.Measure(lineType[..lineTypeLength], actionType[..actionTypeLength]),
            lineItemId,
            productId,
            SalesLedger.Units(lineType[..lineTypeLength], actionType[..actionTypeLength], quantity),
            checked((total ?? throw Utf8JsonReaderExtensions.Missing("A sale", "totalAmount")) - taxed),
            discount ?? throw Utf8JsonReaderExtensions.Missing("A sale", "totalDiscountAmountBeforeTaxes"),
            taxed
        );
    }

    private static int EnumText(ref Utf8JsonReader reader, scoped Span<byte> into) =>
        reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length <= into.Length
            ? reader.CopyString(into)
            : throw Utf8JsonReaderExtensions.Unexpected(ref reader, "a kind of sale");

    private static (long? LineItemId, long? ProductId) ReadSoldLine(ref Utf8JsonReader reader)
    {
        long? id = null,
            productId = null;
        if (!Utf8JsonReaderExtensions.Enter(ref reader))
            return (id, productId);
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
                id = Utf8JsonReaderExtensions.Id(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "product"u8))
                productId = Utf8JsonReaderExtensions.Reference(ref reader);
            else
                reader.Skip();
        return (id, productId);
    }

    private void ReadRefunds(ref Utf8JsonReader reader)
    {
        if (!Utf8JsonReaderExtensions.EnterList(ref reader))
            return;
        while (Utf8JsonReaderExtensions.Element(ref reader))
            ReadRefund(ref reader);
        RefundsIncomplete = _refunds.Count == RefundsAskedFor;
    }

    private void ReadRefund(ref Utf8JsonReader reader)
    {
        string? gid = null,
            after = null;
        long id = 0;
        long? total = null;
        DateTimeOffset? createdAt = null,
            processedAt = null;
        List<RefundLineRecord>? lines = null;
        Utf8JsonReaderExtensions.Enter(ref reader);
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
                (id, gid) = (Utf8JsonReaderExtensions.Id(ref reader), Utf8JsonReaderExtensions.Text(ref reader));
            else if (Utf8JsonReaderExtensions.Is(ref reader, "createdAt"u8))
                createdAt = Utf8JsonReaderExtensions.InstantOrNull(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "processedAt"u8))
                processedAt = Utf8JsonReaderExtensions.InstantOrNull(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "totalRefundedSet"u8))
                total = Utf8JsonReaderExtensions.ShopMoney(ref reader, _currency);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "refundLineItems"u8))
                after = ReadRefundLines(ref reader, lines = []);
            else
                reader.Skip();

        if (gid is null)
            throw Utf8JsonReaderExtensions.Missing("A refund", "id");
        if (after is not null)
            RefundLinesAfter.Add((gid, after));
        if (lines is null)
            _refundsWithoutLines.Add(id);
        _refunds.Add(
            new RefundRecord(
                id,
                createdAt ?? processedAt ?? throw Utf8JsonReaderExtensions.Missing("A refund", "createdAt"),
                processedAt,
                total ?? throw Utf8JsonReaderExtensions.Missing("A refund", "totalRefundedSet"),
                lines ?? []
            )
        );
    }

    private string? ReadRefundLines(ref Utf8JsonReader reader, List<RefundLineRecord> into) =>
        ReadConnection(ref reader, (ref Utf8JsonReader node) => into.Add(ReadRefundLine(ref node)));

    private RefundLineRecord ReadRefundLine(ref Utf8JsonReader reader)
    {
        long? lineItemId = null,
            subtotal = null,
            tax = null;
        var quantity = 0;
        Utf8JsonReaderExtensions.Enter(ref reader);
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "lineItem"u8))
                lineItemId = Utf8JsonReaderExtensions.Reference(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "quantity"u8))
                quantity = Utf8JsonReaderExtensions.Count(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "subtotalSet"u8))
                subtotal = Utf8JsonReaderExtensions.ShopMoney(ref reader, _currency);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "totalTaxSet"u8))
                tax = Utf8JsonReaderExtensions.ShopMoney(ref reader, _currency);
            else
                reader.Skip();
        return new RefundLineRecord(
            lineItemId ?? throw Utf8JsonReaderExtensions.Missing("A refund line", "lineItem"),
            quantity,
            subtotal ?? throw Utf8JsonReaderExtensions.Missing("A refund line", "subtotalSet"),
            tax ?? throw Utf8JsonReaderExtensions.Missing("A refund line", "totalTaxSet")
        );
    }
}
