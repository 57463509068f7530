using Npgsql;

namespace XenoInsights.Data;

/// <summary>
/// What the two roles may do: policies and grants of every table, declared here and nowhere else. <c>migrate</c>
/// compares the database's catalog with it and touches only what is not so; <c>verify</c> tells the differences.
/// </summary>
/// <remarks>
/// Each table with a <c>tenant_id</c> is a tenant table by that alone: forced row-level security, one policy for
/// <see cref="DatabaseRoles.Tenant"/>, and all four verbs for it. Everything else is listed below.
/// </remarks>
internal static class RowLevelSecurity
{
    private const string App = DatabaseRoles.Tenant,
        System = DatabaseRoles.System;

    /// <summary>A role may do <paramref name="Privileges"/> on a table, or on the named columns of it only.</summary>
    private sealed record Grant(string Role, string Table, string Privileges, string? Columns = null);

    /// <summary>A tenant table gets a policy for the system role with its first grant.</summary>
    private static readonly Grant[] _grants =
    [
        new(System, "tenants", "select, insert, update"),
        new(System, "shop_domains", "select, insert, update"),
        new(System, "memberships", "select, insert"),
        new(System, "sync_jobs", "select, insert"),
        new(System, "incidents", "select"),
        new(System, "mails", "select, update"),
        new(System, "data_versions", "select"),
        new(System, "shopify_credentials", "select", "tenant_id, access_token_expires_at"),
        // Stores deliveries and finds work; what they say it may not read.
        new(System, "events", "insert"),
        new(
            System,
            "events",
            "select",
            "tenant_id, webhook_id, topic, status, due_at, received_at, applied_at, attempts, payload_dropped_at"
        ),
        new(System, "refetch_requests", "select"),
        // Of no tenant.
        new(System, "users", "select, insert, update"),
        new(System, "data_protection_keys", "select, insert, update"),
        new(System, "oauth_states", "select, insert, update, delete"),
        new(System, "sessions", "select, insert, update, delete"),
        new(System, "fleet_incidents", "select, insert, update, delete"),
        new(System, "operator_mails", "select, insert, update, delete"),
        new(System, "scheduled_runs", "select, insert, update"),
        new(System, "redactions", "select"),
        new(App, "redactions", "insert"),
        new(System, "schema_info", "select"),
        new(App, "schema_info", "select"),
    ];

    /// <summary>
    /// A store's domain goes with everything else when Shopify asks for its erasure; new ones are the system's to make.
    /// </summary>
    private const string NotForTheApp = "(('shop_domains', 'insert'), ('shop_domains', 'update'))";

    private const string OwnTenant =
        "(tenant_id = (NULLIF(current_setting(''app.tenant_id''::text, true), ''''::text))::uuid)";

    /// <summary>
    /// Makes the roles and lets the login become them. Roles belong to the server: another database, or an
    /// administrator, may have made and granted them.
    /// </summary>
    public const string Roles = """
        do $$
        declare
            role_name text;
            needed text := case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end;
        begin
            foreach role_name in array array['xeno_app', 'xeno_system'] loop
                begin
                    if to_regrole(role_name) is null then execute format('create role %I nologin', role_name); end if;
                exception when duplicate_object or unique_violation then null; -- made by a concurrent migration
                end;
                begin
                    if not pg_has_role(current_user, role_name, needed) then
                        execute format('grant %I to %I', role_name, current_user);
                    end if;
                exception when unique_violation then null; -- granted by a concurrent migration
                end;
                if not has_schema_privilege(role_name, 'public', 'usage') then
                    execute format('grant usage on schema public to %I', role_name);
                end if;
            end loop;
        end
        $$;
        """;

    /// <summary>
    /// Something that is not as declared, the SQL that mends it, and whether it is a right too many: taking that away
    /// is only safe once no older version runs that may need it.
    /// </summary>
    public sealed record Difference(string Table, string Problem, string Repair, bool IsExcess);

    /// <summary>
    /// Compares the catalog with what is declared here; the roles must exist. Reads the catalog only, so it waits for
    /// no one.
    /// </summary>
    public static async Task<List<Difference>> DifferencesAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        var differences = new List<Difference>();
        await using var command = new NpgsqlCommand(Query, connection);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            differences.Add(new(reader.GetString(0), reader.GetString(1), reader.GetString(2), reader.GetBoolean(3)));
        return differences;
    }

    private static string Declared =>
        string.Join(
            ",\n        ",
            _grants.Select(g =>
                $"('{g.Role}', '{g.Table}', '{g.Privileges}', {(g.Columns is null ? "null" : $"'{g.Columns}'")})"
            )
        );

    // In the order in which a table must get them: closed first, then opened for its tenant.
    private static string Query =>
        $"""
            with declared(role, relation, privileges, columns) as (values
                    {Declared}),
            tables as (
                select c.oid, c.relname::text relation, c.relrowsecurity, c.relforcerowsecurity,
                    a.attnum is not null has_tenant
                from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
                    and not a.attisdropped
                where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')),
            policies as (
                select relation, 'tenant' name, '{App}' role, '{OwnTenant}' predicate from tables where has_tenant
                union
                select relation, 'system', '{System}', 'true' from tables join declared using (relation)
                where has_tenant and role = '{System}'),
            stored_policies as (
                select t.relation, p.polname::text name,
                       (select string_agg(coalesce(r.rolname, 'public'), ', ') from unnest(p.polroles) o
                           left join pg_roles r on r.oid = o) role,
                       pg_get_expr(p.polqual, p.polrelid) predicate, p.polcmd = '*' and p.polpermissive
                           and p.polwithcheck is null plain
                from pg_policy p join tables t on t.oid = p.polrelid),
            grants as (
                select '{App}' role, relation, privilege, null::text col
                from tables cross join unnest(array['select', 'insert', 'update', 'delete']) privilege
                where has_tenant and (relation, privilege) not in {NotForTheApp}
                union
                select d.role, d.relation, privilege, col
                from declared d join tables t using (relation)
                cross join unnest(string_to_array(d.privileges, ', ')) privilege
                left join unnest(string_to_array(d.columns, ', ')) col on true
                where col is null or exists (select from pg_attribute
                    where attrelid = t.oid and attname = col and not attisdropped)),
            stored_grants as (
                select coalesce(r.rolname::text, 'public') role, c.relname::text relation,
                    lower(acl.privilege_type) privilege, null::text col
                from pg_class c cross join aclexplode(c.relacl) acl left join pg_roles r on r.oid = acl.grantee
                where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
                    and (acl.grantee = 0 or r.rolname in ('{App}', '{System}'))
                union
                select coalesce(r.rolname::text, 'public'), c.relname::text, lower(acl.privilege_type), a.attname::text
                from pg_class c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped
                cross join aclexplode(a.attacl) acl left join pg_roles r on r.oid = acl.grantee
                where c.relnamespace = 'public'::regnamespace
                    and (acl.grantee = 0 or r.rolname in ('{App}', '{System}')))
            select relation, problem, repair, excess from (
                select 1 step, relation, 'row-level security is not ' || what problem,
                       format('alter table %I %s row level security', relation, verb) repair, false excess
                from tables cross join (values ('enabled', 'enable'), ('forced', 'force')) as v(what, verb)
                where has_tenant and not case verb when 'enable' then relrowsecurity else relforcerowsecurity end
                union all
                select 2, p.relation,
                    format('the policy %s for %s is %s', p.name,
                        p.role, case when s.name is null then 'missing' else 'not as it must be' end),
                    format('drop policy if exists %I on %I; create policy %I on %I to %I using (%s)', p.name,
                        p.relation, p.name, p.relation, p.role, p.predicate),
                    false
                from policies p left join stored_policies s using (relation, name)
                where s.name is null or s.role <> p.role or s.predicate is distinct from p.predicate or not s.plain
                union all
                select 3, s.relation, format('there is a policy %s for %s that nothing here needs', s.name,
                    s.role), format('drop policy %I on %I', s.name, s.relation), true
                from stored_policies s left join policies p using (relation, name) where p.name is null
                union all
                select 4, relation, format('%s may not %s%s', role, privilege, coalesce(' ' || col, '')),
                    format('grant %s %s on %I to %I', privilege, coalesce('(' || quote_ident(col) || ')', ''),
                        relation, role),
                    false
                from (select * from grants except select * from stored_grants) missing
                union all
                select 5, relation,
                    format('%s may %s%s, which nothing here needs', role, privilege, coalesce(' ' || col, '')),
                    format('revoke %s %s on %I from %s', privilege,
                        coalesce('(' || quote_ident(col) || ')', ''), relation, quote_ident(role)),
                    true
                from (select * from stored_grants except select * from grants) excess) differences
            order by relation, step, problem
            """;
}
