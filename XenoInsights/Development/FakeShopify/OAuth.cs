using System.Buffers.Text;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;

namespace XenoInsights.Development.FakeShopify;

/// <summary>The answer of the token endpoint; the last three only for expiring tokens.</summary>
internal sealed record DemoTokens(
    [property: JsonPropertyName("access_token")] string AccessToken,
    [property: JsonPropertyName("scope")] string Scope,
    [property: JsonPropertyName("expires_in"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        long? ExpiresIn = null,
    [property: JsonPropertyName("refresh_token"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        string? RefreshToken = null,
    [property:
        JsonPropertyName("refresh_token_expires_in"),
        JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)
    ]
        long? RefreshTokenExpiresIn = null
);

/// <summary>
/// The app's install in one store. Tokens carry what they say under a signature, so that those an app has kept
/// still work after this process was restarted, as they would on the platform.
/// </summary>
internal sealed class DemoGrant
{
    private static readonly TimeSpan _codeLifetime = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan _refreshLifetime = TimeSpan.FromDays(90);
    private static readonly TimeSpan _retryWindow = TimeSpan.FromDays(30);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, (string Scopes, DateTimeOffset Expires)> _codes = [];
    private readonly Dictionary<string, (DemoTokens Next, DateTimeOffset FirstUsed)> _rotated = [];
    private readonly Dictionary<string, string> _predecessor = [];
    private readonly HashSet<string> _dead = [];
    private byte[] _key = [];
    private TimeSpan _accessLifetime;
    private DateTimeOffset _uninstalledAt = DateTimeOffset.MinValue;
    private DateTimeOffset _reinstalledAt = DateTimeOffset.MinValue;

    /// <summary>Scopes of the present install, or null.</summary>
    public string? InstalledScopes { get; private set; }

    public void Open(string shop, string clientSecret, TimeSpan lifetime)
    {
        _key = HMACSHA256.HashData(Encoding.UTF8.GetBytes(clientSecret), Encoding.UTF8.GetBytes(shop));
        _accessLifetime = lifetime;
    }

    public string NewCode(string scopes, DateTimeOffset now)
    {
        var code = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
        lock (_gate)
        {
            _codes[code] = (scopes, now + _codeLifetime);
        }
        return code;
    }

    /// <summary>Null if the code is unknown, used or too old.</summary>
    public DemoTokens? Exchange(string code, bool expiring, DateTimeOffset now)
    {
        lock (_gate)
        {
            if (!_codes.Remove(code, out var granted) || granted.Expires < now)
            {
                return null;
            }
            InstalledScopes = granted.Scopes;
            _reinstalledAt = DateTimeOffset.FromUnixTimeMilliseconds(now.ToUnixTimeMilliseconds());
            return expiring
                ? NewPair(granted.Scopes, now)
                : new DemoTokens(Seal('a', granted.Scopes, now, null), granted.Scopes);
        }
    }

    /// <summary>
    /// Rotates. The token just spent may be sent again, and gets the same pair again, until that pair's refresh token
    /// is used for the first time: an app that never saw the answer is not locked out.
    /// </summary>
    public DemoTokens? Refresh(string refreshToken, DateTimeOffset now)
    {
        lock (_gate)
        {
            if (
                Unseal(refreshToken) is not { Kind: 'r' } token
                || _dead.Contains(refreshToken)
                || token.Issued < _reinstalledAt
                || token.Expires < now
            )
            {
                return null;
            }
            if (_rotated.TryGetValue(refreshToken, out var earlier))
            {
                return now - earlier.FirstUsed < _retryWindow ? earlier.Next : null;
            }
            if (_predecessor.Remove(refreshToken, out var spent))
            {
                _dead.Add(spent);
                _rotated.Remove(spent);
            }
            var next = NewPair(token.Scopes, now);
            _rotated[refreshToken] = (next, now);
            _predecessor[next.RefreshToken!] = refreshToken;
            return next;
        }
    }

    /// <summary>Null: the token is not (or no longer) good.</summary>
    public IReadOnlySet<string>? ScopesOf(string accessToken, DateTimeOffset now)
    {
        lock (_gate)
        {
            if (Unseal(accessToken) is not { Kind: 'a' } token || token.Expires < now)
            {
                return null;
            }
            InstalledScopes ??= token.Scopes;
            return token.Scopes.Split(',', StringSplitOptions.RemoveEmptyEntries).ToHashSet();
        }
    }

    public void Uninstall(DateTimeOffset now)
    {
        lock (_gate)
        {
            _uninstalledAt = now;
            _reinstalledAt = now.AddMilliseconds(1);
            InstalledScopes = null;
            _codes.Clear();
        }
    }

    private DemoTokens NewPair(string scopes, DateTimeOffset now) =>
        new(
            Seal('a', scopes, now, now + _accessLifetime),
            scopes,
            (long)_accessLifetime.TotalSeconds,
            Seal('r', scopes, now, now + _refreshLifetime),
            (long)_refreshLifetime.TotalSeconds
        );

    private string Seal(char kind, string scopes, DateTimeOffset issued, DateTimeOffset? expires)
    {
        var nonce = RandomNumberGenerator.GetHexString(16, lowercase: true);
        var text = string.Create(
            CultureInfo.InvariantCulture,
            $"{kind}|{issued.ToUnixTimeMilliseconds()}|{expires?.ToUnixTimeMilliseconds()}|{nonce}|{scopes}"
        );
        var payload = Encoding.ASCII.GetBytes(text);
        return (kind == 'a' ? "shpat_" : "shprt_")
            + Base64Url.EncodeToString([.. HMACSHA256.HashData(_key, payload).AsSpan(0, 16), .. payload]);
    }

    private (char Kind, DateTimeOffset Issued, DateTimeOffset Expires, string Scopes)? Unseal(string token)
    {
        const int seal = 16;
        if (token.Length < 8 || !Base64Url.IsValid(token.AsSpan(6)))
        {
            return null;
        }
        var bytes = Base64Url.DecodeFromChars(token.AsSpan(6));
        if (
            bytes.Length <= seal
            || !CryptographicOperations.FixedTimeEquals(
                HMACSHA256.HashData(_key, bytes.AsSpan(seal)).AsSpan(0, seal),
                bytes.AsSpan(0, seal)
            )
        )
        {
            return null;
        }
        var parts = Encoding.ASCII.GetString(bytes, seal, bytes.Length - seal).Split('|');
        var issued = DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(parts[1], CultureInfo.InvariantCulture));
        var expires =
            parts[2].Length == 0
                ? DateTimeOffset.MaxValue
                : DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(parts[2], CultureInfo.InvariantCulture));
        return issued.ToUnixTimeMilliseconds() <= _uninstalledAt.ToUnixTimeMilliseconds()
            ? null
            : (parts[0][0], issued, expires, parts[4]);
    }
}

/// <summary>The pages and endpoints of the authorization code grant.</summary>
internal static class OAuth
{
    private sealed record Ask(string ClientId, string Scope, string RedirectUri, string State);

    public static async Task AuthorizeAsync(HttpContext http, DemoStore store, FakeShopifyHost host)
    {
        var query = http.Request.Query;
        var ask = new Ask(
            query["client_id"].ToString(),
            query["scope"].ToString(),
            query["redirect_uri"].ToString(),
            query["state"].ToString()
        );
        if (Problem(ask, host.Options) is { } problem)
        {
            await DemoPages.WriteAsync(http, DemoPages.OAuthError(problem), StatusCodes.Status400BadRequest);
            return;
        }
        if (
            host.Options.AutoApprove.Contains(store.Shop.Domain)
            || store.Grant.InstalledScopes == Granted(ask.Scope, store)
        )
        {
            Approve(http, store, host, ask);
            return;
        }
        await DemoPages.WriteAsync(
            http,
            DemoPages.Consent(store.Shop, Granted(ask.Scope, store), http.Request.QueryString.Value!)
        );
    }

    /// <summary>The Install button: the same question again, now answered with yes.</summary>
    public static async Task ApproveAsync(HttpContext http, DemoStore store, FakeShopifyHost host)
    {
        var query = http.Request.Query;
        var ask = new Ask(
            query["client_id"].ToString(),
            query["scope"].ToString(),
            query["redirect_uri"].ToString(),
            query["state"].ToString()
        );
        if (Problem(ask, host.Options) is { } problem)
        {
            await DemoPages.WriteAsync(http, DemoPages.OAuthError(problem), StatusCodes.Status400BadRequest);
            return;
        }
        Approve(http, store, host, ask);
    }

    public static async Task TokenAsync(HttpContext http, DemoStore store, FakeShopifyHost host)
    {
        var form = await ReadAsync(http.Request);
        if (
            form.GetValueOrDefault("client_id") != host.Options.ClientId
            || form.GetValueOrDefault("client_secret") != host.Options.ClientSecret
        )
        {
            await ErrorAsync(http, "invalid_client", "The client credentials are not those of a known app");
            return;
        }
        if (form.GetValueOrDefault("grant_type") == "refresh_token")
        {
            var tokens = store.Grant.Refresh(form.GetValueOrDefault("refresh_token") ?? "", host.Now);
            if (
                tokens is not null
                && store.Faults.Take(f => f.LoseRefreshResponse, (f, left) => f.LoseRefreshResponse = left)
            )
            {
                http.Abort();
                return;
            }
            await AnswerAsync(http, tokens, "The refresh token was not found, has expired or was already used");
            return;
        }
        var exchanged = store.Grant.Exchange(
            form.GetValueOrDefault("code") ?? "",
            form.GetValueOrDefault("expiring") is "1" or "true",
            host.Now
        );
        await AnswerAsync(http, exchanged, "The authorization code was not found or was already used");
    }

    /// <summary>Hex HMAC-SHA256 over the sorted parameters, as the app will check it.</summary>
    public static string Sign(IEnumerable<KeyValuePair<string, string>> parameters, string secret) =>
        Convert.ToHexStringLower(
            HMACSHA256.HashData(
                Encoding.UTF8.GetBytes(secret),
                Encoding.UTF8.GetBytes(
                    string.Join(
                        '&',
                        parameters.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => $"{p.Key}={p.Value}")
                    )
                )
            )
        );

    /// <summary>Opens the app as Shopify's admin does: at its App URL, signed.</summary>
    public static Task OpenAppAsync(HttpContext http, DemoStore store, FakeShopifyHost host)
    {
        if (host.Options.AppUrl is not { } app)
        {
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        }
        var parameters = new Dictionary<string, string>
        {
            ["embedded"] = "0",
            ["host"] = HostParameter(store),
            ["shop"] = store.Shop.Domain,
            ["timestamp"] = host.Now.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture),
        };
        parameters["hmac"] = Sign(parameters, host.Options.ClientSecret);
        http.Response.Redirect(new Uri(app, "/?" + Query(parameters)).ToString());
        return Task.CompletedTask;
    }

    private static string HostParameter(DemoStore store) =>
        Convert.ToBase64String(Encoding.ASCII.GetBytes($"admin.shopify.com/store/{store.Shop.Handle}")).TrimEnd('=');

    private static string Query(Dictionary<string, string> parameters) =>
        string.Join(
            '&',
            parameters
                .OrderBy(p => p.Key, StringComparer.Ordinal)
                .Select(p => $"{p.Key}={Uri.EscapeDataString(p.Value)}")
        );

    private static void Approve(HttpContext http, DemoStore store, FakeShopifyHost host, Ask ask)
    {
        var answer = new Dictionary<string, string>
        {
            ["code"] = store.Grant.NewCode(Granted(ask.Scope, store), host.Now),
            ["host"] = HostParameter(store),
            ["shop"] = store.Shop.Domain,
            ["state"] = ask.State,
            ["timestamp"] = host.Now.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture),
        };
        answer["hmac"] = Sign(answer, host.Options.ClientSecret);
        var separator = ask.RedirectUri.Contains('?', StringComparison.Ordinal) ? '&' : '?';
        http.Response.Redirect(ask.RedirectUri + separator + Query(answer));
    }

    private static string? Problem(Ask ask, FakeShopifyOptions options)
    {
        if (ask.ClientId != options.ClientId)
        {
            return "Could not find an app with this client id.";
        }
        return
            Uri.TryCreate(ask.RedirectUri, UriKind.Absolute, out var target)
            && (target.IsLoopback || target.Authority == options.AppUrl?.Authority)
            ? null
            : "The redirect_uri is not one of the app's addresses.";
    }

    private static string Granted(string asked, DemoStore store) =>
        string.Join(
            ',',
            asked
                .Split([',', ' '], StringSplitOptions.RemoveEmptyEntries)
                .Where(scope => store.Shop.GrantedScopes.Contains(scope))
                .Distinct()
        );

    private static async Task<Dictionary<string, string>> ReadAsync(HttpRequest request)
    {
        if (request.HasFormContentType)
        {
            return (await request.ReadFormAsync()).ToDictionary(p => p.Key, p => p.Value.ToString());
        }
        var json = await request.ReadFromJsonAsync<Dictionary<string, object?>>() ?? [];
        return json.ToDictionary(p => p.Key, p => p.Value?.ToString() ?? "");
    }

    private static Task AnswerAsync(HttpContext http, DemoTokens? tokens, string problem) =>
        tokens is null ? ErrorAsync(http, "invalid_request", problem) : http.Response.WriteAsJsonAsync(tokens);

    private static Task ErrorAsync(HttpContext http, string error, string description)
    {
        http.Response.StatusCode = StatusCodes.Status400BadRequest;
        return http.Response.WriteAsJsonAsync(new { error, error_description = description });
    }
}

/// <summary>The few pages a person sees.</summary>
internal static class DemoPages
{
    public static Task WriteAsync(HttpContext http, string html, int status = StatusCodes.Status200OK)
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = "text/html; charset=utf-8";
        return http.Response.WriteAsync(html);
    }

    public static string Stores(FakeShopifyHost host) =>
        Page(
            "Fake Shopify",
            $"""
            <h1>Fake Shopify</h1>
            <p>These stores stand in for the real platform on this machine. Nothing here leaves it.</p>
            {string.Concat(host.Stores.Select(store => Store(store, host.Options)))}
            """
        );

    public static string Consent(DemoShop shop, string scopes, string query) =>
        Page(
            "Install XenoInsights",
            $"""
            <h1>Install XenoInsights on {Text(shop.Name)}</h1>
            <p class="muted">{Text(shop.Domain)}</p>
            <p>The app will be able to:</p>
            <ul>{string.Concat(scopes.Split(',').Select(scope => $"<li>{Text(Describe(scope))}</li>"))}</ul>
            <form method="post" action="/{Text(shop.Domain)}/admin/oauth/approve{Text(query)}">
              <button type="submit">Install</button> <a class="button plain" href="/">Cancel</a>
            </form>
            """
        );

    public static string OAuthError(string problem) =>
        Page("Not installed", $"<h1>The app cannot be installed</h1><p>{Text(problem)}</p>");

    private static string Store(DemoStore store, FakeShopifyOptions options)
    {
        var (domain, installed) = (store.Shop.Domain, store.Grant.InstalledScopes is not null);
        var facts = $"{Text(domain)} · {store.Shop.Currency.Code} · {Text(store.Shop.TimeZone)}";
        var state = installed ? " · installed" : "";
        var action = installed ? Uninstall(domain) : ConnectLink(domain, options);
        return $"""
            <section>
              <div><h2>{Text(store.Shop.Name)}</h2><p class="muted">{facts}{state}</p></div>{action}
            </section>
            """;
    }

    private static string Uninstall(string domain) =>
        $"""
            <form method="post" action="/{domain}/admin/uninstall">
              <button class="plain" type="submit">Uninstall the app</button>
            </form>
            """;

    private static string ConnectLink(string domain, FakeShopifyOptions options) =>
        options.AppUrl is null ? "" : $"""<a class="button" href="/{domain}/admin/apps/open">Connect</a>""";

    private static string Describe(string scope) =>
        scope switch
        {
            "read_orders" => "Read orders of the last 60 days",
            "read_all_orders" => "Read all orders",
            "read_customers" => "Read customers",
            "read_products" => "Read products",
            _ => scope,
        };

    private static string Text(string value) => WebUtility.HtmlEncode(value);

    private static string Page(string title, string body) =>
        $$"""
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <link rel="icon" href="data:,"><title>{{Text(title)}}</title>
            <style>
            :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
            body { margin: 0; background: light-dark(#f4f5f3, #171a18); color: light-dark(#1d2420, #e8ece9); }
            main {
              max-width: 42rem; margin: 8vh auto; padding: 2rem; border-radius: 12px;
              background: light-dark(#fff, #202422); box-shadow: 0 1px 4px #0003;
            }
            h1 { margin-top: 0; font-size: 1.5rem; } h2 { margin: 0; font-size: 1.05rem; } p { margin: .25rem 0 1rem; }
            .muted { color: light-dark(#5c665f, #9aa69e); margin: 0; font-size: .9rem; }
            section {
              display: flex; gap: 1rem; align-items: center; justify-content: space-between; padding: 1rem 0;
              border-top: 1px solid light-dark(#e3e6e3, #323834);
            }
            button, .button {
              display: inline-block; font: inherit; padding: .5rem 1.1rem; border-radius: 8px; white-space: nowrap;
              border: 1px solid #1f6b47; background: #1f6b47; color: #fff; text-decoration: none; cursor: pointer;
            }
            .plain { background: transparent; color: inherit; border-color: light-dark(#b9c0bb, #4a524d); }
            </style></head><body><main>{{body}}</main></body></html>
            """;
}
