using System.Collections.Concurrent;
using System.Globalization;
using Npgsql;
using XenoInsights.Data;

namespace XenoInsights.Tenants;

/// <summary>
/// Tells open pages that their store's data changed. A look a second or so at the versions of the stores that anyone
/// here is watching: it works across processes and behind any pooler, and costs one query a process however many pages
/// are open.
/// </summary>
public sealed partial class TenantChanges(SystemDatabase system, TimeProvider time, ILogger<TenantChanges> logger)
    : BackgroundService
{
    private static readonly TimeSpan _interval = TimeSpan.FromMilliseconds(700);

    private readonly ConcurrentDictionary<Guid, ConcurrentDictionary<Watcher, bool>> _watchers = new();
    private Dictionary<Guid, string> _seen = [];

    /// <summary>
    /// Calls <paramref name="onChange"/> after each commit that changed the tenant's data, its runs or its incidents,
    /// until disposed. Several commits within a second may come as one; a change that comes during a call is one more
    /// call after it. The first call comes at once: what changed while the page was being made is not missed.
    /// </summary>
    public IDisposable Subscribe(Guid tenantId, Func<Task> onChange)
    {
        var watcher = new Watcher(tenantId, onChange, logger);
        _watchers.GetOrAdd(tenantId, _ => new())[watcher] = true;
        return new Subscription(() =>
        {
            watcher.End();
            if (_watchers.TryGetValue(tenantId, out var watchers))
                watchers.TryRemove(watcher, out _);
        });
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(_interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
                await LookAsync(stoppingToken);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Stopping.
        }
    }

    private async Task LookAsync(CancellationToken ct)
    {
        var watched = _watchers.Where(w => !w.Value.IsEmpty).Select(w => w.Key).ToArray();
        if (watched.Length == 0)
        {
            _seen = [];
            return;
        }
        try
        {
            var versions = await VersionsAsync(watched, ct);
            var told = versions
                .SelectMany(v =>
                    _watchers[v.Key]
                        .Keys.Where(w => w.IsNew || !_seen.TryGetValue(v.Key, out var before) || before != v.Value)
                )
                .ToList();
            _seen = versions;
            foreach (var watcher in told)
                watcher.Tell();
        }
        catch (Exception failure) when (!ct.IsCancellationRequested)
        {
            Log.CannotWatch(logger, failure);
        }
    }

    private Task<Dictionary<Guid, string>> VersionsAsync(Guid[] tenants, CancellationToken ct) =>
        system.RunAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    select watched.id, coalesce((select version from data_versions where tenant_id = watched.id), 0)
                           || ' ' ||
                           coalesce((select string_agg(
                               concat_ws(' ', id, status, phase, objects_expected, objects_read), ' ' order by id) from (
                               select id, status, phase, objects_expected, objects_read from sync_jobs
                               where tenant_id = watched.id order by created_at desc limit 3) runs), '') || ' ' ||
                           coalesce((select max(greatest(opened_at, resolved_at)) from incidents
                               where tenant_id = watched.id)::text, '')
                    from unnest($1) as watched(id)
                    """
                );
                command.Parameters.Add(new NpgsqlParameter { Value = tenants });
                var versions = new Dictionary<Guid, string>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    versions[reader.GetGuid(0)] = reader.GetString(1);
                return versions;
            },
            ct
        );

    /// <summary>
    /// One open page or stream. However long its calls take, they come one at a time and delay nobody else's.
    /// </summary>
    private sealed class Watcher(Guid tenantId, Func<Task> onChange, ILogger logger)
    {
        private readonly CultureInfo _culture = CultureInfo.CurrentCulture;
        private int _changes;
        private volatile bool _hasEnded;

        public bool IsNew { get; private set; } = true;

        /// <summary>The looks are one after the other, so this is too.</summary>
        public void Tell()
        {
            IsNew = false;
            if (Interlocked.Increment(ref _changes) == 1)
                _ = Task.Run(CallAsync);
        }

        public void End() => _hasEnded = true;

        private async Task CallAsync()
        {
            // This runs for everybody: what a page writes in answer is to be written as its own person reads it.
            CultureInfo.CurrentCulture = _culture;
            int told;
            do
            {
                told = Volatile.Read(ref _changes);
                if (!_hasEnded)
                    await TryCallAsync();
            } while (Interlocked.Add(ref _changes, -told) != 0);
        }

        private async Task TryCallAsync()
        {
            try
            {
                await onChange();
            }
            catch (Exception failure)
                when (failure is ObjectDisposedException or InvalidOperationException or AccessDeniedException)
            {
                // The page was closed between the look and the call, or its person may not see the store any more.
                Log.ClosedPage(logger, failure, tenantId);
            }
            catch (Exception failure)
            {
                // One page's fault is not the others'.
                Log.PageFailed(logger, failure, tenantId);
            }
        }
    }

    private sealed class Subscription(Action end) : IDisposable
    {
        public void Dispose() => end();
    }

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1210,
            Level = LogLevel.Warning,
            Message = "Changes of stores cannot be watched for the moment; open pages keep their figures"
        )]
        public static partial void CannotWatch(ILogger logger, Exception failure);

        [LoggerMessage(
            EventId = 1211,
            Level = LogLevel.Debug,
            Message = "A closed page of tenant {TenantId} could not be told of a change"
        )]
        public static partial void ClosedPage(ILogger logger, Exception failure, Guid tenantId);

        [LoggerMessage(
            EventId = 1212,
            Level = LogLevel.Error,
            Message = "A page of tenant {TenantId} failed while it was told of a change"
        )]
        public static partial void PageFailed(ILogger logger, Exception failure, Guid tenantId);
    }
}
