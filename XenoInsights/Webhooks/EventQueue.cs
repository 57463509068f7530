using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;

namespace XenoInsights.Webhooks;

/// <summary>The waiting events of one store, inside the caller's unit of work.</summary>
internal static class EventQueue
{
    /// <summary>Names the queue, and the signal that wakes its worker.</summary>
    public const string Name = "events";

    public const int LargestBatch = 200;
    private const int LargestBatchBytes = 8 * 1024 * 1024;

    /// <summary>
    /// Takes the store's event lock until the transaction ends; false while another process applies the store's events.
    /// A process that hangs within the transaction loses it, and the lock, by the database's clock.
    /// </summary>
    public static async Task<bool> TryLockAsync(XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            select pg_try_advisory_xact_lock(hashtextextended('webhooks ' || $1::text, 0)),
                set_config('idle_in_transaction_session_timeout', '30s', true)
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        return (bool)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <summary>The events that are due, longest due first: a batch of them, or the one that is named.</summary>
    public static async Task<List<WaitingEvent>> DueAsync(
        XenoDbContext db,
        Guid tenantId,
        string? only,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            select webhook_id, topic, coalesce(triggered_at, received_at), received_at, attempts, payload, trace_id,
                object_id
            from (
                select *, sum(coalesce(octet_length(payload), 0)) over (order by due_at, webhook_id) as bytes_to_here,
                    row_number() over (order by due_at, webhook_id) as number
                from (
                    select * from events where tenant_id = $1 and status = 1 and due_at <= now()
                        and ($2::text is null or webhook_id = $2)
                    order by due_at, webhook_id limit $3) due) sized
            where bytes_to_here <= $4 or number = 1
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(
            new NpgsqlParameter { Value = (object?)only ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text }
        );
        command.Parameters.Add(new NpgsqlParameter { Value = LargestBatch });
        command.Parameters.Add(new NpgsqlParameter { Value = (long)LargestBatchBytes });
        var due = new List<WaitingEvent>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            due.Add(Read(reader));
        return due;
    }

    /// <summary>From a row that begins with the columns of an event.</summary>
    public static WaitingEvent Read(NpgsqlDataReader row) =>
        new(
            row.GetString(0),
            row.GetString(1),
            row.GetFieldValue<DateTimeOffset>(2),
            row.GetFieldValue<DateTimeOffset>(3),
            row.GetInt32(4),
            row.IsDBNull(5) ? null : row.GetFieldValue<byte[]>(5),
            row.IsDBNull(6) ? null : row.GetString(6)
        )
        {
            ObjectId = row.IsDBNull(7) ? null : row.GetInt64(7),
        };

    /// <summary>Events that do not wait any more.</summary>
    public static async Task MarkAsync(XenoDbContext db, Guid tenantId, List<EventResult> results, CancellationToken ct)
    {
        if (results.Count == 0)
            return;
        await db.ExecuteAsync(
            [
                new UnnestInsert<EventResult>("events", tenantId, results)
                    .Text("webhook_id", r => r.Event.WebhookId)
                    .Small("status", r => (short)r.Status)
                    .Text("outcome", r => r.Outcome)
                    .Text("last_error", r => r.Error)
                    .Update(
                        "webhook_id",
                        """
                        status = incoming.status, outcome = incoming.outcome, last_error = incoming.last_error,
                            attempts = stored.attempts + 1, applied_at = clock_timestamp()
                        """
                    ),
            ],
            ct
        );
    }

    /// <summary>Notes a failed attempt: the event is due again after the pause, or dead-lettered.</summary>
    public static async Task FailAsync(
        XenoDbContext db,
        Guid tenantId,
        WaitingEvent failed,
        bool isDead,
        TimeSpan pause,
        string error,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            update events set attempts = $3, status = $4, due_at = now() + $5, last_error = $6
            where tenant_id = $1 and webhook_id = $2 and status = 1
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(new NpgsqlParameter { Value = failed.WebhookId });
        command.Parameters.Add(new NpgsqlParameter { Value = failed.Attempts + 1 });
        command.Parameters.Add(
            new NpgsqlParameter { Value = (short)(isDead ? EventStatus.Dead : EventStatus.Pending) }
        );
        command.Parameters.Add(new NpgsqlParameter { Value = pause });
        command.Parameters.Add(new NpgsqlParameter { Value = error });
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// Reschedules an event without counting an attempt, for a reason outside of it: it is due again after a quarter of
    /// the time since its receipt, within these limits.
    /// </summary>
    public static async Task RescheduleAsync(
        XenoDbContext db,
        Guid tenantId,
        WaitingEvent waiting,
        TimeSpan shortest,
        TimeSpan longest,
        string reason,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            update events set due_at = now() + greatest($3, least($4, (now() - received_at) / 4)), last_error = $5
            where tenant_id = $1 and webhook_id = $2 and status = 1
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(new NpgsqlParameter { Value = waiting.WebhookId });
        command.Parameters.Add(new NpgsqlParameter { Value = shortest });
        command.Parameters.Add(new NpgsqlParameter { Value = longest });
        command.Parameters.Add(new NpgsqlParameter { Value = reason });
        await command.ExecuteNonQueryAsync(ct);
    }
}
