-- The extension's own objects: is each as the install script made it, and is nothing else in the schema plio? What the
-- script made is remembered as its last step (90_grants.sql): an upgrade's script ends with the same step.
CREATE TABLE plio._installed (
    kind       text NOT NULL,
    name       text NOT NULL,
    properties jsonb NOT NULL,
    -- The statement that makes it so again; null for a table.
    definition text,
    PRIMARY KEY (kind, name)
);
REVOKE ALL ON plio._installed FROM PUBLIC;
COMMENT ON COLUMN plio._installed.kind IS 'function, table, view; or version, the row of PostgreSQL''s own version';
COMMENT ON COLUMN plio._installed.name IS 'The name, with the types of a function''s arguments';
COMMENT ON COLUMN plio._installed.properties IS 'What audit() compares';
COMMENT ON COLUMN plio._installed.definition IS 'The statement that makes it so again; null for a table';
COMMENT ON TABLE plio._installed IS 'The functions, tables and views of the extension as its install script made them: plio.audit() compares';

-- They are compared by name: pg_upgrade gives functions other oids. A view's text differs between major versions, so it
-- counts only where the version is that of the installation.
CREATE FUNCTION plio._own_objects() RETURNS TABLE (kind text, name text, properties jsonb, definition text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $objects$
    WITH own AS MATERIALIZED (
        SELECT d.classid, d.objid, x.extowner
          FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'plio_tenancy'
         WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
    )
    SELECT 'function', p.oid::regprocedure::text,
           jsonb_build_object(
               'owner', p.proowner = o.extowner, 'body', md5(p.prosrc), 'language', l.lanname, 'library', p.probin,
               'settings', p.proconfig, 'definer', p.prosecdef, 'kind', p.prokind, 'volatility', p.provolatile,
               'strict', p.proisstrict, 'parallel', p.proparallel, 'result', pg_get_function_result(p.oid)),
           pg_get_functiondef(p.oid)
      FROM own o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
      JOIN pg_language l ON l.oid = p.prolang
     WHERE p.pronamespace = 'plio'::regnamespace
    UNION ALL
    SELECT CASE WHEN c.relkind = 'v' THEN 'view' ELSE 'table' END, c.oid::regclass::text,
           jsonb_build_object(
               'owner', c.relowner = o.extowner, 'kind', c.relkind, 'row security', c.relrowsecurity OR c.relforcerowsecurity,
               'columns', (SELECT jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull) ORDER BY a.attnum)
                             FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
               'triggers', (SELECT jsonb_agg(jsonb_build_array(t.tgname, t.tgfoid::regproc::text, t.tgtype) ORDER BY t.tgname)
                              FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
               'rules', (SELECT count(*) FROM pg_rewrite w WHERE w.ev_class = c.oid),
               'policies', (SELECT count(*) FROM pg_policy y WHERE y.polrelid = c.oid),
               'heirs', (SELECT count(*) FROM pg_inherits h WHERE h.inhparent = c.oid OR h.inhrelid = c.oid))
           || CASE WHEN c.relkind = 'v'
                   THEN jsonb_build_object('text', jsonb_build_array(
                        current_setting('server_version_num')::integer / 10000, md5(pg_get_viewdef(c.oid))))
                   ELSE '{}' END,
           CASE WHEN c.relkind = 'v' THEN format('CREATE OR REPLACE VIEW %s AS %s', c.oid::regclass, rtrim(pg_get_viewdef(c.oid), ';')) END
      FROM own o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
     WHERE c.relnamespace = 'plio'::regnamespace AND c.relkind IN ('r', 'v')
$objects$;
REVOKE ALL ON FUNCTION plio._own_objects() FROM PUBLIC;

-- The last step of an installation or an upgrade.
CREATE FUNCTION plio._remember_objects(version text) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $remember$
    DELETE FROM plio._installed;
    INSERT INTO plio._installed (kind, name, properties, definition)
    SELECT o.kind, o.name, o.properties, o.definition FROM plio._own_objects() o
    UNION ALL
    SELECT 'version', version, '{}', NULL;
$remember$;
REVOKE ALL ON FUNCTION plio._remember_objects(text) FROM PUBLIC;

CREATE FUNCTION plio._audit_objects()
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit$
    WITH extension AS (
        SELECT x.oid, x.extowner, quote_ident(r.rolname) AS owner
          FROM pg_extension x JOIN pg_authid r ON r.oid = x.extowner WHERE x.extname = 'plio_tenancy'
    ),
    own AS MATERIALIZED (SELECT * FROM plio._own_objects()),
    changed AS (
        SELECT o.kind, o.name, i.definition,
               (SELECT string_agg(k.key, ', ' ORDER BY k.key) FROM jsonb_each(o.properties) k
                 WHERE k.value IS DISTINCT FROM i.properties -> k.key
                   AND NOT coalesce(k.key = 'text' AND k.value -> 0 <> i.properties -> 'text' -> 0, false)) AS what
          FROM own o JOIN plio._installed i USING (kind, name)
    ),
    -- What lies in the schema and is neither the extension's nor a part of what is.
    planted (classid, objid) AS (
        SELECT l.classid, l.objid
          FROM (SELECT 'pg_class'::regclass::oid, oid FROM pg_class
                 WHERE relnamespace = 'plio'::regnamespace AND relkind NOT IN ('i', 'I', 't')
                UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'plio'::regnamespace
                UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = 'plio'::regnamespace
                UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator WHERE oprnamespace = 'plio'::regnamespace
                UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation WHERE collnamespace = 'plio'::regnamespace
                UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion WHERE connamespace = 'plio'::regnamespace
                UNION ALL SELECT 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext WHERE stxnamespace = 'plio'::regnamespace
               ) l (classid, objid)
         WHERE NOT EXISTS (SELECT 1 FROM pg_depend d
                            WHERE d.classid = l.classid AND d.objid = l.objid
                              AND (d.deptype = 'i' OR (d.deptype = 'a' AND d.refobjsubid > 0)
                                   OR (d.deptype = 'e' AND d.refobjid = (SELECT oid FROM extension))))
    )
    SELECT 'critical', 'altered_object', NULL::text, c.name,
           format('%s %s is not as the install script made it: %s', c.kind, c.name, c.what),
           -- The owner first: who makes it anew must own it.
           concat_ws('; ', 'SET plio.enforcement = off', format('ALTER %s %s OWNER TO %s', upper(c.kind), c.name, x.owner),
                     c.definition, 'RESET plio.enforcement')
      FROM changed c CROSS JOIN extension x WHERE c.what IS NOT NULL
    UNION ALL
    SELECT 'critical', 'missing_object', NULL, i.name,
           format('%s %s is gone, or has another name', i.kind, i.name),
           'give it its name back; or dump the database, DROP EXTENSION plio_tenancy, and restore the dump'
      FROM plio._installed i WHERE i.kind <> 'version' AND NOT EXISTS (SELECT 1 FROM own o WHERE o.kind = i.kind AND o.name = i.name)
    UNION ALL
    SELECT 'critical', 'planted_object', NULL, i.identity,
           format('%s lies in the schema of the extension, and is not the extension''s', pg_describe_object(p.classid, p.objid, 0)),
           format('SET plio.enforcement = off; DROP %s %s; RESET plio.enforcement', upper(i.type), i.identity)
      FROM planted p CROSS JOIN LATERAL pg_identify_object(p.classid, p.objid, 0) i
    UNION ALL
    SELECT 'critical', 'planted_object', NULL, o.name,
           format('%s %s was made the extension''s after the installation', o.kind, o.name),
           format('if a missing_object is this one, give it its name back; else ALTER EXTENSION plio_tenancy DROP %s %s, and DROP it', upper(o.kind), o.name)
      FROM own o WHERE NOT EXISTS (SELECT 1 FROM plio._installed i WHERE i.kind = o.kind AND i.name = o.name)
    UNION ALL
    SELECT 'critical', 'extension_schema', NULL, quote_ident(n.nspname),
           format('schema %I belongs to %I, not to the extension''s owner', n.nspname, r.rolname),
           format('SET plio.enforcement = off; ALTER SCHEMA %I OWNER TO %s; RESET plio.enforcement', n.nspname, x.owner)
      FROM pg_namespace n CROSS JOIN extension x JOIN pg_authid r ON r.oid = n.nspowner
     WHERE n.nspname IN ('plio', 'plio_reports') AND n.nspowner <> x.extowner
    UNION ALL
    SELECT 'critical', 'extension_schema', NULL, quote_ident(n.nspname),
           format('%s may create objects in schema %I', w.whom, n.nspname),
           format('SET plio.enforcement = off; REVOKE CREATE ON SCHEMA %I FROM %s; RESET plio.enforcement', n.nspname, w.whom)
      FROM pg_namespace n CROSS JOIN extension x
     CROSS JOIN LATERAL aclexplode(n.nspacl) e
      LEFT JOIN pg_authid r ON r.oid = e.grantee
     CROSS JOIN LATERAL (SELECT CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END) w (whom)
     WHERE n.nspname IN ('plio', 'plio_reports') AND e.privilege_type = 'CREATE' AND e.grantee NOT IN (n.nspowner, x.extowner)
$audit$;
REVOKE ALL ON FUNCTION plio._audit_objects() FROM PUBLIC;
