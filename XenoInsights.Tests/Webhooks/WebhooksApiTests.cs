using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Tenants;
using XenoInsights.Tests.Connect;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Webhooks;

public sealed class WebhooksApiTests(StoreHost host) : IClassFixture<StoreHost>
{
    private const string Body = """{"id":1,"updated_at":"2026-11-20T10:00:00Z"}""";

    [Theory]
    [InlineData(StoreHost.ClientSecret)]
    [InlineData(StoreHost.PreviousClientSecret)]
    public async Task A_signed_delivery_is_stored_with_its_bytes_and_headers_before_it_is_acknowledged(string secret)
    {
        var shop = await ConnectAsync();

        Assert.Equal(HttpStatusCode.OK, await DeliverAsync(shop.ShopDomain, "one", Body, secret));

        var stored = Assert.Single(await EventsAsync(shop));
        Assert.Equal(
            (Body, "orders/updated", "one"),
            (Encoding.UTF8.GetString(stored.Payload!), stored.Topic, stored.WebhookId)
        );
        Assert.Contains("X-Shopify-Shop-Domain", stored.Headers, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_repeated_delivery_is_acknowledged_and_stored_once()
    {
        var shop = await ConnectAsync();
        var answers = await Task.WhenAll(
            Enumerable.Range(0, 8).Select(_ => DeliverAsync(shop.ShopDomain, "again", Body, StoreHost.ClientSecret))
        );

        Assert.All(answers, answer => Assert.Equal(HttpStatusCode.OK, answer));
        Assert.Single(await EventsAsync(shop));
    }

    [Fact]
    public async Task What_is_not_signed_or_not_for_a_connected_store_is_refused_and_not_stored()
    {
        var shop = await ConnectAsync();

        Assert.Equal(
            HttpStatusCode.Unauthorized,
            await DeliverAsync(shop.ShopDomain, "forged", Body, "another secret")
        );
        Assert.Equal(
            HttpStatusCode.NotFound,
            await DeliverAsync("nobody.myshopify.com", "stranger", Body, StoreHost.ClientSecret)
        );
        Assert.Equal(HttpStatusCode.BadRequest, await DeliverAsync(shop.ShopDomain, "", Body, StoreHost.ClientSecret));
        Assert.Equal(
            HttpStatusCode.RequestEntityTooLarge,
            await DeliverAsync(shop.ShopDomain, "large", new string(' ', 5_000_000), StoreHost.ClientSecret)
        );
        Assert.Empty(await EventsAsync(shop));
    }

    private async Task<Tenant> ConnectAsync()
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
        };
        await host
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(async db =>
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
                await db.SaveChangesAsync();
            });
        return tenant;
    }

    private Task<List<Event>> EventsAsync(Tenant shop) =>
        host
            .Services.GetRequiredService<TenantDatabase>()
            .RunAsync(shop.TenantId, db => db.Events.AsNoTracking().ToListAsync());

    private async Task<HttpStatusCode> DeliverAsync(string shop, string webhookId, string body, string secret)
    {
        using var http = host.App.Visitor(followRedirects: false);
        using var request = new HttpRequestMessage(HttpMethod.Post, WebhooksApi.Path)
        {
            Content = new StringContent(body, Encoding.UTF8, "application/json"),
        };
        request.Headers.Add("X-Shopify-Topic", "orders/updated");
        request.Headers.Add("X-Shopify-Shop-Domain", shop);
        request.Headers.Add("X-Shopify-Webhook-Id", webhookId);
        request.Headers.Add("X-Shopify-Triggered-At", "2026-11-20T10:00:01Z");
        request.Headers.Add(
            "X-Shopify-Hmac-Sha256",
            Convert.ToBase64String(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes(body)))
        );
        using var response = await http.SendAsync(request);
        return response.StatusCode;
    }
}
