using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Development;
using XenoInsights.Development.Postgres;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tests.Benchmarks;

namespace XenoInsights.Tests.Drills;

/// <summary>
/// An earlier version serves 20 webhooks a second on two instances; meanwhile <c>migrate</c> of this version runs, both
/// instances are replaced one after the other, and the upgrade is finished. Everything must have been acknowledged,
/// stored, applied and counted.
/// </summary>
internal sealed class UpgradeDrill(string earlier, string owner, string superuser, string serverLog)
{
    private const int Stores = 20,
        PerSecond = 20;
    private static readonly TimeSpan _before = TimeSpan.FromSeconds(5),
        _repeatAfter = TimeSpan.FromSeconds(2),
        _applying = TimeSpan.FromMinutes(30);
    private static readonly string _now = Path.Combine(AppContext.BaseDirectory, "XenoInsights.dll"),
        _key = "k1:" + Convert.ToBase64String(new byte[32]);

    private readonly ConcurrentDictionary<string, List<HttpStatusCode?>> _answers = new();
    private volatile Instance[] _serving = [];
    private int _orders;
    private (double Milliseconds, string Where) _longestWait;

    /// <param name="earlier">The earlier version's <c>XenoInsights.dll</c>.</param>
    /// <param name="orders">Orders that are stored already, spread over the stores.</param>
    /// <returns>Whether all was as it must be.</returns>
    public static async Task<bool> RunAsync(string earlier, int orders)
    {
        var root = Directory.CreateTempSubdirectory("xeno-drill-");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(root.FullName, (UnixFileMode)Convert.ToInt32("755", 8));
        try
        {
            await using var postgres = await EmbeddedPostgres.StartAsync(
                new() { DataRoot = Path.Combine(root.FullName, "postgres"), StartFolder = AppContext.BaseDirectory },
                default
            );
            Console.WriteLine(
                $"  PostgreSQL {postgres.Version}, {orders:N0} orders in {Stores} stores, {PerSecond} webhooks a second"
            );
            // As in docs/operations.md: a login that is no superuser.
            await ExecuteAsync(postgres.ConnectionString, "create role xeno login password 'drill' createrole");
            await ExecuteAsync(postgres.ConnectionString, "create database drill owner xeno");
            var database = new NpgsqlConnectionStringBuilder(postgres.ConnectionString)
            {
                Database = "drill",
                CommandTimeout = 1800,
            };
            var login = new NpgsqlConnectionStringBuilder(postgres.ConnectionString)
            {
                Database = "drill",
                Username = "xeno",
                Password = "drill",
                MaxPoolSize = 30,
            };
            var drill = new UpgradeDrill(
                earlier,
                login.ConnectionString,
                database.ConnectionString,
                Path.Combine(postgres.DataFolder, "server.log")
            )
            {
                _orders = orders,
            };
            return await drill.RunAsync();
        }
        finally
        {
            root.Delete(recursive: true);
        }
    }

    private async Task<bool> RunAsync()
    {
        await Instance.RunAsync(earlier, owner, _key, "migrate");
        await ExecuteAsync(superuser, Fill);
        await using var first = await Instance.StartAsync(earlier, owner, _key);
        await using var second = await Instance.StartAsync(earlier, owner, _key);
        _serving = [first, second];
        await MakeRollupsAsync();
        foreach (var statement in _wear)
            await ExecuteAsync(superuser, statement);

        using var stop = new CancellationTokenSource();
        var sending = Load.SendAsync(PerSecond, DeliverAsync, stop.Token);
        var watching = WatchLocksAsync(stop.Token);
        await Task.Delay(_before);
        var began = TimeProvider.System.GetTimestamp();
        Console.Write(Indented(await Instance.RunAsync(_now, owner, _key, "migrate")));
        Console.WriteLine($"  migrate took {TimeProvider.System.GetElapsedTime(began).TotalSeconds:N1} s");
        await using var third = await ReplaceAsync(first);
        await using var fourth = await ReplaceAsync(second);
        Console.Write(Indented(await Instance.RunAsync(_now, owner, _key, "finish-upgrade")));
        await Task.Delay(_before);
        await stop.CancelAsync();
        await Task.WhenAll(sending, watching);
        await AppliedAsync();

        var faults = await FaultsAsync();
        foreach (var fault in faults)
            Console.WriteLine($"  WRONG: {fault}");
        Console.Write(Indented(await Instance.RunAsync(_now, owner, _key, "verify")));
        return faults.Count == 0;
    }

    /// <summary>
    /// The new one takes part as soon as it is ready; the old one gets nothing more before it is told to end.
    /// </summary>
    private async Task<Instance> ReplaceAsync(Instance old)
    {
        var replacement = await Instance.StartAsync(_now, owner, _key);
        _serving = [.. _serving.Where(i => i != old), replacement];
        await Task.Delay(_repeatAfter);
        await old.StopAsync();
        return replacement;
    }

    /// <summary>
    /// As Shopify does: what is not acknowledged is sent again, to the instance that serves then. Half of the orders are there
    /// already.
    /// </summary>
    private async Task DeliverAsync(int i)
    {
        var order = i % 2 == 0 ? 1 + i % _orders : _orders + i;
        var answers = _answers.GetOrAdd($"drill-{i}", _ => []);
        var body = WebhooksBenchmark.Run.Body(order, version: 1);
        for (var attempt = 0; attempt < 5; attempt++)
        {
            if (attempt > 0)
                await Task.Delay(_repeatAfter);
            var serving = _serving;
            var answer = await serving[(i + attempt) % serving.Length]
                .SendAsync("orders/updated", Domain(order % Stores + 1), $"drill-{i}", body);
            answers.Add(answer);
            if (answer == HttpStatusCode.OK)
                return;
        }
    }

    private async Task<List<string>> FaultsAsync()
    {
        var faults = new List<string>();
        var refused = _answers.Values.Where(a => a[0] != HttpStatusCode.OK).ToList();
        Console.WriteLine(
            $"  {_answers.Count:N0} webhooks: {_answers.Count - refused.Count:N0} acknowledged at once, "
                + $"{refused.Count} after they were sent again"
        );
        Console.WriteLine($"  longest wait for a lock: {_longestWait.Milliseconds:N0} ms {_longestWait.Where}");
        faults.AddRange(
            _answers
                .Where(a => !(a.Value is [HttpStatusCode.OK] or [HttpStatusCode.ServiceUnavailable, HttpStatusCode.OK]))
                .Select(a =>
                    $"{a.Key} was answered "
                    + $"{string.Join(", ", a.Value.Select(status => status is { } s ? $"{(int)s}" : "not at all"))}"
                )
        );
        var stored = (long)
            (await ScalarAsync("select count(*) from events where webhook_id like 'drill-%' and status = 2"))!;
        if (stored != _answers.Count)
            faults.Add($"{_answers.Count} were acknowledged, and {stored} stored and applied");
        var log = await File.ReadAllLinesAsync(serverLog);
        faults.AddRange(
            log.Where(line => line.Contains("deadlock detected", StringComparison.Ordinal))
                .Select(line => $"PostgreSQL: {line}")
        );
        return faults;
    }

    /// <summary>Looks fifty times a second at who waits for a lock, and since when.</summary>
    private async Task WatchLocksAsync(CancellationToken stop)
    {
        await using var connection = new NpgsqlConnection(superuser);
        await connection.OpenAsync(CancellationToken.None);
        await using var command = new NpgsqlCommand(
            """
            select extract(epoch from clock_timestamp() - l.waitstart)::float8 * 1000,
                format('(%s %s, %s)', l.locktype, coalesce(l.relation::regclass::text, ''),
                left(regexp_replace(a.query, '\s+', ' ', 'g'), 80))
            from pg_locks l join pg_stat_activity a using (pid) where not l.granted and l.waitstart is not null
            order by l.waitstart limit 1
            """,
            connection
        );
        for (; !stop.IsCancellationRequested; await Task.Delay(20, CancellationToken.None))
        {
            await using var reader = await command.ExecuteReaderAsync(CancellationToken.None);
            if (await reader.ReadAsync(CancellationToken.None) && reader.GetDouble(0) > _longestWait.Milliseconds)
                _longestWait = (reader.GetDouble(0), reader.GetString(1));
        }
    }

    /// <summary>As if the earlier version had applied the orders: what its rollups lack of the ledger is added.</summary>
    private async Task MakeRollupsAsync()
    {
        await using var transactions = new TenantTransactions(owner, NullLoggerFactory.Instance);
        var tenants = new TenantDatabase(transactions);
        var stores = await new SystemDatabase(transactions).QueryAsync(
            "select tenant_id from tenants",
            [],
            reader => reader.GetGuid(0),
            CancellationToken.None
        );
        foreach (var store in stores)
            await RollupRepair.RunAsync(tenants, store);
        if ((long)(await ScalarAsync("select count(*) from order_entries"))! < _orders)
            throw new InvalidOperationException("The rollups were not made.");
        await ExecuteAsync(superuser, "analyze");
    }

    private async Task AppliedAsync()
    {
        for (
            var began = TimeProvider.System.GetTimestamp();
            (long)(await ScalarAsync("select count(*) from events where status = 1"))! > 0;
            await Task.Delay(200)
        )
            if (TimeProvider.System.GetElapsedTime(began) > _applying)
                throw new InvalidOperationException("Deliveries wait, and are not applied.");
    }

    /// <summary>
    /// Stores, orders and their ledgers as the earlier version keeps them; this is of its schema, so it never changes.
    /// </summary>
    private string Fill =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"""
            insert into tenants (tenant_id, shop_id, shop_domain, name, currency, time_zone, status,
                connected_at, history_limited)
            select gen_random_uuid(), n, 'drill-' || n || '.myshopify.com', 'Drill ' || n, 'EUR',
                'Europe/Paris', 'Connected', '2020-01-01', false from generate_series(1, {Stores}) n;
            insert into shop_domains (domain, tenant_id, shop_id) select shop_domain, tenant_id, shop_id from tenants;
            insert into orders (tenant_id, shopify_id, name, created_at, processed_at, business_day,
                customer_id, test, financial_status, source_name, currency, current_total, counted, updated_at,
                source, content_hash)
            select tenant_id, i, '#' || i, placed, placed, (placed at time zone time_zone)::date,
                nullif(i % 4000, 0), false, 'PAID', case when i % 3 = 0 then 'pos' else 'web' end, 'EUR', 2500,
                true, placed, 2, i
            from generate_series(1, {_orders}) i join tenants on shop_id = i % {Stores} + 1,
                lateral (select timestamptz '2025-05-01' + (i::bigint * 7919 % 432000) * interval '1 minute'
                placed) minutes;
            insert into order_sales (tenant_id, order_id, ordinal, day, happened_at, original, measure,
                line_item_id, product_id, quantity, amount, discount, tax)
            select tenant_id, shopify_id, n, business_day, processed_at, true, case n when 0 then 1 else 3 end,
                case n when 0 then shopify_id end, case n when 0 then shopify_id % 200 + 1 end,
                case n when 0 then 2 else 0 end, case n when 0 then 2000 else 500 end, 0, 0
            from orders cross join generate_series(0, 1) n;
            """
        );

    /// <summary>Gives the upgrade something to lock on the tables that are busiest, and an index to build.</summary>
    private static readonly string[] _wear =
    [
        .. ((string[])["orders", "order_sales", "order_entries", "sales_days", "events", "data_versions"]).Select(
            table => $"alter table {table} no force row level security"
        ),
        "drop index ix_orders_tenant_id_name",
    ];

    private static string Domain(int store) => $"drill-{store}.myshopify.com";

    internal static string Indented(string output) =>
        string.Concat(output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => $"    {line}\n"));

    private static async Task ExecuteAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await command.ExecuteNonQueryAsync();
    }

    private async Task<object?> ScalarAsync(string sql)
    {
        await using var connection = new NpgsqlConnection(superuser);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }
}
