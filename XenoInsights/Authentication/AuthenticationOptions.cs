using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace XenoInsights.Authentication;

/// <summary>The OpenID Connect provider that people sign in with. Section <c>Oidc</c>; checked at start.</summary>
public sealed class OidcOptions
{
    public const string Section = "Oidc";

    /// <summary>The issuer's address; its metadata are found below it.</summary>
    public string? Authority { get; set; }

    /// <summary>The metadata document itself, for providers whose issuer is not its address.</summary>
    public string? MetadataAddress { get; set; }
    public string ClientId { get; set; } = "";
    public string? ClientSecret { get; set; }

    /// <summary>No provider is named. Development brings its own then; anywhere else that is an error.</summary>
    public bool IsAbsent => string.IsNullOrEmpty(Authority) && string.IsNullOrEmpty(MetadataAddress);
}

/// <summary>Section <c>Access</c>.</summary>
public sealed class AccessOptions
{
    public const string Section = "Access";

    private const string Shortest = "00:01:00",
        Longest = "90.00:00:00",
        Limits = $"must be from one minute ({Shortest}) to 90 days ({Longest}).";

    /// <summary>
    /// E-mail addresses of those who look after the installation; counts only where the provider says the address is
    /// verified.
    /// </summary>
    public IList<string> Operators { get; } = [];

    /// <summary>
    /// How long a session lasts without an action of the person. Live updates of an open page are no action.
    /// </summary>
    [Range(typeof(TimeSpan), Shortest, Longest, ParseLimitsInInvariantCulture = true, ErrorMessage = Limits)]
    public TimeSpan SessionIdle { get; set; } = TimeSpan.FromHours(8);

    /// <summary>How long a session lasts at most.</summary>
    [Range(typeof(TimeSpan), Shortest, Longest, ParseLimitsInInvariantCulture = true, ErrorMessage = Limits)]
    public TimeSpan SessionLifetime { get; set; } = TimeSpan.FromDays(7);

    /// <summary>
    /// Lets other machines use Development's built-in sign-in, where whoever reaches it may be any demo user: for
    /// containers and networks that nobody else is on.
    /// </summary>
    public bool BuiltInSignInForAll { get; set; }
}

internal sealed class OidcOptionsValidator(IHostEnvironment environment) : IValidateOptions<OidcOptions>
{
    public ValidateOptionsResult Validate(string? name, OidcOptions options)
    {
        if (options.IsAbsent)
        {
            return environment.IsDevelopment()
                ? ValidateOptionsResult.Success
                : ValidateOptionsResult.Fail(
                    "Oidc:Authority (or Oidc:MetadataAddress) is missing: the OpenID Connect provider that people "
                        + "sign in with. Only Development brings its own."
                );
        }
        var failures = new List<string>();
        CheckAddress("Oidc:Authority", options.Authority, failures);
        CheckAddress("Oidc:MetadataAddress", options.MetadataAddress, failures);
        if (options.ClientId.Length == 0)
            failures.Add("Oidc:ClientId is missing: the client id that the provider gave this app.");
        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);
    }

    private void CheckAddress(string key, string? value, List<string> failures)
    {
        if (string.IsNullOrEmpty(value))
            return;
        if (!Uri.TryCreate(value, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https"))
            failures.Add($"{key} '{value}' is not an http(s) address.");
        else if (url.Scheme == "http" && !environment.IsDevelopment())
            failures.Add($"{key} must be https outside Development.");
    }
}
