using System.Globalization;
using System.Reflection;
using CsvHelper;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.Net.Http.Headers;
using Microsoft.OpenApi;
using XenoInsights.Formatting;
using XenoInsights.Shopify;
using XenoInsights.Tenants;

namespace XenoInsights.Insights;

/// <summary>
/// What stands between the fields of an export, and with it the decimal sign: spreadsheets that split at semicolons
/// read a comma as decimal sign.
/// </summary>
public sealed record CsvSeparator(char Sign, CultureInfo Numbers)
{
    public const string Parameter = "separator";

    private static readonly CsvSeparator _comma = new(',', CultureInfo.InvariantCulture);
    private static readonly CsvSeparator _semicolon = new(
        ';',
        CultureInfo.ReadOnly(new CultureInfo("") { NumberFormat = { NumberDecimalSeparator = "," } })
    );

    /// <summary>What the request asks for (by default commas); null if that is nothing known.</summary>
    public static CsvSeparator? Of(HttpContext http) =>
        http.Request.Query[Parameter].ToString() switch
        {
            "" or "comma" => _comma,
            "semicolon" => _semicolon,
            _ => null,
        };

    internal static OpenApiParameter Described() =>
        new()
        {
            Name = Parameter,
            In = ParameterLocation.Query,
            Description = "comma (default) or semicolon; with semicolons amounts have a decimal comma.",
            Schema = new OpenApiSchema { Type = JsonSchemaType.String, Enum = ["comma", "semicolon"] },
        };

    /// <summary>The part of an address that makes an export open in columns in this person's spreadsheet; empty for commas.</summary>
    public static string QueryFor(CultureInfo culture) =>
        culture.NumberFormat.NumberDecimalSeparator == "," ? $"&{Parameter}=semicolon" : "";
}

/// <summary>
/// A file that the handler has written by now: an export is sent while it is read, within the limits of exports
/// (<see cref="ExportFilter"/>), which end when the handler does.
/// </summary>
public sealed class CsvWritten : IResult, IEndpointMetadataProvider
{
    private CsvWritten() { }

    public static CsvWritten Instance { get; } = new();

    public Task ExecuteAsync(HttpContext httpContext) => Task.CompletedTask;

    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) =>
        builder.Metadata.Add(new ProducesResponseTypeMetadata(StatusCodes.Status200OK, typeof(string), ["text/csv"]));
}

/// <summary>
/// Exports: UTF-8 with a byte order mark, a head of lines that begin with #, a line of column names, and rows. Amounts are decimal units
/// of the shop's currency, days are yyyy-MM-dd. Discounts and returns are positive, as everywhere. Text that a spreadsheet would run as a
/// formula gets a ' before it.
/// </summary>
public sealed class Csv(CsvWriter writer, int exponent) : IAsyncDisposable
{
    private static readonly CsvWriterOptions _options = CsvWriterOptions.Default with
    {
        Injection = CsvInjection.Escape,
        CommentPrefix = '#',
        ValidateFieldCount = false,
        WriteByteOrderMark = true,
    };

    /// <summary>
    /// Signs that begin a formula: those of ASCII, the full-width ones that some spreadsheets take for them, and | of
    /// DDE links.
    /// </summary>
    private const string FormulaSigns = "=+-@|＝＋－＠｜";

    private static readonly string[] _positive = ["discounts", "returns"];

    /// <summary>Begins the answer.</summary>
    /// <param name="name">Names the file: <c>orders</c> becomes <c>shop-orders-2026-11-01-2026-11-28.csv</c>.</param>
    /// <param name="definitions">What the columns mean, by <see cref="Definitions"/>.</param>
    /// <param name="range">The shop days of the rows; null where they have none.</param>
    /// <param name="filters">In words, what was left out; null for nothing.</param>
    /// <param name="order">In words, the order of the rows where it is not the one asked for.</param>
    public static async Task<Csv> BeginAsync(
        HttpContext http,
        TimeProvider time,
        string name,
        string title,
        DateRange? range,
        IEnumerable<Definition> definitions,
        IReadOnlyList<string> columns,
        string? filters = null,
        string? order = null
    )
    {
        var store = http.Store();
        var separator = CsvSeparator.Of(http)!;
        var now = new StoreClock(time, store.TimeZone).Now;
        http.Response.ContentType = "text/csv; charset=utf-8";
        http.Response.Headers.ContentDisposition = new ContentDispositionHeaderValue("attachment")
        {
            FileNameStar = $"{store.Handle}-{name}{DaysOf(range)}.csv",
        }.ToString();
        http.Response.Headers.CacheControl = "no-store";

        var writer = CsvWriter.Create(
            http.Response.Body,
            _options with
            {
                Separator = separator.Sign,
                FormatProvider = separator.Numbers,
            },
            leaveOpen: true
        );
        writer.WriteComment($" {title}, {store.Name} ({store.ShopDomain})");
        if (range is { } span)
            writer.WriteComment($" Shop days {span.From:yyyy-MM-dd} to {span.To:yyyy-MM-dd}, both included");
        writer.WriteComment(
            $" Time zone {store.TimeZone}, currency {store.Currency}, exported "
                + $"{now.ToString("yyyy-MM-dd HH:mm zzz", CultureInfo.InvariantCulture)}"
        );
        if (filters is not null)
            writer.WriteComment($" Only {filters}");
        if (order is not null)
            writer.WriteComment($" Rows {order}: there are too many to be sorted as of one moment");
        foreach (var definition in definitions)
            writer.WriteComment($" {definition.Name}: {definition.Words}");
        if (_positive.Any(key => columns.Contains(Definitions.Of(key).Name)))
            writer.WriteComment(" Discounts and returns are positive amounts: net sales are gross sales less both");
        await writer.WriteRecordAsync([.. columns], http.RequestAborted);
        return new Csv(writer, Currencies.ExponentOf(store.Currency));
    }

    public Csv Text(string? value)
    {
        if (IsFormula(value))
            writer.WriteField($"'{value}", CsvQuoting.Always);
        else
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
        writer.WriteField(
            minor / (decimal)Math.Pow(10, exponent),
            "F" + exponent.ToString(CultureInfo.InvariantCulture)
        );
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

    /// <param name="local">In the shop's time: what <see cref="StoreClock.At"/> gives.</param>
    public Csv Instant(DateTimeOffset? local)
    {
        writer.WriteField(local?.ToString("yyyy-MM-ddTHH:mm:sszzz", CultureInfo.InvariantCulture));
        return this;
    }

    public ValueTask EndRowAsync(CancellationToken ct) => new(writer.EndRecordAsync(ct).AsTask());

    /// <summary>Ends the file with a line about it.</summary>
    public void Note(string words) => writer.WriteComment(words);

    public async ValueTask DisposeAsync() => await writer.DisposeAsync();

    // What cannot be seen does not keep a spreadsheet from running what follows.
    private static bool IsFormula(string? value)
    {
        foreach (var sign in value ?? "")
        {
            if (FormulaSigns.Contains(sign, StringComparison.Ordinal))
                return true;
            if (
                !char.IsWhiteSpace(sign)
                && char.GetUnicodeCategory(sign) is not (UnicodeCategory.Format or UnicodeCategory.Control)
            )
                return false;
        }
        return false;
    }

    private static string DaysOf(DateRange? range) =>
        range is { } days ? $"-{days.From:yyyy-MM-dd}-{days.To:yyyy-MM-dd}" : "";
}
