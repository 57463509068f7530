using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Npgsql;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;
using XenoInsights.Tests.Benchmarks;
using XenoInsights.Tests.Ingestion;

namespace XenoInsights.Tests.Drills;

/// <summary>
/// Something of everything that a backup has to bring back, and what a machine without PostgreSQL's client programs
/// lacks.
/// </summary>
internal static class RestoreDrill
{
    private const int Stores = 3,
        Orders = 2000;

    /// <summary>
    /// Stores with orders, sealed tokens, a key ring for cookies, deliveries and an erasure, in a migrated database.
    /// </summary>
    /// <param name="key">As in <c>Encryption:Keys</c>.</param>
    public static async Task FillAsync(string connectionString, string key)
    {
        await using var transactions = new TenantTransactions(connectionString, NullLoggerFactory.Instance);
        var tenants = new TenantDatabase(transactions);
        var vault = new TokenEncryption(Options.Create(new EncryptionOptions { Keys = { key } }));
        for (var shop = 1; shop <= Stores; shop++)
        {
            var tenant = new Tenant
            {
                TenantId = Guid.CreateVersion7(),
                ShopId = shop,
                ShopDomain = Domain(shop),
                Name = $"Drill {shop}",
                Currency = "EUR",
                TimeZone = "Europe/Berlin",
                Status = TenantStatus.Connected,
            };
            await new SystemDatabase(transactions).RunAsync(db =>
            {
                db.Tenants.Add(tenant);
                db.ShopDomains.Add(
                    new ShopDomain
                    {
                        Domain = tenant.ShopDomain,
                        TenantId = tenant.TenantId,
                        ShopId = shop,
                    }
                );
                return db.SaveChangesAsync();
            });
            await tenants.RunAsync(
                tenant.TenantId,
                db =>
                {
                    db.ShopifyCredentials.Add(
                        new()
                        {
                            TenantId = tenant.TenantId,
                            Scopes = "read_orders",
                            AccessTokenExpiresAt = DateTimeOffset.MaxValue,
                            AccessToken = vault.Seal(tenant.TenantId, AccessTokens.AccessTokenColumn, "access"),
                            RefreshToken = vault.Seal(tenant.TenantId, AccessTokens.RefreshTokenColumn, "refresh"),
                        }
                    );
                    return db.SaveChangesAsync();
                }
            );
            var calendar = new StoreCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone);
            var versions = new OrderVersions(shop);
            foreach (var batch in Enumerable.Range(1, Orders).Select(id => versions.Next(id, 0)).Chunk(500))
                await tenants.RunAsync(tenant.TenantId, db => IngestionWriter.ApplyAsync(db, calendar, batch));
        }
        await DeliverAsync(connectionString, key);
    }

    public static async Task PrintAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync())
            Console.WriteLine(reader.GetValue(0));
    }

    /// <summary>
    /// What pg_basebackup does, with the server's own functions: the files are copied while it runs, and its log makes
    /// them whole.
    /// </summary>
    public static async Task BaseBackupAsync(string connectionString, string source, string target)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using (var start = new NpgsqlCommand("select pg_backup_start('drill', true)", connection))
            await start.ExecuteNonQueryAsync();
        await CopyAsync(source, target);
        await using (var stop = new NpgsqlCommand("select labelfile from pg_backup_stop()", connection))
            await File.WriteAllTextAsync(
                Path.Combine(target, "backup_label"),
                (string)(await stop.ExecuteScalarAsync())!
            );
        Directory.Delete(Path.Combine(target, "pg_wal"), recursive: true);
        await CopyAsync(Path.Combine(source, "pg_wal"), Path.Combine(target, "pg_wal"));
        File.Delete(Path.Combine(target, "postmaster.pid"));
    }

    private static async Task CopyAsync(string source, string target)
    {
        using var copy = Process.Start("cp", ["-a", source, target]);
        await copy.WaitForExitAsync();
        if (copy.ExitCode != 0)
            throw new InvalidOperationException($"{source} could not be copied.");
    }

    private static async Task DeliverAsync(string connectionString, string key)
    {
        await using var instance = await Instance.StartAsync(
            Path.Combine(AppContext.BaseDirectory, "XenoInsights.dll"),
            connectionString,
            key
        );
        for (var i = 0; i < 20; i++)
            await instance.SendAsync(
                "orders/updated",
                Domain(i % Stores + 1),
                $"drill-{i}",
                WebhooksBenchmark.Run.Body(10_000 + i, version: 1)
            );
        await instance.SendAsync(
            "customers/redact",
            Domain(1),
            "redact",
            """{"shop_id":1,"customer":{"id":1},"orders_to_redact":[]}"""u8.ToArray()
        );
        await using var transactions = new TenantTransactions(connectionString, NullLoggerFactory.Instance);
        var system = new SystemDatabase(transactions);
        while (
            await system.RunAsync(async db =>
                await db.Command("select count(*) from events where status = 1").ExecuteScalarAsync() is > 0L
            )
        )
            await Task.Delay(200);
        await instance.StopAsync();
    }

    private static string Domain(int shop) => $"drill-{shop}.myshopify.com";
}
