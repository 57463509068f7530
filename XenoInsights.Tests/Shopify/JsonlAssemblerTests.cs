using System.Text;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;

namespace XenoInsights.Tests.Shopify;

public sealed class JsonlAssemblerTests
{
    private static readonly string _order1 = """
        {"__typename":"Order","id":"gid:\/\/shopify\/Order\/8891577729330","name":"#1001",
        "createdAt":"2026-03-05T09:00:00Z","processedAt":"2026-03-01T23:30:00Z",
        "updatedAt":"2026-03-06T10:00:00Z","cancelledAt":null,"test":false,
        "displayFinancialStatus":"PARTIALLY_REFUNDED","displayFulfillmentStatus":"FULFILLED","sourceName":"web",
        "customer":{"id":"gid:\/\/shopify\/Customer\/7"},"currentTotalPriceSet":{"shopMoney":{"amount":"137.5",
        "currencyCode":"CAD"}},"refunds":[{"id":"gid:\/\/shopify\/Refund\/55","createdAt":"2026-03-06T09:59:00Z",
        "processedAt":"2026-03-06T09:59:00Z","totalRefundedSet":{"shopMoney":{"amount":"20.7"}}}]}
        """.ReplaceLineEndings("");
    private static readonly string _line1 = """
        {"__typename":"LineItem","id":"gid:\/\/shopify\/LineItem\/11",
        "title":"Caf\u00e9 cr\u00e8me \ud83c\udf70","sku":"A-1","quantity":2,"currentQuantity":1,
        "isGiftCard":false,"product":{"id":"gid:\/\/shopify\/Product\/101"},
        "variant":{"id":"gid:\/\/shopify\/ProductVariant\/201"},
        "originalTotalSet":{"shopMoney":{"amount":"40.0"}},
        "discountAllocations":[{"allocatedAmountSet":{"shopMoney":{"amount":"1.5"}}},
        {"allocatedAmountSet":{"shopMoney":{"amount":"0.5"}}}],
        "__parentId":"gid:\/\/shopify\/Order\/8891577729330"}
        """.ReplaceLineEndings("");
    private static readonly string _line2 = """
        {"__typename":"LineItem","id":"gid:\/\/shopify\/LineItem\/12","title":"Gone","sku":null,"quantity":1,
        "currentQuantity":1,"isGiftCard":false,"product":null,"variant":null,
        "originalTotalSet":{"shopMoney":{"amount":"100.00"}},"discountAllocations":[],
        "__parentId":"gid:\/\/shopify\/Order\/8891577729330"}
        """.ReplaceLineEndings("");
    private static readonly string _placed = """
        {"__typename":"OrderAgreement","id":"gid:\/\/shopify\/OrderAgreement\/900",
        "happenedAt":"2026-03-05T09:00:01Z","__parentId":"gid:\/\/shopify\/Order\/8891577729330"}
        """.ReplaceLineEndings("");
    private static readonly string _sold1 = """
        {"__typename":"ProductSale","id":"gid:\/\/shopify\/Sale\/1","actionType":"ORDER","lineType":"PRODUCT",
        "quantity":2,"totalAmount":{"shopMoney":{"amount":"38.28"}},
        "totalDiscountAmountBeforeTaxes":{"shopMoney":{"amount":"2.0"}},
        "totalTaxAmount":{"shopMoney":{"amount":"0.28"}},"lineItem":{"id":"gid:\/\/shopify\/LineItem\/11"},
        "__parentId":"gid:\/\/shopify\/OrderAgreement\/900"}
        """.ReplaceLineEndings("");
    private static readonly string _sold2 = """
        {"__typename":"ProductSale","id":"gid:\/\/shopify\/Sale\/2","actionType":"ORDER","lineType":"PRODUCT",
        "quantity":1,"totalAmount":{"shopMoney":{"amount":"100.0"}},
        "totalDiscountAmountBeforeTaxes":{"shopMoney":{"amount":"0.0"}},
        "totalTaxAmount":{"shopMoney":{"amount":"0.0"}},"lineItem":{"id":"gid:\/\/shopify\/LineItem\/12"},
        "__parentId":"gid:\/\/shopify\/OrderAgreement\/900"}
        """.ReplaceLineEndings("");
    private static readonly string _shipped = """
        {"__typename":"ShippingLineSale","id":"gid:\/\/shopify\/Sale\/3","actionType":"ORDER",
        "lineType":"SHIPPING","quantity":null,"totalAmount":{"shopMoney":{"amount":"22.0"}},
        "totalDiscountAmountBeforeTaxes":{"shopMoney":{"amount":"0.0"}},
        "totalTaxAmount":{"shopMoney":{"amount":"2.0"}},"__parentId":"gid:\/\/shopify\/OrderAgreement\/900"}
        """.ReplaceLineEndings("");
    private static readonly string _refunded = """
        {"__typename":"RefundAgreement","id":"gid:\/\/shopify\/RefundAgreement\/901",
        "happenedAt":"2026-03-06T09:59:00Z","__parentId":"gid:\/\/shopify\/Order\/8891577729330"}
        """.ReplaceLineEndings("");
    private static readonly string _returned = """
        {"__typename":"ProductSale","id":"gid:\/\/shopify\/Sale\/4","actionType":"RETURN","lineType":"PRODUCT",
        "quantity":-1,"totalAmount":{"shopMoney":{"amount":"-20.7"}},
        "totalDiscountAmountBeforeTaxes":{"shopMoney":{"amount":"-1.0"}},
        "totalTaxAmount":{"shopMoney":{"amount":"-0.14"}},"lineItem":{"id":"gid:\/\/shopify\/LineItem\/11"},
        "__parentId":"gid:\/\/shopify\/RefundAgreement\/901"}
        """.ReplaceLineEndings("");
    private static readonly string _adjusted = """
        {"__typename":"AdjustmentSale","id":"gid:\/\/shopify\/Sale\/5","actionType":"RETURN",
        "lineType":"ADJUSTMENT","quantity":null,"totalAmount":{"shopMoney":{"amount":"3.0"}},
        "totalDiscountAmountBeforeTaxes":{"shopMoney":{"amount":"0.0"}},
        "totalTaxAmount":{"shopMoney":{"amount":"0.0"}},"__parentId":"gid:\/\/shopify\/RefundAgreement\/901"}
        """.ReplaceLineEndings("");

    private static string[] WholeOrder =>
        [_order1, _line1, _line2, _placed, _sold1, _sold2, _shipped, _refunded, _returned, _adjusted];

    [Fact]
    public async Task An_order_is_assembled_from_its_lines()
    {
        var order = Assert.IsType<OrderRecord>((await OnlyAsync(WholeOrder)).Record);

        Assert.Equal(8891577729330, order.ShopifyId);
        Assert.Equal("#1001", order.Name);
        Assert.Equal(new DateTimeOffset(2026, 3, 5, 9, 0, 0, TimeSpan.Zero), order.CreatedAt);
        Assert.Equal(new DateTimeOffset(2026, 3, 1, 23, 30, 0, TimeSpan.Zero), order.ProcessedAt);
        Assert.Equal(new DateTimeOffset(2026, 3, 6, 10, 0, 0, TimeSpan.Zero), order.UpdatedAt);
        Assert.Null(order.CancelledAt);
        Assert.Equal(7, order.CustomerId);
        Assert.Equal("PARTIALLY_REFUNDED", order.FinancialStatus);
        Assert.Equal("FULFILLED", order.FulfillmentStatus);
        Assert.Equal("web", order.SourceName);
        Assert.Equal(13750, order.CurrentTotal);
        Assert.Equal(RecordSource.BulkExport, order.Source);
        Assert.Equal(10, order.SourceObjects);
        Assert.Equal(
            [
                new OrderLineRecord(11, 101, 201, "Café crème 🍰", "A-1", 2, 1, false, 4000, 200),
                new OrderLineRecord(12, null, null, "Gone", null, 1, 1, false, 10000, 0),
            ],
            order.Lines
        );
        var refund = Assert.Single(order.Refunds);
        Assert.Equal((55, 2070), (refund.ShopifyId, refund.Total));
        Assert.Equal(new DateTimeOffset(2026, 3, 6, 9, 59, 0, TimeSpan.Zero), refund.CreatedAt);
    }

    [Fact]
    public async Task The_ledger_is_dated_by_agreement_and_sorted_into_measures()
    {
        var order = Assert.IsType<OrderRecord>((await OnlyAsync(WholeOrder)).Record);
        var placed = new DateTimeOffset(2026, 3, 5, 9, 0, 1, TimeSpan.Zero);
        var refunded = new DateTimeOffset(2026, 3, 6, 9, 59, 0, TimeSpan.Zero);

        Assert.Equal(
            [
                new SaleRecord(placed, true, SaleMeasure.Sale, 11, 101, 2, 3800, 200, 28),
                new SaleRecord(placed, true, SaleMeasure.Sale, 12, null, 1, 10000, 0, 0),
                new SaleRecord(placed, true, SaleMeasure.Shipping, null, null, 0, 2000, 0, 200),
                new SaleRecord(refunded, false, SaleMeasure.Return, 11, 101, -1, -2056, -100, -14),
                new SaleRecord(refunded, false, SaleMeasure.Return, null, null, 0, 300, 0, 0),
            ],
            order.Sales
        );
    }

    [Fact]
    public async Task Children_may_follow_in_any_order_below_their_order()
    {
        string[] shuffled =
        [
            _order1,
            _refunded,
            _placed,
            _adjusted,
            _shipped,
            _returned,
            _sold2,
            _line2,
            _sold1,
            _line1,
        ];

        var order = Assert.IsType<OrderRecord>((await OnlyAsync(shuffled)).Record);

        Assert.Equal(
            -2056 + 300,
            order.Sales.Where(sale => sale.Measure == SaleMeasure.Return).Sum(sale => sale.Amount)
        );
        Assert.Equal(101, order.Sales.Single(sale => sale is { LineItemId: 11, Measure: SaleMeasure.Sale }).ProductId);
        Assert.Equal(3, order.Sales.Count(sale => sale.Original));
    }

    [Fact]
    public async Task Only_the_first_of_several_placing_agreements_is_the_original()
    {
        var earlier = _placed.Replace("900", "899").Replace("09:00:01", "09:00:00");
        var soldEarlier = _sold2.Replace("900", "899");

        var order = Assert.IsType<OrderRecord>(
            (await OnlyAsync(_order1, _line1, _line2, _placed, _sold1, earlier, soldEarlier)).Record
        );

        Assert.Equal([false, true], order.Sales.Select(sale => sale.Original));
    }

    [Fact]
    public async Task Line_breaks_blank_lines_a_byte_order_mark_and_a_missing_last_break_do_not_matter()
    {
        var text =
            "\uFEFF"
            + string.Join("\r\n", WholeOrder)
                .Replace("\r\n{\"__typename\":\"RefundAgreement", "\r\n\r\n{\"__typename\":\"RefundAgreement");

        var (items, assembler) = await ReadAsync(text, "CAD");

        Assert.Equal(10, Assert.IsType<OrderRecord>(Assert.Single(items).Record).SourceObjects);
        Assert.Equal((10, 1), (assembler.Lines, assembler.Roots));
    }

    [Fact]
    public async Task It_does_not_matter_how_the_bytes_arrive()
    {
        var bytes = Encoding.UTF8.GetBytes(
            string.Join(
                '\n',
                WholeOrder.Concat(WholeOrder.Select(line => line.Replace("8891577729330", "8891577729331")))
            ) + "\n"
        );
        foreach (var size in (int[])[1, 7, 512, 100_000])
        {
            var items = await new JsonlAssembler("CAD")
                .ReadAsync(new Trickle(bytes, size), TestContext.Current.CancellationToken)
                .ToListAsync(TestContext.Current.CancellationToken);
            Assert.Equal([8891577729330, 8891577729331], items.Select(item => item.Record!.ShopifyId));
            Assert.All(items, item => Assert.Equal(10, item.SourceObjects));
        }
    }

    [Fact]
    public async Task A_line_longer_than_the_buffer_is_read()
    {
        var title = new string('x', 1_000_000);

        var order = Assert.IsType<OrderRecord>((await OnlyAsync(_order1, _line2.Replace("Gone", title))).Record);

        Assert.Equal(title, Assert.Single(order.Lines).Title);
    }

    [Fact]
    public async Task A_child_of_another_object_is_reported_and_not_added()
    {
        var stray = _line2.Replace("8891577729330", "42");

        var (items, assembler) = await ReadAsync(string.Join('\n', [_order1, _line1, stray, _placed, _sold1]), "CAD");

        var rejected = Assert.Single(items, item => item.Rejected is not null).Rejected!;
        Assert.Equal(
            (3, "gid://shopify/LineItem/12", "gid://shopify/Order/42"),
            (rejected.Line, rejected.Gid, rejected.ParentGid)
        );
        var order = Assert.IsType<OrderRecord>(Assert.Single(items, item => item.Record is not null).Record);
        Assert.Equal(11, Assert.Single(order.Lines).ShopifyId);
        Assert.Equal(assembler.Lines, items.Sum(item => item.SourceObjects));
    }

    [Fact]
    public async Task A_line_that_comes_twice_is_added_once_and_reported()
    {
        string[] doubled = [.. WholeOrder.SelectMany(line => (string[])[line, line])];

        var (items, assembler) = await ReadAsync(string.Join('\n', doubled), "CAD");

        Assert.Equal(
            (await OnlyAsync(WholeOrder)).Record!.SourceObjects,
            Assert.Single(items, item => item.Record is not null).Record!.SourceObjects
        );
        Assert.Equal(10, items.Count(item => item.Rejected is { Reason: "It came before." }));
        Assert.Equal(20, assembler.Lines);
    }

    [Fact]
    public async Task A_sale_of_an_unknown_agreement_is_reported()
    {
        var (items, _) = await ReadAsync(string.Join('\n', [_order1, _sold1]), "CAD");

        Assert.Equal(
            "gid://shopify/OrderAgreement/900",
            Assert.Single(items, item => item.Rejected is not null).Rejected!.ParentGid
        );
    }

    [Theory]
    [InlineData("""{"__typename":"LineItem","id":""")]
    [InlineData("""nonsense""")]
    [InlineData("""[]""")]
    [InlineData("""null""")]
    [InlineData("""{"id":"gid:\/\/shopify\/LineItem\/12"}""")]
    [InlineData("""{"__typename":7}""")]
    [InlineData("""{"__typename":"Customer","id":"gid:\/\/shopify\/Customer\/7"}""")]
    [InlineData(
        """
            {"__typename":"LineItem","id":"gid:\/\/shopify\/LineItem\/12",
            "__parentId":"gid:\/\/shopify\/Order\/8891577729330"}
            """
    )]
    [InlineData(
        """
            {"__typename":"OrderAgreement","id":"gid:\/\/shopify\/OrderAgreement\/900","happenedAt":"yesterday",
            "__parentId":"gid:\/\/shopify\/Order\/8891577729330"}
            """
    )]
    [InlineData(
        """
            {"__typename":"OrderAgreement","id":"gid:\/\/shopify\/OrderAgreement\/900",
            "happenedAt":"2026-03-05T09:00:01Z","__parentId":"gid:\/\/shopify\/Order\/8891577729330"} trailing
            """
    )]
    public async Task An_order_with_an_unreadable_child_is_rejected_as_a_whole(string malformed)
    {
        var next = _order1.Replace("8891577729330", "2");

        var (items, assembler) = await ReadAsync(
            string.Join('\n', [_order1, _line1, OneLine(malformed), _line2, next]),
            "CAD"
        );

        Assert.Equal(2, Assert.Single(items, item => item.Record is not null).Record!.ShopifyId);
        Assert.Contains(items, item => item.Rejected is { Line: 3 });
        Assert.Contains(
            items,
            item => item.Rejected is { Line: 1, Gid: "gid://shopify/Order/8891577729330", SourceObjects: 3 }
        );
        Assert.Equal(5, assembler.Lines);
        Assert.Equal(assembler.Lines, items.Sum(item => item.SourceObjects));
    }

    [Theory]
    [InlineData("\"137.5\"", "\"137.505\"", "more than 2 decimals")]
    [InlineData("\"2026-03-06T10:00:00Z\"", "null", "an instant")]
    [InlineData("\"name\"", "\"label\"", "name")]
    [InlineData("gid:\\/\\/shopify\\/Order\\/8891577729330", "gid:\\/\\/shopify\\/Order\\/x", "numbered id")]
    public async Task An_unreadable_order_is_rejected_with_the_reason(string good, string bad, string reason)
    {
        var (items, assembler) = await ReadAsync(_order1.Replace(good, bad), "CAD");

        Assert.Contains(reason, Assert.Single(items).Rejected!.Reason, StringComparison.Ordinal);
        Assert.Equal(1, assembler.Roots);
    }

    [Fact]
    public async Task An_order_in_a_former_currency_of_the_shop_is_read_in_that_currency()
    {
        var (items, _) = await ReadAsync(
            string.Join('\n', WholeOrder).Replace("\"CAD\"", "\"KWD\"", StringComparison.Ordinal),
            "CAD"
        );

        var (order, own) = (
            Assert.IsType<OrderRecord>(items[0].Record),
            Assert.IsType<OrderRecord>((await ReadAsync(string.Join('\n', WholeOrder), "CAD")).Items[0].Record)
        );
        Assert.Equal(("KWD", "CAD"), (order.Currency, own.Currency));
        Assert.Equal(own.Sales.Select(s => s.Amount * 10), order.Sales.Select(s => s.Amount));
    }

    [Fact]
    public async Task A_file_that_breaks_off_within_a_line_loses_its_last_order_loudly()
    {
        var whole = string.Join('\n', WholeOrder);

        var (items, _) = await ReadAsync(whole[..^20], "CAD");

        Assert.All(items, item => Assert.Null(item.Record));
        Assert.Contains(
            items,
            item => item.Rejected!.Reason.StartsWith("The file ends in the middle of a line", StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task Amounts_have_the_decimals_of_the_shops_currency()
    {
        var yen = """
            {"__typename":"Customer","id":"gid:\/\/shopify\/Customer\/1","createdAt":"2026-01-01T00:00:00Z",
            "updatedAt":"2026-01-01T00:00:00Z","numberOfOrders":"2","amountSpent":{"amount":"1500.0",
            "currencyCode":"JPY"}}
            """.ReplaceLineEndings("");

        Assert.Equal(
            1500,
            Assert.IsType<CustomerRecord>(Assert.Single((await ReadAsync(yen, "JPY")).Items).Record).AmountSpent
        );
        Assert.Equal(
            1500000,
            Assert
                .IsType<CustomerRecord>(Assert.Single((await ReadAsync(yen.Replace("JPY", "KWD"), "KWD")).Items).Record)
                .AmountSpent
        );
    }

    [Fact]
    public async Task A_customer_is_read()
    {
        var customer = Assert.IsType<CustomerRecord>(
            (
                await OnlyAsync(
                    """
                    {"__typename":"Customer","id":"gid:\/\/shopify\/Customer\/10901547909426",
                    "createdAt":"2026-07-05T23:00:00Z","updatedAt":"2026-07-06T01:02:03Z","firstName":"Ana",
                    "lastName":null,"displayName":"Ana",
                    "defaultEmailAddress":{"emailAddress":"ana@example.com"},"defaultPhoneNumber":null,
                    "defaultAddress":{"countryCodeV2":"CA","city":"Montr\u00e9al"},"state":"DISABLED",
                    "numberOfOrders":"3","amountSpent":{"amount":"86.5","currencyCode":"CAD"}}
                    """
                )
            ).Record
        );

        Assert.Equal(
            new CustomerRecord
            {
                ShopifyId = 10901547909426,
                Source = RecordSource.BulkExport,
                CreatedAt = new(2026, 7, 5, 23, 0, 0, TimeSpan.Zero),
                UpdatedAt = new(2026, 7, 6, 1, 2, 3, TimeSpan.Zero),
                FirstName = "Ana",
                DisplayName = "Ana",
                Email = "ana@example.com",
                CountryCode = "CA",
                City = "Montréal",
                State = "DISABLED",
                NumberOfOrders = 3,
                AmountSpent = 8650,
            },
            customer
        );
    }

    [Fact]
    public async Task A_product_is_read()
    {
        var product = Assert.IsType<ProductRecord>(
            (
                await OnlyAsync(
                    """
                    {"__typename":"Product","id":"gid:\/\/shopify\/Product\/9801098821938",
                    "createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-02T00:00:00Z","title":"Gift Card",
                    "handle":"gift-card","status":"ACTIVE","vendor":"Snowboard Vendor","productType":"giftcard",
                    "isGiftCard":true}
                    """
                )
            ).Record
        );

        Assert.Equal(
            new ProductRecord
            {
                ShopifyId = 9801098821938,
                Source = RecordSource.BulkExport,
                CreatedAt = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero),
                UpdatedAt = new(2026, 1, 2, 0, 0, 0, TimeSpan.Zero),
                Title = "Gift Card",
                Handle = "gift-card",
                Status = "ACTIVE",
                Vendor = "Snowboard Vendor",
                ProductType = "giftcard",
                GiftCard = true,
            },
            product
        );
    }

    [Fact]
    public async Task A_checkout_is_read_with_lines_whose_ids_are_no_numbers()
    {
        var checkout = Assert.IsType<CheckoutRecord>(
            (
                await OnlyAsync(
                    """
                    {"__typename":"AbandonedCheckout","id":"gid:\/\/shopify\/AbandonedCheckout\/33",
                    "name":"#33","createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-02T00:00:00Z",
                    "completedAt":"2026-01-02T00:00:00Z",
                    "abandonedCheckoutUrl":"https:\/\/shop.example\/recover","customer":null,
                    "totalPriceSet":{"shopMoney":{"amount":"30.0","currencyCode":"CAD"}}}
                    """,
                    """
                    {"__typename":"AbandonedCheckoutLineItem",
                    "id":"gid:\/\/shopify\/AbandonedCheckoutLineItem\/9f2c?key=ab","title":"Hat","sku":"H",
                    "quantity":3,"product":{"id":"gid:\/\/shopify\/Product\/5"},
                    "discountedTotalPriceSet":{"shopMoney":{"amount":"30.0"}},
                    "__parentId":"gid:\/\/shopify\/AbandonedCheckout\/33"}
                    """
                )
            ).Record
        );

        Assert.Equal(
            (33, "https://shop.example/recover", 3000, 2),
            (checkout.ShopifyId, checkout.RecoveryUrl, checkout.Total, checkout.SourceObjects)
        );
        Assert.NotNull(checkout.CompletedAt);
        Assert.Null(checkout.CustomerId);
        Assert.Equal([new CheckoutLineRecord(5, "Hat", "H", 3, 3000)], checkout.Lines);
    }

    [Fact]
    public async Task An_empty_file_holds_nothing()
    {
        var (items, assembler) = await ReadAsync("", "CAD");

        Assert.Empty(items);
        Assert.Equal(0, assembler.Lines);
    }

    // A line of the file, written here as several.
    private static string OneLine(string text) => text.ReplaceLineEndings("");

    private static async Task<BulkItem> OnlyAsync(params string[] lines)
    {
        var item = Assert.Single((await ReadAsync(string.Join('\n', lines.Select(OneLine)) + "\n", "CAD")).Items);
        Assert.Null(item.Rejected?.Reason);
        return item;
    }

    private static async Task<(List<BulkItem> Items, JsonlAssembler Assembler)> ReadAsync(string text, string currency)
    {
        var assembler = new JsonlAssembler(currency);
        using var source = new MemoryStream(Encoding.UTF8.GetBytes(text));
        return (
            await assembler
                .ReadAsync(source, TestContext.Current.CancellationToken)
                .ToListAsync(TestContext.Current.CancellationToken),
            assembler
        );
    }

    /// <summary>Hands out so many bytes at a time at most.</summary>
    private sealed class Trickle(byte[] bytes, int size) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(size, buffer.Length)], cancellationToken);
    }
}
