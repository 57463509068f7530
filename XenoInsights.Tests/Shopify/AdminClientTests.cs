using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using XenoInsights.Shopify;

namespace XenoInsights.Tests.Shopify;

public sealed class AdminClientTests
{
    private const string Shop = """{"shop":{"id":"gid://shopify/Shop/1"}}""";
    private const string Query = "query Q { shop { id } }";
    private const string Mutation = "mutation M { shopDo { id } }";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_document_goes_to_the_shops_versioned_address_with_token_and_variables()
    {
        await using var shopify = await Fake.StartAsync(Fake.Data(Shop));

        var data = await shopify.Admin.SendAsync(Fake.Shop, Query, new { id = "gid://shopify/Order/1" }, Cancellation);

        Assert.Equal("gid://shopify/Shop/1", data.GetProperty("shop").GetProperty("id").GetString());
        var request = Assert.Single(shopify.Requests);
        Assert.Equal("/a-shop.myshopify.com/admin/api/2026-10/graphql.json", request.Path);
        Assert.Equal("stale", request.Token);
        using var body = JsonDocument.Parse(request.Body);
        Assert.Equal(Query, body.RootElement.GetProperty("query").GetString());
        Assert.Equal("gid://shopify/Order/1", body.RootElement.GetProperty("variables").GetProperty("id").GetString());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_answer_larger_than_is_read_is_a_part_of_one_however_small_it_was_on_the_way(bool isCompressed)
    {
        var answer = Encoding.UTF8.GetBytes($$$"""{"data":{"text":"{{{new string('x', 2 << 20)}}}"}}""");
        await using var shopify = await Fake.StartAsync(async context =>
        {
            if (isCompressed)
                context.Response.Headers.ContentEncoding = "gzip";
            await using var body = isCompressed
                ? new GZipStream(context.Response.Body, CompressionLevel.Fastest)
                : context.Response.Body;
            await body.WriteAsync(answer);
        });
        shopify.Options.MaxAnswerMegabytes = 1;

        var failure = await shopify.FailureAsync();

        Assert.Equal((ShopifyFailure.PartialData, 1), (failure.Failure, shopify.Requests.Count));
    }

    [Fact]
    public async Task A_refused_token_is_refreshed_once()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Json("""{"errors":"[API] Invalid API key or access token"}""", 401),
            Fake.Data(Shop)
        );

        await shopify.Admin.SendAsync(Fake.Shop, Query, null, Cancellation);

        Assert.Equal([false, true], shopify.TokensAsked);
        Assert.Equal(["stale", "fresh"], shopify.Requests.Select(request => request.Token));
    }

    [Theory]
    [InlineData(400, ShopifyFailure.InvalidRequest, 1)]
    [InlineData(401, ShopifyFailure.Unauthorized, 2)]
    [InlineData(402, ShopifyFailure.PaymentRequired, 1)]
    [InlineData(403, ShopifyFailure.Forbidden, 1)]
    [InlineData(404, ShopifyFailure.NotFound, 1)]
    [InlineData(423, ShopifyFailure.Locked, 1)]
    [InlineData(429, ShopifyFailure.Throttled, 10)]
    [InlineData(503, ShopifyFailure.Unavailable, 5)]
    public async Task A_refusal_by_status_is_a_failure_of_its_own_kind_and_retried_if_it_may_pass(
        int status,
        ShopifyFailure failure,
        int requests
    )
    {
        await using var shopify = await Fake.StartAsync(Fake.Json("{}", status));

        Assert.Equal(failure, (await shopify.FailureAsync()).Failure);
        Assert.Equal(requests, shopify.Requests.Count);
    }

    [Fact]
    public async Task A_shop_that_does_not_answer_is_left_alone_for_half_a_minute()
    {
        await using var shopify = await Fake.StartAsync(Fake.Json("{}", 500));
        for (var i = 0; i < 5; i++)
            Assert.Equal(ShopifyFailure.Unavailable, (await FailureAsync()).Failure);
        Assert.Equal(5, shopify.Requests.Count);

        var paused = await FailureAsync();
        Assert.Equal((ShopifyFailure.Unavailable, true), (paused.Failure, paused.IsTransient));
        Assert.Contains("asked again in a moment", paused.Message, StringComparison.Ordinal);
        Assert.Equal(5, shopify.Requests.Count);

        await Task.Delay(TimeSpan.FromSeconds(31), shopify.Time, Cancellation);
        await FailureAsync();
        Assert.Equal(6, shopify.Requests.Count);

        // A mutation is sent once, so that each call is one request.
        Task<ShopifyException> FailureAsync() =>
            Assert.ThrowsAsync<ShopifyException>(() =>
                shopify.Admin.SendAsync(Fake.Shop, Mutation, null, Cancellation)
            );
    }

    [Theory]
    [InlineData(
        """
            {"data":{"orders":null},
            "errors":[{"message":"Access denied for orders field. Required access: `read_orders` access scope.",
            "path":["orders"],"extensions":{"code":"ACCESS_DENIED",
            "requiredAccess":"`read_orders` access scope."}}]}
            """,
        ShopifyFailure.AccessDenied,
        "read_orders"
    )]
    [InlineData(
        """
            {"data":{"customers":{"nodes":[{"displayName":null}]}},
            "errors":[{"message":"This app is not approved to use the displayName field.","path":["customers",
            "nodes",0,"displayName"]}]}
            """,
        ShopifyFailure.AccessDenied,
        "displayName"
    )]
    [InlineData(
        """{"data":{"a":1,"b":null},"errors":[{"message":"Something","path":["b","nodes",3]}]}""",
        ShopifyFailure.PartialData,
        "b.nodes.3"
    )]
    [InlineData(
        """{"errors":[{"message":"Field 'x' doesn't exist on type 'Shop'","path":["query"]}]}""",
        ShopifyFailure.InvalidRequest,
        "'x'"
    )]
    [InlineData(
        """
            {"errors":[{"message":"Query cost is 2003, which exceeds the single query max cost limit (1000).",
            "extensions":{"code":"MAX_COST_EXCEEDED"}}]}
            """,
        ShopifyFailure.InvalidRequest,
        "2003"
    )]
    [InlineData("""{"errors":"Not a valid query"}""", ShopifyFailure.InvalidRequest, "Not a valid query")]
    [InlineData("""{"data":null}""", ShopifyFailure.InvalidRequest, "no data")]
    [InlineData("""[]""", ShopifyFailure.InvalidRequest, "GraphQL")]
    public async Task Errors_in_an_answer_are_failures_that_name_what_is_wrong(
        string answer,
        ShopifyFailure failure,
        string named
    )
    {
        await using var shopify = await Fake.StartAsync(Fake.Json(answer));

        var thrown = await shopify.FailureAsync();

        Assert.Equal(failure, thrown.Failure);
        Assert.Contains(named, thrown.Message, StringComparison.Ordinal);
        Assert.Single(shopify.Requests);
    }

    [Fact]
    public async Task A_search_that_Shopify_partly_ignored_is_a_failure()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Json(
                """
                {"data":{"customersCount":{"count":9}},"extensions":{"search":[{"path":["customersCount"],
                "query":"email:x","parsed":{"field":"email","match_all":"x"},"warnings":[{"field":"email",
                "message":"Invalid search field for this query.","code":"invalid_field"}]}]}}
                """
            )
        );

        var failure = await shopify.FailureAsync();

        Assert.Equal(ShopifyFailure.InvalidRequest, failure.Failure);
        Assert.Contains("invalid_field", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_search_understood_in_full_is_none()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Json(
                """
                {"data":{"a":1},"extensions":{"search":[{"path":["orders"],"query":"id:1",
                "parsed":{"field":"id","match_all":"1"}}]}}
                """
            )
        );

        Assert.Equal(
            1,
            (await shopify.Admin.SendAsync(Fake.Shop, Query, null, Cancellation)).GetProperty("a").GetInt32()
        );
    }

    [Fact]
    public async Task A_throttled_query_waits_until_its_cost_is_restored()
    {
        const string throttled = """
            {"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}],
            "extensions":{"cost":{"requestedQueryCost":500,"actualQueryCost":null,
            "throttleStatus":{"maximumAvailable":2000.0,"currentlyAvailable":100,"restoreRate":100.0}}}}
            """;
        await using var shopify = await Fake.StartAsync(Fake.Json(throttled), Fake.Data(Shop, requested: 500));

        await shopify.Admin.SendAsync(Fake.Shop, Query, null, Cancellation);

        Assert.Equal(2, shopify.Requests.Count);
        Assert.InRange(shopify.Time.Waits.First().TotalSeconds, 2.5, 5);
    }

    [Fact]
    public async Task A_query_whose_cost_does_not_fit_is_not_sent_before_it_does()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Data(Shop, requested: 400, available: 50),
            Fake.Data(Shop, requested: 400)
        );
        await shopify.Admin.SendAsync(Fake.Shop, Query, null, Cancellation);
        Assert.Empty(shopify.Time.Waits);

        await shopify.Admin.SendAsync(Fake.Shop, Query, null, Cancellation);

        Assert.InRange(shopify.Time.Waits.First().TotalSeconds, 0.01, 3.5);
        Assert.Equal(2, shopify.Requests.Count);
    }

    [Fact]
    public async Task Retry_After_is_honoured()
    {
        await using var shopify = await Fake.StartAsync(Fake.Json("", 429, ("Retry-After", "7")), Fake.Data(Shop));

        await shopify.Admin.SendAsync(Fake.Shop, Query, null, Cancellation);

        Assert.InRange(Assert.Single(shopify.Time.Waits).TotalSeconds, 7, 9);
    }

    [Fact]
    public async Task Troubles_that_pass_are_waited_out_longer_each_time()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Json("", 502),
            Fake.Hangup,
            Fake.Json("<html>", 200),
            Fake.Json(
                """
                {"data":null,"errors":[{"message":"Internal error",
                "extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}
                """
            ),
            Fake.Data(Shop)
        );

        await shopify.Admin.SendAsync(Fake.Shop, Query, null, Cancellation);

        Assert.Equal(5, shopify.Requests.Count);
        var waits = shopify.Time.Waits;
        Assert.Equal(4, waits.Count);
        Assert.InRange(waits[0].TotalSeconds, 1, 1.25);
        Assert.InRange(waits[3].TotalSeconds, 8, 10);
    }

    [Fact]
    public async Task A_mutation_that_may_have_arrived_is_not_sent_twice()
    {
        await using var shopify = await Fake.StartAsync(Fake.Hangup, Fake.Data(Shop));

        var failure = await Assert.ThrowsAsync<ShopifyException>(() =>
            shopify.Admin.SendAsync(Fake.Shop, Mutation, null, Cancellation)
        );

        Assert.Equal(ShopifyFailure.Unavailable, failure.Failure);
        Assert.Single(shopify.Requests);
    }

    [Fact]
    public async Task A_redirect_is_not_followed_with_the_token()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Json("", 301, ("Location", "/another-shop.myshopify.com/admin/api/2026-10/graphql.json"))
        );

        Assert.Equal(ShopifyFailure.NotFound, (await shopify.FailureAsync()).Failure);
        Assert.Single(shopify.Requests);
    }

    [Fact]
    public async Task Falling_forward_to_another_version_is_noticed_and_so_is_its_end()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Json("""{"data":{}}""", 200, ("X-Shopify-API-Version", "2027-01")),
            Fake.Json("""{"data":{}}""", 200, ("X-Shopify-API-Version", "2026-10"))
        );
        Assert.Null(shopify.Admin.UnexpectedApiVersion);

        await shopify.Admin.SendAsync(Fake.Shop, Query, null, Cancellation);
        Assert.Equal("2027-01", shopify.Admin.UnexpectedApiVersion);

        await shopify.Admin.SendAsync(Fake.Shop, Query, null, Cancellation);
        Assert.Null(shopify.Admin.UnexpectedApiVersion);
    }

    [Fact]
    public async Task Messages_never_hold_the_token()
    {
        await using var shopify = await Fake.StartAsync(Fake.Json("{}", 403));

        Assert.DoesNotContain("stale", (await shopify.FailureAsync()).ToString(), StringComparison.Ordinal);
    }
}

public sealed class BulkOperationsTests
{
    private const string Completed = """
        {"id":"gid://shopify/BulkOperation/8","status":"COMPLETED","errorCode":null,"objectCount":"1456",
        "rootObjectCount":"1456","fileSize":"115969","url":"https://storage.example/file?signed",
        "partialDataUrl":null}
        """;
    private const string Created = """
        {"id":"gid://shopify/BulkOperation/8","status":"CREATED","errorCode":null,"objectCount":"0",
        "rootObjectCount":"0","fileSize":null,"url":null,"partialDataUrl":null}
        """;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Starting_sends_the_document_and_tells_the_operation()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Data($$$"""{"bulkOperationRunQuery":{"bulkOperation":{{{Created}}},"userErrors":[]}}""")
        );

        var operation = await shopify.Bulk.StartAsync(
            Fake.Shop,
            GraphQLDocuments.Filtered(GraphQLDocuments.BulkOrders, "updated_at:>='2026-11-21T00:00:00Z'"),
            Cancellation
        );

        Assert.Equal(
            new BulkOperation("gid://shopify/BulkOperation/8", BulkStatus.Created, null, 0, 0, null, null, null),
            operation
        );
        Assert.False(operation.HasEnded);
        using var body = JsonDocument.Parse(Assert.Single(shopify.Requests).Body);
        var inner = body.RootElement.GetProperty("variables").GetProperty("query").GetString();
        Assert.Contains("orders(query: \"updated_at:>='2026-11-21T00:00:00Z'\",", inner, StringComparison.Ordinal);
        Assert.Contains(
            "groupObjects: true",
            body.RootElement.GetProperty("query").GetString(),
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("OPERATION_IN_PROGRESS", ShopifyFailure.BulkBusy)]
    [InlineData("LIMIT_REACHED", ShopifyFailure.BulkBusy)]
    [InlineData("INVALID", ShopifyFailure.InvalidRequest)]
    public async Task A_refused_start_tells_why(string code, ShopifyFailure failure)
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Data(
                $$$"""
                {"bulkOperationRunQuery":{"bulkOperation":null,"userErrors":[{"field":null,"code":"{{{code}}}",
                "message":"gid://shopify/BulkOperation/79332"}]}}
                """
            )
        );

        var thrown = await Assert.ThrowsAsync<ShopifyException>(() =>
            shopify.Bulk.StartAsync(Fake.Shop, GraphQLDocuments.BulkProducts, Cancellation)
        );

        Assert.Equal(failure, thrown.Failure);
        Assert.Contains("gid://shopify/BulkOperation/79332", thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_completed_operation_tells_file_and_counts()
    {
        await using var shopify = await Fake.StartAsync(Fake.Data($$$"""{"bulkOperation":{{{Completed}}}}"""));

        var operation = await shopify.Bulk.GetAsync(Fake.Shop, "gid://shopify/BulkOperation/8", Cancellation);

        Assert.Equal(
            new BulkOperation(
                "gid://shopify/BulkOperation/8",
                BulkStatus.Completed,
                null,
                1456,
                1456,
                115969,
                new Uri("https://storage.example/file?signed"),
                null
            ),
            operation
        );
        Assert.True(operation.HasEnded);
    }

    [Fact]
    public async Task An_unknown_operation_is_not_found()
    {
        await using var shopify = await Fake.StartAsync(Fake.Data("""{"bulkOperation":null}"""));

        Assert.Equal(
            ShopifyFailure.NotFound,
            (
                await Assert.ThrowsAsync<ShopifyException>(() =>
                    shopify.Bulk.GetAsync(Fake.Shop, "gid://shopify/BulkOperation/1", Cancellation)
                )
            ).Failure
        );
    }

    [Fact]
    public async Task Cancelling_what_has_ended_tells_how_it_ended()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Data(
                """
                {"bulkOperationCancel":{"bulkOperation":null,"userErrors":[{"field":null,
                "message":"A bulk operation cannot be canceled when it is completed"}]}}
                """
            ),
            Fake.Data($$$"""{"bulkOperation":{{{Completed}}}}""")
        );

        Assert.Equal(
            BulkStatus.Completed,
            (await shopify.Bulk.CancelAsync(Fake.Shop, "gid://shopify/BulkOperation/8", Cancellation)).Status
        );
    }

    [Fact]
    public async Task Only_operations_that_have_not_ended_are_listed_as_running()
    {
        await using var shopify = await Fake.StartAsync(
            Fake.Data($$$"""{"bulkOperations":{"nodes":[{{{Created}}},{{{Completed}}}]}}""")
        );

        Assert.Equal(
            BulkStatus.Created,
            Assert.Single(await shopify.Bulk.ListRunningAsync(Fake.Shop, Cancellation)).Status
        );
    }
}
