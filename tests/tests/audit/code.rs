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
    // As PostgreSQL reads a path: folded, and quotes undone.
    Case::new(
        "function_search_path",
        "critical",
        Some("acme"),
        "tenant_acme.folds()",
        "SELECT set_config('search_path', 'public , TENANT_Bravo', false);
         CREATE FUNCTION tenant_acme.folds() RETURNS int LANGUAGE sql SET search_path FROM CURRENT AS 'SELECT 1'",
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
    Case::new(
        "unread_code",
        "warning",
        Some("acme"),
        "tenant_acme.endless()",
        "DO $do$ BEGIN EXECUTE format('SET check_function_bodies = off;
             CREATE FUNCTION tenant_acme.endless() RETURNS void LANGUAGE plpgsql AS %L', repeat('a.b ', 5000000)); END $do$",
    )
    .mend("DROP FUNCTION tenant_acme.endless()"),
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

/// Bodies that took the stack, or the square of their length; each names bravo's schema at its end.
const BODIES: &[(&str, &str, &str)] = &[
    ("sum", "sql", "'SELECT 1' || repeat('+1', 3000) || ' FROM tenant_bravo.users'"),
    ("long_sum", "sql", "'SELECT 1' || repeat('+1', 200000) || ' FROM tenant_bravo.users'"),
    (
        "brackets",
        "sql",
        "'SELECT ' || repeat('(', 30000) || '1' || repeat(')', 30000) || ' FROM tenant_bravo.users'",
    ),
    (
        "tags",
        "plpgsql",
        "(SELECT string_agg(format('$t%s$', i), ' ') FROM generate_series(1, 200000) i) || ' tenant_bravo.users'",
    ),
    ("comments", "plpgsql", "repeat('/*/ */ ', 200000) || ' */ tenant_bravo.users'"),
    ("quotes", "plpgsql", "repeat('$a$ '' $a$ ', 200000) || ' tenant_bravo.users'"),
    ("text", "sql", "'SELECT ' || quote_literal(repeat('/* ', 1000000))"),
];

// In a tenant anybody may make them; what else is wrong must still be found, and soon.
#[test]
fn bodies_of_any_size_and_depth_are_read() {
    let fixture = Cluster::start(&[]).database("audit_bodies").two_tenants();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("SET check_function_bodies = off; BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    for (name, language, body) in BODIES {
        app.batch_execute(&format!(
            "DO $do$ BEGIN EXECUTE format('CREATE FUNCTION %I() RETURNS void LANGUAGE {language} AS %L', '{name}', {body}); END $do$"
        ))
        .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    app.batch_execute("COMMIT").unwrap();
    let mut admin = fixture.db.superuser();
    let found: Vec<(String, String)> = crate::case::audit(&mut admin)
        .into_iter()
        .filter_map(|((_, check, _, object), ..)| Some((object?, check)))
        .filter(|(object, _)| object.starts_with("tenant_acme."))
        .collect();
    for (name, expected) in [
        ("sum", "function_text"),
        ("long_sum", "function_text"),
        ("brackets", "function_text_guess"),
        ("tags", "function_text_guess"),
        ("quotes", "function_text_guess"),
    ] {
        let is = (format!("tenant_acme.{name}()"), expected.to_owned());
        assert!(found.contains(&is), "{name}: {found:?}");
    }
    // A limit holds while a text is read: audit() is cancelled, the session goes on.
    admin.batch_execute("SET statement_timeout = '1ms'").unwrap();
    plio_tests::expect_sqlstate(admin.query("SELECT * FROM plio._audit_code()", &[]), "57014");
    admin.batch_execute("RESET statement_timeout").unwrap();
    admin.query("SELECT * FROM plio._audit_code()", &[]).unwrap();
}
