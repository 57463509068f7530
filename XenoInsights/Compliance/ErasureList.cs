using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.EntityFrameworkCore;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Compliance;

/// <summary>
/// An erasure as a line of the list: no personal data, and enough to apply it to a database that does not know of it.
/// </summary>
internal sealed record ListedErasure(
    [property: JsonPropertyName("id"), JsonRequired] Guid Id,
    [property: JsonPropertyName("shop_id")] long? ShopId,
    [property: JsonPropertyName("store"), JsonRequired] Guid Store,
    [property: JsonPropertyName("topic"), JsonRequired] string Topic,
    [property: JsonPropertyName("webhook_id"), JsonRequired] string WebhookId,
    [property: JsonPropertyName("requested_at"), JsonRequired] DateTimeOffset RequestedAt,
    [property: JsonPropertyName("done_at"), JsonRequired] DateTimeOffset DoneAt,
    [property: JsonPropertyName("subject"), JsonRequired] IReadOnlyList<string> Subject
)
{
    public static ListedErasure Of(Redaction redaction) =>
        new(
            redaction.Id,
            redaction.ShopId,
            redaction.Store,
            redaction.Topic,
            redaction.WebhookId,
            redaction.RequestedAt,
            redaction.DoneAt,
            redaction.Subject ?? []
        );
}

/// <param name="Applied">Erasures that were applied.</param>
/// <param name="Known">Those that this database had already.</param>
/// <param name="Absent">Those of stores that are not in it, or were connected again since.</param>
/// <param name="Problems">Those that cannot be applied, and why.</param>
internal sealed record ErasureReport(int Applied, int Known, int Absent, IReadOnlyList<string> Problems);

/// <summary>
/// All erasures of the installation, to be kept apart from the backups: one of them brings back whoever was erased
/// after it was made, and applying the list takes them away again.
/// </summary>
internal sealed class ErasureList(
    SystemDatabase system,
    TenantDatabase tenants,
    Erasure erasure,
    IdentifierHashes hashes,
    ILogger<ErasureList> logger
)
{
    public async Task ExportAsync(TextWriter lines, CancellationToken ct)
    {
        var all = await system.RunAsync(
            db => db.Redactions.AsNoTracking().OrderBy(r => r.DoneAt).ThenBy(r => r.Id).ToListAsync(ct),
            ct
        );
        foreach (var redaction in all)
            await lines.WriteLineAsync(JsonSerializer.Serialize(ListedErasure.Of(redaction)));
    }

    /// <summary>The line of an erasure that was just applied, so that collected logs are a list too.</summary>
    public async Task LogAsync(Guid store, string webhookId, CancellationToken ct)
    {
        var done = await system.RunAsync(
            db =>
                db.Redactions.AsNoTracking()
                    .Where(r => r.Store == store && r.WebhookId == webhookId)
                    .OrderByDescending(r => r.DoneAt)
                    .FirstOrDefaultAsync(ct),
            ct
        );
        if (done is not null)
            logger.LogInformation("Erased: {Erasure}", JsonSerializer.Serialize(ListedErasure.Of(done)));
    }

    /// <summary>Applies what this database does not know of, oldest first. May be repeated.</summary>
    /// <exception cref="FormatException">A line is none of the list.</exception>
    public async Task<ErasureReport> ApplyAsync(TextReader lines, CancellationToken ct)
    {
        var listed = (await ReadAsync(lines, ct)).OrderBy(e => e.DoneAt).ToList();
        var ids = listed.ConvertAll(e => e.Id);
        var known = (
            await system.RunAsync(
                db => db.Redactions.Where(r => ids.Contains(r.Id)).Select(r => r.Id).ToListAsync(ct),
                ct
            )
        ).ToHashSet();
        var (applied, absent, problems) = (0, 0, new List<string>());
        foreach (
            var store in listed
                .Where(e => !known.Contains(e.Id))
                .GroupBy(e => (e.ShopId, Store: e.ShopId is null ? e.Store : Guid.Empty))
        )
        {
            Dictionary<string, Identifier>? identifiers = null;
            foreach (var entry in store)
            {
                if (await FindAsync(entry, ct) is not { } tenant)
                {
                    absent++;
                    continue;
                }
                if (entry.Subject.FirstOrDefault(hash => !hashes.CanMatch(hash)) is { } unknown)
                {
                    problems.Add(
                        $"{entry.Id}: {unknown.Split(':')[0]} is hashed with a key that Encryption:Keys does not have."
                    );
                    continue;
                }
                if (entry.Topic != WebhookTopics.ShopRedact)
                    identifiers ??= await IdentifiersAsync(tenant.TenantId, ct);
                await ApplyAsync(tenant, entry, identifiers ?? [], ct);
                applied++;
            }
        }
        return new(applied, known.Count, absent, problems);
    }

    private static async Task<List<ListedErasure>> ReadAsync(TextReader lines, CancellationToken ct)
    {
        var listed = new List<ListedErasure>();
        for (var number = 1; await lines.ReadLineAsync(ct) is { } line; number++)
        {
            if (string.IsNullOrWhiteSpace(line))
                continue;
            try
            {
                listed.Add(JsonSerializer.Deserialize<ListedErasure>(line) ?? throw new JsonException("It is null."));
            }
            catch (JsonException failure)
            {
                throw new FormatException($"Line {number} is no erasure: {failure.Message}", failure);
            }
        }
        return listed;
    }

    /// <summary>A store that was connected again after it was erased is another start.</summary>
    private async Task<Tenant?> FindAsync(ListedErasure entry, CancellationToken ct)
    {
        var found = await system.RunAsync(
            db =>
                db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    .AsNoTracking()
                    .SingleOrDefaultAsync(
                        t => entry.ShopId == null ? t.TenantId == entry.Store : t.ShopId == entry.ShopId,
                        ct
                    ),
            ct
        );
        return entry.Topic == WebhookTopics.ShopRedact && found?.ConnectedAt > entry.DoneAt ? null : found;
    }

    private Task ApplyAsync(
        Tenant tenant,
        ListedErasure entry,
        Dictionary<string, Identifier> identifiers,
        CancellationToken ct
    ) =>
        tenants.RunAsync(
            tenant.TenantId,
            async db =>
            {
                if (!await EventQueue.TryLockAsync(db, tenant.TenantId, ct))
                    throw new InvalidOperationException(
                        "Events are being applied to this database. Stop the app first."
                    );
                var request = new ErasureRequest(
                    entry.Id,
                    entry.Topic,
                    entry.WebhookId,
                    entry.RequestedAt,
                    entry.Subject
                );
                if (entry.Topic == WebhookTopics.ShopRedact)
                    await Erasure.EraseStoreAsync(db, tenant, request, ct);
                else
                    await erasure.ErasePersonAsync(db, tenant, PersonOf(entry, identifiers), request, ct);
            },
            ct
        );

    private static Person PersonOf(ListedErasure entry, Dictionary<string, Identifier> identifiers)
    {
        var found = entry
            .Subject.Where(identifiers.ContainsKey)
            .Select(hash => identifiers[hash])
            .ToLookup(i => i.Kind, i => i.Value);
        return new(
            found[Identifier.CustomerKind].Select(Number).Cast<long?>().FirstOrDefault(),
            [.. found[Identifier.EmailKind]],
            [.. found[Identifier.PhoneKind]],
            [.. found[Identifier.OrderKind].Select(Number)]
        );

        static long Number(string text) => long.Parse(text, System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>Everybody that the store knows, by the hashes they would be listed under.</summary>
    private Task<Dictionary<string, Identifier>> IdentifiersAsync(Guid store, CancellationToken ct) =>
        tenants.RunAsync(
            store,
            async db =>
            {
                var identifiers = new Dictionary<string, Identifier>();
                await using (
                    var command = db.Command(
                        """
                        select shopify_id, null::bigint, email, phone from customers where tenant_id = $1
                        union all select customer_id, shopify_id, null, null from orders where tenant_id = $1
                        union all select customer_id, null, null, null from checkouts where tenant_id = $1
                        union all select customer_id, null, null, null from data_requests where tenant_id = $1
                        """
                    )
                )
                {
                    command.Parameters.Add(Sql.Uuid(store));
                    await using var reader = await command.ExecuteReaderAsync(ct);
                    while (await reader.ReadAsync(ct))
                    {
                        if (!reader.IsDBNull(0))
                            Add(Identifier.Customer(reader.GetInt64(0)));
                        if (!reader.IsDBNull(1))
                            Add(Identifier.Order(reader.GetInt64(1)));
                        if (!reader.IsDBNull(2))
                            Add(Identifier.Email(reader.GetString(2)));
                        if (!reader.IsDBNull(3))
                            Add(Identifier.Phone(reader.GetString(3)));
                    }
                }
                await using (
                    var command = db.Command(
                        "select topic, payload from events where tenant_id = $1 and payload is not null"
                    )
                )
                {
                    command.Parameters.Add(Sql.Uuid(store));
                    await using var reader = await command.ExecuteReaderAsync(ct);
                    while (await reader.ReadAsync(ct))
                        foreach (var person in PeopleInBody.Of(reader.GetString(0), reader.GetFieldValue<byte[]>(1)))
                            Add(person);
                }
                return identifiers;

                void Add(Identifier? identifier)
                {
                    if (identifier is not { } given)
                        return;
                    foreach (var hash in hashes.AllOf(given))
                        identifiers[hash] = given;
                }
            },
            ct
        );
}

/// <summary>
/// <c>XenoInsights erasures export FILE</c> and <c>XenoInsights erasures apply FILE</c>: the way of the list out of the
/// database and into a restored one.
/// </summary>
public static class ErasuresCommand
{
    /// <returns>0 when all is done.</returns>
    public static async Task<int> RunAsync(IServiceProvider services, string[] args, CancellationToken ct = default)
    {
        var list = services.GetRequiredService<ErasureList>();
        return args switch
        {
            ["erasures", "export", var file, ..] => await ExportAsync(list, file, ct),
            ["erasures", "apply", var file, ..] => await ApplyAsync(list, file, ct),
            _ => await FailAsync("Usage: XenoInsights erasures export FILE, or XenoInsights erasures apply FILE"),
        };
    }

    /// <summary>Written aside first: a list that is there is never left in half.</summary>
    private static async Task<int> ExportAsync(ErasureList list, string file, CancellationToken ct)
    {
        var aside = $"{file}.{Guid.NewGuid():n}";
        await using (var lines = new StreamWriter(aside))
            await list.ExportAsync(lines, ct);
        File.Move(aside, file, overwrite: true);
        return 0;
    }

    private static async Task<int> ApplyAsync(ErasureList list, string file, CancellationToken ct)
    {
        try
        {
            using var lines = new StreamReader(file);
            var report = await list.ApplyAsync(lines, ct);
            await Console.Out.WriteLineAsync(
                $"{report.Applied} applied, {report.Known} known already, {report.Absent} of stores that are not here."
            );
            return report.Problems.Count == 0 ? 0 : await FailAsync(string.Join(Environment.NewLine, report.Problems));
        }
        catch (Exception failure)
            when (failure is FormatException or IOException or InvalidOperationException or ErasureFailedException)
        {
            return await FailAsync(failure.Message);
        }
    }

    private static async Task<int> FailAsync(string why)
    {
        await Console.Error.WriteLineAsync(why);
        return 1;
    }
}
