using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using XenoInsights.Compliance;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Connect;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>
/// Whoever is erased is gone, whatever versions say and however Shopify wrote it; only a state read afterwards may
/// bring them back.
/// </summary>
public sealed class ErasureTests(StoreHost host, PostgresServer postgres) : IClassFixture<StoreHost>
{
    private const long Ada = 7_000_000_000_001,
        Bob = 7_000_000_000_002;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    /// <summary>Shopify repeats a delivery with its first time of triggering, and versions may lie ahead.</summary>
    [Fact]
    public async Task An_erasure_erases_whatever_versions_say_and_nothing_read_before_it_brings_the_person_back()
    {
        var shop = await AddAsync();
        var readBefore = await ClockAsync(shop);
        await DeliverAsync(shop, "customers/create", Customer(Ada, "Ada", Now.AddSeconds(-1)));
        await AppliedAsync(shop);
        await DeliverAsync(
            shop,
            "customers/redact",
            Redact(shop, Ada, "ada@example.test", "+49 30 5550100"),
            triggeredAt: Now.AddHours(-1)
        );
        await AppliedAsync(shop);
        Assert.Empty(
            await InAsync(
                shop,
                db =>
                    db.Customers.IgnoreQueryFilters([XenoDbContext.DeletedFilter])
                        .Where(c => c.ShopifyId == Ada)
                        .ToListAsync(Ct)
            )
        );
        Assert.Equal(0, Assert.Single(await EvidenceAsync(shop)).RowsAfter);

        // Newer versions, all of them read before: an import that was under way, a changed list, an object read again.
        foreach (var source in (RecordSource[])[RecordSource.BulkExport, RecordSource.AdminApi, RecordSource.Webhook])
        {
            await ApplyAsync(
                shop,
                CustomerOf(Ada, "Ada") with
                {
                    Source = source,
                    UpdatedAt = Now.AddDays(1),
                    ReadAt = readBefore,
                },
                CheckoutOf(500, Ada) with
                {
                    Source = source,
                    ReadAt = readBefore,
                }
            );
            await ApplyAsync(
                shop,
                CustomerOf(Ada, "Ada") with
                {
                    Source = source,
                    UpdatedAt = Now.AddDays(1),
                    ReadAt = null,
                }
            );
        }
        // A delivery, even one of now, is not a reading either: Shopify is asked.
        await DeliverAsync(
            shop,
            "customers/update",
            Customer(Ada, "Ada", Now.AddDays(1)),
            triggeredAt: Now.AddHours(-1)
        );
        await AppliedAsync(shop);
        Assert.Empty(
            await InAsync(shop, db => db.RefetchRequests.Where(r => r.Kind == RefetchKind.Customer).ToListAsync(Ct))
        );
        await DeliverAsync(
            shop,
            "customers/update",
            Customer(Ada, "Ada", Now.AddDays(1)),
            triggeredAt: Now.AddMinutes(1)
        );
        await AppliedAsync(shop);
        Assert.Empty(await InAsync(shop, db => db.Customers.ToListAsync(Ct)));
        Assert.Null((await InAsync(shop, db => db.Checkouts.SingleAsync(c => c.ShopifyId == 500, Ct))).RecoveryUrl);
        await ErasedAsync(shop);

        // Shopify has them still: what is read now may be stored, although its version is an old one.
        var readAfter = await ClockAsync(shop);
        await ApplyAsync(shop, CustomerOf(Ada, "Ada again") with { UpdatedAt = Now.AddYears(-1), ReadAt = readAfter });
        Assert.Equal("Ada again", (await InAsync(shop, db => db.Customers.SingleAsync(Ct))).FirstName);
        await DeliverAsync(
            shop,
            "customers/update",
            Customer(Ada, "Ada changed", Now),
            webhookId: "back",
            triggeredAt: Now.AddMinutes(1)
        );
        await AppliedAsync(shop);
        Assert.Equal("Ada changed", (await InAsync(shop, db => db.Customers.SingleAsync(Ct))).FirstName);
        Assert.NotNull((await InAsync(shop, db => db.Events.SingleAsync(e => e.WebhookId == "back", Ct))).Payload);
    }

    [Fact]
    public async Task Stored_bodies_are_emptied_however_they_write_the_person_and_those_of_others_are_kept()
    {
        var shop = await AddAsync();
        var about = new Dictionary<string, string>
        {
            ["id"] = $$$"""{"id":1,"customer":{"id":{{{Ada}}}}}""",
            ["gid"] = $$"""{"x":"gid:\/\/shopify\/Customer\/{{Ada}}"}""",
            ["customer_id"] = $$"""{"customer_id":{{Ada}}}""",
            ["escaped"] = """{"email":"ada\u0040example.test"}""",
            ["all escaped"] = """{"email":"\u0061\u0064\u0061@\u0065xample.test"}""",
            ["case"] = """{"contact":"ADA@Example.TEST"}""",
            ["note"] = """{"note":"Please write to <Ada@example.test>, thanks"}""",
            ["in an address"] = """{"url":"https://x.test/?email=ada%40example.test"}""",
            ["json in json"] = """{"raw":"{\"email\":\"ada\\u0040example.test\"}"}""",
            ["wide"] = """{"email":"ada＠example.test"}""",
            ["phone"] = """{"phone":"+49305550100"}""",
            ["phone with signs"] = """{"shipping":{"phone":"(030) 555-01.00"}}""",
            ["phone abroad"] = """{"phone":"0049 (0)30 555 0100"}""",
            ["phone in a note"] = """{"note":"ring 030/5550100 twice"}""",
            ["phone as number"] = """{"phone":305550100}""",
            ["order"] = """{"id":92}""",
            ["of an order"] = """{"id":5,"order_id":92}""",
        };
        var others = new Dictionary<string, string>
        {
            ["bob"] = $$$"""{"customer":{"id":{{{Bob}}},"email":"bob@example.test","phone":"+49 30 5550199"}}""",
            ["longer id"] = $$"""{"customer_id":{{Ada}}9}""",
            ["title"] = """{"title":"Ada, a novel"}""",
        };
        foreach (var (id, body) in about.Concat(others))
            await AddEventAsync(shop, id, body);
        await DeliverAsync(
            shop,
            "customers/redact",
            Redact(shop, Ada, "Ada@Example.test", "+49 30 5550100", 92),
            webhookId: "redact"
        );
        await AppliedAsync(shop);

        var events = await InAsync(shop, db => db.Events.AsNoTracking().ToDictionaryAsync(e => e.WebhookId, Ct));
        Assert.Equal([], about.Keys.Where(id => events[id].Payload is not null));
        Assert.Equal([], others.Keys.Where(id => events[id].Payload is null));
        Assert.Null(events["redact"].Payload);
        Assert.True(
            Assert.Single(await EvidenceAsync(shop)) is { RowsAfter: 0, RowsBefore: var before }
                && before == about.Count + 1
        );
    }

    [Fact]
    public async Task The_address_that_is_stored_counts_although_Shopify_tells_another()
    {
        var shop = await AddAsync();
        await DeliverAsync(shop, "customers/create", Customer(Ada, "Ada", Now));
        await AppliedAsync(shop);
        await AddEventAsync(shop, "by address", """{"note":"ADA@example.test"}""");
        await DeliverAsync(shop, "customers/redact", Redact(shop, Ada, "new@example.test", null));
        await AppliedAsync(shop);
        await ErasedAsync(shop);
    }

    /// <summary>What waits is not lost with the person: orders, refunds and carts are applied without them.</summary>
    [Fact]
    public async Task What_waits_is_applied_without_the_person()
    {
        var shop = await AddAsync();
        await WaitingAsync(shop, "order", "orders/create", Order(92));
        await WaitingAsync(
            shop,
            "refund",
            "refunds/create",
            $$"""{"id":9,"order_id":93,"note":"for ada\u0040example.test"}"""
        );
        await WaitingAsync(
            shop,
            "checkout",
            "checkouts/create",
            """{"id":94,"email":"ADA@example.test","abandoned_checkout_url":"https://x/recover?key=1","created_at":"2026-05-01T10:00:00Z","updated_at":"2026-05-01T10:00:00Z","total_price":"5.00"}"""
        );
        await WaitingAsync(shop, "customer", "customers/update", Customer(Ada, "Ada", Now));
        await WaitingAsync(
            shop,
            "merge",
            "customers/merge",
            $$"""{"admin_graphql_api_customer_kept_id":"gid://shopify/Customer/{{Bob}}","admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/{{Ada}}"}"""
        );
        await WaitingAsync(shop, "request", "customers/data_request", Redact(shop, Ada, "ada@example.test", null));
        await WaitingAsync(shop, "unreadable", "orders/create", $$$"""{"id":95,"customer":{"id":{{{Ada}}}}}""");
        await WaitingAsync(
            shop,
            "fulfilment",
            "fulfillments/create",
            """{"id":96,"order_id":92,"email":"ada@example.test"}"""
        );
        await WaitingAsync(
            shop,
            "settings",
            "shop/update",
            $$"""{"id":{{shop.ShopId}},"myshopify_domain":"{{shop.ShopDomain}}","customer_email":"ada@example.test","name":"Hooks","currency":"EUR","iana_timezone":"Europe/Berlin"}"""
        );
        await DeliverAsync(shop, "customers/redact", Redact(shop, Ada, "ada@example.test", null), webhookId: "redact");
        await EventuallyAsync(
            shop,
            events => events.Single(e => e.WebhookId == "redact").Status == EventStatus.Applied
        );

        var events = await InAsync(shop, db => db.Events.AsNoTracking().ToDictionaryAsync(e => e.WebhookId, Ct));
        Assert.All(events.Values.Where(e => e.WebhookId != "settings"), e => Assert.Null(e.Payload));
        Assert.Equal((EventStatus.Dead, EventStatus.Pending), (events["unreadable"].Status, events["settings"].Status));
        Assert.All(
            events.Values.Where(e => e.WebhookId is not ("unreadable" or "settings")),
            e => Assert.Equal(EventStatus.Applied, e.Status)
        );
        Assert.Equal(92, (await InAsync(shop, db => db.Orders.SingleAsync(Ct))).ShopifyId);
        Assert.True(
            (await InAsync(shop, db => db.Checkouts.SingleAsync(Ct)))
                is { ShopifyId: 94, Total: 500, RecoveryUrl: null }
        );
        Assert.Contains(93, await InAsync(shop, db => db.RefetchRequests.Select(r => r.ShopifyId).ToListAsync(Ct)));
        Assert.Empty(await InAsync(shop, db => db.Customers.ToListAsync(Ct)));
        // What speaks of the shop is applied in its turn, and then says no more of the person.
        await InAsync(
            shop,
            db =>
                db.Events.Where(e => e.Status == EventStatus.Pending)
                    .ExecuteUpdateAsync(set => set.SetProperty(e => e.DueAt, Now.AddMinutes(-1)), Ct)
        );
        await EventuallyAsync(shop, all => all.TrueForAll(e => e.Status != EventStatus.Pending));
        Assert.Null((await InAsync(shop, db => db.Events.SingleAsync(e => e.WebhookId == "settings", Ct))).Payload);
        // A cart that comes late with nothing but the address of it: no link, no body.
        await DeliverAsync(
            shop,
            "checkouts/update",
            """{"id":94,"email":"ada@example.test","abandoned_checkout_url":"https://x/recover?key=1","created_at":"2026-05-01T10:00:00Z","updated_at":"2026-05-02T10:00:00Z","total_price":"6.00"}""",
            triggeredAt: Now.AddHours(-1)
        );
        await AppliedAsync(shop, EventStatus.Dead);
        await ErasedAsync(shop);
        Assert.Equal(600, (await InAsync(shop, db => db.Checkouts.SingleAsync(Ct))).Total);
    }

    [Fact]
    public async Task An_erasure_that_leaves_rows_is_not_done()
    {
        var shop = await AddAsync();
        await DeliverAsync(shop, "customers/create", Customer(Ada, "Ada", Now));
        await AppliedAsync(shop);
        await SqlAsync(
            $"create function keep_{shop.ShopId}() returns trigger language plpgsql as $$ begin return null; end $$; create trigger keep before delete on customers for each row when (old.tenant_id = '{shop.TenantId}') execute function keep_{shop.ShopId}()"
        );
        await DeliverAsync(shop, "customers/redact", Redact(shop, Ada, "ada@example.test", null), webhookId: "redact");
        await EventuallyAsync(shop, events => events.Single(e => e.WebhookId == "redact").Attempts > 0);

        var failed = await InAsync(shop, db => db.Events.AsNoTracking().SingleAsync(e => e.WebhookId == "redact", Ct));
        Assert.Equal(EventStatus.Pending, failed.Status);
        Assert.Contains("still there", failed.LastError, StringComparison.Ordinal);
        Assert.NotNull(failed.Payload);
        Assert.Empty(await EvidenceAsync(shop));
        await SqlAsync("drop trigger keep on customers");
        await InAsync(
            shop,
            db =>
                db.Events.Where(e => e.WebhookId == "redact")
                    .ExecuteUpdateAsync(set => set.SetProperty(e => e.DueAt, Now.AddMinutes(-1)), Ct)
        );
        await AppliedAsync(shop);
        await ErasedAsync(shop);
        Assert.Single(await EvidenceAsync(shop));
    }

    /// <summary>Deliveries, an import and objects read again all bring the person while they are erased.</summary>
    [Fact]
    public async Task An_erasure_amid_writers_leaves_nothing_of_the_person()
    {
        var shop = await AddAsync();
        var version = Now.AddDays(-1);
        var readBefore = await ClockAsync(shop);
        using var erased = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var writers = Enumerable
            .Range(0, 4)
            .Select(writer =>
                Task.Run(
                    async () =>
                    {
                        for (var i = 0; !erased.IsCancellationRequested && i < 200; i++)
                        {
                            var at = version.AddSeconds((i * 4) + writer);
                            if (writer == 0)
                                await DeliverAsync(
                                    shop,
                                    "customers/update",
                                    Customer(Ada, "Ada", at),
                                    triggeredAt: Now.AddHours(-1)
                                );
                            else if (writer == 1)
                                await DeliverAsync(
                                    shop,
                                    "orders/updated",
                                    Order(1000 + (i % 20), at),
                                    triggeredAt: Now.AddHours(-1)
                                );
                            else if (writer == 2)
                                await ApplyAsync(
                                    shop,
                                    CustomerOf(Ada, "Ada") with
                                    {
                                        Source = RecordSource.BulkExport,
                                        UpdatedAt = at,
                                        ReadAt = readBefore,
                                    },
                                    CheckoutOf(500 + (i % 20), Ada) with
                                    {
                                        UpdatedAt = at,
                                        ReadAt = readBefore,
                                    }
                                );
                            else
                                await ApplyAsync(
                                    shop,
                                    BobOf() with
                                    {
                                        UpdatedAt = at,
                                        ReadAt = readBefore,
                                    },
                                    CustomerOf(Ada, "Ada") with
                                    {
                                        UpdatedAt = at,
                                        ReadAt = readBefore,
                                    }
                                );
                        }
                    },
                    Ct
                )
            )
            .ToList();
        for (var patience = 0; await InAsync(shop, db => db.Customers.CountAsync(Ct)) < 2 && patience < 200; patience++)
            await Task.Delay(20, Ct);
        await DeliverAsync(shop, "customers/redact", Redact(shop, Ada, "ada@example.test", null), webhookId: "redact");
        await EventuallyAsync(
            shop,
            events => events.Exists(e => e.WebhookId == "redact" && e.Status == EventStatus.Applied)
        );
        await Task.Delay(300, Ct);
        await erased.CancelAsync();
        await Task.WhenAll(writers);
        await AppliedAsync(shop);

        await ErasedAsync(shop);
        Assert.Equal(
            Bob,
            Assert
                .Single(
                    await InAsync(
                        shop,
                        db => db.Customers.IgnoreQueryFilters([XenoDbContext.DeletedFilter]).ToListAsync(Ct)
                    )
                )
                .ShopifyId
        );
        Assert.NotEmpty(await InAsync(shop, db => db.Orders.ToListAsync(Ct)));
        Assert.All(await InAsync(shop, db => db.Checkouts.ToListAsync(Ct)), c => Assert.Null(c.RecoveryUrl));
        Assert.Empty(await InAsync(shop, db => LedgerRollups.DifferencesAsync(db, shop.TenantId, Ct)));
        Assert.True(Assert.Single(await EvidenceAsync(shop)) is { RowsAfter: 0 });
    }

    [Fact]
    public async Task A_store_that_is_erased_amid_writers_leaves_no_row()
    {
        var shop = await AddAsync();
        var refused = new ConcurrentDictionary<string, int>();
        var writers = Enumerable
            .Range(0, 4)
            .Select(writer =>
                Task.Run(
                    async () =>
                    {
                        for (var i = 0; i < 400; i++)
                        {
                            try
                            {
                                if (writer < 2)
                                {
                                    if (
                                        await SendAsync(
                                            shop,
                                            "orders/updated",
                                            Order(1000 + i),
                                            Guid.NewGuid().ToString(),
                                            Now
                                        ) == HttpStatusCode.NotFound
                                    )
                                        return;
                                }
                                else
                                    await ApplyAsync(
                                        shop,
                                        CustomerOf(i, "Ada") with
                                        {
                                            ReadAt = Now,
                                        },
                                        CheckoutOf(i, i) with
                                        {
                                            ReadAt = Now,
                                        }
                                    );
                            }
                            catch (StoreErasedException)
                            {
                                refused.AddOrUpdate("erased", 1, (_, count) => count + 1);
                                return;
                            }
                        }
                    },
                    Ct
                )
            )
            .ToList();
        for (var patience = 0; await InAsync(shop, db => db.Orders.CountAsync(Ct)) < 5 && patience < 200; patience++)
            await Task.Delay(20, Ct);
        await DeliverAsync(
            shop,
            "shop/redact",
            $$"""{"shop_id":{{shop.ShopId}},"shop_domain":"{{shop.ShopDomain}}"}""",
            triggeredAt: Now.AddSeconds(-1)
        );
        await Task.WhenAll(writers);
        for (var patience = 0; await host.FindTenantAsync(shop.ShopId) is not null; patience++)
        {
            Assert.True(patience < 400, "The store is not erased.");
            await Task.Delay(50, Ct);
        }
        Assert.Equal("", await DumpAsync(shop));
        await Assert.ThrowsAsync<StoreErasedException>(() => ApplyAsync(shop, CustomerOf(1, "Ada")));
        Assert.Equal("", await DumpAsync(shop));
    }

    /// <summary>A backup of before the erasure, restored: the list takes away again who was erased since.</summary>
    [Fact]
    public async Task Erasures_are_applied_again_to_a_restored_backup()
    {
        await using var here = await TestStores.CreateAsync(postgres);
        await using var backup = await TestStores.CreateAsync(postgres);
        var shops = new List<(TestStores Database, StoreCalendar Shop, StoreCalendar Gone)>();
        foreach (var database in (TestStores[])[here, backup])
        {
            var (shop, gone) = (
                await database.AddAsync("EUR", "Europe/Berlin"),
                await database.AddAsync("EUR", "Europe/Berlin")
            );
            shops.Add((database, shop, gone));
            await database.ApplyAsync(shop, CustomerOf(Ada, "Ada"), BobOf(), CheckoutOf(500, Ada));
            await database.ApplyAsync(gone, CustomerOf(Ada, "Ada"));
            await database.Tenants.RunAsync(
                shop.TenantId,
                async db =>
                {
                    db.Events.Add(StoredEvent(shop.TenantId, "guest", """{"note":"Guest\u0040example.test"}"""));
                    db.Events.Add(StoredEvent(shop.TenantId, "other", """{"email":"bob@example.test"}"""));
                    await db.SaveChangesAsync(Ct);
                },
                Ct
            );
        }
        var (erasure, list) = ListOf(here, "k2", "k1");
        await EraseAsync(
            here,
            shops[0].Shop,
            new Person(Ada, ["ada@example.test"], [], [92]),
            "customers/redact",
            erasure
        );
        await EraseAsync(
            here,
            shops[0].Shop,
            new Person(null, ["guest@example.test"], [], []),
            "customers/redact",
            erasure
        );
        await EraseAsync(here, shops[0].Gone, null, "shop/redact", erasure);

        var lines = new StringWriter();
        await list.ExportAsync(lines, Ct);
        Assert.Equal(3, lines.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        foreach (var trace in (string[])["ada@", "guest@", "example.test", $"{Ada}"])
            Assert.DoesNotContain(trace, lines.ToString(), StringComparison.OrdinalIgnoreCase);

        var (_, stranger) = ListOf(backup, "k3");
        Assert.Equal(2, (await stranger.ApplyAsync(new StringReader(lines.ToString()), Ct)).Problems.Count);
        var (_, restored) = ListOf(backup, "k3", "k2");
        var report = await restored.ApplyAsync(new StringReader(lines.ToString()), Ct);
        Assert.Equal((2, 1, 0, 0), (report.Applied, report.Known, report.Absent, report.Problems.Count));
        report = await restored.ApplyAsync(new StringReader(lines.ToString()), Ct);
        Assert.Equal((0, 3, 0, 0), (report.Applied, report.Known, report.Absent, report.Problems.Count));
        await Assert.ThrowsAsync<FormatException>(() => restored.ApplyAsync(new StringReader("nonsense"), Ct));

        var (_, shopThere, goneThere) = shops[1];
        await backup.Tenants.RunAsync(
            shopThere.TenantId,
            async db =>
            {
                Assert.Equal(
                    Bob,
                    (await db.Customers.IgnoreQueryFilters([XenoDbContext.DeletedFilter]).SingleAsync(Ct)).ShopifyId
                );
                Assert.Null((await db.Checkouts.SingleAsync(Ct)).RecoveryUrl);
                Assert.Equal(
                    ["other"],
                    await db.Events.Where(e => e.Payload != null).Select(e => e.WebhookId).ToListAsync(Ct)
                );
            },
            Ct
        );
        Assert.Null(await backup.Tenants.RunAsync(goneThere.TenantId, db => db.Tenants.SingleOrDefaultAsync(Ct), Ct));
        await backup.ApplyAsync(shopThere, CustomerOf(Ada, "Ada") with { UpdatedAt = Now, ReadAt = Now.AddHours(-1) });
        Assert.Equal(1, await backup.Tenants.RunAsync(shopThere.TenantId, db => db.Customers.CountAsync(Ct), Ct));
    }

    [Fact]
    public async Task The_list_is_written_to_a_file_and_read_from_one_by_commands()
    {
        var shop = await AddAsync();
        await DeliverAsync(shop, "customers/redact", Redact(shop, Ada, "ada@example.test", null), webhookId: "listed");
        await AppliedAsync(shop);
        var file = Path.Combine(Path.GetTempPath(), $"erasures-{Guid.NewGuid():n}");
        try
        {
            Assert.Equal(0, await ErasuresCommand.RunAsync(host.Services, ["erasures", "export", file], Ct));
            Assert.Contains(
                $"\"shop_id\":{shop.ShopId},",
                await File.ReadAllTextAsync(file, Ct),
                StringComparison.Ordinal
            );
            Assert.Equal(0, await ErasuresCommand.RunAsync(host.Services, ["erasures", "apply", file], Ct));
            await File.WriteAllTextAsync(file, "{}", Ct);
            Assert.Equal(1, await ErasuresCommand.RunAsync(host.Services, ["erasures", "apply", file], Ct));
        }
        finally
        {
            File.Delete(file);
        }
        Assert.Equal(1, await ErasuresCommand.RunAsync(host.Services, ["erasures", "apply", file], Ct));
        Assert.Equal(1, await ErasuresCommand.RunAsync(host.Services, ["erasures"], Ct));
    }

    private static (Erasure, ErasureList) ListOf(TestStores stores, params string[] keys)
    {
        var options = new EncryptionOptions();
        foreach (var key in keys)
            options.Keys.Add($"{key}:{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(key)))}");
        var hashes = new IdentifierHashes(Options.Create(options));
        var erasure = new Erasure(hashes);
        return (erasure, new(stores.System, stores.Tenants, erasure, hashes, NullLogger<ErasureList>.Instance));
    }

    private static Task<Redaction> EraseAsync(
        TestStores stores,
        StoreCalendar shop,
        Person? person,
        string topic,
        Erasure erasure
    ) =>
        stores.Tenants.RunAsync(
            shop.TenantId,
            async db =>
            {
                var (tenant, request) = (
                    await db.Tenants.AsNoTracking().SingleAsync(Ct),
                    new ErasureRequest(Guid.CreateVersion7(), topic, Guid.NewGuid().ToString(), Now)
                );
                return person is null
                    ? await Erasure.EraseStoreAsync(db, tenant, request, Ct)
                    : await erasure.ErasePersonAsync(db, tenant, person, request, Ct);
            },
            Ct
        );

    private static CustomerRecord CustomerOf(long id, string firstName) =>
        new()
        {
            ShopifyId = id,
            CreatedAt = Now.AddYears(-1),
            UpdatedAt = Now.AddDays(-2),
            FirstName = firstName,
            LastName = "Lovelace",
            DisplayName = $"{firstName} Lovelace",
            Email = "ada@example.test",
            Phone = "+49 30 5550100",
        };

    private static CustomerRecord BobOf() =>
        CustomerOf(Bob, "Bob") with
        {
            LastName = "Bell",
            DisplayName = "Bob Bell",
            Email = "bob@example.test",
            Phone = null,
        };

    private static CheckoutRecord CheckoutOf(long id, long customer) =>
        new()
        {
            ShopifyId = id,
            CreatedAt = Now.AddDays(-2),
            UpdatedAt = Now.AddDays(-2),
            CustomerId = customer,
            RecoveryUrl = "https://x/recover?key=1",
            Total = 500,
        };

    private static string Customer(long id, string firstName, DateTimeOffset updatedAt) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $$"""{"id":{{id}},"admin_graphql_api_id":"gid://shopify/Customer/{{id}}","first_name":"{{firstName}}","last_name":"Lovelace","email":"ada@example.test","phone":"+49305550100","created_at":"2026-05-01T10:00:00Z","updated_at":"{{updatedAt:O}}"}"""
        );

    private static string Order(long id, DateTimeOffset? updatedAt = null) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $$$"""
            {"id":{{{id}}},"admin_graphql_api_id":"gid://shopify/Order/{{{id}}}","name":"#{{{id}}}","created_at":"2026-05-01T10:00:00Z","updated_at":"{{{updatedAt
                ?? Now:O}}}","current_total_price":"10.00","email":"ADA\u0040example.test",
             "customer":{"id":{{{Ada}}},"last_name":"Lovelace","phone":"030 5550100"},"line_items":[{"id":{{{id}}},"title":"Teapot","quantity":1,"current_quantity":1,"price":"10.00","product_id":81}]}
            """
        );

    private static string Redact(Tenant shop, long customer, string? email, string? phone, params long[] orders) =>
        $$$"""{"shop_id":{{{shop.ShopId}}},"shop_domain":"{{{shop.ShopDomain}}}","customer":{"id":{{{customer}}},"email":{{{(email is null ? "null" : $"\"{email}\"")}}},"phone":{{{(phone is null ? "null" : $"\"{phone}\"")}}}},"orders_to_redact":[{{{string.Join(',', orders)}}}]}""";

    private async Task<Tenant> AddAsync()
    {
        var shopId = Random.Shared.NextInt64(1, long.MaxValue);
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = shopId,
            ShopDomain = $"erase-{shopId}.myshopify.com",
            Name = "Hooks",
            Currency = "EUR",
            TimeZone = "Europe/Berlin",
            Status = TenantStatus.Connected,
            ConnectedAt = Now.AddDays(-9),
        };
        await host
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                async db =>
                {
                    db.Tenants.Add(tenant);
                    db.ShopDomains.Add(
                        new ShopDomain
                        {
                            Domain = tenant.ShopDomain,
                            TenantId = tenant.TenantId,
                            ShopId = shopId,
                        }
                    );
                    await db.SaveChangesAsync(Ct);
                },
                Ct
            );
        return tenant;
    }

    private static Event StoredEvent(
        Guid tenant,
        string webhookId,
        string body,
        string topic = "carts/update",
        EventStatus status = EventStatus.Applied
    ) =>
        new()
        {
            TenantId = tenant,
            WebhookId = webhookId,
            Topic = topic,
            Headers = "{}",
            Payload = Encoding.UTF8.GetBytes(body),
            Status = status,
            ReceivedAt = Now.AddDays(-1),
            ObjectId = Envelope.Read(topic, Encoding.UTF8.GetBytes(body))?.ObjectId,
            // What waits is rescheduled, so that the erasure comes before its turn.
            DueAt = status == EventStatus.Pending ? Now.AddHours(1) : Now.AddDays(-1),
        };

    private Task<int> AddEventAsync(Tenant shop, string webhookId, string body) =>
        InAsync(
            shop,
            async db =>
            {
                db.Events.Add(StoredEvent(shop.TenantId, webhookId, body));
                return await db.SaveChangesAsync(Ct);
            }
        );

    private Task<int> WaitingAsync(Tenant shop, string webhookId, string topic, string body) =>
        InAsync(
            shop,
            async db =>
            {
                db.Events.Add(StoredEvent(shop.TenantId, webhookId, body, topic, EventStatus.Pending));
                return await db.SaveChangesAsync(Ct);
            }
        );

    private Task<T> InAsync<T>(Tenant shop, Func<XenoDbContext, Task<T>> work) => host.InTenantAsync(shop, work);

    private Task<ApplyResult> ApplyAsync(Tenant shop, params IngestRecord[] records) =>
        InAsync(
            shop,
            db =>
                IngestionWriter.ApplyAsync(
                    db,
                    new StoreCalendar(shop.TenantId, shop.Currency, shop.TimeZone),
                    records,
                    Ct
                )
        );

    private Task<DateTimeOffset> ClockAsync(Tenant shop) =>
        InAsync(
            shop,
            async db =>
            {
                await using var command = db.Command("select clock_timestamp()");
                return new DateTimeOffset((DateTime)(await command.ExecuteScalarAsync(Ct))!);
            }
        );

    private async Task SqlAsync(string sql)
    {
        await using var connection = new Npgsql.NpgsqlConnection(host.ConnectionString);
        await connection.OpenAsync(Ct);
        await using var command = new Npgsql.NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(Ct);
    }

    private async Task DeliverAsync(
        Tenant shop,
        string topic,
        string body,
        string? webhookId = null,
        DateTimeOffset? triggeredAt = null
    )
    {
        // Shopify sends again what a busy machine did not take.
        for (var attempt = 0; ; attempt++)
        {
            var status = await SendAsync(
                shop,
                topic,
                body,
                webhookId ??= Guid.NewGuid().ToString(),
                triggeredAt ?? Now
            );
            if (status == HttpStatusCode.OK)
                return;
            Assert.True(status == HttpStatusCode.ServiceUnavailable && attempt < 20, $"{topic} got {status}.");
        }
    }

    private async Task<HttpStatusCode> SendAsync(
        Tenant shop,
        string topic,
        string body,
        string webhookId,
        DateTimeOffset triggeredAt
    )
    {
        using var http = host.App.Visitor(followRedirects: false);
        using var request = new HttpRequestMessage(HttpMethod.Post, WebhooksApi.Path)
        {
            Content = new StringContent(body, Encoding.UTF8, "application/json"),
        };
        request.Headers.Add("X-Shopify-Topic", topic);
        request.Headers.Add("X-Shopify-Shop-Domain", shop.ShopDomain);
        request.Headers.Add("X-Shopify-Webhook-Id", webhookId);
        request.Headers.Add("X-Shopify-Triggered-At", triggeredAt.ToString("O", CultureInfo.InvariantCulture));
        request.Headers.Add(
            "X-Shopify-Hmac-Sha256",
            Convert.ToBase64String(
                HMACSHA256.HashData(Encoding.UTF8.GetBytes(StoreHost.ClientSecret), Encoding.UTF8.GetBytes(body))
            )
        );
        using var response = await http.SendAsync(request, Ct);
        return response.StatusCode;
    }

    private Task AppliedAsync(Tenant shop, params EventStatus[] also) =>
        EventuallyAsync(
            shop,
            events =>
                events.TrueForAll(e =>
                    e.Status is EventStatus.Applied or EventStatus.Ignored || also.Contains(e.Status)
                )
        );

    private async Task EventuallyAsync(Tenant shop, Predicate<List<Event>> isSo)
    {
        for (var patience = 0; ; patience++)
        {
            var events = await InAsync(shop, db => db.Events.AsNoTracking().ToListAsync(Ct));
            if (isSo(events))
                return;
            Assert.True(
                patience < 600,
                string.Join(
                    '\n',
                    events
                        .Where(e => e.Status != EventStatus.Applied)
                        .Select(e => $"{e.WebhookId} {e.Topic} {e.Status} {e.Attempts} {e.LastError}")
                )
            );
            await Task.Delay(50, Ct);
        }
    }

    private Task<List<Redaction>> EvidenceAsync(Tenant shop) =>
        host
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(db => db.Redactions.AsNoTracking().Where(r => r.Store == shop.TenantId).ToListAsync(Ct), Ct);

    private async Task ErasedAsync(Tenant shop)
    {
        var dump = await DumpAsync(shop);
        foreach (var trace in (string[])["ada@", "ada\\u0040", "ada＠", "Lovelace", "5550100", "recover?key"])
            Assert.DoesNotContain(trace, dump, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Every row of the store in every table, as text; payloads as the text they are.</summary>
    private Task<string> DumpAsync(Tenant shop) =>
        InAsync(
            shop,
            async db =>
            {
                var tables = new List<string>();
                await using (
                    var command = db.Command(
                        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'"
                    )
                )
                await using (var reader = await command.ExecuteReaderAsync(Ct))
                    while (await reader.ReadAsync(Ct))
                        tables.Add(reader.GetString(0));
                var dump = new StringBuilder();
                foreach (var table in tables)
                {
                    await using var command = db.Command(
                        table == "events"
                            ? "select e::text || coalesce(encode(payload, 'escape'), '') from events e"
                            : $"select t::text from {table} t"
                    );
                    await using var reader = await command.ExecuteReaderAsync(Ct);
                    while (await reader.ReadAsync(Ct))
                        dump.Append(table).Append(' ').AppendLine(reader.GetString(0));
                }
                return dump.ToString();
            }
        );
}
