using System.Linq.Expressions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;
using XenoInsights.Authentication;
using XenoInsights.Compliance;
using XenoInsights.Connect;
using XenoInsights.Hosting;
using XenoInsights.Ingestion;
using XenoInsights.Notifications;
using XenoInsights.Sync;
using XenoInsights.Sync.Reconciliation;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Data;

/// <summary>
/// Belongs to one tenant: gets the tenant query filter here and row-level security in the database, both by convention.
/// </summary>
public interface ITenantOwned
{
    Guid TenantId { get; }
}

/// <summary>
/// The whole model. Contexts are made by <see cref="TenantDatabase"/> and <see cref="SystemDatabase"/> only, inside a
/// transaction under row-level security. New migration: <c>dotnet ef migrations add Name --project XenoInsights
/// --output-dir Data/Migrations</c>.
/// </summary>
public sealed class XenoDbContext : DbContext
{
    /// <summary>Names of the query filters; a filter is taken off by its name, never all at once.</summary>
    public const string TenantFilter = "Tenant",
        DeletedFilter = "Deleted";

    internal XenoDbContext(DbContextOptions<XenoDbContext> options, TransactionStart start)
        : base(options)
    {
        Start = start;
        if (start.CommandTimeout is { } seconds)
            Database.SetCommandTimeout(seconds);
    }

    /// <summary>The tenant this context may see; null sees no tenant's rows.</summary>
    public Guid? TenantId => Start.TenantId;

    /// <summary>
    /// What the person who asks is in this store, looked up when the transaction began; null where no person asks.
    /// </summary>
    public MemberRole? Role { get; internal set; }

    /// <summary>How each of this context's transactions begins.</summary>
    internal TransactionStart Start { get; }

    public DbSet<Tenant> Tenants => Set<Tenant>();
    public DbSet<Membership> Memberships => Set<Membership>();
    public DbSet<ShopDomain> ShopDomains => Set<ShopDomain>();
    public DbSet<DataVersion> DataVersions => Set<DataVersion>();
    public DbSet<User> Users => Set<User>();
    public DbSet<UserSession> Sessions => Set<UserSession>();
    public DbSet<ShopifyCredential> ShopifyCredentials => Set<ShopifyCredential>();
    public DbSet<OAuthState> OAuthStates => Set<OAuthState>();
    public DbSet<Order> Orders => Set<Order>();
    public DbSet<OrderLineItem> OrderLineItems => Set<OrderLineItem>();
    public DbSet<OrderSale> OrderSales => Set<OrderSale>();
    public DbSet<Refund> Refunds => Set<Refund>();
    public DbSet<RefundLineItem> RefundLineItems => Set<RefundLineItem>();
    public DbSet<Customer> Customers => Set<Customer>();
    public DbSet<Product> Products => Set<Product>();
    public DbSet<Checkout> Checkouts => Set<Checkout>();
    public DbSet<CheckoutLineItem> CheckoutLineItems => Set<CheckoutLineItem>();
    public DbSet<OrderEntry> OrderEntries => Set<OrderEntry>();
    public DbSet<SalesDay> SalesDays => Set<SalesDay>();
    public DbSet<ProductDay> ProductDays => Set<ProductDay>();
    public DbSet<ProductMonth> ProductMonths => Set<ProductMonth>();
    public DbSet<CustomerDay> CustomerDays => Set<CustomerDay>();
    public DbSet<CustomerTotal> CustomerTotals => Set<CustomerTotal>();
    public DbSet<CustomerReturn> CustomerReturns => Set<CustomerReturn>();
    public DbSet<Event> Events => Set<Event>();
    public DbSet<RefetchRequest> RefetchRequests => Set<RefetchRequest>();
    public DbSet<ErasedPerson> ErasedPeople => Set<ErasedPerson>();
    public DbSet<Redaction> Redactions => Set<Redaction>();
    public DbSet<DataRequest> DataRequests => Set<DataRequest>();
    public DbSet<SyncJob> SyncJobs => Set<SyncJob>();
    public DbSet<SyncWatermark> SyncWatermarks => Set<SyncWatermark>();
    public DbSet<Incident> Incidents => Set<Incident>();
    public DbSet<Mail> Mails => Set<Mail>();
    public DbSet<FleetIncident> FleetIncidents => Set<FleetIncident>();
    public DbSet<OperatorMail> OperatorMails => Set<OperatorMail>();
    public DbSet<NotificationPreference> NotificationPreferences => Set<NotificationPreference>();
    public DbSet<ReconciledDay> ReconciledDays => Set<ReconciledDay>();
    public DbSet<ReconciledCount> ReconciledCounts => Set<ReconciledCount>();
    public DbSet<SchemaInfo> SchemaInfo => Set<SchemaInfo>();
    public DbSet<BackfillProgress> Backfills => Set<BackfillProgress>();
    public DbSet<DataProtectionKey> DataProtectionKeys => Set<DataProtectionKey>();
    public DbSet<ScheduledRun> ScheduledRuns => Set<ScheduledRun>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.ApplyConfigurationsFromAssembly(typeof(XenoDbContext).Assembly);
        foreach (
            var entity in modelBuilder.Model.GetEntityTypes().Where(e => e.ClrType.IsAssignableTo(typeof(ITenantOwned)))
        )
            modelBuilder.Entity(entity.ClrType).HasQueryFilter(TenantFilter, IsOwnTenant(entity.ClrType));
    }

    // entity => (Guid?)entity.TenantId == this.TenantId; reading the context's own property keeps the cached model free
    // of any tenant.
    private LambdaExpression IsOwnTenant(Type entityType)
    {
        var entity = Expression.Parameter(entityType, "entity");
        var owner = Expression.Convert(Expression.Property(entity, nameof(ITenantOwned.TenantId)), typeof(Guid?));
        return Expression.Lambda(
            Expression.Equal(owner, Expression.Property(Expression.Constant(this), nameof(TenantId))),
            entity
        );
    }
}

/// <summary>Lets <c>dotnet ef</c> build the model without booting the product.</summary>
internal sealed class DesignTimeContextFactory : IDesignTimeDbContextFactory<XenoDbContext>
{
    public XenoDbContext CreateDbContext(string[] args) =>
        new(
            new DbContextOptionsBuilder<XenoDbContext>()
                .UseNpgsql("Host=localhost;Database=design")
                .UseSnakeCaseNamingConvention()
                .Options,
            TransactionStart.ForNobody
        );
}
