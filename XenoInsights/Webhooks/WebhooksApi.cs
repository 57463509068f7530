using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Shopify;

namespace XenoInsights.Webhooks;

/// <summary>
/// Where Shopify delivers. A 200 says that the delivery is stored, and nothing else: it leaves after the commit. Shopify repeats
/// whatever is not answered with a 200 within 5 seconds, so refusing is safe and pretending is not.
/// </summary>
public static class WebhooksApi
{
    public const string Path = "/webhooks/shopify";

    private const int LargestBody = 4 * 1024 * 1024;

    public static void MapWebhooks(this WebApplication app) =>
        app.MapPost(Path, ReceiveAsync).AllowAnonymous().DisableAntiforgery().ExcludeFromDescription();

    private static async Task<IResult> ReceiveAsync(HttpRequest request, SystemDatabase system, TenantDatabase tenants, IOptions<ShopifyOptions> shopify, CancellationToken ct)
    {
        if (await BodyAsync(request, ct) is not { } body) return Results.Problem("The delivery is larger than any of Shopify's.", statusCode: StatusCodes.Status413PayloadTooLarge);
        if (!IsSigned(body, request.Headers["X-Shopify-Hmac-Sha256"].ToString(), shopify.Value)) return Results.Problem("The signature does not match the body.", statusCode: StatusCodes.Status401Unauthorized);

        var (webhookId, topic) = (request.Headers["X-Shopify-Webhook-Id"].ToString(), request.Headers["X-Shopify-Topic"].ToString());
        if (webhookId.Length == 0 || topic.Length == 0) return Results.Problem("X-Shopify-Webhook-Id or X-Shopify-Topic is missing.", statusCode: StatusCodes.Status400BadRequest);
        try
        {
            var domain = request.Headers["X-Shopify-Shop-Domain"].ToString().ToLowerInvariant();
            var tenant = await system.RunAsync(db => db.ShopDomains.IgnoreQueryFilters([XenoDbContext.TenantFilter]).Where(d => d.Domain == domain).Select(d => (Guid?)d.TenantId).SingleOrDefaultAsync(ct), ct);
            if (tenant is not { } tenantId) return Results.Problem("No such store is connected.", statusCode: StatusCodes.Status404NotFound);
            await tenants.RunAsync(tenantId, db => StoreAsync(db, tenantId, webhookId, topic, request.Headers, body, ct), ct);
            return Results.Ok();
        }
        catch (Exception failure) when (failure is NpgsqlException or TimeoutException || failure.InnerException is NpgsqlException)
        {
            return Results.Problem("The delivery cannot be stored now. Send it again.", statusCode: StatusCodes.Status503ServiceUnavailable);
        }
    }

    /// <summary>The raw bytes, which are what was signed; null when there are too many of them.</summary>
    private static async Task<byte[]?> BodyAsync(HttpRequest request, CancellationToken ct)
    {
        if (request.ContentLength > LargestBody) return null;
        var read = new ArrayBufferWriter<byte>();
        while (read.WrittenCount <= LargestBody)
        {
            var bytes = await request.Body.ReadAsync(read.GetMemory(16 * 1024), ct);
            if (bytes == 0) return read.WrittenSpan.ToArray();
            read.Advance(bytes);
        }
        return null;
    }

    private static bool IsSigned(byte[] body, string signature, ShopifyOptions options)
    {
        Span<byte> given = stackalloc byte[64];
        if (!Convert.TryFromBase64String(signature, given, out var length)) return false;
        var isCurrent = CryptographicOperations.FixedTimeEquals(HMACSHA256.HashData(Encoding.UTF8.GetBytes(options.ClientSecret), body), given[..length]);
        var isPrevious = !string.IsNullOrEmpty(options.PreviousClientSecret)
            && CryptographicOperations.FixedTimeEquals(HMACSHA256.HashData(Encoding.UTF8.GetBytes(options.PreviousClientSecret), body), given[..length]);
        return isCurrent || isPrevious;
    }

    // A repeated delivery has the id of the first and is stored already.
    private static async Task StoreAsync(XenoDbContext db, Guid tenantId, string webhookId, string topic, IHeaderDictionary headers, byte[] body, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            insert into events (tenant_id, webhook_id, topic, event_id, triggered_at, received_at, headers, payload, status, attempts, due_at)
            values ($1, $2, $3, $4, $5, now(), $6, $7, $8, 0, now()) on conflict (tenant_id, webhook_id) do nothing
            """);
        command.Parameters.Add(new NpgsqlParameter { Value = tenantId });
        command.Parameters.Add(new NpgsqlParameter { Value = webhookId });
        command.Parameters.Add(new NpgsqlParameter { Value = topic });
        command.Parameters.Add(new NpgsqlParameter { Value = headers.TryGetValue("X-Shopify-Event-Id", out var eventId) ? eventId.ToString() : DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        command.Parameters.Add(new NpgsqlParameter
        {
            Value = DateTimeOffset.TryParse(headers["X-Shopify-Triggered-At"], System.Globalization.CultureInfo.InvariantCulture, out var triggered) ? triggered.UtcDateTime : DBNull.Value,
            NpgsqlDbType = NpgsqlDbType.TimestampTz,
        });
        command.Parameters.Add(new NpgsqlParameter
        {
            Value = JsonSerializer.Serialize(headers.Where(h => h.Key.StartsWith("X-Shopify-", StringComparison.OrdinalIgnoreCase)).ToDictionary(h => h.Key, h => h.Value.ToString())),
            NpgsqlDbType = NpgsqlDbType.Jsonb,
        });
        command.Parameters.Add(new NpgsqlParameter { Value = body });
        command.Parameters.Add(new NpgsqlParameter { Value = (short)EventStatus.Pending });
        await command.ExecuteNonQueryAsync(ct);
    }
}
