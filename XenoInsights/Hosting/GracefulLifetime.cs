using System.Runtime.InteropServices;
using Microsoft.Extensions.Options;

namespace XenoInsights.Hosting;

/// <summary>
/// Ends the process on signals. On SIGTERM the instance first says that it is not ready and goes on serving for
/// <see cref="InstanceOptions.DrainSeconds"/>, until load balancers have noticed; then it stops, which finishes the
/// requests in flight and hands leases over. A second SIGTERM, and Ctrl+C, stop at once.
/// </summary>
internal sealed partial class GracefulLifetime(
    IHostApplicationLifetime lifetime,
    InstanceState state,
    IOptions<InstanceOptions> options,
    TimeProvider time,
    ILogger<GracefulLifetime> logger
) : IHostLifetime, IDisposable
{
    private readonly List<PosixSignalRegistration> _registrations = [];

    public Task WaitForStartAsync(CancellationToken cancellationToken)
    {
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnTerminate));
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, OnInterrupt));
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGQUIT, OnInterrupt));
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _registrations.ForEach(registration => registration.Dispose());

    private void OnInterrupt(PosixSignalContext context)
    {
        context.Cancel = true;
        lifetime.StopApplication();
    }

    private void OnTerminate(PosixSignalContext context)
    {
        context.Cancel = true;
        var drain = TimeSpan.FromSeconds(options.Value.DrainSeconds ?? 0);
        if (state.IsDraining || drain == TimeSpan.Zero)
        {
            lifetime.StopApplication();
            return;
        }
        state.SetDraining();
        Log.Draining(logger, drain);
        _ = Task.Delay(drain, time).ContinueWith(_ => lifetime.StopApplication(), TaskScheduler.Default);
    }

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1003,
            Level = LogLevel.Information,
            Message = "This instance is not ready any more and stops in {Drain}"
        )]
        public static partial void Draining(ILogger logger, TimeSpan drain);
    }
}
