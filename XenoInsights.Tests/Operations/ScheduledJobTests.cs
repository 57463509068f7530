using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Quartz;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Operations;
using XenoInsights.Tenants;
using XenoInsights.Tests.Connect;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Operations;

/// <summary>Scheduled jobs over several instances and stores.</summary>
public sealed class ScheduledJobTests(StoreHost host, PostgresServer postgres) : IClassFixture<StoreHost>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_job_that_several_instances_fire_runs_once()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var runs = new Counter();
        var instances = Enumerable
            .Range(0, 5)
            .Select(_ => new ScheduledJob<Counter>(runs, stores.System, NullLogger<Counter>.Instance));

        await Task.WhenAll(
            instances.Select(instance => instance.RunAsync(TimeSpan.FromMinutes(30), runs.RunAsync, Ct))
        );

        Assert.Equal(1, runs.Count);
    }

    [Fact]
    public async Task A_job_runs_again_at_its_next_time_also_after_a_failure()
    {
        await using var stores = await TestStores.CreateAsync(postgres);
        var runs = new Counter { Fails = true };
        var job = new ScheduledJob<Counter>(runs, stores.System, NullLogger<Counter>.Instance);

        await job.RunAsync(TimeSpan.Zero, runs.RunAsync, Ct);
        runs.Fails = false;
        await job.RunAsync(TimeSpan.Zero, runs.RunAsync, Ct);

        Assert.Equal(2, runs.Count);
        var run = await stores.System.RunAsync(db => db.ScheduledRuns.SingleAsync(Ct), Ct);
        Assert.Equal((nameof(Counter), true, true), (run.Job, run.FinishedAt is not null, run.SucceededAt is not null));
    }

    [Fact]
    public async Task One_tenants_failure_holds_up_no_other()
    {
        var (first, failing, last) = (Guid.NewGuid(), Guid.NewGuid(), Guid.NewGuid());
        var done = new List<Guid>();

        await new[] { first, failing, last }.ForEachTenantAsync(
            (tenant, _) =>
            {
                if (tenant == failing)
                    throw new InvalidOperationException("This one fails.");
                done.Add(tenant);
                return Task.CompletedTask;
            },
            NullLogger.Instance,
            "The test",
            Ct
        );

        Assert.Equal([first, last], done);
    }

    [Fact]
    public async Task Only_dropped_subscriptions_are_made_again()
    {
        using var browser = await host.SignInAsync();
        var shop = host.Shopify.AddShop();
        await host.ConnectAsync(browser, shop);
        var topics = shop.Subscriptions.Count;
        shop.Subscriptions.TryRemove("ORDERS_CREATE", out _);
        shop.Subscriptions.TryRemove("PRODUCTS_UPDATE", out _);
        var calls = shop.SubscribeCalls;
        var job = ActivatorUtilities.CreateInstance<KeepSubscriptions>(host.Services.CreateScope().ServiceProvider);

        await job.Execute(null!, Ct);

        Assert.Equal((topics, calls + 2), (shop.Subscriptions.Count, shop.SubscribeCalls));
    }

    private sealed class Counter : IJob
    {
        private int _count;

        public bool Fails { get; set; }
        public int Count => _count;

        public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) =>
            RunAsync(cancellationToken);

        public ValueTask RunAsync(CancellationToken ct)
        {
            Interlocked.Increment(ref _count);
            return Fails ? throw new InvalidOperationException("The job fails.") : ValueTask.CompletedTask;
        }
    }
}
