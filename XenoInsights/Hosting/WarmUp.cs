using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using XenoInsights.Data;

namespace XenoInsights.Hosting;

/// <summary>Section <c>Instance</c>.</summary>
public sealed class InstanceOptions
{
    public const string Section = "Instance";

    /// <summary>
    /// How long an instance goes on serving after SIGTERM while it says that it is not ready. Null: 5 outside
    /// Development, 0 there.
    /// </summary>
    [Range(0.0, 300.0, ErrorMessage = "must be {1} to {2} seconds.")]
    public double? DrainSeconds { get; set; }

    /// <summary>Whether it does its first work by itself before it is ready. Null: outside Development.</summary>
    public bool? WarmUp { get; set; }
}

/// <summary>Something that is slow the first time and can be done without changing anything.</summary>
/// <param name="Name">For the log.</param>
internal sealed record WarmUpStep(string Name, Func<IServiceProvider, CancellationToken, Task> RunAsync);

/// <summary>
/// Does what the first requests would otherwise wait for (compiling, the model, connections), then lets the instance be
/// ready. What fails is logged and holds nothing up: a database that is away must not keep instances out for ever.
/// </summary>
internal sealed partial class WarmUp(
    IServiceProvider services,
    IEnumerable<WarmUpStep> steps,
    InstanceState state,
    IHostApplicationLifetime lifetime,
    IOptions<InstanceOptions> options,
    ILogger<WarmUp> logger
) : BackgroundService
{
    private static readonly TimeSpan _longest = TimeSpan.FromSeconds(20);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.WaitForStartAsync(stoppingToken);
        if (options.Value.WarmUp == true)
            await RunAsync(stoppingToken);
        state.SetWarm();
    }

    private async Task RunAsync(CancellationToken stoppingToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        limit.CancelAfter(_longest);
        foreach (var step in steps)
        {
            try
            {
                await step.RunAsync(services, limit.Token);
            }
            catch (Exception failure) when (!stoppingToken.IsCancellationRequested)
            {
                Log.StepFailed(logger, failure, step.Name);
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1004,
            Level = LogLevel.Warning,
            Message = "Warming up {Step} failed; the first requests may be slow"
        )]
        public static partial void StepFailed(ILogger logger, Exception failure, string step);
    }
}

internal static class WarmUpSteps
{
    private const int Repetitions = 30;

    /// <summary>The request pipeline and the renderer of pages, over HTTP to this process.</summary>
    public static WarmUpStep Requests { get; } =
        new(
            "requests",
            async (services, ct) =>
            {
                var address = ServerAddress.Of(services.GetRequiredService<IServer>());
                using var client = services.GetRequiredService<IHttpClientFactory>().CreateClient(nameof(WarmUp));
                client.BaseAddress = address;
                for (var i = 0; i < Repetitions; i++)
                    using (await client.GetAsync(new Uri("/health/live", UriKind.Relative), ct)) { }
                using (await client.GetAsync(new Uri("/error", UriKind.Relative), ct)) { }
            }
        );
}
