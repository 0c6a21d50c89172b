-- Roles belong to the cluster: another database may have made them already.
-- EXECUTE through a string, since CREATE ROLE has no IF NOT EXISTS.
DO LANGUAGE plpgsql $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['plio_admin', 'plio_auditor', 'plio_tenant'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
END
$roles$;

COMMENT ON SCHEMA plio IS 'plio_tenancy: tenants, their boundary, and what a DBA can see of it';
