using XenoInsights.Ui;

namespace XenoInsights.Navigation;

/// <summary>The pages of a store, for the menu and its keys.</summary>
public static class StorePages
{
    private static readonly string[] _keptNames = ["preset", "from", "to", "compare"];

    public static IReadOnlyList<Page> Metrics { get; } =
    [
        new("overview", "Overview", Glyphs.Overview, "o"),
        new("what-changed", "What changed", Glyphs.Changed, "w"),
        new("orders", "Orders", Glyphs.Orders, "r"),
        new("customers", "Customers", Glyphs.Customers, "c"),
        new("products", "Products", Glyphs.Products, "p"),
        new("cohorts", "Cohorts", Glyphs.Cohorts, "h"),
        new("checkouts", "Checkouts", Glyphs.Checkouts, "k"),
    ];

    public static IReadOnlyList<Page> Data { get; } =
    [
        new("sync", "Sync", Glyphs.Sync, "s"),
        new("events", "Events", Glyphs.Document, "v"),
        new("notifications", "Notifications", Glyphs.Bell, "n"),
        new("definitions", "Definitions", Glyphs.Definitions, "d"),
    ];

    public static Page Settings { get; } = new("settings", "Settings", Glyphs.Settings, "e");

    /// <summary>A store's pages, in the order of the menu.</summary>
    public static IReadOnlyList<Page> All { get; } = [.. Metrics, .. Data, Settings];

    /// <summary>
    /// The range and comparison of an address, for links to other pages of figures; empty for the default.
    /// </summary>
    public static string KeptQuery(string uri, char first = '?')
    {
        var asked = Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(new Uri(uri).Query);
        var kept = _keptNames
            .Where(asked.ContainsKey)
            .Select(name => $"{name}={Uri.EscapeDataString(asked[name].ToString())}")
            .ToList();
        return kept.Count == 0 ? "" : first + string.Join('&', kept);
    }

    /// <param name="Key">The letter that leads to it, after G.</param>
    public sealed record Page(string Path, string Name, string Glyph, string Key);
}
