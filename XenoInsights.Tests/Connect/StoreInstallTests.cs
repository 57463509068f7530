using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Tests.Connect;

public sealed class StoreInstallTests(StoreHost host) : IClassFixture<StoreHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_approved_store_is_connected_owned_subscribed_and_imported()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();

        var tenant = await host.ConnectAsync(browser, shop);

        Assert.Equal(
            (shop.Domain, $"Stand-in {shop.ShopId}", "GBP", "Europe/London", TenantStatus.Connected),
            (tenant.ShopDomain, tenant.Name, tenant.Currency, tenant.TimeZone, tenant.Status)
        );
        Assert.True(tenant.HistoryLimited);
        var (member, job) = await host.InTenantAsync(
            tenant,
            async db => (await db.Memberships.SingleAsync(Ct), await db.SyncJobs.SingleAsync(Ct))
        );
        Assert.Equal(MemberRole.Owner, member.Role);
        Assert.Equal((SyncJobType.Full, SyncJobStatus.Queued), (job.Type, job.Status));
        Assert.Equal(21, shop.Subscriptions.Count);
        Assert.All(
            shop.Subscriptions.Values,
            uri => Assert.Equal(new Uri(host.App.Address, "/webhooks/shopify").ToString(), uri)
        );
        var listed = await browser.GetFromJsonAsync<JsonElement[]>("/api/tenants", Ct);
        var store = Assert.Single(listed!, s => s.GetProperty("id").GetGuid() == tenant.TenantId);
        Assert.Equal(
            (shop.Domain, "owner"),
            (store.GetProperty("storeDomain").GetString(), store.GetProperty("role").GetString())
        );
    }

    [Fact]
    public async Task The_token_pair_is_stored_sealed_and_opens_again()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();

        var tenant = await host.ConnectAsync(browser, shop);

        var credential = await host.InTenantAsync(tenant, db => db.ShopifyCredentials.SingleAsync(Ct));
        Assert.DoesNotContain("shpat_", Encoding.Latin1.GetString(credential.AccessToken), StringComparison.Ordinal);
        Assert.DoesNotContain("shprt_", Encoding.Latin1.GetString(credential.RefreshToken!), StringComparison.Ordinal);
        var token = await host.Services.GetRequiredService<AccessTokens>().GetAccessTokenAsync(tenant.TenantId, Ct);
        Assert.True(shop.Knows(token));
        Assert.Equal(1, shop.Calls);
    }

    [Fact]
    public async Task Only_signed_in_people_connect_stores()
    {
        using var visitor = host.App.Visitor(followRedirects: false);

        using var response = await visitor.GetAsync(new Uri("/auth/start?shop=x.myshopify.com", UriKind.Relative), Ct);

        Assert.Equal(HttpStatusCode.Redirect, response.StatusCode);
        Assert.Equal("/signin", response.Headers.Location!.AbsolutePath);
    }

    [Fact]
    public async Task Consent_is_asked_at_the_shop_for_our_scopes_with_a_state_of_256_bits()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();

        using var response = await browser.GetAsync(
            new Uri($"/auth/start?shop={shop.Domain.ToUpperInvariant()}", UriKind.Relative),
            Ct
        );

        var consent = response.Headers.Location!;
        var query = Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(consent.Query);
        Assert.Equal(
            new Uri(
                host.Shopify.ShopUrl.Replace("{shop}", shop.Domain, StringComparison.Ordinal) + "/admin/oauth/authorize"
            ).ToString(),
            consent.GetLeftPart(UriPartial.Path)
        );
        Assert.Equal(StoreHost.ClientId, query["client_id"]);
        Assert.Equal("read_orders,read_customers,read_products,read_all_orders", query["scope"]);
        Assert.Equal(new Uri(host.App.Address, "/auth/callback").ToString(), query["redirect_uri"]);
        Assert.Equal(43, query["state"].ToString().Length);
        var cookie = Assert.Single(
            response.Headers.GetValues("Set-Cookie"),
            c => c.StartsWith("xeno-install=", StringComparison.Ordinal)
        );
        Assert.Contains("httponly", cookie, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("samesite=lax", cookie, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_state_that_was_never_given_out_is_refused()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        await StoreHost.BeginAsync(browser, shop.Domain);

        await StoreHost.RefusedAsync(browser, host.Callback(shop.Domain, new string('A', 43)), "bad_state");
    }

    [Fact]
    public async Task A_state_works_once()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var state = await StoreHost.BeginAsync(browser, shop.Domain);
        var callback = host.Callback(shop.Domain, state);
        using var first = await browser.GetAsync(callback, Ct);
        Assert.Equal(HttpStatusCode.Redirect, first.StatusCode);

        await StoreHost.RefusedAsync(WithState(browser, state), callback, "bad_state");
    }

    [Fact]
    public async Task Of_two_callbacks_at_once_with_one_state_one_gets_through()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var callback = host.Callback(shop.Domain, await StoreHost.BeginAsync(browser, shop.Domain));

        var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => browser.GetAsync(callback, Ct)));

        Assert.Single(answers, a => a.StatusCode == HttpStatusCode.Redirect);
        Assert.Equal(3, answers.Count(a => a.StatusCode == HttpStatusCode.BadRequest));
        Assert.Equal(1, shop.Calls);
    }

    [Fact]
    public async Task A_state_older_than_ten_minutes_is_refused()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var state = await StoreHost.BeginAsync(browser, shop.Domain);
        host.Clock.Advance(TimeSpan.FromMinutes(10.5));

        await StoreHost.RefusedAsync(WithState(browser, state), host.Callback(shop.Domain, state), "bad_state");
        Assert.Equal(0, shop.Calls);
    }

    [Fact]
    public async Task Another_persons_state_is_refused_even_with_their_cookie()
    {
        using var owner = await host.SignInAsync();
        using var other = await host.SignInAsync("viewer@demo.test");
        var shop = host.Shopify.AddShop();
        var state = await StoreHost.BeginAsync(owner, shop.Domain);

        await StoreHost.RefusedAsync(WithState(other, state), host.Callback(shop.Domain, state), "bad_state");
        Assert.Equal(0, shop.Calls);
    }

    [Fact]
    public async Task A_state_from_another_browser_of_the_same_person_is_refused()
    {
        using var browser = await host.SignInAsync();
        using var otherBrowser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var state = await StoreHost.BeginAsync(browser, shop.Domain);

        await StoreHost.RefusedAsync(otherBrowser, host.Callback(shop.Domain, state), "bad_state");
        Assert.Equal(0, shop.Calls);
    }

    [Fact]
    public async Task A_state_for_one_shop_does_not_connect_another()
    {
        using var browser = await host.SignInAsync();
        var (asked, answered) = (host.Shopify.AddShop(), host.Shopify.AddShop());
        var state = await StoreHost.BeginAsync(browser, asked.Domain);

        await StoreHost.RefusedAsync(browser, host.Callback(answered.Domain, state), "other_shop");
        Assert.Equal(0, answered.Calls);
    }

    [Fact]
    public async Task A_wrong_signature_is_refused_and_leaves_the_state_usable()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var state = await StoreHost.BeginAsync(browser, shop.Domain);

        await StoreHost.RefusedAsync(
            browser,
            host.Callback(shop.Domain, state, secret: "not the secret"),
            "bad_signature"
        );

        using var second = await WithState(browser, state).GetAsync(host.Callback(shop.Domain, state), Ct);
        Assert.Equal(HttpStatusCode.Redirect, second.StatusCode);
    }

    [Theory]
    [InlineData("&hmac=00")]
    [InlineData("&extra=1")]
    [InlineData("&shop=evil.myshopify.com")]
    public async Task What_is_added_to_a_signed_answer_breaks_it(string addition)
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var callback = host.Callback(shop.Domain, await StoreHost.BeginAsync(browser, shop.Domain));

        await StoreHost.RefusedAsync(browser, new Uri(callback + addition, UriKind.Relative), "bad_signature");
    }

    [Fact]
    public async Task An_unsigned_answer_is_refused()
    {
        using var browser = await host.SignInAsync();
        var callback = host.Callback("x.myshopify.com", "state").ToString();

        await StoreHost.RefusedAsync(
            browser,
            new Uri(callback[..callback.IndexOf("&hmac", StringComparison.Ordinal)], UriKind.Relative),
            "bad_signature"
        );
    }

    [Fact]
    public async Task The_previous_secret_still_signs()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var state = await StoreHost.BeginAsync(browser, shop.Domain);

        using var response = await browser.GetAsync(
            host.Callback(shop.Domain, state, secret: StoreHost.PreviousClientSecret),
            Ct
        );

        Assert.Equal(HttpStatusCode.Redirect, response.StatusCode);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(-100)]
    public async Task An_answer_from_more_than_90_seconds_away_is_refused(int ageSeconds)
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var state = await StoreHost.BeginAsync(browser, shop.Domain);

        await StoreHost.RefusedAsync(
            browser,
            host.Callback(shop.Domain, state, TimeSpan.FromSeconds(ageSeconds)),
            "stale"
        );
    }

    public static TheoryData<string> LookAlikes =>
        [
            "",
            "x.myshopify.com.evil.com",
            "evil.com/x.myshopify.com",
            "evil.com#.myshopify.com",
            "evil.com?.myshopify.com",
            "user@x.myshopify.com",
            "x.myshopify.com@evil.com",
            "x.myshopify.com:8080",
            "x y.myshopify.com",
            "x.myshopify.com\0",
            "x\0.myshopify.com",
            "-x.myshopify.com",
            "a.b.myshopify.com",
            ".myshopify.com",
            "x_y.myshopify.com",
            "хshop.myshopify.com",
            "\u212Aiosk.myshopify.com",
            "x.myshopify.c\u043Em",
            "x.myshopify\u3002com",
            "x.myshopify.com.",
            "x%00.myshopify.com",
            "..%2fx.myshopify.com",
            "xmyshopify.com",
            "x.myshopify.co",
            "https://evil.com/https://x.myshopify.com",
        ];

    /// <summary>What people paste: read at the start as the form reads it, never in Shopify's answer.</summary>
    public static TheoryData<string> Pasted =>
        [
            "x",
            "X",
            "x.myshopify.com\n",
            "x.myshopify.com\r\n",
            "\nx.myshopify.com",
            "x.myshopify.com/",
            "https://x.myshopify.com",
            " x.myshopify.com",
            "x.myshopify.com ",
            "x.myshopify.com\u2028",
            "https://x.myshopify.com/admin?y=1",
            "https://admin.shopify.com/store/x/settings",
        ];

    [Theory]
    [MemberData(nameof(Pasted))]
    public async Task The_start_reads_a_shop_as_the_form_does(string shop)
    {
        using var browser = await host.SignInAsync();

        using var response = await browser.GetAsync(
            new Uri($"/auth/start?shop={Uri.EscapeDataString(shop)}", UriKind.Relative),
            Ct
        );

        Assert.Equal(
            new Uri(
                host.Shopify.ShopUrl.Replace("{shop}", "x.myshopify.com", StringComparison.Ordinal)
                    + "/admin/oauth/authorize"
            ).ToString(),
            response.Headers.Location!.GetLeftPart(UriPartial.Path)
        );
        if (shop != "X")
            await StoreHost.RefusedAsync(browser, host.Callback(shop, "state"), "bad_shop");
    }

    [Theory]
    [MemberData(nameof(LookAlikes))]
    public async Task A_look_alike_of_a_shop_is_refused_at_the_start_and_in_the_answer(string shop)
    {
        using var browser = await host.SignInAsync();

        await StoreHost.RefusedAsync(
            browser,
            new Uri($"/auth/start?shop={Uri.EscapeDataString(shop)}", UriKind.Relative),
            "bad_shop"
        );
        await StoreHost.RefusedAsync(browser, host.Callback(shop, "state"), "bad_shop");
    }

    [Fact]
    public async Task A_shop_given_twice_or_not_at_all_is_refused()
    {
        using var browser = await host.SignInAsync();

        await StoreHost.RefusedAsync(browser, new Uri("/auth/start", UriKind.Relative), "bad_shop");
        await StoreHost.RefusedAsync(
            browser,
            new Uri("/auth/start?shop=x.myshopify.com&shop=y.myshopify.com", UriKind.Relative),
            "bad_shop"
        );
    }

    [Fact]
    public async Task A_signature_that_is_not_Shopifys_is_refused_and_an_old_one_counts_as_none()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();

        using var right = await browser.GetAsync(
            StoreHost.SignedByShopify(
                "/auth/start",
                StoreHost.ClientSecret,
                ("shop", shop.Domain),
                ("timestamp", "1337178173")
            ),
            Ct
        );

        Assert.Equal(HttpStatusCode.Redirect, right.StatusCode);
        await StoreHost.RefusedAsync(
            browser,
            StoreHost.SignedByShopify("/auth/start", "wrong", ("shop", shop.Domain), ("timestamp", "1337178173")),
            "bad_signature"
        );
    }

    [Fact]
    public async Task A_missing_permission_is_named_and_nothing_is_stored()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        shop.Scope = "read_orders,read_products";
        var state = await StoreHost.BeginAsync(browser, shop.Domain);

        using var response = await browser.GetAsync(host.Callback(shop.Domain, state), Ct);

        var problem = await response.Content.ReadFromJsonAsync<JsonElement>(Ct);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal("missing_scopes", problem.GetProperty("code").GetString());
        Assert.Contains("read_customers", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Null(await host.FindTenantAsync(shop.ShopId));
    }

    [Fact]
    public async Task Permission_to_write_includes_reading_and_all_orders_lifts_the_limit_on_history()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        shop.Scope = "write_orders,read_customers,write_products,read_all_orders";

        var tenant = await host.ConnectAsync(browser, shop);

        Assert.False(tenant.HistoryLimited);
    }

    [Fact]
    public async Task A_store_in_a_time_zone_that_is_not_known_here_is_not_connected()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        shop.TimeZone = "Europe/Atlantis";
        var state = await StoreHost.BeginAsync(browser, shop.Domain);

        using var refused = await browser.GetAsync(host.Callback(shop.Domain, state), Ct);

        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        Assert.Contains("Europe/Atlantis", await refused.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);
        Assert.Null(await host.FindTenantAsync(shop.ShopId));
    }

    [Fact]
    public async Task A_store_that_comes_back_finds_its_tenant_also_under_another_domain()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var before = await host.ConnectAsync(browser, shop);
        await host.InTenantAsync(
            before,
            db => db.Tenants.ExecuteUpdateAsync(set => set.SetProperty(t => t.Status, TenantStatus.Disconnected), Ct)
        );

        var again = await host.ConnectAsync(browser, shop);
        var moved = await host.ConnectAsync(
            browser,
            host.Shopify.AddShop(shop.ShopId, $"moved-{shop.ShopId}.myshopify.com")
        );

        Assert.Equal((before.TenantId, TenantStatus.Connected), (again.TenantId, again.Status));
        Assert.Equal((before.TenantId, $"moved-{shop.ShopId}.myshopify.com"), (moved.TenantId, moved.ShopDomain));
        // Late deliveries still come under the former one.
        Assert.Equal(2, await host.InTenantAsync(before, db => db.ShopDomains.CountAsync(Ct)));
        Assert.Equal(1, await host.InTenantAsync(before, db => db.SyncJobs.CountAsync(Ct)));
    }

    [Fact]
    public async Task A_domain_that_belongs_to_another_shop_now_leads_there_and_not_to_the_old_data()
    {
        using var browser = await host.SignInAsync();
        var former = host.Shopify.AddShop();
        var formerTenant = await host.ConnectAsync(browser, former);

        var tenant = await host.ConnectAsync(browser, host.Shopify.AddShop(domain: former.Domain));

        Assert.NotEqual(formerTenant.TenantId, tenant.TenantId);
        var parked = (await host.FindTenantAsync(formerTenant.ShopId))!;
        Assert.Equal(
            ($"shop-{formerTenant.ShopId}.invalid", TenantStatus.ReconnectRequired),
            (parked.ShopDomain, parked.Status)
        );
    }

    [Fact]
    public async Task The_first_person_owns_the_store_and_the_next_who_proves_control_becomes_admin()
    {
        using var owner = await host.SignInAsync();
        using var second = await host.SignInAsync("viewer@demo.test");
        var shop = host.Shopify.AddShop();

        await host.ConnectAsync(owner, shop);
        var tenant = await host.ConnectAsync(second, shop);
        await host.ConnectAsync(owner, shop);

        var roles = await host.InTenantAsync(
            tenant,
            db => db.Memberships.OrderBy(m => m.CreatedAt).Select(m => m.Role).ToListAsync(Ct)
        );
        Assert.Equal([MemberRole.Owner, MemberRole.Admin], roles);
    }

    [Fact]
    public async Task A_store_without_an_owner_gets_the_person_who_connects_it()
    {
        using var viewer = await host.SignInAsync("viewer@demo.test");
        var shop = host.Shopify.AddShop();
        var tenant = await host.ConnectAsync(viewer, shop);
        await host.InTenantAsync(
            tenant,
            db => db.Memberships.ExecuteUpdateAsync(set => set.SetProperty(m => m.Role, MemberRole.Viewer), Ct)
        );

        await host.ConnectAsync(viewer, shop);

        Assert.Equal(
            MemberRole.Owner,
            await host.InTenantAsync(tenant, db => db.Memberships.Select(m => m.Role).SingleAsync(Ct))
        );
    }

    [Fact]
    public async Task A_declined_consent_says_so()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var state = await StoreHost.BeginAsync(browser, shop.Domain);

        await StoreHost.RefusedAsync(
            browser,
            new Uri($"/auth/callback?error=access_denied&shop={shop.Domain}&state={state}", UriKind.Relative),
            "cancelled"
        );
    }

    [Theory]
    [InlineData(400, "invalid_request", "code_refused", HttpStatusCode.BadRequest)]
    [InlineData(401, "invalid_client", "app_refused", HttpStatusCode.BadGateway)]
    [InlineData(500, "", "shop_unavailable", HttpStatusCode.BadGateway)]
    [InlineData(404, "", "shop_unavailable", HttpStatusCode.BadGateway)]
    public async Task A_token_that_is_not_given_is_explained(
        int status,
        string error,
        string code,
        HttpStatusCode answer
    )
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        (shop.TokenStatus, shop.TokenError) = (status, error);
        var state = await StoreHost.BeginAsync(browser, shop.Domain);

        await StoreHost.RefusedAsync(browser, host.Callback(shop.Domain, state), code, answer);
        Assert.Null(await host.FindTenantAsync(shop.ShopId));
    }

    [Fact]
    public async Task Webhooks_that_cannot_be_subscribed_do_not_stop_the_install()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        shop.RefusesWebhooks = true;

        var tenant = await host.ConnectAsync(browser, shop);

        Assert.Equal(1, await host.InTenantAsync(tenant, db => db.SyncJobs.CountAsync(Ct)));
    }

    [Fact]
    public async Task People_get_a_page_where_programs_get_problem_details()
    {
        using var browser = await host.SignInAsync();
        using var request = new HttpRequestMessage(
            HttpMethod.Get,
            new Uri("/auth/start?shop=%3Cscript%3E", UriKind.Relative)
        );
        request.Headers.Accept.ParseAdd("text/html");

        using var page = await browser.SendAsync(request, Ct);
        using var problem = await browser.GetAsync(new Uri("/auth/start?shop=x.y", UriKind.Relative), Ct);

        Assert.Equal(
            (HttpStatusCode.BadRequest, "text/html"),
            (page.StatusCode, page.Content.Headers.ContentType!.MediaType)
        );
        Assert.Equal(
            (HttpStatusCode.BadRequest, "application/problem+json"),
            (problem.StatusCode, problem.Content.Headers.ContentType!.MediaType)
        );
        var html = await page.Content.ReadAsStringAsync(Ct);
        Assert.Contains("your-store.myshopify.com", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", html, StringComparison.Ordinal);
    }

    // The first callback took the browser's cookie away; whoever replays it has kept theirs.
    private static Browser WithState(Browser browser, string state)
    {
        browser.SetCookie("xeno-install", state);
        return browser;
    }
}
