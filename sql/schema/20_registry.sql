-- The registry. Text columns that are looked up have collation "C": the extension reads them by index, without SQL.
-- Columns are found by position (plio_tenancy_ext/src/registry.rs): an upgrade may only append.

CREATE TABLE plio.tenants (
    tenant_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org         text COLLATE "C" NOT NULL CONSTRAINT tenants_org_key UNIQUE
                CONSTRAINT tenants_org_check CHECK (org ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    schema_name text COLLATE "C" NOT NULL CONSTRAINT tenants_schema_name_key UNIQUE,
    role_name   text COLLATE "C" CONSTRAINT tenants_role_name_key UNIQUE,
    status      text NOT NULL DEFAULT 'active'
                CONSTRAINT tenants_status_check CHECK (status IN ('active', 'suspended', 'dropping')),
    settings    jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
REVOKE ALL ON plio.tenants FROM PUBLIC;
COMMENT ON TABLE plio.tenants IS 'The organizations of this database, one row each; written by plio.create_tenant() and its kin';
COMMENT ON COLUMN plio.tenants.tenant_id IS 'Never used again, not even for the same org';
COMMENT ON COLUMN plio.tenants.org IS 'The short code that the application knows the organization by';
COMMENT ON COLUMN plio.tenants.schema_name IS 'The schema that holds the organization''s data';
COMMENT ON COLUMN plio.tenants.role_name IS 'The role that owns the schema; null for a tenant without a role of its own';
COMMENT ON COLUMN plio.tenants.status IS 'active: may be entered; suspended: kept, but closed; dropping: closed, and partly dropped already';
COMMENT ON COLUMN plio.tenants.settings IS 'Free for the application';
COMMENT ON COLUMN plio.tenants.created_at IS 'When the tenant was created';

CREATE TABLE plio.access (
    role_name  text COLLATE "C" NOT NULL,
    -- No foreign key to plio.tenants: a parallel pg_restore does not order the data of an extension's tables by it.
    org        text COLLATE "C",
    granted_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    granted_by text NOT NULL DEFAULT SESSION_USER,
    -- A name may be another role's tomorrow: the oid says whose the row is, in the cluster whose oids it counts in.
    role_oid   oid,
    cluster    bigint,
    CONSTRAINT access_org_role_name_key UNIQUE NULLS NOT DISTINCT (org, role_name)
);
REVOKE ALL ON plio.access FROM PUBLIC;
COMMENT ON TABLE plio.access IS 'Which login role (or group of them) may enter which tenant; administrators may enter every one';
COMMENT ON COLUMN plio.access.role_name IS 'The name of the role that may enter, and with it its members';
COMMENT ON COLUMN plio.access.role_oid IS 'The role itself: renamed, it keeps its access';
COMMENT ON COLUMN plio.access.cluster IS 'The cluster in which the role has that oid (system_identifier of pg_control_system()); in another one plio.repair() ties the row by name';
COMMENT ON COLUMN plio.access.granted_at IS 'When it was granted';
COMMENT ON COLUMN plio.access.granted_by IS 'The session''s user who granted it';
COMMENT ON COLUMN plio.access.org IS 'The tenant; null for every tenant, those to come included';

CREATE TABLE plio.shares (
    schema_name   text COLLATE "C" NOT NULL,
    relation_name text COLLATE "C",
    mode          text NOT NULL CONSTRAINT shares_mode_check CHECK (mode IN ('read', 'write')),
    shared_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
    shared_by     text NOT NULL DEFAULT SESSION_USER,
    is_function   boolean NOT NULL DEFAULT false,
    CONSTRAINT shares_name_key UNIQUE NULLS NOT DISTINCT (schema_name, relation_name, is_function)
);
REVOKE ALL ON plio.shares FROM PUBLIC;
COMMENT ON TABLE plio.shares IS 'What tenants may reach outside their own schema; written by plio.share() and plio.unshare()';
COMMENT ON COLUMN plio.shares.schema_name IS 'The schema that is shared, or that holds what is shared';
COMMENT ON COLUMN plio.shares.mode IS 'read: SELECT and REFERENCES; write: INSERT, UPDATE and DELETE, too';
COMMENT ON COLUMN plio.shares.shared_at IS 'When it was shared';
COMMENT ON COLUMN plio.shares.shared_by IS 'The session''s user who shared it';
COMMENT ON COLUMN plio.shares.relation_name IS 'A table, view or sequence, or a function with its arguments; null for the whole schema, what is created in it later included';
COMMENT ON COLUMN plio.shares.is_function IS 'Whether it is a function, a procedure or an aggregate, which tenants may call';

CREATE TABLE plio.history (
    history_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    actor          text NOT NULL DEFAULT SESSION_USER,
    action         text NOT NULL,
    org            text,
    detail         jsonb NOT NULL DEFAULT '{}',
    transaction_id xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    -- Not the owner of the function that writes the row: a definer function leaves the setting alone.
    role_name      text NOT NULL
                   DEFAULT coalesce(nullif(pg_catalog.current_setting('role'), 'none'), SESSION_USER)
);
REVOKE ALL ON plio.history FROM PUBLIC;
COMMENT ON TABLE plio.history IS 'What administrators did to tenants: who, when, what, in which transaction; only ever appended to';

COMMENT ON COLUMN plio.history.history_id IS 'In the order of writing';
COMMENT ON COLUMN plio.history.at IS 'When, by the clock';
COMMENT ON COLUMN plio.history.actor IS 'The session''s user';
COMMENT ON COLUMN plio.history.action IS 'The function that was called; or what followed by itself: access_follows_role, share_follows_object, share_ends_with_object';
COMMENT ON COLUMN plio.history.org IS 'The tenant; null for what concerns none or every one';
COMMENT ON COLUMN plio.history.detail IS 'What else the function was given, or made';
COMMENT ON COLUMN plio.history.transaction_id IS 'The transaction it was done in';
COMMENT ON COLUMN plio.history.role_name IS 'The role in force: that of SET ROLE, or the session''s user';

CREATE FUNCTION plio._on_registry_change() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'plio_on_registry_change';
REVOKE ALL ON FUNCTION plio._on_registry_change() FROM PUBLIC;
CREATE TRIGGER tell_every_backend AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON plio.tenants
    FOR EACH STATEMENT EXECUTE FUNCTION plio._on_registry_change();
CREATE TRIGGER tell_every_backend AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON plio.access
    FOR EACH STATEMENT EXECUTE FUNCTION plio._on_registry_change();
CREATE TRIGGER tell_every_backend AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON plio.shares
    FOR EACH STATEMENT EXECUTE FUNCTION plio._on_registry_change();
-- Also in a restore or a replica's apply process: a registry that changed unnoticed would be a boundary that lies.
ALTER TABLE plio.tenants ENABLE ALWAYS TRIGGER tell_every_backend;
ALTER TABLE plio.access ENABLE ALWAYS TRIGGER tell_every_backend;
ALTER TABLE plio.shares ENABLE ALWAYS TRIGGER tell_every_backend;

-- Only ever appended to; the event triggers refuse to take this trigger away (history.rs).
CREATE FUNCTION plio._refuse_history_change() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'plio_refuse_history_change';
REVOKE ALL ON FUNCTION plio._refuse_history_change() FROM PUBLIC;
CREATE TRIGGER only_appended BEFORE UPDATE OR DELETE OR TRUNCATE ON plio.history
    FOR EACH STATEMENT EXECUTE FUNCTION plio._refuse_history_change();
ALTER TABLE plio.history ENABLE ALWAYS TRIGGER only_appended;

SELECT pg_catalog.pg_extension_config_dump('plio.tenants', '');
SELECT pg_catalog.pg_extension_config_dump('plio.tenants_tenant_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('plio.access', '');
SELECT pg_catalog.pg_extension_config_dump('plio.shares', '');
SELECT pg_catalog.pg_extension_config_dump('plio.history', '');
SELECT pg_catalog.pg_extension_config_dump('plio.history_history_id_seq', '');

-- Adopted tenants: their schema was there before. What plio.assign_role() changed, so that plio.unassign_role() can put it
-- back. Objects by their names. An owner is the role with that oid in that cluster; its name is for people, and for plio.repair()
-- in another cluster.
CREATE TABLE plio.previous_owners (
    tenant_id    bigint NOT NULL,
    object_type  text COLLATE "C" NOT NULL,
    object_name  text[] COLLATE "C" NOT NULL,
    object_args  text[] COLLATE "C" NOT NULL,
    owner_name   text COLLATE "C" NOT NULL,
    granted_usage boolean NOT NULL DEFAULT false,
    owner_oid    oid,
    cluster      bigint,
    CONSTRAINT previous_owners_key UNIQUE (tenant_id, object_type, object_name, object_args)
);
REVOKE ALL ON plio.previous_owners FROM PUBLIC;
GRANT SELECT ON plio.previous_owners TO plio_admin, plio_auditor;
COMMENT ON TABLE plio.previous_owners IS
    'Whose the objects of an adopted tenant were before plio.assign_role(): the schema, and what was not the schema''s owner''s';
COMMENT ON COLUMN plio.previous_owners.tenant_id IS 'The tenant';
COMMENT ON COLUMN plio.previous_owners.object_type IS 'The kind, as pg_identify_object() says it; schema for the schema itself';
COMMENT ON COLUMN plio.previous_owners.object_name IS 'The name without the schema; empty for the schema itself';
COMMENT ON COLUMN plio.previous_owners.object_args IS 'The arguments of functions and operators';
COMMENT ON COLUMN plio.previous_owners.owner_name IS 'The name of the owner before';
COMMENT ON COLUMN plio.previous_owners.owner_oid IS 'The owner itself: renamed, it stays the owner';
COMMENT ON COLUMN plio.previous_owners.cluster IS 'The cluster in which the role has that oid (system_identifier of pg_control_system()); in another one plio.repair() ties the row by name';
COMMENT ON COLUMN plio.previous_owners.granted_usage IS 'USAGE on the schema was granted to PUBLIC by plio.assign_role()';
SELECT pg_catalog.pg_extension_config_dump('plio.previous_owners', '');
