using Microsoft.Extensions.Options;

namespace XenoInsights.Hosting;

/// <summary>Section <c>App</c>; checked at start.</summary>
public sealed class AppOptions
{
    public const string Section = "App";

    /// <summary>
    /// Where browsers and Shopify reach the app; OAuth redirect and webhook addresses are built from it.
    /// </summary>
    public string PublicUrl { get; set; } = "";

    /// <summary>Browsers reach the app by https, whatever the connection between a proxy and this process is.</summary>
    public bool IsHttps => PublicUrl.StartsWith("https:", StringComparison.OrdinalIgnoreCase);

    /// <summary>Scheme, host and port of <see cref="PublicUrl"/> as browsers write an <c>Origin</c>.</summary>
    public string Origin => WebOrigin.Of(new Uri(PublicUrl));

    public Uri At(string path) => new(new Uri(PublicUrl.TrimEnd('/') + "/"), path.TrimStart('/'));
}

internal sealed class AppOptionsValidator(IHostEnvironment environment) : IValidateOptions<AppOptions>
{
    public ValidateOptionsResult Validate(string? name, AppOptions options)
    {
        if (!Uri.TryCreate(options.PublicUrl, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https"))
            return ValidateOptionsResult.Fail($"App:PublicUrl '{options.PublicUrl}' is not an http(s) address.");
        if (url.Scheme == "http" && !environment.IsDevelopment())
            return ValidateOptionsResult.Fail(
                "App:PublicUrl must be https outside Development: Shopify refuses other redirect addresses."
            );
        return ValidateOptionsResult.Success;
    }
}

public static class AppOptionsSetup
{
    public static void AddAppOptions(this WebApplicationBuilder builder)
    {
        builder.Services.AddOptions<AppOptions>().BindConfiguration(AppOptions.Section).ValidateOnStart();
        builder.Services.AddSingleton<IValidateOptions<AppOptions>, AppOptionsValidator>();
    }
}
