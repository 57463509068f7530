using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Shopify;
using XenoInsights.Sync;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;
using XenoInsights.Webhooks.Handlers;

namespace XenoInsights.Compliance;

/// <summary>
/// Who asked for an erasure: an event of Shopify, or the list of erasures that a restored backup is brought up to date
/// with.
/// </summary>
/// <param name="Id">Of the evidence; the same wherever the erasure is applied.</param>
/// <param name="Subject">Whom, as the list has it; null where the person is told.</param>
internal sealed record ErasureRequest(
    Guid Id,
    string Topic,
    string WebhookId,
    DateTimeOffset RequestedAt,
    IReadOnlyList<string>? Subject = null
)
{
    public static ErasureRequest Of(WaitingEvent waiting) =>
        new(Guid.CreateVersion7(), waiting.Topic, waiting.WebhookId, waiting.TriggeredAt);
}

/// <summary>Rows are left that were to be erased: nothing is committed, and nobody is told that it is done.</summary>
internal sealed class ErasureFailedException(long rows)
    : Exception($"{rows} rows that were to be erased are still there; nothing was changed.");

/// <summary>
/// Erases what is stored, as the law and Shopify ask, inside the caller's unit of work, and keeps evidence of it. Takes
/// the tenant's lock exclusively: whoever stores something at the same time has done so before, or finds afterwards
/// that the person or the store is erased.
/// </summary>
internal sealed class Erasure(IdentifierHashes hashes) : IEventBodyEraser
{
    /// <summary>
    /// The person's row goes, their checkouts lose the link back to the cart, and every stored body that speaks of them
    /// is emptied; what waits is applied without them first. Orders hold no personal data and stay: the shop's figures
    /// do not change. Who was erased is remembered by the customer's number and keyed hashes, so that nothing read
    /// before brings them back.
    /// </summary>
    public async Task<Redaction> ErasePersonAsync(
        XenoDbContext db,
        Tenant tenant,
        Person person,
        ErasureRequest request,
        CancellationToken ct
    )
    {
        var store = tenant.TenantId;
        var whole = await KnownAsync(db, store, person, ct);
        // Most bodies are looked through before anybody has to wait.
        var (matcher, began) = (new PersonMatcher(whole), await ClockAsync(db, ct));
        var bodies = await BodiesAboutAsync(db, store, matcher, DateTimeOffset.UnixEpoch, ct);
        await TenantLock.TakeExclusiveAsync(db, store, ct);
        bodies = [.. bodies.Union(await BodiesAboutAsync(db, store, matcher, began - _longestInsert, ct))];

        var what = await WhatAsync(db, store, whole, bodies, request.WebhookId, ct);
        var before = await CountAsync(db, what, ct);
        var subject = request.Subject ?? [.. whole.Identifiers.Select(hashes.Of)];
        await RememberAsync(db, what, subject, ct);
        await ApplyWithoutThemAsync(db, tenant, what.Waiting, ct);
        await EraseAsync(db, what, ct);
        var after = await CountAsync(db, what, ct);
        if (after > 0)
            throw new ErasureFailedException(after);
        await IngestionWriter.BumpDataVersionAsync(db, store, ct);
        return await EvidenceAsync(db, tenant, request, before, after, subject, ct);
    }

    /// <summary>
    /// Every row of the store in every table there is, the event that asks for it included; the catalogue says which
    /// tables those are.
    /// </summary>
    public static async Task<Redaction> EraseStoreAsync(
        XenoDbContext db,
        Tenant tenant,
        ErasureRequest request,
        CancellationToken ct
    )
    {
        var store = tenant.TenantId;
        await TenantLock.TakeExclusiveAsync(db, store, ct);
        // The domain first: whoever stores an event of this store now waits for us and then does not find it.
        var tables = (await TablesAsync(db, ct)).OrderBy(Order).ThenBy(t => t, StringComparer.Ordinal).ToList();
        var before = await CountAsync(db, store, tables, ct);
        await db.ExecuteAsync(
            tables.ConvertAll(table => new NpgsqlBatchCommand($"delete from {table} where tenant_id = $1")
            {
                Parameters = { Sql.Uuid(store) },
            }),
            ct
        );
        var after = await CountAsync(db, store, tables, ct);
        if (after > 0)
            throw new ErasureFailedException(after);
        return await EvidenceAsync(db, tenant, request, before, after, [], ct);

        static int Order(string table) =>
            table switch
            {
                "shop_domains" => 0,
                "tenants" => 2,
                _ => 1,
            };
    }

    /// <summary>
    /// Empties those of the events that speak of somebody who was erased after they were triggered or received, or
    /// who is not back: what they said is applied, or not to be applied.
    /// </summary>
    public async Task EmptyLateEventsAsync(
        XenoDbContext db,
        Guid tenantId,
        IReadOnlyCollection<WaitingEvent> events,
        CancellationToken ct
    )
    {
        if (!await db.ErasedPeople.AnyAsync(ct))
            return;
        var told = events
            .Where(e => e.Payload is not null)
            .SelectMany(e =>
                PeopleInBody
                    .Of(e.Topic, e.Payload!)
                    .SelectMany(Recognised)
                    .Select(identifier => (e.WebhookId, Identifier: identifier))
            )
            .ToList();
        if (told.Count == 0)
            return;
        await using var command = db.Command(
            """
            update events set payload = null from unnest($2, $3) as told(webhook_id, identifier)
                join erased_people e on e.tenant_id = $1 and e.identifier = told.identifier
            where events.tenant_id = $1 and events.webhook_id = told.webhook_id
              and (least(events.received_at, coalesce(events.triggered_at, events.received_at)) <= e.erased_at
                or case when e.identifier like 'customer:%' then not exists (
                    select 1 from customers c where c.tenant_id = $1
                        and c.shopify_id = split_part(e.identifier, ':', 2)::bigint
                            and c.deleted_at is null) else false end)
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(Texts(told.Select(t => t.WebhookId)));
        command.Parameters.Add(Texts(told.Select(t => t.Identifier)));
        await command.ExecuteNonQueryAsync(ct);
    }

    // An event is stored within a second; its time is that of the beginning.
    private static readonly TimeSpan _longestInsert = TimeSpan.FromMinutes(10);

    /// <param name="Bodies">Events whose bodies go.</param>
    /// <param name="Waiting">Those of them that are not applied yet.</param>
    /// <param name="Checkouts">By a customer's number, or named by a body.</param>
    private sealed record What(
        Guid Store,
        Person Person,
        string[] Bodies,
        List<WaitingEvent> Waiting,
        long[] Checkouts
    );

    /// <summary>
    /// How a customer is remembered: by the number that orders keep, and everything else by its keyed hash.
    /// </summary>
    private IEnumerable<string> Recognised(Identifier identifier) =>
        identifier.Kind switch
        {
            Identifier.CustomerKind => [$"{identifier.Kind}:{identifier.Value}"],
            _ => hashes.AllOf(identifier),
        };

    /// <summary>With the address and the number that are stored, which may be others than those told.</summary>
    private static async Task<Person> KnownAsync(XenoDbContext db, Guid store, Person person, CancellationToken ct)
    {
        if (person.CustomerId is not { } id)
            return person;
        var stored = await db
            .Customers.IgnoreQueryFilters([XenoDbContext.DeletedFilter])
            .Where(c => c.TenantId == store && c.ShopifyId == id)
            .Select(c => new { c.Email, c.Phone })
            .SingleOrDefaultAsync(ct);
        return person with { Emails = With(person.Emails, stored?.Email), Phones = With(person.Phones, stored?.Phone) };

        static string[] With(IEnumerable<string> given, string? also) =>
            [.. given.Append(also).OfType<string>().Distinct()];
    }

    private static async Task<DateTimeOffset> ClockAsync(XenoDbContext db, CancellationToken ct)
    {
        await using var command = db.Command("select clock_timestamp()");
        return new DateTimeOffset((DateTime)(await command.ExecuteScalarAsync(ct))!);
    }

    private static async Task<List<string>> BodiesAboutAsync(
        XenoDbContext db,
        Guid store,
        PersonMatcher matcher,
        DateTimeOffset since,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            select webhook_id, topic, object_id, payload from events
            where tenant_id = $1 and payload is not null and received_at >= $2
            """
        );
        command.Parameters.Add(Sql.Uuid(store));
        command.Parameters.Add(new NpgsqlParameter { Value = since.UtcDateTime });
        var about = new List<string>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            if (
                matcher.IsAbout(
                    reader.GetString(1),
                    reader.IsDBNull(2) ? null : reader.GetInt64(2),
                    reader.GetFieldValue<byte[]>(3)
                )
            )
                about.Add(reader.GetString(0));
        return about;
    }

    private static async Task<What> WhatAsync(
        XenoDbContext db,
        Guid store,
        Person person,
        List<string> bodies,
        string requestId,
        CancellationToken ct
    )
    {
        var (kept, waiting, checkouts) = (new List<string>(), new List<WaitingEvent>(), new HashSet<long>());
        await using var command = db.Command(
            """
            select webhook_id, topic, coalesce(triggered_at, received_at), received_at, attempts, case when status = 1
                then payload end, trace_id, object_id, status = 1
            from events where tenant_id = $1 and payload is not null and webhook_id = any($2)
                order by due_at, webhook_id
            """
        );
        command.Parameters.Add(Sql.Uuid(store));
        command.Parameters.Add(Texts(bodies.Append(requestId)));
        await using (var reader = await command.ExecuteReaderAsync(ct))
            while (await reader.ReadAsync(ct))
            {
                var stored = EventQueue.Read(reader);
                var isWaiting = reader.GetBoolean(8) && stored.WebhookId != requestId;
                if (stored.Topic.StartsWith("checkouts/", StringComparison.Ordinal) && stored.ObjectId is { } id)
                    checkouts.Add(id);
                // Another erasure needs its body until it is applied; so does what speaks of the shop, which may have
                // the person's address.
                if (isWaiting && !IsAppliedAtOnce(stored.Topic))
                    continue;
                kept.Add(stored.WebhookId);
                if (isWaiting)
                    waiting.Add(stored);
            }
        if (person.CustomerId is { } customer)
            checkouts.UnionWith(
                await db
                    .Checkouts.IgnoreQueryFilters([XenoDbContext.DeletedFilter])
                    .Where(c => c.CustomerId == customer)
                    .Select(c => c.ShopifyId)
                    .ToListAsync(ct)
            );
        return new(store, person, [.. kept], waiting, [.. checkouts.Order()]);
    }

    private static bool IsAppliedAtOnce(string topic) =>
        topic is WebhookTopics.CustomersMerge or WebhookTopics.CustomersDataRequest
        || WebhookTopics.Find(topic) is not { Payload: TopicPayload.ForHandler };

    private static async Task<long> CountAsync(XenoDbContext db, What what, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            select (select count(*) from customers where tenant_id = $1 and shopify_id = $2)
                 + (select count(*) from checkouts where tenant_id = $1 and shopify_id = any($3)
                     and recovery_url is not null)
                 + (select count(*) from data_requests where tenant_id = $1 and customer_id = $2)
                 + (select count(*) from events where tenant_id = $1 and payload is not null and webhook_id = any($4))
            """
        );
        foreach (var parameter in Parameters(what))
            command.Parameters.Add(parameter);
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <summary>From now on; one that is remembered already is erased anew.</summary>
    private static Task RememberAsync(XenoDbContext db, What what, IReadOnlyList<string> subject, CancellationToken ct)
    {
        var identifiers = subject
            .Where(hash =>
                hash.StartsWith(Identifier.EmailKind, StringComparison.Ordinal)
                || hash.StartsWith(Identifier.PhoneKind, StringComparison.Ordinal)
            )
            .Concat(what.Checkouts.Select(ErasedPeople.Checkout))
            .Concat(what.Person.CustomerId is { } id ? [ErasedPeople.Customer(id)] : []);
        return db.ExecuteAsync(
            [
                new NpgsqlBatchCommand(
                    """
                    insert into erased_people (tenant_id, identifier, erased_at)
                    select $1, identifier, clock_timestamp() from unnest($2) as erased(identifier)
                    on conflict (tenant_id, identifier) do update set erased_at = excluded.erased_at
                    """
                )
                {
                    Parameters = { Sql.Uuid(what.Store), Texts(identifiers.Distinct().Order(StringComparer.Ordinal)) },
                },
            ],
            ct
        );
    }

    /// <summary>
    /// What waits tells of orders and carts too; these are stored, and the person, who is remembered as erased by now,
    /// is not.
    /// </summary>
    private static async Task ApplyWithoutThemAsync(
        XenoDbContext db,
        Tenant tenant,
        List<WaitingEvent> waiting,
        CancellationToken ct
    )
    {
        var (shop, results) = (
            new StoreCalendar(tenant.TenantId, tenant.Currency, tenant.TimeZone),
            new List<EventResult>()
        );
        foreach (var applied in waiting)
        {
            try
            {
                var outcome = await ApplyWithoutThemAsync(db, tenant, shop, applied, ct);
                results.Add(new(applied, EventStatus.Applied, outcome, null));
            }
            catch (Exception failure)
                when (failure is FormatException or JsonException or OverflowException or InvalidOperationException)
            {
                var error = $"{failure.Message} Somebody it speaks of was erased, and its body with them.";
                results.Add(new(applied, EventStatus.Dead, null, error));
            }
        }
        await EventQueue.MarkAsync(db, tenant.TenantId, results, ct);
    }

    private static async Task<string> ApplyWithoutThemAsync(
        XenoDbContext db,
        Tenant tenant,
        StoreCalendar shop,
        WaitingEvent waiting,
        CancellationToken ct
    )
    {
        const string without = "Somebody it speaks of was erased before it was applied; the rest was stored.";
        var edits = await OrderEdits.FindAsync(db, tenant.TenantId, [waiting], ct);
        var known = waiting.ObjectId is { } order ? edits[order].ToList() : [];
        var content = EventContent.Of(waiting.Topic, waiting.Payload!, waiting.TriggeredAt, tenant.Currency, known);
        if (waiting.Topic == WebhookTopics.CustomersDataRequest)
            return "The person was erased before their data were gathered.";
        if (tenant.Status == TenantStatus.Disconnected)
            return "The app is not installed any more.";
        if (waiting.Topic == WebhookTopics.CustomersMerge)
            return await CustomersMergeHandler.MergeAsync(db, tenant, waiting, waiting.ReadBody(), ct);
        await IngestionWriter.ApplyAsync(
            db,
            shop,
            [.. content.Records.Select(r => r with { ReadAt = waiting.ReceivedAt })],
            ct
        );
        await Refetches.RequestAsync(db, tenant.TenantId, content.Refetches, ct);
        return without;
    }

    private static Task EraseAsync(XenoDbContext db, What what, CancellationToken ct) =>
        db.ExecuteAsync(
            (
                (string[])
                    [
                        "delete from customers where tenant_id = $1 and shopify_id = $2",
                        "update checkouts set recovery_url = null where tenant_id = $1 and shopify_id = any($3)",
                        "delete from data_requests where tenant_id = $1 and customer_id = $2",
                        "update events set payload = null where tenant_id = $1 and webhook_id = any($4)",
                    ]
            ).Select(sql =>
            {
                var command = new NpgsqlBatchCommand(sql);
                foreach (var parameter in Parameters(what))
                    command.Parameters.Add(parameter);
                return command;
            }),
            ct
        );

    private static IEnumerable<NpgsqlParameter> Parameters(What what) =>
        [
            Sql.Uuid(what.Store),
            new() { Value = (object?)what.Person.CustomerId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint },
            Sql.Ids(what.Checkouts),
            Texts(what.Bodies),
        ];

    private static NpgsqlParameter Texts(IEnumerable<string> texts) =>
        new() { Value = texts.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text };

    private static async Task<Redaction> EvidenceAsync(
        XenoDbContext db,
        Tenant tenant,
        ErasureRequest request,
        long before,
        long after,
        IReadOnlyList<string> subject,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            insert into redactions (id, store, topic, webhook_id, requested_at, done_at, rows_before, rows_after,
                shop_id, subject)
            values ($1, $2, $3, $4, $5, clock_timestamp(), $6, $7, $8, $9)
            """
        );
        command.Parameters.Add(Sql.Uuid(request.Id));
        command.Parameters.Add(Sql.Uuid(tenant.TenantId));
        command.Parameters.Add(new NpgsqlParameter { Value = request.Topic });
        command.Parameters.Add(new NpgsqlParameter { Value = request.WebhookId });
        command.Parameters.Add(new NpgsqlParameter { Value = request.RequestedAt.UtcDateTime });
        command.Parameters.Add(new NpgsqlParameter { Value = before });
        command.Parameters.Add(new NpgsqlParameter { Value = after });
        command.Parameters.Add(new NpgsqlParameter { Value = tenant.ShopId });
        command.Parameters.Add(Texts(subject));
        await command.ExecuteNonQueryAsync(ct);
        return new()
        {
            Id = request.Id,
            Store = tenant.TenantId,
            Topic = request.Topic,
            WebhookId = request.WebhookId,
            RequestedAt = request.RequestedAt,
            RowsBefore = before,
            RowsAfter = after,
            ShopId = tenant.ShopId,
            Subject = subject,
        };
    }

    private static async Task<List<string>> TablesAsync(XenoDbContext db, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            select quote_ident(c.relname) from pg_class c join pg_attribute a on a.attrelid = c.oid
                and a.attname = 'tenant_id' and not a.attisdropped
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            """
        );
        var tables = new List<string>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            tables.Add(reader.GetString(0));
        return tables;
    }

    private static async Task<long> CountAsync(
        XenoDbContext db,
        Guid tenantId,
        List<string> tables,
        CancellationToken ct
    )
    {
        var counts = tables.ConvertAll(table => $"(select count(*) from {table} where tenant_id = $1)");
        await using var command = db.Command($"select {string.Join(" + ", counts)}");
        command.Parameters.Add(Sql.Uuid(tenantId));
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }
}
