using System.Security.Claims;

namespace XenoInsights.Authentication;

/// <summary>What a request says of the signed-in person. The provider's other claims are not kept.</summary>
public static class SessionClaims
{
    public const string UserIdClaim = "user_id",
        NameClaim = "name",
        EmailClaim = "email",
        OperatorClaim = "operator";

    /// <summary>Our <see cref="UserSession.SessionId"/>, and the provider's own name for its session.</summary>
    public const string SessionIdClaim = "session_id",
        ProviderSessionIdClaim = "sid";

    /// <summary>
    /// The policy of pages and endpoints for those who look after the installation. It opens no merchant's data.
    /// </summary>
    public const string OperatorPolicy = "Operator";

    /// <summary>The person's <see cref="User.UserId"/>; null for a visitor.</summary>
    public static Guid? UserId(this ClaimsPrincipal principal) =>
        Guid.TryParse(principal.FindFirstValue(UserIdClaim), out var id) ? id : null;

    public static bool IsOperator(this ClaimsPrincipal principal) => principal.HasClaim(OperatorClaim, "true");

    internal static ClaimsPrincipal Of(
        Guid userId,
        Guid? sessionId,
        string? name,
        string? email,
        bool isOperator,
        string? providerSessionId,
        string authenticationType
    )
    {
        var identity = new ClaimsIdentity(authenticationType, NameClaim, roleType: null);
        identity.AddClaim(new(UserIdClaim, userId.ToString()));
        if (sessionId is { } id)
            identity.AddClaim(new(SessionIdClaim, id.ToString()));
        if ((name ?? email) is { } shown)
            identity.AddClaim(new(NameClaim, shown));
        if (email is not null)
            identity.AddClaim(new(EmailClaim, email));
        if (isOperator)
            identity.AddClaim(new(OperatorClaim, "true"));
        if (providerSessionId is not null)
            identity.AddClaim(new(ProviderSessionIdClaim, providerSessionId));
        return new(identity);
    }
}
