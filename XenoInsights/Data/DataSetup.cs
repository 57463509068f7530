using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Npgsql;

namespace XenoInsights.Data;

public static class DataSetup
{
    /// <summary>Key of the connections that store webhook deliveries.</summary>
    public const string Ingest = "ingest";

    /// <summary>Key of the connections that exports read from.</summary>
    public const string Exports = "exports";

    public static void AddData(this WebApplicationBuilder builder, string connectionString)
    {
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddSingleton<SchemaGate>();
        builder.Services.AddCheckedOptions<ConnectionOptions>(ConnectionOptions.Section);
        builder.Services.AddCheckedOptions<ExportConnectionOptions>(ExportConnectionOptions.Section);
        builder.Services.AddSingleton(services =>
            Transactions(services, ForMain(connectionString, OptionsOf<ConnectionOptions>(services)), "xeno")
        );
        builder.Services.AddKeyedSingleton(
            Ingest,
            (services, _) => Transactions(services, ForIngest(connectionString), "xeno-ingest")
        );
        builder.Services.AddKeyedSingleton(
            Exports,
            (services, _) =>
                Transactions(
                    services,
                    ForExports(connectionString, OptionsOf<ExportConnectionOptions>(services)),
                    "xeno-exports"
                )
        );
        // The same units of work as a request's own, on other connections.
        builder.Services.AddKeyedScoped(
            Exports,
            (services, _) =>
                ActivatorUtilities.CreateInstance<XenoDatabase>(
                    services,
                    services.GetRequiredKeyedService<TenantTransactions>(Exports)
                )
        );
        builder.Services.AddSingleton<TenantDatabase>().AddSingleton<SystemDatabase>();
        builder.Services.AddScoped<TenantContext>().AddScoped<XenoDatabase>();
        builder.Services.AddDataProtection().SetApplicationName("XenoInsights");
        builder.Services.AddSingleton<IConfigureOptions<KeyManagementOptions>, DataProtectionKeyRepository>();
    }

    private static T OptionsOf<T>(IServiceProvider services)
        where T : class => services.GetRequiredService<IOptions<T>>().Value;

    private static TenantTransactions Transactions(IServiceProvider services, string connectionString, string name) =>
        new(
            connectionString,
            services.GetRequiredService<ILoggerFactory>(),
            name,
            services.GetRequiredService<SchemaGate>()
        );

    // Jobs, workers and people together; what a connection string says itself stands.
    private static string ForMain(string connectionString, ConnectionOptions options)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString);
        if (!builder.ContainsKey("Maximum Pool Size"))
            builder.MaxPoolSize = options.Connections;
        return builder.ConnectionString;
    }

    // Short timeouts: an answer that comes after Shopify has hung up helps nobody, and a new connection may work.
    private static string ForIngest(string connectionString) =>
        new NpgsqlConnectionStringBuilder(connectionString)
        {
            MaxPoolSize = 4,
            MinPoolSize = 0,
            Timeout = 2,
            CommandTimeout = 4,
        }.ConnectionString;

    // Few: however many people export, what others ask gets through.
    private static string ForExports(string connectionString, ExportConnectionOptions options) =>
        new NpgsqlConnectionStringBuilder(connectionString)
        {
            MaxPoolSize = options.Connections,
            MinPoolSize = 0,
        }.ConnectionString;
}
