using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Ingestion;

/// <summary>
/// The outcome of a commit whose answer is lost is unknown; a caller that tries again must not count twice.
/// </summary>
public sealed class CommitCutTests(PostgresServer server)
{
    private const int Cuts = 1000,
        Orders = 25;

    [Fact]
    public async Task A_thousand_connections_cut_at_commit_leave_no_drift()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        var direct = new NpgsqlConnectionStringBuilder(stores.ConnectionString);
        await using var proxy = new CuttingProxy(direct.Port);
        await using var transactions = new TenantTransactions(
            new NpgsqlConnectionStringBuilder(direct.ConnectionString) { Port = proxy.Port }.ConnectionString,
            NullLoggerFactory.Instance
        );
        var tenants = new TenantDatabase(transactions);
        var versions = new OrderVersions(seed: 5);
        var newest = new Dictionary<long, OrderRecord>();

        for (var version = 0; proxy.Cuts < Cuts; version++)
        for (var id = 1; id <= Orders && proxy.Cuts < Cuts; id++)
        {
            var order = versions.Next(id, version);
            newest[id] = order;
            proxy.CutNext(reachesServer: (id + version) % 2 == 0);
            while (!await TryAsync(tenants, shop, order)) { }
        }

        Assert.Empty(await stores.RollupDifferencesAsync(shop));
        var stored = await stores.Tenants.RunAsync(
            shop.TenantId,
            db =>
                db.Orders.IgnoreQueryFilters([XenoDbContext.DeletedFilter])
                    .ToDictionaryAsync(o => o.ShopifyId, o => o.UpdatedAt)
        );
        Assert.Equal(newest.Count, stored.Count);
        Assert.All(newest.Values, order => Assert.Equal(order.UpdatedAt, stored[order.ShopifyId]));
    }

    private static async Task<bool> TryAsync(TenantDatabase tenants, StoreCalendar shop, OrderRecord order)
    {
        try
        {
            await tenants.RunAsync(shop.TenantId, db => IngestionWriter.ApplyAsync(db, shop, [order]));
            return true;
        }
        catch (Exception unknown) when (unknown is NpgsqlException || unknown.InnerException is NpgsqlException)
        {
            return false;
        }
    }
}
