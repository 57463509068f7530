using System.Text;
using Npgsql;

namespace XenoInsights.Data;

/// <summary>
/// Runs changes of the schema so that they never hold up those who serve: whoever waits for a lock makes everybody
/// behind it wait too, so each attempt waits for a moment only, fails, and is tried again later.
/// </summary>
/// <param name="lockTimeout">
/// The longest wait for one lock. Less than the patience of a webhook's answer (0.9 s), and than PostgreSQL's own
/// <c>deadlock_timeout</c> (1 s): in a crosswise wait it is always the migration that steps back.
/// </param>
/// <param name="patience">How long to go on trying.</param>
internal sealed class ShortLocks(TimeSpan lockTimeout, TimeSpan patience, TimeProvider time, Action<string> say)
{
    private static readonly TimeSpan _firstPause = TimeSpan.FromMilliseconds(250),
        _longestPause = TimeSpan.FromSeconds(10);

    /// <summary>Runs the statements in one transaction of their own.</summary>
    /// <exception cref="UpgradeStoppedException">The locks could not be had; nothing was changed.</exception>
    public async Task RunAsync(NpgsqlConnection connection, string what, string sql, CancellationToken ct)
    {
        var began = time.GetTimestamp();
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                await OnceAsync(connection, sql, ct);
                return;
            }
            catch (PostgresException busy)
                when (busy.SqlState is PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.DeadlockDetected)
            {
                if (time.GetElapsedTime(began) >= patience)
                    throw new UpgradeStoppedException(
                        $"{what}: the locks could not be had within {patience:c}; nothing was changed.\n"
                            + $"{await BlockersAsync(connection, ct)}",
                        busy
                    );
                if (attempt == 0)
                    say($"{what}: others hold locks; trying again");
                await Task.Delay(Pause(attempt), time, ct);
            }
        }
    }

    private async Task OnceAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await ExecuteAsync($"set local lock_timeout = {(int)lockTimeout.TotalMilliseconds}");
        await ExecuteAsync(sql);
        await transaction.CommitAsync(ct);

        async Task ExecuteAsync(string statement)
        {
            await using var command = new NpgsqlCommand(statement, connection, transaction) { CommandTimeout = 0 };
            await command.ExecuteNonQueryAsync(ct);
        }
    }

    private static TimeSpan Pause(int attempt)
    {
        var pause = _firstPause * Math.Pow(2, Math.Min(attempt, 10)) * (0.5 + Random.Shared.NextDouble());
        return pause < _longestPause ? pause : _longestPause;
    }

    /// <summary>
    /// Who is in the way, for whoever has to decide about it: the longest transactions of this database.
    /// </summary>
    private static async Task<string> BlockersAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        var text = new StringBuilder(
            "The longest transactions (end them with pg_terminate_backend(pid), or wait, then run the command again):"
        );
        await using var command = new NpgsqlCommand(
            """
            select format('  pid %s, %s s, %s: %s', pid,
                round(extract(epoch from clock_timestamp() - xact_start)), state,
                left(regexp_replace(query, '\s+', ' ', 'g'), 120))
            from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
            order by xact_start limit 5
            """,
            connection
        );
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            text.Append('\n').Append(reader.GetString(0));
        return text.ToString();
    }
}

/// <summary>
/// An upgrade cannot go on now; what is done is done, and the same command goes on from there. The message says what is
/// in the way.
/// </summary>
public sealed class UpgradeStoppedException(string message, Exception? inner = null)
    : InvalidOperationException(message, inner);
