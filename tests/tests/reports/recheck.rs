//! A row that somebody else changed meanwhile is rechecked (EvalPlanQual) with the rows that the statement has; and whose
//! coverage report_coverage() tells.

use crate::world::{one, refused, rows, world};
use plio_tests::expect_sqlstate;
use std::thread;
use std::time::{Duration, Instant};

// The changed row makes PostgreSQL begin the report view's scan once more. Both tenants are closed by then: a second visit would
// fail, and so it is the rows of before that are joined.
#[test]
fn no_tenant_is_visited_again_for_a_changed_row() {
    let world = world("recheck");
    let mut admin = world.admin();
    // More than fits into the smaller memory.
    world.inside("acme", "INSERT INTO users SELECT i, repeat('x', 100) FROM generate_series(100, 2000) AS i");
    admin
        .batch_execute(&format!(
            "SELECT plio.create_report_view('users', 'users');
             CREATE TABLE public.notes (id bigint PRIMARY KEY, n int, text text); INSERT INTO public.notes SELECT i, 0 FROM generate_series(1, 3) AS i;
             GRANT SELECT, UPDATE ON public.notes TO {}",
            world.reporter
        ))
        .unwrap();
    for work_mem in ["4MB", "64kB"] {
        for statement in [
            "UPDATE notes SET text = u.name FROM plio_reports.users u WHERE u.id = notes.id RETURNING notes.id, n, u.name",
            "UPDATE notes SET text = u.name FROM plio_reports.users u WHERE u.id = notes.id AND u.org = 'acme' RETURNING notes.id, n, u.name",
            "SELECT notes.id, n, u.name FROM notes JOIN plio_reports.users u USING (id) WHERE u.org = 'acme' FOR UPDATE OF notes",
            "UPDATE notes SET text = 'x' WHERE id IN (SELECT id FROM plio_reports.users) OR n < 0 RETURNING id, n, 'canary-acme'",
            "UPDATE notes SET text = (SELECT min(name) FROM plio_reports.users u WHERE u.id = notes.id) RETURNING id, n, text",
        ] {
            admin.batch_execute("UPDATE public.notes SET n = 0").unwrap();
            let mut reporter = world.reporter();
            reporter
                .batch_execute(&format!("SET search_path = public; SET work_mem = '{work_mem}'"))
                .unwrap();
            let pid = one(&mut reporter, "SELECT pg_backend_pid()");
            let mut writer = world.admin();
            writer.batch_execute("BEGIN; UPDATE public.notes SET n = n + 1 WHERE id = 2").unwrap();
            let reporting = thread::spawn(move || rows(&mut reporter, statement));
            let waits = format!("SELECT cardinality(pg_blocking_pids({pid}))");
            let end = Instant::now() + Duration::from_secs(10);
            while one(&mut admin, &waits) == "0" && !reporting.is_finished() {
                assert!(Instant::now() < end, "{statement}: it does not wait");
                thread::sleep(Duration::from_millis(10));
            }
            let closed = "SELECT plio.suspend_tenant('acme'), plio.suspend_tenant('bravo')";
            admin.batch_execute(closed).unwrap();
            writer.batch_execute("COMMIT").unwrap();
            let mut found = reporting.join().unwrap_or_else(|_| panic!("{statement}"));
            admin.batch_execute("SELECT plio.resume_tenant('acme'), plio.resume_tenant('bravo')").unwrap();
            found.sort();
            let ids = found.iter().map(|row| row.split('|').take(2).collect::<Vec<_>>().join("|"));
            assert_eq!(ids.collect::<Vec<_>>(), ["1|0", "2|1", "3|0"], "{statement}: {found:?}");
            assert!(found.iter().all(|row| row.contains("canary-")), "{found:?}");
        }
    }
}

#[test]
fn coverage_is_never_that_of_the_report_before() {
    let world = world("coverage_of");
    world.inside("acme", "CREATE VIEW slow AS SELECT pg_sleep(60)::text AS t");
    world
        .admin()
        .batch_execute(
            "SELECT plio.create_report_view('users', 'users'), plio.create_report_view('slow', 'slow')",
        )
        .unwrap();
    let mut reporter = world.reporter();
    let good = "SELECT count(*) FROM plio.report('SELECT 1') AS (org text, n int)";
    let parts = "SELECT count(*) FROM plio.report_coverage()";
    for (statement, sqlstate) in [
        ("SELECT * FROM plio.report('SELECT pg_sleep(60)::text') AS (org text, t text)", "57014"),
        ("SELECT * FROM plio.report('DELETE FROM users') AS (org text, t text)", "22023"),
        ("SELECT * FROM plio.report('SELECT 1', '{nosuch}') AS (org text, n int)", "42704"),
        ("SELECT * FROM plio.report(NULL) AS (org text, n int)", "22023"),
        ("SELECT * FROM plio_reports.slow", "57014"),
        ("SELECT * FROM plio_reports.users WHERE id = 1 / (extract(epoch FROM now()) * 0)::int", "22012"),
    ] {
        reporter.batch_execute("SET statement_timeout = 0").unwrap();
        assert_eq!(one(&mut reporter, good), "2");
        assert_eq!(one(&mut reporter, parts), "2");
        reporter.batch_execute("SET statement_timeout = '300ms'").unwrap();
        if ["57014", "22012"].contains(&sqlstate) {
            expect_sqlstate(reporter.query(statement, &[]), sqlstate);
        } else {
            refused(reporter.simple_query(statement), sqlstate);
        }
        assert_eq!(one(&mut reporter, parts), "0", "{statement}");
    }
    // What is only explained is no report: the last one's stays. With ANALYZE it is one.
    reporter
        .batch_execute("SET statement_timeout = 0; PREPARE p AS SELECT count(*) FROM plio_reports.users")
        .unwrap();
    for (explain, counted) in [
        ("EXPLAIN SELECT * FROM plio_reports.users", "2"),
        ("EXPLAIN (VERBOSE, ANALYZE off) SELECT * FROM plio_reports.users WHERE org = 'acme'", "2"),
        ("EXPLAIN (ANALYZE false) EXECUTE p", "2"),
        ("EXPLAIN SELECT * FROM plio_reports.users WHERE id = 1 / (extract(epoch FROM now()) * 0)::int", "2"),
        ("EXPLAIN ANALYZE SELECT * FROM plio_reports.users WHERE org = 'acme'", "1"),
        ("EXPLAIN (ANALYZE 1) SELECT * FROM plio_reports.users WHERE org = 'acme'", "1"),
    ] {
        assert_eq!(one(&mut reporter, good), "2");
        drop(reporter.simple_query(explain));
        assert_eq!(one(&mut reporter, parts), counted, "{explain}");
    }
}
