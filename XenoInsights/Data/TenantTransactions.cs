using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Storage;
using Npgsql;
using XenoInsights.Tenants;

namespace XenoInsights.Data;

/// <summary>
/// Units of work for one tenant, for jobs and the install. Requests and circuits use <see cref="XenoDatabase"/>.
/// </summary>
public sealed class TenantDatabase(TenantTransactions transactions)
{
    /// <summary>
    /// Runs <paramref name="work"/> in a transaction that sees this tenant's rows only, and commits. A transient
    /// failure before the commit runs it again.
    /// </summary>
    public Task<T> RunAsync<T>(Guid tenantId, Func<XenoDbContext, Task<T>> work, CancellationToken ct = default) =>
        transactions.RunAsync(TransactionStart.ForJob(tenantId), work, ct);

    public Task RunAsync(Guid tenantId, Func<XenoDbContext, Task> work, CancellationToken ct = default) =>
        RunAsync(
            tenantId,
            async db =>
            {
                await work(db);
                return true;
            },
            ct
        );

    /// <summary>
    /// Applying what came for the tenant, while others wait for their turn: under short limits, and a wait in vain for
    /// a lock or an answer is not repeated in place.
    /// </summary>
    internal Task<T> RunForApplyingAsync<T>(Guid tenantId, Func<XenoDbContext, Task<T>> work, CancellationToken ct) =>
        transactions.RunAsync(TransactionStart.ForApplying(tenantId), work, ct);

    /// <inheritdoc cref="RunForApplyingAsync{T}(Guid, Func{XenoDbContext, Task{T}}, CancellationToken)"/>
    internal Task RunForApplyingAsync(Guid tenantId, Func<XenoDbContext, Task> work, CancellationToken ct) =>
        RunForApplyingAsync(
            tenantId,
            async db =>
            {
                await work(db);
                return true;
            },
            ct
        );

    /// <summary>The same for an event that concerns the whole store, which takes longer.</summary>
    internal Task<T> RunForHandlerAsync<T>(Guid tenantId, Func<XenoDbContext, Task<T>> work, CancellationToken ct) =>
        transactions.RunAsync(TransactionStart.ForHandler(tenantId), work, ct);

    /// <summary>
    /// What several people wait for at once, under the limits of people's work. Whoever asks has had their own access
    /// looked up.
    /// </summary>
    public Task<T> RunForPeopleAsync<T>(Guid tenantId, Func<XenoDbContext, Task<T>> work, CancellationToken ct) =>
        transactions.RunAsync(TransactionStart.ForPeople(tenantId), work, ct);
}

/// <summary>
/// Units of work of a person in the store that their request or circuit has entered. Each looks up afresh, in the
/// command that begins it, whether the session is alive and which role its person has there. Entered no store, they see
/// no rows.
/// </summary>
public sealed class XenoDatabase(TenantTransactions transactions, TenantContext tenant)
{
    /// <summary>What every member may do.</summary>
    /// <exception cref="AccessDeniedException">The person is not a member of the store any more, or their session has
    /// ended.</exception>
    public Task<T> InTenantAsync<T>(Func<XenoDbContext, Task<T>> work, CancellationToken ct = default) =>
        InTenantAsync(MemberRole.Viewer, work, ct);

    /// <inheritdoc cref="InTenantAsync{T}(Func{XenoDbContext, Task{T}}, CancellationToken)"/>
    public Task InTenantAsync(Func<XenoDbContext, Task> work, CancellationToken ct = default) =>
        InTenantAsync(
            async db =>
            {
                await work(db);
                return true;
            },
            ct
        );

    /// <summary>What needs a role.</summary>
    /// <exception cref="AccessDeniedException">The person's role is below <paramref name="atLeast"/>, or their access
    /// has ended.</exception>
    public Task<T> InTenantAsync<T>(
        MemberRole atLeast,
        Func<XenoDbContext, Task<T>> work,
        CancellationToken ct = default
    ) => RunAsync(TransactionStart.ForMember, atLeast, work, keep: true, ct);

    /// <summary>Runs <paramref name="work"/> for real, sees what it did, and takes all of it back.</summary>
    /// <inheritdoc cref="InTenantAsync{T}(MemberRole, Func{XenoDbContext, Task{T}}, CancellationToken)"/>
    public Task<T> DryRunAsync<T>(MemberRole atLeast, Func<XenoDbContext, Task<T>> work, CancellationToken ct) =>
        RunAsync(TransactionStart.ForMember, atLeast, work, keep: false, ct);

    /// <summary>
    /// For a member's questions that need what belongs to no tenant, such as people. The work sees all tenants, as the
    /// system role.
    /// </summary>
    /// <inheritdoc cref="InTenantAsync{T}(Func{XenoDbContext, Task{T}}, CancellationToken)"/>
    public Task<T> AcrossTenantsAsync<T>(Func<XenoDbContext, Task<T>> work, CancellationToken ct) =>
        RunAsync(TransactionStart.ForMemberAcrossTenants, MemberRole.Viewer, work, keep: true, ct);

    /// <summary>For an action that happens elsewhere: at Shopify, or in a job.</summary>
    /// <inheritdoc cref="InTenantAsync{T}(MemberRole, Func{XenoDbContext, Task{T}}, CancellationToken)"/>
    public Task RequireAsync(MemberRole atLeast, CancellationToken ct) =>
        InTenantAsync(atLeast, _ => Task.FromResult(true), ct);

    private async Task<T> RunAsync<T>(
        Func<Guid, Caller, MemberRole, TransactionStart> start,
        MemberRole atLeast,
        Func<XenoDbContext, Task<T>> work,
        bool keep,
        CancellationToken ct
    )
    {
        if (tenant is not { TenantId: { } tenantId, Caller: { } caller })
            return await transactions.RunAsync(TransactionStart.ForNobody, work, ct, keep);
        try
        {
            return await transactions.RunAsync(start(tenantId, caller, atLeast), work, ct, keep);
        }
        catch (AccessDeniedException)
        {
            tenant.ReportDenial();
            throw;
        }
    }
}

/// <summary>
/// Units of work across tenants, as the role that may do only what its grants list (<see cref="RowLevelSecurity"/>).
/// </summary>
public sealed class SystemDatabase(TenantTransactions transactions)
{
    public Task<T> RunAsync<T>(Func<XenoDbContext, Task<T>> work, CancellationToken ct = default) =>
        transactions.RunAsync(TransactionStart.ForSystem, work, ct);

    public Task RunAsync(Func<XenoDbContext, Task> work, CancellationToken ct = default) =>
        RunAsync(
            async db =>
            {
                await work(db);
                return true;
            },
            ct
        );

    /// <summary>One question in one round trip, for what every request asks.</summary>
    public Task<List<T>> QueryAsync<T>(
        string sql,
        IReadOnlyList<NpgsqlParameter> parameters,
        Func<NpgsqlDataReader, T> read,
        CancellationToken ct
    ) => transactions.QueryAsync(sql, parameters, read, ct);
}

/// <summary>The one place that opens transactions and sets the role and tenant of each.</summary>
public sealed class TenantTransactions : IAsyncDisposable
{
    private const int MaxAttempts = 4;

    private readonly NpgsqlDataSource _source;
    private readonly SchemaGate? _gate;
    private readonly DbContextOptions<XenoDbContext> _options;

    /// <param name="name">Names the connections in metrics.</param>
    /// <param name="gate">Lets no unit of work begin on a schema that this version does not fit; null where that is
    /// known.</param>
    public TenantTransactions(
        string connectionString,
        ILoggerFactory loggerFactory,
        string name = "xeno",
        SchemaGate? gate = null
    )
    {
        _gate = gate;
        var builder = new NpgsqlDataSourceBuilder(connectionString) { Name = name }.UseLoggerFactory(loggerFactory);
        // Role, tenant and limits are set with SET LOCAL and end with their transaction, as poolers need it too: a
        // connection has nothing that DISCARD ALL would reset. Npgsql still rolls back what was left open.
        builder.ConnectionStringBuilder.NoResetOnClose = true;
        _source = builder.Build();
        _options = new DbContextOptionsBuilder<XenoDbContext>()
            .UseNpgsql(_source)
            .UseSnakeCaseNamingConvention()
            .UseLoggerFactory(loggerFactory)
            // Whoever asked gets the exception and says what it means; mostly it is a person who left a page before its
            // figures were found.
            .ConfigureWarnings(warnings => warnings.Log((RelationalEventId.TransactionError, LogLevel.Debug)))
            .AddInterceptors(new TransactionStartInterceptor(), new RequireTransactionInterceptor())
            .Options;
    }

    internal async Task<T> RunAsync<T>(
        TransactionStart start,
        Func<XenoDbContext, Task<T>> work,
        CancellationToken ct,
        bool keep = true
    )
    {
        for (var attempt = 1; ; attempt++)
        {
            await using var db = new XenoDbContext(_options, start);
            T result;
            try
            {
                if (_gate is not null)
                    await _gate.PassAsync(_source, ct);
                await db.Database.BeginTransactionAsync(ct);
                result = await work(db);
            }
            catch (Exception failure)
                when (attempt < MaxAttempts && IsTransient(failure) && (start.WaitsAgain || !IsWaitInVain(failure)))
            {
                await Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(20, 80) * attempt), ct);
                continue;
            }
            if (!keep)
                return result;
            // A failure here leaves the outcome unknown, so it is the caller's: only they know whether doing it again
            // is harmless.
            await db.Database.CommitTransactionAsync(ct);
            return result;
        }
    }

    /// <summary>Reads as the system role; the whole transaction is one batch.</summary>
    internal async Task<List<T>> QueryAsync<T>(
        string sql,
        IReadOnlyList<NpgsqlParameter> parameters,
        Func<NpgsqlDataReader, T> read,
        CancellationToken ct
    )
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await QueryOnceAsync(sql, parameters, read, ct);
            }
            catch (NpgsqlException failure) when (attempt < MaxAttempts && failure.IsTransient)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(20, 80) * attempt), ct);
            }
        }
    }

    private async Task<List<T>> QueryOnceAsync<T>(
        string sql,
        IReadOnlyList<NpgsqlParameter> parameters,
        Func<NpgsqlDataReader, T> read,
        CancellationToken ct
    )
    {
        if (_gate is not null)
            await _gate.PassAsync(_source, ct);
        await using var connection = await _source.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection);
        batch.BatchCommands.Add(new("begin read only"));
        batch.BatchCommands.Add(new($"set local role {DatabaseRoles.System}"));
        batch.BatchCommands.Add(new("set local statement_timeout = '10s'"));
        var question = new NpgsqlBatchCommand(sql);
        foreach (var parameter in parameters)
            question.Parameters.Add(parameter.Clone());
        batch.BatchCommands.Add(question);
        batch.BatchCommands.Add(new("commit"));
        var rows = new List<T>();
        // A failure leaves the transaction open; returning the connection to the pool rolls it back.
        await using var reader = await batch.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            rows.Add(read(reader));
        return rows;
    }

    public ValueTask DisposeAsync() => _source.DisposeAsync();

    /// <summary>For a lock, or for the database's answer.</summary>
    private static bool IsWaitInVain(Exception failure) =>
        (failure as NpgsqlException ?? failure.InnerException)
            is PostgresException { SqlState: PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.QueryCanceled }
                or NpgsqlException { InnerException: TimeoutException };

    private static bool IsTransient(Exception failure) =>
        failure is NpgsqlException { IsTransient: true }
        || failure.InnerException is NpgsqlException { IsTransient: true };
}

public static class XenoDbContextExtensions
{
    /// <summary>The connection of the transaction, for set-based SQL that EF cannot say.</summary>
    public static NpgsqlConnection Connection(this XenoDbContext db) => (NpgsqlConnection)db.Database.GetDbConnection();

    /// <summary>A command on the transaction.</summary>
    public static NpgsqlCommand Command(this XenoDbContext db, string sql)
    {
        var transaction =
            (NpgsqlTransaction?)db.Database.CurrentTransaction?.GetDbTransaction()
            ?? throw new InvalidOperationException("SQL runs inside a unit of work only.");
        var command = new NpgsqlCommand(sql, db.Connection(), transaction);
        if (db.Start.CommandTimeout is { } seconds)
            command.CommandTimeout = seconds;
        return command;
    }

    /// <summary>A batch on the transaction.</summary>
    public static NpgsqlBatch NewBatch(this XenoDbContext db)
    {
        var batch = new NpgsqlBatch(db.Connection());
        if (db.Start.CommandTimeout is { } seconds)
            batch.Timeout = seconds;
        return batch;
    }
}
