using System.Reflection;
using Microsoft.Extensions.Options;
using XenoInsights.Data;

namespace XenoInsights.Hosting;

/// <summary>
/// Collects what is wrong with the configuration, so that the start ends with all of it at once and whoever installs
/// the product need not start it again for each.
/// </summary>
internal sealed class ConfigurationProblems
{
    private readonly List<string> _problems = [];

    /// <summary>
    /// What ends the start because of the configuration or the schema is told in plain lines; the process ends with 1.
    /// </summary>
    /// <remarks>
    /// An exception of the entry point stays one: tests and tools that start the app in their own process see it.
    /// </remarks>
    public static void ExitPlainly() =>
        AppDomain.CurrentDomain.UnhandledException += (_, e) =>
        {
            if (Refusal(e.ExceptionObject) is not { } refusal)
                return;
            Console.Error.WriteLine(refusal);
            Environment.Exit(1);
        };

    private static string? Refusal(object thrown) =>
        thrown switch
        {
            ConfigurationException refused => Refusal([refused.Message]),
            // Commands read options without collecting what is wrong with them first.
            OptionsValidationException refused => Refusal(refused.Failures),
            UpgradeStoppedException stopped => $"XenoInsights does not start: {stopped.Message}",
            _ => null,
        };

    private static string Refusal(IEnumerable<string> problems) =>
        string.Join(
            Environment.NewLine,
            problems.Prepend("XenoInsights does not start; its configuration is not complete or not right:")
        );

    /// <summary>Null when it was refused.</summary>
    public async Task<T?> CollectAsync<T>(Func<Task<T>> read)
        where T : class
    {
        try
        {
            return await read();
        }
        catch (ConfigurationException refused)
        {
            _problems.Add(refused.Message);
            return null;
        }
    }

    /// <summary>Does all of them, whatever becomes of each.</summary>
    public void Collect(params ReadOnlySpan<Action> steps)
    {
        foreach (var step in steps)
        {
            try
            {
                step();
            }
            catch (InvalidOperationException refused)
            {
                // Also the framework's own "Failed to convert configuration value … at …".
                _problems.Add(refused.Message);
            }
        }
    }

    /// <summary>Reads every section that is bound to options of ours, as its first use would.</summary>
    public void CollectOptions(IServiceCollection services)
    {
        using var provider = services.BuildServiceProvider();
        foreach (var type in services.Select(service => OptionsOf(service.ServiceType)).OfType<Type>().Distinct())
        {
            var options = typeof(IOptions<>).MakeGenericType(type);
            try
            {
                var value = options.GetProperty(nameof(IOptions<>.Value))!;
                value.GetMethod!.Invoke(
                    provider.GetRequiredService(options),
                    BindingFlags.DoNotWrapExceptions,
                    null,
                    null,
                    null
                );
            }
            catch (OptionsValidationException refused)
            {
                _problems.AddRange(refused.Failures);
            }
            catch (InvalidOperationException unreadable)
            {
                _problems.Add(unreadable.Message);
            }
        }
    }

    /// <exception cref="ConfigurationException">
    /// Something is wrong; the message has a line for each problem.
    /// </exception>
    public void ThrowIfAny()
    {
        if (_problems.Count > 0)
            throw new ConfigurationException(string.Join(Environment.NewLine, _problems.Distinct()));
    }

    /// <summary>Binding a section leaves a source of its changes.</summary>
    private static Type? OptionsOf(Type service)
    {
        if (!service.IsGenericType || service.GetGenericTypeDefinition() != typeof(IOptionsChangeTokenSource<>))
            return null;
        var type = service.GetGenericArguments()[0];
        return type.Assembly == typeof(ConfigurationProblems).Assembly ? type : null;
    }
}
