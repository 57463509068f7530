using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Notifications;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Operations.Fleet;

/// <summary>
/// What operators may ask and do across stores. Nobody else may, and no answer holds what a store's data say.
/// </summary>
public static partial class OperationsApi
{
    private const int LargestPage = 250,
        UsualPage = 50;
    private const int UsualReplay = 10_000,
        LargestReplay = 100_000;
    private const int UsualStart = 500,
        LargestStart = 5000;

    public static void AddOperationsApi(this WebApplicationBuilder builder) =>
        builder
            .Services.AddSingleton<QueueStatuses>()
            .AddSingleton<FleetQueries>()
            .AddSingleton<ChosenStores>()
            .AddSingleton<FleetReplays>()
            .AddSingleton<FleetSyncs>();

    public static void MapOperationsApi(this WebApplication app)
    {
        var operations = app.MapGroup("/api/operations")
            .RequireAuthorization(SessionClaims.OperatorPolicy)
            .ProducesProblem(StatusCodes.Status403Forbidden)
            .WithTags("Operations");
        operations
            .MapGet("/queue", BacklogAsync)
            .WithSummary("For operators: what waits over all stores and how long today's deliveries took");
        operations
            .MapGet("/stores", StoresAsync)
            .WithSummary(
                "For operators: stores with their state, freshness, waiting and failed webhook events and last "
                    + "sync jobs"
            );
        operations.MapGet("/sync-jobs", JobsAsync).WithSummary("For operators: sync jobs of all stores, newest first");
        operations
            .MapPost("/sync-jobs", StartAsync)
            .WithSummary("For operators: start a sync job for one, some or all stores, a part of them at a time");
        operations
            .MapGet("/incidents", IncidentsAsync)
            .WithSummary("For operators: incidents of all stores, newest first");
        operations
            .MapGet("/fleet-incidents", FleetIncidentsAsync)
            .WithSummary("For operators: incidents that began in many stores at once, newest first");
        operations
            .MapPost("/replay", ReplayAsync)
            .WithSummary(
                "For operators: replay failed webhook events of one, some or all stores, or count them (dry_run)"
            );
    }

    /// <param name="Stores">Ids of stores; or <paramref name="All"/>.</param>
    /// <param name="Error">A part of the last error, in any letter case.</param>
    /// <param name="DryRun">Count only.</param>
    /// <param name="After">From the answer before, to go on.</param>
    /// <param name="Limit">How many events one request marks at most.</param>
    public sealed record ReplayRequest(
        IReadOnlyList<string>? Stores,
        bool All,
        string? Topic,
        string? From,
        string? To,
        string? Error,
        [property: JsonPropertyName("dry_run")] bool DryRun,
        string? After,
        int? Limit
    );

    /// <param name="Stores">Ids of stores; or <paramref name="All"/>.</param>
    /// <param name="Type">full, delta, rehydrate or reconcile (the last seven closed days).</param>
    /// <param name="After">From the answer before, to go on.</param>
    /// <param name="Limit">For how many stores one request starts a job at most.</param>
    public sealed record StartRequest(IReadOnlyList<string>? Stores, bool All, string? Type, string? After, int? Limit);

    private static async Task<Ok<QueueStatus>> BacklogAsync(
        HttpContext http,
        QueueStatuses queues,
        CancellationToken ct
    ) => TypedResults.Ok(await queues.AskAsync(http.User.Caller(), ct));

    private static async Task<Results<Ok<List<StoreState>>, ValidationProblem>> StoresAsync(
        HttpContext http,
        FleetQueries fleet,
        string? status,
        string? after,
        string? limit,
        CancellationToken ct
    )
    {
        var read = new Parameters();
        var (wanted, from) = (read.Choice<TenantStatus>("status", status), read.Id("after", after));
        var size = read.Number("limit", limit, UsualPage, LargestPage);
        if (read.Problem is { } problem)
            return problem;
        var stores = await fleet.StoresAsync(http.User.Caller(), wanted, from, size, ct);
        if (stores.Count == size)
            LinkNext(http, ("after", stores[^1].TenantId.ToString()));
        return TypedResults.Ok(stores);
    }

    private static async Task<Results<Ok<List<JobState>>, ValidationProblem>> JobsAsync(
        HttpContext http,
        FleetQueries fleet,
        string? type,
        string? status,
        string? before,
        string? before_id,
        string? limit,
        CancellationToken ct
    )
    {
        var read = new Parameters();
        var (ofType, inStatus) = (read.Choice<SyncJobType>("type", type), read.Choice<SyncJobStatus>("status", status));
        var place = read.Before(before, before_id);
        var size = read.Number("limit", limit, UsualPage, LargestPage);
        if (read.Problem is { } problem)
            return problem;
        var jobs = await fleet.JobsAsync(http.User.Caller(), ofType, inStatus, place, size, ct);
        if (jobs.Count == size)
            LinkBefore(http, new(jobs[^1].CreatedAt, jobs[^1].Id));
        return TypedResults.Ok(jobs);
    }

    private static async Task<Results<Ok<List<IncidentState>>, ValidationProblem>> IncidentsAsync(
        HttpContext http,
        FleetQueries fleet,
        string? kind,
        string? open,
        string? before,
        string? before_id,
        string? limit,
        CancellationToken ct
    )
    {
        var read = new Parameters();
        var (ofKind, isOpen) = (read.Choice<IncidentKind>("kind", kind), read.Flag("open", open));
        var place = read.Before(before, before_id);
        var size = read.Number("limit", limit, UsualPage, LargestPage);
        if (read.Problem is { } problem)
            return problem;
        var incidents = await fleet.IncidentsAsync(http.User.Caller(), ofKind, isOpen, place, size, ct);
        if (incidents.Count == size)
            LinkBefore(http, new(incidents[^1].OpenedAt, incidents[^1].Id));
        return TypedResults.Ok(incidents);
    }

    private static async Task<Results<Ok<List<FleetIncidentState>>, ValidationProblem>> FleetIncidentsAsync(
        HttpContext http,
        FleetQueries fleet,
        string? limit,
        CancellationToken ct
    )
    {
        var read = new Parameters();
        var size = read.Number("limit", limit, UsualPage, LargestPage);
        if (read.Problem is { } problem)
            return problem;
        return TypedResults.Ok(await fleet.FleetIncidentsAsync(http.User.Caller(), size, ct));
    }

    private static async Task<Results<Ok<FleetReplayAnswer>, ValidationProblem>> ReplayAsync(
        HttpContext http,
        ReplayRequest request,
        FleetReplays replays,
        ChosenStores stores,
        ILoggerFactory logs,
        CancellationToken ct
    )
    {
        var read = new Parameters();
        var choice = Stores(read, request.Stores, request.All, request.After);
        var events = new FailedEvents(
            read.Text("topic", request.Topic),
            read.Instant("from", request.From),
            read.Instant("to", request.To),
            read.Text("error", request.Error)
        );
        var limit = Limit(read, request.Limit, UsualReplay, LargestReplay);
        if (events.From >= events.To)
            read.Refuse("from", "Must be before to.");
        if (read.Problem is { } problem)
            return problem;
        if (await UnknownAsync(http, stores, choice, ct) is { } unknown)
            return unknown;
        var answer = await replays.RunAsync(http.User.Caller(), new(choice, events, request.DryRun, limit), ct);
        if (!request.DryRun)
        {
            Log.Replayed(Logger(logs), http.User.UserId(), answer.Events, answer.Stores.Count);
        }
        return TypedResults.Ok(answer);
    }

    private static async Task<Results<Ok<FleetSyncAnswer>, ValidationProblem>> StartAsync(
        HttpContext http,
        StartRequest request,
        FleetSyncs syncs,
        ChosenStores stores,
        ILoggerFactory logs,
        CancellationToken ct
    )
    {
        var read = new Parameters();
        var choice = Stores(read, request.Stores, request.All, request.After);
        var type = read.Choice<SyncJobType>("type", request.Type);
        if (request.Type is null)
            read.Refuse("type", "Required: full, delta, rehydrate or reconcile.");
        var limit = Limit(read, request.Limit, UsualStart, LargestStart);
        if (read.Problem is { } problem)
            return problem;
        if (await UnknownAsync(http, stores, choice, ct) is { } unknown)
            return unknown;
        var answer = await syncs.RunAsync(http.User.Caller(), new(choice, type!.Value, limit), ct);
        Log.Started(Logger(logs), http.User.UserId(), answer.Queued, type.Value);
        return TypedResults.Ok(answer);
    }

    /// <summary>All stores only where that is said: an empty request must not do something to everybody.</summary>
    private static StoreChoice Stores(Parameters read, IReadOnlyList<string>? stores, bool all, string? after)
    {
        if (all == (stores is not null))
            read.Refuse("stores", "Name stores by their ids, or set all to true.");
        if (stores is { Count: 0 })
            read.Refuse("stores", "Must name one store at least.");
        if (stores?.Count > LargestStart)
            read.Refuse("stores", $"At most {LargestStart} at a time.");
        var ids = stores?.Select(store => read.Id("stores", store ?? "")).OfType<Guid>().Distinct().ToList();
        return new(ids, read.Id("after", after));
    }

    private static int Limit(Parameters read, int? limit, int usual, int most)
    {
        if (limit < 1 || limit > most)
            read.Refuse("limit", $"Must be a number from 1 to {most}.");
        return limit ?? usual;
    }

    private static async Task<ValidationProblem?> UnknownAsync(
        HttpContext http,
        ChosenStores stores,
        StoreChoice choice,
        CancellationToken ct
    )
    {
        var unknown = await stores.UnknownAsync(http.User.Caller(), choice, ct);
        if (unknown.Count == 0)
            return null;
        var read = new Parameters();
        read.Refuse("stores", $"There is no store {unknown[0]}.");
        return read.Problem;
    }

    private static ILogger Logger(ILoggerFactory logs) => logs.CreateLogger(typeof(OperationsApi));

    private static void LinkBefore(HttpContext http, Place last) =>
        LinkNext(http, ("before", last.At.UtcDateTime.ToString("O")), ("before_id", last.Id.ToString()));

    private static void LinkNext(HttpContext http, params (string Name, string Value)[] place)
    {
        var kept = http
            .Request.Query.Where(q => !Array.Exists(place, p => p.Name == q.Key))
            .SelectMany(q => q.Value.Select(v => KeyValuePair.Create(q.Key, v)));
        var query = QueryString.Create(kept.Concat(place.Select(p => KeyValuePair.Create(p.Name, (string?)p.Value))));
        http.Response.Headers.Link = $"<{http.Request.Path}{query}>; rel=\"next\"";
    }

    private static partial class Log
    {
        [LoggerMessage(
            EventId = 1902,
            Level = LogLevel.Information,
            Message = "Operator {UserId} replayed {Count} failed events of {Stores} stores"
        )]
        public static partial void Replayed(ILogger logger, Guid? userId, long count, int stores);

        [LoggerMessage(
            EventId = 1903,
            Level = LogLevel.Information,
            Message = "Operator {UserId} started {Count} sync jobs of type {Type}"
        )]
        public static partial void Started(ILogger logger, Guid? userId, int count, SyncJobType type);
    }
}
