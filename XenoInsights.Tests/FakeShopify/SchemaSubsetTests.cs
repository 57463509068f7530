using System.Reflection;
using GraphQL;
using GraphQL.Types;
using GraphQL.Validation;
using GraphQLParser.AST;
using XenoInsights.Development.FakeShopify;

namespace XenoInsights.Tests.FakeShopify;

public sealed class SchemaSubsetTests
{
    [Fact]
    public async Task Every_document_the_product_sends_is_valid_against_the_platforms_schema()
    {
        var assembly = typeof(FakeShopifyHost).Assembly;
        var documents = assembly
            .GetManifestResourceNames()
            .Where(name =>
                name.Contains("Documents", StringComparison.Ordinal)
                && name.EndsWith(".graphql", StringComparison.Ordinal)
            )
            .ToArray();

        Assert.NotEmpty(documents);
        foreach (var name in documents)
        {
            Assert.Empty(await ProblemsAsync(Read(assembly, name)));
        }
    }

    [Fact]
    public async Task A_field_the_platform_does_not_have_is_found()
    {
        Assert.NotEmpty(await ProblemsAsync("{ orders(first: 1) { nodes { id totalPriceInCents } } }"));
        Assert.Empty(
            await ProblemsAsync(
                "{ orders(first: 1) { nodes { id agreements(first: 5) { nodes { id ... "
                    + "on RefundAgreement { refund { id } } } } } } }"
            )
        );
    }

    [Fact]
    public void Every_field_of_the_subset_has_an_answer()
    {
        var unanswered = AdminSchema
            .AllTypes.OfType<IObjectGraphType>()
            .Where(type =>
                !type.Name.StartsWith("__", StringComparison.Ordinal)
                && type.Name != "Return"
                && type.Name != "OrderApp"
                && type.Name != "MediaImage"
            )
            .SelectMany(type => type.Fields.Select(field => (type.Name, Field: field.Name)))
            .Where(field => !FakeShopifyHost.Answers(field.Name, field.Field));
        Assert.Empty(unanswered);
    }

    private static ISchema AdminSchema => FakeShopifyHost.AdminSchema;

    private static string Read(Assembly assembly, string name)
    {
        using var reader = new StreamReader(assembly.GetManifestResourceStream(name)!);
        return reader.ReadToEnd();
    }

    private static async Task<IEnumerable<string>> ProblemsAsync(string text)
    {
        var document = new GraphQL.Execution.GraphQLDocumentBuilder().Build(text);
        var problems = new List<string>();
        foreach (var operation in document.Definitions.OfType<GraphQLOperationDefinition>())
        {
            var result = await new DocumentValidator().ValidateAsync(
                new ValidationOptions
                {
                    Schema = AdminSchema,
                    Document = document,
                    Operation = operation,
                    Rules = DocumentValidator.CoreRules,
                    Variables = Inputs.Empty,
                }
            );
            // The documents are looked at without values for their variables.
            problems.AddRange(result.Errors.Where(e => e is not InvalidVariableError).Select(e => e.Message));
        }
        return problems;
    }
}
