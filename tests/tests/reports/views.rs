//! Report views: right while tenants come and go, pruned by the organization, for reporters only.

use crate::world::{World, refused, rows, world};
use plio_tests::{Cluster, expect_sqlstate};
use std::process::Command;

const COUNTS: &str = "SELECT org, count(*) FROM plio_reports.people GROUP BY org ORDER BY org";

fn with_view(name: &str) -> World {
    let world = world(name);
    world.admin().batch_execute("SELECT plio.create_report_view('people', 'users')").unwrap();
    world
}

#[test]
fn a_view_follows_the_tenants() {
    let world = with_view("follow");
    let (mut admin, mut reporter) = (world.admin(), world.reporter());
    assert_eq!(rows(&mut reporter, COUNTS), ["acme|3", "bravo|3"]);
    admin.batch_execute("SELECT plio.create_tenant('late', 'Odd \"Schema\"'); BEGIN; SELECT plio.set_tenant('late'); CREATE TABLE users (name text, id bigint); INSERT INTO users VALUES ('canary', 1); COMMIT").unwrap();
    assert_eq!(rows(&mut reporter, COUNTS), ["acme|3", "bravo|3", "late|1"]);
    admin.batch_execute("SELECT plio.rename_tenant('acme', 'zenith')").unwrap();
    assert_eq!(rows(&mut reporter, COUNTS), ["bravo|3", "late|1", "zenith|3"]);
    admin.batch_execute("SELECT plio.suspend_tenant('bravo')").unwrap();
    let error = refused(reporter.query(COUNTS, &[]), "55000");
    assert_eq!(error.detail(), Some("bravo suspended."));
    // What the conditions leave out is not missed.
    assert_eq!(rows(&mut reporter, "SELECT count(*) FROM plio_reports.people WHERE org <> 'bravo'"), ["4"]);
    reporter.batch_execute("SET plio.allow_partial_reports = on").unwrap();
    assert_eq!(rows(&mut reporter, COUNTS), ["late|1", "zenith|3"]);
    let coverage = "SELECT org, outcome, rows FROM plio.report_coverage()";
    assert_eq!(rows(&mut reporter, coverage), ["bravo|suspended|0", "late|counted|1", "zenith|counted|3"]);
    reporter.batch_execute("SET plio.allow_partial_reports = off").unwrap();
    admin.batch_execute("SELECT plio.drop_tenant('bravo', 'bravo')").unwrap();
    assert_eq!(rows(&mut reporter, COUNTS), ["late|1", "zenith|3"]);
    admin.batch_execute("SELECT plio.drop_report_view('people')").unwrap();
    expect_sqlstate(reporter.query(COUNTS, &[]), "42P01");
    refused(admin.query("SELECT plio.drop_report_view('people')", &[]), "42704");
    let history = "SELECT action FROM plio.history WHERE action LIKE '%report_view' ORDER BY history_id";
    assert_eq!(rows(&mut admin, history), ["create_report_view", "drop_report_view"]);
}

#[test]
fn drift_is_said_and_only_where_it_matters() {
    let world = with_view("drift");
    world.inside("bravo", "ALTER TABLE users DROP COLUMN name; ALTER TABLE users ALTER id TYPE int");
    let mut reporter = world.reporter();
    // The view's type whatever the tenant's; the missing column matters where it is asked for.
    assert_eq!(
        rows(&mut reporter, "SELECT sum(id), pg_typeof(max(id)) FROM plio_reports.people"),
        ["12|bigint"]
    );
    refused(reporter.query("SELECT name FROM plio_reports.people", &[]), "55000");
    assert_eq!(
        rows(&mut reporter, "SELECT org, outcome, sqlstate FROM plio.report_coverage()"),
        ["acme|counted|-", "bravo|drifted|42703"]
    );
    refused(reporter.query("SELECT id FROM plio_reports.people WHERE name = 'x'", &[]), "55000");
    world.inside("bravo", "DROP TABLE users");
    refused(reporter.query(COUNTS, &[]), "55000");
    assert_eq!(
        rows(&mut reporter, "SELECT org, outcome, sqlstate FROM plio.report_coverage()"),
        ["acme|counted|-", "bravo|drifted|42P01"]
    );
    // A shared table of the same name is no substitute.
    world
        .admin()
        .batch_execute(
            "CREATE TABLE public.users (id bigint, name text); SELECT plio.share('public.users', 'read')",
        )
        .unwrap();
    refused(reporter.query(COUNTS, &[]), "55000");
}

#[test]
fn most_tenants_say_what_the_columns_are() {
    let world = world("columns");
    let mut admin = world.admin();
    admin.batch_execute("SELECT plio.create_tenant('charlie')").unwrap();
    world.inside("acme", "CREATE TABLE t (old int)");
    for org in ["bravo", "charlie"] {
        let tables = "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE t (id int, org text, mood mood, moods mood[], code varchar(3), at timestamptz[]);
                      INSERT INTO t VALUES (1, 'x', 'glad', '{sad,glad}', 'abc', NULL)";
        admin.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}'); {tables}; COMMIT")).unwrap();
    }
    refused(admin.query("SELECT plio.create_report_view('t', 't')", &[]), "22023");
    refused(admin.query("SELECT plio.create_report_view('t', 'no such table')", &[]), "42704");
    refused(admin.query("SELECT plio.create_report_view('', 't')", &[]), "22023");
    refused(admin.query("SELECT plio.create_report_view('t', NULL)", &[]), "22023");
    admin.batch_execute("SELECT plio.create_report_view('Odd \"view\"', 't', 'tenant')").unwrap();
    let columns = "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute
                    WHERE attrelid = 'plio_reports.\"Odd \"\"view\"\"\"'::regclass AND attnum > 0";
    assert_eq!(
        rows(&mut admin, columns),
        [
            "tenant text, id integer, org text, mood text, moods text, code character varying, at timestamp with time zone[]"
        ]
    );
    let glad = "SELECT tenant, mood, moods, code FROM plio_reports.\"Odd \"\"view\"\"\" WHERE mood = 'glad' AND tenant IN ('bravo', 'charlie')";
    assert_eq!(
        rows(&mut world.reporter(), glad),
        ["bravo|glad|{sad,glad}|abc", "charlie|glad|{sad,glad}|abc"]
    );
    // A second time: with the columns of now.
    for org in ["acme", "charlie"] {
        admin
            .batch_execute(&format!(
                "BEGIN; SELECT plio.set_tenant('{org}'); DROP TABLE t; CREATE TABLE t (fresh int); COMMIT"
            ))
            .unwrap();
    }
    admin.batch_execute("SELECT plio.create_report_view('Odd \"view\"', 't')").unwrap();
    assert_eq!(rows(&mut admin, columns), ["org text, fresh integer"]);
}

#[test]
fn a_condition_on_the_org_prunes_and_others_go_to_the_tenant() {
    let world = with_view("prune");
    let mut reporter = world.reporter();
    let plan = |query: &str| {
        let mut reporter = world.reporter();
        rows(&mut reporter, &format!("EXPLAIN (COSTS OFF) {query}")).join("\n")
    };
    let tenants = |query: &str| {
        let plan = plan(query);
        plan.lines()
            .find_map(|line| line.trim().strip_prefix("Tenants:").map(|rest| rest.trim().to_owned()))
            .unwrap_or(plan)
    };
    let view = "SELECT id, name FROM plio_reports.people";
    assert_eq!(tenants(view), "acme, bravo");
    for (condition, expected) in [
        ("org = 'bravo'", "bravo"),
        ("'acme' = org", "acme"),
        ("org IN ('bravo', 'nobody')", "bravo"),
        ("org <> 'bravo' AND id = 1", "acme"),
        ("NOT (org = 'acme' OR org = 'x')", "bravo"),
        ("org = 'nobody'", ""),
        ("org = 'No Org'", ""),
        ("org = NULL::text", ""),
        ("org = lower('ACME')", "acme"),
        ("org = (SELECT 'acme'::text)", "acme, bravo"),
    ] {
        let query = format!("{view} WHERE {condition}");
        assert!(
            tenants(&query) == expected || (expected.is_empty() && !tenants(&query).contains("acme")),
            "{}",
            plan(&query)
        );
        let all = rows(
            &mut reporter,
            &format!(
                "SELECT * FROM (SELECT org, id FROM plio_reports.people OFFSET 0) AS x WHERE {}",
                condition.replace("plio_reports.people", "x")
            ),
        );
        let found =
            rows(&mut reporter, &format!("SELECT org, id FROM plio_reports.people WHERE {condition}"));
        assert_eq!(all, found, "{condition}");
    }
    // Conditions with PostgreSQL's own operators are the tenant's to use an index for; volatile ones stay here.
    let query = plan(&format!(
        "{view} WHERE id = 2 AND name = 'x' AND id IN (1, 2) AND name IS NOT NULL AND id > random()"
    ));
    let sent = query.lines().find(|line| line.contains("Tenant Query:")).unwrap();
    for part in ["(r.id = $", "(r.name = $", "(r.id = ANY ($", "(r.name IS NOT NULL)"] {
        assert!(sent.contains(part), "{sent}");
    }
    assert!(!sent.contains("random"), "{sent}");
    // Values known only when it runs: prepared, generic, in plpgsql, beside each other.
    reporter.batch_execute("SET plan_cache_mode = force_generic_plan").unwrap();
    let prepared =
        reporter.prepare("SELECT name FROM plio_reports.people WHERE org = $1 AND id = $2").unwrap();
    for (org, id, name) in [("acme", 1_i64, "canary-acme"), ("bravo", 2, "canary-bravo-2")] {
        let found: String = reporter.query_one(&prepared, &[&org, &id]).unwrap().get(0);
        assert_eq!(found, name);
    }
    reporter
        .batch_execute("DO $$ DECLARE wanted text := 'bravo'; n bigint := 3; BEGIN ASSERT (SELECT name = 'canary-bravo-3' FROM plio_reports.people WHERE org = wanted AND id = n); END $$")
        .unwrap();
    let join = "SELECT a.name, b.name FROM plio_reports.people a JOIN plio_reports.people b USING (id) WHERE a.org = 'acme' AND b.org = 'bravo' AND id < 3 ORDER BY id";
    assert_eq!(rows(&mut reporter, join), ["canary-acme|canary-bravo", "canary-acme-2|canary-bravo-2"]);
    let lateral = "SELECT o, name FROM unnest('{acme,bravo}'::text[]) AS o, LATERAL (SELECT name FROM plio_reports.people WHERE org = o AND id = 1 LIMIT 1) AS x ORDER BY 1";
    assert_eq!(rows(&mut reporter, lateral), ["acme|canary-acme", "bravo|canary-bravo"]);
    assert_eq!(
        rows(&mut reporter, "SELECT p FROM plio_reports.people p WHERE org = 'acme' AND id = 1"),
        ["(acme,1,canary-acme)"]
    );
    reporter
        .batch_execute(
            "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT org, id FROM plio_reports.people ORDER BY 1, 2",
        )
        .unwrap();
    assert_eq!(rows(&mut reporter, "FETCH LAST FROM c"), ["bravo|3"]);
    assert_eq!(rows(&mut reporter, "FETCH FIRST FROM c"), ["acme|1"]);
}

#[test]
fn only_reporters_read_a_view_and_no_tenant_ever() {
    let world = with_view("readers");
    let mut admin = world.admin();
    let manager = world.tenants.db.login_role("manager");
    admin.batch_execute(&format!("GRANT plio_admin TO {manager}")).unwrap();
    for role in [&world.tenants.app, &world.tenants.carol, &manager] {
        expect_sqlstate(world.tenants.db.connect(role).query(COUNTS, &[]), "42501");
    }
    // Whatever is granted, and through a view of a superuser's.
    admin
        .batch_execute(
            "GRANT USAGE ON SCHEMA plio_reports TO PUBLIC; GRANT SELECT ON plio_reports.people TO PUBLIC;
             CREATE VIEW public.wide AS SELECT * FROM plio_reports.people; GRANT SELECT ON public.wide TO PUBLIC",
        )
        .unwrap();
    let mut app = world.app();
    refused(app.query(COUNTS, &[]), "42501");
    refused(app.query("SELECT * FROM public.wide", &[]), "42501");
    assert_eq!(rows(&mut world.reporter(), "SELECT count(*) FROM public.wide"), ["6"]);
    for client in [&mut app, &mut admin] {
        for query in [
            COUNTS,
            "SELECT * FROM public.wide",
            "COPY plio_reports.people TO STDOUT",
            "CREATE VIEW mine AS SELECT * FROM plio_reports.people",
        ] {
            client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
            expect_sqlstate(client.batch_execute(query), "42501");
            client.batch_execute("ROLLBACK").unwrap();
        }
    }
    for object in ["plio_reports.people", "plio_reports"] {
        refused(admin.execute("SELECT plio.share($1, 'read')", &[&object]), "22023");
    }
    for statement in [
        "INSERT INTO plio_reports.people VALUES ('acme', 9, 'x')",
        "UPDATE plio_reports.people SET name = 'x'",
        "DELETE FROM plio_reports.people",
    ] {
        expect_sqlstate(admin.batch_execute(statement), "0A000");
    }
    // Made by hand: for reporters all the same.
    admin.batch_execute("CREATE FOREIGN TABLE public.own (org text, name text) SERVER plio_tenants OPTIONS (table_name 'users'); GRANT SELECT ON public.own TO PUBLIC").unwrap();
    refused(app.query("SELECT * FROM public.own", &[]), "42501");
    expect_sqlstate(
        world.reporter().batch_execute("CREATE FOREIGN TABLE pg_temp.own (org text) SERVER plio_tenants"),
        "42501",
    );
    expect_sqlstate(world.reporter().query("SELECT plio.create_report_view('x', 'users')", &[]), "42501");
    assert_eq!(
        world
            .tenants
            .db
            .connect(&manager)
            .execute("SELECT plio.create_report_view('x', 'users')", &[])
            .unwrap(),
        1
    );
}

#[test]
fn a_dump_keeps_the_views() {
    let world = with_view("dumped");
    let db = &world.tenants.db;
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{command:?}: {stderr}");
    };
    let file = db.cluster().data_dir().join(format!("{}.dump", db.name()));
    run(db.cluster().program("pg_dump").args(["-Fc", "-f"]).arg(&file).arg(db.name()));
    let copy = Cluster::shared().database("copy");
    run(db
        .cluster()
        .program("pg_restore")
        .args(["--exit-on-error", "--jobs", "2", "--dbname", copy.name()])
        .arg(&file));
    assert_eq!(rows(&mut copy.connect(&world.reporter), COUNTS), ["acme|3", "bravo|3"]);
    expect_sqlstate(copy.connect(&world.tenants.carol).query(COUNTS, &[]), "42501");
    copy.superuser().batch_execute("SELECT plio.drop_report_view('people')").unwrap();
}

#[test]
fn the_extension_goes_with_its_views() {
    let world = with_view("gone");
    let mut admin = world.admin();
    for statement in
        ["DROP EXTENSION plio_tenancy", "SET plio.enforcement = off; DROP EXTENSION plio_tenancy"]
    {
        expect_sqlstate(admin.batch_execute(statement), "2BP01");
    }
    admin.batch_execute("SET plio.enforcement = off; DROP EXTENSION plio_tenancy CASCADE").unwrap();
    assert_eq!(rows(&mut admin, "SELECT count(*) FROM pg_namespace WHERE nspname = 'plio_reports'"), ["0"]);
}
