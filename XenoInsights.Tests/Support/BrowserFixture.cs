using System.Collections.Concurrent;
using Microsoft.Playwright;
using XenoInsights.Tests.Support;

[assembly: AssemblyFixture(typeof(BrowserFixture))]

namespace XenoInsights.Tests.Support;

/// <summary>The one browser of a test run, launched when the first test opens a page.</summary>
public sealed class BrowserFixture : IAsyncDisposable
{
    private readonly Lazy<Task<IBrowser>> _browser;
    private IPlaywright? _playwright;

    public BrowserFixture() => _browser = new(LaunchAsync);

    public Task<IBrowser> BrowserAsync() => _browser.Value;

    public async ValueTask DisposeAsync()
    {
        if (_browser.IsValueCreated && _browser.Value.IsCompletedSuccessfully)
            await (await _browser.Value).CloseAsync();
        _playwright?.Dispose();
    }

    private async Task<IBrowser> LaunchAsync()
    {
        _playwright = await Playwright.CreateAsync();
        return await Chromium.LaunchAsync(_playwright);
    }
}

/// <summary>
/// A test in the browser. Every page it opens is a visitor of its own; when the test fails, pictures of them are in
/// TestResults.
/// </summary>
public abstract class BrowserTest(BrowserFixture browser) : IAsyncDisposable
{
    private static readonly string _pictures = Path.Combine(AppContext.BaseDirectory, "TestResults");

    private readonly List<BrowserPage> _pages = [];

    protected static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <param name="host">Relative addresses on the page start here.</param>
    /// <param name="width">CSS pixels; 390 is a phone.</param>
    protected Task<BrowserPage> OpenAsync(
        AppHost host,
        ColorScheme colorScheme = ColorScheme.Light,
        int width = 1280,
        int height = 900,
        string locale = "en-US"
    ) => OpenAsync(host.Address, colorScheme, width, height, locale);

    protected async Task<BrowserPage> OpenAsync(
        Uri address,
        ColorScheme colorScheme = ColorScheme.Light,
        int width = 1280,
        int height = 900,
        string locale = "en-US"
    )
    {
        var context = await (await browser.BrowserAsync()).NewContextAsync(
            new()
            {
                BaseURL = address.ToString(),
                ColorScheme = colorScheme,
                ViewportSize = new() { Width = width, Height = height },
                Locale = locale,
            }
        );
        var page = new BrowserPage(context, await context.NewPageAsync());
        _pages.Add(page);
        return page;
    }

    /// <summary>
    /// As <see cref="OpenAsync(AppHost, ColorScheme, int, int, string)"/>, signed in as a demo user and standing on
    /// <paramref name="path"/>.
    /// </summary>
    protected async Task<BrowserPage> OpenSignedInAsync(
        AppHost host,
        string path = "/",
        string email = "owner@demo.test",
        ColorScheme colorScheme = ColorScheme.Light,
        int width = 1280,
        string locale = "en-US"
    )
    {
        var page = await OpenAsync(host, colorScheme, width, locale: locale);
        await page.Page.GotoAsync(AppHost.SignInPath(email, path).ToString());
        return page;
    }

    public virtual async ValueTask DisposeAsync()
    {
        var failed = TestContext.Current.TestState?.Result == TestResult.Failed;
        foreach (var (index, page) in _pages.Index())
        {
            if (failed)
                await KeepPictureAsync(page, index);
            await page.Page.Context.CloseAsync();
        }
        GC.SuppressFinalize(this);
    }

    private static async Task KeepPictureAsync(BrowserPage page, int index)
    {
        var test = TestContext.Current.TestCase;
        var name = string.Concat(
            $"{test?.TestClassName}.{test?.TestMethodName}-{index}.png".Split(Path.GetInvalidFileNameChars())
        );
        var path = Path.Combine(_pictures, name);
        await page.Page.ScreenshotAsync(new() { Path = path, FullPage = true });
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{page.Page.Url} looked like {path}\n{string.Join('\n', page.Problems.Take(20))}"
        );
    }
}

/// <summary>A browser page that remembers what went wrong on it.</summary>
public sealed class BrowserPage
{
    private readonly ConcurrentQueue<string> _consoleErrors = new();
    private readonly ConcurrentQueue<string> _failedRequests = new();

    internal BrowserPage(IBrowserContext context, IPage page)
    {
        Page = page;
        page.Console += (_, message) =>
        {
            if (message.Type == "error")
                _consoleErrors.Enqueue($"console: {message.Text}");
        };
        page.PageError += (_, error) => _consoleErrors.Enqueue($"script: {error}");
        context.RequestFailed += (_, request) =>
        {
            if (!IsLeftBehind(request))
                _failedRequests.Enqueue($"{request.Method} {request.Url}: {request.Failure}");
        };
        context.Response += (_, response) =>
        {
            if (response.Status >= 400)
                _failedRequests.Enqueue($"{response.Request.Method} {response.Url}: {response.Status}");
        };
    }

    public IPage Page { get; }

    /// <summary>Errors on the console and scripts that threw; a policy violation is one of them.</summary>
    public IReadOnlyCollection<string> ConsoleErrors => _consoleErrors;

    /// <summary>Requests without an answer, or with one from 400 up.</summary>
    public IReadOnlyCollection<string> FailedRequests => _failedRequests;

    public IEnumerable<string> Problems => _consoleErrors.Concat(_failedRequests);

    /// <summary>What a page navigates away from is aborted; that is no failure.</summary>
    private static bool IsLeftBehind(IRequest request) => request.Failure is "net::ERR_ABORTED";
}
