using System.Net;
using System.Text;

namespace XenoInsights.Hosting;

/// <summary>A link or, with a <paramref name="FieldName"/>, a button that posts the surrounding form.</summary>
public sealed record NoticeAction(string Label, string Target, string? Hint = null, string? FieldName = null);

/// <summary>
/// Small self-contained pages for moments when the app's own pages cannot help: before sign-in, and where sign-in or
/// connecting a store ends. Every text is encoded here.
/// </summary>
public static class NoticePage
{
    /// <summary>
    /// HTML with the given status; <paramref name="hidden"/> makes the actions' buttons post a form with those fields
    /// to the same address.
    /// </summary>
    public static IResult Result(
        int status,
        string title,
        string text,
        IReadOnlyList<NoticeAction> actions,
        IEnumerable<KeyValuePair<string, string>>? hidden = null
    ) => Results.Content(Html(title, text, actions, hidden), "text/html; charset=utf-8", Encoding.UTF8, status);

    private static string Html(
        string title,
        string text,
        IReadOnlyList<NoticeAction> actions,
        IEnumerable<KeyValuePair<string, string>>? hidden
    )
    {
        var body = string.Concat(actions.Select((action, i) => Button(action, i == 0 ? "btn primary" : "btn")));
        var buttons = hidden is null ? body : $"""<form method="post">{Hidden(hidden)}{body}</form>""";
        return $$"""
            <!doctype html>
            <html lang="en-GB">
            <head>
            <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
            <title>{{Encode(title)}} · XenoInsights</title>
            <style>
            @font-face { font-family: "Instrument Sans Variable"; src: url("/lib/instrument-sans/instrument-sans-latin-wght-normal.woff2") format("woff2"); font-weight: 400 700; font-display: swap; }
            :root { color-scheme: light dark; --canvas: #F8F7F4; --surface: #FFFFFF; --line: #E5E2DB; --line-strong: #CDC8BE; --hover: #F5F3EF; --ink: #1D1A20; --ink-2: #57525B; --ink-3: #6C6770; --accent: #782E7D; --accent-hover: #652569; --on-accent: #FFFFFF; }
            @media (prefers-color-scheme: dark) { :root { --canvas: #131116; --surface: #1B191F; --line: #2E2A34; --line-strong: #443F4C; --hover: #232028; --ink: #F0EDF2; --ink-2: #B5AFBC; --ink-3: #9A94A2; --accent: #DB99DE; --accent-hover: #E7B4E9; --on-accent: #24102A; } }
            * { box-sizing: border-box; }
            body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 32px 16px; background: var(--canvas); color: var(--ink); font: 400 14px/20px "Instrument Sans Variable", ui-sans-serif, system-ui, "Segoe UI", sans-serif; }
            main { width: min(100%, 440px); padding: 32px; background: var(--surface); border: 1px solid var(--line); border-radius: 10px; }
            .brand { display: flex; align-items: center; gap: 10px; margin-bottom: 40px; font-size: 15px; font-weight: 600; letter-spacing: -.01em; }
            h1 { margin: 0 0 8px; font-size: 32px; line-height: 36px; font-weight: 600; letter-spacing: -.025em; }
            .text { margin: 0 0 24px; color: var(--ink-2); }
            .btn { display: flex; width: 100%; min-height: 40px; align-items: center; justify-content: center; margin-top: 10px; padding: 8px 16px; border: 1px solid var(--line-strong); border-radius: 6px; background: none; color: var(--ink); font: inherit; font-weight: 600; text-decoration: none; cursor: pointer; }
            .btn:hover { background: var(--hover); }
            .primary { border-color: var(--accent); background: var(--accent); color: var(--on-accent); }
            .primary:hover { border-color: var(--accent-hover); background: var(--accent-hover); }
            .btn:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
            .hint { margin: 4px 0 14px; font-size: 12px; color: var(--ink-3); }
            </style>
            </head>
            <body>
            <main>
            <div class="brand"><svg width="24" height="24" viewBox="0 0 20 20" aria-hidden="true"><rect x="1" y="4" width="18" height="4.6" rx="1" fill="var(--ink)"/><rect x="1" y="11.6" width="18" height="4.6" rx="1" fill="var(--accent)"/></svg>XenoInsights</div>
            <h1>{{Encode(title)}}</h1>
            <p class="text">{{Encode(text)}}</p>
            {{buttons}}
            </main>
            </body>
            </html>
            """;
    }

    private static string Button(NoticeAction action, string css) =>
        (
            action.FieldName is { } field
                ? $"""<button class="{css}" name="{Encode(field)}" value="{Encode(action.Target)}">{Encode(action.Label)}</button>"""
                : $"""<a class="{css}" href="{Encode(action.Target)}">{Encode(action.Label)}</a>"""
        ) + (action.Hint is { } hint ? $"""<p class="hint">{Encode(hint)}</p>""" : "");

    private static string Hidden(IEnumerable<KeyValuePair<string, string>> fields) =>
        string.Concat(
            fields.Select(f => $"""<input type="hidden" name="{Encode(f.Key)}" value="{Encode(f.Value)}">""")
        );

    private static string Encode(string text) => WebUtility.HtmlEncode(text);
}
