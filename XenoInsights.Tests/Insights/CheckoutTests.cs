using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.FakeShopify.Stores;
using XenoInsights.Tests.Support;
using XenoInsights.Tests.Sync;

namespace XenoInsights.Tests.Insights;

/// <summary>Products of the awkward orders, and checkouts, of imported stores.</summary>
public sealed class CheckoutTests(CheckoutStores stores) : IClassFixture<CheckoutStores>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(HardCases.Domain)]
    [InlineData(HardCases.YenDomain)]
    public async Task Products_of_the_hard_cases_add_up_to_what_was_worked_out_by_hand_on_every_day(string domain)
    {
        var (tenant, _) = await stores.Import.ImportAsync(domain);
        foreach (
            var day in (domain == HardCases.Domain ? HardCases.InEuros : HardCases.InYen)
                .SelectMany(c => c.Days)
                .GroupBy(d => d.Day)
        )
        {
            var rows = (
                await stores.Import.AskAsync(
                    tenant,
                    $"products?from={ImportHost.Day(day.Key)}&to={ImportHost.Day(day.Key)}"
                )
            )
                .EnumerateArray()
                .ToArray();
            Assert.Equal(
                (
                    day.Key,
                    day.Sum(d => d.Gross),
                    day.Sum(d => d.Discounts),
                    day.Sum(d => d.Returns),
                    day.Sum(d => d.Net)
                ),
                (
                    day.Key,
                    rows.Sum(r => Long(r, "grossSalesCents")),
                    rows.Sum(r => Long(r, "discountsCents")),
                    rows.Sum(r => Long(r, "returnsCents")),
                    rows.Sum(r => Long(r, "netSalesCents"))
                )
            );
        }
    }

    [Fact]
    public async Task Checkouts_of_a_range_are_those_of_the_store()
    {
        var (from, to, checkouts) = await CheckoutStores.BegunAsync();
        var answer = await AskAsync($"checkouts?{Range(from, to)}");
        var orders = (await AskAsync($"overview?{Range(from, to)}")).GetProperty("totalOrders").GetInt64();
        var (lost, recovered) = (
            checkouts.Where(c => c.CompletedAt is null).ToArray(),
            checkouts.Where(c => c.CompletedAt is not null).ToArray()
        );

        Assert.True(lost.Length > 20 && recovered.Length > 3);
        Assert.Equal(
            (
                (long)checkouts.Length,
                (long)lost.Length,
                lost.Sum(c => c.LinesTotal.Minor),
                (long)recovered.Length,
                recovered.Sum(c => c.LinesTotal.Minor),
                orders,
                orders + lost.Length
            ),
            (
                Long(answer, "abandoned"),
                Long(answer, "lost"),
                Long(answer, "lostCents"),
                Long(answer, "recovered"),
                Long(answer, "recoveredCents"),
                Long(answer, "onlineOrders"),
                Long(answer, "known")
            )
        );
        Assert.Equal(
            Math.Round((decimal)recovered.Length / checkouts.Length, 6),
            answer.GetProperty("recoveryRate").GetDecimal()
        );
        Assert.Equal(
            recovered
                .Select(c => (long)Math.Floor((c.CompletedAt!.Value - c.CreatedAt).TotalMinutes))
                .Order()
                .ElementAt((recovered.Length + 1) / 2 - 1),
            Long(answer, "minutesToRecover")
        );
    }

    [Theory]
    [InlineData("day")]
    [InlineData("week")]
    [InlineData("month")]
    [InlineData("hour")]
    public async Task Over_time_every_checkout_is_in_its_bucket(string granularity)
    {
        var (from, to, checkouts) = await CheckoutStores.BegunAsync();
        if (granularity == "hour")
            (from, checkouts) = (
                to.AddDays(-6),
                [.. checkouts.Where(c => CheckoutStores.LocalOf(c).Date >= to.AddDays(-6).ToDateTime(default))]
            );

        var points = (await AskAsync($"checkouts/by-date?granularity={granularity}&{Range(from, to)}"))
            .EnumerateArray()
            .ToArray();

        var expected = checkouts
            .GroupBy(c => Bucket(CheckoutStores.LocalOf(c)))
            .ToDictionary(
                g => g.Key,
                g =>
                    (
                        (long)g.Count(),
                        (long)g.Count(c => c.CompletedAt is not null),
                        g.Where(c => c.CompletedAt is null).Sum(c => c.LinesTotal.Minor)
                    )
            );
        Assert.Equal(
            expected,
            points
                .Where(p => Long(p, "abandoned") > 0)
                .ToDictionary(
                    p =>
                        p.GetProperty("date").GetString()
                        + (p.TryGetProperty("hour", out var hour) ? $" {hour}" : null),
                    p => (Long(p, "abandoned"), Long(p, "recovered"), Long(p, "lostCents"))
                )
        );
        Assert.Equal(
            granularity switch
            {
                "day" => to.DayNumber - from.DayNumber + 1,
                "hour" => 7 * 24,
                _ => points.Length,
            },
            points.Length
        );

        string Bucket(DateTime local) =>
            granularity switch
            {
                "hour" => $"{local:yyyy-MM-dd} {local.Hour}",
                "week" => $"{local.AddDays(-(((int)local.DayOfWeek + 6) % 7)):yyyy-MM-dd}",
                "month" => $"{local:yyyy-MM}-01",
                _ => $"{local:yyyy-MM-dd}",
            };
    }

    [Fact]
    public async Task Hours_are_those_of_the_shops_clock_and_products_those_left_in_carts()
    {
        var (from, to, checkouts) = await CheckoutStores.BegunAsync();

        var hours = (await AskAsync($"checkouts/by-hour?{Range(from, to)}")).EnumerateArray().ToArray();
        var products = (await AskAsync($"checkouts/products?limit=250&{Range(from, to)}")).EnumerateArray().ToArray();

        Assert.Equal(168, hours.Length);
        Assert.Equal(
            checkouts
                .CountBy(c =>
                    ((((int)CheckoutStores.LocalOf(c).DayOfWeek + 6) % 7) + 1, CheckoutStores.LocalOf(c).Hour)
                )
                .Select(h => (h.Key.Item1, h.Key.Hour, (long)h.Value))
                .Order(),
            hours
                .Where(h => Long(h, "abandoned") > 0)
                .Select(h =>
                    (h.GetProperty("weekday").GetInt32(), h.GetProperty("hour").GetInt32(), Long(h, "abandoned"))
                )
        );
        var expected = checkouts
            .Where(c => c.CompletedAt is null)
            .SelectMany(c => c.Lines.Select(l => (c.Id, Line: l)))
            .GroupBy(l => l.Line.ProductId!.Value)
            .Select(g =>
                (
                    g.Key,
                    (long)g.Select(l => l.Id).Distinct().Count(),
                    (long)g.Sum(l => l.Line.Quantity),
                    g.Sum(l => l.Line.Total.Minor)
                )
            )
            .Order();
        Assert.Equal(
            expected,
            products
                .Where(p => Long(p, "lost") > 0)
                .Select(p => (Long(p, "shopifyId"), Long(p, "lost"), Long(p, "lostUnits"), Long(p, "lostCents")))
                .Order()
        );
        Assert.Equal(
            products.Select(p => Long(p, "lostCents")).OrderDescending(),
            products.Select(p => Long(p, "lostCents"))
        );
    }

    [Theory]
    [InlineData("newest")]
    [InlineData("oldest")]
    [InlineData("largest")]
    public async Task Page_by_page_the_open_ones_are_all_that_were_not_completed(string sort)
    {
        var (from, to, checkouts) = await CheckoutStores.BegunAsync();
        var open = checkouts.Where(c => c.CompletedAt is null).ToArray();
        var rows = await OpenAsync($"checkouts/open?limit=10&sort={sort}&{Range(from, to)}");
        var expected = sort switch
        {
            "newest" => open.OrderByDescending(c => c.CreatedAt).ThenByDescending(c => c.Id),
            "oldest" => open.OrderBy(c => c.CreatedAt).ThenBy(c => c.Id),
            _ => open.OrderByDescending(c => c.LinesTotal.Minor)
                .ThenByDescending(c => c.CreatedAt)
                .ThenByDescending(c => c.Id),
        };

        Assert.Equal(
            expected.Select(c => (c.Id, c.LinesTotal.Minor, (long)c.Lines.Sum(l => l.Quantity))),
            rows.Select(r => (Long(r, "shopifyId"), Long(r, "totalCents"), Long(r, "units")))
        );
        Assert.All(
            rows,
            r => Assert.StartsWith("https://", r.GetProperty("recoveryUrl").GetString(), StringComparison.Ordinal)
        );

        var product = open[0].Lines[0].ProductId!.Value;
        var withIt = await OpenAsync($"checkouts/open?product={product}&{Range(from, to)}");
        Assert.Equal(
            open.Where(c => c.Lines.Any(l => l.ProductId == product)).Select(c => c.Id).Order(),
            withIt.Select(r => Long(r, "shopifyId")).Order()
        );
    }

    [Fact]
    public async Task Exports_hold_whole_lists_and_viewers_get_no_links_into_carts()
    {
        var (from, to, checkouts) = await CheckoutStores.BegunAsync();
        foreach (
            var (name, rows) in new[]
            {
                ("open", checkouts.Count(c => c.CompletedAt is null)),
                ("by-hour", 168),
                ("by-date", to.DayNumber - from.DayNumber + 1),
                ("products", -1),
            }
        )
        {
            var text = await stores.Import.Owner.GetStringAsync(
                new Uri(
                    $"/api/metrics/checkouts/{name}.csv?{Range(from, to)}&tenant_id={stores.Tenant}",
                    UriKind.Relative
                ),
                Ct
            );
            var lines = text.Split("\r\n", StringSplitOptions.RemoveEmptyEntries)
                .Where(line => !line.TrimStart('\uFEFF').StartsWith('#'))
                .ToArray();
            if (rows >= 0)
                Assert.Equal((name, rows + 1), (name, lines.Length));
        }
        using var viewer = await stores.Import.App.SignInAsync("viewer@demo.test");
        await stores
            .Import.App.Services.GetRequiredService<SystemDatabase>()
            .RunAsync(
                db =>
                    db.Database.ExecuteSqlAsync(
                        $"""
                        insert into memberships (tenant_id, user_id, role, created_at)
                        select {stores.Tenant}, user_id, 'Viewer', now() from users where email = 'viewer@demo.test'
                        """,
                        Ct
                    ),
                Ct
            );
        var seen = (await ImportHost.AskAsync(viewer, stores.Tenant, $"checkouts/open?limit=10&{Range(from, to)}"))
            .EnumerateArray()
            .ToArray();
        Assert.Equal(10, seen.Length);
        Assert.All(seen, row => Assert.Equal(JsonValueKind.Null, row.GetProperty("recoveryUrl").ValueKind));
        var file = await viewer.GetStringAsync(
            new Uri($"/api/metrics/checkouts/open.csv?{Range(from, to)}&tenant_id={stores.Tenant}", UriKind.Relative),
            Ct
        );
        Assert.DoesNotContain("https://", file, StringComparison.Ordinal);
    }

    private Task<JsonElement> AskAsync(string question) => stores.Import.AskAsync(stores.Tenant, question);

    private async Task<List<JsonElement>> OpenAsync(string question)
    {
        var rows = new List<JsonElement>();
        for (string? page = $"/api/metrics/{question}&tenant_id={stores.Tenant}"; page is not null; )
        {
            using var response = await stores.Import.Owner.GetAsync(new Uri(page, UriKind.Relative), Ct);
            response.EnsureSuccessStatusCode();
            rows.AddRange(
                JsonDocument.Parse(await response.Content.ReadAsStringAsync(Ct)).RootElement.EnumerateArray()
            );
            page = response.Headers.TryGetValues("Link", out var links)
                ? links.Single()[1..links.Single().IndexOf('>', StringComparison.Ordinal)]
                : null;
        }
        return rows;
    }

    private static string Range(DateOnly from, DateOnly to) => $"from={ImportHost.Day(from)}&to={ImportHost.Day(to)}";

    private static long Long(JsonElement answer, string name) => answer.GetProperty(name).GetInt64();
}

/// <summary>The hard cases, and a store with some two hundred abandoned checkouts.</summary>
public sealed class CheckoutStores(PostgresServer postgres) : IAsyncLifetime
{
    private static readonly DemoStore _store = ImportStores.Mixed(9, orders: 2400);

    public ImportHost Import { get; private set; } = null!;
    public Guid Tenant { get; private set; }

    public async ValueTask InitializeAsync()
    {
        Import = await ImportHost.StartAsync(postgres, [_store, HardCases.CreateEuros(), HardCases.CreateYen()]);
        (Tenant, _) = await Import.ImportAsync(_store.Shop.Domain);
    }

    public static DateTime LocalOf(DemoCheckout checkout) =>
        TimeZoneInfo.ConvertTime(checkout.CreatedAt, _store.Shop.Zone).DateTime;

    /// <summary>Those begun on the middle days of the history.</summary>
    public static async Task<(DateOnly From, DateOnly To, DemoCheckout[] Checkouts)> BegunAsync()
    {
        var all = (await _store.DataAsync()).Checkouts.All().ToArray();
        var days = all.Select(c => DateOnly.FromDateTime(LocalOf(c))).ToArray();
        var (from, to) = (days.Min().AddDays(20), days.Max().AddDays(-20));
        return (from, to, [.. all.Where((_, i) => days[i] >= from && days[i] <= to)]);
    }

    public ValueTask DisposeAsync() => Import.DisposeAsync();
}
