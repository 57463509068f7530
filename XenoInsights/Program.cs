using XenoInsights.Data;
using XenoInsights.Operations;

if (args is ["postgres", ..])
    return await PrivatePostgresCommand.RunAsync(args);
if (args is ["healthcheck"])
    return await HealthCheckCommand.RunAsync();

var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
await using var database = await DatabaseConnection.ResolveAsync(builder.Configuration, builder.Environment, CancellationToken.None);
builder.AddOperations();
builder.AddData(database.Main);

var app = builder.Build();
app.UseOperations();
app.MapOperations();
await app.RunAsync();
return 0;

public partial class Program;
