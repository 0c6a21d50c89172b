//! A tenant whose tables are traps: its code runs as the tenant, in the tenant, while somebody with more rights reports.

use crate::world::{World, assert_outside, refused, rows, world};

/// Puts a view with a function in the place of bravo's table. The function tries to get out, and tells what came of it.
fn trap(world: &World) {
    world.inside(
        "bravo",
        r#"CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
            BEGIN EXECUTE statement; RETURN 'DONE'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$;
        CREATE FUNCTION trap() RETURNS text LANGUAGE plpgsql AS $$
            DECLARE told text := current_user || ' ' || plio.current_tenant(); tried text;
            BEGIN
                FOREACH tried IN ARRAY ARRAY[
                    'SELECT name FROM tenant_acme.users', 'SELECT plio.set_tenant(''acme'')', 'RESET ROLE', 'SET ROLE NONE',
                    'SET SESSION AUTHORIZATION DEFAULT', 'SELECT set_config(''role'', ''none'', false)',
                    'SELECT set_config(''role'', NULL, false)', 'SET search_path = tenant_acme', 'RESET plio.tenant',
                    'SET plio.tenant = ''acme''', 'SELECT * FROM plio.report(''SELECT 1'') AS (org text, n int)',
                    'SELECT * FROM plio_reports.users', 'SELECT * FROM plio.tenants', 'SELECT pg_read_file(''PG_VERSION'')',
                    'PREPARE mine AS SELECT 1', 'EXECUTE yours', 'DEALLOCATE ALL', 'UNLISTEN *', 'CREATE TEMP TABLE t (x int)',
                    'SELECT * FROM pg_temp.kept', 'FETCH ALL FROM yours', 'COMMIT', 'NOTIFY x', 'SELECT pg_notify(''x'', ''y'')'] LOOP
                    told := told || E'\n' || tried || ': ' || attempt(tried);
                END LOOP;
                PERFORM set_config('work_mem', '64kB', false);
                RETURN told;
            END $$;
        ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT id, trap() AS name FROM people WHERE id = 1"#,
    );
}

#[track_caller]
fn assert_held(told: &str) {
    assert!(told.starts_with("tenant_bravo_"), "runs as the tenant: {told}");
    for line in told.lines().skip(1) {
        assert!(!line.ends_with(": DONE"), "got out: {line}");
    }
    assert_eq!(told.lines().count(), 25);
}

#[test]
fn a_trap_in_the_place_of_a_table_catches_no_reporter() {
    let world = world("trap");
    trap(&world);
    world.admin().batch_execute("SELECT plio.create_report_view('users', 'users')").unwrap();
    // A superuser, too, whose rights would be worth having.
    for role in [world.reporter.as_str(), "postgres"] {
        let mut client = world.tenants.db.connect(role);
        client
            .batch_execute(
                "PREPARE yours AS SELECT 1; SET work_mem = '8MB'; CREATE TEMP TABLE kept (secret text)",
            )
            .unwrap();
        for query in [
            "SELECT name FROM plio.report('SELECT name FROM users', '{bravo}') AS (org text, name text)",
            "SELECT r.row->>'name' FROM plio.report_json('SELECT name FROM users', '{bravo}') AS r",
            "SELECT name FROM plio_reports.users WHERE org = 'bravo'",
        ] {
            let told: String = client.query_one(query, &[]).unwrap().get(0);
            assert_held(&told);
        }
        assert_outside(&mut client, role);
        assert_eq!(rows(&mut client, "SHOW work_mem"), ["8MB"]);
        assert_eq!(rows(&mut client, "EXECUTE yours"), ["1"]);
        assert_eq!(
            rows(&mut client, "SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'"),
            ["0"]
        );
    }
}

#[test]
fn conditions_of_the_reporter_are_judged_again_on_what_comes_back() {
    let world = world("conditions");
    // An own operator and a row that is another one each time it is looked at.
    world.inside(
        "bravo",
        "CREATE FUNCTION yes(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
         CREATE OPERATOR = (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = yes);
         CREATE SEQUENCE s; ALTER TABLE users RENAME TO people;
         CREATE VIEW users AS SELECT id + (random() * 100)::bigint AS id, name FROM people",
    );
    world.admin().batch_execute("SELECT plio.create_report_view('users', 'users')").unwrap();
    let mut reporter = world.reporter();
    for _ in 0..20 {
        let found = rows(&mut reporter, "SELECT id FROM plio_reports.users WHERE org = 'bravo' AND id = 7");
        assert!(found.iter().all(|id| id == "7"), "{found:?}");
    }
    assert_eq!(
        rows(&mut reporter, "SELECT id, name FROM plio_reports.users WHERE org = 'acme' AND id = 2"),
        ["2|canary-acme-2"]
    );
}

#[test]
fn an_adopted_tenant_is_read_as_its_owner_with_one_layers_rules() {
    let world = world("adopted");
    let mut admin = world.admin();
    let owner = world.tenants.db.login_role("owner");
    admin
        .batch_execute(&format!(
            "CREATE SCHEMA old AUTHORIZATION {owner}; SET ROLE {owner};
             CREATE TABLE old.users (id bigint, name text); INSERT INTO old.users VALUES (1, 'canary-old');
             RESET ROLE; SELECT plio.adopt_tenant('old', 'old')"
        ))
        .unwrap();
    let mut reporter = world.reporter();
    let who = "SELECT * FROM plio.report('SELECT current_user::text, name FROM users', '{old}') AS (org text, who text, name text)";
    assert_eq!(rows(&mut reporter, who), [format!("old|{owner}|canary-old")]);
    let statistics =
        "SELECT * FROM plio.report('SELECT count(*) FROM pg_stats', '{old}') AS (org text, n bigint)";
    refused(reporter.query(statistics, &[]), "55000");
    assert_eq!(rows(&mut reporter, "SELECT outcome, sqlstate FROM plio.report_coverage()"), ["failed|42501"]);
    assert_outside(&mut reporter, &world.reporter);
}

/// A stranger's function that stands in the way of one that the report names: it does not run in the reporter's name.
#[test]
fn a_strangers_code_is_not_called_by_a_report() {
    let world = world("stranger");
    let query = "SELECT org, word FROM plio.report('SELECT lower(name::varchar) FROM users WHERE id = 1') AS (org text, word text)";
    // With an object of an extension in it, public is on every tenant's path.
    world
        .admin()
        .batch_execute("GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE EXTENSION citext SCHEMA public")
        .unwrap();
    let mut reporter = world.reporter();
    assert_eq!(rows(&mut reporter, query), ["acme|canary-acme", "bravo|canary-bravo"]);
    let mut carol = world.tenants.db.connect(&world.tenants.carol);
    carol
        .batch_execute("CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'carols'; END $$")
        .unwrap();
    let mut reporter = world.reporter();
    refused(reporter.query(query, &[]), "55000");
    let coverage = "SELECT org, outcome, sqlstate FROM plio.report_coverage() ORDER BY org";
    assert_eq!(rows(&mut reporter, coverage), ["acme|failed|42501", "bravo|failed|42501"]);
    assert_outside(&mut reporter, &world.reporter);
}
