using XenoInsights.Data;

namespace XenoInsights;

/// <summary>
/// What only a development build contains, in the folders <c>Development</c> and <c>FakeShopify</c>: the embedded
/// PostgreSQL, the built-in sign-in, the fake Shopify with its stores. A published app is compiled without these
/// folders (docs/adr/0016).
/// </summary>
internal interface IDevelopmentParts
{
    /// <summary>Runs the embedded PostgreSQL alone, until Ctrl+C.</summary>
    Task<int> RunPostgresAsync(string[] args);

    Task<DatabaseConnection> StartPostgresAsync(IConfiguration configuration, CancellationToken ct);

    /// <summary>
    /// Comes before all other services: it sets the keys of the fake Shopify, which starts before whoever calls it.
    /// </summary>
    void Add(WebApplicationBuilder builder);

    void Map(WebApplication app);
}

/// <summary>
/// The one place where the app meets <see cref="IDevelopmentParts"/>, and refuses what a published app does not
/// contain.
/// </summary>
internal static partial class DevelopmentParts
{
    private const string Postgres = "the embedded PostgreSQL",
        SignIn = "the built-in sign-in",
        Shopify = "the fake Shopify";

    private static readonly (string Key, string Part)[] _keys =
    [
        ("Postgres:DataRoot", Postgres),
        ("Postgres:Bin", Postgres),
        ("Access:BuiltInSignInForAll", SignIn),
        ("FakeShopify:Enabled", Shopify),
    ];

    private static readonly IDevelopmentParts? _included = Find();

    /// <summary>Starts the embedded PostgreSQL; null in a published app.</summary>
    public static Func<IConfiguration, CancellationToken, Task<DatabaseConnection>>? StartPostgres =>
        _included is { } parts ? parts.StartPostgresAsync : null;

    public static async Task<int> RunPostgresAsync(string[] args)
    {
        if (_included is { } parts)
            return await parts.RunPostgresAsync(args);
        await Console.Error.WriteLineAsync(
            $"This build does not contain {Postgres}: run the command in a checkout, by dotnet run."
        );
        return 1;
    }

    public static void AddDevelopmentParts(this WebApplicationBuilder builder)
    {
        if (_included is { } parts)
            parts.Add(builder);
        else
            RefuseToBeAsked(builder.Configuration, builder.Environment);
    }

    public static void MapDevelopmentParts(this WebApplication app) => _included?.Map(app);

    /// <exception cref="Data.ConfigurationException">The configuration asks for development parts; the message names
    /// its keys.</exception>
    internal static void RefuseToBeAsked(IConfiguration configuration, IHostEnvironment environment)
    {
        var asked = _keys
            .Where(asked => IsSet(configuration[asked.Key]))
            .Select(asked => $"{asked.Key} asks for {asked.Part}.")
            .ToList();
        if (environment.IsDevelopment())
            asked.Add($"ASPNETCORE_ENVIRONMENT is Development, which asks for {Postgres}, {SignIn} and {Shopify}.");
        if (asked.Count == 0)
            return;
        throw new Data.ConfigurationException(
            "This build is for production and does not contain what its configuration asks for. "
                + $"{string.Join(' ', asked)} "
                + "Remove these settings, or run the app in a checkout, by dotnet run."
        );
    }

    private static bool IsSet(string? value) =>
        !string.IsNullOrEmpty(value) && !value.Equals(bool.FalseString, StringComparison.OrdinalIgnoreCase);

    private static IDevelopmentParts? Find()
    {
        IDevelopmentParts? parts = null;
        Include(ref parts);
        return parts;
    }

    /// <summary>Implemented in <c>Development</c>; where that is left out, calls of it are as well.</summary>
    static partial void Include(ref IDevelopmentParts? parts);
}
