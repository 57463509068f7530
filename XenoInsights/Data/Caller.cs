using System.Security.Claims;
using XenoInsights.Authentication;

namespace XenoInsights.Data;

/// <summary>
/// Who asks: a person, and the session that they ask in. It names them and proves nothing: each unit of work looks up
/// whether the session is alive and what the person may do.
/// </summary>
public readonly record struct Caller(Guid UserId, Guid SessionId);
