-- What a DBA watches: denials, activity, statistics of each tenant, metrics. For administrators and auditors.
REVOKE ALL ON FUNCTION plio._kept_denials(bigint, boolean), plio._tenant_counters(), plio._shared_totals(), plio._flush_state() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio._kept_denials(bigint, boolean), plio._tenant_counters(), plio._shared_totals(), plio._flush_state() TO plio_admin, plio_auditor;

CREATE VIEW plio.denials AS
    SELECT d.denial_id, d.at, d.pid, d.session_id, d.login_role, d.org, d.kind, d.message, d.sqlstate, d.query_id, d.enforced,
           d.times, d.last_at
      FROM plio._kept_denials(0, false) d;
REVOKE ALL ON plio.denials FROM PUBLIC;
GRANT SELECT ON plio.denials TO plio_admin, plio_auditor;
COMMENT ON VIEW plio.denials IS
    'What was refused in this database lately, whatever became of the transaction; empty without shared_preload_libraries';
COMMENT ON COLUMN plio.denials.denial_id IS 'Grows with each denial of the cluster, over restarts, too';
COMMENT ON COLUMN plio.denials.at IS 'When; for the first time, if it happened again';
COMMENT ON COLUMN plio.denials.pid IS 'The session''s process; a parallel worker''s leader';
COMMENT ON COLUMN plio.denials.session_id IS 'The session as %c of log_line_prefix writes it; null for a parallel worker';
COMMENT ON COLUMN plio.denials.login_role IS 'The role that logged in';
COMMENT ON COLUMN plio.denials.org IS 'The tenant in force; null when there was none';
COMMENT ON COLUMN plio.denials.kind IS 'What was tried: other_tenant, no_tenant, not_shared, ...; docs/monitoring.md lists them';
COMMENT ON COLUMN plio.denials.message IS 'Our own message; never another tenant''s object or data';
COMMENT ON COLUMN plio.denials.sqlstate IS 'The error''s code';
COMMENT ON COLUMN plio.denials.query_id IS 'The statement, as in pg_stat_statements; null while it was being parsed, or without compute_query_id';
COMMENT ON COLUMN plio.denials.enforced IS 'Whether it was refused; false when it was only reported';
COMMENT ON COLUMN plio.denials.times IS 'How often: the same in the same session is counted in one row for a minute, or until it is in the history';
COMMENT ON COLUMN plio.denials.last_at IS 'When for the last time';

-- Whoever is in a tenant holds a share lock on its schema to the end of the transaction, with a sub-object number that
-- PostgreSQL itself never locks (plio_tenancy_ext/src/pg/lock.rs, OURS); on a standby, a relation's lock with the schema's
-- oid. So this needs no shared memory of ours and costs the sessions nothing. Runs as its owner: others' rows of
-- pg_stat_activity are hidden from an auditor.
CREATE FUNCTION plio._activity()
RETURNS TABLE (pid integer, login_role text, org text, since timestamptz, state text, query_start timestamptz,
               wait_event_type text, wait_event text, application_name text, client_addr inet)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $activity$
    -- One look-up for each lock, however many tenants there are.
    SELECT a.pid, a.usename, t.org, a.xact_start, a.state, a.query_start, a.wait_event_type, a.wait_event,
           a.application_name, a.client_addr
      FROM pg_locks l
      JOIN pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database() AND a.backend_type = 'client backend'
     CROSS JOIN LATERAL (SELECT n.nspname FROM pg_namespace n
                          WHERE n.oid = CASE l.locktype WHEN 'object' THEN l.objid ELSE l.relation END LIMIT 1) n
     CROSS JOIN LATERAL (SELECT t.org FROM plio.tenants t WHERE t.schema_name = n.nspname LIMIT 1) t
     WHERE l.mode = 'AccessShareLock' AND l.granted AND l.database = a.datid
       AND CASE l.locktype WHEN 'object' THEN l.classid = 'pg_namespace'::regclass AND l.objsubid = 1
                           -- Once oids have wrapped around, a relation may have a schema's.
                           WHEN 'relation' THEN NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = l.relation LIMIT 1)
                           ELSE false END
$activity$;
REVOKE ALL ON FUNCTION plio._activity() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio._activity() TO plio_admin, plio_auditor;

CREATE VIEW plio.activity AS
    SELECT a.pid, a.login_role, a.org, a.since, a.state, a.query_start, a.wait_event_type, a.wait_event,
           a.application_name, a.client_addr
      FROM plio._activity() a;
REVOKE ALL ON plio.activity FROM PUBLIC;
GRANT SELECT ON plio.activity TO plio_admin, plio_auditor;
COMMENT ON VIEW plio.activity IS
    'Which sessions have a transaction in which tenant now; a session''s tenant between its transactions is not seen';
COMMENT ON COLUMN plio.activity.pid IS 'The session''s process';
COMMENT ON COLUMN plio.activity.login_role IS 'The role that logged in';
COMMENT ON COLUMN plio.activity.org IS 'The tenant';
COMMENT ON COLUMN plio.activity.since IS 'When the transaction began';
COMMENT ON COLUMN plio.activity.state IS 'As in pg_stat_activity';
COMMENT ON COLUMN plio.activity.query_start IS 'When the last statement began; its text is nobody''s business';
COMMENT ON COLUMN plio.activity.wait_event_type IS 'As in pg_stat_activity';
COMMENT ON COLUMN plio.activity.wait_event IS 'As in pg_stat_activity';
COMMENT ON COLUMN plio.activity.application_name IS 'As in pg_stat_activity';
COMMENT ON COLUMN plio.activity.client_addr IS 'As in pg_stat_activity';

-- Tenant by tenant, by the catalogs' indexes: pg_depend knows what lies in a schema, and pg_index the indexes of that. So one
-- tenant costs one tenant. No file is looked at.
CREATE VIEW plio.stat_tenants AS
    WITH block AS (SELECT pg_catalog.current_setting('block_size')::bigint AS bytes),
    -- One row where there is shared memory: a tenant without a counter has 0 then, unless tenants were counted together
    -- for want of counters; null otherwise.
    shared AS (SELECT CASE WHEN s.uncounted = 0 THEN 0::bigint END AS zero FROM plio._shared_totals() s),
    sessions AS (
        SELECT a.org, pg_catalog.count(*) AS sessions, pg_catalog.min(a.since) AS since
          FROM plio._activity() a GROUP BY a.org
    )
    SELECT t.org, t.status,
           COALESCE(k.commits + k.rollbacks, h.zero) AS transactions,
           COALESCE(k.rollbacks, h.zero) AS rollbacks,
           COALESCE(k.denials, h.zero) AS denials,
           COALESCE(r.tables, 0) AS tables,
           (COALESCE(r.table_pages, 0) * b.bytes)::bigint AS table_bytes,
           (COALESCE(r.index_pages, 0) * b.bytes)::bigint AS index_bytes,
           (COALESCE(r.toast_pages, 0) * b.bytes)::bigint AS toast_bytes,
           COALESCE(r.live_rows, 0)::bigint AS live_rows,
           COALESCE(r.dead_rows, 0)::bigint AS dead_rows,
           COALESCE(r.sequential_scans, 0)::bigint AS sequential_scans,
           COALESCE(r.index_scans, 0)::bigint AS index_scans,
           COALESCE(r.rows_inserted, 0)::bigint AS rows_inserted,
           COALESCE(r.rows_updated, 0)::bigint AS rows_updated,
           COALESCE(r.rows_deleted, 0)::bigint AS rows_deleted,
           r.last_vacuum, r.last_analyze,
           COALESCE(s.sessions, 0) AS sessions,
           pg_catalog.clock_timestamp() - s.since AS longest_session
      FROM plio.tenants t
     CROSS JOIN block b
      LEFT JOIN shared h ON true
      LEFT JOIN plio._tenant_counters() k ON k.tenant_id = t.tenant_id
      LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema_name
     CROSS JOIN LATERAL (
           SELECT pg_catalog.count(*) AS tables,
                  pg_catalog.sum(c.relpages::bigint) FILTER (WHERE c.relkind <> 'p') AS table_pages,
                  pg_catalog.sum(i.pages) FILTER (WHERE c.relkind <> 'p') AS index_pages,
                  pg_catalog.sum(COALESCE(o.relpages, 0)::bigint + COALESCE(x.pages, 0)) AS toast_pages,
                  pg_catalog.sum(pg_catalog.pg_stat_get_live_tuples(c.oid)) FILTER (WHERE c.relkind <> 'p') AS live_rows,
                  pg_catalog.sum(pg_catalog.pg_stat_get_dead_tuples(c.oid)) FILTER (WHERE c.relkind <> 'p') AS dead_rows,
                  pg_catalog.sum(pg_catalog.pg_stat_get_numscans(c.oid)) FILTER (WHERE c.relkind <> 'p') AS sequential_scans,
                  pg_catalog.sum(i.scans) FILTER (WHERE c.relkind <> 'p') AS index_scans,
                  pg_catalog.sum(pg_catalog.pg_stat_get_tuples_inserted(c.oid)) FILTER (WHERE c.relkind <> 'p') AS rows_inserted,
                  pg_catalog.sum(pg_catalog.pg_stat_get_tuples_updated(c.oid)) FILTER (WHERE c.relkind <> 'p') AS rows_updated,
                  pg_catalog.sum(pg_catalog.pg_stat_get_tuples_deleted(c.oid)) FILTER (WHERE c.relkind <> 'p') AS rows_deleted,
                  pg_catalog.max(GREATEST(pg_catalog.pg_stat_get_last_vacuum_time(c.oid),
                      pg_catalog.pg_stat_get_last_autovacuum_time(c.oid))) FILTER (WHERE c.relkind <> 'p') AS last_vacuum,
                  pg_catalog.max(GREATEST(pg_catalog.pg_stat_get_last_analyze_time(c.oid),
                      pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid))) FILTER (WHERE c.relkind <> 'p') AS last_analyze
             FROM pg_catalog.pg_depend d
             JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'm', 'p')
             LEFT JOIN pg_catalog.pg_class o ON o.oid = c.reltoastrelid
            CROSS JOIN LATERAL (
                  SELECT pg_catalog.sum(y.relpages::bigint) AS pages, pg_catalog.sum(pg_catalog.pg_stat_get_numscans(y.oid)) AS scans
                    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class y ON y.oid = i.indexrelid WHERE i.indrelid = c.oid) i
            CROSS JOIN LATERAL (
                  SELECT pg_catalog.sum(y.relpages::bigint) AS pages
                    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class y ON y.oid = i.indexrelid WHERE i.indrelid = c.reltoastrelid) x
            WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid AND d.refobjsubid = 0
              AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0
           ) r
      LEFT JOIN sessions s ON s.org = t.org;
REVOKE ALL ON plio.stat_tenants FROM PUBLIC;
GRANT SELECT ON plio.stat_tenants TO plio_admin, plio_auditor;
COMMENT ON VIEW plio.stat_tenants IS
    'What each tenant costs. Counters since the server started, with shared_preload_libraries; sizes as of the last VACUUM or ANALYZE';
COMMENT ON COLUMN plio.stat_tenants.org IS 'The tenant';
COMMENT ON COLUMN plio.stat_tenants.status IS 'As in plio.tenants';
COMMENT ON COLUMN plio.stat_tenants.transactions IS 'Transactions that ended in it; null without shared memory, or without a counter';
COMMENT ON COLUMN plio.stat_tenants.rollbacks IS 'Of these, those that were rolled back';
COMMENT ON COLUMN plio.stat_tenants.denials IS 'What was refused while it was in force, or would have been; null without shared memory';
COMMENT ON COLUMN plio.stat_tenants.tables IS 'Tables and materialized views, partitioned ones included';
COMMENT ON COLUMN plio.stat_tenants.table_bytes IS 'Estimate: pages as of the last VACUUM or ANALYZE; plio.tenant_sizes() looks at the files';
COMMENT ON COLUMN plio.stat_tenants.index_bytes IS 'Of indexes, likewise';
COMMENT ON COLUMN plio.stat_tenants.toast_bytes IS 'Of TOAST tables and their indexes, likewise';
COMMENT ON COLUMN plio.stat_tenants.live_rows IS 'Rows, as the statistics system counts them';
COMMENT ON COLUMN plio.stat_tenants.dead_rows IS 'Dead rows, likewise';
COMMENT ON COLUMN plio.stat_tenants.sequential_scans IS 'Sequential scans of its tables';
COMMENT ON COLUMN plio.stat_tenants.index_scans IS 'Scans of its indexes';
COMMENT ON COLUMN plio.stat_tenants.rows_inserted IS 'Rows inserted';
COMMENT ON COLUMN plio.stat_tenants.rows_updated IS 'Rows updated';
COMMENT ON COLUMN plio.stat_tenants.rows_deleted IS 'Rows deleted';
COMMENT ON COLUMN plio.stat_tenants.last_vacuum IS 'The last VACUUM of any of its tables, by hand or not';
COMMENT ON COLUMN plio.stat_tenants.last_analyze IS 'The last ANALYZE of any of its tables, by hand or not';
COMMENT ON COLUMN plio.stat_tenants.sessions IS 'Sessions with a transaction in it now';
COMMENT ON COLUMN plio.stat_tenants.longest_session IS 'For how long the oldest of these transactions has been open';

-- Runs as its owner, who may look at every file.
CREATE FUNCTION plio.tenant_sizes(only_org text DEFAULT NULL)
RETURNS TABLE (org text, table_bytes bigint, index_bytes bigint, toast_bytes bigint, total_bytes bigint)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s'
AS $sizes$
    SELECT t.org,
           coalesce(sum(pg_table_size(c.oid) - coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0)), 0)::bigint,
           coalesce(sum(pg_indexes_size(c.oid)), 0)::bigint,
           coalesce(sum(pg_total_relation_size(nullif(c.reltoastrelid, 0))), 0)::bigint,
           coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
      -- One tenant is looked up, not searched for among all.
      FROM (SELECT org, schema_name FROM plio.tenants WHERE $1 IS NULL
            UNION ALL SELECT org, schema_name FROM plio.tenants WHERE org = $1) t
      LEFT JOIN pg_namespace n ON n.nspname = t.schema_name
      LEFT JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.refobjsubid = 0
                           AND d.classid = 'pg_class'::regclass AND d.objsubid = 0
      LEFT JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'm')
     GROUP BY t.org ORDER BY t.org
$sizes$;
REVOKE ALL ON FUNCTION plio.tenant_sizes(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio.tenant_sizes(text) TO plio_admin, plio_auditor;
COMMENT ON FUNCTION plio.tenant_sizes(text) IS
    'A tenant''s bytes on disk, or every tenant''s, by looking at each file: exact, and slow where there are many';

CREATE VIEW plio.metrics AS
    WITH totals AS (SELECT * FROM plio._shared_totals()),
    tenants AS MATERIALIZED (SELECT s.*, pg_catalog.jsonb_build_object('org', s.org) AS labels FROM plio.stat_tenants s)
    SELECT m.name, s.labels, m.value::double precision AS value
      FROM tenants s
     CROSS JOIN LATERAL (VALUES
           ('plio_tenant_transactions_total', s.transactions), ('plio_tenant_rollbacks_total', s.rollbacks),
           ('plio_tenant_denials_total', s.denials), ('plio_tenant_tables', s.tables),
           ('plio_tenant_table_bytes', s.table_bytes), ('plio_tenant_index_bytes', s.index_bytes),
           ('plio_tenant_toast_bytes', s.toast_bytes), ('plio_tenant_live_rows', s.live_rows),
           ('plio_tenant_dead_rows', s.dead_rows), ('plio_tenant_sequential_scans_total', s.sequential_scans),
           ('plio_tenant_index_scans_total', s.index_scans), ('plio_tenant_rows_inserted_total', s.rows_inserted),
           ('plio_tenant_rows_updated_total', s.rows_updated), ('plio_tenant_rows_deleted_total', s.rows_deleted),
           ('plio_tenant_sessions', s.sessions)
           ) m (name, value)
     WHERE m.value IS NOT NULL
    UNION ALL
    SELECT 'plio_tenant_longest_session_seconds', s.labels,
           pg_catalog.date_part('epoch', s.longest_session)
      FROM tenants s WHERE s.longest_session IS NOT NULL
    UNION ALL
    SELECT 'plio_tenants', pg_catalog.jsonb_build_object('status', s.status), pg_catalog.count(*)
      FROM tenants s GROUP BY s.status
    UNION ALL
    SELECT 'plio_untenanted_denials_total', '{}'::jsonb, COALESCE(
           (SELECT k.denials FROM plio._tenant_counters() k WHERE k.tenant_id = 0), 0)
      FROM totals
    UNION ALL
    SELECT m.name, '{}'::jsonb, m.value
      FROM totals t CROSS JOIN LATERAL (VALUES
           ('plio_denials_total', t.written), ('plio_denials_overwritten_total', t.overwritten),
           ('plio_uncounted_total', t.uncounted)) m (name, value)
    UNION ALL
    SELECT m.name, '{}'::jsonb, m.value
      FROM plio._flush_state() f CROSS JOIN LATERAL (VALUES
           ('plio_denials_flushed_total', f.written), ('plio_denials_lost_total', f.lost)) m (name, value)
    UNION ALL
    SELECT 'plio_shared_memory', '{}'::jsonb, (SELECT pg_catalog.count(*) FROM totals)
    UNION ALL
    SELECT 'plio_health_findings', pg_catalog.jsonb_build_object('severity', w.severity),
           pg_catalog.count(h.finding)
      FROM (VALUES ('critical'), ('warning'), ('info')) w (severity)
      LEFT JOIN plio.health() h ON h.severity = w.severity GROUP BY w.severity;
REVOKE ALL ON plio.metrics FROM PUBLIC;
GRANT SELECT ON plio.metrics TO plio_admin, plio_auditor;
COMMENT ON VIEW plio.metrics IS 'Everything that can be watched, as Prometheus names it: docs/monitoring.md';
COMMENT ON COLUMN plio.metrics.name IS 'The metric; one that ends in _total only grows while the server runs';
COMMENT ON COLUMN plio.metrics.labels IS 'Its labels: {"org": ...}, {"status": ...}, {"severity": ...} or none';
COMMENT ON COLUMN plio.metrics.value IS 'Its value now';
