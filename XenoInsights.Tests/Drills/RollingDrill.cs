using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Development;
using XenoInsights.Development.Postgres;
using XenoInsights.Tenants;
using XenoInsights.Tests.Authentication;
using XenoInsights.Tests.Benchmarks;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Drills;

/// <summary>
/// Three instances behind HAProxy take 60 webhooks and 5 requests for pages a second while they are restarted one after
/// the other. Every request must succeed at its first attempt; what was acknowledged must be stored, applied and
/// counted.
/// </summary>
internal sealed class RollingDrill(string product, string owner, string superuser, Uri publicUrl)
{
    private const int Instances = 3,
        Stores = 20,
        Browsers = 6,
        WebhooksPerSecond = 60,
        PagesPerSecond = 5;
    private const string Person = "owner@example.test",
        Prefix = "drill-";
    private static readonly string _key = "k1:" + Convert.ToBase64String(new byte[32]);
    private static readonly TimeSpan _first = TimeSpan.FromSeconds(15),
        _undisturbed = TimeSpan.FromSeconds(5),
        _applying = TimeSpan.FromMinutes(2);

    // What Shopify waits for an answer.
    private static readonly TimeSpan _webhookWithin = TimeSpan.FromSeconds(5),
        _pageWithin = TimeSpan.FromSeconds(30);

    private static readonly string[] _pages =
    [
        "overview?preset=today",
        "what-changed",
        "orders",
        "customers",
        "cohorts",
        "products",
        "checkouts",
        "sync",
        "events",
    ];

    private readonly ConcurrentQueue<Answer> _answers = new();
    private readonly ConcurrentDictionary<int, bool> _acknowledged = new();
    private readonly Instance[] _instances = new Instance[Instances];
    private readonly List<HttpClient> _browsers = [];

    /// <param name="Fault">Null: it succeeded.</param>
    private sealed record Answer(bool IsPage, double Milliseconds, string? Fault);

    /// <param name="product">The product's <c>XenoInsights.dll</c>.</param>
    /// <param name="haproxy">HAProxy's program.</param>
    /// <returns>Whether all was as it must be.</returns>
    public static async Task<bool> RunAsync(string product, string haproxy)
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
                $"  PostgreSQL {postgres.Version}, HAProxy {HaProxy.Version(haproxy)}, "
                    + $"{Instances} instances, {Stores} stores, "
                    + $"{WebhooksPerSecond} webhooks and {PagesPerSecond} pages a second"
            );
            // As in docs/operations.md: a login that is no superuser.
            await using var source = NpgsqlDataSource.Create(postgres.ConnectionString);
            await using (var role = source.CreateCommand("create role xeno login password 'drill' createrole"))
                await role.ExecuteNonQueryAsync();
            await using (var database = source.CreateCommand("create database drill owner xeno"))
                await database.ExecuteNonQueryAsync();
            var superuser = new NpgsqlConnectionStringBuilder(postgres.ConnectionString) { Database = "drill" };
            var login = new NpgsqlConnectionStringBuilder(postgres.ConnectionString)
            {
                Database = "drill",
                Username = "xeno",
                Password = "drill",
            };
            var publicUrl = new Uri($"https://127.0.0.1:{Instance.FreePort()}/");
            var drill = new RollingDrill(product, login.ConnectionString, superuser.ConnectionString, publicUrl);
            return await drill.RunBehindAsync(haproxy, root.FullName);
        }
        finally
        {
            root.Delete(recursive: true);
        }
    }

    private async Task<bool> RunBehindAsync(string haproxy, string root)
    {
        await Instance.RunAsync(product, owner, _key, "migrate");
        using var certificate = MakeCertificate(root, out var pem, out var trusted);
        var providerPort = Instance.FreePort();
        await using var provider = await FakeProvider.StartAsync($"https://127.0.0.1:{providerPort}");
        var settings = Settings(provider, trusted);
        int[] ports = [.. Enumerable.Range(0, Instances).Select(_ => Instance.FreePort())];
        await using var proxy = await HaProxy.StartAsync(
            haproxy,
            root,
            pem,
            publicUrl.Port,
            [.. ports.Select(port => $"127.0.0.1:{port}")],
            ProviderSection(providerPort, pem, provider)
        );
        try
        {
            await Task.WhenAll(
                ports.Select(
                    async (port, i) => _instances[i] = await Instance.StartAsync(product, owner, _key, settings, port)
                )
            );
            await ConnectAsync(certificate);
            await RestartAllAsync(certificate, settings);
            var faults = await FaultsAsync(proxy);
            foreach (var fault in faults)
                Console.WriteLine($"  WRONG: {fault}");
            if (faults.Count > 0)
                TellMore(proxy);
            Console.Write(UpgradeDrill.Indented(await Instance.RunAsync(product, owner, _key, "verify")));
            return faults.Count == 0;
        }
        finally
        {
            _browsers.ForEach(browser => browser.Dispose());
            foreach (var instance in _instances)
                if (instance is not null)
                    await instance.DisposeAsync();
        }
    }

    private async Task RestartAllAsync(X509Certificate2 certificate, Dictionary<string, string> settings)
    {
        using var shopify = Client(certificate, _webhookWithin);
        using var stop = new CancellationTokenSource();
        var sending = Task.WhenAll(
            Load.SendAsync(WebhooksPerSecond, i => DeliverAsync(shopify, i), stop.Token),
            Load.SendAsync(PagesPerSecond, AskForPageAsync, stop.Token)
        );
        // Three new instances at once under full load are no restart one after the other: what they answer first is not
        // judged.
        await Task.Delay(_first);
        _answers.Clear();
        await Task.Delay(_undisturbed);
        for (var i = 0; i < Instances; i++)
        {
            var began = TimeProvider.System.GetTimestamp();
            await _instances[i].StopAsync();
            var ended = TimeProvider.System.GetElapsedTime(began);
            await _instances[i].DisposeAsync();
            _instances[i] = await Instance.StartAsync(product, owner, _key, settings, _instances[i].Address.Port);
            var ready = TimeProvider.System.GetElapsedTime(began);
            Console.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"  instance {i + 1} ended {ended.TotalSeconds:N1} s after SIGTERM and was ready "
                        + $"{(ready - ended).TotalSeconds:N1} s after that"
                )
            );
        }
        await Task.Delay(_undisturbed);
        await stop.CancelAsync();
        await sending;
    }

    /// <summary>
    /// Each order is told of twice, the second version right after the first: usually two instances have them at once.
    /// </summary>
    private async Task DeliverAsync(HttpClient shopify, int i)
    {
        var (order, version) = (1 + i / 2, 1 + i % 2);
        var body = WebhooksBenchmark.Run.Body(order, version, today: true);
        using var request = Instance.Delivery(
            publicUrl,
            "orders/updated",
            Domain(1 + order % Stores),
            Webhook(i),
            body
        );
        var answer = await AnswerAsync(isPage: false, Webhook(i), () => shopify.SendAsync(request), _ => null);
        if (answer.Fault is null)
            _acknowledged[i] = true;
    }

    private async Task AskForPageAsync(int i)
    {
        var address = new Uri($"/stores/drill-{1 + i % Stores}/{_pages[i % _pages.Length]}", UriKind.Relative);
        await AnswerAsync(isPage: true, $"{address}", () => _browsers[i % Browsers].GetAsync(address), FaultOnPage);
    }

    private static string? FaultOnPage(string html) =>
        html.Contains("class=\"failed\"", StringComparison.Ordinal) ? "with a part that did not load" : null;

    private async Task<Answer> AnswerAsync(
        bool isPage,
        string name,
        Func<Task<HttpResponseMessage>> sendAsync,
        Func<string, string?> faultIn
    )
    {
        var began = TimeProvider.System.GetTimestamp();
        string? fault;
        try
        {
            using var response = await sendAsync();
            var content = await response.Content.ReadAsStringAsync();
            fault = response.StatusCode == HttpStatusCode.OK ? faultIn(content) : $"{(int)response.StatusCode}";
        }
        catch (Exception failure) when (failure is HttpRequestException or TaskCanceledException)
        {
            fault = $"not at all: {failure.InnerException?.Message ?? failure.Message}";
        }
        var at = TimeProvider.System.GetUtcNow().ToString("HH:mm:ss.f", CultureInfo.InvariantCulture);
        var took = TimeProvider.System.GetElapsedTime(began).TotalMilliseconds;
        var answer = new Answer(
            isPage,
            took,
            fault is null
                ? null
                : string.Create(CultureInfo.InvariantCulture, $"{name} was answered {fault} at {at} after {took:N0} ms")
        );
        _answers.Enqueue(answer);
        return answer;
    }

    private async Task<List<string>> FaultsAsync(HaProxy proxy)
    {
        foreach (var isPage in (bool[])[false, true])
        {
            var answers = _answers.Where(a => a.IsPage == isPage).ToList();
            var times = answers.ConvertAll(a => a.Milliseconds);
            times.Sort();
            Console.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"  {answers.Count:N0} {(isPage ? "pages" : "webhooks")}: "
                        + $"{answers.Count(a => a.Fault is null):N0} answered 200, "
                        + $"p50 {WebhooksBenchmark.At(times, 0.5):N0} ms, p99 "
                        + $"{WebhooksBenchmark.At(times, 0.99):N0} ms, longest {times[^1]:N0} ms"
                )
            );
        }
        var figures = await proxy.FiguresAsync();
        Console.WriteLine(
            $"  HAProxy: {figures.Retries} connections tried again, {figures.Redispatches} requests sent to "
                + "another instance, "
                + $"{figures.BrokenAnswers} answers broken off; {string.Join(" + ", figures.PerInstance)} "
                + "requests to the instances"
        );
        var faults = _answers.Where(a => a.Fault is not null).Select(a => a.Fault!).Take(20).ToList();
        faults.AddRange(await LostAsync());
        return faults;
    }

    private async Task<List<string>> LostAsync()
    {
        for (
            var began = TimeProvider.System.GetTimestamp();
            await CountAsync("events where status = 1") > 0;
            await Task.Delay(200)
        )
            if (TimeProvider.System.GetElapsedTime(began) > _applying)
                return ["Deliveries wait, and are not applied."];
        var faults = new List<string>();
        var applied = await AppliedAsync();
        var lost = _acknowledged.Keys.Where(i => !applied.Contains(i)).ToList();
        if (lost.Count > 0)
            faults.Add(
                $"{lost.Count} of {_acknowledged.Count} that were acknowledged are not stored and applied, "
                    + $"such as {Webhook(lost[0])}"
            );
        // What was answered too late for its sender may be stored all the same.
        var orders = applied.Select(i => i / 2).Distinct().Count();
        if (await CountAsync("orders") is var stored && stored != orders)
            faults.Add($"{orders} orders came, and {stored} are stored");
        var second = applied.Count(i => i % 2 == 1);
        if (await CountAsync("orders where current_total = 2000") is var newest && newest != second)
            faults.Add($"{second} orders have a second version, and {newest} are stored with it");
        Console.WriteLine(
            $"  {_acknowledged.Count:N0} acknowledged, {applied.Count:N0} stored and applied, {stored:N0} orders"
        );
        return faults;
    }

    private void TellMore(HaProxy proxy)
    {
        foreach (var line in proxy.Changes.Concat(proxy.FailedRequests))
            Console.WriteLine($"  HAProxy: {line}");
        for (var i = 0; i < Instances; i++)
            Console.WriteLine($"  Instance {i + 1} wrote:\n{_instances[i].Output}");
    }

    /// <summary>Stores, and browsers of their owner that have signed in.</summary>
    private async Task ConnectAsync(X509Certificate2 certificate)
    {
        for (var i = 0; i < Browsers; i++)
        {
            var browser = Client(certificate, _pageWithin);
            _browsers.Add(browser);
            using var landing = await browser.GetAsync(AppHost.SignInPath(Person, "/signed-out"));
            if (!landing.IsSuccessStatusCode)
                throw new InvalidOperationException(
                    $"Signing in ended at {landing.RequestMessage!.RequestUri} with "
                        + $"{(int)landing.StatusCode}.\n"
                        + $"{string.Join('\n', _instances.Select(instance => instance.Output))}"
                );
        }
        await using var transactions = new TenantTransactions(owner, NullLoggerFactory.Instance);
        await new SystemDatabase(transactions).RunAsync(async db =>
        {
            var user = await db.Set<User>().SingleAsync(u => u.Email == Person);
            for (var shop = 1; shop <= Stores; shop++)
            {
                var tenant = new Tenant
                {
                    TenantId = Guid.CreateVersion7(),
                    ShopId = shop,
                    ShopDomain = Domain(shop),
                    Name = $"Drill {shop}",
                    Currency = "EUR",
                    TimeZone = "Europe/Berlin",
                    Status = TenantStatus.Connected,
                };
                db.Tenants.Add(tenant);
                db.ShopDomains.Add(
                    new()
                    {
                        Domain = tenant.ShopDomain,
                        TenantId = tenant.TenantId,
                        ShopId = shop,
                    }
                );
                db.Memberships.Add(
                    new()
                    {
                        TenantId = tenant.TenantId,
                        UserId = user.UserId,
                        Role = MemberRole.Owner,
                        CreatedAt = DateTimeOffset.UnixEpoch,
                    }
                );
            }
            await db.SaveChangesAsync();
        });
    }

    private Dictionary<string, string> Settings(FakeProvider provider, string trusted) =>
        new()
        {
            ["App:PublicUrl"] = publicUrl.GetLeftPart(UriPartial.Authority),
            ["Oidc:Authority"] = provider.Issuer,
            ["Oidc:ClientId"] = FakeProvider.ClientId,
            ["Oidc:ClientSecret"] = FakeProvider.ClientSecret,
            ["SSL_CERT_FILE"] = trusted,
        };

    /// <summary>In Production a provider has to be reached by https.</summary>
    private static string ProviderSection(int port, string pem, FakeProvider provider) =>
        $"""

            frontend provider
                bind 127.0.0.1:{port} ssl crt {pem}
                default_backend provider

            backend provider
                server provider {new Uri(provider.Address).Authority}

            """;

    /// <summary>As a browser: HTTP/2, cookies, redirects.</summary>
    private HttpClient Client(X509Certificate2 certificate, TimeSpan timeout)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.Add(certificate);
#pragma warning disable CA2000 // The client disposes its handler.
        var handler = new SocketsHttpHandler
        {
            CookieContainer = new CookieContainer(),
            SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy },
            // Before the proxy closes them.
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(5),
        };
#pragma warning restore CA2000
        return new(handler)
        {
            BaseAddress = publicUrl,
            Timeout = timeout,
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
        };
    }

    private static X509Certificate2 MakeCertificate(string root, out string pem, out string trusted)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        var now = TimeProvider.System.GetUtcNow();
        var certificate = request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
        (pem, trusted) = (Path.Combine(root, "proxy.pem"), Path.Combine(root, "trusted.pem"));
        File.WriteAllText(trusted, certificate.ExportCertificatePem());
        File.WriteAllText(pem, $"{certificate.ExportCertificatePem()}\n{key.ExportPkcs8PrivateKeyPem()}\n");
        return certificate;
    }

    /// <summary>The numbers of the deliveries that are stored and applied.</summary>
    private async Task<HashSet<int>> AppliedAsync()
    {
        await using var source = NpgsqlDataSource.Create(superuser);
        await using var command = source.CreateCommand(
            $"select substr(webhook_id, {Prefix.Length + 1})::int from events where status = 2"
        );
        await using var reader = await command.ExecuteReaderAsync();
        var applied = new HashSet<int>();
        while (await reader.ReadAsync())
            applied.Add(reader.GetInt32(0));
        return applied;
    }

    private async Task<long> CountAsync(string rows)
    {
        await using var source = NpgsqlDataSource.Create(superuser);
        await using var command = source.CreateCommand($"select count(*) from {rows}");
        return (long)(await command.ExecuteScalarAsync())!;
    }

    private static string Webhook(int i) => $"{Prefix}{i}";

    private static string Domain(int store) => $"drill-{store}.myshopify.com";
}
