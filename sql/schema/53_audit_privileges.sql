-- Owners and grants that reach into a tenant past its own role: they open the first layer, native privileges.
CREATE FUNCTION plio._audit_privileges()
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
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
               coalesce(g.grantee = 0 OR r.rolname = 'plio_tenant' OR g.grantee IN (SELECT x.role_oid FROM tenants x WHERE x.role_oid IS NOT NULL), false) AS is_wide
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
      -- A schema's are its tenant's; those of a whole database belong to whoever creates.
      JOIN (SELECT t.schema_oid AS space, NULL::oid AS creator, t.org, t.role_oid FROM tenants t
            UNION ALL SELECT 0, t.role_oid, t.org, t.role_oid FROM tenants t WHERE t.role_oid IS NOT NULL) t
        ON t.space = d.defaclnamespace AND coalesce(t.creator, d.defaclrole) = d.defaclrole
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
    UNION ALL
    -- Whoever owns a table is bound by its policies only where that is said, and inside a tenant the owner is at work.
    SELECT 'warning', 'policy_unforced', p.org, p.oid::regclass::text,
           format('the policies of %s of tenant "%s" bind nobody inside the tenant: %s', p.oid::regclass, p.org,
                  CASE WHEN p.relrowsecurity THEN 'its owner is at work there, whom they bind only with FORCE'
                       ELSE 'row level security of the table is not enabled' END),
           concat_ws('; ', 'SET plio.enforcement = off', format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p.oid::regclass),
                     format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', p.oid::regclass), 'RESET plio.enforcement')
      FROM (SELECT DISTINCT c.oid, c.relrowsecurity, t.org
              FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid JOIN tenants t ON t.schema_oid = c.relnamespace
             WHERE NOT c.relrowsecurity
                OR (NOT c.relforcerowsecurity
                    AND CASE WHEN t.role_oid IS NOT NULL THEN c.relowner = t.role_oid
                             ELSE c.relowner IN (SELECT role_oid FROM plio._entering_roles()) END)) p
$privileges$;
REVOKE ALL ON FUNCTION plio._audit_privileges() FROM PUBLIC;
