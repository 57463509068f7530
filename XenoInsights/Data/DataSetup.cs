using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.Extensions.Options;
using XenoInsights.Tenants;

namespace XenoInsights.Data;

public static class DataSetup
{
    public static void AddData(this WebApplicationBuilder builder, string connectionString)
    {
        builder.Services.AddSingleton(services => new WalledTransactions(connectionString, services.GetRequiredService<ILoggerFactory>()));
        builder.Services.AddSingleton<TenantDatabase>().AddSingleton<SystemDatabase>();
        builder.Services.AddScoped<TenantContext>().AddScoped<XenoDatabase>();
        builder.Services.AddDataProtection().SetApplicationName("XenoInsights");
        builder.Services.AddSingleton<IConfigureOptions<KeyManagementOptions>, DataProtectionKeyRepository>();
    }
}
