using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using XenoInsights.Development.FakeShopify;

namespace XenoInsights.Tests.FakeShopify;

/// <summary>An app installed in one store of a fake Shopify, talking to it over HTTP.</summary>
internal sealed class ShopifySession(FakeShopifyHost host, string shop) : IDisposable
{
    public const string AllScopes = "read_orders,read_all_orders,read_customers,read_products";
    private const string Redirect = "http://localhost:5080/auth/callback";

    public HttpClient Http { get; } =
        new(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = new Uri(host.Url) };

    public string AccessToken { get; set; } = "";

    public string RefreshToken { get; private set; } = "";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static async Task<ShopifySession> InstallAsync(FakeShopifyHost host, string shop, string scopes = AllScopes)
    {
        var session = new ShopifySession(host, shop);
        var location = await session.ApproveAsync(scopes);
        var tokens = await (
            await session.TokenAsync(("code", Query(location)["code"]), ("expiring", "1"))
        ).Content.ReadFromJsonAsync<JsonObject>(Cancellation);
        session.AccessToken = (string)tokens!["access_token"]!;
        session.RefreshToken = (string)tokens["refresh_token"]!;
        return session;
    }

    public Task<HttpResponseMessage> AuthorizeAsync(
        string scopes = AllScopes,
        string redirect = Redirect,
        string client = "demo-client-id"
    ) => Http.GetAsync($"/{shop}/admin/oauth/authorize?{Ask(scopes, redirect, client)}", Cancellation);

    public async Task<Uri> ApproveAsync(string scopes = AllScopes) =>
        (
            await Http.PostAsync(
                $"/{shop}/admin/oauth/approve?{Ask(scopes, Redirect, "demo-client-id")}",
                null,
                Cancellation
            )
        )
            .Headers
            .Location!;

    public Task<HttpResponseMessage> TokenAsync(params (string Name, string Value)[] fields) =>
        Http.PostAsync(
            $"/{shop}/admin/oauth/access_token",
            new FormUrlEncodedContent(
                fields
                    .Select(f => KeyValuePair.Create(f.Name, f.Value))
                    .Append(new("client_id", "demo-client-id"))
                    .Append(new("client_secret", "demo-client-secret"))
            ),
            Cancellation
        );

    public Task<HttpResponseMessage> RefreshAsync(string token) =>
        TokenAsync(("grant_type", "refresh_token"), ("refresh_token", token));

    public async Task<HttpResponseMessage> PostAsync(string query, object? variables = null, string version = "2026-10")
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/{shop}/admin/api/{version}/graphql.json")
        {
            Content = JsonContent.Create(new { query, variables }),
        };
        request.Headers.Add("X-Shopify-Access-Token", AccessToken);
        return await Http.SendAsync(request, Cancellation);
    }

    public async Task<JsonObject> QueryAsync(string query, object? variables = null) =>
        (await (await PostAsync(query, variables)).Content.ReadFromJsonAsync<JsonObject>(Cancellation))!;

    public async Task<JsonNode> StartBulkAsync(string query, bool grouped = false) =>
        (
            await QueryAsync(
                "mutation($query: String!, $grouped: Boolean!) { bulkOperationRunQuery(query: $query, "
                    + "groupObjects: $grouped) { bulkOperation { id status } userErrors { field message code } } "
                    + "}",
                new { query, grouped }
            )
        )["data"]!["bulkOperationRunQuery"]!;

    public async Task<JsonNode> PollAsync(string id) =>
        (
            await QueryAsync(
                "query($id: ID!) { bulkOperation(id: $id) { id status errorCode objectCount "
                    + "rootObjectCount fileSize url partialDataUrl } }",
                new { id }
            )
        )["data"]!["bulkOperation"]!;

    public async Task<JsonNode> RunBulkAsync(string query, bool grouped = false)
    {
        var started = await StartBulkAsync(query, grouped);
        Assert.Empty(started["userErrors"]!.AsArray());
        while (true)
        {
            var operation = await PollAsync((string)started["bulkOperation"]!["id"]!);
            if ((string)operation["status"]! is not ("CREATED" or "RUNNING" or "CANCELING"))
            {
                return operation;
            }
            await Task.Delay(20, Cancellation);
        }
    }

    public async Task<JsonElement[]> ReadAsync(JsonNode operation)
    {
        var text = await Http.GetStringAsync((string)operation["url"]!, Cancellation);
        return
        [
            .. text.Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(line => JsonDocument.Parse(line).RootElement),
        ];
    }

    public static Dictionary<string, string> Query(Uri location) =>
        location
            .Query.TrimStart('?')
            .Split('&')
            .Select(pair => pair.Split('=', 2))
            .ToDictionary(pair => pair[0], pair => Uri.UnescapeDataString(pair[1]));

    public void Dispose() => Http.Dispose();

    private static string Ask(string scopes, string redirect, string client) =>
        $"client_id={client}&scope={scopes}&redirect_uri={Uri.EscapeDataString(redirect)}&state=abc&grant_options[]=";
}

/// <summary>A clock that only moves when told.</summary>
internal sealed class StoppedClock(DateTimeOffset now) : TimeProvider
{
    public DateTimeOffset Now { get; set; } = now;

    public override DateTimeOffset GetUtcNow() => Now;
}

/// <summary>One fake Shopify per test class with the small stores only; nothing here changes them.</summary>
public sealed class SmallStores : IAsyncLifetime
{
    public const string Generated = "generated.myshopify.com";

    public FakeShopifyHost Host { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Host = await StartAsync();

    public ValueTask DisposeAsync() => Host.DisposeAsync();

    internal static Task<FakeShopifyHost> StartAsync(
        TimeProvider? time = null,
        int bucket = 2000,
        TimeSpan? tokens = null
    ) =>
        FakeShopifyHost.StartAsync(
            new FakeShopifyOptions
            {
                Url = "http://127.0.0.1:0",
                Time = time ?? TimeProvider.System,
                BucketSize = bucket,
                AccessTokenLifetime = tokens ?? TimeSpan.FromHours(1),
                Stores =
                [
                    XenoInsights.Development.FakeShopify.Stores.HardCases.CreateEuros(),
                    XenoInsights.Development.FakeShopify.Stores.HardCases.CreateYen(),
                    XenoInsights.Development.FakeShopify.Stores.HarbourLane.Create(4, time ?? TimeProvider.System),
                    XenoInsights.Development.FakeShopify.Stores.GeneratedStore.Create(
                        new()
                        {
                            Domain = Generated,
                            Orders = 700,
                            Days = 365,
                        },
                        time ?? TimeProvider.System
                    ),
                ],
            },
            TestContext.Current.CancellationToken
        );
}
