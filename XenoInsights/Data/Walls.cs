using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace XenoInsights.Data;

/// <summary>
/// The second wall around a tenant's rows: row-level security, forced on every table with a <c>tenant_id</c>, and two roles that the
/// login may become for one transaction. What the roles may do stands in <see cref="RowLevelSecurity"/>.
/// </summary>
public static partial class Walls
{
    /// <summary>One tenant at a time.</summary>
    public const string AppRole = "xeno_app";

    /// <summary>Only what crosses tenants: sign-in, install look-ups, claiming work, fleet health.</summary>
    public const string SystemRole = "xeno_system";
}

/// <summary>Turns a query that forgot the walls into an exception: outside a transaction no role and no tenant are set.</summary>
internal sealed class WalledTransactionsOnly : DbCommandInterceptor
{
    public override InterceptionResult<DbDataReader> ReaderExecuting(DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result) => Checked(command, result);

    public override InterceptionResult<object> ScalarExecuting(DbCommand command, CommandEventData eventData, InterceptionResult<object> result) => Checked(command, result);

    public override InterceptionResult<int> NonQueryExecuting(DbCommand command, CommandEventData eventData, InterceptionResult<int> result) => Checked(command, result);

    public override ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken = default) => new(Checked(command, result));

    public override ValueTask<InterceptionResult<object>> ScalarExecutingAsync(DbCommand command, CommandEventData eventData, InterceptionResult<object> result, CancellationToken cancellationToken = default) => new(Checked(command, result));

    public override ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(DbCommand command, CommandEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default) => new(Checked(command, result));

    private static InterceptionResult<T> Checked<T>(DbCommand command, InterceptionResult<T> result) =>
        command.Transaction is not null ? result : throw new InvalidOperationException("A database command ran outside TenantDatabase and SystemDatabase, where neither role nor tenant is set.");
}
