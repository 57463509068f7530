namespace XenoInsights.Tests;

public sealed class SmokeTests
{
    [Fact]
    public void The_product_assembly_is_named_XenoInsights() => Assert.Equal("XenoInsights", typeof(Program).Assembly.GetName().Name);
}
