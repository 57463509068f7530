using System.ComponentModel.DataAnnotations;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Options;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Insights;

/// <summary>Section <c>Exports</c>. How many connections they share stands in <see cref="DataSetup"/>.</summary>
public sealed class ExportOptions
{
    public const string Section = "Exports";

    /// <summary>How many exports one person, and how many one store, may have under way.</summary>
    [Range(1, 100, ErrorMessage = CheckedOptions.Range)]
    public int AtOnce { get; set; } = 2;

    /// <summary>How many rows one transaction reads.</summary>
    [Range(1, 100_000, ErrorMessage = CheckedOptions.Range)]
    public int PageRows { get; set; } = 5000;

    /// <summary>A client that takes less than this is cut off.</summary>
    [Range(240, int.MaxValue, ErrorMessage = CheckedOptions.AtLeast)]
    public int MinimumBytesPerSecond { get; set; } = 8 * 1024;

    /// <summary>How long a client may take nothing at all.</summary>
    [Range(2, 600, ErrorMessage = CheckedOptions.Range)]
    public int GraceSeconds { get; set; } = 10;
}

/// <summary>How the rows of an export are read.</summary>
/// <param name="First">The first so many rows, in the order that was asked for.</param>
/// <param name="ByKey">So many rows after one (null: from the beginning), in the order of a key that does not change
/// while data do.</param>
/// <param name="Order">That order, for the head of the file.</param>
internal sealed record ExportRows<TRow>(
    Func<XenoDbContext, int, Task<List<TRow>>> First,
    Func<XenoDbContext, TRow?, int, Task<List<TRow>>> ByKey,
    string Order
)
    where TRow : class;

/// <summary>
/// Writes exports of any length without holding a database connection while a client reads: a page of rows is read by a
/// short transaction, on connections that only exports use, and then sent. An export of one page is exact as of one
/// moment and in the order asked for. A longer one is in the order of a key that never changes, so no row comes twice
/// and none is left out, and its last line says if data changed while it was written.
/// </summary>
internal sealed class ExportWriter(
    [FromKeyedServices(DataSetup.Exports)] XenoDatabase database,
    TenantContext tenant,
    IOptions<ExportOptions> options
)
{
    private const string Changed =
        " The data changed while this was written: rows are as they were when they were read, "
        + "so sums may differ from the figures of any one moment.";

    private int PageRows => options.Value.PageRows;

    /// <param name="begin">Begins the file, given the order of its rows where that is not the one asked for.</param>
    public async Task WriteAsync<TRow>(
        ExportRows<TRow> rows,
        Func<string?, Task<Csv>> begin,
        Action<Csv, TRow> write,
        CancellationToken ct
    )
        where TRow : class
    {
        var page = await ReadAsync(db => rows.First(db, PageRows + 1), ct);
        var isWhole = page.Rows.Count <= PageRows;
        if (!isWhole)
            page = await ReadAsync(db => rows.ByKey(db, null, PageRows), ct);
        var version = page.Before;
        await using var csv = await begin(isWhole ? null : rows.Order);
        await SendAsync(csv, page.Rows, write, ct);
        while (!isWhole && page.Rows.Count == PageRows)
        {
            var last = page.Rows[^1];
            page = await ReadAsync(db => rows.ByKey(db, last, PageRows), ct);
            await SendAsync(csv, page.Rows, write, ct);
        }
        if (!isWhole && page.After != version)
            csv.Note(Changed);
    }

    private static async Task SendAsync<TRow>(Csv csv, List<TRow> rows, Action<Csv, TRow> write, CancellationToken ct)
    {
        foreach (var row in rows)
        {
            write(csv, row);
            await csv.EndRowAsync(ct);
        }
    }

    // The data version before the rows are read and after: in between nothing changed if both are equal.
    private Task<(long Before, List<TRow> Rows, long After)> ReadAsync<TRow>(
        Func<XenoDbContext, Task<List<TRow>>> read,
        CancellationToken ct
    ) =>
        database.InTenantAsync(
            async db =>
            {
                var before = await db.DataVersionAsync(tenant.TenantId ?? Guid.Empty, ct);
                var rows = await read(db);
                return (before, rows, await db.DataVersionAsync(tenant.TenantId ?? Guid.Empty, ct));
            },
            ct
        );
}

/// <summary>How many exports are under way, by person and by store.</summary>
internal sealed class ExportLimiter(IOptions<ExportOptions> options) : IDisposable
{
    private readonly PartitionedRateLimiter<(Guid Person, Guid Store)> _underWay = PartitionedRateLimiter.CreateChained(
        By(of => of.Person, options.Value.AtOnce),
        By(of => of.Store, options.Value.AtOnce)
    );

    public RateLimitLease Acquire(Guid person, Guid store) => _underWay.AttemptAcquire((person, store));

    public void Dispose() => _underWay.Dispose();

    private static PartitionedRateLimiter<(Guid Person, Guid Store)> By(
        Func<(Guid Person, Guid Store), Guid> key,
        int atOnce
    ) =>
        PartitionedRateLimiter.Create<(Guid Person, Guid Store), Guid>(of =>
            RateLimitPartition.GetConcurrencyLimiter(
                key(of),
                _ => new ConcurrencyLimiterOptions { PermitLimit = atOnce }
            )
        );
}

/// <summary>
/// What every export has in common: its parameters are checked, there are not too many of them, and a client that
/// hardly reads is cut off.
/// </summary>
internal sealed class ExportFilter(ExportLimiter limiter, IOptions<ExportOptions> options) : IEndpointFilter
{
    private const int RetryAfterSeconds = 10;

    public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var http = context.HttpContext;
        if (CsvSeparator.Of(http) is null)
            return MetricsApi.Invalid(
                CsvSeparator.Parameter,
                $"'{http.Request.Query[CsvSeparator.Parameter]}' is not comma or semicolon."
            );
        using var lease = limiter.Acquire(http.User.UserId() ?? Guid.Empty, http.Store().TenantId);
        if (!lease.IsAcquired)
            return TooMany(http);
        if (http.Features.Get<IHttpMinResponseDataRateFeature>() is { } rate)
            rate.MinDataRate = new MinDataRate(
                options.Value.MinimumBytesPerSecond,
                TimeSpan.FromSeconds(options.Value.GraceSeconds)
            );
        return await next(context);
    }

    private Microsoft.AspNetCore.Http.HttpResults.ProblemHttpResult TooMany(HttpContext http)
    {
        http.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(
            System.Globalization.CultureInfo.InvariantCulture
        );
        return TypedResults.Problem(
            $"You or this store have {options.Value.AtOnce} exports under way already. "
                + "Try again when one of them has ended.",
            statusCode: StatusCodes.Status429TooManyRequests,
            title: "Too many exports at once"
        );
    }
}

internal static class ExportSetup
{
    public static void AddExports(this WebApplicationBuilder builder)
    {
        builder.Services.AddCheckedOptions<ExportOptions>(ExportOptions.Section);
        builder.Services.AddSingleton<ExportLimiter>().AddScoped<ExportWriter>();
    }

    /// <summary>For exports, after the route's tenant is known: so many at once, and none to a client that hardly reads.</summary>
    public static RouteHandlerBuilder LimitExports(this RouteHandlerBuilder route) =>
        route
            .ProducesProblem(StatusCodes.Status429TooManyRequests)
            .AddEndpointFilter<RouteHandlerBuilder, ExportFilter>()
            .AddOpenApiOperationTransformer(
                (operation, _, _) =>
                {
                    (operation.Parameters ??= []).Add(CsvSeparator.Described());
                    return Task.CompletedTask;
                }
            );
}
