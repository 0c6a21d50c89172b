-- audit(): what crosses a boundary. One function a group of checks (51 to 56), each of the shape of _audit_row;
-- 59_audit.sql puts them together. All of it is set-based: no loop over tenants. docs/audit.md describes each check.

REVOKE ALL ON FUNCTION plio._severity_rank(text), plio._schemas_in_code(text, text), plio._names_in_list(text), plio._connecting_extensions() FROM PUBLIC;

-- Which schema is whose; inlined into the queries that use it.
CREATE FUNCTION plio._tenant_schemas() RETURNS TABLE (schema_oid oid, org text, role_oid oid)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
AS $$
    SELECT n.oid, t.org, r.oid
      FROM plio.tenants t
      JOIN pg_catalog.pg_namespace n ON n.nspname OPERATOR(pg_catalog.=) t.schema_name
      LEFT JOIN pg_catalog.pg_authid r ON r.rolname OPERATOR(pg_catalog.=) t.role_name
$$;
REVOKE ALL ON FUNCTION plio._tenant_schemas() FROM PUBLIC;

-- Every schema but PostgreSQL's own, temporary ones and ours, with its tenant, if any.
CREATE FUNCTION plio._places() RETURNS TABLE (schema_oid oid, org text, role_oid oid)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
AS $$
    SELECT n.oid, s.org, s.role_oid
      FROM pg_catalog.pg_namespace n LEFT JOIN plio._tenant_schemas() s ON s.schema_oid OPERATOR(pg_catalog.=) n.oid
     WHERE n.nspname OPERATOR(pg_catalog.!~) '^pg_'
       AND n.nspname OPERATOR(pg_catalog.<>) ALL (ARRAY['information_schema', 'plio', 'plio_reports']::name[])
$$;
REVOKE ALL ON FUNCTION plio._places() FROM PUBLIC;

-- Who may enter tenants, groups' members included, without superusers that nobody named.
CREATE FUNCTION plio._entering_roles() RETURNS TABLE (role_oid oid, role_name name)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
AS $$
    WITH RECURSIVE entering (oid) AS (
        SELECT a.role_oid FROM plio._access_ties() a WHERE a.role_oid IS NOT NULL
        UNION
        SELECT m.member FROM entering e JOIN pg_catalog.pg_auth_members m ON m.roleid OPERATOR(pg_catalog.=) e.oid
    )
    SELECT r.oid, r.rolname FROM entering e JOIN pg_catalog.pg_authid r ON r.oid OPERATOR(pg_catalog.=) e.oid
$$;
REVOKE ALL ON FUNCTION plio._entering_roles() FROM PUBLIC;
