-- What crosses a boundary? What decides whether anything is protected at all is health()'s, and comes with it: one rule
-- in one place.
CREATE FUNCTION plio.audit(severity_at_least text DEFAULT 'info')
RETURNS TABLE (severity text, check_name text, org text, object text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit$
    SELECT a.severity, a.check_name, a.org, a.object, a.detail, a.fix
      FROM (SELECT * FROM plio._audit_ties()
            UNION ALL SELECT * FROM plio._audit_code()
            UNION ALL SELECT * FROM plio._audit_privileges()
            UNION ALL SELECT * FROM plio._audit_roles()
            UNION ALL SELECT * FROM plio._audit_outside()
            UNION ALL SELECT * FROM plio._audit_registry()
            UNION ALL SELECT * FROM plio._audit_objects()
            UNION ALL SELECT * FROM plio._audit_trust()
            -- Its texts name a tenant as: tenant "org". Any other name stands quoted in them, where a quote is doubled.
            UNION ALL SELECT h.severity, h.finding, substring(h.detail FROM 'tenant "([a-z0-9][a-z0-9_-]*)"'), NULL, h.detail, h.fix
                        FROM plio.health() h
           ) a
     WHERE plio._severity_rank(a.severity) <= plio._severity_rank(severity_at_least)
     ORDER BY plio._severity_rank(a.severity), a.check_name, a.org NULLS FIRST, a.object, a.detail
$audit$;
REVOKE ALL ON FUNCTION plio.audit(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio.audit(text) TO plio_admin, plio_auditor;
COMMENT ON FUNCTION plio.audit(text) IS
    'What crosses a boundary between tenants? One row a finding of at least that severity (critical, warning, info), and the SQL that mends it';
