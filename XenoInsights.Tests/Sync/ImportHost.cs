using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.FakeShopify.Stores;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Sync;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Sync;

/// <summary>The product with a database of its own and, in this process, a fake Shopify whose stores the owner connects as in a browser.</summary>
public sealed partial class ImportHost : IAsyncDisposable
{
    private static readonly JsonSerializerOptions _json = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    private readonly TestDatabase _database;
    private readonly Dictionary<string, (Guid Tenant, SyncJobView Job)> _imported = [];

    private readonly Dictionary<string, string?> _settings;

    private ImportHost(
        TestDatabase database,
        Dictionary<string, string?> settings,
        FakeShopifyHost shopify,
        AppHost app,
        HttpClient owner
    ) => (_database, _settings, Shopify, App, Owner) = (database, settings, shopify, app, owner);

    public FakeShopifyHost Shopify { get; }
    public AppHost App { get; }

    /// <summary>The session of the user who connects the stores.</summary>
    public HttpClient Owner { get; }

    public string ConnectionString => _database.ConnectionString;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <param name="loggedFrom">Fatal where faults are the point.</param>
    /// <param name="checkFirstImport">Whether the check after the first import is made, as it is for people.</param>
    /// <param name="time">The fake Shopify's clock, which then repeats what was not acknowledged a hundred times sooner; the product keeps its own.</param>
    public static async Task<ImportHost> StartAsync(
        PostgresServer postgres,
        IReadOnlyList<DemoStore> stores,
        string loggedFrom = "Warning",
        TimeProvider? time = null,
        bool checkFirstImport = false
    )
    {
        var shopify = await FakeShopifyHost.StartAsync(
            new FakeShopifyOptions
            {
                Url = "http://127.0.0.1:0",
                Stores = stores,
                Time = time ?? TimeProvider.System,
                RetryClock = time is null ? 1 : 0.01,
            },
            CancellationToken.None
        );
        var database = await postgres.CreateDatabaseAsync();
        var settings = SettingsFor(shopify);
        settings["Serilog:MinimumLevel:Default"] = loggedFrom;
        settings["Sync:CheckFirstImport"] = checkFirstImport ? "true" : "false";
        var app = await AppHost.StartAsync(database, settings);
        return new(database, settings, shopify, app, await app.SignInAsync());
    }

    /// <summary>Another instance of the product on the same database.</summary>
    public Task<AppHost> StartAnotherAsync(Action<IServiceCollection>? services = null) =>
        AppHost.StartAsync(_database, _settings, services: services);

    /// <summary>Points the product at a fake Shopify that is not its own.</summary>
    public static Dictionary<string, string?> SettingsFor(FakeShopifyHost shopify) =>
        new()
        {
            ["FakeShopify:Enabled"] = "false",
            ["Shopify:ClientId"] = shopify.Options.ClientId,
            ["Shopify:ClientSecret"] = shopify.Options.ClientSecret,
            ["Shopify:ShopUrl"] = shopify.Url + "/{shop}",
            ["Sync:CheckFirstImport"] = "false",
            ["Shopify:Scopes"] = "read_orders,read_all_orders,read_customers,read_products",
            ["Encryption:Keys:0"] = "test:" + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)),
        };

    /// <summary>Through OAuth and the merchant's consent, whose page has one form; the first import then begins by itself.</summary>
    public static async Task<Guid> ConnectAsync(HttpClient owner, string domain)
    {
        using var consent = await owner.GetAsync(new Uri($"/auth/start?shop={domain}", UriKind.Relative), Ct);
        var page = await consent.Content.ReadAsStringAsync(Ct);
        var form = ConsentForm().Match(page);
        Assert.True(form.Success, $"{consent.RequestMessage!.RequestUri} answered {(int)consent.StatusCode}: {page}");
        var action = new Uri(consent.RequestMessage!.RequestUri!, WebUtility.HtmlDecode(form.Groups["action"].Value));
        using var connected = await owner.PostAsync(action, null, Ct);
        Assert.True(
            connected.IsSuccessStatusCode,
            $"{connected.RequestMessage!.RequestUri} answered {(int)connected.StatusCode}."
        );
        var stores = await owner.GetFromJsonAsync<JsonElement[]>("/api/tenants", Ct);
        return Assert
            .Single(stores!, s => s.GetProperty("storeDomain").GetString() == domain)
            .GetProperty("id")
            .GetGuid();
    }

    public Task<Guid> ConnectAsync(string domain) => ConnectAsync(Owner, domain);

    /// <summary>Connects the store, unless it was, and waits until its first import has succeeded.</summary>
    public async Task<(Guid Tenant, SyncJobView Job)> ImportAsync(string domain)
    {
        if (_imported.TryGetValue(domain, out var imported))
            return imported;
        var tenant = await ConnectAsync(domain);
        var job = await EndOfNewestAsync(tenant);
        Assert.True(job.Status == SyncJobStatus.Succeeded, job.Error);
        return _imported[domain] = (tenant, job);
    }

    public async Task<(HttpStatusCode Status, SyncJobView Job)> StartImportAsync(Guid tenant)
    {
        using var response = await AskForImportAsync(Owner, tenant);
        return (response.StatusCode, (await response.Content.ReadFromJsonAsync<SyncJobView>(_json, Ct))!);
    }

    public static Task<HttpResponseMessage> AskForImportAsync(HttpClient client, Guid tenant, string type = "full") =>
        client.PostAsJsonAsync("/api/ingestion/start", new { tenant_id = tenant.ToString(), type }, Ct);

    /// <summary>Asks for another import and waits for its end.</summary>
    public async Task<SyncJobView> ImportAgainAsync(Guid tenant)
    {
        var (status, job) = await StartImportAsync(tenant);
        Assert.Equal(HttpStatusCode.Accepted, status);
        var ended = await EndOfNewestAsync(tenant);
        Assert.Equal(job.Id, ended.Id);
        return ended;
    }

    /// <summary>Waits until the store has no unfinished run.</summary>
    public async Task IdleAsync(Guid tenant)
    {
        for (var patience = 0; (await JobsAsync(tenant)).Any(j => j.FinishedAt is null); patience++)
        {
            Assert.True(patience < 1200, "The runs do not end.");
            await Task.Delay(100, Ct);
        }
    }

    public Task<SyncJobView> EndOfNewestAsync(Guid tenant) =>
        NewestAsync(tenant, job => job.Status is not (SyncJobStatus.Queued or SyncJobStatus.Running));

    /// <summary>The store's newest import, once it is as asked.</summary>
    public async Task<SyncJobView> NewestAsync(Guid tenant, Func<SyncJobView, bool> isAsAsked)
    {
        for (var patience = 0; patience < 1200; patience++)
        {
            var jobs = await JobsAsync(tenant);
            if (jobs.Count > 0 && isAsAsked(jobs[0]))
                return jobs[0];
            await Task.Delay(100, Ct);
        }
        throw new TimeoutException(
            $"The import came no further than {string.Join(", then ", (await JobsAsync(tenant)).Reverse())}."
        );
    }

    public async Task<IReadOnlyList<SyncJobView>> JobsAsync(Guid tenant) =>
        (await Owner.GetFromJsonAsync<SyncJobView[]>($"/api/ingestion/jobs?tenant_id={tenant}", _json, Ct))!;

    /// <summary>A question to <c>/api/metrics</c>.</summary>
    public Task<JsonElement> AskAsync(Guid tenant, string question) => AskAsync(Owner, tenant, question);

    public static async Task<JsonElement> AskAsync(HttpClient client, Guid tenant, string question)
    {
        using var response = await client.GetAsync(
            new Uri(
                $"/api/metrics/{question}{(question.Contains('?', StringComparison.Ordinal) ? '&' : '?')}tenant_id={tenant}",
                UriKind.Relative
            ),
            Ct
        );
        var text = await response.Content.ReadAsStringAsync(Ct);
        Assert.True(response.IsSuccessStatusCode, $"{question} answered {(int)response.StatusCode}: {text}");
        return JsonDocument.Parse(text).RootElement;
    }

    public Task<T> InTenantAsync<T>(Guid tenant, Func<XenoDbContext, Task<T>> work) =>
        App.Services.GetRequiredService<TenantDatabase>().RunAsync(tenant, work);

    public Task<IReadOnlyList<string>> RollupDifferencesAsync(Guid tenant) =>
        InTenantAsync(tenant, db => LedgerRollups.DifferencesAsync(db, tenant, Ct));

    public static string Day(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    public async ValueTask DisposeAsync()
    {
        Owner.Dispose();
        await App.DisposeAsync();
        await Shopify.DisposeAsync();
        await _database.DisposeAsync();
    }

    [GeneratedRegex("<form method=\"post\" action=\"(?<action>[^\"]+)\"")]
    private static partial Regex ConsentForm();
}

/// <summary>Stores for imports, and what an import of them must come to.</summary>
internal static class ImportStores
{
    /// <summary>Random orders, customers, products and checkouts.</summary>
    public static DemoStore Mixed(int ordinal, int orders = 150) =>
        GeneratedStore.Create(
            new()
            {
                Ordinal = ordinal,
                Domain = $"mixed-{ordinal}.myshopify.com",
                Seed = ordinal,
                Orders = orders,
                Days = 200,
                Customers = 60,
                Products = 30,
            },
            TimeProvider.System
        );

    /// <summary>Orders alone, of ten lines each, so that the file of orders is the only one and longer than a batch.</summary>
    public static DemoStore OrdersAlone(int ordinal, int orders = 700)
    {
        var shop = new DemoShop
        {
            Ordinal = ordinal,
            Domain = $"orders-{ordinal}.myshopify.com",
            Name = "Orders alone",
            Currency = new DemoCurrency("USD"),
            TimeZone = "America/New_York",
            CreatedAt = new DateTimeOffset(2024, 1, 1, 12, 0, 0, TimeSpan.Zero),
        };
        return new DemoStore(
            shop,
            () =>
                new DemoData(
                    DemoSet.Of([.. Enumerable.Range(0, orders).Select(Order)]),
                    DemoSet.Of<DemoCustomer>([]),
                    DemoSet.Of<DemoProduct>([]),
                    DemoSet.Of<DemoCheckout>([])
                )
        );

        DemoOrder Order(int i)
        {
            var builder = new DemoOrderBuilder(
                shop,
                1000 + i,
                new DateTimeOffset(2025, 3, 1, 0, 0, 0, TimeSpan.Zero).AddMinutes(97 * i)
            ).Customer(shop.Ids.Customer(1 + (i % 41)));
            for (var line = 0; line < 10; line++)
                builder.Line($"Thing {line}", 1 + (i % 3), 100 + line, tax: 7);
            return builder.Build();
        }
    }

    /// <summary>Lines of an order in Shopify's export: itself, its line items, its agreements and their sales.</summary>
    public static long Objects(DemoOrder order) =>
        1 + order.Lines.Count + order.Agreements.Count + order.Agreements.Sum(a => a.Sales.Count);

    /// <summary>Lines of all four exports together.</summary>
    public static async Task<long> ObjectsAsync(DemoStore store)
    {
        var data = await store.DataAsync();
        return data.Orders.All().Sum(Objects)
            + data.Customers.All().Count()
            + data.Products.All().Count()
            + data.Checkouts.All().Sum(c => 1 + c.Lines.Count);
    }
}
