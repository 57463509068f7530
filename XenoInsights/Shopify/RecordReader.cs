using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Ingestion;

namespace XenoInsights.Shopify;

/// <summary>What became of a line that belongs to another object.</summary>
internal enum ChildFate
{
    Added,

    /// <summary>Its parent is neither the object being read nor a part of it.</summary>
    Elsewhere,

    /// <summary>It was added before; adding it again would count it twice.</summary>
    Repeated,
}

/// <summary>
/// Reads objects of one type from GraphQL JSON, the shape of bulk lines and of ordinary answers alike: what a bulk file
/// puts on lines of its own, an answer nests in connections. One reader is used for object after object.
/// </summary>
/// <remarks>Readers throw for what they cannot read (<see cref="Utf8JsonReaderExtensions.IsUnreadable"/>); the object
/// is then not usable.</remarks>
internal abstract class RecordReader(string currency)
{
    protected delegate void NodeReader(ref Utf8JsonReader reader);

    private readonly byte[] _gid = new byte[Utf8JsonReaderExtensions.LongestGid];
    private readonly HashSet<ulong> _childKeys = [];
    private int _gidLength;
    private ulong _childKey;

    /// <summary>The id of the object being read.</summary>
    public ReadOnlySpan<byte> Gid => _gid.AsSpan(0, _gidLength);

    protected TextCache Texts { get; } = new();

    protected ShopCurrency Currency { get; } = ShopCurrency.Of(currency);

    /// <summary>The type of the objects it reads.</summary>
    public abstract ReadOnlySpan<byte> Typename { get; }

    /// <summary>Whether lines may follow an object that are parts of it.</summary>
    public virtual bool HasChildren => true;

    /// <summary>The reader for a type; null for one that is no object on its own.</summary>
    public static RecordReader? For(ReadOnlySpan<byte> typename, string currency)
    {
        if (typename.SequenceEqual("Order"u8))
            return new OrderReader(currency);
        if (typename.SequenceEqual("Customer"u8))
            return new CustomerReader(currency);
        if (typename.SequenceEqual("Product"u8))
            return new ProductReader(currency);
        return typename.SequenceEqual("AbandonedCheckout"u8) ? new CheckoutReader(currency) : null;
    }

    /// <summary>Clears the last object and reads the one at the reader.</summary>
    public void Begin(ref Utf8JsonReader reader)
    {
        _gidLength = 0;
        _childKeys.Clear();
        Reset();
        if (!Utf8JsonReaderExtensions.Enter(ref reader))
            throw new FormatException("Expected an object, found null.");
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "__parentId"u8))
                throw new FormatException("An object of this type has no parent.");
            else if (!TryReadProperty(ref reader))
                reader.Skip();
        if (_gidLength == 0)
            throw Utf8JsonReaderExtensions.Missing("An object", "id");
    }

    /// <summary>
    /// Reads a line that says it has a parent, and adds it if that is the object being read or a part of it.
    /// </summary>
    public ChildFate AddChild(ref Utf8JsonReader reader, ReadOnlySpan<byte> typename)
    {
        _childKey = 0;
        return TryAddChild(ref reader, typename);
    }

    public abstract IngestRecord Finish();

    protected abstract ChildFate TryAddChild(ref Utf8JsonReader reader, ReadOnlySpan<byte> typename);

    protected abstract void Reset();

    /// <summary>Reads the property's value if the property is known; otherwise leaves the reader on its name.</summary>
    protected abstract bool TryReadProperty(ref Utf8JsonReader reader);

    protected long ReadOwnId(ref Utf8JsonReader reader)
    {
        _gidLength = Utf8JsonReaderExtensions.Gid(ref reader, _gid);
        return Utf8JsonReaderExtensions.Id(ref reader);
    }

    /// <summary>To be called on a child's id. Not every kind of child has a numbered one.</summary>
    protected void NoteChild(ref Utf8JsonReader reader) => _childKey = XxHash3.HashToUInt64(reader.ValueSpan);

    /// <summary>Whether the child just read may be added.</summary>
    protected ChildFate Judge(bool ours)
    {
        if (!ours)
            return ChildFate.Elsewhere;
        return _childKey != 0 && !_childKeys.Add(_childKey) ? ChildFate.Repeated : ChildFate.Added;
    }

    private static void ReadNodes(ref Utf8JsonReader reader, NodeReader readNode)
    {
        if (!Utf8JsonReaderExtensions.EnterList(ref reader))
            return;
        while (Utf8JsonReaderExtensions.Element(ref reader))
            readNode(ref reader);
    }

    /// <summary>The cursor behind the page if there are more pages.</summary>
    protected static string? ReadConnection(ref Utf8JsonReader reader, NodeReader readNode)
    {
        if (!Utf8JsonReaderExtensions.Enter(ref reader))
            return null;
        var more = false;
        string? cursor = null;
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "nodes"u8))
                ReadNodes(ref reader, readNode);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "pageInfo"u8))
            {
                Utf8JsonReaderExtensions.Enter(ref reader);
                while (Utf8JsonReaderExtensions.Property(ref reader))
                    if (Utf8JsonReaderExtensions.Is(ref reader, "hasNextPage"u8))
                        more = Utf8JsonReaderExtensions.Flag(ref reader);
                    else if (Utf8JsonReaderExtensions.Is(ref reader, "endCursor"u8))
                        cursor = Utf8JsonReaderExtensions.Text(ref reader);
                    else
                        reader.Skip();
            }
            else
                reader.Skip();
        return more ? cursor ?? throw Utf8JsonReaderExtensions.Missing("A page", "endCursor") : null;
    }

    protected static FormatException NoChild(ReadOnlySpan<byte> typename, string of) =>
        new($"'{Encoding.UTF8.GetString(typename)}' is not a part of {of}.");
}

internal sealed class CustomerReader(string currency) : RecordReader(currency)
{
    private long _id,
        _numberOfOrders,
        _amountSpent;
    private DateTimeOffset? _createdAt,
        _updatedAt;
    private string? _firstName,
        _lastName,
        _displayName,
        _email,
        _phone,
        _countryCode,
        _city,
        _state;

    public override ReadOnlySpan<byte> Typename => "Customer"u8;

    public override bool HasChildren => false;

    protected override void Reset()
    {
        _id = _numberOfOrders = _amountSpent = 0;
        _createdAt = _updatedAt = null;
        _firstName = _lastName = _displayName = _email = _phone = _countryCode = _city = _state = null;
    }

    protected override bool TryReadProperty(ref Utf8JsonReader reader)
    {
        if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
            _id = ReadOwnId(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "createdAt"u8))
            _createdAt = Utf8JsonReaderExtensions.Instant(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "updatedAt"u8))
            _updatedAt = Utf8JsonReaderExtensions.Instant(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "firstName"u8))
            _firstName = Texts.Read(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "lastName"u8))
            _lastName = Texts.Read(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "displayName"u8))
            _displayName = Utf8JsonReaderExtensions.Text(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "defaultEmailAddress"u8))
            _email = OnlyText(ref reader, "emailAddress"u8);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "defaultPhoneNumber"u8))
            _phone = OnlyText(ref reader, "phoneNumber"u8);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "defaultAddress"u8))
            ReadAddress(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "state"u8))
            _state = Texts.Read(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "numberOfOrders"u8))
            _numberOfOrders = Utf8JsonReaderExtensions.BigCount(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "amountSpent"u8))
            _amountSpent = ReadAmountSpent(ref reader);
        else
            return false;
        return true;
    }

    protected override ChildFate TryAddChild(ref Utf8JsonReader reader, ReadOnlySpan<byte> typename) =>
        throw NoChild(typename, "a customer");

    public override CustomerRecord Finish() =>
        new()
        {
            ShopifyId = _id,
            UpdatedAt = _updatedAt ?? throw Utf8JsonReaderExtensions.Missing("A customer", "updatedAt"),
            CreatedAt = _createdAt ?? throw Utf8JsonReaderExtensions.Missing("A customer", "createdAt"),
            FirstName = _firstName,
            LastName = _lastName,
            DisplayName = _displayName,
            Email = _email,
            Phone = _phone,
            CountryCode = _countryCode,
            City = _city,
            State = _state,
            NumberOfOrders = _numberOfOrders,
            AmountSpent = _amountSpent,
        };

    /// <summary>
    /// Only a cross-check: one in a former currency of the shop is left out rather than the customer.
    /// </summary>
    private long ReadAmountSpent(ref Utf8JsonReader reader)
    {
        var (amount, currency) = Utf8JsonReaderExtensions.MoneyAndCurrency(ref reader, Currency);
        return currency.Code == Currency.Code ? amount : 0;
    }

    private static string? OnlyText(ref Utf8JsonReader reader, ReadOnlySpan<byte> property)
    {
        if (!Utf8JsonReaderExtensions.Enter(ref reader))
            return null;
        string? text = null;
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, property))
                text = Utf8JsonReaderExtensions.Text(ref reader);
            else
                reader.Skip();
        return text;
    }

    private void ReadAddress(ref Utf8JsonReader reader)
    {
        if (!Utf8JsonReaderExtensions.Enter(ref reader))
            return;
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "countryCodeV2"u8))
                _countryCode = Texts.Read(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "city"u8))
                _city = Texts.Read(ref reader);
            else
                reader.Skip();
    }
}

internal sealed class ProductReader(string currency) : RecordReader(currency)
{
    private long _id;
    private DateTimeOffset? _createdAt,
        _updatedAt;
    private string? _title,
        _handle,
        _status,
        _vendor,
        _productType;
    private bool _giftCard;

    public override ReadOnlySpan<byte> Typename => "Product"u8;

    public override bool HasChildren => false;

    protected override void Reset()
    {
        _id = 0;
        _createdAt = _updatedAt = null;
        _title = _handle = _status = _vendor = _productType = null;
        _giftCard = false;
    }

    protected override bool TryReadProperty(ref Utf8JsonReader reader)
    {
        if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
            _id = ReadOwnId(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "createdAt"u8))
            _createdAt = Utf8JsonReaderExtensions.Instant(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "updatedAt"u8))
            _updatedAt = Utf8JsonReaderExtensions.Instant(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "title"u8))
            _title = Utf8JsonReaderExtensions.Text(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "handle"u8))
            _handle = Utf8JsonReaderExtensions.Text(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "status"u8))
            _status = Texts.Read(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "vendor"u8))
            _vendor = Texts.Read(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "productType"u8))
            _productType = Texts.Read(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "isGiftCard"u8))
            _giftCard = Utf8JsonReaderExtensions.Flag(ref reader);
        else
            return false;
        return true;
    }

    protected override ChildFate TryAddChild(ref Utf8JsonReader reader, ReadOnlySpan<byte> typename) =>
        throw NoChild(typename, "a product");

    public override ProductRecord Finish() =>
        new()
        {
            ShopifyId = _id,
            UpdatedAt = _updatedAt ?? throw Utf8JsonReaderExtensions.Missing("A product", "updatedAt"),
            CreatedAt = _createdAt ?? throw Utf8JsonReaderExtensions.Missing("A product", "createdAt"),
            Title = _title ?? throw Utf8JsonReaderExtensions.Missing("A product", "title"),
            Handle = _handle,
            Status = _status,
            Vendor = _vendor,
            ProductType = _productType,
            GiftCard = _giftCard,
        };
}

internal sealed class CheckoutReader(string currency) : RecordReader(currency)
{
    private readonly List<CheckoutLineRecord> _lines = [];

    /// <summary>The shop's when the checkout was begun.</summary>
    private ShopCurrency _currency;
    private long _id;
    private long? _customerId,
        _total;
    private DateTimeOffset? _createdAt,
        _updatedAt,
        _completedAt;
    private string? _name,
        _recoveryUrl;

    /// <summary>The cursor behind the lines read so far; null when they are all there.</summary>
    public string? LinesAfter { get; private set; }

    public override ReadOnlySpan<byte> Typename => "AbandonedCheckout"u8;

    protected override void Reset()
    {
        _lines.Clear();
        _currency = Currency;
        _id = 0;
        _customerId = _total = null;
        _createdAt = _updatedAt = _completedAt = null;
        _name = _recoveryUrl = null;
        LinesAfter = null;
    }

    protected override bool TryReadProperty(ref Utf8JsonReader reader)
    {
        if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
            _id = ReadOwnId(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "name"u8))
            _name = Utf8JsonReaderExtensions.Text(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "createdAt"u8))
            _createdAt = Utf8JsonReaderExtensions.Instant(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "updatedAt"u8))
            _updatedAt = Utf8JsonReaderExtensions.Instant(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "completedAt"u8))
            _completedAt = Utf8JsonReaderExtensions.InstantOrNull(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "abandonedCheckoutUrl"u8))
            _recoveryUrl = Utf8JsonReaderExtensions.Text(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "customer"u8))
            _customerId = Utf8JsonReaderExtensions.Reference(ref reader);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "totalPriceSet"u8))
            (_total, _currency) = Utf8JsonReaderExtensions.ShopMoneyAndCurrency(ref reader, Currency);
        else if (Utf8JsonReaderExtensions.Is(ref reader, "lineItems"u8))
            LinesAfter = ReadConnection(ref reader, (ref Utf8JsonReader node) => _lines.Add(ReadLine(ref node, out _)));
        else
            return false;
        return true;
    }

    /// <summary>
    /// Adds a further page of lines of the checkout begun. Throws when it changed since, for then the pages do not fit
    /// together.
    /// </summary>
    public void Continue(ref Utf8JsonReader reader)
    {
        var version = _updatedAt;
        if (!Utf8JsonReaderExtensions.Enter(ref reader))
            throw new FormatException("The checkout is gone.");
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (!TryReadProperty(ref reader))
                reader.Skip();
        if (_updatedAt != version)
            throw new FormatException("The checkout changed while its pages were read.");
    }

    protected override ChildFate TryAddChild(ref Utf8JsonReader reader, ReadOnlySpan<byte> typename)
    {
        if (!typename.SequenceEqual("AbandonedCheckoutLineItem"u8))
            throw NoChild(typename, "a checkout");
        var line = ReadLine(ref reader, out var ours);
        var fate = Judge(ours);
        if (fate == ChildFate.Added)
            _lines.Add(line);
        return fate;
    }

    private CheckoutLineRecord ReadLine(ref Utf8JsonReader reader, out bool ours)
    {
        ours = false;
        long? productId = null,
            total = null;
        string? title = null,
            sku = null;
        int? quantity = null;
        Span<byte> parent = stackalloc byte[Utf8JsonReaderExtensions.LongestGid];
        Utf8JsonReaderExtensions.Enter(ref reader);
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
                NoteChild(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "product"u8))
                productId = Utf8JsonReaderExtensions.Reference(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "title"u8))
                title = Texts.Read(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "sku"u8))
                sku = Texts.Read(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "quantity"u8))
                quantity = Utf8JsonReaderExtensions.Count(ref reader);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "discountedTotalPriceSet"u8))
                total = Utf8JsonReaderExtensions.ShopMoney(ref reader, _currency);
            else if (Utf8JsonReaderExtensions.Is(ref reader, "__parentId"u8))
                ours = parent[..Utf8JsonReaderExtensions.Gid(ref reader, parent)].SequenceEqual(Gid);
            else
                reader.Skip();
        return new CheckoutLineRecord(
            productId,
            title ?? "",
            sku,
            quantity ?? throw Utf8JsonReaderExtensions.Missing("A checkout line", "quantity"),
            total ?? throw Utf8JsonReaderExtensions.Missing("A checkout line", "discountedTotalPriceSet")
        );
    }

    public override CheckoutRecord Finish() =>
        new()
        {
            ShopifyId = _id,
            UpdatedAt = _updatedAt ?? throw Utf8JsonReaderExtensions.Missing("A checkout", "updatedAt"),
            SourceObjects = 1 + _lines.Count,
            Name = _name,
            CreatedAt = _createdAt ?? throw Utf8JsonReaderExtensions.Missing("A checkout", "createdAt"),
            CompletedAt = _completedAt,
            CustomerId = _customerId,
            RecoveryUrl = _recoveryUrl,
            Currency = _currency.Code,
            Total = _total ?? throw Utf8JsonReaderExtensions.Missing("A checkout", "totalPriceSet"),
            Lines = [.. _lines],
        };
}
