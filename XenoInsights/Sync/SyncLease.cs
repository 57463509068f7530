using System.Text.Json;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;

namespace XenoInsights.Sync;

/// <summary>
/// Another process has taken the run over, or it was cancelled: whoever holds this lease stops without a word.
/// </summary>
public sealed class LeaseLostException() : Exception("The run's lease was lost.");

/// <summary>
/// The right to work on one run for a while, by the database clock. Everything written for the run is written under the
/// lease, so a worker that was thought dead and wakes up again can neither store rows nor count them.
/// </summary>
public sealed class SyncLease(
    TenantDatabase tenants,
    Guid tenantId,
    Guid jobId,
    SyncJobType type,
    int attempts,
    TimeSpan duration
)
{
    private readonly Guid _owner = Guid.NewGuid();

    public Guid TenantId { get; } = tenantId;
    public Guid JobId { get; } = jobId;
    public SyncJobType Type { get; } = type;

    /// <summary>How often the run was begun, this time included.</summary>
    public int Attempts { get; private set; } = attempts;

    /// <summary>Where the run that held the lease before had come to, as it wrote it; null at the beginning.</summary>
    public string? Cursor { get; private set; }

    /// <summary>Database clock, when the run began for the first time.</summary>
    public DateTimeOffset StartedAt { get; private set; }

    /// <summary>False when someone else was faster, or the run is over.</summary>
    public Task<bool> TakeAsync(CancellationToken ct) =>
        tenants.RunAsync(
            TenantId,
            async db =>
            {
                await using var command = db.Command(
                    """
                    update sync_jobs set status = 'Running', lease_owner = $3, lease_until = now() + $4,
                        attempts = attempts + 1, started_at = coalesce(started_at, now()), error = null
                    where tenant_id = $1 and id = $2 and (
                        (status = 'Queued' and coalesce(not_before, now()) <= now())
                        or (status = 'Running' and lease_until < now()))
                    returning cursor::text, attempts, started_at
                    """
                );
                Bind(command, duration);
                await using var reader = await command.ExecuteReaderAsync(ct);
                if (!await reader.ReadAsync(ct))
                    return false;
                Cursor = reader.IsDBNull(0) ? null : reader.GetString(0);
                Attempts = reader.GetInt32(1);
                StartedAt = reader.GetFieldValue<DateTimeOffset>(2);
                return true;
            },
            ct
        );

    /// <summary>
    /// Adds to the counters in the unit of work that stored the rows, with where the run has come to if that changed,
    /// and prolongs the lease; units of work side by side add up. <c>now()</c> is when a unit of work began: a long one
    /// must not take back what a heartbeat gave meanwhile.
    /// </summary>
    public async Task CountAsync(XenoDbContext db, SyncProgress more, object? cursor, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            update sync_jobs set lease_until = greatest(lease_until, now() + $4), phase = $5,
                objects_expected = objects_expected + $6, objects_read = objects_read + $7, stored = stored + $8,
                unchanged = unchanged + $9, rejected = rejected + $10, gone = gone + $11, cursor = coalesce($12, cursor)
            where tenant_id = $1 and id = $2 and lease_owner = $3 and status = 'Running'
            """
        );
        await WriteAsync(command, more, cursor, ct);
    }

    /// <summary>Sets all counters and where the run has come to.</summary>
    public Task SaveAsync(SyncProgress progress, object cursor, CancellationToken ct) =>
        tenants.RunAsync(
            TenantId,
            async db =>
            {
                await using var command = db.Command(
                    """
                    update sync_jobs set lease_until = greatest(lease_until, now() + $4), phase = $5,
                        objects_expected = $6, objects_read = $7, stored = $8, unchanged = $9, rejected = $10,
                        gone = $11, cursor = $12
                    where tenant_id = $1 and id = $2 and lease_owner = $3 and status = 'Running'
                    """
                );
                await WriteAsync(command, progress, cursor, ct);
            },
            ct
        );

    private async Task WriteAsync(NpgsqlCommand command, SyncProgress progress, object? cursor, CancellationToken ct)
    {
        Bind(command, duration);
        command.Parameters.Add(new NpgsqlParameter { Value = progress.Phase });
        foreach (
            var count in (long[])
                [
                    progress.Expected,
                    progress.Read,
                    progress.Stored,
                    progress.Unchanged,
                    progress.Rejected,
                    progress.Gone,
                ]
        )
            command.Parameters.Add(new NpgsqlParameter { Value = count });
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = cursor is null ? DBNull.Value : JsonSerializer.Serialize(cursor),
                NpgsqlDbType = NpgsqlDbType.Jsonb,
            }
        );
        if (await command.ExecuteNonQueryAsync(ct) == 0)
            throw new LeaseLostException();
    }

    /// <summary>Prolongs the lease; false when it is lost.</summary>
    public Task<bool> HeartbeatAsync(CancellationToken ct) =>
        EndAsync("lease_until = greatest(lease_until, now() + $4)", duration, null, ct);

    /// <param name="first">What its success brings about, in the same unit of work.</param>
    public Task<bool> SucceedAsync(Func<XenoDbContext, Task> first, CancellationToken ct) =>
        EndAsync(
            "status = 'Succeeded', phase = null, lease_owner = null, lease_until = null, finished_at = now() + 0 * $4",
            TimeSpan.Zero,
            null,
            ct,
            first
        );

    public Task<bool> FailAsync(string error, CancellationToken ct) =>
        EndAsync(
            """
            status = 'Failed', phase = null, error = $5, lease_owner = null, lease_until = null,
                finished_at = now() + 0 * $4
            """,
            TimeSpan.Zero,
            error,
            ct
        );

    /// <summary>Puts the run back into the queue, to go on from its cursor after <paramref name="wait"/>.</summary>
    public Task<bool> ReturnAsync(TimeSpan wait, string? error, CancellationToken ct) =>
        EndAsync(
            "status = 'Queued', error = $5, lease_owner = null, lease_until = null, not_before = now() + $4",
            wait,
            error,
            ct
        );

    private Task<bool> EndAsync(
        string changes,
        TimeSpan time,
        string? error,
        CancellationToken ct,
        Func<XenoDbContext, Task>? first = null
    ) =>
        tenants.RunAsync(
            TenantId,
            async db =>
            {
                if (first is not null)
                    await first(db);
                await using var command = db.Command(
                    $"""
                    update sync_jobs set {changes}
                    where tenant_id = $1 and id = $2 and lease_owner = $3 and status = 'Running'
                    """
                );
                Bind(command, time);
                if (changes.Contains("$5", StringComparison.Ordinal))
                    command.Parameters.Add(
                        new NpgsqlParameter { Value = (object?)error ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text }
                    );
                var isOurs = await command.ExecuteNonQueryAsync(ct) == 1;
                // What came first is undone with it.
                if (!isOurs && first is not null)
                    throw new LeaseLostException();
                return isOurs;
            },
            ct
        );

    private void Bind(NpgsqlCommand command, TimeSpan time)
    {
        command.Parameters.Add(new NpgsqlParameter { Value = TenantId });
        command.Parameters.Add(new NpgsqlParameter { Value = JobId });
        command.Parameters.Add(new NpgsqlParameter { Value = _owner });
        command.Parameters.Add(new NpgsqlParameter { Value = time, NpgsqlDbType = NpgsqlDbType.Interval });
    }
}

/// <summary>A run's counters; the equation read = stored + unchanged + rejected + gone must hold in the end.</summary>
public sealed record SyncProgress(
    string Phase,
    long Expected,
    long Read,
    long Stored,
    long Unchanged,
    long Rejected,
    long Gone = 0
);
