using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Operations;

/// <summary>Events of the log have ids of their slice's range, as docs/operations.md lists them.</summary>
public sealed partial class LogEventTests
{
    private static readonly List<(string Slice, string Method, int Id)> _events =
    [
        .. typeof(Program)
            .Assembly.GetTypes()
            .SelectMany(type => type.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic))
            .Select(method => (Method: method, Event: method.GetCustomAttribute<LoggerMessageAttribute>()))
            // Those without an id get one made of their name.
            .Where(logged => logged.Event is { EventId: >= 0 })
            .Select(logged => (SliceOf(logged.Method), logged.Method.Name, logged.Event!.EventId)),
    ];

    [Fact]
    public void Every_id_is_of_its_slice_and_used_once()
    {
        var ranges = Range()
            .Matches(File.ReadAllText(Path.Combine(Repository.Root, "docs", "operations.md")))
            .ToDictionary(match => match.Groups[3].Value, match => (From: Number(match, 1), To: Number(match, 2)));

        Assert.NotEmpty(_events);
        Assert.Equal(_events.Count, _events.DistinctBy(logged => logged.Id).Count());
        Assert.All(_events, logged => Assert.InRange(logged.Id, ranges[logged.Slice].From, ranges[logged.Slice].To));
    }

    [Theory]
    [InlineData("Authentication")]
    [InlineData("Data")]
    [InlineData("Hosting")]
    [InlineData("Ingestion")]
    [InlineData("Insights")]
    [InlineData("Operations")]
    [InlineData("Shopify")]
    [InlineData("Tenants")]
    public void Slices_log_named_events_only(string slice)
    {
        var direct = Repository
            .Sources("XenoInsights")
            .Where(source => source.Path.Contains($"XenoInsights/{slice}/", StringComparison.Ordinal))
            .Where(source => DirectCall().IsMatch(source.Text))
            .Select(source => source.Path);

        Assert.Empty(direct);
    }

    /// <summary><c>XenoInsights.Operations.Fleet</c> is of <c>Operations</c>.</summary>
    private static string SliceOf(MethodInfo method) => method.DeclaringType!.Namespace!.Split('.')[1];

    private static int Number(Match match, int group) =>
        int.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^\| (\d+)–(\d+) \| `(\w+)` \|", RegexOptions.Multiline)]
    private static partial Regex Range();

    [GeneratedRegex(@"\.Log(Trace|Debug|Information|Warning|Error|Critical)\(")]
    private static partial Regex DirectCall();
}
