using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify.Stores;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;
using XenoInsights.Tests.Sync;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>What a replay would change is found by doing it: asked over HTTP, and then done.</summary>
public sealed class ReplayTests(PostgresServer postgres)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_dry_run_says_what_each_delivery_would_do_and_changes_nothing_and_the_replay_then_does_it()
    {
        await using var host = await ImportHost.StartAsync(postgres, [HardCases.CreateEuros()]);
        var (tenant, _) = await host.ImportAsync(HardCases.Domain);
        // The index of names takes none this long.
        var endless = string.Concat(Enumerable.Range(0, 300).Select(_ => Guid.NewGuid().ToString("N")));
        var refused = Order(71, 1, 1).Replace("#71", endless, StringComparison.Ordinal);
        await AddAsync(
            host,
            tenant,
            ("a new", "orders/create", Order(1, 2, 3), EventStatus.Dead),
            ("b older", "orders/updated", Order(1, 1, 9), EventStatus.Dead),
            ("c deletes", "orders/delete", """{"id":1}""", EventStatus.Applied),
            (
                "d refund",
                "refunds/create",
                """{"id":9,"order_id":55,"created_at":"2026-05-01T10:00:00Z"}""",
                EventStatus.Dead
            ),
            ("e unreadable", "orders/create", """{"id":70}""", EventStatus.Dead),
            ("f refused by the database", "orders/create", refused, EventStatus.Dead),
            ("g unknown", "carts/update", """{"id":"abc"}""", EventStatus.Dead),
            (
                "h moves",
                "shop/update",
                $$"""{"id":1,"name":"Moved","currency":"EUR","iana_timezone":"Pacific/Auckland"}""",
                EventStatus.Dead
            ),
            ("i erases", "shop/redact", $$"""{"shop_id":1}""", EventStatus.Applied)
        );
        var before = await DumpAsync(host, tenant);

        var tried = await TryAsync(host.Owner, tenant, null);
        Assert.Equal((7, 100), (tried.GetProperty("matching").GetInt32(), tried.GetProperty("limit").GetInt32()));
        Assert.Equal(
            [
                "a new stored False",
                "b older unchanged False",
                "d refund readAgain True",
                "e unreadable fails False",
                "f refused by the database fails False",
                "g unknown ignored False",
                "h moves carriedOut False",
            ],
            tried
                .GetProperty("deliveries")
                .EnumerateArray()
                .Select(d => $"{d.GetProperty("webhookId")} {d.GetProperty("effect")} {d.GetProperty("readsAgain")}")
        );
        Assert.Contains(
            "created_at",
            tried.GetProperty("deliveries")[3].GetProperty("says").GetString(),
            StringComparison.Ordinal
        );
        // Another time zone moves the days later, in a run of its own.
        Assert.Contains(
            "all figures are being recalculated",
            tried.GetProperty("deliveries")[6].GetProperty("says").GetString(),
            StringComparison.Ordinal
        );
        var day = Assert.Single(
            (await TryAsync(host.Owner, tenant, ["a new", "b older"])).GetProperty("days").EnumerateArray()
        );
        Assert.Equal(
            "2026-05-01 0 1 0 3500",
            string.Join(
                ' ',
                ((string[])["day", "ordersBefore", "ordersAfter", "totalSalesBefore", "totalSalesAfter"]).Select(name =>
                    day.GetProperty(name)
                )
            )
        );
        // Whatever is named, also what was applied, and even the end of the store.
        var named = await TryAsync(host.Owner, tenant, ["a new", "c deletes", "i erases"]);
        Assert.Equal(
            ["stored", "deleted", "carriedOut"],
            named.GetProperty("deliveries").EnumerateArray().Select(d => d.GetProperty("effect").GetString())
        );
        Assert.Equal(before, await DumpAsync(host, tenant));

        using var replayed = await host.Owner.PostAsJsonAsync(
            "/api/events/replay",
            new { tenant_id = tenant.ToString(), webhook_ids = new[] { "a new", "b older" } },
            Ct
        );
        Assert.Equal("""{"replayed":2,"dryRun":null}""", await replayed.Content.ReadAsStringAsync(Ct));
        for (
            var patience = 0;
            await host.InTenantAsync(tenant, db => db.Events.AnyAsync(e => e.Status == EventStatus.Pending, Ct));
            patience++
        )
        {
            Assert.True(patience < 400, "The replayed deliveries are not applied.");
            await Task.Delay(50, Ct);
        }
        Assert.Equal(
            3,
            (await host.InTenantAsync(tenant, db => db.OrderLineItems.SingleAsync(l => l.OrderId == 1, Ct))).Quantity
        );
        Assert.Equal(
            "unchanged",
            (await TryAsync(host.Owner, tenant, ["a new"]))
                .GetProperty("deliveries")[0]
                .GetProperty("effect")
                .GetString()
        );
    }

    [Fact]
    public async Task A_dry_run_looks_at_the_oldest_hundred_and_says_so_and_waits_for_nobody()
    {
        await using var host = await ImportHost.StartAsync(postgres, [HardCases.CreateEuros()]);
        var (tenant, _) = await host.ImportAsync(HardCases.Domain);
        await AddAsync(
            host,
            tenant,
            [
                .. Enumerable
                    .Range(0, 130)
                    .Select(i => ($"{i:000}", "orders/create", Order(i + 1, 1, 1), EventStatus.Dead)),
            ]
        );
        var tried = await TryAsync(host.Owner, tenant, null);
        Assert.Equal(
            (130, 100),
            (tried.GetProperty("matching").GetInt32(), tried.GetProperty("deliveries").GetArrayLength())
        );
        Assert.Equal("000", tried.GetProperty("deliveries")[0].GetProperty("webhookId").GetString());

        await host.InTenantAsync(
            tenant,
            async db =>
            {
                Assert.True(await EventQueue.TryLockAsync(db, tenant, Ct));
                using var refused = await host.Owner.PostAsJsonAsync(
                    "/api/events/replay",
                    new { tenant_id = tenant.ToString(), dry_run = true },
                    Ct
                );
                Assert.Equal(HttpStatusCode.Conflict, refused.StatusCode);
                return true;
            }
        );
    }

    [Theory]
    [InlineData("2026-05-01T12:00", false, "2026-05-01T10:00Z")]
    [InlineData("2026-03-29T02:30", false, "2026-03-29T01:30Z")] // skipped
    [InlineData("2026-10-25T02:30", false, "2026-10-25T00:30Z")] // twice
    [InlineData("2026-10-25T02:30", true, "2026-10-25T01:30Z")]
    public void A_time_of_the_shop_is_an_instant(string local, bool end, string instant) =>
        Assert.Equal(
            Instant(instant),
            new StoreClock(TimeProvider.System, "Europe/Berlin")
                .InstantOf(DateTime.Parse(local, System.Globalization.CultureInfo.InvariantCulture), end)
                .ToUniversalTime()
        );

    private static DateTimeOffset Instant(string text) =>
        DateTimeOffset.Parse(text, System.Globalization.CultureInfo.InvariantCulture);

    private static async Task<JsonElement> TryAsync(HttpClient client, Guid tenant, string[]? webhookIds)
    {
        using var response = await client.PostAsJsonAsync(
            "/api/events/replay",
            new
            {
                tenant_id = tenant.ToString(),
                webhook_ids = webhookIds,
                dry_run = true,
            },
            Ct
        );
        Assert.True(response.IsSuccessStatusCode, await response.Content.ReadAsStringAsync(Ct));
        var answer = await response.Content.ReadFromJsonAsync<JsonElement>(Ct);
        Assert.Equal(0, answer.GetProperty("replayed").GetInt32());
        return answer.GetProperty("dryRun");
    }

    private static Task<int> AddAsync(
        ImportHost host,
        Guid tenant,
        params (string Id, string Topic, string Payload, EventStatus Status)[] deliveries
    ) =>
        host.InTenantAsync(
            tenant,
            async db =>
            {
                var at = TimeProvider.System.GetUtcNow().AddMinutes(-5);
                db.Events.AddRange(
                    deliveries.Select(
                        (d, i) =>
                            new Event
                            {
                                TenantId = tenant,
                                WebhookId = d.Id,
                                Topic = d.Topic,
                                Headers = "{}",
                                Payload = Encoding.UTF8.GetBytes(d.Payload),
                                Status = d.Status,
                                TriggeredAt = at,
                                ReceivedAt = at.AddMilliseconds(i),
                                DueAt = at,
                                Attempts = 1,
                                LastError = "x",
                            }
                    )
                );
                return await db.SaveChangesAsync(Ct);
            }
        );

    private static string Order(long id, int version, int quantity) =>
        $$$"""
            {"id":{{{id}}},"name":"#{{{id}}}","created_at":"2026-05-01T20:00:00Z","updated_at":"2026-05-01T20:00:0{{{version}}}Z","current_total_price":"{{{(
                quantity * 10
            ) + 5}}}.00","customer":{"id":7001},
             "line_items":[{"id":{{{id}}},"title":"Teapot","quantity":{{{quantity}}},"current_quantity":{{{quantity}}},"price":"10.00","product_id":81}],"shipping_lines":[{"id":2,"title":"Post","price":"5.00"}]}
            """;

    /// <summary>Every row of the store in every table but those that live by themselves.</summary>
    private static Task<string> DumpAsync(ImportHost host, Guid tenant) =>
        host.InTenantAsync(
            tenant,
            async db =>
            {
                var tables = new List<string>();
                await using (
                    var command = db.Command(
                        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname not in ('sync_jobs', 'shopify_credentials') order by 1"
                    )
                )
                await using (var reader = await command.ExecuteReaderAsync(Ct))
                    while (await reader.ReadAsync(Ct))
                        tables.Add(reader.GetString(0));
                var dump = new StringBuilder();
                foreach (var table in tables)
                {
                    await using var command = db.Command($"select t::text from {table} t order by 1");
                    await using var reader = await command.ExecuteReaderAsync(Ct);
                    while (await reader.ReadAsync(Ct))
                        dump.Append(table).Append(' ').AppendLine(reader.GetString(0));
                }
                return dump.ToString();
            }
        );
}
