using System.Globalization;
using GraphQLParser.AST;

namespace XenoInsights.Development.FakeShopify;

internal delegate object? AdminResolver(object source, AdminArguments arguments, AdminRequest request);

/// <summary>One call's view of a store: who asks, what they may see, and what the search wanted to say.</summary>
internal sealed record AdminRequest(
    DemoStore Store,
    DemoData Data,
    IReadOnlySet<string> Scopes,
    DateTimeOffset Now,
    FakeShopifyHost Host
)
{
    private static readonly TimeSpan _recentOrders = TimeSpan.FromDays(60);

    public DemoShop Shop => Store.Shop;

    public List<object> Search { get; } = [];

    /// <summary>Largest page seen per field of the document, for the actual cost.</summary>
    public Dictionary<ASTNode, int> PageSizes { get; } = [];

    /// <summary>Without read_all_orders the older ones are simply not there.</summary>
    public bool Sees(in DemoKey order) =>
        Scopes.Contains("read_all_orders") || order.CreatedAt >= (Now - _recentOrders).ToUnixTimeMilliseconds();

    public DemoOrder? Visible(DemoOrder? order) => order is not null && Sees(DemoSet.KeyOf(order)) ? order : null;

    public void Require(string scope, string field)
    {
        if (!Scopes.Contains(scope) && !Scopes.Contains(scope.Replace("read_", "write_", StringComparison.Ordinal)))
        {
            throw AdminError.AccessDenied(field, scope);
        }
    }
}

/// <summary>A field's arguments, from an executed query or from the text of a bulk query.</summary>
internal readonly record struct AdminArguments(Func<string, object?> Get)
{
    public string? Text(string name) => Get(name) as string;

    public int? Number(string name) =>
        Get(name) switch
        {
            null => null,
            var number => Convert.ToInt32(number, CultureInfo.InvariantCulture),
        };

    public bool Flag(string name) => Get(name) is true;

    public IReadOnlyList<string> Texts(string name) =>
        Get(name) is IEnumerable<object?> list ? [.. list.OfType<string>()] : [];

    public IDictionary<string, object?> Input(string name) =>
        Get(name) as IDictionary<string, object?> ?? new Dictionary<string, object?>();

    public AdminWindow Window => new(Number("first"), Text("after"), Number("last"), Text("before"));

    /// <summary>
    /// The object with the global id of the argument; an id of another type is an error, as on the platform.
    /// </summary>
    public long Id(string name, string type)
    {
        var text = Text(name) ?? "";
        if (!Gid.TryParse(text, out var gid))
        {
            throw AdminError.InvalidGlobalId(text);
        }
        return gid.Type == type ? gid.Id : throw AdminError.NotFound(text);
    }

    public static AdminArguments Of(GraphQLField field) =>
        new(name => Value(field.Arguments?.FirstOrDefault(a => a.Name == name)?.Value));

    private static object? Value(GraphQLValue? value) =>
        value switch
        {
            GraphQLStringValue text => text.Value.ToString(),
            GraphQLEnumValue choice => choice.Name.StringValue,
            GraphQLBooleanValue flag => flag.BoolValue,
            GraphQLIntValue number => int.Parse(number.Value.Span, CultureInfo.InvariantCulture),
            _ => null,
        };
}

internal sealed record AdminCount(int Count, string Precision);

internal sealed record AdminMoney(DemoAmount Amount, string CurrencyCode);

internal sealed record AdminVariant(DemoProduct Product);

internal sealed record AdminInventoryItem(DemoProduct Product);

/// <summary>
/// What every field of the Admin API subset answers, one table for ordinary queries and bulk exports alike.
/// </summary>
internal static class AdminFields
{
    private static readonly Dictionary<(string Type, string Field), AdminResolver> _table = [];

    private static readonly Dictionary<Type, string> _typeNames = new()
    {
        [typeof(DemoOrder)] = "Order",
        [typeof(DemoLine)] = "LineItem",
        [typeof(DemoShippingLine)] = "ShippingLine",
        [typeof(DemoRefund)] = "Refund",
        [typeof(DemoTransaction)] = "OrderTransaction",
        [typeof(DemoAdjustment)] = "OrderAdjustment",
        [typeof(DemoDuty)] = "Duty",
        [typeof(DemoCustomer)] = "Customer",
        [typeof(DemoProduct)] = "Product",
        [typeof(AdminVariant)] = "ProductVariant",
        [typeof(AdminInventoryItem)] = "InventoryItem",
        [typeof(DemoCheckout)] = "AbandonedCheckout",
        [typeof(DemoBulkOperation)] = "BulkOperation",
        [typeof(DemoWebhook)] = "WebhookSubscription",
        [typeof(DemoStore)] = "Shop",
    };

    private static readonly string[] _saleTypes =
    [
        "ProductSale",
        "ShippingLineSale",
        "TipSale",
        "GiftCardSale",
        "DutySale",
        "FeeSale",
        "AdditionalFeeSale",
        "AdjustmentSale",
        "UnknownSale",
    ];

    private static readonly string[] _agreementTypes =
    [
        "OrderAgreement",
        "OrderEditAgreement",
        "RefundAgreement",
        "ReturnAgreement",
    ];

    static AdminFields()
    {
        Roots();
        Orders();
        Ledger();
        Refunds();
        Customers();
        Products();
        Checkouts();
        ShopAndApp();
        BulkAndWebhooks();
        Pages();
    }

    public static AdminResolver? Find(string type, string field)
    {
        if (_table.TryGetValue((type, field), out var resolver))
        {
            return resolver;
        }
        if (type.EndsWith("Connection", StringComparison.Ordinal))
            return _table.GetValueOrDefault(("Connection", field));
        return type.EndsWith("Edge", StringComparison.Ordinal) ? _table.GetValueOrDefault(("Edge", field)) : null;
    }

    /// <summary>The object type behind an interface.</summary>
    public static string TypeOf(object source) =>
        source switch
        {
            DemoSale sale => _saleTypes[(int)sale.Line],
            DemoAgreement agreement => _agreementTypes[(int)agreement.Kind],
            _ => _typeNames[source.GetType()],
        };

    private static Fields<T> On<T>(params string[] types) => new(types);

    private static void Roots() =>
        On<object>("QueryRoot")
            .Add("orders", (_, a, r) => OrderList(a, r, "PROCESSED_AT", null))
            .Add("order", (_, a, r) => Order(r, "order", a.Id("id", "Order")))
            .Add(
                "ordersCount",
                (_, a, r) =>
                    Count(a, r, "ordersCount", "read_orders", r.Data.Orders, SearchFields.Orders, c => r.Sees(c.Key))
            )
            .Add(
                "customers",
                (_, a, r) => List(a, r, "customers", "read_customers", r.Data.Customers, SearchFields.Customers)
            )
            .Add("customer", (_, a, r) => Customer(r, "customer", a.Id("id", "Customer")))
            .Add(
                "customersCount",
                (_, a, r) =>
                    Count(a, r, "customersCount", "read_customers", r.Data.Customers, SearchFields.CustomersCount)
            )
            .Add(
                "products",
                (_, a, r) => List(a, r, "products", "read_products", r.Data.Products, SearchFields.Products)
            )
            .Add("product", (_, a, r) => Product(r, "product", a.Id("id", "Product")))
            .Add(
                "productsCount",
                (_, a, r) => Count(a, r, "productsCount", "read_products", r.Data.Products, SearchFields.Products)
            )
            .Add("productVariant", (_, a, r) => Variant(r, "productVariant", a.Id("id", "ProductVariant")))
            .Add(
                "abandonedCheckouts",
                (_, a, r) => List(a, r, "abandonedCheckouts", "read_orders", r.Data.Checkouts, SearchFields.Checkouts)
            )
            .Add(
                "abandonedCheckoutsCount",
                (_, a, r) =>
                    Count(a, r, "abandonedCheckoutsCount", "read_orders", r.Data.Checkouts, SearchFields.Checkouts)
            )
            .Add("refund", (_, a, r) => Refund(r, a.Id("id", "Refund")))
            .Add("node", (_, a, r) => Node(r, a.Text("id")))
            .Add("nodes", (_, a, r) => Nodes(r, a.Texts("ids")))
            .Add("shop", (_, _, r) => r.Store)
            .Add("currentAppInstallation", (_, _, r) => r)
            .Add("publicApiVersions", (_, _, _) => AdminVersions.All)
            .Add("bulkOperation", (_, a, r) => r.Store.Bulk.Find(a.Id("id", "BulkOperation")))
            .Add("bulkOperations", (_, a, r) => BulkList(a, r))
            .Add("currentBulkOperation", (_, _, r) => r.Store.Bulk.Set.All().LastOrDefault())
            .Add("webhookSubscription", (_, a, r) => r.Store.Webhooks.Set.Find(a.Id("id", "WebhookSubscription")))
            .Add("webhookSubscriptions", (_, a, r) => WebhookList(a, r))
            .Add(
                "webhookSubscriptionsCount",
                (_, a, r) => Count(a, r, "webhookSubscriptionsCount", null, r.Store.Webhooks.Set, SearchFields.Webhooks)
            );

    private static void Orders()
    {
        On<DemoOrder>("Order")
            .Add("id", o => new Gid("Order", o.Id))
            .Add("legacyResourceId", o => Digits(o.Id))
            .Add("name", o => o.Name)
            .Add("number", o => (int)o.Number)
            .Add("confirmationNumber", o => ConfirmationNumber(o.Id))
            .Add("test", o => o.Test)
            .Add("edited", o => o.Edited)
            .Add("createdAt", o => o.CreatedAt)
            .Add("processedAt", o => o.ProcessedAt)
            .Add("updatedAt", o => o.UpdatedAt)
            .Add("cancelledAt", o => o.CancelledAt)
            .Add("cancelReason", o => o.CancelReason)
            .Add("closedAt", o => o.ClosedAt)
            .Add("closed", o => o.ClosedAt is not null)
            .Add("confirmed", _ => true)
            .Add("fullyPaid", o => o.TotalReceived.Minor >= o.CurrentTotal.Minor)
            .Add("unpaid", o => o.TotalReceived.Minor == 0)
            .Add("sourceName", o => o.SourceName)
            .Add("sourceIdentifier", _ => null)
            .Add("tags", o => o.Tags)
            .Add("email", o => o.Email)
            .Add("note", o => o.Note)
            .Add("customerLocale", _ => "en")
            .Add("currencyCode", o => o.Currency.Code)
            .Add("presentmentCurrencyCode", o => o.Currency.Presentment?.Code ?? o.Currency.Code)
            .Add("displayFinancialStatus", o => Utf8JsonReaderExtensions.Name(o.FinancialStatus))
            .Add("displayFulfillmentStatus", o => Utf8JsonReaderExtensions.Name(o.FulfillmentStatus))
            .Add("returnStatus", o => o.Agreements.Any(a => a.Kind == AgreementKind.Return) ? "RETURNED" : "NO_RETURN")
            .Add("taxesIncluded", o => o.TaxesIncluded)
            .Add("dutiesIncluded", _ => false)
            .Add("discountCode", o => o.DiscountCodes.Count > 0 ? o.DiscountCodes[0] : null)
            .Add("discountCodes", o => o.DiscountCodes)
            .Add("paymentGatewayNames", o => o.Gateways)
            .Add("app", _ => null)
            .Add("customer", (o, _, r) => o.CustomerId is { } id ? Customer(r, "customer", id) : null)
            .Add("shippingAddress", o => o.Address)
            .Add("billingAddress", o => o.Address)
            .Add("subtotalLineItemsQuantity", o => o.Lines.Sum(l => l.Quantity))
            .Add("currentSubtotalLineItemsQuantity", o => o.Lines.Sum(l => l.CurrentQuantity))
            .Add("subtotalPriceSet", o => o.Subtotal)
            .Add("totalPriceSet", o => o.Total)
            .Add("originalTotalPriceSet", o => o.OriginalTotal)
            .Add("currentTotalPriceSet", o => o.CurrentTotal)
            .Add("currentSubtotalPriceSet", o => o.CurrentSubtotal)
            .Add("currentTotalTaxSet", o => o.CurrentTotalTax)
            .Add("currentTotalDiscountsSet", o => o.CurrentTotalDiscounts)
            .Add("currentShippingPriceSet", o => o.CurrentShipping)
            .Add("currentTotalDutiesSet", o => NotZero(o.TotalDuties))
            .Add("originalTotalDutiesSet", o => NotZero(o.TotalDuties))
            .Add("currentTotalAdditionalFeesSet", o => NotZero(o.TotalAdditionalFees))
            .Add("originalTotalAdditionalFeesSet", o => NotZero(o.TotalAdditionalFees))
            .Add("additionalFees", o => o.AdditionalFees)
            .Add("totalDiscountsSet", o => o.TotalDiscounts)
            .Add("totalTaxSet", o => o.TotalTax)
            .Add("totalShippingPriceSet", o => o.TotalShipping)
            .Add("totalRefundedSet", o => o.TotalRefunded)
            .Add("totalRefundedShippingSet", o => o.RefundedShipping)
            .Add("totalReceivedSet", o => o.TotalReceived)
            .Add(
                "totalOutstandingSet",
                o => o.CancelledAt is null ? o.CurrentTotal - (o.TotalReceived - o.TotalRefunded) : o.Total * 0
            )
            .Add("netPaymentSet", o => o.TotalReceived - o.TotalRefunded)
            .Add("totalTipReceivedSet", o => o.TotalTip)
            .Add("refundDiscrepancySet", o => o.RefundDiscrepancy)
            .Add("taxLines", TaxLines)
            .Add("currentTaxLines", TaxLines)
            .Connection("lineItems", o => o.Lines)
            .Connection("shippingLines", o => o.ShippingLines)
            .Add("shippingLine", o => o.ShippingLines.Count > 0 ? o.ShippingLines[0] : null)
            .List("refunds", o => o.Refunds)
            .List("transactions", o => o.Transactions)
            .Connection("agreements", o => o.Agreements);

        On<DemoLine>("LineItem")
            .Add("id", l => new Gid("LineItem", l.Id))
            .Add("name", l => l.VariantTitle is null ? l.Title : $"{l.Title} - {l.VariantTitle}")
            .Add("title", l => l.Title)
            .Add("sku", l => l.Sku)
            .Add("variantTitle", l => l.VariantTitle)
            .Add("vendor", l => l.Vendor)
            .Add("quantity", l => l.Quantity)
            .Add("currentQuantity", l => l.CurrentQuantity)
            .Add("refundableQuantity", l => l.CurrentQuantity)
            .Add("unfulfilledQuantity", _ => 0)
            .Add("nonFulfillableQuantity", _ => 0)
            .Add("isGiftCard", l => l.IsGiftCard)
            .Add("taxable", l => l.Taxes.Count > 0)
            .Add("requiresShipping", l => l.RequiresShipping)
            .Add("restockable", l => l.ProductId is not null)
            .Add("product", (l, _, r) => l.ProductId is { } id ? Product(r, "product", id) : null)
            .Add(
                "variant",
                (l, _, r) =>
                    l.ProductId is { } id && Product(r, "variant", id) is DemoProduct product
                        ? new AdminVariant(product)
                        : null
            )
            .Add("originalUnitPriceSet", l => l.UnitPrice)
            .Add("originalTotalSet", l => l.OriginalTotal)
            .Add("discountedUnitPriceSet", l => PerUnit(l.DiscountedTotal, l.Quantity))
            .Add("discountedUnitPriceAfterAllDiscountsSet", l => PerUnit(l.OriginalTotal - l.AllDiscounts, l.Quantity))
            .Add("discountedTotalSet", l => l.DiscountedTotal)
            .Add("totalDiscountSet", l => l.LineDiscount)
            .Add("discountAllocations", l => l.LineDiscounts.Concat(l.OrderDiscounts).ToArray())
            .Add("taxLines", l => l.Taxes)
            .Add("duties", l => l.Duties);

        On<DemoShippingLine>("ShippingLine")
            .Add("id", l => new Gid("ShippingLine", l.Id))
            .Add("title", l => l.Title)
            .Add("code", l => l.Title)
            .Add("source", _ => "shopify")
            .Add("custom", _ => false)
            .Add("isRemoved", _ => false)
            .Add("originalPriceSet", l => l.Price)
            .Add("discountedPriceSet", l => l.DiscountedPrice)
            .Add(
                "currentDiscountedPriceSet",
                l => l.DiscountedPrice with { Minor = l.DiscountedPrice.Minor - l.Refunded.Minor }
            )
            .Add("discountAllocations", l => l.Discounts)
            .Add("taxLines", l => l.Taxes);

        On<DemoMoney>("DiscountAllocation").Add("allocatedAmountSet", discount => discount);

        On<DemoTax>("TaxLine")
            .Add("title", t => t.Title)
            .Add("rate", t => (double)t.Rate)
            .Add("ratePercentage", t => (double)(t.Rate * 100))
            .Add("priceSet", t => t.Price)
            .Add("source", _ => "Shopify")
            .Add("channelLiable", _ => false);

        On<DemoDuty>("Duty")
            .Add("id", d => new Gid("Duty", d.Id))
            .Add("price", d => d.Price)
            .Add("countryCodeOfOrigin", d => d.CountryOfOrigin)
            .Add("harmonizedSystemCode", d => d.HarmonizedSystemCode)
            .Add("taxLines", _ => Array.Empty<object>());

        On<DemoDuty>("RefundDuty").Add("amountSet", d => d.Price).Add("originalDuty", d => d);

        On<DemoFee>("AdditionalFee", "SaleAdditionalFee")
            .Add("id", f => new Gid("AdditionalFee", f.Id))
            .Add("name", f => f.Name)
            .Add("price", f => f.Price)
            .Add("taxLines", _ => Array.Empty<object>());

        On<DemoTransaction>("OrderTransaction")
            .Add("id", t => new Gid("OrderTransaction", t.Id))
            .Add("kind", t => t.Kind)
            .Add("status", _ => "SUCCESS")
            .Add("gateway", t => t.Gateway)
            .Add("formattedGateway", t => t.Gateway)
            .Add("manualPaymentGateway", t => t.Gateway == "manual")
            .Add("test", _ => false)
            .Add("amountSet", t => t.Amount)
            .Add("createdAt", t => t.ProcessedAt)
            .Add("processedAt", t => t.ProcessedAt)
            .Add("parentTransaction", _ => null)
            .Add("order", _ => null);

        On<DemoMoney>("MoneyBag")
            .Add("shopMoney", m => new AdminMoney(m.ShopAmount, m.Currency.Code))
            .Add(
                "presentmentMoney",
                m => new AdminMoney(m.PresentmentAmount, m.Currency.Presentment?.Code ?? m.Currency.Code)
            );

        On<AdminMoney>("MoneyV2").Add("amount", m => m.Amount).Add("currencyCode", m => m.CurrencyCode);

        On<AdminCount>("Count").Add("count", c => c.Count).Add("precision", c => c.Precision);
    }

    private static void Ledger()
    {
        On<DemoAgreement>(_agreementTypes)
            .Add("id", a => new Gid("SalesAgreement", a.Id))
            .Add("happenedAt", a => a.HappenedAt)
            .Add("reason", a => Utf8JsonReaderExtensions.Name(a.Kind))
            .Add("app", _ => null)
            .Add("refund", a => a.Refund)
            .Add("order", _ => null)
            .Add("return", _ => null)
            .Connection("sales", a => a.Sales);

        On<DemoSale>(_saleTypes)
            .Add("id", s => new Gid("Sale", s.Id))
            .Add("actionType", s => Utf8JsonReaderExtensions.Name(s.Action))
            .Add("lineType", s => Utf8JsonReaderExtensions.Name(s.Line))
            .Add("quantity", s => s.Quantity)
            .Add("totalAmount", s => s.Total)
            .Add("totalTaxAmount", s => s.Tax)
            .Add("totalDiscountAmountBeforeTaxes", s => s.DiscountBeforeTaxes)
            .Add("totalDiscountAmountAfterTaxes", s => s.DiscountAfterTaxes)
            .Add("taxes", s => s.Tax.Minor == 0 ? [] : new[] { s })
            .Add("lineItem", s => s.LineItem)
            .Add("shippingLine", s => s.ShippingLine)
            .Add("duty", s => s.Duty)
            .Add("fee", _ => null)
            .Add("additionalFee", s => s.Fee);

        On<DemoSale>("SaleTax")
            .Add("id", s => new Gid("SaleTax", s.Id))
            .Add("amount", s => s.Tax)
            .Add(
                "taxLine",
                s => (s.LineItem?.Taxes ?? s.ShippingLine?.Taxes) is [var tax, ..] ? tax : new DemoTax("Tax", 0, s.Tax)
            );
    }

    private static void Refunds()
    {
        On<DemoRefund>("Refund")
            .Add("id", x => new Gid("Refund", x.Id))
            .Add("legacyResourceId", x => Digits(x.Id))
            .Add("createdAt", x => x.CreatedAt)
            .Add("processedAt", x => x.CreatedAt)
            .Add("updatedAt", x => x.CreatedAt)
            .Add("note", x => x.Note)
            .Add("totalRefundedSet", x => x.Total)
            .Add("duties", _ => Array.Empty<object>())
            .Add("order", (x, _, r) => r.Data.Orders.Find(r.Shop.Ids.OrderOfPart(x.Id)))
            .Connection("refundLineItems", x => x.Lines)
            .Connection("refundShippingLines", x => x.Shipping)
            .Connection("orderAdjustments", x => x.Adjustments)
            .Connection("transactions", x => x.Transactions);

        On<DemoRefundLine>("RefundLineItem")
            .Add("id", l => new Gid("RefundLineItem", l.Id))
            .Add("quantity", l => l.Quantity)
            .Add("restockType", l => l.RestockType)
            .Add("restocked", l => l.RestockType is "RETURN" or "CANCEL")
            .Add("lineItem", l => l.LineItem)
            .Add("priceSet", l => PerUnit(l.Subtotal, l.Quantity))
            .Add("subtotalSet", l => l.Subtotal)
            .Add("totalTaxSet", l => l.Tax);

        On<DemoRefundShipping>("RefundShippingLine")
            .Add("id", l => new Gid("RefundShippingLine", l.Id))
            .Add("shippingLine", l => l.ShippingLine)
            .Add("subtotalAmountSet", l => l.Subtotal)
            .Add("taxAmountSet", l => l.Tax);

        On<DemoAdjustment>("OrderAdjustment")
            .Add("id", a => new Gid("OrderAdjustment", a.Id))
            .Add("reason", a => a.Reason)
            .Add("amountSet", a => a.Amount)
            .Add("taxAmountSet", a => a.Tax);
    }

    private static void Customers()
    {
        On<DemoCustomer>("Customer")
            .Add("id", c => new Gid("Customer", c.Id))
            .Add("legacyResourceId", c => Digits(c.Id))
            .Add("createdAt", c => c.CreatedAt)
            .Add("updatedAt", c => c.UpdatedAt)
            .Add("firstName", c => c.FirstName)
            .Add("lastName", c => c.LastName)
            .Add("displayName", c => c.DisplayName)
            .Add("email", c => c.Email)
            .Add("phone", _ => null)
            .Add("state", _ => "DISABLED")
            .Add("verifiedEmail", c => c.Email is not null)
            .Add("tags", c => c.Tags)
            .Add("locale", c => c.Locale)
            .Add("note", _ => null)
            .Add("taxExempt", _ => false)
            .Add("numberOfOrders", c => Digits(c.NumberOfOrders))
            .Add("amountSpent", c => new AdminMoney(c.AmountSpent.ShopAmount, c.AmountSpent.Currency.Code))
            .Add("defaultEmailAddress", c => c.Email is null ? null : c)
            .Add("defaultPhoneNumber", _ => null)
            .Add("defaultAddress", c => c.Address)
            .Add("lastOrder", (c, _, r) => c.LastOrderId is { } id ? Order(r, "lastOrder", id) : null)
            .Add("orders", (c, a, r) => OrderList(a, r, "ID", c.Id));

        On<DemoCustomer>("CustomerEmailAddress")
            .Add("emailAddress", c => c.Email)
            .Add("marketingState", c => c.AcceptsMarketing ? "SUBSCRIBED" : "NOT_SUBSCRIBED")
            .Add("validFormat", _ => true);

        On<object>("CustomerPhoneNumber").Add("phoneNumber", _ => null).Add("marketingState", _ => null);

        On<DemoAddress>("MailingAddress")
            .Add("id", a => new Gid("MailingAddress", (a.CountryCode + a.Zip).Aggregate(7L, (id, c) => (id * 31) + c)))
            .Add("countryCodeV2", a => a.CountryCode)
            .Add("country", a => a.Country)
            .Add("city", a => a.City)
            .Add("zip", a => a.Zip)
            .Add("provinceCode", a => a.ProvinceCode)
            .Nothing("address1", "address2", "company", "firstName", "lastName", "name", "phone", "province");
    }

    private static void Products()
    {
        On<DemoProduct>("Product")
            .Add("id", p => new Gid("Product", p.Id))
            .Add("legacyResourceId", p => Digits(p.Id))
            .Add("title", p => p.Title)
            .Add("handle", p => p.Handle)
            .Add("status", p => p.Status)
            .Add("vendor", p => p.Vendor)
            .Add("productType", p => p.ProductType)
            .Add("tags", p => p.Tags)
            .Add("createdAt", p => p.CreatedAt)
            .Add("updatedAt", p => p.UpdatedAt)
            .Add("publishedAt", p => p.CreatedAt)
            .Add("isGiftCard", p => p.IsGiftCard)
            .Add("totalInventory", p => p.Inventory)
            .Add("featuredMedia", _ => null)
            .Add("variantsCount", _ => new AdminCount(1, "EXACT"))
            .Connection("variants", p => [new AdminVariant(p)]);

        On<AdminVariant>("ProductVariant")
            .Add("id", v => new Gid("ProductVariant", v.Product.VariantId))
            .Add("legacyResourceId", v => Digits(v.Product.VariantId))
            .Add("sku", v => v.Product.Sku)
            .Add("title", _ => "Default Title")
            .Add("displayName", v => $"{v.Product.Title} - Default Title")
            .Add(
                "price",
                v =>
                    (v.Product.Price.Minor / v.Product.Price.Currency.UnitsPerOne).ToString(
                        "0.00",
                        CultureInfo.InvariantCulture
                    )
            )
            .Add("compareAtPrice", _ => null)
            .Add("barcode", _ => null)
            .Add("inventoryQuantity", v => v.Product.Inventory)
            .Add("position", _ => 1)
            .Add("createdAt", v => v.Product.CreatedAt)
            .Add("updatedAt", v => v.Product.UpdatedAt)
            .Add("inventoryItem", v => new AdminInventoryItem(v.Product))
            .Add("product", v => v.Product);

        On<AdminInventoryItem>("InventoryItem")
            .Add("id", i => new Gid("InventoryItem", i.Product.VariantId))
            .Add("legacyResourceId", i => Digits(i.Product.VariantId))
            .Add("sku", i => i.Product.Sku)
            .Add("unitCost", _ => null)
            .Add("tracked", _ => true);
    }

    private static void Checkouts()
    {
        On<DemoCheckout>("AbandonedCheckout")
            .Add("id", c => new Gid("AbandonedCheckout", c.Id))
            .Add("name", c => $"#{Digits(c.Id)}")
            .Add("createdAt", c => c.CreatedAt)
            .Add("updatedAt", c => c.UpdatedAt)
            .Add("completedAt", c => c.CompletedAt)
            .Add(
                "abandonedCheckoutUrl",
                (c, _, r) => $"https://{r.Shop.Domain}/{r.Shop.Ids.Shop}/checkouts/ac/{Digits(c.Id)}/recover"
            )
            .Add("note", _ => "")
            .Add("discountCodes", _ => Array.Empty<string>())
            .Add("taxesIncluded", c => c.TaxesIncluded)
            .Add("customer", (c, _, r) => c.CustomerId is { } id ? Customer(r, "customer", id) : null)
            .Add("billingAddress", c => c.Address)
            .Add("shippingAddress", c => c.Address)
            .Add("totalPriceSet", c => c.LinesTotal)
            .Add("subtotalPriceSet", c => c.LinesTotal)
            .Add("totalLineItemsPriceSet", c => c.LinesTotal)
            .Add("totalTaxSet", c => c.LinesTotal * 0)
            .Add("totalDiscountSet", c => c.LinesTotal * 0)
            .Add("totalDutiesSet", _ => null)
            .Add("taxLines", _ => Array.Empty<object>())
            .Connection("lineItems", c => c.Lines);

        On<DemoCheckoutLine>("AbandonedCheckoutLineItem")
            .Add("id", l => new Gid("AbandonedCheckoutLineItem", l.Id))
            .Add("sku", l => l.Sku)
            .Add("title", l => l.Title)
            .Add("variantTitle", _ => null)
            .Add("quantity", l => l.Quantity)
            .Add("product", (l, _, r) => l.ProductId is { } id ? Product(r, "product", id) : null)
            .Add(
                "variant",
                (l, _, r) =>
                    l.ProductId is { } id && Product(r, "variant", id) is DemoProduct product
                        ? new AdminVariant(product)
                        : null
            )
            .Add("originalUnitPriceSet", l => l.UnitPrice)
            .Add("discountedUnitPriceSet", l => l.UnitPrice)
            .Add("originalTotalPriceSet", l => l.Total)
            .Add("discountedTotalPriceSet", l => l.Total);
    }

    private static void ShopAndApp()
    {
        On<DemoStore>("Shop")
            .Add("id", s => new Gid("Shop", s.Shop.Ids.Shop))
            .Add("name", s => s.Shop.Name)
            .Add("myshopifyDomain", s => s.Domain)
            .Add("primaryDomain", s => s.Shop)
            .Add("url", s => $"https://{s.Domain}")
            .Add("email", s => $"owner@{s.Shop.Handle}.example.com")
            .Add("contactEmail", s => $"hello@{s.Shop.Handle}.example.com")
            .Add("currencyCode", s => s.Currency)
            .Add("enabledPresentmentCurrencies", s => new[] { s.Currency })
            .Add("ianaTimezone", s => s.TimeZone)
            .Add(
                "timezoneAbbreviation",
                (s, _, r) => s.Zone.IsDaylightSavingTime(r.Now) ? s.Zone.DaylightName : s.Zone.StandardName
            )
            .Add(
                "timezoneOffset",
                (s, _, r) =>
                    s.Zone.GetUtcOffset(r.Now) is var offset
                        ? $"{(offset < TimeSpan.Zero ? '-' : '+')}{offset:hhmm}"
                        : null
            )
            .Add("timezoneOffsetMinutes", (s, _, r) => (int)s.Zone.GetUtcOffset(r.Now).TotalMinutes)
            .Add("taxesIncluded", s => s.Shop.TaxesIncluded)
            .Add("taxShipping", _ => false)
            .Add("weightUnit", _ => "KILOGRAMS")
            .Add("plan", s => s)
            .Add("createdAt", s => s.Shop.CreatedAt)
            .Add("updatedAt", s => s.Shop.CreatedAt);

        On<DemoStore>("ShopPlan")
            .Add("publicDisplayName", _ => "Basic")
            .Add("partnerDevelopment", _ => true)
            .Add("shopifyPlus", _ => false);

        On<DemoShop>("Domain")
            .Add("id", s => new Gid("Domain", s.Ids.Shop))
            .Add("host", s => s.Domain)
            .Add("url", s => $"https://{s.Domain}")
            .Add("sslEnabled", _ => true);

        On<AdminRequest>("AppInstallation")
            .Add("id", r => new Gid("AppInstallation", r.Shop.Ids.Shop))
            .Add("accessScopes", r => r.Scopes.Order(StringComparer.Ordinal).ToArray())
            .Add("app", r => r);

        On<string>("AccessScope").Add("handle", scope => scope).Add("description", scope => scope.Replace('_', ' '));

        On<object>("App")
            .Add("id", _ => new Gid("App", 1))
            .Add("title", _ => "XenoInsights")
            .Add("handle", _ => "xenoinsights");

        On<AdminVersion>("ApiVersion")
            .Add("handle", v => v.Handle)
            .Add("displayName", v => v.Handle)
            .Add("supported", v => v.Supported);
    }

    private static void BulkAndWebhooks()
    {
        On<DemoBulkOperation>("BulkOperation")
            .Add("id", o => new Gid("BulkOperation", o.Id))
            .Add("type", _ => "QUERY")
            .Add("status", (o, _, r) => Utf8JsonReaderExtensions.Name(o.StatusAt(r.Now)))
            .Add("errorCode", o => o.ErrorCode)
            .Add("createdAt", o => o.CreatedAt)
            .Add("completedAt", o => o.CompletedAt)
            .Add("objectCount", o => Digits(o.ObjectCount))
            .Add("rootObjectCount", o => Digits(o.RootObjectCount))
            .Add("fileSize", o => o.FileSize is { } size ? Digits(size) : null)
            .Add("url", (o, _, r) => r.Host.ResultUrl(o, partial: false, r.Now))
            .Add("partialDataUrl", (o, _, r) => r.Host.ResultUrl(o, partial: true, r.Now))
            .Add("query", o => o.Query);

        On<object>("Mutation")
            .Add(
                "bulkOperationRunQuery",
                (_, a, r) => r.Store.Bulk.Run(a.Text("query") ?? "", a.Flag("groupObjects"), r)
            )
            .Add("appUninstall", (_, _, r) => r.Host.Uninstall(r.Store))
            .Add("bulkOperationCancel", (_, a, r) => r.Store.Bulk.Cancel(a.Id("id", "BulkOperation")))
            .Add(
                "webhookSubscriptionCreate",
                (_, a, r) => r.Store.Webhooks.Create(a.Text("topic")!, a.Input("webhookSubscription"), r)
            )
            .Add(
                "webhookSubscriptionUpdate",
                (_, a, r) =>
                    r.Store.Webhooks.Update(a.Id("id", "WebhookSubscription"), a.Input("webhookSubscription"), r)
            )
            .Add("webhookSubscriptionDelete", (_, a, r) => r.Store.Webhooks.Delete(a.Id("id", "WebhookSubscription")));

        On<AdminPayload>(
                "AppUninstallPayload",
                "BulkOperationRunQueryPayload",
                "BulkOperationCancelPayload",
                "WebhookSubscriptionCreatePayload",
                "WebhookSubscriptionUpdatePayload",
                "WebhookSubscriptionDeletePayload"
            )
            .Add("bulkOperation", p => p.Result)
            .Add("webhookSubscription", p => p.Result)
            .Add("deletedWebhookSubscriptionId", p => p.Result)
            .Add("userErrors", p => p.UserErrors);

        On<AdminUserError>("UserError", "AppUninstallAppUninstallError", "BulkOperationUserError")
            .Add("field", e => e.Field)
            .Add("message", e => e.Message)
            .Add("code", e => e.Code);

        On<DemoWebhook>("WebhookSubscription")
            .Add("id", w => new Gid("WebhookSubscription", w.Id))
            .Add("legacyResourceId", w => Digits(w.Id))
            .Add("topic", w => w.Topic)
            .Add("uri", w => w.Uri)
            .Add("format", w => w.Format)
            .Add("includeFields", w => w.IncludeFields)
            .Add("metafieldNamespaces", w => w.MetafieldNamespaces)
            .Add("filter", w => w.Filter)
            .Add("name", w => w.Name)
            .Add("apiVersion", _ => AdminVersions.Newest)
            .Add("createdAt", w => w.CreatedAt)
            .Add("updatedAt", w => w.UpdatedAt);
    }

    private static void Pages()
    {
        On<AdminPage>("Connection")
            .Add("edges", p => p.Edges)
            .Add("nodes", p => p.Edges.Select(e => e.Node).ToArray())
            .Add("pageInfo", p => p);

        On<AdminEdge>("Edge").Add("cursor", e => e.Cursor.ToString()).Add("node", e => e.Node);

        On<AdminPage>("PageInfo")
            .Add("hasNextPage", p => p.HasNext)
            .Add("hasPreviousPage", p => p.HasPrevious)
            .Add("startCursor", p => p.Edges.Count > 0 ? p.Edges[0].Cursor.ToString() : null)
            .Add("endCursor", p => p.Edges.Count > 0 ? p.Edges[^1].Cursor.ToString() : null);
    }

    private static SetConnection<T> List<T>(
        AdminArguments a,
        AdminRequest r,
        string name,
        string? scope,
        DemoSet<T> set,
        IReadOnlyDictionary<string, SearchField<T>> fields,
        string sortKey = "ID",
        Func<DemoCandidate<T>, bool>? also = null
    )
        where T : class, IDemoObject
    {
        if (scope is not null)
        {
            r.Require(scope, name);
        }
        return new(set, Filter(a, r, name, fields, also), a.Text("sortKey") ?? sortKey, a.Flag("reverse"));
    }

    private static SetConnection<DemoOrder> OrderList(
        AdminArguments a,
        AdminRequest r,
        string sortKey,
        long? customer
    ) =>
        List(
            a,
            r,
            "orders",
            "read_orders",
            r.Data.Orders,
            SearchFields.Orders,
            sortKey,
            c => r.Sees(c.Key) && (customer is null || c.Item.CustomerId == customer)
        );

    private static SetConnection<DemoBulkOperation> BulkList(AdminArguments a, AdminRequest r)
    {
        var connection = List(
            a,
            r,
            "bulkOperations",
            null,
            r.Store.Bulk.Set,
            SearchFields.BulkOperations,
            "CREATED_AT"
        );
        return
            r.Search.Count > 0
            && SearchFilter<DemoBulkOperation>
                .Parse(a.Text("query"), SearchFields.BulkOperations)
                .Warnings.Any(w => w is { Field: "created_at", Code: "invalid_value" })
            ? throw AdminError.BadRequest("Invalid timestamp for query filter `created_at`.")
            : connection;
    }

    private static SetConnection<DemoWebhook> WebhookList(AdminArguments a, AdminRequest r)
    {
        var (topics, uri, format) = (a.Texts("topics"), a.Text("uri") ?? a.Text("callbackUrl"), a.Text("format"));
        return List(
            a,
            r,
            "webhookSubscriptions",
            null,
            r.Store.Webhooks.Set,
            SearchFields.Webhooks,
            "CREATED_AT",
            c =>
                (topics.Count == 0 || topics.Contains(c.Item.Topic))
                && (uri is null || uri == c.Item.Uri)
                && (format is null || format == c.Item.Format)
        );
    }

    private static AdminCount Count<T>(
        AdminArguments a,
        AdminRequest r,
        string name,
        string? scope,
        DemoSet<T> set,
        IReadOnlyDictionary<string, SearchField<T>> fields,
        Func<DemoCandidate<T>, bool>? also = null
    )
        where T : class, IDemoObject
    {
        if (scope is not null)
        {
            r.Require(scope, name);
        }
        var limit = a.Number("limit");
        var count = set.Count(Filter(a, r, name, fields, also), limit is { } most ? most + 1 : int.MaxValue);
        return count > limit ? new(limit.Value, "AT_LEAST") : new(count, "EXACT");
    }

    private static Func<DemoCandidate<T>, bool>? Filter<T>(
        AdminArguments a,
        AdminRequest r,
        string name,
        IReadOnlyDictionary<string, SearchField<T>> fields,
        Func<DemoCandidate<T>, bool>? also
    )
        where T : class, IDemoObject
    {
        var search = SearchFilter<T>.Parse(a.Text("query"), fields);
        if (search.Warnings.Count > 0)
        {
            r.Search.Add(
                new
                {
                    path = new[] { name },
                    query = a.Text("query"),
                    parsed = search.Parsed,
                    warnings = search
                        .Warnings.Select(w => new
                        {
                            field = w.Field,
                            message = w.Message,
                            code = w.Code,
                        })
                        .ToArray(),
                }
            );
        }
        return (search.Matches, also) switch
        {
            (null, _) => also,
            (var matches, null) => matches,
            var (matches, both) => candidate => both(candidate) && matches(candidate),
        };
    }

    private static DemoOrder? Order(AdminRequest r, string field, long id)
    {
        r.Require("read_orders", field);
        return r.Visible(r.Data.Orders.Find(id));
    }

    private static DemoCustomer? Customer(AdminRequest r, string field, long id)
    {
        r.Require("read_customers", field);
        return r.Data.Customers.Find(id);
    }

    private static DemoProduct? Product(AdminRequest r, string field, long id)
    {
        r.Require("read_products", field);
        return r.Data.Products.Find(id);
    }

    private static AdminVariant? Variant(AdminRequest r, string field, long id)
    {
        r.Require("read_products", field);
        return r.Data.Products.All().FirstOrDefault(p => p.VariantId == id) is { } product ? new(product) : null;
    }

    private static DemoRefund? Refund(AdminRequest r, long id)
    {
        r.Require("read_orders", "refund");
        return r.Visible(r.Data.Orders.Find(r.Shop.Ids.OrderOfPart(id)))
            ?.Refunds.FirstOrDefault(refund => refund.Id == id);
    }

    private static object? Node(AdminRequest r, string? id)
    {
        if (!Gid.TryParse(id, out var gid))
        {
            throw AdminError.InvalidGlobalId(id ?? "");
        }
        return gid.Type switch
        {
            "Order" => Order(r, "node", gid.Id),
            "Customer" => Customer(r, "node", gid.Id),
            "Product" => Product(r, "node", gid.Id),
            "ProductVariant" => Variant(r, "node", gid.Id),
            "AbandonedCheckout" => r.Data.Checkouts.Find(gid.Id),
            "Refund" => Refund(r, gid.Id),
            "BulkOperation" => r.Store.Bulk.Find(gid.Id),
            "WebhookSubscription" => r.Store.Webhooks.Set.Find(gid.Id),
            "Shop" => gid.Id == r.Shop.Ids.Shop ? r.Store : null,
            _ => null,
        };
    }

    private static object?[] Nodes(AdminRequest r, IReadOnlyList<string> ids) =>
        ids.Count > AdminWindow.Largest ? throw AdminError.TooMany(ids.Count) : [.. ids.Select(id => Node(r, id))];

    private static DemoTax[] TaxLines(DemoOrder order) =>
        [
            .. order
                .Lines.SelectMany(l => l.Taxes)
                .Concat(order.ShippingLines.SelectMany(l => l.Taxes))
                .GroupBy(t => (t.Title, t.Rate))
                .Select(g => new DemoTax(
                    g.Key.Title,
                    g.Key.Rate,
                    g.Aggregate(new DemoMoney(0, order.Currency), (sum, t) => sum + t.Price)
                )),
        ];

    private static DemoMoney? NotZero(DemoMoney money) => money.Minor == 0 ? null : money;

    private static DemoMoney PerUnit(DemoMoney total, int quantity) =>
        quantity == 0
            ? total
            : total with
            {
                Minor = (long)Math.Round((decimal)total.Minor / quantity, MidpointRounding.AwayFromZero),
            };

    private static string Digits(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static string ConfirmationNumber(long id)
    {
        const string letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        return string.Create(
            9,
            (ulong)id * 0x9E3779B97F4A7C15,
            (text, seed) =>
            {
                for (var i = 0; i < text.Length; i++)
                {
                    text[i] = letters[(int)((seed >> (i * 5)) & 31)];
                }
            }
        );
    }

    private sealed class Fields<T>(string[] types)
    {
        public Fields<T> Add(string name, Func<T, object?> value) => Add(name, (source, _, _) => value(source));

        public Fields<T> Add(string name, Func<T, AdminArguments, AdminRequest, object?> value)
        {
            foreach (var type in types)
            {
                _table.Add((type, name), (source, arguments, request) => value((T)source, arguments, request));
            }
            return this;
        }

        public Fields<T> Connection(string name, Func<T, IReadOnlyList<object>> items) =>
            Add(
                name,
                (source, arguments, _) =>
                    new ListConnection(arguments.Flag("reverse") ? items(source).Reverse() : items(source))
            );

        public Fields<T> List(string name, Func<T, IReadOnlyList<object>> items) =>
            Add(
                name,
                (source, arguments, _) =>
                    arguments.Number("first") is { } first ? items(source).Take(first).ToArray() : items(source)
            );

        public Fields<T> Nothing(params string[] names) =>
            names.Aggregate(this, (fields, name) => fields.Add(name, _ => null));
    }
}
