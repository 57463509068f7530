using System.Security.Claims;
using XenoInsights.Authentication;

namespace XenoInsights.Data;

/// <summary>
/// Who asks: a person, and the session that they ask in. It names them and proves nothing: each unit of work looks up
/// whether the session is alive and what the person may do.
/// </summary>
public readonly record struct Caller(Guid UserId, Guid SessionId);

/// <summary>The caller may not do this, or not any more.</summary>
public sealed class AccessDeniedException(AccessDenial reason) : Exception($"Access denied: {reason}.")
{
    public AccessDenial Reason { get; } = reason;
}

public enum AccessDenial
{
    /// <summary>Not a member of the store, or the session has ended. Answered as if there were no such store.</summary>
    NoAccess,

    /// <summary>A member whose role does not allow this.</summary>
    RoleTooLow,

    /// <summary>Not an operator of the installation.</summary>
    NotOperator,
}

public static class CallerExtensions
{
    /// <summary>Null for a visitor.</summary>
    public static Caller? Caller(this ClaimsPrincipal principal)
    {
        if (principal.UserId() is not { } userId) return null;
        return Guid.TryParse(principal.FindFirstValue(Session.SessionIdClaim), out var sessionId) ? new Caller(userId, sessionId) : null;
    }
}
