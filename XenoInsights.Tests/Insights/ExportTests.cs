using System.Net;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Insights;

/// <summary>Exports of any length, clients that hardly read them, and what spreadsheets make of them.</summary>
public sealed class ExportTests(ExportStores stores) : IClassFixture<ExportStores>
{
    private const string Days = "from=2025-01-01&to=2025-12-31";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Clients_that_do_not_read_hold_up_nobody_are_limited_in_number_and_cut_off()
    {
        var unread = await Task.WhenAll(
            Enumerable
                .Range(0, ExportStores.AtOnce)
                .Select(_ => OpenAsync(stores.Owner, $"orders.csv?{Days}", stores.Large))
        );
        Assert.All(unread, response => Assert.Equal(HttpStatusCode.OK, response.StatusCode));

        // More clients than the app has connections: while they held them, nobody else got an answer.
        using var overview = await stores.Viewer.GetAsync(Address("overview", stores.Other), Ct);
        Assert.Equal(HttpStatusCode.OK, overview.StatusCode);
        // The store's limit holds for its other people, the person's for their other stores; others export.
        using var sameStore = await OpenAsync(stores.Viewer, $"customers.csv?{Days}", stores.Large);
        using var samePerson = await OpenAsync(stores.Owner, $"orders/by-date.csv?{Days}", stores.Small);
        using var neither = await OpenAsync(stores.Viewer, $"orders.csv?{Days}", stores.Other);
        Assert.Equal(
            (HttpStatusCode.TooManyRequests, HttpStatusCode.TooManyRequests, HttpStatusCode.OK),
            (sameStore.StatusCode, samePerson.StatusCode, neither.StatusCode)
        );
        Assert.NotNull(sameStore.Headers.RetryAfter?.Delta);
        Assert.Equal("application/problem+json", sameStore.Content.Headers.ContentType?.MediaType);

        // They go on taking nothing, so they are cut off, and there is room again.
        HttpStatusCode again;
        do
        {
            await Task.Delay(200, Ct);
            using var next = await OpenAsync(stores.Owner, $"orders/by-date.csv?{Days}", stores.Small);
            again = next.StatusCode;
        } while (again == HttpStatusCode.TooManyRequests);
        Assert.Equal(HttpStatusCode.OK, again);
        var whole = 0;
        foreach (var response in unread)
        {
            try
            {
                await response.Content.CopyToAsync(Stream.Null, Ct);
                whole++;
            }
            catch (Exception broken) when (broken is HttpRequestException or IOException)
            {
                // A part is never taken for the whole.
            }
            response.Dispose();
        }
        Assert.True(whole < unread.Length);
    }

    [Fact]
    public async Task A_long_export_has_every_row_once_and_says_that_data_changed_meanwhile()
    {
        using var response = await OpenAsync(stores.Owner, $"orders.csv?{Days}&sort=largest", stores.Moving);
        // The first order of the file, and one beyond what has left by now, grow: neither comes twice, nor is one left
        // out.
        await stores.ApplyAsync(stores.Moving, Grown(1), Grown(ExportStores.LargeOrders));
        var lines = Lines(await response.Content.ReadAsStringAsync(Ct));

        Assert.Contains(lines, line => line.StartsWith("# Rows by day, the oldest first", StringComparison.Ordinal));
        Assert.StartsWith("# The data changed while this was written", lines[^1], StringComparison.Ordinal);
        var ids = lines.Where(line => !line.StartsWith('#')).Skip(1).Select(line => line.Split(',')[^2]).ToList();
        Assert.Equal((ExportStores.LargeOrders, ExportStores.LargeOrders), (ids.Count, ids.Distinct().Count()));
    }

    [Theory]
    [InlineData("orders.csv", "sort=oldest", 15)]
    [InlineData("orders.csv", "sort=newest", 15)]
    [InlineData("orders.csv", "sort=smallest", 15)]
    [InlineData("orders.csv", "product=0", 15)]
    [InlineData("customers.csv", "", 13)]
    [InlineData("customers.csv", "sort=recent&who=new", 13)]
    [InlineData("customers.csv", "segment=prospects", 12)]
    [InlineData("products.csv", "sort=title", 12)]
    [InlineData("checkouts/open.csv", "sort=largest", 14)]
    public async Task Page_by_page_an_export_is_what_one_page_would_be(string export, string parameters, int rows)
    {
        async Task<List<string>> RowsAsync(HttpClient client, Guid tenant)
        {
            var text = await client.GetStringAsync(Address($"{export}?{Days}&{parameters}", tenant), Ct);
            return [.. Lines(text).Where(line => !line.StartsWith('#'))];
        }

        var paged = await RowsAsync(stores.PagedOwner, stores.Small);
        var whole = await RowsAsync(stores.Owner, stores.Small);

        Assert.Equal(rows + 1, whole.Count);
        Assert.Equal(whole[0], paged[0]);
        Assert.Equal(whole.Order(StringComparer.Ordinal), paged.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Semicolons_bring_decimal_commas_and_nothing_runs_as_a_formula()
    {
        string[] names =
        [
            "=1+1",
            "＝1+1",
            "＋1",
            "－1",
            "＠x",
            "|cmd",
            "\t=1",
            "\u00A0=1",
            "\u200B@x",
            "  -1",
            "\u200Eplain",
            "a=b",
            "10|20",
        ];
        var at = new DateTimeOffset(2025, 6, 1, 12, 0, 0, TimeSpan.Zero);
        var tenant = await stores.AddAsync("owner@demo.test");
        await stores.ApplyAsync(
            tenant,
            [
                .. names.Select(
                    (name, i) =>
                        new ProductRecord
                        {
                            ShopifyId = i + 1,
                            UpdatedAt = at,
                            CreatedAt = at,
                            Title = name,
                        }
                ),
            ]
        );
        await stores.ApplyAsync(
            tenant,
            new OrderRecord
            {
                ShopifyId = 1,
                UpdatedAt = at,
                Name = "#1",
                CreatedAt = at,
                ProcessedAt = at,
                CurrentTotal = 0,
                Sales =
                [
                    .. names.Select((_, i) => new SaleRecord(at, true, SaleMeasure.Sale, null, i + 1, 1, 1234, 100, 0)),
                    new SaleRecord(at, true, SaleMeasure.Return, null, 1, -1, -1234, 0, 0),
                ],
            }
        );

        var comma = Lines(await stores.Owner.GetStringAsync(Address($"products.csv?{Days}", tenant), Ct));
        var semicolon = Lines(
            await stores.Owner.GetStringAsync(Address($"products.csv?{Days}&separator=semicolon", tenant), Ct)
        );
        var byDate = Lines(
            await stores.Owner.GetStringAsync(Address("orders/by-date.csv?from=2025-06-01&to=2025-06-01", tenant), Ct)
        );
        var orders = Lines(
            await stores.Owner.GetStringAsync(Address("orders.csv?from=2025-06-01&to=2025-06-01", tenant), Ct)
        );
        using var refused = await OpenAsync(stores.Owner, $"products.csv?{Days}&separator=tab", tenant);

        string Text(string[] lines, int id) =>
            lines.Single(line => line.EndsWith($",{id}", StringComparison.Ordinal)).Split(',')[0].Trim('"');
        for (var i = 0; i < names.Length; i++)
            Assert.Equal((names[i], i < 10), (names[i], Text(comma, i + 1).StartsWith('\'')));
        Assert.Contains(
            semicolon,
            line => line.EndsWith(";13,34;1,00;0,00;12,34;0;0,083333;2", StringComparison.Ordinal)
        );
        // One sign, and the head says which.
        Assert.Contains("# Discounts and returns are positive amounts: net sales are gross sales less both", comma);
        Assert.All(
            [byDate, orders],
            export => Assert.Equal(("13.00", "12.34"), (Value(export, "Discounts"), Value(export, "Returns")))
        );
        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
    }

    private static string Value(string[] lines, string column)
    {
        var table = lines.Where(line => !line.StartsWith('#')).ToArray();
        return table[1].Split(',')[Array.IndexOf(table[0].Split(','), column)];
    }

    private static OrderRecord Grown(long id)
    {
        var at = ExportStores.PlacedAt(id);
        return new()
        {
            ShopifyId = id,
            UpdatedAt = at.AddYears(1),
            Name = $"#{id}",
            CreatedAt = at,
            ProcessedAt = at,
            CurrentTotal = 99_999_999,
            Sales = [new SaleRecord(at, true, SaleMeasure.Sale, null, null, 1, 99_999_999, 0, 0)],
        };
    }

    private static string[] Lines(string text) =>
        text.TrimStart('\uFEFF').Split("\r\n", StringSplitOptions.RemoveEmptyEntries);

    private static Uri Address(string question, Guid tenant) =>
        new(
            $"/api/metrics/{question}{(question.Contains('?', StringComparison.Ordinal) ? '&' : '?')}tenant_id={tenant}",
            UriKind.Relative
        );

    private static Task<HttpResponseMessage> OpenAsync(HttpClient client, string question, Guid tenant) =>
        client.GetAsync(Address(question, tenant), HttpCompletionOption.ResponseHeadersRead, Ct);
}

/// <summary>
/// The product with fewer connections than clients, and a second one on the same database that reads exports a few rows
/// at a time.
/// </summary>
public sealed class ExportStores(PostgresServer postgres) : IAsyncLifetime
{
    /// <summary>
    /// Of about a kilobyte each: more than what the sockets of both sides take without anybody reading.
    /// </summary>
    public const int LargeOrders = 30_000;

    public const int AtOnce = 8;
    private const int Connections = 6;

    private TestDatabase _database = null!;
    private AppHost _app = null!,
        _paged = null!;
    private long _shops;

    /// <summary>When one of those orders was placed.</summary>
    public static DateTimeOffset PlacedAt(long number) =>
        new DateTimeOffset(2025, 1, 1, 12, 0, 0, TimeSpan.Zero).AddMinutes(17 * number);

    public HttpClient Owner { get; private set; } = null!;
    public HttpClient Viewer { get; private set; } = null!;
    public HttpClient PagedOwner { get; private set; } = null!;
    public Guid Large { get; private set; }
    public Guid Moving { get; private set; }
    public Guid Small { get; private set; }
    public Guid Other { get; private set; }

    public async ValueTask InitializeAsync()
    {
        _database = await postgres.CreateDatabaseAsync();
        var few = new NpgsqlConnectionStringBuilder(_database.ConnectionString)
        {
            MaxPoolSize = Connections,
            Timeout = 5,
        }.ConnectionString;
        _app = await AppHost.StartAsync(
            _database,
            new Dictionary<string, string?>
            {
                ["ConnectionStrings:XenoInsights"] = few,
                ["Exports:Connections"] = "2",
                ["Exports:AtOnce"] = $"{AtOnce}",
                ["Exports:PageRows"] = "2000",
                ["Exports:MinimumBytesPerSecond"] = "2000000",
                ["Exports:GraceSeconds"] = "8",
            }
        );
        _paged = await AppHost.StartAsync(_database, new Dictionary<string, string?> { ["Exports:PageRows"] = "4" });
        (Owner, Viewer, PagedOwner) = (
            await _app.SignInAsync(),
            await _app.SignInAsync("viewer@demo.test"),
            await _paged.SignInAsync()
        );
        Large = await AddAsync("owner@demo.test", "viewer@demo.test");
        Moving = await AddAsync("owner@demo.test");
        Small = await AddAsync("owner@demo.test");
        Other = await AddAsync("viewer@demo.test");
        await FillAsync(Large);
        await FillAsync(Moving);
        await ApplyAsync(Small, [.. SmallStore()]);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var client in (HttpClient[])[Owner, Viewer, PagedOwner])
            client.Dispose();
        await _app.DisposeAsync();
        await _paged.DisposeAsync();
        await _database.DisposeAsync();
    }

    public Task<ApplyResult> ApplyAsync(Guid tenant, params IngestRecord[] records) =>
        _paged
            .Services.GetRequiredService<TenantDatabase>()
            .RunAsync(tenant, db => IngestionWriter.ApplyAsync(db, new(tenant, "GBP", "Europe/London"), records));

    public async Task<Guid> AddAsync(params string[] members)
    {
        var shop = Interlocked.Increment(ref _shops);
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = shop,
            ShopDomain = $"exports-{shop}.myshopify.com",
            Name = $"Exports {shop}",
            Currency = "GBP",
            TimeZone = "Europe/London",
            Status = TenantStatus.Connected,
            ConnectedAt = DateTimeOffset.UnixEpoch,
        };
        await _paged
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(async db =>
            {
                db.Tenants.Add(tenant);
                await db.SaveChangesAsync();
                foreach (var member in members)
                    await db.Database.ExecuteSqlAsync(
                        $"""
                        insert into memberships (tenant_id, user_id, role, created_at)
                        select {tenant.TenantId}, user_id, 'Owner', now() from users where email = {member}
                        """
                    );
            });
        return tenant.TenantId;
    }

    private Task FillAsync(Guid tenant) =>
        _paged
            .Services.GetRequiredService<TenantDatabase>()
            .RunAsync(
                tenant,
                async db =>
                {
                    await using var command = db.Command(
                        $"""
                        with placed as (select n,
                            timestamptz '2025-01-01 12:00Z' + n * interval '17 minutes' as at
                        from generate_series(1, {LargeOrders}) n),
                        orders as (
                            insert into orders (tenant_id, shopify_id, updated_at, source, content_hash, name,
                                created_at, processed_at, business_day, test, currency, current_total, counted)
                            select $1, n, at, 1, 0, '#' || n || repeat('x', 1000), at, at,
                                (at at time zone 'Europe/London')::date, false, 'GBP', 100, true from placed)
                        insert into order_entries (tenant_id, order_id, day, original, at, units, gross,
                            discounts, returns, shipping, taxes, duties, fees)
                        select $1, n, (at at time zone 'Europe/London')::date, true, at, 1, 100 + n, 0, 0, 0,
                            0, 0, 0 from placed
                        """
                    );
                    command.Parameters.Add(new NpgsqlParameter { Value = tenant });
                    await command.ExecuteNonQueryAsync();
                }
            );

    /// <summary>
    /// Fourteen orders of twelve products by thirteen customers, a refund, twelve customers without an order and
    /// fourteen checkouts.
    /// </summary>
    private static IEnumerable<IngestRecord> SmallStore()
    {
        for (var i = 1; i <= 14; i++)
        {
            var at = new DateTimeOffset(2025, 3, (i % 5) + 1, i, 0, 0, TimeSpan.Zero);
            long product = i % 12,
                customer = 100 + (i % 13);
            List<SaleRecord> sales =
            [
                new(at, true, SaleMeasure.Sale, i * 10, product == 0 ? null : product, 1, 100 * (i % 7), 5, 3),
                new(at, true, SaleMeasure.Sale, null, null, 1, 50, 0, 0),
            ];
            if (i == 1)
                sales.Add(new(at.AddDays(9), false, SaleMeasure.Return, null, null, -1, -50, 0, 0));
            if (i <= 13)
                yield return new CustomerRecord
                {
                    ShopifyId = customer,
                    UpdatedAt = at,
                    CreatedAt = at,
                    DisplayName = $"Customer {i % 4}",
                };
            yield return new CustomerRecord
            {
                ShopifyId = 500 + i,
                UpdatedAt = at,
                CreatedAt = at,
                DisplayName = $"Prospect {i}",
                Deleted = i > 12,
            };
            yield return new CheckoutRecord
            {
                ShopifyId = i,
                UpdatedAt = at,
                CreatedAt = at,
                Total = 100 * (i % 3),
                Lines = [],
            };
            yield return new OrderRecord
            {
                ShopifyId = i,
                UpdatedAt = at,
                Name = $"#{i}",
                CreatedAt = at,
                ProcessedAt = at,
                CustomerId = customer,
                CurrentTotal = 1,
                Lines =
                [
                    new(
                        i * 10,
                        product == 0 ? null : product,
                        null,
                        $"Product {product % 5}",
                        $"SKU-{i}",
                        1,
                        1,
                        false,
                        100,
                        0
                    ),
                ],
                Sales = sales,
            };
        }
    }
}
