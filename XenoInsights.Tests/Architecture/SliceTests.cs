using System.Reflection;
using Mono.Cecil;
using Mono.Cecil.Cil;
using XenoInsights.Data;

namespace XenoInsights.Tests.Architecture;

/// <summary>
/// A slice is a folder of the app. Slices depend on each other in one direction only, read from the compiled assembly.
/// </summary>
public sealed class SliceTests
{
    private const string Root = "XenoInsights";

    /// <summary>
    /// The one context names every slice's entities, and the rows of a unit of work belong to whichever slice declares
    /// them: what only its sets and its compiled model name is no dependency of the slice Data.
    /// </summary>
    private static readonly string[] _excepted = [typeof(XenoDbContext).FullName!, $"{Root}.Data.Migrations."];

    [Fact]
    public void Slices_form_no_cycle()
    {
        using var assembly = AssemblyDefinition.ReadAssembly(typeof(XenoDbContext).Assembly.Location);
        var dependencies = Dependencies(assembly);
        Assert.True(dependencies.Count > 10, "Too few slices were found.");

        var cycles = Cycles(dependencies);

        Assert.True(cycles.Count == 0, string.Join('\n', cycles.Select(cycle => Describe(cycle, dependencies))));
    }

    [Fact]
    public void A_cycle_is_found()
    {
        var dependencies = new Dictionary<string, Dictionary<string, string>>
        {
            ["A"] = new() { ["B"] = "" },
            ["B"] = new() { ["C"] = "" },
            ["C"] = new() { ["A"] = "" },
            ["D"] = new() { ["A"] = "" },
        };

        Assert.Equal(["A", "B", "C"], Assert.Single(Cycles(dependencies)).Order(StringComparer.Ordinal));
    }

    /// <summary>For each slice the slices it depends on, with one pair of types as the example.</summary>
    private static Dictionary<string, Dictionary<string, string>> Dependencies(AssemblyDefinition assembly)
    {
        var dependencies = new Dictionary<string, Dictionary<string, string>>(StringComparer.Ordinal);
        foreach (var type in assembly.MainModule.GetTypes())
        {
            if (
                SliceOf(type) is not { } slice
                || _excepted.Any(name => type.FullName.StartsWith(name, StringComparison.Ordinal))
            )
                continue;
            if (!dependencies.TryGetValue(slice, out var others))
                dependencies[slice] = others = new(StringComparer.Ordinal);
            foreach (var other in Referenced(type))
            {
                if (SliceOf(other) is not { } otherSlice || otherSlice == slice)
                    continue;
                var example = $"{type.FullName} -> {other.FullName}";
                others[otherSlice] = others.TryGetValue(otherSlice, out var more)
                    ? $"{more}\n      {example}"
                    : example;
            }
        }
        return dependencies;
    }

    /// <summary>The folder below the root; null for what stands in the root or in other assemblies.</summary>
    private static string? SliceOf(TypeReference type)
    {
        while (type.DeclaringType is { } outer)
            type = outer;
        if (type.Scope is not ModuleDefinition)
            return null;
        var parts = type.Namespace.Split('.');
        return parts.Length > 1 && parts[0] == Root ? parts[1] : null;
    }

    private static HashSet<TypeReference> Referenced(TypeDefinition type)
    {
        var found = new HashSet<TypeReference>();
        Add(type.BaseType);
        foreach (var contract in type.Interfaces)
            Add(contract.InterfaceType);
        foreach (var field in type.Fields)
            Add(field.FieldType);
        foreach (var attribute in type.CustomAttributes)
            AddAttribute(attribute);
        foreach (var property in type.Properties.SelectMany(p => p.CustomAttributes))
            AddAttribute(property);
        foreach (var method in type.Methods)
            AddMethod(method);
        return found;

        void Add(TypeReference? reference)
        {
            switch (reference)
            {
                case null or GenericParameter:
                    return;
                case GenericInstanceType generic:
                    Add(generic.ElementType);
                    foreach (var argument in generic.GenericArguments)
                        Add(argument);
                    return;
                case TypeSpecification specification:
                    Add(specification.ElementType);
                    return;
                default:
                    found.Add(reference);
                    return;
            }
        }

        void AddAttribute(CustomAttribute attribute)
        {
            Add(attribute.AttributeType);
            foreach (var argument in attribute.ConstructorArguments)
                Add(argument.Value as TypeReference);
        }

        void AddMethod(MethodDefinition method)
        {
            Add(method.ReturnType);
            foreach (var parameter in method.Parameters)
                Add(parameter.ParameterType);
            if (!method.HasBody)
                return;
            foreach (var variable in method.Body.Variables)
                Add(variable.VariableType);
            foreach (var instruction in method.Body.Instructions)
                AddOperand(instruction.Operand);
        }

        void AddOperand(object? operand)
        {
            switch (operand)
            {
                case TypeReference reference:
                    Add(reference);
                    break;
                case MethodReference called:
                    Add(called.DeclaringType);
                    if (called is GenericInstanceMethod generic)
                        foreach (var argument in generic.GenericArguments)
                            Add(argument);
                    break;
                case FieldReference field:
                    Add(field.DeclaringType);
                    break;
            }
        }
    }

    /// <summary>Groups of slices that all depend on each other, directly or not.</summary>
    private static List<List<string>> Cycles(Dictionary<string, Dictionary<string, string>> dependencies)
    {
        var reachable = dependencies.Keys.ToDictionary(slice => slice, slice => Reachable(slice, dependencies));
        var grouped = new HashSet<string>(StringComparer.Ordinal);
        var cycles = new List<List<string>>();
        foreach (var slice in dependencies.Keys.Where(slice => reachable[slice].Contains(slice)))
        {
            if (!grouped.Add(slice))
                continue;
            var cycle = dependencies
                .Keys.Where(other => reachable[slice].Contains(other) && reachable[other].Contains(slice))
                .ToList();
            grouped.UnionWith(cycle);
            cycles.Add(cycle);
        }
        return cycles;
    }

    private static HashSet<string> Reachable(string from, Dictionary<string, Dictionary<string, string>> dependencies)
    {
        var reached = new HashSet<string>(StringComparer.Ordinal);
        var open = new Queue<string>(dependencies[from].Keys);
        while (open.TryDequeue(out var slice))
        {
            if (!reached.Add(slice) || !dependencies.TryGetValue(slice, out var further))
                continue;
            foreach (var next in further.Keys)
                open.Enqueue(next);
        }
        return reached;
    }

    private static string Describe(List<string> cycle, Dictionary<string, Dictionary<string, string>> dependencies)
    {
        var edges =
            from slice in cycle
            from other in dependencies[slice]
            where cycle.Contains(other.Key)
            select $"  {slice} -> {other.Key}:\n      {other.Value}";
        return $"{string.Join(", ", cycle)} depend on each other:\n{string.Join('\n', edges)}";
    }
}
