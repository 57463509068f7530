using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>
/// The ingestion alone: orders with three lines, from memory into a durable PostgreSQL, against <c>\copy</c> of
/// the same rows into the same indexed tables.
/// </summary>
internal static class IngestionBenchmark
{
    private const int BatchOrders = 5000;

    public static async Task RunAsync(int orders)
    {
        await using var server = await BenchmarkServer.StartAsync();
        var database = await server.CreateDatabaseAsync("ingestion");
        await using var transactions = new TenantTransactions(database, NullLoggerFactory.Instance);
        var tenants = new TenantDatabase(transactions);
        var shop = new StoreCalendar(Guid.CreateVersion7(), "GBP", "Europe/London");

        var watch = Stopwatch.StartNew();
        foreach (var batch in Orders(orders).Chunk(BatchOrders))
            await tenants.RunAsync(shop.TenantId, db => IngestionWriter.ApplyAsync(db, shop, batch));
        var ingestion = watch.Elapsed;
        var rows = await BenchmarkServer.RowsAsync(database);
        Console.WriteLine(
            $"ingestion {rows, 9:N0} rows in {ingestion.TotalSeconds, 6:N1} s = {rows / ingestion.TotalSeconds, 9:N0} "
                + $"rows/s ({orders / ingestion.TotalSeconds:N0} orders/s)"
        );

        var copy = await BenchmarkServer.CopyAsync(database);
        Console.WriteLine(
            $"\\copy     {rows, 9:N0} rows in {copy.TotalSeconds, 6:N1} s = {rows / copy.TotalSeconds, 9:N0} rows/s; "
                + $"the ingestion reaches {copy / ingestion:P0} of it"
        );
    }

    private static IEnumerable<OrderRecord> Orders(int count)
    {
        var random = new Random(1);
        var start = new DateTimeOffset(2025, 11, 1, 0, 0, 0, TimeSpan.Zero);
        for (var i = 0; i < count; i++)
        {
            var at = start.AddSeconds(i * (365 * 86400.0 / count));
            var id = 5_000_000_000 + i;
            var lines = Enumerable
                .Range(0, 3)
                .Select(n => new OrderLineRecord(
                    id * 10 + n,
                    random.Next(1, 2000),
                    random.Next(1, 2000),
                    "White hanging heart t-light holder",
                    "85123A",
                    2,
                    2,
                    false,
                    1000,
                    0
                ))
                .ToList();
            yield return new OrderRecord
            {
                ShopifyId = id,
                UpdatedAt = at,
                Name = $"#{i}",
                CreatedAt = at,
                ProcessedAt = at,
                CustomerId = 1 + (long)(Math.Pow(random.NextDouble(), 2) * count / 10),
                FinancialStatus = "PAID",
                FulfillmentStatus = "FULFILLED",
                SourceName = "web",
                CurrentTotal = 3500,
                Lines = lines,
                SourceObjects = 9,
                Sales =
                [
                    .. lines.Select(l => new SaleRecord(
                        at,
                        true,
                        SaleMeasure.Sale,
                        l.ShopifyId,
                        l.ProductId,
                        2,
                        1000,
                        0,
                        200
                    )),
                    new SaleRecord(at, true, SaleMeasure.Shipping, null, null, 1, 500, 0, 100),
                ],
            };
        }
    }
}
