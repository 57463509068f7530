using System.Text.RegularExpressions;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Tenants;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Ingestion;

/// <summary>SQL tells the same clock as .NET, in zones that PostgreSQL knows otherwise or not at all.</summary>
public sealed partial class ZoneOffsetsTests(PostgresServer server)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_clock_in_SQL_is_that_of_the_stores_calendar()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var random = new Random(11);
        // Midnights without an hour, quarters of hours, a day left out, zones of old names, and one whose name
        // PostgreSQL does not have.
        string[] zones =
        [
            "America/New_York",
            "America/Santiago",
            "Africa/Cairo",
            "Asia/Kolkata",
            "Asia/Calcutta",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Africa/Casablanca",
            "Europe/Dublin",
            "Antarctica/Troll",
            "America/Godthab",
            "EST5EDT",
            "Etc/UTC",
            "India Standard Time",
        ];
        foreach (var name in zones)
        {
            var shop = await stores.AddAsync(timeZone: name);
            var zone = TimeZoneInfo.FindSystemTimeZoneById(name);
            List<DateTime> instants =
            [
                .. Enumerable
                    .Range(0, 400)
                    .Select(_ =>
                        new DateTime(1900, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddSeconds(
                            random.NextInt64(200L * 365 * 86_400)
                        )
                    ),
            ];
            instants.Add(new DateTime(1, 1, 2, 0, 0, 0, DateTimeKind.Utc));
            var told = await stores.Tenants.RunAsync(
                shop.TenantId,
                async db =>
                {
                    await using var command = db.Command(
                        $"""
                        select {ZoneOffsets.Local("at", 1)} from unnest($3::timestamptz[])
                        with ordinality as i(at, n) order by n
                        """
                    );
                    command.Parameters.AddRange((await ZoneOffsets.OfStoreAsync(db, Ct)).Parameters());
                    command.Parameters.Add(new NpgsqlParameter { Value = instants });
                    var clocks = new List<DateTime>();
                    await using var reader = await command.ExecuteReaderAsync(Ct);
                    while (await reader.ReadAsync(Ct))
                        clocks.Add(reader.GetDateTime(0));
                    return clocks;
                }
            );
            Assert.Equal(instants.ConvertAll(at => TimeZoneInfo.ConvertTimeFromUtc(at, zone)), told);
            Assert.Equal(instants.ConvertAll(at => shop.DayOf(at)), told.ConvertAll(DateOnly.FromDateTime));
        }
    }

    [Fact]
    public void No_SQL_names_a_time_zone() =>
        Assert.Empty(
            Repository
                .Sources("XenoInsights")
                .Where(s => !s.Path.Contains("/Migrations/", StringComparison.Ordinal))
                .SelectMany(s => Named().Matches(s.Text).Select(m => $"{s.Path}: {m.Value}"))
        );

    [GeneratedRegex(@"at time zone (?!\(\$\{|interval )[^\n]{0,30}", RegexOptions.IgnoreCase)]
    private static partial Regex Named();
}
