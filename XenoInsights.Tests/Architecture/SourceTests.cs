using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Architecture;

/// <summary>Rules about how the sources are written that neither the formatter nor the compiler checks.</summary>
public sealed partial class SourceTests
{
    private const int Columns = 120;

    private static readonly (string Path, string Text)[] _sources =
    [
        .. Repository
            .Sources("XenoInsights")
            .Concat(Repository.Sources("XenoInsights.Tests"))
            .Where(source => !source.Path.Contains("/Data/Migrations/", StringComparison.Ordinal)),
    ];

    [Fact]
    public void A_conditional_expression_has_no_other_as_its_condition_or_branch()
    {
        var nested = _sources.SelectMany(source => Nested(source.Path, source.Text)).ToList();

        Assert.True(nested.Count == 0, string.Join('\n', nested));
    }

    [Theory]
    [InlineData("class A { int B(bool c, bool d) => c ? 1 : d ? 2 : 3; }", "A.cs:1")]
    [InlineData("class A { int B(bool c, bool d) => c ? (d ? 1 : 2) : 3; }", "A.cs:1")]
    [InlineData("class A { int B(bool c, bool d) => c ? Math.Max(d ? 1 : 2, 0) : 3; }", null)]
    [InlineData("<p>@(A ? 1 : B ? 2 : 3)</p>", "A.razor:1")]
    [InlineData("<p></p>\n@code {\n    private int C => A ? 1 : B ? 2 : 3;\n}", "A.razor:3")]
    [InlineData("<p>@(A ? 1 : 2)</p>\n@code {\n    private int C => A ? 1 : 2;\n}", null)]
    public void Nested_conditional_expressions_are_found(string text, string? place)
    {
        var found = Nested(text.StartsWith('<') ? "A.razor" : "A.cs", text);

        Assert.Equal(place is null ? [] : [place], found);
    }

    [Theory]
    [InlineData(".cs", 0.01)]
    [InlineData(".razor", 0.02)]
    public void Few_lines_are_longer_than_120_columns(string extension, double atMost)
    {
        var lines = _sources
            .Where(source => source.Path.EndsWith(extension, StringComparison.Ordinal))
            .SelectMany(source => source.Text.Split('\n'))
            .ToList();

        Assert.InRange((double)lines.Count(line => line.TrimEnd('\r').Length > Columns) / lines.Count, 0, atMost);
    }

    private static IEnumerable<string> Nested(string path, string text) =>
        path.EndsWith(".razor", StringComparison.Ordinal)
            ? NestedInRazor(text).Select(line => $"{path}:{line}")
            : NestedIn(CSharpSyntaxTree.ParseText(text).GetRoot()).Select(line => $"{path}:{line}");

    // A page's explicit expressions, @(…), and its code block.
    private static IEnumerable<int> NestedInRazor(string text)
    {
        foreach (Match start in ExplicitExpression().Matches(text))
        {
            var expression = SyntaxFactory.ParseExpression(text, start.Index + 1, consumeFullText: false);
            foreach (var line in NestedIn(expression))
                yield return line + text.AsSpan(0, start.Index).Count('\n');
        }
        if (CodeBlock().Match(text) is { Success: true } code)
        {
            var type = CSharpSyntaxTree.ParseText("class Page " + text[(code.Index + code.Length - 1)..]);
            foreach (var line in NestedIn(type.GetRoot()))
                yield return line + text.AsSpan(0, code.Index + code.Length - 1).Count('\n');
        }
    }

    private static IEnumerable<int> NestedIn(SyntaxNode root) =>
        root.DescendantNodesAndSelf()
            .OfType<ConditionalExpressionSyntax>()
            .Where(IsPartOfAnother)
            .Select(expression => expression.GetLocation().GetLineSpan().StartLinePosition.Line + 1);

    private static bool IsPartOfAnother(ConditionalExpressionSyntax expression)
    {
        var parent = expression.Parent;
        while (parent is ParenthesizedExpressionSyntax)
            parent = parent.Parent;
        return parent is ConditionalExpressionSyntax;
    }

    [GeneratedRegex(@"(?<!@)@\(")]
    private static partial Regex ExplicitExpression();

    [GeneratedRegex(@"^@code\s*\{", RegexOptions.Multiline)]
    private static partial Regex CodeBlock();
}
