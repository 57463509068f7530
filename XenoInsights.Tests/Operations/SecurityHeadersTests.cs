using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Playwright;
using MudBlazor.Services;
using Scalar.AspNetCore;
using XenoInsights.Hosting;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Operations;

/// <summary>
/// A page of the kinds of things the product is made of, under the product's headers, in a real browser.
/// </summary>
public sealed class SecurityHeadersTests(BrowserFixture browser) : BrowserTest(browser)
{
    [Theory]
    [InlineData("Development")]
    [InlineData("Production")]
    public async Task The_policy_lets_Blazor_and_MudBlazor_work_and_stops_foreign_scripts(string environment)
    {
        await using var app = await StartAsync(environment);
        var page = await OpenAsync(new Uri(app.Urls.First()));

        await page.Page.GotoAsync("/");
        await page.Page.GetByRole(AriaRole.Button, new() { Name = "Count" }).ClickAsync();
        await Assertions.Expect(page.Page.Locator("#count")).ToHaveTextAsync("1");
        Assert.Empty(page.Problems);

        await page.Page.EvaluateAsync(
            """
            const scripts = [
                ['text', 'window.injected = true'],
                ['src', 'data:text/javascript,window.injected = true'],
            ];
            for (const [name, value] of scripts)
                document.body.appendChild(Object.assign(document.createElement('script'), { [name]: value }))
            """
        );
        Assert.Null(await page.Page.EvaluateAsync<bool?>("window.injected ?? null"));
        Assert.Equal(
            2,
            page.ConsoleErrors.Count(error => error.Contains("Content Security Policy", StringComparison.Ordinal))
        );
        await page.Page.CloseAsync();
        await app.StopAsync(Ct);
    }

    [Fact]
    public async Task The_API_page_works_under_its_own_policy()
    {
        await using var app = await StartAsync("Production");
        var page = await OpenAsync(new Uri(app.Urls.First()));

        await page.Page.GotoAsync("/api/docs");
        await page.Page.GetByText("/probe").First.WaitForAsync();

        Assert.Empty(page.Problems);
        await page.Page.EvaluateAsync(
            "document.body.appendChild(Object.assign(document.createElement('script'), { text: "
                + "'window.injected = true' }))"
        );
        Assert.Null(await page.Page.EvaluateAsync<bool?>("window.injected ?? null"));
        Assert.Single(page.ConsoleErrors, error => error.Contains("Content Security Policy", StringComparison.Ordinal));
        await page.Page.CloseAsync();
        await app.StopAsync(Ct);
    }

    [Fact]
    public async Task Every_answer_carries_the_headers_once()
    {
        await using var app = await StartAsync("Production");
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };

        foreach (var path in (string[])["/", "/health/live", "/_content/MudBlazor/MudBlazor.min.css", "/no-such-page"])
        {
            using var response = await http.GetAsync(new Uri(path, UriKind.Relative), Ct);
            Assert.Equal("nosniff", Assert.Single(response.Headers.GetValues("X-Content-Type-Options")));
            var policy = Assert.Single(response.Headers.GetValues("Content-Security-Policy"));
            Assert.Contains("frame-ancestors 'none'", policy, StringComparison.Ordinal);
            Assert.DoesNotContain("localhost", policy, StringComparison.Ordinal);
            Assert.DoesNotContain("script-src 'self' 'unsafe-inline'", policy, StringComparison.Ordinal);
        }
    }

    private static async Task<WebApplication> StartAsync(string environment)
    {
        var builder = WebApplication.CreateBuilder(
            new WebApplicationOptions
            {
                ApplicationName = typeof(Program).Assembly.GetName().Name,
                EnvironmentName = environment,
                ContentRootPath = AppContext.BaseDirectory,
            }
        );
        builder.WebHost.UseStaticWebAssets().UseUrls("http://127.0.0.1:0");
        builder.Configuration["Serilog:MinimumLevel:Default"] = "Fatal";
        builder.Configuration["Serilog:MinimumLevel:Override:Microsoft.Hosting.Lifetime"] = "Fatal";
        builder.AddHosting();
        builder.Services.AddRazorComponents().AddInteractiveServerComponents();
        builder.Services.AddMudServices();
        var app = builder.Build();
        app.UseMiddleware<SecurityHeaders>();
        app.UseAntiforgery();
        app.MapHosting();
        app.MapGet(
            "/openapi/v1.json",
            () =>
                """{"openapi":"3.1.1","info":{"title":"Probe","version":"1"},"paths":{"/probe":{"get":"""
                + """{"responses":{"200":{"description":"OK"}}}}}}"""
        );
        app.MapScalarApiReference("/api/docs", options => options.WithNonce().DisableDefaultFonts());
        app.MapStaticAssets(Path.Combine(AppContext.BaseDirectory, "XenoInsights.staticwebassets.endpoints.json"));
        app.MapRazorComponents<PolicyPage>().AddInteractiveServerRenderMode();
        await app.StartAsync(Ct);
        return app;
    }
}
