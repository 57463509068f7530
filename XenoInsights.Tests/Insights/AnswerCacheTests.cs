using Microsoft.Extensions.Options;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Insights;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Insights;

/// <summary>
/// Answers that are kept: how much memory they take and whose they are, and who finds those that are not.
/// </summary>
public sealed class AnswerCacheTests(PostgresServer postgres)
{
    private const int Megabyte = 1024 * 1024;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_stores_answers_keep_to_its_share_and_evict_no_other_stores_answers()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var cache = Cache(stores, megabytes: 4, ofOne: 1);
        var (loud, quiet) = (await MemberAsync(stores), await MemberAsync(stores));
        await cache.GetAsync(quiet.Database, quiet.TenantId, "quiet", (_, _) => Task.FromResult("kept"), Ct);

        for (var question = 0; question < 300; question++)
            await cache.GetAsync(
                loud.Database,
                loud.TenantId,
                question,
                (_, _) => Task.FromResult(new string('x', 100_000)),
                Ct
            );

        Assert.InRange(cache.KeptBytes, 500_000, Megabyte + 10_000);
        Assert.Equal(
            "kept",
            await cache.GetAsync(quiet.Database, quiet.TenantId, "quiet", (_, _) => Task.FromResult("found again"), Ct)
        );
        Assert.Equal(
            new string('x', 100_000),
            await cache.GetAsync(loud.Database, loud.TenantId, 299, (_, _) => Task.FromResult("found again"), Ct)
        );
        Assert.Equal(
            "found again",
            await cache.GetAsync(loud.Database, loud.TenantId, 0, (_, _) => Task.FromResult("found again"), Ct)
        );
    }

    [Fact]
    public async Task All_stores_together_take_no_more_than_the_whole_and_those_with_most_give_way()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var cache = Cache(stores, megabytes: 2, ofOne: 1);
        var small = await MemberAsync(stores);
        await cache.GetAsync(small.Database, small.TenantId, "small", (_, _) => Task.FromResult("kept"), Ct);
        for (var store = 0; store < 4; store++)
        {
            var large = await MemberAsync(stores);
            for (var question = 0; question < 9; question++)
                await cache.GetAsync(
                    large.Database,
                    large.TenantId,
                    question,
                    (_, _) => Task.FromResult(new string('x', 100_000)),
                    Ct
                );
        }
        await cache.GetAsync(
            small.Database,
            small.TenantId,
            "too large to keep",
            (_, _) => Task.FromResult(new string('x', 2 * Megabyte)),
            Ct
        );

        Assert.InRange(cache.KeptBytes, Megabyte, 2 * Megabyte);
        Assert.Equal(
            "kept",
            await cache.GetAsync(small.Database, small.TenantId, "small", (_, _) => Task.FromResult("found again"), Ct)
        );
    }

    [Fact]
    public async Task An_answer_is_of_its_store_and_ends_with_the_data_it_was_found_in()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var cache = Cache(stores);
        var (one, other) = (await MemberAsync(stores), await MemberAsync(stores));
        Task<string> AskAsync(Member member, string fresh) =>
            cache.GetAsync(member.Database, member.TenantId, "same question", (_, _) => Task.FromResult(fresh), Ct);

        Assert.Equal(
            ("first", "other", "first"),
            (await AskAsync(one, "first"), await AskAsync(other, "other"), await AskAsync(one, "second"))
        );
        await stores.ApplyAsync(
            one.Shop,
            new ProductRecord
            {
                ShopifyId = 1,
                UpdatedAt = DateTimeOffset.UnixEpoch,
                CreatedAt = DateTimeOffset.UnixEpoch,
                Title = "Lamp",
            }
        );

        Assert.Equal(("second", "other"), (await AskAsync(one, "second"), await AskAsync(other, "another")));
    }

    [Fact]
    public async Task Equal_questions_at_once_are_one_computation_which_outlives_the_first_who_asked()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var cache = Cache(stores);
        var shop = await MemberAsync(stores);
        var (begun, goOn, computations) = (new TaskCompletionSource(), new TaskCompletionSource(), 0);
        async Task<string> ComputeAsync(XenoDbContext db, CancellationToken token)
        {
            Interlocked.Increment(ref computations);
            begun.TrySetResult();
            await goOn.Task.WaitAsync(token);
            // Its unit of work sees the store, although its first caller has gone.
            await using var command = db.Command(
                "select shop_domain from tenants where tenant_id = current_setting('app.tenant_id')::uuid"
            );
            return (string)(await command.ExecuteScalarAsync(token))!;
        }

        using var left = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var first = cache.GetAsync(shop.Database, shop.TenantId, "q", ComputeAsync, left.Token);
        await begun.Task;
        var others = Enumerable
            .Range(0, 5)
            .Select(_ => cache.GetAsync(shop.Database, shop.TenantId, "q", ComputeAsync, Ct))
            .ToArray();
        await cache.GetAsync(shop.Database, shop.TenantId, "another", (_, _) => Task.FromResult(""), Ct);
        await left.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        goOn.SetResult();

        Assert.All(await Task.WhenAll(others), answer => Assert.Equal("shop-1.myshopify.com", answer));
        Assert.Equal(1, computations);
    }

    [Fact]
    public async Task A_computation_that_nobody_waits_for_ends_and_the_next_who_asks_begins_anew()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var cache = Cache(stores);
        var shop = await MemberAsync(stores);
        var (begun, ended) = (new TaskCompletionSource(), new TaskCompletionSource());
        async Task<string> ComputeAsync(XenoDbContext db, CancellationToken token)
        {
            using var told = token.Register(() => ended.TrySetResult());
            begun.TrySetResult();
            await using var command = db.Command("select pg_sleep(600)");
            await command.ExecuteNonQueryAsync(token);
            return "never";
        }

        using var left = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        var only = cache.GetAsync(shop.Database, shop.TenantId, "q", ComputeAsync, left.Token);
        await begun.Task;
        await left.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => only);
        await ended.Task;
        Assert.Equal(
            "anew",
            await cache.GetAsync(shop.Database, shop.TenantId, "q", (_, _) => Task.FromResult("anew"), Ct)
        );
    }

    [Fact]
    public async Task A_failed_computation_fails_for_those_who_asked_and_is_not_kept()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var cache = Cache(stores);
        var shop = await MemberAsync(stores);

        await Assert.ThrowsAsync<InvalidOperationException>(() =>
            cache.GetCostlyAsync<string>(
                shop.Database,
                shop.TenantId,
                "q",
                (_, _) => throw new InvalidOperationException("no"),
                Ct
            )
        );

        Assert.Equal(
            "found",
            await cache.GetCostlyAsync(shop.Database, shop.TenantId, "q", (_, _) => Task.FromResult("found"), Ct)
        );
    }

    [Fact]
    public async Task Who_is_no_member_any_more_gets_no_answer_however_it_is_kept_or_being_found()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var cache = Cache(stores);
        var (member, former) = (await MemberAsync(stores), await stores.AddPersonAsync());
        await cache.GetAsync(member.Database, member.TenantId, "kept", (_, _) => Task.FromResult("kept"), Ct);
        await cache.GetCostlyAsync(member.Database, member.TenantId, "costly", (_, _) => Task.FromResult("costly"), Ct);
        var goOn = new TaskCompletionSource<string>();
        var underWay = cache.GetAsync(member.Database, member.TenantId, "under way", (_, _) => goOn.Task, Ct);

        var foreign = stores.InScopeOf(member.TenantId, former);
        foreach (var question in (string[])["kept", "under way"])
            await Assert.ThrowsAsync<AccessDeniedException>(() =>
                cache.GetAsync(foreign, member.TenantId, question, (_, _) => Task.FromResult("stolen"), Ct)
            );
        await Assert.ThrowsAsync<AccessDeniedException>(() =>
            cache.GetCostlyAsync(foreign, member.TenantId, "costly", (_, _) => Task.FromResult("stolen"), Ct)
        );

        goOn.SetResult("found");
        Assert.Equal("found", await underWay);
    }

    private static async Task<Member> MemberAsync(TestStores stores)
    {
        var shop = await stores.AddAsync();
        return new(shop, await stores.InScopeOfAsync(shop.TenantId));
    }

    private static AnswerCache Cache(TestStores stores, int megabytes = 16, int ofOne = 4) =>
        new(
            stores.Tenants,
            TimeProvider.System,
            Options.Create(new AnswerOptions { Megabytes = megabytes, MegabytesPerStore = ofOne })
        );

    /// <summary>Somebody who may read a store.</summary>
    private sealed record Member(StoreCalendar Shop, XenoDatabase Database)
    {
        public Guid TenantId => Shop.TenantId;
    }
}
