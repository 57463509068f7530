using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.StaticAssets;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;

namespace XenoInsights.Authentication;

/// <summary>
/// Keeps sessions as rows (<see cref="UserSession"/>). What a session says of its person is read at each request, so a
/// changed name, a deleted person and lost operator rights count at once.
/// </summary>
internal sealed class SessionStore(
    SystemDatabase database,
    Operators operators,
    IOptionsMonitor<AccessOptions> options,
    IDataProtectionProvider protection
) : ITicketStore
{
    private const int KeyBytes = 32;
    private static readonly object _replacedKey = new();

    /// <summary>What a page requests by itself; anything else is an action of the person.</summary>
    private static readonly PathString[] _notActions = ["/_blazor", "/api/metrics/stream"];

    private readonly IDataProtector _idTokens = protection.CreateProtector("XenoInsights.Sessions.IdToken");

    public Task<string> StoreAsync(AuthenticationTicket ticket) =>
        throw new NotSupportedException("Sign-in happens in a request.");

    /// <summary>
    /// Begins a session. The one that this browser had before ends: signing in always gives a new key.
    /// </summary>
    public async Task<string> StoreAsync(
        AuthenticationTicket ticket,
        HttpContext httpContext,
        CancellationToken cancellationToken
    )
    {
        if (httpContext.Items[_replacedKey] is string replaced)
            await RemoveAsync(replaced);
        var key = WebEncoders.Base64UrlEncode(RandomNumberGenerator.GetBytes(KeyBytes));
        var idToken = ticket.Properties.GetTokenValue(OpenIdConnectParameterNames.IdToken);
        var userId = ticket.Principal.UserId() ?? throw new InvalidOperationException("The ticket names no user.");
        await database.RunAsync(
            async db =>
            {
                await using var insert = db.Command(
                    """
                    insert into sessions
                        (session_id, key_hash, user_id, created_at, last_used_at, expires_at, ends_at,
                         id_token, provider_session_id)
                    values (@id, @key, @user, now(), now(), now() + least(@idle, @absolute), now() + @absolute,
                            @id_token, @sid)
                    """
                );
                insert.Parameters.AddWithValue("id", Guid.CreateVersion7());
                insert.Parameters.AddWithValue("key", Hash(key));
                insert.Parameters.AddWithValue("user", userId);
                insert.Parameters.AddWithValue("idle", options.CurrentValue.SessionIdle);
                insert.Parameters.AddWithValue("absolute", options.CurrentValue.SessionLifetime);
                insert.Parameters.AddWithValue(
                    "id_token",
                    NpgsqlDbType.Bytea,
                    Protected(idToken) ?? (object)DBNull.Value
                );
                insert.Parameters.AddWithValue(
                    "sid",
                    NpgsqlDbType.Text,
                    ticket.Principal.FindFirstValue(SessionClaims.ProviderSessionIdClaim) ?? (object)DBNull.Value
                );
                await insert.ExecuteNonQueryAsync(cancellationToken);
            },
            cancellationToken
        );
        return key;
    }

    public Task RenewAsync(string key, AuthenticationTicket ticket) =>
        throw new NotSupportedException("A session keeps its person; another sign-in begins another session.");

    public Task<AuthenticationTicket?> RetrieveAsync(string key) =>
        throw new NotSupportedException("Sessions are read in a request.");

    public async Task<AuthenticationTicket?> RetrieveAsync(
        string key,
        HttpContext httpContext,
        CancellationToken cancellationToken
    )
    {
        if (httpContext.GetEndpoint()?.Metadata.GetMetadata<StaticAssetDescriptor>() is not null)
            return null;
        if (httpContext.Request.Path == AuthenticationSetup.CallbackPath)
        {
            httpContext.Items[_replacedKey] = key;
            return null;
        }
        if (await FindAsync(Hash(key), cancellationToken) is not { } row)
            return null;
        if (row.IsTouchDue && IsAction(httpContext.Request))
            await TouchAsync(row.SessionId, cancellationToken);
        // Only signing out at the provider wants the id token; no other request pays for opening it.
        return Ticket(row, withIdToken: httpContext.Request.Path == AuthenticationSetup.SignOutPath);
    }

    public Task RemoveAsync(string key) =>
        database.RunAsync(async db =>
        {
            await using var delete = db.Command("delete from sessions where key_hash = @key");
            delete.Parameters.AddWithValue("key", Hash(key));
            await delete.ExecuteNonQueryAsync();
        });

    private sealed record Row(
        Guid SessionId,
        Guid UserId,
        string? Name,
        string? Email,
        bool EmailVerified,
        byte[]? IdToken,
        string? Sid,
        bool IsTouchDue
    );

    private async Task<Row?> FindAsync(byte[] keyHash, CancellationToken ct)
    {
        const string Sql = """
            select s.session_id, s.user_id, u.name, u.email, u.email_verified, s.id_token, s.provider_session_id,
                   s.last_used_at < now() - interval '1 minute'
            from sessions s join users u using (user_id)
            where s.key_hash = $1 and s.expires_at > now()
            """;
        var rows = await database.QueryAsync(Sql, [new NpgsqlParameter { Value = keyHash }], Read, ct);
        return rows.SingleOrDefault();
    }

    private static Row Read(NpgsqlDataReader reader) =>
        new(
            reader.GetGuid(0),
            reader.GetGuid(1),
            Text(reader, 2),
            Text(reader, 3),
            reader.GetBoolean(4),
            reader.IsDBNull(5) ? null : reader.GetFieldValue<byte[]>(5),
            Text(reader, 6),
            reader.GetBoolean(7)
        );

    private static string? Text(NpgsqlDataReader reader, int column) =>
        reader.IsDBNull(column) ? null : reader.GetString(column);

    private Task TouchAsync(Guid sessionId, CancellationToken ct) =>
        database.RunAsync(
            async db =>
            {
                await using var update = db.Command(
                    "update sessions set last_used_at = now(), expires_at = least(ends_at, now() + @idle) "
                        + "where session_id = @id"
                );
                update.Parameters.AddWithValue("idle", options.CurrentValue.SessionIdle);
                update.Parameters.AddWithValue("id", sessionId);
                await update.ExecuteNonQueryAsync(ct);
            },
            ct
        );

    private static bool IsAction(HttpRequest request) =>
        !Array.Exists(_notActions, path => request.Path.StartsWithSegments(path));

    private AuthenticationTicket Ticket(Row row, bool withIdToken)
    {
        var isOperator = operators.Includes(row.Email, row.EmailVerified);
        var principal = SessionClaims.Of(
            row.UserId,
            row.SessionId,
            row.Name,
            row.Email,
            isOperator,
            row.Sid,
            CookieAuthenticationDefaults.AuthenticationScheme
        );
        var properties = new AuthenticationProperties();
        if (withIdToken && Unprotected(row.IdToken) is { } idToken)
            properties.StoreTokens([new() { Name = OpenIdConnectParameterNames.IdToken, Value = idToken }]);
        return new(principal, properties, CookieAuthenticationDefaults.AuthenticationScheme);
    }

    private byte[]? Protected(string? idToken) =>
        idToken is null ? null : _idTokens.Protect(Encoding.UTF8.GetBytes(idToken));

    private string? Unprotected(byte[]? idToken)
    {
        if (idToken is null)
            return null;
        try
        {
            return Encoding.UTF8.GetString(_idTokens.Unprotect(idToken));
        }
        catch (CryptographicException)
        {
            // The key ring was replaced. Sign-out works without the hint; the provider may ask the person.
            return null;
        }
    }

    private static byte[] Hash(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));
}
