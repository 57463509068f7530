using System.Collections.Immutable;

namespace XenoInsights.Hosting;

/// <summary>
/// Other sites that a form of ours may lead to (<c>form-action</c> of the content security policy). Browsers apply it
/// to the redirects that follow a form as well.
/// </summary>
public sealed class FormTargets
{
    private ImmutableSortedSet<string> _origins = ImmutableSortedSet.Create<string>(StringComparer.Ordinal);

    /// <summary>Origins and host sources as the policy writes them.</summary>
    public IReadOnlyCollection<string> Origins => _origins;

    /// <summary>Adds the origin of an http(s) address; anything else is ignored.</summary>
    public void Add(string? address)
    {
        if (!Uri.TryCreate(address, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https"))
            return;
        AddSource(WebOrigin.Of(url));
    }

    /// <summary>Adds a host source, such as <c>https://*.example.com</c>.</summary>
    public void AddSource(string source) =>
        ImmutableInterlocked.Update(ref _origins, (origins, added) => origins.Add(added), source);
}
