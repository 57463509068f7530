using System.Collections.Concurrent;
using System.Net;
using System.Reflection;
using System.Text;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Npgsql;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;
using XenoInsights.Tests.Connect;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Authentication;

/// <summary>
/// Pages that are open, or were kept, when their person loses access: opened without a browser, by a client that sends
/// what it likes.
/// </summary>
public sealed class OpenPageTests(StoreHost host) : IClassFixture<StoreHost>
{
    private const string NoStore = "There is no such store here",
        Ended = "Your access has changed";
    private static int _orders;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_kept_page_opens_no_store_for_somebody_else()
    {
        var (shop, owner) = await ConnectAsync();
        using var foreign = await host.SignInAnewAsync("viewer@demo.test");
        await AddOrderAsync(shop, "#BEFORE-1");
        var kept = BlazorCircuit.StateOf(await owner.GetStringAsync(Orders(shop), Ct));
        var own = await foreign.GetStringAsync(Relative("/stores"), Ct);

        await using var page = await OpenPage.OpenAsync(foreign, Orders(shop).ToString(), own, kept);

        await page.ShowsAsync(NoStore);
        await AddOrderAsync(shop, "#AFTER-1");
        await page.NeverShowsAsync("#BEFORE-1", "#AFTER-1", shop.Name);
        owner.Dispose();
    }

    [Fact]
    public async Task A_kept_page_opens_nothing_once_the_membership_is_gone()
    {
        var (shop, owner) = await ConnectAsync();
        await AddOrderAsync(shop, "#BEFORE-2");
        var html = await owner.GetStringAsync(Orders(shop), Ct);
        var kept = BlazorCircuit.StateOf(html);
        await ExecuteAsync($"delete from memberships where tenant_id = '{shop.TenantId}'");
        using var again = await host.SignInAnewAsync();

        await using var page = await OpenPage.OpenAsync(again, Orders(shop).ToString(), html, kept);

        await page.ShowsAsync(NoStore);
        await AddOrderAsync(shop, "#AFTER-2");
        await page.NeverShowsAsync("#AFTER-2", "#BEFORE-2");
        owner.Dispose();
    }

    [Fact]
    public async Task State_of_another_store_is_not_shown_under_this_one()
    {
        var (shop, owner) = await ConnectAsync();
        var (other, others) = await ConnectAsync();
        await AddOrderAsync(shop, "#FIRST-STORE");
        await AddOrderAsync(other, "#OTHER-STORE");
        var kept = BlazorCircuit.StateOf(await owner.GetStringAsync(Orders(other), Ct));
        var html = await owner.GetStringAsync(Orders(shop), Ct);

        await using var page = await OpenPage.OpenAsync(owner, Orders(shop).ToString(), html, kept);

        await page.ShowsAsync("#FIRST-STORE");
        await page.NeverShowsAsync("#OTHER-STORE");
        owner.Dispose();
        others.Dispose();
    }

    [Theory]
    [InlineData("delete from memberships where tenant_id = '{0}'", false)]
    [InlineData("delete from sessions where session_id = '{1}'", true)]
    [InlineData("update sessions set expires_at = now() where session_id = '{1}'", true)]
    [InlineData("update memberships set role = 'Viewer' where tenant_id = '{0}'", false)]
    public async Task An_open_page_ends_when_access_ends(string end, bool isSignedOut)
    {
        var (shop, owner) = await ConnectAsync();
        await AddOrderAsync(shop, "#SEEN-3");
        await using var page = await OpenPage.OpenAsync(owner, Orders(shop).ToString());
        await AddOrderAsync(shop, "#LIVE-3");
        await page.ShowsAsync("#LIVE-3");

        await ExecuteAsync(string.Format(null, end, shop.TenantId, (await CallerAsync(owner)).SessionId));
        await page.ShowsAsync(Ended);

        await AddOrderAsync(shop, "#AFTER-3");
        await page.NeverShowsAsync("#AFTER-3");
        using var next = await owner.GetAsync(Orders(shop), Ct);
        if (isSignedOut)
            Assert.StartsWith("/signin", next.Headers.Location!.PathAndQuery, StringComparison.Ordinal);
        owner.Dispose();
    }

    [Fact]
    public async Task A_deleted_person_is_signed_out_everywhere()
    {
        var (shop, owner) = await ConnectAsync();
        owner.Dispose();
        using var viewer = await host.SignInAnewAsync("viewer@demo.test");
        var caller = await CallerAsync(viewer);
        await ExecuteAsync(
            $"""
            insert into memberships (tenant_id, user_id, role, created_at)
            values ('{shop.TenantId}', '{caller.UserId}', 'Viewer', now())
            """
        );
        await AddOrderAsync(shop, "#SEEN-4");
        await using var page = await OpenPage.OpenAsync(viewer, Orders(shop).ToString());
        await page.ShowsAsync("#SEEN-4");

        await ExecuteAsync($"delete from users where user_id = '{caller.UserId}'");

        await page.ShowsAsync(Ended);
        using var api = await viewer.GetAsync(Relative("/api/tenants"), Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, api.StatusCode);
    }

    [Fact]
    public async Task A_stream_ends_when_access_ends_although_the_store_is_busy()
    {
        var (shop, owner) = await ConnectAsync();
        using var response = await owner.GetAsync(
            Relative($"/api/metrics/stream?tenant_id={shop.TenantId}"),
            HttpCompletionOption.ResponseHeadersRead,
            Ct
        );
        await using var stream = await response.Content.ReadAsStreamAsync(Ct);
        using var reader = new StreamReader(stream);
        Assert.StartsWith("event: change", await reader.ReadLineAsync(Ct), StringComparison.Ordinal);
        using var busy = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var sales = Task.Run(
            async () =>
            {
                while (!busy.IsCancellationRequested)
                {
                    await AddOrderAsync(shop, "#BUSY");
                    await Task.Delay(300, CancellationToken.None);
                }
            },
            Ct
        );

        await ExecuteAsync($"delete from memberships where tenant_id = '{shop.TenantId}'");

        // Whatever is sent before it notices ends too: the stream is read to its end.
        await reader.ReadToEndAsync(Ct).WaitAsync(TimeSpan.FromSeconds(30), Ct);
        await busy.CancelAsync();
        await sales;
        owner.Dispose();
    }

    [Fact]
    public async Task Only_an_action_of_the_person_prolongs_a_session()
    {
        using var browser = await host.SignInAnewAsync();
        var session = (await CallerAsync(browser)).SessionId;
        await ExecuteAsync(
            $"""
            update sessions set last_used_at = now() - interval '2 hours',
                expires_at = now() + interval '6 hours' where session_id = '{session}'
            """
        );

        using (await browser.PostAsync(Relative("/_blazor/negotiate?negotiateVersion=1"), null, Ct)) { }
        using (await browser.GetAsync(Relative("/theme.js"), Ct)) { }
        Assert.Equal("02:00 06:00", await AgeAsync(session));
        using (await browser.PostAsync(Relative("/session/activity"), null, Ct)) { }
        Assert.Equal("00:00 08:00", await AgeAsync(session));
    }

    [Fact]
    public async Task A_session_has_an_end_that_no_action_moves()
    {
        using var browser = await host.SignInAnewAsync();
        var session = (await CallerAsync(browser)).SessionId;
        await ExecuteAsync(
            $"""
            update sessions set last_used_at = now() - interval '2 hours', ends_at = now() + interval '1 hour',
                expires_at = now() + interval '1 hour' where session_id = '{session}'
            """
        );
        using (await browser.GetAsync(Relative("/api/tenants"), Ct)) { }
        Assert.Equal("00:00 01:00", await AgeAsync(session));

        await ExecuteAsync($"update sessions set expires_at = now() where session_id = '{session}'");
        using var after = await browser.GetAsync(Relative("/api/tenants"), Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, after.StatusCode);
    }

    [Fact]
    public async Task Signing_in_again_gives_a_new_key_and_ends_the_session_before()
    {
        using var browser = await host.SignInAnewAsync();
        var (before, first) = (browser.Session!.Value, await CallerAsync(browser));
        await host.SignInAsync(browser, "viewer@demo.test");
        var second = await CallerAsync(browser);

        Assert.NotEqual(before, browser.Session!.Value);
        Assert.NotEqual(first.UserId, second.UserId);
        using var old = new Browser(host.App);
        old.SetCookie("xeno", before);
        using var refused = await old.GetAsync(Relative("/api/tenants"), Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
    }

    [Fact]
    public async Task Operator_rights_end_with_the_next_request_and_on_the_open_page()
    {
        using var browser = await host.SignInAnewAsync("operator@demo.test");
        using (var allowed = await browser.GetAsync(Relative("/api/operations/queue"), Ct))
            Assert.Equal(HttpStatusCode.OK, allowed.StatusCode);
        await ExecuteAsync("update users set email_verified = false where email = 'operator@demo.test'");
        try
        {
            using var refused = await browser.GetAsync(Relative("/api/operations/queue"), Ct);
            Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
            var queues = host.Services.GetRequiredService<XenoInsights.Operations.QueueStatuses>();
            var denied = await Assert.ThrowsAsync<AccessDeniedException>(async () =>
                await queues.AskAsync(await CallerAsync(browser), Ct)
            );
            Assert.Equal(AccessDenial.NotOperator, denied.Reason);
        }
        finally
        {
            await ExecuteAsync("update users set email_verified = true where email = 'operator@demo.test'");
        }
    }

    [Fact]
    public void Pages_and_endpoints_reach_a_store_only_by_the_way_that_checks_the_person()
    {
        Type[] unchecked_ = [typeof(TenantDatabase), typeof(SystemDatabase), typeof(TenantTransactions)];
        var injected = typeof(Program)
            .Assembly.GetTypes()
            .Where(type => type.IsAssignableTo(typeof(ComponentBase)))
            .SelectMany(type =>
                type.GetProperties(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
            )
            .Where(property =>
                property.IsDefined(typeof(InjectAttribute)) && unchecked_.Contains(property.PropertyType)
            )
            .Select(property => $"{property.DeclaringType}.{property.Name}");
        var handlers = host
            .Services.GetRequiredService<EndpointDataSource>()
            .Endpoints.Select(endpoint => (endpoint, method: endpoint.Metadata.GetMetadata<MethodInfo>()))
            .Where(e =>
                e.method is not null
                && e.method.DeclaringType!.Namespace!.StartsWith("XenoInsights", StringComparison.Ordinal)
            )
            .ToList();

        Assert.True(handlers.Count > 30, $"Only {handlers.Count} handlers were found.");
        Assert.Empty(injected);
        var reaching = handlers
            .Where(e => e.method!.GetParameters().Any(p => unchecked_.Contains(p.ParameterType)))
            .Select(e => e.endpoint.DisplayName!);
        Assert.All(reaching, name => Assert.Contains("/outbox", name, StringComparison.Ordinal));
    }

    private async Task<(Tenant Shop, Browser Owner)> ConnectAsync()
    {
        var owner = await host.SignInAnewAsync();
        return (await host.ConnectAsync(owner, host.Shopify.AddShop()), owner);
    }

    private Task<ApplyResult> AddOrderAsync(Tenant shop, string name)
    {
        var now = TimeProvider.System.GetUtcNow();
        var id = Interlocked.Increment(ref _orders);
        var order = new OrderRecord
        {
            ShopifyId = id,
            UpdatedAt = now,
            Name = name,
            CreatedAt = now,
            ProcessedAt = now,
            FinancialStatus = "PAID",
            CurrentTotal = 1000,
            Lines = [new OrderLineRecord(id * 10, 1, null, "Shirt", null, 1, 1, false, 1000, 0)],
            Sales = [new SaleRecord(now, true, 0, id * 10, null, 1, 1000, 0, 0)],
        };
        var calendar = new StoreCalendar(shop.TenantId, shop.Currency, shop.TimeZone);
        return host.InTenantAsync(shop, db => IngestionWriter.ApplyAsync(db, calendar, [order]));
    }

    private async Task<Caller> CallerAsync(Browser browser)
    {
        var options = host.Services.GetRequiredService<IOptionsMonitor<CookieAuthenticationOptions>>().Get("Cookies");
        var key = options.TicketDataFormat.Unprotect(browser.Session!.Value)!.Principal.Claims.Single().Value;
        var ticket = await options.SessionStore!.RetrieveAsync(
            key,
            new Microsoft.AspNetCore.Http.DefaultHttpContext(),
            Ct
        );
        return ticket!.Principal.Caller()!.Value;
    }

    private async Task<string?> AgeAsync(Guid session) =>
        await ScalarAsync(
            $"""
            select to_char(now() - last_used_at,
                'HH24:MI') || ' ' || to_char(expires_at - now() + interval '1 second', 'HH24:MI') from sessions
            where session_id = '{session}'
            """
        );

    private async Task ExecuteAsync(string sql) => await ScalarAsync(sql);

    private async Task<string?> ScalarAsync(string sql)
    {
        var configured = (string?)
            host.Services.GetRequiredService<Microsoft.Extensions.Configuration.IConfiguration>()[
                "ConnectionStrings:XenoInsights"
            ];
        await using var connection = new NpgsqlConnection(configured);
        await connection.OpenAsync(Ct);
        await using var command = new NpgsqlCommand(sql, connection);
        return (string?)await command.ExecuteScalarAsync(Ct);
    }

    private static Uri Orders(Tenant shop) => Relative($"/stores/{shop.Handle}/orders?preset=today");

    private static Uri Relative(string address) => new(address, UriKind.Relative);

    /// <summary>A circuit, and all that it has drawn since it was opened.</summary>
    private sealed class OpenPage : IAsyncDisposable
    {
        private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30),
            _quiet = TimeSpan.FromSeconds(3);
        private readonly ConcurrentQueue<string> _drawn = new();
        private BlazorCircuit _circuit = null!;

        public static async Task<OpenPage> OpenAsync(Browser browser, string path)
        {
            var html = await browser.GetStringAsync(Relative(path), Ct);
            return await OpenAsync(browser, path, html, BlazorCircuit.StateOf(html));
        }

        public static async Task<OpenPage> OpenAsync(Browser browser, string path, string html, string state)
        {
            var page = new OpenPage();
            page._circuit = await BlazorCircuit.OpenAsync(
                browser,
                browser.Cookies,
                path.TrimStart('/'),
                html,
                state,
                (_, batch) => page._drawn.Enqueue(Encoding.UTF8.GetString(batch))
            );
            return page;
        }

        public async Task ShowsAsync(string text)
        {
            var began = TimeProvider.System.GetTimestamp();
            while (!Has(text))
            {
                Assert.True(
                    TimeProvider.System.GetElapsedTime(began) < _patience,
                    $"'{text}' was not drawn. {_circuit.Failure} {string.Concat(_drawn)}"
                );
                await Task.Delay(100, Ct);
            }
        }

        /// <summary>Not until now, and not while changes would be drawn.</summary>
        public async Task NeverShowsAsync(params string[] texts)
        {
            await Task.Delay(_quiet, Ct);
            Assert.All(texts, text => Assert.False(Has(text), $"'{text}' was drawn."));
        }

        private bool Has(string text) => _drawn.Any(batch => batch.Contains(text, StringComparison.Ordinal));

        public ValueTask DisposeAsync() => _circuit.DisposeAsync();
    }
}
