//! Errors that pass through a report or the self-test reach the client as PostgreSQL raised them, also where the server's
//! environment asks Rust for backtraces.

use crate::world::{one, rows};
use plio_tests::{Cluster, TwoTenants, expect_sqlstate};
use postgres::Client;
use postgres::error::DbError;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A server whose environment asks for backtraces in every way.
fn world() -> (TwoTenants, Client) {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let environment = [("RUST_BACKTRACE", "full"), ("RUST_LIB_BACKTRACE", "1")];
    let cluster = CLUSTER.get_or_init(|| Cluster::start_in(&environment, &[]));
    let tenants = cluster.database("whole").two_tenants();
    let reporter = tenants.db.login_role("reporter");
    let mut admin = tenants.db.superuser();
    admin
        .batch_execute(&format!(
            "GRANT plio_reporter TO {reporter}; SELECT plio.create_report_view('users', 'users')"
        ))
        .unwrap();
    let client = tenants.db.connect(&reporter);
    (tenants, client)
}

#[track_caller]
fn assert_plain(error: &DbError) {
    let said = format!("{error:?}");
    assert!(!said.contains(".rs:") && !said.contains("backtrace") && !said.contains("0:"), "{said}");
}

#[test]
fn every_field_of_an_error_arrives() {
    let (tenants, mut reporter) = world();
    tenants
        .db
        .superuser()
        .batch_execute(
            "CREATE FUNCTION public.fails() RETURNS bigint STABLE LANGUAGE plpgsql AS $$ BEGIN
                RAISE 'the message' USING ERRCODE = 'Q1X42', DETAIL = 'the detail', HINT = 'the hint', SCHEMA = 's',
                    TABLE = 't', COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 'd'; END $$;
             CREATE FUNCTION public.fails_inside() RETURNS bigint STABLE LANGUAGE plpgsql AS $$
                BEGIN RETURN (SELECT nosuch FROM plio.health() LIMIT 1); END $$;
             CREATE DOMAIN public.small AS int CONSTRAINT not_large CHECK (VALUE < 3)",
        )
        .unwrap();
    // As itself, and as a condition's value in a report view.
    for query in ["SELECT public.fails()", "SELECT * FROM plio_reports.users WHERE id = public.fails()"] {
        let error = expect_sqlstate(reporter.query(query, &[]), "Q1X42");
        assert_eq!(error.message(), "the message");
        let fields = [
            error.detail(),
            error.hint(),
            error.schema(),
            error.table(),
            error.column(),
            error.constraint(),
            error.datatype(),
        ];
        let expected = ["the detail", "the hint", "s", "t", "c", "k", "d"];
        assert_eq!(fields.map(Option::unwrap_or_default), expected, "{query}");
        let context = error.where_().unwrap_or_default();
        assert_eq!(context.matches("PL/pgSQL function fails() line 2 at RAISE").count(), 1, "{context}");
        assert_plain(&error);
    }
    // Inside another function the outer lines are there, too, and once.
    let error = expect_sqlstate(
        reporter
            .simple_query("DO $$ BEGIN PERFORM * FROM plio_reports.users WHERE id = public.fails(); END $$"),
        "Q1X42",
    );
    let context = error.where_().unwrap_or_default();
    let lines = [
        "PL/pgSQL function fails() line 2 at RAISE",
        "PL/pgSQL function inline_code_block line 1 at PERFORM",
    ];
    assert!(lines.iter().all(|line| context.matches(line).count() == 1), "{context}");
    // A query of a function's, with the place in it; a constraint's name.
    let query = "SELECT * FROM plio_reports.users WHERE id = public.fails_inside()";
    let error = expect_sqlstate(reporter.query(query, &[]), "42703");
    assert!(
        matches!(error.position(), Some(postgres::error::ErrorPosition::Internal { position: 9, query }) if query.contains("nosuch")),
        "{error:?}"
    );
    let domain =
        "SELECT * FROM plio_reports.users WHERE id = (current_setting('server_version_num')::int)::small";
    let error = expect_sqlstate(reporter.query(domain, &[]), "23514");
    assert_eq!((error.constraint(), error.datatype()), (Some("not_large"), Some("small")));
    // What failed in a tenant is said as it was raised, one line of it.
    let mut app = tenants.db.connect(&tenants.app);
    app.batch_execute(
        "BEGIN; SELECT plio.set_tenant('bravo'); CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS
            $$ BEGIN RAISE E'one\\ntwo' USING ERRCODE = 'Q1X43'; END $$; COMMIT",
    )
    .unwrap();
    let report = "SELECT * FROM plio.report('SELECT f()', '{bravo}') AS (org text, t text)";
    let error = expect_sqlstate(reporter.query(report, &[]), "55000");
    assert_eq!(error.detail(), Some("bravo failed: one... (Q1X43)."));
}

#[test]
fn timeouts_and_refusals_carry_no_backtrace() {
    let (tenants, mut reporter) = world();
    let mut admin = tenants.db.superuser();
    admin.batch_execute("SET statement_timeout = '200ms'; SET plio.allow_partial_reports = on").unwrap();
    reporter.batch_execute("SET statement_timeout = '200ms'").unwrap();
    for query in [
        "SELECT * FROM plio.report('SELECT pg_sleep(60)::text') AS (org text, t text)",
        "SELECT * FROM plio_reports.users WHERE id = (SELECT 1 FROM pg_sleep(60))::bigint",
        "SELECT * FROM plio_reports.users WHERE id = length(pg_sleep(60)::text)",
    ] {
        let error = expect_sqlstate(reporter.query(query, &[]), "57014");
        assert_eq!(
            (error.message(), error.detail()),
            ("canceling statement due to statement timeout", None),
            "{query}"
        );
        assert_plain(&error);
    }
    // The self-test waits for who holds the registry.
    let mut holder = tenants.db.superuser();
    holder.batch_execute("BEGIN; LOCK TABLE plio.tenants").unwrap();
    let error = expect_sqlstate(admin.simple_query("SELECT * FROM plio.selftest()"), "57014");
    assert_eq!(error.detail(), None);
    assert_plain(&error);
    holder.batch_execute("ROLLBACK").unwrap();
    for (statement, sqlstate) in [
        ("SELECT plio.set_tenant('nosuch')", "25P01"),
        ("SELECT plio.report_json('DELETE FROM users')", "22023"),
        ("SELECT plio.create_tenant('acme')", "42710"),
        ("SELECT plio.create_report_view('x', 'nosuch')", "42704"),
    ] {
        let error = expect_sqlstate(admin.simple_query(statement), sqlstate);
        assert_eq!(error.detail(), None, "{statement}");
        assert_plain(&error);
    }
}

// With backtraces each error that passes a guard would walk a deep stack once more for every level.
#[test]
fn deep_recursion_ends_in_time() {
    let (tenants, mut reporter) = world();
    let mut app = tenants.db.connect(&tenants.app);
    app.batch_execute(
        "BEGIN; SELECT plio.set_tenant('bravo');
         CREATE FUNCTION deep(n int) RETURNS text LANGUAGE plpgsql AS
            $$ BEGIN IF n < 0 THEN PERFORM pg_sleep(60); END IF; EXECUTE 'SELECT deep($1)' USING n + 1; RETURN ''; END $$;
         CREATE FUNCTION deep_sleep(n int) RETURNS text LANGUAGE plpgsql AS
            $$ BEGIN IF n = 0 THEN PERFORM pg_sleep(60); END IF; RETURN deep_sleep(n - 1); END $$; COMMIT",
    )
    .unwrap();
    let begun = Instant::now();
    let report = "SELECT * FROM plio.report('SELECT deep(1)', '{bravo}', true) AS (org text, t text)";
    assert_eq!(rows(&mut reporter, report), Vec::<String>::new());
    assert_eq!(one(&mut reporter, "SELECT outcome, sqlstate FROM plio.report_coverage()"), "failed|54001");
    let error =
        expect_sqlstate(app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo'); SELECT deep(1)"), "54001");
    assert_eq!(error.detail(), None);
    app.batch_execute("ROLLBACK").unwrap();
    reporter.batch_execute("SET statement_timeout = '1s'").unwrap();
    let report = "SELECT * FROM plio.report('SELECT deep_sleep(300)', '{bravo}', true) AS (org text, t text)";
    let error = expect_sqlstate(reporter.query(report, &[]), "57014");
    assert_plain(&error);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
