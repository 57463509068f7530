using System.Security.Cryptography;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using XenoInsights.Connect;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Ingestion.Rollups;
using XenoInsights.Tenants;

namespace XenoInsights.Operations;

/// <summary>
/// <c>XenoInsights verify</c>: whether a database, such as a restored one, is whole: roles, policies, grants,
/// migrations, indexes, keys, and each store's rollups against its ledger. Changes nothing, may run while the product
/// does. Ends with 0, or with 1 if anything is wrong.
/// </summary>
public static class VerifyCommand
{
    public const string Name = "verify";

    public static async Task<int> RunAsync(WebApplicationBuilder builder, DatabaseConnection database)
    {
        builder.Logging.ClearProviders();
        // Sums over a large store take as long as they take.
        builder.AddData(new NpgsqlConnectionStringBuilder(database.Direct) { CommandTimeout = 0 }.ConnectionString);
        builder.AddTokenVault();
        await using var services = builder.Services.BuildServiceProvider();
        try
        {
            return await new Verification(database.Direct, services, Console.Out).RunAsync(CancellationToken.None)
                ? 0
                : 1;
        }
        catch (NpgsqlException failure)
        {
            await Console.Error.WriteLineAsync($"{Name}: {failure.Message}");
            return 1;
        }
    }
}

/// <summary>
/// The checks of <see cref="VerifyCommand"/>, each with a line that says what was looked at, and a line for each thing
/// that is wrong.
/// </summary>
internal sealed class Verification(string connectionString, IServiceProvider services, TextWriter output)
{
    private const int Listed = 20;

    private readonly TenantDatabase _tenants = services.GetRequiredService<TenantDatabase>();
    private int _wrong;

    /// <returns>Whether nothing is wrong.</returns>
    public async Task<bool> RunAsync(CancellationToken ct)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync(ct);
        var rolesAreThere = await ReportAsync("Roles", await ListAsync(connection, WrongRoles, ct));
        var schemaIsThere = await ReportAsync("Migrations", await WrongMigrationsAsync(connection, ct));
        await ReportAsync("Owner of the tables", await ListAsync(connection, WrongOwners, ct));
        if (rolesAreThere)
            await ReportAsync(
                "Row-level security: policies and grants",
                await WrongRowLevelSecurityAsync(connection, ct)
            );
        if (schemaIsThere)
            await ReportAsync("Indexes", await WrongIndexesAsync(connection, ct));
        if (rolesAreThere && schemaIsThere)
            await CheckRowsAsync(ct);
        else
            await output.WriteLineAsync("Keys and rollups: not looked at until the above is mended");
        await output.WriteLineAsync(_wrong == 0 ? "Nothing is wrong." : $"{_wrong} things are wrong.");
        return _wrong == 0;
    }

    private async Task CheckRowsAsync(CancellationToken ct)
    {
        var stores = await services
            .GetRequiredService<SystemDatabase>()
            .RunAsync(
                db =>
                    db.Tenants.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                        .AsNoTracking()
                        .OrderBy(t => t.ShopDomain)
                        .ToListAsync(ct),
                ct
            );
        await ReportAsync("Keys of cookies", WrongCookieKeys());
        await ReportAsync("Encryption keys: tokens of stores", await WrongTokensAsync(stores, ct));
        await ReportAsync(
            $"Rollups of {stores.Count} stores against their ledgers",
            await WrongRollupsAsync(stores, ct)
        );
    }

    private async Task<bool> ReportAsync(string what, List<string> problems)
    {
        _wrong += problems.Count;
        await output.WriteLineAsync(problems.Count == 0 ? $"{what}: fine" : $"{what}: WRONG");
        foreach (var problem in problems.Take(Listed))
            await output.WriteLineAsync($"  {problem}");
        if (problems.Count > Listed)
            await output.WriteLineAsync($"  and {problems.Count - Listed} more");
        return problems.Count == 0;
    }

    private const string WrongRoles = """
        with needed as (select unnest(array['xeno_app', 'xeno_system']) name)
        select format('the role %s is missing: run `XenoInsights migrate`', name)
        from needed where to_regrole(name) is null
        union all
        select format('%s may not become %s: run `XenoInsights migrate`, or let a superuser grant %2$s to %1$s',
            current_user, name) from needed
        where case when to_regrole(name) is null then false
            else not pg_has_role(current_user, name, case when current_setting('server_version_num')::int >= 160000
                then 'set' else 'member' end) end
        union all
        select format('the role %s may do more than it must: '
            'alter role %1$s nologin nosuperuser nobypassrls nocreaterole nocreatedb', name)
        from needed join pg_roles r on r.rolname = name where rolcanlogin or rolsuper or rolbypassrls or rolcreaterole
            or rolcreatedb
        """;

    private const string WrongOwners = """
        select format('%s belongs to %s: as a superuser, alter table %1$I owner to %3$I', c.relname,
            c.relowner::regrole, current_user)
        from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
            and not pg_has_role(current_user, c.relowner, 'member')
        order by 1
        """;

    private static async Task<List<string>> WrongMigrationsAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        var applied = await Migrator.AppliedAsync(connection, ct);
        if (Schema.Known.Except(applied).Any())
            return [.. Schema.Known.Except(applied).Select(name => $"{name} is pending: run `XenoInsights migrate`")];
        await using var command = new NpgsqlCommand(
            "select migrations, required_migration from schema_info",
            connection
        );
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct))
            return ["the row of schema_info is missing: run `XenoInsights migrate`"];
        var required = await reader.IsDBNullAsync(1, ct) ? null : reader.GetString(1);
        return Schema.Mismatch(await reader.GetFieldValueAsync<string[]>(0, ct), required) is { } mismatch
            ? [mismatch]
            : [];
    }

    private static async Task<List<string>> WrongRowLevelSecurityAsync(
        NpgsqlConnection connection,
        CancellationToken ct
    ) =>
        (await RowLevelSecurity.DifferencesAsync(connection, ct)).ConvertAll(d =>
            $"{d.Table}: {d.Problem}: run `XenoInsights "
            + $"{(d.IsExcess ? UpgradeCommands.Finish : UpgradeCommands.Migrate)}`"
        );

    private async Task<List<string>> WrongIndexesAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        await using var db = Migrator.Context(connectionString);
        var missing = (await Indexes.MissingAsync(db, connection, ct)).Select(name => $"{name} is missing");
        var invalid = (await Indexes.InvalidAsync(connection, ct))
            .Order()
            .Select(name => $"{name} is invalid: its build was interrupted");
        return [.. missing.Concat(invalid).Select(problem => $"{problem}: run `XenoInsights migrate`")];
    }

    private List<string> WrongCookieKeys()
    {
        var problems = new List<string>();
        foreach (var key in services.GetRequiredService<IKeyManager>().GetAllKeys())
        {
            try
            {
                if (key.CreateEncryptor() is null)
                    problems.Add($"{key.KeyId} cannot be used: whoever signed in with it has to sign in again");
            }
            catch (Exception failure)
                when (failure is CryptographicException or InvalidOperationException or System.Xml.XmlException)
            {
                problems.Add(
                    $"{key.KeyId} cannot be read ({failure.Message}): whoever signed in with it has to sign in again"
                );
            }
        }
        return problems;
    }

    private async Task<List<string>> WrongTokensAsync(List<Tenant> stores, CancellationToken ct)
    {
        var problems = new List<string>();
        TokenEncryption vault;
        try
        {
            vault = services.GetRequiredService<TokenEncryption>();
        }
        catch (OptionsValidationException missing)
        {
            return [.. missing.Failures];
        }
        var tokens = 0;
        foreach (var store in stores)
        {
            var credential = await _tenants.RunAsync(
                store.TenantId,
                db => db.ShopifyCredentials.AsNoTracking().SingleOrDefaultAsync(ct),
                ct
            );
            foreach (var (column, token) in Tokens(credential))
            {
                tokens++;
                try
                {
                    vault.Open(store.TenantId, column, token);
                }
                catch (CryptographicException failure)
                {
                    problems.Add($"{store.ShopDomain}: {column} does not open: {failure.Message}");
                }
            }
        }
        await output.WriteLineAsync($"{tokens - problems.Count} of {tokens} stored tokens open with a configured key");
        return problems;
    }

    private static IEnumerable<(string Column, byte[] Token)> Tokens(ShopifyCredential? credential)
    {
        if (credential is null)
            yield break;
        yield return (AccessTokens.AccessTokenColumn, credential.AccessToken);
        if (credential.RefreshToken is { } refresh)
            yield return (AccessTokens.RefreshTokenColumn, refresh);
    }

    private async Task<List<string>> WrongRollupsAsync(List<Tenant> stores, CancellationToken ct)
    {
        var problems = new List<string>();
        foreach (var store in stores)
        {
            var differences = await _tenants.RunAsync(
                store.TenantId,
                db => LedgerRollups.DifferencesAsync(db, store.TenantId, ct),
                ct
            );
            if (differences.Count > 0)
                problems.Add($"{store.ShopDomain}: {string.Join("; ", differences.Take(3))}");
        }
        return problems;
    }

    private static async Task<List<string>> ListAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
        var rows = new List<string>();
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            rows.Add(reader.GetString(0));
        return rows;
    }
}
