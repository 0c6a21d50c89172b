//! `plio.report()`: what comes out, who may ask, where, and that nothing is written.

use crate::world::{assert_outside, refused, rows, world};
use plio_tests::expect_sqlstate;

const NAMES: &str =
    "SELECT * FROM plio.report('SELECT id, name FROM users WHERE id < 3') AS (org text, id bigint, name text)
                     ORDER BY org, id";

#[test]
fn rows_of_every_tenant_come_with_the_org_in_front_and_their_types() {
    let world = world("rows");
    let mut reporter = world.reporter();
    let found = reporter.query(NAMES, &[]).unwrap();
    let found: Vec<(String, i64, String)> =
        found.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let expected = [
        ("acme", 1, "canary-acme"),
        ("acme", 2, "canary-acme-2"),
        ("bravo", 1, "canary-bravo"),
        ("bravo", 2, "canary-bravo-2"),
    ];
    assert_eq!(found, expected.map(|(org, id, name)| (org.to_owned(), id, name.to_owned())));
    assert_outside(&mut reporter, &world.reporter);
    // As one shape, some tenants only, each inside its own tenant; a semicolon and a comment do no harm.
    let json = "SELECT org, r.row->>'who' = 'tenant_acme', r.row->'n' FROM plio.report_json(
                    'SELECT split_part(current_user, ''_'', 1) || ''_'' || plio.require_tenant() AS who, count(*) AS n FROM users -- all
                     ;', ARRAY['acme']) AS r";
    assert_eq!(rows(&mut reporter, json), ["acme|t|3"]);
    assert_eq!(
        rows(&mut reporter, "SELECT * FROM plio.report('VALUES (1)') AS (org text, one int)"),
        ["acme|1", "bravo|1"]
    );
    // Without the reports' role the same query is refused everywhere.
    let without = "SELECT id FROM tenant_acme.users";
    refused(reporter.query(without, &[]), "55000");
    refused(reporter.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "42501");
}

#[test]
fn only_reporters_and_auditors_may_ask_and_never_inside_a_tenant() {
    let world = world("who");
    let mut admin = world.admin();
    let (auditor, manager) = (world.tenants.db.login_role("auditor"), world.tenants.db.login_role("manager"));
    admin.batch_execute(&format!("GRANT plio_auditor TO {auditor}; GRANT plio_admin TO {manager}")).unwrap();
    assert_eq!(world.tenants.db.connect(&auditor).query(NAMES, &[]).unwrap().len(), 4);
    assert_eq!(admin.query(NAMES, &[]).unwrap().len(), 4);
    let json = "SELECT * FROM plio.report_json('SELECT 1')";
    for role in [&world.tenants.app, &world.tenants.carol, &manager] {
        let mut client = world.tenants.db.connect(role);
        for query in [NAMES, json, "SELECT * FROM plio.report_coverage()"] {
            expect_sqlstate(client.query(query, &[]), "42501");
        }
    }
    // EXECUTE alone is not enough, nor is a function that runs as a reporter.
    admin
        .batch_execute(&format!(
            "GRANT EXECUTE ON FUNCTION plio.report(text, text[], boolean) TO {0};
             GRANT CREATE ON SCHEMA public TO {1}; SET SESSION AUTHORIZATION {1};
             CREATE FUNCTION public.lent() RETURNS bigint LANGUAGE sql SECURITY DEFINER
                 AS $$ SELECT count(*) FROM plio.report('SELECT 1 FROM users') AS (org text, one int) $$;
             RESET SESSION AUTHORIZATION",
            world.tenants.app, world.reporter
        ))
        .unwrap();
    let mut app = world.app();
    refused(app.query(NAMES, &[]), "42501");
    refused(app.query("SELECT public.lent()", &[]), "42501");
    refused(world.reporter().query("SELECT public.lent()", &[]), "25001");
    // Inside a tenant nobody sees another, a superuser neither.
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    expect_sqlstate(admin.query(NAMES, &[]), "42501");
    admin.batch_execute("ROLLBACK; SET plio.tenant = 'acme'").unwrap();
    expect_sqlstate(admin.query(NAMES, &[]), "42501");
}

#[test]
fn a_query_that_is_no_report_is_refused_before_it_runs() {
    let world = world("queries");
    let mut reporter = world.reporter();
    let report = |query: &str| format!("SELECT * FROM plio.report($q${query}$q$) AS (org text, one int)");
    for query in [
        "SELECT 1; SELECT 2",
        "",
        "DELETE FROM users",
        "SELECT 1 INTO x",
        "SET role = 'postgres'",
        "COPY users TO STDOUT",
        "EXPLAIN SELECT 1",
        "WITH gone AS (DELETE FROM users RETURNING 1) SELECT 1 FROM gone",
    ] {
        refused(reporter.query(&report(query), &[]), "22023");
    }
    expect_sqlstate(reporter.query(&report("SELECT FROM FROM"), &[]), "42601");
    expect_sqlstate(reporter.query(&report("SELECT 1) AS x; SELECT (1"), &[]), "42601");
    refused(reporter.query("SELECT * FROM plio.report(NULL) AS (org text, one int)", &[]), "22023");
    refused(
        reporter.query("SELECT * FROM plio.report('SELECT 1', ARRAY[NULL]) AS (org text, one int)", &[]),
        "22023",
    );
    refused(
        reporter.query("SELECT * FROM plio.report('SELECT 1', '{nobody}') AS (org text, one int)", &[]),
        "42704",
    );
    refused(
        reporter.query("SELECT * FROM plio.report('SELECT 1', '{No Org}') AS (org text, one int)", &[]),
        "42602",
    );
    refused(reporter.query("SELECT * FROM plio.report('SELECT 1') AS (org int, one int)", &[]), "22023");
    // Another shape than the query's: in every tenant, so no tenant is counted, and the first one says why.
    let error = refused(reporter.query(&report("SELECT 'x'::text"), &[]), "55000");
    assert!(error.detail().unwrap().contains("22023"), "{error:?}");
    // What it must be recorded in cannot be written.
    reporter.batch_execute("BEGIN READ ONLY").unwrap();
    refused(reporter.query(&report("SELECT 1"), &[]), "55000");
    reporter.batch_execute("ROLLBACK").unwrap();
    assert_outside(&mut reporter, &world.reporter);
}

#[test]
fn nothing_is_written_in_any_tenant() {
    let world = world("writes");
    world.inside("acme", "CREATE TABLE log (n int); CREATE SEQUENCE steps; CREATE FUNCTION note() RETURNS int LANGUAGE plpgsql VOLATILE
        AS $$ BEGIN INSERT INTO log VALUES (1); RETURN 1; END $$;
        CREATE FUNCTION undo() RETURNS int LANGUAGE plpgsql VOLATILE
        AS $$ BEGIN PERFORM set_config('transaction_read_only', 'off', true); RETURN note(); END $$;
        CREATE FUNCTION reset_it() RETURNS int LANGUAGE plpgsql VOLATILE
        AS $$ BEGIN RESET transaction_read_only; RETURN note(); END $$");
    let mut reporter = world.reporter();
    for (query, code) in [
        ("SELECT note()", "25006"),
        ("SELECT undo()", "25001"),
        ("SELECT reset_it()", if plio_tests::Cluster::major() == "15" { "55000" } else { "0A000" }),
        ("SELECT nextval('steps')::int", "25006"),
        ("SELECT id::int FROM users FOR UPDATE", "0A000"),
    ] {
        let report = format!("SELECT * FROM plio.report($q${query}$q$, '{{acme}}') AS (org text, n int)");
        let error = refused(reporter.query(&report, &[]), "55000");
        let coverage = rows(&mut reporter, "SELECT org, outcome, rows, sqlstate FROM plio.report_coverage()");
        assert_eq!(coverage, [format!("acme|failed|0|{code}")], "{query}: {error:?}");
    }
    // The positive control: the same function in the tenant itself.
    world.inside("acme", "SELECT note()");
    let count = "SELECT * FROM plio.report('SELECT count(*), (SELECT last_value FROM steps WHERE is_called) FROM log', '{acme}') AS (org text, n bigint, s bigint)";
    assert_eq!(rows(&mut reporter, count), ["acme|1|-"]);
}

// Where the column definition list is not what the query gives, the hint is about that, not about the tenants.
#[test]
fn other_columns_than_the_querys_are_said_to_be_that() {
    let world = world("columns");
    let mut reporter = world.reporter();
    for (query, list, code) in [
        ("SELECT id FROM users", "org text, id int", "55000"),
        ("SELECT id, name FROM users", "org text, id bigint", "55000"),
        ("SELECT id FROM users", "id bigint", "22023"),
    ] {
        let report = format!("SELECT * FROM plio.report('{query}') AS ({list})");
        let error = refused(reporter.query(&report, &[]), code);
        assert!(error.hint().unwrap().contains("column definition list"), "{error:?}");
    }
    let error = refused(
        reporter.query("SELECT * FROM plio.report('SELECT nosuch FROM users') AS (org text, x int)", &[]),
        "55000",
    );
    assert!(error.hint().unwrap().contains("plio.report_coverage()"), "{error:?}");
}

#[test]
fn a_report_is_recorded_with_its_coverage() {
    let world = world("recorded");
    let mut reporter = world.reporter();
    reporter.query(NAMES, &[]).unwrap();
    let history = "SELECT actor, detail->>'query', detail->>'expected', detail->>'counted', detail->>'rows', detail->>'skipped'
                     FROM plio.history WHERE action = 'report'";
    let expected = format!("{}|SELECT id, name FROM users WHERE id < 3|2|2|4|[]", world.reporter);
    assert_eq!(rows(&mut world.admin(), history), [expected]);
    // The history goes with a rollback; the server's log does not.
    reporter.batch_execute("BEGIN").unwrap();
    reporter.query("SELECT * FROM plio.report('SELECT 42424242') AS (org text, n int)", &[]).unwrap();
    reporter.batch_execute("ROLLBACK").unwrap();
    assert_eq!(rows(&mut world.admin(), history).len(), 1);
    assert!(
        world
            .tenants
            .db
            .cluster()
            .log()
            .lines()
            .any(|line| line.contains("plio report:") && line.contains("42424242"))
    );
}

#[test]
fn it_runs_beside_other_tables_in_savepoints_and_with_many_rows() {
    let world = world("beside");
    let mut reporter = world.reporter();
    world.admin().batch_execute("GRANT SELECT ON public.countries TO PUBLIC").unwrap();
    let join = "SELECT code, org, n FROM public.countries, plio.report('SELECT count(*) FROM users') AS (org text, n bigint) ORDER BY 1, 2";
    assert_eq!(rows(&mut reporter, join), ["IN|acme|3", "IN|bravo|3", "KE|acme|3", "KE|bravo|3"]);
    reporter.batch_execute("BEGIN; SAVEPOINT s").unwrap();
    let wrong = "SELECT * FROM plio.report('SELECT 1/0') AS (org text, n int)";
    let error = refused(reporter.query(wrong, &[]), "55000");
    assert!(error.detail().unwrap().contains("acme failed: division by zero (22012)."), "{error:?}");
    reporter.batch_execute("ROLLBACK TO s").unwrap();
    assert_eq!(rows(&mut reporter, join).len(), 4);
    assert_outside(&mut reporter, &world.reporter);
    reporter.batch_execute("COMMIT; SET work_mem = '64kB'").unwrap();
    let many = "SELECT org, count(*), count(DISTINCT n), sum(length(t)) FROM plio.report(
                    'SELECT n, repeat(''x'', 100) FROM generate_series(1, 50000) AS n') AS (org text, n int, t text) GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&mut reporter, many), ["acme|50000|50000|5000000", "bravo|50000|50000|5000000"]);
    // Values that lie in a tenant's TOAST table come out whole: the table may be gone before they are read.
    world.inside("acme", "CREATE TABLE big (t text); ALTER TABLE big ALTER t SET STORAGE EXTERNAL; INSERT INTO big SELECT repeat(md5(n::text), 500) FROM generate_series(1, 3) n");
    reporter.batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT length(t), t = repeat(substr(t, 1, 32), 500) FROM plio.report('SELECT t FROM big', '{acme}') AS (org text, t text)").unwrap();
    assert_eq!(rows(&mut reporter, "FETCH 1 FROM c"), ["16000|t"]);
    world.inside("acme", "DROP TABLE big");
    assert_eq!(rows(&mut reporter, "FETCH 2 FROM c"), ["16000|t", "16000|t"]);
}

#[test]
fn what_is_left_of_a_report_is_gone_in_the_next_tenant() {
    let world = world("left");
    let mut admin = world.admin();
    admin.batch_execute("CREATE TEMP TABLE users AS SELECT * FROM plio.report('SELECT name FROM users') AS (org text, name text)").unwrap();
    assert_eq!(rows(&mut admin, "SELECT count(*) FROM pg_temp.users"), ["6"]);
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    expect_sqlstate(admin.query("SELECT * FROM pg_temp.users", &[]), "42P01");
}

#[test]
fn no_cursor_may_be_open() {
    let world = world("cursors");
    let mut reporter = world.reporter();
    reporter.batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT 1").unwrap();
    refused(reporter.query(NAMES, &[]), "25001");
    reporter.batch_execute("ROLLBACK; BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT").unwrap();
    refused(reporter.query(NAMES, &[]), "25001");
    reporter.batch_execute("CLOSE c").unwrap();
    assert_eq!(reporter.query(NAMES, &[]).unwrap().len(), 4);
}
