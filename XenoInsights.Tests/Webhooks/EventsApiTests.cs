using System.Net;
using System.Net.Http.Json;
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

/// <summary>Seeing deliveries, applying them again, and hearing of changes, as owner, viewer and stranger.</summary>
public sealed class EventsApiTests(PostgresServer postgres)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Members_see_deliveries_viewers_without_people_and_strangers_nothing()
    {
        await using var host = await ImportHost.StartAsync(postgres, [HardCases.CreateEuros()]);
        var tenant = await host.ConnectAsync(HardCases.Domain);
        await AddAsync(
            host,
            tenant,
            "a",
            "customers/update",
            """{"id":5,"first_name":"Ada","customer":{"name":"Ada L"},"email":"ada@example.test","tags":"vip"}""",
            EventStatus.Dead
        );
        await AddAsync(host, tenant, "b", "orders/create", """{"id":6}""", EventStatus.Applied);
        await AddAsync(host, tenant, "c", "orders/create", "not json", EventStatus.Ignored);

        Assert.Equal(["c", "b", "a"], await IdsAsync(host.Owner, $"/api/events?tenant_id={tenant}"));
        Assert.Equal(["c", "b"], await IdsAsync(host.Owner, $"/api/events?tenant_id={tenant}&topic=orders/create"));
        Assert.Equal(["a"], await IdsAsync(host.Owner, $"/api/events?tenant_id={tenant}&status=dead"));
        Assert.Equal(["b"], await IdsAsync(host.Owner, $"/api/events?tenant_id={tenant}&object_id=6"));
        using var first = await host.Owner.GetAsync(
            new Uri($"/api/events?tenant_id={tenant}&limit=2", UriKind.Relative),
            Ct
        );
        var next = Assert.Single(first.Headers.GetValues("Link")).Split('<', '>')[1];
        Assert.Equal(["a"], await IdsAsync(host.Owner, next));
        Assert.Equal(
            HttpStatusCode.BadRequest,
            await StatusAsync(host.Owner, $"/api/events?tenant_id={tenant}&status=odd")
        );
        Assert.Equal(HttpStatusCode.NotFound, await StatusAsync(host.Owner, $"/api/events/nothing?tenant_id={tenant}"));
        foreach (
            var question in (string[])
                [
                    "?topic=%00",
                    "?topic=a%00b",
                    "?status=%00",
                    "?before=2026-11-01T00:00:00Z&before_id=%00",
                    "?object_id=%00",
                    "?from=%00",
                    "?before=%00",
                    "?limit=%00",
                ]
        )
            Assert.Equal(
                HttpStatusCode.BadRequest,
                await StatusAsync(host.Owner, $"/api/events{question}&tenant_id={tenant}")
            );
        Assert.Equal(HttpStatusCode.BadRequest, await StatusAsync(host.Owner, $"/api/events/a%00b?tenant_id={tenant}"));
        foreach (var id in (string[])["\\u0000", "\\ud83d", "\\udc00x"])
        {
            using var content = new StringContent(
                $$"""{"tenant_id":"{{tenant}}","webhook_ids":["{{id}}"]}""",
                System.Text.Encoding.UTF8,
                "application/json"
            );
            using var unreadable = await host.Owner.PostAsync(
                new Uri("/api/events/replay", UriKind.Relative),
                content,
                Ct
            );
            Assert.Equal(HttpStatusCode.BadRequest, unreadable.StatusCode);
        }
        var page = $"/stores/{HardCases.Domain.Split('.')[0]}/events";
        foreach (
            var question in (string[])
                [
                    "?topic=%00",
                    "?before_id=%00&before=2026-11-01",
                    "?status=%00",
                    "?object=%00",
                    "?from=%00&to=%00",
                    "?from=0001-01-01T00:00&to=9999-12-31T23:59",
                    "?before=0001-01-01&before_id=x",
                ]
        )
        {
            var text = await TextAsync(host.Owner, page + question);
            Assert.DoesNotContain("did not load", text, StringComparison.Ordinal);
        }

        using var viewer = await host.App.SignInAsync("viewer@demo.test");
        Assert.Equal(HttpStatusCode.NotFound, await StatusAsync(viewer, $"/api/events?tenant_id={tenant}"));
        await MakeViewerAsync(host, tenant);
        var (full, masked) = (
            await TextAsync(host.Owner, $"/api/events/a?tenant_id={tenant}"),
            await TextAsync(viewer, $"/api/events/a?tenant_id={tenant}")
        );
        Assert.Contains("ada@example.test", full, StringComparison.Ordinal);
        Assert.Contains("vip", masked, StringComparison.Ordinal);
        Assert.DoesNotContain("Ada", masked, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain(
            "not json",
            await TextAsync(viewer, $"/api/events/c?tenant_id={tenant}"),
            StringComparison.Ordinal
        );

        using var refused = await viewer.PostAsJsonAsync(
            "/api/events/replay",
            new { tenant_id = tenant.ToString() },
            Ct
        );
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        using var replayed = await host.Owner.PostAsJsonAsync(
            "/api/events/replay",
            new { tenant_id = tenant.ToString() },
            Ct
        );
        Assert.Equal(1, (await replayed.Content.ReadFromJsonAsync<JsonElement>(Ct)).GetProperty("replayed").GetInt32());
        using var named = await host.Owner.PostAsJsonAsync(
            "/api/events/replay",
            new { tenant_id = tenant.ToString(), webhook_ids = new[] { "b", "unknown" } },
            Ct
        );
        Assert.Equal(1, (await named.Content.ReadFromJsonAsync<JsonElement>(Ct)).GetProperty("replayed").GetInt32());
    }

    [Fact]
    public async Task The_stream_tells_of_each_change()
    {
        await using var host = await ImportHost.StartAsync(postgres, [HardCases.CreateEuros()]);
        var (tenant, _) = await host.ImportAsync(HardCases.Domain);
        using var response = await host.Owner.GetAsync(
            new Uri($"/api/metrics/stream?tenant_id={tenant}", UriKind.Relative),
            HttpCompletionOption.ResponseHeadersRead,
            Ct
        );
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        using var lines = new StreamReader(await response.Content.ReadAsStreamAsync(Ct));
        Assert.Equal("event: change", await NextEventAsync(lines)); // what was there when the line opened

        await host.InTenantAsync(
            tenant,
            async db =>
            {
                await IngestionWriter.BumpDataVersionAsync(db, tenant, Ct);
                return true;
            }
        );
        Assert.Equal("event: change", await NextEventAsync(lines));
        Assert.Equal(
            HttpStatusCode.NotFound,
            await StatusAsync(host.Owner, $"/api/metrics/stream?tenant_id={Guid.NewGuid()}")
        );
    }

    private static async Task<string> NextEventAsync(StreamReader lines)
    {
        while (await lines.ReadLineAsync(Ct).AsTask().WaitAsync(TimeSpan.FromSeconds(20), Ct) is { } line)
            if (line.StartsWith("event:", StringComparison.Ordinal))
                return line;
        throw new InvalidOperationException("The stream ended.");
    }

    private static async Task AddAsync(
        ImportHost host,
        Guid tenant,
        string id,
        string topic,
        string payload,
        EventStatus status
    )
    {
        await host.InTenantAsync(
            tenant,
            async db =>
            {
                db.Events.Add(
                    new Event
                    {
                        TenantId = tenant,
                        WebhookId = id,
                        Topic = topic,
                        Headers = """{"X-Shopify-Topic":"t"}""",
                        Payload = System.Text.Encoding.UTF8.GetBytes(payload),
                        Status = status,
                        ObjectId = id == "b" ? 6 : null,
                        ReceivedAt = TimeProvider.System.GetUtcNow(),
                        DueAt = TimeProvider.System.GetUtcNow(),
                        AppliedAt = TimeProvider.System.GetUtcNow(),
                    }
                );
                return await db.SaveChangesAsync(Ct);
            }
        );
        await Task.Delay(5, Ct);
    }

    private static async Task MakeViewerAsync(ImportHost host, Guid tenant)
    {
        var id = await host
            .App.Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                db => db.Users.Where(u => u.Email == "viewer@demo.test").Select(u => u.UserId).SingleAsync(Ct),
                Ct
            );
        await host.InTenantAsync(
            tenant,
            async db =>
            {
                db.Memberships.Add(
                    new Membership
                    {
                        TenantId = tenant,
                        UserId = id,
                        Role = MemberRole.Viewer,
                        CreatedAt = TimeProvider.System.GetUtcNow(),
                    }
                );
                return await db.SaveChangesAsync(Ct);
            }
        );
    }

    private static async Task<string[]> IdsAsync(HttpClient client, string path) =>
        [
            .. (await client.GetFromJsonAsync<JsonElement[]>(path, Ct))!.Select(e =>
                e.GetProperty("webhookId").GetString()!
            ),
        ];

    private static async Task<HttpStatusCode> StatusAsync(HttpClient client, string path)
    {
        using var response = await client.GetAsync(
            new Uri(path, UriKind.Relative),
            HttpCompletionOption.ResponseHeadersRead,
            Ct
        );
        return response.StatusCode;
    }

    private static Task<string> TextAsync(HttpClient client, string path) =>
        client.GetStringAsync(new Uri(path, UriKind.Relative), Ct);
}
