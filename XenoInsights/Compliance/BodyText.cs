using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using XenoInsights.Shopify;

namespace XenoInsights.Compliance;

/// <summary>What a stored body says, value by value: parsed, so that it does not matter how Shopify wrote it.</summary>
internal static partial class BodyText
{
    /// <param name="Name">The property it stands in; for what is no JSON empty.</param>
    /// <param name="IsNumber">A number, as its digits.</param>
    public readonly record struct Value(string Name, bool IsNumber, string Text);

    /// <summary>All values of a body; one that is no JSON is one text.</summary>
    public static List<Value> ValuesOf(byte[] payload)
    {
        var values = new List<Value>();
        try
        {
            var reader = new Utf8JsonReader(
                payload,
                new JsonReaderOptions { CommentHandling = JsonCommentHandling.Skip, MaxDepth = 512 }
            );
            for (var name = ""; reader.Read(); )
            {
                if (reader.TokenType == JsonTokenType.PropertyName)
                    name = TextOf(ref reader);
                else if (reader.TokenType == JsonTokenType.String)
                    values.Add(new(name, false, TextOf(ref reader)));
                else if (reader.TokenType == JsonTokenType.Number)
                    values.Add(new(name, true, TextOf(ref reader)));
            }
        }
        catch (JsonException)
        {
            return [new("", false, Unescaped(Encoding.UTF8.GetString(payload)))];
        }
        return values;
    }

    private static string TextOf(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Number || !reader.ValueIsEscaped)
            return Encoding.UTF8.GetString(reader.ValueSpan);
        try
        {
            return reader.GetString()!;
        }
        catch (InvalidOperationException)
        {
            return Unescaped(Encoding.UTF8.GetString(reader.ValueSpan)); // Half a character in it.
        }
    }

    /// <summary>A text as it is, and as it would be read as a part of an address or as JSON inside of JSON.</summary>
    public static IEnumerable<string> ReadingsOf(string text)
    {
        yield return text;
        if (text.Contains('%', StringComparison.Ordinal))
            yield return Uri.UnescapeDataString(text);
        if (text.Contains("\\u", StringComparison.OrdinalIgnoreCase))
            yield return Unescaped(text);
    }

    /// <summary>
    /// E-mail addresses anywhere in a text, in the normal writing. Looks at each at sign, so the length of the text
    /// costs no more than reading it.
    /// </summary>
    public static IEnumerable<string> EmailsIn(string text)
    {
        const int longestLocal = 64,
            longestDomain = 255;
        var normal = Identifier.NormalText(text);
        for (var at = normal.IndexOf('@', StringComparison.Ordinal); at >= 0; at = normal.IndexOf('@', at + 1))
        {
            var (from, to) = (at, at + 1);
            while (
                from > 0
                && at - from < longestLocal
                && (
                    char.IsLetterOrDigit(normal[from - 1])
                    || "._%+-'!#$&*/=?^`{|}~".Contains(normal[from - 1], StringComparison.Ordinal)
                )
            )
                from--;
            while (
                to < normal.Length
                && to - at <= longestDomain
                && (char.IsLetterOrDigit(normal[to]) || normal[to] is '.' or '-')
            )
                to++;
            var email = normal[from..to].TrimEnd('.', '-');
            if (from < at && email.Length > at - from + 1)
                yield return email;
        }
    }

    private static string Unescaped(string text) =>
        Escape().Replace(text, match => ((char)Convert.ToInt32(match.Groups[1].Value, 16)).ToString());

    [GeneratedRegex(@"\\+u([0-9a-fA-F]{4})")]
    private static partial Regex Escape();
}

/// <summary>Whom an event speaks of, by everything a person may be recognised by.</summary>
internal static class PeopleInBody
{
    private const string CustomerGid = "gid://shopify/Customer/";

    public static HashSet<Identifier> Of(string topic, byte[] payload)
    {
        var people = new HashSet<Identifier>();
        if (CustomerIn(topic, payload) is { } customer)
            people.Add(Identifier.Customer(customer));
        foreach (var value in BodyText.ValuesOf(payload))
        {
            var isPhone = value.Name.Contains("phone", StringComparison.OrdinalIgnoreCase);
            if (isPhone && Identifier.Phone(value.Text) is { } phone)
                people.Add(phone);
            if (value.IsNumber)
            {
                if (value.Name == "customer_id" && long.TryParse(value.Text, out var id))
                    people.Add(Identifier.Customer(id));
                continue;
            }
            if (
                value.Text.StartsWith(CustomerGid, StringComparison.Ordinal)
                && long.TryParse(value.Text.AsSpan(CustomerGid.Length), out var named)
            )
                people.Add(Identifier.Customer(named));
            foreach (
                var reading in BodyText
                    .ReadingsOf(value.Text)
                    .Where(reading =>
                        reading.Contains('@', StringComparison.Ordinal)
                        || reading.Contains('＠', StringComparison.Ordinal)
                    )
            )
                people.UnionWith(
                    BodyText.EmailsIn(reading).Select(email => new Identifier(Identifier.EmailKind, email))
                );
        }
        return people;
    }

    /// <summary>The customer that a body is, or names; readable otherwise or not.</summary>
    private static long? CustomerIn(string topic, byte[] payload)
    {
        try
        {
            using var document = JsonDocument.Parse(StorableJson.Clean(payload));
            var body = document.RootElement;
            if (body.ValueKind != JsonValueKind.Object)
                return null;
            var isCustomer = WebhookTopics.Find(topic) is { Payload: TopicPayload.Customer };
            return isCustomer ? body.Id() : body.Object("customer")?.Id();
        }
        catch (Exception failure) when (failure is FormatException or JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}

/// <summary>Somebody who is to be erased.</summary>
/// <param name="Orders">Orders whose events go with them.</param>
internal sealed record Person(
    long? CustomerId,
    IReadOnlyCollection<string> Emails,
    IReadOnlyCollection<string> Phones,
    IReadOnlyCollection<long> Orders
)
{
    public IEnumerable<Identifier> Identifiers =>
        [
            .. CustomerId is { } id ? (Identifier[])[Identifier.Customer(id)] : [],
            .. Emails.Select(Identifier.Email).OfType<Identifier>(),
            .. Phones.Select(Identifier.Phone).OfType<Identifier>(),
            .. Orders.Select(Identifier.Order),
        ];
}

/// <summary>
/// Tells the bodies that speak of somebody: by id, by address anywhere in a text, by number however it is written.
/// </summary>
internal sealed class PersonMatcher(Person person)
{
    private const int FewestDigits = 7,
        LongestPhone = 15;
    private const string PhoneSigns = "+ ()-./\u00a0";

    private readonly string? _customer = person.CustomerId?.ToString(System.Globalization.CultureInfo.InvariantCulture);
    private readonly HashSet<string> _orders =
    [
        .. person.Orders.Select(id => id.ToString(System.Globalization.CultureInfo.InvariantCulture)),
    ];
    private readonly List<string> _emails =
    [
        .. person.Emails.Select(Identifier.Email).OfType<Identifier>().Select(email => email.Value),
    ];
    private readonly List<string> _phones =
    [
        .. person.Phones.Select(Identifier.Digits).Where(digits => digits.Length >= FewestDigits),
    ];

    public bool IsAbout(string topic, long? objectId, byte[] payload)
    {
        if (
            objectId is { } id
            && (
                person.Orders.Contains(id)
                || (id == person.CustomerId && topic.StartsWith("customers/", StringComparison.Ordinal))
            )
        )
            return true;
        return BodyText.ValuesOf(payload).Exists(IsAbout);
    }

    private bool IsAbout(BodyText.Value value)
    {
        if (value.IsNumber)
            return IsId(value.Name, value.Text)
                || (value.Name.Contains("phone", StringComparison.OrdinalIgnoreCase) && IsPhone(value.Text));
        return BodyText.ReadingsOf(value.Text).Any(reading => IsNamedIn(value.Name, reading));
    }

    private bool IsNamedIn(string name, string text) =>
        IsId(name, text)
        || (
            text.Contains('/', StringComparison.Ordinal)
            && text.Split('/', '?', '#', '&', '=').Any(part => part == _customer || _orders.Contains(part))
        )
        || (
            _emails.Count > 0
            && Identifier.NormalText(text) is var normal
            && _emails.Exists(email => normal.Contains(email, StringComparison.Ordinal))
        )
        || (_phones.Count > 0 && PhonesIn(text).Any(IsPhone));

    private bool IsId(string name, string text) =>
        (text == _customer && (name is "id" or "" || name.Contains("customer", StringComparison.OrdinalIgnoreCase)))
        || (name is "order_id" && _orders.Contains(text));

    private bool IsPhone(string text)
    {
        var digits = Identifier.Digits(text);
        return digits.Length is >= FewestDigits and <= LongestPhone
            && _phones.Exists(phone =>
                phone.EndsWith(digits, StringComparison.Ordinal) || digits.EndsWith(phone, StringComparison.Ordinal)
            );
    }

    /// <summary>Runs of digits with what people put between them.</summary>
    private static IEnumerable<string> PhonesIn(string text)
    {
        for (var at = 0; at < text.Length; )
        {
            var to = at;
            while (
                to < text.Length && (char.IsDigit(text[to]) || PhoneSigns.Contains(text[to], StringComparison.Ordinal))
            )
                to++;
            if (to - at >= FewestDigits)
                yield return text[at..to];
            at = to + 1;
        }
    }
}
