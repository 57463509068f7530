using XenoInsights;
using XenoInsights.App;
using XenoInsights.Authentication;
using XenoInsights.Compliance;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Insights;
using XenoInsights.Insights.Checkouts;
using XenoInsights.Insights.Cohorts;
using XenoInsights.Insights.Customers;
using XenoInsights.Insights.Orders;
using XenoInsights.Insights.Products;
using XenoInsights.Insights.WhatChanged;
using XenoInsights.Notifications;
using XenoInsights.Operations;
using XenoInsights.Operations.Fleet;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

ConfigurationProblems.ExitPlainly();
if (args is ["postgres", ..])
    return await DevelopmentParts.RunPostgresAsync(args);
if (args is ["healthcheck"])
    return await HealthCheckCommand.RunAsync();

var builder = WebApplication.CreateBuilder(
    new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory }
);
var problems = new ConfigurationProblems();
problems.Collect(() => RenamedKeys.Refuse(builder.Configuration), () => builder.AddDevelopmentParts());
await using var database = await problems.CollectAsync(() =>
    DatabaseConnection.ResolveAsync(
        builder.Configuration,
        builder.Environment,
        DevelopmentParts.StartPostgres,
        CancellationToken.None
    )
);
if (args is [UpgradeCommands.Migrate or UpgradeCommands.Finish or VerifyCommand.Name, ..])
    problems.ThrowIfAny();
if (args is [UpgradeCommands.Migrate or UpgradeCommands.Finish, ..])
    return await UpgradeCommands.RunAsync(args[0], database!);
if (args is [VerifyCommand.Name, ..])
    return await VerifyCommand.RunAsync(builder, database!);

problems.Collect(
    builder.AddAppOptions,
    builder.AddHosting,
    builder.AddKnownProxies,
    () => builder.AddData(database?.Main ?? ""),
    builder.AddTenants,
    builder.AddAuthentication,
    () => builder.AddShopify(),
    builder.AddConnect,
    builder.AddSync,
    builder.AddWebhooks,
    builder.AddEvents,
    builder.AddCompliance,
    builder.AddOperationsApi,
    builder.AddNotifications,
    builder.AddInsights,
    builder.AddOrders,
    builder.AddChanges,
    builder.AddCustomers,
    builder.AddCohorts,
    builder.AddProducts,
    builder.AddCheckouts,
    builder.AddScheduledJobs,
    builder.AddApiDocs,
    builder.AddApp
);
problems.CollectOptions(builder.Services);
problems.ThrowIfAny();
if (builder.Environment.IsDevelopment())
{
    await Migrator.MigrateAsync(database!.Direct);
    await Migrator.FinishAsync(database.Direct);
}

await using var app = builder.Build();
if (args is ["erasures", ..])
    return await ErasuresCommand.RunAsync(app.Services, args);
app.UseKnownProxies();
app.UseMiddleware<SecurityHeaders>();
app.UseRequestLog();
app.UseErrorPage();
app.UseProblemDetails();
app.UseAppUrl();
app.UsePublicAddress();
app.UseMiddleware<OriginCheck>();
app.UseAuthentication();
app.UseAuthorization();
app.UseNotFoundPage();
app.UseRequestLocalization();
app.UseAntiforgery();

app.MapAuthentication();
app.MapTenantsApi();
app.MapConnect();
app.MapWebhooks();
app.MapEvents();
app.MapCompliance();
app.MapOperationsApi();
app.MapSync();
app.MapNotifications();
app.MapInsights();
app.MapOrders();
app.MapChanges();
app.MapCustomers();
app.MapCohorts();
app.MapProducts();
app.MapCheckouts();
app.MapApp();
app.MapHosting();
app.MapDevelopmentParts();
app.MapApiDocs();
app.MapStaticAssets().AllowAnonymous().DisableHttpMetrics();
await app.RunAsync();
return 0;

public partial class Program;
