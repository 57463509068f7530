using System.Security.Claims;
using NpgsqlTypes;
using XenoInsights.Data;

namespace XenoInsights.Authentication;

/// <summary>Keeps <see cref="User"/> in step with what the provider says at each sign-in.</summary>
public sealed class UserProvisioner(SystemDatabase database, Operators operators)
{
    private sealed record Provided(string Issuer, string Subject, string? Email, bool EmailVerified, string? Name);

    /// <summary>Turns the provider's claims into ours; a person seen for the first time is added.</summary>
    public async Task<ClaimsPrincipal> SignInAsync(
        ClaimsPrincipal provided,
        string authenticationType,
        CancellationToken ct
    )
    {
        var person = new Provided(
            provided.FindFirstValue("iss") ?? throw new InvalidOperationException("The id token names no issuer."),
            provided.FindFirstValue("sub") ?? throw new InvalidOperationException("The id token names no subject."),
            provided.FindFirstValue("email"),
            string.Equals(provided.FindFirstValue("email_verified"), "true", StringComparison.OrdinalIgnoreCase),
            provided.FindFirstValue("name")
        );
        var isOperator = operators.Includes(person.Email, person.EmailVerified);
        var userId = await database.RunAsync(db => UpsertAsync(db, person, isOperator, ct), ct);
        var providerSessionId = provided.FindFirstValue(SessionClaims.ProviderSessionIdClaim);
        return SessionClaims.Of(
            userId,
            sessionId: null,
            person.Name,
            person.Email,
            isOperator,
            providerSessionId,
            authenticationType
        );
    }

    private static async Task<Guid> UpsertAsync(
        XenoDbContext db,
        Provided person,
        bool isOperator,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            insert into users (user_id, issuer, subject, email, email_verified, name, is_operator, created_at,
                last_sign_in_at)
            values (@id, @issuer, @subject, @email, @verified, @name, @operator, now(), now())
            on conflict (issuer, subject) do update set
                email = excluded.email, email_verified = excluded.email_verified, name = excluded.name,
                is_operator = excluded.is_operator, last_sign_in_at = excluded.last_sign_in_at
            returning user_id
            """
        );
        command.Parameters.AddWithValue("id", Guid.CreateVersion7());
        command.Parameters.AddWithValue("issuer", person.Issuer);
        command.Parameters.AddWithValue("subject", person.Subject);
        command.Parameters.AddWithValue("email", NpgsqlDbType.Text, (object?)person.Email ?? DBNull.Value);
        command.Parameters.AddWithValue("verified", person.EmailVerified);
        command.Parameters.AddWithValue("name", NpgsqlDbType.Text, (object?)person.Name ?? DBNull.Value);
        command.Parameters.AddWithValue("operator", isOperator);
        return (Guid)(await command.ExecuteScalarAsync(ct))!;
    }
}
