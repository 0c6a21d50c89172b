-- Reports across tenants: who may make them is checked in the functions, too, whatever is granted here.

CREATE FUNCTION plio.report(query text, orgs text[] DEFAULT NULL, allow_partial boolean DEFAULT false)
    RETURNS SETOF record
    VOLATILE PARALLEL UNSAFE
    LANGUAGE c AS 'MODULE_PATHNAME', 'plio_report';
REVOKE ALL ON FUNCTION plio.report(text, text[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio.report(text, text[], boolean) TO plio_reporter, plio_auditor;
COMMENT ON FUNCTION plio.report(text, text[], boolean) IS
    'Runs one SELECT in each tenant, read only, and returns the rows with the organization in front; needs a column definition list';

CREATE FUNCTION plio.report_json(
    query text, orgs text[] DEFAULT NULL, allow_partial boolean DEFAULT false, OUT org text, OUT "row" jsonb)
    RETURNS SETOF record
    VOLATILE PARALLEL UNSAFE
    LANGUAGE c AS 'MODULE_PATHNAME', 'plio_report_json';
REVOKE ALL ON FUNCTION plio.report_json(text, text[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio.report_json(text, text[], boolean) TO plio_reporter, plio_auditor;
COMMENT ON FUNCTION plio.report_json(text, text[], boolean) IS
    'As plio.report(), each row as one jsonb';

-- For `plio report`, which prints the columns in the query's order: json keeps it, jsonb does not.
CREATE FUNCTION plio._report_ordered(
    query text, orgs text[], allow_partial boolean, OUT org text, OUT "row" json)
    RETURNS SETOF record
    VOLATILE PARALLEL UNSAFE
    LANGUAGE c AS 'MODULE_PATHNAME', 'plio_report_ordered';
REVOKE ALL ON FUNCTION plio._report_ordered(text, text[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio._report_ordered(text, text[], boolean) TO plio_reporter, plio_auditor;

REVOKE ALL ON FUNCTION plio.report_coverage() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio.report_coverage() TO plio_reporter, plio_auditor;
COMMENT ON FUNCTION plio.report_coverage() IS
    'The tenants of this session''s last report: counted, or suspended, gone, drifted, failed, with the SQLSTATE';

CREATE FUNCTION plio._report_handler() RETURNS fdw_handler
    LANGUAGE c AS 'MODULE_PATHNAME', 'plio_report_handler';
REVOKE ALL ON FUNCTION plio._report_handler() FROM PUBLIC;
CREATE FOREIGN DATA WRAPPER plio_tenants HANDLER plio._report_handler;
COMMENT ON FOREIGN DATA WRAPPER plio_tenants IS 'plio_tenancy: reads report views, inside each tenant in turn';
CREATE SERVER plio_tenants FOREIGN DATA WRAPPER plio_tenants;
COMMENT ON SERVER plio_tenants IS 'plio_tenancy: the tenants of this very database';

CREATE SCHEMA plio_reports;
REVOKE ALL ON SCHEMA plio_reports FROM PUBLIC;
GRANT USAGE ON SCHEMA plio_reports TO plio_reporter, plio_auditor;
COMMENT ON SCHEMA plio_reports IS 'plio_tenancy: the report views that plio.create_report_view() makes';

REVOKE ALL ON FUNCTION plio.create_report_view(text, text, text), plio.drop_report_view(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio.create_report_view(text, text, text), plio.drop_report_view(text) TO plio_admin;
COMMENT ON FUNCTION plio.create_report_view(text, text, text) IS
    'Keeps plio_reports.<name> over the tables of that name of all tenants, with a column for the organization in front';
COMMENT ON FUNCTION plio.drop_report_view(text) IS 'Drops a report view';
