using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Http;

namespace XenoInsights.Tests.Support;

/// <summary>
/// The whole product on a port of its own, as a browser meets it. In Development unless told otherwise, with its demo
/// Shopify on another free port. Nothing it does over HTTP leaves this machine (<see cref="Outbound"/>).
/// </summary>
public sealed class AppHost : WebApplicationFactory<Program>
{
    private readonly Dictionary<string, string?> _settings;
    private readonly string _environment;
    private readonly Action<IServiceCollection>? _services;

    private AppHost(
        string connectionString,
        IReadOnlyDictionary<string, string?>? settings,
        string environment,
        Action<IServiceCollection>? services
    )
    {
        _environment = environment;
        _services = services;
        var port = FreePort();
        Address = new Uri($"http://localhost:{port}/");
        _settings = new()
        {
            ["ConnectionStrings:XenoInsights"] = connectionString,
            ["App:PublicUrl"] = Address.GetLeftPart(UriPartial.Authority),
            ["FakeShopify:Url"] = $"http://localhost:{FreePort()}",
            // A year of data is imported only where a test asks for it.
            ["FakeShopify:ConnectStore"] = "false",
            // Runs that nobody asked for would meet the ones that tests ask for.
            ["Sync:CheckFirstImport"] = "false",
            ["Schedules:SyncSchedule"] = "never",
            // What is wrong with a store is looked for when a test asks, not at the fifteenth second of a minute.
            ["Schedules:IncidentDetector"] = "never",
            // Figures that move by themselves are for people.
            ["FakeShopify:OrdersPerMinute"] = "0",
            ["Serilog:MinimumLevel:Default"] = "Warning",
            ["Serilog:MinimumLevel:Override:Microsoft.Hosting.Lifetime"] = "Warning",
        };
        foreach (var (key, value) in settings ?? new Dictionary<string, string?>())
            _settings[key] = value;
        // The address is part of the configuration (OAuth redirects), so the port is chosen before the server starts.
        UseKestrel(port);
    }

    public Uri Address { get; }

    /// <summary>The requests that the app may and may not make.</summary>
    public OutboundGuard Outbound { get; } = new();

    /// <summary>Starts the product; returns when it listens.</summary>
    /// <param name="settings">Keys as in appsettings.json, such as <c>FakeShopify:Url</c>; they win over all
    /// others.</param>
    /// <param name="services">Last word on the services, such as another clock.</param>
    public static Task<AppHost> StartAsync(
        TestDatabase database,
        IReadOnlyDictionary<string, string?>? settings = null,
        string environment = "Development",
        Action<IServiceCollection>? services = null
    ) =>
        Task.Run(() =>
        {
            var host = new AppHost(database.ConnectionString, settings, environment, services);
            try
            {
                host.StartServer();
                return host;
            }
            catch
            {
                host.Dispose();
                throw;
            }
        });

    /// <summary>A visitor's client: keeps cookies; follows redirects unless told not to.</summary>
    public HttpClient Visitor(bool followRedirects = true)
    {
#pragma warning disable CA2000 // The client disposes its handler.
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = followRedirects,
            CookieContainer = new CookieContainer(),
        };
#pragma warning restore CA2000
        return new HttpClient(handler) { BaseAddress = Address };
    }

    /// <summary>A client with the session of a demo user, signed in over OpenID Connect as a browser would.</summary>
    public async Task<HttpClient> SignInAsync(string email = "owner@demo.test")
    {
        var client = Visitor();
        using var landing = await client.GetAsync(SignInPath(email));
        Assert.True(
            landing.IsSuccessStatusCode,
            $"Signing in as {email} ended at {landing.RequestMessage!.RequestUri} with {(int)landing.StatusCode}."
        );
        return client;
    }

    /// <summary>Where to send a browser to be signed in as a demo user.</summary>
    public static Uri SignInPath(string email = "owner@demo.test", string returnUrl = "/") =>
        new(
            $"/signin?login_hint={Uri.EscapeDataString(email)}&returnUrl={Uri.EscapeDataString(returnUrl)}",
            UriKind.Relative
        );

    protected override void ConfigureWebHost(IWebHostBuilder builder)
    {
        builder.UseEnvironment(_environment);
        foreach (var (key, value) in _settings)
            builder.UseSetting(key, value);
        builder.ConfigureTestServices(services =>
        {
            services.AddSingleton<IHttpMessageHandlerBuilderFilter>(Outbound);
            services.ConfigureAll<OpenIdConnectOptions>(options =>
                options.BackchannelHttpHandler = Outbound.Guard(new SocketsHttpHandler())
            );
            _services?.Invoke(services);
        });
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
