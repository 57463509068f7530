using System.Diagnostics;
using Microsoft.Extensions.Caching.Memory;
using XenoInsights.Data;

namespace XenoInsights.Insights;

/// <summary>
/// Keeps answers for as long as the tenant's data stay as they are: the data version is part of the key and is read before the
/// answer, so an answer is never older than the data at the moment it was asked for.
/// </summary>
public sealed class AnswerCache : IDisposable
{
    private const int MaxAnswers = 20_000, Patience = 30;
    private static readonly TimeSpan _cheap = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Unasked = TimeSpan.FromMinutes(15);

    private readonly MemoryCache _answers = new(new MemoryCacheOptions { SizeLimit = MaxAnswers });

    /// <param name="question">Names the question and its arguments; records compare by value.</param>
    public async Task<T> GetAsync<T>(XenoDbContext db, Guid tenantId, object question, Func<Task<T>> answer, CancellationToken ct) where T : notnull
    {
        var key = (tenantId, await VersionAsync(db, tenantId, ct), question);
        if (_answers.TryGetValue(key, out T? known)) return known!;
        var fresh = await answer();
        return _answers.Set(key, fresh, new MemoryCacheEntryOptions { Size = 1, SlidingExpiration = Unasked });
    }

    /// <summary>
    /// For questions about a store's whole history: an answer that was costly to find serves for thirty times as long as that took, although data
    /// have changed since. A small store is always answered afresh, a large one with open pages spends at most a thirtieth of a processor on it.
    /// </summary>
    public Task<T> GetCostlyAsync<T>(XenoDbContext db, Guid tenantId, object question, Func<Task<T>> answer, CancellationToken ct) where T : notnull
    {
        if (_answers.TryGetValue((tenantId, question), out T? recent)) return Task.FromResult(recent!);
        return GetAsync(db, tenantId, question, async () =>
        {
            var begun = Stopwatch.GetTimestamp();
            var fresh = await answer();
            var serves = Stopwatch.GetElapsedTime(begun) * Patience;
            if (serves > Patience * _cheap) _answers.Set((tenantId, question), fresh, new MemoryCacheEntryOptions { Size = 1, AbsoluteExpirationRelativeToNow = serves });
            return fresh;
        }, ct);
    }

    public void Dispose() => _answers.Dispose();

    private static async Task<long> VersionAsync(XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        await using var command = db.Command("select version from data_versions where tenant_id = $1");
        command.Parameters.Add(new() { Value = tenantId });
        return await command.ExecuteScalarAsync(ct) is long version ? version : 0;
    }
}
