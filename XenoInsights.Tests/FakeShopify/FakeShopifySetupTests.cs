using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;

namespace XenoInsights.Tests.FakeShopify;

public sealed class FakeShopifySetupTests
{
    [Fact]
    public void Outside_Development_it_refuses_by_name()
    {
        var refused = Assert.Throws<ConfigurationException>(() =>
            Builder("Production", ("FakeShopify:Enabled", "true")).AddFakeShopify()
        );
        Assert.Contains("FakeShopify:Enabled", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Production", null, false)]
    [InlineData("Development", "a real client", false)]
    [InlineData("Development", null, true)]
    public void It_runs_in_Development_without_a_real_app_only(string environment, string? clientId, bool runs)
    {
        var builder = Builder(environment, ("Shopify:ClientId", clientId), ("FakeShopify:Url", "http://localhost:5299"))
            .AddFakeShopify();
        Assert.Equal(runs, builder.Services.Any(s => s.ServiceType == typeof(IHostedService)));
        Assert.Equal(runs ? "http://localhost:5299/{shop}" : null, builder.Configuration["Shopify:ShopUrl"]);
    }

    private static WebApplicationBuilder Builder(string environment, params (string Key, string? Value)[] settings)
    {
        var builder = WebApplication.CreateEmptyBuilder(new() { EnvironmentName = environment });
        builder.Configuration.AddInMemoryCollection(settings.Select(s => KeyValuePair.Create(s.Key, s.Value)));
        return builder;
    }
}
