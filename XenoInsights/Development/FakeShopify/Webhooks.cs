namespace XenoInsights.Development.FakeShopify;

internal sealed record AdminUserError(IReadOnlyList<string>? Field, string Message, string? Code = null);

internal sealed record AdminPayload(object? Result, IReadOnlyList<AdminUserError> UserErrors)
{
    public static AdminPayload Of(object result) => new(result, []);

    public static AdminPayload Failed(params AdminUserError[] errors) => new(null, errors);
}

/// <summary>A subscription to a topic (enum spelling, ORDERS_CREATE) made by the app.</summary>
public sealed record DemoWebhook : IDemoObject
{
    public required long Id { get; init; }

    public required string Topic { get; init; }

    public required string Uri { get; init; }

    public string Format { get; init; } = "JSON";

    public IReadOnlyList<string> IncludeFields { get; init; } = [];

    public IReadOnlyList<string> MetafieldNamespaces { get; init; } = [];

    public string? Filter { get; init; }

    public string? Name { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset UpdatedAt { get; init; }
}

/// <summary>
/// The app's subscriptions in one store, with the platform's own refusals; http is taken for loopback addresses only.
/// </summary>
internal sealed class DemoWebhooks
{
    private static readonly string[] _addressField = ["webhookSubscription", "callbackUrl"];
    private long _last;

    public DemoSet<DemoWebhook> Set { get; private set; } = DemoSet.Of<DemoWebhook>([]);

    public AdminPayload Create(string topic, IDictionary<string, object?> input, AdminRequest request)
    {
        var uri = (Text(input, "uri") ?? Text(input, "callbackUrl") ?? "").Trim();
        if (AddressProblem(uri) is { } problem)
        {
            return AdminPayload.Failed(new AdminUserError(_addressField, problem));
        }
        if (Set.All().Any(w => w.Topic == topic && w.Uri == uri))
        {
            return AdminPayload.Failed(
                new AdminUserError(_addressField, "Address for this topic has already been taken")
            );
        }
        var webhook = Merge(
            new DemoWebhook
            {
                Id = 1_900_000_000_000 + (request.Shop.Ordinal * 1_000_000L) + Interlocked.Increment(ref _last),
                Topic = topic,
                Uri = uri,
                CreatedAt = request.Now,
                UpdatedAt = request.Now,
            },
            input
        );
        Set.Put(webhook);
        return AdminPayload.Of(webhook);
    }

    public AdminPayload Update(long id, IDictionary<string, object?> input, AdminRequest request)
    {
        if (Set.Find(id) is not { } webhook)
        {
            return NotThere;
        }
        var uri = (Text(input, "uri") ?? Text(input, "callbackUrl"))?.Trim() ?? webhook.Uri;
        if (AddressProblem(uri) is { } problem)
        {
            return AdminPayload.Failed(new AdminUserError(_addressField, problem));
        }
        var updated = Merge(webhook with { Uri = uri, UpdatedAt = request.Now }, input);
        Set.Put(updated);
        return AdminPayload.Of(updated);
    }

    public AdminPayload Delete(long id) =>
        Set.Remove(id) ? AdminPayload.Of(new Gid("WebhookSubscription", id)) : NotThere;

    public void Clear() => Set = DemoSet.Of<DemoWebhook>([]);

    private static AdminPayload NotThere =>
        AdminPayload.Failed(new AdminUserError(["id"], "Webhook subscription does not exist"));

    private static string? AddressProblem(string address)
    {
        const int largest = 64 * 1024;
        if (address.Length == 0)
        {
            return "Address can't be blank";
        }
        if (address.Length > largest)
        {
            return "Address is too big (maximum is 64 KB)";
        }
        if (!Uri.TryCreate(address, UriKind.Absolute, out var uri) || uri.Host.Length == 0)
        {
            return "Address is invalid";
        }
        if (uri.Scheme != Uri.UriSchemeHttps && !(uri.Scheme == Uri.UriSchemeHttp && uri.IsLoopback))
        {
            return $"Address protocol {uri.Scheme}:// is not supported";
        }
        return
            uri.Host.EndsWith(".myshopify.com", StringComparison.OrdinalIgnoreCase)
            || uri.Host.EndsWith("shopify.com", StringComparison.OrdinalIgnoreCase)
            ? "Address cannot be a Shopify or an internal domain"
            : null;
    }

    private static DemoWebhook Merge(DemoWebhook webhook, IDictionary<string, object?> input) =>
        webhook with
        {
            Format = Text(input, "format") ?? webhook.Format,
            Filter = input.ContainsKey("filter") ? Text(input, "filter") : webhook.Filter,
            Name = Text(input, "name") ?? webhook.Name,
            IncludeFields = Texts(input, "includeFields") ?? webhook.IncludeFields,
            MetafieldNamespaces = Texts(input, "metafieldNamespaces") ?? webhook.MetafieldNamespaces,
        };

    private static string? Text(IDictionary<string, object?> input, string name) =>
        input.TryGetValue(name, out var value) ? value as string : null;

    private static string[]? Texts(IDictionary<string, object?> input, string name) =>
        input.TryGetValue(name, out var value) && value is IEnumerable<object?> list
            ? [.. list.OfType<string>()]
            : null;
}
