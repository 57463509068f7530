using Npgsql;

namespace XenoInsights.Data;

/// <summary>
/// Which database to use: <c>ConnectionStrings:XenoInsights</c>, else <c>DATABASE_URL</c>, else, in Development only,
/// the embedded PostgreSQL. Dispose it after the host: that stops the embedded server.
/// </summary>
/// <param name="main">For all ordinary work; may lead through a pooler in transaction mode.</param>
/// <param name="direct">Never through a pooler: for migrations. The same as <paramref name="main"/> unless
/// configured.</param>
/// <param name="server">The server started for this process, if nothing was configured.</param>
public sealed class DatabaseConnection(string main, string direct, IAsyncDisposable? server = null) : IAsyncDisposable
{
    private const string MainKey = "ConnectionStrings:XenoInsights";
    private const string DirectKey = "ConnectionStrings:XenoInsightsDirect";
    private const string UrlKey = "DATABASE_URL";

    public string Main => main;

    public string Direct => direct;

    /// <summary>Whether the server was started for this process.</summary>
    public bool IsEmbedded => server is not null;

    /// <exception cref="ConfigurationException">A value cannot be used, or none is set outside Development; the message
    /// names its key.</exception>
    /// <param name="startEmbedded">Starts the embedded PostgreSQL; null where the build does not contain it.</param>
    public static async Task<DatabaseConnection> ResolveAsync(
        IConfiguration configuration,
        IHostEnvironment environment,
        Func<IConfiguration, CancellationToken, Task<DatabaseConnection>>? startEmbedded,
        CancellationToken ct
    )
    {
        var main = Read(configuration, MainKey) ?? Read(configuration, UrlKey);
        var direct = Read(configuration, DirectKey);
        if (main is not null)
            return new(main, direct ?? main);
        if (direct is not null)
            throw new ConfigurationException($"{DirectKey} is set, but {MainKey} is not.");
        if (!environment.IsDevelopment() || startEmbedded is null)
            throw new ConfigurationException(
                $"{MainKey} (or {UrlKey}) must be set: only Development brings its own PostgreSQL."
            );
        return await startEmbedded(configuration, ct);
    }

    public ValueTask DisposeAsync() => server?.DisposeAsync() ?? ValueTask.CompletedTask;

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
            throw new ConfigurationException($"{key} is not a PostgreSQL connection string: {e.Message}", e);
        }
    }
}
