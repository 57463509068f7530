using System.Diagnostics;
using Microsoft.Extensions.Options;
using Npgsql;
using XenoInsights.Connect;
using XenoInsights.Tests.Ingestion;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Data;

/// <summary>The commands about a database, as an operator runs them.</summary>
public sealed class VerifyCommandTests(PostgresServer server)
{
    private static readonly string _key = Convert.ToBase64String(new byte[32]),
        _otherKey = Convert.ToBase64String([.. Enumerable.Repeat((byte)7, 32)]);

    [Fact]
    public async Task Verify_accepts_a_whole_database_and_names_each_damage_until_it_is_mended()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        var versions = new OrderVersions(5);
        await stores.ApplyAsync(shop, [.. Enumerable.Range(1, 20).Select(id => versions.Next(id, 0))]);
        await AddTokensAsync(stores, shop.TenantId, $"k1:{_key}");

        Assert.Equal((0, "Nothing is wrong."), await LastLineAsync("verify", stores));

        await PostgresServer.ExecuteAsync(
            stores.ConnectionString,
            """
            drop policy tenant on customers;
            revoke select on orders from xeno_app;
            grant select on checkouts to xeno_system;
            update pg_index set indisvalid = false where indexrelid = 'ix_orders_tenant_id_name'::regclass;
            """
        );
        var (status, output) = await RunAsync("verify", stores, $"k2:{_otherKey}");

        Assert.Equal(1, status);
        foreach (
            var line in (string[])
                [
                    "customers: the policy tenant for xeno_app is missing: run `XenoInsights migrate`",
                    "orders: xeno_app may not select: run `XenoInsights migrate`",
                    "checkouts: xeno_system may select, which nothing here needs: run `XenoInsights finish-upgrade`",
                    "ix_orders_tenant_id_name is invalid: its build was interrupted: run `XenoInsights migrate`",
                    "0 of 2 stored tokens open with a configured key",
                    "shop-1.myshopify.com: access_token does not open: Encryption:Keys has no key 'k1'",
                ]
        )
            Assert.Contains(line, output, StringComparison.Ordinal);

        Assert.Equal((0, "The schema is that of this version"), await LastLineAsync("migrate", stores));
        Assert.Equal((0, "The upgrade is finished"), await LastLineAsync("finish-upgrade", stores));
        Assert.Equal((0, "Nothing is wrong."), await LastLineAsync("verify", stores));
    }

    [Fact]
    public async Task Verify_names_rollups_that_differ_from_the_ledger_and_unreadable_keys()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        await stores.ApplyAsync(shop, new OrderVersions(6).Next(1, 0) with { Test = false });
        await PostgresServer.ExecuteAsync(
            stores.ConnectionString,
            """
            update sales_days set orders = orders + 1;
            insert into data_protection_keys (friendly_name, xml) values ('key', '<key id="80732141-ec8f-4b80-af9c-c4d2d1ff8901" version="1"><creationDate>2026-01-01T00:00:00Z</creationDate><activationDate>2026-01-01T00:00:00Z</activationDate><expirationDate>2099-01-01T00:00:00Z</expirationDate><descriptor deserializerType="none"><descriptor/></descriptor></key>');
            """
        );

        var (status, output) = await RunAsync("verify", stores);

        Assert.Equal(1, status);
        Assert.Contains("shop-1.myshopify.com: sales_days: ", output, StringComparison.Ordinal);
        Assert.Contains("80732141-ec8f-4b80-af9c-c4d2d1ff8901 cannot be read", output, StringComparison.Ordinal);
        Assert.Contains("2 things are wrong.", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_database_without_a_schema_is_told_to_be_migrated()
    {
        await using var database = await server.CreateEmptyDatabaseAsync();

        var (status, output) = await RunAsync("verify", database.ConnectionString, $"k1:{_key}");

        Assert.Equal(1, status);
        Assert.Contains(
            "20261128131210_Baseline is pending: run `XenoInsights migrate`",
            output,
            StringComparison.Ordinal
        );
    }

    private static async Task AddTokensAsync(TestStores stores, Guid tenant, string key)
    {
        var vault = new TokenEncryption(Options.Create(new EncryptionOptions { Keys = { key } }));
        await stores.Tenants.RunAsync(
            tenant,
            async db =>
            {
                db.ShopifyCredentials.Add(
                    new()
                    {
                        TenantId = tenant,
                        Scopes = "read_orders",
                        AccessToken = vault.Seal(tenant, "access_token", "a"),
                        RefreshToken = vault.Seal(tenant, "refresh_token", "r"),
                    }
                );
                await db.SaveChangesAsync();
            }
        );
    }

    private static async Task<(int Status, string Line)> LastLineAsync(string command, TestStores stores)
    {
        var (status, output) = await RunAsync(command, stores);
        var line = output.TrimEnd().Split('\n')[^1];
        return (status, line.Length > 8 && line[2] == ':' ? line[9..] : line);
    }

    private static Task<(int Status, string Output)> RunAsync(string command, TestStores stores, string? key = null) =>
        RunAsync(command, stores.ConnectionString, key ?? $"k1:{_key}");

    private static async Task<(int Status, string Output)> RunAsync(string command, string connectionString, string key)
    {
        var start = new ProcessStartInfo(
            "dotnet",
            [Path.Combine(AppContext.BaseDirectory, "XenoInsights.dll"), command]
        )
        {
            RedirectStandardOutput = true,
            Environment =
            {
                ["ASPNETCORE_ENVIRONMENT"] = "Production",
                ["ConnectionStrings__XenoInsights"] = connectionString,
                ["Encryption__Keys__0"] = key,
            },
        };
        using var process = Process.Start(start)!;
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output);
    }
}
