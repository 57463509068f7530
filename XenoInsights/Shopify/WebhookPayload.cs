using System.Globalization;
using System.Text;
using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Formatting;
using XenoInsights.Ingestion;

namespace XenoInsights.Shopify;

/// <summary>An edit of an order, as <c>orders/edited</c> tells it.</summary>
/// <param name="Added">Units that it added, by line.</param>
/// <param name="Removed">Lines that it took units from.</param>
internal sealed record OrderEdit(
    long OrderId,
    DateTimeOffset CommittedAt,
    IReadOnlyDictionary<long, int> Added,
    IReadOnlySet<long> Removed
);

/// <summary>
/// Reads webhook bodies, which are REST-shaped: snake case, numeric ids (the exact one is in
/// <c>admin_graphql_api_id</c>), instants with an offset, money as decimal texts. What does not look as expected is a
/// <see cref="FormatException"/> that says so.
/// </summary>
internal static class WebhookPayload
{
    /// <param name="IsComplete">False when the ledger is only as good as the payload allows: the order must be read
    /// again from the Admin API.</param>
    public readonly record struct Order(OrderRecord Record, bool IsComplete);

    /// <summary>
    /// The order as its payload tells it. A payload has no ledger, so one is made of lines, shipping and refunds. That
    /// is exact for an order just placed. What an edit did and when, duties, fees, tips, discounts inside taxed prices
    /// and adjustments of a refund are not told exactly, and neither is anything when the ledger does not add up to
    /// <c>current_total_price</c>.
    /// </summary>
    /// <param name="currency">The shop's now; the payload's own <c>currency</c> is the shop's when the order was
    /// placed.</param>
    /// <param name="edits">What is known of its edits, the earliest first: what they added and removed counts on their
    /// day.</param>
    public static Order ReadOrder(JsonElement payload, string currency, IReadOnlyList<OrderEdit> edits) =>
        new OrderPayload(payload, ShopCurrency.Of(payload.Text("currency") ?? currency), edits).Read();

    public static OrderEdit ReadEdit(JsonElement payload)
    {
        var edit = payload.Object("order_edit") ?? throw Utf8JsonReaderExtensions.Missing("The payload", "order_edit");
        var lines = edit.Object("line_items");
        var added = new Dictionary<long, int>();
        foreach (var line in lines?.List("additions") ?? [])
            added[line.Id()] = added.GetValueOrDefault(line.Id()) + line.Int("delta");
        return new OrderEdit(
            edit.LongOrNull("order_id") ?? throw Utf8JsonReaderExtensions.Missing("An order edit", "order_id"),
            edit.InstantOrNull("committed_at") ?? edit.Instant("created_at"),
            added,
            (lines?.List("removals") ?? []).Select(line => line.Id()).ToHashSet()
        );
    }

    public static CustomerRecord ReadCustomer(JsonElement payload, string currency)
    {
        var address = payload.Object("default_address");
        var (first, last, email) = (payload.Text("first_name"), payload.Text("last_name"), payload.Text("email"));
        var name = $"{first} {last}".Trim();
        return new CustomerRecord
        {
            ShopifyId = payload.Id(),
            Source = RecordSource.Webhook,
            UpdatedAt = payload.Instant("updated_at"),
            CreatedAt = payload.Instant("created_at"),
            FirstName = first,
            LastName = last,
            DisplayName = name.Length > 0 ? name : email,
            Email = email,
            Phone = payload.Text("phone"),
            CountryCode = address?.Text("country_code"),
            City = address?.Text("city"),
            State = payload.Text("state")?.ToUpperInvariant(),
            NumberOfOrders = payload.LongOrNull("orders_count") ?? 0,
            AmountSpent = payload.MoneyOrNull("total_spent", ShopCurrency.Of(currency)) ?? 0,
        };
    }

    /// <summary>The payload does not tell gift cards from goods: read the product again for that.</summary>
    public static ProductRecord ReadProduct(JsonElement payload) =>
        new()
        {
            ShopifyId = payload.Id(),
            Source = RecordSource.Webhook,
            UpdatedAt = payload.Instant("updated_at"),
            CreatedAt = payload.Instant("created_at"),
            Title = payload.Text("title") ?? throw Utf8JsonReaderExtensions.Missing("A product", "title"),
            Handle = payload.Text("handle"),
            Status = payload.Text("status")?.ToUpperInvariant(),
            Vendor = payload.Text("vendor"),
            ProductType = payload.Text("product_type"),
            GiftCard = payload.Flag("gift_card"),
        };

    /// <summary>Whether nobody has left an address in a checkout yet: Shopify does not count it as abandoned.</summary>
    public static bool IsAnonymous(JsonElement checkout) =>
        checkout.Object("customer") is null
        && checkout.Text("email") is null or ""
        && checkout.Text("phone") is null or "";

    /// <summary>What the buyer of a checkout pays in; null for the shop's currency. All its money is in it.</summary>
    public static string? CurrencyOf(JsonElement checkout) => checkout.Text("presentment_currency");

    /// <summary>A checkout in the shop's currency (<see cref="CurrencyOf"/>).</summary>
    public static CheckoutRecord ReadCheckout(JsonElement payload, string currency)
    {
        var customer = payload.Object("customer");
        var money = ShopCurrency.Of(currency);
        return new CheckoutRecord
        {
            ShopifyId = payload.Id(),
            Source = RecordSource.Webhook,
            UpdatedAt = payload.Instant("updated_at"),
            CreatedAt = payload.Instant("created_at"),
            CompletedAt = payload.InstantOrNull("completed_at"),
            Name = payload.Text("name"),
            CustomerId = customer?.Id(),
            RecoveryUrl = payload.Text("abandoned_checkout_url"),
            Total =
                payload.MoneyOrNull("total_price", money)
                ?? throw Utf8JsonReaderExtensions.Missing("A checkout", "total_price"),
            Lines =
            [
                .. payload
                    .List("line_items")
                    .Select(line => new CheckoutLineRecord(
                        line.LongOrNull("product_id"),
                        line.Text("title") ?? "",
                        line.Text("sku"),
                        line.Int("quantity"),
                        line.MoneyOrNull("line_price", money)
                            ?? (line.MoneyOrNull("price", money) ?? 0) * line.Int("quantity")
                    )),
            ],
        };
    }

    /// <summary>
    /// A tombstone. Deletions carry no version: the instant they were triggered at, rounded up so that no update of the
    /// same second comes after it.
    /// </summary>
    public static DateTimeOffset VersionOfDeletion(DateTimeOffset triggeredAt)
    {
        var utc = triggeredAt.UtcDateTime;
        var second = new DateTime(utc.Ticks - (utc.Ticks % TimeSpan.TicksPerSecond), DateTimeKind.Utc);
        return new DateTimeOffset(second).AddSeconds(1);
    }

    public static OrderRecord DeletedOrder(long id, DateTimeOffset at) =>
        new()
        {
            ShopifyId = id,
            Source = RecordSource.Webhook,
            Deleted = true,
            Name = "",
            UpdatedAt = at,
            CreatedAt = at,
            ProcessedAt = at,
        };

    public static CustomerRecord DeletedCustomer(long id, DateTimeOffset at) =>
        new()
        {
            ShopifyId = id,
            Source = RecordSource.Webhook,
            Deleted = true,
            UpdatedAt = at,
            CreatedAt = at,
        };

    public static ProductRecord DeletedProduct(long id, DateTimeOffset at) =>
        new()
        {
            ShopifyId = id,
            Source = RecordSource.Webhook,
            Deleted = true,
            Title = "",
            UpdatedAt = at,
            CreatedAt = at,
        };

    public static CheckoutRecord DeletedCheckout(long id, DateTimeOffset at) =>
        new()
        {
            ShopifyId = id,
            Source = RecordSource.Webhook,
            Deleted = true,
            UpdatedAt = at,
            CreatedAt = at,
        };

    private sealed class OrderPayload(JsonElement order, ShopCurrency currency, IReadOnlyList<OrderEdit> edits)
    {
        /// <summary>Placing an order updates it for some seconds by itself: payment, risk, tags.</summary>
        private static readonly TimeSpan _placing = TimeSpan.FromSeconds(10);

        private readonly List<OrderLineRecord> _lines = [];
        private readonly List<SaleRecord> _sales = [];
        private readonly Dictionary<long, int> _refunded = [];
        private readonly bool _taxesIncluded = order.Flag("taxes_included");
        private bool _complete = true;

        public Order Read()
        {
            var createdAt = order.Instant("created_at");
            var updatedAt = order.Instant("updated_at");
            var lines = order.List("line_items").ToList();
            foreach (var line in lines)
                ReadLine(line, createdAt);
            foreach (var line in order.List("shipping_lines"))
                ReadShipping(line, createdAt);
            var refunds = order.List("refunds").Select(ReadRefund).ToList();
            for (var i = 0; i < _lines.Count; i++)
                ReadRemoval(_lines[i], lines[i], order.InstantOrNull("cancelled_at") ?? updatedAt);

            var currentTotal =
                Money(order, "current_total_price")
                ?? throw Utf8JsonReaderExtensions.Missing("An order", "current_total_price");
            // A line that an edit added looks like one that was ordered: only a fresh order is known to have none.
            if (updatedAt - createdAt > _placing)
                _complete = false;
            // A tip is a line like any other here, and no sale there.
            if (Money(order, "total_tip_received") is > 0)
                _complete = false;
            // Tips, duties and fees are in the total but not in the lines; and whatever else we do not know of shows
            // here.
            if (_sales.Sum(s => s.Amount + s.Tax) != currentTotal)
                _complete = false;
            return new Order(
                new OrderRecord
                {
                    ShopifyId = order.Id(),
                    Source = RecordSource.Webhook,
                    UpdatedAt = updatedAt,
                    Name = order.Text("name") ?? throw Utf8JsonReaderExtensions.Missing("An order", "name"),
                    CreatedAt = createdAt,
                    ProcessedAt = order.InstantOrNull("processed_at") ?? createdAt,
                    CancelledAt = order.InstantOrNull("cancelled_at"),
                    CustomerId = order.Object("customer")?.Id(),
                    Test = order.Flag("test"),
                    FinancialStatus = order.Text("financial_status")?.ToUpperInvariant(),
                    FulfillmentStatus = order.Text("fulfillment_status") switch
                    {
                        null => "UNFULFILLED",
                        "partial" => "PARTIALLY_FULFILLED",
                        var status => status.ToUpperInvariant(),
                    },
                    SourceName = order.Text("source_name"),
                    Currency = currency.Code,
                    KnownEdits = edits.Count,
                    CurrentTotal = currentTotal,
                    Lines = _lines,
                    Sales = _sales,
                    Refunds = refunds,
                },
                _complete
            );
        }

        private void ReadLine(JsonElement line, DateTimeOffset at)
        {
            var (id, quantity, gift) = (line.Id(), line.Int("quantity"), line.Flag("gift_card"));
            var total = checked(
                (Money(line, "price") ?? throw Utf8JsonReaderExtensions.Missing("An order line", "price")) * quantity
            );
            var (discount, tax) = (Discounts(line), Taxes(line));
            var product = line.LongOrNull("product_id");
            _lines.Add(
                new OrderLineRecord(
                    id,
                    product,
                    line.LongOrNull("variant_id"),
                    line.Text("title") ?? "",
                    line.Text("sku"),
                    quantity,
                    line.IntOrNull("current_quantity") ?? quantity,
                    gift,
                    total,
                    discount
                )
            );
            if (line.List("duties").Any())
                _complete = false;
            if (quantity <= 0)
                return;
            var sold = new SaleRecord(
                at,
                true,
                gift ? SaleMeasure.Uncounted : SaleMeasure.Sale,
                id,
                product,
                quantity,
                BeforeTaxes(total - discount, tax),
                DiscountBeforeTaxes(discount, total - discount, tax),
                tax
            );
            AddAsEdited(sold);
        }

        /// <summary>Units that an edit added count on its day; what is left was ordered with the order.</summary>
        private void AddAsEdited(SaleRecord sold)
        {
            var left = sold;
            foreach (var edit in edits)
            {
                var units = Math.Min(edit.Added.GetValueOrDefault(sold.LineItemId!.Value), left.Quantity);
                if (units <= 0)
                    continue;
                var added = sold with
                {
                    HappenedAt = edit.CommittedAt,
                    Original = false,
                    Quantity = units,
                    Amount = sold.Amount * units / sold.Quantity,
                    Discount = sold.Discount * units / sold.Quantity,
                    Tax = sold.Tax * units / sold.Quantity,
                };
                // Rounding stays with the last part.
                if (units == left.Quantity)
                    added = added with { Amount = left.Amount, Discount = left.Discount, Tax = left.Tax };
                _sales.Add(added);
                left = left with
                {
                    Quantity = left.Quantity - units,
                    Amount = left.Amount - added.Amount,
                    Discount = left.Discount - added.Discount,
                    Tax = left.Tax - added.Tax,
                };
            }
            if (left.Quantity > 0)
                _sales.Add(left);
        }

        private void ReadShipping(JsonElement line, DateTimeOffset at)
        {
            var (price, discount, tax) = (
                Money(line, "price") ?? throw Utf8JsonReaderExtensions.Missing("A shipping line", "price"),
                Discounts(line),
                Taxes(line)
            );
            if (line.Flag("is_removed"))
                _complete = false;
            _sales.Add(
                new SaleRecord(
                    at,
                    true,
                    SaleMeasure.Shipping,
                    null,
                    null,
                    0,
                    BeforeTaxes(price - discount, tax),
                    DiscountBeforeTaxes(discount, price - discount, tax),
                    tax
                )
            );
        }

        private RefundRecord ReadRefund(JsonElement refund)
        {
            var createdAt = refund.Instant("created_at");
            var at = refund.InstantOrNull("processed_at") ?? createdAt;
            var lines = new List<RefundLineRecord>();
            foreach (var returned in refund.List("refund_line_items"))
            {
                var (id, quantity) = (
                    returned.LongOrNull("line_item_id")
                        ?? throw Utf8JsonReaderExtensions.Missing("A refund line", "line_item_id"),
                    returned.Int("quantity")
                );
                var (subtotal, tax) = (Money(returned, "subtotal") ?? 0, Money(returned, "total_tax") ?? 0);
                lines.Add(new RefundLineRecord(id, quantity, subtotal, tax));
                _refunded[id] = _refunded.GetValueOrDefault(id) + quantity;
                var line = _lines.Find(l => l.ShopifyId == id);
                var share = line is { Quantity: > 0 } ? line.Discount * quantity / line.Quantity : 0;
                _sales.Add(
                    new SaleRecord(
                        at,
                        false,
                        line is { GiftCard: true } ? SaleMeasure.Uncounted : SaleMeasure.Return,
                        id,
                        line?.ProductId,
                        -quantity,
                        -BeforeTaxes(subtotal, tax),
                        -share,
                        -tax
                    )
                );
            }
            foreach (var adjustment in refund.List("order_adjustments"))
            {
                var (amount, tax) = (Money(adjustment, "amount") ?? 0, Money(adjustment, "tax_amount") ?? 0);
                var shipping = adjustment.Text("kind") == "shipping_refund";
                _sales.Add(
                    new SaleRecord(
                        at,
                        false,
                        shipping ? SaleMeasure.Shipping : SaleMeasure.Return,
                        null,
                        null,
                        0,
                        amount,
                        0,
                        tax
                    )
                );
                // A discrepancy is in the ledger but not in the order's total; whose tax it holds is not told.
                if (!shipping)
                    _complete = false;
            }
            if (refund.List("refund_shipping_lines").Any() && !refund.List("order_adjustments").Any())
                _complete = false;
            if (refund.List("duties").Any())
                _complete = false;
            var paidBack = refund
                .List("transactions")
                .Where(t => t.Text("kind") == "refund" && t.Text("status") is null or "success")
                .Sum(t => Money(t, "amount") ?? 0);
            return new RefundRecord(refund.Id(), createdAt, at, paidBack, lines);
        }

        /// <summary>
        /// Units that are neither on the order nor refunded were edited or cancelled away, on a day the payload does
        /// not tell.
        /// </summary>
        private void ReadRemoval(OrderLineRecord line, JsonElement payload, DateTimeOffset at)
        {
            var removed = line.Quantity - line.CurrentQuantity - _refunded.GetValueOrDefault(line.ShopifyId);
            if (removed == 0)
                return;
            _complete = false;
            if (removed < 0 || line.Quantity == 0)
                return;
            at = edits.LastOrDefault(edit => edit.Removed.Contains(line.ShopifyId))?.CommittedAt ?? at;
            var tax = Taxes(payload) * removed / line.Quantity;
            var price = (line.OriginalTotal - line.Discount) * removed / line.Quantity;
            _sales.Add(
                new SaleRecord(
                    at,
                    false,
                    line.GiftCard ? SaleMeasure.Uncounted : SaleMeasure.Return,
                    line.ShopifyId,
                    line.ProductId,
                    -removed,
                    -BeforeTaxes(price, tax),
                    0,
                    -tax
                )
            );
        }

        private long BeforeTaxes(long price, long tax) => _taxesIncluded ? price - tax : price;

        /// <summary>
        /// With taxes inside prices they are inside discounts too; how much is rounded by Shopify, line by line.
        /// </summary>
        private long DiscountBeforeTaxes(long discount, long price, long tax)
        {
            if (!_taxesIncluded || discount == 0 || tax == 0)
                return discount;
            _complete = false;
            return price == 0
                ? discount
                : discount - (long)Math.Round((decimal)discount * tax / price, MidpointRounding.AwayFromZero);
        }

        private long Discounts(JsonElement line) => line.List("discount_allocations").Sum(d => Money(d, "amount") ?? 0);

        private long Taxes(JsonElement line) => line.List("tax_lines").Sum(t => Money(t, "price") ?? 0);

        /// <summary>
        /// The shop's side of <c>name_set</c>; the plain amount is in it too, in the shop's currency.
        /// </summary>
        private long? Money(JsonElement element, string name)
        {
            if (element.Object($"{name}_set")?.Object("shop_money") is not { } money)
                return element.MoneyOrNull(name, currency);
            if (money.Text("currency_code") is { } code && code != currency.Code)
                throw new FormatException($"'{name}' is in {code}, the order in {currency.Code}.");
            return money.MoneyOrNull("amount", currency);
        }
    }
}

/// <summary>Reading a REST payload: an absent property and a null are the same, another type is an error.</summary>
internal static class PayloadJson
{
    /// <summary>
    /// From <c>admin_graphql_api_id</c> where there is one: a number may have gone through JavaScript.
    /// </summary>
    public static long Id(this JsonElement element) =>
        element.Text("admin_graphql_api_id") is { } gid
        && long.TryParse(
            gid.AsSpan(gid.LastIndexOf('/') + 1),
            NumberStyles.None,
            CultureInfo.InvariantCulture,
            out var id
        )
            ? id
            : element.LongOrNull("id") ?? throw Utf8JsonReaderExtensions.Missing("The payload", "id");

    public static JsonElement? Object(this JsonElement element, string name) =>
        element.Property(name, JsonValueKind.Object);

    public static IEnumerable<JsonElement> List(this JsonElement element, string name) =>
        element.Property(name, JsonValueKind.Array) is { } list
            ? list.EnumerateArray().Where(item => item.ValueKind == JsonValueKind.Object)
            : [];

    public static string? Text(this JsonElement element, string name) =>
        element.Property(name, JsonValueKind.String)?.GetString();

    public static bool Flag(this JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.True;

    public static int Int(this JsonElement element, string name) =>
        element.IntOrNull(name) ?? throw Utf8JsonReaderExtensions.Missing("The payload", name);

    public static int? IntOrNull(this JsonElement element, string name) =>
        element.LongOrNull(name) switch
        {
            null => null,
            >= int.MinValue and <= int.MaxValue and var value => (int)value,
            _ => throw new FormatException($"'{name}' is too large."),
        };

    public static long? LongOrNull(this JsonElement element, string name)
    {
        if (element.Property(name, JsonValueKind.Number) is not { } number)
            return null;
        return number.TryGetInt64(out var value)
            ? value
            : throw new FormatException($"'{name}' is not a whole number.");
    }

    public static DateTimeOffset Instant(this JsonElement element, string name) =>
        element.InstantOrNull(name) ?? throw Utf8JsonReaderExtensions.Missing("The payload", name);

    public static DateTimeOffset? InstantOrNull(this JsonElement element, string name)
    {
        if (element.Property(name, JsonValueKind.String) is not { } text)
            return null;
        return text.TryGetDateTimeOffset(out var instant)
            ? instant.ToUniversalTime()
            : throw new FormatException($"'{name}' is not an instant.");
    }

    public static long? MoneyOrNull(this JsonElement element, string name, in ShopCurrency currency)
    {
        if (!element.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null)
            return null;
        var text = value.ValueKind switch
        {
            JsonValueKind.Number => value.GetRawText(),
            JsonValueKind.String => value.GetString()!,
            _ => throw new FormatException($"'{name}' is not an amount of money."),
        };
        return Currencies.ParseMinor(Encoding.UTF8.GetBytes(text), currency.Exponent);
    }

    private static JsonElement? Property(this JsonElement element, string name, JsonValueKind kind)
    {
        if (element.ValueKind != JsonValueKind.Object)
            throw new FormatException("The payload is not an object.");
        if (
            !element.TryGetProperty(name, out var value)
            || value.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined
        )
            return null;
        return value.ValueKind == kind
            ? value
            : throw new FormatException($"'{name}' is {value.ValueKind}, not {kind}.");
    }
}
