-- Roles belong to the cluster: another database may have made them already.
-- CREATE ROLE has no IF NOT EXISTS, and another session may be making them at this moment.
DO LANGUAGE plpgsql $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['plio_admin', 'plio_auditor', 'plio_reporter', 'plio_tenant'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$roles$;

COMMENT ON SCHEMA plio IS 'plio_tenancy: tenants, their boundary, and what a DBA can see of it';
