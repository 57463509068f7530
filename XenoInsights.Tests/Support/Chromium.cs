using System.Diagnostics;
using Microsoft.Playwright;

namespace XenoInsights.Tests.Support;

/// <summary>
/// Launches the Chromium of this machine: CHROMIUM_PATH, an installed browser, else one that it installs.
/// </summary>
internal static class Chromium
{
    private const string PathKey = "CHROMIUM_PATH";

    private static readonly string[] _places =
    [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
        "/usr/bin/google-chrome-stable",
        "/opt/google/chrome/chrome",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        Path.Combine(
            Environment.GetFolderPath(Environment.SpecialFolder.ProgramFiles),
            "Google",
            "Chrome",
            "Application",
            "chrome.exe"
        ),
        Path.Combine(
            Environment.GetFolderPath(Environment.SpecialFolder.ProgramFilesX86),
            "Microsoft",
            "Edge",
            "Application",
            "msedge.exe"
        ),
    ];

    public static async Task<IBrowser> LaunchAsync(IPlaywright playwright)
    {
        if (Installed() is { } path)
            return await LaunchAsync(playwright, path);
        var failures = new List<string>();
        if (await FromPlaywrightAsync(playwright, failures) is { } downloaded)
            return downloaded;
        if (InstallWithApt(failures) && Installed() is { } packaged)
            return await LaunchAsync(playwright, packaged);
        throw new InvalidOperationException(
            "The browser tests need Chromium or Chrome, and none could be installed. Install one, "
                + $"or set {PathKey} to its executable.\n{string.Join('\n', failures)}"
        );
    }

    private static string? Installed()
    {
        if (Environment.GetEnvironmentVariable(PathKey) is not { Length: > 0 } configured)
            return Array.Find(_places, File.Exists);
        return File.Exists(configured)
            ? configured
            : throw new InvalidOperationException($"{PathKey} names {configured}, which does not exist.");
    }

    private static async Task<IBrowser?> FromPlaywrightAsync(IPlaywright playwright, List<string> failures)
    {
        if (
            !File.Exists(playwright.Chromium.ExecutablePath)
            && await Task.Run(() => Microsoft.Playwright.Program.Main(["install", "chromium"])) is not 0 and var code
        )
        {
            failures.Add($"playwright install chromium: exit code {code}");
            return null;
        }
        try
        {
            return await LaunchAsync(playwright, null);
        }
        catch (PlaywrightException e)
        {
            // Usually the system lacks libraries that its own package would bring.
            failures.Add($"Playwright's Chromium: {e.Message}");
            return null;
        }
    }

    private static bool InstallWithApt(List<string> failures)
    {
        if (!File.Exists("/usr/bin/apt-get") || !Environment.IsPrivilegedProcess)
        {
            failures.Add("apt-get: needs Debian and root");
            return false;
        }
        foreach (var arguments in (string[])["update -q", "install -y -q --no-install-recommends chromium"])
        {
            using var apt = Process.Start(
                new ProcessStartInfo("/usr/bin/apt-get", arguments)
                {
                    Environment = { ["DEBIAN_FRONTEND"] = "noninteractive" },
                }
            )!;
            apt.WaitForExit();
            if (apt.ExitCode != 0)
                failures.Add($"apt-get {arguments}: exit code {apt.ExitCode}");
        }
        return true;
    }

    private static Task<IBrowser> LaunchAsync(IPlaywright playwright, string? path) =>
        playwright.Chromium.LaunchAsync(
            new()
            {
                ExecutablePath = path,
                Headless = true,
                ChromiumSandbox = false,
                Args =
                [
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                ],
            }
        );
}
