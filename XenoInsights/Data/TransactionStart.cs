using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;
using XenoInsights.Tenants;

namespace XenoInsights.Data;

/// <summary>
/// How a unit of work begins: one command, one round trip, that sets limits, role and tenant, and where a person asks
/// first looks up whether they may. Plain SET LOCAL, not set_config(): it ends with the transaction behind any pooler.
/// </summary>
internal sealed class TransactionStart
{
    /// <summary>
    /// Sums over a large range fit into this memory where PostgreSQL's default would spill them to disk; parallel
    /// workers would take longer to start than most questions take.
    /// </summary>
    private const string PlannerForPeople =
        "set local work_mem = '32MB'; set local max_parallel_workers_per_gather = 0";

    // A person who waits longer has gone; nothing of theirs may hold a lock or a connection for longer.
    private const string PersonLimits =
        "set local statement_timeout = '30s'; set local lock_timeout = '5s'; "
        + "set local idle_in_transaction_session_timeout = '10s'";

    // The longest single statements are those that rebuild the rollups of a store with millions of orders.
    private const string JobLimits =
        "set local statement_timeout = '15min'; set local lock_timeout = '1min'; "
        + "set local idle_in_transaction_session_timeout = '1min'";

    // A store that is locked gives its place in the queue to the next one soon, and comes again later.
    private const string ApplyingLimits =
        "set local statement_timeout = '25s'; set local lock_timeout = '2s'; "
        + "set local idle_in_transaction_session_timeout = '30s'";

    // Waits for those who write the store's orders at the moment: a batch of an import takes some seconds.
    private const string HandlerLimits =
        "set local statement_timeout = '15min'; set local lock_timeout = '10s'; "
        + "set local idle_in_transaction_session_timeout = '1min'";

    private const int LongCommandSeconds = 16 * 60;

    private const string SystemLimits =
        "set local statement_timeout = '1min'; set local lock_timeout = '10s'; "
        + "set local idle_in_transaction_session_timeout = '30s'";

    private readonly Func<object?, MemberRole?>? _authorize;

    private TransactionStart(string sql, Guid? tenantId = null, Func<object?, MemberRole?>? authorize = null)
    {
        Sql = sql;
        TenantId = tenantId;
        _authorize = authorize;
    }

    public string Sql { get; }

    /// <summary>The tenant whose rows the unit of work sees; null for none.</summary>
    public Guid? TenantId { get; }

    /// <summary>
    /// Whether a wait in vain, for a lock or for the database's answer, is repeated in place. Where not, it is the
    /// caller who comes again later, and lets others go first.
    /// </summary>
    public bool WaitsAgain { get; private init; } = true;

    /// <summary>
    /// How long the client waits for a command, in seconds: longer than the server lets a statement run. Null: as the
    /// connection says.
    /// </summary>
    public int? CommandTimeout { get; private init; }

    public bool Authorizes => _authorize is not null;

    /// <summary>Judges what the look-up found.</summary>
    /// <exception cref="AccessDeniedException">The person may not do this.</exception>
    public MemberRole? Authorize(object? found) => _authorize?.Invoke(found);

    /// <summary>Sees no tenant's rows.</summary>
    public static TransactionStart ForNobody { get; } = new($"{PersonLimits}; set local role {DatabaseRoles.Tenant}");

    /// <summary>
    /// Across tenants, as the role that may do only what its grants list (<see cref="RowLevelSecurity"/>).
    /// </summary>
    public static TransactionStart ForSystem { get; } = new($"{SystemLimits}; set local role {DatabaseRoles.System}");

    /// <summary>A job's work for one tenant.</summary>
    public static TransactionStart ForJob(Guid tenantId) =>
        new($"{JobLimits}; {EnterTenant(tenantId)}", tenantId) { CommandTimeout = LongCommandSeconds };

    /// <summary>
    /// Applying one tenant's deliveries and what was refetched, while other tenants wait for their turn.
    /// </summary>
    public static TransactionStart ForApplying(Guid tenantId) =>
        new($"{ApplyingLimits}; {EnterTenant(tenantId)}", tenantId) { WaitsAgain = false };

    /// <summary>Handling an event that concerns the whole store, such as another time zone or its erasure.</summary>
    public static TransactionStart ForHandler(Guid tenantId) =>
        new($"{HandlerLimits}; {EnterTenant(tenantId)}", tenantId)
        {
            WaitsAgain = false,
            CommandTimeout = LongCommandSeconds,
        };

    /// <summary>Work for one tenant that people wait for, whose own access was looked up before.</summary>
    public static TransactionStart ForPeople(Guid tenantId) =>
        new($"{PersonLimits}; {PlannerForPeople}; {EnterTenant(tenantId)}", tenantId);

    /// <summary>A person's work in a store of theirs.</summary>
    public static TransactionStart ForMember(Guid tenantId, Caller caller, MemberRole atLeast) =>
        new(
            $"{PersonLimits}; {PlannerForPeople}; {FindRole(tenantId, caller)}; {EnterTenant(tenantId)}",
            tenantId,
            found => Judge(found, atLeast)
        );

    /// <summary>
    /// A person's question about a store of theirs that needs what belongs to no tenant, such as people.
    /// </summary>
    public static TransactionStart ForMemberAcrossTenants(Guid tenantId, Caller caller, MemberRole atLeast) =>
        new($"{PersonLimits}; {FindRole(tenantId, caller)}", tenantId, found => Judge(found, atLeast));

    /// <summary>An operator's question across tenants, as the system role.</summary>
    /// <param name="isOperator">Judges a verified address.</param>
    public static TransactionStart ForOperator(Caller caller, Func<string, bool> isOperator) =>
        new($"{PersonLimits}; {FindOperator(caller)}", tenantId: null, found => JudgeOperator(found, isOperator));

    /// <summary>An operator's action in one store.</summary>
    /// <inheritdoc cref="ForOperator"/>
    public static TransactionStart ForOperatorInTenant(Guid tenantId, Caller caller, Func<string, bool> isOperator) =>
        new(
            $"{PersonLimits}; {FindOperator(caller)}; {EnterTenant(tenantId)}",
            tenantId,
            found => JudgeOperator(found, isOperator)
        );

    // As the system role: the role of a tenant is not known yet. Both look-ups are by primary key.
    private static string FindRole(Guid tenantId, Caller caller) =>
        $"""
            set local role {DatabaseRoles.System};
            select m.role from memberships m join sessions s using (user_id)
            where m.tenant_id = '{tenantId:D}' and m.user_id = '{caller.UserId:D}'
                and s.session_id = '{caller.SessionId:D}' and s.expires_at > now()
            """;

    private static string FindOperator(Caller caller) =>
        $"""
            set local role {DatabaseRoles.System};
            select u.email from sessions s join users u using (user_id)
            where s.session_id = '{caller.SessionId:D}' and s.user_id = '{caller.UserId:D}'
                and s.expires_at > now() and u.email_verified
            """;

    private static string EnterTenant(Guid tenantId) =>
        $"set local role {DatabaseRoles.Tenant}; set local app.tenant_id = '{tenantId:D}'";

    private static MemberRole? JudgeOperator(object? found, Func<string, bool> isOperator) =>
        found is string email && isOperator(email) ? null : throw new AccessDeniedException(AccessDenial.NotOperator);

    private static MemberRole? Judge(object? found, MemberRole atLeast)
    {
        if (found is not string name)
            throw new AccessDeniedException(AccessDenial.NoAccess);
        var role = Enum.Parse<MemberRole>(name);
        return role >= atLeast ? role : throw new AccessDeniedException(AccessDenial.RoleTooLow);
    }
}

/// <summary>
/// Begins every transaction of a context as its <see cref="TransactionStart"/> says, whoever begins it.
/// </summary>
internal sealed class TransactionStartInterceptor : DbTransactionInterceptor
{
    public override DbTransaction TransactionStarted(
        DbConnection connection,
        TransactionEndEventData eventData,
        DbTransaction result
    )
    {
        var context = (XenoDbContext)eventData.Context!;
        using var command = Command(connection, result, context.Start);
        if (context.Start.Authorizes)
            context.Role = context.Start.Authorize(command.ExecuteScalar());
        else
            command.ExecuteNonQuery();
        return result;
    }

    public override async ValueTask<DbTransaction> TransactionStartedAsync(
        DbConnection connection,
        TransactionEndEventData eventData,
        DbTransaction result,
        CancellationToken cancellationToken = default
    )
    {
        var context = (XenoDbContext)eventData.Context!;
        await using var command = Command(connection, result, context.Start);
        if (context.Start.Authorizes)
            context.Role = context.Start.Authorize(await command.ExecuteScalarAsync(cancellationToken));
        else
            await command.ExecuteNonQueryAsync(cancellationToken);
        return result;
    }

    private static DbCommand Command(DbConnection connection, DbTransaction transaction, TransactionStart start)
    {
        var command = connection.CreateCommand();
        command.Transaction = transaction;
        command.CommandText = start.Sql;
        return command;
    }
}
