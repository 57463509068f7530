using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;
using XenoInsights.Hosting;

namespace XenoInsights.Authentication;

/// <summary>
/// Decides by which credential a request is judged: the session cookie, or an Authorization header where programs call.
/// </summary>
internal static class AuthenticationSchemes
{
    public const string Selector = "XenoInsights",
        AuthorizationHeader = "AuthorizationHeader";

    /// <summary>
    /// A request that names a credential is judged by it alone; a cookie that happens to come along does not help a
    /// wrong one.
    /// </summary>
    public static string Select(HttpContext http) =>
        ApiRequests.IsApi(http.Request) && http.Request.Headers.ContainsKey(HeaderNames.Authorization)
            ? AuthorizationHeader
            : CookieAuthenticationDefaults.AuthenticationScheme;
}

/// <summary>No credential in an Authorization header is known yet, so each is refused with 401.</summary>
internal sealed class AuthorizationHeaderHandler(
    IOptionsMonitor<AuthenticationSchemeOptions> options,
    ILoggerFactory logger,
    UrlEncoder encoder
) : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    protected override Task<AuthenticateResult> HandleAuthenticateAsync() =>
        Task.FromResult(AuthenticateResult.Fail("Unknown credential."));

    protected override Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        Response.Headers.WWWAuthenticate = "Bearer";
        return Results.Problem(statusCode: StatusCodes.Status401Unauthorized).ExecuteAsync(Context);
    }
}
