using System.Net;

namespace XenoInsights.Tests.Authentication;

/// <summary>
/// What follows from an https <c>App:PublicUrl</c> and a provider that is discovered by its metadata.
/// </summary>
public sealed class PublicAddressTests(PublicHost host) : IClassFixture<PublicHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_answer_requires_https_and_every_cookie_is_bound_to_this_host()
    {
        using var browser = await host.SignInAsync("ann@shop.test");
        using var form = await browser.FormAsync("/stores");
        foreach (
            var path in (string[])
                [
                    "/health/live",
                    "/api/tenants",
                    "/api/no-such-thing",
                    "/no-such-page",
                    "/app.css",
                    "/signin-oidc?code=x&state=y",
                    "/",
                ]
        )
            (await browser.SendAsync(HttpMethod.Get, Relative(path))).Dispose();

        Assert.All(
            browser.Visits.Where(v => v.Answer is not null),
            visit =>
                Assert.True(
                    visit.Answer!.Headers.TryGetValues("Strict-Transport-Security", out var values)
                        && values.Single() == "max-age=31536000",
                    visit.Address.ToString()
                )
        );
        Assert.Equal(
            ["xeno", "xeno-form", "xeno-nonce", "xeno-sign-in"],
            browser.CookiesSet.Select(NameWithoutPrefix).Distinct().Order(StringComparer.Ordinal)
        );
        Assert.All(
            browser.CookiesSet,
            cookie =>
            {
                Assert.StartsWith("__Host-", cookie, StringComparison.Ordinal);
                Assert.Contains("; path=/;", cookie, StringComparison.OrdinalIgnoreCase);
                Assert.Contains("; secure", cookie, StringComparison.OrdinalIgnoreCase);
                Assert.Contains("; httponly", cookie, StringComparison.OrdinalIgnoreCase);
                Assert.DoesNotContain("domain=", cookie, StringComparison.OrdinalIgnoreCase);
            }
        );
    }

    [Fact]
    public async Task Answers_do_not_name_the_server_and_forms_lead_to_the_provider_and_Shopify_alone()
    {
        using var browser = new OutsideBrowser(host.App.Address);
        using var response = await browser.SendAsync(HttpMethod.Get, Relative("/signed-out"));

        Assert.False(response.Headers.Contains("Server"));
        var policy = response.Headers.GetValues("Content-Security-Policy").Single();
        Assert.Contains(
            $"form-action 'self' {host.Provider.Issuer} https://*.myshopify.com https://*.shopify.com ",
            policy,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task Answers_of_the_API_are_kept_by_nobody()
    {
        using var browser = await host.SignInAsync("dee@shop.test");
        using var response = await browser.SendAsync(HttpMethod.Get, Relative("/api/tenants"));

        Assert.Equal((HttpStatusCode.OK, true), (response.StatusCode, response.Headers.CacheControl!.NoStore));
    }

    [Fact]
    public async Task Signing_out_ends_the_providers_session_as_well_and_comes_back()
    {
        using var browser = await host.SignInAsync("ben@shop.test");
        using var form = await browser.FormAsync("/stores");
        host.Provider.SignOuts.Clear();

        var landing = await browser.FollowAsync(Relative("/signout"), HttpMethod.Post, form);

        var asked = Assert.Single(host.Provider.SignOuts);
        Assert.Equal(FakeProvider.ClientId, asked["client_id"]);
        Assert.Equal(3, asked["id_token_hint"].ToString().Split('.').Length);
        Assert.Equal(PublicHost.PublicUrl + "/signout-callback-oidc", asked["post_logout_redirect_uri"]);
        Assert.Equal(PublicHost.PublicUrl + "/signed-out", landing.ToString());
        using var after = await browser.SendAsync(HttpMethod.Get, Relative("/api/tenants"));
        Assert.Equal(HttpStatusCode.Unauthorized, after.StatusCode);
    }

    [Theory]
    [InlineData("/signout-oidc")]
    [InlineData("/signout-oidc?iss=http%3A%2F%2Fevil.test&sid=s1")]
    public async Task No_link_signs_anybody_out(string link)
    {
        using var browser = await host.SignInAsync("cid@shop.test");

        (await browser.SendAsync(HttpMethod.Get, Relative(link))).Dispose();

        using var after = await browser.SendAsync(HttpMethod.Get, Relative("/api/tenants"));
        Assert.Equal(HttpStatusCode.OK, after.StatusCode);
    }

    private static Uri Relative(string address) => new(address, UriKind.Relative);

    private static string NameWithoutPrefix(string cookie) =>
        cookie.Split('=')[0].Replace("__Host-", "", StringComparison.Ordinal).Split('.')[0];
}
