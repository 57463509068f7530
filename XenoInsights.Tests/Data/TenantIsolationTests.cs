using Microsoft.EntityFrameworkCore;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Ingestion;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Data;

/// <summary>
/// Row-level security, seen from the database: what the roles may do is asked of every table there is, not of a list
/// that someone keeps.
/// </summary>
public sealed class TenantIsolationTests(PostgresServer server)
{
    /// <summary>Tables of no tenant; anything else without a <c>tenant_id</c> is a mistake.</summary>
    private static readonly string[] _global =
    [
        "__EFMigrationsHistory",
        "data_protection_keys",
        "fleet_incidents",
        "oauth_states",
        "operator_mails",
        "redactions",
        "scheduled_runs",
        "schema_info",
        "sessions",
        "users",
    ];

    /// <summary>
    /// Keys that must be unique across tenants: the look-up that finds the tenant in the first place.
    /// </summary>
    private static readonly string[] _globalKeys = ["pk_shop_domains"];

    [Fact]
    public async Task Every_table_has_a_tenant_or_is_known_to_be_global()
    {
        await using var stores = await TestStores.CreateAsync(server);
        Assert.Equal(
            _global.Order(),
            (
                await ListAsync(
                    stores,
                    """
                    select relname::text from pg_class c where relnamespace = 'public'::regnamespace
                        and relkind in ('r', 'p')
                        and not exists (select from pg_attribute where attrelid = c.oid and attname = 'tenant_id')
                    """
                )
            ).Order()
        );
        Assert.Contains("orders", await TenantTablesAsync(stores));
    }

    [Fact]
    public async Task Every_tenant_table_forces_row_security_with_the_tenants_predicate()
    {
        await using var stores = await TestStores.CreateAsync(server);
        foreach (var table in await TenantTablesAsync(stores))
        {
            Assert.Equal(
                ["true"],
                await ListAsync(
                    stores,
                    $"""
                    select (relrowsecurity and relforcerowsecurity)::text from pg_class where oid = '{table}'::regclass
                    """
                )
            );
            Assert.Equal(
                ["(tenant_id = (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid)"],
                await ListAsync(
                    stores,
                    $"""
                    select pg_get_expr(polqual, polrelid) from pg_policy
                    where polrelid = '{table}'::regclass and 'xeno_app'::regrole = any(polroles)
                    """
                )
            );
        }
    }

    [Fact]
    public async Task Keys_of_tenant_tables_begin_with_the_tenant()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var keys = await ListAsync(
            stores,
            """
            select i.relname::text from pg_index x join pg_class i on i.oid = x.indexrelid
            join pg_attribute a on a.attrelid = x.indrelid and a.attname = 'tenant_id'
            where (x.indisunique or x.indisprimary) and i.relnamespace = 'public'::regnamespace
                and x.indkey[0] <> a.attnum
            """
        );
        Assert.Equal(_globalKeys.Order(), keys.Order());
    }

    [Fact]
    public async Task The_roles_own_nothing_and_cannot_step_over_the_walls()
    {
        await using var stores = await TestStores.CreateAsync(server);
        Assert.Equal(
            ["xeno_app", "xeno_system"],
            await ListAsync(
                stores,
                "select rolname::text from pg_roles where rolname like 'xeno\\_%' and not (rolsuper or "
                    + "rolbypassrls or rolcreaterole or rolcreatedb or rolcanlogin) order by 1"
            )
        );
        Assert.Empty(
            await ListAsync(
                stores,
                "select relname::text from pg_class where relowner in ('xeno_app'::regrole, 'xeno_system'::regrole)"
            )
        );
        Assert.Empty(await ListAsync(stores, "select policyname::text from pg_policies where 'public' = any(roles)"));
    }

    /// <summary>
    /// table × verb × whose tenant is entered. COPY is a verb: it does not pass through EF's filter.
    /// </summary>
    [Theory]
    [InlineData("own", 1)]
    [InlineData("foreign", 0)]
    [InlineData("none", 0)]
    [InlineData("garbage", 0)]
    public async Task Rows_are_reached_only_as_their_own_tenant(string entered, int reachable)
    {
        await using var stores = await TestStores.CreateAsync(server);
        var mine = (await stores.AddAsync()).TenantId;
        var other = (await stores.AddAsync()).TenantId;
        var tables = await TenantTablesAsync(stores);
        foreach (var table in tables)
            await InsertSampleAsync(stores, table, mine);

        var enter = entered switch
        {
            "own" => TransactionStart.ForJob(mine).Sql,
            "foreign" => TransactionStart.ForJob(other).Sql,
            "none" => $"set local role {DatabaseRoles.Tenant}",
            _ => $"set local role {DatabaseRoles.Tenant}; set local app.tenant_id = "
                + "'00000000-0000-0000-0000-00000000000g'",
        };
        foreach (var table in tables)
        {
            Assert.Equal(reachable, await RowsAsync(stores, enter, $"select from {table} where tenant_id = '{mine}'"));
            Assert.Equal(
                reachable,
                await RowsAsync(stores, enter, $"copy (select 1 from {table} where tenant_id = '{mine}') to stdout")
            );
            if (table == "shop_domains")
                continue; // the app may only read it
            Assert.Equal(
                reachable,
                await RowsAsync(stores, enter, $"update {table} set tenant_id = tenant_id where tenant_id = '{mine}'")
            );
            if (reachable == 0)
                Assert.Equal(0, await RowsAsync(stores, enter, $"insert into {table} select * from {table} limit 0"));
            Assert.Equal(reachable == 1 ? -1 : 0, await DeleteOrRefusedAsync(stores, enter, table, mine));
        }
    }

    [Fact]
    public async Task Rows_cannot_be_written_for_another_tenant_nor_moved_to_one()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var mine = (await stores.AddAsync()).TenantId;
        var other = (await stores.AddAsync()).TenantId;
        foreach (var table in (await TenantTablesAsync(stores)).Where(t => t is not ("shop_domains" or "tenants")))
        {
            await InsertSampleAsync(stores, table, mine);
            var moved = await Assert.ThrowsAsync<PostgresException>(() =>
                RowsAsync(stores, TransactionStart.ForJob(mine).Sql, $"update {table} set tenant_id = '{other}'")
            );
            Assert.Equal(PostgresErrorCodes.InsufficientPrivilege, moved.SqlState);
            var written = await Assert.ThrowsAsync<PostgresException>(() =>
                InsertSampleAsync(stores, table, mine, TransactionStart.ForJob(other).Sql)
            );
            Assert.Equal(PostgresErrorCodes.InsufficientPrivilege, written.SqlState);
            var copied = await Assert.ThrowsAsync<PostgresException>(() =>
                RowsAsync(stores, TransactionStart.ForJob(mine).Sql, $"copy {table} from stdin")
            );
            Assert.Contains("row-level security", copied.MessageText, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task The_system_role_reaches_only_what_its_grants_list()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var granted = await ListAsync(
            stores,
            """
            select table_name || ' ' || lower(string_agg(privilege_type, ',' order by privilege_type))
            from information_schema.role_table_grants where grantee = 'xeno_system' group by table_name order by 1
            """
        );
        Assert.Equal(
            [
                "data_protection_keys insert,select,update",
                "data_versions select",
                "events insert",
                "fleet_incidents delete,insert,select,update",
                "incidents select",
                "mails select,update",
                "memberships insert,select",
                "oauth_states delete,insert,select,update",
                "operator_mails delete,insert,select,update",
                "redactions select",
                "refetch_requests select",
                "scheduled_runs insert,select,update",
                "schema_info select",
                "sessions delete,insert,select,update",
                "shop_domains insert,select,update",
                "sync_jobs insert,select",
                "tenants insert,select,update",
                "users insert,select,update",
            ],
            granted
        );
        var refused = await Assert.ThrowsAsync<PostgresException>(() =>
            stores.System.RunAsync(db => db.Orders.IgnoreQueryFilters([XenoDbContext.TenantFilter]).CountAsync())
        );
        Assert.Equal(PostgresErrorCodes.InsufficientPrivilege, refused.SqlState);
        await Assert.ThrowsAsync<PostgresException>(() =>
            stores.System.RunAsync(db =>
                db.ShopifyCredentials.IgnoreQueryFilters([XenoDbContext.TenantFilter])
                    .Select(c => c.AccessToken)
                    .ToListAsync()
            )
        );
    }

    [Fact]
    public async Task The_query_filter_alone_hides_foreign_rows_and_the_database_alone_does_too()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var (mine, other) = (await stores.AddAsync(), await stores.AddAsync());
        await stores.ApplyAsync(
            mine,
            new ProductRecord
            {
                ShopifyId = 1,
                UpdatedAt = DateTimeOffset.UnixEpoch,
                CreatedAt = DateTimeOffset.UnixEpoch,
                Title = "Mine",
            }
        );

        Assert.Equal(
            1,
            await (await stores.InScopeOfAsync(mine.TenantId)).InTenantAsync(db => db.Products.CountAsync())
        );
        Assert.Equal(
            0,
            await (await stores.InScopeOfAsync(other.TenantId)).InTenantAsync(db => db.Products.CountAsync())
        );
        Assert.Equal(
            0,
            await (await stores.InScopeOfAsync(other.TenantId)).InTenantAsync(db =>
                db.Products.IgnoreQueryFilters([XenoDbContext.TenantFilter]).CountAsync()
            )
        );
        Assert.Equal(
            0,
            await (await stores.InScopeOfAsync(other.TenantId)).InTenantAsync(db =>
                db.Database.SqlQueryRaw<int>("select count(*)::int as \"Value\" from products").SingleAsync()
            )
        );
        Assert.Equal(
            0,
            await (await stores.InScopeOfAsync(null)).InTenantAsync(db =>
                db.Products.IgnoreQueryFilters([XenoDbContext.TenantFilter]).CountAsync()
            )
        );
    }

    [Fact]
    public async Task A_command_outside_a_transaction_throws_and_every_transaction_has_a_role()
    {
        await using var stores = await TestStores.CreateAsync(server);
        await stores.Tenants.RunAsync(
            Guid.NewGuid(),
            async db =>
            {
                await db.Database.RollbackTransactionAsync();
                await Assert.ThrowsAsync<InvalidOperationException>(() => db.Products.CountAsync());
                Assert.Throws<InvalidOperationException>(() => db.Products.Count());
                await db.Database.BeginTransactionAsync();
                Assert.Equal(
                    DatabaseRoles.Tenant,
                    await db.Database.SqlQueryRaw<string>("select current_user::text as \"Value\"").SingleAsync()
                );
            }
        );
    }

    [Fact]
    public void Only_the_data_slice_opens_connections_and_nobody_takes_all_filters_off()
    {
        // The embedded PostgreSQL of development is asked whether it answers, and `verify` reads the catalogue as the login.
        string[] others = ["/Data/", "/Development/Postgres/EmbeddedPostgres.cs", "/Operations/VerifyCommand.cs"];
        var sources = Repository
            .Sources("XenoInsights")
            .Where(f => !others.Any(other => f.Path.Contains(other, StringComparison.Ordinal)))
            .ToList();
        Assert.True(sources.Count > 20);
        Assert.DoesNotContain(
            sources,
            f =>
                f.Text.Contains("NpgsqlDataSource", StringComparison.Ordinal)
                || f.Text.Contains("new NpgsqlConnection(", StringComparison.Ordinal)
        );
        Assert.DoesNotContain(
            Repository.Sources("XenoInsights"),
            f => f.Text.Contains("IgnoreQueryFilters()", StringComparison.Ordinal)
        );
    }

    private static Task<List<string>> TenantTablesAsync(TestStores stores) =>
        ListAsync(
            stores,
            """
            select relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid
                and attname = 'tenant_id' where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
            order by 1
            """
        );

    /// <summary>
    /// A row of the given tenant with a value of each column's type. Written by the superuser, unless a role is
    /// entered.
    /// </summary>
    private static async Task InsertSampleAsync(
        TestStores stores,
        string table,
        Guid tenantId,
        string enter = "set local session_replication_role = replica"
    )
    {
        if (table == "tenants" && enter.Contains("replica", StringComparison.Ordinal))
            return; // the store itself made this row
        var columns = await ListAsync(
            stores,
            $"""
            select attname || ' ' || atttypid::regtype from pg_attribute
            where attrelid = '{table}'::regclass and attnum > 0 and not attisdropped
            """
        );
        var values = columns
            .Select(c => c.Split(' ', 2))
            .Select(c =>
                (
                    Name: c[0],
                    Value: c[0] == "tenant_id"
                        ? $"'{tenantId}'"
                        : c[1] switch
                        {
                            "uuid" => "gen_random_uuid()",
                            "bigint" or "integer" or "smallint" => "7",
                            "boolean" => "true",
                            "date" => "current_date",
                            "timestamp with time zone" => "now()",
                            "bytea" => "'\\x00'",
                            "jsonb" or "bigint[]" => "'{}'",
                            "text" => "'sample'",
                            var type => throw new InvalidOperationException($"No sample for {type}."),
                        }
                )
            )
            .ToList();
        await RowsAsync(
            stores,
            enter,
            $"""
            insert into {table} ({string.Join(", ", values.Select(v => v.Name))})
            values ({string.Join(", ", values.Select(v => v.Value))})
            """,
            commit: true
        );
    }

    // Some tables are referred to by others; refused for that reason is reached all the same.
    private static async Task<int> DeleteOrRefusedAsync(TestStores stores, string enter, string table, Guid tenantId)
    {
        var rows = await RowsAsync(stores, enter, $"delete from {table} where tenant_id = '{tenantId}'");
        return rows > 0 ? -1 : 0;
    }

    private static async Task<int> RowsAsync(TestStores stores, string enter, string sql, bool commit = false)
    {
        await using var connection = new NpgsqlConnection(stores.ConnectionString);
        await connection.OpenAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var command = new NpgsqlCommand(enter, connection, transaction))
            await command.ExecuteNonQueryAsync();
        try
        {
            var rows = 0;
            if (sql.StartsWith("copy", StringComparison.Ordinal) && sql.EndsWith("to stdout", StringComparison.Ordinal))
            {
                using var export = await connection.BeginTextExportAsync(sql);
                while (await export.ReadLineAsync() is not null)
                    rows++;
                return rows;
            }
            if (sql.StartsWith("copy", StringComparison.Ordinal))
            {
                await using var import = await connection.BeginTextImportAsync(sql);
                return 0;
            }
            await using var work = new NpgsqlCommand(sql, connection, transaction);
            if (sql.StartsWith("select", StringComparison.Ordinal))
            {
                await using var reader = await work.ExecuteReaderAsync();
                while (await reader.ReadAsync())
                    rows++;
            }
            else
                rows = await work.ExecuteNonQueryAsync();
            if (commit)
                await transaction.CommitAsync();
            return rows;
        }
        catch (PostgresException garbage) when (garbage.SqlState == PostgresErrorCodes.InvalidTextRepresentation)
        {
            return 0; // a setting that is no uuid reaches nothing at all
        }
    }

    private static async Task<List<string>> ListAsync(TestStores stores, string sql)
    {
        var rows = new List<string>();
        await using var connection = new NpgsqlConnection(stores.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync())
            rows.Add(reader.GetString(0));
        return rows;
    }
}
