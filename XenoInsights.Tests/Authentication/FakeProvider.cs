using System.Collections.Concurrent;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace XenoInsights.Tests.Authentication;

/// <summary>
/// An OpenID Connect provider of its own, discovered by its metadata: signs in whoever <c>login_hint</c> names, and
/// ends sessions as providers do that want to know which (RP-initiated logout).
/// </summary>
public sealed class FakeProvider : IAsyncDisposable
{
    public const string ClientId = "insights",
        ClientSecret = "between us";

    private readonly WebApplication _app;
    private readonly ECDsaSecurityKey _key = new(ECDsa.Create(ECCurve.NamedCurves.nistP256)) { KeyId = "1" };
    private readonly ConcurrentDictionary<string, (string Email, string Nonce)> _codes = new();

    private readonly string? _issuer;

    private FakeProvider(WebApplication app, string? issuer) => (_app, _issuer) = (app, issuer);

    /// <summary>For <c>Oidc:Authority</c>.</summary>
    public string Issuer => _issuer ?? Address;

    /// <summary>Where it listens.</summary>
    public string Address => _app.Urls.First();

    /// <summary>Addresses that the provider has not verified.</summary>
    public HashSet<string> Unverified { get; } = [];

    /// <summary>The parameters of each request to end a session.</summary>
    public ConcurrentQueue<IQueryCollection> SignOuts { get; } = new();

    /// <param name="issuer">Its address outside, if a proxy stands before it.</param>
    public static async Task<FakeProvider> StartAsync(string? issuer = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        var provider = new FakeProvider(app, issuer);
        app.MapGet("/.well-known/openid-configuration", provider.Metadata);
        app.MapGet("/jwks", () => new { keys = new[] { provider.PublicKey() } });
        app.MapGet("/authorize", provider.Authorize);
        app.MapPost("/token", provider.TokenAsync);
        app.MapGet("/logout", provider.EndSession);
        await app.StartAsync();
        return provider;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _key.ECDsa.Dispose();
    }

    private object Metadata() =>
        new
        {
            issuer = Issuer,
            authorization_endpoint = Issuer + "/authorize",
            token_endpoint = Issuer + "/token",
            jwks_uri = Issuer + "/jwks",
            end_session_endpoint = Issuer + "/logout",
        };

    private object PublicKey()
    {
        var point = _key.ECDsa.ExportParameters(includePrivateParameters: false).Q;
        return new
        {
            kty = "EC",
            crv = "P-256",
            kid = _key.KeyId,
            use = "sig",
            alg = "ES256",
            x = Base64UrlEncoder.Encode(point.X),
            y = Base64UrlEncoder.Encode(point.Y),
        };
    }

    private IResult Authorize(HttpContext http)
    {
        var query = http.Request.Query;
        var code = Guid.NewGuid().ToString("n");
        _codes[code] = (query["login_hint"].ToString(), query["nonce"].ToString());
        var answer = new Dictionary<string, string?> { ["code"] = code, ["state"] = query["state"].ToString() };
        return Results.Redirect(QueryHelpers.AddQueryString(query["redirect_uri"].ToString(), answer));
    }

    private async Task<IResult> TokenAsync(HttpRequest request)
    {
        var form = await request.ReadFormAsync();
        if (form["client_secret"] != ClientSecret || !_codes.TryRemove(form["code"].ToString(), out var person))
            return Results.BadRequest(new { error = "invalid_grant" });
        var token = new JsonWebTokenHandler().CreateToken(
            new SecurityTokenDescriptor
            {
                Issuer = Issuer,
                Audience = ClientId,
                Claims = new Dictionary<string, object>
                {
                    ["sub"] = person.Email,
                    ["email"] = person.Email,
                    ["email_verified"] = !Unverified.Contains(person.Email),
                    ["nonce"] = person.Nonce,
                    ["sid"] = "s1",
                },
                SigningCredentials = new(_key, SecurityAlgorithms.EcdsaSha256),
            }
        );
        return Results.Json(
            new
            {
                access_token = "unused",
                token_type = "Bearer",
                id_token = token,
            }
        );
    }

    private IResult EndSession(HttpContext http)
    {
        var query = http.Request.Query;
        SignOuts.Enqueue(query);
        return Results.Redirect(
            QueryHelpers.AddQueryString(
                query["post_logout_redirect_uri"].ToString(),
                "state",
                query["state"].ToString()
            )
        );
    }
}
