using Microsoft.Extensions.Options;
using XenoInsights.Access;
using XenoInsights.App;
using XenoInsights.Data;
using XenoInsights.Operations;
using XenoInsights.Shopify;

if (args is ["postgres", ..])
    return await PrivatePostgresCommand.RunAsync(args);
if (args is ["healthcheck"])
    return await HealthCheckCommand.RunAsync();

var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
await using var database = await DatabaseConnection.ResolveAsync(builder.Configuration, builder.Environment, CancellationToken.None);
await Migrator.MigrateAsync(database.Direct);
builder.Services.AddOptions<AppOptions>().BindConfiguration(AppOptions.Section).ValidateOnStart();
builder.Services.AddSingleton<IValidateOptions<AppOptions>, AppOptionsValidator>();
builder.Services.AddOptions<ShopifyOptions>().BindConfiguration(ShopifyOptions.Section).ValidateOnStart();
builder.Services.AddSingleton<IValidateOptions<ShopifyOptions>, ShopifyOptionsValidator>();
builder.AddOperations();
builder.AddData(database.Main);
builder.AddAccess();
builder.AddApp();

await using var app = builder.Build();
app.UseOperations();
app.MapAccess();
app.MapApp();
app.MapOperations();
app.MapStaticAssets().AllowAnonymous();
await app.RunAsync();
return 0;

public partial class Program;
