using XenoInsights.DemoShopify;

var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
builder.AddDemoShopify();
var app = builder.Build();
app.Run();

public partial class Program;
