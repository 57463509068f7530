namespace XenoInsights.Data;

/// <summary>
/// The roles that the app's login takes for one transaction. <see cref="RowLevelSecurity"/> says what each may do.
/// </summary>
public static class DatabaseRoles
{
    /// <summary>Sees one tenant at a time.</summary>
    public const string Tenant = "xeno_app";

    /// <summary>
    /// Sees only what crosses tenants: sign-in, connecting stores, claiming work, health of the installation.
    /// </summary>
    public const string System = "xeno_system";
}
