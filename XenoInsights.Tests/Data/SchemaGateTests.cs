using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Data;

/// <summary>
/// A version and a schema that do not fit together: nothing is read or written, and every caller is told which of the
/// two is older.
/// </summary>
public sealed class SchemaGateTests(PostgresServer server)
{
    private const string Newer = "update schema_info set required_migration = '29990101000000_Later'",
        Fits = "update schema_info set required_migration = null";

    [Theory]
    [InlineData(Newer, Fits, "does not know migration 29990101000000_Later")]
    [InlineData(
        "update schema_info set migrations = '{}'",
        "update schema_info set migrations = (select array_agg(migration_id) from \"__EFMigrationsHistory\")",
        "run `XenoInsights migrate`"
    )]
    [InlineData(
        "alter table schema_info rename to gone",
        "alter table gone rename to schema_info",
        "run `XenoInsights migrate`"
    )]
    public async Task No_unit_of_work_begins_until_they_fit_again(string damage, string repair, string reason)
    {
        await using var database = await server.CreateDatabaseAsync();
        var clock = new SteppedClock();
        using var gate = new SchemaGate(clock, NullLogger<SchemaGate>.Instance);
        await using var transactions = new TenantTransactions(
            database.ConnectionString,
            NullLoggerFactory.Instance,
            gate: gate
        );
        var system = new SystemDatabase(transactions);
        await AskAsync(system);

        await PostgresServer.ExecuteAsync(database.ConnectionString, damage);
        clock.Step(SchemaGate.LookEvery);
        var refused = await Assert.ThrowsAsync<SchemaMismatchException>(() => AskAsync(system));
        await PostgresServer.ExecuteAsync(database.ConnectionString, repair);
        await Assert.ThrowsAsync<SchemaMismatchException>(() => AskAsync(system));
        clock.Step(SchemaGate.LookEvery);
        await AskAsync(system);

        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_process_that_the_database_refuses_is_not_ready_and_acknowledges_nothing()
    {
        await using var database = await server.CreateDatabaseAsync();
        await PostgresServer.ExecuteAsync(database.ConnectionString, Newer);
        await using var host = await AppHost.StartAsync(
            database,
            new Dictionary<string, string?> { ["Serilog:MinimumLevel:Default"] = "Fatal" }
        );
        using var http = host.Visitor();
        var inbox = (Inbox)host.Services.GetService(typeof(Inbox))!;

        Assert.Equal(HttpStatusCode.ServiceUnavailable, await StatusAsync(http));
        Assert.Equal(
            StoreResult.Unavailable,
            await inbox.StoreAsync(
                new("shop.myshopify.com", null, "1", "orders/updated", null, null, "{}", [], null, null)
            )
        );

        await PostgresServer.ExecuteAsync(database.ConnectionString, Fits);
        while (await StatusAsync(http) != HttpStatusCode.OK)
            await Task.Delay(200, TestContext.Current.CancellationToken);
    }

    /// <summary>A unit of work that began before: it would add to rollups that a backfill is making.</summary>
    [Fact]
    public async Task Objects_that_are_being_stored_meanwhile_are_refused_as_well()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        await PostgresServer.ExecuteAsync(stores.ConnectionString, Newer);

        await Assert.ThrowsAsync<SchemaMismatchException>(() =>
            stores.ApplyAsync(
                shop,
                new ProductRecord
                {
                    ShopifyId = 1,
                    UpdatedAt = DateTimeOffset.UnixEpoch,
                    CreatedAt = DateTimeOffset.UnixEpoch,
                    Title = "Late",
                }
            )
        );
    }

    private static Task<object?> AskAsync(SystemDatabase system) =>
        system.RunAsync(db => db.Command("select 1 from tenants").ExecuteScalarAsync());

    private static async Task<HttpStatusCode> StatusAsync(HttpClient http)
    {
        using var response = await http.GetAsync(new Uri("/health/ready", UriKind.Relative));
        return response.StatusCode;
    }

    private sealed class SteppedClock : TimeProvider
    {
        private long _ticks = 1;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Step(TimeSpan by) => _ticks += by.Ticks;

        public override long GetTimestamp() => _ticks;
    }
}
