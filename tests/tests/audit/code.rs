//! Bodies kept as text, search paths, definer functions.

use plio_tests::Cluster;

use crate::case::{Case, check};

pub const CASES: &[Case] = &[
    Case::new(
        "function_text",
        "warning",
        Some("acme"),
        "tenant_acme.peek()",
        "CREATE FUNCTION tenant_acme.peek() RETURNS bigint LANGUAGE sql AS
         'SELECT count(*) FROM tenant_acme.users a, lateral (SELECT 1 FROM tenant_bravo.users b WHERE b.id = a.id) x'",
    ),
    Case::new(
        "function_text",
        "warning",
        Some("bravo"),
        "public.change()",
        "CREATE PROCEDURE public.change() LANGUAGE sql AS 'UPDATE tenant_bravo.users SET name = $$x$$'",
    ),
    // Only a comment and a column's alias name the tenant: no finding beside the one of the call.
    Case::new(
        "function_text",
        "warning",
        Some("bravo"),
        "public.calls()",
        "SET check_function_bodies = off;
         CREATE FUNCTION public.calls() RETURNS int LANGUAGE sql AS 'SELECT /* tenant_acme.x */ tenant_bravo.f(1)';
         CREATE FUNCTION public.innocent() RETURNS int LANGUAGE sql AS 'SELECT 1 /* tenant_acme.x */ AS tenant_bravo'",
    )
    .after("DROP FUNCTION public.innocent()"),
    Case::new(
        "function_text_guess",
        "info",
        Some("acme"),
        "tenant_acme.loop()",
        "CREATE FUNCTION tenant_acme.loop() RETURNS void LANGUAGE plpgsql AS
         $$BEGIN EXECUTE 'DELETE FROM tenant_bravo.users WHERE id = 1'; END$$",
    )
    .mend("DROP FUNCTION tenant_acme.loop()"),
    Case::new(
        "function_text_guess",
        "info",
        Some("bravo"),
        "public.number()",
        "CREATE FUNCTION public.number() RETURNS bigint LANGUAGE sql AS $$SELECT nextval('tenant_bravo.users_id_seq')$$",
    )
    .mend("DROP FUNCTION public.number()"),
    Case::new(
        "function_search_path",
        "critical",
        Some("acme"),
        "tenant_acme.strays()",
        "CREATE FUNCTION tenant_acme.strays() RETURNS int LANGUAGE sql SET search_path = public, \"tenant_bravo\" AS 'SELECT 1'",
    ),
    Case::new(
        "definer_search_path",
        "critical",
        None,
        "public.powerful()",
        "CREATE FUNCTION public.powerful() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    ),
    Case::new(
        "definer_search_path",
        "warning",
        None,
        "public.quiet()",
        "CREATE FUNCTION public.quiet() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
         REVOKE ALL ON FUNCTION public.quiet() FROM PUBLIC",
    ),
    // The tenant's own: its role can do no more than the tenant.
    Case::new(
        "definer_search_path",
        "info",
        Some("acme"),
        "tenant_acme.own()",
        "BEGIN; SELECT plio.set_tenant('acme'); CREATE FUNCTION own() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; COMMIT",
    ),
    Case::new("upkeep_code", "warning", Some("legacy"), "legacy.by_fold", "CREATE INDEX by_fold ON legacy.notes (legacy.fold(body))")
        .before(LEGACY)
        .mend("DROP INDEX legacy.by_fold"),
    Case::new(
        "upkeep_code",
        "warning",
        Some("legacy"),
        "legacy.span",
        "CREATE TYPE legacy.span AS RANGE (subtype = float8, subtype_diff = legacy.apart); ALTER TYPE legacy.span OWNER TO @app",
    )
    .mend("DROP TYPE legacy.span"),
    Case::new(
        "upkeep_code",
        "warning",
        Some("legacy"),
        "legacy.of_short",
        "CREATE STATISTICS legacy.of_short ON ((body::legacy.short)) FROM legacy.notes; ALTER STATISTICS legacy.of_short OWNER TO @app",
    ),
];

/// A tenant without a role of its own.
const LEGACY: &str = "CREATE SCHEMA legacy AUTHORIZATION @app; SET ROLE @app;
    CREATE TABLE legacy.notes (body text, feeling text); CREATE INDEX ON legacy.notes (lower(body));
    CREATE FUNCTION legacy.fold(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lower($1); END';
    CREATE FUNCTION legacy.apart(float8, float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 - $2; END';
    CREATE DOMAIN legacy.short AS text CHECK (length(VALUE) < 20); RESET ROLE; SELECT plio.adopt_tenant('legacy', 'legacy')";

#[test]
fn code_that_crosses_is_found_and_mended() {
    let fixture = Cluster::start(&[]).database("audit_code").two_tenants();
    check(&fixture, CASES);
}
