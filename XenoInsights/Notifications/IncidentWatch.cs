using System.Globalization;
using System.Net;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using Quartz;
using XenoInsights.App;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Sync;
using XenoInsights.Tenants;

namespace XenoInsights.Notifications;

/// <summary>
/// Looks each minute what is wrong with which store, opens and closes incidents accordingly, and writes the mails about it in the same
/// transaction. An incident is opened by whoever inserts it first, so any number of instances may look.
/// </summary>
internal sealed class IncidentWatch(
    SystemDatabase system, TenantDatabase tenants, IOptions<NotificationOptions> options, IOptions<SyncOptions> sync,
    IOptions<AppOptions> app, ILogger<IncidentWatch> logger) : IJob
{
    /// <summary>With twenty expected, hearing nothing by chance happens twice in a thousand million looks.</summary>
    private const int SurelyExpected = 20;

    private sealed record Trouble(Guid TenantId, IncidentKind Kind, string Detail);

    private sealed record Store(string Name, string Handle, string TimeZone);

    private sealed record Recipient(Guid UserId, string Email, bool IsInCharge);

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => await LookAsync(cancellationToken);

    public async Task LookAsync(CancellationToken ct)
    {
        // In this order: what another instance opens meanwhile is then taken neither for new nor for over.
        var (open, troubles) = await system.RunAsync(async db => (await OpenAsync(db, ct), await TroublesAsync(db, ct)), ct);
        var lasting = troubles.Select(t => (t.TenantId, t.Kind)).ToHashSet();
        var begun = troubles.Where(t => !open.Exists(o => (o.TenantId, o.Kind) == (t.TenantId, t.Kind))).ToList();
        var over = open.Where(o => o.IsGone || (o.HasRecovered && !lasting.Contains((o.TenantId, o.Kind)))).ToList();
        foreach (var store in begun.Select(t => t.TenantId).Concat(over.Select(o => o.TenantId)).Distinct())
        {
            try
            {
                await RecordAsync(store, [.. begun.Where(t => t.TenantId == store)], [.. over.Where(o => o.TenantId == store)], ct);
            }
            catch (Exception failure) when (!ct.IsCancellationRequested)
            {
                // One store's trouble is not the next one's; the next look comes in a minute.
                logger.LogError(failure, "Incidents of {Tenant} could not be recorded", store);
            }
        }
    }

    private async Task<List<Trouble>> TroublesAsync(XenoDbContext db, CancellationToken ct)
    {
        var troubles = new List<Trouble>();
        await FindAsync(IncidentKind.SyncFailed, row => $"{Run(row.GetString(1))} stopped: {row.GetString(2)}",
            """
            select tenant_id, type, coalesce(error, '') from (
                select distinct on (tenant_id, type) tenant_id, type, status, error from sync_jobs
                where status in ('Succeeded', 'Failed') and created_at > now() - interval '15 days' order by tenant_id, type, finished_at desc) newest
            where status = 'Failed' order by tenant_id, type
            """);
        await FindAsync(IncidentKind.AccessLost, row => row.GetString(1) switch
        {
            nameof(TenantStatus.Frozen) => "Shopify has frozen the store until its bill is paid. Figures go on by themselves after that.",
            nameof(TenantStatus.Locked) => "Shopify has locked the store. Its owner has to contact Shopify; figures go on by themselves after that.",
            nameof(TenantStatus.AccessMissing) => "Shopify does not let us read all of the store. Connect it again and approve every permission.",
            _ => "Shopify no longer accepts our key. Connect the store again; what was missed then arrives.",
        }, "select tenant_id, status from tenants where status in ('ReconnectRequired', 'Frozen', 'Locked', 'AccessMissing')");
        await FindAsync(IncidentKind.Behind, row => $"What Shopify tells us waits to be counted, the oldest for {row.GetInt64(1)} minutes. Nothing is lost; figures lag behind.",
            "select tenant_id, (extract(epoch from now() - min(received_at)) / 60)::bigint from events where status = 1 group by tenant_id having min(received_at) < now() - $1", TimeSpan.FromMinutes(options.Value.LagMinutes));
        await FindAsync(IncidentKind.ObjectsRejected, row => $"The last import could not read {Number(row.GetInt64(1))} of {Number(row.GetInt64(2))} objects. They are in no figure; the sync page says what is wrong with them.",
            """
            select tenant_id, rejected, objects_read from (
                select distinct on (tenant_id) tenant_id, rejected, objects_read from sync_jobs
                where type = 'Full' and status in ('Succeeded', 'Failed') and objects_read > 0 order by tenant_id, finished_at desc) newest
            where rejected * 100 > objects_read * $1
            """, sync.Value.RejectedIncidentPercent);
        await FindAsync(IncidentKind.GivenUp, row => $"{(row.GetInt64(1) == 1 ? "1 delivery" : $"{row.GetInt64(1).ToString("N0", CultureInfo.InvariantCulture)} deliveries")} could not be applied after several attempts. Look at them on the events page and replay them.",
            "select tenant_id, count(*) from events where status = 4 group by tenant_id");
        // The same hours of the last four weeks, for as many of them as the store has been connected.
        await FindAsync(IncidentKind.Silent, row => $"Shopify has told us nothing for {row.GetInt64(1)} hours, in which about {row.GetDouble(2).ToString("N0", CultureInfo.InvariantCulture)} deliveries are usual. The nightly run reads what was missed; connecting the store again renews its subscriptions.",
            """
            select t.tenant_id, (extract(epoch from now() - last.at) / 3600)::bigint, usual.count / least(4, floor(extract(epoch from now() - t.connected_at) / 604800))
            from tenants t
            cross join lateral (select e.received_at as at from events e where e.tenant_id = t.tenant_id order by e.received_at desc limit 1) last
            cross join lateral (select count(*)::float8 as count from generate_series(1, 4) week join events e on e.tenant_id = t.tenant_id
                and e.received_at > last.at - week * interval '7 days' and e.received_at <= now() - week * interval '7 days') usual
            where t.status = 'Connected' and t.connected_at < now() - interval '7 days' and last.at < now() - interval '1 hour'
                and usual.count / least(4, floor(extract(epoch from now() - t.connected_at) / 604800)) >= $1
            """, (double)SurelyExpected);
        return troubles;

        async Task FindAsync(IncidentKind kind, Func<NpgsqlDataReader, string> detail, string sql, object? parameter = null)
        {
            await using var command = db.Command(sql);
            if (parameter is not null) command.Parameters.Add(new NpgsqlParameter { Value = parameter });
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
                if (troubles.FindIndex(t => t.TenantId == reader.GetGuid(0) && t.Kind == kind) < 0) troubles.Add(new(reader.GetGuid(0), kind, detail(reader)));
        }
    }

    private static string Number(long count) => count.ToString("N0", CultureInfo.InvariantCulture);

    private static string Run(string type) => type switch { "Full" => "The import", "Delta" => "The nightly run of changes", "Reconcile" => "The check of closed days", _ => "The comparison with Shopify" };

    /// <param name="HasRecovered">Something shows that it is over, beyond its not being seen: a success since, an answer of Shopify, a delivery.</param>
    /// <param name="IsGone">The store was disconnected: nothing about it concerns anyone any more.</param>
    private sealed record Open(Guid TenantId, Guid Id, IncidentKind Kind, bool HasRecovered, bool IsGone);

    private static async Task<List<Open>> OpenAsync(XenoDbContext db, CancellationToken ct)
    {
        await using var command = db.Command(
            """
            select i.tenant_id, i.id, i.kind, case i.kind
                when 'SyncFailed' then exists (select 1 from sync_jobs j where j.tenant_id = i.tenant_id and j.status = 'Succeeded' and j.finished_at > i.opened_at)
                when 'AccessLost' then t.status = 'Connected'
                when 'Silent' then exists (select 1 from events e where e.tenant_id = i.tenant_id and e.received_at > i.opened_at)
                else true end, t.status = 'Disconnected'
            from incidents i join tenants t on t.tenant_id = i.tenant_id where i.resolved_at is null
            """);
        var open = new List<Open>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) open.Add(new(reader.GetGuid(0), reader.GetGuid(1), Enum.Parse<IncidentKind>(reader.GetString(2)), reader.GetBoolean(3), reader.GetBoolean(4)));
        return open;
    }

    private async Task RecordAsync(Guid tenantId, List<Trouble> begun, List<Open> over, CancellationToken ct)
    {
        var members = await system.RunAsync(db =>
            (from membership in db.Memberships.IgnoreQueryFilters([XenoDbContext.TenantFilter])
             join user in db.Users on membership.UserId equals user.UserId
             where membership.TenantId == tenantId && user.Email != null && user.EmailVerified
             select new { user.UserId, user.Email, membership.Role }).ToListAsync(ct), ct);
        // Roles are stored by name, which no database can compare by rank.
        var recipients = members.ConvertAll(m => new Recipient(m.UserId, m.Email!, m.Role >= MemberRole.Admin));
        await tenants.RunAsync(tenantId, async db =>
        {
            var store = await db.Tenants.Select(t => new Store(t.Name, t.ShopDomain, t.TimeZone)).SingleOrDefaultAsync(ct);
            if (store is null) return;
            store = store with { Handle = store.Handle.Split('.')[0] };
            foreach (var trouble in begun)
                if (await OpenAsync(db, trouble, ct) is { } incident) await WriteAsync(db, store, incident, isRecovery: false, recipients, ct);
            foreach (var open in over)
                if (await ResolveAsync(db, open, ct) is { } incident && !open.IsGone) await WriteAsync(db, store, incident, isRecovery: true, recipients, ct);
        }, ct);
    }

    /// <summary>Null when another instance was faster.</summary>
    private static async Task<Incident?> OpenAsync(XenoDbContext db, Trouble trouble, CancellationToken ct)
    {
        await using var command = db.Command("insert into incidents (tenant_id, id, kind, opened_at, detail) values ($1, $2, $3, now(), $4) on conflict do nothing returning id, opened_at");
        command.Parameters.Add(Sql.Uuid(trouble.TenantId));
        command.Parameters.Add(Sql.Uuid(Guid.CreateVersion7()));
        command.Parameters.Add(new NpgsqlParameter { Value = trouble.Kind.ToString() });
        command.Parameters.Add(new NpgsqlParameter { Value = trouble.Detail });
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? new Incident { TenantId = trouble.TenantId, Id = reader.GetGuid(0), Kind = trouble.Kind, OpenedAt = reader.GetFieldValue<DateTimeOffset>(1), Detail = trouble.Detail } : null;
    }

    private static async Task<Incident?> ResolveAsync(XenoDbContext db, Open open, CancellationToken ct)
    {
        await using var command = db.Command("update incidents set resolved_at = now() where tenant_id = $1 and id = $2 and resolved_at is null returning opened_at, resolved_at, detail");
        command.Parameters.Add(Sql.Uuid(open.TenantId));
        command.Parameters.Add(Sql.Uuid(open.Id));
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct)
            ? new Incident { TenantId = open.TenantId, Id = open.Id, Kind = open.Kind, OpenedAt = reader.GetFieldValue<DateTimeOffset>(0), ResolvedAt = reader.GetFieldValue<DateTimeOffset>(1), Detail = reader.GetString(2) }
            : null;
    }

    private async Task WriteAsync(XenoDbContext db, Store store, Incident incident, bool isRecovery, List<Recipient> recipients, CancellationToken ct)
    {
        var choices = await db.AlertChoices.AsNoTracking().Where(c => c.Kind == incident.Kind).ToDictionaryAsync(c => c.UserId, c => c.Wanted, ct);
        foreach (var person in recipients.Where(p => choices.TryGetValue(p.UserId, out var wanted) ? wanted : p.IsInCharge))
        {
            var letter = Letter.About(store.Name, store.TimeZone, incident, isRecovery, app.Value.At($"stores/{store.Handle}/{(incident.Kind is IncidentKind.SyncFailed or IncidentKind.ObjectsRejected ? "sync" : incident.Kind is IncidentKind.AccessLost ? "overview" : "events")}"), app.Value.At($"stores/{store.Handle}/notifications"));
            await using var command = db.Command(
                """
                insert into mails (tenant_id, id, incident_id, user_id, is_recovery, recipient, subject, text, html, created_at, due_at, attempts)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now(), now(), 0) on conflict (tenant_id, incident_id, user_id, is_recovery) do nothing
                """);
            command.Parameters.Add(Sql.Uuid(incident.TenantId));
            command.Parameters.Add(Sql.Uuid(Guid.CreateVersion7()));
            command.Parameters.Add(Sql.Uuid(incident.Id));
            command.Parameters.Add(Sql.Uuid(person.UserId));
            command.Parameters.Add(new NpgsqlParameter { Value = isRecovery });
            foreach (var text in (string[])[person.Email, letter.Subject, letter.Text, letter.Html]) command.Parameters.Add(new NpgsqlParameter { Value = text });
            await command.ExecuteNonQueryAsync(ct);
        }
    }
}

/// <summary>A mail's words, as text and as HTML with styles of its own.</summary>
internal sealed record Letter(string Subject, string Text, string Html)
{
    public static Letter About(string store, string timeZone, Incident incident, bool isRecovery, Uri page, Uri preferences)
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById(timeZone);
        var title = isRecovery ? Recovered(incident.Kind) : Title(incident.Kind);
        var since = $"Since {At(incident.OpenedAt)}{(incident.ResolvedAt is { } end && isRecovery ? $", over at {At(end)}" : "")} ({timeZone})";
        var body = isRecovery ? "It is over; nothing has to be done. What happened: " + incident.Detail : incident.Detail;
        return new($"{store}: {title}",
            $"{store}: {title}\n\n{body}\n\n{since}\n\nLook at it: {page}\nWhich mails you get: {preferences}\n",
            $"""
            <!doctype html><html lang="en"><body style="margin:0;padding:24px;background:#F8F7F4;font:15px/22px -apple-system,'Segoe UI',Roboto,sans-serif;color:#1D1A20">
            <div style="max-width:520px;margin:0 auto;padding:24px;background:#fff;border:1px solid #E5E2DB;border-radius:10px">
            <p style="margin:0 0 4px;color:#57525B;font-size:13px">{Encoded(store)}</p>
            <h1 style="margin:0 0 12px;font-size:20px;line-height:26px">{Encoded(title)}</h1>
            <p style="margin:0 0 12px">{Encoded(body)}</p>
            <p style="margin:0 0 20px;color:#57525B;font-size:13px">{Encoded(since)}</p>
            <p style="margin:0"><a href="{Encoded(page.ToString())}" style="display:inline-block;padding:9px 16px;border-radius:8px;background:#782E7D;color:#fff;text-decoration:none">Look at it</a></p>
            </div>
            <p style="max-width:520px;margin:16px auto 0;color:#57525B;font-size:12px"><a href="{Encoded(preferences.ToString())}" style="color:#57525B">Which mails you get</a></p>
            </body></html>
            """);

        string At(DateTimeOffset instant) => TimeZoneInfo.ConvertTime(instant, zone).ToString("d MMMM yyyy, HH:mm", CultureInfo.InvariantCulture);
    }

    public static string Title(IncidentKind kind) => kind switch
    {
        IncidentKind.SyncFailed => "a run failed",
        IncidentKind.AccessLost => "Shopify refuses us",
        IncidentKind.Behind => "figures lag behind",
        IncidentKind.Silent => "Shopify has gone silent",
        IncidentKind.ObjectsRejected => "objects could not be read",
        _ => "deliveries were given up",
    };

    private static string Recovered(IncidentKind kind) => kind switch
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
