using System.Runtime.CompilerServices;
using System.Text;

namespace XenoInsights.Shopify;

/// <summary>
/// Short lines of a bulk file, one after the other, in memory that does not grow with the file or with a line.
/// </summary>
internal static class JsonlLines
{
    /// <summary>Of a line that is longer only the beginning is given, which is then no JSON.</summary>
    private const int Longest = 1 << 16;

    /// <returns>Lines that are not empty; each is valid until the next is asked for.</returns>
    public static async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync(
        Stream source,
        [EnumeratorCancellation] CancellationToken ct
    )
    {
        var buffer = new byte[Longest];
        var (filled, isPassingOver) = (0, false);
        int read;
        do
        {
            read = await source.ReadAsync(buffer.AsMemory(filled), ct);
            filled += read;
            var start = 0;
            while (buffer.AsSpan(start, filled - start).IndexOf((byte)'\n') is >= 0 and var length)
            {
                var line = Trimmed(buffer.AsMemory(start, length));
                start += length + 1;
                if (!isPassingOver && !line.IsEmpty)
                    yield return line;
                isPassingOver = false;
            }
            buffer.AsSpan(start, filled - start).CopyTo(buffer);
            filled -= start;
            if (read > 0 && filled < buffer.Length)
                continue;
            if (!isPassingOver && filled > 0)
                yield return Trimmed(buffer.AsMemory(0, filled));
            (filled, isPassingOver) = (0, true);
        } while (read > 0);
    }

    private static ReadOnlyMemory<byte> Trimmed(ReadOnlyMemory<byte> line)
    {
        if (line.Span.StartsWith(Encoding.UTF8.Preamble))
            line = line[Encoding.UTF8.Preamble.Length..];
        return line.TrimEnd((byte)'\r');
    }
}
