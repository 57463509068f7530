using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using XenoInsights.Shopify;

namespace XenoInsights.Tests.Shopify;

public sealed class QuerySignatureTests
{
    private static readonly ShopifyOptions _options = new() { ClientSecret = "hush" };

    // The example of Shopify's own documentation.
    private const string Example =
        "code=0907a61c0c8d55e99db179b68161bc00&shop=some-shop.myshopify.com&state=0.6784241404160823"
        + "&timestamp=1337178173";
    private const string ExampleHmac = "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf";

    [Fact]
    public void Shopifys_documented_example_is_valid_in_any_order() =>
        Assert.True(
            IsValid(
                "timestamp=1337178173&hmac="
                    + ExampleHmac
                    + "&state=0.6784241404160823&shop=some-shop.myshopify.com&code=0907a61c0c8d55e99db179b68161bc00"
            )
        );

    [Theory]
    [InlineData(Example)]
    [InlineData(Example + "&hmac=")]
    [InlineData(Example + "&hmac=zz0e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf")]
    [InlineData(Example + "&hmac=" + ExampleHmac + "00")]
    [InlineData(Example + "0&hmac=" + ExampleHmac)]
    [InlineData(Example + "&hmac=" + ExampleHmac + "&hmac=" + ExampleHmac)]
    public void Anything_else_is_not(string query) => Assert.False(IsValid(query));

    [Fact]
    public void One_parameter_cannot_pose_as_two() =>
        Assert.False(
            IsValid(
                "code=0907a61c0c8d55e99db179b68161bc00%26shop%3Dsome-shop.myshopify.com"
                    + "&state=0.6784241404160823&timestamp=1337178173&hmac="
                    + ExampleHmac
            )
        );

    private static bool IsValid(string query) =>
        QuerySignature.IsValid(new QueryCollection(QueryHelpers.ParseQuery(query)), _options);
}
