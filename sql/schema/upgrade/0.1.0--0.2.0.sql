-- What the comparison of the two install scripts cannot know: changed tables, and what must be dropped first.

-- Denials: how often, and when for the last time. The view must not be dropped: others may depend on it.
ALTER TABLE plio.denials_history ADD COLUMN times bigint NOT NULL DEFAULT 1, ADD COLUMN last_at timestamptz;
CREATE FUNCTION plio."_kept_denials"("first" bigint, "for_good" bool)
RETURNS TABLE ("denial_id" bigint, "at" timestamptz, "pid" integer, "session_id" text, "login_role" text, "org" text, "kind" text,
               "message" text, "sqlstate" text, "query_id" bigint, "enforced" bool, "times" bigint, "last_at" timestamptz)
STRICT VOLATILE PARALLEL RESTRICTED LANGUAGE c AS 'MODULE_PATHNAME', '_kept_denials_wrapper';
CREATE OR REPLACE VIEW plio.denials AS
    SELECT d.denial_id, d.at, d.pid, d.session_id, d.login_role, d.org, d.kind, d.message, d.sqlstate, d.query_id, d.enforced,
           d.times, d.last_at
      FROM plio._kept_denials(0, false) d;
DROP FUNCTION plio._denials(bigint);

-- unassign_role() may be told who is to own the schema.
DROP FUNCTION plio.unassign_role(text);

-- A tenant may be partly dropped.
ALTER TABLE plio.tenants DROP CONSTRAINT tenants_status_check,
    ADD CONSTRAINT tenants_status_check CHECK (status IN ('active', 'suspended', 'dropping'));
-- Functions can be shared.
ALTER TABLE plio.shares ADD COLUMN is_function boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT shares_name_key,
    ADD CONSTRAINT shares_name_key UNIQUE NULLS NOT DISTINCT (schema_name, relation_name, is_function);

-- Access is the role's, by its oid in this cluster.
CREATE FUNCTION plio."_cluster"() RETURNS bigint
    STRICT STABLE PARALLEL SAFE LANGUAGE c AS 'MODULE_PATHNAME', '_cluster_wrapper';
ALTER TABLE plio.access ADD COLUMN role_oid oid, ADD COLUMN cluster bigint;
-- 0.1.0 went by the name, of a role that stands in the schema's access list.
UPDATE plio.access a SET role_oid = r.oid, cluster = plio._cluster()
  FROM pg_catalog.pg_roles r, pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) e
 WHERE r.rolname OPERATOR(pg_catalog.=) a.role_name AND n.nspname OPERATOR(pg_catalog.=) 'plio'
   AND e.grantee OPERATOR(pg_catalog.=) r.oid;

-- Previous owners are roles, by their oid in this cluster.
ALTER TABLE plio.previous_owners ADD COLUMN owner_oid oid, ADD COLUMN cluster bigint;
UPDATE plio.previous_owners p SET owner_oid = r.oid, cluster = plio._cluster()
  FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) p.owner_name;
