using System.Net;
using System.Text.Json;
using Microsoft.Extensions.Options;

namespace XenoInsights.Shopify;

/// <summary>
/// What Shopify answers to a code or a refresh token. Lifetimes in seconds; without one the token does not expire.
/// </summary>
public sealed record TokenGrant(
    string AccessToken,
    string Scope,
    int? ExpiresIn,
    string? RefreshToken,
    int? RefreshTokenExpiresIn
);

/// <summary>
/// Shopify refused the code, the refresh token or ourselves (400 or 401); trying again does not help.
/// </summary>
public sealed class OAuthRefusedException(HttpStatusCode status, string? error)
    : Exception($"Shopify refused the token request: {(int)status} {error}")
{
    /// <summary>It is our client id or secret that Shopify does not know, so nothing is said about the token.</summary>
    public bool IsAboutOurCredentials =>
        error is "invalid_client" or "application_cannot_be_found" or "unauthorized_client";
}

/// <summary>
/// The token endpoint of a shop. Other failures than <see cref="OAuthRefusedException"/> are
/// <see cref="HttpRequestException"/>s and time-outs.
/// </summary>
public sealed class OAuthClient(IHttpClientFactory clients, IOptions<ShopifyOptions> options)
{
    public const string HttpClientName = "shopify-oauth";

    private static readonly JsonSerializerOptions _json = new(JsonSerializerDefaults.Web)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
    };

    public Task<TokenGrant> ExchangeCodeAsync(string shopDomain, string code, CancellationToken ct) =>
        PostAsync(shopDomain, [new("code", code), new("expiring", "1")], ct);

    public Task<TokenGrant> RefreshAsync(string shopDomain, string refreshToken, CancellationToken ct) =>
        PostAsync(shopDomain, [new("grant_type", "refresh_token"), new("refresh_token", refreshToken)], ct);

    private async Task<TokenGrant> PostAsync(
        string shopDomain,
        IEnumerable<KeyValuePair<string, string>> fields,
        CancellationToken ct
    )
    {
        var client = clients.CreateClient(HttpClientName);
        using var form = new FormUrlEncodedContent([
            new("client_id", options.Value.ClientId),
            new("client_secret", options.Value.ClientSecret),
            .. fields,
        ]);
        using var request = new HttpRequestMessage(
            HttpMethod.Post,
            new Uri(options.Value.AddressOf(shopDomain), "admin/oauth/access_token")
        )
        {
            Content = form,
        };
        request.Headers.Accept.Add(new("application/json"));
        using var response = await client.SendAsync(request, ct);
        var body = await response.Content.ReadAsStringAsync(ct);
        if (response.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.Unauthorized)
            throw new OAuthRefusedException(response.StatusCode, ErrorIn(body));
        if (!response.IsSuccessStatusCode)
            throw new HttpRequestException(
                $"The token endpoint of {shopDomain} answered {(int)response.StatusCode}.",
                null,
                response.StatusCode
            );
        return Read(shopDomain, body);
    }

    private static TokenGrant Read(string shopDomain, string body)
    {
        try
        {
            return
                JsonSerializer.Deserialize<TokenGrant>(body, _json)
                    is { AccessToken.Length: > 0, Scope: not null } grant
                ? grant
                : throw new JsonException();
        }
        catch (JsonException)
        {
            throw new HttpRequestException($"The token endpoint of {shopDomain} answered without a token.");
        }
    }

    private static string? ErrorIn(string body)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            return
                json.RootElement.ValueKind == JsonValueKind.Object
                && json.RootElement.TryGetProperty("error", out var error)
                ? error.ToString()
                : null;
        }
        catch (JsonException)
        {
            return null; // An error page instead of JSON: the status has to do.
        }
    }
}
