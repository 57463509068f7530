using System.Globalization;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Localization;
using MudBlazor;
using MudBlazor.Services;
using XenoInsights.Insights.Overview;

namespace XenoInsights.App;

/// <summary>
/// The pages: Blazor on interactive server rendering, MudBlazor, and everyone's own numbers and dates.
/// </summary>
public static class AppSetup
{
    /// <summary>
    /// State that a page hands from its prerendering to its circuit comes back as one message; the default of 32 kB
    /// would cut a quarter of days off.
    /// </summary>
    private const long LargestCircuitMessage = 512 * 1024;

    public static void AddApp(this WebApplicationBuilder builder)
    {
        builder
            .Services.AddRazorComponents()
            .AddInteractiveServerComponents()
            .AddHubOptions(hub => hub.MaximumReceiveMessageSize = LargestCircuitMessage);
        builder.Services.AddCascadingAuthenticationState();
        builder.Services.AddMudServices(mud =>
        {
            mud.SnackbarConfiguration.PositionClass = Defaults.Classes.Position.BottomLeft;
            mud.SnackbarConfiguration.VisibleStateDuration = 5000;
            mud.SnackbarConfiguration.SnackbarVariant = Variant.Text;
        });
        builder.Services.AddScoped<OverviewLoader>();
        builder.Services.Configure<RequestLocalizationOptions>(Localize);
    }

    /// <summary>
    /// What fails is answered by one of the <see cref="IExceptionHandler"/>s, or else by a page. Development keeps the
    /// framework's own page with the stack, which is further out.
    /// </summary>
    public static void UseErrorPage(this WebApplication app)
    {
        if (app.Environment.IsDevelopment())
            app.UseExceptionHandler(new ExceptionHandlerOptions { ExceptionHandler = ThrowAgain });
        else
            app.UseExceptionHandler("/error", createScopeForErrors: true);
    }

    private static Task ThrowAgain(HttpContext http) =>
        Task.FromException(http.Features.GetRequiredFeature<IExceptionHandlerFeature>().Error);

    /// <summary>
    /// People who ask for what is not there get a page; programs keep their status and problem details.
    /// </summary>
    public static void UseNotFoundPage(this WebApplication app)
    {
        app.UseStatusCodePagesWithReExecute("/not-found", createScopeForStatusCodePages: true);
        app.Use(
            (http, next) =>
            {
                if (!IsForPeople(http) && http.Features.Get<IStatusCodePagesFeature>() is { } pages)
                    pages.Enabled = false;
                return next(http);
            }
        );
    }

    public static void MapApp(this WebApplication app) =>
        app.MapRazorComponents<App>().AddInteractiveServerRenderMode();

    private static bool IsForPeople(HttpContext http) =>
        HttpMethods.IsGet(http.Request.Method)
        && http.Request.Headers.Accept.ToString().Contains("text/html", StringComparison.OrdinalIgnoreCase)
        && !http.Request.Path.StartsWithSegments("/api");

    // Words are English; numbers and dates follow the person's browser. Cultures with another calendar would need words
    // of their own.
    private static void Localize(RequestLocalizationOptions options)
    {
        var words = CultureInfo.GetCultureInfo("en-GB");
        options.DefaultRequestCulture = new RequestCulture(words);
        options.SupportedUICultures = [words];
        options.SupportedCultures =
        [
            .. CultureInfo
                .GetCultures(CultureTypes.SpecificCultures)
                .Where(c => c.DateTimeFormat.Calendar is GregorianCalendar),
        ];
        options.RequestCultureProviders = [new AcceptLanguageHeaderRequestCultureProvider()];
        options.ApplyCurrentCultureToResponseHeaders = false;
    }
}
