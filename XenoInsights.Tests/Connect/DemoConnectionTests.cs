using System.Net.Http.Json;
using System.Text.Json;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Connect;

public sealed class DemoConnectionTests(PostgresServer postgres)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_fresh_checkout_connects_its_demo_store_by_itself_for_owner_and_viewer()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var app = await AppHost.StartAsync(
            database,
            new Dictionary<string, string?> { ["FakeShopify:ConnectStore"] = "true" }
        );
        using var owner = app.Visitor();
        using var viewer = app.Visitor();
        using var signedIn = await owner.GetAsync(AppHost.SignInPath("owner@demo.test", "/signed-out"), Ct);
        using var signedInToo = await viewer.GetAsync(AppHost.SignInPath("viewer@demo.test", "/signed-out"), Ct);

        // The viewer is let in last.
        var seen = await StoresAsync(viewer);
        for (var patience = 0; seen.Length == 0 && patience < 120; patience++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(500), Ct);
            seen = await StoresAsync(viewer);
        }

        Assert.Equal(["online-retail.myshopify.com viewer"], seen);
        Assert.Equal(["online-retail.myshopify.com owner"], await StoresAsync(owner));
    }

    private static async Task<string[]> StoresAsync(HttpClient browser) =>
        [
            .. (await browser.GetFromJsonAsync<JsonElement[]>("/api/tenants", Ct))!.Select(s =>
                $"{s.GetProperty("storeDomain")} {s.GetProperty("role")}"
            ),
        ];
}
