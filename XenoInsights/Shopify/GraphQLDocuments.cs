using System.Reflection;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace XenoInsights.Shopify;

/// <summary>The GraphQL documents we send, one file each in <c>Shopify/Documents</c>.</summary>
public static class GraphQLDocuments
{
    private const string NoFilter = "query: \"\"";

    public static string BulkOrders { get; } = Read("BulkOrders");
    public static string BulkCustomers { get; } = Read("BulkCustomers");
    public static string BulkProducts { get; } = Read("BulkProducts");
    public static string BulkAbandonedCheckouts { get; } = Read("BulkAbandonedCheckouts");

    internal static string BulkRun { get; } = Read("BulkRun");
    internal static string BulkPoll { get; } = Read("BulkPoll");
    internal static string BulkCancel { get; } = Read("BulkCancel");
    internal static string BulkList { get; } = Read("BulkList");
    internal static string OrdersByIds { get; } = Read("OrdersByIds");
    internal static string OrderLines { get; } = Read("OrderLines");
    internal static string OrderLedger { get; } = Read("OrderLedger");
    internal static string OrderRefunds { get; } = Read("OrderRefunds");
    internal static string RefundLines { get; } = Read("RefundLines");
    internal static string CustomersByIds { get; } = Read("CustomersByIds");
    internal static string ProductsByIds { get; } = Read("ProductsByIds");
    internal static string CheckoutsByIds { get; } = Read("CheckoutsByIds");
    internal static string CheckoutLines { get; } = Read("CheckoutLines");
    internal static string Counts { get; } = Read("Counts");
    internal static string CountOrders =>
        "query CountOrders($search: String) { ordersCount(query: $search, limit: null) { count precision } }";
    internal static string AppUninstall { get; } = Read("AppUninstall");
    internal static string Shop { get; } = Read("Shop");
    internal static string WebhookSubscriptions { get; } = Read("WebhookSubscriptions");
    internal static string WebhookSubscriptionCreate { get; } = Read("WebhookSubscriptionCreate");

    /// <summary>
    /// A bulk document with a search, such as <c>updated_at:&gt;='2026-11-21T00:00:00Z'</c>, at its root. Bulk
    /// operations take no variables, so it becomes part of the text. Quote times: unquoted ones match whole days.
    /// </summary>
    public static string Filtered(string bulkDocument, string search) =>
        bulkDocument.Replace(
            NoFilter,
            $"query: \"{JsonEncodedText.Encode(search, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"",
            StringComparison.Ordinal
        );

    /// <summary>
    /// The newest versions that a search finds, page by page: ids and <c>updatedAt</c> alone, which costs little.
    /// Checkouts cannot be sorted by when they were updated.
    /// </summary>
    internal static string Versions(ObjectKind kind) =>
        $$"""
            query Versions($first: Int!, $after: String, $search: String) {
              {{Connection(kind)}}(first: $first, after: $after, query: $search, sortKey: {{(
                kind == ObjectKind.AbandonedCheckouts ? "ID" : "UPDATED_AT"
            )}}) {
                pageInfo { hasNextPage endCursor }
                nodes { id updatedAt }
              }
            }
            """;

    /// <summary>As <see cref="Versions"/>, of all objects there are, as a bulk operation.</summary>
    public static string BulkVersions(ObjectKind kind) =>
        $$"""query BulkVersions { {{Connection(kind)}}(query: "") { edges { node { __typename id updatedAt } } } }""";

    /// <summary>The document that exports all objects of a kind whole.</summary>
    public static string Bulk(ObjectKind kind) =>
        kind switch
        {
            ObjectKind.Products => BulkProducts,
            ObjectKind.Customers => BulkCustomers,
            ObjectKind.Orders => BulkOrders,
            _ => BulkAbandonedCheckouts,
        };

    private static string Connection(ObjectKind kind) =>
        kind switch
        {
            ObjectKind.Products => "products",
            ObjectKind.Customers => "customers",
            ObjectKind.Orders => "orders",
            _ => "abandonedCheckouts",
        };

    private static string Read(string name)
    {
        using var stream =
            Assembly.GetExecutingAssembly().GetManifestResourceStream($"XenoInsights.Shopify.Documents.{name}.graphql")
            ?? throw new InvalidOperationException($"The document {name}.graphql is not part of the build.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
