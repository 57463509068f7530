using System.Globalization;
using System.Text;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Ingestion;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>Random histories of orders as deliveries and imports tell them, in any order and repeated, against a model that keeps the newest version of each.</summary>
public sealed class HistoriesTests(PostgresServer server)
{
    private const int Histories = 10_000, Writers = 4;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <summary>One version: units on the order, units refunded, whether it is gone, and who tells it.</summary>
    private sealed record Version(long OrderId, int Number, int Units, int Refunded, bool Deleted, bool Imported);

    [Fact]
    public async Task Ten_thousand_random_histories_end_as_a_simple_model_says()
    {
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var random = new Random(seed);
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync("EUR", "Europe/Berlin");
        var versions = Enumerable.Range(1, Histories).SelectMany(id => History(id, random)).ToList();
        var told = versions.Concat(versions.Where(_ => random.Next(5) == 0)).OrderBy(_ => random.Next()).ToList();

        await Parallel.ForEachAsync(told.Chunk(400), new ParallelOptions { MaxDegreeOfParallelism = Writers, CancellationToken = Ct },
            async (chunk, _) => await stores.ApplyAsync(shop, [.. chunk.SelectMany(Records)]));

        var newest = versions.GroupBy(v => v.OrderId).Select(g => g.MaxBy(v => v.Number)!).Where(v => !v.Deleted).ToList();
        var days = await stores.Tenants.RunAsync(shop.TenantId, db => db.SalesDays.ToListAsync(Ct), Ct);
        Assert.Equal(newest.Count, await stores.Tenants.RunAsync(shop.TenantId, db => db.Orders.CountAsync(Ct), Ct));
        Assert.Equal(newest.Count, days.Sum(d => d.Orders));
        Assert.Equal(newest.Sum(v => v.Units * 1000L), days.Sum(d => d.Gross));
        Assert.Equal(newest.Sum(v => v.Refunded * 1000L), days.Sum(d => d.Returns));
        Assert.Equal(newest.Select(v => v.OrderId % 200).Distinct().Count(), days.Sum(d => d.NewCustomers));
        Assert.Empty(await stores.RollupDifferencesAsync(shop));
    }

    private static IEnumerable<Version> History(long id, Random random)
    {
        var (units, refunded, gone) = (random.Next(1, 5), 0, false);
        var length = random.Next(1, 8);
        for (var number = 1; number <= length && !gone; number++)
        {
            yield return new(id, number, units, refunded, gone, random.Next(4) == 0);
            switch (random.Next(4))
            {
                case 0: units += random.Next(3); break;
                case 1: refunded = Math.Min(units, refunded + 1); break;
                case 2: refunded = units; break; // cancelled
                default: gone = random.Next(4) == 0; break;
            }
            if (gone) yield return new(id, number + 1, units, refunded, true, false);
        }
    }

    private static IEnumerable<IngestRecord> Records(Version version)
    {
        var at = new DateTimeOffset(2026, 5, 9, 10, 0, version.Number, TimeSpan.Zero);
        var (topic, body) = version.Deleted ? ("orders/delete", $$"""{"id":{{version.OrderId}}}""") : ("orders/updated", Body(version, at));
        var meaning = Meaning.Of(topic, Encoding.UTF8.GetBytes(body), at.AddMilliseconds(-500), "EUR");
        return version.Imported ? meaning.Records.Select(record => record with { Source = RecordSource.AdminApi }) : meaning.Records;
    }

    private static string Body(Version v, DateTimeOffset at) => string.Create(CultureInfo.InvariantCulture,
        $$$"""
        {"id":{{{v.OrderId}}},"name":"#{{{v.OrderId}}}","created_at":"2026-05-0{{{1 + v.OrderId % 7}}}T23:30:00Z","updated_at":"{{{at:O}}}","current_total_price":"{{{v.Units - v.Refunded}}}0.00","customer":{"id":{{{v.OrderId % 200 + 1}}}},
         "line_items":[{"id":{{{v.OrderId}}},"title":"Teapot","quantity":{{{v.Units}}},"current_quantity":{{{v.Units - v.Refunded}}},"price":"10.00","product_id":{{{v.OrderId % 9 + 1}}}}],
         "refunds":[{{{(v.Refunded == 0 ? "" : $$"""{"id":{{v.OrderId}},"created_at":"2026-05-08T10:00:00Z","refund_line_items":[{"line_item_id":{{v.OrderId}},"quantity":{{v.Refunded}},"subtotal":{{v.Refunded}}0.0,"total_tax":0}]}""")}}}]}
        """);
}
