using System.Globalization;
using System.Text.Json;
using XenoInsights.Tests.Sync;

namespace XenoInsights.Tests.Insights;

public sealed partial class OnlineRetailTests
{
    /// <summary>
    /// Customers by month of first invoice and months since, as computed from the file of invoices by somebody else,
    /// counting invoices that are no cancellations with positive amounts. Its months are the file's; ours are moved by
    /// whole weeks, so only the sum over all cohorts can be held against it.
    /// </summary>
    private const long CustomersOfTheTable = 4338;

    [Theory]
    [InlineData("month")]
    [InlineData("week")]
    public async Task Every_cell_of_the_cohorts_is_that_of_the_invoices(string period)
    {
        var today = DateOnly.FromDateTime(
            TimeZoneInfo
                .ConvertTime(TimeProvider.System.GetUtcNow(), TimeZoneInfo.FindSystemTimeZoneById("Europe/London"))
                .DateTime
        );
        var placed = Books
            .Placed.Where(p => p.Customer is not null)
            .GroupBy(p =>
                (Cohort: FirstOf(period, Books.FirstDayOf[p.Customer!.Value]), Period: FirstOf(period, p.Day))
            )
            .ToDictionary(
                g => g.Key,
                g => (Customers: g.Select(p => p.Customer).Distinct().LongCount(), Orders: g.LongCount())
            );
        var sales = Books
            .Entries.Where(e => e.Customer is not null)
            .GroupBy(e =>
                (Cohort: FirstOf(period, Books.FirstDayOf[e.Customer!.Value]), Period: FirstOf(period, e.Day))
            )
            .ToDictionary(g => g.Key, g => Pence(g.Sum(e => e.Total)));

        var cohorts = (await year.AskAsync($"cohorts?period={period}")).EnumerateArray().ToArray();

        Assert.Equal(CustomersOfTheTable, cohorts.Sum(c => c.GetProperty("customers").GetInt64()));
        Assert.Equal(FirstOf(period, Books.Days.First), Day(cohorts[0], "first"));
        Assert.Equal(FirstOf(period, today), Day(cohorts[^1], "first"));
        Assert.Equal(
            (true, cohorts.Length - 1),
            (cohorts[0].GetProperty("isCut").GetBoolean(), cohorts.Count(c => !c.GetProperty("isCut").GetBoolean()))
        );
        foreach (var cohort in cohorts)
        {
            var first = Day(cohort, "first");
            var cells = cohort.GetProperty("cells").EnumerateArray().ToArray();
            Assert.Equal(
                placed.GetValueOrDefault((first, first)).Customers,
                cohort.GetProperty("customers").GetInt64()
            );
            Assert.Single(cells, c => !c.GetProperty("isOver").GetBoolean());
            foreach (var cell in cells)
            {
                var key = (first, Day(cell, "from"));
                Assert.Equal(
                    (key, placed.GetValueOrDefault(key), sales.GetValueOrDefault(key)),
                    (
                        key,
                        (cell.GetProperty("customers").GetInt64(), cell.GetProperty("orders").GetInt64()),
                        cell.GetProperty("totalCents").GetInt64()
                    )
                );
            }
        }
        Assert.Equal(
            placed.Values.Sum(p => p.Orders),
            cohorts.Sum(c => c.GetProperty("cells").EnumerateArray().Sum(x => x.GetProperty("orders").GetInt64()))
        );
    }

    [Fact]
    public async Task A_cell_of_a_cohort_has_its_customers()
    {
        var cohort = (await year.AskAsync("cohorts?period=month")).EnumerateArray().ElementAt(3);
        foreach (var cell in cohort.GetProperty("cells").EnumerateArray().Take(6))
        {
            var sums = await year.AskAsync(
                $"customers/sums?first_from={ImportHost.Day(Day(cohort, "first"))}"
                    + $"&first_to={ImportHost.Day(Day(cohort, "last"))}"
                    + $"&{Range(Day(cell, "from"), Day(cell, "to"))}"
            );
            Assert.Equal(
                (cell.GetProperty("customers").GetInt64(), cell.GetProperty("orders").GetInt64()),
                (sums.GetProperty("customers").GetInt64(), sums.GetProperty("orders").GetInt64())
            );
        }
    }

    [Theory]
    [MemberData(nameof(Ranges))]
    public async Task The_customers_of_a_range_are_as_many_as_its_figures_say(string range)
    {
        var (from, to) = DaysOf(range);
        var overview = await year.AskAsync($"overview?{Range(from, to)}");

        foreach (
            var (who, field) in ((string, string)[])
                [("all", "totalCustomers"), ("new", "newCustomers"), ("returning", "returningCustomers")]
        )
            Assert.Equal(
                (who, overview.GetProperty(field).GetInt64()),
                (
                    who,
                    (await year.AskAsync($"customers/sums?who={who}&{Range(from, to)}"))
                        .GetProperty("customers")
                        .GetInt64()
                )
            );
    }

    [Theory]
    [InlineData("sales", "totalCents")]
    [InlineData("orders", "orders")]
    [InlineData("recent", "lastOrderDay")]
    public async Task Page_by_page_the_customers_of_a_quarter_are_those_of_the_invoices(string sort, string sorted)
    {
        const long numbers = 1_000_000_000; // Shopify's id ends in the number of the file
        var (from, to) = DaysOf("quarter");
        var orders = Books
            .Placed.Where(p => p.Customer is not null && p.Day >= from && p.Day <= to)
            .CountBy(p => p.Customer!.Value)
            .ToDictionary();
        var sales = Books
            .Entries.Where(e => e.Customer is not null && e.Day >= from && e.Day <= to)
            .GroupBy(e => e.Customer!.Value)
            .ToDictionary(g => g.Key, g => Pence(g.Sum(e => e.Total)));

        var rows = new List<JsonElement>();
        for (var page = $"customers?limit=250&sort={sort}&{Range(from, to)}"; page is not null; )
        {
            var (answer, next) = await year.PageAsync(page);
            rows.AddRange(answer.EnumerateArray());
            page = next;
        }

        Assert.Equal(
            orders.Select(o => ((long)o.Key, (long)o.Value, sales[o.Key])).Order(),
            rows.Select(r =>
                    (
                        r.GetProperty("shopifyId").GetInt64() % numbers,
                        r.GetProperty("orders").GetInt64(),
                        r.GetProperty("totalCents").GetInt64()
                    )
                )
                .Order()
        );
        var keys = rows.Select(r => sort == "recent" ? Day(r, sorted).DayNumber : r.GetProperty(sorted).GetInt64())
            .ToArray();
        Assert.Equal(keys.OrderDescending(), keys);
    }

    [Fact]
    public async Task Every_customer_is_in_the_segment_that_the_rule_says()
    {
        var orders = Books.OrdersOf;
        var last = Books
            .Placed.Where(p => p.Customer is not null)
            .GroupBy(p => p.Customer!.Value)
            .ToDictionary(g => g.Key, g => g.Max(p => p.Day));
        var total = Books
            .Entries.Where(e => e.Customer is not null)
            .GroupBy(e => e.Customer!.Value)
            .ToDictionary(g => g.Key, g => Pence(g.Sum(e => e.Total)));
        var (recency, frequency, money) = (
            Marks(last.Values.Select(d => (long)d.DayNumber)),
            Marks(orders.Values.Select(o => (long)o)),
            Marks(total.Values)
        );
        string[][] map =
        [
            ["dormant", "dormant", "at-risk", "at-risk", "previously-loyal"],
            ["almost-lost", "almost-lost", "at-risk", "at-risk", "previously-loyal"],
            ["almost-lost", "needs-attention", "needs-attention", "loyal", "loyal"],
            ["promising", "active", "active", "loyal", "loyal"],
            ["new", "active", "active", "champions", "champions"],
        ];
        var expected = orders
            .Keys.Select(c =>
            {
                var (r, f, m) = (
                    recency.Count(mark => last[c].DayNumber >= mark),
                    1 + frequency.Count(mark => orders[c] > mark),
                    1 + money.Count(mark => total[c] > mark)
                );
                return (Segment: map[r][((f + m + 1) / 2) - 1], Total: total[c]);
            })
            .GroupBy(c => c.Segment)
            .ToDictionary(g => g.Key, g => (g.LongCount(), g.Sum(c => c.Total)));

        var answer = await year.AskAsync("customers/segments");

        Assert.Equal(11, answer.GetArrayLength());
        foreach (var segment in answer.EnumerateArray())
        {
            var key = segment.GetProperty("segment").GetString()!;
            Assert.Equal(
                (key, expected.GetValueOrDefault(key)),
                (key, (segment.GetProperty("customers").GetInt64(), segment.GetProperty("totalCents").GetInt64()))
            );
            var sums = await year.AskAsync($"customers/sums?segment={key}&{Range(Books.Days.First, Books.Days.Last)}");
            Assert.Equal(segment.GetProperty("customers").GetInt64(), sums.GetProperty("customers").GetInt64());
        }
    }

    [Fact]
    public async Task A_customer_has_the_history_of_the_invoices()
    {
        var (customer, count) = Books.OrdersOf.MaxBy(c => c.Value);
        var row = (await year.AskAsync($"customers?sort=orders&limit=1&{Range(Books.Days.First, Books.Days.Last)}"))
            .EnumerateArray()
            .Single();
        var view = await year.AskAsync(
            $"customers/{row.GetProperty("shopifyId").GetInt64().ToString(CultureInfo.InvariantCulture)}"
        );

        Assert.EndsWith(
            customer.ToString(CultureInfo.InvariantCulture),
            row.GetProperty("shopifyId").GetRawText(),
            StringComparison.Ordinal
        );
        Assert.Equal(
            (count, Books.FirstDayOf[customer]),
            (view.GetProperty("orders").GetInt32(), Day(view, "firstOrderDay"))
        );
        Assert.Equal(
            Pence(Books.Entries.Where(e => e.Customer == customer).Sum(e => e.Total)),
            view.GetProperty("months").EnumerateArray().Sum(m => m.GetProperty("totalCents").GetInt64())
        );
        Assert.Equal(count, view.GetProperty("months").EnumerateArray().Sum(m => m.GetProperty("orders").GetInt64()));
    }

    /// <summary>The values that 20, 40, 60 and 80 % do not exceed.</summary>
    private static long[] Marks(IEnumerable<long> values)
    {
        var sorted = values.Order().ToArray();
        return
        [
            .. new[] { 0.2, 0.4, 0.6, 0.8 }.Select(share =>
                sorted[(int)Math.Ceiling(Math.Round(share * sorted.Length, 6)) - 1]
            ),
        ];
    }
}
