using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using XenoInsights.Data;
using XenoInsights.Ingestion;

namespace XenoInsights.Shopify;

/// <summary>What a bulk file holds, one after the other: exactly one of the two is set.</summary>
public readonly record struct BulkItem(IngestRecord? Record, RejectedObject? Rejected)
{
    /// <summary>
    /// Lines of the file this item accounts for; over all items they add up to <see cref="JsonlAssembler.Lines"/>.
    /// </summary>
    public int SourceObjects => Record?.SourceObjects ?? Rejected!.SourceObjects;
}

/// <summary>Lines that did not become a record, and why.</summary>
/// <param name="Line">The first of the lines, counted from 1.</param>
/// <param name="Gid">The object at fault, if its id could be read.</param>
/// <param name="ParentGid">The object that is incomplete without it, if known: what to refetch.</param>
/// <param name="SourceObjects">How many lines are rejected.</param>
/// <param name="IsRoot">Whether a whole object is missing because of it, rather than a line that belongs to another
/// one.</param>
public sealed record RejectedObject(
    long Line,
    string? Gid,
    string Reason,
    string? ParentGid = null,
    int SourceObjects = 1,
    bool IsRoot = false
)
{
    /// <summary>For people.</summary>
    public override string ToString() => $"line {Line}: {Gid} {Reason}";
}

/// <summary>
/// Turns the JSONL of a bulk operation run with <c>groupObjects: true</c> into records: each object is followed by its
/// children. Memory stays that of one buffer and the object being assembled, however long the file. An object with a
/// child that cannot be read is rejected as a whole, since its money would be wrong; a child of some other object than
/// the one it follows, or one that comes a second time, is reported and not added. One assembler reads one file.
/// </summary>
public sealed class JsonlAssembler(string currency)
{
    private const int BufferSize = 1 << 18;
    internal const int LongestLine = 1 << 26;
    private const string Repeated = "It came before.";

    private readonly List<BulkItem> _ready = [];

    // A file's objects are all of one type, so one reader serves it; it is open while children may follow.
    private RecordReader? _reader;
    private RecordReader? _open;
    private string? _openFault;
    private long _openLine;
    private int _openLines;
    private bool _closing;
    private bool _isPassingOver;

    /// <summary>Lines read: what <see cref="BulkOperation.ObjectCount"/> must equal in the end.</summary>
    public long Lines { get; private set; }

    /// <summary>Lines without a parent: what <see cref="BulkOperation.RootObjectCount"/> must equal.</summary>
    public long Roots { get; private set; }

    /// <summary>Reads to the end of the source, which the caller disposes of.</summary>
    public async IAsyncEnumerable<BulkItem> ReadAsync(Stream source, [EnumeratorCancellation] CancellationToken ct)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            int filled = 0,
                read;
            while ((read = await source.ReadAsync(buffer.AsMemory(filled), ct)) > 0)
            {
                var fresh = filled;
                filled += read;
                var used = TakeLines(buffer.AsSpan(0, filled), fresh);
                buffer.AsSpan(used, filled - used).CopyTo(buffer);
                filled -= used;
                if (filled >= LongestLine)
                    filled = GiveUpLine();
                else if (filled == buffer.Length)
                    buffer = Grow(buffer);
                foreach (var item in _ready)
                    yield return item;
                _ready.Clear();
            }
            TakeLast(buffer.AsSpan(0, filled));
            foreach (var item in _ready)
                yield return item;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static byte[] Grow(byte[] buffer)
    {
        var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
        buffer.CopyTo(larger, 0);
        ArrayPool<byte>.Shared.Return(buffer);
        return larger;
    }

    /// <summary>
    /// A line without an end would fill the memory: it is rejected, and what is left of it is passed over. None of it
    /// stays in the buffer.
    /// </summary>
    private int GiveUpLine()
    {
        if (!_isPassingOver)
        {
            Lines++;
            Reject([], $"The line is longer than {LongestLine >> 20} MB.");
        }
        _isPassingOver = true;
        return 0;
    }

    /// <param name="fresh">Where the search for the first line's end begins: what lies before was searched
    /// already.</param>
    /// <returns>How many bytes the whole lines took.</returns>
    private int TakeLines(ReadOnlySpan<byte> bytes, int fresh)
    {
        var start = 0;
        for (var search = fresh; bytes[search..].IndexOf((byte)'\n') is >= 0 and var length; search = start)
        {
            Take(bytes[start..(search + length)]);
            start = search + length + 1;
        }
        return start;
    }

    /// <summary>
    /// What follows the last line break: a whole line if it can be read, else a sign that the file broke off.
    /// </summary>
    private void TakeLast(ReadOnlySpan<byte> rest)
    {
        _closing = true;
        Take(rest);
        Close();
    }

    private void Take(ReadOnlySpan<byte> line)
    {
        if (_isPassingOver)
        {
            _isPassingOver = false;
            return;
        }
        if (Lines == 0 && line.StartsWith(Encoding.UTF8.Preamble))
            line = line[Encoding.UTF8.Preamble.Length..];
        line = line.TrimEnd((byte)'\r');
        if (line.IsEmpty)
            return;
        Lines++;
        line = StorableJson.Clean(line);
        try
        {
            var reader = new Utf8JsonReader(line);
            var typename = TypenameOf(reader);
            _reader ??= RecordReader.For(typename, currency);
            if (_reader is not null && typename.SequenceEqual(_reader.Typename))
                Begin(ref reader, _reader, line);
            else
                AddChild(ref reader, typename, line);
        }
        catch (Exception unreadable) when (Utf8JsonReaderExtensions.IsUnreadable(unreadable))
        {
            Reject(
                line,
                _closing ? $"The file ends in the middle of a line: {unreadable.Message}" : unreadable.Message
            );
        }
    }

    /// <summary>
    /// Our documents ask for <c>__typename</c> first, so this usually looks at one property; elsewhere on the line it
    /// is found as well.
    /// </summary>
    private static ReadOnlySpan<byte> TypenameOf(Utf8JsonReader reader)
    {
        if (!Utf8JsonReaderExtensions.Enter(ref reader))
            throw new FormatException("Expected an object, found null.");
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "__typename"u8))
                return reader.TokenType == JsonTokenType.String
                    ? reader.ValueSpan
                    : throw Utf8JsonReaderExtensions.Unexpected(ref reader, "a type");
            else
                reader.Skip();
        throw Utf8JsonReaderExtensions.Missing("A line", "__typename");
    }

    private void Begin(ref Utf8JsonReader reader, RecordReader record, ReadOnlySpan<byte> line)
    {
        Roots++;
        if (IsOpen(reader))
        {
            Report(line, Repeated);
            return;
        }
        Close();
        record.Begin(ref reader);
        reader.Read(); // anything behind the object is an error
        (_open, _openLine, _openLines) = (record, Lines, 1);
    }

    private bool IsOpen(Utf8JsonReader reader)
    {
        if (_open is null || !Utf8JsonReaderExtensions.Enter(ref reader))
            return false;
        Span<byte> gid = stackalloc byte[Utf8JsonReaderExtensions.LongestGid];
        while (Utf8JsonReaderExtensions.Property(ref reader))
            if (Utf8JsonReaderExtensions.Is(ref reader, "id"u8))
                return gid[..Utf8JsonReaderExtensions.Gid(ref reader, gid)].SequenceEqual(_open.Gid);
            else
                reader.Skip();
        return false;
    }

    private void AddChild(ref Utf8JsonReader reader, ReadOnlySpan<byte> typename, ReadOnlySpan<byte> line)
    {
        var fate = _open?.AddChild(ref reader, typename) ?? ChildFate.Elsewhere;
        if (fate == ChildFate.Added)
        {
            reader.Read();
            _openLines++;
        }
        else
        {
            Report(line, fate == ChildFate.Repeated ? Repeated : "Its parent is not the object it follows.");
        }
    }

    private void Report(ReadOnlySpan<byte> line, string reason) =>
        _ready.Add(
            new BulkItem(null, new RejectedObject(Lines, Find(line, "id"u8), reason, Find(line, "__parentId"u8)))
        );

    private void Reject(ReadOnlySpan<byte> line, string reason)
    {
        var open = _open is { HasChildren: true } ? Encoding.UTF8.GetString(_open.Gid) : null;
        _ready.Add(
            new BulkItem(
                null,
                new RejectedObject(
                    Lines,
                    Find(line, "id"u8),
                    reason,
                    Find(line, "__parentId"u8) ?? open,
                    IsRoot: open is null
                )
            )
        );
        // It may have been a part of the object in hand, which is then not whole.
        if (open is not null)
            _openFault ??= $"A line that follows it (line {Lines}) could not be read.";
    }

    private void Close()
    {
        if (_open is null)
        {
            _openFault = null;
            return;
        }
        var (done, fault) = (_open, _openFault);
        (_open, _openFault) = (null, null);
        try
        {
            _ready.Add(
                fault is null
                    ? new BulkItem(done.Finish() with { Source = RecordSource.BulkExport }, null)
                    : GivenUp(done, fault)
            );
        }
        catch (Exception incomplete) when (Utf8JsonReaderExtensions.IsUnreadable(incomplete))
        {
            _ready.Add(GivenUp(done, incomplete.Message));
        }
    }

    private BulkItem GivenUp(RecordReader reader, string reason)
    {
        var gid = Encoding.UTF8.GetString(reader.Gid);
        return new BulkItem(null, new RejectedObject(_openLine, gid, reason, gid, _openLines, IsRoot: true));
    }

    /// <summary>A text property of a line at fault, as far as the line can be read.</summary>
    private static string? Find(ReadOnlySpan<byte> line, ReadOnlySpan<byte> property)
    {
        var reader = new Utf8JsonReader(line);
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return null;
            while (Utf8JsonReaderExtensions.Property(ref reader))
                if (Utf8JsonReaderExtensions.Is(ref reader, property))
                    return reader.TokenType == JsonTokenType.String ? reader.GetString() : null;
                else
                    reader.Skip();
        }
        catch (Exception unreadable) when (Utf8JsonReaderExtensions.IsUnreadable(unreadable))
        {
            return null;
        }
        return null;
    }
}
