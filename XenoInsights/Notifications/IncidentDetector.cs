using System.Globalization;
using System.Net;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using Quartz;
using XenoInsights.Data;
using XenoInsights.Hosting;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Notifications;

/// <summary>
/// Looks each minute what is wrong with which store, opens and closes incidents accordingly, and writes the mails about
/// it in the same transaction. An incident is opened by whoever inserts it first, so any number of instances may look.
/// </summary>
internal sealed class IncidentDetector(
    SystemDatabase system,
    TenantDatabase tenants,
    FleetIncidents fleet,
    IOptions<NotificationOptions> options,
    IOptions<SyncOptions> sync,
    IOptions<AppOptions> app,
    ILogger<IncidentDetector> logger
) : IJob
{
    /// <summary>With twenty expected, hearing nothing by chance happens twice in a thousand million looks.</summary>
    private const int SurelyExpected = 20;

    private sealed record Trouble(Guid TenantId, IncidentKind Kind, string Detail);

    private sealed record Store(string Name, string Handle, string TimeZone);

    private sealed record Recipient(Guid UserId, string Email, bool IsInCharge);

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) =>
        await LookAsync(cancellationToken);

    public async Task LookAsync(CancellationToken ct)
    {
        // In this order: what another instance opens meanwhile is then taken neither for new nor for over.
        var (open, troubles) = await system.RunAsync(
            async db => (await OpenAsync(db, ct), await TroublesAsync(db, ct)),
            ct
        );
        var lasting = troubles.Select(t => (t.TenantId, t.Kind)).ToHashSet();
        var begun = troubles.Where(t => !open.Exists(o => (o.TenantId, o.Kind) == (t.TenantId, t.Kind))).ToList();
        var over = open.Where(o => o.IsGone || (o.HasRecovered && !lasting.Contains((o.TenantId, o.Kind)))).ToList();
        var held = await fleet.FollowAsync(begun.ConvertAll(t => (t.TenantId, t.Kind)), ct);
        var released = await ReleasedAsync(held, ct);
        var (begunOf, overOf, releasedOf) = (
            begun.ToLookup(t => t.TenantId),
            over.ToLookup(o => o.TenantId),
            released.ToLookup(r => r.TenantId, r => r.Id)
        );
        var stores = begunOf.Select(s => s.Key).Concat(overOf.Select(s => s.Key)).Concat(releasedOf.Select(s => s.Key));
        // One store's failure is not the next one's; the next look comes in a minute.
        await stores
            .Distinct()
            .ForEachTenantAsync(
                (store, inner) =>
                    RecordAsync(store, [.. begunOf[store]], [.. overOf[store]], [.. releasedOf[store]], held, inner),
                logger,
                "Recording incidents",
                ct
            );
    }

    /// <summary>Incidents whose people have to be told now, although the mails were held before.</summary>
    private Task<List<(Guid TenantId, Guid Id)>> ReleasedAsync(HashSet<IncidentKind> held, CancellationToken ct) =>
        system.RunAsync(
            async db =>
            {
                await using var command = db.Command(
                    """
                    select i.tenant_id, i.id from incidents i
                    where i.mails_held and i.resolved_at is null and (i.opened_at <= now() - $1 or i.kind <> all($2)
                        and not exists (select from fleet_incidents f where f.kind = i.kind and f.resolved_at is null))
                    """
                );
                command.Parameters.Add(
                    new NpgsqlParameter { Value = TimeSpan.FromMinutes(options.Value.FleetIncidentHoldMinutes) }
                );
                command.Parameters.Add(new NpgsqlParameter { Value = held.Select(kind => kind.ToString()).ToArray() });
                var released = new List<(Guid, Guid)>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                    released.Add((reader.GetGuid(0), reader.GetGuid(1)));
                return released;
            },
            ct
        );

    private async Task<List<Trouble>> TroublesAsync(XenoDbContext db, CancellationToken ct)
    {
        var troubles = new List<Trouble>();
        await FindAsync(
            IncidentKind.SyncFailed,
            row => $"{Run(row.GetString(1))} stopped: {row.GetString(2)}",
            """
            select tenant_id, type, coalesce(error, '') from (
                select distinct on (tenant_id, type) tenant_id, type, status, error from sync_jobs
                where status in ('Succeeded', 'Failed') and created_at > now() - interval '15 days'
                order by tenant_id, type, finished_at desc) newest
            where status = 'Failed' order by tenant_id, type
            """
        );
        await FindAsync(
            IncidentKind.AccessLost,
            row =>
                row.GetString(1) switch
                {
                    nameof(TenantStatus.Frozen) =>
                        "Shopify has frozen the store until its bill is paid. Figures go on by themselves after that.",
                    nameof(TenantStatus.Locked) => "Shopify has locked the store. Its owner has to contact Shopify; "
                        + "figures go on by themselves after that.",
                    nameof(TenantStatus.AccessMissing) =>
                        "Shopify does not let us read all of the store. Connect it again and approve every permission.",
                    _ => "Shopify no longer accepts our key. Connect the store again; what was missed then arrives.",
                },
            """
            select tenant_id, status from tenants
            where status in ('ReconnectRequired', 'Frozen', 'Locked', 'AccessMissing')
            """
        );
        await FindAsync(
            IncidentKind.Behind,
            row =>
                $"What Shopify tells us waits to be counted, the oldest for {row.GetInt64(1)} minutes. "
                + "Nothing is lost; figures lag behind.",
            """
            select tenant_id, (extract(epoch from now() - min(received_at)) / 60)::bigint
            from events where status = 1 group by tenant_id having min(received_at) < now() - $1
            """,
            TimeSpan.FromMinutes(options.Value.LagMinutes)
        );
        await FindAsync(
            IncidentKind.ObjectsRejected,
            row =>
                $"The last import could not read {Number(row.GetInt64(1))} of {Number(row.GetInt64(2))} objects. "
                + "They are in no figure; the sync page says what is wrong with them.",
            """
            select tenant_id, rejected, objects_read from (
                select distinct on (tenant_id) tenant_id, rejected, objects_read from sync_jobs
                where type = 'Full' and status in ('Succeeded', 'Failed') and objects_read > 0
                order by tenant_id, finished_at desc) newest
            where rejected * 100 > objects_read * $1
            """,
            sync.Value.RejectedIncidentPercent
        );
        await FindAsync(
            IncidentKind.GivenUp,
            row =>
                $"{(row.GetInt64(1) == 1 ? "1 delivery" : $"{Number(row.GetInt64(1))} deliveries")} could not be "
                + "applied after several attempts. Look at them on the events page and replay them.",
            "select tenant_id, count(*) from events where status = 4 group by tenant_id"
        );
        // The same hours of the last four weeks, for as many of them as the store has been connected.
        await FindAsync(
            IncidentKind.Silent,
            row =>
                $"Shopify has told us nothing for {row.GetInt64(1)} hours, in which about "
                + $"{row.GetDouble(2).ToString("N0", CultureInfo.InvariantCulture)} deliveries are usual. The nightly "
                + "run reads what was missed; connecting the store again renews its subscriptions.",
            """
            select t.tenant_id, (extract(epoch from now() - last.at) / 3600)::bigint,
                usual.count / least(4, floor(extract(epoch from now() - t.connected_at) / 604800))
            from tenants t
            cross join lateral (
                select e.received_at as at from events e where e.tenant_id = t.tenant_id
                order by e.received_at desc limit 1) last
            cross join lateral (
                select count(*)::float8 as count from generate_series(1, 4) week
                join events e on e.tenant_id = t.tenant_id and e.received_at > last.at - week * interval '7 days'
                    and e.received_at <= now() - week * interval '7 days') usual
            where t.status = 'Connected' and t.connected_at < now() - interval '7 days'
                and last.at < now() - interval '1 hour'
                and usual.count / least(4, floor(extract(epoch from now() - t.connected_at) / 604800)) >= $1
            """,
            (double)SurelyExpected
        );
        return troubles;

        async Task FindAsync(
            IncidentKind kind,
            Func<NpgsqlDataReader, string> detail,
            string sql,
            object? parameter = null
        )
        {
            await using var command = db.Command(sql);
            if (parameter is not null)
                command.Parameters.Add(new NpgsqlParameter { Value = parameter });
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
                if (troubles.FindIndex(t => t.TenantId == reader.GetGuid(0) && t.Kind == kind) < 0)
                    troubles.Add(new(reader.GetGuid(0), kind, detail(reader)));
        }
    }

    private static string Number(long count) => count.ToString("N0", CultureInfo.InvariantCulture);

    private static string Run(string type) =>
        type switch
        {
            "Full" => "The import",
            "Delta" => "The nightly run of changes",
            "Reconcile" => "The check of closed days",
            _ => "The comparison with Shopify",
        };

    /// <param name="HasRecovered">Something shows that it is over, beyond its not being seen: a success since, an
    /// answer of Shopify, a delivery.</param>
    /// <param name="IsGone">The store was disconnected: nothing about it concerns anyone any more.</param>
    private sealed record Open(Guid TenantId, Guid Id, IncidentKind Kind, bool HasRecovered, bool IsGone);

    private static async Task<List<Open>> OpenAsync(XenoDbContext db, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            select i.tenant_id, i.id, i.kind, case i.kind
                when 'SyncFailed' then exists (
                    select 1 from sync_jobs j
                    where j.tenant_id = i.tenant_id and j.status = 'Succeeded' and j.finished_at > i.opened_at)
                when 'AccessLost' then t.status = 'Connected'
                when 'Silent' then exists (
                    select 1 from events e where e.tenant_id = i.tenant_id and e.received_at > i.opened_at)
                else true end, t.status = 'Disconnected'
            from incidents i join tenants t on t.tenant_id = i.tenant_id where i.resolved_at is null
            """
        );
        var open = new List<Open>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            open.Add(
                new(
                    reader.GetGuid(0),
                    reader.GetGuid(1),
                    Enum.Parse<IncidentKind>(reader.GetString(2)),
                    reader.GetBoolean(3),
                    reader.GetBoolean(4)
                )
            );
        return open;
    }

    private async Task RecordAsync(
        Guid tenantId,
        List<Trouble> begun,
        List<Open> over,
        List<Guid> released,
        HashSet<IncidentKind> held,
        CancellationToken ct
    )
    {
        var recipients = await RecipientsAsync(tenantId, ct);
        await tenants.RunAsync(
            tenantId,
            async db =>
            {
                var store = await db
                    .Tenants.Select(t => new Store(t.Name, t.ShopDomain, t.TimeZone))
                    .SingleOrDefaultAsync(ct);
                if (store is null)
                    return;
                store = store with { Handle = store.Handle.Split('.')[0] };
                foreach (var trouble in begun)
                {
                    var isHeld = held.Contains(trouble.Kind);
                    if (await OpenAsync(db, trouble, isHeld, ct) is { } incident && !isHeld)
                        await WriteAsync(db, store, incident, isRecovery: false, recipients, ct);
                }
                foreach (var open in over)
                {
                    // Who was not told of the beginning is not told of the end.
                    if (await ResolveAsync(db, open, ct) is { MailsHeld: false } incident && !open.IsGone)
                        await WriteAsync(db, store, incident, isRecovery: true, recipients, ct);
                }
                foreach (var id in released)
                {
                    if (await ReleaseAsync(db, tenantId, id, ct) is { } incident)
                        await WriteAsync(db, store, incident, isRecovery: false, recipients, ct);
                }
            },
            ct
        );
    }

    private async Task<List<Recipient>> RecipientsAsync(Guid tenantId, CancellationToken ct)
    {
        var members = await system.RunAsync(
            db =>
                (
                    from membership in db.Memberships.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    join user in db.Users on membership.UserId equals user.UserId
                    where membership.TenantId == tenantId && user.Email != null && user.EmailVerified
                    select new
                    {
                        user.UserId,
                        user.Email,
                        membership.Role,
                    }
                ).ToListAsync(ct),
            ct
        );
        // Roles are stored by name, which no database can compare by rank.
        return members.ConvertAll(m => new Recipient(m.UserId, m.Email!, m.Role >= MemberRole.Admin));
    }

    /// <summary>Null when another instance was faster.</summary>
    private static async Task<Incident?> OpenAsync(XenoDbContext db, Trouble trouble, bool isHeld, CancellationToken ct)
    {
        await using var command = db.Command(
            $"""
            insert into incidents (tenant_id, id, kind, opened_at, detail, mails_held)
            values ($1, $2, $3, now(), $4, $5)
            on conflict do nothing returning {Columns}
            """
        );
        command.Parameters.Add(Sql.Uuid(trouble.TenantId));
        command.Parameters.Add(Sql.Uuid(Guid.CreateVersion7()));
        command.Parameters.Add(Sql.Text(trouble.Kind.ToString()));
        command.Parameters.Add(Sql.Text(trouble.Detail));
        command.Parameters.Add(new NpgsqlParameter { Value = isHeld });
        return await ReadAsync(command, ct);
    }

    /// <summary>Null when another instance was faster.</summary>
    private static Task<Incident?> ResolveAsync(XenoDbContext db, Open open, CancellationToken ct) =>
        ChangeAsync(db, open.TenantId, open.Id, "resolved_at = now()", "true", ct);

    /// <summary>Null when another instance was faster, or it is over.</summary>
    private static Task<Incident?> ReleaseAsync(XenoDbContext db, Guid tenantId, Guid id, CancellationToken ct) =>
        ChangeAsync(db, tenantId, id, "mails_held = false", "mails_held", ct);

    private static async Task<Incident?> ChangeAsync(
        XenoDbContext db,
        Guid tenantId,
        Guid id,
        string change,
        string condition,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            $"""
            update incidents set {change} where tenant_id = $1 and id = $2 and resolved_at is null and {condition}
            returning {Columns}
            """
        );
        command.Parameters.Add(Sql.Uuid(tenantId));
        command.Parameters.Add(Sql.Uuid(id));
        return await ReadAsync(command, ct);
    }

    private const string Columns = "tenant_id, id, kind, opened_at, resolved_at, detail, mails_held";

    private static async Task<Incident?> ReadAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct))
            return null;
        return new Incident
        {
            TenantId = reader.GetGuid(0),
            Id = reader.GetGuid(1),
            Kind = Enum.Parse<IncidentKind>(reader.GetString(2)),
            OpenedAt = reader.GetFieldValue<DateTimeOffset>(3),
            ResolvedAt = reader.IsDBNull(4) ? null : reader.GetFieldValue<DateTimeOffset>(4),
            Detail = reader.GetString(5),
            MailsHeld = reader.GetBoolean(6),
        };
    }

    private async Task WriteAsync(
        XenoDbContext db,
        Store store,
        Incident incident,
        bool isRecovery,
        List<Recipient> recipients,
        CancellationToken ct
    )
    {
        var choices = await db
            .NotificationPreferences.AsNoTracking()
            .Where(c => c.Kind == incident.Kind)
            .ToDictionaryAsync(c => c.UserId, c => c.Wanted, ct);
        foreach (
            var person in recipients.Where(p => choices.TryGetValue(p.UserId, out var wanted) ? wanted : p.IsInCharge)
        )
        {
            var letter = Letter.About(
                store.Name,
                store.TimeZone,
                incident,
                isRecovery,
                app.Value.At($"stores/{store.Handle}/{PageOf(incident.Kind)}"),
                app.Value.At($"stores/{store.Handle}/notifications")
            );
            await using var command = db.Command(
                """
                insert into mails (tenant_id, id, incident_id, user_id, is_recovery, recipient, subject, text, html,
                    created_at, due_at, attempts)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now(), now(), 0)
                on conflict (tenant_id, incident_id, user_id, is_recovery) do nothing
                """
            );
            command.Parameters.Add(Sql.Uuid(incident.TenantId));
            command.Parameters.Add(Sql.Uuid(Guid.CreateVersion7()));
            command.Parameters.Add(Sql.Uuid(incident.Id));
            command.Parameters.Add(Sql.Uuid(person.UserId));
            command.Parameters.Add(new NpgsqlParameter { Value = isRecovery });
            foreach (var text in (string[])[person.Email, letter.Subject, letter.Text, letter.Html])
                command.Parameters.Add(new NpgsqlParameter { Value = text });
            await command.ExecuteNonQueryAsync(ct);
        }
    }

    /// <summary>The store's page that shows what is wrong.</summary>
    private static string PageOf(IncidentKind kind) =>
        kind switch
        {
            IncidentKind.SyncFailed or IncidentKind.ObjectsRejected => "sync",
            IncidentKind.AccessLost => "overview",
            _ => "events",
        };
}

/// <summary>A mail's words, as text and as HTML with styles of its own.</summary>
internal sealed record Letter(string Subject, string Text, string Html)
{
    public static Letter About(
        string store,
        string timeZone,
        Incident incident,
        bool isRecovery,
        Uri page,
        Uri preferences
    )
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById(timeZone);
        var title = isRecovery ? Recovered(incident.Kind) : Title(incident.Kind);
        var over = incident.ResolvedAt is { } end && isRecovery ? $", over at {At(end)}" : "";
        var since = $"Since {At(incident.OpenedAt)}{over} ({timeZone})";
        var body = isRecovery
            ? "It is over; nothing has to be done. What happened: " + incident.Detail
            : incident.Detail;
        return new(
            $"{store}: {title}",
            $"{store}: {title}\n\n{body}\n\n{since}\n\nLook at it: {page}\nWhich mails you get: {preferences}\n",
            $"""
            <!doctype html><html lang="en">
            <body style="margin:0;padding:24px;background:#F8F7F4;color:#1D1A20;
            font:15px/22px -apple-system,'Segoe UI',Roboto,sans-serif">
            <div style="max-width:520px;margin:0 auto;padding:24px;
            background:#fff;border:1px solid #E5E2DB;border-radius:10px">
            <p style="margin:0 0 4px;color:#57525B;font-size:13px">{Encoded(store)}</p>
            <h1 style="margin:0 0 12px;font-size:20px;line-height:26px">{Encoded(title)}</h1>
            <p style="margin:0 0 12px">{Encoded(body)}</p>
            <p style="margin:0 0 20px;color:#57525B;font-size:13px">{Encoded(since)}</p>
            <p style="margin:0"><a href="{Encoded(
                page.ToString()
            )}" style="display:inline-block;padding:9px 16px;border-radius:8px;
            background:#782E7D;color:#fff;text-decoration:none">Look at it</a></p>
            </div>
            <p style="max-width:520px;margin:16px auto 0;color:#57525B;font-size:12px"><a href="{Encoded(
                preferences.ToString()
            )}" style="color:#57525B">Which mails you get</a></p>
            </body></html>
            """
        );

        string At(DateTimeOffset instant) =>
            TimeZoneInfo.ConvertTime(instant, zone).ToString("d MMMM yyyy, HH:mm", CultureInfo.InvariantCulture);
    }

    public static string Title(IncidentKind kind) =>
        kind switch
        {
            IncidentKind.SyncFailed => "a run failed",
            IncidentKind.AccessLost => "Shopify refuses us",
            IncidentKind.Behind => "figures lag behind",
            IncidentKind.Silent => "Shopify has gone silent",
            IncidentKind.ObjectsRejected => "objects could not be read",
            _ => "webhooks failed",
        };

    private static string Recovered(IncidentKind kind) =>
        kind switch
        {
            IncidentKind.SyncFailed => "runs succeed again",
            IncidentKind.AccessLost => "Shopify answers again",
            IncidentKind.Behind => "figures are current again",
            IncidentKind.Silent => "Shopify tells us of changes again",
            IncidentKind.ObjectsRejected => "the import reads its objects again",
            _ => "all deliveries are dealt with",
        };

    private static string Encoded(string text) => WebUtility.HtmlEncode(text);
}

/// <summary>The words of a mail to an operator, as text and as HTML.</summary>
internal sealed record OperatorLetter(string Subject, string Text, string Html)
{
    public static OperatorLetter About(string title, string body, Uri page) =>
        new(
            $"XenoInsights: {title}",
            $"{title}\n\n{body}\n\nLook at it: {page}\n",
            $"""
            <!doctype html><html lang="en"><body style="font:15px/22px sans-serif">
            <h1 style="font-size:20px">{WebUtility.HtmlEncode(title)}</h1>
            <p>{WebUtility.HtmlEncode(body)}</p>
            <p><a href="{WebUtility.HtmlEncode(page.ToString())}">Look at it</a></p>
            </body></html>
            """
        );
}
