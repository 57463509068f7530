using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tenants;
using XenoInsights.Tests.Connect;
using XenoInsights.Tests.Support;
using XenoInsights.Tests.Sync;

namespace XenoInsights.Tests.Insights;

/// <summary>The contract of <c>/api/metrics</c>: parameters, defaults, refusals and shapes.</summary>
public sealed class MetricsApiTests(MetricsStores stores) : IClassFixture<MetricsStores>
{
    private static readonly string[] _questions =
    [
        "overview",
        "orders/by-date",
        "orders/by-date.csv",
        "customers/top",
        "products/top",
        "orders",
        "orders.csv",
        "orders/sums",
        "what-changed",
        "what-changed.csv",
        "products",
        "products.csv",
        "products/sums",
        "products/0",
        "products/0/by-date",
        "products/0/by-date.csv",
        "products/0/also-bought",
        "products/0/also-bought.csv",
        "checkouts",
        "checkouts/by-date",
        "checkouts/by-date.csv",
        "checkouts/by-hour",
        "checkouts/by-hour.csv",
        "checkouts/products",
        "checkouts/products.csv",
        "checkouts/open",
        "checkouts/open.csv",
        "customers",
        "customers.csv",
        "customers/sums",
        "customers/segments",
        "cohorts",
        "cohorts.csv",
    ];

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static TheoryData<string> Questions => [.. _questions];

    public static TheoryData<string, string, string> Refusals
    {
        get
        {
            var refusals = new TheoryData<string, string, string>();
            foreach (
                var question in _questions.Where(q => q is not ("customers/segments" or "cohorts" or "cohorts.csv"))
            )
            {
                refusals.Add(question, "from=2025-02-30", "from");
                refusals.Add(question, "from=", "from");
                refusals.Add(question, "from=01.02.2025", "from");
                refusals.Add(question, "from=2025-01-01T00:00:00Z", "from");
                refusals.Add(question, "to=yesterday", "to");
                refusals.Add(question, "to=2025-1-5", "to");
                refusals.Add(question, "to=0001-01-05", "to");
                refusals.Add(question, "from=2025-03-02&to=2025-03-01", "from");
                refusals.Add(question, "from=9999-12-31", "from");
                // Lists of orders have nothing for each day.
                if (!IsListOfOrders(question))
                    refusals.Add(question, "from=1980-01-01&to=2025-01-01", "from");
            }
            foreach (var limit in (string[])["0", "-1", "251", "abc", "", "5.0", "1e2", "99999999999999999999"])
            {
                refusals.Add("customers/top", $"limit={limit}", "limit");
                refusals.Add("products/top", $"limit={limit}", "limit");
            }
            foreach (var question in (string[])["orders", "orders.csv", "orders/sums"])
            {
                refusals.Add(question, "metric=profit", "metric");
                refusals.Add(question, "show=some", "show");
                refusals.Add(question, "sort=best", "sort");
                refusals.Add(question, "customer=me", "customer");
                refusals.Add(question, "product=-1", "product");
                refusals.Add(question, "over=1.5", "over");
                refusals.Add(question, "over=99999999999", "over");
                refusals.Add(question, $"q={new string('x', 101)}", "q");
            }
            refusals.Add("orders", "limit=251", "limit");
            refusals.Add("orders/by-date", "granularity=hour&from=2025-01-01&to=2025-01-08", "granularity");
            foreach (
                var place in (string[])
                    ["", "x", "1.2.3.4", "-1.0.0.0.0", "9999999.1.1.1.1", "739000.99999999999999999999.1.1.1"]
            )
                refusals.Add("orders", $"after={place}", "after");
            foreach (var question in (string[])["customers", "customers.csv", "customers/sums"])
            {
                refusals.Add(question, "who=me", "who");
                refusals.Add(question, "segment=rich", "segment");
                refusals.Add(question, "sort=name", "sort");
                refusals.Add(question, "first_from=2025-02-30", "first_from");
                refusals.Add(question, "first_to=soon", "first_to");
                refusals.Add(question, $"q={new string('x', 101)}", "q");
            }
            foreach (var place in (string[])["", "x", "1", "1.2.3", "1.-2"])
                refusals.Add("customers", $"after={place}", "after");
            refusals.Add("cohorts", "period=day", "period");
            refusals.Add("cohorts.csv", "period=", "period");
            foreach (var question in (string[])["what-changed", "what-changed.csv"])
            {
                refusals.Add(question, "metric=returns", "metric");
                refusals.Add(question, "by=weather", "by");
                refusals.Add(question, "metric=orders&by=product", "by");
                refusals.Add(question, "compare=none", "compare");
                refusals.Add(question, "from=0001-01-01&to=0001-01-31", "from");
            }
            foreach (var question in (string[])["products", "products.csv", "products/sums"])
            {
                refusals.Add(question, "compare=month", "compare");
                refusals.Add(question, "sort=best", "sort");
                refusals.Add(question, "order=up", "order");
                foreach (var part in (string[])["q", "vendor", "type"])
                    refusals.Add(question, $"{part}={new string('x', 101)}", part);
                refusals.Add(question, "compare=year&from=0001-01-01&to=0001-01-31", "from");
            }
            foreach (
                var question in (string[])["products", "products/0/also-bought", "checkouts/products", "checkouts/open"]
            )
                refusals.Add(question, "limit=251", "limit");
            foreach (var place in (string[])["", "x", "1", "1.x", "x.1", "99999999999999999999.1"])
                refusals.Add("products", $"after={place}", "after");
            foreach (var place in (string[])["!.1", "AA.1", "gICA.1"])
                refusals.Add("products", $"sort=title&after={place}", "after");
            foreach (var question in (string[])["products/0/by-date", "products/0/by-date.csv"])
                refusals.Add(question, "granularity=hour", "granularity");
            foreach (var question in (string[])["checkouts/by-date", "checkouts/by-date.csv"])
                refusals.Add(question, "granularity=hour&from=2025-01-01&to=2025-01-08", "granularity");
            foreach (var question in (string[])["checkouts/open", "checkouts/open.csv"])
            {
                refusals.Add(question, "sort=best", "sort");
                refusals.Add(question, "product=-1", "product");
            }
            foreach (var place in (string[])["", "x", "1.2.3", "-1.0.0.0", "9999999.1.1.1"])
                refusals.Add("checkouts/open", $"after={place}", "after");
            foreach (var granularity in (string[])["year", "", "Day", "1"])
                refusals.Add("orders/by-date", $"granularity={granularity}", "granularity");
            return refusals;
        }
    }

    [Theory]
    [MemberData(nameof(Refusals))]
    public async Task A_parameter_that_cannot_be_used_is_named_in_a_400(
        string question,
        string parameters,
        string named
    )
    {
        using var response = await GetAsync(stores.Owner, $"{question}?{parameters}&tenant_id={stores.Empty}");

        Assert.Equal(
            (HttpStatusCode.BadRequest, "application/problem+json"),
            (response.StatusCode, response.Content.Headers.ContentType?.MediaType)
        );
        using var problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync(Ct));
        Assert.Equal(named, Assert.Single(problem.RootElement.GetProperty("errors").EnumerateObject()).Name);
        Assert.Equal(400, problem.RootElement.GetProperty("status").GetInt32());
    }

    [Theory]
    [InlineData("from=soon", "from")]
    [InlineData("to=2025-02-30", "to")]
    public async Task A_day_of_checks_that_is_none_is_named_in_a_400_and_to_members_only(string parameter, string named)
    {
        using var answered = await AskAsync(stores.Empty);
        using var problem = JsonDocument.Parse(await answered.Content.ReadAsStringAsync(Ct));
        using var foreign = await AskAsync(stores.Foreign);

        Assert.Equal(HttpStatusCode.BadRequest, answered.StatusCode);
        Assert.Equal(named, Assert.Single(problem.RootElement.GetProperty("errors").EnumerateObject()).Name);
        Assert.Equal(HttpStatusCode.NotFound, foreign.StatusCode);

        Task<HttpResponseMessage> AskAsync(Guid store) =>
            stores.Owner.GetAsync(new Uri($"/api/reconciliation?{parameter}&tenant_id={store}", UriKind.Relative), Ct);
    }

    [Theory]
    [InlineData("""{"tenant_id":"ID","type":"reconcile","from":"soon"}""", "from")]
    [InlineData("""{"tenant_id":7}""", "tenant_id")]
    [InlineData("""{"tenant_id":""", "tenant_id")]
    [InlineData("no json", "body")]
    public async Task A_body_that_cannot_be_read_is_400_and_names_the_property(string body, string named)
    {
        using var content = new StringContent(
            body.Replace("ID", stores.Empty.ToString(), StringComparison.Ordinal),
            System.Text.Encoding.UTF8,
            "application/json"
        );

        using var response = await stores.Owner.PostAsync(
            new Uri("/api/ingestion/start", UriKind.Relative),
            content,
            Ct
        );

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        using var problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync(Ct));
        Assert.Equal(named, Assert.Single(problem.RootElement.GetProperty("errors").EnumerateObject()).Name);
    }

    [Theory]
    [InlineData("from=9999-12-01&to=9999-12-31", 31)]
    [InlineData("from=0001-01-01&to=0001-01-31", 31)]
    [InlineData("from=2024-02-29&to=2024-02-29", 1)]
    [InlineData("from=1985-01-01&to=2024-12-31", 14_610)]
    public async Task The_ends_of_the_calendar_and_the_longest_range_are_answered(string parameters, int days)
    {
        var points = await stores.AskAsync(stores.Empty, $"orders/by-date?{parameters}");
        foreach (
            var question in _questions
                .Where(q =>
                    !q.Contains(".csv", StringComparison.Ordinal)
                    && !(
                        q == "what-changed"
                        && (
                            parameters.Contains("0001", StringComparison.Ordinal)
                            || parameters.Contains("9999", StringComparison.Ordinal)
                        )
                    )
                )
                .Append("orders/by-date?granularity=week")
                .Append("orders/by-date?granularity=month")
        )
            await stores.AskAsync(
                stores.Empty,
                question + (question.Contains('?', StringComparison.Ordinal) ? '&' : '?') + parameters
            );

        Assert.Equal(days, points.GetArrayLength());
    }

    [Theory]
    [MemberData(nameof(Questions))]
    public async Task Without_a_session_the_answer_is_401_as_problem_json(string question)
    {
        using var visitor = stores.App.Visitor(followRedirects: false);

        using var response = await GetAsync(visitor, $"{question}?tenant_id={stores.Empty}");

        Assert.Equal(
            (HttpStatusCode.Unauthorized, "application/problem+json"),
            (response.StatusCode, response.Content.Headers.ContentType?.MediaType)
        );
        using var problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync(Ct));
        Assert.Equal(401, problem.RootElement.GetProperty("status").GetInt32());
    }

    [Theory]
    [MemberData(nameof(Questions))]
    public async Task A_foreign_store_is_answered_exactly_like_one_that_does_not_exist(string question)
    {
        using var foreign = await GetAsync(stores.Owner, $"{question}?tenant_id={stores.Foreign}");
        using var nonexistent = await GetAsync(stores.Owner, $"{question}?tenant_id={Guid.NewGuid()}");

        Assert.Equal(
            (HttpStatusCode.NotFound, "application/problem+json"),
            (foreign.StatusCode, foreign.Content.Headers.ContentType?.MediaType)
        );
        Assert.Equal(HttpStatusCode.NotFound, nonexistent.StatusCode);
        Assert.Equal(await WithoutTraceAsync(nonexistent), await WithoutTraceAsync(foreign));
        Assert.Equal(Headers(nonexistent), Headers(foreign));
    }

    [Fact]
    public async Task Whatever_else_is_wrong_a_foreign_store_is_not_found_first()
    {
        using var response = await GetAsync(stores.Owner, $"overview?from=nonsense&tenant_id={stores.Foreign}");

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
    }

    [Theory]
    [MemberData(nameof(Questions))]
    public async Task Without_a_store_the_answer_is_400_and_names_the_parameter(string question)
    {
        using var response = await GetAsync(stores.Owner, question);

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        using var problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync(Ct));
        Assert.True(problem.RootElement.GetProperty("errors").TryGetProperty("tenant_id", out _));
    }

    [Fact]
    public async Task A_store_without_data_answers_with_zeros()
    {
        const string range = "from=2025-03-01&to=2025-03-09";

        var overview = await stores.AskAsync(stores.Empty, $"overview?{range}");
        var points = await stores.AskAsync(stores.Empty, $"orders/by-date?{range}");

        Assert.Equal(
            """
            {"totalOrders":0,"totalRevenueCents":0,"totalCustomers":0,"averageOrderValueCents":0,"currency":"JPY","timeZone":"Asia/Tokyo","from":"2025-03-01","to":"2025-03-09","grossSalesCents":0,"discountsCents":0,"returnsCents":0,"netSalesCents":0,"shippingCents":0,"taxesCents":0,"dutiesCents":0,"feesCents":0,"newCustomers":0,"returningCustomers":0}
            """,
            overview.GetRawText()
        );
        Assert.Equal(
            Enumerable.Range(1, 9).Select(day => $"2025-03-0{day}"),
            points.EnumerateArray().Select(p => p.GetProperty("date").GetString())
        );
        Assert.All(
            points.EnumerateArray(),
            p => Assert.All(p.EnumerateObject().Where(f => f.Name != "date"), f => Assert.Equal(0, f.Value.GetInt64()))
        );
        Assert.Equal(0, (await stores.AskAsync(stores.Empty, $"customers/top?{range}")).GetArrayLength());
        Assert.Equal(0, (await stores.AskAsync(stores.Empty, $"products/top?{range}")).GetArrayLength());
    }

    [Fact]
    public async Task Weeks_begin_on_Monday_and_empty_ones_are_there()
    {
        var points = await stores.AskAsync(
            stores.Busy,
            "orders/by-date?granularity=week&from=2025-01-01&to=2025-02-02"
        );

        // Orders on Wednesday the 1st, Sunday the 5th and Monday the 27th.
        Assert.Equal(
            ["2024-12-30 2", "2025-01-06 0", "2025-01-13 0", "2025-01-20 0", "2025-01-27 1"],
            points
                .EnumerateArray()
                .Select(p => $"{p.GetProperty("date").GetString()} {p.GetProperty("orders").GetInt64()}")
        );
    }

    [Fact]
    public async Task Hours_are_those_of_the_shop_and_hold_what_happened_in_them()
    {
        var points = (
            await stores.AskAsync(stores.Busy, "orders/by-date?granularity=hour&from=2025-03-30&to=2025-03-31")
        )
            .EnumerateArray()
            .ToArray();

        Assert.Equal(48, points.Length);
        Assert.Equal(Enumerable.Range(0, 48).Select(i => i % 24), points.Select(p => p.GetProperty("hour").GetInt32()));
        // Placed at 23:00 UTC, when it was midnight in London's summer.
        var point = Assert.Single(points, p => p.GetProperty("orders").GetInt64() > 0);
        Assert.Equal(
            ("2025-03-31", 0, 2800L, 1L, 0L),
            (
                point.GetProperty("date").GetString(),
                point.GetProperty("hour").GetInt32(),
                point.GetProperty("revenueCents").GetInt64(),
                point.GetProperty("totalCustomers").GetInt64(),
                point.GetProperty("newCustomers").GetInt64()
            )
        );
    }

    [Fact]
    public async Task Months_are_calendar_months_and_empty_ones_are_there()
    {
        var points = await stores.AskAsync(
            stores.Busy,
            "orders/by-date?granularity=month&from=2024-11-20&to=2025-03-31"
        );

        Assert.Equal(
            ["2024-11-01 0", "2024-12-01 0", "2025-01-01 3", "2025-02-01 0", "2025-03-01 1"],
            points
                .EnumerateArray()
                .Select(p => $"{p.GetProperty("date").GetString()} {p.GetProperty("orders").GetInt64()}")
        );
    }

    [Fact]
    public async Task A_bucket_that_the_range_cuts_holds_only_the_days_of_the_range()
    {
        var points = await stores.AskAsync(
            stores.Busy,
            "orders/by-date?granularity=week&from=2025-01-02&to=2025-01-05"
        );

        var point = Assert.Single(points.EnumerateArray());
        Assert.Equal(
            ("2024-12-30", 1L, 700L),
            (
                point.GetProperty("date").GetString(),
                point.GetProperty("orders").GetInt64(),
                point.GetProperty("revenueCents").GetInt64()
            )
        );
    }

    [Fact]
    public async Task Five_are_listed_unless_more_or_fewer_are_asked_for()
    {
        const string range = "from=2025-03-31&to=2025-03-31";

        Assert.Equal(5, (await stores.AskAsync(stores.Busy, $"products/top?{range}")).GetArrayLength());
        Assert.Equal(1, (await stores.AskAsync(stores.Busy, $"products/top?limit=1&{range}")).GetArrayLength());
        Assert.Equal(
            MetricsStores.Products,
            (await stores.AskAsync(stores.Busy, $"products/top?limit=250&{range}")).GetArrayLength()
        );
        Assert.Equal(1, (await stores.AskAsync(stores.Busy, $"customers/top?limit=250&{range}")).GetArrayLength());
    }

    [Fact]
    public async Task The_default_range_is_the_last_thirty_days_of_the_shop_by_its_own_midnight()
    {
        if (stores.Clock.GetUtcNow().Minute == 59)
            stores.Clock.Advance(TimeSpan.FromMinutes(1));
        var now = stores.Clock.GetUtcNow();
        var tillMidnight = TimeSpan.FromHours(1) - TimeSpan.FromTicks(now.Ticks % TimeSpan.TicksPerHour);
        // There is always a zone in which the next full hour is midnight.
        var hour = (now + tillMidnight).Hour;
        var zone = hour <= 12 ? -hour : 24 - hour;
        var tenant = await stores.AddAsync($"Etc/GMT{-zone:+0;-0;+0}", "USD", MemberRole.Viewer);
        DateOnly Today() => DateOnly.FromDateTime((stores.Clock.GetUtcNow() + TimeSpan.FromHours(zone)).DateTime);

        stores.Clock.Advance(tillMidnight - TimeSpan.FromSeconds(30));
        var lastDay = Today();
        var before = await stores.AskAsync(tenant, "overview");
        var series = await stores.AskAsync(tenant, "orders/by-date");
        stores.Clock.Advance(TimeSpan.FromSeconds(31));
        var after = await stores.AskAsync(tenant, "overview");
        var onlyFrom = await stores.AskAsync(tenant, $"overview?from={ImportHost.Day(lastDay)}");
        var onlyTo = await stores.AskAsync(tenant, "overview?to=2025-03-31");

        Assert.Equal(lastDay.AddDays(1), Today());
        Assert.Equal((lastDay.AddDays(-29), lastDay), RangeOf(before));
        Assert.Equal(30, series.GetArrayLength());
        Assert.Equal((lastDay.AddDays(-28), lastDay.AddDays(1)), RangeOf(after));
        Assert.Equal((lastDay, lastDay.AddDays(1)), RangeOf(onlyFrom));
        Assert.Equal((new DateOnly(2025, 3, 2), new DateOnly(2025, 3, 31)), RangeOf(onlyTo));
    }

    [Fact]
    public async Task An_export_says_what_it_holds_and_runs_nothing_in_a_spreadsheet()
    {
        var shop = new StoreCalendar(stores.Busy, "GBP", "Europe/London");
        var at = new DateTimeOffset(2025, 5, 5, 10, 0, 0, TimeSpan.Zero);
        var evil = new CustomerRecord
        {
            ShopifyId = 666,
            UpdatedAt = at,
            CreatedAt = at,
            DisplayName = "=HYPERLINK(\"http://x\",\"1\")",
            Email = "e@example.com",
        };
        var order = new OrderRecord
        {
            ShopifyId = 9001,
            UpdatedAt = at,
            Name = "#9001",
            CreatedAt = at,
            ProcessedAt = at,
            CustomerId = 666,
            CurrentTotal = 0,
            Sales =
            [
                new SaleRecord(at, true, SaleMeasure.Sale, null, null, 1, 1234, 0, 200),
                new SaleRecord(at.AddDays(1), false, SaleMeasure.Return, null, null, -1, -1234, 0, -200),
            ],
        };
        await stores
            .App.Services.GetRequiredService<TenantDatabase>()
            .RunAsync(stores.Busy, db => IngestionWriter.ApplyAsync(db, shop, [evil, order]));

        using var response = await GetAsync(
            stores.Owner,
            $"orders.csv?from=2025-05-05&to=2025-05-06&sort=oldest&tenant_id={stores.Busy}"
        );
        var lines = (await response.Content.ReadAsStringAsync(Ct))
            .TrimStart('\uFEFF')
            .Split("\r\n", StringSplitOptions.RemoveEmptyEntries);

        Assert.Equal(
            ("text/csv", "attachment"),
            (
                response.Content.Headers.ContentType?.MediaType,
                response.Content.Headers.ContentDisposition?.DispositionType
            )
        );
        Assert.EndsWith(
            "orders-2025-05-05-2025-05-06.csv",
            response.Content.Headers.ContentDisposition?.FileNameStar,
            StringComparison.Ordinal
        );
        var head = lines.TakeWhile(l => l.StartsWith('#')).ToArray();
        Assert.Contains(head, l => l.Contains("Shop days 2025-05-05 to 2025-05-06", StringComparison.Ordinal));
        Assert.Contains(head, l => l.Contains("Time zone Europe/London, currency GBP", StringComparison.Ordinal));
        Assert.Contains(head, l => l.Contains("Total sales: ", StringComparison.Ordinal));
        Assert.Equal(
            [
                "Order,Kind,Counted on,At,Customer,Units,Gross "
                    + "sales,Discounts,Returns,Shipping,Taxes,Duties,Fees,Total sales,Shopify id,Customer id",
                "\"#9001\",Order,2025-05-05,2025-05-05T11:00:00+01:00,\"'=HYPERLINK(\"\"http://x\"\","
                    + "\"\"1\"\")\",1,12.34,0.00,0.00,0.00,2.00,0.00,0.00,14.34,9001,666",
                "\"#9001\",Refund,2025-05-06,2025-05-06T11:00:00+01:00,\"'=HYPERLINK(\"\"http://x\"\","
                    + "\"\"1\"\")\",-1,0.00,0.00,12.34,0.00,-2.00,0.00,0.00,-14.34,9001,666",
            ],
            lines[head.Length..]
        );
    }

    [Fact]
    public async Task An_order_shows_its_lines_and_ledger_and_others_are_not_found()
    {
        var order = await stores.AskAsync(stores.Busy, "orders/4");
        using var foreign = await GetAsync(stores.Owner, $"orders/4?tenant_id={stores.Foreign}");
        using var missing = await GetAsync(stores.Owner, $"orders/4?tenant_id={stores.Empty}");

        Assert.Equal(
            (MetricsStores.Products, "2025-03-31", 2800L),
            (
                order.GetProperty("lines").GetArrayLength(),
                order.GetProperty("day").GetString(),
                order.GetProperty("ledger").EnumerateArray().Sum(e => e.GetProperty("amountCents").GetInt64())
            )
        );
        Assert.Equal((HttpStatusCode.NotFound, HttpStatusCode.NotFound), (foreign.StatusCode, missing.StatusCode));
    }

    [Theory]
    [InlineData("orders")]
    [InlineData("orders/sums")]
    [InlineData("customers")]
    [InlineData("customers/sums")]
    [InlineData("products")]
    public async Task A_search_may_hold_anything(string question)
    {
        foreach (var search in (string[])["%00", "a%00b", "%25", "_", "%5C", "'%3B--", "%F0%9F%9B%92"])
            await stores.AskAsync(stores.Busy, $"{question}?from=2025-01-01&to=2025-12-31&q={search}");
    }

    [Fact]
    public async Task Of_one_product_only_its_own_lines_count()
    {
        var sums = await stores.AskAsync(stores.Busy, "orders/sums?product=3&from=2025-03-31&to=2025-03-31");
        var rows = await stores.AskAsync(stores.Busy, "orders?product=3&from=2025-03-31&to=2025-03-31");

        Assert.Equal(
            (1L, 300L),
            (sums.GetProperty("entries").GetInt64(), sums.GetProperty("netSalesCents").GetInt64())
        );
        Assert.Equal(300, Assert.Single(rows.EnumerateArray()).GetProperty("totalCents").GetInt64());
    }

    [Theory]
    [InlineData("/api/tenants", HttpStatusCode.OK)]
    [InlineData("/api/metrics/orders", HttpStatusCode.OK)]
    [InlineData("/api/metrics/customers/77", HttpStatusCode.OK)]
    [InlineData("/api/metrics/orders.csv", HttpStatusCode.OK)]
    [InlineData("/api/events", HttpStatusCode.OK)]
    [InlineData("/api/metrics/orders?limit=0", HttpStatusCode.BadRequest)]
    [InlineData("/api/metrics/customers/4711", HttpStatusCode.NotFound)]
    public async Task Nothing_that_the_api_says_is_stored_on_the_way(string path, HttpStatusCode status)
    {
        using var response = await stores.Owner.GetAsync(
            new Uri(
                $"{path}{(path.Contains('?', StringComparison.Ordinal) ? '&' : '?')}tenant_id={stores.Busy}",
                UriKind.Relative
            ),
            Ct
        );

        Assert.Equal((status, true), (response.StatusCode, response.Headers.CacheControl?.NoStore));
    }

    private static bool IsListOfOrders(string question) => question is "orders" or "orders.csv" or "orders/sums";

    private static (DateOnly, DateOnly) RangeOf(JsonElement overview) =>
        (
            DateOnly.ParseExact(overview.GetProperty("from").GetString()!, "yyyy-MM-dd", CultureInfo.InvariantCulture),
            DateOnly.ParseExact(overview.GetProperty("to").GetString()!, "yyyy-MM-dd", CultureInfo.InvariantCulture)
        );

    private static Task<HttpResponseMessage> GetAsync(HttpClient client, string question) =>
        client.GetAsync(new Uri("/api/metrics/" + question, UriKind.Relative), Ct);

    private static async Task<string> WithoutTraceAsync(HttpResponseMessage response)
    {
        var problem = JsonNode.Parse(await response.Content.ReadAsStringAsync(Ct))!.AsObject();
        Assert.True(problem.Remove("traceId"));
        return problem.ToJsonString();
    }

    private static IEnumerable<string> Headers(HttpResponseMessage response) =>
        response
            .Headers.Concat(response.Content.Headers)
            .Select(h => h.Key)
            .Where(name => name is not ("Date" or "Content-Length"))
            .Order();
}

/// <summary>
/// The product with stores whose data are given to the ingestion directly: an empty one, one with a few orders, and one
/// of somebody else.
/// </summary>
public sealed class MetricsStores(PostgresServer postgres) : IAsyncLifetime
{
    public const int Products = 7;

    private TestDatabase _database = null!;
    private long _shops;

    public AppHost App { get; private set; } = null!;
    public HttpClient Owner { get; private set; } = null!;
    public MovableClock Clock { get; } = new();
    public Guid Empty { get; private set; }
    public Guid Busy { get; private set; }
    public Guid Foreign { get; private set; }

    public async ValueTask InitializeAsync()
    {
        _database = await postgres.CreateDatabaseAsync();
        App = await AppHost.StartAsync(_database, services: services => services.AddSingleton<TimeProvider>(Clock));
        Owner = await App.SignInAsync();
        Empty = await AddAsync("Asia/Tokyo", "JPY", MemberRole.Viewer);
        Busy = await AddAsync("Europe/London", "GBP", MemberRole.Owner);
        Foreign = await AddAsync("Europe/London", "GBP", null);
        var shop = new StoreCalendar(Busy, "GBP", "Europe/London");
        IngestRecord[] orders =
        [
            Order(1, new(2025, 1, 1, 12, 0, 0, TimeSpan.Zero), 500),
            Order(2, new(2025, 1, 5, 23, 59, 59, TimeSpan.Zero), 700),
            Order(3, new(2025, 1, 27, 0, 0, 0, TimeSpan.Zero), 900),
            // Summer time has begun: it is already the 31st in London.
            Order(
                4,
                new(2025, 3, 30, 23, 0, 0, TimeSpan.Zero),
                [.. Enumerable.Range(1, Products).Select(i => 100L * i)]
            ),
        ];
        await App
            .Services.GetRequiredService<TenantDatabase>()
            .RunAsync(Busy, db => IngestionWriter.ApplyAsync(db, shop, orders));
    }

    public async ValueTask DisposeAsync()
    {
        Owner.Dispose();
        await App.DisposeAsync();
        await _database.DisposeAsync();
    }

    public Task<JsonElement> AskAsync(Guid tenant, string question) => ImportHost.AskAsync(Owner, tenant, question);

    /// <param name="role">The owner's in the new store; null: none.</param>
    public Task<Guid> AddAsync(string timeZone, string currency, MemberRole? role)
    {
        var shop = Interlocked.Increment(ref _shops);
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = shop,
            ShopDomain = $"metrics-{shop}.myshopify.com",
            Name = $"Metrics {shop}",
            Currency = currency,
            TimeZone = timeZone,
            Status = TenantStatus.Connected,
            ConnectedAt = DateTimeOffset.UnixEpoch,
        };
        return App
            .Services.GetRequiredService<SystemDatabase>()
            .RunAsync(async db =>
            {
                db.Tenants.Add(tenant);
                await db.SaveChangesAsync();
                if (role is not null)
                    await db.Database.ExecuteSqlAsync(
                        $"""
                        insert into memberships (tenant_id, user_id, role, created_at)
                        select {tenant.TenantId}, user_id, {role.ToString()}, now() from users
                        where email = 'owner@demo.test'
                        """
                    );
                return tenant.TenantId;
            });
    }

    private static OrderRecord Order(long id, DateTimeOffset at, params long[] amounts) =>
        new()
        {
            ShopifyId = id,
            UpdatedAt = at,
            Name = $"#{id}",
            CreatedAt = at,
            ProcessedAt = at,
            CustomerId = 77,
            CurrentTotal = amounts.Sum(),
            Lines =
            [
                .. amounts.Select(
                    (amount, i) =>
                        new OrderLineRecord(
                            (id * 100) + i,
                            i + 1,
                            null,
                            $"Product {i + 1}",
                            null,
                            1,
                            1,
                            false,
                            amount,
                            0
                        )
                ),
            ],
            Sales =
            [
                .. amounts.Select(
                    (amount, i) => new SaleRecord(at, true, SaleMeasure.Sale, (id * 100) + i, i + 1, 1, amount, 0, 0)
                ),
            ],
        };
}
