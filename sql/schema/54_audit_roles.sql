-- Roles that can do more than the boundary expects of them.
CREATE FUNCTION plio._audit_roles()
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $roles$
    WITH tenants AS MATERIALIZED (
        SELECT t.org, r.* FROM plio._tenant_schemas() t JOIN pg_authid r ON r.oid = t.role_oid
    ),
    entering AS MATERIALIZED (SELECT * FROM plio._entering_roles()),
    members AS MATERIALIZED (
        SELECT m.roleid, g.rolname AS group_name, g.rolsuper AS is_group_superuser, m.member, r.rolname AS member_name, r.rolcanlogin,
               r.rolsuper
          FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid JOIN pg_authid r ON r.oid = m.member
         -- PostgreSQL's own groups are members of each other.
         WHERE m.member >= 16384
           -- One without INHERIT, SET and ADMIN (16 and later; the columns are not there before) gives no right: it only lets
           -- pgaudit know who a tenant's statements are logged for.
           AND NOT coalesce(NOT m.admin_option AND NOT (to_jsonb(m) ->> 'inherit_option')::boolean
                            AND NOT (to_jsonb(m) ->> 'set_option')::boolean, false)
    )
    SELECT 'critical', 'application_superuser', NULL::text, quote_ident(r.rolname),
           format('%I may enter tenants as an application does, and is a superuser: without a tenant nothing stops it', r.rolname),
           format('ALTER ROLE %I NOSUPERUSER', r.rolname)
      FROM entering e JOIN pg_authid r ON r.oid = e.role_oid AND r.rolsuper
    UNION ALL
    SELECT 'info', 'superuser', NULL, quote_ident(r.rolname),
           format('%I may log in and is a superuser: no application may use it', r.rolname), NULL
      FROM pg_authid r
     WHERE r.rolsuper AND r.rolcanlogin AND r.oid >= 16384 AND r.oid NOT IN (SELECT role_oid FROM entering)
    UNION ALL
    SELECT 'warning', 'bypass_rls', NULL, quote_ident(r.rolname), format('%I passes by row level security', r.rolname),
           format('ALTER ROLE %I NOBYPASSRLS', r.rolname)
      FROM pg_authid r
     WHERE r.rolbypassrls AND r.rolcanlogin AND NOT r.rolsuper
    UNION ALL
    SELECT CASE WHEN r.oid IN (SELECT role_oid FROM entering) THEN 'critical' ELSE 'warning' END, 'replication_role', NULL,
           quote_ident(r.rolname),
           format('%I may replicate: it can copy the whole cluster, and decode what every tenant writes', r.rolname),
           format('ALTER ROLE %I NOREPLICATION', r.rolname)
      FROM pg_authid r WHERE r.rolreplication AND r.rolcanlogin AND NOT r.rolsuper
    UNION ALL
    -- From 16 on it gives only what the role was given with ADMIN.
    SELECT 'critical', 'create_role', NULL, quote_ident(r.rolname),
           format('%I has CREATEROLE, with which on PostgreSQL 15 it makes itself a member of any role that is no superuser, in another database of tenants'' and of plio_admin, too, and gives login roles other passwords',
                  r.rolname),
           format('ALTER ROLE %I NOCREATEROLE', r.rolname)
      FROM pg_authid r
     WHERE r.rolcreaterole AND NOT r.rolsuper AND current_setting('server_version_num')::integer < 160000
       AND (r.rolcanlogin
            OR EXISTS (SELECT FROM pg_authid m WHERE m.rolcanlogin AND NOT m.rolsuper AND pg_has_role(m.oid, r.oid, 'MEMBER')))
    UNION ALL
    SELECT 'critical', 'tenant_role_attributes', t.org, quote_ident(t.rolname),
           format('role %I of tenant "%s" has %s', t.rolname, t.org, concat_ws(', ',
                  CASE WHEN t.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN t.rolcreatedb THEN 'CREATEDB' END,
                  CASE WHEN t.rolreplication THEN 'REPLICATION' END, CASE WHEN t.rolbypassrls THEN 'BYPASSRLS' END)),
           format('SET plio.enforcement = off; ALTER ROLE %I NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS; RESET plio.enforcement',
                  t.rolname)
      FROM tenants t WHERE t.rolcreaterole OR t.rolcreatedb OR t.rolreplication OR t.rolbypassrls
    UNION ALL
    SELECT 'critical', 'tenant_role_member', t.org, quote_ident(m.member_name),
           format('%I is a member of %I, the role of tenant "%s": it can become the tenant without set_tenant',
                  m.member_name, t.rolname, t.org),
           format('REVOKE %I FROM %I', t.rolname, m.member_name)
      FROM members m JOIN tenants t ON t.oid = m.roleid
    UNION ALL
    SELECT 'critical', 'tenant_role_in_group', t.org, quote_ident(t.rolname),
           format('%I, the role of tenant "%s", is a member of %I, and has its rights inside the tenant',
                  t.rolname, t.org, m.group_name),
           format('REVOKE %I FROM %I', m.group_name, t.rolname)
      FROM members m JOIN tenants t ON t.oid = m.member WHERE m.group_name <> 'plio_tenant'
    UNION ALL
    SELECT 'critical', 'tenant_role_in_group', NULL, 'plio_tenant',
           format('plio_tenant, the group of all tenants'' roles, is a member of %I: each has its rights inside its tenant', m.group_name),
           format('REVOKE %I FROM plio_tenant', m.group_name)
      FROM members m WHERE m.member_name = 'plio_tenant'
    UNION ALL
    -- Whoever is a member can SET ROLE to it.
    SELECT 'critical', 'group_role_attributes', NULL, quote_ident(r.rolname),
           format('%I has %s: it is a group, and its members are to be no more than it says', r.rolname, concat_ws(', ',
                  CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcanlogin THEN 'LOGIN' END,
                  CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
                  CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END)),
           format('ALTER ROLE %I NOSUPERUSER NOLOGIN NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS', r.rolname)
      FROM pg_authid r
     WHERE r.rolname IN ('plio_admin', 'plio_auditor', 'plio_reporter', 'plio_tenant')
       AND (r.rolsuper OR r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)
    UNION ALL
    SELECT 'critical', 'superuser_member', NULL, quote_ident(m.member_name),
           format('%I is a member of %I, a superuser: SET ROLE makes it one', m.member_name, m.group_name),
           format('REVOKE %I FROM %I', m.group_name, m.member_name)
      FROM members m WHERE m.is_group_superuser AND NOT m.rolsuper
       AND m.group_name NOT IN ('plio_admin', 'plio_auditor', 'plio_reporter', 'plio_tenant')
    UNION ALL
    SELECT 'warning', 'tenant_group_member', NULL, quote_ident(m.member_name),
           format('%I may log in and is a member of plio_tenant: it has without a tenant what is shared with tenants', m.member_name),
           format('REVOKE plio_tenant FROM %I', m.member_name)
      FROM members m WHERE m.group_name = 'plio_tenant' AND m.rolcanlogin
    UNION ALL
    SELECT CASE WHEN m.member IN (SELECT role_oid FROM entering) THEN 'warning' ELSE 'info' END,
           'administrator', NULL, quote_ident(m.member_name),
           format('%I is a member of plio_admin: it reaches every tenant, and needs no grant of access', m.member_name),
           format('REVOKE plio_admin FROM %I', m.member_name)
      FROM members m WHERE m.group_name = 'plio_admin'
    UNION ALL
    -- From 16 on whoever makes a role has ADMIN OPTION on it.
    SELECT 'warning', 'administrator_maker', NULL, quote_ident(r.rolname),
           format('%I has ADMIN OPTION on %I, by which it can make itself an administrator', r.rolname, g.rolname),
           format('REVOKE ADMIN OPTION FOR %I FROM %I GRANTED BY %I CASCADE', g.rolname, r.rolname, pg_get_userbyid(a.grantor))
      FROM pg_auth_members a JOIN pg_authid g ON g.oid = a.roleid JOIN pg_authid r ON r.oid = a.member,
           CAST(to_regrole('plio_admin') AS oid) AS administrators
     WHERE a.admin_option AND NOT r.rolsuper AND NOT g.rolsuper AND g.oid <> administrators
       AND pg_has_role(g.oid, administrators, 'MEMBER') AND NOT pg_has_role(r.oid, administrators, 'USAGE')
    UNION ALL
    SELECT CASE WHEN m.group_name IN ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
                                      'pg_execute_server_program') THEN 'critical' ELSE 'warning' END,
           'predefined_role', NULL, quote_ident(m.member_name),
           format('%I is a member of %I: %s', m.member_name, m.group_name,
                  CASE WHEN m.group_name LIKE 'pg\_%\_all\_data' OR m.group_name = 'pg_maintain'
                       THEN 'what no hook sees (statistics, sequences, locks) is open to it'
                       WHEN m.group_name LIKE '%server%' THEN 'it reaches the server''s files'
                       WHEN m.group_name = 'pg_signal_backend' THEN 'it can end other tenants'' sessions'
                       WHEN m.group_name = 'pg_create_subscription' THEN 'it can have rows written by a background process'
                       ELSE 'it sees other sessions'' query texts' END),
           format('REVOKE %I FROM %I', m.group_name, m.member_name)
      FROM members m
     WHERE m.group_name IN ('pg_read_all_data', 'pg_write_all_data', 'pg_maintain', 'pg_read_server_files', 'pg_write_server_files',
                            'pg_execute_server_program', 'pg_signal_backend', 'pg_create_subscription', 'pg_monitor',
                            'pg_read_all_stats', 'pg_stat_scan_tables')
       AND NOT m.rolsuper AND m.member NOT IN (SELECT oid FROM tenants)
$roles$;
REVOKE ALL ON FUNCTION plio._audit_roles() FROM PUBLIC;
