namespace XenoInsights.Ui;

/// <summary>Drawings for <see cref="Icon"/>.</summary>
public static class Glyphs
{
    public const string Overview = """<path d="M2 12.5 6 8l3 2.5L14 4"/><path d="M2 15h12" opacity=".5"/>""",
        Sync =
            """<path d="M13.5 6.5A5.7 5.7 0 0 0 3.3 4.8L2 6.2M2.5 9.5a5.7 5.7 0 0 0 10.2 1.7L14 9.8M2 """
            + """2.8v3.4h3.4M14 13.2V9.8h-3.4"/>""",
        Stores =
            """<path d="M2.5 6.5v7h11v-7M1.5 6l1.3-3.5h10.4L14.5 6a2.1 2.1 0 0 1-4.3 0 2.1 2.1 0 0 1-4.4 0 """
            + """2.1 2.1 0 0 1-4.3 0zM6.5 13.5v-4h3v4"/>""",
        Document = """<path d="M3.5 1.5h6l3 3v10h-9zM9.5 1.5v3h3M6 8.5h4M6 11h4"/>""",
        Bell = """<path d="M4 11V7.2a4 4 0 0 1 8 0V11l1.3 1.5H2.7zM6.5 14.3h3"/>""",
        Calendar = """<path d="M2.5 3.5h11v10h-11zM2.5 6.8h11M5.5 2v3M10.5 2v3"/>""",
        Table = """<path d="M2.5 3h11v10h-11zM2.5 6.3h11M2.5 9.6h11M6.5 3v10"/>""",
        Left = """<path d="M9.5 4.5 6 8l3.5 3.5"/>""",
        Right = """<path d="M6.5 4.5 10 8l-3.5 3.5"/>""",
        Down = """<path d="m4.5 6.5 3.5 3.5 3.5-3.5"/>""",
        Check = """<path d="m3.5 8.3 3 3 6-6.3"/>""",
        Close = """<path d="m4 4 8 8M12 4l-8 8"/>""",
        Menu = """<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11"/>""",
        Warning = """<path d="M8 2.2 14.4 13.5H1.6zM8 6.5v3.2M8 11.7h.01"/>""",
        Clock = """<circle cx="8" cy="8" r="5.7"/><path d="M8 4.8V8l2.2 1.6"/>""",
        Leave = """<path d="M6 3H3v10h10v-3M9 3h4v4M13 3 7.5 8.5"/>""",
        Sun =
            """<circle cx="8" cy="8" r="2.8"/><path d="M8 1.8v1.4M8 12.8v1.4M1.8 8h1.4M12.8 8h1.4M3.6 """
            + """3.6l1 1M11.4 11.4l1 1M12.4 3.6l-1 1M4.6 11.4l-1 1"/>""",
        Moon = """<path d="M13 9.6A5.6 5.6 0 0 1 6.4 3a5.4 5.4 0 1 0 6.6 6.6z"/>""",
        System = """<circle cx="8" cy="8" r="5.2"/><path d="M8 2.8v10.4a5.2 5.2 0 0 0 0-10.4z" fill="currentColor"/>""",
        Changed = """<path d="M3 13V8M8 13V3M13 13V6"/><path d="M1.5 8H4.5M6.5 3h3M11.5 6h3"/>""",
        Orders =
            """<path d="M3.5 1.8v12.4l1.5-1 1.5 1 1.5-1 1.5 1 1.5-1 1.5 1V1.8l-1.5 1-1.5-1-1.5 1-1.5-1-1.5 """
            + """1zM6 6h4M6 9h4"/>""",
        Customers = """<circle cx="8" cy="5.2" r="2.7"/><path d="M2.8 14c.4-3 2.4-4.6 5.2-4.6s4.8 1.6 5.2 4.6"/>""",
        Products = """<path d="M2 7.6V2h5.6l6.2 6.2-5.6 5.6zM5.2 5.2h.01"/>""",
        Cohorts =
            """<path d="M2 2.5h3v3H2zM6.5 2.5h3v3h-3zM11 2.5h3v3h-3zM2 6.8h3v3H2zM6.5 6.8h3v3h-3zM2 11h3v3H2z"/>""",
        Checkouts =
            """<path d="M1.5 2.5h2l1.7 7.5h6.6l1.7-5.4H4.2"/><circle cx="6" cy="13" r="1"/><circle cx="11" """
            + """cy="13" r="1"/>""",
        Definitions =
            """<path d="M3 2.5h8.5a1.5 1.5 0 0 1 1.5 1.5v9.5H4.5A1.5 1.5 0 0 1 3 12zM3 12a1.5 1.5 0 0 1 """
            + """1.5-1.5H13M6 5.5h4M6 7.8h3"/>""",
        Settings =
            """<path d="M2 4.5h5M11 4.5h3M2 11.5h2M8 11.5h6"/><circle cx="9" cy="4.5" r="1.7"/><circle """
            + """cx="6" cy="11.5" r="1.7"/>""",
        Download = """<path d="M8 2.5v7.5M4.8 7 8 10.2 11.2 7M2.5 13.5h11"/>""",
        Search = """<circle cx="7" cy="7" r="4.3"/><path d="m10.3 10.3 3.4 3.4"/>""",
        Equal = """<path d="M2.5 5.6h11M2.5 10.4h11" stroke-width="2.2"/>""",
        Differs = """<path d="M2.5 5.6h11M2.5 10.4h11M11 2 5 14" stroke-width="2"/>""",
        Plus = """<path d="M8 3.5v9M3.5 8h9"/>""";
}
