using System.Net;
using System.Net.Http.Headers;
using Microsoft.Extensions.Options;

namespace XenoInsights.Shopify;

/// <summary>Opens the file of a bulk operation as one stream, whatever the connection does meanwhile.</summary>
public sealed class BulkDownload(IHttpClientFactory http, IOptions<ShopifyOptions> options, TimeProvider time)
{
    public const string HttpName = "Shopify.Bulk";

    /// <param name="size">Bytes Shopify announced (<see cref="BulkOperation.FileSize"/>), if it did.</param>
    /// <returns>A stream that goes on by itself where a dropped connection left off, and throws a
    /// <see cref="ShopifyException"/> when it cannot or the file ends early.</returns>
    public async Task<Stream> OpenAsync(Uri url, long? size, CancellationToken ct)
    {
        if (!options.Value.MayHoldBulkFiles(url))
            throw new ShopifyException(
                ShopifyFailure.InvalidRequest,
                $"The export lies at {url.GetLeftPart(UriPartial.Authority)}, "
                    + "which is not one of Shopify:BulkFileHosts. Nothing was fetched."
            );
        var file = new BulkFile(
            http.CreateClient(HttpName),
            time,
            url,
            size,
            options.Value.MaxBulkFileMegabytes * 1024 * 1024
        );
        try
        {
            await file.ConnectAsync(ct);
            return file;
        }
        catch
        {
            await file.DisposeAsync();
            throw;
        }
    }
}

/// <summary>Reads forward only.</summary>
/// <param name="largest">Bytes.</param>
internal sealed class BulkFile(HttpClient http, TimeProvider time, Uri url, long? announced, long largest) : Stream
{
    /// <summary>Tries in a row that bring no byte.</summary>
    private const int MaxFruitless = 5;
    private static readonly TimeSpan _firstBackoff = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan _longestSilence = TimeSpan.FromSeconds(60);

    private HttpResponseMessage? _response;
    private Stream? _body;
    private EntityTagHeaderValue? _version;
    private long? _length = announced;
    private long _position;
    private int _fruitless;

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => _length ?? throw new NotSupportedException();
    public override long Position
    {
        get => _position;
        set => throw new NotSupportedException();
    }

    public async Task ConnectAsync(CancellationToken ct)
    {
        if (_length > largest)
            throw TooLarge();
        while (_body is null)
        {
            try
            {
                await RequestAsync(ct);
            }
            catch (Exception dropped) when (IsDropped(dropped, ct))
            {
                await PauseAsync(dropped, ct);
            }
        }
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            await ConnectAsync(cancellationToken);
            try
            {
                var read = await WithinSilenceAsync(limited => _body!.ReadAsync(buffer, limited), cancellationToken);
                if (read > 0 || buffer.IsEmpty)
                    return Advance(read);
                if (_length is null || _position == _length)
                    return 0;
                throw new IOException($"The file ended after {_position} of {_length} bytes.");
            }
            catch (Exception dropped) when (IsDropped(dropped, cancellationToken))
            {
                await PauseAsync(dropped, cancellationToken);
            }
        }
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) =>
        throw new NotSupportedException("Read asynchronously.");

    public override void Flush() { }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            Disconnect();
        base.Dispose(disposing);
    }

    private int Advance(int read)
    {
        _position += read;
        if (read > 0)
            _fruitless = 0;
        if (_position > largest)
            throw TooLarge();
        return _position > _length
            ? throw new ShopifyException(
                ShopifyFailure.PartialData,
                $"Shopify's file is longer than the {_length} bytes announced."
            )
            : read;
    }

    private async Task RequestAsync(CancellationToken ct)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, url);
        // Compressed on the way, a place in the file would no longer be a place in the body.
        request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
        if (_position > 0)
            request.Headers.Range = new RangeHeaderValue(_position, null);
        if (_position > 0 && _version is { IsWeak: false })
            request.Headers.IfRange = new RangeConditionHeaderValue(_version);

        _response = await WithinSilenceAsync(
            async limited => await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limited),
            ct
        );
        var body = await BodyAsync(_response, ct);
        if (_position > 0 && _response.StatusCode == HttpStatusCode.OK)
            await SkipAsync(body, ct);
        _body = body;
    }

    private async Task<Stream> BodyAsync(HttpResponseMessage response, CancellationToken ct)
    {
        if (
            response.Content.Headers.ContentEncoding.Any(encoding =>
                !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase)
            )
        )
            throw new ShopifyException(
                ShopifyFailure.PartialData,
                "Shopify's file came compressed, which was not asked for."
            );
        switch ((int)response.StatusCode)
        {
            case 200:
                if (_version is not null && response.Headers.ETag is { } now && !now.Equals(_version))
                    throw Changed();
                _version ??= response.Headers.ETag;
                if (_length is not null && response.Content.Headers.ContentLength is { } length && length != _length)
                    throw WrongSize(length);
                _length ??= response.Content.Headers.ContentLength;
                if (_length > largest)
                    throw TooLarge();
                break;
            case 206 when response.Content.Headers.ContentRange?.From == _position:
                break;
            case 206:
                throw new ShopifyException(
                    ShopifyFailure.PartialData,
                    "Shopify's file was continued at another place than asked for."
                );
            case >= 300 and < 400:
                throw new ShopifyException(
                    ShopifyFailure.InvalidRequest,
                    "The address of Shopify's file sends us on to another one; that is not followed."
                );
            case 429 or >= 500:
                throw new IOException($"HTTP {(int)response.StatusCode}");
            default:
                throw new ShopifyException(
                    ShopifyFailure.NotFound,
                    "Shopify no longer hands out the file of this export (HTTP "
                        + $"{(int)response.StatusCode}). It has to be exported again."
                );
        }
        return await response.Content.ReadAsStreamAsync(ct);
    }

    /// <summary>A server that does not know ranges begins again: pass over what was read already.</summary>
    private async Task SkipAsync(Stream body, CancellationToken ct)
    {
        var passed = new byte[1 << 16];
        for (var left = _position; left > 0; )
        {
            var chunk = passed.AsMemory(0, (int)Math.Min(left, passed.Length));
            var read = await WithinSilenceAsync(limited => body.ReadAsync(chunk, limited), ct);
            if (read == 0)
                throw new IOException("The file ended before the place it was read up to.");
            left -= read;
        }
    }

    private async Task<T> WithinSilenceAsync<T>(Func<CancellationToken, ValueTask<T>> work, CancellationToken ct)
    {
        using var silence = new CancellationTokenSource(_longestSilence, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, ct);
        return await work(either.Token);
    }

    private async Task PauseAsync(Exception dropped, CancellationToken ct)
    {
        Disconnect();
        if (++_fruitless >= MaxFruitless)
            throw new ShopifyException(
                ShopifyFailure.Unavailable,
                $"Shopify's file could not be read beyond byte {_position}: {dropped.Message}",
                dropped
            );
        await Task.Delay(_firstBackoff * (1 << (_fruitless - 1)), time, ct);
    }

    private void Disconnect()
    {
        _response?.Dispose();
        (_response, _body) = (null, null);
    }

    private static bool IsDropped(Exception exception, CancellationToken ct) =>
        exception is HttpRequestException or IOException or TimeoutException
        || (exception is OperationCanceledException && !ct.IsCancellationRequested);

    private ShopifyException TooLarge() =>
        new(
            ShopifyFailure.InvalidRequest,
            $"Shopify's file is larger than {largest / (1024 * 1024):N0} MB (Shopify:MaxBulkFileMegabytes)."
        );

    private ShopifyException WrongSize(long length) =>
        new(ShopifyFailure.PartialData, $"Shopify's file has {length} bytes though {_length} were announced.");

    private static ShopifyException Changed() =>
        new(ShopifyFailure.PartialData, "Shopify's file was replaced while it was read.");
}
