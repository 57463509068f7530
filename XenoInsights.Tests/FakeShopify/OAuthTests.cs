using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using XenoInsights.Development.FakeShopify.Stores;

namespace XenoInsights.Tests.FakeShopify;

public sealed class OAuthTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_person_is_asked_and_the_answer_is_signed()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = new ShopifySession(shopify, HardCases.Domain);

        var page = await session.AuthorizeAsync();
        Assert.Equal(HttpStatusCode.OK, page.StatusCode);
        Assert.Contains(
            "Install XenoInsights on Hard Cases",
            await page.Content.ReadAsStringAsync(Cancellation),
            StringComparison.Ordinal
        );

        var answer = ShopifySession.Query(await session.ApproveAsync());
        var hmac = answer["hmac"];
        answer.Remove("hmac");
        Assert.Equal("abc", answer["state"]);
        Assert.Equal(HardCases.Domain, answer["shop"]);
        Assert.Equal(Signature.Of(answer, "demo-client-secret"), hmac);
    }

    [Fact]
    public void The_documented_signature_comes_out() =>
        Assert.Equal(
            "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf",
            Signature.Of(
                new()
                {
                    ["code"] = "0907a61c0c8d55e99db179b68161bc00",
                    ["shop"] = "some-shop.myshopify.com",
                    ["state"] = "0.6784241404160823",
                    ["timestamp"] = "1337178173",
                },
                "hush"
            )
        );

    [Fact]
    public async Task An_installed_app_is_sent_back_at_once()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);

        Assert.Equal(HttpStatusCode.Redirect, (await session.AuthorizeAsync()).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await session.AuthorizeAsync("read_orders")).StatusCode);
    }

    [Fact]
    public async Task Foreign_addresses_and_clients_are_refused()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = new ShopifySession(shopify, HardCases.Domain);

        Assert.Equal(
            HttpStatusCode.BadRequest,
            (await session.AuthorizeAsync(redirect: "https://evil.example.com/auth/callback")).StatusCode
        );
        Assert.Equal(HttpStatusCode.BadRequest, (await session.AuthorizeAsync(client: "somebody")).StatusCode);
    }

    [Fact]
    public async Task A_code_works_once()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = new ShopifySession(shopify, HardCases.Domain);
        var code = ShopifySession.Query(await session.ApproveAsync())["code"];

        var first = await (
            await session.TokenAsync(("code", code), ("expiring", "1"))
        ).Content.ReadFromJsonAsync<JsonObject>(Cancellation);
        Assert.Equal(
            ["access_token", "scope", "expires_in", "refresh_token", "refresh_token_expires_in"],
            first!.Select(p => p.Key)
        );
        Assert.Equal(3600, (int)first!["expires_in"]!);

        var second = await session.TokenAsync(("code", code), ("expiring", "1"));
        Assert.Equal(HttpStatusCode.BadRequest, second.StatusCode);
        Assert.Equal(
            "invalid_request",
            (string)(await second.Content.ReadFromJsonAsync<JsonObject>(Cancellation))!["error"]!
        );
    }

    [Fact]
    public async Task Without_expiring_only_two_fields_come_back()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = new ShopifySession(shopify, HardCases.Domain);
        var code = ShopifySession.Query(await session.ApproveAsync())["code"];

        var tokens = await (await session.TokenAsync(("code", code))).Content.ReadFromJsonAsync<JsonObject>(
            Cancellation
        );
        Assert.Equal(["access_token", "scope"], tokens!.Select(p => p.Key));
    }

    [Fact]
    public async Task Only_granted_scopes_come_back()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HarbourLane.Domain);

        var answer = await session.QueryAsync("{ currentAppInstallation { accessScopes { handle } } }");
        Assert.Equal(
            ["read_customers", "read_orders", "read_products"],
            answer["data"]!["currentAppInstallation"]!["accessScopes"]!.AsArray().Select(s => (string)s!["handle"]!)
        );
    }

    [Fact]
    public async Task A_spent_refresh_token_gives_the_same_pair_until_that_pair_is_used()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);

        var first = await PairAsync(await session.RefreshAsync(session.RefreshToken));
        var again = await PairAsync(await session.RefreshAsync(session.RefreshToken));
        Assert.Equal(first, again);

        var next = await PairAsync(await session.RefreshAsync(first.Refresh));
        Assert.NotEqual(first.Refresh, next.Refresh);
        Assert.Equal(HttpStatusCode.BadRequest, (await session.RefreshAsync(session.RefreshToken)).StatusCode);
    }

    [Fact]
    public async Task A_refresh_whose_answer_is_lost_can_be_repeated()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);
        shopify.Store(HardCases.Domain).Faults.LoseRefreshResponse = 1;

        await Assert.ThrowsAsync<HttpRequestException>(() => session.RefreshAsync(session.RefreshToken));
        Assert.Equal(HttpStatusCode.OK, (await session.RefreshAsync(session.RefreshToken)).StatusCode);
    }

    [Fact]
    public async Task Access_tokens_run_out()
    {
        var clock = new StoppedClock(DateTimeOffset.UnixEpoch.AddYears(56));
        await using var shopify = await SmallStores.StartAsync(clock, tokens: TimeSpan.FromMinutes(5));
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);

        Assert.Equal(HttpStatusCode.OK, (await session.PostAsync("{ shop { id } }")).StatusCode);
        clock.Now += TimeSpan.FromMinutes(6);
        Assert.Equal(HttpStatusCode.Unauthorized, (await session.PostAsync("{ shop { id } }")).StatusCode);
    }

    [Fact]
    public async Task Uninstalling_kills_every_token_at_once()
    {
        await using var shopify = await SmallStores.StartAsync();
        using var session = await ShopifySession.InstallAsync(shopify, HardCases.Domain);
        await Task.Delay(5, Cancellation);
        shopify.Uninstall(HardCases.Domain);

        var answer = await session.PostAsync("{ shop { id } }");
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
        Assert.Equal(
            "{\"errors\":\"[API] Invalid API key or access token (unrecognized login or wrong password)\"}",
            await answer.Content.ReadAsStringAsync(Cancellation)
        );
        Assert.Equal(HttpStatusCode.BadRequest, (await session.RefreshAsync(session.RefreshToken)).StatusCode);
    }

    [Fact]
    public async Task Tokens_outlive_the_process_but_not_their_shop()
    {
        string token;
        await using (var before = await SmallStores.StartAsync())
        {
            using var session = await ShopifySession.InstallAsync(before, HardCases.Domain);
            token = session.AccessToken;
        }
        await using var after = await SmallStores.StartAsync();
        using var same = new ShopifySession(after, HardCases.Domain) { AccessToken = token };
        using var other = new ShopifySession(after, HardCases.YenDomain) { AccessToken = token };

        Assert.Equal(HttpStatusCode.OK, (await same.PostAsync("{ shop { id } }")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await other.PostAsync("{ shop { id } }")).StatusCode);
    }

    private static async Task<(string Access, string Refresh)> PairAsync(HttpResponseMessage response)
    {
        var tokens = (await response.EnsureSuccessStatusCode().Content.ReadFromJsonAsync<JsonObject>(Cancellation))!;
        return ((string)tokens["access_token"]!, (string)tokens["refresh_token"]!);
    }
}

/// <summary>The query signature, written down a second time from the platform's documentation.</summary>
internal static class Signature
{
    public static string Of(Dictionary<string, string> parameters, string secret)
    {
        var text = string.Join(
            '&',
            parameters.Keys.Order(StringComparer.Ordinal).Select(key => $"{key}={parameters[key]}")
        );
        return Convert.ToHexStringLower(
            System.Security.Cryptography.HMACSHA256.HashData(
                System.Text.Encoding.UTF8.GetBytes(secret),
                System.Text.Encoding.UTF8.GetBytes(text)
            )
        );
    }
}
