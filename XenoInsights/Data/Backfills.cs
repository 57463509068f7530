using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Tenants;

namespace XenoInsights.Data;

/// <summary>
/// Does the next part of one store's backfill and returns where the part after it begins; null when the store is done.
/// </summary>
/// <remarks>
/// Runs in a transaction of that store which also keeps the returned place, and alone: whoever writes orders of the
/// store waits. So a part is a second of work or two. It computes whole rows from what they are made of and never adds
/// to them: writers of this version have kept some of them since the migration.
/// </remarks>
/// <param name="from">What the part before returned; null for the first.</param>
internal delegate Task<string?> BackfillPart(XenoDbContext db, Guid tenantId, string? from, CancellationToken ct);

/// <summary>
/// Rows that were stored before the schema had a place for something, and are given it store by store after the
/// upgrade.
/// </summary>
/// <param name="Name">Kept in the database; never used again for anything else.</param>
/// <param name="Migration">The migration that made the place. Versions that do not know it have to be gone: they would
/// not keep it.</param>
internal sealed record Backfill(string Name, string Migration, BackfillPart RunPartAsync);

/// <summary>How far a backfill is in one store.</summary>
public sealed class BackfillProgress : ITenantOwned
{
    public Guid TenantId { get; init; }
    public required string Name { get; init; }

    /// <summary>Where the next part begins, in the backfill's own words.</summary>
    public string? Next { get; set; }

    public DateTimeOffset StartedAt { get; init; }
    public DateTimeOffset? DoneAt { get; set; }
}

internal sealed class BackfillProgressConfiguration : IEntityTypeConfiguration<BackfillProgress>
{
    public void Configure(EntityTypeBuilder<BackfillProgress> builder)
    {
        builder.ToTable("backfills");
        builder.HasKey(b => new { b.TenantId, b.Name });
        builder
            .HasOne("XenoInsights.Tenants.Tenant", navigationName: null)
            .WithMany()
            .HasForeignKey(nameof(BackfillProgress.TenantId))
            .OnDelete(DeleteBehavior.Cascade);
    }
}

internal static class Backfills
{
    /// <summary>In the order in which they run. How to add one: docs/architecture.md.</summary>
    public static IReadOnlyList<Backfill> All { get; } = [];

    /// <summary>
    /// Whether the store of this unit of work has what the backfill brings; until then questions are answered without
    /// it.
    /// </summary>
    public static async Task<bool> IsDoneAsync(XenoDbContext db, string name, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            select exists (select from schema_info where $1 = any(backfills))
                or exists (select from backfills where tenant_id = $2 and name = $1 and done_at is not null)
            """
        );
        command.Parameters.Add(new() { Value = name });
        command.Parameters.Add(
            new() { Value = (object?)db.TenantId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid }
        );
        return await command.ExecuteScalarAsync(ct) is true;
    }

    /// <summary>
    /// Runs the backfill in every store that has it not yet. A store whose part fails does not hold up the others.
    /// </summary>
    /// <returns>What failed, a line a store; empty when all stores are done.</returns>
    public static async Task<List<string>> RunAsync(
        TenantTransactions transactions,
        Backfill backfill,
        Action<string> say,
        CancellationToken ct
    )
    {
        var tenants = new TenantDatabase(transactions);
        var failures = new List<string>();
        var stores = await new SystemDatabase(transactions).QueryAsync(
            "select tenant_id, shop_domain from tenants order by tenant_id",
            [],
            reader => (TenantId: reader.GetGuid(0), ShopDomain: reader.GetString(1)),
            ct
        );
        foreach (var (store, at) in stores.Select((store, at) => (store, at)))
        {
            try
            {
                while (await tenants.RunAsync(store.TenantId, db => RunPartAsync(db, backfill, store.TenantId, ct), ct))
                { }
                if ((at + 1) % 100 == 0)
                    say($"Backfill {backfill.Name}: {at + 1} of {stores.Count} stores");
            }
            catch (Exception failure) when (failure is not OperationCanceledException)
            {
                failures.Add($"Backfill {backfill.Name}, {store.ShopDomain}: {failure.Message}");
            }
        }
        return failures;
    }

    /// <returns>Whether there is more to do.</returns>
    private static async Task<bool> RunPartAsync(
        XenoDbContext db,
        Backfill backfill,
        Guid tenantId,
        CancellationToken ct
    )
    {
        await TenantLock.TakeExclusiveAsync(db, tenantId, ct);
        // Its erasure takes the row of its progress as well.
        await using var exists = db.Command("select exists (select from tenants where tenant_id = $1)");
        exists.Parameters.Add(new() { Value = tenantId });
        if (await exists.ExecuteScalarAsync(ct) is not true)
            return false;
        await using var begin = Command(
            """
            insert into backfills (tenant_id, name, started_at) values ($1, $2, now())
            on conflict (tenant_id, name) do update set started_at = backfills.started_at
            returning next, done_at is not null
            """
        );
        string? from;
        await using (var reader = await begin.ExecuteReaderAsync(ct))
        {
            await reader.ReadAsync(ct);
            if (reader.GetBoolean(1))
                return false;
            from = await reader.IsDBNullAsync(0, ct) ? null : reader.GetString(0);
        }
        var next = await backfill.RunPartAsync(db, tenantId, from, ct);
        await using var keep = Command(
            """
            update backfills set next = $3, done_at = case when $3 is null then now() end
            where tenant_id = $1 and name = $2
            """
        );
        keep.Parameters.Add(new() { Value = (object?)next ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        await keep.ExecuteNonQueryAsync(ct);
        return next is not null;

        NpgsqlCommand Command(string sql)
        {
            var command = db.Command(sql);
            command.Parameters.Add(new() { Value = tenantId });
            command.Parameters.Add(new() { Value = backfill.Name });
            return command;
        }
    }
}
