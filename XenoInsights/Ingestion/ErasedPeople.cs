using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;

namespace XenoInsights.Ingestion;

/// <summary>
/// Somebody who was erased, by what they may be recognised by. Outlives what was erased: nothing read before that is
/// stored of them again.
/// </summary>
public sealed class ErasedPerson : ITenantOwned
{
    public Guid TenantId { get; init; }

    /// <summary>
    /// <c>customer:7</c> or <c>checkout:7</c>, as orders name them; an address or number only as a keyed hash, such as
    /// <c>email:k1:…</c>.
    /// </summary>
    public required string Identifier { get; init; }

    /// <summary>Database clock.</summary>
    public DateTimeOffset ErasedAt { get; init; }
}

internal sealed class ErasedPersonConfiguration : IEntityTypeConfiguration<ErasedPerson>
{
    public void Configure(EntityTypeBuilder<ErasedPerson> builder)
    {
        builder.ToTable("erased_people");
        builder.HasKey(p => new { p.TenantId, p.Identifier });
    }
}

/// <summary>
/// Keeps erased people out of what is stored. That is no matter of versions: a state of theirs is stored only if it was
/// read after the erasure (<see cref="IngestRecord.ReadAt"/>). A webhook's payload is no reading: it tells of somebody
/// again once such a state is stored.
/// </summary>
internal static class ErasedPeople
{
    public static string Customer(long id) => $"customer:{id}";

    public static string Checkout(long id) => $"checkout:{id}";

    /// <summary>
    /// The batch without people who were erased since it was read, and their checkouts without the link back to the
    /// cart. Under the tenant's shared lock, which an erasure takes exclusively.
    /// </summary>
    public static async Task<IReadOnlyCollection<IngestRecord>> KeepOutAsync(
        XenoDbContext db,
        Guid tenantId,
        IReadOnlyCollection<IngestRecord> batch,
        CancellationToken ct
    )
    {
        var identifiers = batch.SelectMany(IdentifiersOf).Distinct().ToArray();
        if (identifiers.Length == 0)
            return batch;
        var erased = await FindAsync(db, tenantId, identifiers, ct);
        return erased.Count == 0 ? batch : [.. batch.Select(record => Kept(record, erased)).OfType<IngestRecord>()];
    }

    /// <summary>
    /// Of customers that webhooks tell of, those who were erased before that and are not back: Shopify has them still,
    /// or again, and is to be asked.
    /// </summary>
    public static async Task<IReadOnlyList<long>> ToReadAsync(
        XenoDbContext db,
        Guid tenantId,
        IReadOnlyCollection<(long CustomerId, DateTimeOffset TriggeredAt)> told,
        CancellationToken ct
    )
    {
        if (told.Count == 0)
            return [];
        var erased = await FindAsync(db, tenantId, [.. told.Select(t => Customer(t.CustomerId)).Distinct()], ct);
        return
        [
            .. told.Where(t =>
                    erased.TryGetValue(Customer(t.CustomerId), out var person)
                    && !person.IsBack
                    && t.TriggeredAt > person.ErasedAt
                )
                .Select(t => t.CustomerId)
                .Distinct(),
        ];
    }

    private static IEnumerable<string> IdentifiersOf(IngestRecord record) =>
        record switch
        {
            // A deletion brings nobody back.
            CustomerRecord { Deleted: false } customer => [Customer(customer.ShopifyId)],
            CheckoutRecord { RecoveryUrl: not null, CustomerId: { } customer } checkout =>
            [
                Checkout(checkout.ShopifyId),
                Customer(customer),
            ],
            CheckoutRecord { RecoveryUrl: not null } checkout => [Checkout(checkout.ShopifyId)],
            _ => [],
        };

    private static IngestRecord? Kept(IngestRecord record, Dictionary<string, Erased> erased)
    {
        if (
            !IdentifiersOf(record)
                .Any(identifier => erased.TryGetValue(identifier, out var person) && person.Excludes(record))
        )
            return record;
        return record is CheckoutRecord checkout ? checkout with { RecoveryUrl = null } : null;
    }

    /// <param name="IsBack">A state that was read after the erasure is stored.</param>
    private readonly record struct Erased(DateTimeOffset ErasedAt, bool IsBack)
    {
        public bool Excludes(IngestRecord record) =>
            !(record.ReadAt > ErasedAt) || (record.Source == RecordSource.Webhook && !IsBack);
    }

    private static async Task<Dictionary<string, Erased>> FindAsync(
        XenoDbContext db,
        Guid tenantId,
        string[] identifiers,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            select identifier, erased_at, case when identifier like 'customer:%' then exists (
                select 1 from customers c where c.tenant_id = $1
                    and c.shopify_id = split_part(identifier, ':', 2)::bigint and c.deleted_at is null) else false end
            from erased_people where tenant_id = $1 and identifier = any($2)
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(
            new NpgsqlParameter { Value = identifiers, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text }
        );
        var erased = new Dictionary<string, Erased>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            erased.Add(reader.GetString(0), new(reader.GetFieldValue<DateTimeOffset>(1), reader.GetBoolean(2)));
        return erased;
    }
}
