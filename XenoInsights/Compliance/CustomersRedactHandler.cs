using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Compliance;

/// <summary>Erases a person.</summary>
internal sealed class CustomersRedactHandler(Erasure erasure, ErasureList erasures) : IEventHandler
{
    public string Topic => WebhookTopics.CustomersRedact;

    public async Task<string> HandleAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    )
    {
        var erased = await erasure.ErasePersonAsync(db, tenant, PersonIn(body), ErasureRequest.Of(waiting), ct);
        return $"{erased.RowsBefore} rows about the person were erased.";
    }

    public Task CommittedAsync(Guid tenantId, WaitingEvent applied, CancellationToken ct) =>
        erasures.LogAsync(tenantId, applied.WebhookId, ct);

    private static Person PersonIn(JsonElement body)
    {
        var customer = body.Object("customer");
        return new(
            customer?.LongOrNull("id"),
            Given(customer?.Text("email")),
            Given(customer?.Text("phone")),
            OrdersIn(body)
        );
    }

    private static long[] OrdersIn(JsonElement body)
    {
        if (!body.TryGetProperty("orders_to_redact", out var list) || list.ValueKind != JsonValueKind.Array)
            return [];
        return [.. list.EnumerateArray().Where(o => o.ValueKind == JsonValueKind.Number).Select(o => o.GetInt64())];
    }

    private static string[] Given(string? text) => string.IsNullOrWhiteSpace(text) ? [] : [text];
}
