using Microsoft.Extensions.Options;
using XenoInsights.Data;

namespace XenoInsights.Authentication;

/// <summary>
/// Those who look after the installation: named by <c>Access:Operators</c>, and only with an address that the identity
/// provider has verified. Looked up at each request and in each unit of work; it opens no merchant's data.
/// </summary>
public sealed class Operators(TenantTransactions transactions, IOptionsMonitor<AccessOptions> access)
{
    public bool Includes(string? email, bool isVerified) =>
        email is not null
        && isVerified
        && access.CurrentValue.Operators.Contains(email, StringComparer.OrdinalIgnoreCase);

    /// <summary>Where operators are told by mail what concerns many stores.</summary>
    public IReadOnlyList<string> Addresses =>
        [.. access.CurrentValue.Operators.Distinct(StringComparer.OrdinalIgnoreCase)];

    /// <summary>Runs <paramref name="work"/> across tenants, as the system role.</summary>
    /// <exception cref="AccessDeniedException">The caller is no operator, or the session has ended.</exception>
    public Task<T> RunAsync<T>(Caller? caller, Func<XenoDbContext, Task<T>> work, CancellationToken ct)
    {
        if (caller is not { } person)
            throw new AccessDeniedException(AccessDenial.NotOperator);
        return transactions.RunAsync(TransactionStart.ForOperator(person, IsOperator), work, ct);
    }

    /// <summary>
    /// Runs <paramref name="work"/> in one store: for actions on its queues. What it returns must hold nothing of what
    /// the store's data say.
    /// </summary>
    /// <inheritdoc cref="RunAsync"/>
    public Task<T> InTenantAsync<T>(
        Caller? caller,
        Guid tenantId,
        Func<XenoDbContext, Task<T>> work,
        CancellationToken ct
    )
    {
        if (caller is not { } person)
            throw new AccessDeniedException(AccessDenial.NotOperator);
        return transactions.RunAsync(TransactionStart.ForOperatorInTenant(tenantId, person, IsOperator), work, ct);
    }

    private bool IsOperator(string verifiedEmail) => Includes(verifiedEmail, isVerified: true);
}
