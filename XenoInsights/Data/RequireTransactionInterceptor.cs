using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace XenoInsights.Data;

/// <summary>
/// Turns a query without tenant isolation into an exception: outside a transaction no role and no tenant are set.
/// </summary>
internal sealed class RequireTransactionInterceptor : DbCommandInterceptor
{
    public override InterceptionResult<DbDataReader> ReaderExecuting(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<DbDataReader> result
    ) => Checked(command, result);

    public override InterceptionResult<object> ScalarExecuting(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<object> result
    ) => Checked(command, result);

    public override InterceptionResult<int> NonQueryExecuting(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<int> result
    ) => Checked(command, result);

    public override ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<DbDataReader> result,
        CancellationToken cancellationToken = default
    ) => new(Checked(command, result));

    public override ValueTask<InterceptionResult<object>> ScalarExecutingAsync(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<object> result,
        CancellationToken cancellationToken = default
    ) => new(Checked(command, result));

    public override ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<int> result,
        CancellationToken cancellationToken = default
    ) => new(Checked(command, result));

    private static InterceptionResult<T> Checked<T>(DbCommand command, InterceptionResult<T> result) =>
        command.Transaction is not null
            ? result
            : throw new InvalidOperationException(
                "A database command ran outside TenantDatabase and SystemDatabase, "
                    + "where neither role nor tenant is set."
            );
}
