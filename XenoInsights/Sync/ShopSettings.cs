using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Reconciliation;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>A shop's name, time zone and currency, from wherever they are heard: <c>shop/update</c>, connecting again, or the shop's answer at the beginning of a run.</summary>
internal static class ShopSettings
{
    /// <summary>
    /// Keeps them inside the caller's unit of work. Another time zone moves every order to other days: they are sorted anew, the rollups made
    /// again from them and the days proven again (a zone that this machine does not know is kept as unknown and moves
    /// nothing). In another currency all amounts have to be read again. Says what was done, in words for people; null
    /// when only the name changed, or nothing.
    /// </summary>
    public static async Task<string?> KeepAsync(XenoDbContext db, Guid tenantId, string name, string timeZone, string currency, CancellationToken ct)
    {
        var stored = await db.Tenants.SingleAsync(ct);
        var unknown = TimeZoneInfo.TryFindSystemTimeZoneById(timeZone, out _) ? null : timeZone;
        if (unknown is not null) timeZone = stored.TimeZone;
        var (hasMoved, isRepriced) = (stored.TimeZone != timeZone, stored.Currency != currency);
        (stored.Name, stored.TimeZone, stored.UnknownTimeZone, stored.Currency) = (name, timeZone, unknown, currency);
        await db.SaveChangesAsync(ct);
        if (hasMoved) await Rollups.MoveDaysAsync(db, tenantId, timeZone, ct);
        if (isRepriced) await Rollups.ChangeCurrencyAsync(db, tenantId, currency, ct);
        // What was proven of the old days says nothing of the new ones.
        if ((hasMoved || isRepriced) && await db.DayChecks.ExecuteDeleteAsync(ct) > 0)
            await SyncJobs.EnqueueAsync(db, tenantId, SyncJobType.Reconcile, Reconcile.AllDays(), ct);
        if (!isRepriced && unknown is not null)
            return $"Shopify names the time zone {unknown}, which is not known here: days stay those of {timeZone}.";
        if (!isRepriced) return hasMoved ? $"The shop's days are those of {timeZone} now; all figures were made again." : null;
        // Shopify leaves orders in the currency they were placed in: those count nowhere from now on. Whatever it did
        // restate is read again.
        await SyncJobs.EnqueueAsync(db, tenantId, SyncJobType.Full, null, ct);
        return $"The shop's currency is {currency} now; orders in another are not included any more, and a full import reads all amounts again.";
    }
}
