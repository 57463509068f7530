using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Options;
using XenoInsights.Shopify;

namespace XenoInsights.Webhooks;

/// <summary>
/// Where Shopify delivers. A 200 says that the delivery is stored, and nothing else: it leaves after the commit. Shopify repeats
/// whatever is not answered with a 200 within 5 seconds, so refusing is safe and pretending is not.
/// </summary>
public static class WebhooksApi
{
    public const string Path = "/webhooks/shopify";

    private const int LargestBody = 4 * 1024 * 1024, LongestName = 200;
    private static readonly TimeSpan _patience = TimeSpan.FromMilliseconds(900);

    public static void AddWebhooks(this WebApplicationBuilder builder)
    {
        builder.Services.AddOptions<WebhookOptions>().BindConfiguration(WebhookOptions.Section)
            .Validate(options => options.MaxAttempts is >= 1 and <= 50, $"{WebhookOptions.Section}:{nameof(WebhookOptions.MaxAttempts)} must be 1 to 50.")
            .Validate(options => options.RetrySeconds is > 0 and <= 3600, $"{WebhookOptions.Section}:{nameof(WebhookOptions.RetrySeconds)} must be more than 0 and at most 3600.").ValidateOnStart();
        builder.Services.AddOptions<RetentionOptions>().BindConfiguration(RetentionOptions.Section)
            .Validate(options => options.PayloadDays >= 7, $"{RetentionOptions.Section}:{nameof(RetentionOptions.PayloadDays)} must be at least 7.")
            .Validate(options => options.EventDays >= options.PayloadDays, $"{RetentionOptions.Section}:{nameof(RetentionOptions.EventDays)} must be at least {nameof(RetentionOptions.PayloadDays)}.").ValidateOnStart();
        builder.Services.AddSingleton<WebhookSignal>().AddSingleton<WebhookMetrics>().AddSingleton<Demands>().AddSingleton<EventProcessor>().AddSingleton<Rereads>();
        builder.Services.AddSingleton<Inbox>().AddHostedService(services => services.GetRequiredService<Inbox>());
        builder.Services.AddHostedService<WebhookWorker>().AddHostedService<RereadWorker>();
    }

    public static void MapWebhooks(this WebApplication app) =>
        app.MapPost(Path, ReceiveAsync).AllowAnonymous().DisableAntiforgery().ExcludeFromDescription();

    private static async Task<IResult> ReceiveAsync(HttpRequest request, Inbox inbox, WebhookMetrics metrics, IOptions<ShopifyOptions> shopify, CancellationToken ct)
    {
        var topic = request.Headers["X-Shopify-Topic"].ToString().ToLowerInvariant();
        metrics.Received(topic);
        byte[]? body;
        try
        {
            body = await BodyAsync(request, ct);
        }
        catch (BadHttpRequestException broken)
        {
            return Refused("unreadable", broken.StatusCode, "The body could not be read.");
        }
        if (body is null) return Refused("too large", StatusCodes.Status413PayloadTooLarge, "The delivery is larger than any of Shopify's.");
        if (!IsSigned(body, request.Headers["X-Shopify-Hmac-Sha256"].ToString(), shopify.Value)) return Refused("signature", StatusCodes.Status401Unauthorized, "The signature does not match the body.");

        var webhookId = request.Headers["X-Shopify-Webhook-Id"].ToString();
        if (webhookId.Length is 0 or > LongestName || topic.Length is 0 or > LongestName) return Refused("headers", StatusCodes.Status400BadRequest, "X-Shopify-Webhook-Id or X-Shopify-Topic is missing or too long.");
        return await StoreAsync() switch
        {
            StoreResult.Stored => Accepted(duplicate: false),
            StoreResult.Duplicate => Accepted(duplicate: true),
            StoreResult.UnknownShop => Refused("unknown shop", StatusCodes.Status404NotFound, "No such store is connected."),
            StoreResult.Unstorable => Refused("unstorable", StatusCodes.Status400BadRequest, "A header or the topic holds characters that cannot be stored."),
            _ => Refused("unavailable", StatusCodes.Status503ServiceUnavailable, "The delivery cannot be stored now. Send it again."),
        };

        IResult Accepted(bool duplicate)
        {
            metrics.Stored(topic, duplicate);
            return Results.Ok();
        }

        IResult Refused(string reason, int status, string detail)
        {
            metrics.Refused(topic, reason);
            return Results.Problem(detail, statusCode: status);
        }

        // The patience bounds our answer, not the commit: one that comes after it makes Shopify's repetition a duplicate.
        async Task<StoreResult> StoreAsync()
        {
            try
            {
                return await inbox.StoreAsync(DeliveryOf(request.Headers, topic, webhookId, body)).WaitAsync(_patience, CancellationToken.None);
            }
            catch (TimeoutException)
            {
                return StoreResult.Unavailable;
            }
        }
    }

    private static Delivery DeliveryOf(IHeaderDictionary headers, string topic, string webhookId, byte[] body)
    {
        var (objectId, shopId) = Envelope.Read(topic, body);
        var kept = headers.Where(h => h.Key.StartsWith("X-Shopify-", StringComparison.OrdinalIgnoreCase) && !h.Key.Equals("X-Shopify-Hmac-Sha256", StringComparison.OrdinalIgnoreCase));
        return new(
            headers["X-Shopify-Shop-Domain"].ToString().ToLowerInvariant(), shopId, webhookId, topic,
            headers.TryGetValue("X-Shopify-Event-Id", out var eventId) ? eventId.ToString() : null,
            DateTimeOffset.TryParse(headers["X-Shopify-Triggered-At"], CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var triggered) ? triggered : null,
            JsonSerializer.Serialize(kept.ToDictionary(h => h.Key, h => h.Value.ToString())), body, objectId, Activity.Current?.TraceId.ToString());
    }

    /// <summary>The raw bytes, which are what was signed; null when there are too many of them.</summary>
    private static async Task<byte[]?> BodyAsync(HttpRequest request, CancellationToken ct)
    {
        if (request.ContentLength > LargestBody) return null;
        var read = new ArrayBufferWriter<byte>((int)(request.ContentLength ?? 0) + 1);
        while (read.WrittenCount <= LargestBody)
        {
            var bytes = await request.Body.ReadAsync(read.GetMemory(), ct);
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
}

/// <summary>Section <c>Webhooks</c>.</summary>
public sealed class WebhookOptions
{
    public const string Section = "Webhooks";

    /// <summary>How often applying a delivery is tried before it is left to a person.</summary>
    public int MaxAttempts { get; set; } = 8;

    /// <summary>The pause after the first failed attempt; it doubles with each further one, up to an hour.</summary>
    public double RetrySeconds { get; set; } = 5;
}
