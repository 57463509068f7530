using System.Globalization;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using XenoInsights.Compliance;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;
using XenoInsights.Webhooks.Handlers;

namespace XenoInsights.Tests.Webhooks;

/// <summary>Random histories of orders and customers as deliveries and imports tell them, in any order and repeated, against a model that keeps the newest version of each.</summary>
public sealed class HistoriesTests(PostgresServer server)
{
    private const int Histories = 10_000,
        Customers = 200,
        Writers = 4;

    private static readonly DateTimeOffset _start = new(2026, 5, 9, 10, 0, 0, TimeSpan.Zero);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <summary>One version: units on the order, units refunded, units edited or cancelled away, whether it is gone, and who tells it.</summary>
    private sealed record Version(
        long OrderId,
        int Number,
        int Units,
        int Refunded,
        int Removed,
        bool Edited,
        bool Cancelled,
        bool Deleted,
        bool Imported
    )
    {
        public int Current => Units - Refunded - Removed;
    }

    private enum End
    {
        None,
        Deleted,
        Merged,
        Redacted,
    }

    private sealed record CustomerVersion(long Id, int Number, End End, long MergedInto);

    private sealed record Told(string Topic, string Body, int Number, bool Imported = false)
    {
        public DateTimeOffset TriggeredAt => _start.AddSeconds(Number).AddMilliseconds(-500);
    }

    [Fact]
    public async Task Ten_thousand_random_histories_end_as_a_simple_model_says()
    {
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var random = new Random(seed);
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync("EUR", "Europe/Berlin");
        var versions = Enumerable.Range(1, Histories).SelectMany(id => History(id, random)).ToList();
        var customers = Enumerable.Range(1, Customers).SelectMany(id => CustomerHistory(id, random)).ToList();
        var told = versions.SelectMany(Tell).Concat(customers.Select(Tell)).ToList();
        told = [.. told.Concat(told.Where(_ => random.Next(5) == 0)).OrderBy(_ => random.Next())];

        await Parallel.ForEachAsync(
            told.Chunk(400),
            new ParallelOptions { MaxDegreeOfParallelism = Writers, CancellationToken = Ct },
            async (chunk, _) => await HearAsync(stores, shop, chunk)
        );

        var newest = versions
            .GroupBy(v => v.OrderId)
            .Select(g => g.MaxBy(v => v.Number)!)
            .Where(v => !v.Deleted)
            .ToList();
        var days = await InAsync(db => db.SalesDays.ToListAsync(Ct));
        Assert.Equal(newest.Count, await InAsync(db => db.Orders.CountAsync(Ct)));
        Assert.Equal(newest.Count, days.Sum(d => d.Orders));
        Assert.Equal(newest.Sum(v => v.Units * 1000L), days.Sum(d => d.Gross));
        Assert.Equal(newest.Sum(v => (v.Refunded + v.Removed) * 1000L), days.Sum(d => d.Returns));
        // Who was merged, erased or deleted leaves their orders, and these still count as theirs until Shopify says whose they are now.
        Assert.Equal(newest.Select(v => v.OrderId % Customers).Distinct().Count(), days.Sum(d => d.NewCustomers));
        Assert.Empty(await stores.RollupDifferencesAsync(shop));

        var last = customers.GroupBy(c => c.Id).Select(g => g.MaxBy(c => c.Number)!).ToList();
        Assert.Equal(
            last.Where(c => c.End == End.None).Select(c => (c.Id, (string?)$"v{c.Number}")).Order(),
            (await InAsync(db => db.Customers.Select(c => new { c.ShopifyId, c.FirstName }).ToListAsync(Ct)))
                .Select(c => (c.ShopifyId, c.FirstName))
                .Order()
        );
        var gone = await InAsync(db =>
            db.Customers.IgnoreQueryFilters([XenoDbContext.DeletedFilter])
                .Where(c => c.DeletedAt != null)
                .ToListAsync(Ct)
        );
        // Whoever was erased has no row, in whatever order the versions came; one that a deletion left is without a
        // name.
        var erased = last.Where(c => c.End == End.Redacted).Select(c => c.Id).ToHashSet();
        Assert.Equal(
            last.Where(c => c.End is End.Deleted or End.Merged).Select(c => c.Id).Order(),
            gone.Select(c => c.ShopifyId).Where(id => !erased.Contains(id)).Order()
        );
        Assert.All(gone, c => Assert.Null(c.FirstName));
        Assert.Equal(
            erased.Select(id => $"customer:{id}").Order(),
            (await InAsync(db => db.ErasedPeople.Select(p => p.Identifier).ToListAsync(Ct))).Order()
        );

        var refetches = (await InAsync(db => db.RefetchRequests.AsNoTracking().ToListAsync(Ct)))
            .Select(r => (r.Kind, r.ShopifyId))
            .ToHashSet();
        Assert.Subset(
            refetches,
            versions
                .Where(v => v.Edited)
                .Select(v => (RefetchKind.Order, v.OrderId))
                .Concat(customers.Where(c => c.End == End.Merged).Select(c => (RefetchKind.Customer, c.MergedInto)))
                .ToHashSet()
        );

        Task<T> InAsync<T>(Func<XenoDbContext, Task<T>> work) => stores.Tenants.RunAsync(shop.TenantId, work, Ct);
    }

    private static IEnumerable<Version> History(long id, Random random)
    {
        var version = new Version(id, 1, random.Next(1, 5), 0, 0, false, false, false, random.Next(4) == 0);
        var length = random.Next(1, 8);
        yield return version;
        while (version.Number < length && !version.Deleted)
        {
            version = version with { Number = version.Number + 1, Edited = false, Imported = random.Next(4) == 0 };
            version = random.Next(6) switch
            {
                0 when !version.Cancelled => version with { Units = version.Units + random.Next(1, 3), Edited = true },
                1 when version.Current > 0 => version with { Removed = version.Removed + 1, Edited = true },
                2 when version.Current > 0 => version with { Refunded = version.Refunded + 1 },
                3 => version with { Refunded = version.Units - version.Removed },
                4 => version with { Removed = version.Units - version.Refunded, Cancelled = true },
                5 => version with { Deleted = random.Next(4) == 0 },
                _ => version,
            };
            yield return version;
        }
    }

    private static IEnumerable<CustomerVersion> CustomerHistory(long id, Random random)
    {
        var length = random.Next(1, 6);
        for (var number = 1; number <= length; number++)
            yield return new(id, number, End.None, 0);
        if (random.Next(2) == 0)
            yield return new(id, length + 1, (End)random.Next(1, 4), 1 + (id + random.Next(Customers - 1)) % Customers);
    }

    private static IEnumerable<Told> Tell(Version v)
    {
        if (v.Deleted)
        {
            yield return new("orders/delete", $$"""{"id":{{v.OrderId}}}""", v.Number);
            yield break;
        }
        yield return new(v.Cancelled ? "orders/cancelled" : "orders/updated", Body(v), v.Number, v.Imported);
        if (v.Edited)
            yield return new(
                "orders/edited",
                $$$"""{"order_edit":{"id":{{{v.Number}}},"order_id":{{{v.OrderId}}}}}""",
                v.Number
            );
    }

    private static Told Tell(CustomerVersion c) =>
        c.End switch
        {
            End.None => new(
                "customers/update",
                $$"""{"id":{{c.Id}},"first_name":"v{{c.Number}}","created_at":"2026-05-01T10:00:00Z","updated_at":"{{_start.AddSeconds(c.Number):O}}"}""",
                c.Number
            ),
            End.Deleted => new("customers/delete", $$"""{"id":{{c.Id}}}""", c.Number),
            End.Merged => new(
                "customers/merge",
                $$"""{"admin_graphql_api_customer_kept_id":"gid://shopify/Customer/{{c.MergedInto}}","admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/{{c.Id}}"}""",
                c.Number
            ),
            _ => new(
                "customers/redact",
                $$$"""{"shop_id":1,"customer":{"id":{{{c.Id}}}},"orders_to_redact":[{{{c.Id}}}]}""",
                c.Number
            ),
        };

    /// <summary>As the worker does: what is stored together in one transaction, then what has a handler, each in its own.</summary>
    private static async Task HearAsync(TestStores stores, StoreCalendar shop, IReadOnlyCollection<Told> told)
    {
        var heard = told.Select(t =>
                (Told: t, EventContent: EventContent.Of(t.Topic, Encoding.UTF8.GetBytes(t.Body), t.TriggeredAt, "EUR"))
            )
            .ToList();
        await stores.Tenants.RunAsync(
            shop.TenantId,
            async db =>
            {
                await IngestionWriter.ApplyAsync(
                    db,
                    shop,
                    [
                        .. heard.SelectMany(h =>
                            h.EventContent.Records.Select(r =>
                                h.Told.Imported ? r with { Source = RecordSource.AdminApi } : r
                            )
                        ),
                    ],
                    Ct
                );
                await Refetches.RequestAsync(db, shop.TenantId, heard.SelectMany(h => h.EventContent.Refetches), Ct);
            },
            Ct
        );
        var options = new EncryptionOptions();
        options.Keys.Add("test:" + Convert.ToBase64String(new byte[32]));
        var hashes = new IdentifierHashes(Options.Create(options));
        var erasure = new Erasure(hashes);
        IEventHandler[] handlers =
        [
            new CustomersMergeHandler(),
            new CustomersRedactHandler(
                erasure,
                new ErasureList(stores.System, stores.Tenants, erasure, hashes, NullLogger<ErasureList>.Instance)
            ),
        ];
        foreach (var (handled, _) in heard.Where(h => h.EventContent.IsForHandler))
            await stores.Tenants.RunAsync(
                shop.TenantId,
                async db =>
                {
                    var waiting = new WaitingEvent(
                        Guid.NewGuid().ToString(),
                        handled.Topic,
                        handled.TriggeredAt,
                        handled.TriggeredAt,
                        0,
                        Encoding.UTF8.GetBytes(handled.Body),
                        null
                    );
                    await Array
                        .Find(handlers, handler => handler.Topic == handled.Topic)!
                        .HandleAsync(
                            db,
                            await db.Tenants.AsNoTracking().SingleAsync(Ct),
                            waiting,
                            waiting.ReadBody(),
                            Ct
                        );
                },
                Ct
            );
    }

    private static string Body(Version v) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $$$"""
            {"id":{{{v.OrderId}}},"name":"#{{{v.OrderId}}}","created_at":"2026-05-0{{{1
                + v.OrderId % 7}}}T23:30:00Z","updated_at":"{{{_start.AddSeconds(
                v.Number
            ):O}}}","current_total_price":"{{{v.Current}}}0.00","customer":{"id":{{{v.OrderId % Customers + 1}}}},
             "cancelled_at":{{{(v.Cancelled ? "\"2026-05-08T11:00:00Z\"" : "null")}}},
             "line_items":[{"id":{{{v.OrderId}}},"title":"Teapot","quantity":{{{v.Units}}},"current_quantity":{{{v.Current}}},"price":"10.00","product_id":{{{v.OrderId
                % 9
                + 1}}}}],
             "refunds":[{{{(
                v.Refunded == 0
                    ? ""
                    : $$"""{"id":{{v.OrderId}},"created_at":"2026-05-08T10:00:00Z","refund_line_items":[{"line_item_id":{{v.OrderId}},"quantity":{{v.Refunded}},"subtotal":{{v.Refunded}}0.0,"total_tax":0}]}"""
            )}}}]}
            """
        );
}
