using System.Text.RegularExpressions;

namespace XenoInsights.Tests.Support;

/// <summary>What the documentation names exists: tests, pages, headings, files of the code.</summary>
public sealed partial class DocumentationTests
{
    private static readonly string[] _methods =
    [
        .. typeof(DocumentationTests)
            .Assembly.GetTypes()
            .Where(t => t.Name.EndsWith("Tests", StringComparison.Ordinal))
            .SelectMany(t => t.GetMethods().Select(m => $"{t.Name}.{m.Name}").Append(t.Name)),
    ];

    public static TheoryData<string, string> Named
    {
        get
        {
            var named = new TheoryData<string, string>();
            foreach (
                var row in File.ReadLines(Path.Combine(Repository.Root, "docs", "architecture.md"))
                    .Where(line => line.StartsWith('|'))
            )
            {
                var type = "";
                foreach (
                    var name in Code()
                        .Matches(row.Split('|', StringSplitOptions.RemoveEmptyEntries).Last())
                        .Select(m => m.Groups[1].Value)
                )
                {
                    // "…The_rest" goes on with the class before it.
                    if (name.Contains("Tests", StringComparison.Ordinal))
                        type = name.Split('.')[0];
                    else if (!name.StartsWith('…') || type.Length == 0)
                        continue;
                    named.Add(
                        row.Split('|', StringSplitOptions.RemoveEmptyEntries)[0].Trim(),
                        name.StartsWith('…') ? type + "." + name : name
                    );
                }
            }
            return named;
        }
    }

    [Theory]
    [MemberData(nameof(Named))]
    public void A_promise_names_tests_that_exist(string promise, string test)
    {
        var pattern = new Regex("^" + string.Join(".*", test.Split('…').Select(Regex.Escape)) + "$");

        Assert.True(Array.Exists(_methods, pattern.IsMatch), $"\"{promise}\" names {test}, which is not there.");
    }

    [Fact]
    public void Links_lead_to_files_and_headings_that_exist()
    {
        var broken = Pages()
            .SelectMany(page =>
                Link()
                    .Matches(File.ReadAllText(page))
                    .Select(match => match.Groups[1].Value + match.Groups[2].Value)
                    .Where(link => !link.Contains("://", StringComparison.Ordinal) && !Leads(page, link))
                    .Select(link => $"{Path.GetRelativePath(Repository.Root, page)}: {link}")
            );

        Assert.Empty(broken);
    }

    [Fact]
    public void The_guide_for_contributors_names_files_that_exist()
    {
        var named = File.ReadLines(Path.Combine(Repository.Root, "CONTRIBUTING.md"))
            .SelectMany(line => Code().Matches(line))
            .Select(match => match.Groups[1].Value)
            .Where(code => SourceFile().IsMatch(code))
            .ToList();

        var sources = Repository.Sources("XenoInsights").Select(source => source.Path).ToList();

        Assert.NotEmpty(named);
        Assert.DoesNotContain(
            named,
            file =>
                !File.Exists(Path.Combine(Repository.Root, file))
                && !sources.Exists(source => source.EndsWith("/" + file, StringComparison.Ordinal))
        );
    }

    private static IEnumerable<string> Pages() =>
        Directory
            .EnumerateFiles(Repository.Root, "*.md")
            .Concat(
                Directory.EnumerateFiles(Path.Combine(Repository.Root, "docs"), "*.md", SearchOption.AllDirectories)
            );

    private static bool Leads(string page, string link)
    {
        var (path, heading) = link.Split('#') is [var first, var second] ? (first, second) : (link, "");
        var target = path.Length == 0 ? page : Path.Combine(Path.GetDirectoryName(page)!, path);
        if (!Path.Exists(target))
            return false;
        return heading.Length == 0
            || Array.Exists(File.ReadAllLines(target), line => line.StartsWith('#') && Anchor(line) == heading);
    }

    /// <summary>As GitHub makes it of a heading.</summary>
    private static string Anchor(string heading) =>
        NotInAnchor().Replace(heading.TrimStart('#').Trim().ToLowerInvariant(), "").Replace(' ', '-');

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Code();

    [GeneratedRegex("\\]\\(([^)\\s]+)\\)|src=\"([^\"]+)\"")]
    private static partial Regex Link();

    [GeneratedRegex(@"^[\w.]+(/[\w.-]+)*\.(cs|razor|json|yaml|graphql)$")]
    private static partial Regex SourceFile();

    [GeneratedRegex(@"[^\w\- ]")]
    private static partial Regex NotInAnchor();
}
