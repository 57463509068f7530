using XenoInsights.Authentication;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Development.FakeShopify;
using XenoInsights.Development.Postgres;

namespace XenoInsights.Development;

/// <summary>
/// The parts of a development build. All but the fake Shopify's refusal is for the environment Development only.
/// </summary>
internal sealed class IncludedParts : IDevelopmentParts
{
    // Our own callback asks for a token, for the shop and for its webhooks, one after the other.
    private static readonly TimeSpan _callbackTimeout = TimeSpan.FromMinutes(1);

    public Task<int> RunPostgresAsync(string[] args) => EmbeddedPostgresCommand.RunAsync(args);

    public async Task<DatabaseConnection> StartPostgresAsync(IConfiguration configuration, CancellationToken ct)
    {
        var postgres = await EmbeddedPostgres.StartAsync(EmbeddedPostgresOptions.From(configuration), ct);
        return new(postgres.ConnectionString, postgres.ConnectionString, postgres);
    }

    public void Add(WebApplicationBuilder builder)
    {
        builder.AddFakeShopify();
        if (!builder.Environment.IsDevelopment())
            return;
        AddEncryptionKey(builder);
        ConnectSetup.AddShopClient(builder.Services, DemoStoreConnector.HttpClientName, _callbackTimeout);
        builder.Services.AddHostedService<DemoStoreConnector>();
        if (HasSignIn(builder.Configuration, builder.Environment))
            builder.Services.AddDevelopmentIdentityProvider();
    }

    public void Map(WebApplication app)
    {
        if (HasSignIn(app.Configuration, app.Environment))
            app.MapDevelopmentIdentityProvider();
    }

    private static void AddEncryptionKey(WebApplicationBuilder builder)
    {
        var dataRoot = EmbeddedPostgresOptions.From(builder.Configuration).DataRoot;
        builder.Services.PostConfigure<EncryptionOptions>(options =>
        {
            if (options.Keys.Count == 0)
                options.Keys.Add(DevelopmentEncryptionKey.ReadOrCreate(dataRoot));
        });
    }

    private static bool HasSignIn(IConfiguration configuration, IHostEnvironment environment) =>
        environment.IsDevelopment()
        && (configuration.GetSection(OidcOptions.Section).Get<OidcOptions>() ?? new()).IsAbsent;
}
