using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tests.Support;
using XenoInsights.Tests.Sync;

namespace XenoInsights.Tests.Insights;

/// <summary>
/// A year of real invoices, imported as a fresh checkout does it, against the second opinion of
/// <see cref="OnlineRetailBooks"/>: to the penny.
/// </summary>
public sealed partial class OnlineRetailTests(OnlineRetailYear year) : IClassFixture<OnlineRetailYear>
{
    private const int Top = 50;

    private OnlineRetailBooks Books => year.Books;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <summary>Month 0 is the one in which the history begins.</summary>
    public static TheoryData<string> Ranges =>
        [
            "whole year",
            "all but the first day",
            "month 3",
            "month 12",
            "week 10",
            "week 47",
            "one day",
            "quarter",
            "before everything",
        ];

    [Fact]
    public void The_second_opinion_agrees_with_the_readme()
    {
        var shipping = Books.Orders.SelectMany(o => o.Lines).Where(l => l.Code is "POST" or "DOT" or "C2").ToArray();

        Assert.Equal(19_959, Books.Orders.Count);
        Assert.Equal(528_126, Books.Orders.Sum(o => o.Lines.Count) - shipping.Length);
        Assert.Equal(10_364_220.83m, Books.Entries.Sum(e => e.Gross));
        Assert.Equal((1_973, 291_401.65m), (shipping.Length, shipping.Sum(l => l.Quantity * l.Price)));
        Assert.Equal(4_338, Books.OrdersOf.Count);
        Assert.Equal(3_920, Books.Orders.SelectMany(o => o.Lines).Select(l => l.Code).Distinct().Count());
        Assert.Equal(3_864, Books.Refunds.Select(r => (r.Cancellation.Number, r.Order.Number)).Distinct().Count());
        Assert.Equal(470_197.71m, Books.Refunds.Sum(r => r.Quantity * r.Line.Price));
    }

    [Fact]
    public async Task The_import_accounts_for_every_object_and_the_rollups_equal_the_ledger()
    {
        var job = year.Job;

        Assert.Equal(
            (job.GetProperty("objectsExpected").GetInt64(), job.GetProperty("objectsExpected").GetInt64(), 0L, 0L),
            (
                job.GetProperty("objectsRead").GetInt64(),
                job.GetProperty("stored").GetInt64(),
                job.GetProperty("unchanged").GetInt64(),
                job.GetProperty("rejected").GetInt64()
            )
        );
        Assert.Equal(
            (19_959, 528_126, 4_338, 3_920),
            await year.InTenantAsync(async db =>
                (
                    await db.Orders.CountAsync(Ct),
                    await db.OrderLineItems.CountAsync(Ct),
                    await db.Customers.CountAsync(Ct),
                    await db.Products.CountAsync(Ct)
                )
            )
        );
        Assert.Empty(await year.InTenantAsync(db => LedgerRollups.DifferencesAsync(db, year.Tenant, Ct)));
    }

    [Fact]
    public async Task Rollups_built_anew_are_the_same_and_so_are_the_answers()
    {
        var (from, to) = Books.Days;
        string[] questions =
        [
            $"overview?{Range(from, to)}",
            $"orders/by-date?{Range(from, to)}",
            $"customers/top?limit=250&{Range(from, to)}",
            $"products/top?limit=250&{Range(from, to)}",
        ];
        var before = new List<string>();
        foreach (var question in questions)
            before.Add((await year.AskAsync(question)).GetRawText());

        foreach (var delete in LedgerRollups.Tables.Select(rollup => $"delete from {rollup.Name}"))
            await year.InTenantAsync(db => db.Database.ExecuteSqlRawAsync(delete, Ct));
        await year.RepairAsync();

        Assert.Empty(await year.InTenantAsync(db => LedgerRollups.DifferencesAsync(db, year.Tenant, Ct)));
        foreach (var (question, answer) in questions.Zip(before))
            Assert.Equal(answer, (await year.AskAsync(question)).GetRawText());
    }

    [Theory]
    [MemberData(nameof(Ranges))]
    public async Task The_overview_of_a_range_is_right_to_the_penny(string range)
    {
        var (from, to) = DaysOf(range);

        var answer = await year.AskAsync($"overview?{Range(from, to)}");

        AssertEqual(Books.In(from, to), answer, "totalOrders", "totalRevenueCents");
        Assert.Equal(
            ("GBP", "Europe/London", ImportHost.Day(from), ImportHost.Day(to)),
            (
                answer.GetProperty("currency").GetString(),
                answer.GetProperty("timeZone").GetString(),
                answer.GetProperty("from").GetString(),
                answer.GetProperty("to").GetString()
            )
        );
        Assert.Equal(
            [0, 0, 0, 0],
            ((string[])["discountsCents", "taxesCents", "dutiesCents", "feesCents"]).Select(name =>
                answer.GetProperty(name).GetInt64()
            )
        );
    }

    [Theory]
    [InlineData("day", 0, 0)]
    [InlineData("week", 0, 0)]
    [InlineData("month", 0, 0)]
    [InlineData("week", 17, 25)]
    [InlineData("month", 17, 25)]
    public async Task Every_bucket_of_the_year_is_right_to_the_penny(
        string granularity,
        int cutAtTheStart,
        int cutAtTheEnd
    )
    {
        var (from, to) = (Books.Days.First.AddDays(cutAtTheStart), Books.Days.Last.AddDays(-cutAtTheEnd));

        var points = (await year.AskAsync($"orders/by-date?granularity={granularity}&{Range(from, to)}"))
            .EnumerateArray()
            .ToArray();

        var buckets = Enumerable
            .Range(0, to.DayNumber - from.DayNumber + 1)
            .Select(i => from.AddDays(i))
            .GroupBy(day => FirstOf(granularity, day))
            .OrderBy(b => b.Key)
            .ToArray();
        Assert.Equal(buckets.Select(b => ImportHost.Day(b.Key)), points.Select(p => p.GetProperty("date").GetString()));
        foreach (var (bucket, point) in buckets.Zip(points))
            AssertEqual(Books.In(bucket.Min(), bucket.Max()), point, "orders", "revenueCents");
    }

    [Theory]
    [MemberData(nameof(Ranges))]
    public async Task The_best_customers_of_a_range_are_right_to_the_penny(string range)
    {
        const long numbers = 1_000_000_000; // Shopify's id ends in the number of the file
        var (from, to) = DaysOf(range);
        var orders = Books
            .Placed.Where(p => p.Customer is not null && p.Day >= from && p.Day <= to)
            .CountBy(p => p.Customer!.Value)
            .ToDictionary();
        var expected = Books
            .Entries.Where(e => e.Customer is not null && e.Day >= from && e.Day <= to)
            .GroupBy(e => e.Customer!.Value)
            .Select(g =>
                (
                    Customer: (long)g.Key,
                    Orders: (long)orders.GetValueOrDefault(g.Key),
                    Cents: Pence(g.Sum(e => e.Total))
                )
            )
            .OrderByDescending(c => c.Cents)
            .ThenBy(c => c.Customer)
            .Take(Top);

        var answer = await year.AskAsync($"customers/top?limit={Top}&{Range(from, to)}");

        Assert.Equal(
            expected,
            answer
                .EnumerateArray()
                .Select(c =>
                    (
                        c.GetProperty("shopifyId").GetInt64() % numbers,
                        c.GetProperty("orders").GetInt64(),
                        c.GetProperty("revenueCents").GetInt64()
                    )
                )
        );
        Assert.All(
            answer.EnumerateArray(),
            c => Assert.False(string.IsNullOrWhiteSpace(c.GetProperty("name").GetString()))
        );
    }

    [Theory]
    [MemberData(nameof(Ranges))]
    public async Task The_best_products_of_a_range_are_right_to_the_penny(string range)
    {
        var (from, to) = DaysOf(range);
        var codes = await year.StockCodesAsync();
        var expected = Books
            .Entries.Where(e => e.Product is not null && e.Day >= from && e.Day <= to)
            .GroupBy(e => e.Product!)
            .Select(g =>
                (
                    Code: g.Key,
                    Units: g.Sum(e => (long)e.Units),
                    Cents: Pence(g.Sum(e => e.Gross - e.Returns)),
                    Gross: Pence(g.Sum(e => e.Gross))
                )
            )
            .OrderByDescending(p => p.Cents)
            .ToArray();

        var answer = (await year.AskAsync($"products/top?limit={Top}&{Range(from, to)}"))
            .EnumerateArray()
            .Select(p =>
                (
                    Code: codes[p.GetProperty("shopifyId").GetInt64()],
                    Title: p.GetProperty("title").GetString()!,
                    Units: p.GetProperty("quantity").GetInt64(),
                    Cents: p.GetProperty("revenueCents").GetInt64(),
                    Gross: p.GetProperty("grossSalesCents").GetInt64()
                )
            )
            .ToArray();

        Assert.Equal(expected.Take(Top).Select(p => p.Cents), answer.Select(p => p.Cents));
        Assert.All(answer, p => Assert.Contains((p.Code, p.Units, p.Cents, p.Gross), expected));
        Assert.Distinct(answer.Select(p => p.Code));
        Assert.All(answer, p => Assert.Contains(OnlineRetailBooks.Words(p.Title), Books.DescriptionsOf[p.Code]));
    }

    [Theory]
    [MemberData(nameof(Ranges))]
    public async Task The_entries_behind_every_figure_add_up_to_it(string range)
    {
        var (from, to) = DaysOf(range);
        var overview = await year.AskAsync($"overview?{Range(from, to)}");
        var figures = new Dictionary<string, string>
        {
            ["total-sales"] = "totalRevenueCents",
            ["gross-sales"] = "grossSalesCents",
            ["discounts"] = "discountsCents",
            ["returns"] = "returnsCents",
            ["net-sales"] = "netSalesCents",
            ["shipping"] = "shippingCents",
            ["taxes"] = "taxesCents",
            ["orders"] = "totalOrders",
        };
        foreach (var (metric, field) in figures)
        {
            var sums = await year.AskAsync($"orders/sums?metric={metric}&{Range(from, to)}");
            var name = metric switch
            {
                "total-sales" => "totalCents",
                "orders" => "orders",
                _ => field,
            };
            Assert.Equal((metric, overview.GetProperty(field).GetInt64()), (metric, sums.GetProperty(name).GetInt64()));
        }
        var shows = new List<long>();
        foreach (var show in (string[])["all", "placed", "changes", "from-new", "from-returning", "from-guests"])
            shows.Add(
                (await year.AskAsync($"orders/sums?show={show}&{Range(from, to)}")).GetProperty("totalCents").GetInt64()
            );
        Assert.Equal((shows[0], shows[0]), (shows[1] + shows[2], shows[3] + shows[4] + shows[5]));
    }

    [Theory]
    [InlineData("newest")]
    [InlineData("oldest")]
    [InlineData("largest")]
    [InlineData("smallest")]
    public async Task Page_by_page_the_orders_and_refunds_of_a_month_are_those_of_the_invoices(string sort)
    {
        var (from, to) = DaysOf("month 11");
        var placed = Books
            .Orders.Zip(Books.Placed)
            .Where(o => o.Second.Day >= from && o.Second.Day <= to)
            .Select(o => ($"#{o.First.Number}", o.Second.Day, Pence(o.First.Lines.Sum(l => l.Quantity * l.Price))));
        var days = Books.Orders.Zip(Books.Placed).ToDictionary(o => o.First, o => o.Second.Day);
        var shift = days[Books.Orders[0]].DayNumber - DateOnly.FromDateTime(Books.Orders[0].At).DayNumber;
        var refunded = Books
            .Refunds.Select(r =>
                (
                    r.Order.Number,
                    Day: DateOnly.FromDateTime(r.Cancellation.At).AddDays(shift),
                    Worth: r.Quantity * r.Line.Price
                )
            )
            .Where(r => r.Day >= from && r.Day <= to)
            .GroupBy(r => ($"#{r.Number}", r.Day))
            .Select(g => (g.Key.Item1, g.Key.Day, -Pence(g.Sum(r => r.Worth))));

        var rows = new List<(string Name, DateOnly Day, long Cents)>();
        var (page, pages) = ($"orders?limit=250&sort={sort}&{Range(from, to)}", 0);
        while (page is not null)
        {
            var (answer, next) = await year.PageAsync(page);
            rows.AddRange(
                answer
                    .EnumerateArray()
                    .Select(r =>
                        (
                            r.GetProperty("name").GetString()!,
                            DateOnly.ParseExact(
                                r.GetProperty("day").GetString()!,
                                "yyyy-MM-dd",
                                CultureInfo.InvariantCulture
                            ),
                            r.GetProperty("totalCents").GetInt64()
                        )
                    )
            );
            (page, pages) = (next, pages + 1);
        }

        Assert.True(pages > 10);
        Assert.Equal(placed.Concat(refunded).Order(), rows.Order());
        var order = rows.Select(r => sort is "newest" or "oldest" ? r.Day.DayNumber : r.Cents).ToArray();
        Assert.Equal(sort is "newest" or "largest" ? order.OrderDescending() : order.Order(), order);
    }

    [Theory]
    [InlineData("customers")]
    [InlineData("product")]
    [InlineData("country")]
    public async Task What_changed_in_a_quarter_is_divided_without_a_rest(string by)
    {
        var (from, to) = DaysOf("quarter");
        foreach (
            var metric in by == "product"
                ? new[] { "total-sales", "net-sales" }
                : ["total-sales", "net-sales", "orders"]
        )
        {
            var answer = await year.AskAsync($"what-changed?by={by}&metric={metric}&{Range(from, to)}");
            var before = answer.GetProperty("beforeRange");
            var (was, now) = (Books.In(Day(before, "from"), Day(before, "to")), Books.In(from, to));
            (long, long) expected = metric switch
            {
                "orders" => (was.Orders, now.Orders),
                "net-sales" => (Pence(was.Net), Pence(now.Net)),
                _ => (Pence(was.Total), Pence(now.Total)),
            };
            var parts = answer.GetProperty("contributions").EnumerateArray().ToArray();
            Assert.Equal(expected, (answer.GetProperty("before").GetInt64(), answer.GetProperty("now").GetInt64()));
            Assert.Equal(expected.Item2 - expected.Item1, parts.Sum(p => p.GetProperty("amount").GetInt64()));
            Assert.True(parts.Length >= 3);
        }
    }

    [Fact]
    public async Task What_changed_tells_new_customers_from_earlier_ones_as_the_invoices_do()
    {
        var (from, to) = DaysOf("month 9");
        var answer = await year.AskAsync($"what-changed?metric=orders&{Range(from, to)}");
        var before = answer.GetProperty("beforeRange");
        var expected = new[] { (Day(before, "from"), Day(before, "to")), (from, to) }
            .Select(range =>
                Books
                    .Placed.Where(p => p.Day >= range.Item1 && p.Day <= range.Item2)
                    .CountBy(p =>
                        p.Customer switch
                        {
                            null => "guests",
                            { } customer when Books.FirstDayOf[customer] >= range.Item1 => "new",
                            _ => "earlier",
                        }
                    )
                    .ToDictionary()
            )
            .ToArray();

        foreach (var part in answer.GetProperty("contributions").EnumerateArray())
        {
            var key = part.GetProperty("key").GetString()!;
            Assert.Equal(
                (key, (long)expected[0][key], (long)expected[1][key]),
                (key, part.GetProperty("before").GetInt64(), part.GetProperty("now").GetInt64())
            );
        }
    }

    private static DateOnly Day(JsonElement of, string name) =>
        DateOnly.ParseExact(of.GetProperty(name).GetString()!, "yyyy-MM-dd", CultureInfo.InvariantCulture);

    private static void AssertEqual(Figures expected, JsonElement answer, string orders, string total)
    {
        long Cents(string name) => answer.GetProperty(name).GetInt64();
        Assert.Equal(
            (
                expected.Orders,
                Pence(expected.Total),
                Pence(expected.Gross),
                Pence(expected.Returns),
                Pence(expected.Net),
                Pence(expected.Shipping),
                Pence(expected.AverageOrderValue)
            ),
            (
                Cents(orders),
                Cents(total),
                Cents("grossSalesCents"),
                Cents("returnsCents"),
                Cents("netSalesCents"),
                Cents("shippingCents"),
                Cents("averageOrderValueCents")
            )
        );
        Assert.Equal(
            (expected.Customers, expected.NewCustomers, expected.ReturningCustomers),
            (Cents("totalCustomers"), Cents("newCustomers"), Cents("returningCustomers"))
        );
    }

    private (DateOnly From, DateOnly To) DaysOf(string range)
    {
        var (first, last) = Books.Days;
        return range.Split(' ') switch
        {
            ["whole", "year"] => (first, last),
            ["all", ..] => (first.AddDays(1), last),
            ["month", var n]
                when FirstOf("month", first).AddMonths(int.Parse(n, CultureInfo.InvariantCulture)) is var month => (
                month,
                month.AddMonths(1).AddDays(-1)
            ),
            ["week", var n]
                when FirstOf("week", first).AddDays(7 * int.Parse(n, CultureInfo.InvariantCulture)) is var week => (
                week,
                week.AddDays(6)
            ),
            ["one", "day"] => (first.AddDays(100), first.AddDays(100)),
            ["quarter"] => (first.AddDays(91), first.AddDays(181)),
            _ => (first.AddDays(-40), first.AddDays(-1)),
        };
    }

    private static DateOnly FirstOf(string granularity, DateOnly day) =>
        granularity switch
        {
            "week" => Enumerable.Range(0, 7).Select(i => day.AddDays(-i)).First(d => d.DayOfWeek == DayOfWeek.Monday),
            "month" => new DateOnly(day.Year, day.Month, 1),
            _ => day,
        };

    private static string Range(DateOnly from, DateOnly to) => $"from={ImportHost.Day(from)}&to={ImportHost.Day(to)}";

    private static long Pence(decimal pounds) => checked((long)(pounds * 100));
}

/// <summary>The product as a fresh checkout starts it, with its demo store connected and imported by itself.</summary>
public sealed class OnlineRetailYear(PostgresServer postgres) : IAsyncLifetime
{
    private static readonly TimeSpan _slack = TimeSpan.FromMinutes(3);

    private TestDatabase _database = null!;
    private AppHost _app = null!;
    private HttpClient _owner = null!;
    private Dictionary<long, string>? _codes;

    internal OnlineRetailBooks Books { get; private set; } = null!;
    public Guid Tenant { get; private set; }
    public JsonElement Job { get; private set; }

    public async ValueTask InitializeAsync()
    {
        await ClearOfTheWeeksEndAsync();
        _database = await postgres.CreateDatabaseAsync();
        _app = await AppHost.StartAsync(
            _database,
            new Dictionary<string, string?> { ["FakeShopify:ConnectStore"] = "true" }
        );
        _owner = await _app.SignInAsync();
        var reading = Task.Run(() =>
            OnlineRetailBooks.Read(OnlineRetailBooks.WeeksAt(TimeProvider.System.GetUtcNow()))
        );
        Tenant = (await UntilAsync("/api/tenants", stores => stores.Length > 0))[0].GetProperty("id").GetGuid();
        Job = (
            await UntilAsync(
                $"/api/ingestion/jobs?tenant_id={Tenant}",
                jobs => jobs.Length > 0 && jobs[0].GetProperty("status").GetString() is "succeeded" or "failed"
            )
        )[0];
        Assert.True(Job.GetProperty("status").GetString() == "succeeded", Job.GetRawText());
        Books = await reading;
    }

    public async ValueTask DisposeAsync()
    {
        _owner.Dispose();
        await _app.DisposeAsync();
        await _database.DisposeAsync();
    }

    public Task<JsonElement> AskAsync(string question) => ImportHost.AskAsync(_owner, Tenant, question);

    /// <summary>An answer and the question that the next page answers; null on the last.</summary>
    public async Task<(JsonElement Answer, string? Next)> PageAsync(string question)
    {
        using var response = await _owner.GetAsync(
            new Uri(
                question.StartsWith('/') ? question : $"/api/metrics/{question}&tenant_id={Tenant}",
                UriKind.Relative
            )
        );
        response.EnsureSuccessStatusCode();
        var link = response.Headers.TryGetValues("Link", out var links) ? links.Single() : null;
        return (
            (await response.Content.ReadFromJsonAsync<JsonElement>()),
            link?[1..link.IndexOf('>', StringComparison.Ordinal)]
        );
    }

    public Task<long> RepairAsync() =>
        RollupRepair.RunAsync(_app.Services.GetRequiredService<TenantDatabase>(), Tenant, CancellationToken.None);

    public Task<T> InTenantAsync<T>(Func<XenoDbContext, Task<T>> work) =>
        _app.Services.GetRequiredService<TenantDatabase>().RunAsync(Tenant, work);

    /// <summary>The stock code of each product, by Shopify's id.</summary>
    public async Task<IReadOnlyDictionary<long, string>> StockCodesAsync() =>
        _codes ??= await InTenantAsync(db =>
            db.OrderLineItems.Select(l => new { l.ProductId, l.Sku })
                .Distinct()
                .ToDictionaryAsync(l => l.ProductId!.Value, l => l.Sku!)
        );

    /// <summary>Once a week the store's dates move on by a week; they must not while the store is loaded.</summary>
    private static async Task ClearOfTheWeeksEndAsync()
    {
        var now = TimeProvider.System.GetUtcNow();
        if (OnlineRetailBooks.WeeksAt(now) != OnlineRetailBooks.WeeksAt(now + _slack))
            await Task.Delay(_slack);
    }

    private async Task<JsonElement[]> UntilAsync(string path, Func<JsonElement[], bool> isReached)
    {
        var waiting = Stopwatch.StartNew();
        while (true)
        {
            var answer = (await _owner.GetFromJsonAsync<JsonElement[]>(path))!;
            if (isReached(answer))
                return answer;
            if (waiting.Elapsed > TimeSpan.FromMinutes(5))
                throw new TimeoutException($"{path} still answers {string.Join(',', answer)}.");
            await Task.Delay(250);
        }
    }
}
