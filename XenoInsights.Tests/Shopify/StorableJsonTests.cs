using System.Text;
using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;

namespace XenoInsights.Tests.Shopify;

/// <summary>Texts that JSON can say and PostgreSQL cannot store, on every way from Shopify.</summary>
public sealed class StorableJsonTests
{
    private const string Half = "\\ud83d";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("Cup\\u0000board", "Cupboard")]
    [InlineData("Cut " + Half, "Cut \ufffd")]
    [InlineData("\\ude00 first " + Half + "\\n" + Half, "\ufffd first \ufffd\n\ufffd")]
    [InlineData(Half + Half + "\\ude00", "\ufffd😀")]
    [InlineData("\\uD83D\\uDE00 whole", "😀 whole")]
    [InlineData("\\\\u0000 is written out", "\\u0000 is written out")]
    [InlineData("\\\\\\u0000x", "\\x")]
    [InlineData("Teapot \\u00e9 \\\"x\\\"", "Teapot é \"x\"")]
    public void A_text_reads_as_PostgreSQL_can_store_it(string told, string expected)
    {
        var json = Encoding.UTF8.GetBytes($$"""{"title":"{{told}}"}""");

        using var document = JsonDocument.Parse(StorableJson.Clean(json));

        Assert.Equal(expected, document.RootElement.GetProperty("title").GetString());
        Assert.True(StorableJson.Clean(json.AsSpan()).SequenceEqual(StorableJson.Clean(json)));
    }

    [Fact]
    public void Bytes_that_are_not_UTF_8_and_bare_NULs_are_replaced()
    {
        byte[] json = [.. "{\"title\":\"a"u8, 0xff, 0, .. "b\"}"u8];

        using var document = JsonDocument.Parse(StorableJson.Clean(json));

        Assert.Equal("a\ufffdb", document.RootElement.GetProperty("title").GetString());
    }

    [Fact]
    public async Task Bulk_lines_answers_and_payloads_say_the_same()
    {
        const string fields =
            "\"createdAt\":\"2026-01-01T00:00:00Z\",\"updatedAt\":\"2026-01-01T00:00:00Z\",\"title\":\"Cup\\u0000board "
            + "\\ud83d\",\"vendor\":\"\\udc00\"";
        const string node = "{\"__typename\":\"Product\",\"id\":\"gid://shopify/Product/5\"," + fields + "}";
        await using var shopify = await Fake.StartAsync(Fake.Data("{\"nodes\":[" + node + "]}"));

        var answered = Assert.Single(await shopify.Objects.ProductsAsync(Fake.Shop, [5], Ct));
        var exported = Assert.IsType<ProductRecord>((await ItemsAsync(node)).Single().Record);
        using var payload = JsonDocument.Parse(
            StorableJson.Clean(
                """{"id":5,"title":"Cup\u0000board \ud83d","vendor":"\udc00","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}"""u8.ToArray()
            )
        );

        var told = WebhookPayload.ReadProduct(payload.RootElement);
        Assert.All(
            [answered, exported, told],
            product => Assert.Equal(("Cupboard \ufffd", "\ufffd"), (product.Title, product.Vendor))
        );
    }

    [Fact]
    public async Task A_line_without_an_end_is_rejected_alone()
    {
        var product = """
            {"__typename":"Product","id":"gid://shopify/Product/5","createdAt":"2026-01-01T00:00:00Z",
            "updatedAt":"2026-01-01T00:00:00Z","title":"Hat"}
            """.ReplaceLineEndings("");

        var items = await ItemsAsync(
            product
                + "\n{\"__typename\":\"Product\",\"id\":\""
                + new string('x', JsonlAssembler.LongestLine + 100_000)
                + "\n"
                + product.Replace("Product/5", "Product/6", StringComparison.Ordinal)
        );

        Assert.Equal([5, 6], items.Where(i => i.Record is not null).Select(i => i.Record!.ShopifyId));
        Assert.Contains(
            "longer than",
            Assert.Single(items, i => i.Rejected is { Line: 2 }).Rejected!.Reason,
            StringComparison.Ordinal
        );
    }

    private static async Task<List<BulkItem>> ItemsAsync(string file)
    {
        using var source = new MemoryStream(Encoding.UTF8.GetBytes(file));
        var items = new List<BulkItem>();
        await foreach (var item in new JsonlAssembler("CAD").ReadAsync(source, Ct))
            items.Add(item);
        return items;
    }
}
