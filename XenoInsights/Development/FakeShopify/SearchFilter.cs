using System.Globalization;
using System.Text;

namespace XenoInsights.Development.FakeShopify;

internal sealed record SearchWarning(string Field, string Message, string Code);

/// <summary>
/// The platform's search syntax: field:value, field:&gt;=value, quotes, AND (implied, binds tighter), OR, NOT and -,
/// parentheses. As on the platform a filter on an unknown field does not fail: it matches everything and leaves a
/// warning.
/// </summary>
internal sealed class SearchFilter<T>
    where T : class, IDemoObject
{
    private readonly List<SearchWarning> _warnings = [];

    private SearchFilter(Func<DemoCandidate<T>, bool>? matches, object? parsed) =>
        (Matches, Parsed) = (matches, parsed);

    /// <summary>Null: everything.</summary>
    public Func<DemoCandidate<T>, bool>? Matches { get; }

    public object? Parsed { get; }

    public IReadOnlyList<SearchWarning> Warnings => _warnings;

    public static SearchFilter<T> Parse(string? query, IReadOnlyDictionary<string, SearchField<T>> fields)
    {
        if (string.IsNullOrWhiteSpace(query))
        {
            return new(null, null);
        }
        var parser = new Parser(SearchToken.Read(query), fields);
        var (matches, parsed) = parser.Any();
        var filter = new SearchFilter<T>(matches, parsed);
        filter._warnings.AddRange(parser.Warnings);
        return filter;
    }

    private sealed class Parser(List<SearchToken> tokens, IReadOnlyDictionary<string, SearchField<T>> fields)
    {
        private int _at;

        public List<SearchWarning> Warnings { get; } = [];

        public (Func<DemoCandidate<T>, bool> Matches, object Parsed) Any()
        {
            var (matches, parsed) = All();
            var branches = new List<object> { parsed };
            while (_at < tokens.Count && tokens[_at].Kind == SearchTokenKind.Or)
            {
                _at++;
                var (left, (right, next)) = (matches, All());
                matches = candidate => left(candidate) || right(candidate);
                branches.Add(next);
            }
            return (matches, branches.Count == 1 ? branches[0] : new Dictionary<string, object> { ["or"] = branches });
        }

        private (Func<DemoCandidate<T>, bool> Matches, object Parsed) All()
        {
            Func<DemoCandidate<T>, bool> matches = _ => true;
            var branches = new List<object>();
            while (_at < tokens.Count && tokens[_at].Kind is not (SearchTokenKind.Or or SearchTokenKind.Close))
            {
                if (tokens[_at].Kind == SearchTokenKind.And)
                {
                    _at++;
                    continue;
                }
                var (left, (right, next)) = (matches, One());
                matches = branches.Count == 0 ? right : candidate => left(candidate) && right(candidate);
                branches.Add(next);
            }
            return (matches, branches.Count == 1 ? branches[0] : new Dictionary<string, object> { ["and"] = branches });
        }

        private (Func<DemoCandidate<T>, bool> Matches, object Parsed) One()
        {
            var token = tokens[_at++];
            switch (token.Kind)
            {
                case SearchTokenKind.Not when _at < tokens.Count:
                    var (negated, parsed) = One();
                    return (candidate => !negated(candidate), new Dictionary<string, object> { ["not"] = parsed });
                case SearchTokenKind.Open:
                    var group = Any();
                    _at = Math.Min(_at + 1, tokens.Count);
                    return group;
                default:
                    return Term(token);
            }
        }

        private (Func<DemoCandidate<T>, bool> Matches, object Parsed) Term(SearchToken token)
        {
            var name = token.Field ?? "default";
            var parsed = new Dictionary<string, object> { ["field"] = name, ["match_all"] = token.Value };
            if (token.Operator != "")
            {
                parsed = new()
                {
                    ["field"] = name,
                    ["range"] = new Dictionary<string, object>
                    {
                        [
                            token.Operator switch
                            {
                                "<" => "lt",
                                "<=" => "lte",
                                ">" => "gt",
                                _ => "gte",
                            }
                        ] = token.Value,
                    },
                };
            }
            if (!fields.TryGetValue(name, out var field))
            {
                Warnings.Add(new(name, "Invalid search field for this query.", "invalid_field"));
                return (_ => true, parsed);
            }
            if (field.Compile(token) is not { } matches)
            {
                Warnings.Add(new(name, $"Input `{token.Value}` is not an accepted value.", "invalid_value"));
                return (candidate => field.InvalidMatches, parsed);
            }
            return (matches, parsed);
        }
    }
}

internal enum SearchTokenKind
{
    Term,
    And,
    Or,
    Not,
    Open,
    Close,
}

/// <summary>Field is null for bare words. Operator is empty for equality.</summary>
internal readonly record struct SearchToken(
    SearchTokenKind Kind,
    string? Field,
    string Operator,
    string Value,
    bool Quoted
)
{
    public static List<SearchToken> Read(string query)
    {
        var tokens = new List<SearchToken>();
        var at = 0;
        while (at < query.Length)
        {
            var c = query[at];
            if (char.IsWhiteSpace(c))
            {
                at++;
            }
            else if (c is '(' or ')' or '-')
            {
                var kind = c switch
                {
                    '(' => SearchTokenKind.Open,
                    ')' => SearchTokenKind.Close,
                    _ => SearchTokenKind.Not,
                };
                tokens.Add(new(kind, null, "", "", false));
                at++;
            }
            else
            {
                tokens.Add(ReadTerm(query, ref at));
            }
        }
        return tokens;
    }

    private static SearchToken ReadTerm(string query, ref int at)
    {
        string? field = null;
        var comparison = "";
        var (word, quoted) = ReadWord(query, ref at, stopAtColon: true);
        if (!quoted && at < query.Length && query[at] == ':')
        {
            at++;
            field = word;
            while (at < query.Length && query[at] is '<' or '>' or '=')
            {
                comparison += query[at++];
            }
            (word, quoted) = ReadWord(query, ref at, stopAtColon: false);
            comparison = comparison == "=" ? "" : comparison;
        }
        else if (!quoted && word is "AND" or "OR" or "NOT")
        {
            return new(
                word switch
                {
                    "AND" => SearchTokenKind.And,
                    "OR" => SearchTokenKind.Or,
                    _ => SearchTokenKind.Not,
                },
                null,
                "",
                "",
                false
            );
        }
        return new(SearchTokenKind.Term, field, comparison, word, quoted);
    }

    private static (string Word, bool Quoted) ReadWord(string query, ref int at, bool stopAtColon)
    {
        var word = new StringBuilder();
        if (at < query.Length && query[at] is '\'' or '"')
        {
            var quote = query[at++];
            while (at < query.Length && query[at] != quote)
            {
                at += query[at] == '\\' && at + 1 < query.Length ? 1 : 0;
                word.Append(query[at++]);
            }
            at++;
            return (word.ToString(), true);
        }
        while (
            at < query.Length
            && !char.IsWhiteSpace(query[at])
            && query[at] is not ('(' or ')')
            && !(stopAtColon && query[at] == ':')
        )
        {
            word.Append(query[at++]);
        }
        return (word.ToString(), false);
    }
}

/// <summary>How one field compares; Compile returns null for a value the platform does not accept.</summary>
internal sealed record SearchField<T>(
    Func<SearchToken, Func<DemoCandidate<T>, bool>?> Compile,
    bool InvalidMatches = true
)
    where T : class, IDemoObject
{
    /// <summary>
    /// Instants; a date without a time is its whole day in UTC. A time that is not quoted is lost: the value ends at
    /// its colon.
    /// </summary>
    public static SearchField<T> Time(Func<DemoKey, long> value) =>
        new(token =>
        {
            var text = token.Quoted ? token.Value : token.Value.Split(':')[0].Split('T')[0];
            if (
                !DateTimeOffset.TryParse(
                    text,
                    CultureInfo.InvariantCulture,
                    DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
                    out var instant
                )
            )
            {
                return null;
            }
            var from = instant.ToUnixTimeMilliseconds();
            var until =
                from
                + (
                    text.Contains('T', StringComparison.Ordinal) || text.Contains(':', StringComparison.Ordinal)
                        ? 1000
                        : 86_400_000
                );
            return token.Operator switch
            {
                "<" => candidate => value(candidate.Key) < from,
                "<=" => candidate => value(candidate.Key) < until,
                ">" => candidate => value(candidate.Key) >= until,
                ">=" => candidate => value(candidate.Key) >= from,
                _ => candidate => value(candidate.Key) >= from && value(candidate.Key) < until,
            };
        });

    public static SearchField<T> Id(Func<DemoCandidate<T>, long?> value) =>
        new(token =>
        {
            if (!long.TryParse(token.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var id))
            {
                return null;
            }
            return token.Operator switch
            {
                "<" => candidate => value(candidate) < id,
                "<=" => candidate => value(candidate) <= id,
                ">" => candidate => value(candidate) > id,
                ">=" => candidate => value(candidate) >= id,
                _ => candidate => value(candidate) == id,
            };
        });

    public static SearchField<T> Amount(Func<T, decimal> value) =>
        new(token =>
        {
            if (!decimal.TryParse(token.Value, NumberStyles.Number, CultureInfo.InvariantCulture, out var amount))
            {
                return null;
            }
            return token.Operator switch
            {
                "<" => candidate => value(candidate.Item) < amount,
                "<=" => candidate => value(candidate.Item) <= amount,
                ">" => candidate => value(candidate.Item) > amount,
                ">=" => candidate => value(candidate.Item) >= amount,
                _ => candidate => value(candidate.Item) == amount,
            };
        });

    /// <summary>Without regard to case; a trailing * matches prefixes.</summary>
    public static SearchField<T> Text(Func<T, IEnumerable<string?>> values, bool negate = false) =>
        new(token =>
        {
            Func<string?, bool> equal =
                token.Value.EndsWith('*') && !token.Quoted
                    ? text => text is not null && text.StartsWith(token.Value[..^1], StringComparison.OrdinalIgnoreCase)
                    : text => string.Equals(text, token.Value, StringComparison.OrdinalIgnoreCase);
            return candidate => values(candidate.Item).Any(equal) != negate;
        });

    public static SearchField<T> Choice(IReadOnlyCollection<string> accepted, Func<T, string, bool> matches) =>
        new(
            token =>
                accepted.Contains(token.Value, StringComparer.OrdinalIgnoreCase)
                    ? candidate => matches(candidate.Item, token.Value.ToLowerInvariant())
                    : null,
            InvalidMatches: false
        );
}

/// <summary>
/// The search fields of each list, as the platform documents them for 2026-10 (the ones nobody here could ask for are
/// left out).
/// </summary>
internal static class SearchFields
{
    public static readonly IReadOnlyDictionary<string, SearchField<DemoOrder>> Orders = new Dictionary<
        string,
        SearchField<DemoOrder>
    >
    {
        ["default"] = SearchField<DemoOrder>.Text(o => [o.Name, o.Name.TrimStart('#'), o.Email]),
        ["id"] = SearchField<DemoOrder>.Id(c => c.Key.Id),
        ["name"] = SearchField<DemoOrder>.Text(o => [o.Name, o.Name.TrimStart('#')]),
        ["created_at"] = SearchField<DemoOrder>.Time(k => k.CreatedAt),
        ["updated_at"] = SearchField<DemoOrder>.Time(k => k.UpdatedAt),
        ["processed_at"] = SearchField<DemoOrder>.Time(k => k.ProcessedAt),
        ["email"] = SearchField<DemoOrder>.Text(o => [o.Email]),
        ["customer_id"] = SearchField<DemoOrder>.Id(c => c.Item.CustomerId),
        ["current_total_price"] = SearchField<DemoOrder>.Amount(o => o.CurrentTotal.Minor / o.Currency.UnitsPerOne),
        ["discount_code"] = SearchField<DemoOrder>.Text(o => o.DiscountCodes),
        ["gateway"] = SearchField<DemoOrder>.Text(o => o.Gateways),
        ["sku"] = SearchField<DemoOrder>.Text(o => o.Lines.Select(l => l.Sku)),
        ["source_name"] = SearchField<DemoOrder>.Text(o => [o.SourceName]),
        ["tag"] = SearchField<DemoOrder>.Text(o => o.Tags),
        ["tag_not"] = SearchField<DemoOrder>.Text(o => o.Tags, negate: true),
        ["test"] = SearchField<DemoOrder>.Choice(["true", "false"], (o, value) => o.Test == (value == "true")),
        ["status"] = SearchField<DemoOrder>.Choice(
            ["open", "closed", "cancelled", "not_closed", "any"],
            (o, value) =>
                value switch
                {
                    "open" => o.ClosedAt is null && o.CancelledAt is null,
                    "closed" => o.ClosedAt is not null,
                    "cancelled" => o.CancelledAt is not null,
                    "not_closed" => o.ClosedAt is null,
                    _ => true,
                }
        ),
        ["financial_status"] = SearchField<DemoOrder>.Choice(
            [
                "any",
                .. Enum.GetValues<FinancialStatus>().Select(s => Utf8JsonReaderExtensions.Name(s).ToLowerInvariant()),
            ],
            (o, value) =>
                value == "any"
                || string.Equals(
                    Utf8JsonReaderExtensions.Name(o.FinancialStatus),
                    value,
                    StringComparison.OrdinalIgnoreCase
                )
        ),
        ["fulfillment_status"] = SearchField<DemoOrder>.Choice(
            [
                "any",
                "shipped",
                "unshipped",
                .. Enum.GetValues<FulfillmentStatus>().Select(s => Utf8JsonReaderExtensions.Name(s).ToLowerInvariant()),
            ],
            (o, value) =>
                value switch
                {
                    "any" => true,
                    "shipped" => o.FulfillmentStatus == FulfillmentStatus.Fulfilled,
                    "unshipped" => o.FulfillmentStatus == FulfillmentStatus.Unfulfilled,
                    _ => string.Equals(
                        Utf8JsonReaderExtensions.Name(o.FulfillmentStatus),
                        value,
                        StringComparison.OrdinalIgnoreCase
                    ),
                }
        ),
    };

    public static readonly IReadOnlyDictionary<string, SearchField<DemoCustomer>> Customers = new Dictionary<
        string,
        SearchField<DemoCustomer>
    >
    {
        ["default"] = SearchField<DemoCustomer>.Text(c => [c.FirstName, c.LastName, c.DisplayName, c.Email]),
        ["id"] = SearchField<DemoCustomer>.Id(c => c.Key.Id),
        ["customer_date"] = SearchField<DemoCustomer>.Time(k => k.CreatedAt),
        ["updated_at"] = SearchField<DemoCustomer>.Time(k => k.UpdatedAt),
        ["email"] = SearchField<DemoCustomer>.Text(c => [c.Email]),
        ["first_name"] = SearchField<DemoCustomer>.Text(c => [c.FirstName]),
        ["last_name"] = SearchField<DemoCustomer>.Text(c => [c.LastName]),
        ["country"] = SearchField<DemoCustomer>.Text(c => [c.Address?.Country, c.Address?.CountryCode]),
        ["orders_count"] = SearchField<DemoCustomer>.Amount(c => c.NumberOfOrders),
        ["total_spent"] = SearchField<DemoCustomer>.Amount(c =>
            c.AmountSpent.Minor / c.AmountSpent.Currency.UnitsPerOne
        ),
        ["tag"] = SearchField<DemoCustomer>.Text(c => c.Tags),
        ["tag_not"] = SearchField<DemoCustomer>.Text(c => c.Tags, negate: true),
    };

    public static readonly IReadOnlyDictionary<string, SearchField<DemoCustomer>> CustomersCount = new Dictionary<
        string,
        SearchField<DemoCustomer>
    >
    {
        ["id"] = SearchField<DemoCustomer>.Id(c => c.Key.Id),
        ["created_at"] = SearchField<DemoCustomer>.Time(k => k.CreatedAt),
        ["updated_at"] = SearchField<DemoCustomer>.Time(k => k.UpdatedAt),
    };

    public static readonly IReadOnlyDictionary<string, SearchField<DemoProduct>> Products = new Dictionary<
        string,
        SearchField<DemoProduct>
    >
    {
        ["default"] = SearchField<DemoProduct>.Text(p => [p.Title, p.Sku]),
        ["id"] = SearchField<DemoProduct>.Id(c => c.Key.Id),
        ["created_at"] = SearchField<DemoProduct>.Time(k => k.CreatedAt),
        ["updated_at"] = SearchField<DemoProduct>.Time(k => k.UpdatedAt),
        ["published_at"] = SearchField<DemoProduct>.Time(k => k.CreatedAt),
        ["title"] = SearchField<DemoProduct>.Text(p => [p.Title]),
        ["sku"] = SearchField<DemoProduct>.Text(p => [p.Sku]),
        ["handle"] = SearchField<DemoProduct>.Text(p => [p.Handle]),
        ["vendor"] = SearchField<DemoProduct>.Text(p => [p.Vendor]),
        ["product_type"] = SearchField<DemoProduct>.Text(p => [p.ProductType]),
        ["gift_card"] = SearchField<DemoProduct>.Choice(
            ["true", "false"],
            (p, value) => p.IsGiftCard == (value == "true")
        ),
        ["status"] = SearchField<DemoProduct>.Choice(
            ["active", "archived", "draft", "unlisted"],
            (p, value) => string.Equals(p.Status, value, StringComparison.OrdinalIgnoreCase)
        ),
        ["tag"] = SearchField<DemoProduct>.Text(p => p.Tags),
        ["tag_not"] = SearchField<DemoProduct>.Text(p => p.Tags, negate: true),
    };

    public static readonly IReadOnlyDictionary<string, SearchField<DemoCheckout>> Checkouts = new Dictionary<
        string,
        SearchField<DemoCheckout>
    >
    {
        ["id"] = SearchField<DemoCheckout>.Id(c => c.Key.Id),
        ["created_at"] = SearchField<DemoCheckout>.Time(k => k.CreatedAt),
        ["updated_at"] = SearchField<DemoCheckout>.Time(k => k.UpdatedAt),
        ["status"] = SearchField<DemoCheckout>.Choice(
            ["open", "closed"],
            (c, value) => (c.CompletedAt is null) == (value == "open")
        ),
        ["recovery_state"] = SearchField<DemoCheckout>.Choice(
            ["recovered", "not_recovered"],
            (c, value) => (c.CompletedAt is not null) == (value == "recovered")
        ),
    };

    public static readonly IReadOnlyDictionary<string, SearchField<DemoBulkOperation>> BulkOperations = new Dictionary<
        string,
        SearchField<DemoBulkOperation>
    >
    {
        ["id"] = SearchField<DemoBulkOperation>.Id(c => c.Key.Id),
        ["created_at"] = SearchField<DemoBulkOperation>.Time(k => k.CreatedAt),
        ["status"] = SearchField<DemoBulkOperation>.Choice(
            ["canceled", "canceling", "completed", "created", "failed", "running"],
            (o, value) =>
                string.Equals(Utf8JsonReaderExtensions.Name(o.Status), value, StringComparison.OrdinalIgnoreCase)
        ),
        ["operation_type"] = SearchField<DemoBulkOperation>.Choice(
            ["query", "mutation"],
            (_, value) => value == "query"
        ),
    };

    public static readonly IReadOnlyDictionary<string, SearchField<DemoWebhook>> Webhooks = new Dictionary<
        string,
        SearchField<DemoWebhook>
    >
    {
        ["id"] = SearchField<DemoWebhook>.Id(c => c.Key.Id),
        ["created_at"] = SearchField<DemoWebhook>.Time(k => k.CreatedAt),
        ["updated_at"] = SearchField<DemoWebhook>.Time(k => k.UpdatedAt),
    };
}
