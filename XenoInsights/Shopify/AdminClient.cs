using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Polly;
using Polly.CircuitBreaker;

namespace XenoInsights.Shopify;

/// <summary>What the wire needs to know of a shop.</summary>
/// <param name="Currency">The shop's currency, ISO 4217; all amounts are read in its minor units.</param>
/// <param name="TimeZone">IANA.</param>
public sealed record ShopReference(Guid TenantId, string ShopDomain, string Currency, string TimeZone);

/// <summary>
/// The access token of a tenant's shop; another one than <paramref name="rejectedToken"/>, which Shopify refused
/// although it had not expired.
/// </summary>
public delegate Task<string> AccessTokenSource(Guid tenantId, string? rejectedToken, CancellationToken ct);

/// <summary>
/// Sends documents to Shopify's GraphQL Admin API. Answers are whole or a <see cref="ShopifyException"/>: partial data,
/// search warnings (Shopify then ignores the filter) and redirects to other shops are failures. Waits for rate limits
/// and tries again what may pass; mutations are not sent again when it is unknown whether they arrived.
/// </summary>
public sealed partial class AdminClient(
    IHttpClientFactory http,
    IOptions<ShopifyOptions> options,
    AccessTokenSource tokens,
    TimeProvider time,
    ILogger<AdminClient> logger
)
{
    public const string HttpName = "Shopify.Admin";

    private const int MaxThrottled = 10;
    private const int MaxFailures = 5;
    private const double UnknownCost = 50;
    private static readonly TimeSpan _firstBackoff = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan _longestBackoff = TimeSpan.FromSeconds(60);

    private readonly ConcurrentDictionary<string, CostBudget> _budgets = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, double> _costs = new(StringComparer.Ordinal);

    /// <summary>
    /// The version Shopify answers in if it is not the one we ask for; null while all is well. Shopify falls forward
    /// when a version is no longer supported: fields may then change under us.
    /// </summary>
    public string? UnexpectedApiVersion { get; private set; }

    /// <summary>
    /// A shop that gave no answer several times in a row is left alone for a while: whoever asks is told at once,
    /// instead of everyone waiting for it in turn.
    /// </summary>
    private readonly ConcurrentDictionary<string, ResiliencePipeline> _breakers = new(StringComparer.Ordinal);

    /// <returns>The answer's <c>data</c>.</returns>
    /// <exception cref="ShopifyException">Shopify did not give a whole answer.</exception>
    public async Task<JsonElement> SendAsync(
        ShopReference shop,
        string document,
        object? variables,
        CancellationToken ct
    )
    {
        try
        {
            return await BreakerOf(shop)
                .ExecuteAsync(async token => await SendWithRetryAsync(shop, document, variables, token), ct);
        }
        catch (BrokenCircuitException paused)
        {
            throw new ShopifyException(
                ShopifyFailure.Unavailable,
                $"{shop.ShopDomain} did not answer several times; it is asked again in a moment.",
                paused
            );
        }
    }

    private ResiliencePipeline BreakerOf(ShopReference shop) =>
        _breakers.GetOrAdd(
            shop.ShopDomain,
            _ =>
                new ResiliencePipelineBuilder { TimeProvider = time }
                    .AddCircuitBreaker(
                        new()
                        {
                            ShouldHandle = new PredicateBuilder().Handle<ShopifyException>(failure =>
                                failure.Failure == ShopifyFailure.Unavailable
                            ),
                            FailureRatio = 0.9,
                            MinimumThroughput = 5,
                            SamplingDuration = TimeSpan.FromMinutes(5),
                            BreakDuration = TimeSpan.FromSeconds(30),
                        }
                    )
                    .Build()
        );

    private async Task<JsonElement> SendWithRetryAsync(
        ShopReference shop,
        string document,
        object? variables,
        CancellationToken ct
    )
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(new { query = document, variables }, JsonSerializerOptions.Web);
        var budget = _budgets.GetOrAdd(shop.ShopDomain, _ => new CostBudget(time));
        var (throttled, failures) = (0, 0);
        string? rejectedToken = null;
        while (true)
        {
            var token = await tokens(shop.TenantId, rejectedToken, ct);
            var attempt = await AttemptAsync(shop, document, body, budget, token, ct);
            switch (attempt.Failure)
            {
                case null:
                    return attempt.Data;
                case { Failure: ShopifyFailure.Unauthorized } when rejectedToken is null:
                    rejectedToken = token;
                    break;
                case { Failure: ShopifyFailure.Throttled } when ++throttled < MaxThrottled:
                    await Task.Delay(Jittered(attempt.RetryAfter ?? budget.WaitFor(CostOf(document))), time, ct);
                    break;
                case { Failure: ShopifyFailure.Unavailable } when attempt.MayRepeat && ++failures < MaxFailures:
                    Log.Retry(logger, shop.ShopDomain, attempt.Failure.Message, failures);
                    await Task.Delay(attempt.RetryAfter ?? Jittered(Backoff(failures)), time, ct);
                    break;
                default:
                    throw attempt.Failure;
            }
        }
    }

    private readonly record struct Attempt(
        JsonElement Data,
        ShopifyException? Failure = null,
        TimeSpan? RetryAfter = null,
        bool MayRepeat = true
    );

    private async Task<Attempt> AttemptAsync(
        ShopReference shop,
        string document,
        byte[] body,
        CostBudget budget,
        string token,
        CancellationToken ct
    )
    {
        var reserved = CostOf(document);
        await budget.ReserveAsync(reserved, ct);
        ThrottleStatus? throttle = null;
        try
        {
            using var request = RequestTo(shop, body, token);
            using var response = await http.CreateClient(HttpName).SendAsync(request, ct);
            NoteVersion(shop, response);
            if (AdminErrors.OfStatus(shop, response) is { } refused)
                return new Attempt(
                    default,
                    refused,
                    RetryAfter(response),
                    MayRepeat: Idempotent(document)
                        || response.StatusCode is HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable
                );

            using var answer = JsonDocument.Parse(StorableJson.Clean(await response.Content.ReadAsByteArrayAsync(ct)));
            throttle = NoteCost(document, answer.RootElement);
            return AdminErrors.OfAnswer(answer.RootElement) is { } failure
                ? new Attempt(default, failure, MayRepeat: Idempotent(document))
                : new Attempt(answer.RootElement.GetProperty("data").Clone());
        }
        catch (HttpRequestException tooLarge)
            when (tooLarge.HttpRequestError == HttpRequestError.ConfigurationLimitExceeded)
        {
            return new Attempt(default, AdminErrors.TooLarge(shop, tooLarge), MayRepeat: false);
        }
        catch (Exception broken)
            when (broken is HttpRequestException or IOException or JsonException
                || (broken is OperationCanceledException && !ct.IsCancellationRequested)
            )
        {
            return new Attempt(default, AdminErrors.Unreachable(shop, broken), MayRepeat: Idempotent(document));
        }
        finally
        {
            budget.Settle(reserved, throttle);
        }
    }

    private HttpRequestMessage RequestTo(ShopReference shop, byte[] body, string token)
    {
        var address = new Uri(
            options.Value.AddressOf(shop.ShopDomain),
            $"admin/api/{options.Value.ApiVersion}/graphql.json"
        );
        var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.Add("X-Shopify-Access-Token", token);
        return request;
    }

    private static bool Idempotent(string document) => !document.Contains("mutation ", StringComparison.Ordinal);

    private double CostOf(string document) => _costs.GetValueOrDefault(document, UnknownCost);

    private ThrottleStatus? NoteCost(string document, JsonElement answer)
    {
        if (
            answer.ValueKind != JsonValueKind.Object
            || !answer.TryGetProperty("extensions", out var extensions)
            || !extensions.TryGetProperty("cost", out var cost)
        )
            return null;
        if (cost.TryGetProperty("requestedQueryCost", out var requested) && requested.ValueKind == JsonValueKind.Number)
            _costs[document] = requested.GetDouble();
        if (!cost.TryGetProperty("throttleStatus", out var status) || status.ValueKind != JsonValueKind.Object)
            return null;
        return new ThrottleStatus(
            status.GetProperty("maximumAvailable").GetDouble(),
            status.GetProperty("currentlyAvailable").GetDouble(),
            status.GetProperty("restoreRate").GetDouble()
        );
    }

    private void NoteVersion(ShopReference shop, HttpResponseMessage response)
    {
        if (
            !response.Headers.TryGetValues("X-Shopify-API-Version", out var versions)
            || versions.FirstOrDefault() is not { } version
        )
            return;
        var unexpected = version == options.Value.ApiVersion ? null : version;
        if (unexpected is not null && unexpected != UnexpectedApiVersion)
            Log.OtherVersion(logger, shop.ShopDomain, options.Value.ApiVersion, unexpected);
        UnexpectedApiVersion = unexpected;
    }

    private TimeSpan? RetryAfter(HttpResponseMessage response) =>
        response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } when date > time.GetUtcNow() => date - time.GetUtcNow(),
            _ => null,
        };

    private static TimeSpan Backoff(int failures) =>
        TimeSpan.FromTicks(Math.Min(_longestBackoff.Ticks, _firstBackoff.Ticks << (failures - 1)));

    /// <summary>Up to a quarter longer, so that those who were refused together do not come back together.</summary>
    private static TimeSpan Jittered(TimeSpan wait) => wait * (1 + (Random.Shared.NextDouble() / 4));

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1400,
            Level = LogLevel.Warning,
            Message = "{Shop}: {Failure} Trying again ({Failures})."
        )]
        public static partial void Retry(ILogger logger, string shop, string failure, int failures);

        [LoggerMessage(
            EventId = 1401,
            Level = LogLevel.Warning,
            Message = "{Shop} answers in API version {Actual} though {Requested} was asked for: Shopify no longer supports it"
        )]
        public static partial void OtherVersion(ILogger logger, string shop, string requested, string actual);
    }
}

/// <summary>Shopify's refusals as failures with a message for merchants.</summary>
internal static class AdminErrors
{
    private const int MostPathsShown = 5;

    public static ShopifyException? OfStatus(ShopReference shop, HttpResponseMessage response) =>
        (int)response.StatusCode switch
        {
            200 => null,
            401 => new(
                ShopifyFailure.Unauthorized,
                $"{shop.ShopDomain} no longer accepts our access. Connect the store again."
            ),
            402 => new(
                ShopifyFailure.PaymentRequired,
                $"{shop.ShopDomain} is frozen: its owner has to settle the Shopify bill."
            ),
            403 => new(
                ShopifyFailure.Forbidden,
                $"{shop.ShopDomain} forbids this app to read its data. Check the app's permissions."
            ),
            404 => new(ShopifyFailure.NotFound, $"Shopify knows no store {shop.ShopDomain}."),
            423 => new(
                ShopifyFailure.Locked,
                $"Shopify has locked {shop.ShopDomain}. Its owner has to contact Shopify."
            ),
            429 => new(ShopifyFailure.Throttled, $"{shop.ShopDomain} has too many requests at the moment."),
            >= 300 and < 400 => new(
                ShopifyFailure.NotFound,
                $"{shop.ShopDomain} sends us on to another address, which may be another store; that is not followed."
            ),
            >= 500 => new(
                ShopifyFailure.Unavailable,
                $"Shopify has a problem at the moment (HTTP {(int)response.StatusCode})."
            ),
            var other => new(ShopifyFailure.InvalidRequest, $"Shopify did not understand our request (HTTP {other})."),
        };

    public static ShopifyException Unreachable(ShopReference shop, Exception cause) =>
        new(ShopifyFailure.Unavailable, $"{shop.ShopDomain} could not be reached.", cause);

    /// <summary>Of the objects asked for together, others may still be read: whoever asked asks for fewer.</summary>
    public static ShopifyException TooLarge(ShopReference shop, Exception cause) =>
        new(ShopifyFailure.PartialData, $"{shop.ShopDomain} gave a larger answer than is read.", cause);

    /// <summary>The failure an answer with status 200 holds; null when it is whole.</summary>
    public static ShopifyException? OfAnswer(JsonElement answer)
    {
        if (answer.ValueKind != JsonValueKind.Object)
            return new(ShopifyFailure.InvalidRequest, "Shopify's answer is not a GraphQL answer.");
        var hasData = answer.TryGetProperty("data", out var data) && data.ValueKind == JsonValueKind.Object;
        if (answer.TryGetProperty("errors", out var errors) && errors.ValueKind != JsonValueKind.Null)
            return OfErrors(errors, hasData);
        if (!hasData)
            return new(ShopifyFailure.InvalidRequest, "Shopify's answer holds no data.");
        return SearchWarning(answer) is { } warning
            ? new(
                ShopifyFailure.InvalidRequest,
                $"Shopify ignored a part of our search, so the answer would be wrong: {warning}"
            )
            : null;
    }

    private static ShopifyException OfErrors(JsonElement errors, bool hasData)
    {
        if (errors.ValueKind != JsonValueKind.Array || errors.GetArrayLength() == 0)
            return new(ShopifyFailure.InvalidRequest, $"Shopify refused our request: {errors}");
        var all = errors.EnumerateArray().ToList();
        if (all.Any(error => CodeOf(error) == "THROTTLED"))
            return new(ShopifyFailure.Throttled, "Shopify's rate limit for this store is used up at the moment.");
        if (
            all.FirstOrDefault(error =>
                CodeOf(error) == "ACCESS_DENIED"
                || MessageOf(error).Contains("not approved to", StringComparison.Ordinal)
            ) is
            { ValueKind: JsonValueKind.Object } denied
        )
            return new(ShopifyFailure.AccessDenied, $"Shopify denies access: {MessageOf(denied)}{RequiredBy(denied)}");
        if (all.Any(error => CodeOf(error) is "INTERNAL_SERVER_ERROR" or "TIMEOUT"))
            return new(ShopifyFailure.Unavailable, $"Shopify has a problem at the moment: {MessageOf(all[0])}");
        var messages = string.Join(
            "; ",
            all.Take(MostPathsShown)
                .Select(error => PathOf(error) is { } path ? $"{path}: {MessageOf(error)}" : MessageOf(error))
        );
        return hasData
            ? new(ShopifyFailure.PartialData, $"Shopify left out a part of the answer ({messages}).")
            : new(ShopifyFailure.InvalidRequest, $"Shopify refused our request: {messages}");
    }

    private static string? CodeOf(JsonElement error) => Extension(error, "code");

    private static string RequiredBy(JsonElement error) =>
        Extension(error, "requiredAccess") is { } required
        && !MessageOf(error).Contains(required, StringComparison.Ordinal)
            ? $" Required: {required}"
            : "";

    private static string? Extension(JsonElement error, string name) =>
        error.ValueKind == JsonValueKind.Object
        && error.TryGetProperty("extensions", out var extensions)
        && extensions.ValueKind == JsonValueKind.Object
        && extensions.TryGetProperty(name, out var value)
        && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;

    private static string MessageOf(JsonElement error) =>
        error.ValueKind == JsonValueKind.Object && error.TryGetProperty("message", out var message)
            ? message.ToString()
            : error.ToString();

    private static string? PathOf(JsonElement error) =>
        error.ValueKind == JsonValueKind.Object
        && error.TryGetProperty("path", out var path)
        && path.ValueKind == JsonValueKind.Array
            ? string.Join('.', path.EnumerateArray())
            : null;

    private static string? SearchWarning(JsonElement answer)
    {
        if (
            !answer.TryGetProperty("extensions", out var extensions)
            || !extensions.TryGetProperty("search", out var searches)
            || searches.ValueKind != JsonValueKind.Array
        )
            return null;
        foreach (var search in searches.EnumerateArray())
            if (
                search.TryGetProperty("warnings", out var warnings)
                && warnings.ValueKind == JsonValueKind.Array
                && warnings.GetArrayLength() > 0
            )
                return warnings[0].ToString();
        return null;
    }
}
