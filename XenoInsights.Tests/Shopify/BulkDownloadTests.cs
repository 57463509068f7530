using System.Diagnostics;
using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;
using XenoInsights.Shopify;

namespace XenoInsights.Tests.Shopify;

public sealed class BulkDownloadTests
{
    private static readonly byte[] _file = [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i * 31 >> 3))];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_file_comes_whole()
    {
        await using var store = await Fake.StartAsync(Serve());

        Assert.Equal(_file, await DownloadAsync(store, _file.Length));
        Assert.Null(Assert.Single(store.Requests).Token);
    }

    [Fact]
    public async Task A_dropped_connection_is_taken_up_where_it_left_off()
    {
        await using var store = await Fake.StartAsync(
            Serve(dropAfter: 100_000),
            Serve(dropAfter: 50_000),
            Fake.Hangup,
            Fake.Json("", 503),
            Serve()
        );

        Assert.Equal(_file, await DownloadAsync(store, _file.Length));
        Assert.Equal(5, store.Requests.Count);
        Assert.Null(store.Requests[0].Range);
        Assert.All(store.Requests.Skip(1), request => Assert.StartsWith("bytes=", request.Range));
    }

    [Fact]
    public async Task A_server_without_ranges_is_read_again_from_the_start()
    {
        await using var store = await Fake.StartAsync(Serve(dropAfter: 100_000, ranges: false), Serve(ranges: false));

        Assert.Equal(_file, await DownloadAsync(store, _file.Length));
    }

    [Fact]
    public async Task A_connection_that_brings_nothing_more_is_given_up()
    {
        await using var store = await Fake.StartAsync(Serve(dropAfter: 100_000), Fake.Hangup);

        var failure = await Assert.ThrowsAsync<ShopifyException>(() => DownloadAsync(store, _file.Length));

        Assert.Equal(ShopifyFailure.Unavailable, failure.Failure);
        Assert.InRange(store.Requests.Count, 5, 6);
    }

    [Fact]
    public async Task A_file_shorter_than_announced_is_a_failure()
    {
        await using var store = await Fake.StartAsync(Serve());

        Assert.Equal(
            ShopifyFailure.PartialData,
            (await Assert.ThrowsAsync<ShopifyException>(() => DownloadAsync(store, _file.Length + 1))).Failure
        );
    }

    [Fact]
    public async Task A_file_that_ends_early_without_saying_its_length_is_a_failure()
    {
        await using var store = await Fake.StartAsync(context =>
            context.Response.Body.WriteAsync(_file.AsMemory(0, 1000)).AsTask()
        );

        Assert.NotEqual(
            ShopifyFailure.NotFound,
            (await Assert.ThrowsAsync<ShopifyException>(() => DownloadAsync(store, _file.Length))).Failure
        );
    }

    [Fact]
    public async Task An_expired_address_is_told_at_once()
    {
        await using var store = await Fake.StartAsync(Fake.Json("<Error/>", 403));

        Assert.Equal(
            ShopifyFailure.NotFound,
            (await Assert.ThrowsAsync<ShopifyException>(() => DownloadAsync(store, null))).Failure
        );
        Assert.Single(store.Requests);
    }

    [Fact]
    public async Task A_file_replaced_meanwhile_is_not_mixed_with_the_old_one()
    {
        await using var store = await Fake.StartAsync(
            Serve(dropAfter: 100_000, version: "\"one\""),
            Serve(version: "\"two\"")
        );

        Assert.Equal(
            ShopifyFailure.PartialData,
            (await Assert.ThrowsAsync<ShopifyException>(() => DownloadAsync(store, _file.Length))).Failure
        );
    }

    [Theory]
    [InlineData(
        "https://storage.googleapis.com/shopify-tiers-assets-prod-us-east1/bulk-operation-outputs/x?Expires=1",
        true
    )]
    [InlineData("https://STORAGE.googleapis.com/x", true)]
    [InlineData("http://storage.googleapis.com/x", false)]
    [InlineData("https://storage.googleapis.com:8443/x", false)]
    [InlineData("https://storage.googleapis.com.evil.example/x", false)]
    [InlineData("https://storage.googleapis.com@evil.example/x", false)]
    [InlineData("https://127.0.0.1/x", false)]
    [InlineData("https://a-shop.myshopify.com/x", false)]
    [InlineData("file:///etc/passwd", false)]
    public void Files_come_from_named_hosts_over_https_alone(string url, bool isAllowed) =>
        Assert.Equal(isAllowed, new ShopifyOptions().MayHoldBulkFiles(new Uri(url)));

    [Theory]
    [InlineData("http://127.0.0.1:1/file")]
    [InlineData("https://evil.example/file")]
    [InlineData("file:///etc/passwd")]
    public async Task A_file_elsewhere_is_not_fetched(string url)
    {
        await using var store = await Fake.StartAsync(Serve());

        var failure = await Assert.ThrowsAsync<ShopifyException>(() =>
            store.Download.OpenAsync(new Uri(url), null, Cancellation)
        );

        Assert.Equal((ShopifyFailure.InvalidRequest, false), (failure.Failure, failure.IsTransient));
        Assert.Contains("Shopify:BulkFileHosts", failure.Message, StringComparison.Ordinal);
        Assert.Empty(store.Requests);
    }

    [Fact]
    public async Task A_redirect_is_not_followed()
    {
        await using var store = await Fake.StartAsync(Fake.Json("", 302, ("Location", "/internal")), Serve());

        Assert.Contains(
            "not followed",
            (await Assert.ThrowsAsync<ShopifyException>(() => DownloadAsync(store, null))).Message,
            StringComparison.Ordinal
        );
        Assert.Single(store.Requests);
    }

    [Theory]
    [InlineData(true, 1)]
    [InlineData(false, 1)]
    [InlineData(false, 0)]
    public async Task A_file_larger_than_is_allowed_is_refused_however_its_size_is_told(
        bool isAnnounced,
        int tellsLength
    )
    {
        var large = new byte[(1 << 20) + 1];
        await using var store = await Fake.StartAsync(context =>
        {
            if (tellsLength == 1)
                context.Response.ContentLength = large.Length;
            return context.Response.Body.WriteAsync(large).AsTask();
        });
        store.Options.MaxBulkFileMegabytes = 1;

        var failure = await Assert.ThrowsAsync<ShopifyException>(() =>
            DownloadAsync(store, isAnnounced ? large.Length : null)
        );

        Assert.Contains("Shopify:MaxBulkFileMegabytes", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_compressed_file_is_refused()
    {
        await using var store = await Fake.StartAsync(Fake.Json("x", 200, ("Content-Encoding", "gzip")));

        Assert.Contains(
            "compressed",
            (await Assert.ThrowsAsync<ShopifyException>(() => DownloadAsync(store, null))).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task Our_traces_are_not_told()
    {
        using var activity = new Activity("test").Start();
        await using var store = await Fake.StartAsync(Fake.Data("""{"shop":{"id":"gid://shopify/Shop/1"}}"""), Serve());

        await store.Admin.SendAsync(Fake.Shop, "query Q { shop { id } }", null, Cancellation);
        await DownloadAsync(store, _file.Length);

        Assert.Equal(2, store.Requests.Count);
        Assert.Empty(store.TraceParents);
    }

    private static async Task<byte[]> DownloadAsync(Fake store, long? size)
    {
        await using var file = await store.Download.OpenAsync(
            new Uri(store.Address + "/file.jsonl?signature=x"),
            size,
            Cancellation
        );
        using var copy = new MemoryStream();
        await file.CopyToAsync(copy, Cancellation);
        return copy.ToArray();
    }

    private static RequestDelegate Serve(int? dropAfter = null, bool ranges = true, string version = "\"one\"") =>
        async context =>
        {
            var from = ranges && RangeOf(context.Request, version) is { } asked ? asked : 0;
            if (from > 0)
                context.Response.StatusCode = StatusCodes.Status206PartialContent;
            if (from > 0)
                context.Response.Headers.ContentRange = string.Create(
                    CultureInfo.InvariantCulture,
                    $"bytes {from}-{_file.Length - 1}/{_file.Length}"
                );
            context.Response.Headers.ETag = version;
            context.Response.ContentLength = _file.Length - from;
            await context.Response.Body.WriteAsync(_file.AsMemory(from, dropAfter ?? (_file.Length - from)));
            await context.Response.Body.FlushAsync();
            if (dropAfter is null)
                return;
            await Task.Delay(50);
            context.Abort();
        };

    private static int? RangeOf(HttpRequest request, string version)
    {
        if (request.Headers.IfRange.FirstOrDefault() is { } onlyIf && onlyIf != version)
            return null;
        return RangeHeaderValue.TryParse(request.Headers.Range.ToString(), out var range)
            ? (int?)range.Ranges.Single().From
            : null;
    }
}
