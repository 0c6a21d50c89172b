//! A tenant's code that wants to end, outlive or mark the session that reports.

use crate::world::{World, assert_outside, one, rows, world};
use plio_tests::expect_sqlstate;
use postgres::Client;
use std::time::{Duration, Instant};

const COVERAGE: &str = "SELECT org, outcome, rows, sqlstate FROM plio.report_coverage() ORDER BY org";
const REPORT: &str = "SELECT * FROM plio.report('SELECT count(name) FROM users', allow_partial => true) AS (org text, n bigint)";

/// Puts a function of that body behind bravo's table.
fn behind_the_table(world: &World, body: &str) {
    world.inside(
        "bravo",
        &format!(
            "CREATE FUNCTION hostile() RETURNS text LANGUAGE plpgsql AS $f$ {body} $f$;
             ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT id, hostile() AS name FROM people"
        ),
    );
}

#[track_caller]
fn assert_only_bravo_fails(world: &World, reporter: &mut Client, sqlstate: &str) {
    assert_eq!(rows(reporter, REPORT), ["acme|3"]);
    let expected = ["acme|counted|1|-".to_owned(), format!("bravo|failed|0|{sqlstate}")];
    assert_eq!(rows(reporter, COVERAGE), expected);
    assert_outside(reporter, &world.reporter);
}

#[test]
fn an_error_that_looks_like_a_cancellation_is_a_failure() {
    for code in ["57014", "57P01", "57P02", "57P03"] {
        let world = world("looks_like");
        behind_the_table(&world, &format!("BEGIN RAISE 'over' USING ERRCODE = '{code}'; END"));
        assert_only_bravo_fails(&world, &mut world.reporter(), code);
    }
}

const SWALLOW: &str =
    "BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END";

#[test]
fn a_cancellation_is_not_swallowed() {
    let world = world("swallowed");
    world.admin().batch_execute("SELECT plio.create_report_view('users', 'users')").unwrap();
    behind_the_table(&world, SWALLOW);
    let mut reporter = world.reporter();
    reporter.batch_execute("SET plio.allow_partial_reports = on; SET statement_timeout = '300ms'").unwrap();
    let begun = Instant::now();
    for query in [REPORT, "SELECT count(*) FROM plio_reports.users WHERE name <> ''"] {
        let error = expect_sqlstate(reporter.query(query, &[]), "57014");
        assert_eq!(error.message(), "canceling statement due to statement timeout");
        assert_eq!(one(&mut reporter, "SELECT count(*) FROM plio.report_coverage()"), "0");
    }
    // Caught once, and then an end without an error.
    world.inside(
        "bravo",
        "CREATE OR REPLACE FUNCTION hostile() RETURNS text LANGUAGE plpgsql AS
            $f$ BEGIN PERFORM pg_sleep(60); RETURN ''; EXCEPTION WHEN query_canceled THEN RETURN 'mine'; END $f$",
    );
    expect_sqlstate(reporter.query(REPORT, &[]), "57014");
    // The client's own wish.
    reporter.batch_execute("SET statement_timeout = 0").unwrap();
    let token = reporter.cancel_token();
    let cancelling = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        token.cancel_query(postgres::NoTls).unwrap();
    });
    let error = expect_sqlstate(reporter.query(REPORT, &[]), "57014");
    assert_eq!(error.message(), "canceling statement due to user request");
    cancelling.join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_outside(&mut reporter, &world.reporter);
}

#[test]
fn a_visit_has_a_limit() {
    let world = world("limit");
    behind_the_table(&world, SWALLOW);
    let mut reporter = world.reporter();
    assert_eq!(one(&mut reporter, "SHOW plio.report_visit_timeout"), "5min");
    reporter.batch_execute("SET plio.report_visit_timeout = '300ms'").unwrap();
    let begun = Instant::now();
    assert_only_bravo_fails(&world, &mut reporter, "57014");
    let message = "SELECT message FROM plio.report_coverage() WHERE org = 'bravo'";
    assert_eq!(one(&mut reporter, message), "the visit took longer than plio.report_visit_timeout");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // Nothing of it is left for what follows; the statement's own limit still counts.
    assert_eq!(one(&mut reporter, "SELECT pg_sleep(0.5)::text"), "");
    reporter.batch_execute("SET plio.report_visit_timeout = '10s'; SET statement_timeout = '300ms'").unwrap();
    expect_sqlstate(reporter.query(REPORT, &[]), "57014");
    reporter.batch_execute("SET statement_timeout = 0; SET plio.report_visit_timeout = 0").unwrap();
    let quick = "SELECT * FROM plio.report('SELECT count(*) FROM users', '{acme}') AS (org text, n bigint)";
    assert_eq!(rows(&mut reporter, quick), ["acme|3"]);
}

// exit_on_error would turn each error into the end of the session, transaction_timeout takes effect at once.
#[test]
fn no_setting_ends_the_reporters_session() {
    let world = world("settings");
    let mut admin = world.admin();
    let has_timeout =
        one(&mut admin, "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'") == "1";
    let mut attempts = vec![
        "PERFORM set_config('exit_on_error', 'on', false)",
        "SET exit_on_error = on",
        "EXECUTE 'SET LOCAL exit_on_error TO true'",
    ];
    if has_timeout {
        attempts.extend([
            "PERFORM set_config('transaction_timeout', '1ms', true)",
            "SET LOCAL transaction_timeout = '1ms'",
            "RESET transaction_timeout",
        ]);
    }
    behind_the_table(&world, "BEGIN RETURN ''; END");
    let mut reporter = world.reporter();
    if has_timeout {
        reporter.batch_execute("SET transaction_timeout = '1min'").unwrap();
    }
    for attempt in attempts {
        world.inside(
            "bravo",
            &format!(
                "CREATE OR REPLACE FUNCTION hostile() RETURNS text LANGUAGE plpgsql AS
                    $f$ BEGIN {attempt}; PERFORM pg_sleep(0.05); RAISE 'still there'; END $f$"
            ),
        );
        assert_only_bravo_fails(&world, &mut reporter, "25001");
    }
    // A reporter's own is kept, and so is a function's that sets what ends nothing.
    world.inside(
        "bravo",
        "CREATE OR REPLACE FUNCTION hostile() RETURNS text LANGUAGE plpgsql SET work_mem = '1MB' SET exit_on_error = off AS
            $f$ BEGIN PERFORM set_config('work_mem', '2MB', false); RETURN ''; END $f$",
    );
    world.inside("bravo", "ALTER FUNCTION hostile() RESET exit_on_error");
    assert_eq!(rows(&mut reporter, REPORT), ["acme|3", "bravo|3"]);
    if has_timeout {
        assert_eq!(one(&mut reporter, "SHOW transaction_timeout"), "1min");
    }
}

#[test]
fn nothing_outlives_a_visit() {
    let world = world("marks");
    let mut admin = world.admin();
    for attempt in [
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_lock_shared(1, 2)",
        "SELECT pg_try_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1, 2)",
        "SELECT pg_advisory_unlock(7)",
        "SELECT pg_advisory_unlock_all()",
        "SELECT setseed(0.5)",
        "SELECT pg_logical_emit_message(false, 'a', 'b')",
    ] {
        admin.batch_execute(&format!(
            "BEGIN; SELECT plio.set_tenant('bravo'); DROP VIEW IF EXISTS told; DROP FUNCTION IF EXISTS mark();
             CREATE FUNCTION mark() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN EXECUTE '{attempt}'; RETURN 'DONE';
                EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $f$; CREATE VIEW told AS SELECT mark() AS t; COMMIT",
            attempt = attempt.replace('\'', "''''")
        ).replace("''''", "''")).unwrap();
        let mut reporter = world.reporter();
        reporter.batch_execute("SELECT pg_advisory_lock(7)").unwrap();
        let told = "SELECT t FROM plio.report('SELECT t FROM told', '{bravo}') AS (org text, t text)";
        assert_eq!(one(&mut reporter, told), "42501", "{attempt}");
        let held = "SELECT string_agg(objid::text, ',') FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
        assert_eq!(one(&mut reporter, held), "7", "{attempt}");
    }
    // Those of a transaction end with the visit, and so do other sessions' waits for them.
    let mut reporter = world.reporter();
    let xact =
        "SELECT * FROM plio.report('SELECT pg_advisory_xact_lock(9)::text', '{bravo}') AS (org text, t text)";
    reporter.batch_execute("BEGIN").unwrap();
    assert_eq!(rows(&mut reporter, xact), ["bravo|"]);
    assert_eq!(one(&mut admin, "SELECT pg_try_advisory_xact_lock(9)::text"), "true");
}

// A parallel worker of a visit to a tenant without a role knows as much as its leader.
#[test]
fn a_worker_has_one_layer_as_its_leader() {
    let world = world("worker");
    let mut admin = world.admin();
    let owner = world.tenants.db.login_role("owner");
    for org in ["old", "other"] {
        admin
            .batch_execute(&format!(
                "CREATE SCHEMA {org} AUTHORIZATION {owner}; SET ROLE {owner};
                 CREATE TABLE {org}.users AS SELECT i AS id, 'canary-{org}' AS name FROM generate_series(1, 100) AS i;
                 ANALYZE {org}.users; RESET ROLE; SELECT plio.adopt_tenant('{org}', '{org}')"
            ))
            .unwrap();
    }
    admin
        .batch_execute(&format!(
            "SELECT plio.grant_access('{owner}', 'old');
             SET ROLE {owner}; BEGIN; SELECT plio.set_tenant('old');
             CREATE FUNCTION peek() RETURNS text STABLE PARALLEL SAFE LANGUAGE plpgsql AS $f$
             DECLARE told text;
             BEGIN
                 BEGIN
                     told := (SELECT string_agg(most_common_vals::text, ' ') FROM pg_stats WHERE schemaname = 'other');
                 EXCEPTION WHEN OTHERS THEN told := SQLSTATE; END;
                 RETURN pg_backend_pid() || ' ' || coalesce(told, 'nothing');
             END $f$;
             CREATE FUNCTION force() RETURNS SETOF text LANGUAGE plpgsql AS $f$
             BEGIN
                 PERFORM set_config(name, setting, true) FROM (VALUES ('debug_parallel_query', 'on'), ('force_parallel_mode', 'on'),
                        ('max_parallel_workers_per_gather', '2'), ('max_parallel_workers', '2')) AS v(name, setting)
                  WHERE EXISTS (SELECT FROM pg_settings s WHERE s.name = v.name);
                 RETURN QUERY EXECUTE 'SELECT peek()';
             END $f$;
             CREATE VIEW told AS SELECT force() AS t; COMMIT"
        ))
        .unwrap();
    let mut reporter = world.reporter();
    let pid = one(&mut reporter, "SELECT pg_backend_pid()::text");
    let told =
        one(&mut reporter, "SELECT t FROM plio.report('SELECT t FROM told', '{old}') AS (org text, t text)");
    let (worker, answer) = told.split_once(' ').unwrap();
    assert_ne!(worker, pid, "a worker ran it");
    assert_eq!(answer, "42501");
    assert_outside(&mut reporter, &world.reporter);
}
