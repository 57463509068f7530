using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.StaticAssets;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;
using Serilog;
using Serilog.Events;
using Serilog.Filters;
using Serilog.Formatting.Compact;
using XenoInsights.Data;

namespace XenoInsights.Hosting;

/// <summary>
/// What everyone who runs the app relies on: logs, metrics, health, errors as RFC 9457 problem details, security
/// headers.
/// </summary>
public static class HostingSetup
{
    private const string DevelopmentLine =
        "{Timestamp:HH:mm:ss} {Level:u3} {Message:lj} {SourceContext} {TraceId}{NewLine}{Exception}";
    private const string InstanceCheck = "instance";
    private static readonly PathString _probes = "/health";
    private static readonly TimeSpan _readyTimeout = TimeSpan.FromSeconds(3);

    /// <summary>Answered by programs, not by people: no error page there.</summary>
    private static readonly PathString[] _programPaths = ["/api", "/webhooks", "/health", "/metrics"];

    private static readonly PathString[] _quietPaths = ["/health", "/metrics", "/_blazor", "/_framework", "/webhooks"];

    /// <summary>
    /// Of this build, such as 0.2.0. The SDK appends the commit to the attribute, which is nobody else's business.
    /// </summary>
    private static string Version =>
        typeof(HostingSetup)
            .Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!
            .InformationalVersion.Split('+')[0];

    public static void AddHosting(this WebApplicationBuilder builder)
    {
        AddLogging(builder);
        AddMetrics(builder.Services);
        AddTraces(builder);
        builder
            .Services.AddHealthChecks()
            .AddCheck<InstanceHealth>(InstanceCheck, tags: ["ready"])
            .AddCheck<SchemaHealth>("schema", tags: ["ready"], timeout: _readyTimeout);
        AddInstance(builder);
        builder.Services.AddProblemDetails(options =>
            options.CustomizeProblemDetails = context =>
                context.ProblemDetails.Extensions["traceId"] =
                    Activity.Current?.TraceId.ToString() ?? context.HttpContext.TraceIdentifier
        );
        builder.Services.AddExceptionHandler<DatabaseUnavailableHandler>().AddExceptionHandler<BadRequestHandler>();
        // Outside Development the framework would answer by itself what it cannot bind, without the handler.
        builder.Services.Configure<RouteHandlerOptions>(options => options.ThrowOnBadRequest = true);
        builder.Services.AddOptions<FormTargets>();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.AddServerHeader = false);
    }

    private static void AddInstance(WebApplicationBuilder builder)
    {
        var isDevelopment = builder.Environment.IsDevelopment();
        builder
            .Services.AddCheckedOptions<InstanceOptions>(InstanceOptions.Section)
            .PostConfigure(instance =>
            {
                instance.DrainSeconds ??= isDevelopment ? 0 : 5;
                instance.WarmUp ??= !isDevelopment;
            });
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddSingleton<InstanceState>().AddSingleton<IHostLifetime, GracefulLifetime>();
        builder.Services.AddSingleton(WarmUpSteps.Requests).AddHostedService<WarmUp>();
    }

    /// <summary>One line a request. What follows answers failures, so it sees the status of their answers.</summary>
    public static void UseRequestLog(this WebApplication app) =>
        app.UseSerilogRequestLogging(options =>
        {
            options.Logger = app.Services.GetRequiredService<Serilog.ILogger>();
            options.GetLevel = (context, _, failure) => Level(context, failure);
        });

    /// <summary>Programs get problem details for what fails and for what has no answer of its own.</summary>
    public static void UseProblemDetails(this WebApplication app) =>
        app.UseWhen(
            context => Array.Exists(_programPaths, path => context.Request.Path.StartsWithSegments(path)),
            programs =>
            {
                programs.UseExceptionHandler(new ExceptionHandlerOptions { StatusCodeSelector = StatusOf });
                programs.UseStatusCodePages();
            }
        );

    private static int StatusOf(Exception failure) =>
        failure is BadHttpRequestException bad ? bad.StatusCode : StatusCodes.Status500InternalServerError;

    public static void MapHosting(this WebApplication app)
    {
        app.MapHealthChecks("/health", new() { Predicate = _ => false, ResponseWriter = WriteVersionAsync })
            .AllowAnonymous()
            .DisableHttpMetrics();
        app.MapHealthChecks("/health/live", new() { Predicate = _ => false }).AllowAnonymous().DisableHttpMetrics();
        app.MapHealthChecks("/health/ready", new() { Predicate = check => check.Tags.Contains("ready") })
            .AllowAnonymous()
            .DisableHttpMetrics();
        app.MapPrometheusScrapingEndpoint("/metrics").AllowAnonymous().DisableHttpMetrics();
    }

    private static Task WriteVersionAsync(HttpContext context, HealthReport report) =>
        context.Response.WriteAsJsonAsync(new { status = report.Status.ToString(), version = Version });

    /// <summary>
    /// Levels and further sinks come from the section <c>Serilog</c>. Production writes one JSON object a line.
    /// </summary>
    private static void AddLogging(WebApplicationBuilder builder) =>
        builder.Services.AddSerilog(
            (services, logger) =>
            {
                logger
                    .ReadFrom.Configuration(builder.Configuration)
                    .ReadFrom.Services(services)
                    .Enrich.FromLogContext();
                // The framework's error at every probe: an instance that starts or stops is not ready, and nothing is
                // wrong.
                logger.Filter.ByExcluding(
                    Matching.WithProperty<string>("HealthCheckName", name => name == InstanceCheck)
                );
                if (builder.Environment.IsDevelopment())
                    logger.WriteTo.Console(
                        outputTemplate: DevelopmentLine,
                        formatProvider: CultureInfo.InvariantCulture
                    );
                else
                    logger.WriteTo.Console(new CompactJsonFormatter());
            },
            preserveStaticLogger: true
        );

    private static void AddMetrics(IServiceCollection services) =>
        services
            .AddOpenTelemetry()
            .WithMetrics(metrics =>
                metrics
                    .AddMeter(
                        "Microsoft.AspNetCore.Hosting",
                        "Microsoft.AspNetCore.Server.Kestrel",
                        "Microsoft.AspNetCore.Components.Server.Circuits"
                    )
                    .AddMeter("Microsoft.AspNetCore.RateLimiting", "System.Runtime", "Npgsql", "XenoInsights*")
                    .AddView(instrument => IsNoise(instrument.Name) ? MetricStreamConfiguration.Drop : null)
                    .AddPrometheusExporter()
            );

    /// <summary>
    /// Spans leave the process only where the standard variable <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> says to whom.
    /// Requests, outgoing HTTP, SQL and our own steps.
    /// </summary>
    private static void AddTraces(WebApplicationBuilder builder)
    {
        if (string.IsNullOrEmpty(builder.Configuration["OTEL_EXPORTER_OTLP_ENDPOINT"]))
            return;
        builder
            .Services.AddOpenTelemetry()
            .WithTracing(traces =>
                traces.AddSource("Microsoft.AspNetCore", "System.Net.Http", "Npgsql", "XenoInsights*").AddOtlpExporter()
            );
    }

    /// <summary>Histograms of connections and of queues that are never long: many lines, no answers.</summary>
    private static bool IsNoise(string instrument) =>
        instrument.StartsWith("kestrel.", StringComparison.Ordinal)
            && instrument is not ("kestrel.active_connections" or "kestrel.rejected_connections")
        || instrument
            is "aspnetcore.components.circuit.duration"
                or "aspnetcore.rate_limiting.request.time_in_queue"
                or "aspnetcore.rate_limiting.request_lease.duration";

    /// <summary>
    /// Assets, probes, circuits and stored webhooks would drown the rest; their failures are logged all the same. A
    /// probe that is told "not ready" is answered, and what is wrong then is logged by whoever found it.
    /// </summary>
    private static LogEventLevel Level(HttpContext context, Exception? failure)
    {
        if (failure is null && context.Request.Path.StartsWithSegments(_probes))
            return LogEventLevel.Debug;
        if (failure is not null || context.Response.StatusCode >= StatusCodes.Status500InternalServerError)
            return LogEventLevel.Error;
        var quiet =
            context.Response.StatusCode < StatusCodes.Status400BadRequest
            && (
                Array.Exists(_quietPaths, path => context.Request.Path.StartsWithSegments(path))
                || context.GetEndpoint()?.Metadata.GetMetadata<StaticAssetDescriptor>() is not null
            );
        return quiet ? LogEventLevel.Debug : LogEventLevel.Information;
    }
}
