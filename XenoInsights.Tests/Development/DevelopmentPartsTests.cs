using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting.Internal;
using XenoInsights.Data;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Development;

/// <summary>
/// What a published app says when it is asked for what only a development build contains. <c>.ci/publish.sh</c> asks
/// one.
/// </summary>
public sealed class DevelopmentPartsTests
{
    [Theory]
    [InlineData("Postgres:DataRoot", "/var/lib/xeno", "embedded PostgreSQL")]
    [InlineData("Postgres:Bin", "/usr/bin", "embedded PostgreSQL")]
    [InlineData("Access:BuiltInSignInForAll", "true", "built-in sign-in")]
    [InlineData("FakeShopify:Enabled", "True", "fake Shopify")]
    public void A_setting_that_asks_for_a_missing_part_is_refused_by_its_key(string key, string value, string part)
    {
        var refused = Assert.Throws<XenoInsights.Data.ConfigurationException>(() => Refuse("Production", (key, value)));

        Assert.Contains("does not contain", refused.Message, StringComparison.Ordinal);
        Assert.Contains($"{key} asks for the {part}", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void All_that_is_asked_for_is_said_at_once()
    {
        var refused = Assert.Throws<XenoInsights.Data.ConfigurationException>(() =>
            Refuse("Development", ("Postgres:Bin", "/usr/bin"), ("FakeShopify:Enabled", "true"))
        );

        Assert.All(
            ["Postgres:Bin", "FakeShopify:Enabled", "ASPNETCORE_ENVIRONMENT is Development"],
            name => Assert.Contains(name, refused.Message, StringComparison.Ordinal)
        );
    }

    [Theory]
    [InlineData("FakeShopify:Enabled", "false")]
    [InlineData("Access:BuiltInSignInForAll", "False")]
    [InlineData("Postgres:DataRoot", "")]
    [InlineData("Postgres:Connections", "30")]
    public void A_setting_that_asks_for_nothing_is_accepted(string key, string value) =>
        Refuse("Production", (key, value));

    [Fact]
    public void The_app_reaches_the_development_parts_through_their_interface_only()
    {
        var others = Repository
            .Sources("XenoInsights")
            .Where(source =>
                !source.Path.StartsWith("XenoInsights/Development/", StringComparison.Ordinal)
                && !source.Path.StartsWith("XenoInsights/FakeShopify/", StringComparison.Ordinal)
            );

        Assert.DoesNotContain(
            others,
            source =>
                source.Text.Contains("using XenoInsights.Development", StringComparison.Ordinal)
                || source.Text.Contains("using XenoInsights.Development.FakeShopify", StringComparison.Ordinal)
        );
    }

    private static void Refuse(string environment, params (string Key, string Value)[] settings) =>
        DevelopmentParts.RefuseToBeAsked(
            new ConfigurationBuilder()
                .AddInMemoryCollection(settings.Select(s => KeyValuePair.Create(s.Key, (string?)s.Value)))
                .Build(),
            new HostingEnvironment { EnvironmentName = environment }
        );
}
