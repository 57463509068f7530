namespace XenoInsights.Data;

public static partial class Walls
{
    /// <summary>
    /// What the migrations up to ProductMonths ran. Frozen, and not for new ones: it locks every table. <c>migrate</c> sets policies and
    /// grants itself, and only those that are not as <see cref="RowLevelSecurity"/> says.
    /// </summary>
    public const string Sql =
        """
        do $$
        declare
            role_name text;
            tenant_table text;
            system_grant record;
        begin
            foreach role_name in array array['xeno_app', 'xeno_system'] loop
                -- Roles belong to the cluster: another database, or an administrator, may have made and granted them.
                begin
                    if to_regrole(role_name) is null then execute format('create role %I nologin', role_name); end if;
                exception when duplicate_object or unique_violation then null; -- made by a concurrent migration
                end;
                begin
                    if not pg_has_role(current_user, role_name, case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) then execute format('grant %I to %I', role_name, current_user); end if;
                exception when unique_violation then null; -- granted by a concurrent migration
                end;
                execute format('grant usage on schema public to %I', role_name);
            end loop;

            for tenant_table in
                select c.relname from pg_class c
                join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
                where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
            loop
                execute format('alter table %I enable row level security', tenant_table);
                execute format('alter table %I force row level security', tenant_table);
                execute format('drop policy if exists tenant on %I', tenant_table);
                execute format('create policy tenant on %I to xeno_app using (tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid)', tenant_table);
                execute format('grant select, insert, update, delete on %I to xeno_app', tenant_table);
            end loop;
            -- A store's own row goes with everything else when Shopify asks for its erasure; new ones are the system's to make.
            revoke insert, update on shop_domains from xeno_app;
            if to_regclass('redactions') is not null then
                grant insert on redactions to xeno_app;
                grant select on redactions to xeno_system;
            end if;

            for system_grant in
                select * from (values
                    ('tenants', 'select, insert, update'),
                    ('shop_domains', 'select, insert, update'),
                    ('memberships', 'select, insert'),
                    ('sync_jobs', 'select, insert'),
                    ('incidents', 'select'),
                    ('mails', 'select, update'),
                    ('data_versions', 'select'),
                    ('shopify_credentials', 'select (tenant_id, access_token_expires_at)')) as g(table_name, privileges)
            loop
                continue when to_regclass(system_grant.table_name) is null; -- comes with a later migration
                execute format('drop policy if exists system on %I', system_grant.table_name);
                execute format('create policy system on %I to xeno_system using (true)', system_grant.table_name);
                execute format('grant %s on %I to xeno_system', system_grant.privileges, system_grant.table_name);
            end loop;
            grant select, insert, update on users, data_protection_keys to xeno_system;
            grant select, insert, update, delete on oauth_states to xeno_system;
        end
        $$;
        """;
}
