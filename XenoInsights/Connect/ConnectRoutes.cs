using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Authentication;
using Microsoft.Extensions.Options;
using XenoInsights.App;
using XenoInsights.Authentication;
using XenoInsights.Hosting;
using XenoInsights.Shopify;

namespace XenoInsights.Connect;

/// <summary>
/// The ways in: the App URL that Shopify's admin opens, our own form, and Shopify's answer. A store is connected to a
/// person only by an act of theirs: our form, our question after Shopify sent them, or a membership that they have
/// already. Why: ADR 0014.
/// </summary>
internal static class ConnectRoutes
{
    private const string ShopParameter = "shop";

    public static bool IsAppUrl(HttpContext http) =>
        HttpMethods.IsGet(http.Request.Method)
        && http.Request.Path == "/"
        && (http.Request.Query.ContainsKey(QuerySignature.Parameter) || http.Request.Query.ContainsKey(ShopParameter));

    /// <summary>
    /// Opens the dashboard for a member of a connected store; else begins OAuth if Shopify sent the person, or fills in
    /// the form.
    /// </summary>
    public static async Task OpenAsync(HttpContext http)
    {
        var result = await AnswerAsync(
            http,
            async () =>
            {
                if (!TryRead(http, http.Request.Query[ShopParameter].ToString(), out var link))
                    return ToForm(http.Request.Query[ShopParameter].ToString());
                // The middleware that says who is asking comes later.
                http.User = (await http.AuthenticateAsync()).Principal ?? http.User;
                var open = http.RequestServices.GetRequiredService<OpenStore>();
                if (
                    await open.DashboardAsync(
                        http.User,
                        link.Shop,
                        askShopify: link.IsFromShopify,
                        http.RequestAborted
                    ) is
                    { } dashboard
                )
                    return Results.Redirect(dashboard);
                return link.IsFromShopify ? await ToShopifyAsync(http, begunBy: null, link.Shop) : ToForm(link.Shop);
            }
        );
        await result.ExecuteAsync(http);
    }

    /// <summary>A link from another site that Shopify has not signed only asks whether to go on.</summary>
    public static Task<IResult> StartAsync(HttpContext http, OwnOrigins origins) =>
        AnswerAsync(
            http,
            async () =>
            {
                var shop = http.Request.Query[ShopParameter];
                var link = Read(http, shop.Count == 1 ? shop[0] : null);
                if (link.IsFromShopify)
                    return await ToShopifyAsync(http, begunBy: null, link.Shop);
                if (http.User.UserId() is not { } person)
                    return Results.Challenge();
                if (origins.Sent(http.Request))
                    return await ToShopifyAsync(http, person, link.Shop);
                return Ask(
                    http,
                    $"Connect {link.Shop}?",
                    "A link on another site asked for this. "
                        + "Shopify shows you what is read, and the whole store is imported.",
                    new("Continue to Shopify", link.Shop, FieldName: ShopParameter)
                );
            }
        );

    public static Task<IResult> StartConfirmedAsync(HttpContext http, IAntiforgery antiforgery) =>
        AnswerAsync(
            http,
            async () =>
            {
                await RequireOwnFormAsync(http, antiforgery);
                var form = await http.Request.ReadFormAsync(http.RequestAborted);
                var shop =
                    ShopAddress.Parse(form[ShopParameter]) ?? throw new ConnectRefusedException(ConnectErrors.BadShop);
                return await ToShopifyAsync(http, http.User.UserId()!.Value, shop);
            }
        );

    /// <summary>
    /// Shopify's answer: the checks, then sign-in if it is due, then our question if Shopify began it and the person is
    /// no member yet.
    /// </summary>
    public static Task<IResult> CompleteAsync(
        HttpContext http,
        ConnectStore install,
        OpenStore open,
        IAntiforgery antiforgery,
        CancellationToken ct
    ) =>
        AnswerAsync(
            http,
            async () =>
            {
                var isConfirmed = HttpMethods.IsPost(http.Request.Method);
                if (isConfirmed)
                    await RequireOwnFormAsync(http, antiforgery);
                var query = http.Request.Query;
                var (shop, begunBy) = await install.VerifyAsync(query, http.Request.Cookies[StateCookie(http)], ct);
                if (http.User.UserId() is not { } person)
                    return Results.Challenge();
                if (begunBy is not null && begunBy != person)
                    throw new ConnectRefusedException(ConnectErrors.BadState);
                if (begunBy is null && !isConfirmed)
                {
                    if (await open.DashboardAsync(http.User, shop, askShopify: true, ct) is { } dashboard)
                    {
                        await install.UseStateAsync(person, query, ct);
                        ResetState(http);
                        return Results.Redirect(dashboard);
                    }
                    if (await open.MembershipAsync(http.User, shop, ct) is null)
                        return AskWhoseStore(http, shop);
                }
                ResetState(http);
                return Results.Redirect(OpenStore.Dashboard(await install.CompleteAsync(person, query, ct)));
            }
        );

    private static ConnectLink Read(HttpContext http, string? shop) =>
        ConnectLink.Read(
            http.Request.Query,
            shop,
            http.RequestServices.GetRequiredService<IOptions<ShopifyOptions>>().Value,
            http.RequestServices.GetRequiredService<TimeProvider>().GetUtcNow()
        );

    /// <summary>False where nobody signed and no shop can be read; a wrong signature is refused.</summary>
    private static bool TryRead(
        HttpContext http,
        string shop,
        [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out ConnectLink? link
    )
    {
        link = null;
        if (!http.Request.Query.ContainsKey(QuerySignature.Parameter) && ShopAddress.Parse(shop) is null)
            return false;
        link = Read(http, shop);
        return true;
    }

    private static IResult ToForm(string shop) => Results.Redirect("/stores" + QueryString.Create(ShopParameter, shop));

    private static async Task<IResult> ToShopifyAsync(HttpContext http, Guid? begunBy, string shop)
    {
        var install = http.RequestServices.GetRequiredService<ConnectStore>();
        var (consent, state) = await install.BeginAsync(begunBy, shop, http.RequestAborted);
        http.Response.Cookies.Append(StateCookie(http), state, CookieOptions(http));
        return Results.Redirect(consent.ToString());
    }

    private static IResult AskWhoseStore(HttpContext http, string shop)
    {
        var account = http.User.FindFirst(SessionClaims.EmailClaim)?.Value ?? http.User.Identity?.Name;
        return Ask(
            http,
            $"Connect {shop}?",
            $"Shopify has approved. The store will belong to your account here, {account}. "
                + "If that is not you, sign out first and open the app in Shopify again.",
            new("Connect", "yes", FieldName: "confirm")
        );
    }

    /// <summary>A page whose button posts to the address it was asked for at, with a token against forgery.</summary>
    private static IResult Ask(HttpContext http, string title, string text, NoticeAction yes)
    {
        var token = http.RequestServices.GetRequiredService<IAntiforgery>().GetAndStoreTokens(http);
        return NoticePage.Result(
            StatusCodes.Status200OK,
            title,
            text,
            [yes, new("Not now", "/stores")],
            [new(token.FormFieldName, token.RequestToken!)]
        );
    }

    private static async Task RequireOwnFormAsync(HttpContext http, IAntiforgery antiforgery)
    {
        if (!await antiforgery.IsRequestValidAsync(http))
            throw new ConnectRefusedException(ConnectErrors.BadForm);
    }

    private static async Task<IResult> AnswerAsync(HttpContext http, Func<Task<IResult>> work)
    {
        try
        {
            return await work();
        }
        catch (ConnectRefusedException refusal)
        {
            if (http.Request.Path == ConnectStore.CallbackPath)
                ResetState(http);
            return Refusal(http, refusal);
        }
    }

    private static IResult Refusal(HttpContext http, ConnectRefusedException refusal)
    {
        http.RequestServices.GetRequiredService<ILogger<ConnectStore>>().Refused(refusal.Error.Code, refusal);
        var error = refusal.Error;
        if (!http.Request.GetTypedHeaders().Accept.Any(a => a.MediaType == "text/html"))
            return Results.Problem(
                error.Text,
                statusCode: error.Status,
                title: error.Title,
                extensions: new Dictionary<string, object?> { ["code"] = error.Code }
            );
        // The form is filled in with the store that was meant.
        var shop = ShopAddress.Parse(http.Request.Query[ShopParameter].ToString());
        var stores = shop is null ? "/stores" : "/stores" + QueryString.Create(ShopParameter, shop);
        return NoticePage.Result(error.Status, error.Title, error.Text, [new("Your stores", stores)]);
    }

    private static AppOptions App(HttpContext http) =>
        http.RequestServices.GetRequiredService<IOptions<AppOptions>>().Value;

    private static string StateCookie(HttpContext http) => App(http).IsHttps ? "__Host-xeno-install" : "xeno-install";

    private static void ResetState(HttpContext http) =>
        http.Response.Cookies.Delete(StateCookie(http), CookieOptions(http));

    private static CookieOptions CookieOptions(HttpContext http) =>
        new()
        {
            HttpOnly = true,
            Secure = App(http).IsHttps,
            SameSite = SameSiteMode.Lax,
            Path = "/",
            MaxAge = ConnectStore.StateLifetime,
            IsEssential = true,
        };
}
