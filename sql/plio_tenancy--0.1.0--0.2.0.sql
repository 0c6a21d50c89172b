-- plio_tenancy: from 0.1.0 to 0.2.0. Written by hand: what sql/schema/ changed since the release, in an order that works.
-- tests/tests/upgrade.rs holds it to a fresh 0.2.0 by a comparison of the catalogs.
\echo Use "ALTER EXTENSION plio_tenancy UPDATE TO '0.2.0'" to load this file. \quit

-- who: access is the role's, by its oid
CREATE FUNCTION plio."_cluster"() RETURNS bigint
    STRICT STABLE PARALLEL SAFE LANGUAGE c AS 'MODULE_PATHNAME', '_cluster_wrapper';
REVOKE ALL ON FUNCTION plio._cluster() FROM PUBLIC;
CREATE FUNCTION plio."repair"() RETURNS TABLE ("action" text, "old_name" text, "role_name" text, "org" text)
    STRICT VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
    LANGUAGE c AS 'MODULE_PATHNAME', 'repair_wrapper';
REVOKE ALL ON FUNCTION plio.repair() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio.repair() TO plio_admin;
COMMENT ON FUNCTION plio.repair() IS
    'Ties access and tenants to this cluster''s roles, after a restore or after roles were renamed elsewhere; one row for each thing done';

ALTER TABLE plio.access ADD COLUMN role_oid oid, ADD COLUMN cluster bigint;
COMMENT ON COLUMN plio.access.role_name IS 'The name of the role that may enter, and with it its members';
COMMENT ON COLUMN plio.access.role_oid IS 'The role itself: renamed, it keeps its access';
COMMENT ON COLUMN plio.access.cluster IS 'The cluster in which the role has that oid (system_identifier of pg_control_system()); in another one plio.repair() ties the row by name';
-- 0.1.0 went by the name, of a role that stands in the schema's access list.
UPDATE plio.access a SET role_oid = r.oid, cluster = plio._cluster()
  FROM pg_catalog.pg_roles r, pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) e
 WHERE r.rolname OPERATOR(pg_catalog.=) a.role_name AND n.nspname OPERATOR(pg_catalog.=) 'plio'
   AND e.grantee OPERATOR(pg_catalog.=) r.oid;

-- Whom each row of plio.access is for, as cache.rs decides it: tied (by oid), fits (another cluster's, with the same name and
-- oid here), untied (another cluster's, or of release 0.1.0) or gone. The oid is null in the last two.
CREATE FUNCTION plio._access_ties() RETURNS TABLE (role_name text, org text, role_oid oid, present_name text, state text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.role_name, a.org, CASE WHEN t.state IN ('tied', 'fits') THEN o.oid END, o.rolname::text, t.state
      FROM plio.access a
      LEFT JOIN pg_roles o ON o.oid = a.role_oid
     CROSS JOIN LATERAL (SELECT CASE WHEN a.cluster = plio._cluster() THEN CASE WHEN o.oid IS NULL THEN 'gone' ELSE 'tied' END
                                     WHEN o.rolname = a.role_name THEN 'fits' ELSE 'untied' END) t (state)
$$;
REVOKE ALL ON FUNCTION plio._access_ties() FROM PUBLIC;

CREATE OR REPLACE FUNCTION plio._entering_roles() RETURNS TABLE (role_oid oid, role_name name)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
AS $$
    WITH RECURSIVE entering (oid) AS (
        SELECT a.role_oid FROM plio._access_ties() a WHERE a.role_oid IS NOT NULL
        UNION
        SELECT m.member FROM entering e JOIN pg_catalog.pg_auth_members m ON m.roleid OPERATOR(pg_catalog.=) e.oid
    )
    SELECT r.oid, r.rolname FROM entering e JOIN pg_catalog.pg_authid r ON r.oid OPERATOR(pg_catalog.=) e.oid
$$;

CREATE OR REPLACE FUNCTION plio.health()
RETURNS TABLE (severity text, finding text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $health$
    WITH loading AS (
        -- Not by the setting: only superusers may read it, and the installer may be none any more.
        SELECT plio._loaded_as() AS how, plio._loaded_as() = 'shared' AS is_shared,
               EXISTS (SELECT 1 FROM pg_db_role_setting s, unnest(s.setconfig) c
                        WHERE s.setrole = 0 AND c LIKE 'session\_preload\_libraries=%' AND c LIKE '%plio_tenancy%'
                          AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())) AS is_session
    ),
    findings (severity, finding, detail, fix) AS (
        SELECT 'info', 'loading', format('loaded in this session as: %s', how),
               CASE WHEN is_shared THEN NULL
                    ELSE 'shared_preload_libraries is better where a restart is possible' END
          FROM loading WHERE is_shared OR is_session
        UNION ALL
        SELECT 'critical', 'not_preloaded',
               'neither shared_preload_libraries nor the database''s session_preload_libraries names plio_tenancy',
               format('ALTER DATABASE %I SET session_preload_libraries = ''plio_tenancy''', current_database())
          FROM loading WHERE NOT (is_shared OR is_session)
        UNION ALL
        SELECT 'critical', 'loaded_late', 'this session ran before the library was loaded',
               'connect again; if it stays so, look for session_preload_libraries in pg_db_role_setting'
          FROM loading WHERE how = 'late'
        UNION ALL
        SELECT 'critical', 'preload_overridden',
               format('role %s has its own session_preload_libraries without plio_tenancy', s.setrole::regrole),
               format('ALTER ROLE %s RESET session_preload_libraries', s.setrole::regrole)
          FROM pg_db_role_setting s, unnest(s.setconfig) c, loading
         WHERE s.setrole <> 0 AND NOT is_shared
           AND (s.setdatabase = 0 OR s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
           AND c LIKE 'session\_preload\_libraries=%' AND c NOT LIKE '%plio_tenancy%'
           -- A role's setting for all databases gives way to the database's own.
           AND (s.setdatabase <> 0 OR NOT is_session)
        UNION ALL
        SELECT 'info', 'denials_log_only',
               'no shared memory: denials are in the server''s log alone, and nothing is counted',
               'add plio_tenancy to shared_preload_libraries and restart'
         WHERE NOT EXISTS (SELECT 1 FROM plio._shared_totals())
        UNION ALL
        SELECT 'warning', 'denials_overrun',
               format('%s denials are no longer in plio.denials, which reaches back to %s only', s.overwritten, s.oldest),
               format('raise plio.denials_ring_size (now %s) and restart; the server''s log has all of them', s.ring_size)
          FROM plio._shared_totals() s
         WHERE s.ring_size > 0 AND s.overwritten > 0 AND (s.oldest IS NULL OR s.oldest > now() - interval '1 hour')
           AND current_setting('plio.denials_flush_interval', true) = '0'
        UNION ALL
        SELECT 'warning', 'denials_flush_off',
               'plio.denials_flush_interval is set, but without shared memory there is nothing to write',
               'add plio_tenancy to shared_preload_libraries and restart'
         WHERE current_setting('plio.denials_flush_interval', true) <> '0'
           AND NOT EXISTS (SELECT 1 FROM plio._shared_totals() s WHERE s.ring_size > 0)
        UNION ALL
        SELECT 'info', 'denials_flush_waits', 'a standby writes no plio.denials_history: its own denials wait in the ring until it is promoted',
               NULL
         WHERE current_setting('plio.denials_flush_interval', true) <> '0' AND pg_is_in_recovery()
        UNION ALL
        SELECT 'warning', 'denials_flush_stopped', 'the process that writes plio.denials_history is not running',
               format('look for "plio_tenancy denials launcher" in the server''s log; max_worker_processes is %s', current_setting('max_worker_processes'))
          FROM plio._flush_state() f, plio._shared_totals() s
         WHERE current_setting('plio.denials_flush_interval', true) <> '0' AND s.ring_size > 0
           AND NOT f.is_running AND NOT pg_is_in_recovery()
        UNION ALL
        SELECT 'warning', 'denials_flush_fails',
               format('%s databases of the cluster could not be written to at the last attempt; the last success elsewhere: %s',
                   f.failing, coalesce(f.last_success::text, 'none')),
               'look for "plio_tenancy denials worker" in the server''s log; max_worker_processes must leave room for one'
          FROM plio._flush_state() f WHERE f.failing > 0
        UNION ALL
        SELECT 'warning', 'denials_lost',
               format('%s denials were overwritten before they were written to plio.denials_history', f.lost),
               'raise plio.denials_ring_size and restart, or lower plio.denials_flush_interval'
          FROM plio._flush_state() f WHERE f.lost > 0
        UNION ALL
        SELECT 'warning', 'denials_history_full',
               format('plio.denials_history has about %s rows: no more are written', c.rows),
               'raise plio.denials_history_rows, or lower plio.denials_history_retention'
          FROM (SELECT GREATEST(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid)) AS rows
                  FROM pg_class c WHERE c.oid = 'plio.denials_history'::regclass) c
         WHERE current_setting('plio.denials_history_rows', true)::bigint BETWEEN 1 AND c.rows
        UNION ALL
        SELECT 'warning', 'tenants_uncounted',
               format('%s transactions and denials were counted for no tenant: there are counters for %s tenants of the cluster',
                   s.uncounted, current_setting('plio.counted_tenants')),
               'raise plio.counted_tenants and restart'
          FROM plio._shared_totals() s WHERE s.uncounted > 0 AND current_setting('plio.counted_tenants') <> '0'
        UNION ALL
        SELECT 'critical', 'enforcement_off', 'plio.enforcement is off in this session: nothing is refused',
               'RESET plio.enforcement, and look for it in pg_db_role_setting and the configuration file'
         WHERE current_setting('plio.enforcement') = 'off'
        UNION ALL
        SELECT 'warning', 'enforcement_report', 'plio.enforcement is report in this session: what would be refused is only logged',
               'set plio.enforcement to on once the log is quiet: look for it in pg_db_role_setting and the configuration file'
         WHERE current_setting('plio.enforcement') = 'report'
        UNION ALL
        SELECT 'warning', 'one_layer', format('tenant "%s" has no role of its own: only the access check holds', t.org),
               format('SELECT plio.assign_role(%L)', t.org)
          FROM plio.tenants t WHERE t.role_name IS NULL
        UNION ALL
        SELECT 'critical', 'event_trigger_disabled', format('event trigger %s is missing or not enabled always', wanted.name),
               format('ALTER EVENT TRIGGER %s ENABLE ALWAYS', wanted.name)
          FROM (VALUES ('plio_ddl_command_end'), ('plio_sql_drop')) wanted (name)
          LEFT JOIN pg_event_trigger t ON t.evtname = wanted.name AND t.evtenabled = 'A'
         WHERE t.oid IS NULL
        UNION ALL
        SELECT 'critical', 'registry_trigger_disabled',
               format('trigger tell_every_backend on plio.%s is missing or not enabled always', wanted.name),
               format('ALTER TABLE plio.%s ENABLE ALWAYS TRIGGER tell_every_backend', wanted.name)
          FROM (VALUES ('tenants'), ('access'), ('shares')) wanted (name)
          LEFT JOIN pg_trigger t ON t.tgname = 'tell_every_backend' AND t.tgenabled = 'A'
                AND t.tgrelid = format('plio.%I', wanted.name)::regclass
         WHERE t.oid IS NULL
        UNION ALL
        SELECT 'critical', 'missing_group', format('role %s does not exist', wanted.name),
               format('CREATE ROLE %s NOLOGIN', wanted.name)
          FROM (VALUES ('plio_admin'), ('plio_auditor'), ('plio_reporter'), ('plio_tenant')) wanted (name)
         WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted.name)
        UNION ALL
        SELECT 'critical', 'missing_schema', format('tenant "%s" has no schema %I', t.org, t.schema_name),
               format('restore the schema, or SELECT plio.drop_tenant(%L, %L)', t.org, t.org)
          FROM plio.tenants t WHERE NOT EXISTS (SELECT 1 FROM pg_namespace n WHERE n.nspname = t.schema_name)
        UNION ALL
        SELECT 'critical', 'missing_role', format('tenant "%s" has no role %I', t.org, t.role_name),
               format('CREATE ROLE %I NOLOGIN IN ROLE plio_tenant; ALTER SCHEMA %I OWNER TO %I', t.role_name, t.schema_name, t.role_name)
          FROM plio.tenants t
         WHERE t.role_name IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = t.role_name)
        UNION ALL
        SELECT 'critical', 'tenant_role_can_login', format('role %I of tenant "%s" may log in', t.role_name, t.org),
               format('SET plio.enforcement = off; ALTER ROLE %I NOLOGIN NOSUPERUSER; RESET plio.enforcement', t.role_name)
          FROM plio.tenants t JOIN pg_roles r ON r.rolname = t.role_name AND (r.rolcanlogin OR r.rolsuper)
        UNION ALL
        SELECT DISTINCT 'warning', 'stale_access', format('access of role %I is without effect: the role is gone, or has no right on schema plio', a.role_name),
               format('SELECT plio.grant_access(%L, ...) again, or DELETE FROM plio.access WHERE role_name = %L', a.role_name, a.role_name)
          FROM plio._access_ties() a
         WHERE a.state = 'gone'
            OR (a.role_oid IS NOT NULL AND NOT EXISTS (
               SELECT 1 FROM pg_namespace n, aclexplode(n.nspacl) e WHERE n.nspname = 'plio' AND e.grantee = a.role_oid))
        UNION ALL
        SELECT DISTINCT 'warning', 'untied_access',
               format('access of role %I is tied to no role of this cluster: granted in another one, or kept by name alone by release 0.1.0; it is without effect', a.role_name),
               'SELECT * FROM plio.repair() ties access to the roles that have these names here'
          FROM plio._access_ties() a WHERE a.state = 'untied'
        UNION ALL
        SELECT 'info', 'access_of_another_cluster',
               format('%s rows of plio.access were granted in another cluster; name and oid of their roles are the same here', count(*)),
               'SELECT * FROM plio.repair() makes them this cluster''s, so that they follow their roles'
          FROM plio._access_ties() a WHERE a.state = 'fits' HAVING count(*) > 0
        UNION ALL
        SELECT DISTINCT 'info', 'role_renamed', format('role %I of plio.access is called %I now, renamed in another database', a.role_name, a.present_name),
               'SELECT * FROM plio.repair() brings the names up to date; access is the same'
          FROM plio._access_ties() a WHERE a.state = 'tied' AND a.present_name <> a.role_name
        UNION ALL
        SELECT 'critical', 'role_not_owner',
               format('role %I of tenant "%s" does not own schema %I, which belongs to %I: nobody may enter', t.role_name, t.org, t.schema_name, o.rolname),
               CASE WHEN EXISTS (SELECT 1 FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid AND g.rolname = 'plio_tenant'
                                  WHERE m.member = n.nspowner)
                    THEN 'SELECT * FROM plio.repair(), if that is the tenant''s role under another name'
                    ELSE format('SET plio.enforcement = off; ALTER SCHEMA %I OWNER TO %I; RESET plio.enforcement', t.schema_name, t.role_name) END
          FROM plio.tenants t JOIN pg_namespace n ON n.nspname = t.schema_name JOIN pg_roles o ON o.oid = n.nspowner
          JOIN pg_roles r ON r.rolname = t.role_name
         WHERE n.nspowner <> r.oid
        UNION ALL
        SELECT 'critical', 'installer_not_superuser',
               format('role %I owns the functions of plio_tenancy and is no superuser: audit(), create_tenant() and other functions fail for everybody', r.rolname),
               format('as a superuser: ALTER ROLE %I SUPERUSER; or, in this database, REASSIGN OWNED BY %I TO a superuser, which gives that one all that %I owns here',
                   r.rolname, r.rolname, r.rolname)
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'plio' JOIN pg_roles r ON r.oid = p.proowner
         WHERE p.proname = 'health' AND NOT r.rolsuper
        UNION ALL
        SELECT 'warning', 'replication_unjudged',
               format('role %I has REPLICATION: on a connection with replication=database nothing of its SQL is judged, since session_preload_libraries is not for these', r.rolname),
               format('add plio_tenancy to shared_preload_libraries and restart, or ALTER ROLE %I NOREPLICATION', r.rolname)
          FROM pg_roles r, loading WHERE r.rolreplication AND r.rolcanlogin AND NOT r.rolsuper AND NOT loading.is_shared
        UNION ALL
        SELECT 'warning', 'orphaned_access', format('access of role %I is to a tenant "%s" that does not exist', a.role_name, a.org),
               format('DELETE FROM plio.access WHERE org = %L', a.org)
          FROM plio.access a
         WHERE a.org IS NOT NULL AND NOT EXISTS (SELECT 1 FROM plio.tenants t WHERE t.org = a.org)
        UNION ALL
        SELECT 'warning', 'stale_share', format('%s is shared but does not exist',
                   concat_ws('.', quote_ident(s.schema_name), quote_ident(s.relation_name))),
               format('DELETE FROM plio.shares WHERE schema_name = %L AND relation_name IS NOT DISTINCT FROM %L',
                   s.schema_name, s.relation_name)
          FROM plio.shares s
         WHERE NOT EXISTS (SELECT 1 FROM pg_namespace n
                             LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.relation_name
                            WHERE n.nspname = s.schema_name AND (s.relation_name IS NULL OR c.oid IS NOT NULL))
    )
    SELECT f.severity, f.finding, f.detail, f.fix FROM findings f
     ORDER BY array_position(ARRAY['critical', 'warning', 'info'], f.severity), f.finding, f.detail
$health$;

CREATE OR REPLACE FUNCTION plio._audit_privileges()
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $privileges$
    WITH tenants AS MATERIALIZED (SELECT * FROM plio._tenant_schemas()),
    objects AS MATERIALIZED (
        SELECT t.org, t.role_oid, o.*
          FROM (SELECT 'pg_class'::regclass::oid, c.oid, c.relnamespace, c.relowner, c.relacl, false,
                       CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END
                  FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                UNION ALL
                SELECT 'pg_proc'::regclass, p.oid, p.pronamespace, p.proowner, p.proacl, p.prosecdef, 'ROUTINE' FROM pg_proc p
                UNION ALL
                SELECT 'pg_type'::regclass, y.oid, y.typnamespace, y.typowner, y.typacl, false, 'TYPE' FROM pg_type y
                 WHERE y.typtype IN ('e', 'd', 'r') OR (y.typtype = 'c' AND EXISTS (
                       SELECT 1 FROM pg_class c WHERE c.oid = y.typrelid AND c.relkind = 'c'))
                UNION ALL
                SELECT 'pg_namespace'::regclass, n.oid, n.oid, n.nspowner, n.nspacl, false, 'SCHEMA' FROM pg_namespace n
               ) o (classid, objid, schema_oid, owner, acl, is_definer, kind)
          JOIN tenants t ON t.schema_oid = o.schema_oid
    ),
    owned AS (
        SELECT o.*, r.rolname, r.rolsuper, x.org AS other, own.rolname AS own_name
          FROM objects o JOIN pg_authid own ON own.oid = o.role_oid
          JOIN pg_authid r ON r.oid = o.owner LEFT JOIN tenants x ON x.role_oid = o.owner
         WHERE o.owner <> o.role_oid
           -- A column's own sequence goes with its table; what an extension made is the extension's.
           AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid
                              AND (d.deptype = 'e' OR (o.kind = 'SEQUENCE' AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0)))
    ),
    -- Everybody's own default privileges (functions and types are PUBLIC's, schemas by create_tenant) are no finding.
    granted AS (
        SELECT o.org, o.classid, o.objid, o.kind, o.role_oid, e.grantee,
               string_agg(DISTINCT e.privilege_type, ', ' ORDER BY e.privilege_type) AS privileges
          FROM objects o CROSS JOIN LATERAL aclexplode(o.acl) e
         WHERE e.grantee <> o.owner AND e.grantee IS DISTINCT FROM o.role_oid
           AND NOT (e.grantee = 0 AND e.privilege_type IN ('USAGE', 'EXECUTE') AND o.kind IN ('SCHEMA', 'ROUTINE', 'TYPE'))
         GROUP BY o.org, o.classid, o.objid, o.kind, o.role_oid, e.grantee
        UNION ALL
        SELECT o.org, o.classid, o.objid, 'COLUMN', o.role_oid, e.grantee,
               string_agg(DISTINCT format('%s (%I)', e.privilege_type, a.attname), ', ')
          FROM objects o JOIN pg_attribute a ON a.attrelid = o.objid AND a.attacl IS NOT NULL AND a.attnum > 0
         CROSS JOIN LATERAL aclexplode(a.attacl) e
         WHERE o.classid = 'pg_class'::regclass AND e.grantee <> o.owner AND e.grantee IS DISTINCT FROM o.role_oid
         GROUP BY o.org, o.classid, o.objid, o.role_oid, e.grantee
    ),
    judged AS (
        SELECT g.*, CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS whom,
               g.grantee = 0 OR r.rolname = 'plio_tenant' OR EXISTS (SELECT 1 FROM tenants x WHERE x.role_oid = g.grantee) AS is_wide
          FROM granted g LEFT JOIN pg_authid r ON r.oid = g.grantee
    )
    -- A schema that belongs to another role is health()'s role_not_owner.
    SELECT CASE WHEN o.other IS NOT NULL OR (o.is_definer AND o.rolsuper) THEN 'critical' ELSE 'warning' END,
           'foreign_owner', o.org, i.identity,
           format('%s of tenant "%s" belongs to %I, not to the tenant''s own role', pg_describe_object(o.classid, o.objid, 0),
                  o.org, o.rolname),
           format('ALTER %s %s OWNER TO %I', upper(i.type), i.identity, o.own_name)
      FROM owned o CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) i
     WHERE o.kind <> 'SCHEMA'
    UNION ALL
    SELECT CASE WHEN j.is_wide THEN 'critical' ELSE 'warning' END, 'grant', j.org, i.identity,
           format('%s has %s on %s of tenant "%s"', j.whom, j.privileges, pg_describe_object(j.classid, j.objid, 0), j.org),
           CASE WHEN j.kind = 'COLUMN' THEN format('REVOKE %s ON TABLE %s FROM %s', j.privileges, i.identity, j.whom)
                ELSE format('REVOKE %s ON %s %s FROM %s', j.privileges, j.kind, i.identity, j.whom) END
      FROM judged j CROSS JOIN LATERAL pg_identify_object(j.classid, j.objid, 0) i
     -- A tenant without a role of its own lives by grants to the application's role.
     WHERE j.is_wide OR j.role_oid IS NOT NULL
    UNION ALL
    SELECT CASE WHEN e.grantee = 0 THEN 'critical' ELSE 'warning' END, 'default_privileges', t.org, quote_ident(r.rolname),
           format('what %I creates%s is granted to %s', r.rolname, coalesce(' in schema ' || quote_ident(n.nspname), ''), w.whom),
           format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE %s ON %s FROM %s', r.rolname,
                  coalesce(' IN SCHEMA ' || quote_ident(n.nspname), ''), string_agg(DISTINCT e.privilege_type, ', '),
                  CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                       WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END, w.whom)
      FROM pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) e
      JOIN pg_authid r ON r.oid = d.defaclrole
      JOIN tenants t ON t.schema_oid = d.defaclnamespace OR (d.defaclnamespace = 0 AND t.role_oid = d.defaclrole)
      LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
      LEFT JOIN pg_authid g ON g.oid = e.grantee
     CROSS JOIN LATERAL (SELECT CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(g.rolname) END) w (whom)
     WHERE e.grantee <> d.defaclrole AND e.grantee IS DISTINCT FROM t.role_oid
       AND NOT (e.grantee = 0 AND d.defaclnamespace = 0 AND d.defaclobjtype IN ('f', 'T'))
     GROUP BY t.org, r.rolname, n.nspname, d.defaclobjtype, e.grantee, w.whom
    UNION ALL
    SELECT CASE WHEN e.grantee = 0 THEN 'critical' ELSE 'warning' END, 'large_object_grant', t.org, m.oid::text,
           format('%s has %s on large object %s of tenant "%s"', w.whom, string_agg(DISTINCT e.privilege_type, ', '), m.oid, t.org),
           format('REVOKE ALL ON LARGE OBJECT %s FROM %s', m.oid, w.whom)
      FROM pg_largeobject_metadata m JOIN tenants t ON t.role_oid = m.lomowner
     CROSS JOIN LATERAL aclexplode(m.lomacl) e LEFT JOIN pg_authid g ON g.oid = e.grantee
     CROSS JOIN LATERAL (SELECT CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(g.rolname) END) w (whom)
     WHERE e.grantee <> m.lomowner
     GROUP BY t.org, m.oid, e.grantee, w.whom
$privileges$;
