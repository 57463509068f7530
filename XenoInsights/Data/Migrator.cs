using Microsoft.EntityFrameworkCore;

namespace XenoInsights.Data;

/// <summary>Brings a database to this version's schema: tables, roles and walls. Runs as the login that owns the tables.</summary>
public static class Migrator
{
    public static async Task MigrateAsync(string connectionString, CancellationToken ct = default)
    {
        var options = new DbContextOptionsBuilder<XenoDbContext>()
            .UseNpgsql(connectionString, npgsql => npgsql.CommandTimeout((int)TimeSpan.FromMinutes(30).TotalSeconds))
            .UseSnakeCaseNamingConvention().Options;
        await using var db = new XenoDbContext(options, TransactionStart.ForNobody);
        await db.Database.MigrateAsync(ct);
    }
}
