using System.Security.Claims;

namespace XenoInsights.Data;

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
