using System.Security.Claims;

namespace XenoInsights.Access;

/// <summary>What a signed-in person's session says of them. The provider's other claims are not kept.</summary>
public static class Session
{
    public const string UserIdClaim = "user_id", NameClaim = "name", EmailClaim = "email", OperatorClaim = "operator";

    /// <summary>The policy of pages and endpoints for those who look after the installation. It opens no merchant's data.</summary>
    public const string OperatorPolicy = "Operator";

    /// <summary>The person's <see cref="User.UserId"/>; null for a visitor.</summary>
    public static Guid? UserId(this ClaimsPrincipal principal) => Guid.TryParse(principal.FindFirstValue(UserIdClaim), out var id) ? id : null;

    public static bool IsOperator(this ClaimsPrincipal principal) => principal.HasClaim(OperatorClaim, "true");

    internal static ClaimsPrincipal Of(Guid userId, string? name, string? email, bool isOperator, string authenticationType)
    {
        var identity = new ClaimsIdentity(authenticationType, NameClaim, roleType: null);
        identity.AddClaim(new(UserIdClaim, userId.ToString()));
        if ((name ?? email) is { } shown) identity.AddClaim(new(NameClaim, shown));
        if (email is not null) identity.AddClaim(new(EmailClaim, email));
        if (isOperator) identity.AddClaim(new(OperatorClaim, "true"));
        return new(identity);
    }
}
