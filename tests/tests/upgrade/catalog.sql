-- Everything that the extension is made of, one row for each object, without oids: equal for an update and a fresh install.
WITH members AS (
    SELECT d.classid, d.objid
      FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
     WHERE x.extname = 'plio_tenancy' AND d.deptype = 'e'
), acl (classid, objid, text) AS (
    SELECT m.classid, m.objid, string_agg(concat_ws(' ', coalesce(nullif(e.grantee, 0)::regrole::text, 'PUBLIC'), e.privilege_type,
               e.is_grantable), ', ' ORDER BY e.grantee <> 0, e.grantee::regrole::text, e.privilege_type)
      FROM members m
      JOIN (SELECT 'pg_class'::regclass::oid, oid, relacl FROM pg_class
            UNION ALL SELECT 'pg_proc'::regclass, oid, proacl FROM pg_proc
            UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvacl FROM pg_foreign_server
            UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, fdwacl FROM pg_foreign_data_wrapper
            UNION ALL SELECT 'pg_namespace'::regclass, oid, nspacl FROM pg_namespace) a (classid, objid, acl)
           USING (classid, objid)
     CROSS JOIN LATERAL aclexplode(a.acl) e
     GROUP BY m.classid, m.objid
), dumped AS (
    SELECT c.oid, f.filter FROM pg_extension x, unnest(x.extconfig, x.extcondition) f (oid, filter) JOIN pg_class c USING (oid)
     WHERE x.extname = 'plio_tenancy'
)
SELECT pg_describe_object(m.classid, m.objid, 0) AS object,
       concat_ws(E'\n',
           obj_description(m.objid, m.classid::regclass::name),
           'acl: ' || acl.text,
           CASE WHEN p.oid IS NOT NULL AND p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
           CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END,
           'dumped: ' || dumped.filter,
           (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull,
                              a.attidentity, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)), E'\n' ORDER BY a.attnum)
              FROM pg_attribute a LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v')),
           (SELECT string_agg(concat_ws(' ', pg_get_constraintdef(k.oid), k.conname), E'\n' ORDER BY k.conname) FROM pg_constraint k
             WHERE k.conrelid = c.oid),
           (SELECT string_agg(pg_get_indexdef(i.indexrelid), E'\n' ORDER BY i.indexrelid::regclass::text) FROM pg_index i
             WHERE i.indrelid = c.oid),
           (SELECT string_agg(concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled), E'\n' ORDER BY t.tgname) FROM pg_trigger t
             WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
           (SELECT concat_ws(' ', q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmax, q.seqmin, q.seqcache, q.seqcycle)
              FROM pg_sequence q WHERE q.seqrelid = c.oid),
           (SELECT concat_ws(' ', e.evtevent, e.evtfoid::regprocedure, e.evtenabled, e.evttags) FROM pg_event_trigger e
             WHERE m.classid = 'pg_event_trigger'::regclass AND e.oid = m.objid),
           (SELECT concat_ws(' ', w.fdwname, s.srvtype, s.srvversion, s.srvoptions) FROM pg_foreign_server s
              JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE m.classid = 'pg_foreign_server'::regclass AND s.oid = m.objid)
       ) AS definition
  FROM members m
  LEFT JOIN acl ON (acl.classid, acl.objid) = (m.classid, m.objid)
  LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
  LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
  LEFT JOIN dumped ON dumped.oid = c.oid
 ORDER BY 1
