using System.Text.Json;
using System.Text.Json.Serialization;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>Importing: the queue, its workers and the API to start and follow runs.</summary>
public static class SyncSetup
{
    private const int ListedJobs = 100;

    public static void AddSync(this WebApplicationBuilder builder)
    {
        builder.Services.AddOptions<SyncOptions>().BindConfiguration(SyncOptions.Section)
            .Validate(options => options.LeaseSeconds is >= 1 and <= 600, $"{SyncOptions.Section}:{nameof(SyncOptions.LeaseSeconds)} must be 1 to 600 seconds.").ValidateOnStart();
        builder.Services.AddSingleton<SyncSignal>().AddSingleton<BulkFinished>().AddSingleton<FullImport>().AddScoped<SyncJobs>();
        builder.Services.AddHostedService<SyncWorker>();
        builder.Services.ConfigureHttpJsonOptions(json => json.SerializerOptions.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.CamelCase)));
    }

    public static void MapSync(this WebApplication app)
    {
        var ingestion = app.MapGroup("/api/ingestion").WithTags("Ingestion");
        ingestion.MapPost("/start", StartAsync).WithSummary("Start an import").Accepts<StartRequest>("application/json")
            .Produces<SyncJobView>(StatusCodes.Status202Accepted).Produces<SyncJobView>(StatusCodes.Status409Conflict)
            .ProducesValidationProblem().ProducesProblem(StatusCodes.Status403Forbidden).ProducesProblem(StatusCodes.Status404NotFound);
        ingestion.MapGet("/jobs", (SyncJobs jobs, CancellationToken ct) => jobs.ListAsync(ListedJobs, ct)).RequireTenantId().WithSummary("Imports, newest first");
        ingestion.MapGet("/jobs/{id:guid}", FindAsync).RequireTenantId().WithSummary("One import with its progress").Produces<SyncJobView>().ProducesProblem(StatusCodes.Status404NotFound);
    }

    /// <param name="TenantId">One of the caller's stores.</param>
    /// <param name="Type">full, delta or rehydrate; full when absent.</param>
    public sealed record StartRequest([property: JsonPropertyName("tenant_id")] string? TenantId, string? Type);

    private static async Task<IResult> StartAsync(HttpContext http, StartRequest request, SyncJobs jobs, CancellationToken ct)
    {
        if (await http.EnterTenantAsync(request.TenantId) is { } refusal) return refusal;
        if (http.Store().Role == MemberRole.Viewer) return TypedResults.Problem("Viewers cannot start an import. Ask an owner or admin of the store.", statusCode: StatusCodes.Status403Forbidden);
        if (TypeOf(request.Type) is not { } type)
            return TypedResults.ValidationProblem(new Dictionary<string, string[]> { ["type"] = [$"'{request.Type}' is not full, delta or rehydrate."] });
        if (type != SyncJobType.Full)
            return TypedResults.ValidationProblem(new Dictionary<string, string[]> { ["type"] = ["Only full imports can be started for now."] });

        if (http.Store().Status == TenantStatus.Disconnected)
            return TypedResults.Problem("The app was removed from this store in Shopify. Connect the store again first.", statusCode: StatusCodes.Status409Conflict);

        var (job, created) = await jobs.EnqueueAsync(http.Store().TenantId, type, ct);
        return created
            ? TypedResults.Accepted($"/api/ingestion/jobs/{job.Id}?{RequireTenant.Parameter}={http.Store().TenantId}", job)
            : TypedResults.Conflict(job);
    }

    private static async Task<IResult> FindAsync(Guid id, SyncJobs jobs, CancellationToken ct) =>
        await jobs.FindAsync(id, ct) is { } job ? TypedResults.Ok(job) : TypedResults.Problem("This store has no such import.", statusCode: StatusCodes.Status404NotFound);

    private static SyncJobType? TypeOf(string? type) => type switch
    {
        null or "full" => SyncJobType.Full,
        "delta" => SyncJobType.Delta,
        "rehydrate" => SyncJobType.Rehydrate,
        _ => null,
    };
}

/// <summary>Section <c>Sync</c>.</summary>
public sealed class SyncOptions
{
    public const string Section = "Sync";

    /// <summary>How long a run whose process died waits for another to take it over. A living one prolongs its lease four times in it.</summary>
    public int LeaseSeconds { get; set; } = 30;
}
