namespace XenoInsights.Tenants;

public static class TenantsSetup
{
    public static void AddTenants(this WebApplicationBuilder builder)
    {
        builder.Services.AddSingleton<Memberships>().AddScoped<TenantAuthorization>();
        builder.Services.AddSingleton<TenantChanges>();
        builder.Services.AddHostedService(services => services.GetRequiredService<TenantChanges>());
        builder.Services.AddSingleton<AccessWatch>();
        builder.Services.AddHostedService(services => services.GetRequiredService<AccessWatch>());
        builder.Services.AddExceptionHandler<AccessDeniedHandler>();
    }
}
