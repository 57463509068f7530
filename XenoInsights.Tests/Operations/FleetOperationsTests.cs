using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Tests.Operations;

/// <summary>
/// Operators see and act across stores over HTTP; nobody else does, and no answer holds what stores' data say.
/// </summary>
public sealed class FleetOperationsTests(FleetHost host) : IClassFixture<FleetHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Stores_are_paged_by_status_with_their_events_and_last_jobs()
    {
        var frozen = new List<Guid>();
        for (var i = 0; i < 3; i++)
            frozen.Add(await host.AddStoreAsync(TenantStatus.Frozen));
        await host.AddStoreAsync();
        await host.AddFailedAsync(frozen[1], 2);
        await host.SqlAsync(Job("Delta", "Failed", minutesAgo: 20), frozen[1]);
        await host.SqlAsync(Job("Delta", "Succeeded", minutesAgo: 10), frozen[1]);
        await host.SqlAsync(Job("Full", "Succeeded", minutesAgo: 30), frozen[1]);

        var (first, next) = await PageAsync("/api/operations/stores?status=frozen&limit=2");
        var (second, last) = await PageAsync(next!);

        Assert.Equal(frozen, first.Concat(second).Select(s => s.GetProperty("tenantId").GetGuid()));
        Assert.Null(last);
        var store = first[1];
        Assert.Equal(
            ("frozen", 0, 2),
            (
                store.GetProperty("status").GetString(),
                store.GetProperty("waiting").GetInt64(),
                store.GetProperty("failed").GetInt64()
            )
        );
        Assert.Equal(
            ["full succeeded", "delta succeeded"],
            store.GetProperty("lastJobs").EnumerateArray().Select(JobText)
        );
    }

    [Fact]
    public async Task Sync_jobs_of_all_stores_are_paged_newest_first_by_type_and_status()
    {
        var (one, other) = (await host.AddStoreAsync(), await host.AddStoreAsync());
        await host.SqlAsync(Job("Rehydrate", "Failed", minutesAgo: 3), one);
        await host.SqlAsync(Job("Rehydrate", "Failed", minutesAgo: 1), other);
        await host.SqlAsync(Job("Rehydrate", "Failed", minutesAgo: 2), one);
        await host.SqlAsync(Job("Rehydrate", "Succeeded", minutesAgo: 1), one);
        await host.SqlAsync(Job("Delta", "Failed", minutesAgo: 1), one);

        var (first, next) = await PageAsync("/api/operations/sync-jobs?type=rehydrate&status=failed&limit=2");
        var (second, _) = await PageAsync(next!);

        Assert.Equal([other, one, one], first.Concat(second).Select(j => j.GetProperty("tenantId").GetGuid()));
        Assert.Equal(3, first.Concat(second).Select(j => j.GetProperty("id").GetGuid()).Distinct().Count());
    }

    [Fact]
    public async Task Incidents_of_all_stores_are_paged_newest_first_by_kind_and_state()
    {
        var (one, other) = (await host.AddStoreAsync(), await host.AddStoreAsync());
        await host.SqlAsync(Incident("Silent", minutesAgo: 2, isOpen: true), one);
        await host.SqlAsync(Incident("Silent", minutesAgo: 1, isOpen: true), other);
        await host.SqlAsync(Incident("Silent", minutesAgo: 3, isOpen: false), other);
        await host.SqlAsync(Incident("Behind", minutesAgo: 1, isOpen: true), one);

        var (first, next) = await PageAsync("/api/operations/incidents?kind=silent&open=true&limit=1");
        var (second, _) = await PageAsync(next!);

        Assert.Equal([other, one], first.Concat(second).Select(i => i.GetProperty("tenantId").GetGuid()));
        var (ended, _) = await PageAsync("/api/operations/incidents?kind=silent&open=false");
        Assert.Equal("words", Assert.Single(ended).GetProperty("detail").GetString());
    }

    [Fact]
    public async Task A_replay_counts_first_and_takes_only_what_matches_in_the_stores_that_are_named()
    {
        var (one, other, third) = (await host.AddStoreAsync(), await host.AddStoreAsync(), await host.AddStoreAsync());
        foreach (var store in (Guid[])[one, other, third])
        {
            await host.AddFailedAsync(store, 3, "orders/create", "Deadlock detected");
            await host.AddFailedAsync(store, 2, "orders/create", "unreadable");
            await host.AddFailedAsync(store, 1, "products/update", "deadlock");
        }
        var from = TimeProvider.System.GetUtcNow().AddSeconds(-90);
        object Request(bool dryRun) =>
            new
            {
                stores = new[] { one, other },
                topic = "orders/create",
                error = "DEADLOCK",
                from,
                dry_run = dryRun,
            };

        var counted = await PostAsync("/api/operations/replay", Request(dryRun: true));
        Assert.Equal(
            (true, true, 4),
            (
                counted.GetProperty("dryRun").GetBoolean(),
                counted.GetProperty("complete").GetBoolean(),
                counted.GetProperty("events").GetInt32()
            )
        );
        Assert.Equal((6, 6, 6), (await FailedAsync(one), await FailedAsync(other), await FailedAsync(third)));

        var replayed = await PostAsync("/api/operations/replay", Request(dryRun: false));
        Assert.Equal(
            [2, 2],
            replayed.GetProperty("stores").EnumerateArray().Select(s => s.GetProperty("events").GetInt32())
        );
        Assert.Equal((4, 4, 6), (await FailedAsync(one), await FailedAsync(other), await FailedAsync(third)));
    }

    [Fact]
    public async Task A_replay_goes_on_where_it_stopped_and_a_store_that_fails_stops_no_other()
    {
        var stores = new List<Guid>();
        for (var i = 0; i < 3; i++)
        {
            stores.Add(await host.AddStoreAsync());
            await host.AddFailedAsync(stores[i], 4, "carts/update");
        }
        await host.SqlAsync(
            "create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end'; "
                + "create trigger refuse before update on events for each row when (old.tenant_id = '{0}') "
                + "execute function refuse()",
            stores[1]
        );
        var (requests, events, problems) = (0, 0, new List<Guid>());
        string? after = null;
        bool isComplete;
        do
        {
            var answer = await PostAsync(
                "/api/operations/replay",
                new
                {
                    all = true,
                    topic = "carts/update",
                    limit = 3,
                    after,
                }
            );
            events += answer.GetProperty("events").GetInt32();
            problems.AddRange(
                answer
                    .GetProperty("stores")
                    .EnumerateArray()
                    .Where(s => s.GetProperty("problem").ValueKind != JsonValueKind.Null)
                    .Select(s => s.GetProperty("tenantId").GetGuid())
            );
            (isComplete, after) = (
                answer.GetProperty("complete").GetBoolean(),
                answer.GetProperty("after").GetString()
            );
        } while (!isComplete && ++requests < 20);
        await host.SqlAsync("drop trigger refuse on events");

        Assert.True(isComplete, "It does not end.");
        Assert.Equal(8, events);
        Assert.Equal([stores[1]], problems.Distinct());
        Assert.Equal(
            (0, 4, 0),
            (await FailedAsync(stores[0]), await FailedAsync(stores[1]), await FailedAsync(stores[2]))
        );
    }

    [Fact]
    public async Task A_sync_job_is_started_in_each_store_once_and_only_where_the_store_is_connected()
    {
        var (one, other, removed) = (
            await host.AddStoreAsync(),
            await host.AddStoreAsync(),
            await host.AddStoreAsync(TenantStatus.Disconnected)
        );
        await host.SqlAsync(Job("Delta", "Queued", minutesAgo: 1), other);

        var answer = await PostAsync(
            "/api/operations/sync-jobs",
            new { stores = new[] { one, other, removed }, type = "delta" }
        );

        Assert.Equal((true, 1), (answer.GetProperty("complete").GetBoolean(), answer.GetProperty("queued").GetInt32()));
        Assert.Equal(
            ["queued", "unfinished", "notConnected"],
            answer.GetProperty("stores").EnumerateArray().Select(s => s.GetProperty("outcome").GetString())
        );
        var job = await host.InStoreAsync(one, db => db.SyncJobs.SingleAsync(Ct));
        Assert.Equal(
            (SyncJobType.Delta, SyncJobStatus.Queued, SyncJob.ScheduledPriority),
            (job.Type, job.Status, job.Priority)
        );

        var more = await PostAsync(
            "/api/operations/sync-jobs",
            new
            {
                all = true,
                type = "reconcile",
                limit = 1,
            }
        );
        Assert.False(more.GetProperty("complete").GetBoolean());
        Assert.Equal(
            more.GetProperty("stores")[0].GetProperty("tenantId").GetGuid(),
            more.GetProperty("after").GetGuid()
        );
    }

    public static TheoryData<string, string> BadQuestions =>
        new()
        {
            { "stores?status=broken", "status" },
            { "stores?after=x", "after" },
            { "stores?limit=0", "limit" },
            { "sync-jobs?type=1", "type" },
            { "sync-jobs?status=Failed", "status" },
            { "sync-jobs?before=yesterday&before_id=x", "before" },
            { "sync-jobs?before=2026-11-28", "before" },
            { "incidents?kind=x", "kind" },
            { "incidents?open=perhaps", "open" },
            { "incidents?limit=many", "limit" },
        };

    [Theory]
    [MemberData(nameof(BadQuestions))]
    public async Task A_bad_question_is_answered_with_what_is_wrong(string path, string field)
    {
        using var response = await host.Operator.GetAsync(new Uri($"/api/operations/{path}", UriKind.Relative), Ct);
        await AssertNamesAsync(response, field);
    }

    public static TheoryData<string, string, string> BadActions =>
        new()
        {
            { "replay", "{}", "stores" },
            { "replay", """{"stores":[]}""", "stores" },
            { "replay", """{"stores":["x"]}""", "stores" },
            { "replay", """{"stores":["00000000-0000-0000-0000-000000000001"]}""", "stores" },
            { "replay", """{"stores":["00000000-0000-0000-0000-000000000001"],"all":true}""", "stores" },
            { "replay", """{"all":true,"from":"soon"}""", "from" },
            { "replay", """{"all":true,"error":"\u0000"}""", "error" },
            { "replay", """{"all":true,"from":"2026-11-02","to":"2026-11-01"}""", "from" },
            { "replay", """{"all":true,"limit":0}""", "limit" },
            { "replay", """{"all":true,"after":"x"}""", "after" },
            { "sync-jobs", """{"all":true}""", "type" },
            { "sync-jobs", """{"all":true,"type":"everything"}""", "type" },
            { "sync-jobs", """{"type":"delta"}""", "stores" },
        };

    [Theory]
    [MemberData(nameof(BadActions))]
    public async Task A_bad_action_does_nothing_and_says_what_is_wrong(string path, string body, string field)
    {
        using var content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
        using var response = await host.Operator.PostAsync(
            new Uri($"/api/operations/{path}", UriKind.Relative),
            content,
            Ct
        );
        await AssertNamesAsync(response, field);
    }

    [Fact]
    public async Task Nobody_but_operators_sees_or_does_anything()
    {
        var store = await host.AddStoreAsync();
        await host.AddFailedAsync(store, 1);
        using var owner = await host.App.SignInAsync("owner@demo.test");
        using var visitor = host.App.Visitor(followRedirects: false);
        foreach (
            var (client, status) in ((HttpClient, HttpStatusCode)[])
                [(owner, HttpStatusCode.Forbidden), (visitor, HttpStatusCode.Unauthorized)]
        )
        {
            foreach (var path in (string[])["stores", "sync-jobs", "incidents", "queue"])
            {
                using var seen = await client.GetAsync(new Uri($"/api/operations/{path}", UriKind.Relative), Ct);
                Assert.Equal((path, status), (path, seen.StatusCode));
            }
            using var replay = await client.PostAsJsonAsync(
                "/api/operations/replay",
                new { stores = new[] { store } },
                Ct
            );
            using var start = await client.PostAsJsonAsync(
                "/api/operations/sync-jobs",
                new { stores = new[] { store }, type = "full" },
                Ct
            );
            Assert.Equal((status, status), (replay.StatusCode, start.StatusCode));
        }
        Assert.Equal(1, await FailedAsync(store));
        Assert.Empty(await host.InStoreAsync(store, db => db.SyncJobs.ToListAsync(Ct)));
    }

    private static string Job(string type, string status, int minutesAgo)
    {
        var at = $"now() - interval '{minutesAgo} minutes'";
        return "insert into sync_jobs (tenant_id, id, type, slot, status, error, cursor, objects_expected, "
            + "objects_read, stored, unchanged, "
            + "rejected, gone, attempts, created_at, started_at, finished_at) values ('{0}', gen_random_uuid(), "
            + $"'{type}', gen_random_uuid()::text, '{status}', 'words', '\"secret\"', 0, 0, 0, 0, 0, 0, 1, "
            + $"{at}, {at}, {at})";
    }

    private static string Incident(string kind, int minutesAgo, bool isOpen) =>
        "insert into incidents (tenant_id, id, kind, opened_at, resolved_at, detail) values ('{0}', gen_random_uuid(), "
        + $"'{kind}', now() - interval '{minutesAgo} minutes', {(isOpen ? "null" : "now()")}, 'words')";

    private static string JobText(JsonElement job) => $"{job.GetProperty("type")} {job.GetProperty("status")}";

    private Task<int> FailedAsync(Guid store) =>
        host.InStoreAsync(store, db => db.Events.CountAsync(e => e.Status == EventStatus.Dead, Ct));

    private async Task<(List<JsonElement> Rows, string? Next)> PageAsync(string path)
    {
        using var response = await host.Operator.GetAsync(new Uri(path, UriKind.Relative), Ct);
        var text = await response.Content.ReadAsStringAsync(Ct);
        Assert.True(response.IsSuccessStatusCode, text);
        Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
        var next = response.Headers.TryGetValues("Link", out var links) ? links.Single().Split('<', '>')[1] : null;
        return ([.. JsonDocument.Parse(text).RootElement.EnumerateArray()], next);
    }

    private async Task<JsonElement> PostAsync(string path, object body)
    {
        using var response = await host.Operator.PostAsJsonAsync(path, body, Ct);
        var text = await response.Content.ReadAsStringAsync(Ct);
        Assert.True(response.IsSuccessStatusCode, text);
        Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
        return JsonDocument.Parse(text).RootElement;
    }

    private static async Task AssertNamesAsync(HttpResponseMessage response, string field)
    {
        var text = await response.Content.ReadAsStringAsync(Ct);
        Assert.True(response.StatusCode == HttpStatusCode.BadRequest, text);
        Assert.True(JsonDocument.Parse(text).RootElement.GetProperty("errors").TryGetProperty(field, out _), text);
    }
}
