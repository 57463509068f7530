using XenoInsights.Data;

if (args is ["postgres", ..])
    return await PrivatePostgresCommand.RunAsync(args);

var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
var app = builder.Build();
app.Run();
return 0;

public partial class Program;
