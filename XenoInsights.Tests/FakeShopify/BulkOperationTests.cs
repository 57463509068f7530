using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using XenoInsights.Development.FakeShopify.Stores;

namespace XenoInsights.Tests.FakeShopify;

public sealed class BulkOperationTests(SmallStores stores) : IClassFixture<SmallStores>
{
    private const string OrdersWithLines =
        "{ orders { edges { node { id name lineItems { edges { node { id title } } } agreements { edges { "
        + "node { __typename id sales { edges { node { __typename id quantity ... "
        + "on ProductSale { lineItem { id } } } } } } } } } } } }";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_announced_object_is_a_line_and_follows_its_parent()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, SmallStores.Generated);
        var operation = await session.RunBulkAsync(OrdersWithLines);
        var lines = await session.ReadAsync(operation);

        Assert.Equal("COMPLETED", (string)operation["status"]!);
        Assert.Equal(
            lines.Length.ToString(System.Globalization.CultureInfo.InvariantCulture),
            (string)operation["objectCount"]!
        );
        Assert.Equal("700", (string)operation["rootObjectCount"]!);
        var seen = new HashSet<string>();
        Assert.All(
            lines,
            line =>
            {
                Assert.True(Parent(line) is not { } parent || seen.Contains(parent));
                seen.Add(Id(line));
            }
        );
        var orders = (await stores.Host.Store(SmallStores.Generated).DataAsync()).Orders.All().ToArray();
        Assert.Equal(
            orders.Sum(o => 1 + o.Lines.Count + o.Agreements.Count + o.Agreements.Sum(a => a.Sales.Count)),
            lines.Length
        );
    }

    [Fact]
    public async Task Ungrouped_children_are_away_from_their_parents_and_keep_their_order()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, SmallStores.Generated);
        var lines = await session.ReadAsync(await session.RunBulkAsync(OrdersWithLines));

        Assert.All(lines.Take(700), line => Assert.Null(Parent(line)));
        var items = lines.Where(l => Id(l).Contains("/LineItem/", StringComparison.Ordinal)).Select(Id).ToArray();
        Assert.Equal(
            items.OrderBy(id => long.Parse(id.Split('/')[^1], System.Globalization.CultureInfo.InvariantCulture)),
            items
        );
    }

    [Fact]
    public async Task Grouped_children_stand_below_their_parent()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, SmallStores.Generated);
        var lines = await session.ReadAsync(await session.RunBulkAsync(OrdersWithLines, grouped: true));
        var above = new Stack<string>();
        foreach (var line in lines)
        {
            while (above.Count > 0 && above.Peek() != Parent(line))
            {
                above.Pop();
            }
            Assert.Equal(Parent(line) is null, above.Count == 0);
            above.Push(Id(line));
        }
    }

    [Fact]
    public async Task Slashes_are_escaped()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var operation = await session.RunBulkAsync("{ products { edges { node { id title } } } }");
        var text = await session.Http.GetStringAsync((string)operation["url"]!, Cancellation);
        Assert.StartsWith(
            """{"id":"gid:\/\/shopify\/Product\/8002000000001","title":"Canvas satchel"}""",
            text,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task A_bulk_query_tells_the_same_as_a_page()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        const string fields =
            "id name createdAt test tags taxesIncluded displayFinancialStatus customer { id displayName } "
            + "totalPriceSet { shopMoney { amount currencyCode } presentmentMoney { amount currencyCode } } "
            + "refunds { id totalRefundedSet { shopMoney { amount } } }";
        var page = (await session.QueryAsync($"{{ orders(first: 100, sortKey: ID) {{ nodes {{ {fields} }} }} }}"))[
            "data"
        ]!["orders"]!["nodes"]!.AsArray();
        var lines = await session.ReadAsync(
            await session.RunBulkAsync($"{{ orders(sortKey: ID) {{ edges {{ node {{ {fields} }} }} }} }}")
        );

        var byId = lines.ToDictionary(Id, line => JsonSerializer.Serialize(line));
        Assert.Equal(page.Count, lines.Length);
        Assert.All(page, order => Assert.Equal(order!.ToJsonString(), byId[(string)order["id"]!]));
    }

    [Theory]
    [InlineData("{ shop { id } }", "Bulk queries must contain at least one connection.")]
    [InlineData(
        "{ node(id: \"gid://shopify/Product/0\") { id } }",
        "Bulk queries cannot contain a top level `node` field."
    )]
    [InlineData(
        "{ orders { nodes { id } } }",
        "All connection fields in a bulk query must select their contents using 'edges' > 'node', e.g: "
            + "'orders { edges { node {'. Selecting via 'nodes' is not supported. Invalid connection fields: "
            + "'orders'."
    )]
    [InlineData(
        "{ products { edges { node { title variants { edges { node { id } } } } } } }",
        "The parent 'node' field for a nested connection must select the 'id' field without an alias and "
            + "must be of 'ID' return type. Connection fields without 'id': products."
    )]
    [InlineData(
        "{ orders { edges { node { id refunds { refundLineItems { edges { node { id } } } } } } } }",
        "Queries that contain a connection field within a list field are not currently supported."
    )]
    [InlineData(
        "{ customers { edges { node { id orders { edges { node { id agreements { edges { node { id sales { "
            + "edges { node { id } } } } } } } } } } } } }",
        "Bulk queries cannot contain connections with a nesting depth greater than 2."
    )]
    [InlineData(
        "{ a: orders { edges { node { id } } } b: orders { edges { node { id } } } c: "
            + "orders { edges { node { id } } } d: orders { edges { node { id } } } e: "
            + "orders { edges { node { id } } } f: orders { edges { node { id } } } }",
        "Bulk queries cannot contain more than 5 connections."
    )]
    [InlineData(
        "mutation { bulkOperationCancel(id: \"gid://shopify/BulkOperation/1\") { userErrors { message } } }",
        "Invalid operation type. Only `query` operations are supported."
    )]
    [InlineData("", "Invalid bulk query: syntax error, unexpected end of file")]
    public async Task What_the_platform_refuses_is_refused(string query, string message)
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var errors = (await session.StartBulkAsync(query))["userErrors"]!.AsArray();
        Assert.Equal(message, (string)errors[0]!["message"]!);
        Assert.Equal("INVALID", (string)errors[0]!["code"]!);
    }

    [Fact]
    public async Task Nothing_found_has_no_address()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var operation = await session.RunBulkAsync("{ abandonedCheckouts { edges { node { id } } } }");
        Assert.Equal("COMPLETED", (string)operation["status"]!);
        Assert.Equal("0", (string)operation["objectCount"]!);
        Assert.Null(operation["url"]);
    }

    [Fact]
    public async Task The_sixth_at_once_is_refused_and_a_running_one_can_be_cancelled()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);
        shopify.Store(HardCases.Domain).Faults.HoldBulk = true;
        var ids = new List<string>();
        for (var i = 0; i < 5; i++)
        {
            ids.Add(
                (string)(await session.StartBulkAsync("{ orders { edges { node { id } } } }"))["bulkOperation"]!["id"]!
            );
        }

        var refused = (await session.StartBulkAsync("{ orders { edges { node { id } } } }"))["userErrors"]![0]!;
        Assert.Equal("OPERATION_IN_PROGRESS", (string)refused["code"]!);
        Assert.Equal(
            $"A bulk query operation for this app and shop is already in progress: {string.Join(", ", ids)}.",
            (string)refused["message"]!
        );

        const string cancel =
            "mutation($id: ID!) { bulkOperationCancel(id: $id) { bulkOperation { status } userErrors { "
            + "field message } } }";
        Assert.Equal(
            "CANCELING",
            (string)
                (await session.QueryAsync(cancel, new { id = ids[0] }))["data"]!["bulkOperationCancel"]![
                    "bulkOperation"
                ]!["status"]!
        );
        Assert.Equal("CANCELED", await EndOf(session, ids[0]));
        shopify.Store(HardCases.Domain).Faults.HoldBulk = false;
        Assert.Equal("COMPLETED", await EndOf(session, ids[1]));
        var tooLate = (await session.QueryAsync(cancel, new { id = ids[1] }))["data"]!["bulkOperationCancel"]![
            "userErrors"
        ]![0]!;
        Assert.Equal("A bulk operation cannot be canceled when it is completed", (string)tooLate["message"]!);
    }

    [Fact]
    public async Task Faults_of_bulk_queries_show_as_on_the_platform()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);
        var faults = shopify.Store(HardCases.Domain).Faults;
        const string query = "{ orders { edges { node { id } } } }";

        faults.FailBulk = 1;
        var failed = await session.RunBulkAsync(query);
        Assert.Equal(("FAILED", "INTERNAL_SERVER_ERROR"), ((string)failed["status"]!, (string)failed["errorCode"]!));
        Assert.Null(failed["url"]);
        Assert.Equal(
            16,
            (await session.Http.GetStringAsync((string)failed["partialDataUrl"]!, Cancellation)).Count(c => c == '\n')
        );

        faults.CancelBulk = 1;
        Assert.Equal("CANCELED", (string)(await session.RunBulkAsync(query))["status"]!);

        faults.ExpireBulk = 1;
        Assert.Equal("EXPIRED", (string)(await session.RunBulkAsync(query))["status"]!);

        faults.DuplicateLine = 1;
        var doubled = await session.RunBulkAsync(query);
        Assert.Equal(
            int.Parse((string)doubled["objectCount"]!, System.Globalization.CultureInfo.InvariantCulture) + 1,
            (await session.ReadAsync(doubled)).Length
        );

        var whole = await session.RunBulkAsync(query);
        var size = long.Parse((string)whole["fileSize"]!, System.Globalization.CultureInfo.InvariantCulture);
        faults.TruncateDownloads = 1;
        Assert.Equal(size / 2, (await session.Http.GetByteArrayAsync((string)whole["url"]!, Cancellation)).Length);
        faults.DropDownloads = 1;
        await Assert.ThrowsAsync<HttpRequestException>(() =>
            session.Http.GetByteArrayAsync((string)whole["url"]!, Cancellation)
        );
        Assert.Equal(size, (await session.Http.GetByteArrayAsync((string)whole["url"]!, Cancellation)).Length);
    }

    [Fact]
    public async Task A_result_can_be_fetched_in_parts_by_its_signed_address_only()
    {
        using var session = await ShopifySession.InstallAsync(stores.Host, HardCases.Domain);
        var url = (string)(await session.RunBulkAsync("{ orders { edges { node { id } } } }"))["url"]!;
        var whole = await session.Http.GetByteArrayAsync(url, Cancellation);
        using var request = new HttpRequestMessage(HttpMethod.Get, url)
        {
            Headers = { Range = new RangeHeaderValue(10, null) },
        };
        var rest = await session.Http.SendAsync(request, Cancellation);

        Assert.Equal(HttpStatusCode.PartialContent, rest.StatusCode);
        Assert.Equal("application/jsonl", rest.Content.Headers.ContentType!.MediaType);
        Assert.Equal(whole[10..], await rest.Content.ReadAsByteArrayAsync(Cancellation));
        Assert.Equal(
            HttpStatusCode.Forbidden,
            (
                await session.Http.GetAsync(
                    url.Replace("Signature=", "Signature=0", StringComparison.Ordinal),
                    Cancellation
                )
            ).StatusCode
        );
    }

    [Fact]
    public async Task A_result_is_gone_after_seven_days()
    {
        var clock = new StoppedClock(DateTimeOffset.UnixEpoch.AddYears(56));
        await using var shopify = await SmallStores.StartAsync(clock, tokens: TimeSpan.FromDays(30));
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);
        var operation = await session.RunBulkAsync("{ orders { edges { node { id } } } }");
        clock.Now += TimeSpan.FromDays(8);

        Assert.Equal("EXPIRED", (string)(await session.PollAsync((string)operation["id"]!))["status"]!);
        Assert.Equal(
            HttpStatusCode.Forbidden,
            (await session.Http.GetAsync((string)operation["url"]!, Cancellation)).StatusCode
        );
    }

    private static async Task<string> EndOf(ShopifySession session, string id)
    {
        while (true)
        {
            var status = (string)(await session.PollAsync(id))["status"]!;
            if (status is not ("CREATED" or "RUNNING" or "CANCELING"))
            {
                return status;
            }
            await Task.Delay(20, Cancellation);
        }
    }

    private static string Id(JsonElement line) => line.GetProperty("id").GetString()!;

    private static string? Parent(JsonElement line) =>
        line.TryGetProperty("__parentId", out var parent) ? parent.GetString() : null;
}
