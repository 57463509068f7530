using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Notifications;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Notifications;

/// <summary>What many stores have at once is one mail to operators; the stores' people are told only if it lasts.</summary>
public sealed class FleetIncidentTests(PostgresServer server) : IAsyncLifetime
{
    private const int Stores = 12;
    private readonly MailCatcher _mail = MailCatcher.Start();
    private readonly List<Guid> _stores = [];
    private TestDatabase _database = null!;
    private AppHost _app = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

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
                ["Access:Operators:0"] = "duty@insights.test",
                ["Smtp:Host"] = "127.0.0.1",
                ["Smtp:Port"] = _mail.Port.ToString(CultureInfo.InvariantCulture),
                ["Smtp:Security"] = "None",
                ["Notifications:RetrySeconds"] = "0.1",
                ["Serilog:MinimumLevel:Default"] = "Fatal",
            }
        );
        for (var i = 0; i < Stores; i++)
            _stores.Add(await AddStoreAsync(i));
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _database.DisposeAsync();
        await _mail.DisposeAsync();
    }

    [Fact]
    public async Task What_begins_in_many_stores_is_one_mail_to_each_operator_and_its_end_another_and_none_to_the_stores()
    {
        await FailAsync(_stores.Take(10));
        // Twice, and by two instances at the same moment.
        await Task.WhenAll(LookAsync(), LookAsync());
        await LookAsync();

        await MailsAsync("duty@insights.test", "operator@demo.test");
        Assert.All(_mail.Mails, mail => Assert.Equal("XenoInsights: 10 stores at once: webhooks failed", mail.Subject));
        Assert.Equal(10, await OpenIncidentsAsync());
        using var operators = await _app.SignInAsync("operator@demo.test");
        var page = await operators.GetStringAsync(new Uri("/operations", UriKind.Relative), Ct);
        Assert.Contains("10 stores at once", page, StringComparison.Ordinal);
        var answer = await operators.GetStringAsync(new Uri("/api/operations/fleet-incidents", UriKind.Relative), Ct);
        Assert.Contains("\"kind\":\"givenUp\"", answer, StringComparison.Ordinal);

        await SqlAsync("update events set status = 2");
        await LookAsync();
        await LookAsync();
        await MailsAsync("duty@insights.test", "operator@demo.test", "duty@insights.test", "operator@demo.test");
        Assert.Equal(0, await OpenIncidentsAsync());
        Assert.DoesNotContain(
            "stores at once",
            await operators.GetStringAsync(new Uri("/operations", UriKind.Relative), Ct),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task When_it_is_over_in_most_stores_the_people_of_the_others_are_told()
    {
        await FailAsync(_stores);
        await LookAsync();
        await MailsAsync("duty@insights.test", "operator@demo.test");

        await SqlAsync($"update events set status = 2 where tenant_id not in ('{_stores[0]}', '{_stores[1]}')");
        await LookAsync();
        await LookAsync();

        await MailsAsync(
            "duty@insights.test",
            "operator@demo.test",
            "duty@insights.test",
            "operator@demo.test",
            "owner-0@demo.test",
            "owner-1@demo.test"
        );
    }

    [Fact]
    public async Task What_lasts_longer_than_the_hold_is_told_to_the_stores_and_few_stores_are_told_at_once()
    {
        await FailAsync(_stores.Take(9));
        await LookAsync();
        var few = _stores.Take(9).Select((_, i) => $"owner-{i}@demo.test").ToArray();
        await MailsAsync(few);

        await FailAsync(_stores.Skip(9));
        await LookAsync();
        string[] operators = ["duty@insights.test", "operator@demo.test"];
        await MailsAsync([.. few, .. operators]);

        await SqlAsync(
            $"update incidents set opened_at = opened_at - interval '61 minutes' where tenant_id = '{_stores[10]}'"
        );
        await LookAsync();
        await LookAsync();
        await MailsAsync([.. few, .. operators, "owner-10@demo.test"]);
    }

    private Task LookAsync() => ActivatorUtilities.CreateInstance<IncidentDetector>(_app.Services).LookAsync(Ct);

    private Task FailAsync(IEnumerable<Guid> stores) =>
        SqlAsync(
            string.Join(
                ';',
                stores.Select(store =>
                    "insert into events (tenant_id, webhook_id, topic, received_at, headers, payload, status, attempts, due_at) "
                    + $"values ('{store}', 'dead', 'orders/updated', now(), '{{}}', '\\x7b7d', 4, 1, now())"
                )
            )
        );

    private Task SqlAsync(string sql) => PostgresServer.ExecuteAsync(_database.ConnectionString, sql);

    private Task<int> OpenIncidentsAsync() =>
        _app
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                db =>
                    db.Incidents.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                        .CountAsync(i => i.ResolvedAt == null, Ct),
                Ct
            );

    /// <summary>Exactly these mails, in any order, and no other comes.</summary>
    private async Task MailsAsync(params string[] recipients)
    {
        for (var patience = 0; _mail.Mails.Count < recipients.Length && patience < 200; patience++)
            await Task.Delay(50, Ct);
        var waiting = 1;
        for (var patience = 0; waiting > 0 && patience < 200; patience++)
        {
            waiting = await _app
                .Services.GetRequiredService<SystemDatabase>()
                .RunAsync(
                    async db =>
                        await db
                            .Mails.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                            .CountAsync(m => m.SentAt == null, Ct)
                        + await db.OperatorMails.CountAsync(m => m.SentAt == null, Ct),
                    Ct
                );
            if (waiting > 0)
                await Task.Delay(50, Ct);
        }
        Assert.Equal(recipients.Order(), _mail.Mails.Select(mail => mail.To.Mailboxes.Single().Address).Order());
    }

    private async Task<Guid> AddStoreAsync(int number)
    {
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = number + 1,
            ShopDomain = $"store-{number}.myshopify.com",
            Name = $"Store {number}",
            Currency = "EUR",
            TimeZone = "Europe/Berlin",
            Status = TenantStatus.Connected,
            ConnectedAt = TimeProvider.System.GetUtcNow(),
        };
        var owner = new User
        {
            UserId = Guid.CreateVersion7(),
            Issuer = "test",
            Subject = $"{number}",
            Email = $"owner-{number}@demo.test",
            EmailVerified = true,
        };
        await _app
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                async db =>
                {
                    db.Tenants.Add(tenant);
                    db.Users.Add(owner);
                    db.Memberships.Add(
                        new()
                        {
                            TenantId = tenant.TenantId,
                            UserId = owner.UserId,
                            Role = MemberRole.Owner,
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
