using System.Net;
using System.Net.Http.Headers;
using System.Security.Claims;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Http;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Development;
using XenoInsights.Tests.Connect;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Authentication;

public sealed class SignInTests(StoreHost host, PostgresServer postgres) : IClassFixture<StoreHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_page_sends_a_visitor_to_sign_in_and_keeps_where_they_were_going()
    {
        using var visitor = host.App.Visitor(followRedirects: false);

        using var response = await visitor.GetAsync(Relative("/stores/x/overview?from=2026-01-01"), Ct);

        Assert.Equal(HttpStatusCode.Redirect, response.StatusCode);
        Assert.Equal(
            "/signin?returnUrl=%2Fstores%2Fx%2Foverview%3Ffrom%3D2026-01-01",
            response.Headers.Location!.PathAndQuery
        );
    }

    [Theory]
    [InlineData("/api/tenants")]
    [InlineData("/api/no-such-thing")]
    public async Task The_API_answers_a_visitor_401_with_problem_details_and_no_redirect(string path)
    {
        using var visitor = host.App.Visitor(followRedirects: false);

        using var response = await visitor.GetAsync(Relative(path), Ct);

        Assert.Equal(
            (HttpStatusCode.Unauthorized, "application/problem+json"),
            (response.StatusCode, response.Content.Headers.ContentType!.MediaType)
        );
        Assert.Null(response.Headers.Location);
    }

    [Fact]
    public async Task A_credential_nobody_knows_is_401_even_beside_a_session()
    {
        using var browser = await host.SignInAsync();
        browser.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "nonsense");

        using var response = await browser.GetAsync(Relative("/api/tenants"), Ct);

        Assert.Equal(
            (HttpStatusCode.Unauthorized, "application/problem+json"),
            (response.StatusCode, response.Content.Headers.ContentType!.MediaType)
        );
        Assert.Equal("Bearer", Assert.Single(response.Headers.WwwAuthenticate).Scheme);
    }

    [Fact]
    public async Task A_demo_user_named_by_login_hint_is_signed_in_without_a_page()
    {
        using var browser = host.App.Visitor();

        using var landing = await browser.GetAsync(AppHost.SignInPath("owner@demo.test", "/api/tenants"), Ct);

        Assert.Equal(
            (HttpStatusCode.OK, "/api/tenants"),
            (landing.StatusCode, landing.RequestMessage!.RequestUri!.AbsolutePath)
        );
        Assert.Equal("[]", await landing.Content.ReadAsStringAsync(Ct));
    }

    [Fact]
    public async Task The_built_in_provider_answers_its_own_machine_alone_unless_told_otherwise()
    {
        // A proxy on this machine says that the caller is another one.
        using var remote = host.App.Visitor();
        remote.DefaultRequestHeaders.Add("X-Forwarded-For", "203.0.113.7");

        using var refused = await remote.GetAsync(AppHost.SignInPath("owner@demo.test", "/api/tenants"), Ct);

        Assert.Equal(
            (HttpStatusCode.Forbidden, "/dev-idp/authorize"),
            (refused.StatusCode, refused.RequestMessage!.RequestUri!.AbsolutePath)
        );
        Assert.Contains(
            "Access:BuiltInSignInForAll",
            await refused.Content.ReadAsStringAsync(Ct),
            StringComparison.Ordinal
        );
        var options = host.Services.GetRequiredService<IOptions<AccessOptions>>().Value;
        options.BuiltInSignInForAll = true;
        using var allowed = await remote.GetAsync(AppHost.SignInPath("owner@demo.test", "/api/tenants"), Ct);
        options.BuiltInSignInForAll = false;
        Assert.Equal(HttpStatusCode.OK, allowed.StatusCode);
    }

    [Fact]
    public async Task Without_a_hint_one_chooses_among_the_demo_users()
    {
        using var browser = host.App.Visitor();
        using var choice = await browser.GetAsync(Relative("/signin?returnUrl=%2Fapi%2Ftenants"), Ct);
        var page = await choice.Content.ReadAsStringAsync(Ct);
        Assert.Equal("/dev-idp/authorize", choice.RequestMessage!.RequestUri!.AbsolutePath);
        Assert.All(
            ["owner@demo.test", "viewer@demo.test", "operator@demo.test"],
            email => Assert.Contains($"value=\"{email}\"", page, StringComparison.Ordinal)
        );

        var fields = Regex
            .Matches(page, "<input type=\"hidden\" name=\"([^\"]+)\" value=\"([^\"]*)\">")
            .Select(m => KeyValuePair.Create(m.Groups[1].Value, WebUtility.HtmlDecode(m.Groups[2].Value)));
        using var form = new FormUrlEncodedContent(fields.Append(new("demo_user", "viewer@demo.test")));
        using var landing = await browser.PostAsync(choice.RequestMessage.RequestUri, form, Ct);

        Assert.Equal(
            (HttpStatusCode.OK, "/api/tenants"),
            (landing.StatusCode, landing.RequestMessage!.RequestUri!.AbsolutePath)
        );
    }

    [Theory]
    [InlineData("//evil.test")]
    [InlineData("/\\evil.test")]
    [InlineData("/\t/evil.test")]
    [InlineData("/\r\n/evil.test")]
    [InlineData("\\\\evil.test")]
    [InlineData("https://evil.test")]
    [InlineData("https:evil.test")]
    [InlineData("javascript:alert(1)")]
    [InlineData("~//evil.test")]
    [InlineData("~/x")]
    [InlineData("evil.test")]
    [InlineData(" /x")]
    [InlineData("")]
    public async Task Signing_in_never_leads_to_another_site(string returnUrl)
    {
        using var browser = host.App.Visitor(followRedirects: false);
        Uri? next = AppHost.SignInPath("owner@demo.test", returnUrl);
        Uri last = next;
        while (next is not null && last.OriginalString != "/")
        {
            using var response = await browser.GetAsync(next, Ct);
            next = response.Headers.Location is { } location ? location : null;
            last = next ?? last;
            if (next?.IsAbsoluteUri == true)
                Assert.Equal(host.App.Address.Authority, next.Authority);
        }
        Assert.Equal("/", last.OriginalString);

        // Signed in already, the way is shorter and as safe.
        using var again = await browser.GetAsync(Relative("/signin?returnUrl=" + Uri.EscapeDataString(returnUrl)), Ct);
        Assert.Equal("/", again.Headers.Location!.OriginalString);
    }

    [Theory]
    [InlineData("/café?q=naïve", "/caf%C3%A9?q=na%C3%AFve")]
    [InlineData("/a\u2028b", "/a%E2%80%A8b")]
    [InlineData("/\ud83d\udecd?x=1#\u00fc", "/%F0%9F%9B%8D?x=1#%C3%BC")]
    [InlineData("/stores/x/orders?q=%C3%A9+a", "/stores/x/orders?q=%C3%A9+a")]
    public async Task Signing_in_leads_to_addresses_of_any_letters(string returnUrl, string location)
    {
        var address = Relative("/signin?login_hint=owner@demo.test&returnUrl=" + Uri.EscapeDataString(returnUrl));
        using var signedIn = await host.SignInAsync();
        using var visitor = host.App.Visitor(followRedirects: false);
        using var direct = await signedIn.GetAsync(address, Ct);
        Uri? next = address;
        Uri last = next;
        while (next is not null && !last.OriginalString.EndsWith(location, StringComparison.Ordinal))
        {
            using var response = await visitor.GetAsync(next, Ct);
            Assert.True((int)response.StatusCode < 400, $"{next} answered {(int)response.StatusCode}");
            next = response.Headers.Location;
            last = next ?? last;
        }

        Assert.Equal(location, direct.Headers.Location!.OriginalString);
        Assert.Equal(location, last.OriginalString);
    }

    [Fact]
    public async Task A_person_is_one_user_however_often_they_sign_in_and_only_the_operator_operates()
    {
        using var first = await host.SignInAsync();
        using var again = host.App.Visitor();
        using var operatorBrowser = await host.SignInAsync("operator@demo.test");
        using var landing = await again.GetAsync(AppHost.SignInPath("owner@demo.test", "/signed-out"), Ct);

        var (one, operators) = (await SessionOfAsync(first), await SessionOfAsync(operatorBrowser));

        Assert.NotEqual(one.UserId(), operators.UserId());
        Assert.Equal((false, true), (one.IsOperator(), operators.IsOperator()));
        var user = await host
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(db => db.Users.SingleAsync(u => u.Email == "owner@demo.test", Ct), Ct);
        Assert.Equal((one.UserId(), "owner@demo.test", false), (user.UserId, user.Subject, user.IsOperator));
    }

    [Fact]
    public async Task The_session_cookie_is_hidden_from_scripts_and_other_sites()
    {
        using var browser = new Browser(host.App);
        string? cookie = null;
        for (Uri? next = AppHost.SignInPath(); next is not null && cookie is null; )
        {
            using var response = await browser.GetAsync(next, Ct);
            cookie = response.Headers.TryGetValues("Set-Cookie", out var cookies)
                ? cookies.FirstOrDefault(c => c.StartsWith("xeno=", StringComparison.Ordinal))
                : null;
            next = response.Headers.Location;
        }

        Assert.Contains("path=/;", cookie, StringComparison.Ordinal);
        Assert.Contains("samesite=lax", cookie, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("httponly", cookie, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("domain=", cookie, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Signing_out_needs_a_form_of_ours_and_ends_the_session()
    {
        using var browser = await host.SignInAnewAsync();
        using var forged = await browser.PostAsync(Relative("/signout"), null, Ct);
        Assert.Equal(HttpStatusCode.BadRequest, forged.StatusCode);

        var antiforgery = host.Services.GetRequiredService<IAntiforgery>();
        var context = new DefaultHttpContext { User = await SessionOfAsync(browser), RequestServices = host.Services };
        var tokens = antiforgery.GetTokens(context);
        var cookieName = host.Services.GetRequiredService<IOptions<AntiforgeryOptions>>().Value.Cookie.Name;
        browser.SetCookie(cookieName!, tokens.CookieToken!);
        using var form = new FormUrlEncodedContent([new(tokens.FormFieldName, tokens.RequestToken!)]);
        using var signedOut = await browser.PostAsync(Relative("/signout"), form, Ct);
        using var after = await browser.GetAsync(Relative("/api/tenants"), Ct);

        Assert.Equal("/signed-out", signedOut.Headers.Location!.OriginalString);
        Assert.Equal(HttpStatusCode.Unauthorized, after.StatusCode);
    }

    [Fact]
    public async Task A_sign_in_that_cannot_finish_ends_on_a_page_that_says_how_to_go_on()
    {
        using var visitor = host.App.Visitor();

        using var response = await visitor.GetAsync(Relative("/signin-oidc?code=x&state=y"), Ct);

        Assert.Equal(
            (HttpStatusCode.BadRequest, "text/html"),
            (response.StatusCode, response.Content.Headers.ContentType!.MediaType)
        );
        Assert.Contains("href=\"/signin\"", await response.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Any_OpenID_Connect_provider_will_do_and_operators_are_named_by_configuration()
    {
        // The provider is the built-in one of the other instance, reached as any provider is: by its metadata.
        await using var database = await postgres.CreateDatabaseAsync();
        await using var app = await AppHost.StartAsync(
            database,
            new Dictionary<string, string?>
            {
                ["Oidc:MetadataAddress"] = new Uri(
                    host.App.Address,
                    DevelopmentIdentityProvider.MetadataPath
                ).ToString(),
                ["Oidc:ClientId"] = DevelopmentIdentityProvider.ClientId,
                ["Oidc:ClientSecret"] = DevelopmentIdentityProvider.ClientSecret,
                ["Access:Operators:0"] = "VIEWER@demo.test",
                ["Shopify:ClientId"] = "x",
                ["Shopify:ClientSecret"] = "y",
                ["FakeShopify:Enabled"] = "false",
            }
        );
        using var browser = app.Visitor();

        using var landing = await browser.GetAsync(AppHost.SignInPath("viewer@demo.test", "/api/tenants"), Ct);
        using var ownProvider = await browser.GetAsync(Relative(DevelopmentIdentityProvider.MetadataPath), Ct);

        Assert.Equal(HttpStatusCode.OK, landing.StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, ownProvider.StatusCode);
        var user = await app.Services.GetRequiredService<SystemDatabase>().RunAsync(db => db.Users.SingleAsync(Ct), Ct);
        Assert.Equal(("viewer@demo.test", true), (user.Email, user.IsOperator));
    }

    [Fact]
    public async Task An_unreachable_provider_is_a_page_and_not_an_error()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var app = await AppHost.StartAsync(
            database,
            new Dictionary<string, string?>
            {
                ["Oidc:Authority"] = "http://127.0.0.1:9",
                ["Oidc:ClientId"] = "x",
                ["Shopify:ClientId"] = "x",
                ["Shopify:ClientSecret"] = "y",
                ["FakeShopify:Enabled"] = "false",
            }
        );
        using var visitor = app.Visitor();

        using var response = await visitor.GetAsync(Relative("/signin"), Ct);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.Contains("does not answer", await response.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(
        "Oidc:Authority (or Oidc:MetadataAddress) is missing",
        null,
        "k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    )]
    [InlineData("Oidc:Authority must be https", "http://idp.test", "k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
    [InlineData("Encryption:Keys is missing", "https://idp.test", null)]
    public async Task Production_does_not_start_on_what_only_Development_may_lack(
        string complaint,
        string? authority,
        string? key
    )
    {
        await using var database = await postgres.CreateDatabaseAsync();
        var settings = new Dictionary<string, string?>
        {
            ["App:PublicUrl"] = "https://insights.test",
            ["Shopify:ClientId"] = "x",
            ["Shopify:ClientSecret"] = "y",
            ["FakeShopify:Enabled"] = "false",
            ["Oidc:Authority"] = authority,
            ["Oidc:ClientId"] = "x",
            ["Encryption:Keys:0"] = key,
        };
        if (key is null)
            settings.Remove("Encryption:Keys:0");

        var failure = await Assert.ThrowsAnyAsync<Exception>(() =>
            AppHost.StartAsync(database, settings, "Production")
        );

        Assert.Contains(complaint, failure.ToString(), StringComparison.Ordinal);
    }

    private static Uri Relative(string address) => new(address, UriKind.Relative);

    /// <summary>Whose session the browser's cookie leads to.</summary>
    private async Task<ClaimsPrincipal> SessionOfAsync(Browser browser)
    {
        var options = host
            .Services.GetRequiredService<IOptionsMonitor<CookieAuthenticationOptions>>()
            .Get(CookieAuthenticationDefaults.AuthenticationScheme);
        var key = Assert.Single(options.TicketDataFormat.Unprotect(browser.Session!.Value)!.Principal.Claims).Value;
        return (await options.SessionStore!.RetrieveAsync(key, new DefaultHttpContext(), Ct))!.Principal;
    }
}
