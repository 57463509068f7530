using XenoInsights.Data;

namespace XenoInsights.Webhooks;

/// <summary>Measures how many events wait and since when, whatever those who apply them are doing.</summary>
internal sealed class BacklogWatch(
    SystemDatabase system,
    WebhookMetrics metrics,
    TimeProvider time,
    ILogger<BacklogWatch> logger
) : BackgroundService
{
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do
            {
                await TryMeasureAsync(stoppingToken);
            } while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Stopping.
        }
    }

    internal async Task TryMeasureAsync(CancellationToken ct)
    {
        try
        {
            await MeasureAsync(ct);
        }
        catch (Exception failure) when (!ct.IsCancellationRequested)
        {
            logger.LogWarning(failure, "Waiting events cannot be counted");
        }
    }

    private Task MeasureAsync(CancellationToken ct) =>
        system.RunAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    select count(*), coalesce(extract(epoch from now() - min(received_at)), 0)::float8
                    from events where status = 1
                    """
                );
                await using var reader = await command.ExecuteReaderAsync(ct);
                await reader.ReadAsync(ct);
                metrics.Waiting(reader.GetInt64(0), TimeSpan.FromSeconds(reader.GetDouble(1)));
            },
            ct
        );
}
