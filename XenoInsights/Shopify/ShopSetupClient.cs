using System.Text.Json;
using Microsoft.Extensions.Options;

namespace XenoInsights.Shopify;

/// <summary>A shop as its own Admin API describes it.</summary>
/// <param name="Currency">ISO 4217.</param>
/// <param name="TimeZone">IANA.</param>
public sealed record ShopInfo(long ShopId, string Domain, string Name, string Currency, string TimeZone)
{
    /// <exception cref="FormatException">Something is missing or empty.</exception>
    public static ShopInfo Read(JsonElement shop) =>
        new(
            NumericId(Text(shop, "id")),
            Text(shop, "myshopifyDomain"),
            Text(shop, "name"),
            Text(shop, "currencyCode"),
            Text(shop, "ianaTimezone")
        );

    private static string Text(JsonElement shop, string property) =>
        shop.Text(property) is { Length: > 0 } text ? text : throw new FormatException($"{property} is missing.");

    private static long NumericId(string gid) =>
        long.Parse(gid.AsSpan(gid.LastIndexOf('/') + 1), System.Globalization.CultureInfo.InvariantCulture);
}

/// <summary>The few Admin API calls of connecting a shop: small, unthrottled, before the tenant exists.</summary>
public sealed class ShopSetupClient(IHttpClientFactory clients, IOptions<ShopifyOptions> options)
{
    public const string HttpClientName = "shopify-setup";

    /// <exception cref="HttpRequestException">The shop does not answer as it should.</exception>
    public async Task<ShopInfo> ReadShopAsync(string shopDomain, string accessToken, CancellationToken ct)
    {
        using var answer = await PostAsync(shopDomain, accessToken, new { query = GraphQLDocuments.Shop }, ct);
        try
        {
            return ShopInfo.Read(answer.RootElement.GetProperty("data").GetProperty("shop"));
        }
        catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new HttpRequestException($"{shopDomain} does not describe itself: {Errors(answer)}", e);
        }
    }

    /// <summary>The topics that the app is subscribed to at an address.</summary>
    /// <exception cref="HttpRequestException">The shop does not answer as it should.</exception>
    public async Task<HashSet<string>> SubscribedTopicsAsync(
        string shopDomain,
        string accessToken,
        Uri target,
        CancellationToken ct
    )
    {
        using var answer = await PostAsync(
            shopDomain,
            accessToken,
            new { query = GraphQLDocuments.WebhookSubscriptions },
            ct
        );
        try
        {
            var nodes = answer.RootElement.GetProperty("data").GetProperty("webhookSubscriptions").GetProperty("nodes");
            var here = nodes.EnumerateArray().Where(node => node.Text("uri") == target.ToString());
            return [.. here.Select(node => node.Text("topic") ?? "")];
        }
        catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException)
        {
            throw new HttpRequestException(
                $"{shopDomain} does not list its webhook subscriptions: {Errors(answer)}",
                e
            );
        }
    }

    /// <summary>Subscribes to a topic; one that is already subscribed counts as done. Null, or what is wrong.</summary>
    public async Task<string?> SubscribeAsync(
        string shopDomain,
        string accessToken,
        string topic,
        Uri target,
        CancellationToken ct
    )
    {
        using var answer = await PostAsync(
            shopDomain,
            accessToken,
            new { query = GraphQLDocuments.WebhookSubscriptionCreate, variables = new { topic, uri = target } },
            ct
        );
        if (
            !answer.RootElement.TryGetProperty("data", out var data)
            || data.ValueKind != JsonValueKind.Object
            || !data.TryGetProperty("webhookSubscriptionCreate", out var created)
            || created.ValueKind != JsonValueKind.Object
        )
            return Errors(answer);
        var complaints = created
            .GetProperty("userErrors")
            .EnumerateArray()
            .Select(e => e.GetProperty("message").GetString() ?? "")
            .Where(m => !m.Contains("already been taken", StringComparison.OrdinalIgnoreCase))
            .ToList();
        return complaints.Count == 0 ? null : string.Join(" ", complaints);
    }

    /// <summary>Removes the app from the shop. Null, or what is wrong.</summary>
    /// <exception cref="HttpRequestException">The shop does not answer as it should.</exception>
    public async Task<string?> UninstallAsync(string shopDomain, string accessToken, CancellationToken ct)
    {
        using var answer = await PostAsync(shopDomain, accessToken, new { query = GraphQLDocuments.AppUninstall }, ct);
        if (
            !answer.RootElement.TryGetProperty("data", out var data)
            || data.ValueKind != JsonValueKind.Object
            || !data.TryGetProperty("appUninstall", out var removed)
            || removed.ValueKind != JsonValueKind.Object
        )
            return Errors(answer);
        var complaints = removed
            .GetProperty("userErrors")
            .EnumerateArray()
            .Select(e => e.GetProperty("message").GetString() ?? "")
            .ToList();
        return complaints.Count == 0 ? null : string.Join(" ", complaints);
    }

    private async Task<JsonDocument> PostAsync(string shopDomain, string accessToken, object body, CancellationToken ct)
    {
        var client = clients.CreateClient(HttpClientName);
        var address = new Uri(
            options.Value.AddressOf(shopDomain),
            $"admin/api/{options.Value.ApiVersion}/graphql.json"
        );
        using var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = JsonContent.Create(body) };
        request.Headers.Add("X-Shopify-Access-Token", accessToken);
        using var response = await client.SendAsync(request, ct);
        if (!response.IsSuccessStatusCode)
            throw new HttpRequestException(
                $"The Admin API of {shopDomain} answered {(int)response.StatusCode}.",
                null,
                response.StatusCode
            );
        try
        {
            return JsonDocument.Parse(StorableJson.Clean(await response.Content.ReadAsByteArrayAsync(ct)));
        }
        catch (JsonException e)
        {
            throw new HttpRequestException($"The Admin API of {shopDomain} did not answer in JSON.", e);
        }
    }

    private static string Errors(JsonDocument answer) =>
        answer.RootElement.ValueKind == JsonValueKind.Object
        && answer.RootElement.TryGetProperty("errors", out var errors)
            ? errors.ToString()
            : "the answer holds no data.";
}
