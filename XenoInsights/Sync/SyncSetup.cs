using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Queues;
using XenoInsights.Sync.Reconciliation;
using XenoInsights.Tenants;

namespace XenoInsights.Sync;

/// <summary>Importing: the queue, its workers and the API to start and follow runs.</summary>
public static class SyncSetup
{
    private const int ListedJobs = 100,
        LongestList = 1000;

    public static void AddSync(this WebApplicationBuilder builder)
    {
        builder
            .Services.AddCheckedOptions<SyncOptions>(SyncOptions.Section)
            .Validate(
                options => options.NightFromHour + options.NightHours <= 24,
                $"{SyncOptions.Section}:{nameof(SyncOptions.NightFromHour)} and "
                    + $"{nameof(SyncOptions.NightHours)} must lie within one day."
            );
        builder.Services.AddCheckedOptions<DispatchOptions>(DispatchOptions.Section);
        builder
            .Services.AddKeyedSingleton<WorkSignal>(SyncJobs.Queue)
            .AddSingleton<BulkFinished>()
            .AddSingleton<BulkExports>()
            .AddSingleton<ObjectRefetch>()
            .AddSingleton<StoreHealth>();
        builder
            .Services.AddSingleton<FullImport>()
            .AddSingleton<DeltaSync>()
            .AddSingleton<Rehydrate>()
            .AddSingleton<Recalculate>()
            .AddSingleton<Reconcile>()
            .AddScoped<ReconciliationQueries>()
            .AddScoped<SyncJobs>()
            .AddScoped<StoreNotices>();
        builder.Services.AddSingleton<Refetches>();
        builder.Services.AddHostedService<SyncWorker>().AddHostedService<RefetchWorker>();
        builder.Services.ConfigureHttpJsonOptions(json =>
            json.SerializerOptions.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.CamelCase))
        );
    }

    public static void MapSync(this WebApplication app)
    {
        var ingestion = app.MapGroup("/api/ingestion").WithTags("Ingestion");
        ingestion
            .MapPost("/start", StartAsync)
            .WithSummary(
                "Start a run: full (everything), delta (what changed) rehydrate (compare all, repair, mark what "
                    + "is gone), reconcile (prove closed days against Shopify) or recalculate (sort stored orders "
                    + "into the days of the store's time zone)"
            );
        ingestion
            .MapGet("/jobs", (SyncJobs jobs, CancellationToken ct) => jobs.ListAsync(ListedJobs, ct))
            .RequireTenantId()
            .WithSummary("Runs, newest first");
        ingestion.MapGet("/jobs/{id:guid}", FindAsync).RequireTenantId().WithSummary("One run with its progress");
        app.MapGet("/api/reconciliation", ChecksAsync)
            .RequireTenantId()
            .WithTags("Ingestion")
            .WithSummary(
                "Closed days as they were proven against Shopify, newest first: orders and total sales on both "
                    + "sides, and the orders that differed"
            );
        ingestion.MapPost("/jobs/{id:guid}/cancel", CancelAsync).WithSummary("Cancel a run; what it stored stays");
    }

    /// <param name="TenantId">One of the caller's stores.</param>
    /// <param name="Type">full, delta, rehydrate, reconcile or recalculate; full when absent.</param>
    /// <param name="From">
    /// The first shop day that a reconcile run checks; the last seven closed days when absent.
    /// </param>
    /// <param name="To">The last one.</param>
    public sealed record StartRequest(
        [property: JsonPropertyName("tenant_id")] string? TenantId,
        string? Type,
        DateOnly? From = null,
        DateOnly? To = null
    );

    private static async Task<
        Results<
            Accepted<SyncJobView>,
            Conflict<SyncJobView>,
            ConflictProblem,
            ForbiddenProblem,
            ValidationProblem,
            TenantRefusal
        >
    > StartAsync(HttpContext http, StartRequest request, SyncJobs jobs, TimeProvider time, CancellationToken ct)
    {
        if (await http.EnterTenantAsync(request.TenantId) is { } refusal)
            return refusal;
        if (http.Store().Role == MemberRole.Viewer)
            return new ForbiddenProblem("Viewers cannot start a run. Ask an owner or admin of the store.");
        if (TypeOf(request.Type) is not { } type)
            return Invalid("type", $"'{request.Type}' is not full, delta, rehydrate, reconcile or recalculate.");

        if (http.Store().Status == TenantStatus.Disconnected)
            return new ConflictProblem(
                "The app was removed from this store in Shopify. Connect the store again first."
            );

        ImportCursor? days = null;
        if (type == SyncJobType.Reconcile)
        {
            days = Reconcile.Days(http.Store().TimeZone, time.GetUtcNow(), request.From, request.To);
            if (Reconcile.Complaint(days) is { } complaint)
                return Invalid("from", complaint);
        }
        else if (request.From is not null || request.To is not null)
            return Invalid("from", "Days are for runs of type reconcile.");

        var (job, created) = await jobs.StartAsync(type, days, ct);
        return created
            ? TypedResults.Accepted(
                $"/api/ingestion/jobs/{job.Id}?{RequireTenant.Parameter}={http.Store().TenantId}",
                job
            )
            : TypedResults.Conflict(job);
    }

    private static async Task<Results<Ok<SyncJobView>, NotFoundProblem>> FindAsync(
        Guid id,
        SyncJobs jobs,
        CancellationToken ct
    ) =>
        await jobs.FindAsync(id, ct) is { } job
            ? TypedResults.Ok(job)
            : new NotFoundProblem("This store has no such run.");

    public sealed record CancelRequest([property: JsonPropertyName("tenant_id")] string? TenantId);

    private static async Task<
        Results<NoContent, ForbiddenProblem, NotFoundProblem, ConflictProblem, TenantRefusal>
    > CancelAsync(HttpContext http, Guid id, CancelRequest request, SyncJobs jobs, CancellationToken ct)
    {
        if (await http.EnterTenantAsync(request.TenantId) is { } refusal)
            return refusal;
        if (http.Store().Role == MemberRole.Viewer)
            return new ForbiddenProblem("Viewers cannot cancel a run. Ask an owner or admin of the store.");
        if (await jobs.FindAsync(id, ct) is not { } job)
            return new NotFoundProblem("This store has no such run.");
        if (job is { Type: SyncJobType.Recalculate, FinishedAt: null })
            return new ConflictProblem("A recalculation cannot be cancelled: days of two time zones would stay.");
        return await jobs.CancelAsync(id, ct)
            ? TypedResults.NoContent()
            : new ConflictProblem("The run has ended already.");
    }

    /// <remarks>Days are bound as text, so that a store is entered first and a day that is none is named.</remarks>
    private static async Task<Results<Ok<List<ReconciledDayView>>, ValidationProblem>> ChecksAsync(
        ReconciliationQueries checks,
        string? from,
        string? to,
        CancellationToken ct
    )
    {
        if (!IsDay(from, out var first))
            return Invalid("from", $"'{from}' is not a date such as 2026-11-23.");
        if (!IsDay(to, out var last))
            return Invalid("to", $"'{to}' is not a date such as 2026-11-23.");
        return TypedResults.Ok(await checks.ListAsync(first, last, LongestList, ct));
    }

    private static bool IsDay(string? text, out DateOnly? day)
    {
        day = null;
        if (text is null)
            return true;
        var style = DateTimeStyles.None;
        if (!DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, style, out var read))
            return false;
        day = read;
        return true;
    }

    private static ValidationProblem Invalid(string parameter, string problem) =>
        TypedResults.ValidationProblem(new Dictionary<string, string[]> { [parameter] = [problem] });

    internal static SyncJobType? TypeOf(string? type) =>
        type switch
        {
            null or "full" => SyncJobType.Full,
            "delta" => SyncJobType.Delta,
            "rehydrate" => SyncJobType.Rehydrate,
            "recalculate" => SyncJobType.Recalculate,
            "reconcile" => SyncJobType.Reconcile,
            _ => null,
        };
}

/// <summary>Section <c>Sync</c>.</summary>
public sealed class SyncOptions
{
    public const string Section = "Sync";

    /// <summary>
    /// How long a run whose process died waits for another to take it over. A living one prolongs its lease four times
    /// in it.
    /// </summary>
    [Range(1, 600, ErrorMessage = "must be {1} to {2} seconds.")]
    public int LeaseSeconds { get; set; } = 30;

    /// <summary>Runs side by side in one process, of different stores; of full imports two at most.</summary>
    [Range(1, 100, ErrorMessage = CheckedOptions.Range)]
    public int Parallel { get; set; } = 8;

    /// <summary>An import that rejects more than this share of its objects, in per cent, is an incident.</summary>
    [Range(0.0, 100.0, ErrorMessage = CheckedOptions.Range)]
    public decimal RejectedIncidentPercent { get; set; } = 1;

    /// <summary>The hour of the shop's day from which on its nightly run may begin.</summary>
    [Range(0, 23, ErrorMessage = CheckedOptions.Range)]
    public int NightFromHour { get; set; } = 1;

    /// <summary>Over how many hours from then the stores' runs are spread.</summary>
    [Range(1, 24, ErrorMessage = CheckedOptions.Range)]
    public int NightHours { get; set; } = 4;

    /// <summary>
    /// Whether all days of a store are checked against Shopify as soon as its first import has ended. It exports the
    /// orders once more.
    /// </summary>
    public bool CheckFirstImport { get; set; } = true;
}
