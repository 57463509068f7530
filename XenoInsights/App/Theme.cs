using MudBlazor;

namespace XenoInsights.App;

/// <summary>
/// MudBlazor's share of the look: type, shape and shadows. Its colours are not here: app.css points MudBlazor's palette
/// at tokens.css, so that light and dark switch in the browser alone, before the first paint and without the server.
/// </summary>
public static class Theme
{
    private static readonly string[] _sans = ["var(--font)"];

    public static MudTheme Xeno { get; } =
        new()
        {
            PaletteLight = new PaletteLight
            {
                HoverOpacity = 0.05,
                RippleOpacity = 0,
                RippleOpacitySecondary = 0,
            },
            Typography = new Typography
            {
                Default = new DefaultTypography
                {
                    FontFamily = _sans,
                    FontSize = "0.875rem",
                    LineHeight = "1.429",
                    FontWeight = "400",
                    LetterSpacing = "0",
                },
                H2 = new H2Typography
                {
                    FontFamily = _sans,
                    FontSize = "2.25rem",
                    LineHeight = "1.111",
                    FontWeight = "600",
                    LetterSpacing = "-0.025em",
                },
                H3 = new H3Typography
                {
                    FontFamily = _sans,
                    FontSize = "1.625rem",
                    LineHeight = "1.231",
                    FontWeight = "600",
                    LetterSpacing = "-0.02em",
                },
                H4 = new H4Typography
                {
                    FontFamily = _sans,
                    FontSize = "1.25rem",
                    LineHeight = "1.4",
                    FontWeight = "600",
                    LetterSpacing = "-0.01em",
                },
                H5 = new H5Typography
                {
                    FontFamily = _sans,
                    FontSize = "0.9375rem",
                    LineHeight = "1.467",
                    FontWeight = "600",
                    LetterSpacing = "0",
                },
                H6 = new H6Typography
                {
                    FontFamily = _sans,
                    FontSize = "1.125rem",
                    LineHeight = "1.444",
                    FontWeight = "600",
                    LetterSpacing = "-0.01em",
                },
                Body1 = new Body1Typography
                {
                    FontFamily = _sans,
                    FontSize = "0.875rem",
                    LineHeight = "1.429",
                    FontWeight = "400",
                    LetterSpacing = "0",
                },
                Body2 = new Body2Typography
                {
                    FontFamily = _sans,
                    FontSize = "0.8125rem",
                    LineHeight = "1.538",
                    FontWeight = "400",
                    LetterSpacing = "0",
                },
                Subtitle2 = new Subtitle2Typography
                {
                    FontFamily = _sans,
                    FontSize = "0.8125rem",
                    LineHeight = "1.385",
                    FontWeight = "500",
                    LetterSpacing = "0",
                },
                Button = new ButtonTypography
                {
                    FontFamily = _sans,
                    FontSize = "0.8125rem",
                    LineHeight = "1.538",
                    FontWeight = "550",
                    LetterSpacing = "0",
                    TextTransform = "none",
                },
                Caption = new CaptionTypography
                {
                    FontFamily = _sans,
                    FontSize = "0.75rem",
                    LineHeight = "1.333",
                    FontWeight = "400",
                    LetterSpacing = "0",
                },
            },
            LayoutProperties = new LayoutProperties
            {
                DefaultBorderRadius = "6px",
                AppbarHeight = "56px",
                DrawerWidthLeft = "216px",
                DrawerWidthRight = "480px",
            },
            Shadows = FlatUnlessFloating(),
        };

    // Hairlines part what lies on the page; only what floats above it casts a shadow.
    private static Shadow FlatUnlessFloating()
    {
        var elevations = new string[26];
        for (var i = 0; i < elevations.Length; i++)
            elevations[i] = i < 8 ? "none" : "var(--floating)";
        return new Shadow { Elevation = elevations };
    }
}
