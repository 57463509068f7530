using Npgsql;
using XenoInsights.Data;
using XenoInsights.Tenants;
using XenoInsights.Tests.Ingestion;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Data;

/// <summary>Backfills: store by store, part by part, interrupted and gone on with, beside writers.</summary>
public sealed class BackfillTests(PostgresServer server)
{
    private const string Name = "months-of-products";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_backfill_that_is_interrupted_goes_on_where_it_was_and_holds_up_no_other_store()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shops = new[] { await FilledAsync(stores, seed: 1), await FilledAsync(stores, seed: 2) };
        await PostgresServer.ExecuteAsync(stores.ConnectionString, "delete from product_months");
        var parts = new List<(Guid Store, string? From)>();
        var fails = true;
        var backfill = Months(
            (store, from) =>
            {
                parts.Add((store, from));
                if (fails && store == shops[0].TenantId && from is not null)
                    throw new InvalidOperationException("The power went.");
                return Task.CompletedTask;
            }
        );

        var stopped = await Assert.ThrowsAsync<UpgradeStoppedException>(() => FinishAsync(stores, backfill));

        Assert.Contains($"{Name}, shop-1.myshopify.com: The power went.", stopped.Message, StringComparison.Ordinal);
        Assert.Equal((false, true), (await IsDoneAsync(stores, shops[0]), await IsDoneAsync(stores, shops[1])));
        Assert.Empty(await stores.RollupDifferencesAsync(shops[1]));

        fails = false;
        parts.Clear();
        await FinishAsync(stores, backfill);

        Assert.All(parts, part => Assert.Equal(shops[0].TenantId, part.Store));
        Assert.All(parts, part => Assert.NotNull(part.From));
        Assert.Empty(await stores.RollupDifferencesAsync(shops[0]));
        // Stores that come later never had rows of before.
        Assert.True(await IsDoneAsync(stores, await stores.AddAsync()));

        parts.Clear();
        await FinishAsync(stores, backfill);
        Assert.Empty(parts);
    }

    [Fact]
    public async Task Figures_are_those_of_the_ledger_whatever_is_stored_meanwhile()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await FilledAsync(stores, seed: 3);
        await PostgresServer.ExecuteAsync(stores.ConnectionString, "delete from product_months");
        var versions = new OrderVersions(4);

        var storing = Task.Run(async () =>
        {
            for (var id = 1; id < 200; id += 5)
                await stores.ApplyAsync(shop, [.. Enumerable.Range(id, 5).Select(i => versions.Next(i, 3))]);
        });
        await FinishAsync(stores, Months((_, _) => Task.Delay(50, Ct)));
        await storing;

        Assert.Empty(await stores.RollupDifferencesAsync(shop));
    }

    [Fact]
    public async Task Versions_that_would_not_keep_what_is_filled_are_refused_from_then_on()
    {
        await using var stores = await TestStores.CreateAsync(server);
        await stores.AddAsync();
        string? required = null;
        var backfill = Months(
            (_, _) =>
            {
                required = (string?)Scalar(stores.ConnectionString, "select required_migration from schema_info");
                return Task.CompletedTask;
            }
        );

        Assert.Equal(DBNull.Value, Scalar(stores.ConnectionString, "select required_migration from schema_info"));
        await FinishAsync(stores, backfill);

        Assert.Equal(Schema.Known[^1], required);
    }

    /// <summary>One month of products a part.</summary>
    private static Backfill Months(Func<Guid, string?, Task> before) =>
        new(
            Name,
            Schema.Known[^1],
            async (db, tenant, from, ct) =>
            {
                await before(tenant, from);
                await using var next = Command(
                    """
                    select min(date_trunc('month', day::timestamp)::date)::text from product_days
                    where tenant_id = $1 and ($2 is null or day >= $2::date + interval '1 month')
                    """,
                    from
                );
                if (await next.ExecuteScalarAsync(ct) is not string month)
                    return null;
                await using var fill = Command(
                    """
                    insert into product_months (tenant_id, month, product_id, units_ordered, units_returned,
                        gross, discounts, returns)
                    select $1, $2::date, product_id, sum(units_ordered), sum(units_returned), sum(gross),
                        sum(discounts), sum(returns)
                    from product_days where tenant_id = $1 and day >= $2::date
                        and day < $2::date + interval '1 month' group by product_id
                    on conflict (tenant_id, month, product_id) do update
                    set units_ordered = excluded.units_ordered, units_returned = excluded.units_returned,
                        gross = excluded.gross, discounts = excluded.discounts, returns = excluded.returns
                    """,
                    month
                );
                await fill.ExecuteNonQueryAsync(ct);
                return month;

                NpgsqlCommand Command(string sql, string? at)
                {
                    var command = db.Command(sql);
                    command.Parameters.Add(new() { Value = tenant });
                    command.Parameters.Add(
                        new() { Value = (object?)at ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text }
                    );
                    return command;
                }
            }
        );

    private static Task FinishAsync(TestStores stores, Backfill backfill) =>
        Migrator.FinishAsync(stores.ConnectionString, [backfill], TimeSpan.Zero, new(), Ct);

    private static Task<bool> IsDoneAsync(TestStores stores, StoreCalendar shop) =>
        stores.Tenants.RunAsync(shop.TenantId, db => Backfills.IsDoneAsync(db, Name, Ct), Ct);

    /// <summary>A store with orders of two months.</summary>
    private static async Task<StoreCalendar> FilledAsync(TestStores stores, int seed)
    {
        var shop = await stores.AddAsync();
        var versions = new OrderVersions(seed);
        await stores.ApplyAsync(shop, [.. Enumerable.Range(1, 200).Select(id => versions.Next(id, 0))]);
        return shop;
    }

    private static object? Scalar(string connectionString, string sql)
    {
        using var connection = new NpgsqlConnection(connectionString);
        connection.Open();
        using var command = new NpgsqlCommand(sql, connection);
        return command.ExecuteScalar();
    }
}
