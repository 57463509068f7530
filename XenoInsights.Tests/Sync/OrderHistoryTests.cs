using Microsoft.EntityFrameworkCore;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Sync;

/// <summary>From which day on a store's orders are known, over imports, gaps and permissions that come and go.</summary>
public sealed class OrderHistoryTests(PostgresServer postgres)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(null, null, true, -59)]
    [InlineData(-200, 1, true, -200)]
    [InlineData(-200, 59, true, -200)]
    // Nothing was read for so long that Shopify has ceased to show what happened meanwhile.
    [InlineData(-200, 61, true, -59)]
    [InlineData(-200, null, true, -59)]
    [InlineData(-20, 1, true, -59)]
    [InlineData(-59, 1, false, null)]
    [InlineData(null, null, false, null)]
    public async Task A_full_import_makes_known_what_Shopify_shows_and_keeps_what_was_known(
        int? knownSince,
        int? lastReadDaysAgo,
        bool isLimited,
        int? knownThen
    )
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var shop = await stores.AddAsync(timeZone: "Pacific/Auckland");
        var now = TimeProvider.System.GetUtcNow();
        var today = shop.DayOf(now);
        DateOnly? known = knownSince is { } days ? today.AddDays(days) : null;
        if (lastReadDaysAgo is { } ago)
            await RunAsync(stores, shop, SyncJobType.Delta, SyncJobStatus.Succeeded, TimeSpan.FromDays(ago));
        // What failed has read nothing.
        await RunAsync(stores, shop, SyncJobType.Delta, SyncJobStatus.Failed, TimeSpan.FromDays(1));
        var lease = new SyncLease(
            stores.Tenants,
            shop.TenantId,
            await RunAsync(stores, shop, SyncJobType.Full, SyncJobStatus.Queued, null),
            SyncJobType.Full,
            0,
            TimeSpan.FromMinutes(1)
        );
        await lease.TakeAsync(Ct);

        var then = await stores.Tenants.RunAsync(
            shop.TenantId,
            async db =>
            {
                await db.Tenants.ExecuteUpdateAsync(
                    set => set.SetProperty(t => t.HistoryLimited, isLimited).SetProperty(t => t.HistoryFrom, known),
                    Ct
                );
                await OrderHistory.KeepAsync(db, lease, await db.Tenants.AsNoTracking().SingleAsync(Ct), now, Ct);
                return (await db.Tenants.AsNoTracking().SingleAsync(Ct)).HistoryFrom;
            },
            Ct
        );

        Assert.Equal(knownThen is { } day ? today.AddDays(day) : DateOnly.MinValue, then);
    }

    [Fact]
    public async Task All_orders_stay_known_when_the_permission_to_read_them_is_taken_away()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var shop = await stores.AddAsync();
        await RunAsync(stores, shop, SyncJobType.Full, SyncJobStatus.Succeeded, TimeSpan.FromDays(3));
        var lease = new SyncLease(
            stores.Tenants,
            shop.TenantId,
            await RunAsync(stores, shop, SyncJobType.Full, SyncJobStatus.Queued, null),
            SyncJobType.Full,
            0,
            TimeSpan.FromMinutes(1)
        );
        await lease.TakeAsync(Ct);

        var then = await stores.Tenants.RunAsync(
            shop.TenantId,
            async db =>
            {
                await db.Tenants.ExecuteUpdateAsync(
                    set =>
                        set.SetProperty(t => t.HistoryLimited, true).SetProperty(t => t.HistoryFrom, DateOnly.MinValue),
                    Ct
                );
                await OrderHistory.KeepAsync(
                    db,
                    lease,
                    await db.Tenants.AsNoTracking().SingleAsync(Ct),
                    TimeProvider.System.GetUtcNow(),
                    Ct
                );
                return (await db.Tenants.AsNoTracking().SingleAsync(Ct)).HistoryFrom;
            },
            Ct
        );

        Assert.Equal(DateOnly.MinValue, then);
    }

    private static Task<Guid> RunAsync(
        TestStores stores,
        StoreCalendar shop,
        SyncJobType type,
        SyncJobStatus status,
        TimeSpan? startedAgo
    ) =>
        stores.Tenants.RunAsync(
            shop.TenantId,
            async db =>
            {
                var id = (await SyncJobs.EnqueueAsync(db, shop.TenantId, type, null, Ct))!.Value;
                await using var command = db.Command(
                    "update sync_jobs set status = $3, started_at = now() - $4 where tenant_id = $1 and id = $2"
                );
                command.Parameters.Add(new NpgsqlParameter { Value = shop.TenantId });
                command.Parameters.Add(new NpgsqlParameter { Value = id });
                command.Parameters.Add(new NpgsqlParameter { Value = status.ToString() });
                command.Parameters.Add(
                    new NpgsqlParameter
                    {
                        Value = (object?)startedAgo ?? DBNull.Value,
                        NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Interval,
                    }
                );
                await command.ExecuteNonQueryAsync(Ct);
                return id;
            },
            Ct
        );
}
