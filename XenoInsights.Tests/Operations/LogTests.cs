using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Serilog.Core;
using Serilog.Events;
using XenoInsights.Data;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Operations;

/// <summary>The log of an installation with thousands of stores stays readable.</summary>
public sealed class LogTests(PostgresServer postgres) : ILogEventSink
{
    private readonly ConcurrentQueue<LogEvent> _events = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    void ILogEventSink.Emit(LogEvent logEvent) => _events.Enqueue(logEvent);

    [Fact]
    public async Task Expected_states_have_no_stack_and_a_batch_names_few_traces()
    {
        await using var database = await postgres.CreateDatabaseAsync();
        await using var app = await AppHost.StartAsync(
            database,
            new Dictionary<string, string?>
            {
                ["FakeShopify:Enabled"] = "false",
                ["Shopify:ClientId"] = "x",
                ["Shopify:ClientSecret"] = "y",
                ["Encryption:Keys:0"] = "test:" + Convert.ToBase64String(new byte[32]),
                ["Serilog:MinimumLevel:Default"] = "Information",
            },
            services: services => services.AddSingleton<ILogEventSink>(this)
        );
        // Nothing of it can be read: it has no credential.
        var store = await AddStoreAsync(app);
        await app
            .Services.GetRequiredService<TenantDatabase>()
            .RunAsync(store, db => SyncJobs.EnqueueAsync(db, store, SyncJobType.Full, null, Ct), Ct);
        await PostgresServer.ExecuteAsync(
            database.ConnectionString,
            $"""
            insert into events (tenant_id, webhook_id, topic, received_at, headers, payload, status, attempts,
                due_at, trace_id)
            select '{store}', i::text, 'carts/update', now(), '{"{}"}', '\x7b7d', 1, 0, now(), md5(i::text)
            from generate_series(1, 50) i
            """
        );

        var failed = await LoggedAsync("run {SyncJob} of {Tenant} failed");
        var applied = await LoggedAsync("events of {Tenant} applied");

        Assert.Equal((LogEventLevel.Warning, null), (failed.Level, failed.Exception));
        Assert.Contains(
            "Connect the store again",
            failed.RenderMessage(CultureInfo.InvariantCulture),
            StringComparison.Ordinal
        );
        Assert.Equal(10, Assert.IsType<SequenceValue>(applied.Properties["Traces"]).Elements.Count);
    }

    private async Task<LogEvent> LoggedAsync(string text)
    {
        for (var patience = 0; patience < 400; patience++)
        {
            if (
                _events.FirstOrDefault(e => e.MessageTemplate.Text.Contains(text, StringComparison.Ordinal)) is
                { } found
            )
                return found;
            await Task.Delay(50, Ct);
        }
        throw new InvalidOperationException($"'{text}' was not logged.");
    }

    private static async Task<Guid> AddStoreAsync(AppHost app)
    {
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = 1,
            ShopDomain = "log.myshopify.com",
            Name = "Log",
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
}
