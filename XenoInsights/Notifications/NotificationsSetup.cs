using System.Net;
using System.Text;
using Microsoft.EntityFrameworkCore;
using MimeKit;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Hosting;

namespace XenoInsights.Notifications;

/// <summary>Telling people when something needs them: what is watched, who is told, and how mails leave.</summary>
public static class NotificationsSetup
{
    public static void AddNotifications(this WebApplicationBuilder builder)
    {
        builder
            .Services.AddCheckedOptions<SmtpOptions>(SmtpOptions.Section)
            .Validate(
                options => MailboxAddress.TryParse(options.From, out _),
                $"{SmtpOptions.Section}:{nameof(SmtpOptions.From)} is not a mail address."
            );
        builder.Services.AddCheckedOptions<NotificationOptions>(NotificationOptions.Section);
        builder
            .Services.AddSingleton<EmailOutbox>()
            .AddHostedService(services => services.GetRequiredService<EmailOutbox>())
            .AddSingleton<FleetIncidents>()
            .AddSingleton<IncidentDetector>()
            .AddScoped<Alerts>();
    }

    /// <summary>In Development, where no mail leaves the machine, the outbox shows what would have been sent.</summary>
    public static void MapNotifications(this WebApplication app)
    {
        if (!app.Environment.IsDevelopment())
            return;
        app.MapGet("/outbox", ListAsync).ExcludeFromDescription();
        app.MapGet("/outbox/{id:guid}", ShowAsync).ExcludeFromDescription();
    }

    private static async Task<IResult> ListAsync(SystemDatabase system, CancellationToken ct)
    {
        var mails = await system.RunAsync(
            db =>
                db.Mails.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    .OrderByDescending(m => m.CreatedAt)
                    .Take(100)
                    .ToListAsync(ct),
            ct
        );
        return NoticePage.Result(
            StatusCodes.Status200OK,
            "Outbox",
            mails.Count == 0
                ? "No mail was written yet. Mails are written when a run fails, Shopify refuses us, figures lag, "
                    + "Shopify goes silent or deliveries fail."
                : "Mails of this development installation, newest first.",
            mails.ConvertAll(m => new NoticeAction(
                m.Subject,
                $"/outbox/{m.Id}",
                $"To {m.Recipient}, {m.CreatedAt:yyyy-MM-dd HH:mm} UTC"
            ))
        );
    }

    private static async Task<IResult> ShowAsync(Guid id, SystemDatabase system, CancellationToken ct) =>
        await system.RunAsync(
            db => db.Mails.IgnoreQueryFilters([XenoDbContext.TenantFilter]).SingleOrDefaultAsync(m => m.Id == id, ct),
            ct
        )
            is { } mail
            ? Results.Content(
                mail.Html.Replace(
                        "<body ",
                        $"<title>{WebUtility.HtmlEncode(mail.Subject)}</title><body ",
                        StringComparison.Ordinal
                    )
                    .Replace(
                        "</body>",
                        "<pre style=\"max-width:520px;margin:24px auto;white-space:pre-wrap\">"
                            + $"{WebUtility.HtmlEncode(mail.Text)}</pre></body>",
                        StringComparison.Ordinal
                    ),
                "text/html; charset=utf-8",
                Encoding.UTF8
            )
            : Results.NotFound();
}

/// <summary>The entered store's incidents, and which mails a person wants.</summary>
public sealed class Alerts(XenoDatabase database, SystemDatabase system)
{
    /// <summary>Whether mails reach the person: their provider says that the address is theirs.</summary>
    public Task<bool> IsReachableAsync(Guid userId, CancellationToken ct) =>
        system.RunAsync(db => db.Users.AnyAsync(u => u.UserId == userId && u.Email != null && u.EmailVerified, ct), ct);

    /// <summary>Those that last first, then the newest.</summary>
    public Task<List<Incident>> IncidentsAsync(int limit, CancellationToken ct) =>
        database.InTenantAsync(
            db =>
                db.Incidents.AsNoTracking()
                    .OrderBy(i => i.ResolvedAt != null)
                    .ThenByDescending(i => i.OpenedAt)
                    .Take(limit)
                    .ToListAsync(ct),
            ct
        );

    public Task<HashSet<IncidentKind>> WantedAsync(Guid userId, CancellationToken ct) =>
        database.InTenantAsync(
            async db =>
            {
                var choices = await db
                    .NotificationPreferences.AsNoTracking()
                    .Where(c => c.UserId == userId)
                    .ToDictionaryAsync(c => c.Kind, c => c.Wanted, ct);
                return Enum.GetValues<IncidentKind>()
                    .Where(kind => choices.TryGetValue(kind, out var wanted) ? wanted : db.Role >= MemberRole.Admin)
                    .ToHashSet();
            },
            ct
        );

    public Task ChooseAsync(Guid userId, IncidentKind kind, bool wanted, CancellationToken ct) =>
        database.InTenantAsync(
            async db =>
            {
                if (
                    await db.NotificationPreferences.SingleOrDefaultAsync(
                        c => c.UserId == userId && c.Kind == kind,
                        ct
                    ) is
                    { } choice
                )
                    choice.Wanted = wanted;
                else
                    db.NotificationPreferences.Add(
                        new NotificationPreference
                        {
                            TenantId = db.TenantId!.Value,
                            UserId = userId,
                            Kind = kind,
                            Wanted = wanted,
                        }
                    );
                await db.SaveChangesAsync(ct);
            },
            ct
        );
}
