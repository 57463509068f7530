using System.Text;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;

namespace XenoInsights.Tests.Shopify;

public sealed class SalesLedgerTests
{
    [Theory]
    [InlineData("PRODUCT", "ORDER", SaleMeasure.Sale)]
    [InlineData("PRODUCT", "UPDATE", SaleMeasure.Sale)]
    [InlineData("PRODUCT", "RETURN", SaleMeasure.Return)]
    [InlineData("PRODUCT", "UNKNOWN", SaleMeasure.Uncounted)]
    [InlineData("ADJUSTMENT", "RETURN", SaleMeasure.Return)]
    [InlineData("ADJUSTMENT", "ORDER", SaleMeasure.Return)]
    [InlineData("SHIPPING", "ORDER", SaleMeasure.Shipping)]
    [InlineData("SHIPPING", "RETURN", SaleMeasure.Shipping)]
    [InlineData("DUTY", "RETURN", SaleMeasure.Duty)]
    [InlineData("FEE", "ORDER", SaleMeasure.Fee)]
    [InlineData("ADDITIONAL_FEE", "ORDER", SaleMeasure.Fee)]
    [InlineData("GIFT_CARD", "ORDER", SaleMeasure.Uncounted)]
    [InlineData("TIP", "ORDER", SaleMeasure.Uncounted)]
    [InlineData("UNKNOWN", "ORDER", SaleMeasure.Uncounted)]
    [InlineData("SOMETHING_NEW", "ORDER", SaleMeasure.Uncounted)]
    public void Every_kind_of_entry_counts_in_one_measure(string lineType, string actionType, SaleMeasure measure) =>
        Assert.Equal(
            measure,
            SalesLedger.Measure(Encoding.UTF8.GetBytes(lineType), Encoding.UTF8.GetBytes(actionType))
        );

    [Theory]
    [InlineData("PRODUCT", "ORDER", 2, 2)]
    [InlineData("PRODUCT", "ORDER", -1, -1)]
    [InlineData("PRODUCT", "RETURN", -2, -2)]
    [InlineData("PRODUCT", "RETURN", 2, -2)]
    [InlineData("PRODUCT", "UPDATE", 2, 0)]
    [InlineData("GIFT_CARD", "ORDER", 1, 1)]
    [InlineData("SHIPPING", "ORDER", 1, 0)]
    [InlineData("ADJUSTMENT", "RETURN", -1, 0)]
    public void Units_are_those_of_goods_and_negative_when_they_come_back(
        string lineType,
        string actionType,
        int quantity,
        int units
    ) =>
        Assert.Equal(
            units,
            SalesLedger.Units(Encoding.UTF8.GetBytes(lineType), Encoding.UTF8.GetBytes(actionType), quantity)
        );
}
