using System.Globalization;
using System.Text.Json;

namespace XenoInsights.Tests.Insights;

public sealed partial class OnlineRetailTests
{
    [Theory]
    [MemberData(nameof(Ranges))]
    public async Task All_products_of_a_range_are_right_and_add_up_to_the_overview(string range)
    {
        var (from, to) = DaysOf(range);
        var codes = await year.StockCodesAsync();
        var expected = Books
            .Entries.Where(e => e.Product is not null && e.Day >= from && e.Day <= to)
            .GroupBy(e => e.Product!)
            .Select(g =>
                (
                    g.Key,
                    g.Where(e => e.Units > 0).Sum(e => (long)e.Units),
                    -g.Where(e => e.Units < 0).Sum(e => (long)e.Units),
                    Pence(g.Sum(e => e.Gross)),
                    Pence(g.Sum(e => e.Returns))
                )
            )
            .Order()
            .ToArray();
        var overview = await year.AskAsync($"overview?{Range(from, to)}");

        var sums = await year.AskAsync($"products/sums?{Range(from, to)}");
        var rows = await AllRowsAsync($"products?limit=250&{Range(from, to)}");

        Assert.Equal(
            expected,
            rows.Select(p =>
                    (
                        codes[Long(p, "shopifyId")],
                        Long(p, "unitsOrdered"),
                        Long(p, "unitsReturned"),
                        Long(p, "grossSalesCents"),
                        Long(p, "returnsCents")
                    )
                )
                .Order()
        );
        Assert.Equal((long)expected.Length, Long(sums, "products"));
        Assert.Equal(
            (Long(overview, "netSalesCents"), Long(overview, "netSalesCents"), Long(overview, "netSalesCents")),
            (
                Long(sums.GetProperty("figures"), "netSalesCents"),
                Long(sums, "netSalesOfDaysCents"),
                rows.Sum(p => Long(p, "netSalesCents"))
            )
        );
        Assert.Equal(
            rows.Select(p => Long(p, "netSalesCents")).OrderDescending(),
            rows.Select(p => Long(p, "netSalesCents"))
        );
    }

    [Theory]
    [InlineData("units", false)]
    [InlineData("return-rate", false)]
    [InlineData("change", true)]
    [InlineData("title", true)]
    [InlineData("title", false)]
    public async Task However_they_are_sorted_pages_hold_every_product_once(string sort, bool ascending)
    {
        var (from, to) = DaysOf("month 11");
        var question =
            $"products?limit=100&compare=previous&sort={sort}&order={(ascending ? "asc" : "desc")}&{Range(from, to)}";
        var rows = await AllRowsAsync(question);
        var sums = await year.AskAsync($"products/sums?compare=previous&{Range(from, to)}");

        Assert.Equal(Long(sums, "products"), rows.Select(p => Long(p, "shopifyId")).Distinct().Count());
        Assert.Equal(Long(sums, "products"), rows.Length);
        Assert.Equal(Long(sums, "netSalesBeforeCents"), rows.Sum(p => Long(p, "netSalesBeforeCents")));
        if (sort == "title")
            return; // Their order is the database's.
        var keys = rows.Select(p =>
                sort switch
                {
                    "units" => Long(p, "units"),
                    "change" => Long(p, "netSalesCents") - Long(p, "netSalesBeforeCents"),
                    _ => p.GetProperty("returnRate") is { ValueKind: JsonValueKind.Number } rate
                        ? Math.Floor(rate.GetDecimal() * 1_000_000)
                        : -1m,
                }
            )
            .ToArray();
        Assert.Equal(ascending ? keys.Order() : keys.OrderDescending(), keys);
    }

    [Fact]
    public async Task A_product_is_found_by_its_title_and_by_its_stock_code()
    {
        var (from, to) = DaysOf("quarter");
        var codes = await year.StockCodesAsync();

        var titled = await AllRowsAsync($"products?limit=250&q=cakestand&{Range(from, to)}");
        var coded = await AllRowsAsync($"products?limit=250&q=22423&{Range(from, to)}");

        Assert.NotEmpty(titled);
        Assert.All(
            titled,
            p =>
                Assert.Contains(
                    "CAKESTAND",
                    p.GetProperty("title").GetString()!.ToUpperInvariant(),
                    StringComparison.Ordinal
                )
        );
        Assert.Equal("22423", codes[Long(Assert.Single(coded), "shopifyId")]);
    }

    [Theory]
    [InlineData("month 11", 0)]
    [InlineData("quarter", 3)]
    [InlineData("week 10", 40)]
    public async Task Who_bought_a_product_and_what_else_they_bought_is_as_in_the_invoices(string range, int rank)
    {
        var (from, to) = DaysOf(range);
        var codes = await year.StockCodesAsync();
        var id = Long(
            (await year.AskAsync($"products?limit=250&sort=units-ordered&{Range(from, to)}"))
                .EnumerateArray()
                .ElementAt(rank),
            "shopifyId"
        );
        var orders = Books
            .Orders.Zip(
                Books.Placed,
                (order, placed) => (placed.Day, placed.Customer, Codes: order.Lines.Select(l => l.Code).ToHashSet())
            )
            .ToArray();
        var within = orders.Where(o => o.Day >= from && o.Day <= to).ToArray();
        var buyersOf = within
            .Where(o => o.Customer is not null)
            .SelectMany(o => o.Codes.Select(code => (Code: code, Customer: o.Customer!.Value)))
            .GroupBy(b => b.Code)
            .ToDictionary(g => g.Key, g => g.Select(b => b.Customer).ToHashSet());
        var buyers = buyersOf[codes[id]];
        var earlier = orders
            .Where(o => o.Day < from && o.Customer is not null && o.Codes.Contains(codes[id]))
            .Select(o => o.Customer!.Value)
            .ToHashSet();
        var all = within.Select(o => o.Customer).OfType<int>().Distinct().Count();

        var product = await year.AskAsync($"products/{id}?{Range(from, to)}");
        var also = (await year.AskAsync($"products/{id}/also-bought?limit=50&{Range(from, to)}"))
            .EnumerateArray()
            .ToArray();

        Assert.Equal(
            (
                (long)within.Count(o => o.Codes.Contains(codes[id])),
                (long)buyers.Count,
                (long)buyers.Count(c => !earlier.Contains(c))
            ),
            (Long(product, "orders"), Long(product, "customers"), Long(product, "newCustomers"))
        );
        string[] shipping = ["POST", "DOT", "C2"];
        var shared = buyersOf
            .Where(b => b.Key != codes[id] && !shipping.Contains(b.Key))
            .Select(b => (Code: b.Key, Both: b.Value.Count(buyers.Contains), All: b.Value.Count))
            .Where(b => b.Both > 0)
            .ToDictionary(b => b.Code);
        Assert.Equal(
            shared.Values.Select(s => (long)s.Both).OrderDescending().Take(50),
            also.Select(p => Long(p, "customers"))
        );
        Assert.All(
            also,
            p =>
            {
                var other = shared[codes[Long(p, "shopifyId")]];
                Assert.Equal(
                    (
                        other.Both,
                        (decimal)other.Both / buyers.Count,
                        (decimal)other.Both * all / ((decimal)buyers.Count * other.All)
                    ),
                    (Long(p, "customers"), p.GetProperty("share").GetDecimal(), p.GetProperty("lift").GetDecimal()),
                    (expected, actual) =>
                        expected.Item1 == actual.Item1
                        && Math.Abs(expected.Item2 - actual.Item2) < 0.000001m
                        && Math.Abs(expected.Item3 - actual.Item3) < 0.000001m
                );
            }
        );
    }

    [Theory]
    [InlineData("day")]
    [InlineData("week")]
    [InlineData("month")]
    public async Task A_product_over_time_is_right_in_every_bucket(string granularity)
    {
        var (from, to) = (Books.Days.First.AddDays(17), Books.Days.Last.AddDays(-25));
        var (id, code) = (await year.StockCodesAsync()).First(c => c.Value == "22423");

        var points = (await year.AskAsync($"products/{id}/by-date?granularity={granularity}&{Range(from, to)}"))
            .EnumerateArray()
            .ToArray();
        var product = await year.AskAsync($"products/{id}?{Range(from, to)}");

        var expected = Enumerable
            .Range(0, to.DayNumber - from.DayNumber + 1)
            .Select(from.AddDays)
            .GroupBy(day => FirstOf(granularity, day))
            .OrderBy(b => b.Key)
            .Select(b =>
            {
                var entries = Books
                    .Entries.Where(e => e.Product == code && e.Day >= b.Min() && e.Day <= b.Max())
                    .ToArray();
                return (
                    Sync.ImportHost.Day(b.Key),
                    (long)entries.Where(e => e.Units > 0).Sum(e => e.Units),
                    (long)-entries.Where(e => e.Units < 0).Sum(e => e.Units),
                    Pence(entries.Sum(e => e.Gross - e.Returns))
                );
            });
        Assert.Equal(
            expected,
            points.Select(p =>
                (
                    p.GetProperty("date").GetString()!,
                    Long(p, "unitsOrdered"),
                    Long(p, "unitsReturned"),
                    Long(p, "netSalesCents")
                )
            )
        );
        Assert.Equal(
            (Long(product, "netSalesCents"), Long(product, "unitsOrdered")),
            (points.Sum(p => Long(p, "netSalesCents")), points.Sum(p => Long(p, "unitsOrdered")))
        );
    }

    private async Task<JsonElement[]> AllRowsAsync(string question)
    {
        var rows = new List<JsonElement>();
        for (string? page = question; page is not null; )
        {
            (var answer, page) = await year.PageAsync(page);
            rows.AddRange(answer.EnumerateArray());
        }
        return [.. rows];
    }

    private static long Long(JsonElement answer, string name) => answer.GetProperty(name).GetInt64();
}
