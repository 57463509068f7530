namespace XenoInsights.Insights.Products;

/// <summary>What a product is called in SQL, also where Shopify has it no more.</summary>
internal static class ProductTitles
{
    public const string CustomItems = "Custom items";

    /// <summary>
    /// SQL for a title: Shopify's, else that of the line it was sold under last; only what never had one goes by its
    /// number. The tenant is $1.
    /// </summary>
    /// <param name="id">SQL for the product's id; 0 stands for lines without a product.</param>
    /// <param name="title">SQL for the title that Shopify gave it; null or empty where it has none.</param>
    public static string Of(string id, string title) =>
        $"coalesce(nullif({title}, ''), case {id} when 0 then '{CustomItems}' else "
        + $"coalesce({OfLastLine(id)}, 'Product ' || {id}) end)";

    private static string OfLastLine(string id) =>
        $"""
            (select l.title from order_sales s join order_line_items l on l.tenant_id = $1
                and l.order_id = s.order_id and l.shopify_id = s.line_item_id
             where s.tenant_id = $1 and s.product_id = {id} and l.title <> '' order by s.day desc limit 1)
            """;
}
