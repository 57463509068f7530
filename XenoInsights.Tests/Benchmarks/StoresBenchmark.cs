using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;
using static XenoInsights.Tests.Benchmarks.WebhooksBenchmark;

namespace XenoInsights.Tests.Benchmarks;

/// <summary>
/// Twenty stores with an order a second each: how long those of nineteen take from receipt to applied while nothing
/// else happens, while the twentieth is locked, and while the twentieth, which has many orders, changes its time zone.
/// </summary>
internal sealed class StoresBenchmark
{
    private const double Limit = 2;
    private const string NewZone = "America/Los_Angeles";
    private const int FirstNumber = 2_500_000;
    private static readonly TimeSpan _phase = TimeSpan.FromSeconds(45),
        _perOrder = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(500),
        _daysPoll = TimeSpan.FromSeconds(5),
        _longest = TimeSpan.FromHours(1);

    private readonly Run _run;
    private readonly Tenant _large;
    private int _round;

    private StoresBenchmark(Run run) => (_run, _large) = (run, run.Stores[0]);

    /// <summary>Milliseconds from receipt to applied.</summary>
    private sealed record Lags(long Orders, double P50, double P95, double Longest);

    /// <param name="Refused">Deliveries of the nineteen that were not acknowledged.</param>
    private sealed record Phase(Lags Others, int Refused, Lags Large, int LargeRefused);

    /// <param name="orders">Of the store that changes its time zone.</param>
    public static async Task RunAsync(int orders)
    {
        await using var server = await BenchmarkServer.StartAsync();
        await using var run = await Run.StartAsync(server, "stores");
        await using var transactions = new TenantTransactions(run.Database, NullLoggerFactory.Instance);
        await new StoresBenchmark(run).RunAsync(orders, new TenantDatabase(transactions));
    }

    private async Task RunAsync(int orders, TenantDatabase tenants)
    {
        var watch = Stopwatch.StartNew();
        await BenchmarkServer.ExecuteAsync(_run.Database, Fill(orders));
        await MakeRollupsAsync();
        await BenchmarkServer.ExecuteAsync(_run.Database, "vacuum analyze");
        Console.WriteLine(
            $"  {_run.Stores.Count} stores, one of them with {orders:N0} orders (made in "
                + $"{watch.Elapsed.TotalSeconds:N0} s), an order a second each"
        );
        var warm = Enumerable
            .Range(0, 4000)
            .Select(i => _run.Request("orders/updated", i + FirstNumber / 2, $"warm-{i}", 1))
            .ToList();
        await SendAsync(_run, warm, 8, TimeSpan.FromMinutes(5), perSecond: 400);
        await _run.DrainedAsync();

        var undisturbed = await MeasureAsync("undisturbed", () => Task.Delay(_phase));
        Tell("undisturbed", undisturbed, undisturbed);
        Tell($"one store locked for {_phase.TotalSeconds:N0} s", await MeasureAsync("locked", LockAsync), undisturbed);
        var ended = TimeSpan.Zero;
        var moved = await MeasureAsync("moved", async () => ended = await MoveAsync());
        Tell($"a store of {orders:N0} orders changes its time zone", moved, undisturbed);
        await TellChangeAsync(ended, tenants);
    }

    private async Task MakeRollupsAsync()
    {
        await using var connection = new NpgsqlConnection(_run.Database);
        await connection.OpenAsync();
        foreach (var table in LedgerRollups.Tables)
        {
            await using var fill = new NpgsqlCommand(
                $"""
                insert into {table.Name} (tenant_id, {table.Columns}) select $1, {table.Columns}
                from ({table.Query}) ledger
                """,
                connection
            );
            fill.Parameters.Add(new() { Value = _large.TenantId });
            await fill.ExecuteNonQueryAsync();
        }
    }

    /// <summary>Sends while something happens, and waits until everything has been applied.</summary>
    private async Task<Phase> MeasureAsync(string name, Func<Task> happeningAsync)
    {
        using var stop = new CancellationTokenSource();
        var sending = Enumerable
            .Range(0, _run.Stores.Count)
            .Select(store => SendOrdersAsync(name, store, stop.Token))
            .ToList();
        await happeningAsync();
        await stop.CancelAsync();
        var refused = await Task.WhenAll(sending);
        await _run.DrainedAsync();
        return new(await LagsAsync(name, "<>"), refused.Skip(1).Sum(), await LagsAsync(name, "="), refused[0]);
    }

    /// <summary>
    /// One store's new orders; returns how many deliveries were not acknowledged. Those are not sent again.
    /// </summary>
    private async Task<int> SendOrdersAsync(string phase, int store, CancellationToken stop)
    {
        var refused = 0;
        var connection = await Connection.OpenAsync(_run.Product.Address);
        try
        {
            await Task.Delay(Random.Shared.Next((int)_perOrder.TotalMilliseconds), CancellationToken.None);
            using var timer = new PeriodicTimer(_perOrder);
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                var number = (FirstNumber + Interlocked.Increment(ref _round)) * _run.Stores.Count + store;
                try
                {
                    await connection.SendAsync(_run.Request("orders/updated", number, $"{phase}-{store}-{i}", 1));
                }
                catch (Exception failure) when (failure is IOException or SocketException)
                {
                    refused++;
                    await connection.DisposeAsync();
                    connection = await Connection.OpenAsync(_run.Product.Address);
                }
                await timer.WaitForNextTickAsync(CancellationToken.None);
            }
        }
        finally
        {
            await connection.DisposeAsync();
        }
        return refused;
    }

    /// <summary>A process that applies orders of the store waits for this row at the end of the batch.</summary>
    private async Task LockAsync()
    {
        await using var connection = new NpgsqlConnection(_run.Database);
        await connection.OpenAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using var row = new NpgsqlCommand(
            $"select version from data_versions where tenant_id = '{_large.TenantId}' for update",
            connection
        );
        if (await row.ExecuteScalarAsync() is null)
            throw new InvalidOperationException("The store has no data version to lock.");
        await Task.Delay(_phase);
        await transaction.RollbackAsync();
    }

    /// <summary>
    /// Tells the product of another time zone. The change has ended when the store has it, no run of the store is
    /// unfinished, and its days are those of the new zone. Returns how long that took; goes on for a phase at least.
    /// </summary>
    private async Task<TimeSpan> MoveAsync()
    {
        var watch = Stopwatch.StartNew();
        var body = Encoding.UTF8.GetBytes(
            $$"""
            {"id":{{_large.ShopId}},"name":"{{_large.Name}}","myshopify_domain":"{{_large.ShopDomain}}",
             "currency":"{{_large.Currency}}","iana_timezone":"{{NewZone}}"}
            """
        );
        var now = TimeProvider.System.GetUtcNow().ToString("O", CultureInfo.InvariantCulture);
        await using (var connection = await Connection.OpenAsync(_run.Product.Address))
            await connection.SendAsync(_run.Request("shop/update", _large, "move", body, now));
        while (true)
        {
            while (await _run.ScalarAsync(IsUnfinished) is true)
                await PauseAsync(_poll);
            // What reading all days takes is no part of the change.
            var idle = watch.Elapsed;
            if (await _run.ScalarAsync(HasOldDays) is false)
            {
                if (watch.Elapsed < _phase)
                    await Task.Delay(_phase - watch.Elapsed);
                return idle;
            }
            await PauseAsync(_daysPoll);
        }

        async Task PauseAsync(TimeSpan pause)
        {
            if (watch.Elapsed > _longest)
                throw new InvalidOperationException(
                    $"After {_longest.TotalMinutes:N0} minutes the time zone has not been changed. "
                        + $"Runs of the store: {await RunsAsync()}.\n{_run.Product.Output}"
                );
            await Task.Delay(pause);
        }
    }

    private async Task TellChangeAsync(TimeSpan ended, TenantDatabase tenants)
    {
        var differences = await tenants.RunAsync(
            _large.TenantId,
            db => LedgerRollups.DifferencesAsync(db, _large.TenantId)
        );
        var days = await _run.ScalarAsync(HasOldDays) is false
            ? "are those of the new zone"
            : "are NOT those of the new zone";
        var rollups =
            differences.Count == 0
                ? "equal the ledger"
                : $"DIFFER from the ledger: {string.Join("; ", differences.Take(3))}";
        Console.WriteLine(
            $"  the change ended after {ended.TotalSeconds:N1} s; days {days}, rollups {rollups}; "
                + $"runs of the store: {await RunsAsync()}"
        );
    }

    private static void Tell(string name, Phase phase, Phase undisturbed)
    {
        var (others, large) = (phase.Others, phase.Large);
        Console.WriteLine(
            $"  {name}: {others.Orders:N0} orders of 19 stores from receipt to applied p50 {others.P50:N0} "
                + $"ms, p95 {others.P95:N0} ms, longest {others.Longest:N0} ms, {phase.Refused} not acknowledged"
        );
        if (phase == undisturbed)
            return;
        var (p50, p95) = (others.P50 / undisturbed.Others.P50, others.P95 / undisturbed.Others.P95);
        var verdict = p50 <= Limit && p95 <= Limit && phase.Refused == 0 ? "met" : "NOT met";
        Console.WriteLine($"    ratio to undisturbed: p50 {p50:N2}, p95 {p95:N2}; limit {Limit:N0}: {verdict}");
        Console.WriteLine(
            $"    the store itself: {large.Orders:N0} orders, p50 {large.P50 / 1000:N1} s, "
                + $"longest {large.Longest / 1000:N1} s, {phase.LargeRefused} not acknowledged"
        );
    }

    private async Task<Lags> LagsAsync(string phase, string isLarge)
    {
        var orders = $"from events where webhook_id like '{phase}-%' and tenant_id {isLarge} '{_large.TenantId}'";
        var lags = await _run.ScalarAsync(
            $"""
            select percentile_cont(array[0.5, 0.95, 1]) within group
                (order by extract(epoch from applied_at - received_at)::float8 * 1000) {orders}
            """
        );
        if (lags is not double[] at)
            throw new InvalidOperationException($"No order of {phase} was applied.");
        return new((long)(await _run.ScalarAsync($"select count(*) {orders}"))!, at[0], at[1], at[2]);
    }

    private async Task<string> RunsAsync() =>
        await _run.ScalarAsync(
            $"""
            select string_agg(concat_ws(' ', type, status, error), ', ' order by created_at) from sync_jobs
            where tenant_id = '{_large.TenantId}'
            """
        ) as string
        ?? "none";

    private string IsUnfinished =>
        $"""
            select (select time_zone from tenants where tenant_id = '{_large.TenantId}') <> '{NewZone}'
                or exists (select from sync_jobs where tenant_id = '{_large.TenantId}'
                    and status in ('Queued', 'Running'))
            """;

    private string HasOldDays =>
        $"""
            select exists (select from orders where tenant_id = '{_large.TenantId}'
                and business_day <> (processed_at at time zone '{NewZone}')::date)
                or exists (select from order_sales s join orders o on o.tenant_id = s.tenant_id
                    and o.shopify_id = s.order_id
                    where s.tenant_id = '{_large.TenantId}'
                        and s.day <> ((case when s.original then o.processed_at else s.happened_at end) at time
                            zone '{NewZone}')::date)
            """;

    /// <summary>Three years of orders at all hours, each with a line and shipping, every tenth with a return.</summary>
    private string Fill(int orders) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"""
            insert into orders (tenant_id, shopify_id, name, created_at, processed_at, business_day,
                customer_id, test, financial_status, source_name, currency, current_total, counted, updated_at,
                source, content_hash)
            select '{_large.TenantId}', i, '#' || i, placed, placed,
                (placed at time zone '{_large.TimeZone}')::date, nullif(i % greatest(2, {orders} / 8), 0), false,
                'PAID', case when i % 3 = 0 then 'pos' else 'web' end, 'EUR', 2500, true, placed, 2, i
            from generate_series(1, {orders}) i, lateral (
                select timestamptz '2023-05-01 00:00Z' + (i::bigint * 7919 % 1576800) * interval '1 minute' placed
            ) minutes;
            insert into order_line_items (tenant_id, order_id, shopify_id, product_id, title, quantity,
                current_quantity, gift_card, original_total, discount)
            select tenant_id, shopify_id, shopify_id, shopify_id % 2000 + 1, 'Teapot', 2, 2, false, 2000, 0
            from orders where tenant_id = '{_large.TenantId}';
            insert into order_sales (tenant_id, order_id, ordinal, day, happened_at, original, measure,
                line_item_id, product_id, quantity, amount, discount, tax)
            select tenant_id, shopify_id, n, (happened at time zone '{_large.TimeZone}')::date, happened, n < 2,
                case n when 0 then 1 when 1 then 3 else 2 end,
                case n when 1 then null else shopify_id end,
                case n when 1 then null else shopify_id % 2000 + 1 end,
                case n when 0 then 2 when 1 then 0 else -1 end,
                case n when 0 then 2000 when 1 then 500 else -1000 end, 0, 0
            from orders, generate_series(0, 2) n,
                lateral (select processed_at + (n / 2) * interval '10 days 5 hours' happened) moments
            where tenant_id = '{_large.TenantId}' and (n < 2 or shopify_id % 10 = 0);
            """
        );
}
