-- Ways out of the database, and settings that take the protection away for somebody.
CREATE FUNCTION plio._audit_outside()
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $outside$
    WITH tenants AS MATERIALIZED (SELECT * FROM plio._tenant_schemas()),
    published AS (
        SELECT r.prpubid AS pub, t.org FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
          JOIN tenants t ON t.schema_oid = c.relnamespace
        UNION
        SELECT n.pnpubid, t.org FROM pg_publication_namespace n JOIN tenants t ON t.schema_oid = n.pnnspid
    ),
    publications AS (
        SELECT p.oid, p.pubname, p.puballtables, count(x.org) AS tenants, min(x.org) AS org,
               EXISTS (SELECT 1 FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
                        WHERE r.prpubid = p.oid AND c.relnamespace NOT IN (SELECT schema_oid FROM tenants)) AS has_others
          FROM pg_publication p LEFT JOIN published x ON x.pub = p.oid
         GROUP BY p.oid, p.pubname, p.puballtables
    ),
    allowed AS (SELECT name FROM unnest(plio._names_in_list(current_setting('plio.allowed_connections'))) name),
    servers AS (
        SELECT s.oid, s.srvname, w.fdwname, s.srvname IN (SELECT name FROM allowed) AS is_allowed,
               (SELECT min(t.org) FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid
                  JOIN tenants t ON t.schema_oid = c.relnamespace WHERE f.ftserver = s.oid) AS org,
               EXISTS (SELECT 1 FROM aclexplode(s.srvacl) a
                        WHERE a.grantee = 0 OR a.grantee IN (SELECT role_oid FROM tenants)
                           OR a.grantee = (SELECT oid FROM pg_authid WHERE rolname = 'plio_tenant')) AS is_granted
          FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    ),
    settings AS (
        SELECT s.setrole, s.setdatabase, split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value,
               CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'ALTER ROLE ALL'
                    WHEN s.setrole = 0 THEN format('ALTER DATABASE %I', d.datname)
                    WHEN s.setdatabase = 0 THEN format('ALTER ROLE %I', r.rolname)
                    ELSE format('ALTER ROLE %I IN DATABASE %I', r.rolname, d.datname) END AS alter_what,
               coalesce(nullif(concat_ws(' in database ', quote_ident(r.rolname), quote_ident(d.datname)), ''), 'every role') AS whose,
               r.oid IN (SELECT plio._administrators()) AS is_administrators
          FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c
          LEFT JOIN pg_authid r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
         WHERE s.setdatabase = 0 OR d.datname = current_database()
    )
    SELECT CASE WHEN p.puballtables OR p.tenants > 1 THEN 'warning' WHEN p.has_others THEN 'warning' ELSE 'info' END,
           'publication', CASE WHEN p.tenants = 1 AND NOT p.puballtables THEN p.org END, quote_ident(p.pubname),
           CASE WHEN p.puballtables THEN format('publication %I sends the tables of every tenant, those to come included', p.pubname)
                WHEN p.tenants > 1 THEN format('publication %I sends the tables of %s tenants', p.pubname, p.tenants)
                WHEN p.has_others THEN format('publication %I sends tables of tenant "%s" beside others', p.pubname, p.org)
                ELSE format('publication %I sends tables of tenant "%s" alone', p.pubname, p.org) END,
           CASE WHEN p.puballtables OR p.tenants > 1 OR p.has_others THEN format('DROP PUBLICATION %I', p.pubname) END
      FROM publications p WHERE p.puballtables OR p.tenants > 0
    UNION ALL
    SELECT CASE WHEN count(t.org) > 0 THEN 'warning' ELSE 'info' END, 'subscription', min(t.org), quote_ident(s.subname),
           CASE WHEN count(t.org) > 0
                THEN format('subscription %I writes tables of %s by a background process, which nothing judges', s.subname,
                            CASE WHEN count(DISTINCT t.org) = 1 THEN format('tenant "%s"', min(t.org))
                                 ELSE format('%s tenants', count(DISTINCT t.org)) END)
                ELSE format('subscription %I writes no tenant''s tables so far', s.subname) END,
           CASE WHEN count(t.org) > 0
                THEN format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I', s.subname) END
      FROM pg_subscription s LEFT JOIN pg_subscription_rel r ON r.srsubid = s.oid
      LEFT JOIN pg_class c ON c.oid = r.srrelid LEFT JOIN tenants t ON t.schema_oid = c.relnamespace
     WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
     GROUP BY s.oid, s.subname
    UNION ALL
    SELECT CASE WHEN s.is_allowed OR s.is_granted OR s.org IS NOT NULL THEN 'warning' ELSE 'info' END,
           'foreign_server', s.org, quote_ident(s.srvname),
           format('server %I (%I) %s', s.srvname, s.fdwname,
                  CASE WHEN s.is_allowed THEN 'may be used inside tenants: the other end knows no tenant'
                       WHEN s.org IS NOT NULL THEN format('has foreign tables in tenant "%s"', s.org)
                       WHEN s.is_granted THEN 'is granted to everybody or to tenants'
                       ELSE 'leads out of the database; inside tenants it is refused' END),
           CASE WHEN s.is_allowed OR s.is_granted OR s.org IS NOT NULL THEN format('DROP SERVER %I CASCADE', s.srvname) END
      FROM servers s
     -- Our own leads nowhere but into this database; who is granted it could make foreign tables of his own over it.
     WHERE s.is_allowed OR s.is_granted OR s.org IS NOT NULL
        OR NOT EXISTS (SELECT 1 FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'plio_tenancy'
                        WHERE d.classid = 'pg_foreign_server'::regclass AND d.objid = s.oid AND d.deptype = 'e'
                          AND d.refclassid = 'pg_extension'::regclass)
    UNION ALL
    SELECT CASE WHEN e.extname IN (SELECT name FROM allowed) THEN 'warning' ELSE 'info' END, 'connecting_extension', NULL,
           quote_ident(e.extname),
           format('extension %I leads out of the database, or out of the session; inside tenants it is %s', e.extname,
                  CASE WHEN e.extname IN (SELECT name FROM allowed) THEN 'allowed by plio.allowed_connections' ELSE 'refused' END),
           CASE WHEN e.extname IN (SELECT name FROM allowed) THEN format('DROP EXTENSION %I', e.extname) END
      FROM pg_extension e WHERE e.extname = ANY (plio._connecting_extensions())
    UNION ALL
    SELECT 'warning', 'untrusted_language', NULL, quote_ident(l.lanname),
           format('what functions in %I do, no hook sees', l.lanname),
           coalesce((SELECT format('DROP EXTENSION %I', e.extname) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                      WHERE d.classid = 'pg_language'::regclass AND d.objid = l.oid AND d.deptype = 'e'),
                    format('DROP LANGUAGE %I', l.lanname))
      FROM pg_language l WHERE NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c')
    UNION ALL
    SELECT CASE WHEN t.org IS NOT NULL THEN 'critical' ELSE 'warning' END, 'untrusted_function', t.org, p.oid::regprocedure::text,
           format('%s is in %I: what it does, no hook sees%s', p.oid::regprocedure, l.lanname,
                  CASE WHEN t.org IS NULL THEN ', and everybody may call it' ELSE '' END),
           format('DROP ROUTINE %s', p.oid::regprocedure)
      FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND NOT l.lanpltrusted
      JOIN plio._places() t ON t.schema_oid = p.pronamespace
     WHERE (t.org IS NOT NULL OR coalesce((SELECT bool_or(a.grantee = 0) FROM aclexplode(p.proacl) a), true))
       -- An aggregate has no code of its own; its functions are asked about by themselves.
       AND p.prokind <> 'a'
       -- Neither an extension's, nor what PostgreSQL makes with a range type.
       AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
    UNION ALL
    SELECT 'critical', 'enforcement_preset', NULL, s.whose,
           format('plio.enforcement is %s from the start for %s: what it should refuse passes', s.value, s.whose),
           format('%s RESET plio.enforcement', s.alter_what)
      FROM settings s WHERE s.name = 'plio.enforcement' AND lower(s.value) <> 'on'
    UNION ALL
    SELECT 'warning', 'connections_preset', NULL, s.whose,
           format('plio.allowed_connections is %s for %s', s.value, s.whose),
           format('%s RESET plio.allowed_connections', s.alter_what)
      FROM settings s WHERE s.name = 'plio.allowed_connections' AND s.value NOT IN ('', '""')
    UNION ALL
    -- An ordinary role is refused what lies there until it sets the tenant; a setting of the database is everybody's.
    SELECT CASE WHEN s.is_administrators THEN 'critical' WHEN s.setrole = 0 THEN 'warning' ELSE 'info' END, 'path_preset', t.org, s.whose,
           format('the search_path of %s leads into schema %I of tenant "%s" from the start, without the tenant', s.whose, n.nspname, t.org),
           format('%s RESET search_path', s.alter_what)
      FROM settings s CROSS JOIN LATERAL unnest(plio._names_in_list(s.value)) e
      JOIN pg_namespace n ON n.nspname = e JOIN tenants t ON t.schema_oid = n.oid
     WHERE s.name = 'search_path'
    UNION ALL
    SELECT 'info', 'tenant_preset', split_part(s.value, ' ', 1), s.whose,
           CASE WHEN plio._loaded_as() = 'shared'
                THEN format('%s is to start in tenant "%s": PostgreSQL refuses such logins where shared_preload_libraries loads plio_tenancy',
                            s.whose, s.value)
                ELSE format('%s starts in tenant "%s"', s.whose, s.value) END,
           CASE WHEN plio._loaded_as() = 'shared' THEN format('%s RESET plio.tenant', s.alter_what) END
      FROM settings s WHERE s.name = 'plio.tenant' AND s.value NOT IN ('', '""')
    UNION ALL
    SELECT 'critical', 'large_object_compat', NULL, 'lo_compat_privileges',
           'lo_compat_privileges is on: every tenant reads every large object',
           'ALTER SYSTEM RESET lo_compat_privileges; SELECT pg_reload_conf()'
     WHERE (SELECT reset_val FROM pg_settings WHERE name = 'lo_compat_privileges') = 'on'
    UNION ALL
    -- The setting is there from 17 on.
    SELECT 'critical', 'event_triggers_off', NULL, s.whose,
           format('event_triggers is off for %s: ties between tenants are not seen while they are made', s.whose),
           format('%s RESET event_triggers', s.alter_what)
      FROM settings s WHERE CASE WHEN s.name = 'event_triggers' THEN NOT s.value::boolean ELSE false END
    UNION ALL
    SELECT 'critical', 'event_triggers_off', NULL, 'event_triggers',
           'event_triggers is off: ties between tenants are not seen while they are made',
           'ALTER SYSTEM RESET event_triggers; SELECT pg_reload_conf()'
      FROM pg_settings s WHERE s.name = 'event_triggers' AND s.reset_val = 'off' AND s.source IN ('configuration file', 'command line')
    UNION ALL
    SELECT 'critical', 'parameter_grant', NULL, p.parname,
           format('%s may set %s, which takes the protection away', coalesce(quote_ident(r.rolname), 'everybody'), p.parname),
           format('REVOKE ALL ON PARAMETER %s FROM %s', p.parname, coalesce(quote_ident(r.rolname), 'PUBLIC'))
      FROM pg_parameter_acl p CROSS JOIN LATERAL (SELECT DISTINCT a.grantee FROM aclexplode(p.paracl) a) a
      LEFT JOIN pg_authid r ON r.oid = a.grantee
     WHERE p.parname IN ('plio.enforcement', 'plio.allowed_connections', 'session_preload_libraries', 'lo_compat_privileges', 'event_triggers')
       AND NOT coalesce(r.rolsuper, false)
$outside$;
REVOKE ALL ON FUNCTION plio._audit_outside() FROM PUBLIC;
