using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Tenants;
using XenoInsights.Tests.Connect;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

/// <summary>
/// A signature covers a body and nothing else: what the headers say is believed only as far as it can be checked.
/// </summary>
public sealed class AuthenticityTests(StoreHost host, PostgresServer postgres) : IClassFixture<StoreHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_end_of_the_store_is_believed_only_when_Shopify_no_longer_accepts_the_token()
    {
        using var browser = await host.SignInAsync();
        var stand = host.Shopify.AddShop();
        var shop = await host.ConnectAsync(browser, stand);

        Assert.Equal(HttpStatusCode.OK, await SendAsync(shop, "app/uninstalled", ShopBody(shop), "not removed"));
        Assert.Equal(HttpStatusCode.OK, await SendAsync(shop, "shop/redact", RedactBody(shop), "not to be erased"));
        await EventuallyAsync(shop, events => events.TrueForAll(e => e.Status == EventStatus.Ignored));
        Assert.All(await EventsAsync(shop), e => Assert.Contains("still accepts", e.Outcome, StringComparison.Ordinal));
        Assert.Equal(TenantStatus.Connected, (await host.FindTenantAsync(shop.ShopId))!.Status);

        // An outage is nobody's failure: it waits, however often it was asked.
        stand.AdminStatus = 503;
        Assert.Equal(HttpStatusCode.OK, await SendAsync(shop, "app/uninstalled", ShopBody(shop), "removed"));
        await EventuallyAsync(shop, events => events.Exists(e => e.WebhookId == "removed" && e.LastError is not null));
        var waiting = (await EventsAsync(shop)).Single(e => e.WebhookId == "removed");
        Assert.Equal((EventStatus.Pending, 0), (waiting.Status, waiting.Attempts));

        stand.Uninstall();
        stand.AdminStatus = null;
        await EventuallyAsync(shop, events => events.TrueForAll(e => e.Status != EventStatus.Pending));
        Assert.Equal(EventStatus.Applied, (await EventsAsync(shop)).Single(e => e.WebhookId == "removed").Status);
        Assert.Equal(TenantStatus.Disconnected, (await host.FindTenantAsync(shop.ShopId))!.Status);

        Assert.Equal(HttpStatusCode.OK, await SendAsync(shop, "shop/redact", RedactBody(shop), "to be erased"));
        for (var patience = 0; await host.FindTenantAsync(shop.ShopId) is not null; patience++)
        {
            Assert.True(patience < 400, "The store is not erased.");
            await Task.Delay(50, Ct);
        }
    }

    [Fact]
    public async Task What_is_signed_but_no_object_is_refused_before_it_is_stored()
    {
        var shop = await AddAsync();
        // The second is what a browser brings back from OAuth, whose signature is of the same secret.
        foreach (
            var body in (string[])
                [
                    "",
                    "code=1&host=x&shop=y&state=z&timestamp=1",
                    "[]",
                    "1",
                    "null",
                    "\"text\"",
                    "{",
                    """{"id":1""",
                    """{"id":1} {"id":2}""",
                    """{"id":1}x""",
                    "\u0000{}",
                ]
        )
        foreach (var topic in (string[])["orders/create", "app/uninstalled", "shop/redact", "carts/update"])
            Assert.Equal(HttpStatusCode.BadRequest, await SendAsync(shop, topic, body, Guid.NewGuid().ToString()));
        Assert.Empty(await EventsAsync(shop));
    }

    [Fact]
    public async Task Times_far_from_receipt_and_headers_that_are_not_Shopifys_are_not_kept()
    {
        var shop = await AddAsync();
        var now = TimeProvider.System.GetUtcNow();
        var told = new Dictionary<string, string>
        {
            ["yesterday"] = now.AddHours(-30).ToString("O", CultureInfo.InvariantCulture),
            ["last week"] = now.AddDays(-7).ToString("O", CultureInfo.InvariantCulture),
            ["next year"] = now.AddYears(1).ToString("O", CultureInfo.InvariantCulture),
            ["no time"] = "soon",
            ["first day"] = "0001-01-01T00:00:00Z",
            ["last day"] = "9999-12-31T23:59:59Z",
        };
        foreach (var (id, triggeredAt) in told)
            Assert.Equal(
                HttpStatusCode.OK,
                await SendAsync(
                    shop,
                    "carts/update",
                    """{"id":1}""",
                    id,
                    triggeredAt,
                    ("X-Shopify-Invented", "x"),
                    ("X-Shopify-Event-Id", new string('e', 5000)),
                    ("Cookie", "c=1")
                )
            );

        var events = (await EventsAsync(shop)).ToDictionary(e => e.WebhookId);
        Assert.Equal(now.AddHours(-30).ToUnixTimeSeconds(), events["yesterday"].TriggeredAt!.Value.ToUnixTimeSeconds());
        Assert.Null(events["no time"].TriggeredAt);
        foreach (var id in (string[])["last week", "next year", "first day", "last day"])
            Assert.Equal(events[id].ReceivedAt, events[id].TriggeredAt);
        Assert.All(
            events.Values,
            e =>
            {
                Assert.DoesNotContain("Invented", e.Headers, StringComparison.OrdinalIgnoreCase);
                Assert.DoesNotContain("Hmac", e.Headers, StringComparison.OrdinalIgnoreCase);
                Assert.DoesNotContain("Cookie", e.Headers, StringComparison.OrdinalIgnoreCase);
                Assert.Contains("carts/update", e.Headers, StringComparison.Ordinal);
                Assert.True(e.Headers.Length < 1500 && e.EventId!.Length <= 200);
            }
        );
    }

    [Fact]
    public async Task Compliance_deliveries_of_unknown_shops_are_acknowledged_and_nothing_else_is()
    {
        var stranger = new Tenant
        {
            TenantId = Guid.NewGuid(),
            ShopId = 954889,
            ShopDomain = "not-here.myshopify.com",
            Name = "",
            Currency = "EUR",
            TimeZone = "UTC",
        };
        foreach (var topic in (string[])["customers/data_request", "customers/redact", "shop/redact"])
        {
            Assert.Equal(
                HttpStatusCode.OK,
                await SendAsync(stranger, topic, RedactBody(stranger), Guid.NewGuid().ToString())
            );
            Assert.Equal(
                HttpStatusCode.Unauthorized,
                await SendAsync(
                    stranger,
                    topic,
                    RedactBody(stranger),
                    Guid.NewGuid().ToString(),
                    secret: "another secret"
                )
            );
        }
        foreach (var topic in (string[])["orders/create", "app/uninstalled", "shop/update"])
            Assert.Equal(
                HttpStatusCode.NotFound,
                await SendAsync(stranger, topic, ShopBody(stranger), Guid.NewGuid().ToString())
            );
    }

    /// <summary>The shop took another domain and no one has told: what names it by its id still reaches it.</summary>
    [Fact]
    public async Task A_shop_that_names_itself_is_found_by_its_id()
    {
        var shop = await AddAsync();
        var renamed = new Tenant
        {
            TenantId = shop.TenantId,
            ShopId = shop.ShopId,
            ShopDomain = $"renamed-{shop.ShopId}.myshopify.com",
            Name = "",
            Currency = "EUR",
            TimeZone = "UTC",
        };
        Assert.Equal(HttpStatusCode.OK, await SendAsync(renamed, "customers/redact", RedactBody(renamed), "by id"));
        Assert.Equal(HttpStatusCode.NotFound, await SendAsync(renamed, "orders/create", """{"id":1}""", "by domain"));
        Assert.Equal("by id", Assert.Single(await EventsAsync(shop)).WebhookId);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("c2hvcnQ=")]
    [InlineData("////////////////////////////////////////////////////////")]
    [InlineData("not base64 but as long as it should be 44444")]
    public async Task Without_a_well_formed_signature_nothing_is_read(string? signature)
    {
        using var socket = await OpenAsync(host.App.Address, signature, promised: 4_000_000);
        Assert.Equal("401", await StatusAsync(socket));
    }

    [Fact]
    public async Task More_at_once_than_may_be_in_flight_are_told_to_come_again()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var app = await AppHost.StartAsync(
            database,
            new Dictionary<string, string?>
            {
                ["FakeShopify:Enabled"] = "false",
                ["Shopify:ClientId"] = "x",
                ["Shopify:ClientSecret"] = StoreHost.ClientSecret,
                ["Webhooks:MaxInFlight"] = "1",
            }
        );
        var signature = Convert.ToBase64String(new byte[32]);
        using (var slow = await OpenAsync(app.Address, signature, promised: 1000))
        {
            string status;
            string head;
            var others = new List<TcpClient>();
            for (var patience = 0; ; patience++)
            {
                // On a busy machine the slow one may come late, or have been dead-lettered already: another takes its place.
                if (patience % 20 == 19)
                {
                    others.Add(await OpenAsync(app.Address, signature, promised: 1000));
                    await Task.Delay(200, Ct);
                }
                using var next = await OpenAsync(app.Address, signature, promised: 1, body: "x");
                (status, head) = await AnswerAsync(next);
                if (status == "503" || patience > 400)
                    break;
            }
            Assert.Equal("503", status);
            Assert.Contains("Retry-After:", head, StringComparison.OrdinalIgnoreCase);
            // A signature that cannot be one is refused as ever.
            using var anonymous = await OpenAsync(app.Address, null, promised: 1, body: "x");
            Assert.Equal("401", await StatusAsync(anonymous));
            using var http = app.Visitor();
            var metrics = await http.GetStringAsync(new Uri("/metrics", UriKind.Relative), Ct);
            Assert.Contains("reason=\"busy\"", metrics, StringComparison.Ordinal);
            Assert.Matches("xeno_webhooks_in_flight[^\n]* 1", metrics);
            others.ForEach(other => other.Dispose());
        }
        // Who was slow has gone, and its place is free.
        for (var patience = 0; ; patience++)
        {
            using var next = await OpenAsync(app.Address, signature, promised: 1, body: "x");
            if (await StatusAsync(next) == "401")
                break;
            Assert.True(patience < 400, "The place is not free again.");
            await Task.Delay(50, Ct);
        }
        await database.DisposeAsync();
    }

    [Theory]
    [InlineData("0")]
    [InlineData("10001")]
    public async Task A_limit_that_is_none_ends_the_start(string limit)
    {
        await using var database = await postgres.CreateDatabaseAsync();
        var failure = await Assert.ThrowsAsync<XenoInsights.Data.ConfigurationException>(() =>
            AppHost.StartAsync(database, new Dictionary<string, string?> { ["Webhooks:MaxInFlight"] = limit })
        );
        Assert.Contains("Webhooks:MaxInFlight", failure.Message, StringComparison.Ordinal);
    }

    private static string ShopBody(Tenant shop) =>
        $$"""{"id":{{shop.ShopId}},"myshopify_domain":"{{shop.ShopDomain}}","name":"Renamed","currency":"EUR","iana_timezone":"Europe/Berlin"}""";

    private static string RedactBody(Tenant shop) =>
        $$$"""{"shop_id":{{{shop.ShopId}}},"shop_domain":"{{{shop.ShopDomain}}}","customer":{"id":191167,"email":"a@example.test","phone":null},"orders_to_redact":[]}""";

    private async Task<Tenant> AddAsync()
    {
        var shopId = Random.Shared.NextInt64(1, long.MaxValue);
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = shopId,
            ShopDomain = $"auth-{shopId}.myshopify.com",
            Name = "Auth",
            Currency = "EUR",
            TimeZone = "Europe/Berlin",
            Status = TenantStatus.Connected,
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

    private Task<List<Event>> EventsAsync(Tenant shop) =>
        host.InTenantAsync(shop, db => db.Events.AsNoTracking().ToListAsync(Ct));

    private async Task EventuallyAsync(Tenant shop, Predicate<List<Event>> isSo)
    {
        for (var patience = 0; !isSo(await EventsAsync(shop)); patience++)
        {
            Assert.True(
                patience < 600,
                string.Join(
                    '\n',
                    (await EventsAsync(shop)).Select(e =>
                        $"{e.WebhookId} {e.Status} {e.Attempts} {e.LastError} {e.Outcome}"
                    )
                )
            );
            await Task.Delay(50, Ct);
        }
    }

    private async Task<HttpStatusCode> SendAsync(
        Tenant shop,
        string topic,
        string body,
        string webhookId,
        string? triggeredAt = null,
        params (string Name, string Value)[] more
    ) => await SendAsync(shop, topic, body, webhookId, StoreHost.ClientSecret, triggeredAt, more);

    private async Task<HttpStatusCode> SendAsync(
        Tenant shop,
        string topic,
        string body,
        string webhookId,
        string secret,
        string? triggeredAt = null,
        params (string Name, string Value)[] more
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
        if (triggeredAt is not null)
            request.Headers.Add("X-Shopify-Triggered-At", triggeredAt);
        request.Headers.Add(
            "X-Shopify-Hmac-Sha256",
            Convert.ToBase64String(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes(body)))
        );
        foreach (var (name, value) in more)
            request.Headers.Add(name, value);
        using var response = await http.SendAsync(request, Ct);
        return response.StatusCode;
    }

    /// <summary>The head of a delivery that promises a body, and as much of the body as is given.</summary>
    private static async Task<TcpClient> OpenAsync(Uri app, string? signature, int promised, string body = "")
    {
        var client = new TcpClient();
        await client.ConnectAsync(app.Host, app.Port, Ct);
        var header = signature is null ? "" : $"X-Shopify-Hmac-Sha256: {signature}\r\n";
        var text =
            $"POST {WebhooksApi.Path} HTTP/1.1\r\nHost: {app.Authority}\r\nContent-Type: application/json\r\nContent-Length: {promised}\r\nX-Shopify-Topic: orders/create\r\n{header}\r\n{body}";
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(text), Ct);
        return client;
    }

    private static async Task<string> StatusAsync(TcpClient client) => (await AnswerAsync(client)).Status;

    private static async Task<(string Status, string Head)> AnswerAsync(TcpClient client)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        limit.CancelAfter(TimeSpan.FromSeconds(20));
        var (buffer, read) = (new byte[16 * 1024], 0);
        while (!Encoding.ASCII.GetString(buffer, 0, read).Contains("\r\n\r\n", StringComparison.Ordinal))
        {
            var bytes = await client.GetStream().ReadAsync(buffer.AsMemory(read), limit.Token);
            if (bytes == 0)
                break;
            read += bytes;
        }
        var head = Encoding.ASCII.GetString(buffer, 0, read);
        return (head.Split(' ')[1], head);
    }
}
