using System.Text.Json;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;

namespace XenoInsights.Tests.Shopify;

public sealed class AdminObjectsTests
{
    private const string Header =
        "\"__typename\":\"Order\",\"id\":\"gid://shopify/Order/1\",\"name\":\"#1\","
        + "\"createdAt\":\"2026-03-05T09:00:00Z\",\"processedAt\":\"2026-03-05T09:00:00Z\","
        + "\"updatedAt\":\"2026-03-06T10:00:00Z\",\"cancelledAt\":null,\"test\":false,"
        + "\"displayFinancialStatus\":\"PAID\",\"displayFulfillmentStatus\":\"FULFILLED\","
        + "\"sourceName\":\"web\",\"customer\":null,"
        + "\"currentTotalPriceSet\":{\"shopMoney\":{\"amount\":\"10.0\",\"currencyCode\":\"CAD\"}}";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Orders_read_by_id_have_lines_ledger_and_refund_lines()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Data(
                Nodes(
                    "\"refunds\":[" + Refund(RefundLine(11, 1), null) + "]",
                    "\"lineItems\":" + Page(Line(11), null),
                    "\"agreements\":"
                        + Page(
                            Agreement(
                                "OrderAgreement",
                                900,
                                "2026-03-05T09:00:00Z",
                                Page(Sale(11, "ORDER", 1, "10.0"), null)
                            )
                                + ","
                                + Agreement(
                                    "RefundAgreement",
                                    901,
                                    "2026-03-06T09:59:00Z",
                                    Page(Sale(11, "RETURN", -1, "-10.0"), null)
                                ),
                            null
                        )
                ),
                requested: 575
            )
        );

        var order = Assert.Single(await shopify.Objects.OrdersAsync(Fake.Shop, [1, 1, 2], Cancellation));

        Assert.Equal((1, 6), (order.ShopifyId, order.SourceObjects));
        Assert.Equal(
            [(true, SaleMeasure.Sale, 101, 1, 1000), (false, SaleMeasure.Return, 101, -1, -1000)],
            order.Sales.Select(sale => (sale.Original, sale.Measure, sale.ProductId, sale.Quantity, sale.Amount))
        );
        Assert.Equal([new RefundLineRecord(11, 1, 1000, 0)], Assert.Single(order.Refunds).Lines);
        using var body = JsonDocument.Parse(Assert.Single(shopify.Requests).Body);
        Assert.Equal(
            ["gid://shopify/Order/1", "gid://shopify/Order/2"],
            body.RootElement.GetProperty("variables").GetProperty("ids").EnumerateArray().Select(id => id.GetString())
        );
    }

    [Fact]
    public async Task An_order_too_long_for_one_answer_is_read_page_by_page()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Data(
                Nodes(
                    "\"refunds\":[" + Refund(RefundLine(11, 1), "r1") + "]",
                    "\"lineItems\":" + Page(Line(11), "l1"),
                    "\"agreements\":"
                        + Page(
                            Agreement(
                                "OrderAgreement",
                                900,
                                "2026-03-05T09:00:00Z",
                                Page(Sale(11, "ORDER", 1, "10.0"), "s1")
                            ),
                            null
                        )
                )
            ),
            Fake.Data("{\"order\":" + OrderPart("\"lineItems\":" + Page(Line(12), "l2")) + "}"),
            Fake.Data("{\"order\":" + OrderPart("\"lineItems\":" + Page(Line(13), null)) + "}"),
            Fake.Data(
                "{\"order\":"
                    + OrderPart(
                        "\"agreements\":"
                            + Page(
                                Agreement(
                                    "OrderAgreement",
                                    900,
                                    "2026-03-05T09:00:00Z",
                                    Page(Sale(11, "ORDER", 1, "10.0"), "s1")
                                ),
                                "a1"
                            )
                    )
                    + "}"
            ),
            Fake.Data(
                "{\"order\":"
                    + OrderPart(
                        "\"agreements\":"
                            + Page(
                                Agreement(
                                    "OrderAgreement",
                                    900,
                                    "2026-03-05T09:00:00Z",
                                    Page(Sale(12, "ORDER", 1, "20.0"), null)
                                ),
                                "a1"
                            )
                    )
                    + "}"
            ),
            Fake.Data(
                "{\"order\":"
                    + OrderPart(
                        "\"agreements\":"
                            + Page(
                                Agreement(
                                    "RefundAgreement",
                                    901,
                                    "2026-03-06T09:59:00Z",
                                    Page(Sale(12, "RETURN", -1, "-20.0"), null)
                                ),
                                null
                            )
                    )
                    + "}"
            ),
            Fake.Data(
                "{\"refund\":{\"id\":\"gid://shopify/Refund/55\",\"refundLineItems\":"
                    + Page(RefundLine(12, 1), null)
                    + "}}"
            )
        );

        var order = Assert.Single(await shopify.Objects.OrdersAsync(Fake.Shop, [1], Cancellation));

        Assert.Equal([11, 12, 13], order.Lines.Select(line => line.ShopifyId));
        Assert.Equal(
            [(true, 1000), (true, 2000), (false, -2000)],
            order.Sales.Select(sale => (sale.Original, sale.Amount))
        );
        Assert.Equal([11, 12], Assert.Single(order.Refunds).Lines.Select(line => line.LineItemId));
        Assert.Equal(1 + 3 + 2 + 3, order.SourceObjects);
        Assert.Equal(
            ["""{"ids":["gid://shopify/Order/1"]}""", "l1", "l2", "null/null", "null/s1", "a1/null", "r1"],
            shopify.Requests.Select(request => Cursors(request.Body))
        );
    }

    [Fact]
    public async Task An_order_that_changes_between_its_pages_is_not_put_together()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Data(Nodes("\"lineItems\":" + Page(Line(11), "l1"))),
            Fake.Data(
                "{\"order\":"
                    + OrderPart("\"lineItems\":" + Page(Line(12), null))
                        .Replace("10:00:00", "10:00:05", StringComparison.Ordinal)
                    + "}"
            )
        );

        var failure = await Assert.ThrowsAsync<ShopifyException>(() =>
            shopify.Objects.OrdersAsync(Fake.Shop, [1], Cancellation)
        );

        Assert.Equal(ShopifyFailure.PartialData, failure.Failure);
    }

    [Fact]
    public async Task What_no_longer_exists_is_missing_from_the_result()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Data(
                """
                {"nodes":[null,{"__typename":"Product","id":"gid://shopify/Product/5",
                "createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z","title":"Hat","handle":"hat",
                "status":"ACTIVE","vendor":"V","productType":"","isGiftCard":false}]}
                """
            )
        );

        Assert.Equal(5, Assert.Single(await shopify.Objects.ProductsAsync(Fake.Shop, [4, 5], Cancellation)).ShopifyId);
    }

    [Fact]
    public async Task A_checkout_too_long_for_one_answer_is_read_page_by_page_in_the_shops_currency()
    {
        const string checkout =
            "\"__typename\":\"AbandonedCheckout\",\"id\":\"gid://shopify/AbandonedCheckout/7\","
            + "\"updatedAt\":\"2026-03-05T09:00:00Z\",";
        const string header =
            "\"name\":\"#7\",\"createdAt\":\"2026-03-05T09:00:00Z\",\"completedAt\":null,"
            + "\"abandonedCheckoutUrl\":\"https://x\",\"customer\":null,"
            + "\"totalPriceSet\":{\"shopMoney\":{\"amount\":\"30.0\",\"currencyCode\":\"CAD\"}},";
        await using var shopify = await Fake.StartAsync(
            Fake.Data(
                "{\"nodes\":[null,{"
                    + checkout
                    + header
                    + "\"lineItems\":"
                    + Page(CheckoutLine(1, "10.0"), "l1")
                    + "}]}"
            ),
            Fake.Data("{\"node\":{" + checkout + "\"lineItems\":" + Page(CheckoutLine(2, "20.0"), null) + "}}"),
            Fake.Data(
                "{\"nodes\":[{" + checkout + header + "\"lineItems\":" + Page(CheckoutLine(1, "10.0"), "l1") + "}]}"
            ),
            Fake.Data(
                "{\"node\":{"
                    + checkout.Replace("09:00:00", "09:00:05", StringComparison.Ordinal)
                    + "\"lineItems\":"
                    + Page(CheckoutLine(2, "20.0"), null)
                    + "}}"
            )
        );

        var read = Assert.Single(await shopify.Objects.CheckoutsAsync(Fake.Shop, [6, 7], Cancellation));

        Assert.Equal((7, 3000, 3), (read.ShopifyId, read.Total, read.SourceObjects));
        Assert.Equal([1000, 2000], read.Lines.Select(line => line.Total));
        Assert.Equal(
            ShopifyFailure.PartialData,
            (
                await Assert.ThrowsAsync<ShopifyException>(() =>
                    shopify.Objects.CheckoutsAsync(Fake.Shop, [7], Cancellation)
                )
            ).Failure
        );
    }

    private static string CheckoutLine(long id, string total) =>
        $$$$"""
            {"__typename":"AbandonedCheckoutLineItem","id":"gid://shopify/AbandonedCheckoutLineItem/{{{{id}}}}",
            "title":"T","sku":null,"quantity":1,"product":null,
            "discountedTotalPriceSet":{"shopMoney":{"amount":"{{{{total}}}}"}}}
            """;

    [Fact]
    public async Task Counts_must_be_exact()
    {
        const string counts = """
            {"orders":{"count":3,"precision":"EXACT"},"customers":{"count":2,"precision":"EXACT"},
            "products":{"count":1,"precision":"EXACT"},"abandonedCheckouts":{"count":0,"precision":"EXACT"}}
            """;
        await using var shopify = await Fake.StartAsync(
            Fake.Data(counts),
            Fake.Data(counts.Replace("EXACT", "AT_LEAST", StringComparison.Ordinal))
        );

        Assert.Equal(new ShopCounts(3, 2, 1, 0), await shopify.Objects.CountsAsync(Fake.Shop, Cancellation));
        Assert.Equal(
            ShopifyFailure.PartialData,
            (
                await Assert.ThrowsAsync<ShopifyException>(() => shopify.Objects.CountsAsync(Fake.Shop, Cancellation))
            ).Failure
        );
    }

    private static string Nodes(params string[] parts) =>
        "{\"nodes\":[{" + string.Join(',', parts.Prepend(Header)) + "},null]}";

    private static string OrderPart(string part) =>
        "{\"id\":\"gid://shopify/Order/1\",\"updatedAt\":\"2026-03-06T10:00:00Z\"," + part + "}";

    private static string Page(string nodes, string? after) =>
        $$"""
            {"pageInfo":{"hasNextPage":{{(after is null ? "false" : "true")}},"endCursor":"{{after ?? "end"}}"},
            "nodes":[{{nodes}}]}
            """;

    private static string Line(long id) =>
        $$$"""
            {"id":"gid://shopify/LineItem/{{{id}}}","title":"T","sku":null,"quantity":1,"currentQuantity":1,
            "isGiftCard":false,"product":{"id":"gid://shopify/Product/101"},"variant":null,
            "originalTotalSet":{"shopMoney":{"amount":"10.0"}},"discountAllocations":[]}
            """;

    private static string Agreement(string type, long id, string happenedAt, string sales) =>
        $$"""
            {"__typename":"{{type}}","id":"gid://shopify/{{type}}/{{id}}","happenedAt":"{{happenedAt}}",
            "sales":{{sales}}}
            """;

    private static string Sale(long line, string action, int quantity, string total) =>
        $$$"""
            {"actionType":"{{{action}}}","lineType":"PRODUCT","quantity":{{{quantity}}},
            "totalAmount":{"shopMoney":{"amount":"{{{total}}}"}},
            "totalDiscountAmountBeforeTaxes":{"shopMoney":{"amount":"0.0"}},
            "totalTaxAmount":{"shopMoney":{"amount":"0.0"}},"lineItem":{"id":"gid://shopify/LineItem/{{{line}}}"}}
            """;

    private static string Refund(string lines, string? after) =>
        """
            {"id":"gid://shopify/Refund/55","createdAt":null,"processedAt":"2026-03-06T09:59:00Z",
            "totalRefundedSet":{"shopMoney":{"amount":"10.0"}},"refundLineItems":
            """
        + Page(lines, after)
        + "}";

    private static string RefundLine(long line, int quantity) =>
        $$$$"""
            {"lineItem":{"id":"gid://shopify/LineItem/{{{{line}}}}"},"quantity":{{{{quantity}}}},
            "subtotalSet":{"shopMoney":{"amount":"10.0"}},"totalTaxSet":{"shopMoney":{"amount":"0.0"}}}
            """;

    private static string Cursors(string body)
    {
        using var request = JsonDocument.Parse(body);
        var variables = request.RootElement.GetProperty("variables");
        if (!variables.TryGetProperty("after", out var after))
            return variables.GetRawText();
        return variables.TryGetProperty("salesAfter", out var sales) ? $"{Shown(after)}/{Shown(sales)}" : Shown(after);
    }

    private static string Shown(JsonElement cursor) =>
        cursor.ValueKind == JsonValueKind.Null ? "null" : cursor.GetString()!;
}
