-- plio_tenancy: from 0.1.0 to 0.2.0. Written by hand: what sql/schema/ changed since the release, in an order that works.
-- tests/tests/upgrade.rs holds it to a fresh 0.2.0 by a comparison of the catalogs.
\echo Use "ALTER EXTENSION plio_tenancy UPDATE TO '0.2.0'" to load this file. \quit

-- manage: locks, waits, roles
CREATE OR REPLACE FUNCTION plio._activity()
RETURNS TABLE (pid integer, login_role text, org text, since timestamptz, state text, query_start timestamptz,
               wait_event_type text, wait_event text, application_name text, client_addr inet)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $activity$
    SELECT a.pid, a.usename, t.org, a.xact_start, a.state, a.query_start, a.wait_event_type, a.wait_event,
           a.application_name, a.client_addr
      FROM pg_locks l
      JOIN pg_namespace n ON n.oid = CASE l.locktype WHEN 'object' THEN l.objid ELSE l.relation END
      JOIN plio.tenants t ON t.schema_name = n.nspname
      JOIN pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database() AND a.backend_type = 'client backend'
     WHERE l.mode = 'AccessShareLock' AND l.granted AND l.database = a.datid
       AND CASE l.locktype WHEN 'object' THEN l.classid = 'pg_namespace'::regclass AND l.objsubid = 1
                           -- Once oids have wrapped around, a relation may have a schema's.
                           WHEN 'relation' THEN NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = l.relation)
                           ELSE false END
$activity$;
