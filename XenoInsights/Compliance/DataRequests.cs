using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Compliance;

/// <summary>The entered store's data requests, for its owners.</summary>
internal sealed class DataRequests(XenoDatabase database) : IDataRequestList
{
    private const int Listed = 100;

    /// <exception cref="AccessDeniedException">The person is no owner of the store.</exception>
    public Task<List<DataRequestView>> ListAsync(CancellationToken ct) =>
        database.InTenantAsync(
            MemberRole.Owner,
            db =>
                db.DataRequests.OrderByDescending(r => r.RequestedAt)
                    .Take(Listed)
                    .Select(r => new DataRequestView(r.Id, r.CustomerId, r.RequestedAt))
                    .ToListAsync(ct),
            ct
        );

    /// <exception cref="AccessDeniedException">The person is no owner of the store.</exception>
    public Task<DataRequest?> FindAsync(Guid id, CancellationToken ct) =>
        database.InTenantAsync(
            MemberRole.Owner,
            db => db.DataRequests.AsNoTracking().SingleOrDefaultAsync(r => r.Id == id, ct),
            ct
        );
}

/// <summary>The download of a data request.</summary>
internal static class DataRequestsApi
{
    public static void Map(WebApplication app) =>
        app.MapGet("/api/data-requests/{id:guid}", DownloadAsync)
            .RequireTenantId()
            .WithTags("Events")
            .WithSummary("What is stored of a person who asked for it; for owners")
            .Produces(StatusCodes.Status200OK, contentType: "application/json");

    private static async Task<Results<FileContentHttpResult, ForbiddenProblem, NotFoundProblem>> DownloadAsync(
        HttpContext http,
        Guid id,
        DataRequests requests,
        CancellationToken ct
    )
    {
        if (http.Store().Role != MemberRole.Owner)
            return new ForbiddenProblem("Only the store's owner may download a person's data.");
        if (await requests.FindAsync(id, ct) is not { } request)
            return new NotFoundProblem("This store has no such request.");
        return TypedResults.File(
            Encoding.UTF8.GetBytes(request.File),
            "application/json",
            $"data-request-{request.RequestedAt:yyyy-MM-dd}-{request.CustomerId}.json"
        );
    }
}
