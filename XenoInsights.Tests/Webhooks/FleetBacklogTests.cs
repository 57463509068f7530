using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>Operators see how all inboxes do, and nothing of what is in them; others see nothing.</summary>
public sealed class FleetBacklogTests(PostgresServer postgres)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Operators_see_the_queues_of_all_stores_and_others_see_none()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var app = await AppHost.StartAsync(
            database,
            new Dictionary<string, string?>
            {
                ["FakeShopify:Enabled"] = "false",
                ["Shopify:ClientId"] = "x",
                ["Shopify:ClientSecret"] = "y",
            }
        );
        var tomorrow = TimeProvider.System.GetUtcNow().AddDays(1);
        var (busy, calm, idle) = (
            await AddStoreAsync(app, 1),
            await AddStoreAsync(app, 2),
            await AddStoreAsync(app, 3)
        );
        // Waiting with a due time ahead, so that no worker takes them.
        await AddAsync(app, busy, 3, EventStatus.Pending, received: -90, dueAt: tomorrow);
        await AddAsync(app, busy, 1, EventStatus.Dead, received: -50);
        await AddAsync(app, busy, 3, EventStatus.Applied, received: 0, took: 2);
        await AddAsync(app, calm, 1, EventStatus.Pending, received: -10, dueAt: tomorrow);
        await AddAsync(app, calm, 2, EventStatus.Dead, received: -40);
        await AddAsync(app, idle, 1, EventStatus.Applied, received: -3 * 86400, took: 999);

        using var operators = await app.SignInAsync("operator@demo.test");
        var text = await operators.GetStringAsync(new Uri("/api/operations/queue", UriKind.Relative), Ct);
        Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
        var queue = JsonDocument.Parse(text).RootElement;
        Assert.Equal(
            (4, 3, 0),
            (
                queue.GetProperty("waiting").GetInt64(),
                queue.GetProperty("givenUp").GetInt64(),
                queue.GetProperty("toReadAgain").GetInt64()
            )
        );
        Assert.InRange(queue.GetProperty("oldestSeconds").GetDouble(), 89, 150);
        Assert.Equal(
            (2, 2),
            (queue.GetProperty("p50Seconds").GetDouble(), queue.GetProperty("p99Seconds").GetDouble())
        );
        Assert.Equal(
            ["queue-1.myshopify.com 3 1 2", "queue-2.myshopify.com 1 2 "],
            queue.GetProperty("mostWaiting").EnumerateArray().Select(Row)
        );
        Assert.Equal(
            ["queue-2.myshopify.com 1 2 ", "queue-1.myshopify.com 3 1 2"],
            queue.GetProperty("mostGivenUp").EnumerateArray().Select(Row)
        );
        var page = await operators.GetStringAsync(new Uri("/operations", UriKind.Relative), Ct);
        Assert.Contains("queue-1.myshopify.com", page, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", page, StringComparison.Ordinal);

        using var owner = await app.SignInAsync("owner@demo.test");
        foreach (var path in (string[])["/api/operations/queue", "/operations"])
        {
            using var refused = await owner.GetAsync(new Uri(path, UriKind.Relative), Ct);
            Assert.Equal((path, HttpStatusCode.Forbidden), (path, refused.StatusCode));
        }
        using var visitor = app.Visitor(followRedirects: false);
        using var unknown = await visitor.GetAsync(new Uri("/api/operations/queue", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, unknown.StatusCode);
    }

    private static string Row(JsonElement store) =>
        $"{store.GetProperty("storeDomain")} {store.GetProperty("waiting")} {store.GetProperty("givenUp")} {store.GetProperty("p50Seconds")}";

    private static async Task<Guid> AddStoreAsync(AppHost app, int number)
    {
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = number,
            ShopDomain = $"queue-{number}.myshopify.com",
            Name = "secret name",
            Currency = "EUR",
            TimeZone = "Europe/Berlin",
            Status = TenantStatus.Connected,
            ConnectedAt = TimeProvider.System.GetUtcNow(),
        };
        await app
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                async db =>
                {
                    db.Tenants.Add(tenant);
                    await db.SaveChangesAsync(Ct);
                },
                Ct
            );
        return tenant.TenantId;
    }

    /// <param name="received">Seconds from now; 0: today in any case.</param>
    private static Task AddAsync(
        AppHost app,
        Guid tenant,
        int count,
        EventStatus status,
        int received,
        double took = 0,
        DateTimeOffset? dueAt = null
    ) =>
        app
            .Services.GetRequiredService<TenantDatabase>()
            .RunAsync(
                tenant,
                async db =>
                {
                    var at = TimeProvider.System.GetUtcNow().AddSeconds(received);
                    db.Events.AddRange(
                        Enumerable
                            .Range(0, count)
                            .Select(i => new Event
                            {
                                TenantId = tenant,
                                WebhookId = $"{status} {i} {received}",
                                Topic = "orders/create",
                                Headers = """{"x":"secret"}""",
                                Payload = "secret"u8.ToArray(),
                                Status = status,
                                ReceivedAt = at,
                                DueAt = dueAt ?? at,
                                AppliedAt = at.AddSeconds(took),
                            })
                    );
                    await db.SaveChangesAsync(Ct);
                },
                Ct
            );
}
