using System.Net;
using System.Net.WebSockets;
using XenoInsights.Tests.Connect;

namespace XenoInsights.Tests.Authentication;

public sealed class OriginCheckTests(StoreHost host, PublicHost outside)
    : IClassFixture<StoreHost>,
        IClassFixture<PublicHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static TheoryData<string> Foreign =>
        ["https://evil.test", "http://localhost:1", "null", "http://evil.localhost", ""];

    [Theory]
    [MemberData(nameof(Foreign))]
    public async Task A_circuit_is_refused_to_pages_of_other_sites(string origin)
    {
        using var browser = await host.SignInAsync();

        Assert.Equal(HttpStatusCode.Forbidden, await NegotiateAsync(browser, origin));
        Assert.Equal(
            HttpStatusCode.Forbidden,
            await ConnectAsync(host.App.Address, browser.Cookies, "_blazor", origin)
        );
        Assert.Equal(
            HttpStatusCode.Forbidden,
            await ConnectAsync(host.App.Address, browser.Cookies, "api/tenants", origin)
        );
    }

    [Fact]
    public async Task A_circuit_opens_for_the_apps_own_pages_at_any_address_and_for_programs()
    {
        using var browser = await host.SignInAsync();
        var here = host.App.Address.GetLeftPart(UriPartial.Authority);
        var byNumber = new UriBuilder(host.App.Address) { Host = "127.0.0.1" }.Uri;

        Assert.Equal(HttpStatusCode.OK, await NegotiateAsync(browser, here));
        Assert.Equal(HttpStatusCode.OK, await NegotiateAsync(browser, origin: null));
        Assert.Equal(
            HttpStatusCode.SwitchingProtocols,
            await ConnectAsync(host.App.Address, browser.Cookies, "_blazor", here)
        );
        Assert.Equal(
            HttpStatusCode.SwitchingProtocols,
            await ConnectAsync(host.App.Address, browser.Cookies, "_blazor", origin: null)
        );
        var cookies = new CookieContainer();
        cookies.Add(byNumber, new Cookie("xeno", browser.Session!.Value));
        Assert.Equal(
            HttpStatusCode.SwitchingProtocols,
            await ConnectAsync(byNumber, cookies, "_blazor", byNumber.GetLeftPart(UriPartial.Authority))
        );
    }

    [Theory]
    [InlineData(PublicHost.PublicUrl, HttpStatusCode.Unauthorized)]
    [InlineData("https://insights.test:8443", HttpStatusCode.Forbidden)]
    [InlineData("http://insights.test", HttpStatusCode.Forbidden)]
    [InlineData("https://evil.insights.test", HttpStatusCode.Forbidden)]
    public async Task Behind_a_proxy_the_public_address_counts(string origin, HttpStatusCode status)
    {
        using var visitor = outside.App.Visitor();

        Assert.Equal(status, await NegotiateAsync(visitor, origin));
    }

    private static async Task<HttpStatusCode> NegotiateAsync(HttpClient browser, string? origin)
    {
        using var request = new HttpRequestMessage(
            HttpMethod.Post,
            new Uri("/_blazor/negotiate?negotiateVersion=1", UriKind.Relative)
        );
        if (origin is not null)
            request.Headers.TryAddWithoutValidation("Origin", origin);
        using var response = await browser.SendAsync(request, Ct);
        return response.StatusCode;
    }

    private static async Task<HttpStatusCode> ConnectAsync(
        Uri app,
        CookieContainer cookies,
        string path,
        string? origin
    )
    {
        using var socket = new ClientWebSocket();
        socket.Options.Cookies = cookies;
        socket.Options.CollectHttpResponseDetails = true;
        if (origin is not null)
            socket.Options.SetRequestHeader("Origin", origin);
        try
        {
            await socket.ConnectAsync(new UriBuilder(new Uri(app, path)) { Scheme = "ws" }.Uri, Ct);
        }
        catch (WebSocketException)
        {
            // The status says why.
        }
        return socket.HttpStatusCode;
    }
}
