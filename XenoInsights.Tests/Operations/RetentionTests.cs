using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Notifications;
using XenoInsights.Sync;
using XenoInsights.Tests.Support;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Operations;

/// <summary>ScheduledJobs does what is due, once, and visits only stores that have something.</summary>
public sealed class RetentionTests(PostgresServer postgres)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Old_bodies_are_dropped_once_and_only_stores_that_have_some_are_visited()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var (busy, calm) = ((await stores.AddAsync()).TenantId, (await stores.AddAsync()).TenantId);
        await AddAsync(stores, busy, EventStatus.Applied, daysAgo: 8, count: 2500);
        await AddAsync(stores, busy, EventStatus.Ignored, daysAgo: 9);
        await AddAsync(stores, busy, EventStatus.Dead, daysAgo: 10);
        await AddAsync(stores, busy, EventStatus.Pending, daysAgo: 11);
        await AddAsync(stores, busy, EventStatus.Applied, daysAgo: 6);
        await AddAsync(stores, calm, EventStatus.Applied, daysAgo: 6);
        var job = Job(stores);

        Assert.Equal([busy], await job.StoresWithOldPayloadsAsync(Ct));
        await job.Execute(null!, Ct);

        Assert.Empty(await job.StoresWithOldPayloadsAsync(Ct));
        var kept = await stores.Tenants.RunAsync(
            busy,
            db => db.Events.Where(e => e.Payload != null).Select(e => e.Status).ToListAsync(Ct),
            Ct
        );
        Assert.Equal([EventStatus.Pending, EventStatus.Applied, EventStatus.Dead], kept.Order());
        Assert.Equal(2504, await stores.Tenants.RunAsync(busy, db => db.Events.CountAsync(Ct), Ct));
    }

    [Fact]
    public async Task Old_events_are_deleted_unless_they_wait_and_one_stores_failure_holds_up_no_other()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var (failing, other) = ((await stores.AddAsync()).TenantId, (await stores.AddAsync()).TenantId);
        foreach (var store in (Guid[])[failing, other])
        {
            await AddAsync(stores, store, EventStatus.Applied, daysAgo: 31);
            await AddAsync(stores, store, EventStatus.Dead, daysAgo: 31);
            await AddAsync(stores, store, EventStatus.Pending, daysAgo: 31);
        }
        await PostgresServer.ExecuteAsync(
            stores.ConnectionString,
            $"""
            create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end';
            create trigger refuse before update or delete on events for each row
                when (old.tenant_id = '{failing}') execute function refuse()
            """
        );

        await Job(stores).Execute(null!, Ct);

        var left = await stores.Tenants.RunAsync(other, db => db.Events.Select(e => e.Status).ToListAsync(Ct), Ct);
        Assert.Equal([EventStatus.Pending], left);
        Assert.Equal(3, await stores.Tenants.RunAsync(failing, db => db.Events.CountAsync(Ct), Ct));
    }

    [Fact]
    public async Task Dropping_bodies_reads_an_index_of_what_is_due()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var store = (await stores.AddAsync()).TenantId;
        await PostgresServer.ExecuteAsync(
            stores.ConnectionString,
            $"""
            insert into events (tenant_id, webhook_id, topic, headers, status, attempts, due_at, received_at,
                payload_dropped_at)
            select '{store}', i::text, 'orders/create', '{"{}"}', 2, 1, now(), now() - interval '10 days', now()
            from generate_series(1, 20000) i;
            analyze events
            """
        );
        await AddAsync(stores, store, EventStatus.Applied, daysAgo: 8);

        var plan = await stores.Tenants.RunAsync(
            store,
            async db =>
            {
                await using var command = db.Command(
                    $"""
                    explain (analyze, buffers off, costs off, timing off, summary off)
                    select webhook_id from events where tenant_id = '{store}'
                        and received_at < now() - interval '7 days'
                    and status in (2, 3) and payload_dropped_at is null order by received_at limit 2000
                    """
                );
                var lines = new List<string>();
                await using var reader = await command.ExecuteReaderAsync(Ct);
                while (await reader.ReadAsync(Ct))
                    lines.Add(reader.GetString(0));
                return string.Join('\n', lines);
            },
            Ct
        );

        Assert.Contains("ix_events_payload_kept", plan, StringComparison.Ordinal);
        Assert.DoesNotContain("Rows Removed", plan, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Old_mails_incidents_and_runs_are_deleted()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var store = (await stores.AddAsync()).TenantId;
        await PostgresServer.ExecuteAsync(
            stores.ConnectionString,
            $"""
            insert into mails (tenant_id, id, incident_id, user_id, is_recovery, recipient, subject, text,
                html, created_at, due_at, attempts)
            select '{store}', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), false, '', '', '', '', at, at, 0
            from unnest(array[now() - interval '31 days', now() - interval '29 days']) at;
            insert into incidents (tenant_id, id, kind, opened_at, resolved_at, detail)
            select '{store}', gen_random_uuid(), 'Silent', at, at, ''
            from unnest(array[now() - interval '366 days', now()]) at;
            insert into sync_jobs (tenant_id, id, type, slot, status, objects_expected, objects_read, stored,
                unchanged, rejected, gone,
                attempts, created_at, started_at, finished_at)
            select '{store}', gen_random_uuid(), 'Delta', at::text, 'Succeeded', 0, 0, 0, 0, 0, 0, 1, at, at, at
            from unnest(array[now() - interval '92 days', now() - interval '91 days']) at;
            """
        );

        await new PurgeEmails(stores.System, stores.Tenants, NullLogger<PurgeEmails>.Instance).Execute(null!, Ct);
        await new PurgeSyncJobs(stores.System, stores.Tenants, NullLogger<PurgeSyncJobs>.Instance).Execute(null!, Ct);

        var left = await stores.Tenants.RunAsync(
            store,
            async db =>
                (await db.Mails.CountAsync(Ct), await db.Incidents.CountAsync(Ct), await db.SyncJobs.CountAsync(Ct)),
            Ct
        );
        Assert.Equal((1, 1, 1), left);
    }

    private static PurgeEvents Job(TestStores stores) =>
        new(stores.System, stores.Tenants, Options.Create(new RetentionOptions()), NullLogger<PurgeEvents>.Instance);

    private static Task AddAsync(TestStores stores, Guid store, EventStatus status, int daysAgo, int count = 1) =>
        stores.Tenants.RunAsync(
            store,
            async db =>
            {
                var at = TimeProvider.System.GetUtcNow().AddDays(-daysAgo);
                db.Events.AddRange(
                    Enumerable
                        .Range(0, count)
                        .Select(i => new Event
                        {
                            TenantId = store,
                            WebhookId = $"{status} {daysAgo} {i}",
                            Topic = "orders/create",
                            Headers = "{}",
                            Payload = "{}"u8.ToArray(),
                            Status = status,
                            ReceivedAt = at,
                            DueAt = at,
                        })
                );
                await db.SaveChangesAsync(Ct);
            },
            Ct
        );
}
