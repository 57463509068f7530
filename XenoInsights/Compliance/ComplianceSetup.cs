using XenoInsights.Webhooks;

namespace XenoInsights.Compliance;

/// <summary>What privacy law and Shopify ask of an app: data requests, erasures and the evidence of them.</summary>
public static class ComplianceSetup
{
    public static void AddCompliance(this WebApplicationBuilder builder)
    {
        builder
            .Services.AddSingleton<IdentifierHashes>()
            .AddSingleton<Erasure>()
            .AddSingleton<IEventBodyEraser>(services => services.GetRequiredService<Erasure>())
            .AddSingleton<ErasureList>();
        builder
            .Services.AddSingleton<IEventHandler, CustomersDataRequestHandler>()
            .AddSingleton<IEventHandler, CustomersRedactHandler>()
            .AddSingleton<IEventHandler, ShopRedactHandler>();
        builder
            .Services.AddScoped<DataRequests>()
            .AddScoped<IDataRequestList>(services => services.GetRequiredService<DataRequests>());
    }

    public static void MapCompliance(this WebApplication app) => DataRequestsApi.Map(app);
}
