using Npgsql;

namespace XenoInsights.Data;

/// <summary>
/// Which database to use: <c>ConnectionStrings:XenoInsights</c>, else <c>DATABASE_URL</c>, else, in Development only,
/// a <see cref="PrivatePostgres"/>. Dispose it after the host: that stops the private server.
/// </summary>
public sealed class DatabaseConnection : IAsyncDisposable
{
    private const string MainKey = "ConnectionStrings:XenoInsights";
    private const string DirectKey = "ConnectionStrings:XenoInsightsDirect";
    private const string UrlKey = "DATABASE_URL";

    private DatabaseConnection(string main, string direct, PrivatePostgres? privatePostgres = null) =>
        (Main, Direct, Private) = (main, direct, privatePostgres);

    /// <summary>For all ordinary work; may lead through a pooler in transaction mode.</summary>
    public string Main { get; }

    /// <summary>Never through a pooler: for migrations. The same as <see cref="Main"/> unless configured.</summary>
    public string Direct { get; }

    /// <summary>The server started for this process, if nothing was configured.</summary>
    public PrivatePostgres? Private { get; }

    /// <exception cref="InvalidOperationException">A value cannot be used, or none is set outside Development; the message names its key.</exception>
    public static async Task<DatabaseConnection> ResolveAsync(IConfiguration configuration, IHostEnvironment environment, CancellationToken ct)
    {
        var main = Read(configuration, MainKey) ?? Read(configuration, UrlKey);
        var direct = Read(configuration, DirectKey);
        if (main is not null)
            return new(main, direct ?? main);
        if (direct is not null)
            throw new InvalidOperationException($"{DirectKey} is set, but {MainKey} is not.");
        if (!environment.IsDevelopment())
            throw new InvalidOperationException($"{MainKey} (or {UrlKey}) must be set: only Development brings its own PostgreSQL.");
        var postgres = await PrivatePostgres.StartAsync(PrivateOptions(configuration), ct);
        return new(postgres.ConnectionString, postgres.ConnectionString, postgres);
    }

    public ValueTask DisposeAsync() => Private?.DisposeAsync() ?? ValueTask.CompletedTask;

    /// <summary><c>Postgres:DataRoot</c> (default: <c>.data</c> at the top of the checkout) and <c>Postgres:Bin</c>.</summary>
    public static PrivatePostgresOptions PrivateOptions(IConfiguration configuration) => new()
    {
        DataRoot = configuration["Postgres:DataRoot"] ?? Path.Combine(Checkout(), ".data"),
        StartFolder = AppContext.BaseDirectory,
        Bin = configuration["Postgres:Bin"],
    };

    private static string Checkout()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "XenoInsights.sln")))
                return folder.FullName;
        }
        return AppContext.BaseDirectory;
    }

    private static string? Read(IConfiguration configuration, string key)
    {
        var value = configuration[key];
        if (string.IsNullOrWhiteSpace(value))
            return null;
        try
        {
            var parsed = PostgresUrl.IsUrl(value) ? PostgresUrl.Parse(value) : new NpgsqlConnectionStringBuilder(value);
            return parsed.Host is not null ? parsed.ConnectionString : throw new FormatException("it names no host");
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            throw new InvalidOperationException($"{key} is not a PostgreSQL connection string: {e.Message}", e);
        }
    }
}
