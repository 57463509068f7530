using System.Net;
using System.Security.Claims;
using System.Security.Cryptography;
using Microsoft.AspNetCore;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.Tokens;
using OpenIddict.Abstractions;
using OpenIddict.Server.AspNetCore;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Hosting;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace XenoInsights.Development;

/// <summary>
/// An OpenID Connect provider inside the app for Development without <c>Oidc:*</c>, so that signing in is the same code
/// as in production. Whoever reaches it may be any of its demo users; <see cref="OidcOptionsValidator"/> keeps it out
/// of Production.
/// </summary>
internal static class DevelopmentIdentityProvider
{
    public const string Owner = "owner@demo.test",
        Viewer = "viewer@demo.test",
        Operator = "operator@demo.test";

    public const string ClientId = "xeno-insights",
        MetadataPath = Path + "/.well-known/openid-configuration";

    private const string Path = "/dev-idp";
    private const string ChoiceField = "demo_user";

    // The same wherever the app listens: people are known by issuer and subject.
    public static readonly Uri Issuer = new("https://dev-idp.xenoinsights.test/");

    // Both ends live in this process, so the secret need not outlive it.
    public static readonly string ClientSecret = Convert.ToHexString(RandomNumberGenerator.GetBytes(32));

    private static readonly DemoUser[] _users =
    [
        new(Owner, "Demo owner", "Owns the demo store: sees everything and connects stores."),
        new(Viewer, "Demo viewer", "Sees the demo store, changes nothing."),
        new(Operator, "Demo operator", "Looks after the installation; sees no merchant's data."),
    ];

    private sealed record DemoUser(string Email, string Name, string About);

    /// <summary>
    /// Comes before the framework's own post-configuration, which makes the client for the provider's metadata.
    /// </summary>
    public static void AddDevelopmentIdentityProvider(this IServiceCollection services)
    {
        services
            .AddOpenIddict()
            .AddServer(server =>
            {
                server.SetIssuer(Issuer);
                server
                    .SetConfigurationEndpointUris(MetadataPath.TrimStart('/'))
                    .SetJsonWebKeySetEndpointUris(Relative("/jwks"))
                    .SetAuthorizationEndpointUris(Relative("/authorize"))
                    .SetTokenEndpointUris(Relative("/token"));
                server.AllowAuthorizationCodeFlow().RequireProofKeyForCodeExchange();
                server.RegisterScopes(Scopes.OpenId, Scopes.Profile, Scopes.Email);
                // OpenIddict's own ephemeral keys are RSA of 4096 bits: making them holds up the first request for
                // seconds.
                server
                    .AddSigningKey(new ECDsaSecurityKey(ECDsa.Create(ECCurve.NamedCurves.nistP256)))
                    .AddEncryptionKey(new SymmetricSecurityKey(RandomNumberGenerator.GetBytes(32)));
                server.DisableAccessTokenEncryption();
                server.EnableDegradedMode();
                server.UseAspNetCore().EnableAuthorizationEndpointPassthrough().DisableTransportSecurityRequirement();
                server.AddEventHandler<ValidateAuthorizationRequestContext>(handler =>
                    handler.UseInlineHandler(ValidateClient)
                );
                server.AddEventHandler<ValidateTokenRequestContext>(handler =>
                    handler.UseInlineHandler(ValidateClient)
                );
            });
        services
            .AddOptions<OpenIdConnectOptions>(OpenIdConnectDefaults.AuthenticationScheme)
            .PostConfigure<IServer>(UseProvider);
        services.PostConfigure<AccessOptions>(access => access.Operators.Add(Operator));
    }

    public static void MapDevelopmentIdentityProvider(this WebApplication app) =>
        app.MapMethods(Path + "/authorize", [HttpMethods.Get, HttpMethods.Post], Authorize)
            .AllowAnonymous()
            .ExcludeFromDescription();

    /// <summary>The browser stays on the host it came by; only the address for the browser depends on it.</summary>
    private static string AuthorizeAddress(HttpRequest request) =>
        $"{request.Scheme}://{request.Host}{request.PathBase}{Path}/authorize";

    private static string Relative(string endpoint) => (Path + endpoint).TrimStart('/');

    private static void UseProvider(OpenIdConnectOptions options, IServer server)
    {
        options.ClientId = ClientId;
        options.ClientSecret = ClientSecret;
        options.MetadataAddress = new Uri(Issuer, MetadataPath).ToString();
        options.RequireHttpsMetadata = false;
#pragma warning disable CA2000 // Lives as long as the options: for good.
        options.Backchannel = new HttpClient(new OwnAddressHandler(server) { InnerHandler = new SocketsHttpHandler() });
#pragma warning restore CA2000
        var next = options.Events.OnRedirectToIdentityProvider;
        options.Events.OnRedirectToIdentityProvider = context =>
        {
            context.ProtocolMessage.IssuerAddress = AuthorizeAddress(context.Request);
            return next(context);
        };
    }

    private static ValueTask ValidateClient(ValidateAuthorizationRequestContext context)
    {
        var publicUrl = context
            .Transaction.GetHttpRequest()!
            .HttpContext.RequestServices.GetRequiredService<IOptions<AppOptions>>()
            .Value;
        var known =
            context.ClientId == ClientId
            && Uri.TryCreate(context.RedirectUri, UriKind.Absolute, out var target)
            && target.AbsolutePath == AuthenticationSetup.CallbackPath
            && (target.IsLoopback || target == publicUrl.At(AuthenticationSetup.CallbackPath));
        if (!known)
            context.Reject(Errors.InvalidClient, "Unknown client or redirect address.");
        return default;
    }

    private static ValueTask ValidateClient(ValidateTokenRequestContext context)
    {
        if (context.ClientId != ClientId || context.ClientSecret != ClientSecret)
            context.Reject(Errors.InvalidClient, "Unknown client.");
        return default;
    }

    private static IResult Authorize(HttpContext http, IOptions<AccessOptions> access, ILoggerFactory loggers)
    {
        if (
            !access.Value.BuiltInSignInForAll
            && http.Connection.RemoteIpAddress is { } caller
            && !IPAddress.IsLoopback(caller)
        )
        {
            loggers.CreateLogger(typeof(DevelopmentIdentityProvider)).RefusedToOthers(caller);
            return NoticePage.Result(
                StatusCodes.Status403Forbidden,
                "Sign-in from this machine only",
                "This development instance lets whoever signs in be any demo user, "
                    + "so it answers its own machine alone. "
                    + "Set Access:BuiltInSignInForAll to true if nobody else can reach it, as in a container.",
                [new("Back", "/signed-out")]
            );
        }
        var request =
            http.GetOpenIddictServerRequest() ?? throw new InvalidOperationException("Not an OpenID Connect request.");
        var email = request.GetParameter(ChoiceField)?.ToString() ?? request.LoginHint;
        return _users.FirstOrDefault(u => u.Email == email) is { } user ? SignIn(user) : Choice(request);
    }

    private static IResult SignIn(DemoUser user)
    {
        var identity = new ClaimsIdentity("dev-idp", Claims.Name, Claims.Role);
        identity
            .SetClaim(Claims.Subject, user.Email)
            .SetClaim(Claims.Email, user.Email)
            .SetClaim(Claims.EmailVerified, true)
            .SetClaim(Claims.Name, user.Name);
        identity.SetScopes(Scopes.OpenId, Scopes.Profile, Scopes.Email);
        identity.SetDestinations(_ => [Destinations.IdentityToken]);
        return Results.SignIn(
            new ClaimsPrincipal(identity),
            authenticationScheme: OpenIddictServerAspNetCoreDefaults.AuthenticationScheme
        );
    }

    private static IResult Choice(OpenIddictRequest request) =>
        NoticePage.Result(
            StatusCodes.Status200OK,
            "Sign in",
            "This is a development machine: choose who you want to be. "
                + "In production your identity provider stands here.",
            [.. _users.Select(u => new NoticeAction($"{u.Name} · {u.Email}", u.Email, u.About, ChoiceField))],
            request
                .GetParameters()
                .Where(p => p.Key is not (ChoiceField or Parameters.LoginHint))
                .Select(p => KeyValuePair.Create(p.Key, p.Value.ToString() ?? ""))
        );

    /// <summary>
    /// Sends the provider's metadata and token calls to wherever this process listens, whatever name the app has
    /// outside.
    /// </summary>
    private sealed class OwnAddressHandler(IServer server) : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(
            HttpRequestMessage request,
            CancellationToken cancellationToken
        )
        {
            request.RequestUri = new Uri(ServerAddress.Of(server), request.RequestUri!.PathAndQuery);
            return base.SendAsync(request, cancellationToken);
        }
    }
}

internal static partial class DevelopmentIdentityProviderLog
{
    [LoggerMessage(
        LogLevel.Warning,
        "{Caller} is another machine and may not use the built-in sign-in: Access:BuiltInSignInForAll is not set"
    )]
    public static partial void RefusedToOthers(this ILogger logger, IPAddress caller);
}
