using XenoInsights.App;
using XenoInsights.Connect;

namespace XenoInsights.Tests.App;

public sealed class ShopAddressTests
{
    [Theory]
    [InlineData("harrow-and-wren")]
    [InlineData(" Harrow-And-Wren ")]
    [InlineData("harrow-and-wren.myshopify.com")]
    [InlineData("https://harrow-and-wren.myshopify.com/admin/orders?x=1")]
    [InlineData("admin.shopify.com/store/harrow-and-wren")]
    [InlineData("https://admin.shopify.com/store/harrow-and-wren/settings/domains")]
    public void A_store_is_recognised_however_its_address_was_copied(string typed) =>
        Assert.Equal("harrow-and-wren.myshopify.com", ShopAddress.Parse(typed));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("www.example.com")]
    [InlineData("harrow and wren")]
    [InlineData("evil.example/.myshopify.com")]
    [InlineData("-wren")]
    public void Anything_else_is_not_a_store(string? typed) => Assert.Null(ShopAddress.Parse(typed));
}
