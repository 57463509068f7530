using Microsoft.EntityFrameworkCore;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Tests.Support;

namespace XenoInsights.Tests.Data;

/// <summary>
/// Each unit of work of a person looks up who they are and what they may do: whatever the code that asks was told
/// before.
/// </summary>
public sealed class MemberAccessTests(PostgresServer server)
{
    [Fact]
    public async Task A_role_is_what_it_is_when_the_work_begins()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        var caller = await stores.AddMemberAsync(shop.TenantId, MemberRole.Admin);
        var database = stores.InScopeOf(shop.TenantId, caller);

        Assert.Equal(MemberRole.Admin, await database.InTenantAsync(MemberRole.Admin, db => Task.FromResult(db.Role)));
        Assert.Equal(
            AccessDenial.RoleTooLow,
            await DeniedAsync(() => database.RequireAsync(MemberRole.Owner, default))
        );

        await ExecuteAsync(stores, $"update memberships set role = 'Viewer' where user_id = '{caller.UserId}'");
        Assert.Equal(MemberRole.Viewer, await database.InTenantAsync(db => Task.FromResult(db.Role)));
        Assert.Equal(
            AccessDenial.RoleTooLow,
            await DeniedAsync(() => database.RequireAsync(MemberRole.Admin, default))
        );
    }

    [Theory]
    [InlineData("delete from memberships where user_id = '{0}'")]
    [InlineData("delete from sessions where user_id = '{0}'")]
    [InlineData("delete from users where user_id = '{0}'")]
    [InlineData("update sessions set expires_at = now() where user_id = '{0}'")]
    [InlineData(
        "update sessions set user_id = (select user_id from users where user_id <> '{0}' limit 1) where user_id = '{0}'"
    )]
    public async Task Access_that_has_ended_runs_no_work_at_all(string end)
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        await stores.AddMemberAsync(shop.TenantId, MemberRole.Owner);
        var caller = await stores.AddMemberAsync(shop.TenantId, MemberRole.Owner);
        var database = stores.InScopeOf(shop.TenantId, caller);
        await database.RequireAsync(MemberRole.Owner, default);

        await ExecuteAsync(stores, string.Format(null, end, caller.UserId));

        var ran = false;
        Assert.Equal(
            AccessDenial.NoAccess,
            await DeniedAsync(() => database.InTenantAsync(_ => Task.FromResult(ran = true)))
        );
        Assert.Equal(
            AccessDenial.NoAccess,
            await DeniedAsync(() => database.DryRunAsync(MemberRole.Viewer, _ => Task.FromResult(ran = true), default))
        );
        Assert.Equal(
            AccessDenial.NoAccess,
            await DeniedAsync(() => database.AcrossTenantsAsync(_ => Task.FromResult(ran = true), default))
        );
        Assert.False(ran);
    }

    [Fact]
    public async Task A_member_of_one_store_has_no_access_to_another()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var (mine, other) = (await stores.AddAsync(), await stores.AddAsync());
        var caller = await stores.AddMemberAsync(mine.TenantId, MemberRole.Owner);
        await stores.AddMemberAsync(other.TenantId, MemberRole.Owner);

        Assert.Equal(
            AccessDenial.NoAccess,
            await DeniedAsync(() => stores.InScopeOf(other.TenantId, caller).RequireAsync(MemberRole.Viewer, default))
        );
    }

    [Fact]
    public async Task A_scope_works_for_one_person_and_one_store()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var (mine, other) = (await stores.AddAsync(), await stores.AddAsync());
        var (caller, somebody) = (await stores.AddPersonAsync(), await stores.AddPersonAsync());
        var context = new TenantContext();
        context.Enter(mine.TenantId, caller);

        Assert.Throws<InvalidOperationException>(() => context.Enter(other.TenantId, caller));
        Assert.Throws<InvalidOperationException>(() => context.Enter(mine.TenantId, somebody));
        Assert.Equal("mine", context.Unpack(context.Pack("mine")));
        Assert.Null(context.Unpack(new PageState<string>(somebody.UserId, mine.TenantId, "theirs")));
        Assert.Null(context.Unpack(new PageState<string>(caller.UserId, other.TenantId, "of another store")));
    }

    [Fact]
    public async Task Every_kind_of_work_has_limits_of_its_own_and_leaves_none_behind()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        var person = await stores.InScopeOfAsync(shop.TenantId);

        Assert.Equal("30s 5s 10s", await person.InTenantAsync(LimitsAsync));
        Assert.Equal("15min 1min 1min", await stores.Tenants.RunAsync(shop.TenantId, LimitsAsync));
        Assert.Equal("1min 10s 30s", await stores.System.RunAsync(LimitsAsync));
        Assert.Equal("0 0 0", await ScalarAsync(stores, "select " + Limits));
    }

    [Fact]
    public async Task The_client_waits_longer_for_a_jobs_command_than_the_server_lets_it_run()
    {
        await using var stores = await TestStores.CreateAsync(server);
        var shop = await stores.AddAsync();
        var person = await stores.InScopeOfAsync(shop.TenantId);

        // Otherwise a statement over all orders of a large store ends after half a minute, and begins again for ever.
        Assert.Equal((960, 960, 960), await stores.Tenants.RunAsync(shop.TenantId, ClientLimitsAsync));
        Assert.Equal((30, 30, null), await person.InTenantAsync(ClientLimitsAsync));
    }

    private static Task<(int Command, int Batch, int? Linq)> ClientLimitsAsync(XenoDbContext db)
    {
        using var command = db.Command("select 1");
        using var batch = db.NewBatch();
        return Task.FromResult((command.CommandTimeout, batch.Timeout, db.Database.GetCommandTimeout()));
    }

    [Fact]
    public async Task A_question_that_fails_leaves_its_connection_usable()
    {
        await using var stores = await TestStores.CreateAsync(server);
        for (var i = 0; i < 5; i++)
        {
            await Assert.ThrowsAsync<PostgresException>(() =>
                stores.System.QueryAsync("select 1 / 0", [], reader => reader.GetInt32(0), default)
            );
            await Assert.ThrowsAsync<PostgresException>(() =>
                stores.System.QueryAsync("select 1 from orders", [], reader => reader.GetInt32(0), default)
            );
            Assert.Equal(
                ["xeno_system"],
                await stores.System.QueryAsync("select current_user::text", [], reader => reader.GetString(0), default)
            );
        }
    }

    private const string Limits =
        "current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') || ' ' || "
        + "current_setting('idle_in_transaction_session_timeout')";

    private static Task<string> LimitsAsync(XenoDbContext db) =>
        db.Database.SqlQueryRaw<string>($"select {Limits} as \"Value\"").SingleAsync();

    private static async Task<AccessDenial> DeniedAsync(Func<Task> work) =>
        (await Assert.ThrowsAsync<AccessDeniedException>(work)).Reason;

    private static async Task ExecuteAsync(TestStores stores, string sql) => await ScalarAsync(stores, sql);

    private static async Task<string?> ScalarAsync(TestStores stores, string sql)
    {
        await using var connection = new NpgsqlConnection(stores.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return (string?)await command.ExecuteScalarAsync();
    }
}
