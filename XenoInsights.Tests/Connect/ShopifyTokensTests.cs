using System.Net;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Connect;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Tests.Connect;

public sealed class ShopifyTokensTests(StoreHost host) : IClassFixture<StoreHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private AccessTokens Tokens => host.Services.GetRequiredService<AccessTokens>();

    [Fact]
    public async Task A_token_with_less_than_five_minutes_left_is_replaced_with_its_refresh_token()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 3600);
        var first = await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct);
        Assert.Equal(1, shop.Calls);

        host.Clock.Advance(TimeSpan.FromMinutes(56));
        var second = await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct);
        host.Clock.Advance(TimeSpan.FromMinutes(56));
        var third = await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct);

        Assert.Equal(3, new HashSet<string> { first, second, third }.Count);
        Assert.Equal(3, shop.Calls);
        Assert.Equal(third, await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct));
    }

    [Fact]
    public async Task An_answer_lost_after_the_rotation_loses_nothing()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 60);
        shop.LoseNextAnswer();
        shop.ExpiresIn = 3600;

        var token = await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct);

        Assert.True(shop.Knows(token));
        Assert.Equal(3, shop.Calls);
        Assert.Equal(token, await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct));
    }

    [Fact]
    public async Task Many_callers_at_once_cause_one_refresh()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 60);
        (shop.TokenDelay, shop.ExpiresIn) = (TimeSpan.FromMilliseconds(200), 3600);

        var tokens = await Task.WhenAll(
            Enumerable.Range(0, 8).Select(_ => Tokens.GetAccessTokenAsync(tenant.TenantId, Ct))
        );

        Assert.Single(tokens.Distinct());
        Assert.Equal(2, shop.Calls);
    }

    [Fact]
    public async Task A_shop_that_answers_slowly_holds_no_transaction_and_no_lock()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 60);
        (shop.TokenDelay, shop.ExpiresIn) = (TimeSpan.FromSeconds(2), 3600);
        var calls = shop.Calls;

        var refresh = Tokens.GetAccessTokenAsync(tenant.TenantId, Ct);
        while (shop.Calls == calls)
            await Task.Delay(20, Ct);
        var touched = await host.InTenantAsync(
            tenant,
            db =>
                db.Database.ExecuteSqlAsync(
                    $"select 1 from shopify_credentials where tenant_id = {tenant.TenantId} for update nowait",
                    Ct
                )
        );

        Assert.False(refresh.IsCompleted);
        Assert.NotEqual(0, touched);
        Assert.True(shop.Knows(await refresh));
    }

    [Fact]
    public async Task A_refresh_whose_process_died_is_taken_over()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 60);
        shop.ExpiresIn = 3600;
        await host.InTenantAsync(
            tenant,
            db =>
                db.Database.ExecuteSqlAsync(
                    $"update shopify_credentials set refresh_lease = gen_random_uuid(), refresh_lease_until = now() + interval '1 second'",
                    Ct
                )
        );

        Assert.True(shop.Knows(await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct)));
        Assert.Equal(2, shop.Calls);
    }

    [Fact]
    public async Task A_rejected_token_is_refreshed_once_however_many_report_it()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 3600);
        var rejected = await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct);

        var one = await Tokens.RefreshNowAsync(tenant.TenantId, rejected, Ct);
        var other = await Tokens.RefreshNowAsync(tenant.TenantId, rejected, Ct);

        Assert.NotEqual(rejected, one);
        Assert.Equal(one, other);
        Assert.Equal(2, shop.Calls);
    }

    [Theory]
    [InlineData(400)]
    [InlineData(401)]
    public async Task A_dead_refresh_token_asks_for_the_store_to_be_connected_again(int status)
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 60);
        shop.TokenStatus = status;

        var failure = await Assert.ThrowsAsync<ReconnectRequiredException>(() =>
            Tokens.GetAccessTokenAsync(tenant.TenantId, Ct)
        );
        await Assert.ThrowsAsync<ReconnectRequiredException>(() => Tokens.GetAccessTokenAsync(tenant.TenantId, Ct));

        Assert.Contains(shop.Domain, failure.Message, StringComparison.Ordinal);
        Assert.Equal(TenantStatus.ReconnectRequired, (await host.FindTenantAsync(shop.ShopId))!.Status);
        Assert.Equal(2, shop.Calls);
    }

    [Fact]
    public async Task Connecting_again_revives_a_store_whose_tokens_died()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 60);
        shop.TokenStatus = 401;
        await Assert.ThrowsAsync<ReconnectRequiredException>(() => Tokens.GetAccessTokenAsync(tenant.TenantId, Ct));
        (shop.TokenStatus, shop.ExpiresIn) = (null, 3600);
        using var browser = await host.SignInAsync();

        var again = await host.ConnectAsync(browser, shop);

        Assert.Equal((tenant.TenantId, TenantStatus.Connected), (again.TenantId, again.Status));
        Assert.True(shop.Knows(await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct)));
    }

    [Fact]
    public async Task Wrong_credentials_of_ours_do_not_disconnect_a_store()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 60);
        (shop.TokenStatus, shop.TokenError) = (401, "invalid_client");

        await Assert.ThrowsAsync<OAuthRefusedException>(() => Tokens.GetAccessTokenAsync(tenant.TenantId, Ct));

        Assert.Equal(TenantStatus.Connected, (await host.FindTenantAsync(shop.ShopId))!.Status);
    }

    [Fact]
    public async Task During_an_outage_a_token_is_used_to_its_end_and_the_store_stays_connected()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: 120);
        shop.TokenStatus = 503;

        var token = await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct);
        host.Clock.Advance(TimeSpan.FromMinutes(3));
        var failure = await Assert.ThrowsAsync<HttpRequestException>(() =>
            Tokens.GetAccessTokenAsync(tenant.TenantId, Ct)
        );

        Assert.True(shop.Knows(token));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, failure.StatusCode);
        Assert.Equal(TenantStatus.Connected, (await host.FindTenantAsync(shop.ShopId))!.Status);
    }

    [Fact]
    public async Task A_token_that_never_expires_is_never_refreshed()
    {
        var (shop, tenant) = await ConnectedAsync(expiresIn: null);
        host.Clock.Advance(TimeSpan.FromHours(2));

        await Tokens.GetAccessTokenAsync(tenant.TenantId, Ct);

        Assert.Equal(1, shop.Calls);
    }

    [Fact]
    public async Task A_tenant_without_tokens_has_to_be_connected()
    {
        var (_, tenant) = await ConnectedAsync(expiresIn: 3600);
        await host.InTenantAsync(tenant, db => db.ShopifyCredentials.ExecuteDeleteAsync(Ct));

        await Assert.ThrowsAsync<ReconnectRequiredException>(() => Tokens.GetAccessTokenAsync(tenant.TenantId, Ct));
    }

    private async Task<(FakeShop Shop, Tenant Tenant)> ConnectedAsync(int? expiresIn)
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        shop.ExpiresIn = expiresIn;
        return (shop, await host.ConnectAsync(browser, shop));
    }
}
