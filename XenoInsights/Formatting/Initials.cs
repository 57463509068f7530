using System.Globalization;

namespace XenoInsights.Formatting;

/// <summary>
/// The letters that stand for a name in a small circle. A letter is what a person sees as one: an emoji counts whole.
/// </summary>
public static class Initials
{
    /// <summary>The first letter of a store's name; empty where the name is.</summary>
    public static string OfStore(string name) => First(name.Trim());

    /// <summary>The first letters of a person's first two names.</summary>
    public static string OfPerson(string name) =>
        string.Concat(name.Split(' ', StringSplitOptions.RemoveEmptyEntries).Take(2).Select(First));

    private static string First(string word) => StringInfo.GetNextTextElement(word).ToUpper(CultureInfo.CurrentCulture);
}
