using System.Security.Claims;
using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.AspNetCore.Authorization;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using XenoInsights.Data;
using XenoInsights.Hosting;

namespace XenoInsights.Authentication;

/// <summary>
/// Who is asking: OpenID Connect sign-in, a cookie session, and everything closed to visitors unless an endpoint says
/// otherwise.
/// </summary>
public static partial class AuthenticationSetup
{
    internal const string CallbackPath = "/signin-oidc",
        SignOutPath = "/signout";
    private const string SignInPath = "/signin",
        SignedOutPath = "/signed-out";
    private const string Cookie = CookieAuthenticationDefaults.AuthenticationScheme,
        Oidc = OpenIdConnectDefaults.AuthenticationScheme;
    private const string LoginHint = "login_hint";

    public static void AddAuthentication(this WebApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddOptions<OidcOptions>().BindConfiguration(OidcOptions.Section).ValidateOnStart();
        services.AddCheckedOptions<AccessOptions>(AccessOptions.Section);
        services.AddSingleton<IValidateOptions<OidcOptions>, OidcOptionsValidator>();
        services.AddSingleton<UserProvisioner>().AddSingleton<Operators>().AddSingleton<SessionStore>();
        services.AddSingleton<OwnOrigins>();
        services.TryAddSingleton(TimeProvider.System);
        services.AddAntiforgery();
        services
            .AddOptions<AntiforgeryOptions>()
            .Configure<IOptions<AppOptions>>((options, app) => Harden(options.Cookie, "xeno-form", app.Value));
        services
            .AddAuthentication(options =>
            {
                options.DefaultScheme = AuthenticationSchemes.Selector;
                options.DefaultSignInScheme = Cookie;
            })
            .AddPolicyScheme(
                AuthenticationSchemes.Selector,
                null,
                options => options.ForwardDefaultSelector = AuthenticationSchemes.Select
            )
            .AddScheme<AuthenticationSchemeOptions, AuthorizationHeaderHandler>(
                AuthenticationSchemes.AuthorizationHeader,
                null
            )
            .AddCookie()
            .AddOpenIdConnect();
        services
            .AddOptions<CookieAuthenticationOptions>(Cookie)
            .Configure<IOptions<AppOptions>, SessionStore>(ConfigureCookie);
        services
            .AddOptions<OpenIdConnectOptions>(Oidc)
            .Configure<IOptions<OidcOptions>, IOptions<AppOptions>, IHostEnvironment>(ConfigureOidc);
        services.AddOptions<FormTargets>().Configure<IOptions<OidcOptions>>(ProviderOrigin.AddConfigured);
        services.AddHostedService<ProviderOrigin>();
        services
            .AddAuthorizationBuilder()
            .SetFallbackPolicy(
                new AuthorizationPolicyBuilder()
                    .RequireAuthenticatedUser()
                    .RequireClaim(SessionClaims.UserIdClaim)
                    .Build()
            )
            .AddPolicy(
                SessionClaims.OperatorPolicy,
                policy => policy.RequireClaim(SessionClaims.OperatorClaim, "true")
            );
    }

    /// <summary>Sign-in, sign-out and the session's life.</summary>
    public static void MapAuthentication(this WebApplication app)
    {
        app.MapGet(SignInPath, SignIn).AllowAnonymous().ExcludeFromDescription();
        app.MapPost(SignOutPath, SignOut).AllowAnonymous().ExcludeFromDescription();
        app.MapGet(SignedOutPath, SignedOut).AllowAnonymous().ExcludeFromDescription();
        // The browser calls it while somebody uses an open page: a request is an action of the person, live updates are
        // none.
        app.MapPost("/session/activity", () => Results.NoContent()).ExcludeFromDescription();
    }

    private static void ConfigureCookie(
        CookieAuthenticationOptions options,
        IOptions<AppOptions> app,
        SessionStore sessions
    )
    {
        options.Cookie.Name = "xeno";
        Harden(options.Cookie, options.Cookie.Name, app.Value);
        options.Cookie.SameSite = SameSiteMode.Lax;
        options.Cookie.HttpOnly = true;
        options.Cookie.Path = "/";
        // The session's row alone says when it ends.
        options.SessionStore = sessions;
        options.SlidingExpiration = false;
        options.LoginPath = SignInPath;
        options.ReturnUrlParameter = "returnUrl";
        options.Events.OnRedirectToLogin = context => ChallengeAsync(context, StatusCodes.Status401Unauthorized);
        options.Events.OnRedirectToAccessDenied = context => ChallengeAsync(context, StatusCodes.Status403Forbidden);
    }

    /// <summary>
    /// With https browsers accept the cookie over https only and from this host alone: no neighbouring subdomain can
    /// plant one. Plain http is Development's and keeps the framework's names.
    /// </summary>
    private static void Harden(CookieBuilder cookie, string name, AppOptions app)
    {
        cookie.SecurePolicy = app.IsHttps ? CookieSecurePolicy.Always : CookieSecurePolicy.SameAsRequest;
        if (!app.IsHttps)
            return;
        cookie.Name = "__Host-" + name;
        cookie.Path = "/";
        cookie.Domain = null;
    }

    private static Task ChallengeAsync(RedirectContext<CookieAuthenticationOptions> context, int status)
    {
        if (Hosting.ApiRequests.IsApi(context.Request))
            return Results.Problem(statusCode: status).ExecuteAsync(context.HttpContext);
        if (status == StatusCodes.Status401Unauthorized)
            context.Response.Redirect(context.RedirectUri);
        else
            context.Response.StatusCode = status;
        return Task.CompletedTask;
    }

    private static void ConfigureOidc(
        OpenIdConnectOptions options,
        IOptions<OidcOptions> oidc,
        IOptions<AppOptions> app,
        IHostEnvironment environment
    )
    {
        options.Authority = oidc.Value.Authority;
        if (!string.IsNullOrEmpty(oidc.Value.MetadataAddress))
            options.MetadataAddress = oidc.Value.MetadataAddress;
        options.ClientId = oidc.Value.ClientId;
        options.ClientSecret = oidc.Value.ClientSecret;
        options.RequireHttpsMetadata = !environment.IsDevelopment();
        options.CallbackPath = CallbackPath;
        options.SignedOutRedirectUri = SignedOutPath;
        // A provider's frame gets no session cookie (SameSite), so all that this path could do is let any link sign
        // people out.
        options.RemoteSignOutPath = PathString.Empty;
        options.ResponseType = OpenIdConnectResponseType.Code;
        options.ResponseMode = OpenIdConnectResponseMode.Query;
        options.UsePkce = true;
        options.Scope.Add("email");
        options.MapInboundClaims = false;
        options.GetClaimsFromUserInfoEndpoint = true;
        options.ClaimActions.Remove("iss");
        options.ClaimActions.MapJsonKey("email_verified", "email_verified");
        options.CorrelationCookie.SameSite = SameSiteMode.Lax;
        Harden(options.CorrelationCookie, "xeno-sign-in.", app.Value);
        options.NonceCookie.SameSite = SameSiteMode.Lax;
        Harden(options.NonceCookie, "xeno-nonce.", app.Value);
        options.Events.OnRedirectToIdentityProvider = context =>
        {
            context.ProtocolMessage.LoginHint = context.Properties.GetParameter<string>(LoginHint);
            return Task.CompletedTask;
        };
        options.Events.OnRedirectToIdentityProviderForSignOut = context =>
        {
            context.ProtocolMessage.ClientId = context.Options.ClientId;
            return Task.CompletedTask;
        };
        options.Events.OnTokenValidated = KeepIdTokenAsync;
        options.Events.OnTicketReceived = async context =>
        {
            var users = context.HttpContext.RequestServices.GetRequiredService<UserProvisioner>();
            context.Principal = await users.SignInAsync(context.Principal!, Oidc, context.HttpContext.RequestAborted);
        };
        options.Events.OnRemoteFailure = async context =>
        {
            Log.SignInFailed(Logger(context.HttpContext), context.Failure);
            context.HandleResponse();
            await NoticePage
                .Result(
                    StatusCodes.Status400BadRequest,
                    "Sign-in did not finish",
                    "Your identity provider refused, or this attempt was too old or begun in another browser. "
                        + "Nothing has changed; please try again.",
                    [new("Try again", SignInPath)]
                )
                .ExecuteAsync(context.HttpContext);
        };
    }

    /// <summary>
    /// Providers want the id token back (<c>id_token_hint</c>) to end their own session without asking.
    /// </summary>
    private static async Task KeepIdTokenAsync(TokenValidatedContext context)
    {
        if (context.TokenEndpointResponse?.IdToken is not { Length: > 0 } idToken)
            return;
        var provider = await context.Options.ConfigurationManager!.GetConfigurationAsync(
            context.HttpContext.RequestAborted
        );
        if (string.IsNullOrEmpty(provider.EndSessionEndpoint))
            return;
        context.Properties!.StoreTokens([new() { Name = OpenIdConnectParameterNames.IdToken, Value = idToken }]);
    }

    private static async Task SignIn(HttpContext http, string? login_hint, string? returnUrl)
    {
        var target = LocalAddress.OrHome(returnUrl);
        if (
            http.User.UserId() is not null
            && (login_hint is null || login_hint == http.User.FindFirstValue(SessionClaims.EmailClaim))
        )
        {
            http.Response.Redirect(target);
            return;
        }
        var properties = new AuthenticationProperties { RedirectUri = target };
        if (login_hint is not null)
            properties.SetParameter(LoginHint, login_hint);
        try
        {
            await http.ChallengeAsync(Oidc, properties);
        }
        catch (InvalidOperationException failure) when (IsUnreachable(failure))
        {
            Log.ProviderUnreachable(Logger(http), failure);
            await NoticePage
                .Result(
                    StatusCodes.Status503ServiceUnavailable,
                    "Sign-in is not possible right now",
                    "The identity provider does not answer. This usually passes by itself; please try again in "
                        + "a minute.",
                    [new("Try again", SignInPath + QueryString.Create("returnUrl", target))]
                )
                .ExecuteAsync(http);
        }
    }

    private static async Task<IResult> SignOut(
        HttpContext http,
        IAntiforgery antiforgery,
        IOptionsMonitor<OpenIdConnectOptions> oidc
    )
    {
        if (!await antiforgery.IsRequestValidAsync(http))
            return Results.Problem(
                "The form was not one of ours or has expired. Reload the page and sign out again.",
                statusCode: StatusCodes.Status400BadRequest
            );
        return await EndsSessionsAsync(http, oidc.Get(Oidc))
            ? Results.SignOut(new() { RedirectUri = SignedOutPath }, [Cookie, Oidc])
            : await SignOutHereAsync(http);
    }

    /// <summary>
    /// Whether the provider offers RP-initiated logout. One that does not answer keeps nobody from signing out here.
    /// </summary>
    private static async Task<bool> EndsSessionsAsync(HttpContext http, OpenIdConnectOptions oidc)
    {
        try
        {
            var provider = await oidc.ConfigurationManager!.GetConfigurationAsync(http.RequestAborted);
            return !string.IsNullOrEmpty(provider.EndSessionEndpoint);
        }
        catch (InvalidOperationException failure) when (IsUnreachable(failure))
        {
            Log.ProviderUnreachable(Logger(http), failure);
            return false;
        }
    }

    private static bool IsUnreachable(InvalidOperationException failure) =>
        failure.InnerException is not null || failure.Message.StartsWith("IDX", StringComparison.Ordinal);

    private static async Task<IResult> SignOutHereAsync(HttpContext http)
    {
        await http.SignOutAsync(Cookie);
        return Results.Redirect(SignedOutPath);
    }

    private static IResult SignedOut() =>
        NoticePage.Result(
            StatusCodes.Status200OK,
            "You are signed out",
            "See you next time.",
            [new("Sign in again", SignInPath)]
        );

    private static ILogger Logger(HttpContext http) =>
        http.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(AuthenticationSetup));

    private static partial class Log
    {
        [LoggerMessage(EventId = 1100, Level = LogLevel.Warning, Message = "A sign-in did not finish")]
        public static partial void SignInFailed(ILogger logger, Exception? failure);

        [LoggerMessage(
            EventId = 1101,
            Level = LogLevel.Error,
            Message = "The identity provider's metadata cannot be read"
        )]
        public static partial void ProviderUnreachable(ILogger logger, Exception failure);
    }
}
