using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Tests.Connect;

/// <summary>People whom Shopify's admin sends, links on other sites, and whose account a store is connected to.</summary>
public sealed class AppUrlTests(StoreHost host) : IClassFixture<StoreHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("/")]
    [InlineData("/auth/start")]
    public async Task Whom_Shopify_sends_meets_its_consent_first_then_signs_in_and_connects_the_store_by_a_button(
        string path
    )
    {
        using var browser = new Browser(host.App);
        var shop = host.Shopify.AddShop();
        var callback = await ApprovedAsync(browser, shop, path);

        using var first = await browser.GetAsync(callback, Ct);
        Assert.Equal("/signin", first.Headers.Location!.AbsolutePath);
        Assert.Equal(
            callback.ToString(),
            QueryHelpers.ParseQuery(first.Headers.Location.Query)["returnUrl"].ToString()
        );
        await SignInAsync(browser);
        // Making an account takes a while.
        host.Clock.Advance(TimeSpan.FromMinutes(5));
        var (question, form) = await QuestionAsync(browser, callback);
        Assert.Contains(shop.Domain, question, StringComparison.Ordinal);
        Assert.Contains("owner@demo.test", question, StringComparison.Ordinal);
        Assert.Equal((0, null), (shop.Calls, await host.FindTenantAsync(shop.ShopId)));

        using var connected = await browser.PostAsync(callback, form, Ct);

        Assert.Equal($"/stores/{shop.Domain.Split('.')[0]}/overview", connected.Headers.Location!.ToString());
        var tenant = (await host.FindTenantAsync(shop.ShopId))!;
        Assert.Equal(
            (TenantStatus.Connected, MemberRole.Owner),
            (tenant.Status, (await host.InTenantAsync(tenant, db => db.Memberships.SingleAsync(Ct))).Role)
        );
        await RefusedAsync(browser, callback, form, "bad_state");
    }

    [Fact]
    public async Task An_approval_cannot_be_finished_by_a_link_in_another_browser_nor_without_our_form()
    {
        using var attacker = await host.SignInAsync("viewer@demo.test");
        using var victim = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var callback = await ApprovedAsync(attacker, shop, "/");

        // The attacker's approval in the victim's browser, with and without a form that the attacker got for their own account.
        await StoreHost.RefusedAsync(victim, callback, "bad_state");
        var (_, form) = await QuestionAsync(attacker, callback);
        await RefusedAsync(victim, callback, form, "bad_form");
        // The attacker's browser with somebody else signed in: the form was not shown to them.
        await SignInAsync(attacker);
        await RefusedAsync(attacker, callback, form, "bad_form");
        await RefusedAsync(attacker, callback, null, "bad_form");

        Assert.Equal((0, null), (shop.Calls, await host.FindTenantAsync(shop.ShopId)));
    }

    [Fact]
    public async Task What_a_person_began_here_is_finished_by_nobody_else()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var callback = host.Callback(shop.Domain, await StoreHost.BeginAsync(browser, shop.Domain));
        using var stranger = new Browser(host.App);
        foreach (Cookie cookie in browser.Cookies.GetAllCookies())
            stranger.SetCookie(cookie.Name, cookie.Value);
        await SignInAsync(stranger, "viewer@demo.test");

        await StoreHost.RefusedAsync(stranger, callback, "bad_state");

        Assert.Equal(0, shop.Calls);
    }

    [Fact]
    public async Task A_member_of_a_connected_store_gets_its_dashboard_until_Shopify_no_longer_lets_us_in()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var tenant = await host.ConnectAsync(browser, shop);
        var dashboard = $"/stores/{tenant.Handle}/overview";

        Assert.Equal(dashboard, await OpenAsync(browser, AppUrl("/", shop.Domain)));
        Assert.Equal(dashboard, await OpenAsync(browser, AppUrl("/", shop.Domain, TimeSpan.FromDays(1))));

        // Removed and installed again in Shopify, and the webhook that told us was lost.
        shop.Revoke();
        Assert.Contains(
            "/admin/oauth/authorize",
            await OpenAsync(browser, AppUrl("/", shop.Domain)),
            StringComparison.Ordinal
        );
        var callback = await ApprovedAsync(browser, shop, "/");
        using var connected = await browser.GetAsync(callback, Ct);
        Assert.Equal(dashboard, connected.Headers.Location!.ToString());
        Assert.Equal((2, dashboard), (shop.Calls, await OpenAsync(browser, AppUrl("/", shop.Domain))));
    }

    [Fact]
    public async Task A_member_who_was_signed_out_comes_to_the_dashboard_without_connecting_the_store_again()
    {
        using var owner = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var tenant = await host.ConnectAsync(owner, shop);
        await host.InTenantAsync(tenant, db => db.SyncJobs.ExecuteDeleteAsync(Ct));
        using var browser = new Browser(host.App);

        var callback = await ApprovedAsync(browser, shop, "/");
        await SignInAsync(browser);
        using var opened = await browser.GetAsync(callback, Ct);

        Assert.Equal($"/stores/{tenant.Handle}/overview", opened.Headers.Location!.ToString());
        Assert.Equal((1, 0), (shop.Calls, await host.InTenantAsync(tenant, db => db.SyncJobs.CountAsync(Ct))));
        await StoreHost.RefusedAsync(browser, callback, "bad_state");
    }

    [Fact]
    public async Task A_store_named_without_a_signature_of_now_is_carried_to_the_form()
    {
        using var visitor = new Browser(host.App);
        using var member = await host.SignInAsync();

        foreach (var browser in (Browser[])[visitor, member])
        {
            Assert.Equal(
                "/stores?shop=new-shop.myshopify.com",
                await OpenAsync(browser, new("/?shop=new-shop", UriKind.Relative))
            );
            Assert.Equal(
                "/stores?shop=new-shop.myshopify.com",
                await OpenAsync(browser, AppUrl("/", "new-shop.myshopify.com", TimeSpan.FromMinutes(3)))
            );
            Assert.Equal(
                "/stores?shop=nothing%20like%20%C3%A9",
                await OpenAsync(browser, new("/?shop=nothing+like+%C3%A9", UriKind.Relative))
            );
            await StoreHost.RefusedAsync(
                browser,
                StoreHost.SignedByShopify("/", "wrong", Parameters("new-shop.myshopify.com")),
                "bad_signature"
            );
        }
        using var form = await member.GetAsync(new Uri("/stores?shop=new-shop.myshopify.com", UriKind.Relative), Ct);
        Assert.Matches(
            "<input id=\"shop\"[^>]*value=\"new-shop.myshopify.com\"",
            await form.Content.ReadAsStringAsync(Ct)
        );
    }

    [Theory]
    [InlineData("Sec-Fetch-Site: cross-site", true)]
    [InlineData("Sec-Fetch-Site: same-site", true)]
    [InlineData("Sec-Fetch-Site: none", false)]
    [InlineData("Sec-Fetch-Site: same-origin", false)]
    [InlineData("Referer: https://evil.test/page", true)]
    [InlineData("Referer: {app}stores", false)]
    [InlineData("Accept: text/html", true)]
    [InlineData("Accept: */*", false)]
    public async Task A_link_on_another_site_does_not_connect_a_store_without_a_button(string header, bool asks)
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        var start = new Uri($"/auth/start?shop={shop.Domain}", UriKind.Relative);
        using var request = new HttpRequestMessage(HttpMethod.Get, start);
        var (name, value) = (header.Split(": ")[0], header.Split(": ")[1]);
        request.Headers.Add(name, value.Replace("{app}", host.App.Address.ToString(), StringComparison.Ordinal));

        using var response = await browser.SendAsync(request, Ct);

        Assert.Equal(asks ? HttpStatusCode.OK : HttpStatusCode.Redirect, response.StatusCode);
        if (!asks)
            return;
        var form = Form(await response.Content.ReadAsStringAsync(Ct), ("shop", shop.Domain));
        using var forged = await browser.PostAsync(start, Fields(("shop", shop.Domain)), Ct);
        Assert.Equal(HttpStatusCode.BadRequest, forged.StatusCode);
        using var confirmed = await browser.PostAsync(start, form, Ct);
        Assert.Contains("/admin/oauth/authorize", confirmed.Headers.Location!.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_link_that_Shopify_has_just_signed_may_come_from_its_site()
    {
        using var browser = await host.SignInAsync();
        using var request = new HttpRequestMessage(
            HttpMethod.Get,
            AppUrl("/auth/start", host.Shopify.AddShop().Domain)
        );
        request.Headers.Add("Sec-Fetch-Site", "cross-site");

        using var response = await browser.SendAsync(request, Ct);

        Assert.Contains("/admin/oauth/authorize", response.Headers.Location!.ToString(), StringComparison.Ordinal);
    }

    private Uri AppUrl(string path, string shop, TimeSpan age = default) =>
        StoreHost.SignedByShopify(path, StoreHost.ClientSecret, Parameters(shop, age));

    private (string, string)[] Parameters(string shop, TimeSpan age = default) =>
        [
            ("embedded", "1"),
            ("host", "YWRtaW4uc2hvcGlmeS5jb20"),
            ("shop", shop),
            ("timestamp", (host.Clock.GetUtcNow() - age).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture)),
        ];

    private static async Task<string> OpenAsync(Browser browser, Uri address)
    {
        using var response = await browser.GetAsync(address, Ct);
        Assert.True(
            response.StatusCode == HttpStatusCode.Redirect,
            $"{address} answered {(int)response.StatusCode} {await response.Content.ReadAsStringAsync(Ct)}"
        );
        return response.Headers.Location!.ToString();
    }

    /// <summary>Opens the app from Shopify's admin, and Shopify's answer after consent.</summary>
    private async Task<Uri> ApprovedAsync(Browser browser, FakeShop shop, string path)
    {
        var consent = new Uri(await OpenAsync(browser, AppUrl(path, shop.Domain)));
        Assert.Equal(
            new Uri(
                host.Shopify.ShopUrl.Replace("{shop}", shop.Domain, StringComparison.Ordinal) + "/admin/oauth/authorize"
            ).AbsolutePath,
            consent.AbsolutePath
        );
        return host.Callback(shop.Domain, QueryHelpers.ParseQuery(consent.Query)["state"].ToString());
    }

    private async Task SignInAsync(Browser browser, string email = "owner@demo.test")
    {
        using var session = await host.SignInAsync(email);
        browser.SetCookie(session.Session!.Name, session.Session.Value);
    }

    private static async Task<(string Text, FormUrlEncodedContent Form)> QuestionAsync(Browser browser, Uri callback)
    {
        using var question = await browser.GetAsync(callback, Ct);
        var text = await question.Content.ReadAsStringAsync(Ct);
        Assert.True(question.StatusCode == HttpStatusCode.OK, text);
        return (text, Form(text));
    }

    private static FormUrlEncodedContent Form(string html, params (string Name, string Value)[] fields)
    {
        var token = Regex.Match(html, "name=\"__RequestVerificationToken\" value=\"([^\"]+)\"");
        Assert.True(token.Success, html);
        return Fields([("__RequestVerificationToken", WebUtility.HtmlDecode(token.Groups[1].Value)), .. fields]);
    }

    private static FormUrlEncodedContent Fields(params (string Name, string Value)[] fields) =>
        new(fields.Select(field => KeyValuePair.Create(field.Name, field.Value)));

    private static async Task RefusedAsync(Browser browser, Uri address, FormUrlEncodedContent? form, string code)
    {
        using var response = await browser.PostAsync(address, form, Ct);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains($"\"{code}\"", await response.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);
    }
}
