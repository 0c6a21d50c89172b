-- Whoever may create in the database may have made a schema of this name before, with functions in it that ours would find first.
DO LANGUAGE plpgsql $only_on_create$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
                WHERE n.nspname = 'plio' AND NOT r.rolsuper)
       OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                   WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                     AND d.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass
                     AND d.refobjid = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'plio')) THEN
        RAISE EXCEPTION 'schema "plio" belongs to another role or is not empty'
              USING ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = 'Look at what is in it, and drop or rename it before CREATE EXTENSION plio_tenancy.';
    END IF;
END
$only_on_create$;

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
