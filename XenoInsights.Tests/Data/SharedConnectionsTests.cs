using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;
using XenoInsights.Tests.Ingestion;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Data;

/// <summary>
/// Many tenants over few server connections: nobody may find what the connection's last user left behind.
/// </summary>
public sealed class SharedConnectionsTests(PostgresServer server)
{
    private const int Tenants = 16,
        QuestionsEach = 60;

    /// <summary>Directly, and through a PgBouncer in transaction mode where one is installed.</summary>
    public static TheoryData<bool> Ways => PgBouncer.Binary is null ? [false] : [false, true];

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Tenants_that_share_connections_never_see_each_other(bool throughPgBouncer)
    {
        await using var stores = await TestStores.CreateAsync(server);
        await using var bouncer = throughPgBouncer ? await PgBouncer.StartAsync(stores.ConnectionString) : null;
        await using var transactions = new TenantTransactions(
            bouncer?.ConnectionString ?? stores.ConnectionString,
            NullLoggerFactory.Instance
        );
        var (database, system) = (new TenantDatabase(transactions), new SystemDatabase(transactions));

        var shops = new List<StoreCalendar>();
        for (var i = 0; i < Tenants; i++)
            shops.Add(await stores.AddAsync());
        await Task.WhenAll(
            shops.Select(shop =>
                database.RunAsync(shop.TenantId, db => IngestionWriter.ApplyAsync(db, shop, Records(shop)))
            )
        );

        var wrong = 0;
        await Task.WhenAll(
            shops.Select(shop =>
                Task.Run(async () =>
                {
                    for (var i = 0; i < QuestionsEach; i++)
                    {
                        // Raw SQL without a tenant of its own: what it sees is what the connection lets it see.
                        var seen = await database.RunAsync(
                            shop.TenantId,
                            db =>
                                db.Database.SqlQueryRaw<Guid>("select distinct tenant_id as \"Value\" from order_sales")
                                    .ToListAsync()
                        );
                        if (seen is not [var only] || only != shop.TenantId)
                            Interlocked.Increment(ref wrong);
                        if (
                            i % 10 == 0
                            && await system.RunAsync(db =>
                                db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter]).CountAsync()
                            ) != Tenants
                        )
                            Interlocked.Increment(ref wrong);
                    }
                })
            )
        );

        Assert.Equal(0, wrong);
        Assert.All(
            shops,
            shop =>
                Assert.Empty(
                    database
                        .RunAsync(shop.TenantId, db => LedgerRollups.DifferencesAsync(db, shop.TenantId))
                        .GetAwaiter()
                        .GetResult()
                )
        );
    }

    [Fact]
    public async Task Nothing_of_a_unit_of_work_is_left_on_its_connection_however_it_ended()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        await using var transactions = new TenantTransactions(
            stores.ConnectionString + ";Maximum Pool Size=1;Application Name=left",
            NullLoggerFactory.Instance
        );
        var (database, system) = (new TenantDatabase(transactions), new SystemDatabase(transactions));
        var first = await LeftAsync(system);

        await database.RunForPeopleAsync(shop.TenantId, db => db.SalesDays.CountAsync(), CancellationToken.None);
        await database.RunAsync(shop.TenantId, db => RollupWriter.LockSharedAsync(db, shop, CancellationToken.None));
        await Assert.ThrowsAnyAsync<Exception>(() =>
            database.RunAsync(shop.TenantId, db => db.Database.ExecuteSqlRawAsync("select 1 / 0"))
        );
        await Assert.ThrowsAnyAsync<Exception>(() =>
            system.QueryAsync("select 1 / 0", [], reader => reader.GetInt32(0), CancellationToken.None)
        );
        await transactions.RunAsync(
            TransactionStart.ForJob(shop.TenantId),
            db => db.SalesDays.CountAsync(),
            CancellationToken.None,
            keep: false
        );

        Assert.Equal(first, await LeftAsync(system));
    }

    /// <summary>What a unit of work that sets neither tenant nor memory finds, and the backend that answers.</summary>
    private static Task<string> LeftAsync(SystemDatabase system) =>
        system.RunAsync(db =>
            db.Database.SqlQueryRaw<string>(
                    """
                    select concat_ws(' ', pg_backend_pid(), nullif(current_setting('app.tenant_id', true), ''),
                        current_setting('work_mem'),
                        current_setting('transaction_read_only'),
                            current_setting('max_parallel_workers_per_gather'), session_user,
                        (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'))
                            as "Value"
                    """
                )
                .SingleAsync()
        );

    private static OrderRecord[] Records(StoreCalendar shop)
    {
        var versions = new OrderVersions(shop.TenantId.GetHashCode());
        return [.. Enumerable.Range(1, 30).Select(id => versions.Next(id, 0))];
    }
}
