using System.Globalization;
using GraphQL;
using GraphQL.Types;
using GraphQLParser.AST;

namespace XenoInsights.Development.FakeShopify;

/// <summary>
/// The price of a query in points. An object is 1, a mutation 10, a scalar 0, a connection 2 plus its node's price
/// times a number that grows with the logarithm of the page size: worked out from recorded answers of the real
/// platform.
/// </summary>
internal static class Cost
{
    private const int Mutation = 10;
    private const int Counting = 10;
    private static readonly HashSet<string> _free = ["MoneyBag", "MoneyV2", "PageInfo", "CustomerPhoneNumber"];

    public static int Requested(
        GraphQLDocument document,
        GraphQLOperationDefinition operation,
        ISchema schema,
        IReadOnlyDictionary<string, object?>? variables
    ) => Operation(document, operation, schema, variables, field => Window(field, operation, variables));

    /// <summary>The same with the pages that came out instead of the ones asked for.</summary>
    public static int Actual(
        GraphQLDocument document,
        GraphQLOperationDefinition operation,
        ISchema schema,
        IReadOnlyDictionary<string, object?>? variables,
        IReadOnlyDictionary<ASTNode, int> pages
    ) => Operation(document, operation, schema, variables, field => pages.GetValueOrDefault(field));

    private static int Operation(
        GraphQLDocument document,
        GraphQLOperationDefinition operation,
        ISchema schema,
        IReadOnlyDictionary<string, object?>? variables,
        Func<GraphQLField, int> size
    )
    {
        if (operation.Operation == OperationType.Mutation)
        {
            return Mutation * operation.SelectionSet.Selections.OfType<GraphQLField>().Count();
        }
        return Selections(
            operation.SelectionSet,
            schema.Query,
            new Walk(document, schema, size, field => Listed(field, variables))
        );
    }

    private static int Selections(GraphQLSelectionSet? selections, IGraphType type, Walk walk) =>
        selections?.Selections.Sum(selection =>
            selection switch
            {
                GraphQLField field => Field(field, type, walk),
                GraphQLInlineFragment fragment => Selections(
                    fragment.SelectionSet,
                    Narrow(fragment.TypeCondition, type, walk),
                    walk
                ),
                GraphQLFragmentSpread spread when walk.Fragment(spread) is { } fragment => Selections(
                    fragment.SelectionSet,
                    Narrow(fragment.TypeCondition, type, walk),
                    walk
                ),
                _ => 0,
            }
        )
        ?? 0;

    private static int Field(GraphQLField field, IGraphType parent, Walk walk)
    {
        if (field.SelectionSet is null || TypeOf(field, parent) is not { } type)
        {
            return 0;
        }
        if (type.Name.EndsWith("Connection", StringComparison.Ordinal))
        {
            return 2 + (Growth(walk.Size(field)) * Selections(field.SelectionSet, type, walk));
        }
        if (parent == walk.Schema.Query && field.Name == "nodes")
        {
            return walk.Listed(field) * (1 + Selections(field.SelectionSet, type, walk));
        }
        if (type.Name.EndsWith("Edge", StringComparison.Ordinal))
        {
            return Math.Max(1, Selections(field.SelectionSet, type, walk));
        }
        var own = type.Name switch
        {
            "Count" => Counting,
            _ when _free.Contains(type.Name) => 0,
            _ => 1,
        };
        return own + Selections(field.SelectionSet, type, walk);
    }

    private static int Growth(int size) => size <= 0 ? 0 : Math.Max(1, (int)Math.Floor(2 * Math.Log(size)));

    private static IGraphType? TypeOf(GraphQLField field, IGraphType parent) =>
        (parent as IComplexGraphType)?.GetField(field.Name.Value)?.ResolvedType is { } type
        && type.GetNamedType() is { } named
            ? named
            : null;

    private static IGraphType Narrow(GraphQLTypeCondition? condition, IGraphType type, Walk walk) =>
        condition is null ? type : walk.Schema.AllTypes[condition.Type.Name.StringValue] ?? type;

    private static int Window(
        GraphQLField field,
        GraphQLOperationDefinition operation,
        IReadOnlyDictionary<string, object?>? variables
    )
    {
        var argument = field.Arguments?.FirstOrDefault(a => a.Name == "first" || a.Name == "last");
        return argument?.Value switch
        {
            GraphQLIntValue number => int.Parse(number.Value.Span, CultureInfo.InvariantCulture),
            GraphQLVariable variable => Variable(variable.Name.StringValue, operation, variables),
            _ => 0,
        };
    }

    private static int Listed(GraphQLField field, IReadOnlyDictionary<string, object?>? variables) =>
        field.Arguments?.FirstOrDefault(a => a.Name == "ids")?.Value switch
        {
            GraphQLListValue list => list.Values?.Count ?? 0,
            GraphQLVariable variable
                when variables?.GetValueOrDefault(variable.Name.StringValue) is IEnumerable<object?> list =>
                list.Count(),
            _ => 0,
        };

    private static int Variable(
        string name,
        GraphQLOperationDefinition operation,
        IReadOnlyDictionary<string, object?>? variables
    )
    {
        if (variables is not null && variables.TryGetValue(name, out var value) && value is IConvertible and not string)
        {
            return Convert.ToInt32(value, CultureInfo.InvariantCulture);
        }
        return
            operation.Variables?.FirstOrDefault(v => v.Variable.Name == name)?.DefaultValue is GraphQLIntValue fallback
            ? int.Parse(fallback.Value.Span, CultureInfo.InvariantCulture)
            : 0;
    }

    private sealed record Walk(
        GraphQLDocument Document,
        ISchema Schema,
        Func<GraphQLField, int> Size,
        Func<GraphQLField, int> Listed
    )
    {
        public GraphQLFragmentDefinition? Fragment(GraphQLFragmentSpread spread) =>
            Document
                .Definitions.OfType<GraphQLFragmentDefinition>()
                .FirstOrDefault(f => f.FragmentName.Name == spread.FragmentName.Name);
    }
}

/// <summary>The leaky bucket of an app in a store: points come back by the second.</summary>
internal sealed class DemoBucket
{
    private readonly Lock _gate = new();
    private double _available = double.MaxValue;
    private DateTimeOffset _readAt;

    public int Maximum { get; set; } = 2000;

    public int RestorePerSecond { get; set; } = 100;

    /// <summary>Points of all queries so far.</summary>
    public long Spent { get; private set; }

    public int Available(DateTimeOffset now)
    {
        lock (_gate)
        {
            Restore(now);
            return (int)_available;
        }
    }

    public bool TryTake(int points, DateTimeOffset now)
    {
        lock (_gate)
        {
            Restore(now);
            if (points > _available)
            {
                return false;
            }
            _available -= points;
            Spent += points;
            return true;
        }
    }

    public void GiveBack(int points, DateTimeOffset now)
    {
        lock (_gate)
        {
            Restore(now);
            _available = Math.Min(Maximum, _available + points);
            Spent -= points;
        }
    }

    private void Restore(DateTimeOffset now)
    {
        var seconds = Math.Max(0, (now - _readAt).TotalSeconds);
        _available = Math.Min(Maximum, _available + (seconds * RestorePerSecond));
        _readAt = now;
    }
}
