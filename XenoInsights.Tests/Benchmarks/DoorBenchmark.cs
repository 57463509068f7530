using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>The ingestion door alone: orders with three lines, from memory into a durable PostgreSQL, against <c>\copy</c> of the same rows into the same indexed tables.</summary>
internal static class DoorBenchmark
{
    private static readonly string[] Tables = ["orders", "order_line_items", "order_sales"];

    public static async Task RunAsync(int orders)
    {
        await using var postgres = await PrivatePostgres.StartAsync(new() { DataRoot = Path.Combine(Path.GetTempPath(), "xeno-benchmark"), StartFolder = AppContext.BaseDirectory }, default);
        var database = new NpgsqlConnectionStringBuilder(postgres.ConnectionString) { Database = "door" }.ConnectionString;
        await ExecuteAsync(postgres.ConnectionString, "drop database if exists door with (force)");
        await ExecuteAsync(postgres.ConnectionString, "create database door");
        await Migrator.MigrateAsync(database);

        await using var transactions = new WalledTransactions(database, NullLoggerFactory.Instance);
        var tenants = new TenantDatabase(transactions);
        var shop = new ShopCalendar(Guid.CreateVersion7(), "GBP", "Europe/London");
        await new SystemDatabase(transactions).RunAsync(async db =>
        {
            db.Tenants.Add(new Tenant { TenantId = shop.TenantId, ShopId = 1, ShopDomain = "door.myshopify.com", Name = "Door", Currency = "GBP", TimeZone = "Europe/London", Status = TenantStatus.Connected });
            await db.SaveChangesAsync();
        });

        var watch = Stopwatch.StartNew();
        foreach (var batch in Orders(orders).Chunk(1500)) await tenants.RunAsync(shop.TenantId, db => IngestionWriter.ApplyAsync(db, shop, batch));
        var door = watch.Elapsed;
        var rows = 0L;
        foreach (var table in Tables) rows += await CountAsync(database, table);
        Console.WriteLine($"door   {rows,10:N0} rows in {door.TotalSeconds,6:N1} s = {rows / door.TotalSeconds,9:N0} rows/s ({orders / door.TotalSeconds:N0} orders/s)");

        var copy = await CopyAsync(database);
        Console.WriteLine($@"\copy  {rows,10:N0} rows in {copy.TotalSeconds,6:N1} s = {rows / copy.TotalSeconds,9:N0} rows/s; ratio {copy / door:N2}");
    }

    private static IEnumerable<OrderRecord> Orders(int count)
    {
        var random = new Random(1);
        var start = new DateTimeOffset(2025, 11, 1, 0, 0, 0, TimeSpan.Zero);
        for (var i = 0; i < count; i++)
        {
            var at = start.AddSeconds(i * (365 * 86400.0 / count));
            var id = 5_000_000_000 + i;
            var lines = Enumerable.Range(0, 3).Select(n => new OrderLineRecord(id * 10 + n, random.Next(1, 2000), random.Next(1, 2000), "White hanging heart t-light holder", "85123A", 2, 2, false, 1000, 0)).ToList();
            yield return new OrderRecord
            {
                ShopifyId = id, UpdatedAt = at, Name = $"#{i}", CreatedAt = at, ProcessedAt = at, CustomerId = 1 + (long)(Math.Pow(random.NextDouble(), 2) * count / 10), FinancialStatus = "PAID", FulfillmentStatus = "FULFILLED",
                SourceName = "web", CurrentTotal = 3500, Lines = lines, SourceObjects = 9,
                Sales = [.. lines.Select(l => new SaleRecord(at, true, SaleMeasure.Sale, l.ShopifyId, l.ProductId, 2, 1000, 0, 200)), new SaleRecord(at, true, SaleMeasure.Shipping, null, null, 1, 500, 0, 100)],
            };
        }
    }

    private static async Task<TimeSpan> CopyAsync(string database)
    {
        var total = TimeSpan.Zero;
        await using var connection = new NpgsqlConnection(database + ";Command Timeout=600");
        await connection.OpenAsync();
        foreach (var table in Tables)
        {
            await ExecuteAsync(database, $"create table copied_{table} (like {table} including all)");
            var csv = Path.GetTempFileName();
            await using (var file = new StreamWriter(csv))
            using (var export = await connection.BeginTextExportAsync($"copy {table} to stdout (format csv)")) await TransferAsync(export, file);
            var watch = Stopwatch.StartNew();
            using (var file = new StreamReader(csv))
            await using (var import = await connection.BeginTextImportAsync($"copy copied_{table} from stdin (format csv)")) await TransferAsync(file, import);
            total += watch.Elapsed;
            File.Delete(csv);
        }
        return total;
    }

    private static async Task TransferAsync(TextReader from, TextWriter to)
    {
        var buffer = new char[1 << 16];
        int read;
        while ((read = await from.ReadBlockAsync(buffer)) > 0) await to.WriteAsync(buffer.AsMemory(0, read));
    }

    private static async Task<long> CountAsync(string database, string table)
    {
        await using var connection = new NpgsqlConnection(database);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"select count(*) from {table}", connection);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    private static async Task ExecuteAsync(string database, string sql)
    {
        await using var connection = new NpgsqlConnection(database + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }
}
