using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Quartz;
using XenoInsights.Data;

namespace XenoInsights.Hosting;

/// <summary>The last run of a scheduled job over all instances. Times are the database's.</summary>
public sealed class ScheduledRun
{
    public required string Job { get; init; }
    public DateTimeOffset StartedAt { get; set; }

    /// <summary>Null while it runs, or when its process died.</summary>
    public DateTimeOffset? FinishedAt { get; set; }

    /// <summary>When it last ended without a failure.</summary>
    public DateTimeOffset? SucceededAt { get; set; }

    /// <summary>Where it ran: the machine's name and the process id.</summary>
    public required string Instance { get; set; }
}

internal sealed class ScheduledRunConfiguration : IEntityTypeConfiguration<ScheduledRun>
{
    public void Configure(EntityTypeBuilder<ScheduledRun> builder)
    {
        builder.ToTable("scheduled_runs");
        builder.HasKey(run => run.Job);
    }
}

/// <summary>
/// Runs a scheduled job on one instance of all that fire it: the first to note its start wins. By the database's clock,
/// so that instances whose clocks differ by less than half a period do not run it twice.
/// </summary>
[DisallowConcurrentExecution]
internal sealed class ScheduledJob<T>(T job, SystemDatabase database, ILogger<T> logger) : IJob
    where T : IJob
{
    private static readonly string _instance = $"{Environment.MachineName}/{Environment.ProcessId}";
    private static readonly string _name = typeof(T).Name;

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var period = context.NextFireTimeUtc - context.ScheduledFireTimeUtc ?? TimeSpan.Zero;
        await RunAsync(period / 2, ct => job.Execute(context, ct), cancellationToken);
    }

    /// <param name="gap">Not within this time after the last start, wherever that was.</param>
    internal async Task RunAsync(TimeSpan gap, Func<CancellationToken, ValueTask> work, CancellationToken ct)
    {
        if (!await TryBeginAsync(gap, ct))
            return;
        var succeeded = false;
        try
        {
            await work(ct);
            succeeded = true;
        }
        catch (Exception failure) when (!ct.IsCancellationRequested)
        {
            ScheduledJobLog.Failed(logger, failure, _name);
        }
        finally
        {
            await EndAsync(succeeded);
        }
    }

    private async Task<bool> TryBeginAsync(TimeSpan gap, CancellationToken ct) =>
        await database.RunAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    insert into scheduled_runs (job, started_at, instance) values (@job, now(), @instance)
                    on conflict (job) do update
                        set started_at = excluded.started_at, finished_at = null, instance = excluded.instance
                        where scheduled_runs.started_at <= now() - @gap
                    """
                );
                command.Parameters.AddWithValue("job", _name);
                command.Parameters.AddWithValue("instance", _instance);
                command.Parameters.AddWithValue("gap", gap);
                return await command.ExecuteNonQueryAsync(ct) == 1;
            },
            ct
        );

    private async Task EndAsync(bool succeeded)
    {
        try
        {
            await database.RunAsync(db =>
                db.Database.ExecuteSqlAsync(
                    $"""
                    update scheduled_runs set finished_at = now(),
                        succeeded_at = case when {succeeded} then now() else succeeded_at end
                    where job = {_name} and instance = {_instance}
                    """
                )
            );
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            ScheduledJobLog.EndNotRecorded(logger, failure, _name);
        }
    }
}

/// <summary>Beside the class and not in it, for that one is generic.</summary>
internal static partial class ScheduledJobLog
{
    [LoggerMessage(
        EventId = 1001,
        Level = LogLevel.Error,
        Message = "The scheduled job {Job} failed; it runs again at its next time"
    )]
    public static partial void Failed(ILogger logger, Exception failure, string job);

    [LoggerMessage(
        EventId = 1002,
        Level = LogLevel.Warning,
        Message = "The end of the scheduled job {Job} could not be recorded"
    )]
    public static partial void EndNotRecorded(ILogger logger, Exception failure, string job);
}
