namespace XenoInsights.Tests.Support;

/// <summary>The checkout that the tests were built from, for rules about the code itself.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    public static IEnumerable<(string Path, string Text)> Sources(string project) =>
        Directory
            .EnumerateFiles(Path.Combine(Root, project), "*.*", SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(Root, file).Replace('\\', '/'))
            .Where(path =>
                Path.GetExtension(path) is ".cs" or ".razor"
                && !path.Contains("/obj/", StringComparison.Ordinal)
                && !path.Contains("/bin/", StringComparison.Ordinal)
            )
            .Select(path => (path, File.ReadAllText(Path.Combine(Root, path))));

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "XenoInsights.sln")))
                return folder.FullName;
        throw new InvalidOperationException("The tests run from a build inside the repository.");
    }
}
