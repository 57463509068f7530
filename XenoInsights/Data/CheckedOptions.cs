using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace XenoInsights.Data;

/// <summary>
/// Options of a section whose annotations are checked at start. An annotation's message goes on after the key:
/// <c>must be 1 to 100.</c> becomes <c>Sync:Parallel must be 1 to 100.</c>
/// </summary>
internal static class CheckedOptions
{
    /// <summary>Messages of <see cref="RangeAttribute"/>.</summary>
    public const string Range = "must be {1} to {2}.",
        AtLeast = "must be at least {1}.";

    /// <summary>
    /// Binds the section. Rules about several options are added to the answer, by its <c>Validate</c>.
    /// </summary>
    public static OptionsBuilder<TOptions> AddCheckedOptions<TOptions>(this IServiceCollection services, string section)
        where TOptions : class
    {
        services.AddSingleton<IValidateOptions<TOptions>>(new AnnotationsValidator<TOptions>(section));
        return services.AddOptions<TOptions>().BindConfiguration(section).ValidateOnStart();
    }

    /// <summary>As the framework's own for annotations, which names the property but not the key to set.</summary>
    private sealed class AnnotationsValidator<TOptions>(string section) : IValidateOptions<TOptions>
        where TOptions : class
    {
        public ValidateOptionsResult Validate(string? name, TOptions options)
        {
            var failures = new List<ValidationResult>();
            var context = new ValidationContext(options);
            if (Validator.TryValidateObject(options, context, failures, validateAllProperties: true))
                return ValidateOptionsResult.Success;
            return ValidateOptionsResult.Fail(
                failures.Select(failure => $"{section}:{failure.MemberNames.First()} {failure.ErrorMessage}")
            );
        }
    }
}
