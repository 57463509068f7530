using System.Diagnostics.CodeAnalysis;
using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;

namespace XenoInsights.Authentication;

/// <summary>Addresses inside this app that somebody else names, such as where to go after signing in.</summary>
internal static class LocalAddress
{
    /// <summary>
    /// <paramref name="given"/> if it is a path of this app, else <c>/</c>. What is not ASCII is percent-encoded, since
    /// a <c>Location</c> header carries nothing else.
    /// </summary>
    public static string OrHome(string? given) => IsPath(given) ? Encode(given) : "/";

    private static bool IsPath([NotNullWhen(true)] string? given) =>
        RedirectHttpResult.IsLocalUrl(given) && given[0] == '/';

    private static string Encode(string address)
    {
        if (Ascii.IsValid(address))
            return address;
        var encoded = new StringBuilder(address.Length * 2);
        foreach (var rune in address.EnumerateRunes())
            encoded.Append(rune.IsAscii ? rune.ToString() : Uri.EscapeDataString(rune.ToString()));
        return encoded.ToString();
    }
}
