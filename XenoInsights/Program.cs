using XenoInsights.Access;
using XenoInsights.App;
using XenoInsights.Data;
using XenoInsights.DemoShopify;
using XenoInsights.Install;
using XenoInsights.Insights;
using XenoInsights.Notifications;
using XenoInsights.Operations;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

if (args is ["postgres", ..]) return await PrivatePostgresCommand.RunAsync(args);
if (args is ["healthcheck"]) return await HealthCheckCommand.RunAsync();

var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
await using var database = await DatabaseConnection.ResolveAsync(builder.Configuration, builder.Environment, CancellationToken.None);
if (args is ["migrate", ..] || builder.Environment.IsDevelopment()) await Migrator.MigrateAsync(database.Direct);
if (args is ["migrate", ..]) return 0;

builder.AddDemoShopify();
builder.AddAppOptions();
builder.AddOperations();
builder.AddData(database.Main);
builder.AddTenants();
builder.AddAccess();
builder.AddShopify();
builder.AddInstall();
builder.AddSync();
builder.AddWebhooks();
builder.AddEvents();
builder.AddOperationsApi();
builder.AddNotifications();
builder.AddInsights();
builder.AddHousekeeping();
builder.AddApiDocs();
builder.AddApp();

await using var app = builder.Build();
app.UseErrorPage();
app.UseOperations();
app.MapAccess();
app.MapInstall();
app.MapWebhooks();
app.MapEvents();
app.MapOperationsApi();
app.MapSync();
app.MapNotifications();
app.MapInsights();
app.MapApp();
app.MapOperations();
app.MapApiDocs();
app.MapStaticAssets().AllowAnonymous().DisableHttpMetrics();
await app.RunAsync();
return 0;

public partial class Program;
