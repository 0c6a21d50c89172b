-- Only a procedure commits: what one transaction cannot lock is dropped in several. It runs with the caller's rights and on
-- his path, so it names nothing without its schema, and uses no operator.
CREATE PROCEDURE plio.drop_tenant_in_steps(org text, confirm text)
LANGUAGE plpgsql AS $steps$
BEGIN
    WHILE plio._drop_tenant_step(org, confirm) LOOP
        COMMIT;
    END LOOP;
END
$steps$;
COMMENT ON PROCEDURE plio.drop_tenant_in_steps(text, text) IS
    'Drops a tenant that is too large for plio.drop_tenant(), committing after each step; to be called again if it was cut off';

-- By default nobody may do anything but ask; the last GRANT also tells every backend that the schema is complete.
REVOKE ALL ON FUNCTION
    plio.create_tenant(text, text, jsonb), plio.suspend_tenant(text), plio.resume_tenant(text),
    plio.rename_tenant(text, text), plio.drop_tenant(text, text), plio._drop_tenant_step(text, text),
    plio.grant_access(text, text), plio.revoke_access(text, text),
    plio.grant_access_to_every_tenant(text), plio.revoke_access_to_every_tenant(text),
    plio.share(text, text), plio.unshare(text), plio.repair(),
    plio._cluster(), plio._enable_preload(), plio._loaded_as()
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    plio.create_tenant(text, text, jsonb), plio.suspend_tenant(text), plio.resume_tenant(text),
    plio.rename_tenant(text, text), plio.drop_tenant(text, text),
    plio.grant_access(text, text), plio.revoke_access(text, text),
    plio.grant_access_to_every_tenant(text), plio.revoke_access_to_every_tenant(text),
    plio.share(text, text), plio.unshare(text), plio._drop_tenant_step(text, text), plio.repair()
    TO plio_admin;
REVOKE ALL ON PROCEDURE plio.drop_tenant_in_steps(text, text) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE plio.drop_tenant_in_steps(text, text) TO plio_admin;
GRANT EXECUTE ON FUNCTION plio.health() TO plio_admin, plio_auditor;
GRANT SELECT ON plio.tenants, plio.access, plio.shares, plio.history TO plio_admin, plio_auditor;

COMMENT ON FUNCTION plio.set_tenant(text) IS
    'Sets the tenant of this transaction: checked against the registry, locked until the transaction ends';
COMMENT ON FUNCTION plio.current_tenant() IS 'The organization whose tenant is active; null when none is';
COMMENT ON FUNCTION plio.require_tenant() IS 'The organization whose tenant is active; an error when none is';
COMMENT ON FUNCTION plio.version() IS 'The version of the library that is loaded; plio.health() says when the SQL objects are of another';
COMMENT ON FUNCTION plio.create_tenant(text, text, jsonb) IS
    'Creates a tenant: registry row, NOLOGIN owner role and schema (tenant_<org> unless named); returns the schema''s name';
COMMENT ON FUNCTION plio.suspend_tenant(text) IS 'Closes a tenant once the transactions in it have ended';
COMMENT ON FUNCTION plio.resume_tenant(text) IS 'Opens a suspended tenant again';
COMMENT ON FUNCTION plio.rename_tenant(text, text) IS
    'Gives a tenant another org; a schema with the default name is renamed with it';
COMMENT ON FUNCTION plio.drop_tenant(text, text) IS
    'Drops a tenant, its schema with everything in it, and its role; the second argument repeats the org';
COMMENT ON FUNCTION plio.grant_access(text, text) IS 'Lets a role and its members enter a tenant: role, org';
COMMENT ON FUNCTION plio.revoke_access(text, text) IS 'Takes plio.grant_access() back: role, org';
COMMENT ON FUNCTION plio.grant_access_to_every_tenant(text) IS
    'Lets a role and its members enter every tenant, those to come included';
COMMENT ON FUNCTION plio.revoke_access_to_every_tenant(text) IS 'Takes plio.grant_access_to_every_tenant() back';
COMMENT ON FUNCTION plio.share(text, text) IS
    'Opens a table, view, sequence (schema.relation), a function (schema.function(types)) or a whole schema to all tenants: ''read'' or ''write''';
COMMENT ON FUNCTION plio.repair() IS
    'Ties access and tenants to this cluster''s roles, after a restore or after roles were renamed elsewhere; one row for each thing done';
COMMENT ON FUNCTION plio.unshare(text) IS 'Takes plio.share() back';

DO $remember$ BEGIN PERFORM plio._remember_objects('0.2.0'); END $remember$;
SELECT plio._enable_preload();
GRANT USAGE ON SCHEMA plio TO PUBLIC;
