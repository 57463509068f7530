using System.Security.Claims;
using XenoInsights.Data;

namespace XenoInsights.Authentication;

public static class CallerExtensions
{
    /// <summary>Null for a visitor.</summary>
    public static Caller? Caller(this ClaimsPrincipal principal)
    {
        if (principal.UserId() is not { } userId)
            return null;
        return Guid.TryParse(principal.FindFirstValue(SessionClaims.SessionIdClaim), out var sessionId)
            ? new Caller(userId, sessionId)
            : null;
    }
}
