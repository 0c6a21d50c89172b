-- Who administers, as cache.rs decides it: superusers, and the members of plio_admin, if there is one.
CREATE FUNCTION plio._administrators() RETURNS SETOF oid
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.oid FROM pg_roles r
     WHERE r.rolsuper OR coalesce(pg_has_role(r.oid, to_regrole('plio_admin')::oid, 'USAGE'), false)
$$;
REVOKE ALL ON FUNCTION plio._administrators() FROM PUBLIC;

-- The schemas in every tenant's search_path (plio_tenancy_ext/src/cache/shares.rs), and whether the tenants' roles may use
-- them: PostgreSQL leaves out of the path, without a word, what a role may not use.
CREATE FUNCTION plio._path_schemas() RETURNS TABLE (schema oid, is_usable boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $path$
    SELECT n.oid, has_schema_privilege(g.oid, n.oid, 'USAGE')
      FROM pg_namespace n, pg_roles g
     WHERE g.rolname = 'plio_tenant' AND n.oid >= 2200 AND n.nspname NOT IN ('information_schema', 'plio')
       AND (n.oid IN (SELECT e.extnamespace FROM pg_extension e WHERE e.extowner IN (SELECT plio._administrators()))
            OR n.nspname IN (SELECT s.schema_name FROM plio.shares s))
$path$;
REVOKE ALL ON FUNCTION plio._path_schemas() FROM PUBLIC;
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

-- Whom each row means, with the states of plio._access_ties(): the oid is null where plio.unassign_role() cannot give back.
CREATE FUNCTION plio._owners_before(tenant_id bigint)
RETURNS TABLE (type text, name text[], args text[], owner_name text, owner_oid oid, granted_usage boolean, state text)
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $owners$
    SELECT p.object_type, p.object_name, p.object_args, coalesce(CASE WHEN t.state = 'tied' THEN o.rolname::text END, p.owner_name),
           CASE WHEN t.state IN ('tied', 'fits') THEN o.oid END, p.granted_usage, t.state
      FROM plio.previous_owners p
      LEFT JOIN pg_roles o ON o.oid = p.owner_oid
     CROSS JOIN LATERAL (SELECT CASE WHEN p.cluster = plio._cluster() THEN CASE WHEN o.oid IS NULL THEN 'gone' ELSE 'tied' END
                                     WHEN o.rolname = p.owner_name THEN 'fits' ELSE 'untied' END) t (state)
     WHERE p.tenant_id = $1
$owners$;
REVOKE ALL ON FUNCTION plio._owners_before(bigint) FROM PUBLIC;

-- What the registry shares, and PostgreSQL does not: the object is there, the group lacks a privilege that its share stands for
-- (plio_tenancy_ext/src/shares.rs). A restore without roles or privileges leaves it so.
CREATE FUNCTION plio._shares_without_grants()
RETURNS TABLE (schema_name text, relation_name text, mode text, is_function boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $shares$
    WITH places AS MATERIALIZED (
        SELECT s.schema_name, s.relation_name, s.mode, s.is_function, n.oid AS schema, g.oid AS tenants,
               has_schema_privilege(g.oid, n.oid, 'USAGE') AS is_usable
          FROM plio.shares s JOIN pg_namespace n ON n.nspname = s.schema_name JOIN pg_roles g ON g.rolname = 'plio_tenant'
    )
    SELECT p.schema_name, p.relation_name, p.mode, p.is_function
      FROM places p
     WHERE p.relation_name IS NULL AND NOT p.is_usable
        OR EXISTS (
           SELECT FROM pg_class c
            WHERE NOT p.is_function AND c.relnamespace = p.schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
              AND CASE WHEN p.relation_name IS NOT NULL THEN c.relname = p.relation_name
                       -- What an extension made stays as it granted it.
                       ELSE NOT EXISTS (SELECT FROM pg_depend d
                                         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') END
              AND NOT (p.is_usable AND CASE
                  WHEN c.relkind = 'S'
                  THEN has_sequence_privilege(p.tenants, c.oid, 'SELECT')
                       AND (p.mode = 'read' OR has_sequence_privilege(p.tenants, c.oid, 'USAGE'))
                  ELSE has_table_privilege(p.tenants, c.oid, 'SELECT') AND has_table_privilege(p.tenants, c.oid, 'REFERENCES')
                       AND (p.mode = 'read'
                            OR has_table_privilege(p.tenants, c.oid, 'INSERT') AND has_table_privilege(p.tenants, c.oid, 'UPDATE')
                           AND has_table_privilege(p.tenants, c.oid, 'DELETE')) END))
        OR EXISTS (
           SELECT FROM pg_proc f
            WHERE p.is_function AND f.pronamespace = p.schema
              AND (pg_identify_object('pg_proc'::regclass, f.oid, 0)).identity = format('%I.%s', p.schema_name, p.relation_name)
              AND NOT (p.is_usable AND has_function_privilege(p.tenants, f.oid, 'EXECUTE')))
$shares$;
REVOKE ALL ON FUNCTION plio._shares_without_grants() FROM PUBLIC;

-- What a DBA asks first: is this database protected?
CREATE FUNCTION plio.health()
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
    -- With the calls that give a role its access again, or take it back. Access to a tenant that is not there is orphaned_access.
    access_by_role AS MATERIALIZED (
        SELECT a.role_name, a.role_oid, a.state, 'SELECT ' || string_agg('plio.grant' || c.call, ', ' ORDER BY a.org) AS given_again,
               'SELECT ' || string_agg('plio.revoke' || c.call, ', ' ORDER BY a.org) AS taken_back
          FROM plio._access_ties() a
         CROSS JOIN LATERAL (SELECT CASE WHEN a.state = 'tied' THEN a.present_name ELSE a.role_name END) w (whom)
         CROSS JOIN LATERAL (SELECT CASE WHEN a.org IS NULL THEN format('_access_to_every_tenant(%L)', w.whom)
                                         ELSE format('_access(%L, %L)', w.whom, a.org) END) c (call)
         WHERE a.org IS NULL OR EXISTS (SELECT 1 FROM plio.tenants t WHERE t.org = a.org)
         GROUP BY a.role_name, a.role_oid, a.state
    ),
    findings (severity, finding, detail, fix) AS (
        SELECT 'info', 'loading', format('loaded in this session as: %s', how),
               CASE WHEN is_shared THEN NULL
                    ELSE 'shared_preload_libraries is better where a restart is possible' END
          FROM loading WHERE is_shared OR is_session
        UNION ALL
        SELECT l.severity, l.finding, l.detail, l.fix FROM plio._health_limits() l
        UNION ALL
        SELECT 'critical', 'not_preloaded',
               'neither shared_preload_libraries nor the database''s session_preload_libraries names plio_tenancy',
               format('ALTER DATABASE %I SET session_preload_libraries = ''plio_tenancy''', current_database())
          FROM loading WHERE NOT (is_shared OR is_session)
        UNION ALL
        SELECT 'warning', 'update_due',
               format('the library is %s, its SQL objects in this database are %s', plio.version(), x.extversion),
               CASE WHEN string_to_array(plio.version(), '.')::int[] > string_to_array(x.extversion, '.')::int[]
                    THEN 'ALTER EXTENSION plio_tenancy UPDATE'
                    ELSE 'install the newer package again: an older library does not know these SQL objects' END
          FROM pg_extension x WHERE x.extname = 'plio_tenancy' AND x.extversion <> plio.version()
        UNION ALL
        SELECT 'critical', 'loaded_late', 'this session ran before the library was loaded',
               'connect again; if it stays so, look for session_preload_libraries in pg_db_role_setting'
          FROM loading WHERE how = 'late'
        UNION ALL
        SELECT 'critical', 'preload_overridden',
               format('role %s has its own session_preload_libraries without plio_tenancy', o.setrole::regrole),
               format('ALTER ROLE %s%s RESET session_preload_libraries', o.setrole::regrole,
                      CASE WHEN o.setdatabase <> 0 THEN format(' IN DATABASE %I', current_database()) END)
          -- A role's setting goes before the database's; its setting for this database before that for all.
          FROM (SELECT DISTINCT ON (s.setrole) s.setrole, s.setdatabase, c
                  FROM pg_db_role_setting s, unnest(s.setconfig) c
                 WHERE s.setrole <> 0 AND c LIKE 'session\_preload\_libraries=%'
                   AND (s.setdatabase = 0 OR s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
                 ORDER BY s.setrole, s.setdatabase DESC) o, loading
         WHERE NOT is_shared AND o.c NOT LIKE '%plio_tenancy%'
        UNION ALL
        SELECT 'info', 'denials_log_only',
               'no shared memory: denials are in the server''s log alone, where RAISE LOG writes lines that look like them, and nothing is counted',
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
               format('SET plio.enforcement = off; ALTER EVENT TRIGGER %s ENABLE ALWAYS; RESET plio.enforcement', wanted.name)
          FROM (VALUES ('plio_ddl_command_end'), ('plio_sql_drop')) wanted (name)
          LEFT JOIN pg_event_trigger t ON t.evtname = wanted.name AND t.evtenabled = 'A'
         WHERE t.oid IS NULL
        UNION ALL
        SELECT 'critical', 'registry_trigger_disabled',
               format('trigger tell_every_backend on plio.%s is missing or not enabled always', wanted.name),
               format('SET plio.enforcement = off; ALTER TABLE plio.%s ENABLE ALWAYS TRIGGER tell_every_backend; RESET plio.enforcement', wanted.name)
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
        SELECT 'critical', 'stray_member', format('%s, and no superuser chose that', m.detail), m.fix FROM plio._stray_members() m
        UNION ALL
        SELECT 'warning', 'drop_unfinished', format('tenant "%s" is partly dropped', t.org),
               format('CALL plio.drop_tenant_in_steps(%L, %L)', t.org, t.org)
          FROM plio.tenants t WHERE t.status = 'dropping'
        UNION ALL
        SELECT 'critical', 'missing_schema', format('tenant "%s" has no schema %I', t.org, t.schema_name),
               format('restore the schema, or SELECT plio.drop_tenant(%L, %L)', t.org, t.org)
          FROM plio.tenants t WHERE NOT EXISTS (SELECT 1 FROM pg_namespace n WHERE n.nspname = t.schema_name)
        UNION ALL
        SELECT 'critical', 'missing_role', format('tenant "%s" has no role %I', t.org, t.role_name),
               format('SET plio.enforcement = off; CREATE ROLE %I NOLOGIN IN ROLE plio_tenant; ALTER SCHEMA %I OWNER TO %I; RESET plio.enforcement', t.role_name, t.schema_name, t.role_name)
          FROM plio.tenants t
         WHERE t.role_name IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = t.role_name)
        UNION ALL
        SELECT 'critical', 'tenant_role_can_login', format('role %I of tenant "%s" may log in', t.role_name, t.org),
               format('SET plio.enforcement = off; ALTER ROLE %I NOLOGIN NOSUPERUSER; RESET plio.enforcement', t.role_name)
          FROM plio.tenants t JOIN pg_roles r ON r.rolname = t.role_name AND (r.rolcanlogin OR r.rolsuper)
        UNION ALL
        SELECT 'warning', 'stale_access', format('access of role %I is without effect: the role is gone, or has no right on schema plio', a.role_name),
               CASE a.state WHEN 'gone' THEN a.taken_back
                            ELSE concat_ws('; or take it back: ', a.given_again, a.taken_back) END
          FROM access_by_role a
         WHERE a.state = 'gone'
            OR (a.role_oid IS NOT NULL AND NOT EXISTS (
               SELECT 1 FROM pg_namespace n, aclexplode(n.nspacl) e WHERE n.nspname = 'plio' AND e.grantee = a.role_oid))
        UNION ALL
        SELECT 'warning', 'untied_access',
               format('access of role %I is tied to no role of this cluster: granted in another one, or kept by name alone by release 0.1.0; it is without effect', a.role_name),
               CASE WHEN EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = a.role_name)
                    THEN 'SELECT * FROM plio.repair() ties it to the role that has this name here; or take it back: ' || a.taken_back
                    ELSE a.taken_back END
          FROM access_by_role a WHERE a.state = 'untied'
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
               format('as a superuser: ALTER ROLE %I SUPERUSER; or, in this database, with SET plio.enforcement = off, REASSIGN OWNED BY %I TO a superuser, which gives that one all that %I owns here',
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
               format('SET plio.enforcement = off; DELETE FROM plio.access WHERE org = %L; RESET plio.enforcement', a.org)
          FROM plio.access a
         WHERE a.org IS NOT NULL AND NOT EXISTS (SELECT 1 FROM plio.tenants t WHERE t.org = a.org)
        UNION ALL
        SELECT 'warning', 'path_unusable',
               format('tenants'' search_path has schema %I, which their roles may not use: PostgreSQL finds no type, function or operator there', n.nspname),
               format('GRANT USAGE ON SCHEMA %I TO plio_tenant, if the tenants are to use it', n.nspname)
          FROM plio._path_schemas() p JOIN pg_namespace n ON n.oid = p.schema
         WHERE NOT p.is_usable
        UNION ALL
        SELECT 'warning', 'share_not_granted',
               format('%s is shared, but tenants'' roles have not the privileges for it, as after a restore without roles or privileges',
                   concat_ws('.', quote_ident(s.schema_name),
                             CASE WHEN s.is_function THEN s.relation_name ELSE quote_ident(s.relation_name) END)),
               'SELECT * FROM plio.repair() grants them again; or take the share back with plio.unshare()'
          FROM plio._shares_without_grants() s
        UNION ALL
        SELECT DISTINCT 'info', 'untied_owner',
               format('before plio.assign_role() objects of tenant "%s" belonged to %I, %s: plio.unassign_role() does not give them back',
                   t.org, o.owner_name,
                   CASE o.state WHEN 'gone' THEN 'a role that is gone' ELSE 'a role of another cluster, or kept by its name alone' END),
               CASE WHEN o.state <> 'gone' AND EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = o.owner_name)
                    THEN 'SELECT * FROM plio.repair() ties them to the role that has this name here'
                    ELSE format('name another owner: plio.unassign_role(%L, <role>)', t.org) END
          FROM plio.tenants t CROSS JOIN LATERAL plio._owners_before(t.tenant_id) o WHERE o.owner_oid IS NULL
        UNION ALL
        SELECT CASE WHEN r.oid IN (SELECT plio._administrators()) THEN 'critical' ELSE 'warning' END, 'role_of_schema',
               format('role %I has the name of the schema of tenant "%s": by "$user" its search_path finds what the tenant makes there',
                   r.rolname, t.org),
               format('ALTER ROLE %I RENAME TO %I', r.rolname, left(r.rolname, 58) || '_role')
          FROM plio.tenants t JOIN pg_roles r ON r.rolname = t.schema_name JOIN pg_namespace n ON n.nspname = t.schema_name
         -- A schema that was adopted may have the name of the role that owns it, or did.
         WHERE r.oid IN (SELECT plio._administrators())
            OR r.oid <> n.nspowner AND NOT EXISTS (SELECT 1 FROM plio._owners_before(t.tenant_id) o WHERE o.type = 'schema' AND o.owner_oid = r.oid)
        UNION ALL
        SELECT 'warning', 'stale_share', format('%s is shared but does not exist',
                   concat_ws('.', quote_ident(s.schema_name),
                             CASE WHEN s.is_function THEN s.relation_name ELSE quote_ident(s.relation_name) END)),
               format('SET plio.enforcement = off; DELETE FROM plio.shares WHERE schema_name = %L AND relation_name IS NOT DISTINCT FROM %L AND is_function = %L; RESET plio.enforcement',
                   s.schema_name, s.relation_name, s.is_function)
          FROM plio.shares s
         WHERE NOT EXISTS (SELECT 1 FROM pg_namespace n
                             LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.relation_name
                            WHERE n.nspname = s.schema_name AND NOT s.is_function
                              AND (s.relation_name IS NULL OR c.oid IS NOT NULL))
           AND NOT EXISTS (SELECT 1 FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                            WHERE n.nspname = s.schema_name AND s.is_function
                              AND (pg_identify_object('pg_proc'::regclass, p.oid, 0)).identity
                                  = format('%I.%s', s.schema_name, s.relation_name))
    )
    SELECT f.severity, f.finding, f.detail, f.fix FROM findings f
     ORDER BY array_position(ARRAY['critical', 'warning', 'info'], f.severity), f.finding, f.detail
$health$;
REVOKE ALL ON FUNCTION plio.health() FROM PUBLIC;
COMMENT ON FUNCTION plio.health() IS
    'Is this database protected? One row a finding: severity (critical, warning, info), finding, detail, fix';
