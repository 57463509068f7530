using Scalar.AspNetCore;

namespace XenoInsights.Hosting;

/// <summary>The API's description (OpenAPI) and a page to read and try it.</summary>
public static class ApiDocs
{
    private const string Description = "/api/openapi.json",
        Page = "/api/docs";

    public static void AddApiDocs(this WebApplicationBuilder builder) =>
        builder.Services.AddOpenApi(options =>
            options.AddDocumentTransformer(
                (document, _, _) =>
                {
                    document.Info.Title = "XenoInsights";
                    document.Info.Description =
                        "Sales, orders, customers and products of your Shopify stores. Money is in minor units "
                        + "of the shop's currency; dates are the shop's own.";
                    return Task.CompletedTask;
                }
            )
        );

    public static void MapApiDocs(this WebApplication app)
    {
        app.MapOpenApi(Description).AllowAnonymous();
        app.MapScalarApiReference(
                Page,
                options =>
                    options
                        .WithOpenApiRoutePattern(Description)
                        .WithTitle("XenoInsights API")
                        .WithNonce()
                        .DisableDefaultFonts()
            )
            .AllowAnonymous();
    }
}
