using System.Globalization;
using Microsoft.Extensions.Options;
using Npgsql;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Hosting;

namespace XenoInsights.Notifications;

/// <summary>
/// Notices that the same kind of incident begins in many stores at about the same time, and tells operators once. All
/// state is in the database, and whoever inserts or ends a fleet incident first writes its mails: any number of
/// instances may look.
/// </summary>
internal sealed class FleetIncidents(
    SystemDatabase system,
    Operators operators,
    IOptions<NotificationOptions> options,
    IOptions<AppOptions> app
)
{
    /// <param name="Recent">Stores in which it began within the window and lasts.</param>
    /// <param name="Lasting">Stores in which it began since the fleet incident and lasts; 0 where there is
    /// none.</param>
    private sealed record Count(IncidentKind Kind, int Recent, Guid? FleetIncident, int Lasting);

    private TimeSpan Window => TimeSpan.FromMinutes(options.Value.FleetIncidentWindowMinutes);

    /// <summary>Opens, follows and ends fleet incidents.</summary>
    /// <param name="begun">What begins in which store with this look; it need not be recorded yet.</param>
    /// <returns>The kinds that begin in so many stores that the mails to their people are held.</returns>
    public Task<HashSet<IncidentKind>> FollowAsync(
        IReadOnlyList<(Guid TenantId, IncidentKind Kind)> begun,
        CancellationToken ct
    ) =>
        system.RunAsync(
            async db =>
            {
                var threshold = await ThresholdAsync(db, ct);
                var held = new HashSet<IncidentKind>();
                foreach (var (kind, recent, fleetIncident, lasting) in await CountAsync(db, begun, ct))
                {
                    if (recent >= threshold)
                        held.Add(kind);
                    if (fleetIncident is { } id)
                        await UpdateAsync(db, id, kind, lasting, threshold, ct);
                    else if (recent >= threshold)
                        await OpenAsync(db, kind, recent, ct);
                }
                // Where no operator can be told, the stores' people must be.
                return operators.Addresses.Count > 0 ? held : [];
            },
            ct
        );

    private async Task<int> ThresholdAsync(XenoDbContext db, CancellationToken ct)
    {
        await using var command = db.Command("select count(*)::int from tenants where status <> 'Disconnected'");
        var connected = (int)(await command.ExecuteScalarAsync(ct))!;
        var share = (int)Math.Ceiling(connected * options.Value.FleetIncidentPercent / 100m);
        return Math.Max(options.Value.FleetIncidentStores, share);
    }

    private async Task<List<Count>> CountAsync(
        XenoDbContext db,
        IReadOnlyList<(Guid TenantId, IncidentKind Kind)> begun,
        CancellationToken ct
    )
    {
        await using var command = db.Command(
            """
            with recorded as (select kind, tenant_id, opened_at from incidents where resolved_at is null),
            lasting as (
                select kind, opened_at from recorded
                union all
                select b.kind, now() from unnest($2, $3) as b(kind, tenant_id)
                where not exists (select from recorded r where r.kind = b.kind and r.tenant_id = b.tenant_id)),
            fleet as (select id, kind, opened_at from fleet_incidents where resolved_at is null)
            select coalesce(l.kind, f.kind), (count(*) filter (where l.opened_at > now() - $1))::int, f.id,
                   (count(*) filter (where l.opened_at > f.opened_at - $1))::int
            from lasting l full join fleet f on f.kind = l.kind group by 1, f.id
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = Window });
        command.Parameters.Add(new NpgsqlParameter { Value = begun.Select(b => b.Kind.ToString()).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = begun.Select(b => b.TenantId).ToArray() });
        var counts = new List<Count>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            counts.Add(
                new(
                    Enum.Parse<IncidentKind>(reader.GetString(0)),
                    reader.GetInt32(1),
                    reader.IsDBNull(2) ? null : reader.GetGuid(2),
                    reader.GetInt32(3)
                )
            );
        }
        return counts;
    }

    private async Task OpenAsync(XenoDbContext db, IncidentKind kind, int stores, CancellationToken ct)
    {
        var id = Guid.CreateVersion7();
        await using var command = db.Command(
            """
            insert into fleet_incidents (id, kind, opened_at, stores) values ($1, $2, now(), $3) on conflict do nothing
            returning opened_at
            """
        );
        command.Parameters.Add(Sql.Uuid(id));
        command.Parameters.Add(Sql.Text(kind.ToString()));
        command.Parameters.Add(new NpgsqlParameter { Value = stores });
        if (await command.ExecuteScalarAsync(ct) is not DateTime openedAt)
            return;
        var hold = options.Value.FleetIncidentHoldMinutes;
        var letter = OperatorLetter.About(
            $"{Number(stores)} stores at once: {Letter.Title(kind)}",
            $"Since {At(openedAt)} this has begun in {Number(stores)} stores "
                + $"within {Number(options.Value.FleetIncidentWindowMinutes)} minutes. "
                + $"Mails to the people of these stores are held until it is over, {Number(hold)} minutes at most "
                + "each.",
            app.Value.At("operations")
        );
        await WriteAsync(db, id, isRecovery: false, letter, ct);
    }

    /// <summary>
    /// It is over when half as many stores are left as make one: a store more or less must not begin it anew.
    /// </summary>
    private async Task UpdateAsync(
        XenoDbContext db,
        Guid id,
        IncidentKind kind,
        int lasting,
        int threshold,
        CancellationToken ct
    )
    {
        var isOver = lasting * 2 < threshold;
        await using var command = db.Command(
            """
            update fleet_incidents set stores = greatest(stores, $2), resolved_at = case when $3 then now() end
            where id = $1 and resolved_at is null and ($3 or stores < $2) returning stores, opened_at
            """
        );
        command.Parameters.Add(Sql.Uuid(id));
        command.Parameters.Add(new NpgsqlParameter { Value = lasting });
        command.Parameters.Add(new NpgsqlParameter { Value = isOver });
        int stores;
        DateTime openedAt;
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            if (!await reader.ReadAsync(ct) || !isOver)
                return;
            (stores, openedAt) = (reader.GetInt32(0), reader.GetDateTime(1));
        }
        var letter = OperatorLetter.About(
            $"over in most of {Number(stores)} stores: {Letter.Title(kind)}",
            $"It began at {At(openedAt)} and was in {Number(stores)} stores at most; in {Number(lasting)} it lasts, "
                + "and their people are told now.",
            app.Value.At("operations")
        );
        await WriteAsync(db, id, isRecovery: true, letter, ct);
    }

    private async Task WriteAsync(
        XenoDbContext db,
        Guid id,
        bool isRecovery,
        OperatorLetter letter,
        CancellationToken ct
    )
    {
        foreach (var address in operators.Addresses)
        {
            await using var command = db.Command(
                """
                insert into operator_mails (id, fleet_incident_id, is_recovery, recipient, subject, text, html,
                    created_at, due_at, attempts)
                values ($1, $2, $3, $4, $5, $6, $7, now(), now(), 0) on conflict do nothing
                """
            );
            command.Parameters.Add(Sql.Uuid(Guid.CreateVersion7()));
            command.Parameters.Add(Sql.Uuid(id));
            command.Parameters.Add(new NpgsqlParameter { Value = isRecovery });
            foreach (var text in (string[])[address, letter.Subject, letter.Text, letter.Html])
                command.Parameters.Add(Sql.Text(text));
            await command.ExecuteNonQueryAsync(ct);
        }
    }

    private static string Number(int number) => number.ToString("N0", CultureInfo.InvariantCulture);

    private static string At(DateTime instant) =>
        instant.ToUniversalTime().ToString("d MMMM yyyy, HH:mm 'UTC'", CultureInfo.InvariantCulture);
}
