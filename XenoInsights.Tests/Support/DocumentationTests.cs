using System.Text.RegularExpressions;

namespace XenoInsights.Tests.Support;

/// <summary>The tables that say which test holds a promise or a hard case name tests that exist.</summary>
public sealed partial class DocumentationTests
{
    private static readonly string[] _methods = [.. typeof(DocumentationTests).Assembly.GetTypes().Where(t => t.Name.EndsWith("Tests", StringComparison.Ordinal)).SelectMany(t => t.GetMethods().Select(m => $"{t.Name}.{m.Name}").Append(t.Name))];

    public static TheoryData<string, string> Named
    {
        get
        {
            var named = new TheoryData<string, string>();
            foreach (var row in File.ReadLines(Path.Combine(Repository.Root, "docs", "architecture.md")).Where(line => line.StartsWith('|')))
            {
                var type = "";
                foreach (var name in Code().Matches(row.Split('|', StringSplitOptions.RemoveEmptyEntries).Last()).Select(m => m.Groups[1].Value))
                {
                    // "…The_rest" goes on with the class before it.
                    if (name.Contains("Tests", StringComparison.Ordinal)) type = name.Split('.')[0];
                    else if (!name.StartsWith('…') || type.Length == 0) continue;
                    named.Add(row.Split('|', StringSplitOptions.RemoveEmptyEntries)[0].Trim(), name.StartsWith('…') ? type + "." + name : name);
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

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Code();
}
