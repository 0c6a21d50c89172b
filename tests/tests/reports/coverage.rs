//! Which tenants a report has: suspended, drifted, failing and busy ones are said, and an error unless that is allowed.

use crate::world::{assert_outside, refused, rows, world};
use plio_tests::expect_sqlstate;

const COVERAGE: &str = "SELECT org, outcome, rows, sqlstate FROM plio.report_coverage() ORDER BY org";

fn count(allow_partial: bool) -> String {
    format!(
        "SELECT * FROM plio.report('SELECT count(name) FROM users', allow_partial => {allow_partial}) AS (org text, n bigint)"
    )
}

#[test]
fn a_tenant_that_is_missing_is_an_error_unless_that_is_allowed() {
    let world = world("missing");
    world
        .admin()
        .batch_execute("SELECT plio.create_tenant('closed'), plio.create_tenant('drifted'), plio.create_tenant('empty'); SELECT plio.suspend_tenant('closed')")
        .unwrap();
    world
        .admin()
        .batch_execute("BEGIN; SELECT plio.set_tenant('drifted'); CREATE TABLE users (id bigint); COMMIT")
        .unwrap();
    world.inside(
        "bravo",
        "CREATE FUNCTION fail() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
        BEGIN RAISE EXCEPTION 'inner' USING ERRCODE = 'Q0001'; EXCEPTION WHEN OTHERS THEN NULL; END;
        RAISE EXCEPTION 'own code' USING ERRCODE = 'P0042'; END $$;
        ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT id, fail() AS name FROM people",
    );
    let mut reporter = world.reporter();
    let error = refused(reporter.query(&count(false), &[]), "55000");
    assert_eq!(error.message(), "report covers 1 of 5 tenants");
    let expected = [
        "acme|counted|1|-",
        "bravo|failed|0|P0042",
        "closed|suspended|0|55000",
        "drifted|drifted|0|42703",
        "empty|drifted|0|42P01",
    ];
    assert_eq!(rows(&mut reporter, COVERAGE), expected, "the coverage outlives the error");
    assert_eq!(rows(&mut reporter, &count(true)), ["acme|3"]);
    assert_eq!(rows(&mut reporter, COVERAGE), expected);
    assert_outside(&mut reporter, &world.reporter);
    let recorded = "SELECT detail->'skipped' FROM plio.history WHERE action = 'report'";
    let skipped = rows(&mut world.admin(), recorded).concat();
    assert!(skipped.contains("P0042") && !skipped.contains("own code"), "{skipped}");
    // Those that are named are all that is expected.
    let named = "SELECT * FROM plio.report('SELECT count(*) FROM users', '{acme, acme, drifted}') AS (org text, n bigint)";
    assert_eq!(rows(&mut reporter, named), ["acme|3", "drifted|0"]);
    // Whose it is: the next user of the connection, and the next client of a pooler, see nothing.
    let mut admin = world.admin();
    rows(&mut admin, named);
    assert_eq!(rows(&mut admin, COVERAGE).len(), 2);
    admin.batch_execute(&format!("SET ROLE {}", world.reporter)).unwrap();
    assert_eq!(rows(&mut admin, COVERAGE).len(), 0);
    admin.batch_execute("RESET ROLE").unwrap();
    assert_eq!(rows(&mut admin, COVERAGE).len(), 2);
    admin.batch_execute("DISCARD ALL").unwrap();
    assert_eq!(rows(&mut admin, COVERAGE).len(), 0);
}

#[test]
fn a_cancelled_report_is_cancelled() {
    let world = world("cancelled");
    let mut reporter = world.reporter();
    reporter.batch_execute("SET statement_timeout = '300ms'").unwrap();
    let slow =
        "SELECT * FROM plio.report('SELECT pg_sleep(60)::text', allow_partial => true) AS (org text, t text)";
    expect_sqlstate(reporter.query(slow, &[]), "57014");
    reporter.batch_execute("SET statement_timeout = 0").unwrap();
    assert_outside(&mut reporter, &world.reporter);
    // Also when somebody catches it: the subtransaction of the report is gone, the one around it goes on.
    reporter.batch_execute("SET statement_timeout = '300ms'").unwrap();
    reporter
        .batch_execute(
            "DO $$ BEGIN
                PERFORM * FROM plio.report('SELECT pg_sleep(60)::text') AS (org text, t text);
             EXCEPTION WHEN query_canceled THEN
                PERFORM set_config('statement_timeout', '0', false);
                ASSERT (SELECT sum(n) = 6 FROM plio.report('SELECT count(*) FROM users') AS (org text, n bigint));
             END $$",
        )
        .unwrap();
    assert_outside(&mut reporter, &world.reporter);
}

#[test]
fn waiting_for_a_tenant_is_bounded_and_said() {
    let world = world("waiting");
    let mut reporter = world.reporter();
    reporter.batch_execute("SET lock_timeout = '100ms'").unwrap();
    // One session suspends acme and has not committed; another holds bravo's table.
    let (mut suspending, mut locking) = (world.admin(), world.admin());
    suspending.batch_execute("BEGIN; SELECT plio.suspend_tenant('acme')").unwrap();
    locking.batch_execute("BEGIN; LOCK TABLE tenant_bravo.users").unwrap();
    refused(reporter.query(&count(false), &[]), "55000");
    assert_eq!(rows(&mut reporter, COVERAGE), ["acme|failed|0|55P03", "bravo|failed|0|55P03"]);
    // Once they commit: closed, and counted.
    suspending.batch_execute("COMMIT").unwrap();
    locking.batch_execute("COMMIT").unwrap();
    assert_eq!(rows(&mut reporter, &count(true)), ["bravo|3"]);
    assert_eq!(rows(&mut reporter, COVERAGE), ["acme|suspended|0|55000", "bravo|counted|1|-"]);
    // A report holds no tenant's lock once its part is over: in the same transaction the tenant can be dropped.
    reporter.batch_execute("BEGIN").unwrap();
    rows(&mut reporter, &count(true));
    world.admin().batch_execute("SELECT plio.drop_tenant('bravo', 'bravo')").unwrap();
    assert_eq!(rows(&mut reporter, &count(true)), Vec::<String>::new());
    assert_eq!(rows(&mut reporter, COVERAGE), ["acme|suspended|0|55000"]);
}
