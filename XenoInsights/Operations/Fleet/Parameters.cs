using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Http.HttpResults;
using XenoInsights.Webhooks;

namespace XenoInsights.Operations.Fleet;

/// <summary>Reads parameters that come as text, and collects what is wrong with each by its name.</summary>
internal sealed class Parameters
{
    private readonly Dictionary<string, string[]> _problems = [];

    /// <summary>Null when all could be read.</summary>
    public ValidationProblem? Problem => _problems.Count == 0 ? null : TypedResults.ValidationProblem(_problems);

    public void Refuse(string name, string problem) => _problems.TryAdd(name, [problem]);

    /// <summary>A value as the API writes it, such as <c>reconnectRequired</c>.</summary>
    public T? Choice<T>(string name, string? text)
        where T : struct, Enum
    {
        if (text is null)
            return null;
        foreach (var value in Enum.GetValues<T>())
        {
            if (Written(value) == text)
                return value;
        }
        Refuse(name, $"Must be one of {string.Join(", ", Enum.GetValues<T>().Select(Written))}.");
        return null;
    }

    public int Number(string name, string? text, int usual, int most)
    {
        if (text is null)
            return usual;
        if (
            int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && number >= 1
            && number <= most
        )
            return number;
        Refuse(name, string.Create(CultureInfo.InvariantCulture, $"Must be a number from 1 to {most}."));
        return usual;
    }

    public Guid? Id(string name, string? text)
    {
        if (text is null)
            return null;
        if (Guid.TryParse(text, out var id))
            return id;
        Refuse(name, "Must be an id.");
        return null;
    }

    /// <summary>UTC where the text names no offset.</summary>
    public DateTimeOffset? Instant(string name, string? text)
    {
        if (text is null)
            return null;
        var style = DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal;
        if (DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, style, out var instant))
            return instant;
        Refuse(name, "Must be a time such as 2026-11-28T09:30:00Z.");
        return null;
    }

    public bool? Flag(string name, string? text)
    {
        if (text is null)
            return null;
        if (bool.TryParse(text, out var flag))
            return flag;
        Refuse(name, "Must be true or false.");
        return null;
    }

    public string? Text(string name, string? text)
    {
        if (text is null || (text.Length > 0 && EventFilter.IsText(text)))
            return text;
        Refuse(name, "Must be a text that is not empty.");
        return null;
    }

    /// <summary>The place after which a page begins: both or neither.</summary>
    public Place? Before(string? time, string? id)
    {
        var at = Instant("before", time);
        var row = Id("before_id", id);
        if ((time is null) != (id is null))
            Refuse("before", "Must come together with before_id.");
        return at is { } && row is { } ? new Place(at.Value, row.Value) : null;
    }

    private static string Written<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.CamelCase.ConvertName(value.ToString());
}
