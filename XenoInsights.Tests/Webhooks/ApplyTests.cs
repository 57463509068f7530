using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using XenoInsights.Compliance;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Connect;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>From the request to the figures, over real HTTP and a real database: what deliveries do once they are stored.</summary>
public sealed class ApplyTests(StoreHost host) : IClassFixture<StoreHost>
{
    private const long CustomerId = 7001;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task All_120_orders_of_five_versions_end_as_the_newest_with_rollups_equal_to_the_ledger()
    {
        var shop = await ConnectAsync();
        var versions = Enumerable.Range(1, 5).ToArray();
        var id = 1000L;
        foreach (var permutation in Permutations(versions))
        {
            id++;
            foreach (var version in permutation)
                await DeliverAsync(shop, "orders/updated", Order(id, version, quantity: version, price: "10.00"));
            // Shopify repeats what it already sent.
            await DeliverAsync(shop, "orders/create", Order(id, 1, quantity: 1, price: "10.00"));
        }
        await AppliedAsync(shop);

        var orders = await InAsync(shop, db => db.Orders.AsNoTracking().ToListAsync(Ct));
        Assert.Equal(120, orders.Count);
        Assert.All(orders, order => Assert.Equal(5 * 1000 + 500, order.CurrentTotal));
        var day = Assert.Single(
            await InAsync(shop, db => db.SalesDays.AsNoTracking().Where(d => d.Orders != 0).ToListAsync(Ct))
        );
        Assert.Equal((120, 120 * 5 * 1000, 120 * 500), ((int)day.Orders, (int)day.Gross, (int)day.Shipping));
        Assert.Empty(await InAsync(shop, db => LedgerRollups.DifferencesAsync(db, shop.TenantId, Ct)));
    }

    [Fact]
    public async Task Orders_that_Shopify_shows_from_now_on_are_read_at_once_and_only_then_known()
    {
        var shop = await ConnectAsync();
        var known = new DateOnly(2026, 4, 1);
        await InAsync(
            shop,
            async db =>
            {
                await db.SyncJobs.ExecuteDeleteAsync(Ct);
                return await db.Tenants.ExecuteUpdateAsync(
                    set => set.SetProperty(t => t.HistoryLimited, true).SetProperty(t => t.HistoryFrom, known),
                    Ct
                );
            }
        );

        await DeliverAsync(
            shop,
            "app/scopes_update",
            """{"current":["read_orders","read_all_orders","read_customers","read_products"]}"""
        );
        await AppliedAsync(shop);

        var (tenant, runs) = await InAsync(
            shop,
            async db =>
                (await db.Tenants.AsNoTracking().SingleAsync(Ct), await db.SyncJobs.AsNoTracking().ToListAsync(Ct))
        );
        Assert.Equal(
            (false, known, SyncJobType.Full),
            (tenant.HistoryLimited, tenant.HistoryFrom, Assert.Single(runs).Type)
        );
    }

    [Fact]
    public async Task A_deleted_order_stays_deleted_whatever_comes_late()
    {
        var shop = await ConnectAsync();
        await DeliverAsync(shop, "orders/create", Order(1, 1, 1, "10.00"));
        await DeliverAsync(shop, "orders/delete", """{"id":1}""", triggeredAt: Version(9));
        await DeliverAsync(shop, "orders/updated", Order(1, 5, 3, "10.00"));
        await AppliedAsync(shop);

        Assert.Empty(await InAsync(shop, db => db.Orders.ToListAsync(Ct)));
        Assert.Empty(await InAsync(shop, db => db.SalesDays.Where(d => d.Orders != 0 || d.Gross != 0).ToListAsync(Ct)));
        Assert.Empty(await InAsync(shop, db => LedgerRollups.DifferencesAsync(db, shop.TenantId, Ct)));
    }

    [Fact]
    public async Task What_a_payload_cannot_tell_is_queued_to_be_read_again_once()
    {
        var shop = await ConnectAsync();
        await DeliverAsync(shop, "orders/edited", """{"order_edit":{"id":1,"order_id":55}}""");
        await DeliverAsync(shop, "refunds/create", """{"id":9,"order_id":55,"created_at":"2026-05-01T10:00:00Z"}""");
        await DeliverAsync(
            shop,
            "checkouts/update",
            """{"id":57,"email":"a@b.test","currency":"EUR","presentment_currency":"JPY","created_at":"2026-05-01T10:00:00Z","updated_at":"2026-05-01T10:00:00Z","total_price":"500"}"""
        );
        var edited = JsonNode.Parse(Order(56, 2, 3, "10.00"))!.AsObject();
        edited["line_items"]![0]!["current_quantity"] = 1;
        edited["current_total_price"] = "15.00";
        await DeliverAsync(shop, "orders/updated", edited.ToJsonString());
        await AppliedAsync(shop);

        var refetches = await InAsync(
            shop,
            db => db.RefetchRequests.AsNoTracking().OrderBy(r => r.ShopifyId).ToListAsync(Ct)
        );
        Assert.Equal(
            [(55, RefetchKind.Order), (56, RefetchKind.Order), (57, RefetchKind.Checkout)],
            refetches.Select(r => (r.ShopifyId, r.Kind))
        );
        // In a currency that is not the shop's: better none than one that is worth a hundred times as much.
        Assert.Empty(await InAsync(shop, db => db.Checkouts.ToListAsync(Ct)));
        Assert.Equal(1500, (await InAsync(shop, db => db.Orders.SingleAsync(o => o.ShopifyId == 56, Ct))).CurrentTotal);
        // Until it was read, the two units that left the order count as returned.
        Assert.Equal(2000, (await InAsync(shop, db => db.SalesDays.SumAsync(d => d.Returns, Ct))));
    }

    [Fact]
    public async Task A_partial_refund_counts_on_its_own_day()
    {
        var shop = await ConnectAsync();
        var order = JsonNode.Parse(Order(60, 3, 4, "10.00"))!.AsObject();
        order["line_items"]![0]!["current_quantity"] = 3;
        order["current_total_price"] = "35.00";
        order["updated_at"] = "2026-05-03T10:00:00+02:00";
        order["refunds"] = JsonNode.Parse(
            """
            [{"id":601,"admin_graphql_api_id":"gid://shopify/Refund/601","created_at":"2026-05-03T10:00:00+02:00","processed_at":"2026-05-03T10:00:00+02:00",
              "refund_line_items":[{"id":1,"line_item_id":60001,"quantity":1,"subtotal":10.0,"total_tax":0.0}],"order_adjustments":[],"transactions":[{"kind":"refund","status":"success","amount":"10.00"}]}]
            """
        );
        await DeliverAsync(shop, "orders/updated", order.ToJsonString());
        await AppliedAsync(shop);

        var days = await InAsync(shop, db => db.SalesDays.AsNoTracking().OrderBy(d => d.Day).ToListAsync(Ct));
        Assert.Equal(
            [(new DateOnly(2026, 5, 1), 4000L, 0L), (new DateOnly(2026, 5, 3), 0L, 1000L)],
            days.Select(d => (d.Day, d.Gross, d.Returns))
        );
        // An order that changed after it was placed may have been edited: only Shopify's ledger is exact.
        Assert.Equal(60, (await InAsync(shop, db => db.RefetchRequests.SingleAsync(Ct))).ShopifyId);
    }

    [Fact]
    public async Task Poison_is_given_up_with_its_reason_and_holds_nobody_up()
    {
        var shop = await ConnectAsync();
        await DeliverAsync(shop, "orders/create", """{"id":70}""", webhookId: "unreadable");
        await DeliverAsync(shop, "customers/update", Order(73, 1, 1, "10.00"), webhookId: "of another topic");
        await DeliverAsync(shop, "orders/delete", Order(72, 1, 1, "10.00"), webhookId: "no deletion");
        await DeliverAsync(
            shop,
            "products/update",
            """{"id":71,"title":"a\u0000b \ud83d","created_at":"2026-05-01T10:00:00Z","updated_at":"2026-05-01T10:00:00Z"}""",
            webhookId: "half a character"
        );
        // The index of names takes none this long.
        var endless = string.Concat(Enumerable.Range(0, 300).Select(_ => Guid.NewGuid().ToString("N")));
        await DeliverAsync(
            shop,
            "orders/create",
            Order(73, 1, 1, "10.00").Replace("#73", endless, StringComparison.Ordinal),
            webhookId: "refused by the database"
        );
        await DeliverAsync(shop, "orders/create", Order(72, 1, 1, "10.00"), webhookId: "good");
        await DeliverAsync(shop, "carts/update", """{"id":"abc"}""", webhookId: "unknown topic");

        var events = await EventuallyAsync(
            shop,
            all => all.TrueForAll(e => e.Status != EventStatus.Pending || e.Attempts > 0)
        );
        Assert.Equal(EventStatus.Dead, events["unreadable"].Status);
        Assert.Contains("created_at", events["unreadable"].LastError, StringComparison.Ordinal);
        Assert.Equal(EventStatus.Dead, events["of another topic"].Status);
        Assert.Contains("Order", events["of another topic"].LastError, StringComparison.Ordinal);
        Assert.Equal(EventStatus.Dead, events["no deletion"].Status);
        Assert.Equal(
            (EventStatus.Pending, 1),
            (events["refused by the database"].Status, events["refused by the database"].Attempts)
        );
        Assert.True(
            events["refused by the database"].DueAt > events["refused by the database"].ReceivedAt.AddSeconds(1)
        );
        Assert.Equal(EventStatus.Applied, events["good"].Status);
        Assert.Equal(EventStatus.Ignored, events["unknown topic"].Status);
        Assert.Equal(EventStatus.Applied, events["half a character"].Status);
        Assert.Equal("ab \ufffd", await InAsync(shop, db => db.Products.Select(p => p.Title).SingleAsync(Ct)));
        Assert.Single(await InAsync(shop, db => db.Orders.ToListAsync(Ct)));
    }

    [Fact]
    public async Task An_order_in_a_former_currency_is_stored_and_not_added_to_the_others()
    {
        var shop = await ConnectAsync();
        await DeliverAsync(shop, "orders/create", Order(75, 1, 1, "10.00"));
        await DeliverAsync(
            shop,
            "orders/updated",
            Order(76, 2, 1, "10.00")
                .Replace("EUR", "JPY", StringComparison.Ordinal)
                .Replace(".00", "", StringComparison.Ordinal),
            webhookId: "former"
        );
        await AppliedAsync(shop);

        Assert.Equal(1, await InAsync(shop, db => db.SalesDays.SumAsync(d => d.Orders, Ct)));
        Assert.Equal(
            ("JPY", 15, false),
            await InAsync(
                shop,
                async db =>
                    await db.Orders.SingleAsync(o => o.ShopifyId == 76, Ct) is var o
                        ? (o.Currency, o.CurrentTotal, o.Counted)
                        : default
            )
        );
        Assert.Contains(
            "former currency",
            await InAsync(
                shop,
                db => db.Events.Where(e => e.WebhookId == "former").Select(e => e.Outcome).SingleAsync(Ct)
            ),
            StringComparison.Ordinal
        );
        Assert.DoesNotContain(
            76,
            await InAsync(shop, db => db.RefetchRequests.Select(r => r.ShopifyId).ToListAsync(Ct))
        );
        Assert.Empty(await InAsync(shop, db => LedgerRollups.DifferencesAsync(db, shop.TenantId, Ct)));
    }

    [Fact]
    public async Task A_line_keeps_its_product_in_whatever_order_the_versions_come()
    {
        var shop = await ConnectAsync();
        var id = 600L;
        foreach (var permutation in Permutations([1, 2, 3]))
        {
            id++;
            // The product was deleted before the second version; a third has it neither.
            foreach (var version in permutation)
                await DeliverAsync(
                    shop,
                    "orders/updated",
                    version == 1
                        ? Order(id, 1, 1, "10.00")
                        : Order(id, version, version, "10.00")
                            .Replace(
                                "\"product_id\":81",
                                "\"product_id\":null,\"product_exists\":false",
                                StringComparison.Ordinal
                            )
                );
            await AppliedAsync(shop);
        }

        var days = await InAsync(shop, db => db.ProductDays.AsNoTracking().Where(d => d.Gross != 0).ToListAsync(Ct));
        Assert.Equal((81, 6 * 3 * 1000), (Assert.Single(days).ProductId, days[0].Gross));
        Assert.All(
            await InAsync(shop, db => db.OrderLineItems.AsNoTracking().ToListAsync(Ct)),
            line => Assert.Equal(81, line.ProductId)
        );
        Assert.Empty(await InAsync(shop, db => LedgerRollups.DifferencesAsync(db, shop.TenantId, Ct)));
    }

    [Theory]
    [InlineData("edited", "updated")]
    [InlineData("updated", "edited")]
    [InlineData("updated", "edited", "noted")]
    [InlineData("edited", "updated", "noted")]
    public async Task What_an_edit_added_counts_on_its_day_also_where_the_order_cannot_be_read_again(
        params string[] told
    )
    {
        var shop = await ConnectAsync();
        var order = JsonNode.Parse(Order(90, 2, 1, "10.00"))!.AsObject();
        order["line_items"]!
            .AsArray()
            .Add(
                JsonNode.Parse(
                    """{"id":90009,"title":"Added","quantity":2,"current_quantity":2,"price":"7.00","product_id":82,"gift_card":false}"""
                )
            );
        order["current_total_price"] = "29.00";
        var noted = order.DeepClone().AsObject();
        noted["updated_at"] = "2026-07-20T10:00:00+02:00";
        foreach (var what in told)
        {
            if (what == "noted")
                await InAsync(
                    shop,
                    db =>
                        db.Events.Where(e => e.Topic == "orders/edited")
                            .ExecuteUpdateAsync(set => set.SetProperty(e => e.Payload, (byte[]?)null), Ct)
                );
            await DeliverAsync(
                shop,
                what == "edited" ? "orders/edited" : "orders/updated",
                what switch
                {
                    "edited" =>
                        """{"order_edit":{"id":5,"order_id":90,"created_at":"2026-07-10T10:00:00+02:00","committed_at":"2026-07-10T10:05:00+02:00","line_items":{"additions":[{"id":90009,"delta":2}],"removals":[]}}}""",
                    "updated" => order.ToJsonString(),
                    _ => noted.ToJsonString(),
                }
            );
            await AppliedAsync(shop);
        }

        var days = await InAsync(
            shop,
            db => db.SalesDays.AsNoTracking().Where(d => d.Gross != 0).OrderBy(d => d.Day).ToListAsync(Ct)
        );
        Assert.Equal(
            [(new DateOnly(2026, 5, 1), 1000L, 1000L), (new DateOnly(2026, 7, 10), 1400L, 0L)],
            days.Select(d => (d.Day, d.Gross, d.OrderValue))
        );
        Assert.Empty(await InAsync(shop, db => LedgerRollups.DifferencesAsync(db, shop.TenantId, Ct)));
    }

    [Fact]
    public async Task A_renamed_shop_is_followed_as_Shopify_confirms_it_and_both_names_are_accepted()
    {
        using var browser = await host.SignInAsync();
        var there = host.Shopify.AddShop();
        var shop = await host.ConnectAsync(browser, there);
        var (former, renamed) = (shop.ShopDomain, $"renamed-{shop.ShopId}.myshopify.com");
        string Body(string domain) =>
            $$"""{"id":{{shop.ShopId}},"name":"Hooks","myshopify_domain":"{{domain}}","currency":"GBP","iana_timezone":"Europe/London"}""";
        host.Shopify.Rename(there, renamed);

        shop.ShopDomain = renamed;
        Assert.Equal(
            HttpStatusCode.NotFound,
            await SendAsync(shop, "orders/create", Order(73, 1, 1, "10.00"), "too early", Version(1))
        );
        await DeliverAsync(shop, "shop/update", Body(renamed));
        await AppliedAsync(shop);
        // An old delivery, sent again by whoever has it: Shopify knows better.
        shop.ShopDomain = former;
        await DeliverAsync(shop, "shop/update", Body(former));
        await DeliverAsync(shop, "orders/create", Order(74, 1, 1, "10.00"));
        shop.ShopDomain = renamed;
        await DeliverAsync(shop, "orders/create", Order(75, 1, 1, "10.00"));
        await AppliedAsync(shop);

        Assert.Equal(renamed, await InAsync(shop, db => db.Tenants.Select(t => t.ShopDomain).SingleAsync(Ct)));
        Assert.Equal(2, await InAsync(shop, db => db.Orders.CountAsync(Ct)));
    }

    [Fact]
    public async Task A_time_zone_that_is_not_known_here_is_named_and_data_keep_flowing()
    {
        var shop = await ConnectAsync();
        string Body(string zone) =>
            $$"""{"id":{{shop.ShopId}},"name":"Hooks","myshopify_domain":"{{shop.ShopDomain}}","currency":"EUR","iana_timezone":"{{zone}}"}""";
        await DeliverAsync(shop, "shop/update", Body("Europe/Atlantis"), triggeredAt: Version(5));
        await DeliverAsync(shop, "orders/create", Order(74, 1, 1, "10.00"));
        await AppliedAsync(shop);

        Assert.Equal(("Europe/Berlin", "Europe/Atlantis"), await ZonesAsync());
        Assert.Equal(1, await InAsync(shop, db => db.Orders.CountAsync(Ct)));
        await DeliverAsync(shop, "shop/update", Body("Europe/Vienna"), triggeredAt: Version(7));
        await AppliedAsync(shop);
        Assert.Equal(("Europe/Vienna", null), await ZonesAsync());

        Task<(string, string?)> ZonesAsync() =>
            InAsync(
                shop,
                async db =>
                    await db.Tenants.AsNoTracking().SingleAsync(Ct) is var t ? (t.TimeZone, t.UnknownTimeZone) : default
            );
    }

    [Fact]
    public async Task Checkouts_customers_and_products_become_what_they_are_and_never_orders()
    {
        var shop = await ConnectAsync();
        await DeliverAsync(shop, "customers/create", Customer("Ada"));
        await DeliverAsync(
            shop,
            "products/create",
            """{"id":81,"title":"Teapot","status":"active","created_at":"2026-05-01T10:00:00Z","updated_at":"2026-05-01T10:00:00Z"}"""
        );
        await DeliverAsync(
            shop,
            "checkouts/create",
            """{"id":82,"email":"","phone":null,"created_at":"2026-05-01T10:00:00Z","updated_at":"2026-05-01T10:00:00Z","total_price":"5.00"}""",
            webhookId: "anonymous"
        );
        await DeliverAsync(
            shop,
            "checkouts/update",
            """{"id":83,"email":"a@b.test","created_at":"2026-05-01T10:00:00Z","updated_at":"2026-05-01T10:00:00Z","total_price":"5.00","line_items":[{"title":"Teapot","quantity":1,"price":"5.00"}]}"""
        );
        await AppliedAsync(shop);

        Assert.Equal("Ada Lovelace", (await InAsync(shop, db => db.Customers.SingleAsync(Ct))).DisplayName);
        Assert.Equal(
            ("Teapot", "ACTIVE"),
            await InAsync(
                shop,
                db => db.Products.Select(p => new ValueTuple<string, string?>(p.Title, p.Status)).SingleAsync(Ct)
            )
        );
        Assert.Equal(500, (await InAsync(shop, db => db.Checkouts.SingleAsync(Ct))).Total);
        Assert.Empty(await InAsync(shop, db => db.Orders.ToListAsync(Ct)));
    }

    [Fact]
    public async Task A_removed_app_loses_its_access_and_nothing_that_comes_late_is_applied_or_older_than_the_install_believed()
    {
        var shop = await ConnectAsync(connectedAt: Triggered(1));
        await InAsync(
            shop,
            async db =>
            {
                db.ShopifyCredentials.Add(
                    new ShopifyCredential
                    {
                        TenantId = shop.TenantId,
                        AccessToken = [1],
                        Scopes = "read_orders",
                    }
                );
                return await db.SaveChangesAsync(Ct);
            }
        );
        var job = await host
            .Services.CreateScope()
            .ServiceProvider.GetRequiredService<SyncJobs>()
            .EnqueueAsync(shop.TenantId, SyncJobType.Full, ct: Ct);

        await DeliverAsync(shop, "app/uninstalled", Shop(shop), triggeredAt: Triggered(0));
        await AppliedAsync(shop);
        Assert.Equal(TenantStatus.Connected, (await host.FindTenantAsync(shop.ShopId))!.Status);

        await DeliverAsync(shop, "app/uninstalled", Shop(shop), triggeredAt: Triggered(2));
        await AppliedAsync(shop);
        await DeliverAsync(shop, "orders/create", Order(90, 1, 1, "10.00"));
        await AppliedAsync(shop);

        Assert.Equal(TenantStatus.Disconnected, (await host.FindTenantAsync(shop.ShopId))!.Status);
        Assert.Empty(await InAsync(shop, db => db.ShopifyCredentials.ToListAsync(Ct)));
        Assert.Equal(
            SyncJobStatus.Cancelled,
            (await InAsync(shop, db => db.SyncJobs.SingleAsync(j => j.Id == job.Job.Id, Ct))).Status
        );
        Assert.Empty(await InAsync(shop, db => db.Orders.ToListAsync(Ct)));
    }

    [Fact]
    public async Task Another_time_zone_moves_every_order_to_its_new_day()
    {
        var shop = await ConnectAsync();
        await DeliverAsync(shop, "orders/create", Order(91, 1, 1, "10.00"));
        await AppliedAsync(shop);
        await DeliverAsync(shop, "shop/update", Shop(shop, "Moved", "Pacific/Auckland"), triggeredAt: Triggered(3));
        await DeliverAsync(shop, "shop/update", Shop(shop, "Old news", "Europe/Berlin"), triggeredAt: Triggered(2));
        await AppliedAsync(shop);
        await AssertUnfinishedAsync(shop);
        await host.RecalculateAsync(shop);

        Assert.Equal(
            ("Moved", "Pacific/Auckland"),
            ((await host.FindTenantAsync(shop.ShopId))!.Name, (await host.FindTenantAsync(shop.ShopId))!.TimeZone)
        );
        Assert.Equal(
            new DateOnly(2026, 5, 2),
            (await InAsync(shop, db => db.SalesDays.SingleAsync(d => d.Orders != 0, Ct))).Day
        );
        Assert.Empty(await InAsync(shop, db => LedgerRollups.DifferencesAsync(db, shop.TenantId, Ct)));
    }

    /// <summary>Every page says it, nobody can cancel it, and it stays although the app is removed.</summary>
    private async Task AssertUnfinishedAsync(Tenant shop)
    {
        using var owner = await host.SignInAsync();
        await host.AddOwnerAsync(shop);
        var page = await owner.GetStringAsync(
            new Uri($"/stores/{shop.ShopDomain.Split('.')[0]}/overview", UriKind.Relative),
            Ct
        );
        Assert.Contains("Figures are being recalculated", page, StringComparison.Ordinal);
        var job = await InAsync(
            shop,
            db => db.SyncJobs.AsNoTracking().SingleAsync(j => j.Type == SyncJobType.Recalculate, Ct)
        );
        using var cancelled = await owner.PostAsJsonAsync(
            $"/api/ingestion/jobs/{job.Id}/cancel",
            new { tenant_id = shop.TenantId },
            Ct
        );
        Assert.Equal(HttpStatusCode.Conflict, cancelled.StatusCode);
        await DeliverAsync(shop, "app/uninstalled", Shop(shop), triggeredAt: Triggered(8));
        await AppliedAsync(shop);
        Assert.Equal(
            SyncJobStatus.Queued,
            await InAsync(shop, db => db.SyncJobs.Where(j => j.Id == job.Id).Select(j => j.Status).SingleAsync(Ct))
        );
    }

    [Fact]
    public async Task A_person_who_asks_gets_a_file_and_one_who_is_erased_leaves_nothing_but_evidence()
    {
        var shop = await ConnectAsync();
        var figures = Order(92, 1, 1, "10.00");
        await DeliverAsync(shop, "customers/create", Customer("Ada"));
        await DeliverAsync(shop, "orders/create", figures);
        await DeliverAsync(
            shop,
            "checkouts/update",
            $$$"""{"id":93,"email":"ada@example.test","customer":{"id":{{{CustomerId}}}},"abandoned_checkout_url":"https://x/recover?key=1","created_at":"2026-05-01T10:00:00Z","updated_at":"2026-05-01T10:00:00Z","total_price":"5.00"}"""
        );
        await DeliverAsync(
            shop,
            "customers/data_request",
            $$$"""{"shop_id":{{{shop.ShopId}}},"shop_domain":"{{{shop.ShopDomain}}}","customer":{"id":{{{CustomerId}}},"email":"ada@example.test"},"orders_requested":[92],"data_request":{"id":1}}""",
            triggeredAt: Version(4)
        );
        await AppliedAsync(shop);
        var file = JsonNode.Parse((await InAsync(shop, db => db.DataRequests.SingleAsync(Ct))).File)!;
        Assert.Equal("Ada", file["customer"]!["first_name"]!.GetValue<string>());
        // Shopify no longer tells them, and 0 would be untrue.
        Assert.False(
            file["customer"]!.AsObject().ContainsKey("number_of_orders")
                || file["customer"]!.AsObject().ContainsKey("amount_spent")
        );
        Assert.Single(file["orders"]!.AsArray());

        await DeliverAsync(
            shop,
            "customers/redact",
            $$$"""{"shop_id":{{{shop.ShopId}}},"shop_domain":"{{{shop.ShopDomain}}}","customer":{"id":{{{CustomerId}}},"email":"ada@example.test"},"orders_to_redact":[92]}""",
            webhookId: "erase Ada",
            triggeredAt: Version(5)
        );
        await AppliedAsync(shop);
        // What was sent before and comes after: applied, dead-lettered or not even for figures, its body does not stay.
        await DeliverAsync(shop, "customers/update", Customer("Ada"), webhookId: "late");
        await DeliverAsync(shop, "orders/updated", Order(92, 2, 1, "10.00"), webhookId: "late order");
        await DeliverAsync(
            shop,
            "customers/data_request",
            $$$"""{"shop_id":{{{shop.ShopId}}},"shop_domain":"{{{shop.ShopDomain}}}","customer":{"id":{{{CustomerId}}},"email":"ada@example.test"}}""",
            webhookId: "late request"
        );
        await DeliverAsync(
            shop,
            "orders/create",
            $$$"""{"id":97,"customer":{"id":{{{CustomerId}}},"email":"ada@example.test"}}""",
            webhookId: "late and unreadable"
        );
        await DeliverAsync(
            shop,
            "carts/update",
            $$$"""{"customer":{"id":{{{CustomerId}}},"email":"ada@example.test"}}""",
            webhookId: "late and unknown"
        );
        await DeliverAsync(
            shop,
            "orders/create",
            Order(98, 1, 1, "10.00")
                .Replace("7001", "7002", StringComparison.Ordinal)
                .Replace("ada@example.test", "bob@example.test", StringComparison.Ordinal),
            webhookId: "of another"
        );
        var late = await EventuallyAsync(shop, events => events.TrueForAll(e => e.Status != EventStatus.Pending));
        Assert.All(
            late.Values.Where(e => e.WebhookId.StartsWith("late", StringComparison.Ordinal)),
            e => Assert.Null(e.Payload)
        );
        Assert.Equal(EventStatus.Dead, late["late and unreadable"].Status);
        Assert.NotNull(late["of another"].Payload);
        await InAsync(shop, db => db.DataRequests.ExecuteDeleteAsync(Ct)); // answered: nothing but the orders, which name nobody

        Assert.Empty(await InAsync(shop, db => db.Customers.ToListAsync(Ct)));
        Assert.Null((await InAsync(shop, db => db.Checkouts.SingleAsync(Ct))).RecoveryUrl);
        Assert.Empty(await InAsync(shop, db => db.DataRequests.ToListAsync(Ct)));
        Assert.Equal(2, await InAsync(shop, db => db.SalesDays.SumAsync(d => d.Orders, Ct)));
        var dump = await DumpAsync(shop, except: "of another");
        Assert.DoesNotContain("ada@example.test", dump, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("Lovelace", dump, StringComparison.OrdinalIgnoreCase);
        var evidence = Assert.Single(await EvidenceAsync(shop));
        Assert.Equal(("customers/redact", "erase Ada", 0L), (evidence.Topic, evidence.WebhookId, evidence.RowsAfter));
        Assert.True(evidence.RowsBefore >= 5);
    }

    [Fact]
    public async Task A_store_that_is_erased_leaves_no_row_in_any_table_and_later_deliveries_find_no_store()
    {
        var shop = await ConnectAsync();
        var other = await ConnectAsync();
        foreach (var store in (Tenant[])[shop, other])
        {
            await DeliverAsync(store, "orders/create", Order(94, 1, 1, "10.00"));
            await DeliverAsync(store, "customers/create", Customer("Ada"));
        }
        await AppliedAsync(shop);
        await DeliverAsync(shop, "app/uninstalled", Shop(shop), triggeredAt: Triggered(8));
        await AppliedAsync(shop);
        await DeliverAsync(
            shop,
            "shop/redact",
            $$"""{"shop_id":{{shop.ShopId}},"shop_domain":"{{shop.ShopDomain}}"}""",
            triggeredAt: Triggered(9)
        );

        for (var patience = 0; await host.FindTenantAsync(shop.ShopId) is not null && patience < 200; patience++)
            await Task.Delay(50, Ct);
        Assert.Equal("", await DumpAsync(shop));
        Assert.Equal(
            HttpStatusCode.NotFound,
            await SendAsync(shop, "orders/create", Order(95, 1, 1, "10.00"), "after", Version(1))
        );
        // Shopify repeats what it is not told to be done; nothing is stored, so it is.
        foreach (var topic in (string[])["shop/redact", "customers/redact", "customers/data_request"])
            Assert.Equal(
                HttpStatusCode.OK,
                await SendAsync(
                    shop,
                    topic,
                    $$$"""{"shop_id":{{{shop.ShopId}}},"shop_domain":"{{{shop.ShopDomain}}}","customer":{"id":1}}""",
                    "again",
                    Version(1)
                )
            );
        Assert.True(
            Assert.Single(await EvidenceAsync(shop)) is { Topic: "shop/redact", RowsAfter: 0, RowsBefore: > 5 }
        );
        await AppliedAsync(other);
        Assert.Single(await InAsync(other, db => db.Orders.ToListAsync(Ct)));
    }

    [Fact]
    public async Task A_body_of_another_shop_under_this_shops_header_is_refused()
    {
        var shop = await ConnectAsync();
        var other = await ConnectAsync();
        foreach (
            var topic in (string[])
                ["customers/data_request", "customers/redact", "shop/redact", "shop/update", "app/uninstalled"]
        )
        foreach (
            var (id, domain) in ((string? Id, string? Domain)[])
                [
                    ("1", shop.ShopDomain),
                    ($"{other.ShopId}", shop.ShopDomain),
                    ($"{shop.ShopId}", other.ShopDomain),
                    ($"{shop.ShopId}", null),
                    (null, shop.ShopDomain),
                    (null, null),
                ]
        )
        {
            var (idName, domainName) = topic is "shop/update" or "app/uninstalled"
                ? ("id", "myshopify_domain")
                : ("shop_id", "shop_domain");
            var body =
                $$$"""{"{{{idName}}}":{{{id ?? "null"}}},"{{{domainName}}}":{{{(domain is null ? "null" : $"\"{domain}\"")}}},"customer":{"id":{{{CustomerId}}}}}""";
            Assert.Equal(
                HttpStatusCode.NotFound,
                await SendAsync(shop, topic, body, $"{topic} {id} {domain}", Version(1))
            );
        }
        Assert.Equal(
            HttpStatusCode.NotFound,
            await SendAsync(
                shop,
                "app/scopes_update",
                $$"""{"id":1,"shop_id":"gid://shopify/Shop/{{other.ShopId}}","current":[]}""",
                "scopes",
                Version(1)
            )
        );
        Assert.Empty(await InAsync(other, db => db.Events.ToListAsync(Ct)));
        Assert.Empty(await InAsync(shop, db => db.Events.ToListAsync(Ct)));
    }

    /// <summary>Fourteen hours before Auckland's midnight passes: in Berlin 1 May, in Auckland 2 May.</summary>
    private static DateTimeOffset Version(int version) => new(2026, 5, 1, 15, 0, version, TimeSpan.Zero);

    /// <summary>A time that is believed.</summary>
    private static DateTimeOffset Triggered(int version) => _anHourAgo.AddSeconds(version);

    private static readonly DateTimeOffset _anHourAgo = TimeProvider.System.GetUtcNow().AddHours(-1);

    private static string Shop(Tenant shop, string name = "Hooks", string timeZone = "Europe/Berlin") =>
        $$"""{"id":{{shop.ShopId}},"myshopify_domain":"{{shop.ShopDomain}}","name":"{{name}}","currency":"EUR","iana_timezone":"{{timeZone}}"}""";

    private static string Order(long id, int version, int quantity, string price)
    {
        var goods = decimal.Parse(price, CultureInfo.InvariantCulture) * quantity;
        return JsonSerializer.Serialize(
            new
            {
                id,
                admin_graphql_api_id = $"gid://shopify/Order/{id}",
                name = $"#{id}",
                test = false,
                taxes_included = false,
                currency = "EUR",
                source_name = "web",
                created_at = "2026-05-01T17:00:00+02:00",
                processed_at = "2026-05-01T17:00:00+02:00",
                updated_at = Version(version),
                financial_status = "paid",
                fulfillment_status = (string?)null,
                current_total_price = (goods + 5).ToString("0.00", CultureInfo.InvariantCulture),
                customer = new
                {
                    id = CustomerId,
                    admin_graphql_api_id = $"gid://shopify/Customer/{CustomerId}",
                    email = "ada@example.test",
                    last_name = "Lovelace",
                },
                line_items = new[]
                {
                    new
                    {
                        id = id * 1000 + 1,
                        title = "Teapot",
                        quantity,
                        current_quantity = quantity,
                        price,
                        product_id = 81,
                        gift_card = false,
                    },
                },
                shipping_lines = new[]
                {
                    new
                    {
                        id = id * 1000 + 2,
                        title = "Post",
                        price = "5.00",
                    },
                },
                refunds = Array.Empty<object>(),
            }
        );
    }

    private static string Customer(string firstName) =>
        $$"""{"id":{{CustomerId}},"admin_graphql_api_id":"gid://shopify/Customer/{{CustomerId}}","first_name":"{{firstName}}","last_name":"Lovelace","email":"ada@example.test","created_at":"2026-05-01T10:00:00Z","updated_at":"2026-05-01T10:00:00Z","orders_count":1,"total_spent":"15.00"}""";

    private async Task<Tenant> ConnectAsync(DateTimeOffset? connectedAt = null)
    {
        var shopId = Random.Shared.NextInt64(1, long.MaxValue);
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = shopId,
            ShopDomain = $"hooks-{shopId}.myshopify.com",
            Name = "Hooks",
            Currency = "EUR",
            TimeZone = "Europe/Berlin",
            Status = TenantStatus.Connected,
            ConnectedAt = connectedAt ?? Version(0).AddDays(-1),
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

    private Task<T> InAsync<T>(Tenant shop, Func<XenoDbContext, Task<T>> work) => host.InTenantAsync(shop, work);

    private async Task DeliverAsync(
        Tenant shop,
        string topic,
        string body,
        string? webhookId = null,
        DateTimeOffset? triggeredAt = null
    ) =>
        Assert.Equal(
            HttpStatusCode.OK,
            await SendAsync(shop, topic, body, webhookId ?? Guid.NewGuid().ToString(), triggeredAt ?? Version(1))
        );

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

    private async Task AppliedAsync(Tenant shop) =>
        await EventuallyAsync(
            shop,
            events => events.TrueForAll(e => e.Status is EventStatus.Applied or EventStatus.Ignored)
        );

    private async Task<Dictionary<string, Event>> EventuallyAsync(Tenant shop, Predicate<List<Event>> isSo)
    {
        var events = new List<Event>();
        for (var patience = 0; patience < 400; patience++)
        {
            events = await InAsync(shop, db => db.Events.AsNoTracking().ToListAsync(Ct));
            if (isSo(events))
                return events.ToDictionary(e => e.WebhookId);
            await Task.Delay(50, Ct);
        }
        throw new TimeoutException(
            string.Join(
                '\n',
                events
                    .Where(e => e.Status != EventStatus.Applied)
                    .Select(e => $"{e.Topic} {e.Status} {e.Attempts} {e.LastError}")
            )
        );
    }

    private Task<List<Redaction>> EvidenceAsync(Tenant shop) =>
        host
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(db => db.Redactions.AsNoTracking().Where(r => r.Store == shop.TenantId).ToListAsync(Ct), Ct);

    /// <summary>Every row of the store in every table, as text; payloads as the text they are.</summary>
    private Task<string> DumpAsync(Tenant shop, string except = "") =>
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
                            ? "select e::text || coalesce(encode(payload, 'escape'), '') from events e where webhook_id <> $1"
                            : $"select t::text from {table} t where $1::text is not null"
                    );
                    command.Parameters.Add(new NpgsqlParameter { Value = except });
                    await using var reader = await command.ExecuteReaderAsync(Ct);
                    while (await reader.ReadAsync(Ct))
                        dump.Append(table).Append(' ').AppendLine(reader.GetString(0));
                }
                return dump.ToString();
            }
        );

    private static IEnumerable<int[]> Permutations(int[] items) =>
        items.Length == 1
            ? [items]
            : items.SelectMany(first =>
                Permutations([.. items.Where(i => i != first)]).Select(rest => (int[])[first, .. rest])
            );
}
