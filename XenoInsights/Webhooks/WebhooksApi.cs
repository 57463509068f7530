using System.Buffers;
using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Threading.RateLimiting;
using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Queues;
using XenoInsights.Shopify;
using XenoInsights.Webhooks.Handlers;

namespace XenoInsights.Webhooks;

/// <summary>
/// Where Shopify delivers. A 200 says that the delivery is stored, and nothing else: it leaves after the commit.
/// Shopify repeats whatever is not answered with a 200 within 5 seconds, so refusing is safe and a 200 too early is
/// not.
/// </summary>
public static class WebhooksApi
{
    public const string Path = "/webhooks/shopify";

    private const int LargestBody = 4 * 1024 * 1024,
        FirstBuffer = 16 * 1024,
        LongestName = 200,
        SignatureLength = 44,
        RetryAfterSeconds = 2;
    private static readonly TimeSpan _patience = TimeSpan.FromMilliseconds(900);

    // Shopify waits five seconds for the whole answer.
    private static readonly TimeSpan _bodyWithin = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The headers that are kept with a delivery; whoever sends chooses all of them, for only the body is signed.
    /// </summary>
    private static readonly string[] _keptHeaders =
    [
        "X-Shopify-Topic",
        "X-Shopify-Shop-Domain",
        "X-Shopify-API-Version",
        "X-Shopify-Webhook-Id",
        "X-Shopify-Event-Id",
        "X-Shopify-Triggered-At",
        "X-Shopify-Name",
        "X-Shopify-Sub-Topic",
        "X-Shopify-Test",
    ];

    public static void AddWebhooks(this WebApplicationBuilder builder)
    {
        builder.Services.AddCheckedOptions<WebhookOptions>(WebhookOptions.Section);
        builder
            .Services.AddCheckedOptions<RetentionOptions>(RetentionOptions.Section)
            .Validate(
                options => options.EventDays >= options.PayloadDays,
                $"{RetentionOptions.Section}:{nameof(RetentionOptions.EventDays)} must be at least {nameof(RetentionOptions.PayloadDays)}."
            );
        builder
            .Services.AddKeyedSingleton<WorkSignal>(EventQueue.Name)
            .AddSingleton<WebhookMetrics>()
            .AddSingleton<WebhookAdmission>();
        builder
            .Services.AddSingleton<IEventHandler, ShopUpdateHandler>()
            .AddSingleton<IEventHandler, AppUninstalledHandler>()
            .AddSingleton<IEventHandler, AppScopesUpdateHandler>()
            .AddSingleton<IEventHandler, BulkOperationsFinishHandler>()
            .AddSingleton<IEventHandler, CustomersMergeHandler>()
            .AddSingleton<EventHandlers>()
            .AddSingleton<AccessCheck>()
            .AddSingleton<EventProcessor>();
        builder.Services.AddSingleton<Inbox>().AddHostedService(services => services.GetRequiredService<Inbox>());
        builder.Services.AddSingleton(Inbox.WarmUp);
        builder.Services.AddHostedService<WebhookWorker>().AddHostedService<BacklogWatch>();
    }

    public static void MapWebhooks(this WebApplication app) =>
        app.MapPost(Path, ReceiveAsync).AllowAnonymous().DisableAntiforgery().ExcludeFromDescription();

    private static async Task<IResult> ReceiveAsync(
        HttpContext http,
        Inbox inbox,
        WebhookAdmission admission,
        WebhookMetrics metrics,
        IOptions<ShopifyOptions> shopify,
        ILogger<Inbox> logger,
        CancellationToken ct
    )
    {
        var headers = http.Request.Headers;
        var topic = headers["X-Shopify-Topic"].ToString().ToLowerInvariant();
        metrics.Received(topic);
        // Nothing is read of what cannot be Shopify's.
        if (SignatureIn(headers) is not { } signature)
            return Refused(
                "signature",
                StatusCodes.Status401Unauthorized,
                "X-Shopify-Hmac-Sha256 is not the signature of a body."
            );
        using var admitted = admission.Enter();
        if (!admitted.IsAcquired)
        {
            http.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
            return Refused(
                "busy",
                StatusCodes.Status503ServiceUnavailable,
                "Too many deliveries arrive at once. Send it again."
            );
        }
        byte[]? body;
        try
        {
            body = await BodyAsync(http.Request, ct);
        }
        catch (BadHttpRequestException broken)
        {
            return Refused("unreadable", broken.StatusCode, "The body could not be read.");
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return Refused("slow", StatusCodes.Status408RequestTimeout, "The body did not arrive in time.");
        }
        if (body is null)
            return Refused(
                "too large",
                StatusCodes.Status413PayloadTooLarge,
                "The delivery is larger than any of Shopify's."
            );
        if (!IsSigned(body, signature, shopify.Value))
            return Refused("signature", StatusCodes.Status401Unauthorized, "The signature does not match the body.");
        if (!IsGiven(headers, "X-Shopify-Topic") || !IsGiven(headers, "X-Shopify-Webhook-Id"))
            return Refused(
                "headers",
                StatusCodes.Status400BadRequest,
                "X-Shopify-Webhook-Id or X-Shopify-Topic is missing, repeated or too long."
            );
        if (Envelope.Read(topic, body) is not { } envelope)
            return Refused("unreadable", StatusCodes.Status400BadRequest, "The body is not a JSON object.");
        var delivery = DeliveryOf(headers, topic, body, envelope);
        var known = WebhookTopics.Find(topic);
        if (known is { NamesItsShop: true } && (envelope.ShopId is null || envelope.ShopDomain != delivery.Domain))
            return OtherShop();
        return await StoreAsync(delivery) switch
        {
            StoreResult.Stored => Accepted(duplicate: false),
            StoreResult.Duplicate => Accepted(duplicate: true),
            StoreResult.UnknownShop when known is { IsCompliance: true } => NothingToDo(),
            StoreResult.UnknownShop => Refused(
                "unknown shop",
                StatusCodes.Status404NotFound,
                "No such store is connected."
            ),
            StoreResult.OtherShop => OtherShop(),
            StoreResult.Unstorable => Refused(
                "unstorable",
                StatusCodes.Status400BadRequest,
                "A header or the topic holds characters that cannot be stored."
            ),
            _ => Refused(
                "unavailable",
                StatusCodes.Status503ServiceUnavailable,
                "The delivery cannot be stored now. Send it again."
            ),
        };

        IResult Accepted(bool duplicate)
        {
            metrics.Stored(topic, duplicate);
            return Results.Ok();
        }

        // Nothing is stored here of a shop that was never connected or is erased, so what the law asks for is done.
        IResult NothingToDo()
        {
            metrics.NothingStored(topic);
            logger.LogInformation(
                "{Topic} for {Shop}, of which nothing is stored, was acknowledged",
                topic,
                delivery.Domain
            );
            return Results.Ok();
        }

        IResult OtherShop() =>
            Refused(
                "other shop",
                StatusCodes.Status404NotFound,
                "The body does not name the shop of X-Shopify-Shop-Domain."
            );

        IResult Refused(string reason, int status, string detail)
        {
            metrics.Refused(topic, reason);
            return Results.Problem(detail, statusCode: status);
        }

        // The patience bounds our answer, not the commit: one that comes after it makes Shopify's repetition a
        // duplicate.
        async Task<StoreResult> StoreAsync(Delivery stored)
        {
            try
            {
                return await inbox.StoreAsync(stored).WaitAsync(_patience, CancellationToken.None);
            }
            catch (TimeoutException)
            {
                return StoreResult.Unavailable;
            }
        }
    }

    private static Delivery DeliveryOf(IHeaderDictionary headers, string topic, byte[] body, Envelope envelope)
    {
        var kept = _keptHeaders
            .Where(headers.ContainsKey)
            .ToDictionary(name => name, name => Shortened(headers[name].ToString()));
        return new(
            headers["X-Shopify-Shop-Domain"].ToString().ToLowerInvariant(),
            envelope.ShopId,
            headers["X-Shopify-Webhook-Id"].ToString(),
            topic,
            headers.TryGetValue("X-Shopify-Event-Id", out var eventId) ? Shortened(eventId.ToString()) : null,
            DateTimeOffset.TryParse(
                headers["X-Shopify-Triggered-At"],
                CultureInfo.InvariantCulture,
                DateTimeStyles.AssumeUniversal,
                out var triggered
            )
                ? triggered
                : null,
            JsonSerializer.Serialize(kept),
            body,
            envelope.ObjectId,
            Activity.Current?.TraceId.ToString()
        );
    }

    private static bool IsGiven(IHeaderDictionary headers, string name) =>
        headers[name] is { Count: 1 } values && values[0] is { Length: > 0 and <= LongestName };

    /// <summary>Never half of a character.</summary>
    private static string Shortened(string text)
    {
        if (text.Length <= LongestName)
            return text;
        return text[..(char.IsHighSurrogate(text[LongestName - 1]) ? LongestName - 1 : LongestName)];
    }

    /// <summary>
    /// The raw bytes, which are what was signed; null when there are too many of them. Memory grows with what arrived,
    /// not with what was promised.
    /// </summary>
    private static async Task<byte[]?> BodyAsync(HttpRequest request, CancellationToken ct)
    {
        if (request.ContentLength > LargestBody)
            return null;
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(ct);
        deadline.CancelAfter(_bodyWithin);
        var read = new ArrayBufferWriter<byte>(FirstBuffer);
        while (read.WrittenCount <= LargestBody)
        {
            var bytes = await request.Body.ReadAsync(read.GetMemory(), deadline.Token);
            if (bytes == 0)
                return read.WrittenSpan.ToArray();
            read.Advance(bytes);
        }
        return null;
    }

    /// <summary>The 32 bytes of a well-formed signature, or null.</summary>
    private static byte[]? SignatureIn(IHeaderDictionary headers)
    {
        if (
            headers["X-Shopify-Hmac-Sha256"] is not { Count: 1 } values
            || values[0] is not { Length: SignatureLength } text
        )
            return null;
        var signature = new byte[HMACSHA256.HashSizeInBytes];
        return Convert.TryFromBase64String(text, signature, out var length) && length == signature.Length
            ? signature
            : null;
    }

    private static bool IsSigned(byte[] body, byte[] signature, ShopifyOptions options)
    {
        var isCurrent = IsSignedWith(options.ClientSecret);
        var isPrevious = options.PreviousClientSecret is { Length: > 0 } previous && IsSignedWith(previous);
        return isCurrent || isPrevious;

        bool IsSignedWith(string secret) =>
            CryptographicOperations.FixedTimeEquals(
                HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), body),
                signature
            );
    }
}

/// <summary>
/// How many deliveries may be on their way in at once: each holds its body in memory until it is stored.
/// </summary>
internal sealed class WebhookAdmission : IDisposable
{
    private readonly ConcurrencyLimiter _limiter;

    public WebhookAdmission(IOptions<WebhookOptions> options, WebhookMetrics metrics)
    {
        _limiter = new(new() { PermitLimit = options.Value.MaxInFlight, QueueLimit = 0 });
        metrics.ObserveInFlight(() => options.Value.MaxInFlight - _limiter.GetStatistics()!.CurrentAvailablePermits);
    }

    public RateLimitLease Enter() => _limiter.AttemptAcquire();

    public void Dispose() => _limiter.Dispose();
}

/// <summary>Section <c>Webhooks</c>.</summary>
public sealed class WebhookOptions
{
    public const string Section = "Webhooks";

    /// <summary>How often applying an event is tried before it is dead-lettered.</summary>
    [Range(1, 50, ErrorMessage = CheckedOptions.Range)]
    public int MaxAttempts { get; set; } = 8;

    /// <summary>The pause after the first failed attempt; it doubles with each further one, up to an hour.</summary>
    [Range(0.0, 3600.0, MinimumIsExclusive = true, ErrorMessage = "must be more than {1} and at most {2}.")]
    public double RetrySeconds { get; set; } = 5;

    /// <summary>
    /// How many deliveries one process takes in at once; what comes beyond them is told to come again.
    /// </summary>
    [Range(1, 10_000, ErrorMessage = CheckedOptions.Range)]
    public int MaxInFlight { get; set; } = 256;
}
