using System.Buffers.Binary;
using System.Net;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace XenoInsights.Tests.Support;

/// <summary>
/// An open page as the server knows it: fetched, then taken over by a circuit over a WebSocket, as blazor.web.js does
/// it (SignalR's blazorpack: MessagePack with a length before each message). It draws nothing, acknowledges every batch
/// and answers every call to JavaScript with nothing, so hundreds fit beside the product.
/// </summary>
internal sealed partial class BlazorCircuit : IAsyncDisposable
{
    private const string Handshake = "{\"protocol\":\"blazorpack\",\"version\":1}\u001e";

    private readonly ClientWebSocket _socket = new();
    private readonly SemaphoreSlim _sending = new(1);
    private readonly CancellationTokenSource _closed = new();
    private readonly Action<BlazorCircuit, byte[]> _drawn;
    private Task _receiving = Task.CompletedTask;
    private int _objects;

    private BlazorCircuit(Action<BlazorCircuit, byte[]> drawn) => _drawn = drawn;

    /// <summary>How many batches of changes came.</summary>
    public int Batches { get; private set; }

    /// <summary>What the server complained about.</summary>
    public string? Failure { get; private set; }

    /// <param name="drawn">Is given each batch of changes as it comes.</param>
    public static async Task<BlazorCircuit> OpenAsync(
        HttpClient http,
        CookieContainer cookies,
        string path,
        Action<BlazorCircuit, byte[]> drawn
    )
    {
        var page = await http.GetStringAsync(new Uri(path, UriKind.Relative));
        return await OpenAsync(http, cookies, path, page, StateOf(page), drawn);
    }

    /// <summary>The state that a page hands to its circuit.</summary>
    public static string StateOf(string page) => State().Match(page).Groups[1].Value;

    /// <summary>As a client may that is no browser: with the address and the state that it likes.</summary>
    /// <param name="page">The page whose components the circuit takes over.</param>
    public static async Task<BlazorCircuit> OpenAsync(
        HttpClient http,
        CookieContainer cookies,
        string path,
        string page,
        string state,
        Action<BlazorCircuit, byte[]> drawn
    )
    {
        var circuit = new BlazorCircuit(drawn);
        using var negotiated = await http.PostAsync(
            new Uri("_blazor/negotiate?negotiateVersion=1", UriKind.Relative),
            null
        );
        using var answer = JsonDocument.Parse(await negotiated.Content.ReadAsStringAsync());
        circuit._socket.Options.Cookies = cookies;
        await circuit._socket.ConnectAsync(
            new UriBuilder(
                new Uri(
                    http.BaseAddress!,
                    $"_blazor?id={answer.RootElement.GetProperty("connectionToken").GetString()}"
                )
            )
            {
                Scheme = "ws",
            }.Uri,
            default
        );
        await circuit._socket.SendAsync(
            Encoding.UTF8.GetBytes(Handshake),
            WebSocketMessageType.Binary,
            endOfMessage: true,
            default
        );
        circuit._receiving = Task.Run(circuit.ReceiveAsync);

        var address = new Uri(http.BaseAddress!, path).ToString();
        await circuit.InvokeAsync("0", "StartCircuit", http.BaseAddress!.ToString(), address, "[]", state);
        var operations = Markers()
            .Matches(page)
            .Select(m => m.Groups[1].Value)
            .Where(marker => marker.Contains("\"descriptor\"", StringComparison.Ordinal))
            .Select((marker, i) => $$"""{"type":"add","ssrComponentId":{{i + 1}},"marker":{{marker}}}""");
        await circuit.InvokeAsync(
            null,
            "UpdateRootComponents",
            $$"""{"batchId":1,"operations":[{{string.Join(',', operations)}}]}""",
            state
        );
        return circuit;
    }

    public async ValueTask DisposeAsync()
    {
        await _closed.CancelAsync();
        await _receiving;
        _socket.Dispose();
        _sending.Dispose();
        _closed.Dispose();
    }

    private async Task ReceiveAsync()
    {
        var (buffer, length, greeted) = (new byte[1 << 16], 0, false);
        try
        {
            while (true)
            {
                if (length == buffer.Length)
                    Array.Resize(ref buffer, length * 2);
                var received = await _socket.ReceiveAsync(buffer.AsMemory(length), _closed.Token);
                if (received.MessageType == WebSocketMessageType.Close)
                    throw new IOException($"The product closed the circuit: {_socket.CloseStatusDescription}");
                length += received.Count;
                var from = 0;
                if (!greeted)
                {
                    from = Array.IndexOf(buffer, (byte)0x1e, 0, length) + 1;
                    greeted = from > 0;
                }
                while (
                    greeted
                    && MessageAt(buffer.AsSpan(from, length - from)) is { } message
                    && from + message.End <= length
                )
                {
                    await HandleAsync(
                        new Pack(buffer.AsMemory(from + message.Begin, message.End - message.Begin)).Read() as object?[]
                            ?? []
                    );
                    from += message.End;
                }
                buffer.AsSpan(from, length - from).CopyTo(buffer);
                length -= from;
            }
        }
        catch (OperationCanceledException) when (_closed.IsCancellationRequested)
        {
            // Closed by us.
        }
        catch (Exception failure)
        {
            Failure ??= failure.Message;
        }
    }

    /// <summary>
    /// Where the message begins and ends, by the length before it; null while that is not there as a whole.
    /// </summary>
    private static (int Begin, int End)? MessageAt(ReadOnlySpan<byte> bytes)
    {
        for (var (i, size) = (0, 0); i < bytes.Length && i < 5; i++)
        {
            size |= (bytes[i] & 0x7f) << (7 * i);
            if ((bytes[i] & 0x80) == 0)
                return (i + 1, i + 1 + size);
        }
        return null;
    }

    private async Task HandleAsync(object?[] message)
    {
        switch (message)
        {
            case [1L, _, _, "JS.RenderBatch", object?[] batch, ..]:
                Batches++;
                _drawn(this, (byte[])batch[1]!);
                await InvokeAsync(null, "OnRenderCompleted", batch[0], null);
                break;
            case [1L, _, _, "JS.BeginInvokeJS", object?[] call, ..]:
                // 1: whoever asked wants a reference to an object.
                var result = call[3] is 1L ? $$"""{"__jsObjectId":{{++_objects}}}""" : "null";
                await InvokeAsync(null, "EndInvokeJSFromDotNet", call[0], true, $"[{call[0]},true,{result}]");
                break;
            case [1L, _, _, "JS.Error", object?[] error, ..]:
                Failure ??= error[0] as string;
                break;
            case [3L, ..]:
                if (message is [_, _, _, 1L, var refusal, ..])
                    Failure ??= refusal as string;
                break;
            case [6L, ..]:
                await SendAsync([0x91, 0x06]);
                break;
            case [7L, ..]:
                Failure ??= message.ElementAtOrDefault(1) as string ?? "The product closed the circuit.";
                break;
        }
    }

    private Task InvokeAsync(string? id, string target, params object?[] arguments) =>
        SendAsync(
            Pack.Write(
                new object?[] { 1L, new Dictionary<string, object?>(), id, target, arguments, Array.Empty<object?>() }
            )
        );

    private async Task SendAsync(byte[] message)
    {
        var framed = new List<byte>(message.Length + 5);
        for (var size = message.Length; ; size >>= 7)
        {
            framed.Add((byte)(size > 0x7f ? (size & 0x7f) | 0x80 : size));
            if (size <= 0x7f)
                break;
        }
        framed.AddRange(message);
        await _sending.WaitAsync(_closed.Token);
        try
        {
            await _socket.SendAsync(framed.ToArray(), WebSocketMessageType.Binary, endOfMessage: true, _closed.Token);
        }
        finally
        {
            _sending.Release();
        }
    }

    [GeneratedRegex("<!--Blazor-Server-Component-State:([^>]*)-->")]
    private static partial Regex State();

    [GeneratedRegex("<!--Blazor:(\\{.*?\\})-->")]
    private static partial Regex Markers();

    /// <summary>As much of MessagePack as blazorpack needs.</summary>
    private sealed class Pack(ReadOnlyMemory<byte> bytes)
    {
        private int _at;

        public object? Read()
        {
            var head = Next(1)[0];
            return head switch
            {
                < 0x80 => (long)head,
                < 0x90 => Map(head & 0x0f),
                < 0xa0 => List(head & 0x0f),
                < 0xc0 => Text(head & 0x1f),
                0xc0 => null,
                0xc2 => false,
                0xc3 => true,
                0xc4 => Next((int)Number(1)).ToArray(),
                0xc5 => Next((int)Number(2)).ToArray(),
                0xc6 => Next((int)Number(4)).ToArray(),
                0xca => (double)BinaryPrimitives.ReadSingleBigEndian(Next(4)),
                0xcb => BinaryPrimitives.ReadDoubleBigEndian(Next(8)),
                0xcc or 0xcd or 0xce or 0xcf => Number(1 << (head - 0xcc)),
                0xd0 => (long)(sbyte)Next(1)[0],
                0xd1 => (long)BinaryPrimitives.ReadInt16BigEndian(Next(2)),
                0xd2 => (long)BinaryPrimitives.ReadInt32BigEndian(Next(4)),
                0xd3 => BinaryPrimitives.ReadInt64BigEndian(Next(8)),
                0xd9 or 0xda or 0xdb => Text((int)Number(1 << (head - 0xd9))),
                0xdc => List((int)Number(2)),
                0xdd => List((int)Number(4)),
                0xde => Map((int)Number(2)),
                >= 0xe0 => (long)(sbyte)head,
                _ => throw new FormatException($"0x{head:x2} is not expected here."),
            };
        }

        public static byte[] Write(object? value)
        {
            var bytes = new List<byte>();
            Write(bytes, value);
            return [.. bytes];
        }

        private static void Write(List<byte> bytes, object? value)
        {
            switch (value)
            {
                case null:
                    bytes.Add(0xc0);
                    break;
                case bool flag:
                    bytes.Add((byte)(flag ? 0xc3 : 0xc2));
                    break;
                case long number:
                    bytes.Add(0xd3);
                    bytes.AddRange(BitConverter.GetBytes(BinaryPrimitives.ReverseEndianness(number)));
                    break;
                case string text:
                    bytes.Add(0xdb);
                    bytes.AddRange(
                        BitConverter.GetBytes(BinaryPrimitives.ReverseEndianness(Encoding.UTF8.GetByteCount(text)))
                    );
                    bytes.AddRange(Encoding.UTF8.GetBytes(text));
                    break;
                case Dictionary<string, object?> { Count: 0 }:
                    bytes.Add(0x80);
                    break;
                case object?[] list:
                    bytes.Add((byte)(0x90 | list.Length));
                    foreach (var item in list)
                        Write(bytes, item);
                    break;
                default:
                    throw new NotSupportedException(value.GetType().Name);
            }
        }

        private ReadOnlySpan<byte> Next(int count)
        {
            _at += count;
            return bytes.Span.Slice(_at - count, count);
        }

        private long Number(int size)
        {
            var number = 0L;
            foreach (var part in Next(size))
                number = (number << 8) | part;
            return number;
        }

        private string Text(int length) => Encoding.UTF8.GetString(Next(length));

        private object?[] List(int count) => [.. Enumerable.Range(0, count).Select(_ => Read())];

        private object? Map(int count)
        {
            for (var i = 0; i < 2 * count; i++)
                Read();
            return null;
        }
    }
}
