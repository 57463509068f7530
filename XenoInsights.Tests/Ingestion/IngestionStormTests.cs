using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Ingestion;

public sealed class IngestionStormTests(PostgresServer server)
{
    private const int Writers = 16,
        Orders = 120,
        VersionsPerOrder = 6;

    /// <summary>
    /// Everybody sees every new order at the same moment, in another order, several times: the case in which reading
    /// before writing counts twice.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Sixteen_writers_of_the_same_new_orders_leave_rollups_equal_to_the_ledger(int seed)
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        var versions = Versions(seed);

        await Task.WhenAll(
            Enumerable
                .Range(0, Writers)
                .Select(writer =>
                    Task.Run(async () =>
                    {
                        var random = new Random(seed * 1000 + writer);
                        var mine = versions
                            .Concat(versions.Where(_ => random.Next(4) == 0))
                            .OrderBy(_ => random.Next())
                            .ToArray();
                        foreach (var batch in mine.Chunk(random.Next(1, 60)))
                            await stores.ApplyAsync(shop, batch);
                    })
                )
        );

        Assert.Empty(await stores.RollupDifferencesAsync(shop));
        await AssertNewestVersionsAsync(stores, shop, versions);
        Assert.True((await stores.Tenants.RunAsync(shop.TenantId, db => db.SalesDays.SumAsync(d => d.Orders))) > 50);
    }

    [Fact]
    public async Task A_repair_in_the_middle_of_a_storm_repairs_what_was_wrong_and_nothing_else()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync(timeZone: "Pacific/Auckland");
        var versions = Versions(seed: 77);

        var storm = Task.WhenAll(
            Enumerable
                .Range(0, 6)
                .Select(writer =>
                    Task.Run(async () =>
                    {
                        foreach (var batch in versions.OrderBy(_ => Random.Shared.Next()).Chunk(25))
                            await stores.ApplyAsync(shop, batch);
                    })
                )
        );
        do
        {
            await CorruptAsync(stores, shop);
            Assert.InRange(await RollupRepair.RunAsync(stores.Tenants, shop.TenantId), 1, long.MaxValue);
        } while (!storm.IsCompleted);
        await storm;

        Assert.Equal(0, await RollupRepair.RunAsync(stores.Tenants, shop.TenantId));
        Assert.Empty(await stores.RollupDifferencesAsync(shop));
        await AssertNewestVersionsAsync(stores, shop, versions);
    }

    /// <summary>Something is wrong in every rollup: too much, too little, missing and invented.</summary>
    private static async Task CorruptAsync(TestStores stores, StoreCalendar shop)
    {
        string[] statements =
        [
            $"""
                insert into sales_days (tenant_id, day, orders, online_orders, order_value, gross, discounts, returns, shipping,
                    taxes, duties, fees, customers, new_customers, one_order_customers)
                values ('{shop.TenantId}', '2020-01-01', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
                on conflict (tenant_id, day) do update set gross = sales_days.gross + 1
                """,
            $"""
                insert into customer_returns (tenant_id, day, previous_day, customers)
                values ('{shop.TenantId}', '2020-01-01', '-infinity', 3)
                on conflict (tenant_id, day, previous_day) do update set customers = customer_returns.customers + 3
                """,
            "update sales_days set gross = gross + 7, customers = customers - 1 where day = '2026-04-01'",
            "update product_days set units_ordered = units_ordered - 2 where product_id = 2 and day = '2026-04-02'",
            "update product_months set gross = gross + 100 where product_id = 3 and month = '2026-04-01'",
            "update customer_days set orders = orders + 1 where customer_id = 3 and day = '2026-04-01'",
            "update customer_totals set total_sales = total_sales - 5, first_order_day = null where customer_id = 4",
            "delete from order_entries where order_id % 5 = 0",
            "update order_entries set taxes = taxes + 1, customer_id = 99 where order_id % 5 = 1",
        ];
        // Each by itself: together they would lock rows in another order than writers do.
        foreach (var statement in statements)
            await stores.Tenants.RunAsync(shop.TenantId, db => db.Database.ExecuteSqlRawAsync(statement));
    }

    private static OrderRecord[] Versions(int seed)
    {
        var versions = new OrderVersions(seed);
        return
        [
            .. from id in Enumerable.Range(1, Orders)
            from version in Enumerable.Range(0, VersionsPerOrder)
            select versions.Next(id, version),
        ];
    }

    private static async Task AssertNewestVersionsAsync(TestStores stores, StoreCalendar shop, OrderRecord[] versions)
    {
        var hash = new ContentHash();
        var expected = versions
            .GroupBy(v => v.ShopifyId, v => new Versioned<OrderRecord>(v, hash.Of(v)))
            .ToDictionary(g => g.Key, g => g.MaxBy(v => v.Version).Record);
        var stored = await stores.Tenants.RunAsync(
            shop.TenantId,
            db => db.Orders.IgnoreQueryFilters([XenoDbContext.DeletedFilter]).ToDictionaryAsync(o => o.ShopifyId)
        );

        Assert.Equal(expected.Count, stored.Count);
        Assert.All(
            expected.Values,
            order =>
            {
                Assert.Equal(order.Name, stored[order.ShopifyId].Name);
                Assert.Equal(order.Deleted, stored[order.ShopifyId].DeletedAt is not null);
            }
        );
        var ledger = await stores.Tenants.RunAsync(shop.TenantId, db => db.OrderSales.CountAsync());
        Assert.Equal(expected.Values.Sum(o => o.Sales.Count), ledger);
    }
}
