using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.Extensions.Options;
using Npgsql;
using XenoInsights.Tenants;

namespace XenoInsights.Data;

public static class DataSetup
{
    /// <summary>Key of the connections that store webhook deliveries.</summary>
    public const string Ingest = "ingest";

    public static void AddData(this WebApplicationBuilder builder, string connectionString)
    {
        builder.Services.AddSingleton(services => new WalledTransactions(connectionString, services.GetRequiredService<ILoggerFactory>()));
        builder.Services.AddKeyedSingleton(Ingest, (services, _) => new WalledTransactions(ForIngest(connectionString), services.GetRequiredService<ILoggerFactory>(), "xeno-ingest"));
        builder.Services.AddSingleton<TenantDatabase>().AddSingleton<SystemDatabase>();
        builder.Services.AddScoped<TenantContext>().AddScoped<XenoDatabase>();
        builder.Services.AddDataProtection().SetApplicationName("XenoInsights");
        builder.Services.AddSingleton<IConfigureOptions<KeyManagementOptions>, DataProtectionKeyRepository>();
    }

    // Short timeouts: an answer that comes after Shopify has hung up helps nobody, and a new connection may work.
    private static string ForIngest(string connectionString) =>
        new NpgsqlConnectionStringBuilder(connectionString) { MaxPoolSize = 4, MinPoolSize = 0, Timeout = 2, CommandTimeout = 4 }.ConnectionString;
}
