-- The registry against the catalog: what it does not know, what hides behind a tenant's name, what was done to it.
-- Rows without schema or role, and what else decides whether anything is protected at all, is health()'s.
CREATE FUNCTION plio._audit_registry()
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $registry$
    WITH places AS MATERIALIZED (SELECT * FROM plio._places()),
    tables AS MATERIALIZED (
        SELECT c.oid, c.relname, c.relacl, c.relowner, n.nspname, p.org
          FROM pg_class c JOIN places p ON p.schema_oid = c.relnamespace JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    ),
    managing AS (
        SELECT p.*, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
          FROM pg_proc p
         WHERE p.pronamespace = 'plio'::regnamespace
           AND p.proname IN ('create_tenant', 'suspend_tenant', 'resume_tenant', 'rename_tenant', 'drop_tenant', 'adopt_tenant',
                             'assign_role', 'grant_access', 'revoke_access', 'grant_access_to_every_tenant',
                             'revoke_access_to_every_tenant', 'share', 'unshare')
    ),
    names AS MATERIALIZED (
        SELECT relname, count(*) AS tenants, min(org) AS org FROM tables WHERE org IS NOT NULL GROUP BY relname
    ),
    entering AS MATERIALIZED (SELECT role_oid FROM plio._entering_roles()),
    shadows AS (
        SELECT t.*, n.tenants,
               EXISTS (SELECT 1 FROM plio.shares s WHERE s.schema_name = t.nspname AND NOT s.is_function
                          AND (s.relation_name IS NULL OR s.relation_name = t.relname)) AS is_shared,
               (SELECT count(*) FROM plio.tenants) AS of_tenants,
               t.relowner IN (SELECT role_oid FROM entering)
               OR EXISTS (SELECT 1 FROM aclexplode(t.relacl) a
                           WHERE a.grantee = 0 OR a.grantee IN (SELECT role_oid FROM entering)) AS is_reachable
          FROM tables t JOIN names n ON n.relname = t.relname
         WHERE t.org IS NULL
    )
    SELECT 'warning', 'unregistered_schema', NULL::text, quote_ident(n.nspname),
           format('schema %I looks like a tenant''s (its %s), but the registry does not know it: nothing guards it', n.nspname,
                  CASE WHEN n.nspname LIKE 'tenant\_%' THEN 'name' ELSE 'owner' END),
           'adopt it as a tenant, or drop it'
      FROM pg_namespace n JOIN places p ON p.schema_oid = n.oid AND p.org IS NULL
     WHERE n.nspname LIKE 'tenant\_%'
        OR EXISTS (SELECT 1 FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid AND g.rolname = 'plio_tenant'
                    WHERE m.member = n.nspowner)
    UNION ALL
    SELECT CASE WHEN s.is_shared OR s.is_reachable THEN 'warning' ELSE 'info' END, 'shadow_table', NULL, s.oid::regclass::text,
           format('%s of %s tenants have a table of this name; %s', s.tenants, s.of_tenants,
                  CASE WHEN s.is_shared THEN 'a tenant that lacks it works on the shared one instead'
                       WHEN s.is_reachable THEN 'who forgets the tenant works on this one instead'
                       ELSE 'only its owner and superusers reach this one' END),
           CASE WHEN s.is_shared THEN format('SELECT plio.unshare(%L)', format('%I.%I', s.nspname, s.relname))
                -- Nothing is taken from the owner: the schema may be one that is still to be adopted.
                WHEN s.is_reachable THEN format('REVOKE ALL ON TABLE %s FROM ', s.oid::regclass) || (
                     SELECT string_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END, ', ')
                       FROM aclexplode(coalesce(s.relacl, acldefault('r', s.relowner))) a LEFT JOIN pg_authid r ON r.oid = a.grantee
                      WHERE a.grantee <> s.relowner AND (a.grantee = 0 OR a.grantee IN (SELECT role_oid FROM entering))) END
      FROM shadows s
    UNION ALL
    SELECT 'critical', 'registry_sequence', NULL, format('plio.%I', q.relname),
           format('sequence plio.%I gives numbers again that were given before', q.relname),
           format('SET plio.enforcement = off; ALTER SEQUENCE plio.%I INCREMENT 1 NO CYCLE; SELECT setval(''plio.%1$I'', %s); RESET plio.enforcement', q.relname, greatest(v.most, 1))
      FROM pg_sequence s JOIN pg_class q ON q.oid = s.seqrelid AND q.relnamespace = 'plio'::regnamespace
      JOIN (SELECT 'tenants_tenant_id_seq'::name, coalesce(max(tenant_id), 0) FROM plio.tenants
            UNION ALL SELECT 'history_history_id_seq', coalesce(max(history_id), 0) FROM plio.history) v (name, most) ON v.name = q.relname
     WHERE s.seqcycle OR s.seqincrement < 1 OR coalesce(pg_sequence_last_value(s.seqrelid), 0) < v.most
    UNION ALL
    SELECT CASE WHEN e.privilege_type = 'SELECT' THEN 'warning' ELSE 'critical' END, 'registry_grant', NULL, c.oid::regclass::text,
           format('%s has %s on %s', w.whom, e.privilege_type, c.oid::regclass),
           format('REVOKE %s ON %s FROM %s', e.privilege_type, c.oid::regclass, w.whom)
      FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) e LEFT JOIN pg_authid r ON r.oid = e.grantee
     CROSS JOIN LATERAL (SELECT CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END) w (whom)
     WHERE c.oid IN (SELECT objid FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'plio_tenancy'
                      WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e')
       AND c.relnamespace = 'plio'::regnamespace AND c.relname IN ('tenants', 'access', 'shares', 'history')
       AND e.grantee <> c.relowner
       AND NOT (e.privilege_type = 'SELECT' AND coalesce(r.rolname IN ('plio_admin', 'plio_auditor'), false))
    UNION ALL
    SELECT 'critical', 'registry_function', NULL, p.oid::regprocedure::text,
           format('%s may call %s', w.whom, p.oid::regprocedure),
           format('REVOKE EXECUTE ON FUNCTION %s FROM %s', p.oid::regprocedure, w.whom)
      FROM managing p CROSS JOIN LATERAL aclexplode(p.acl) e LEFT JOIN pg_authid r ON r.oid = e.grantee
     CROSS JOIN LATERAL (SELECT CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END) w (whom)
     WHERE e.grantee <> p.proowner AND r.rolname IS DISTINCT FROM 'plio_admin'
    UNION ALL
    SELECT 'critical', 'event_trigger_altered', NULL, wanted.name,
           format('event trigger %s calls another function, or only for some commands', wanted.name),
           'DROP EXTENSION plio_tenancy after a dump of the registry, and create it again'
      FROM (VALUES ('plio_ddl_command_end', '_on_ddl_command_end', 'ddl_command_end'),
                   ('plio_sql_drop', '_on_sql_drop', 'sql_drop')) wanted (name, function, event)
      JOIN pg_event_trigger t ON t.evtname = wanted.name
     WHERE t.evtevent <> wanted.event OR t.evttags IS NOT NULL
        OR NOT EXISTS (SELECT 1 FROM pg_proc p WHERE p.oid = t.evtfoid AND p.proname = wanted.function
                          AND p.pronamespace = 'plio'::regnamespace)
    UNION ALL
    SELECT 'critical', 'history_unguarded', NULL, 'plio.' || h.name,
           format('trigger only_appended on plio.%s is missing or not enabled always: its rows can be changed', h.name),
           format('SET plio.enforcement = off; ALTER TABLE plio.%s ENABLE ALWAYS TRIGGER only_appended; RESET plio.enforcement', h.name)
      FROM (VALUES ('history'), ('denials_history')) h (name)
     WHERE NOT EXISTS (SELECT 1 FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
                        WHERE c.relname = h.name AND c.relnamespace = 'plio'::regnamespace
                          AND g.tgname = 'only_appended' AND g.tgenabled = 'A')
$registry$;
REVOKE ALL ON FUNCTION plio._audit_registry() FROM PUBLIC;
