using XenoInsights.Data;

namespace XenoInsights.Hosting;

/// <summary>
/// Configuration keys of versions before 0.2.0. A key that nobody reads any more would be ignored without a word.
/// </summary>
internal static class RenamedKeys
{
    private static readonly (string Old, string New)[] _keys =
    [
        ("DemoShopify", "FakeShopify"),
        ("Schedules:ForgetOldDeliveries", "Schedules:PurgeEvents"),
        ("Schedules:ForgetOldInstalls", "Schedules:PurgeOAuthStates"),
        ("Schedules:ForgetOldMails", "Schedules:PurgeEmails"),
        ("Schedules:ForgetOldRuns", "Schedules:PurgeSyncJobs"),
        ("Schedules:IncidentWatch", "Schedules:IncidentDetector"),
    ];

    /// <exception cref="ConfigurationException">
    /// A renamed key or section is set; the message has a line for each, with the new name.
    /// </exception>
    public static void Refuse(IConfiguration configuration)
    {
        var set = _keys
            .Where(key => configuration.GetSection(key.Old).Exists())
            .Select(key => $"{key.Old} is {key.New} now.")
            .ToList();
        if (set.Count > 0)
            throw new ConfigurationException(string.Join(Environment.NewLine, set));
    }
}
