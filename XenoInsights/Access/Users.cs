using System.Security.Claims;
using Microsoft.Extensions.Options;
using XenoInsights.Data;

namespace XenoInsights.Access;

/// <summary>Keeps <see cref="User"/> in step with what the provider says at each sign-in.</summary>
public sealed class Users(SystemDatabase database, IOptions<AccessOptions> access, IOptions<OidcOptions> oidc, IHostEnvironment environment)
{
    /// <summary>Turns the provider's claims into a session of ours; a person seen for the first time is added.</summary>
    public async Task<ClaimsPrincipal> SignInAsync(ClaimsPrincipal provided, string authenticationType, CancellationToken ct)
    {
        var issuer = provided.FindFirstValue("iss") ?? throw new InvalidOperationException("The id token names no issuer.");
        var subject = provided.FindFirstValue("sub") ?? throw new InvalidOperationException("The id token names no subject.");
        var email = provided.FindFirstValue("email");
        var name = provided.FindFirstValue("name");
        var isOperator = IsOperator(email, string.Equals(provided.FindFirstValue("email_verified"), "true", StringComparison.OrdinalIgnoreCase));
        var userId = await database.RunAsync(db => UpsertAsync(db, issuer, subject, email, name, isOperator, ct), ct);
        return Session.Of(userId, name, email, isOperator, authenticationType);
    }

    private bool IsOperator(string? email, bool verified)
    {
        if (email is null || !verified) return false;
        var builtIn = environment.IsDevelopment() && oidc.Value.IsAbsent;
        return (builtIn && email == DevelopmentIdentityProvider.Operator) || access.Value.Operators.Contains(email, StringComparer.OrdinalIgnoreCase);
    }

    private static async Task<Guid> UpsertAsync(XenoDbContext db, string issuer, string subject, string? email, string? name, bool isOperator, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            insert into users (user_id, issuer, subject, email, name, is_operator, created_at, last_sign_in_at)
            values (@id, @issuer, @subject, @email, @name, @operator, now(), now())
            on conflict (issuer, subject) do update set
                email = excluded.email, name = excluded.name, is_operator = excluded.is_operator, last_sign_in_at = excluded.last_sign_in_at
            returning user_id
            """);
        command.Parameters.AddWithValue("id", Guid.CreateVersion7());
        command.Parameters.AddWithValue("issuer", issuer);
        command.Parameters.AddWithValue("subject", subject);
        command.Parameters.AddWithValue("email", NpgsqlTypes.NpgsqlDbType.Text, (object?)email ?? DBNull.Value);
        command.Parameters.AddWithValue("name", NpgsqlTypes.NpgsqlDbType.Text, (object?)name ?? DBNull.Value);
        command.Parameters.AddWithValue("operator", isOperator);
        return (Guid)(await command.ExecuteScalarAsync(ct))!;
    }
}
