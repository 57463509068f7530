using System.Net;
using System.Text.RegularExpressions;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Authentication;

/// <summary>
/// The product as it stands behind a proxy that ends TLS and is not believed: an https address outside, plain http
/// here.
/// </summary>
public sealed class PublicHost(PostgresServer postgres) : IAsyncLifetime
{
    public const string PublicUrl = "https://insights.test";

    private TestDatabase _database = null!;

    public FakeProvider Provider { get; private set; } = null!;
    public AppHost App { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        _database = await postgres.CreateDatabaseAsync();
        Provider = await FakeProvider.StartAsync();
        App = await AppHost.StartAsync(
            _database,
            new Dictionary<string, string?>
            {
                ["App:PublicUrl"] = PublicUrl,
                ["Shopify:ClientId"] = "x",
                ["Shopify:ClientSecret"] = "y",
                ["FakeShopify:Enabled"] = "false",
                ["Oidc:Authority"] = Provider.Issuer,
                ["Oidc:ClientId"] = FakeProvider.ClientId,
                ["Oidc:ClientSecret"] = FakeProvider.ClientSecret,
            }
        );
    }

    public async ValueTask DisposeAsync()
    {
        await App.DisposeAsync();
        await Provider.DisposeAsync();
        await _database.DisposeAsync();
    }

    /// <summary>A browser that has signed in at the provider.</summary>
    public async Task<OutsideBrowser> SignInAsync(string email)
    {
        var browser = new OutsideBrowser(App.Address);
        var landing = await browser.FollowAsync(AppHost.SignInPath(email, "/signed-out"));
        Assert.Equal("/signed-out", landing.AbsolutePath);
        return browser;
    }
}

/// <summary>
/// A browser outside: knows the app by its https address, which leads to the app's port, and keeps cookies by name
/// alone, as one would over https.
/// </summary>
public sealed class OutsideBrowser(Uri app) : IDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false });
    private readonly Dictionary<string, string> _cookies = [];

    /// <summary>Every <c>Set-Cookie</c> of the app, whole.</summary>
    public List<string> CookiesSet { get; } = [];

    /// <summary>The addresses visited, as the browser knows them, and what the app answered to its own.</summary>
    public List<(Uri Address, HttpResponseMessage? Answer)> Visits { get; } = [];

    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, Uri address, HttpContent? content = null)
    {
        var outside = new Uri(new Uri(PublicHost.PublicUrl), address);
        var isApp = outside.Host == new Uri(PublicHost.PublicUrl).Host;
        using var request = new HttpRequestMessage(method, isApp ? new Uri(app, outside.PathAndQuery) : outside)
        {
            Content = content,
        };
        if (isApp && _cookies.Count > 0)
            request.Headers.Add("Cookie", string.Join("; ", _cookies.Select(c => $"{c.Key}={c.Value}")));
        var response = await _http.SendAsync(request);
        if (isApp)
            Keep(response);
        Visits.Add((outside, isApp ? response : null));
        return response;
    }

    /// <summary>Follows redirects; returns the last address.</summary>
    public async Task<Uri> FollowAsync(Uri address, HttpMethod? method = null, HttpContent? content = null)
    {
        for (var hop = 0; hop < 10; hop++)
        {
            var response = await SendAsync(method ?? HttpMethod.Get, address, content);
            var here = Visits[^1].Address;
            if (response.Headers.Location is not { } location)
                return here;
            (address, method, content) = (new Uri(here, location), HttpMethod.Get, null);
        }
        throw new InvalidOperationException($"Too many redirects, the last to {address}.");
    }

    /// <summary>The form of a page of the app, with its token against forgery.</summary>
    public async Task<FormUrlEncodedContent> FormAsync(string page)
    {
        using var response = await SendAsync(HttpMethod.Get, new Uri(page, UriKind.Relative));
        var html = await response.Content.ReadAsStringAsync();
        var field = Regex.Match(html, "name=\"__RequestVerificationToken\" value=\"([^\"]+)\"");
        Assert.True(field.Success, html);
        return new([new("__RequestVerificationToken", WebUtility.HtmlDecode(field.Groups[1].Value))]);
    }

    public void Dispose() => _http.Dispose();

    private void Keep(HttpResponseMessage response)
    {
        if (!response.Headers.TryGetValues("Set-Cookie", out var cookies))
            return;
        foreach (var cookie in cookies)
        {
            CookiesSet.Add(cookie);
            var pair = cookie.Split(';')[0].Split('=', 2);
            if (pair[1].Length == 0)
                _cookies.Remove(pair[0]);
            else
                _cookies[pair[0]] = pair[1];
        }
    }
}
