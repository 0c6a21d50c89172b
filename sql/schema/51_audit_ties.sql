-- What pg_depend records as a tie: an object that leans on a tenant it does not belong to. The rule is that of the
-- event triggers (policy.rs, is_tie_allowed and is_inheritance_allowed), for what came in behind their back.
CREATE FUNCTION plio._audit_ties()
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_nestloop = off
AS $ties$
    WITH places AS MATERIALIZED (SELECT schema_oid, p.org FROM plio._places() p),
    relations AS MATERIALIZED (
        SELECT c.oid, c.relnamespace, c.relkind, c.relispartition FROM pg_class c WHERE c.relkind <> 't'
    ),
    -- Every object that lies in a schema, or inside a relation that does.
    located (classid, objid, schema_oid, org) AS MATERIALIZED (
        SELECT l.classid, l.objid, l.schema_oid, p.org
          FROM (SELECT 'pg_class'::regclass::oid, oid, relnamespace FROM relations
                UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type
                UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
                UNION ALL SELECT 'pg_constraint'::regclass, oid, connamespace FROM pg_constraint
                UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace FROM pg_operator
                UNION ALL SELECT 'pg_opclass'::regclass, oid, opcnamespace FROM pg_opclass
                UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfnamespace FROM pg_opfamily
                UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace FROM pg_collation
                UNION ALL SELECT 'pg_conversion'::regclass, oid, connamespace FROM pg_conversion
                UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxnamespace FROM pg_statistic_ext
                UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgnamespace FROM pg_ts_config
                UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictnamespace FROM pg_ts_dict
                UNION ALL SELECT 'pg_ts_parser'::regclass, oid, prsnamespace FROM pg_ts_parser
                UNION ALL SELECT 'pg_ts_template'::regclass, oid, tmplnamespace FROM pg_ts_template
                UNION ALL SELECT 'pg_attrdef'::regclass, a.oid, r.relnamespace
                            FROM pg_attrdef a JOIN relations r ON r.oid = a.adrelid
                UNION ALL SELECT 'pg_rewrite'::regclass, w.oid, r.relnamespace
                            FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class
                UNION ALL SELECT 'pg_trigger'::regclass, t.oid, r.relnamespace
                            FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid
                UNION ALL SELECT 'pg_policy'::regclass, o.oid, r.relnamespace
                            FROM pg_policy o JOIN relations r ON r.oid = o.polrelid
               ) l (classid, objid, schema_oid)
          JOIN places p ON p.schema_oid = l.schema_oid
    ),
    crossing AS MATERIALIZED (
        SELECT d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, f.org AS from_org, t.org AS to_org
          FROM pg_depend d
          JOIN located f ON f.classid = d.classid AND f.objid = d.objid
          JOIN located t ON t.classid = d.refclassid AND t.objid = d.refobjid
         WHERE f.schema_oid <> t.schema_oid AND (f.org IS NOT NULL OR t.org IS NOT NULL)
           AND d.refobjid >= 16384
           -- The parts of a partition and the triggers of a foreign key follow what they are part of.
           AND d.deptype NOT IN ('P', 'S') AND NOT (d.deptype = 'i' AND d.classid = 'pg_trigger'::regclass)
    ),
    judged AS (
        SELECT x.*, f.relkind AS from_kind, t.relkind AS to_kind, f.relispartition, w.ev_class, v.relkind AS rewrite_kind
          FROM crossing x
          LEFT JOIN relations f ON x.classid = 'pg_class'::regclass AND f.oid = x.objid
          LEFT JOIN relations t ON x.refclassid = 'pg_class'::regclass AND t.oid = x.refobjid
          LEFT JOIN pg_rewrite w ON x.classid = 'pg_rewrite'::regclass AND w.oid = x.objid
          LEFT JOIN relations v ON v.oid = w.ev_class
         WHERE x.to_org IS NOT NULL
            -- Only inheritance (and OWNED BY) makes a table lean on a table; it carries rows both ways.
            OR (f.relkind IN ('r', 'p', 'f', 'S') AND t.relkind IN ('r', 'p', 'f'))
    ),
    named AS (
        SELECT j.*,
               CASE WHEN j.rewrite_kind IN ('v', 'm') THEN 'pg_class'::regclass::oid ELSE j.classid END AS shown_class,
               CASE WHEN j.rewrite_kind IN ('v', 'm') THEN j.ev_class ELSE j.objid END AS shown_object,
               CASE WHEN j.classid = 'pg_rewrite'::regclass
                    THEN CASE WHEN j.rewrite_kind IN ('v', 'm') THEN 'view' ELSE 'rule' END
                    WHEN j.classid = 'pg_constraint'::regclass
                    THEN CASE WHEN EXISTS (SELECT 1 FROM pg_constraint c WHERE c.oid = j.objid AND c.contype = 'f')
                              THEN 'foreign_key' ELSE 'constraint' END
                    WHEN j.classid = 'pg_attrdef'::regclass THEN 'default'
                    WHEN j.classid = 'pg_trigger'::regclass THEN 'trigger'
                    WHEN j.classid = 'pg_policy'::regclass THEN 'policy'
                    WHEN j.classid = 'pg_proc'::regclass THEN 'function'
                    WHEN j.classid = 'pg_type'::regclass THEN 'type'
                    WHEN j.from_kind IN ('v', 'm') THEN 'view'
                    WHEN j.from_kind IN ('i', 'I') THEN 'index'
                    WHEN j.from_kind = 'S' THEN 'sequence_owner'
                    WHEN j.to_kind IS NOT NULL THEN 'inheritance'
                    WHEN j.from_kind IS NOT NULL THEN 'type'
                    ELSE 'other_dependency' END AS check_name
          FROM judged j
    ),
    -- One row for what one statement mends: a table leans by each column's type and on each parent, other objects as a whole.
    parts AS (
        SELECT n.*,
               CASE WHEN n.check_name = 'inheritance' THEN n.refobjid::bigint
                    WHEN n.check_name = 'type' AND n.from_kind IN ('r', 'p') THEN -n.objsubid ELSE 0 END AS part
          FROM named n
    ),
    -- Tables tell more than their indexes.
    one AS (
        SELECT DISTINCT ON (n.shown_class, n.shown_object, n.part) n.*
          FROM parts n
         ORDER BY n.shown_class, n.shown_object, n.part, (n.check_name = 'type'), (n.to_kind IN ('r', 'p', 'v', 'm', 'f', 'S')) DESC NULLS LAST,
                  n.refclassid, n.refobjid
    )
    SELECT 'critical', o.check_name, coalesce(o.from_org, o.to_org), i.identity,
           format('%s of %s leans on %s of %s', pg_describe_object(o.shown_class, o.shown_object, 0),
                  coalesce(format('tenant "%s"', o.from_org), 'no tenant'), pg_describe_object(o.refclassid, o.refobjid, 0),
                  coalesce(format('tenant "%s"', o.to_org), 'no tenant')),
           CASE WHEN c.contypid <> 0 THEN format('ALTER DOMAIN %s DROP CONSTRAINT %I', c.contypid::regtype, c.conname)
                WHEN c.oid IS NOT NULL THEN format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::regclass, c.conname)
                WHEN a.oid IS NOT NULL
                THEN format('ALTER TABLE %s ALTER COLUMN %I DROP %s', a.adrelid::regclass, l.attname,
                            CASE WHEN l.attgenerated = '' THEN 'DEFAULT' ELSE 'EXPRESSION' END)
                WHEN o.check_name = 'inheritance' AND o.relispartition
                THEN format('ALTER TABLE %s DETACH PARTITION %s', o.refobjid::regclass, o.objid::regclass)
                WHEN o.check_name = 'inheritance'
                THEN format('ALTER TABLE %s NO INHERIT %s', o.objid::regclass, o.refobjid::regclass)
                WHEN o.check_name = 'sequence_owner' THEN format('ALTER SEQUENCE %s OWNED BY NONE', o.objid::regclass)
                WHEN o.check_name = 'type' AND o.from_kind IN ('r', 'p')
                THEN format('ALTER TABLE %s ALTER COLUMN %I TYPE text USING %2$I::text', o.objid::regclass, k.attname)
                WHEN i.type = 'statistics object' THEN format('DROP STATISTICS %s', i.identity)
                ELSE format('DROP %s %s', upper(i.type), i.identity) END
      FROM one o
      CROSS JOIN LATERAL pg_identify_object(o.shown_class, o.shown_object, 0) i
      LEFT JOIN pg_constraint c ON o.classid = 'pg_constraint'::regclass AND c.oid = o.objid
      LEFT JOIN pg_attrdef a ON o.classid = 'pg_attrdef'::regclass AND a.oid = o.objid
      LEFT JOIN pg_attribute l ON l.attrelid = a.adrelid AND l.attnum = a.adnum
      LEFT JOIN pg_attribute k ON o.from_kind IN ('r', 'p') AND k.attrelid = o.objid AND k.attnum = o.objsubid
    UNION ALL
    -- PostgreSQL asks each of them when a row there goes, by a query of its own, with locks on the table and its indexes.
    SELECT 'info', 'many_references', NULL, c.confrelid::regclass::text,
           format('%s foreign keys of %s tenants point at %s: deleting a row there, or changing its key, looks into each of their tables',
                  count(*), count(DISTINCT f.org), c.confrelid::regclass),
           'delete in quiet hours with room for the locks (max_locks_per_transaction), mark rows as deleted instead, or do without these keys'
      FROM pg_constraint c
      JOIN relations r ON r.oid = c.conrelid JOIN places f ON f.schema_oid = r.relnamespace AND f.org IS NOT NULL
      JOIN relations e ON e.oid = c.confrelid JOIN places t ON t.schema_oid = e.relnamespace AND t.org IS NULL
     WHERE c.contype = 'f'
     GROUP BY c.confrelid HAVING count(*) >= 100
    UNION ALL
    -- What lies in no schema and serves everybody: it must not lean on one tenant.
    SELECT 'critical', 'global_object', t.org, i.identity,
           format('%s serves the whole database and leans on %s of tenant "%s"', pg_describe_object(d.classid, d.objid, 0),
                  pg_describe_object(d.refclassid, d.refobjid, 0), t.org),
           format('DROP %s %s', upper(i.type), i.identity)
      FROM (SELECT DISTINCT classid, objid, refclassid, refobjid FROM pg_depend
             WHERE classid IN ('pg_cast'::regclass, 'pg_event_trigger'::regclass, 'pg_language'::regclass,
                               'pg_transform'::regclass, 'pg_foreign_data_wrapper'::regclass, 'pg_am'::regclass)
               AND refclassid = 'pg_proc'::regclass) d
      JOIN pg_proc p ON p.oid = d.refobjid
      JOIN plio._tenant_schemas() t ON t.schema_oid = p.pronamespace
     CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
     WHERE NOT EXISTS (
           -- A cast from or to a type of that very tenant is the tenant's.
           SELECT 1 FROM pg_cast c JOIN pg_type y ON y.oid IN (c.castsource, c.casttarget)
            WHERE d.classid = 'pg_cast'::regclass AND c.oid = d.objid AND y.typnamespace = t.schema_oid)
$ties$;
REVOKE ALL ON FUNCTION plio._audit_ties() FROM PUBLIC;
