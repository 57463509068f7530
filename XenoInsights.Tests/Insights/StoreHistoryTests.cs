using System.Globalization;
using System.Net;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Insights.Cohorts;
using XenoInsights.Tests.Sync;

namespace XenoInsights.Tests.Insights;

/// <summary>
/// Orders with absurd dates, long histories and histories that Shopify cuts off: what is shown, how much it takes, and
/// what is compared.
/// </summary>
public sealed class StoreHistoryTests(MetricsStores stores) : IClassFixture<MetricsStores>
{
    private const int LargestAnswer = 6 * 1024 * 1024;

    private static readonly string[] _pages =
    [
        "overview",
        "overview?g=day",
        "what-changed",
        "orders",
        "orders?outside=before",
        "orders?outside=after",
        "customers",
        "customers?sort=recent",
        "customers?view=segments",
        "customers/77",
        "products",
        "products/1",
        "products/0",
        "checkouts",
        "cohorts?n=2147483647",
        "cohorts?p=week",
        "settings",
    ];

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private DateOnly Today =>
        DateOnly.FromDateTime(
            TimeZoneInfo
                .ConvertTime(stores.Clock.GetUtcNow(), TimeZoneInfo.FindSystemTimeZoneById("Europe/London"))
                .DateTime
        );

    public static TheoryData<string, bool> Dates =>
        new()
        {
            { "0001-01-01T00:00:00Z", false },
            { "0001-01-05T12:00:00Z", false },
            { "1899-12-30T12:00:00Z", false },
            { "1970-01-01T12:00:00Z", false },
            { "1999-12-31T12:00:00Z", false },
            { "2012-03-04T12:00:00Z", true },
            { "2112-01-01T12:00:00Z", false },
            { "9999-12-31T12:00:00Z", false },
        };

    [Theory]
    [MemberData(nameof(Dates))]
    public async Task One_order_of_any_date_keeps_answers_small_and_is_named_if_out_of_range(
        string date,
        bool isPlausible
    )
    {
        var odd = DateTimeOffset.Parse(date, CultureInfo.InvariantCulture);
        var tenant = await stores.AddAsync("Europe/London", "GBP", MemberRole.Owner);
        await ApplyAsync(
            tenant,
            Order(1, odd, 1000),
            Order(2, At(Today.AddDays(-40)), 2000),
            Order(3, At(Today.AddDays(-1)), 3000)
        );
        var first = isPlausible ? DateOnly.FromDateTime(odd.DateTime) : Today.AddDays(-40);
        var all = $"from={ImportHost.Day(first)}&to={ImportHost.Day(Today)}";

        foreach (
            var question in (string[])
                [
                    "overview",
                    "orders/by-date",
                    "orders/by-date?granularity=week",
                    "orders/by-date.csv",
                    "customers",
                    "customers?sort=recent",
                    "customers.csv",
                    "customers/77",
                    "customers/segments",
                    "products",
                    "products.csv",
                    "products/1",
                    "products/1/by-date",
                    "checkouts/by-date",
                    "orders",
                    "orders.csv",
                    "cohorts",
                    "cohorts?period=week",
                    "cohorts.csv?period=week",
                ]
        )
        {
            using var response = await stores.Owner.GetAsync(
                new Uri(
                    $"/api/metrics/{question}{(question.Contains('?', StringComparison.Ordinal) ? '&' : '?')}{all}"
                        + $"&tenant_id={tenant}",
                    UriKind.Relative
                ),
                Ct
            );
            Assert.Equal((question, HttpStatusCode.OK), (question, response.StatusCode));
            Assert.True((await response.Content.ReadAsByteArrayAsync(Ct)).Length < LargestAnswer, question);
        }
        foreach (var page in _pages)
        {
            var html = await PageAsync(
                tenant,
                page,
                page.StartsWith("customers/", StringComparison.Ordinal)
                || page.StartsWith("cohorts", StringComparison.Ordinal)
                    ? ""
                    : "preset=all"
            );
            Assert.True(html.Length < LargestAnswer, page);
            Assert.Equal(
                (page, isPlausible),
                (page, !html.Contains("1 order of £10.00 is dated", StringComparison.Ordinal))
            );
        }
        // What all time says it covers, it covers; and the order counts where it is dated.
        var overview = await stores.AskAsync(tenant, $"overview?{all}");
        Assert.Equal(isPlausible ? 6000 : 5000, overview.GetProperty("totalRevenueCents").GetInt64());
        var day =
            $"from={ImportHost.Day(DateOnly.FromDateTime(odd.DateTime))}"
            + $"&to={ImportHost.Day(DateOnly.FromDateTime(odd.DateTime))}";
        Assert.Equal(1000, (await stores.AskAsync(tenant, $"orders/sums?{day}")).GetProperty("totalCents").GetInt64());
        Assert.Contains("£60.00", await PageAsync(tenant, "customers/77", ""), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_store_whose_only_order_is_in_the_future_has_no_history_yet()
    {
        var tenant = await stores.AddAsync("Europe/London", "GBP", MemberRole.Owner);
        await ApplyAsync(tenant, Order(1, At(Today.AddDays(3)), 1000));

        Assert.Equal(
            (0, 0),
            (
                (await stores.AskAsync(tenant, "cohorts")).GetArrayLength(),
                (await stores.AskAsync(tenant, "cohorts?period=week")).GetArrayLength()
            )
        );
        foreach (var page in _pages)
            Assert.Contains(
                "1 order of £10.00 is dated after today",
                await PageAsync(tenant, page, ""),
                StringComparison.Ordinal
            );
        Assert.Contains("#1", await PageAsync(tenant, "orders?outside=after", ""), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fourteen_years_are_shown_from_their_first_day_on()
    {
        var begin = Today.AddYears(-14);
        var tenant = await stores.AddAsync("Europe/London", "GBP", MemberRole.Owner);
        await ApplyAsync(tenant, Order(1, At(begin), 1000), Order(2, At(Today), 2000));

        var months = (await stores.AskAsync(tenant, "cohorts")).EnumerateArray().ToArray();
        var weeks = (await stores.AskAsync(tenant, "cohorts?period=week")).GetArrayLength();
        var days = await stores.AskAsync(
            tenant,
            $"orders/by-date?from={ImportHost.Day(begin)}&to={ImportHost.Day(Today)}"
        );

        Assert.Equal(
            (169, true, CohortQueries.MostWeeks),
            (months.Length, months[0].GetProperty("isCut").GetBoolean(), Math.Max(weeks, CohortQueries.MostWeeks))
        );
        Assert.Equal(
            (1L, 2),
            (
                months[0].GetProperty("customers").GetInt64(),
                months[0].GetProperty("cells").EnumerateArray().Count(c => c.GetProperty("orders").GetInt64() > 0)
            )
        );
        Assert.Equal(
            (Today.DayNumber - begin.DayNumber + 1, 2L),
            (days.GetArrayLength(), days.EnumerateArray().Sum(d => d.GetProperty("orders").GetInt64()))
        );
    }

    [Fact]
    public async Task Old_orders_from_webhooks_make_no_day_known_where_Shopify_shows_sixty_days()
    {
        // Three orders of ten a day for a hundred and fifty days, of which the product is shown fifty-nine.
        var tenant = await stores.AddAsync("Europe/London", "GBP", MemberRole.Owner);
        var known = Today.AddDays(-59);
        await stores
            .App.Services.GetRequiredService<TenantDatabase>()
            .RunAsync(
                tenant,
                db =>
                    db.Tenants.ExecuteUpdateAsync(
                        set => set.SetProperty(t => t.HistoryLimited, true).SetProperty(t => t.HistoryFrom, known),
                        Ct
                    ),
                Ct
            );
        await ApplyAsync(
            tenant,
            [
                .. Enumerable
                    .Range(0, 59)
                    .SelectMany(day =>
                        Enumerable.Range(0, 3).Select(i => Order((day * 3) + i + 1, At(Today.AddDays(-day)), 1000))
                    ),
            ]
        );
        // A refund of an order of the hundred and fiftieth day.
        var old = Order(9999, At(Today.AddDays(-150)), 1000);
        await ApplyAsync(
            tenant,
            old with
            {
                Sales =
                [
                    .. old.Sales,
                    new SaleRecord(At(Today), false, SaleMeasure.Return, null, null, -1, -1000, 0, 0),
                ],
            }
        );

        var (from, to) = (Today.AddDays(-55), Today.AddDays(-28));
        var range = $"from={ImportHost.Day(from)}&to={ImportHost.Day(to)}";
        foreach (var page in (string[])["overview", "what-changed", "products", "checkouts"])
        {
            var html = await PageAsync(tenant, page, range);
            Assert.Contains("history begins on", html, StringComparison.Ordinal);
            Assert.DoesNotContain("600.0", html, StringComparison.Ordinal);
        }
        Assert.Contains(
            "1 order of £10.00 is dated before",
            await PageAsync(tenant, "overview", ""),
            StringComparison.Ordinal
        );
        foreach (
            var question in (string[])
                [
                    "what-changed",
                    "what-changed.csv",
                    "products?compare=previous",
                    "products/sums?compare=previous",
                    "products.csv?compare=previous",
                ]
        )
        {
            using var refused = await stores.Owner.GetAsync(
                new Uri(
                    $"/api/metrics/{question}{(question.Contains('?', StringComparison.Ordinal) ? '&' : '?')}{range}"
                        + $"&tenant_id={tenant}",
                    UriKind.Relative
                ),
                Ct
            );
            Assert.Equal((question, HttpStatusCode.BadRequest), (question, refused.StatusCode));
        }
        // What is known is compared, and what is refunded counts on its own day.
        var change = await stores.AskAsync(
            tenant,
            $"what-changed?from={ImportHost.Day(Today.AddDays(-20))}&to={ImportHost.Day(Today.AddDays(-7))}"
        );
        Assert.Equal((42_000, 42_000), (change.GetProperty("now").GetInt64(), change.GetProperty("before").GetInt64()));
        Assert.Equal(
            1000,
            (await stores.AskAsync(tenant, $"overview?from={ImportHost.Day(Today)}&to={ImportHost.Day(Today)}"))
                .GetProperty("returnsCents")
                .GetInt64()
        );
    }

    [Fact]
    public async Task History_of_a_limited_store_begins_sixty_days_before_connecting_until_imported()
    {
        var tenant = await stores.AddAsync("Europe/London", "GBP", MemberRole.Owner);
        var now = stores.Clock.GetUtcNow();
        await stores
            .App.Services.GetRequiredService<TenantDatabase>()
            .RunAsync(
                tenant,
                db =>
                    db.Tenants.ExecuteUpdateAsync(
                        set => set.SetProperty(t => t.HistoryLimited, true).SetProperty(t => t.ConnectedAt, now),
                        Ct
                    ),
                Ct
            );
        await ApplyAsync(tenant, Order(1, At(Today.AddDays(-200)), 1000), Order(2, At(Today.AddDays(-3)), 2000));

        var history = await stores
            .App.Services.GetRequiredService<TenantDatabase>()
            .RunAsync(tenant, db => StoreHistory.ReadAsync(db, Today, Ct), Ct);

        Assert.Equal(
            new StoreHistory(Today.AddDays(-59), new(Today.AddDays(-3), Today.AddDays(-3)), new(1, 1000), null),
            history
        );
    }

    [Theory]
    [InlineData("cohorts?n=99999999999")]
    [InlineData("cohorts?n=99999999999999999999&p=9&m=9&c=%00")]
    [InlineData("cohorts?n=-1")]
    [InlineData("orders?customer=99999999999999999999")]
    [InlineData("orders?customer=-1&product=1e9&over=99999999999999999999&after=9.9.9.9.9&sort=%00")]
    [InlineData("orders?q=%00&metric=%00&show=%ED%A0%80&outside=%00")]
    [InlineData("orders?from=0001-01-01&to=9999-12-31&compare=8999-12-31")]
    [InlineData("overview?from=2000-01-01&to=9999-12-31&compare=2000-01-01&g=99999999999&metric=%00")]
    [InlineData("products?q=%00%ED%A0%BD&vendor=%00&type=%ED%A0%BD&sort=99999999999&order=%00&after=%00")]
    [InlineData("products/9223372036854775807")]
    [InlineData(
        "customers?first_from=0001-01-01&first_to=9999-12-31&segment=%00&who=%00"
            + "&after=9223372036854775807.9223372036854775807"
    )]
    [InlineData("checkouts?product=99999999999999999999&sort=%00&after=0.0.0.0")]
    [InlineData("what-changed?metric=%00&by=99999999999&compare=%00")]
    [InlineData(
        "events?topic=%00&object=99999999999999999999&from=0001-01-01T00:00&to=9999-12-31T23:59"
            + "&before=9999-12-31&before_id=%00"
    )]
    public async Task A_page_falls_back_where_its_address_says_what_nobody_can_mean(string page)
    {
        var html = await PageAsync(stores.Busy, page, "");

        Assert.Contains("page-head", html, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_search_is_cut_between_characters()
    {
        var html = await PageAsync(stores.Busy, $"products?q={new string('a', 99)}{Uri.EscapeDataString("🛒🛒")}", "");

        Assert.Contains("Nothing matches", html, StringComparison.Ordinal);
    }

    private async Task<string> PageAsync(Guid tenant, string page, string parameters)
    {
        var listing = (
            await JsonSerializer.DeserializeAsync<JsonElement>(
                await stores.Owner.GetStreamAsync(new Uri("/api/tenants", UriKind.Relative), Ct),
                cancellationToken: Ct
            )
        )
            .EnumerateArray()
            .Single(t => t.GetProperty("id").GetGuid() == tenant);
        var handle = listing.GetProperty("storeDomain").GetString()!.Split('.')[0];
        using var request = new HttpRequestMessage(
            HttpMethod.Get,
            new Uri(
                $"/stores/{handle}/{page}{(page.Contains('?', StringComparison.Ordinal) ? '&' : '?')}{parameters}",
                UriKind.Relative
            )
        );
        request.Headers.Accept.ParseAdd("text/html");
        request.Headers.AcceptLanguage.ParseAdd("en-GB");
        using var response = await stores.Owner.SendAsync(request, Ct);
        Assert.Equal((page, HttpStatusCode.OK), (page, response.StatusCode));
        var html = WebUtility.HtmlDecode(await response.Content.ReadAsStringAsync(Ct));
        Assert.DoesNotContain("did not load", html, StringComparison.Ordinal);
        return html;
    }

    private static DateTimeOffset At(DateOnly day) => new(day.ToDateTime(new TimeOnly(12, 0)), TimeSpan.Zero);

    private Task<ApplyResult> ApplyAsync(Guid tenant, params IngestRecord[] records) =>
        stores
            .App.Services.GetRequiredService<TenantDatabase>()
            .RunAsync(tenant, db => IngestionWriter.ApplyAsync(db, new(tenant, "GBP", "Europe/London"), records));

    private static OrderRecord Order(long id, DateTimeOffset at, long amount) =>
        new()
        {
            ShopifyId = id,
            UpdatedAt = DateTimeOffset.UnixEpoch,
            Name = $"#{id}",
            CreatedAt = at,
            ProcessedAt = at,
            CustomerId = 77,
            CurrentTotal = amount,
            Lines = [new(id * 10, 1, null, "Lamp", null, 1, 1, false, amount, 0)],
            Sales = [new SaleRecord(at, true, SaleMeasure.Sale, id * 10, 1, 1, amount, 0, 0)],
        };
}
