-- Code that names a tenant it does not belong to, and code that runs with somebody's rights and anybody's search_path.
-- Bodies that PostgreSQL keeps parsed are pg_depend's (51); bodies kept as text are read here: those of LANGUAGE sql by
-- PostgreSQL's own parser, all others by their words, which is a guess.
CREATE FUNCTION plio._audit_code()
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $code$
    WITH code AS MATERIALIZED (
        SELECT p.oid, p.pronamespace, p.prosrc, p.proconfig, p.prosecdef, p.proowner, l.lanname, s.org, s.role_oid,
               p.prosqlbody IS NOT NULL AS is_parsed, p.proacl
          FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN plio._places() s ON s.schema_oid = p.pronamespace
         WHERE NOT EXISTS (SELECT 1 FROM pg_depend d
                            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    ),
    schemas AS MATERIALIZED (
        SELECT n.nspname::text COLLATE "C" AS name, s.org
          FROM plio._tenant_schemas() s JOIN pg_namespace n ON n.oid = s.schema_oid
    ),
    -- A row without a name: the text is too much to be read.
    texts AS MATERIALIZED (
        SELECT c.oid, c.org, q.name, q.is_guess
          FROM code c CROSS JOIN LATERAL plio._schemas_in_code(c.lanname::text, c.prosrc) q
         WHERE NOT c.is_parsed AND c.lanname NOT IN ('c', 'internal')
    ),
    named AS (
        SELECT x.oid, x.org, s.org AS other, s.name, bool_and(x.is_guess) AS is_guess
          FROM texts x JOIN schemas s ON s.name = x.name
         WHERE s.org IS DISTINCT FROM x.org
         GROUP BY x.oid, x.org, s.org, s.name
    ),
    paths AS (
        SELECT c.oid, c.org, s.org AS other
          FROM code c CROSS JOIN LATERAL unnest(c.proconfig) o
         CROSS JOIN LATERAL unnest(plio._names_in_list(substr(o, 13))) e
          JOIN schemas s ON s.name = e
         WHERE o LIKE 'search\_path=%' AND s.org IS DISTINCT FROM c.org
    ),
    -- What may run a function: of the tenants without a role alone.
    runnable AS MATERIALIZED (
        SELECT o.classid, o.objid, s.org
          FROM plio._tenant_schemas() s
          JOIN (SELECT 'pg_proc'::regclass AS classid, oid AS objid, pronamespace AS schema_oid FROM pg_proc
                UNION ALL
                SELECT 'pg_operator'::regclass, oid, oprnamespace FROM pg_operator
                UNION ALL
                SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type WHERE typtype IN ('c', 'd')) o USING (schema_oid)
         WHERE s.role_oid IS NULL
    ),
    upkeep AS (
        SELECT r.org, (pg_identify_object(d.classid, d.objid, 0)).identity AS name,
               min(pg_describe_object(r.classid, r.objid, 0)) AS code
          FROM runnable r JOIN pg_depend d ON d.refclassid = r.classid AND d.refobjid = r.objid
         WHERE d.classid = 'pg_statistic_ext'::regclass
            OR d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid AND c.relkind IN ('i', 'I'))
            OR d.classid = 'pg_type'::regclass AND r.classid = 'pg_proc'::regclass
           AND EXISTS (SELECT FROM pg_range t WHERE t.rngtypid = d.objid)
         GROUP BY r.org, d.classid, d.objid
    )
    SELECT CASE WHEN n.is_guess THEN 'info' ELSE 'warning' END,
           CASE WHEN n.is_guess THEN 'function_text_guess' ELSE 'function_text' END,
           coalesce(n.org, n.other), n.oid::regprocedure::text,
           CASE WHEN n.is_guess
                THEN format('a guess: the text of %s seems to name schema %I of tenant "%s"', n.oid::regprocedure, n.name, n.other)
                ELSE format('the body of %s names schema %I of tenant "%s"', n.oid::regprocedure, n.name, n.other) END,
           CASE WHEN n.is_guess THEN 'read the function; if it is so, keep what several tenants need in a shared schema'
                ELSE format('DROP ROUTINE %s', n.oid::regprocedure) END
      FROM named n
    UNION ALL
    SELECT 'warning', 'unread_code', x.org, x.oid::regprocedure::text,
           format('the body of %s is too long or too deep to be read as a whole: whether it names other tenants'' schemas is not known',
                  x.oid::regprocedure),
           'read the function; if nobody needs it, drop it'
      FROM texts x WHERE x.name IS NULL
    UNION ALL
    SELECT 'critical', 'function_search_path', coalesce(p.org, p.other), p.oid::regprocedure::text,
           format('the search_path of %s leads into tenant "%s"', p.oid::regprocedure, p.other),
           format('ALTER ROUTINE %s RESET search_path', p.oid::regprocedure)
      FROM paths p
    UNION ALL
    -- Inside a tenant the path is locked, and a function of the tenant's own role can do no more than that role.
    SELECT CASE WHEN c.proowner = c.role_oid THEN 'info'
                WHEN r.rolsuper AND coalesce((SELECT bool_or(a.grantee = 0) FROM aclexplode(c.proacl) a), true) THEN 'critical'
                ELSE 'warning' END,
           'definer_search_path', c.org, c.oid::regprocedure::text,
           format('%s runs with the rights of %I and with the search_path of whoever calls it', c.oid::regprocedure, r.rolname),
           format('ALTER ROUTINE %s SET search_path = %I, pg_temp', c.oid::regprocedure, n.nspname)
      FROM code c JOIN pg_authid r ON r.oid = c.proowner JOIN pg_namespace n ON n.oid = c.pronamespace
     WHERE c.prosecdef
       AND NOT EXISTS (SELECT 1 FROM unnest(c.proconfig) o WHERE o LIKE 'search\_path=%')
    UNION ALL
    SELECT 'warning', 'upkeep_code', u.org, u.name,
           format('%s leans on %s: ANALYZE, autovacuum''s too, runs that without a tenant, as a role that may own other tenants'' tables',
                  u.name, u.code),
           format('SELECT plio.assign_role(%L)', u.org)
      FROM upkeep u
$code$;
REVOKE ALL ON FUNCTION plio._audit_code() FROM PUBLIC;
