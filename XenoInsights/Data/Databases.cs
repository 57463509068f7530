using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Storage;
using Npgsql;
using XenoInsights.Tenants;

namespace XenoInsights.Data;

/// <summary>Units of work for one tenant, for whoever knows it by id: jobs and the install. Requests and circuits use <see cref="XenoDatabase"/>.</summary>
public sealed class TenantDatabase(WalledTransactions transactions)
{
    /// <summary>Runs <paramref name="work"/> in a transaction that sees this tenant's rows only, and commits. A transient failure before the commit runs it again.</summary>
    public Task<T> RunAsync<T>(Guid tenantId, Func<XenoDbContext, Task<T>> work, CancellationToken ct = default) =>
        transactions.RunAsync(Walls.EnterTenant(tenantId), tenantId, work, ct);

    public Task RunAsync(Guid tenantId, Func<XenoDbContext, Task> work, CancellationToken ct = default) =>
        RunAsync(tenantId, async db => { await work(db); return true; }, ct);
}

/// <summary>Units of work for the tenant that this request or circuit has entered. Entered none, they see no tenant's rows.</summary>
public sealed class XenoDatabase(WalledTransactions transactions, TenantContext tenant)
{
    /// <summary>
    /// People wait for these. Sums over a large range fit into this memory where PostgreSQL's default would spill them to disk, and workers of their own would
    /// take longer to start than most questions take, on processors that others wait for.
    /// </summary>
    private const string ForPeople = "; set local work_mem = '32MB'; set local max_parallel_workers_per_gather = 0";

    private string Enter => tenant.TenantId is { } id ? Walls.EnterTenant(id) + ForPeople : Walls.EnterNoTenant;

    public Task<T> InTenantAsync<T>(Func<XenoDbContext, Task<T>> work, CancellationToken ct = default) =>
        transactions.RunAsync(Enter, tenant.TenantId, work, ct);

    public Task InTenantAsync(Func<XenoDbContext, Task> work, CancellationToken ct = default) =>
        InTenantAsync(async db => { await work(db); return true; }, ct);

    /// <summary>Runs <paramref name="work"/> for real, sees what it did, and takes all of it back.</summary>
    public Task<T> WhatIfAsync<T>(Func<XenoDbContext, Task<T>> work, CancellationToken ct = default) =>
        transactions.RunAsync(Enter, tenant.TenantId, work, ct, keep: false);
}

/// <summary>Units of work across tenants, as the role that may do only what its grants list (<see cref="Walls.Sql"/>).</summary>
public sealed class SystemDatabase(WalledTransactions transactions)
{
    public Task<T> RunAsync<T>(Func<XenoDbContext, Task<T>> work, CancellationToken ct = default) =>
        transactions.RunAsync(Walls.EnterSystem, null, work, ct);

    public Task RunAsync(Func<XenoDbContext, Task> work, CancellationToken ct = default) =>
        RunAsync(async db => { await work(db); return true; }, ct);
}

/// <summary>The one place that opens transactions and puts the walls around them.</summary>
public sealed class WalledTransactions : IAsyncDisposable
{
    private const int MaxAttempts = 4;

    private readonly NpgsqlDataSource _source;
    private readonly DbContextOptions<XenoDbContext> _options;

    /// <param name="name">Names the connections in metrics.</param>
    public WalledTransactions(string connectionString, ILoggerFactory loggerFactory, string name = "xeno")
    {
        _source = new NpgsqlDataSourceBuilder(connectionString) { Name = name }.UseLoggerFactory(loggerFactory).Build();
        _options = new DbContextOptionsBuilder<XenoDbContext>()
            .UseNpgsql(_source).UseSnakeCaseNamingConvention().UseLoggerFactory(loggerFactory)
            // Whoever asked gets the exception and says what it means; mostly it is a person who left a page before its figures were found.
            .ConfigureWarnings(warnings => warnings.Log((RelationalEventId.TransactionError, LogLevel.Debug)))
            .AddInterceptors(new WalledTransactionInterceptor(), new WalledTransactionsOnly())
            .Options;
    }

    internal async Task<T> RunAsync<T>(string walls, Guid? tenantId, Func<XenoDbContext, Task<T>> work, CancellationToken ct, bool keep = true)
    {
        for (var attempt = 1; ; attempt++)
        {
            await using var db = new XenoDbContext(_options, tenantId, walls);
            T result;
            try
            {
                await db.Database.BeginTransactionAsync(ct);
                result = await work(db);
            }
            catch (Exception failure) when (attempt < MaxAttempts && IsTransient(failure))
            {
                await Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(20, 80) * attempt), ct);
                continue;
            }
            if (!keep) return result;
            // A failure here leaves the outcome unknown, so it is the caller's: only they know whether doing it again is harmless.
            await db.Database.CommitTransactionAsync(ct);
            return result;
        }
    }

    public ValueTask DisposeAsync() => _source.DisposeAsync();

    private static bool IsTransient(Exception failure) =>
        failure is NpgsqlException { IsTransient: true } || failure.InnerException is NpgsqlException { IsTransient: true };
}

public static class XenoDbContextExtensions
{
    /// <summary>The connection of the walled transaction, for set-based SQL that EF cannot say.</summary>
    public static NpgsqlConnection Connection(this XenoDbContext db) => (NpgsqlConnection)db.Database.GetDbConnection();

    /// <summary>A command on the walled transaction.</summary>
    public static NpgsqlCommand Command(this XenoDbContext db, string sql) =>
        new(sql, db.Connection(), (NpgsqlTransaction?)db.Database.CurrentTransaction?.GetDbTransaction()
            ?? throw new InvalidOperationException("SQL runs inside a unit of work only."));
}
