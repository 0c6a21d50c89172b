-- Adopted tenants: their schema was there before. What plio.assign_role() changed is in plio.previous_owners (20_registry.sql).

-- What in a schema has an owner of its own: not indexes, row types, arrays, multiranges and owned sequences, which follow
-- their table or type; not the constructors of range types, which PostgreSQL makes as the bootstrap superuser's; not the
-- members of extensions.
CREATE FUNCTION plio._owned_objects(schema oid)
RETURNS TABLE (type text, identity text, name text[], args text[], owner text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $objects$
    WITH objects (class, object, owner) AS (
        SELECT 'pg_class'::regclass, c.oid, c.relowner FROM pg_class c
         WHERE c.relnamespace = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
           AND NOT (c.relkind = 'S' AND EXISTS (
                   SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid <> 0 AND d.deptype IN ('a', 'i')))
        UNION ALL
        SELECT 'pg_type'::regclass, t.oid, t.typowner FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
         WHERE t.typnamespace = $1 AND (t.typtype IN ('b', 'd', 'e', 'r') OR c.relkind = 'c')
           AND NOT EXISTS (SELECT 1 FROM pg_type e WHERE e.typarray = t.oid)
        UNION ALL SELECT 'pg_proc'::regclass, p.oid, p.proowner FROM pg_proc p
                   WHERE p.pronamespace = $1 AND NOT EXISTS (
                         SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
        UNION ALL SELECT 'pg_operator'::regclass, oid, oprowner FROM pg_operator WHERE oprnamespace = $1
        UNION ALL SELECT 'pg_opclass'::regclass, oid, opcowner FROM pg_opclass WHERE opcnamespace = $1
        UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfowner FROM pg_opfamily WHERE opfnamespace = $1
        UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner FROM pg_conversion WHERE connamespace = $1
        UNION ALL SELECT 'pg_collation'::regclass, oid, collowner FROM pg_collation WHERE collnamespace = $1
        UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictowner FROM pg_ts_dict WHERE dictnamespace = $1
        UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgowner FROM pg_ts_config WHERE cfgnamespace = $1
        UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxowner FROM pg_statistic_ext WHERE stxnamespace = $1
    )
    SELECT i.type, i.identity, a.object_names[2:], a.object_args, r.rolname
      FROM objects o, pg_identify_object(o.class, o.object, 0) i,
           pg_identify_object_as_address(o.class, o.object, 0) a, pg_roles r
     WHERE r.oid = o.owner AND NOT EXISTS (
           SELECT 1 FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.object AND d.deptype = 'e')
     ORDER BY o.class, o.object
$objects$;
REVOKE ALL ON FUNCTION plio._owned_objects(oid) FROM PUBLIC;

-- The checked forms of PostgreSQL's functions on sequences, for which the planner hook exchanges them. They judge their argument
-- and then do as the originals.
CREATE FUNCTION plio._nextval(regclass) RETURNS bigint
    STRICT VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'plio_nextval';
CREATE FUNCTION plio._currval(regclass) RETURNS bigint
    STRICT VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'plio_currval';
CREATE FUNCTION plio._setval(regclass, bigint) RETURNS bigint
    STRICT VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'plio_setval';
CREATE FUNCTION plio._setval(regclass, bigint, boolean) RETURNS bigint
    STRICT VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'plio_setval3';
CREATE FUNCTION plio._sequence_last_value(regclass) RETURNS bigint
    STRICT VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', '_sequence_last_value_wrapper';
CREATE FUNCTION plio._sequence_in_reach(regclass) RETURNS regclass
    STRICT VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', '_sequence_in_reach_wrapper';

CREATE FUNCTION plio.adopt_tenant(
    org text, schema_name text, settings jsonb DEFAULT '{}', allow_ties boolean DEFAULT false)
    RETURNS void VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    LANGUAGE c AS 'MODULE_PATHNAME', 'adopt_tenant_wrapper';
CREATE FUNCTION plio.release_tenant(org text, confirm text)
    RETURNS void VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    LANGUAGE c AS 'MODULE_PATHNAME', 'release_tenant_wrapper';
CREATE FUNCTION plio.assign_role(org text)
    RETURNS text VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    LANGUAGE c AS 'MODULE_PATHNAME', 'assign_role_wrapper';
CREATE FUNCTION plio.unassign_role(org text, new_owner text DEFAULT NULL)
    RETURNS void VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    LANGUAGE c AS 'MODULE_PATHNAME', 'unassign_role_to_wrapper';
CREATE FUNCTION plio.schema_ties(schema_name text) RETURNS TABLE (object text, depends_on text)
    STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    LANGUAGE c AS 'MODULE_PATHNAME', 'schema_ties_wrapper';
REVOKE ALL ON FUNCTION
    plio.adopt_tenant(text, text, jsonb, boolean), plio.release_tenant(text, text), plio.assign_role(text),
    plio.unassign_role(text, text), plio.schema_ties(text)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    plio.adopt_tenant(text, text, jsonb, boolean), plio.release_tenant(text, text), plio.assign_role(text),
    plio.unassign_role(text, text), plio.schema_ties(text)
    TO plio_admin;
COMMENT ON FUNCTION plio.adopt_tenant(text, text, jsonb, boolean) IS
    'Makes an existing schema a tenant without a role of its own; its owner and grants stay as they are';
COMMENT ON FUNCTION plio.release_tenant(text, text) IS
    'Takes plio.adopt_tenant() back: the schema is no tenant any more, and stays as it is; the second argument repeats the org';
COMMENT ON FUNCTION plio.assign_role(text) IS
    'Gives an adopted tenant a role of its own, which owns its schema and all in it from then on; returns the role''s name';
COMMENT ON FUNCTION plio.unassign_role(text, text) IS
    'Takes plio.assign_role() back: every object is its previous owner''s again, or all of them the new owner''s that is named';
COMMENT ON FUNCTION plio.schema_ties(text) IS
    'What would tie a schema to a tenant, or a shared object to it, if it were a tenant''s: one row a dependency';
