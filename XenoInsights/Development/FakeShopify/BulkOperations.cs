using System.Globalization;
using System.Text;
using GraphQL;
using GraphQL.Types;
using GraphQLParser.AST;

namespace XenoInsights.Development.FakeShopify;

public enum DemoBulkStatus
{
    Created,
    Running,
    Completed,
    Failed,
    Canceling,
    Canceled,
    Expired,
}

/// <summary>One run of a bulk query. Its file is deleted with the host.</summary>
public sealed class DemoBulkOperation : IDemoObject
{
    private static readonly TimeSpan _urlLifetime = TimeSpan.FromDays(7);

    public required long Id { get; init; }

    public required string Query { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public DateTimeOffset UpdatedAt => CreatedAt;

    public DateTimeOffset? CompletedAt { get; internal set; }

    public DemoBulkStatus Status { get; internal set; } = DemoBulkStatus.Created;

    public string? ErrorCode { get; internal set; }

    public long ObjectCount { get; internal set; }

    public long RootObjectCount { get; internal set; }

    public long? FileSize { get; internal set; }

    public bool IsOver =>
        Status
            is DemoBulkStatus.Completed
                or DemoBulkStatus.Failed
                or DemoBulkStatus.Canceled
                or DemoBulkStatus.Expired;

    internal string? File { get; set; }

    internal CancellationTokenSource Cancellation { get; } = new();

    public DemoBulkStatus StatusAt(DateTimeOffset now) =>
        Status == DemoBulkStatus.Completed && now - CompletedAt > _urlLifetime ? DemoBulkStatus.Expired : Status;
}

/// <summary>The bulk queries of an app in one store: five at a time, each run in the background.</summary>
internal sealed class DemoBulk
{
    private const int AtOnce = 5;
    private const int LargestQuery = 65_535;
    private static readonly TimeSpan _step = TimeSpan.FromMilliseconds(20);

    private readonly Lock _gate = new();
    private long _last;

    public DemoSet<DemoBulkOperation> Set { get; } = DemoSet.Of<DemoBulkOperation>([]);

    public DemoBulkOperation? Find(long id) => Set.Find(id);

    public AdminPayload Run(string query, bool grouped, AdminRequest request)
    {
        if (Encoding.UTF8.GetByteCount(query) > LargestQuery)
        {
            return Invalid(["Query is too big"]);
        }
        var (export, problems) = BulkExport.Prepare(query, grouped, request);
        if (export is null)
        {
            return Invalid(problems);
        }
        DemoBulkOperation operation;
        lock (_gate)
        {
            var running = Set.All()
                .Where(o => !o.IsOver)
                .Select(o => new Gid("BulkOperation", o.Id).ToString())
                .ToArray();
            if (running.Length >= AtOnce)
            {
                return AdminPayload.Failed(
                    new AdminUserError(
                        null,
                        "A bulk query operation for this app and shop is already in progress: "
                            + $"{string.Join(", ", running)}.",
                        "OPERATION_IN_PROGRESS"
                    )
                );
            }
            // Counted from the clock: ids of an earlier process must not come again, an app may have kept one.
            _last = Math.Max(_last + 1, request.Now.ToUnixTimeMilliseconds());
            operation = new()
            {
                Id = (_last * 1000) + request.Shop.Ordinal,
                Query = query,
                CreatedAt = request.Now,
            };
            Set.Put(operation);
        }
        _ = Task.Run(() => WorkAsync(operation, export, request));
        return AdminPayload.Of(operation);
    }

    public AdminPayload Cancel(long id)
    {
        if (Find(id) is not { } operation)
        {
            return AdminPayload.Failed(new AdminUserError(["id"], "Bulk operation does not exist"));
        }
        if (operation.IsOver)
        {
            return new AdminPayload(
                operation,
                [
                    new AdminUserError(
                        null,
                        "A bulk operation cannot be canceled when it is "
                            + $"{operation.Status.ToString().ToLowerInvariant()}"
                    ),
                ]
            );
        }
        operation.Status = DemoBulkStatus.Canceling;
        operation.Cancellation.CancelAfter(_step);
        return AdminPayload.Of(operation);
    }

    public void CancelAll()
    {
        foreach (var operation in Set.All().Where(o => !o.IsOver))
        {
            operation.Cancellation.Cancel();
        }
    }

    private static AdminPayload Invalid(IReadOnlyList<string> problems) =>
        AdminPayload.Failed([.. problems.Select(problem => new AdminUserError(["query"], problem, "INVALID"))]);

    private static async Task WorkAsync(DemoBulkOperation operation, BulkExport export, AdminRequest request)
    {
        var faults = request.Store.Faults;
        var cancellation = operation.Cancellation.Token;
        var file = request.Host.NewResultFile();
        try
        {
            await Task.Delay(_step, cancellation);
            if (operation.Status == DemoBulkStatus.Created)
            {
                operation.Status = DemoBulkStatus.Running;
            }
            await export.WriteAsync(file, operation, cancellation);
            while (faults.HoldBulk)
            {
                await Task.Delay(_step, cancellation);
            }
            cancellation.ThrowIfCancellationRequested();
            if (
                operation.Status == DemoBulkStatus.Canceling
                || faults.Take(f => f.CancelBulk, (f, left) => f.CancelBulk = left)
            )
            {
                throw new OperationCanceledException();
            }
            Finish(operation, file, request);
        }
        catch (OperationCanceledException)
        {
            File.Delete(file);
            operation.CompletedAt = request.Host.Now;
            operation.Status = DemoBulkStatus.Canceled;
        }
        catch (Exception e)
        {
            // Nobody awaits this; the platform too only says that it failed.
            request
                .Host.Options.Loggers?.CreateLogger<DemoBulkOperation>()
                .LogError(e, "Bulk query {Id} failed", operation.Id);
            operation.ErrorCode = e is AdminError ? "ACCESS_DENIED" : "INTERNAL_SERVER_ERROR";
            operation.CompletedAt = request.Host.Now;
            operation.Status = DemoBulkStatus.Failed;
        }
    }

    private static void Finish(DemoBulkOperation operation, string file, AdminRequest request)
    {
        var faults = request.Store.Faults;
        var failed = faults.Take(f => f.FailBulk, (f, left) => f.FailBulk = left);
        if (failed)
        {
            KeepHalf(file);
            operation.ErrorCode = faults.BulkErrorCode;
        }
        if (faults.Take(f => f.DuplicateLine, (f, left) => f.DuplicateLine = left) && operation.ObjectCount > 0)
        {
            File.AppendAllText(file, File.ReadLines(file).Last() + "\n");
        }
        if (operation.ObjectCount > 0)
        {
            operation.FileSize = new FileInfo(file).Length;
            operation.File = file;
        }
        operation.CompletedAt = request.Host.Now;
        operation.Status = failed switch
        {
            true => DemoBulkStatus.Failed,
            _ when faults.Take(f => f.ExpireBulk, (f, left) => f.ExpireBulk = left) => DemoBulkStatus.Expired,
            _ => DemoBulkStatus.Completed,
        };
    }

    private static void KeepHalf(string file)
    {
        var lines = File.ReadAllLines(file);
        File.WriteAllText(file, string.Concat(lines[..(lines.Length / 2)].Select(line => line + "\n")));
    }
}

/// <summary>
/// A bulk query made ready: selections become arrays of writers, so that millions of lines pass through without an
/// object model of the answer. Ungrouped, each connection is written to a file of its own and the files are joined
/// parents first: children are then as far from their parents as the platform allows.
/// </summary>
internal sealed class BulkExport
{
    private readonly AdminRequest _request;
    private readonly GraphQLDocument _document;
    private readonly bool _grouped;
    private readonly Dictionary<(GraphQLSelectionSet, string), Selection> _selections = [];
    private readonly List<Slot> _roots = [];
    private readonly List<Slot> _slots = [];

    private BulkExport(GraphQLDocument document, bool grouped, AdminRequest request) =>
        (_document, _grouped, _request) = (document, grouped, request);

    public static (BulkExport? Export, IReadOnlyList<string> Problems) Prepare(
        string query,
        bool grouped,
        AdminRequest request
    )
    {
        if (string.IsNullOrWhiteSpace(query))
        {
            return (null, ["Invalid bulk query: syntax error, unexpected end of file"]);
        }
        if (AdminGraphQL.TryParse(query, out var syntax) is not { } document)
        {
            return (null, [$"Invalid bulk query: {syntax}"]);
        }
        var operation = document.Definitions.OfType<GraphQLOperationDefinition>().Single();
        if (operation.Operation != OperationType.Query)
        {
            return (null, ["Invalid operation type. Only `query` operations are supported."]);
        }
        var invalid = AdminGraphQL.ValidateAsync(document).GetAwaiter().GetResult();
        if (invalid.Count > 0)
        {
            return (null, [.. invalid.Select(message => $"Invalid bulk query: {message}")]);
        }
        var problems = new BulkRules(document).Check(operation);
        if (problems.Count > 0)
        {
            return (null, problems);
        }
        var export = new BulkExport(document, grouped, request);
        export.Compile(operation);
        return (export, []);
    }

    public async Task WriteAsync(string file, DemoBulkOperation operation, CancellationToken cancellation)
    {
        var shared = _grouped ? new JsonLines(file) : null;
        for (var i = 0; i < _slots.Count; i++)
        {
            _slots[i].Writer = shared ?? new JsonLines(i == 0 ? file : $"{file}.{i}");
        }
        try
        {
            foreach (var root in _roots)
            {
                foreach (var node in Connection(root, _request))
                {
                    cancellation.ThrowIfCancellationRequested();
                    Write(root, node, null, operation);
                    operation.RootObjectCount++;
                }
            }
        }
        finally
        {
            foreach (var writer in _slots.Select(slot => slot.Writer!).Distinct())
            {
                writer.Dispose();
            }
        }
        for (var i = 1; i < _slots.Count && !_grouped; i++)
        {
            await AppendAsync(file, $"{file}.{i}", cancellation);
        }
    }

    private static async Task AppendAsync(string file, string part, CancellationToken cancellation)
    {
        await using (var target = new FileStream(file, FileMode.Append))
        await using (var source = File.OpenRead(part))
        {
            await source.CopyToAsync(target, cancellation);
        }
        File.Delete(part);
    }

    private void Write(Slot slot, object node, Gid? parent, DemoBulkOperation operation)
    {
        var selection = slot.NodeType is null
            ? SelectionOf(slot.Node!, null, node)
            : slot.Selected ??= SelectionOf(slot.Node!, slot.NodeType, node);
        var writer = slot.Writer!;
        WriteObject(writer, selection, node, parent);
        writer.EndLine();
        operation.ObjectCount++;
        if (selection.Children.Length == 0)
        {
            return;
        }
        var id = (Gid)selection.Id!(node, default, _request)!;
        foreach (var child in selection.Children)
        {
            foreach (var item in Connection(child, node))
            {
                Write(child, item, id, operation);
            }
        }
    }

    private IEnumerable<object> Connection(Slot slot, object source) =>
        ((AdminConnection)slot.Resolver(source, slot.Arguments, _request)!).All();

    private void WriteObject(JsonLines writer, Selection selection, object node, Gid? parent)
    {
        var first = true;
        foreach (var field in selection.Fields)
        {
            writer.Raw(first ? "{"u8 : ","u8);
            writer.Raw(field.Key);
            first = false;
            if (field.TypeName is { } name)
            {
                writer.Value(name);
            }
            else
            {
                WriteValue(writer, field, field.Resolver!(node, field.Arguments, _request));
            }
        }
        if (parent is { } id)
        {
            writer.Raw(first ? "{"u8 : ","u8);
            writer.Raw("\"__parentId\":"u8);
            writer.Value(id);
            first = false;
        }
        writer.Raw(first ? "{}"u8 : "}"u8);
    }

    private void WriteValue(JsonLines writer, Field field, object? value)
    {
        if (value is System.Collections.IEnumerable list and not string)
        {
            var first = true;
            writer.Raw("["u8);
            foreach (var item in list)
            {
                if (!first)
                {
                    writer.Raw(","u8);
                }
                first = false;
                WriteValue(writer, field, item);
            }
            writer.Raw("]"u8);
        }
        else if (value is not null && field.Selection is { } nested)
        {
            var selection = field.ObjectType is null
                ? SelectionOf(nested, null, value)
                : field.Selected ??= SelectionOf(nested, field.ObjectType, value);
            WriteObject(writer, selection, value, null);
        }
        else
        {
            writer.Value(value);
        }
    }

    private Selection SelectionOf(GraphQLSelectionSet set, string? type, object node)
    {
        type ??= AdminFields.TypeOf(node);
        if (!_selections.TryGetValue((set, type), out var selection))
        {
            _selections[(set, type)] = selection = Compile(set, type);
        }
        return selection;
    }

    private void Compile(GraphQLOperationDefinition operation)
    {
        foreach (
            var (field, _) in BulkRules.FieldsOf(operation.SelectionSet, "QueryRoot", _document, AdminGraphQL.Schema)
        )
        {
            _roots.Add(SlotOf(field, "QueryRoot"));
        }
    }

    private Slot SlotOf(GraphQLField field, string parent)
    {
        if (_slots.FirstOrDefault(s => s.Field == field) is { } known)
        {
            return known;
        }
        var edges = BulkRules.Child(field.SelectionSet, "edges");
        var node = BulkRules.Child(edges?.SelectionSet, "node");
        var connection = BulkRules.TypeOf(parent, field)!;
        var nodeType = BulkRules.TypeOf(BulkRules.TypeOf(connection.Name, edges!)!.Name, node!)!;
        var slot = new Slot(
            field,
            AdminFields.Find(parent, field.Name.StringValue)!,
            AdminArguments.Of(field),
            node!.SelectionSet!,
            nodeType is IObjectGraphType ? nodeType.Name : null
        );
        _slots.Add(slot);
        // Before the first line is written, so that every connection has its place even if it stays empty.
        var possible = nodeType is IInterfaceGraphType abstracted
            ? abstracted.PossibleTypes.Select(t => t.Name)
            : [nodeType.Name];
        foreach (var type in possible)
        {
            _selections[(slot.Node!, type)] = Compile(slot.Node!, type);
        }
        return slot;
    }

    private Selection Compile(GraphQLSelectionSet set, string type)
    {
        var fields = new List<Field>();
        var children = new List<Slot>();
        foreach (var (field, _) in BulkRules.FieldsOf(set, type, _document, AdminGraphQL.Schema))
        {
            var name = field.Name.StringValue;
            var key = Encoding.UTF8.GetBytes($"\"{field.Alias?.Name.StringValue ?? name}\":");
            var fieldType = BulkRules.TypeOf(type, field);
            if (name == "__typename")
            {
                fields.Add(new(key, null, default, null, null, type));
            }
            else if (BulkRules.IsConnection(fieldType))
            {
                children.Add(SlotOf(field, type));
            }
            else
            {
                var resolver =
                    AdminFields.Find(type, name)
                    ?? throw new InvalidOperationException($"{type}.{name} has no answer.");
                fields.Add(
                    new(
                        key,
                        resolver,
                        AdminArguments.Of(field),
                        field.SelectionSet,
                        fieldType is IObjectGraphType ? fieldType.Name : null,
                        null
                    )
                );
            }
        }
        return new([.. fields], [.. children], AdminFields.Find(type, "id"));
    }

    private sealed record Selection(Field[] Fields, Slot[] Children, AdminResolver? Id);

    /// <summary>TypeName is set for __typename; ObjectType is null where only the object tells.</summary>
    private sealed record Field(
        byte[] Key,
        AdminResolver? Resolver,
        AdminArguments Arguments,
        GraphQLSelectionSet? Selection,
        string? ObjectType,
        string? TypeName
    )
    {
        public Selection? Selected { get; set; }
    }

    private sealed record Slot(
        GraphQLField Field,
        AdminResolver Resolver,
        AdminArguments Arguments,
        GraphQLSelectionSet? Node,
        string? NodeType
    )
    {
        public JsonLines? Writer { get; set; }

        public Selection? Selected { get; set; }
    }
}

/// <summary>What the platform refuses in a bulk query, in its own words.</summary>
internal sealed class BulkRules(GraphQLDocument document)
{
    private const int MostConnections = 5;
    private const int Deepest = 2;

    private readonly List<string> _withNodes = [];
    private readonly List<string> _withoutId = [];
    private int _connections;
    private int _deepest;
    private bool _inList;
    private bool _inObject;

    public IReadOnlyList<string> Check(GraphQLOperationDefinition operation)
    {
        var problems = new List<string>();
        foreach (var (root, _) in FieldsOf(operation.SelectionSet, "QueryRoot", document, AdminGraphQL.Schema))
        {
            if (root.Name.StringValue is "node" or "nodes")
            {
                problems.Add($"Bulk queries cannot contain a top level `{root.Name.StringValue}` field.");
            }
        }
        Walk(operation.SelectionSet, "QueryRoot", 0, null, insideList: false, insideObject: false);
        Add(_connections == 0, "Bulk queries must contain at least one connection.");
        Add(_connections > MostConnections, $"Bulk queries cannot contain more than {MostConnections} connections.");
        Add(
            _deepest > Deepest,
            $"Bulk queries cannot contain connections with a nesting depth greater than {Deepest}."
        );
        Add(
            _withNodes.Count > 0,
            "All connection fields in a bulk query must select their contents using 'edges' > 'node', e.g: "
                + $"'{_withNodes.FirstOrDefault()} {{ edges {{ node {{'. Selecting via 'nodes' is not supported. "
                + $"Invalid connection fields: '{string.Join("', '", _withNodes)}'."
        );
        Add(
            _withoutId.Count > 0,
            "The parent 'node' field for a nested connection must select the 'id' field without an alias "
                + "and must be of 'ID' return type. Connection fields without 'id': "
                + $"{string.Join(", ", _withoutId.Distinct())}."
        );
        Add(_inList, "Queries that contain a connection field within a list field are not currently supported.");
        Add(_inObject, "The fake Shopify does not export connections below an object field.");
        return problems;

        void Add(bool broken, string message)
        {
            if (broken)
            {
                problems.Add(message);
            }
        }
    }

    public static bool IsConnection(IGraphType? type) =>
        type?.Name.EndsWith("Connection", StringComparison.Ordinal) == true;

    public static GraphQLField? Child(GraphQLSelectionSet? set, string name) =>
        set?.Selections.OfType<GraphQLField>().FirstOrDefault(f => f.Name == name);

    /// <summary>The named type of a field, without list and non-null.</summary>
    public static IGraphType? TypeOf(string parent, GraphQLField field) =>
        (AdminGraphQL.Schema.AllTypes[parent] as IComplexGraphType)?.GetField(field.Name.Value)?.ResolvedType
            is { } type
        && type.GetNamedType() is { } named
            ? named
            : null;

    /// <summary>The fields that apply to a type, fragments opened; each with the type it was asked of.</summary>
    public static IEnumerable<(GraphQLField Field, string Type)> FieldsOf(
        GraphQLSelectionSet set,
        string type,
        GraphQLDocument document,
        ISchema schema
    )
    {
        foreach (var selection in set.Selections)
        {
            var (condition, nested) = selection switch
            {
                GraphQLInlineFragment inline => (inline.TypeCondition, inline.SelectionSet),
                GraphQLFragmentSpread spread
                    when document
                        .Definitions.OfType<GraphQLFragmentDefinition>()
                        .FirstOrDefault(f => f.FragmentName.Name == spread.FragmentName.Name)
                        is { } fragment => (fragment.TypeCondition, fragment.SelectionSet),
                _ => (null, null),
            };
            if (selection is GraphQLField field)
            {
                yield return (field, type);
            }
            else if (nested is not null && Applies(condition, type, schema))
            {
                var asked =
                    condition is not null && schema.AllTypes[type] is IInterfaceGraphType
                        ? condition.Type.Name.StringValue
                        : type;
                foreach (var inner in FieldsOf(nested, asked, document, schema))
                {
                    yield return inner;
                }
            }
        }
    }

    private static bool Applies(GraphQLTypeCondition? condition, string type, ISchema schema) =>
        condition is null
        || condition.Type.Name == type
        || (
            schema.AllTypes[condition.Type.Name.StringValue] is IInterfaceGraphType wider
            && wider.PossibleTypes.Any(t => t.Name == type)
        )
        || schema.AllTypes[type] is IInterfaceGraphType;

    private void Walk(
        GraphQLSelectionSet? set,
        string type,
        int depth,
        (string Name, GraphQLSelectionSet Node)? parent,
        bool insideList,
        bool insideObject
    )
    {
        if (set is null)
        {
            return;
        }
        foreach (var (field, asked) in FieldsOf(set, type, document, AdminGraphQL.Schema))
        {
            var named = TypeOf(asked, field);
            if (!IsConnection(named))
            {
                var list =
                    (AdminGraphQL.Schema.AllTypes[asked] as IComplexGraphType)
                        ?.GetField(field.Name.Value)
                        ?.ResolvedType?.ToString()
                        ?.Contains('[', StringComparison.Ordinal) == true;
                Walk(field.SelectionSet, named?.Name ?? "", depth, parent, insideList || list, insideObject: depth > 0);
                continue;
            }
            _connections++;
            _deepest = Math.Max(_deepest, depth);
            _inList |= insideList;
            _inObject |= insideObject && !insideList;
            if (
                Child(field.SelectionSet, "nodes") is not null
                || Child(field.SelectionSet, "edges") is not { } edges
                || Child(edges.SelectionSet, "node") is not { SelectionSet: { } node }
            )
            {
                _withNodes.Add(field.Name.StringValue);
                continue;
            }
            if (
                parent is { } above
                && !above.Node.Selections.OfType<GraphQLField>().Any(f => f.Name == "id" && f.Alias is null)
            )
            {
                _withoutId.Add(above.Name);
            }
            var edgeType = TypeOf(named!.Name, edges)!;
            Walk(
                node,
                TypeOf(edgeType.Name, Child(edges.SelectionSet, "node")!)!.Name,
                depth + 1,
                (field.Name.StringValue, node),
                insideList: false,
                insideObject: false
            );
        }
    }
}

/// <summary>Writes JSON as the platform's result files have it: one object a line, slashes escaped.</summary>
internal sealed class JsonLines(string file) : IDisposable
{
    private const int FlushAt = 1 << 16;
    private readonly FileStream _stream = new(file, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
    private byte[] _buffer = new byte[FlushAt * 2];
    private int _length;

    public void Raw(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Room(bytes.Length));
        _length += bytes.Length;
    }

    public void EndLine()
    {
        Raw("\n"u8);
        if (_length >= FlushAt)
        {
            Flush();
        }
    }

    public void Value(object? value)
    {
        switch (value)
        {
            case null:
                Raw("null"u8);
                break;
            case string text:
                Text(text);
                break;
            case Gid gid:
                Value(gid);
                break;
            case DemoAmount amount:
                Span<char> digits = stackalloc char[32];
                amount.TryFormat(digits, out var written);
                Text(digits[..written]);
                break;
            case DateTimeOffset instant:
                Text(Utf8JsonReaderExtensions.Time(instant));
                break;
            case bool flag:
                Raw(flag ? "true"u8 : "false"u8);
                break;
            case IUtf8SpanFormattable number:
                number.TryFormat(Room(32), out var bytes, default, CultureInfo.InvariantCulture);
                _length += bytes;
                break;
            default:
                throw new InvalidOperationException($"{value.GetType().Name} is not a wire value.");
        }
    }

    public void Value(Gid gid)
    {
        Raw("\"gid:\\/\\/shopify\\/"u8);
        _length += Encoding.ASCII.GetBytes(gid.Type, Room(64));
        Raw("\\/"u8);
        gid.Id.TryFormat(Room(20), out var bytes, default, CultureInfo.InvariantCulture);
        _length += bytes;
        Raw("\""u8);
    }

    public void Dispose()
    {
        Flush();
        _stream.Dispose();
    }

    private void Text(ReadOnlySpan<char> text)
    {
        Raw("\""u8);
        while (text.Length > 0)
        {
            var plain =
                text.IndexOfAnyInRange('\0', '\x1f') is var control
                && text.IndexOfAny('"', '\\', '/') is var special
                && (control < 0 || special < 0)
                    ? Math.Max(control, special)
                    : Math.Min(control, special);
            plain = plain < 0 ? text.Length : plain;
            _length += Encoding.UTF8.GetBytes(text[..plain], Room(plain * 3));
            text = text[plain..];
            if (text.Length == 0)
            {
                break;
            }
            if (text[0] < ' ')
            {
                _length += Encoding.ASCII.GetBytes($"\\u{(int)text[0]:x4}", Room(6));
            }
            else
            {
                var escaped = Room(2);
                (escaped[0], escaped[1]) = ((byte)'\\', (byte)text[0]);
                _length += 2;
            }
            text = text[1..];
        }
        Raw("\""u8);
    }

    private Span<byte> Room(int size)
    {
        if (_length + size > _buffer.Length)
        {
            Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, _length + size));
        }
        return _buffer.AsSpan(_length);
    }

    private void Flush()
    {
        _stream.Write(_buffer, 0, _length);
        _length = 0;
    }
}
