using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.App;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Development;
using XenoInsights.Hosting;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Tenants;

/// <summary>The tenant filter and the store gate, on a probe route that tells which rows it sees.</summary>
public sealed class RequireTenantTests(PostgresServer postgres) : IAsyncLifetime
{
    private TestDatabase _database = null!;
    private WebApplication _app = null!;
    private HttpClient _owner = null!;
    private Guid _mine,
        _foreign;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _database = await postgres.CreateDatabaseAsync();
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { EnvironmentName = "Development" });
        builder.WebHost.UseKestrel().UseUrls("http://127.0.0.1:0");
        builder.Services.Configure<AppOptions>(options => options.PublicUrl = "http://localhost:1");
        builder.AddData(_database.ConnectionString);
        builder.Services.AddDevelopmentIdentityProvider();
        builder.AddAuthentication();
        builder.AddTenants();
        _app = builder.Build();
        _app.UseAuthentication();
        _app.UseAuthorization();
        _app.MapAuthentication();
        _app.MapTenantsApi();
        _app.MapDevelopmentIdentityProvider();
        _app.MapGet(
                "/api/probe",
                async (HttpContext http, XenoDatabase database) =>
                    new
                    {
                        store = http.Store().ShopDomain,
                        role = http.Store().Role.ToString(),
                        seen = await database.InTenantAsync(db => db.Tenants.Select(t => t.ShopDomain).ToListAsync()),
                    }
            )
            .RequireTenantId();
        _app.MapGet(
            "/page/{handle}",
            async (string handle, HttpContext http, TenantAuthorization gate, XenoDatabase database) =>
                await gate.EnterAsync(http.User, handle) is { } store
                    ? Results.Ok(await database.InTenantAsync(db => db.Tenants.Select(t => t.ShopDomain).ToListAsync()))
                    : Results.NotFound()
        );
        await _app.StartAsync();
        _owner = new HttpClient { BaseAddress = new Uri(_app.Urls.First()) };
        using var signedIn = await _owner.GetAsync(AppHost.SignInPath("owner@demo.test", "/signed-out"));
        Assert.True(signedIn.IsSuccessStatusCode);
        (_mine, _foreign) = (await AddStoreAsync(1, "mine", MemberRole.Admin), await AddStoreAsync(2, "foreign", null));
    }

    public async ValueTask DisposeAsync()
    {
        _owner.Dispose();
        await _app.DisposeAsync();
        await _database.DisposeAsync();
    }

    [Fact]
    public async Task A_members_request_works_for_that_store_alone()
    {
        var answer = JsonNode.Parse(await _owner.GetStringAsync(Probe($"?tenant_id={_mine}"), Ct))!;

        Assert.Equal(
            """{"store":"mine.myshopify.com","role":"Admin","seen":["mine.myshopify.com"]}""",
            answer.ToJsonString()
        );
    }

    [Theory]
    [InlineData("")]
    [InlineData("?tenant_id=")]
    [InlineData("?tenant_id=1")]
    [InlineData("?tenant_id={0}&tenant_id={0}")]
    [InlineData("?tenantId={0}")]
    public async Task Without_a_usable_tenant_id_the_answer_is_400_and_names_it(string query)
    {
        using var response = await _owner.GetAsync(
            Probe(query.Replace("{0}", _mine.ToString(), StringComparison.Ordinal)),
            Ct
        );

        Assert.Equal(
            (HttpStatusCode.BadRequest, "application/problem+json"),
            (response.StatusCode, response.Content.Headers.ContentType!.MediaType)
        );
        using var problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync(Ct));
        Assert.True(problem.RootElement.GetProperty("errors").TryGetProperty("tenant_id", out _));
    }

    [Fact]
    public async Task A_foreign_store_looks_exactly_like_one_that_does_not_exist()
    {
        var foreign = await NotFoundAsync(_foreign);

        Assert.Equal(await NotFoundAsync(Guid.NewGuid()), foreign);
        Assert.Equal(await NotFoundAsync(Guid.Empty), foreign);
    }

    [Fact]
    public async Task A_membership_that_ends_ends_at_once()
    {
        await _app
            .Services.GetRequiredService<TenantDatabase>()
            .RunAsync(_mine, db => db.Memberships.ExecuteDeleteAsync(Ct), Ct);

        Assert.Equal(await NotFoundAsync(Guid.NewGuid()), await NotFoundAsync(_mine));
    }

    [Fact]
    public async Task A_page_finds_the_store_by_its_handle_if_it_is_the_persons()
    {
        Assert.Equal(
            """["mine.myshopify.com"]""",
            await _owner.GetStringAsync(new Uri("/page/mine", UriKind.Relative), Ct)
        );
        Assert.Equal(
            """["mine.myshopify.com"]""",
            await _owner.GetStringAsync(new Uri("/page/MINE", UriKind.Relative), Ct)
        );
        using var foreign = await _owner.GetAsync(new Uri("/page/foreign", UriKind.Relative), Ct);
        using var nonexistent = await _owner.GetAsync(new Uri("/page/none", UriKind.Relative), Ct);
        Assert.Equal((HttpStatusCode.NotFound, HttpStatusCode.NotFound), (foreign.StatusCode, nonexistent.StatusCode));
    }

    [Fact]
    public async Task An_operator_is_no_member_of_merchants_stores()
    {
        using var handler = new SocketsHttpHandler();
        using var operators = new HttpClient(handler) { BaseAddress = _owner.BaseAddress };
        Assert.Equal(
            "[]",
            await operators.GetStringAsync(AppHost.SignInPath("operator@demo.test", "/api/tenants"), Ct)
        );

        using var response = await operators.GetAsync(Probe($"?tenant_id={_mine}"), Ct);

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
    }

    [Fact]
    public async Task The_list_of_stores_names_the_callers_own_and_their_role()
    {
        var stores = JsonNode
            .Parse(await _owner.GetStringAsync(new Uri("/api/tenants", UriKind.Relative), Ct))!
            .AsArray();

        Assert.Equal(
            $$"""{"id":"{{_mine}}","storeDomain":"mine.myshopify.com","name":"mine","currency":"GBP","timeZone":"Europe/London","role":"admin","dataCurrentTo":null}""",
            Assert.Single(stores)!.ToJsonString()
        );
    }

    private static Uri Probe(string query) => new("/api/probe" + query, UriKind.Relative);

    private async Task<string> NotFoundAsync(Guid tenantId)
    {
        using var response = await _owner.GetAsync(Probe($"?tenant_id={tenantId}"), Ct);
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        var body = JsonNode.Parse(await response.Content.ReadAsStringAsync(Ct))!.AsObject();
        body.Remove("traceId");
        return $"{response.Content.Headers.ContentType} "
            + $"{string.Join(',', response.Headers.Select(h => h.Key).Order())} {body.ToJsonString()}";
    }

    private async Task<Guid> AddStoreAsync(long shopId, string handle, MemberRole? role)
    {
        var id = Guid.CreateVersion7();
        await _app
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(async db =>
            {
                db.Tenants.Add(
                    new()
                    {
                        TenantId = id,
                        ShopId = shopId,
                        ShopDomain = handle + ".myshopify.com",
                        Name = handle,
                        Currency = "GBP",
                        TimeZone = "Europe/London",
                        Status = TenantStatus.Connected,
                        ConnectedAt = DateTimeOffset.UnixEpoch,
                    }
                );
                if (role is { } r)
                    db.Memberships.Add(
                        new()
                        {
                            TenantId = id,
                            UserId = await db
                                .Users.Where(u => u.Email == "owner@demo.test")
                                .Select(u => u.UserId)
                                .SingleAsync(),
                            Role = r,
                            CreatedAt = DateTimeOffset.UnixEpoch,
                        }
                    );
                await db.SaveChangesAsync();
            });
        return id;
    }
}
