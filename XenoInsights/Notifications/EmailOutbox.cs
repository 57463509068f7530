using System.ComponentModel.DataAnnotations;
using MailKit.Net.Smtp;
using MailKit.Security;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using MimeKit;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Queues;
using XenoInsights.Tenants;

namespace XenoInsights.Notifications;

/// <summary>
/// Section <c>Smtp</c>. Without a host nothing is sent: in Development mails are looked at under <c>/outbox</c>,
/// elsewhere they are on record as not sent.
/// </summary>
public sealed class SmtpOptions
{
    public const string Section = "Smtp";

    public string? Host { get; set; }

    [Range(1, 65535, ErrorMessage = CheckedOptions.Range)]
    public int Port { get; set; } = 587;
    public string? User { get; set; }
    public string? Password { get; set; }

    /// <summary>StartTls, SslOnConnect or None.</summary>
    [AllowedValues("StartTls", "SslOnConnect", "None", ErrorMessage = "must be StartTls, SslOnConnect or None.")]
    public string Security { get; set; } = "StartTls";
    public string From { get; set; } = "XenoInsights <no-reply@localhost>";
}

/// <summary>Section <c>Notifications</c>.</summary>
public sealed class NotificationOptions
{
    public const string Section = "Notifications";

    /// <summary>How long a delivery may wait before people are told that figures lag behind.</summary>
    [Range(1, 1440, ErrorMessage = CheckedOptions.Range)]
    public int LagMinutes { get; set; } = 5;

    /// <summary>The pause after the first failed attempt to send; it doubles with each further one, up to an hour.</summary>
    [Range(0.1, 3600, ErrorMessage = CheckedOptions.Range)]
    public double RetrySeconds { get; set; } = 15;

    /// <summary>In so many stores at least the same kind of incident is one for operators.</summary>
    [Range(2, 1_000_000, ErrorMessage = CheckedOptions.Range)]
    public int FleetIncidentStores { get; set; } = 10;

    /// <summary>And in this share of the connected stores at least, in per cent.</summary>
    [Range(0, 100, ErrorMessage = CheckedOptions.Range)]
    public int FleetIncidentPercent { get; set; } = 5;

    /// <summary>Within how many minutes it has to begin in them.</summary>
    [Range(1, 1440, ErrorMessage = CheckedOptions.Range)]
    public int FleetIncidentWindowMinutes { get; set; } = 15;

    /// <summary>How long the mails to the people of these stores are held at most, each store's from its beginning.</summary>
    [Range(0, 10_080, ErrorMessage = CheckedOptions.Range)]
    public int FleetIncidentHoldMinutes { get; set; } = 60;
}

/// <summary>
/// Sends the mails that are due. Several instances may: a mail belongs to whoever moved its due time ahead. One that
/// dies between sending and noting it sends again, under the same Message-ID.
/// </summary>
internal sealed class EmailOutbox(
    SystemDatabase system,
    IOptions<SmtpOptions> smtp,
    IOptions<NotificationOptions> options,
    IHostEnvironment environment,
    TimeProvider time,
    ILogger<EmailOutbox> logger
) : BackgroundService
{
    private const int MaxAttempts = 10;
    private static readonly TimeSpan _poll = TimeSpan.FromSeconds(2),
        _lease = TimeSpan.FromMinutes(2),
        _longestPause = TimeSpan.FromHours(1);

    /// <param name="TenantId">Null: a mail to an operator, which belongs to no store.</param>
    private sealed record Due(
        Guid? TenantId,
        Guid Id,
        string To,
        string Subject,
        string Text,
        string Html,
        int Attempts
    );

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (string.IsNullOrEmpty(smtp.Value.Host) && !environment.IsDevelopment())
            logger.LogWarning("Smtp:Host is not set: nobody is told by mail when something goes wrong");
        try
        {
            while (true)
            {
                try
                {
                    await SendDueAsync(stoppingToken);
                }
                catch (Exception failure) when (!stoppingToken.IsCancellationRequested)
                {
                    logger.LogWarning(failure, "Sending mails failed");
                }
                await Task.Delay(_poll, time, stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Stopping.
        }
    }

    /// <summary>One after the other, each claimed by itself: a slow server then keeps no mail past its lease.</summary>
    private async Task SendDueAsync(CancellationToken ct)
    {
        using var client = new SmtpClient { Timeout = (int)(_lease / 4).TotalMilliseconds };
        while (await ClaimAsync(ct) is { } mail)
        {
            if (string.IsNullOrEmpty(smtp.Value.Host))
            {
                await NoteAsync(
                    mail,
                    environment.IsDevelopment() ? "sent_at = now()" : "given_up_at = now()",
                    environment.IsDevelopment() ? null : "No mail server is configured (Smtp:Host)."
                );
                continue;
            }
            try
            {
                await SendAsync(client, mail, ct);
            }
            catch (Exception failure) when (!ct.IsCancellationRequested)
            {
                logger.LogWarning(failure, "Sending mail {Mail} failed, attempt {Attempt}", mail.Id, mail.Attempts);
                await RescheduleAsync(mail, failure.Message);
                if (client.IsConnected)
                    await client.DisconnectAsync(quit: false, CancellationToken.None);
                continue;
            }
            await NoteAsync(mail, "sent_at = now()", null);
        }
        if (client.IsConnected)
            await client.DisconnectAsync(quit: true, ct);
    }

    /// <summary>Null when none is due. Who is no longer a member of the store is told nothing more.</summary>
    private Task<Due?> ClaimAsync(CancellationToken ct) =>
        system.RunAsync(
            async db =>
            {
                await using var leave = db.Command(
                    """
                    update mails set given_up_at = now(), last_error = 'No longer a member of the store.'
                    where sent_at is null and given_up_at is null and due_at <= now() and not exists (
                        select 1 from memberships m where m.tenant_id = mails.tenant_id and m.user_id = mails.user_id)
                    """
                );
                await leave.ExecuteNonQueryAsync(ct);
                // Operators first: theirs is one mail where the stores' people may get thousands.
                return await ClaimAsync(
                        db,
                        """
                        update operator_mails m set due_at = now() + $1, attempts = m.attempts + 1
                        from (select id from operator_mails
                            where sent_at is null and given_up_at is null and due_at <= now()
                            order by due_at limit 1 for update skip locked) due
                        where m.id = due.id
                        returning null::uuid, m.id, m.recipient, m.subject, m.text, m.html, m.attempts
                        """,
                        ct
                    )
                    ?? await ClaimAsync(
                        db,
                        """
                        update mails m set due_at = now() + $1, attempts = m.attempts + 1
                        from (select tenant_id, id from mails
                            where sent_at is null and given_up_at is null and due_at <= now()
                            order by due_at limit 1 for update skip locked) due
                        where m.tenant_id = due.tenant_id and m.id = due.id
                        returning m.tenant_id, m.id, m.recipient, m.subject, m.text, m.html, m.attempts
                        """,
                        ct
                    );
            },
            ct
        );

    private static async Task<Due?> ClaimAsync(XenoDbContext db, string sql, CancellationToken ct)
    {
        await using var command = db.Command(sql);
        command.Parameters.Add(new NpgsqlParameter { Value = _lease });
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct))
            return null;
        return new Due(
            reader.IsDBNull(0) ? null : reader.GetGuid(0),
            reader.GetGuid(1),
            reader.GetString(2),
            reader.GetString(3),
            reader.GetString(4),
            reader.GetString(5),
            reader.GetInt32(6)
        );
    }

    private async Task SendAsync(SmtpClient client, Due mail, CancellationToken ct)
    {
        var settings = smtp.Value;
        if (!client.IsConnected)
        {
            await client.ConnectAsync(
                settings.Host!,
                settings.Port,
                settings.Security switch
                {
                    "None" => SecureSocketOptions.None,
                    "SslOnConnect" => SecureSocketOptions.SslOnConnect,
                    _ => SecureSocketOptions.StartTls,
                },
                ct
            );
        }
        if (settings.User is { } user && !client.IsAuthenticated)
            await client.AuthenticateAsync(user, settings.Password ?? "", ct);
        var from = MailboxAddress.Parse(settings.From);
        var message = new MimeMessage { Subject = mail.Subject, MessageId = $"{mail.Id:n}@{from.Domain}" };
        message.From.Add(from);
        message.To.Add(MailboxAddress.Parse(mail.To));
        message.Headers.Add("Auto-Submitted", "auto-generated");
        message.Body = new BodyBuilder { TextBody = mail.Text, HtmlBody = mail.Html }.ToMessageBody();
        await client.SendAsync(message, ct);
    }

    private Task RescheduleAsync(Due mail, string error)
    {
        if (mail.Attempts >= MaxAttempts)
            return NoteAsync(mail, "given_up_at = now()", error);
        var pause = new Backoff(TimeSpan.FromSeconds(options.Value.RetrySeconds), _longestPause).After(mail.Attempts);
        return NoteAsync(
            mail,
            FormattableString.Invariant($"due_at = now() + interval '{pause.TotalSeconds:0.000} seconds'"),
            error
        );
    }

    /// <summary>Also while stopping: what was sent must not be sent again.</summary>
    private Task NoteAsync(Due mail, string change, string? error) =>
        system.RunAsync(async db =>
        {
            var table = mail.TenantId is null ? "operator_mails" : "mails";
            var ofStore = mail.TenantId is null ? "" : " and tenant_id = $3";
            await using var command = db.Command(
                $"update {table} set {change}, last_error = $2 where id = $1{ofStore}"
            );
            command.Parameters.Add(Sql.Uuid(mail.Id));
            command.Parameters.Add(Sql.Text(error));
            if (mail.TenantId is { } tenantId)
                command.Parameters.Add(Sql.Uuid(tenantId));
            await command.ExecuteNonQueryAsync();
        });
}

/// <summary>Mails are of no use after a month, and incidents after a year.</summary>
internal sealed class PurgeEmails(SystemDatabase system, TenantDatabase tenants, ILogger<PurgeEmails> logger)
    : Quartz.IJob
{
    public async ValueTask Execute(Quartz.IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        await system.RunAsync(
            db =>
                db.Database.ExecuteSqlAsync(
                    $"""
                    delete from operator_mails where created_at < now() - interval '30 days';
                    delete from fleet_incidents where resolved_at < now() - interval '365 days'
                    """,
                    cancellationToken
                ),
            cancellationToken
        );
        var stores = await StoresAsync(cancellationToken);
        await stores.ForEachTenantAsync(
            (store, ct) =>
                tenants.RunAsync(
                    store,
                    db =>
                        db.ExecuteAsync(
                            [
                                new NpgsqlBatchCommand(
                                    "delete from mails where tenant_id = $1 and created_at < now() - interval '30 days'"
                                )
                                {
                                    Parameters = { Sql.Uuid(store) },
                                },
                                new NpgsqlBatchCommand(
                                    """
                                    delete from incidents
                                    where tenant_id = $1 and resolved_at < now() - interval '365 days'
                                    """
                                )
                                {
                                    Parameters = { Sql.Uuid(store) },
                                },
                            ],
                            ct
                        ),
                    ct
                ),
            logger,
            "Deleting old mails and incidents",
            cancellationToken
        );
    }

    private Task<List<Guid>> StoresAsync(CancellationToken ct) =>
        system.RunAsync(
            db =>
                db.Database.SqlQuery<Guid>(
                        $"""
                        select tenant_id from mails where created_at < now() - interval '30 days'
                        union
                        select tenant_id from incidents where resolved_at < now() - interval '365 days'
                        """
                    )
                    .ToListAsync(ct),
            ct
        );
}
