using System.Collections.Concurrent;
using System.Globalization;
using Npgsql;
using XenoInsights.Data;

namespace XenoInsights.Tenants;

/// <summary>
/// Tells open pages and streams that their person's access changed: signed out, session over, person deleted,
/// membership ended, another role. One query a process every few seconds, however many pages are open. Units of work
/// refuse at once by themselves; this ends what would go on showing what it already has.
/// </summary>
public sealed partial class AccessWatch(SystemDatabase system, TimeProvider time, ILogger<AccessWatch> logger)
    : BackgroundService
{
    private static readonly TimeSpan _interval = TimeSpan.FromSeconds(3);

    private readonly ConcurrentDictionary<Watcher, bool> _watchers = new();

    /// <param name="tenantId">The open store, if one is.</param>
    /// <param name="role">What the open page took the person for.</param>
    /// <param name="onChange">Called once, with whether the session is still alive.</param>
    public IDisposable Watch(Caller caller, Guid? tenantId, MemberRole? role, Func<bool, Task> onChange)
    {
        var watcher = new Watcher(caller, tenantId, role, onChange);
        _watchers[watcher] = true;
        return new Subscription(() => _watchers.TryRemove(watcher, out _));
    }

    /// <summary>Whether the session is alive.</summary>
    public async Task<bool> IsAliveAsync(Caller caller, CancellationToken ct)
    {
        var found = await LookUpAsync([new(caller, null, null, _ => Task.CompletedTask)], ct);
        return found[0].IsAlive;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(_interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
                await CheckAsync(stoppingToken);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Stopping.
        }
    }

    private async Task CheckAsync(CancellationToken ct)
    {
        var watchers = _watchers.Keys.ToArray();
        if (watchers.Length == 0)
            return;
        try
        {
            var found = await LookUpAsync(watchers, ct);
            var changed = watchers.Zip(found).Where(pair => pair.First.Differs(pair.Second)).ToList();
            await Task.WhenAll(changed.Select(pair => TellAsync(pair.First, pair.Second.IsAlive)));
        }
        catch (Exception failure) when (failure is NpgsqlException or TimeoutException)
        {
            Log.CannotCheck(logger, failure);
        }
    }

    private Task<List<Found>> LookUpAsync(IReadOnlyCollection<Watcher> watchers, CancellationToken ct)
    {
        const string Sql = """
            select s.session_id is not null, m.role
            from unnest($1::uuid[], $2::uuid[], $3::uuid[]) with ordinality
                as watched (session_id, user_id, tenant_id, position)
            left join sessions s on s.session_id = watched.session_id and s.user_id = watched.user_id
                and s.expires_at > now()
            left join memberships m on m.tenant_id = watched.tenant_id and m.user_id = s.user_id
            order by watched.position
            """;
        NpgsqlParameter[] parameters =
        [
            new() { Value = watchers.Select(w => w.Caller.SessionId).ToArray() },
            new() { Value = watchers.Select(w => w.Caller.UserId).ToArray() },
            new() { Value = watchers.Select(w => w.TenantId).ToArray() },
        ];
        return system.QueryAsync(Sql, parameters, Read, ct);
    }

    private static Found Read(NpgsqlDataReader reader) =>
        new(reader.GetBoolean(0), reader.IsDBNull(1) ? null : Enum.Parse<MemberRole>(reader.GetString(1)));

    private async Task TellAsync(Watcher watcher, bool isAlive)
    {
        _watchers.TryRemove(watcher, out _);
        CultureInfo.CurrentCulture = watcher.Culture;
        try
        {
            await watcher.OnChange(isAlive);
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            // The page was closed between the look-up and the call, or failed while ending: the others are told all the
            // same.
            Log.PageFailed(logger, failure, watcher.Caller.UserId);
        }
    }

    private readonly record struct Found(bool IsAlive, MemberRole? Role);

    private sealed class Watcher(Caller caller, Guid? tenantId, MemberRole? role, Func<bool, Task> onChange)
    {
        public Caller Caller => caller;
        public Guid? TenantId => tenantId;
        public Func<bool, Task> OnChange => onChange;
        public CultureInfo Culture { get; } = CultureInfo.CurrentCulture;

        public bool Differs(Found found) => !found.IsAlive || found.Role != role;
    }

    private sealed class Subscription(Action end) : IDisposable
    {
        public void Dispose() => end();
    }

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1220,
            Level = LogLevel.Warning,
            Message = "Access of open pages cannot be checked for the moment"
        )]
        public static partial void CannotCheck(ILogger logger, Exception failure);

        [LoggerMessage(
            EventId = 1221,
            Level = LogLevel.Debug,
            Message = "A page of user {UserId} could not be told that its access changed"
        )]
        public static partial void PageFailed(ILogger logger, Exception failure, Guid userId);
    }
}
