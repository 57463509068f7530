using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Shopify;

namespace XenoInsights.Sync.Reconciliation;

/// <summary>
/// A closed day as it was proven against Shopify, as people and the API see it; see <see cref="ReconciledDay"/>.
/// </summary>
public sealed record ReconciledDayView(
    DateOnly Day,
    DayState State,
    DateTimeOffset CheckedAt,
    long OrdersHere,
    long OrdersInShopify,
    long TotalBeforeCents,
    long TotalHereCents,
    long TotalInShopifyCents,
    long[] DifferingOrders
);

/// <summary>How many objects of a kind are stored and in Shopify; see <see cref="ReconciledCount"/>.</summary>
public sealed record CountView(ObjectKind Kind, long Here, long InShopify, DateTimeOffset CheckedAt);

/// <summary>What the last check of each of some days found, in short.</summary>
public sealed record Verdict(int Days, int Repaired, int Different, DateTimeOffset CheckedAt);

/// <param name="Total">Total sales in minor units.</param>
public sealed record ShopifyTotal(long Total, DateTimeOffset CheckedAt);

/// <summary>The entered store's evidence.</summary>
public sealed class ReconciliationQueries(XenoDatabase database)
{
    /// <summary>Newest day first, and of a day its newest check first.</summary>
    public Task<List<ReconciledDayView>> ListAsync(DateOnly? from, DateOnly? to, int limit, CancellationToken ct) =>
        database.InTenantAsync(
            db =>
                db.ReconciledDays.Where(c => (from == null || c.Day >= from) && (to == null || c.Day <= to))
                    .OrderByDescending(c => c.Day)
                    .ThenByDescending(c => c.CheckedAt)
                    .Take(limit)
                    .Select(c => new ReconciledDayView(
                        c.Day,
                        c.State,
                        c.CheckedAt,
                        c.OrdersHere,
                        c.OrdersInShopify,
                        c.TotalBefore,
                        c.TotalHere,
                        c.TotalInShopify,
                        c.DifferingOrders
                    ))
                    .ToListAsync(ct),
            ct
        );

    public Task<List<CountView>> CountsAsync(CancellationToken ct) =>
        database.InTenantAsync(
            db =>
                db.ReconciledCounts.OrderBy(c => c.Kind)
                    .Select(c => new CountView(c.Kind, c.Here, c.InShopify, c.CheckedAt))
                    .ToListAsync(ct),
            ct
        );

    /// <summary>
    /// What Shopify's ledger came to when each of the days was last checked; null unless every one of them was.
    /// </summary>
    public Task<ShopifyTotal?> ProofAsync(DateOnly from, DateOnly to, CancellationToken ct) =>
        database.InTenantAsync(
            async db =>
            {
                var latest = await db
                    .ReconciledDays.Where(c => c.Day >= from && c.Day <= to)
                    .GroupBy(c => c.Day)
                    .Select(g =>
                        g.OrderByDescending(c => c.CheckedAt).Select(c => new { c.TotalInShopify, c.CheckedAt }).First()
                    )
                    .ToListAsync(ct);
                return latest.Count < to.DayNumber - from.DayNumber + 1
                    ? null
                    : new ShopifyTotal(latest.Sum(c => c.TotalInShopify), latest.Max(c => c.CheckedAt));
            },
            ct
        );

    /// <summary>Null when none of the days was ever checked.</summary>
    public Task<Verdict?> VerdictAsync(DateOnly from, DateOnly to, CancellationToken ct) =>
        database.InTenantAsync(
            async db =>
            {
                var latest = await db
                    .ReconciledDays.Where(c => c.Day >= from && c.Day <= to)
                    .GroupBy(c => c.Day)
                    .Select(g =>
                        g.OrderByDescending(c => c.CheckedAt).Select(c => new { c.State, c.CheckedAt }).First()
                    )
                    .ToListAsync(ct);
                return latest.Count == 0
                    ? null
                    : new Verdict(
                        latest.Count,
                        latest.Count(c => c.State == DayState.Repaired),
                        latest.Count(c => c.State == DayState.Different),
                        latest.Max(c => c.CheckedAt)
                    );
            },
            ct
        );
}
