using System.Globalization;
using System.Net;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Notifications;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Notifications;

/// <summary>What goes wrong becomes one incident and one mail a person, and so does its end, over a real mail server.</summary>
public sealed class IncidentTests(PostgresServer server) : IAsyncLifetime
{
    private readonly MailCatcher _mail = MailCatcher.Start();
    private TestDatabase _database = null!;
    private AppHost _app = null!;
    private Guid _store,
        _other;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private IncidentDetector Watch => _app.Services.GetRequiredService<IncidentDetector>();

    public async ValueTask InitializeAsync()
    {
        _database = await server.CreateDatabaseAsync();
        _app = await AppHost.StartAsync(
            _database,
            new Dictionary<string, string?>
            {
                ["FakeShopify:Enabled"] = "false",
                ["Shopify:ClientId"] = "x",
                ["Shopify:ClientSecret"] = "y",
                ["Encryption:Keys:0"] = "test:" + Convert.ToBase64String(new byte[32]),
                ["Smtp:Host"] = "127.0.0.1",
                ["Smtp:Port"] = _mail.Port.ToString(CultureInfo.InvariantCulture),
                ["Smtp:Security"] = "None",
                ["Smtp:From"] = "XenoInsights <alerts@xeno.test>",
                ["Notifications:RetrySeconds"] = "0.1",
                ["Serilog:MinimumLevel:Default"] = "Fatal",
            }
        );
        foreach (var email in (string[])["owner@demo.test", "viewer@demo.test"])
            (await _app.SignInAsync(email)).Dispose();
        _store = await AddStoreAsync("teapots", "Teapots & More");
        _other = await AddStoreAsync("other", "Other");
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _database.DisposeAsync();
        await _mail.DisposeAsync();
    }

    public static TheoryData<IncidentKind, string, string> Troubles =>
        new()
        {
            { IncidentKind.SyncFailed, Job("Failed", "now()"), Job("Succeeded", "now() + interval '1 second'") },
            {
                IncidentKind.AccessLost,
                "update tenants set status = 'Frozen' where tenant_id = '{0}'",
                "update tenants set status = 'Connected' where tenant_id = '{0}'"
            },
            {
                IncidentKind.Behind,
                Event("late", 1, "now() - interval '10 minutes'"),
                "update events set status = 2 where tenant_id = '{0}'"
            },
            { IncidentKind.GivenUp, Event("dead", 4, "now()"), "update events set status = 2 where tenant_id = '{0}'" },
            {
                IncidentKind.ObjectsRejected,
                Import(rejected: 11),
                Import(rejected: 10, finished: "now() + interval '1 second'")
            },
            {
                IncidentKind.Silent,
                string.Join(
                    ";",
                    Enumerable
                        .Range(1, 4)
                        .SelectMany(week =>
                            Enumerable
                                .Range(0, 30)
                                .Select(i =>
                                    Event($"{week}-{i}", 2, $"now() - interval '{week * 7} days 1 hour {i} minutes'")
                                )
                        )
                        .Append(Event("last", 2, "now() - interval '3 hours'"))
                ),
                Event("again", 2, "now()")
            },
        };

    [Theory(DisableDiscoveryEnumeration = true)]
    [MemberData(nameof(Troubles))]
    public async Task Each_trouble_is_one_mail_to_whoever_is_in_charge_and_so_is_its_end(
        IncidentKind kind,
        string begins,
        string ends
    )
    {
        await SqlAsync(begins);
        // Twice, and by two instances at the same moment.
        await Task.WhenAll(
            Watch.LookAsync(Ct),
            ActivatorUtilities.CreateInstance<IncidentDetector>(_app.Services).LookAsync(Ct)
        );
        await Watch.LookAsync(Ct);
        var told = await MailAsync(1);
        Assert.Equal("owner@demo.test", told.To.Mailboxes.Single().Address);
        Assert.StartsWith("Teapots & More: ", told.Subject, StringComparison.Ordinal);
        Assert.Contains("/stores/teapots/notifications", told.TextBody, StringComparison.Ordinal);
        Assert.Contains("Teapots &amp; More", told.HtmlBody, StringComparison.Ordinal);
        Assert.EndsWith("@xeno.test", told.MessageId, StringComparison.Ordinal);

        await SqlAsync(ends);
        await Watch.LookAsync(Ct);
        await Watch.LookAsync(Ct);
        Assert.Contains("It is over", (await MailAsync(2)).TextBody, StringComparison.Ordinal);

        await Task.Delay(300, Ct);
        Assert.Equal(2, _mail.Mails.Count);
        var incident = Assert.Single(
            await _app
                .Services.GetRequiredService<TenantDatabase>()
                .RunAsync(_store, db => db.Incidents.ToListAsync(Ct), Ct)
        );
        Assert.Equal(kind, incident.Kind);
        Assert.NotNull(incident.ResolvedAt);
        Assert.Empty(
            await _app
                .Services.GetRequiredService<TenantDatabase>()
                .RunAsync(_other, db => db.Incidents.ToListAsync(Ct), Ct)
        );
    }

    [Theory]
    [InlineData("update tenants set status = 'ReconnectRequired' where tenant_id = '{0}'", 2)]
    [InlineData("update tenants set status = 'Disconnected' where tenant_id = '{0}'", 1)]
    [InlineData("update events set received_at = received_at - interval '40 days' where tenant_id = '{0}'", 1)]
    public async Task What_is_no_longer_seen_is_not_over_for_that(string change, int mails)
    {
        await SqlAsync(
            string.Join(
                ";",
                Enumerable
                    .Range(1, 4)
                    .SelectMany(week =>
                        Enumerable
                            .Range(0, 30)
                            .Select(i =>
                                Event($"{week}-{i}", 2, $"now() - interval '{week * 7} days 1 hour {i} minutes'")
                            )
                    )
                    .Append(Event("last", 2, "now() - interval '3 hours'"))
            )
        );
        await Watch.LookAsync(Ct);
        await MailAsync(1);

        await SqlAsync(change);
        await Watch.LookAsync(Ct);
        await MailAsync(mails);
        await Task.Delay(2500, Ct);

        Assert.Equal(mails, _mail.Mails.Count);
        Assert.DoesNotContain(_mail.Mails, m => m.TextBody?.Contains("It is over", StringComparison.Ordinal) == true);
    }

    [Fact]
    public async Task Who_is_no_longer_a_member_is_told_nothing_more()
    {
        _mail.Refuse = 1;
        await SqlAsync(Event("dead", 4, "now()"));
        await Watch.LookAsync(Ct);
        await SqlAsync("delete from memberships where tenant_id = '{0}'");
        await Task.Delay(3000, Ct);

        // Sent before the membership ended, or never.
        var mail = await _app
            .Services.GetRequiredService<TenantDatabase>()
            .RunAsync(_store, db => db.Mails.SingleAsync(Ct), Ct);
        Assert.True(_mail.Mails.IsEmpty ? mail.GivenUpAt is not null : mail.SentAt is not null);
    }

    [Fact]
    public async Task A_person_decides_which_mails_they_get()
    {
        var system = _app.Services.GetRequiredService<SystemDatabase>();
        var people = await system.RunAsync(db => db.Users.ToDictionaryAsync(u => u.Email!, u => u.UserId, Ct), Ct);
        await _app
            .Services.GetRequiredService<TenantDatabase>()
            .RunAsync(
                _store,
                async db =>
                {
                    db.NotificationPreferences.Add(
                        new()
                        {
                            TenantId = _store,
                            UserId = people["owner@demo.test"],
                            Kind = IncidentKind.GivenUp,
                            Wanted = false,
                        }
                    );
                    db.NotificationPreferences.Add(
                        new()
                        {
                            TenantId = _store,
                            UserId = people["viewer@demo.test"],
                            Kind = IncidentKind.GivenUp,
                            Wanted = true,
                        }
                    );
                    await db.SaveChangesAsync(Ct);
                },
                Ct
            );

        await SqlAsync(Event("dead", 4, "now()"));
        await Watch.LookAsync(Ct);

        Assert.Equal("viewer@demo.test", (await MailAsync(1)).To.Mailboxes.Single().Address);
        await Task.Delay(300, Ct);
        Assert.Single(_mail.Mails);
    }

    [Fact]
    public async Task No_mail_goes_to_an_address_that_the_provider_has_not_verified()
    {
        using var viewer = await _app.SignInAsync("viewer@demo.test");
        await SqlAsync("update users set email_verified = (email <> 'viewer@demo.test')");
        await SqlAsync(
            "insert into notification_preferences (tenant_id, user_id, kind, wanted) select '{0}', user_id, 'GivenUp', true from users where email = 'viewer@demo.test'"
        );

        await SqlAsync(Event("dead", 4, "now()"));
        await Watch.LookAsync(Ct);

        Assert.Equal("owner@demo.test", (await MailAsync(1)).To.Mailboxes.Single().Address);
        Assert.Equal(
            1,
            await _app.Services.GetRequiredService<TenantDatabase>().RunAsync(_store, db => db.Mails.CountAsync(Ct), Ct)
        );
        var page = new Uri("/stores/teapots/notifications", UriKind.Relative);
        Assert.Contains("No mail reaches you", await viewer.GetStringAsync(page, Ct), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_mail_server_that_refuses_for_a_while_gets_the_mail_again_and_once()
    {
        _mail.Refuse = 3;
        await SqlAsync(Event("dead", 4, "now()"));
        await Watch.LookAsync(Ct);

        await MailAsync(1);

        await Task.Delay(500, Ct);
        Assert.Single(_mail.Mails);
        Assert.Equal(
            4,
            await _app
                .Services.GetRequiredService<TenantDatabase>()
                .RunAsync(_store, db => db.Mails.Select(m => m.Attempts).SingleAsync(Ct), Ct)
        );
    }

    [Fact]
    public async Task The_page_lists_incidents_and_the_outbox_shows_mails_in_development()
    {
        await SqlAsync(Event("dead", 4, "now()"));
        await Watch.LookAsync(Ct);
        await MailAsync(1);
        using var owner = await _app.SignInAsync("owner@demo.test");

        Assert.Contains(
            "Webhooks failed",
            await owner.GetStringAsync(new Uri("/stores/teapots/notifications", UriKind.Relative), Ct),
            StringComparison.Ordinal
        );
        Assert.Contains(
            "Teapots &amp; More: webhooks failed",
            await owner.GetStringAsync(new Uri("/outbox", UriKind.Relative), Ct),
            StringComparison.Ordinal
        );
        using var unknown = await owner.GetAsync(new Uri($"/outbox/{Guid.NewGuid()}", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
    }

    [Fact]
    public async Task In_production_without_a_mail_server_a_mail_is_on_record_as_not_sent()
    {
        await using var database = await server.CreateDatabaseAsync();
        await using var app = await AppHost.StartAsync(
            database,
            new Dictionary<string, string?>
            {
                ["App:PublicUrl"] = "https://insights.test",
                ["Shopify:ClientId"] = "x",
                ["Shopify:ClientSecret"] = "y",
                ["FakeShopify:Enabled"] = "false",
                ["Oidc:Authority"] = "https://idp.test",
                ["Oidc:ClientId"] = "x",
                ["Encryption:Keys:0"] = "test:" + Convert.ToBase64String(new byte[32]),
                ["Serilog:MinimumLevel:Default"] = "Fatal",
                // Here the watch is left to its schedule.
                ["Schedules:IncidentDetector"] = "* * * * * ?",
            },
            "Production"
        );
        var owner = new User
        {
            UserId = Guid.CreateVersion7(),
            Issuer = "https://idp.test",
            Subject = "1",
            Email = "owner@insights.test",
            EmailVerified = true,
        };
        await app
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                async db =>
                {
                    db.Users.Add(owner);
                    await db.SaveChangesAsync(Ct);
                },
                Ct
            );
        var store = await AddStoreAsync(app, "kettles", "Kettles", (owner.Email, MemberRole.Owner));
        await PostgresServer.ExecuteAsync(
            database.ConnectionString,
            string.Format(CultureInfo.InvariantCulture, Event("dead", 4, "now()"), store)
        );

        Mail? mail;
        for (
            var patience = 0;
            (
                mail = await app
                    .Services.GetRequiredService<TenantDatabase>()
                    .RunAsync(store, db => db.Mails.AsNoTracking().SingleOrDefaultAsync(Ct), Ct)
            )?.GivenUpAt
                is null;
            patience++
        )
        {
            Assert.True(patience < 200, "The mail is neither sent nor failed.");
            await Task.Delay(50, Ct);
        }
        Assert.Equal((null, "No mail server is configured (Smtp:Host)."), (mail.SentAt, mail.LastError));
    }

    private static string Job(string status, string at) =>
        $"insert into sync_jobs (tenant_id, id, type, slot, status, error, objects_expected, objects_read, stored, unchanged, rejected, gone, attempts, created_at, started_at, finished_at) values ('{{0}}', gen_random_uuid(), 'Delta', gen_random_uuid()::text, '{status}', 'Shopify hung up.', 0, 0, 0, 0, 0, 0, 1, {at}, {at}, {at})";

    private static string Import(int rejected, string finished = "now()") =>
        $"insert into sync_jobs (tenant_id, id, type, slot, status, objects_expected, objects_read, stored, unchanged, rejected, gone, attempts, created_at, started_at, finished_at) values ('{{0}}', gen_random_uuid(), 'Full', gen_random_uuid()::text, 'Succeeded', 1000, 1000, {1000 - rejected}, 0, {rejected}, 0, 1, {finished}, {finished}, {finished})";

    private static string Event(string id, int status, string at) =>
        $"insert into events (tenant_id, webhook_id, topic, received_at, headers, payload, status, attempts, due_at) values ('{{0}}', '{id}', 'orders/updated', {at}, '{{{{}}}}', '\\x7b7d', {status}, 1, {(status == 1 ? "now() + interval '1 hour'" : at)})";

    private Task SqlAsync(string sql) =>
        PostgresServer.ExecuteAsync(
            _database.ConnectionString,
            string.Format(CultureInfo.InvariantCulture, sql, _store)
        );

    private async Task<MimeKit.MimeMessage> MailAsync(int number)
    {
        for (var patience = 0; _mail.Mails.Count < number; patience++)
        {
            Assert.True(patience < 300, $"{_mail.Mails.Count} mails instead of {number}.");
            await Task.Delay(50, Ct);
        }
        return _mail.Mails.ElementAt(number - 1);
    }

    private Task<Guid> AddStoreAsync(string handle, string name) =>
        AddStoreAsync(
            _app,
            handle,
            name,
            ("owner@demo.test", MemberRole.Owner),
            ("viewer@demo.test", MemberRole.Viewer)
        );

    private static async Task<Guid> AddStoreAsync(
        AppHost app,
        string handle,
        string name,
        params (string Email, MemberRole Role)[] members
    )
    {
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = handle.Length,
            ShopDomain = $"{handle}.myshopify.com",
            Name = name,
            Currency = "EUR",
            TimeZone = "Europe/Berlin",
            Status = TenantStatus.Connected,
            ConnectedAt = TimeProvider.System.GetUtcNow().AddDays(-60),
        };
        await app
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                async db =>
                {
                    var people = await db.Users.ToDictionaryAsync(u => u.Email!, u => u.UserId, Ct);
                    db.Tenants.Add(tenant);
                    db.ShopDomains.Add(
                        new()
                        {
                            Domain = tenant.ShopDomain,
                            TenantId = tenant.TenantId,
                            ShopId = tenant.ShopId,
                        }
                    );
                    foreach (var (email, role) in members)
                        db.Memberships.Add(
                            new()
                            {
                                TenantId = tenant.TenantId,
                                UserId = people[email],
                                Role = role,
                                CreatedAt = DateTimeOffset.UnixEpoch,
                            }
                        );
                    await db.SaveChangesAsync(Ct);
                },
                Ct
            );
        return tenant.TenantId;
    }
}
