using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.FakeShopify.Stores;

namespace XenoInsights.Tests.FakeShopify;

public sealed class AdminGraphQLTests(SmallStores stores) : IClassFixture<SmallStores>
{
    [Fact]
    public async Task Pages_come_one_after_the_other_without_gap_or_overlap()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, SmallStores.Generated);
        var names = new List<string>();
        string? after = null;
        do
        {
            var answer = await session.QueryAsync(
                "query($after: String) { orders(first: 60, after: $after, sortKey: "
                    + "UPDATED_AT) { pageInfo { hasNextPage endCursor } nodes { name updatedAt } } }",
                new { after }
            );
            var page = answer["data"]!["orders"]!;
            names.AddRange(page["nodes"]!.AsArray().Select(n => (string)n!["updatedAt"]! + (string)n["name"]!));
            after = (bool)page["pageInfo"]!["hasNextPage"]! ? (string)page["pageInfo"]!["endCursor"]! : null;
        } while (after is not null);

        Assert.Equal(700, names.Distinct().Count());
        Assert.Equal(names.Select(n => n[..20]).Order(StringComparer.Ordinal), names.Select(n => n[..20]));
    }

    [Fact]
    public async Task Cursors_are_the_platforms()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, SmallStores.Generated);
        var answer = await session.QueryAsync(
            "{ orders(first: 1, sortKey: CREATED_AT) { edges { cursor node { legacyResourceId createdAt } } } }"
        );
        var edge = answer["data"]!["orders"]!["edges"]![0]!;
        var created = DateTimeOffset
            .Parse((string)edge["node"]!["createdAt"]!, System.Globalization.CultureInfo.InvariantCulture)
            .ToUnixTimeMilliseconds();
        Assert.Equal(
            $"{{\"last_id\":{edge["node"]!["legacyResourceId"]},\"last_value\":{created}}}",
            Encoding.ASCII.GetString(Convert.FromBase64String((string)edge["cursor"]!))
        );
    }

    [Fact]
    public async Task The_last_page_backwards_is_the_first_page_reversed()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, SmallStores.Generated);
        var answer = await session.QueryAsync(
            "{ last: orders(last: 3, sortKey: CREATED_AT) { nodes { id } pageInfo { hasNextPage "
                + "hasPreviousPage } } newest: orders(first: 3, sortKey: CREATED_AT, reverse: "
                + "true) { nodes { id } } }"
        );
        Assert.Equal(Ids(answer["data"]!["newest"]!).Reverse(), Ids(answer["data"]!["last"]!));
        Assert.False((bool)answer["data"]!["last"]!["pageInfo"]!["hasNextPage"]!);
        Assert.True((bool)answer["data"]!["last"]!["pageInfo"]!["hasPreviousPage"]!);
    }

    [Theory]
    [InlineData("{ orders { nodes { id } } }", "you must provide one of first or last")]
    [InlineData("{ orders(first: 1, last: 1) { nodes { id } } }", "providing both first and last is not supported")]
    [InlineData("{ bulkOperation(id: \"not-a-gid\") { id } }", "Invalid global id 'not-a-gid'")]
    [InlineData("{ bulkOperation(id: \"gid://shopify/Product/1\") { id } }", "Invalid id: gid://shopify/Product/1")]
    [InlineData(
        "{ bulkOperations(first: 1, query: \"created_at:not-a-date\") { nodes { id } } }",
        "Invalid timestamp for query filter `created_at`."
    )]
    public async Task Mistakes_are_answered_in_the_platforms_words(string query, string message)
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var answer = await session.QueryAsync(query);
        Assert.Equal(message, (string)answer["errors"]![0]!["message"]!);
    }

    [Fact]
    public async Task A_filter_on_an_unknown_field_matches_everything_and_warns()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, SmallStores.Generated);
        var answer = await session.QueryAsync("{ ordersCount(query: \"made_up:value\", limit: null) { count } }");
        Assert.Equal(700, (int)answer["data"]!["ordersCount"]!["count"]!);
        Assert.True(
            JsonNode.DeepEquals(
                JsonNode.Parse(
                    """[{"path":["ordersCount"],"query":"made_up:value","parsed":"""
                        + """{"field":"made_up","match_all":"value"}"""
                        + ""","warnings":[{"field":"made_up","message":"Invalid search field for this """
                        + """query.","code":"invalid_field"}]}]"""
                ),
                answer["extensions"]!["search"]
            )
        );
    }

    [Theory]
    [InlineData("name:1026", 1)]
    [InlineData("created_at:>='2025-06-02T00:00:00Z' created_at:<'2025-06-04T00:00:00Z'", 2)]
    [InlineData("processed_at:<2025-01-01", 1)]
    [InlineData("test:true", 1)]
    [InlineData("financial_status:voided OR financial_status:pending", 2)]
    [InlineData("status:cancelled -name:1012", 0)]
    [InlineData("(name:1001 OR name:1002) AND discount_code:TENOFF", 1)]
    [InlineData("financial_status:refunded", 3)]
    [InlineData("created_at:2025-07-09", 2)]
    public async Task Search_finds(string query, int count)
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var answer = await session.QueryAsync(
            "query($query: String!) { ordersCount(query: $query, limit: null) { count } }",
            new { query }
        );
        Assert.Null(answer["extensions"]!["search"]);
        Assert.Equal(count, (int)answer["data"]!["ordersCount"]!["count"]!);
    }

    [Fact]
    public async Task A_time_without_quotes_is_read_as_its_whole_day()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var answer = await session.QueryAsync(
            """{ quoted: ordersCount(query: "created_at:>='2025-06-05T20:00:00Z' created_at:"""
                + """<'2025-06-06T00:00:00Z'") { count } bare: ordersCount(query: "created_at:>=2025-06-05T20:00:"""
                + """00Z created_at:<'2025-06-06T00:00:00Z'") { count } }"""
        );
        Assert.Equal(0, (int)answer["data"]!["quoted"]!["count"]!);
        Assert.Equal(1, (int)answer["data"]!["bare"]!["count"]!);
    }

    [Fact]
    public async Task Counts_stop_at_their_limit()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, SmallStores.Generated);
        var answer = await session.QueryAsync(
            "{ some: ordersCount(limit: 500) { count precision } all: ordersCount(limit: "
                + "null) { count precision } few: customersCount { count precision } }"
        );
        Assert.Equal(
            """{"some":{"count":500,"precision":"AT_LEAST"},"all":{"count":700,"precision":"EXACT"}"""
                + ""","few":{"count":400,"precision":"EXACT"}}""",
            answer["data"]!.ToJsonString()
        );
    }

    [Fact]
    public async Task Without_read_all_orders_only_sixty_days_are_there()
    {
        using var all = await ShopifySession.InstallAsync(stores.Host, SmallStores.Generated);
        using var recent = await ShopifySession.InstallAsync(stores.Host, HarbourLane.Domain);
        var answer = await recent.QueryAsync(
            "{ orders(first: 250, sortKey: CREATED_AT) { nodes { id createdAt } } ordersCount(limit: null) { count } }"
        );
        var orders = answer["data"]!["orders"]!["nodes"]!.AsArray();
        var oldest = DateTimeOffset.Parse(
            (string)orders[0]!["createdAt"]!,
            System.Globalization.CultureInfo.InvariantCulture
        );

        Assert.InRange(orders.Count, 100, 200);
        Assert.Equal(orders.Count, (int)answer["data"]!["ordersCount"]!["count"]!);
        Assert.True(oldest > TimeProvider.System.GetUtcNow().AddDays(-60));
        var hidden = (await stores.Host.Store(HarbourLane.Domain).DataAsync()).Orders.All().First();
        Assert.Null(
            (
                await recent.QueryAsync(
                    "query($id: ID!) { order(id: $id) { id } }",
                    new { id = $"gid://shopify/Order/{hidden.Id}" }
                )
            )["data"]!["order"]
        );
        var operation = await recent.RunBulkAsync("{ orders { edges { node { id } } } }");
        Assert.Equal(orders.Count, (await recent.ReadAsync(operation)).Length);
    }

    [Fact]
    public async Task A_missing_scope_denies_the_field()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain, "read_orders");
        var error = (await session.QueryAsync("{ customersCount { count } }"))["errors"]![0]!;
        Assert.Equal(
            "Access denied for customersCount field. Required access: `read_customers` access scope.",
            (string)error["message"]!
        );
        Assert.Equal("ACCESS_DENIED", (string)error["extensions"]!["code"]!);
    }

    [Theory]
    [InlineData(10, 298)]
    [InlineData(25, 446)]
    [InlineData(50, 520)]
    [InlineData(100, 668)]
    [InlineData(250, 816)]
    public async Task Queries_cost_what_they_were_seen_to_cost(int first, int cost)
    {
        const string query = """
            query($first: Int!) { orders(first: $first) { pageInfo { hasNextPage } nodes {
              id app { id name } customer { id } shippingAddress { zip } totalPriceSet { shopMoney { amount } }
              lineItems(first: 50) { nodes {
                id product { id } variant { id }
                discountAllocations { allocatedAmountSet { shopMoney { amount } } } taxLines { title }
              } }
              shippingLines(first: 5) { nodes { id } }
              refunds(first: 20) {
                id refundLineItems(first: 50) { nodes { id lineItem { id } } }
                orderAdjustments(first: 10) { nodes { id } } refundShippingLines(first: 5) { nodes { id } }
              }
            } } }
            """;
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.YenDomain);
        var spent = (await session.QueryAsync(query, new { first }))["extensions"]!["cost"]!;
        Assert.Equal(cost, (int)spent["requestedQueryCost"]!);
        Assert.InRange((int)spent["actualQueryCost"]!, 1, cost);
    }

    [Fact]
    public async Task Objects_asked_for_by_id_cost_each()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var ids = (await stores.Host.Store(HardCases.Domain).DataAsync())
            .Orders.All()
            .Take(20)
            .Select(o => $"gid://shopify/Order/{o.Id}")
            .ToArray();
        var answer = await session.QueryAsync(
            "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Order { id customer { id } } } }",
            new { ids }
        );
        Assert.Equal(ids, answer["data"]!["nodes"]!.AsArray().Select(n => (string)n!["id"]!));
        Assert.Equal(40, (int)answer["extensions"]!["cost"]!["requestedQueryCost"]!);
    }

    [Fact]
    public async Task A_refund_is_found_by_its_id()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var refund = (await stores.Host.Store(HardCases.Domain).DataAsync())
            .Orders.All()
            .SelectMany(o => o.Refunds)
            .Last();
        var answer = await session.QueryAsync(
            "query($id: ID!) { refund(id: $id) { id order { id } } }",
            new { id = $"gid://shopify/Refund/{refund.Id}" }
        );
        Assert.NotNull(answer["data"]!["refund"]!["order"]!["id"]);
    }

    [Fact]
    public async Task A_query_above_a_thousand_points_is_refused()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var error = (
            await session.QueryAsync(
                "{ orders(first: 250) { nodes { lineItems(first: 250) { nodes { product { id } variants: "
                    + "variant { id product { variants(first: 250) { nodes { id } } } } } } } } }"
            )
        )["errors"]![0]!;
        Assert.Equal("MAX_COST_EXCEEDED", (string)error["extensions"]!["code"]!);
    }

    [Fact]
    public async Task An_empty_bucket_throttles_and_fills_with_time()
    {
        var clock = new StoppedClock(DateTimeOffset.UnixEpoch.AddYears(56));
        await using var shopify = await SmallStores.StartAsync(clock, bucket: 100);
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);
        const string expensive =
            "{ ordersCount { count } a: ordersCount { count } b: ordersCount { count } c: "
            + "ordersCount { count } d: ordersCount { count } e: ordersCount { count } f: "
            + "ordersCount { count } }";

        Assert.Null((await session.QueryAsync(expensive))["errors"]);
        var response = await session.PostAsync(expensive);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var throttled = JsonNode.Parse(
            await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)
        )!;
        Assert.Equal("THROTTLED", (string)throttled["errors"]![0]!["extensions"]!["code"]!);
        Assert.Null(throttled["extensions"]!["cost"]!["actualQueryCost"]);
        Assert.Equal(30, (int)throttled["extensions"]!["cost"]!["throttleStatus"]!["currentlyAvailable"]!);

        clock.Now += TimeSpan.FromSeconds(1);
        Assert.Null((await session.QueryAsync(expensive))["errors"]);
    }

    [Fact]
    public async Task Faults_end_by_themselves()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);
        var faults = shopify.Store(HardCases.Domain).Faults;
        faults.Respond = (423, 1);
        faults.ThrottleCalls = 1;

        Assert.Equal(HttpStatusCode.Locked, (await session.PostAsync("{ shop { id } }")).StatusCode);
        Assert.Equal("Throttled", (string)(await session.QueryAsync("{ shop { id } }"))["errors"]![0]!["message"]!);
        Assert.Null((await session.QueryAsync("{ shop { id } }"))["errors"]);
    }

    [Theory]
    [InlineData("2026-10", "2026-10")]
    [InlineData("2024-01", "2026-01")]
    public async Task A_version_no_longer_served_falls_forward(string asked, string served)
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var response = await session.PostAsync("{ shop { id } }", version: asked);
        Assert.Equal(served, response.Headers.GetValues("X-Shopify-API-Version").Single());
    }

    [Fact]
    public async Task Webhook_addresses_are_checked_and_topics_taken_once()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);
        async Task<string?> Create(string uri) =>
            (string?)
                (
                    await session.QueryAsync(
                        "mutation($sub: WebhookSubscriptionInput!) { webhookSubscriptionCreate(topic: "
                            + "ORDERS_CREATE, webhookSubscription: $sub) { webhookSubscription { id } userErrors "
                            + "{ field message } } }",
                        new { sub = new { uri, format = "JSON" } }
                    )
                )["data"]!["webhookSubscriptionCreate"]!["userErrors"]!
                    .AsArray()
                    .FirstOrDefault()
                    ?["message"];

        Assert.Null(await Create("http://localhost:5080/webhooks/shopify"));
        Assert.Equal(
            "Address for this topic has already been taken",
            await Create("http://localhost:5080/webhooks/shopify")
        );
        Assert.Equal("Address protocol http:// is not supported", await Create("http://example.com/webhooks"));
        Assert.Equal("Address can't be blank", await Create(""));
        var listed = await session.QueryAsync("{ webhookSubscriptions(first: 10) { nodes { id uri topic } } }");
        var id = (string)listed["data"]!["webhookSubscriptions"]!["nodes"]!.AsArray().Single()!["id"]!;
        const string delete =
            "mutation($id: ID!) { webhookSubscriptionDelete(id: $id) { deletedWebhookSubscriptionId "
            + "userErrors { message } } }";
        Assert.Equal(
            id,
            (string)
                (await session.QueryAsync(delete, new { id }))["data"]!["webhookSubscriptionDelete"]![
                    "deletedWebhookSubscriptionId"
                ]!
        );
        Assert.Equal(
            "Webhook subscription does not exist",
            (string)
                (await session.QueryAsync(delete, new { id }))["data"]!["webhookSubscriptionDelete"]!["userErrors"]![
                    0
                ]!["message"]!
        );
    }

    [Fact]
    public async Task What_a_test_changes_is_what_the_app_sees()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, SmallStores.Generated);
        var store = shopify.Store(SmallStores.Generated);
        var orders = (await store.DataAsync()).Orders;
        var now = TimeProvider.System.GetUtcNow();
        var added = new DemoOrderBuilder(store.Shop, 900_001, now).Line("Lamp", 2, 1250).Build();
        var old = orders.All().First();
        orders.Put(added);
        orders.Put(old with { Note = "changed", UpdatedAt = now.AddSeconds(1) });
        orders.Remove(orders.All().Skip(1).First().Id);

        var answer = await session.QueryAsync(
            "{ orders(first: 2, sortKey: UPDATED_AT, reverse: true) { nodes { name note totalPriceSet { "
                + "shopMoney { amount currencyCode } } } } ordersCount(limit: null) { count } }"
        );
        var nodes = answer["data"]!["orders"]!["nodes"]!;
        Assert.Equal(700, (int)answer["data"]!["ordersCount"]!["count"]!);
        Assert.Equal("changed", (string)nodes[0]!["note"]!);
        Assert.Equal("25.0", (string)nodes[1]!["totalPriceSet"]!["shopMoney"]!["amount"]!);
    }

    private static string[] Ids(JsonNode connection) =>
        [.. connection["nodes"]!.AsArray().Select(n => (string)n!["id"]!)];
}
