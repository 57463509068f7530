using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;

namespace XenoInsights.Tests.Support;

/// <summary>A database of its own with the product's ways into it, for tests below the web.</summary>
public sealed class TestStores : IAsyncDisposable
{
    private readonly TestDatabase _database;
    private readonly TenantTransactions _transactions;
    private long _shopIds;

    private TestStores(TestDatabase database)
    {
        _database = database;
        _transactions = new TenantTransactions(database.ConnectionString, NullLoggerFactory.Instance);
        Tenants = new TenantDatabase(_transactions);
        System = new SystemDatabase(_transactions);
    }

    public static async Task<TestStores> CreateAsync(PostgresServer server) => new(await server.CreateDatabaseAsync());

    public TenantDatabase Tenants { get; }
    public SystemDatabase System { get; }
    public string ConnectionString => _database.ConnectionString;

    /// <summary>
    /// The way in of a request or circuit that has entered the given tenant as one of its members, or none.
    /// </summary>
    public async Task<XenoDatabase> InScopeOfAsync(Guid? tenantId, MemberRole role = MemberRole.Viewer) =>
        tenantId is { } id
            ? InScopeOf(id, await AddMemberAsync(id, role))
            : new XenoDatabase(_transactions, new TenantContext());

    public XenoDatabase InScopeOf(Guid tenantId, Caller caller)
    {
        var context = new TenantContext();
        context.Enter(tenantId, caller);
        return new XenoDatabase(_transactions, context);
    }

    /// <summary>A new person with a living session, who is a member of the store.</summary>
    public async Task<Caller> AddMemberAsync(Guid tenantId, MemberRole role)
    {
        var caller = await AddPersonAsync();
        await System.RunAsync(async db =>
        {
            db.Memberships.Add(
                new()
                {
                    TenantId = tenantId,
                    UserId = caller.UserId,
                    Role = role,
                    CreatedAt = DateTimeOffset.UnixEpoch,
                }
            );
            await db.SaveChangesAsync();
        });
        return caller;
    }

    /// <summary>A new person with a living session.</summary>
    public async Task<Caller> AddPersonAsync()
    {
        var caller = new Caller(Guid.CreateVersion7(), Guid.CreateVersion7());
        var began = TimeProvider.System.GetUtcNow();
        var ends = began.AddDays(1);
        await System.RunAsync(async db =>
        {
            db.Users.Add(
                new()
                {
                    UserId = caller.UserId,
                    Issuer = "test",
                    Subject = caller.UserId.ToString(),
                    CreatedAt = began,
                    LastSignInAt = began,
                }
            );
            db.Sessions.Add(
                new()
                {
                    SessionId = caller.SessionId,
                    KeyHash = RandomNumberGenerator.GetBytes(32),
                    UserId = caller.UserId,
                    CreatedAt = began,
                    LastUsedAt = began,
                    ExpiresAt = ends,
                    EndsAt = ends,
                }
            );
            await db.SaveChangesAsync();
        });
        return caller;
    }

    public async Task<StoreCalendar> AddAsync(string currency = "GBP", string timeZone = "Europe/London")
    {
        var shopId = Interlocked.Increment(ref _shopIds);
        var tenant = new Tenant
        {
            TenantId = Guid.CreateVersion7(),
            ShopId = shopId,
            ShopDomain = $"shop-{shopId}.myshopify.com",
            Name = $"Shop {shopId}",
            Currency = currency,
            TimeZone = timeZone,
            Status = TenantStatus.Connected,
            ConnectedAt = DateTimeOffset.UnixEpoch,
        };
        await System.RunAsync(async db =>
        {
            db.Tenants.Add(tenant);
            await db.SaveChangesAsync();
        });
        return new StoreCalendar(tenant.TenantId, currency, timeZone);
    }

    public Task<ApplyResult> ApplyAsync(StoreCalendar shop, params IngestRecord[] batch) =>
        Tenants.RunAsync(shop.TenantId, db => IngestionWriter.ApplyAsync(db, shop, batch));

    public Task<IReadOnlyList<string>> RollupDifferencesAsync(StoreCalendar shop) =>
        Tenants.RunAsync(shop.TenantId, db => LedgerRollups.DifferencesAsync(db, shop.TenantId));

    public async ValueTask DisposeAsync()
    {
        await _transactions.DisposeAsync();
        await _database.DisposeAsync();
    }
}
