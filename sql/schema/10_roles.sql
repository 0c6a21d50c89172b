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

-- Who is a member of the extension's groups, or may make members, though no superuser said so. Each row of pg_auth_members was
-- given by somebody: a superuser, or one who has ADMIN OPTION from a superuser (or through a group that has). From 16 on
-- whoever makes a role is given ADMIN on it in the first superuser's name, without INHERIT and SET: no superuser chose that. On 15
-- the giver may be gone, and is believed. Plain members of plio_tenant have no right by it but what is shared: audit() names them.
CREATE FUNCTION plio._stray_members() RETURNS TABLE (group_name text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $stray$
    WITH RECURSIVE given AS MATERIALIZED (
        SELECT m.roleid, g.rolname AS group_name, m.member, r.rolname AS member_name, r.rolsuper, m.admin_option,
               m.grantor, o.rolname AS grantor_name, coalesce(o.rolsuper, true) AS is_by_superuser,
               -- The columns are not there before 16.
               coalesce((to_jsonb(m) ->> 'inherit_option')::boolean OR (to_jsonb(m) ->> 'set_option')::boolean, true) AS is_usable
          FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member
          LEFT JOIN pg_roles o ON o.oid = m.grantor
         WHERE g.rolname IN ('plio_admin', 'plio_auditor', 'plio_reporter', 'plio_tenant')
    ),
    chosen (roleid, member) AS (
        SELECT roleid, member FROM given WHERE admin_option AND (rolsuper OR is_by_superuser AND is_usable)
        UNION
        SELECT g.roleid, g.member FROM given g JOIN chosen c ON c.roleid = g.roleid AND pg_has_role(g.grantor, c.member, 'MEMBER')
         WHERE g.admin_option AND NOT g.is_by_superuser
    )
    SELECT g.group_name,
           CASE WHEN NOT g.is_by_superuser THEN format('%I was made a member of %I by %I', g.member_name, g.group_name, g.grantor_name)
                ELSE format('%I made the role %I, and may give it to itself and to others', g.member_name, g.group_name) END,
           format('REVOKE %I FROM %I GRANTED BY %I CASCADE', g.group_name, g.member_name, g.grantor_name)
      FROM given g
     WHERE NOT g.rolsuper AND (g.admin_option OR g.group_name <> 'plio_tenant')
       AND NOT (g.is_by_superuser AND (g.is_usable OR NOT g.admin_option))
       AND (g.is_by_superuser
            OR NOT EXISTS (SELECT FROM chosen c WHERE c.roleid = g.roleid AND pg_has_role(g.grantor, c.member, 'MEMBER')))
$stray$;
REVOKE ALL ON FUNCTION plio._stray_members() FROM PUBLIC;

-- Roles belong to the cluster: another database may have made them already, or a restore, and then they may have members. Or a
-- role with CREATEROLE made them, to become an administrator by what it was given so.
-- CREATE ROLE has no IF NOT EXISTS, and another session may be making them at this moment.
DO LANGUAGE plpgsql $roles$
DECLARE
    wanted text;
    found record;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['plio_admin', 'plio_auditor', 'plio_reporter', 'plio_tenant'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
                CONTINUE;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        SELECT pg_catalog.string_agg(s.detail, '; ') AS details, pg_catalog.string_agg(s.fix, '; ') AS fixes INTO found
          FROM plio._stray_members() s WHERE s.group_name = wanted;
        IF found.details IS NOT NULL THEN
            RAISE EXCEPTION 'role "%" has members that no superuser chose', wanted
                  USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = found.details || '.',
                        HINT = pg_catalog.format('Where no other database has plio_tenancy, drop the role and what it owns. Otherwise: %s. To keep a member, GRANT it the role as a superuser.', found.fixes);
        END IF;
        IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles r
                    WHERE r.rolname = wanted
                      AND (r.rolsuper OR r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)) THEN
            RAISE EXCEPTION 'role "%" may log in, or has rights that a group of plio_tenancy must not have', wanted
                  USING ERRCODE = 'object_not_in_prerequisite_state',
                        HINT = pg_catalog.format('Where no other database has plio_tenancy, drop the role and what it owns. Otherwise: ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS.', wanted);
        END IF;
        IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_shdepend d ON d.refobjid = r.oid
                    WHERE r.rolname = wanted AND d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype = 'o'
                      AND d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
                      AND d.classid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)) THEN
            RAISE WARNING 'role "%" was there before plio_tenancy, and owns functions or operators', wanted
                  USING HINT = pg_catalog.format('Where an administrator made them, all is well. Otherwise DROP OWNED BY %I: tenants'' sessions trust what it owns.', wanted);
        END IF;
    END LOOP;
END
$roles$;

COMMENT ON SCHEMA plio IS 'plio_tenancy: tenants, their boundary, and what a DBA can see of it';
