namespace XenoInsights.Connect;

/// <summary>Why a store was not connected, in words for the merchant: what is wrong and how to go on.</summary>
/// <param name="Code">Stable name for programs and tests.</param>
/// <param name="Status">4xx: the request cannot succeed as it is; 502: Shopify's side.</param>
public sealed record ConnectError(string Code, int Status, string Title, string Text);

/// <summary>Ends an install; nothing has been stored unless the error says so.</summary>
public sealed class ConnectRefusedException(ConnectError error, Exception? cause = null) : Exception(error.Title, cause)
{
    public ConnectError Error { get; } = error;
}

internal static class ConnectErrors
{
    public static readonly ConnectError BadShop = new(
        "bad_shop",
        400,
        "That is not a store's address",
        "A store's address looks like your-store.myshopify.com. You find it in Shopify under Settings, Domains."
    );

    public static readonly ConnectError BadSignature = new(
        "bad_signature",
        400,
        "This link does not come from Shopify",
        "Its signature is wrong, so we did not use it. Start again from your stores."
    );

    public static readonly ConnectError Stale = new(
        "stale",
        400,
        "This link is too old",
        "Shopify's answer does not belong to this attempt, or the clocks do not agree. Start again from your stores."
    );

    public static readonly ConnectError Cancelled = new(
        "cancelled",
        400,
        "The store was not connected",
        "The request was declined in Shopify. Nothing has changed; you can connect the store whenever you like."
    );

    public static readonly ConnectError BadState = new(
        "bad_state",
        400,
        "This attempt to connect is no longer valid",
        "It was used before, is older than ten minutes, or was begun in another browser or by someone else. "
            + "Start again from your stores."
    );

    public static readonly ConnectError OtherShop = new(
        "other_shop",
        400,
        "Shopify answered for another store",
        "The store that approved is not the one you asked to connect. "
            + "Start again, signed in to the right store in Shopify."
    );

    public static readonly ConnectError BadForm = new(
        "bad_form",
        400,
        "This form has expired",
        "It was not one of ours, or you have signed in anew since it was shown. Start again from your stores."
    );

    public static readonly ConnectError CodeRefused = new(
        "code_refused",
        400,
        "Shopify did not accept the approval",
        "An approval can be used once and for a short time only. Start again from your stores."
    );

    public static readonly ConnectError AppRefused = new(
        "app_refused",
        502,
        "Shopify does not know this app",
        "The app's own credentials at Shopify are wrong. "
            + "Whoever runs this installation has to check Shopify:ClientId and Shopify:ClientSecret."
    );

    public static readonly ConnectError ShopUnavailable = new(
        "shop_unavailable",
        502,
        "Shopify does not answer",
        "The store could not be reached just now. Nothing has been stored; try again in a minute."
    );

    public static ConnectError UnknownTimeZone(string zone) =>
        new(
            "unknown_time_zone",
            400,
            "The store's time zone is not known here",
            $"Shopify names the time zone {zone}, and this installation does not know it, "
                + "so it cannot tell the store's days. Whoever runs it has to update its time zone data (tzdata)."
        );

    public static ConnectError MissingScopes(IEnumerable<string> missing) =>
        new(
            "missing_scopes",
            400,
            "Some permissions are missing",
            $"Shopify granted less than the figures need. Connect again and approve: {string.Join(", ", missing)}."
        );
}
