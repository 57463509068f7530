using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Sync.Reconciliation;

namespace XenoInsights.Sync;

/// <summary>
/// A shop's name, time zone and currency, from wherever they are heard: <c>shop/update</c>, connecting again, or the
/// shop's answer at the beginning of a run.
/// </summary>
internal static class ShopSettings
{
    /// <summary>
    /// Stores them inside the caller's unit of work. In another time zone orders fall on other days, and in another
    /// currency those in the former one count nowhere: a sync job recalculates what is stored, and what is applied from
    /// now on is right at once. A zone that this machine does not know is kept as unknown and moves nothing.
    /// </summary>
    /// <returns>What was done, in words for people; null when only the name changed, or nothing.</returns>
    public static async Task<string?> KeepAsync(
        XenoDbContext db,
        Guid tenantId,
        string name,
        string timeZone,
        string currency,
        CancellationToken ct
    )
    {
        var isKnown = TimeZoneInfo.TryFindSystemTimeZoneById(timeZone, out _);
        var before = await db.Tenants.AsNoTracking().SingleAsync(ct);
        var changes = (isKnown && before.TimeZone != timeZone) || before.Currency != currency;
        // Whoever applies something at the moment does so with the old settings, and is done first.
        if (changes)
            await TenantLock.TakeExclusiveAsync(db, tenantId, ct);

        var stored = await db.Tenants.SingleAsync(ct);
        var unknown = isKnown ? null : timeZone;
        if (!isKnown)
            timeZone = stored.TimeZone;
        var (hasMoved, isRepriced) = (stored.TimeZone != timeZone, stored.Currency != currency);
        (stored.Name, stored.TimeZone, stored.UnknownTimeZone, stored.Currency) = (name, timeZone, unknown, currency);
        await db.SaveChangesAsync(ct);
        if (hasMoved || isRepriced)
            await RecalculateAsync(db, tenantId, ct);
        if (!isRepriced && unknown is not null)
            return $"Shopify names the time zone {unknown}, which is not known here: days stay those of {timeZone}.";
        if (!isRepriced)
            return hasMoved
                ? $"The shop's days are those of {timeZone} now; all figures are being recalculated."
                : null;
        // Shopify leaves orders in the currency they were placed in. Whatever it did restate is read again.
        await SyncJobs.EnqueueAsync(db, tenantId, SyncJobType.Full, null, ct);
        return $"The shop's currency is {currency} now; orders in another are not included any more, "
            + "and a full import reads all amounts again.";
    }

    private static async Task RecalculateAsync(XenoDbContext db, Guid tenantId, CancellationToken ct)
    {
        await Recalculate.RequestAsync(db, tenantId, ct);
        // What was proven of the old days says nothing of the new ones. This check waits for the recalculation.
        if (await db.ReconciledDays.ExecuteDeleteAsync(ct) > 0)
            await SyncJobs.EnqueueAsync(db, tenantId, SyncJobType.Reconcile, Reconcile.AllDays(), ct);
        await IngestionWriter.BumpDataVersionAsync(db, tenantId, ct);
    }
}
