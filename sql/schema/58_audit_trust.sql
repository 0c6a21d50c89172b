-- Whose code tenants may meet: what cache/code.rs refuses inside tenants, said before it bites.
CREATE FUNCTION plio._audit_trust()
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $trust$
    WITH administrators AS MATERIALIZED (
        SELECT a.oid FROM plio._administrators() a (oid)
    ),
    -- What lies outside tenants and was not shared as a whole.
    outside AS MATERIALIZED (
        SELECT p.schema_oid, n.nspname FROM plio._places() p JOIN pg_namespace n ON n.oid = p.schema_oid
         WHERE p.org IS NULL
           AND NOT EXISTS (SELECT FROM plio.shares s WHERE s.schema_name = n.nspname AND s.relation_name IS NULL)
    ),
    code AS MATERIALIZED (
        SELECT 'pg_proc'::regclass AS class, p.oid, p.proowner AS owner, o.nspname
          FROM pg_proc p JOIN outside o ON o.schema_oid = p.pronamespace
        UNION ALL
        SELECT 'pg_operator'::regclass, p.oid, p.oprowner, o.nspname
          FROM pg_operator p JOIN outside o ON o.schema_oid = p.oprnamespace
    ),
    -- A login role trusts itself and its groups, a tenant its owner: whoever is neither to one of them is a stranger there.
    strangers AS MATERIALIZED (
        SELECT w.owner FROM (SELECT DISTINCT owner FROM code) w
         WHERE w.owner NOT IN (SELECT oid FROM administrators)
           AND EXISTS (SELECT FROM plio._entering_roles() e JOIN pg_authid r ON r.oid = e.role_oid
                        WHERE r.rolcanlogin AND r.oid <> w.owner AND NOT pg_has_role(r.oid, w.owner, 'MEMBER'))
           AND EXISTS (SELECT FROM plio._tenant_schemas() s JOIN pg_namespace n ON n.oid = s.schema_oid
                        WHERE n.nspowner <> w.owner)
    ),
    named AS (
        SELECT c.class, c.nspname, pg_get_userbyid(c.owner) AS owner, i.identity
          FROM code c JOIN strangers USING (owner) CROSS JOIN LATERAL pg_identify_object(c.class, c.oid, 0) i
    ),
    on_path AS MATERIALIZED (
        SELECT n.oid, n.nspname, coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl
          FROM pg_namespace n
         WHERE n.nspname IN (SELECT schema_name FROM plio.shares)
            OR n.oid IN (SELECT extnamespace FROM pg_extension
                          WHERE extowner IN (SELECT oid FROM administrators) AND extname <> 'plio_tenancy')
           AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    )
    SELECT 'warning', 'untrusted_code', NULL::text, n.identity,
           format('%s belongs to %I: tenants'' sessions whose role is not a member of that are refused it', n.identity, n.owner),
           CASE WHEN n.class = 'pg_proc'::regclass THEN format('SELECT plio.share(%L, ''read'')', n.identity)
                ELSE format('SELECT plio.share(%L, ''read''), or ALTER OPERATOR .. OWNER TO an administrator', quote_ident(n.nspname)) END
      FROM named n
     WHERE n.class <> 'pg_proc'::regclass
        OR NOT EXISTS (SELECT FROM plio.shares s
                        WHERE s.is_function AND s.schema_name = n.nspname
                          AND format('%I.%s', s.schema_name, s.relation_name) = n.identity)
    UNION ALL
    SELECT 'warning', 'open_schema', NULL, quote_ident(p.nspname),
           format('%s may create in schema %I, which is on every tenant''s path: what is made there can stand in the way of what tenants call',
                  w.whom, p.nspname),
           format('REVOKE CREATE ON SCHEMA %I FROM %s', p.nspname, w.whom)
      FROM on_path p CROSS JOIN LATERAL aclexplode(p.acl) a LEFT JOIN pg_authid r ON r.oid = a.grantee
     CROSS JOIN LATERAL (SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END) w (whom)
     WHERE a.privilege_type = 'CREATE'
       AND (a.grantee = 0 OR r.rolname <> 'pg_database_owner' AND a.grantee NOT IN (SELECT oid FROM administrators))
    UNION ALL
    SELECT 'info', 'untrusted_extension', NULL, quote_ident(x.extname),
           format('extension %I belongs to %I, who may put objects into it: its tables are not open to tenants, its schema is not on their path',
                  x.extname, pg_get_userbyid(x.extowner)),
           format('install it as an administrator, or SELECT plio.share(%L, ''read'')', x.extnamespace::regnamespace::text)
      FROM pg_extension x
     WHERE x.extowner NOT IN (SELECT oid FROM administrators)
$trust$;
REVOKE ALL ON FUNCTION plio._audit_trust() FROM PUBLIC;
