using System.Globalization;
using CsvHelper;
using Microsoft.Net.Http.Headers;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Insights;

/// <summary>
/// Exports: UTF-8 with a byte order mark, a head of lines that begin with #, a line of column names, and rows that leave as they are read.
/// Amounts are decimal units of the shop's currency with a point, days are yyyy-MM-dd. Text that a spreadsheet would run as a formula gets a ' before it.
/// </summary>
public sealed class Csv(CsvWriter writer, int exponent) : IAsyncDisposable
{
    private static readonly CsvWriterOptions _options = CsvWriterOptions.Default with { Injection = CsvInjection.Escape, CommentPrefix = '#', ValidateFieldCount = false, WriteByteOrderMark = true };

    /// <summary>Begins the answer.</summary>
    /// <param name="name">Names the file: <c>orders</c> becomes <c>shop-orders-2026-11-01-2026-11-28.csv</c>.</param>
    /// <param name="definitions">What the columns mean, by <see cref="Definitions"/>.</param>
    /// <param name="range">The shop days of the rows; null where they have none.</param>
    /// <param name="filters">In words, what was left out; null for nothing.</param>
    public static async Task<Csv> BeginAsync(HttpContext http, TimeProvider time, string name, string title, DateRange? range, IEnumerable<Definition> definitions, IReadOnlyList<string> columns, string? filters = null)
    {
        var store = http.Store();
        var now = new ShopClock(time, store.TimeZone).Now;
        var days = range is { } r ? $"-{r.From:yyyy-MM-dd}-{r.To:yyyy-MM-dd}" : "";
        http.Response.ContentType = "text/csv; charset=utf-8";
        http.Response.Headers.ContentDisposition = new ContentDispositionHeaderValue("attachment") { FileNameStar = $"{store.Handle}-{name}{days}.csv" }.ToString();
        http.Response.Headers.CacheControl = "no-store";

        var writer = CsvWriter.Create(http.Response.Body, _options, leaveOpen: true);
        writer.WriteComment($" {title}, {store.Name} ({store.ShopDomain})");
        if (range is { } span) writer.WriteComment($" Shop days {span.From:yyyy-MM-dd} to {span.To:yyyy-MM-dd}, both included");
        writer.WriteComment($" Time zone {store.TimeZone}, currency {store.Currency}, exported {now.ToString("yyyy-MM-dd HH:mm zzz", CultureInfo.InvariantCulture)}");
        if (filters is not null) writer.WriteComment($" Only {filters}");
        foreach (var definition in definitions) writer.WriteComment($" {definition.Name}: {definition.Words}");
        await writer.WriteRecordAsync([.. columns], http.RequestAborted);
        return new Csv(writer, Currencies.ExponentOf(store.Currency));
    }

    /// <summary>
    /// Runs <paramref name="write"/>, which begins and writes an export, in one transaction. Once rows have left they cannot be taken back:
    /// what would be tried again elsewhere breaks the answer off here, so that nobody takes a part for the whole.
    /// </summary>
    public static Task StreamAsync(HttpContext http, XenoDatabase database, Func<XenoDbContext, Task> write)
    {
        var begun = false;
        return database.InTenantAsync(async db =>
        {
            if (begun) throw new IOException("The database broke off in the middle of an export.");
            begun = true;
            await write(db);
        }, http.RequestAborted);
    }

    public Csv Text(string? value)
    {
        writer.WriteField(value);
        return this;
    }

    public Csv Count(long? value)
    {
        writer.WriteField(value);
        return this;
    }

    /// <param name="minor">Minor units.</param>
    public Csv Money(long? minor)
    {
        writer.WriteField(minor / (decimal)Math.Pow(10, exponent), "F" + exponent.ToString(CultureInfo.InvariantCulture));
        return this;
    }

    /// <param name="value">A fraction: 0.848.</param>
    public Csv Rate(decimal? value)
    {
        writer.WriteField(value, "0.######");
        return this;
    }

    public Csv Day(DateOnly? day)
    {
        writer.WriteField(day?.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture));
        return this;
    }

    /// <param name="local">In the shop's time: what <see cref="ShopClock.At"/> gives.</param>
    public Csv Instant(DateTimeOffset? local)
    {
        writer.WriteField(local?.ToString("yyyy-MM-ddTHH:mm:sszzz", CultureInfo.InvariantCulture));
        return this;
    }

    public ValueTask EndRowAsync(CancellationToken ct) => new(writer.EndRecordAsync(ct).AsTask());

    public async ValueTask DisposeAsync() => await writer.DisposeAsync();
}
